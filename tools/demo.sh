#!/bin/sh
# demo.sh HONE: `hone optimize` on a small model to the end, and what it decided.
set -eu
hone=$1
cd "$(dirname "$0")/.."
shared=${HONE_SHARED:-../shared}
work=build/demo
mkdir -p "$work"
HONE_HOME=$(pwd)/$work/home
export HONE_HOME
run() {
    echo "\$ hone $*"
    "$hone" "$@"
}

model=$shared/data/stories260k/stories260k.gguf
sample=$shared/data/tinystories/tinystories_sample.txt
if [ -f "$model" ] && [ -f "$sample" ]; then
    head -c 60000 "$sample" >"$work/text.txt"
else
    model=$work/tiny.gguf
    echo "There is no trained model here (../shared), so this is a small one with RANDOM weights, read on the"
    echo "project's own documentation. Its speeds are real; its quality figures mean nothing."
    [ -f "$model" ] || run synth tiny --seed 1 -o "$model"
    cat README.md docs/*.md docs/*/*.md | head -c 60000 >"$work/text.txt"
fi
run info --brief "$model"
run optimize "$model" --data "$work/text.txt" --goal decode-latency --max-loss 1%
run history
echo "demo: the registry is in $work/home; hone rollback takes the promotion back"
