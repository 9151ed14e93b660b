#!/usr/bin/env bash
# Runs the end-to-end tests: scripts/e2e.sh [go test flags, such as -run Matrix -v]
#
# They make network namespaces, for which they must be root. Everything is built before that, as you; then the tests run
# as you if you are root, else with sudo, else as root of a user namespace of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$PWD/bin
mkdir -p "$out"
# RACE=1 builds the program under test with the race detector.
go build ${RACE:+-race} -o "$out/secp2psip" ./cmd/secp2psip
go test -c -tags e2e -o "$out/e2e.test" ./e2e

flags=(-test.timeout 8m -test.parallel "${E2E_PARALLEL:-4}")
for f in "$@"; do
  case "$f" in
    -test.* | [!-]*) flags+=("$f") ;;
    -*) flags+=("-test.${f#-}") ;;
  esac
done

run=(env "PATH=$PATH:/usr/sbin:/sbin" "E2E_PROGRAM=$out/secp2psip" "$out/e2e.test" "${flags[@]}")
cd e2e
if [ "$(id -u)" -eq 0 ]; then
  exec "${run[@]}"
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
  exec sudo "${run[@]}"
elif unshare --user --map-root-user --net --mount true 2>/dev/null; then
  # ip keeps its namespaces under /run, which must be ours to write.
  exec unshare --user --map-root-user --net --mount sh -c 'mount -t tmpfs tmpfs /run && exec "$@"' sh "${run[@]}"
fi
echo "e2e: the end-to-end tests need root, sudo, or user namespaces; none of them is to be had here" >&2
exit 1
