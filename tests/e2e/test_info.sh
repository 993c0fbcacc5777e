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
