#!/bin/sh
# Draws every figure in docs/figures anew. SEED chooses another run.
set -eu
cd "$(dirname "$0")/.."
exec go run ./cmd/secp2psip sim --figures docs/figures --seed "${SEED:-1}"
