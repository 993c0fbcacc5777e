#!/bin/sh
# hone models: its page in docs/ is current, and the example in it is the file that it says it is.
. "$(dirname "$0")/lib.sh"

PAGE=$HONE_SOURCE_DIR/docs/models.md
expect 0 "$HONE" models --markdown
cmp -s "$WORK/out" "$PAGE" || fail "docs/models.md is not current: hone models --markdown >docs/models.md"
sed -n '/^```c$/,/^```$/p' "$PAGE" | sed '1d;$d' >"$WORK/example.c"
cmp -s "$WORK/example.c" "$HONE_SOURCE_DIR/src/model/arch/qwen3.c" ||
    fail "the example of docs/models.md is not src/model/arch/qwen3.c"
expect 0 "$HONE" models --json
is_json "$WORK/out"
expect 0 "$HONE" models
prints gpt_neox

# Every shape writes a model that runs: one layer of each.
for shape in qwen2.5-0.5b phi-3-mini gemma-2-2b mistral-7b; do
    expect 0 "$HONE" synth "$shape" --layers 1 --type q4_0 -o "$WORK/$shape.gguf"
    expect 0 "$HONE" info "$WORK/$shape.gguf"
    expect 0 "$HONE" run "$WORK/$shape.gguf" -p "Once upon a time" -n 3 --ctx 256
    rm -f "$WORK/$shape.gguf"
done
finish
