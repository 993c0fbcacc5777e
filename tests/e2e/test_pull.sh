# hone pull against the hub of the tests: a real model fetched and run by name, stopped, resumed, offline.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
trained || skip "needs ../shared/data/stories260k"
: "${HUB_SERVER:?the program tests/support/hub_server_main.c}"
unset HF_TOKEN HUGGING_FACE_HUB_TOKEN HF_ENDPOINT HF_HUB_CACHE HUGGINGFACE_HUB_CACHE HF_HUB_OFFLINE TRANSFORMERS_OFFLINE
export HF_HOME="$WORK/home"

mkdir "$WORK/repo"
cp "$STORIES"/hf/* "$WORK/repo"
chmod -R u+w "$WORK/repo"
cp "$MODEL" "$WORK/repo/stories260k-F32.gguf"
big=$WORK/repo/stories260k-Q8_0.gguf
cat "$MODEL" "$MODEL" "$MODEL" "$MODEL" >"$big"
"$HUB_SERVER" "$WORK/repo" >"$WORK/port" &
server=$!
trap 'kill $server 2>/dev/null; rm -rf "$WORK"' EXIT
wait_until [ -s "$WORK/port" ]
hub=http://127.0.0.1:$(cat "$WORK/port")
export HF_ENDPOINT="$hub"

# Before it is there: what to do is said.
expect 3 "$HONE" info acme/tiny
says "hone pull acme/tiny"
expect 3 "$HONE" pull acme/tiny --offline
says "offline"
if grep -q "hone pull" "$WORK/err"; then fail "what failed is advised: $(cat "$WORK/err")"; fi
expect 2 "$HONE" pull not/a/name
expect 5 "$HONE" pull acme/tiny --endpoint "$hub/~traversal"
says "evil"
[ ! -e "$HF_HOME/hub" ] || fail "refused pulls left something behind: $(find "$HF_HOME/hub")"

# A folder and a GGUF file, by name, give the same text.
expect 0 "$HONE" pull acme/tiny
prints "$HF_HOME/hub/models--acme--tiny/snapshots/"
[ "$(wc -l <"$WORK/out")" = 1 ] || fail "more than the path on standard output"
cmp -s "$(cat "$WORK/out")/model.safetensors" "$WORK/repo/model.safetensors" || fail "another model.safetensors"
expect 0 "$HONE" pull acme/tiny:f32 --json
is_json "$WORK/out"
prints '"bytes_received": 1054720'
expect 0 "$HONE" info --brief acme/tiny
prints "llama: 5 layers"
expect 0 "$HONE" info --brief acme/tiny:F32
prints "GGUF"
for name in acme/tiny acme/tiny:F32 acme/tiny@1111111111111111111111111111111111111111:f32; do
    expect 0 "$HONE" run "$name" --dtype f32 -p "Once upon a time" -n 8 --threads 2
    prints ", there was a little"
done
printf "Once upon" >"$WORK/text"
expect 0 "$HONE" tokenize acme/tiny <"$WORK/text"

# Everything that takes a model takes its name: options, and sides that are not called MODEL.
i=0
while [ $i -lt 40 ]; do
    printf 'Once upon a time there was a little girl who had %d red balls. ' $i
    i=$((i + 1))
done >"$WORK/long"
expect 0 "$HONE" eval acme/tiny --kl acme/tiny:F32 --data "$WORK/long" --max-tokens 200 --ctx 64
prints "KL divergence"
expect 0 "$HONE" compare acme/tiny acme/tiny:F32 '{"threads": 1}' --prefill 0 --decode 2 --rounds 10
expect 0 "$HONE" bench acme/tiny --versus acme/tiny:F32 --prefill 0 --decode 2 --rounds 10
expect 3 "$HONE" compare acme/tiny acme/other
says "hone pull acme/other"
expect 0 "$HONE" data acme/tiny "$WORK/long" -o "$WORK/data"
for model in --like --model; do
    expect 0 "$HONE" train "$WORK/data" $model acme/tiny --tokenizer acme/tiny --length 16 --batch 16 --part 16 --steps 1 -o "$WORK/run$model"
done
expect 0 "$HONE" pull acme/tiny
says "all of it was in the cache"

# Without the server.
expect 0 "$HONE" pull acme/tiny:F32 --offline
prints "stories260k-F32.gguf"
HF_HUB_OFFLINE=1 expect 3 "$HONE" pull acme/tiny:Q4_0
says "there are: F32"
expect 9 "$HONE" pull acme/tiny --endpoint http://127.0.0.1:1
says "127.0.0.1:1"

# Stopped in the middle of a file whose half is more than is held in memory: the next pull fetches what is missing.
rm -rf "$HF_HOME"
"$HONE" pull acme/tiny:Q8_0 --endpoint "$hub/~stallonce" 2>"$WORK/err" >"$WORK/out" &
pull=$!
has_part() { part=$(find "$HF_HOME" -name '*.incomplete' ! -empty -printf %s 2>/dev/null) && [ -n "$part" ]; }
wait_until has_part
kill -INT $pull
got=0
wait $pull || got=$?
[ "$got" = 130 ] || fail "an interrupted pull ends with $got instead of 130"
says "stopped by"
has_part || fail "an interrupted pull leaves nothing to go on from"
expect 0 "$HONE" pull acme/tiny:Q8_0 --json
prints "\"bytes_received\": $(($(stat -c %s "$big") - part)),"
cmp -s "$HF_HOME/hub/models--acme--tiny/snapshots/"*/stories260k-Q8_0.gguf "$big" || fail "a resumed pull gives another file"
[ -z "$(find "$HF_HOME" -name '*.incomplete' -o -name '*.tmp.*')" ] || fail "something half-written stays"

# The token is in no output.
rm -rf "$HF_HOME"
expect 0 env HF_TOKEN=hf_sesame "$HONE" pull acme/tiny --endpoint "$hub/~private"
HF_TOKEN=hf_other expect 4 "$HONE" pull acme/tiny:F32 --endpoint "$hub/~private"
if grep -q hf_other "$WORK/err" "$WORK/out"; then fail "the token is printed"; fi

# Two at once wait for each other and both end well.
rm -rf "$HF_HOME"
"$HONE" pull acme/tiny >"$WORK/a" 2>/dev/null &
first=$!
expect 0 "$HONE" pull acme/tiny
wait $first || fail "the other pull failed"
cmp -s "$WORK/a" "$WORK/out" || fail "two pulls at once give two paths"
finish
