# hone chat: templates, what is kept between turns, commands, ctrl-C, bad input.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
trained || skip "needs ../shared/data/stories260k"
export XDG_STATE_HOME="$WORK/state"
TEMPLATE=$HONE_SOURCE_DIR/tests/golden/data/chat/zephyr.jinja

# chat CODE LINES OPTIONS...: lines (with \n) as what is said.
chat() {
    code=$1
    printf "$2" >"$WORK/in"
    shift 2
    got=0
    "$HONE" chat "$MODEL" --dtype f32 "$@" <"$WORK/in" >"$WORK/out" 2>"$WORK/err" || got=$?
    [ "$got" = "$code" ] || fail "exit code $got instead of $code: chat $*: $(head -c 300 "$WORK/err")"
}
field() { # field NAME I: of the I-th answer
    sed -n "s/^ *\"$1\": \"\{0,1\}//p" "$WORK/out" | sed -n -e 's/,$//' -e 's/"$//' -e "$2p"
}

# No template: said, and the plain one is used.
chat 0 'Once upon a time\n/prompt\n' -n 12 --system 'Tell a story.'
says "the model has no chat template"
prints "Tell a story."
prints "User: Once upon a time"
prints "Assistant:"

# A template of one's own, special tokens and the system's message in it; the answer is in the next prompt.
chat 0 '/system Be kind.\nHello\n/save '"$WORK"'/saved.json\nAnd you?\n/undo\n/prompt\n' -n 10 --template "$TEMPLATE"
prints "<|system|>"
prints "Be kind.</s>"
prints "<|assistant|>"
grep -q "And you" "$WORK/out" && fail "/undo leaves the message there"
grep -q '"assistant"' "$WORK/saved.json" || fail "/save has no answer"

# Later turns compute only what is new, and answer as a fresh session does.
chat 0 'Once upon a time\nAnd then?\n/save '"$WORK"'/two.json\n' -n 30 --json
second=$(field text 2)
[ "$(field reused_tokens 1)" = 0 ] || fail "something was reused for the first answer"
[ "$(field reused_tokens 2)" -gt 20 ] || fail "the second turn reused $(field reused_tokens 2) tokens"
chat 0 '/load '"$WORK"'/two.json\n/regen\n' -n 30 --json
[ "$(field reused_tokens 1)" = 0 ] || fail "a loaded conversation was there already"
[ "$(field text 1)" = "$second" ] || fail "a kept prefix changes the answer: $second / $(field text 1)"
# What the user takes back is computed anew from where it differs.
chat 0 'Once upon a time\nAnd then?\n/undo\nOnce more?\n/reset\nOnce upon a time\n' -n 30 --json
[ "$(field text 1)" = "$(field text 4)" ] || fail "/reset does not begin anew"

# A window's pages are given back while the text goes on. Where they are gone, a cut goes further back, and answers stay.
TRAINED=$MODEL MODEL=$WORK/window
with_window "$MODEL"
said='Once upon a time there was a little girl named Lily. She loved to play outside in the park with her friends.\n'
said=$said'What happened then? The dog ran to the ball and Lily was happy because they played together all the day in the sun.\n'
for reuse in true false; do
    echo "{\"prefix_reuse\": $reuse}" >"$WORK/config.json"
    chat 0 "$said"'/undo\nAnd then?\n' -n 60 --json --config "$WORK/config.json"
    field text 3 >"$WORK/third.$reuse"
done
[ "$(field reused_tokens 3)" -lt 100 ] || fail "no page was gone: $(field reused_tokens 3) tokens reused"
cmp -s "$WORK/third.true" "$WORK/third.false" || fail "a window's pages that are gone change the answer"
MODEL=$TRAINED

# run --chat is the first answer of chat.
chat 0 'Once upon a time\n' -n 16
cp "$WORK/out" "$WORK/first"
expect 0 "$HONE" run "$MODEL" --dtype f32 --chat -p "Once upon a time" -n 16
cmp -s "$WORK/out" "$WORK/first" || fail "run --chat answers otherwise: $(cat "$WORK/out")"

# Both end an answer with the special token that the template puts there, and with the plain template's next question:
# ends_with TOKEN SPECIAL STOP [TEMPLATE]: token 511 of the model is TOKEN, and all that it says.
ends_with() {
    rm -rf "$WORK/ends"
    mkdir "$WORK/ends"
    cp "$STORIES/hf/config.json" "$STORIES/hf/model.safetensors" "$WORK/ends"
    sed -e "s/\"added_tokens\": \[/&{\"id\": 511, \"content\": \"$1\", \"special\": $2},/" \
        -e "s/^ *\"[^\"]*\": 511$/\"$1\": 511/" "$STORIES/hf/tokenizer.json" >"$WORK/ends/tokenizer.json"
    [ -z "${4:-}" ] || echo "$4" >"$WORK/ends/chat_template.jinja"
    MODEL=$WORK/ends
    chat 0 'Hello\n' -n 8 --logit-bias 511=100 --json
    [ "$(field stop 1)$(field text 1)" = "$3" ] || fail "chat ends with $1: $(cat "$WORK/out")"
    expect 0 "$HONE" run "$MODEL" --chat -p Hello -n 8 --logit-bias 511=100 --json
    [ "$(field stop 1)$(field text 1)" = "$3" ] || fail "run --chat ends with $1: $(cat "$WORK/out")"
    expect 0 "$HONE" run "$MODEL" --chat -p Hello -n 8 --logit-bias 511=100 --json --ignore-eos
    prints '"stop": "length"'
    MODEL=$TRAINED
}
ends_with '<|fin|>' true end '{% for m in messages %}{{ m.role ~ ": " ~ m.content ~ "<|fin|>" }}{% endfor %}'
ends_with '!\\nUser: no' false 'stop!'

