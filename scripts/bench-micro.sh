#!/usr/bin/env bash
# Lists the small operations that every look-up and call are made of, with what they allocate: make bench-micro
# TIME sets how long each is measured (0.5s). Where one of them allocates, the comment above the benchmark says why;
# tests hold those that must not to it.
set -euo pipefail
cd "$(dirname "$0")/.."

echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1-3 /proc/loadavg), $(go version)"
bench() { # what, which benchmarks, package...
  echo
  echo "== $1"
  go test -run '^$' -bench "$2" -benchtime "${TIME:-0.5s}" -benchmem "${@:3}" | grep -E '^(pkg:|Benchmark)'
}
bench "codec: messages and frames" '^(BenchmarkCodec|BenchmarkFrame)$' ./internal/wire ./internal/link
bench "signing" '^BenchmarkSign$' ./internal/canon ./internal/record
bench "verification: signature, record, share, descriptor, certificate" '^(BenchmarkVerify|BenchmarkVerifyShare|BenchmarkDescriptor|BenchmarkVerifyNode)$' \
  ./internal/canon ./internal/record ./keyshare ./internal/wire ./internal/identity
bench "dealing and reconstruction" '^(BenchmarkDeal|BenchmarkReconstruct)$' ./keyshare
bench "next hop, table, steps of the ring" '^(BenchmarkNextHop|BenchmarkTable.*|BenchmarkStep.*|BenchmarkStabilize)$' ./chord ./chord/zave
bench "a resolution without its network, and one from the cache" '^BenchmarkResolve' ./internal/directory
bench "a request over a link, and a handshake" '^(BenchmarkCall|BenchmarkCallParallel|BenchmarkHandshake)$' ./internal/link
