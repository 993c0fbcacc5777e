#!/bin/sh
# bench.sh HONE: the speed table against the limits of this machine.
# PEER, PEER_AVX2: folders of llama.cpp builds; then both sides run in turns. All of it is bench/peers.
set -eu
exec "$(dirname "$0")/../bench/peers" "$1" "${PEER:-}" "${PEER_AVX2:-}"
