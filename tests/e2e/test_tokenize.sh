# hone tokenize: ids on standard output, BOS and special tokens as asked, ctrl-C while waiting.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

trained || skip "needs ../shared/data/stories260k"

tokenize() { # tokenize TEXT OPTION...
    text=$1
    shift
    printf '%s' "$text" | "$HONE" tokenize "$@" "$MODEL"
}

# The ids of llama2.c's own tokenizer for this model (BOS first).
expect 0 tokenize "Once upon a time"
prints "1 403 407 261 378"
expect 0 tokenize "Once upon a time" --no-special
[ "$(cat "$WORK/out")" = "403 407 261 378" ] || fail "--no-special gives $(cat "$WORK/out")"
expect 0 tokenize "Once upon a time" --json
is_json "$WORK/out"
[ "$(tr -d ' \n' <"$WORK/out")" = '{"ids":[1,403,407,261,378]}' ] || fail "--json gives $(cat "$WORK/out")"
expect 0 tokenize "" --json
[ "$(tr -d ' \n' <"$WORK/out")" = '{"ids":[1]}' ] || fail "an empty text gives $(cat "$WORK/out")"
expect 0 tokenize "</s>" --no-special --parse-special
plain=$(tokenize "</s>" --no-special)
[ "$(cat "$WORK/out")" != "$plain" ] || fail "--parse-special changes nothing"
case " $plain " in *" 2 "*) fail "</s> became a special token without being asked: $plain" ;; esac
decode() { # decode IDS OPTION...
    text=$1
    shift
    printf '%s' "$text" | "$HONE" tokenize --decode "$@" "$MODEL"
}
expect 0 decode "1 403 407 261 378"
[ "$(cat "$WORK/out")" = "Once upon a time" ] || fail "--decode gives $(cat "$WORK/out")"
expect 0 decode "1, 403" --parse-special
prints "<s>"
for ids in abc -1 3.5 12abc34 "1 2x"; do
    expect 10 decode "$ids"
    says "is no token id"
    silent
done
expect 2 decode "1 403" --pieces
expect 0 decode "1 403 407 261 378" --json
prints '"text": "Once upon a time"'
expect 10 decode "99999"
expect 10 decode "99999999999"
expect 3 "$HONE" tokenize "$WORK/nothing.gguf"
echo "no tokenizer" >"$WORK/x.json"
got=0
"$HONE" tokenize "$WORK/x.json" </dev/null >"$WORK/out" 2>"$WORK/err" || got=$?
[ "$got" = 5 ] || fail "a file that is no tokenizer gives exit code $got instead of 5"
says "x.json"

# Ctrl-C while it waits for standard input ends it by the signal (the shell says 130). A shell without
# job control starts background processes with SIGINT ignored, hence SIGTERM here (143).
mkfifo "$WORK/pipe"
"$HONE" tokenize "$MODEL" <"$WORK/pipe" >"$WORK/out" 2>&1 &
pid=$!
exec 3>"$WORK/pipe"
kill -TERM $pid
got=0
wait $pid || got=$?
exec 3>&-
[ "$got" = 143 ] || fail "a signal while waiting gives $got"
finish
