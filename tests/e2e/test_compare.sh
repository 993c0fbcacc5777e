# hone compare: two sides measured now, one model in many formats, earlier measurements.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

# More than a window of text.
i=0
while [ $i -lt 150 ]; do
    echo "Once upon a time there was a little girl who had $i red balls in the park."
    i=$((i + 1))
done >"$WORK/text.txt"

expect 0 "$HONE" compare "$MODEL" '{"threads": 1, "compute": "f32"}' --prefill 0 --decode 4 --rounds 10 \
    --data "$WORK/text.txt" --max-tokens 1200 --json --html "$WORK/page.html"
is_json "$WORK/out"
prints '"differences"'
prints 'compute: '
prints '"top1_agreement": 1.0'
grep -q "measured in turns" "$WORK/page.html" || fail "the page says nothing of turns"
if grep -qE '<script|https?://' "$WORK/page.html"; then fail "the page is not self-contained"; fi

# What follows from a difference is none of its own.
expect 0 "$HONE" compare "$MODEL" '{"kv_format": "f32"}' --prefill 0 --decode 2 --rounds 10
prints "differs: kv_format"
if grep -q kv_bytes_max "$WORK/out"; then fail "the bound of the KV pages is named: $(cat "$WORK/out")"; fi

# The quantisation benchmark. Rows that 256 does not divide: the type that stands in is named.
"$HONE" synth tiny --type f32 -o "$WORK/tiny.gguf" >/dev/null || fail "no model"
mkdir "$WORK/tmp"
export TMPDIR="$WORK/tmp"
expect 0 "$HONE" compare "$WORK/tiny.gguf" --formats f16,q8_0,q6_k,q4_k_m,int8-channel,gptq-4bit-g128,tq1_0 \
    --data "$WORK/text.txt" --max-tokens 600 --prefill 0 --decode 2 --rounds 10 --html "$WORK/formats.html"
prints "written as q8_0"
prints "gptq-4bit-g128"
grep -q "Size against divergence" "$WORK/formats.html" || fail "no plot"
[ -z "$(ls -A "$WORK/tmp")" ] || fail "left behind: $(ls "$WORK/tmp")"
expect 0 "$HONE" compare "$WORK/tiny.gguf" --formats q8_0,gptq-4bit-g32 --keep "$WORK/kept" --prefill 0 --decode 2 \
    --rounds 10 --memory 1K --json
is_json "$WORK/out"
[ -f "$WORK/kept/q8_0.gguf" ] && [ -f "$WORK/kept/gptq-4bit-g32/config.json" ] || fail "nothing is kept"
expect 0 "$HONE" info "$WORK/kept/gptq-4bit-g32"

# Earlier measurements.
expect 0 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --reps 3 --json
cp "$WORK/out" "$WORK/a.json"
expect 0 "$HONE" compare "$WORK/a.json" "$WORK/a.json"
prints "NOT measured in turns"
prints "no difference"
expect 0 "$HONE" bench "$MODEL" --prefill 16 --decode 0 --reps 3 --json
cp "$WORK/out" "$WORK/b.json"
expect 0 "$HONE" compare "$WORK/a.json" "$WORK/b.json" # of what a side has not measured nothing is said
grep -qE 'a.json +[0-9.]+ +1 +- +-$' "$WORK/out" || fail "a ratio of what is not there: $(cat "$WORK/out")"
expect 2 "$HONE" compare "$WORK/a.json" "$MODEL"
expect 2 "$HONE" compare "$MODEL"
expect 2 "$HONE" compare "$MODEL" --formats q8_0,q9_9
says q9_9
printf '{"rows": [{"test": "decode", "tok_s": -1}, 3]}' >"$WORK/bad.json"
expect 5 "$HONE" compare "$WORK/bad.json" "$WORK/bad.json"
says "without --versus"
expect 3 "$HONE" compare "$MODEL" "$WORK/nothing.gguf"
expect 3 "$HONE" compare "$WORK/a.json" "$WORK/a.json" --html "$WORK/none/page.html"
silent
expect 3 "$HONE" compare 98 99

finish
