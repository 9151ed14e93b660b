#!/usr/bin/env bash
# Runs the attack tests and prints a line for each row of docs/security.md: scripts/matrix.sh [--undefended] [--json]
# It fails if one fails, or if a row that is called covered has no test that passed.
# With --undefended it first runs them without the defence that each is about, and fails if one does not fail then;
# with --undefended --all those, too, that take long to fail.
set -euo pipefail
cd "$(dirname "$0")/.."
args=() bare=() look=
for arg in "$@"; do
  case "$arg" in
    --undefended) look=1 ;;
    --all) bare+=(--all) ;;
    *) args+=("$arg") ;;
  esac
done
seen=()
if [ -n "$look" ]; then
  go build -o bin/undefended ./internal/matrix/undefended
  bin/undefended "${bare[@]}" --json bin/undefended.json >&2
  seen=(--seen bin/undefended.json)
fi
go build -o bin/matrix ./internal/matrix/report
go test -json -count=1 -run '^TestMatrix[A-H][0-9]' ./... | bin/matrix --quiet "${seen[@]}" "${args[@]}" docs/security.md
