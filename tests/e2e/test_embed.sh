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
expect 2 "$HONE" embed "$M" --text a --jsonl
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
expect 0 "$HONE" rerank "$M" -q "abc abc" --top 1 --json "$WORK/lines"
prints '"score": 1.0,' # as rounded, the lengths multiply to more than 1

# A copy of a folder makes the same vectors: it has the modules, their settings, the prompts and the length.
expect 0 "$HONE" export "$M" --type f32 -o "$WORK/hf"
mkdir "$WORK/hf/1_P"
cat >"$WORK/hf/modules.json" <<'END'
[{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
 {"idx": 1, "name": "1", "path": "1_P", "type": "sentence_transformers.models.Pooling"}]
END
echo '{"word_embedding_dimension": 384, "pooling_mode_cls_token": true}' >"$WORK/hf/1_P/config.json"
echo '{"prompts": {"query": "abc "}, "default_prompt_name": "query"}' >"$WORK/hf/config_sentence_transformers.json"
echo '{"max_seq_length": 3}' >"$WORK/hf/sentence_bert_config.json"
expect 0 "$HONE" export "$WORK/hf" --type f32 -o "$WORK/copy"
for m in hf copy; do
    expect 0 "$HONE" embed "$WORK/$m" "$WORK/lines" --truncate
    cp "$WORK/out" "$WORK/$m.vectors"
done
cmp -s "$WORK/hf.vectors" "$WORK/copy.vectors" || fail "the exported folder makes other vectors"
cmp -s "$WORK/hf.vectors" "$WORK/all" && fail "modules.json is not heeded"
sed -i 's/1_P/..\/1_P/' "$WORK/hf/modules.json"
expect 6 "$HONE" export "$WORK/hf" --type f32 -o "$WORK/gone"
says "1_P"
[ ! -e "$WORK/gone" ] || fail "a module outside the folder: $(ls -R "$WORK/gone")"

# A decoder gives vectors too: of the last token, unless told otherwise.
expect 0 "$HONE" embed "$MODEL" --text "Once upon a time" --json
is_json "$WORK/out"
prints '"pooling": "last"'
for command in embed classify rerank; do
    expect 0 "$HONE" $command --help
    prints "Examples:"
done
finish
