#!/usr/bin/env bash
# Runs every check of the project and says how long each took: scripts/test.sh [STAGE...]
# Without arguments it runs all of them, and installs what they need where it may.
set -euo pipefail
cd "$(dirname "$0")/.."

stages=(deps format vet lint tidy unit cross fuzz e2e vulns)

deps() { scripts/install-test-deps.sh; }

format() {
  local bad
  bad=$(gofmt -l .)
  [ -z "$bad" ] || { echo "gofmt would change:"; echo "$bad"; return 1; }
}

# No file is left out by one of these tags, so that once with both sees all.
vet() { go vet -tags e2e,long ./...; }

lint() {
  go build -C tools -o ../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
  bin/staticcheck -tags e2e,long ./...
  go build -C tools -o ../bin/gosec ./gosec
  bin/gosec ./...
}

tidy() { go mod tidy -diff && go -C tools mod tidy -diff; }

# The report prints what go test would, and then the attack matrix of the same run. The stage vet has vetted the tests.
unit() {
  go build -o bin/matrix ./internal/matrix/report
  go test -race -vet=off -shuffle=on -json ./... | bin/matrix docs/security.md
}

cross() {
  local target
  for target in linux/arm64 darwin/arm64 windows/amd64; do
    echo "  $target"
    CGO_ENABLED=0 GOOS=${target%/*} GOARCH=${target#*/} go build ./...
  done
}

fuzz() { scripts/fuzz.sh "${FUZZ_SECONDS:-15}"; }

# The programs under test carry the race detector; a crash or a race in one of them fails the test.
e2e() { RACE=1 scripts/e2e.sh; }

# vulns reports and does not gate: a hole that others find overnight is no fault of a change.
vulns() {
  go build -C tools -o ../bin/govulncheck golang.org/x/vuln/cmd/govulncheck 2>/dev/null &&
    timeout 120 bin/govulncheck ./... 2>&1 || echo "  govulncheck: not clean, or its database cannot be reached; this does not gate"
}

total=$SECONDS
times=()
for stage in "${@:-${stages[@]}}"; do
  declare -F "$stage" >/dev/null || { echo "test: no stage $stage; there are: ${stages[*]}" >&2; exit 2; }
  echo "== $stage"
  start=$SECONDS
  set +e # bash forgets errexit inside an `if`
  (set -e; "$stage")
  status=$?
  set -e
  if [ $status -ne 0 ]; then
    echo "== $stage FAILED after $((SECONDS - start)) s"
    exit 1
  fi
  times+=("$(printf '%-8s %4d s' "$stage" $((SECONDS - start)))")
done
echo "== all passed in $((SECONDS - total)) s"
printf '   %s\n' "${times[@]}"
