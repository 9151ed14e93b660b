#!/usr/bin/env bash
# Prints every figure of docs/benchmarks.md, beside what is to be reached: make bench
# Takes about five minutes; leave the machine alone meanwhile. CALLS sets the calls of one measurement (1000).
set -euo pipefail
cd "$(dirname "$0")/.."
calls=${CALLS:-1000}

echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1-3 /proc/loadavg), $(go version)"
echo
echo "== whole calls, 32 nodes in one process (BenchmarkCalls)"
echo "   to reach: cold p50 ≤ 4 ms and p99 ≤ 15 ms; cold-links p50 ≤ 30 ms; warm p50 ≤ 1 ms"
go test -run '^$' -bench '^BenchmarkCalls$' -benchtime "${calls}x" ./internal/bench | grep '^Benchmark'
echo
echo "== empty folders to the first verified 302 (BenchmarkFirstCall); to reach: ≤ 5 s"
go test -run '^$' -bench '^BenchmarkFirstCall$' -benchtime 20x ./internal/bench | grep '^Benchmark'
echo
echo "== 16 adapters as programs (BenchmarkPrograms)"
echo "   to reach: call ≤ 0.6 ms of CPU; idle RSS ≤ 40 MiB and CPU ≤ 0.5 % of a core"
go test -run '^$' -bench '^BenchmarkPrograms$' -benchtime "${calls}x" ./internal/bench | grep '^Benchmark'
echo
scripts/bench-media.sh
echo
echo "== the SIP front beside Kamailio; to reach: ratio ≤ 1.0"
scripts/bench-front.sh
