# hone embed, classify, rerank: as a user calls them, on the synthetic MiniLM and the goldens.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

expect 0 "$HONE" synth minilm --layers 1 --type q8_0 -o "$WORK/m.gguf"
M=$WORK/m.gguf
printf 'a man sleeps\nabc abc\n\nthe last line' >"$WORK/lines"

expect 0 "$HONE" embed "$M" "$WORK/lines"
[ "$(wc -l <"$WORK/out")" = 4 ] || fail "four lines give $(wc -l <"$WORK/out")"
[ "$(head -n 1 "$WORK/out" | wc -w)" = 384 ] || fail "a vector has $(head -n 1 "$WORK/out" | wc -w) numbers"
cp "$WORK/out" "$WORK/all"
expect 0 "$HONE" embed "$M" --text "abc abc" --threads 1
[ "$(cat "$WORK/out")" = "$(sed -n 2p "$WORK/all")" ] || fail "a text's vector depends on its company"
printf '{"text": "abc abc", "id": 1}\n\n{"text": "\\u0061bc abc"}\n' >"$WORK/jsonl"
expect 0 "$HONE" embed "$M" --jsonl --json "$WORK/jsonl"
is_json "$WORK/out"
expect 0 "$HONE" embed "$M" --jsonl "$WORK/jsonl"
[ "$(sort -u "$WORK/out")" = "$(sed -n 2p "$WORK/all")" ] || fail "JSONL gives another vector"
expect 0 "$HONE" embed "$M" "$WORK/lines" --pooling none --json
is_json "$WORK/out"
expect 0 "$HONE" embed "$M" "$WORK/lines" -o "$WORK/v.npy" --dimensions 64 --json
is_json "$WORK/out"
[ "$(wc -c <"$WORK/v.npy")" = $((128 + 4 * 64 * 4)) ] || fail "v.npy has $(wc -c <"$WORK/v.npy") bytes"

expect 2 "$HONE" embed "$M" --text a --pooling best
says "none, mean, cls, last, max, pooler"
expect 6 "$HONE" embed "$M" --text a --pooling pooler
says "no pooler"
expect 2 "$HONE" embed "$M" --text a --dimensions 385
expect 2 "$HONE" embed "$M" --text a --prompt-name query
says "no prompt \"query\""
expect 2 "$HONE" embed "$M" --text a "$WORK/lines"
expect 10 "$HONE" embed "$M" /dev/null
{ echo short; head -c 20000 /dev/zero | tr '\0' '#'; } >"$WORK/long"
expect 11 "$HONE" embed "$M" "$WORK/long" -o "$WORK/none.npy"
says "line 2"
[ ! -e "$WORK/none.npy" ] || fail "a failed run leaves a file"
expect 0 "$HONE" embed "$M" "$WORK/long" --truncate -o "$WORK/cut.npy"
echo '{"txt": 1}' >"$WORK/bad"
expect 10 "$HONE" embed "$M" --jsonl "$WORK/bad"
says "line 1"
echo '{"text": ' >"$WORK/bad"
expect 5 "$HONE" embed "$M" --jsonl "$WORK/bad"
says "line 1"
expect 6 "$HONE" classify "$M" --text a
says "no classifier"
expect 6 "$HONE" logits "$M" --tokens 1,2 -o "$WORK/x.npy"
says "hone embed"
expect 6 "$HONE" run "$M" --prompt a -n 1

expect 0 "$HONE" rerank "$M" -q "abc abc" "$WORK/lines"
[ "$(head -n 1 "$WORK/out" | cut -f 2-)" = "2	abc abc" ] || fail "the same text is not the nearest: $(cat "$WORK/out")"
expect 0 "$HONE" rerank "$M" -q "abc" --top 1 --json "$WORK/lines"
is_json "$WORK/out"
prints '"cosine"'

# A decoder gives vectors too: of the last token, unless told otherwise.
expect 0 "$HONE" embed "$MODEL" --text "Once upon a time" --json
is_json "$WORK/out"
prints '"pooling": "last"'
for command in embed classify rerank; do
    expect 0 "$HONE" $command --help
    prints "Examples:"
done
finish
