#!/bin/sh
# bench.sh HONE: speed of a Llama 3.2 1B in random weights against the limits of this machine, in each format.
# PEER, PEER_AVX2: folders of llama.cpp builds; then both sides run interleaved (bench/peers).
set -eu
hone=$1
cd "$(dirname "$0")/.."
work=build/bench
threads=${THREADS:-2}
mkdir -p "$work"
for type in ${TYPES:-bf16 q8_0 q4_0}; do
    model=$work/llama-3.2-1b-$type.gguf
    [ -f "$model" ] || "$hone" synth llama-3.2-1b --type "$type" --seed 1 -o "$model"
    echo "== $type"
    "$hone" bench "$model" --prefill 512 --decode 64 --depth 0 --batch 1 --threads "$threads"
done
if [ -n "${PEER:-}${PEER_AVX2:-}" ]; then
    bench/peers "$hone" "$work" "$threads" "${PEER:-}" "${PEER_AVX2:-}"
fi
