#!/usr/bin/env bash
# Runs every fuzz target of the module for a while, two at a time: scripts/fuzz.sh [SECONDS], or [EXECUTIONSx]
# With FUZZ_RECORD=1 the executions are added to the table in docs/security.md, if no target failed.
set -euo pipefail
cd "$(dirname "$0")/.."
each=${1:-15}
case "$each" in *x) ;; *) each=${each}s ;; esac

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT

# Making inputs small would eat most of the time, hence the limit on that.
#
# one LOGS LENGTH PACKAGE TARGET: the log goes to a file, which is shown only where the target fails.
one() {
  local log="$1/${3//\//_}.$4" start=$SECONDS
  if go test -run '^$' -fuzz "^$4\$" -fuzztime "$2" -fuzzminimizetime 20x -parallel 1 "$3" >"$log" 2>&1 || over "$log"; then
    local execs
    execs=$(grep -o 'execs: [0-9]*' "$log" | tail -n 1)
    printf '  %-60s %s, %d s\n' "$3 $4" "$execs" $((SECONDS - start))
    echo "$3 $4 ${execs#execs: } $((SECONDS - start))" >>"$1/tally"
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

mapfile -t targets < <(git ls-files -co --exclude-standard '*_test.go' |
  xargs -r grep -HoE '^func Fuzz[A-Za-z0-9_]+\(' |
  sed -E 's|^(.*)/[^/]+:func (Fuzz[A-Za-z0-9_]+)\($|./\1 \2|' | sort -u)
if [ ${#targets[@]} -eq 0 ]; then
  echo "fuzz: no targets found" >&2
  exit 1
fi
echo "${#targets[@]} fuzz targets, $each each, two at a time"
printf '%s\n' "${targets[@]}" | xargs -P 2 -L 1 bash -c 'one "$@"' fuzz "$logs" "$each"
if [ -n "${FUZZ_RECORD:-}" ]; then
  go run ./internal/matrix/tally docs/security.md <"$logs/tally"
fi