# A seed, another answer by /regen, settings.
chat 0 '/set temperature 1\n/set seed 7\nOnce\n/regen\n/set\n/stats\n' -n 30 --json
[ "$(field text 1)" != "$(field text 2)" ] || fail "/regen gives the same answer at temperature 1"
says "temperature 1,"
says "already there"

# A text that ends an answer is not printed, nor what might have been one.
chat 0 'Once upon a time\n' -n 40 --stop " r" --json
[ "$(field stop 1)" = stop ] || fail "--stop did not end the answer: $(field stop 1)"
case "$(field text 1)" in *" r"*) fail "the text to stop at was printed" ;; esac

# Bad input: said, and the conversation goes on; the exit code tells.
chat 2 '/nope\nHello\n' -n 5
says "there is no command /nope"
[ -s "$WORK/out" ] || fail "no answer after a wrong command"
chat 2 '/set temperature -1\n/set nope 1\n/set top-k x\n' -n 5
for setting in 'top-k 2.9' 'penalty-window 0.5' 'seed 5.7' 'tokens 1.5'; do
    chat 2 "/set $setting\n"
    says "is no whole number"
done
chat 3 '/load /nonexistent\n' -n 5
chat 11 'Hello\n' --ctx 8
says "/reset forgets it"
chat 10 'Hello\n\377\n' -n 5
says "no valid UTF-8"
for line in 'Hello\000 and more\n' '\000Hello\n'; do
    chat 10 "$line"
    says "NUL byte"
    silent
done
printf '{%% if x %%}\n{{ x|shout }}{%% endif %%}' >"$WORK/bad.jinja"
chat 6 'Hello\n/set x 1\n' --template "$WORK/bad.jinja" --var x=true
says "line 2, column 6: filter 'shout' is not known"
printf '{%% include "x" %%}' >"$WORK/bad.jinja"
chat 6 'Hello\n' --template "$WORK/bad.jinja"
says "line 1, column 4: tag 'include' is not known"
printf "{{ raise_exception('no ' ~ messages[0].content) }}" >"$WORK/bad.jinja"
chat 10 'Hello\n' --template "$WORK/bad.jinja"
says "refuses the conversation: no Hello"
chat 2 'Hello\n' --var x
printf '{"a": 1}' >"$WORK/tools.json"
chat 10 'Hello\n' --tools "$WORK/tools.json"
expect 3 "$HONE" chat "$WORK/nothing.gguf"

# Lines that go on; an empty input.
chat 0 'Hello \\\nthere\n/prompt\n' -n 3
prints "User: Hello"
prints "there"
chat 0 ''

# ctrl-C stops the answer and not the program; SIGTERM ends it. An endless answer is in the way.
mkfifo "$WORK/fifo"
start() {
    : >"$WORK/out"
    "$HONE" chat "$MODEL" -n 10000000 --ctx 200000 --repetition-penalty 1.3 --logit-bias 2=-inf \
        --logit-bias 1=-inf <"$WORK/fifo" >"$WORK/out" 2>"$WORK/err" &
    pid=$!
    exec 3>"$WORK/fifo"
    echo "Once upon a time" >&3
    wait_until grep -q . "$WORK/out"
}
start
kill -INT $pid
wait_until grep -q "(stopped" "$WORK/err"
says "(stopped; the answer stays as it is"
echo "/set tokens 5" >&3
echo "And then?" >&3
exec 3>&-
got=0
wait $pid || got=$?
[ "$got" = 0 ] || fail "after ctrl-C the program ended with $got: $(cat "$WORK/err")"
says "(cut: --tokens is reached)"

start
kill -TERM $pid
got=0
wait $pid || got=$?
exec 3>&-
[ "$got" = 130 ] || fail "SIGTERM while answering gives $got"

# On a terminal: editing (a typed and erased character), history in a file.
if command -v script >/dev/null 2>&1 && script -qec true /dev/null >/dev/null 2>&1; then
    prompts() { [ "$(grep -c '^> ' "$WORK/out")" -ge "$1" ]; }
    mkfifo "$WORK/keys"
    : >"$WORK/out"
    script -qec "'$HONE' chat '$MODEL' -n 5" /dev/null <"$WORK/keys" >"$WORK/out" 2>&1 &
    pid=$!
    exec 3>"$WORK/keys"
    wait_until prompts 1
    printf 'Onx\177ce\n' >&3
    wait_until prompts 2
    printf '/prompt\n' >&3
    wait_until prompts 3
    printf '/exit\n' >&3
    wait $pid || fail "on a terminal: $(cat "$WORK/out")"
    exec 3>&-
    prints "User: Once"
    grep -q "Once" "$WORK/state/hone/chat_history" || fail "the history was not kept"
else
    echo "part of test_chat.sh skipped: needs script (a terminal)"
fi
finish
