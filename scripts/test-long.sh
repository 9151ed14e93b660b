#!/usr/bin/env bash
# Runs the tests at their full sizes, which take too long for every change: scripts/test-long.sh [STAGE...]
# Without arguments it runs correctness, survival, honest, front, calls, matrix and undefended; each prints what it found with its seed, and how long it took.
# Correctness alone is a quarter of an hour of processor time; survival measures seconds, so leave the machine alone.
# The stage fuzz is optional: ten minutes for each fuzz target, two at a time, or FUZZ_SECONDS, or with
# FUZZ_SECONDS=100000000x that many executions.
set -euo pipefail
cd "$(dirname "$0")/.."

stages=(correctness survival honest front calls matrix undefended)

# The ring operations: exhaustive and random tests of the five operations, small rings and merging.
correctness() { long ./chord/zave; }

# Rings of real and virtual nodes: power cuts, mass deaths, partitions, disks and clocks that fail.
survival() { SKIP='^TestLongHonest' long ./chord ./internal/ringdir ./internal/record ./internal/node ./internal/testnet/... ./internal/link; }

# Ten thousand hours of honest nodes, whom nobody may evict: twenty-five minutes of processor time.
honest() { RUN='^TestLongHonest' long ./internal/node; }

# The SIP front under floods, beside an honest phone that calls on; a bot that claims 10,000 names.
front() { long ./sipbridge ./bootstrap; }

# Simulated rings at the sizes of docs/benchmarks.md, and every figure in small.
sim() { long ./internal/simnet/...; }

# Rows of the attack matrix at their full sizes; a hundred thousand nodes take 8 GiB.
matrix() { long ./internal/simnet ./bootstrap; }

# Fifty calls at once through one pair of adapters, without a packet lost.
calls() { long ./adapter; }

# Each attack test without the defence that it is about, where it must fail: some four minutes.
undefended() { scripts/matrix.sh --undefended; }

# long PACKAGE...: only the tests that carry the build tag; what they found is shown, and on failure everything.
long() {
  local log
  log=$(mktemp)
  if go test -tags long -run "${RUN:-^TestLong}" -skip "${SKIP:-^$}" -timeout 240m -v "$@" 2>&1 | tee "$log" |
    { grep --line-buffered -E '^(--- |    --- |ok |FAIL)|_test\.go:' | grep --line-buffered -v 'no tests to run' || true; }; then
    rm -f "$log"
  else
    cat "$log"
    rm -f "$log"
    return 1
  fi
}

fuzz() { scripts/fuzz.sh "${FUZZ_SECONDS:-600}"; }

total=$SECONDS
for stage in "${@:-${stages[@]}}"; do
  declare -F "$stage" >/dev/null || { echo "test-long: no stage $stage; there are: ${stages[*]} fuzz" >&2; exit 2; }
  echo "== $stage (load $(cut -d' ' -f1-3 /proc/loadavg))"
  start=$SECONDS
  "$stage" || { echo "== $stage FAILED after $((SECONDS - start)) s"; exit 1; }
  echo "== $stage passed in $((SECONDS - start)) s"
done
echo "== all passed in $((SECONDS - total)) s"
