#!/usr/bin/env bash
# Measures put and get beside OpenDHT, taking turns in one run: make bench-dht
# For each number in NODES it starts as many dhtnode processes and as many adapters on loopback, then ROUNDS rounds of 20 puts
# and 20 gets of each side. Prints a table and one JSON object for each number; JSON=FILE appends the objects to a file, too.
# Leave the machine alone meanwhile; a process of either kind takes 10 to 40 MiB. With ONE=1 our nodes share one process,
# each with its own socket, while OpenDHT's stay processes. AHEAD="sudo chrt -r 5" runs all of it ahead of everything else on
# a machine that cannot be left alone.
#
#   NODES="32 64 128" ROUNDS=50 ONE=0 JSON=dht.json scripts/bench-dht.sh
set -euo pipefail
cd "$(dirname "$0")/.."
json=${JSON:+$(realpath -m "$JSON")}

scripts/install-test-deps.sh dht
echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1-3 /proc/loadavg), $(go version)"
dpkg-query -W -f '${Package} ${Version}\n' dhtnode 2>/dev/null || true
echo "to reach: get-ratio ≤ 0.7 (ours by OpenDHT's, medians of complete gets)"
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go test -c -o "$dir/bench" ./internal/bench
cd internal/bench
for n in ${NODES:-32 64 128}; do
  ${AHEAD:-} "$dir/bench" -test.run '^$' -test.bench '^BenchmarkDHT$' -test.benchtime "${ROUNDS:-50}x" -test.timeout 30m \
    -dht.nodes "$n" -dht.one="${ONE:-0}" -dht.json "$json"
done
