#!/bin/sh
# bench.sh HONE: speed of a Llama 3.2 1B in random weights against the limits of this machine, in each format.
# PEER, PEER_AVX2: folders of llama.cpp builds; then both sides run in turns. All of it is bench/peers.
set -eu
exec "$(dirname "$0")/../bench/peers" "$1" "${PEER:-}" "${PEER_AVX2:-}"
