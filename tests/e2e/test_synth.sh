# hone synth: folders, as GGUF has no word for them. Files: tests/unit/test_synth.c and most other tests.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

# Folders with random weights in the layouts of GPTQ and compressed-tensors: the same bytes on any number of threads, the same
# logits on every set, of 70 tokens (tiles) and of one.
seq -s, 1 70 >"$WORK/many"
echo 5 >"$WORK/one"
for type in gptq-4bit-g128:gptq gptq-4bit-g32:gptq int8-channel:compressed-tensors; do
    folder=$WORK/tiny-${type%:*}
    expect 0 "$HONE" synth tiny --type "${type%:*}" --threads 1 -o "$folder" --json
    bytes=$(grep -o '"bytes": [0-9]*' "$WORK/out" | tr -dc 0-9)
    expect 0 "$HONE" quantize "$folder" --type q8_0 -o "$WORK/q.gguf" --json
    prints "\"bytes_before\": $bytes," # codes and scales, not the numbers that they stand for
    grep -q "\"quant_method\": *\"${type#*:}\"" "$folder/config.json" || fail "$folder: config.json does not say ${type#*:}"
    expect 0 "$HONE" synth tiny --type "${type%:*}" --threads 3 -o "$folder-3"
    diff -r "$folder" "$folder-3" >/dev/null || fail "${type%:*}: other bytes on three threads"
    for products in exact bf16-weights int8-row; do
        same_as_scalar "$folder" $products "$WORK/many"
        same_as_scalar "$folder" $products "$WORK/one"
    done
done
# A file of the user's that lies in the folder stays what it is.
mkdir "$WORK/own"
echo mine >"$WORK/own/plain.gguf"
expect 0 "$HONE" synth tiny --type int8-channel -o "$WORK/own"
[ "$(cat "$WORK/own/plain.gguf")" = mine ] || fail "the user's plain.gguf is gone"
[ "$(ls "$WORK/own" | grep -c gguf)" = 1 ] || fail "left behind: $(ls "$WORK/own")"
expect 2 "$HONE" synth tiny --type q9_9 -o "$WORK/x.gguf"
finish
