#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, two at a time: scripts/fuzz.sh [SECONDS], or [EXECUTIONSx]
# With FUZZ_RECORD=1 the executions are added to the table in docs/security.md, if no target failed.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${1:-15}
case "$each" in *x) ;; *) each=${each}s ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Making inputs small would eat most of the time, hence the limit on that. Without symbols for debuggers the linker
# needs half as long; a crash still tells its lines.
#
# one WORK LENGTH PACKAGE TARGET: the log goes to a file, which is shown only where the target fails. What is tallied is
# processor time: a machine that does other things beside it makes the run longer and not more thorough.
one() {
  local name=${3#./} TIMEFORMAT='%U'
  name=${name//\//_}
  local log="$1/$name.$4.log" start=$SECONDS
  if (cd "$3" && { time "$1/$name.test" -test.run '^$' -test.fuzz "^$4\$" -test.fuzztime "$2" -test.fuzzminimizetime 20x \
    -test.parallel 1 -test.fuzzcachedir "$FUZZ_CACHE/${3#./}" >"$log" 2>&1; } 2>"$log.cpu") || over "$log"; then
    local execs cpu
    execs=$({ echo execs: 0; grep -o 'execs: [0-9]*' "$log"; } | tail -n 1)
    cpu=$(tail -n 1 "$log.cpu")
    printf '  %-60s %s, %d s, %s s of processor time\n' "$3 $4" "$execs" $((SECONDS - start)) "$cpu"
    echo "$3 $4 ${execs#execs: } ${cpu%.*}" >>"$1/tally"
  else
    printf '  %s %s FAILED\n' "$3" "$4"
    cat "$log"
    return 1
  fi
}

# over LOG: go test reports an error when the time is over in the middle of an execution; no input failed.
over() {
  grep -q 'context deadline exceeded' "$1" && ! grep -qE 'Failing input|panic:|DATA RACE' "$1"
}
export -f one over

# Where go test -fuzz keeps the inputs that found something new, so that a run goes on where the last one ended.
FUZZ_CACHE=$(go env GOCACHE)/fuzz/$(go list -m)
export FUZZ_CACHE

mapfile -t targets < <(git ls-files -co --exclude-standard '*_test.go' |
  xargs -r grep -HoE '^func Fuzz[A-Za-z0-9_]+\(' |
  sed -E 's|^(.*)/[^/]+:func (Fuzz[A-Za-z0-9_]+)\($|./\1 \2|' | sort -u)
if [ ${#targets[@]} -eq 0 ]; then
  echo "fuzz: no targets found" >&2
  exit 1
fi
echo "${#targets[@]} fuzz targets, $each each, two at a time"
printf '%s\n' "${targets[@]%% *}" | sort -u | while read -r package; do
  name=${package#./}
  go test -c -fuzz . -ldflags=-w -o "$work/${name//\//_}.test" "$package"
done
printf '%s\n' "${targets[@]}" | xargs -P 2 -L 1 bash -c 'one "$@"' fuzz "$work" "$each"
if [ -n "${FUZZ_RECORD:-}" ]; then
  go run ./internal/matrix/tally docs/security.md <"$work/tally"
fi
