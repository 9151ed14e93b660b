#!/usr/bin/env bash
# Runs the attack tests and prints a line for each row of docs/security.md: scripts/matrix.sh [--json]
# It fails if one fails, or if a row that is called covered has no test that passed.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -o bin/matrix ./internal/matrix/report
go test -json -count=1 -run '^TestMatrix[A-H][0-9]' ./... | bin/matrix --quiet "$@" docs/security.md
