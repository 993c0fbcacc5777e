#!/bin/sh
# hone export: a quantised checkpoint as plain weights gives the same logits, here and in transformers.
. "$(dirname "$0")/lib.sh"

expect 2 "$HONE" export "$MODEL"
HF=$HONE_SOURCE_DIR/tests/golden/data/models/llama
cp -r "$HF" "$WORK/own"
expect 2 "$HONE" export "$WORK/own" -o "$WORK/own/."
says "own folder"

# What cannot be finished leaves no folder; what was there before stays.
mkdir "$WORK/there"
echo kept >"$WORK/there/note"
for source in "$HF" "$MODEL"; do
    for target in "$WORK/gone" "$WORK/there"; do
        (
            ulimit -f 1
            "$HONE" export "$source" -o "$target" 2>"$WORK/err"
        ) && fail "$source: written within a kilobyte"
        grep -q . "$WORK/err" || fail "$source: no word of what is wrong"
    done
    [ ! -e "$WORK/gone" ] || fail "$source: $(ls -A "$WORK/gone") stays behind"
done
[ "$(ls -A "$WORK/there")" = note ] || fail "more than the note stays in the folder: $(ls -A "$WORK/there")"

# Two models do not mix.
expect 0 "$HONE" export "$HF" -o "$WORK/there"
expect 2 "$HONE" export "$MODEL" -o "$WORK/there"
says "holds config.json already"
mkdir -p "$WORK/other/additional_chat_templates"
expect 2 "$HONE" export "$HF" -o "$WORK/other"

DATA=${HONE_SHARED:-$HONE_SOURCE_DIR/../shared}/data/golden/quant/checkpoints
if [ ! -d "$DATA" ]; then
    echo "SKIP checkpoints: needs ../shared/data/golden/quant/checkpoints"
    finish
fi
for c in "$DATA"/*/; do
    name=$(basename "$c")
    expect 0 "$HONE" export "$c" --type f32 -o "$WORK/$name"
    expect 0 "$HONE" logits "$c" --dtype f32 --tokens 1,5,9,100,7 -o "$WORK/a.npy"
    expect 0 "$HONE" logits "$WORK/$name" --dtype f32 --tokens 1,5,9,100,7 -o "$WORK/b.npy"
    cmp -s "$WORK/a.npy" "$WORK/b.npy" || fail "$name: the exported folder has other logits"
    grep -q quantization_config "$WORK/$name/config.json" && fail "$name: still quantised by its config"
done
if ! "${HONE_PYTHON:-python3}" -c 'import torch, transformers' 2>/dev/null; then
    echo "SKIP transformers: HONE_PYTHON names no python that has it"
    finish
fi
HONE_WORK=$WORK HONE_DATA=$DATA "${HONE_PYTHON:-python3}" - <<'PY' || fail "transformers disagrees"
import os, torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
for name in sorted(os.listdir(os.environ["HONE_DATA"])):
    ref = load_file(os.path.join(os.environ["HONE_DATA"], name, "reference.safetensors"))
    ids = next(v for k, v in ref.items() if "ids" in k or "input" in k)
    want = next(v for k, v in ref.items() if "logits" in k)
    model = AutoModelForCausalLM.from_pretrained(os.path.join(os.environ["HONE_WORK"], name), dtype=torch.float32)
    with torch.no_grad():
        have = model(ids.reshape(1, -1).long()).logits.reshape(want.shape)
    assert (have - want).abs().max() < 1e-4, name
PY
finish
