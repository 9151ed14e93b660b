#!/usr/bin/env bash
# Installs the programs that the end-to-end tests and the benchmarks run, on Debian and its relatives.
# It may be run again at any time, and does nothing where all are there. As root, or with sudo.
#
#   install-test-deps.sh        what the tests need
#   install-test-deps.sh dht    and what the comparison with OpenDHT does: a compiler and the library
#   install-test-deps.sh rtpengine    and what the comparison with rtpengine does
set -euo pipefail

# program:package
needed=(
  baresip:baresip
  linphonec:linphone-cli
  kamailio:kamailio
  sipp:sip-tester
  sox:sox
  tshark:tshark
  ip:iproute2
  nft:nftables
  miniupnpd:miniupnpd-nftables
  dhtnode:dhtnode
  gcc:gcc            # for go test -race
)

PATH=$PATH:/usr/sbin:/sbin
missing=() packages=()
if [ "${1:-}" = dht ]; then
  needed+=(g++:g++)
  if [ ! -e /usr/include/opendht.h ]; then
    packages+=(libopendht-dev)
  fi
fi
if [ "${1:-}" = rtpengine ]; then
  needed+=(rtpengine:rtpengine-daemon)
fi
for entry in "${needed[@]}"; do
  if ! command -v "${entry%%:*}" >/dev/null; then
    missing+=("${entry%%:*}") packages+=("${entry##*:}")
  fi
done
[ ${#packages[@]} -gt 0 ] || exit 0

fail() {
  echo "install-test-deps: $1" >&2
  echo "install-test-deps: these Debian packages are missing: ${packages[*]}" >&2
  exit 1
}

command -v apt-get >/dev/null || fail "there is no apt-get here: install them by hand"
root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || fail "run this as root: there is no sudo here"
  sudo -n true 2>/dev/null || [ -t 0 ] || fail "run this as root: sudo asks for a password and there is no terminal"
  root=(sudo)
fi

# Kamailio, dhtnode, miniupnpd and rtpengine are wanted as programs only. Their packages would start them as services, Kamailio on the very port
# that the adapter uses; a policy that denies it holds for the length of this script.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap '"${root[@]}" rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee "$policy" >/dev/null
  "${root[@]}" chmod 755 "$policy"
fi

echo "install-test-deps: installing ${packages[*]}"
install=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "${packages[@]}")
if ! "${install[@]}" >/dev/null 2>&1; then
  "${root[@]}" apt-get update -qq || fail "apt-get update failed: is there a network?"
  "${install[@]}" >/dev/null || fail "apt-get install failed"
fi

if command -v systemctl >/dev/null; then
  for service in kamailio dhtnode miniupnpd rtpengine-daemon; do
    case " ${packages[*]} " in
      *" $service "*) "${root[@]}" systemctl disable -q "$service" 2>/dev/null || true ;;
    esac
  done
fi

for program in "${missing[@]}"; do
  command -v "$program" >/dev/null || fail "$program is still not there"
done
