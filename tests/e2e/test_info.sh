# hone info: a real model, and files that are not one.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
[ -f "$MODEL" ] || fail "the model of the golden data is missing: $MODEL"

expect 0 "$HONE" info "$MODEL"
if trained; then prints "llama: 5 layers, hidden 64, 8 heads (4 KV) of 8"; fi
prints "token_embd.weight"
expect 0 "$HONE" info --json "$MODEL"
is_json "$WORK/out"
if trained; then prints '"layers": 5'; fi
expect 0 "$HONE" info --brief "$MODEL"
if grep -q token_embd "$WORK/out"; then fail "--brief lists tensors"; fi
expect 0 "$HONE" info --brief --json "$MODEL"
is_json "$WORK/out"
prints '"architecture"'
if grep -qE '"(tensors|metadata)": [[{]' "$WORK/out"; then fail "--brief --json lists tensors or metadata"; fi

# A tied embedding is in memory once: untied there is a head more, 521 rows in panels of 16, 48 columns as 64, in bfloat16. The
# plan says so too, but for what aligns tensors to 64 bytes; four tokens are in one page of 64.
LLAMA=$HONE_SOURCE_DIR/tests/golden/data/models/llama
TIED=$HONE_SOURCE_DIR/tests/golden/data/models/llama-tied
mkdir "$WORK/tied"
cp "$LLAMA/model.safetensors" "$WORK/tied"
sed 's/"tie_word_embeddings": false/"tie_word_embeddings": true/' "$LLAMA/config.json" >"$WORK/tied/config.json"
number() { sed -n "s/.*\"$1\": \([0-9]*\).*/\1/p" "$WORK/out"; }
expect 0 "$HONE" compare "$LLAMA" "$TIED" "$WORK/tied" --prefill 0 --decode 2 --rounds 10 --json
# shellcheck disable=SC2046 # three numbers
set -- $(number memory_bytes)
[ $(($1 - $3)) = $((528 * 64 * 2)) ] || fail "untied takes $1 bytes, tied $3"
for model in "$LLAMA" "$TIED" "$WORK/tied"; do
    expect 0 "$HONE" info --json "$model"
    planned=$(($(number weights | tail -n 1) + 64 * $(number kv_per_token)))
    [ "$1" -ge $planned ] && [ "$1" -lt $((planned + 5000)) ] || fail "$model: planned are $planned bytes, taken $1"
    shift
done
prints "lm_head.weight is not used"

if trained; then
    expect 0 "$HONE" info "$MODEL"
    prints "[512 f32:"
    prints "[512 i32:"
fi
expect 3 "$HONE" info "$WORK/nothing.gguf"
says "nothing.gguf"
silent
head -c 3000 "$MODEL" >"$WORK/cut.gguf"
expect 5 "$HONE" info "$WORK/cut.gguf"
says "cut.gguf"
: >"$WORK/empty.gguf"
expect 5 "$HONE" info "$WORK/empty.gguf"
says "empty.gguf"
head -c 100000 /dev/zero >"$WORK/zeros.gguf"
expect 5 "$HONE" info "$WORK/zeros.gguf"
echo "a text" >"$WORK/text.gguf"
expect 5 "$HONE" info "$WORK/text.gguf"
mkdir "$WORK/folder"
expect 3 "$HONE" info "$WORK/folder"
says "config.json"
if [ "$(id -u)" -ne 0 ]; then
    cp "$MODEL" "$WORK/secret.gguf" && chmod 000 "$WORK/secret.gguf"
    expect 4 "$HONE" info "$WORK/secret.gguf"
fi
if [ -w /dev/full ]; then
    got=0
    "$HONE" info "$MODEL" >/dev/full 2>"$WORK/err" || got=$?
    [ "$got" = 8 ] || fail "a full disk gives exit code $got instead of 8"
fi
"$HONE" info "$MODEL" 2>"$WORK/err" | head -n 1 >"$WORK/out"
prints "stories260k"
[ ! -s "$WORK/err" ] || fail "a closed pipe is complained about: $(cat "$WORK/err")"
finish
