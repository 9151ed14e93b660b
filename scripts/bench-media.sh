#!/usr/bin/env bash
# Measures the media of protected calls: make bench-media
# The delay that two adapters add, loss and order, CPU and allocations of a packet, the same CPU beside rtpengine (Debian's,
# which it installs) in turns within one run, the round trips that a protected call takes more than a direct one, and the memory
# of a call. ROUNDS sets the turns beside rtpengine (5). Leave the machine alone meanwhile; where it cannot be left alone,
# AHEAD="sudo chrt -f 10" runs the measurements ahead of everything else on it.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/install-test-deps.sh rtpengine
echo "machine: $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), load $(cut -d' ' -f1-3 /proc/loadavg), $(go version)"
dpkg-query -W -f '${Package} ${Version}\n' rtpengine-daemon 2>/dev/null || true
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
go test -c -o "$dir/bench" ./internal/bench
run() { (cd internal/bench && ${AHEAD:-} "$dir/bench" -test.run '^$' -test.bench "$1" -test.benchtime "$2" -test.timeout 30m) | grep '^Benchmark'; }

echo
echo "== delay that both adapters add, 50 calls (BenchmarkMedia); to reach: p50 ≤ 300 µs, p99 ≤ 1,500 µs; none lost, dropped or out of order"
run '^BenchmarkMedia$' 3x
echo
echo "== CPU of a relayed packet beside rtpengine, 50 calls (BenchmarkRelayed); to reach: ratio ≤ 1.5"
run '^BenchmarkRelayed$' "${ROUNDS:-5}x"
echo
echo "== INVITE → 200, protected beside direct, over links of 100 ms (BenchmarkSetup); to reach: ≤ 2 round trips more"
run '^BenchmarkSetup$' 5x
echo
echo "== allocations of our own, and memory of a call; to reach: 0, and ≤ 64 KiB"
go test -count=1 -run 'Allocates|MemoryOfACall' -v ./internal/media/relay ./internal/link | grep -E '^(--- |    .*_test\.go)'
