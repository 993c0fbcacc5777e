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

model=models/embedded
text=recipes/embedded/heldout.txt
if [ -f "$model/model.safetensors" ]; then
    run run "$model" -p "$(printf 'umask(2)\n\nNAME\n       umask - ')" --tokens 60 --temperature 0.7 --seed 1
elif [ -f "$shared/data/stories260k/stories260k.gguf" ] && [ -f "$shared/data/tinystories/tinystories_sample.txt" ]; then
    model=$shared/data/stories260k/stories260k.gguf
    text=$work/text.txt
    head -c 60000 "$shared/data/tinystories/tinystories_sample.txt" >"$text"
else
    model=$work/tiny.gguf
    text=$work/text.txt
    echo "There is no trained model here (models/embedded, ../shared), so this is a small one with RANDOM weights, read on"
    echo "the project's own documentation. Its speeds are real; its quality figures mean nothing."
    [ -f "$model" ] || run synth tiny --seed 1 -o "$model"
    cat README.md docs/*.md docs/*/*.md | head -c 60000 >"$text"
fi
run info --brief "$model"
run optimize "$model" --data "$text" --goal decode-latency --max-loss 1%
run report -o "$work/report.html"
run history
echo "demo: the page is $work/report.html, the registry is in $work/home; hone rollback takes a promotion back."
echo "Try next: HONE_HOME=$work/home $hone run $model -p 'The directory /etc contains'   (with what was promoted, if anything was)"
echo "or        $hone optimize YOUR-MODEL --data YOUR-TEXT --goal decode-latency --max-loss 1%"
