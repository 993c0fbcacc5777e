# hone run: the reference's greedy text, seeds, ctrl-C, bad input.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

# The greedy continuation that transformers gives (stories260k/hf/reference.json).
expect 0 "$HONE" run "$MODEL" --dtype f32 -p "Once upon a time" -n 60 --threads 2
says "first token after"
if trained; then
    prints ", there was a little girl named Lily. She loved to play outside in the park."
    head -c 7 "$WORK/out" | grep -q "^, there" || fail "the answer does not begin where the prompt ended"
else
    echo "SKIP the greedy continuation: needs ../shared/data/stories260k"
fi

# A prompt from standard input gives the same.
cp "$WORK/out" "$WORK/first"
printf 'Once upon a time' >"$WORK/prompt"
"$HONE" run "$MODEL" --dtype f32 -n 60 <"$WORK/prompt" >"$WORK/out" 2>"$WORK/err" || fail "standard input: $?"
cmp -s "$WORK/out" "$WORK/first" || fail "a prompt from standard input gives another text"

# Same seed, same text; another seed, another text; threads and instruction set do not matter.
sample() { "$HONE" run "$MODEL" -p "Once" -n 80 --temperature 1 --top-p 0.95 "$@" 2>"$WORK/err"; }
sample --seed 5 >"$WORK/a" || fail "sampling: $(cat "$WORK/err")"
sample --seed 5 --threads 1 --isa scalar >"$WORK/b"
sample --seed 6 >"$WORK/c"
cmp -s "$WORK/a" "$WORK/b" || fail "the same seed gives another text on one thread in scalar code"
cmp -s "$WORK/a" "$WORK/c" && fail "another seed gives the same text"

expect 0 "$HONE" run "$MODEL" -p "Once" -n 5 --json
is_json "$WORK/out"
prints '"tokens": 5'
prints '"ttft_s"'

# The context ends the answer; more than it holds is refused.
expect 0 "$HONE" run "$MODEL" -p "Once" -n 500 --ctx 20 --json
prints '"stop": "context"'
expect 11 "$HONE" run "$MODEL" -p "Once upon a time there was a dog" --ctx 4
says "--ctx"
expect 2 "$HONE" run "$MODEL" -p "Once" --top-p 0
expect 2 "$HONE" run "$MODEL" -p "Once" --logit-bias x
expect 2 "$HONE" run "$MODEL" -p "Once" -f "$WORK/nothing"
expect 0 "$HONE" run "$MODEL" -p "Once" -n 1 --ignore-eos --json
prints '"decode_tok_s": null'
expect 3 "$HONE" run "$WORK/nothing.gguf" -p "Once"
expect 2 "$HONE" run "$MODEL" -p "Once" --isa sse9
expect 3 "$HONE" run "$HONE_SOURCE_DIR/tests/golden/data/models/llama" -p "no tokenizer"

# A signal ends the answer cleanly: the text so far, speeds, exit code 130.
"$HONE" run "$MODEL" -p "Once" -n 1000000 --ctx 200000 --ignore-eos >"$WORK/out" 2>"$WORK/err" &
pid=$!
wait_until [ -s "$WORK/out" ]
kill -TERM $pid
got=0
wait $pid || got=$?
[ "$got" = 130 ] || fail "a signal while answering gives $got: $(cat "$WORK/err")"
says "first token after"

# A reader that goes away is an error, not a crash.
[ -c /dev/full ] && { got=0; "$HONE" run "$MODEL" -p "Once" >/dev/full 2>"$WORK/err" || got=$?
    [ "$got" = 8 ] || fail "a full disk gives $got"; }
finish
