# The command line itself: exit codes, suggestions, help, man pages and completion of every command.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

expect 2 "$HONE"
says "a command is needed"
expect 2 "$HONE" inof
says 'did you mean "info"?'
expect 2 "$HONE" xyzzyxyzzy
says "hone help"
expect 0 "$HONE" --version
prints "hone "
expect 0 "$HONE" help
prints "Exit codes:"
commands=$("$HONE" help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
[ -n "$commands" ] || fail "help lists no commands"

for command in $commands; do
    expect 0 "$HONE" help "$command"
    prints "Usage: hone $command"
    prints "Examples:"
    prints "--json"
    cp "$WORK/out" "$WORK/help"
    expect 0 "$HONE" "$command" --help
    cmp -s "$WORK/help" "$WORK/out" || fail "$command --help and help $command differ"
    expect 0 "$HONE" --man "$command"
    prints ".SH NAME"
    expect 2 "$HONE" "$command" --no-such-option-as-this
    says "has no option --no-such-option-as-this"
    silent
done

# What a model may be, wherever one is taken; and every variable of the environment that the source asks for.
for command in run compare train optimize tokenize; do
    expect 0 "$HONE" help $command
    prints "A model is given as"
done
expect 0 "$HONE" --man
variables=$(grep -rhoE '"(HONE_|HF_|HUGGING|XDG_|TRANSFORMERS_|OPENAI_|SSL_|CURL_|REQUESTS_|TMPDIR)[A-Z_]*"' "$HONE_SOURCE_DIR/src" |
    tr -d '"' | sort -u)
[ -n "$variables" ] || fail "the source asks for no variable"
for variable in $variables; do
    prints "$variable"
done

expect 2 "$HONE" info
says "needs MODEL"
expect 2 "$HONE" info a b
says '"b"'
expect 2 "$HONE" info --breif "$MODEL"
says "did you mean --brief?"
expect 2 "$HONE" info --brief=yes "$MODEL"
says "takes no value"
expect 2 "$HONE" doctor --threads
says "needs a value"
expect 2 "$HONE" doctor --threads 0
says "from 1 to"
for command in "doctor --measure" "synth tiny" "tokenizer train" "quantize $MODEL"; do
    expect 2 "$HONE" $command --threads 513 # what no pool takes
    says " to 512"
done
expect 2 "$HONE" doctor --threads 3x
says "whole number"
expect 2 "$HONE" doctor --threads 99999999999999999999
expect 2 "$HONE" doctor --threads 1 --threads 2
says "given twice"
if [ -w /dev/full ]; then # more than a buffer: what is lost before the end counts, too
    got=0
    "$HONE" optimize --list --markdown >/dev/full 2>"$WORK/err" || got=$?
    [ $got = 8 ] || fail "a full disk is exit code $got"
fi
expect 2 "$HONE" quantize "$MODEL" --type q4_k_m --pure -o "$WORK/x.gguf"
says "leave out --pure"
expect 2 "$HONE" run "$MODEL" "Once upon"
says "--prompt"
printf 'A note.' >"$WORK/notes.txt"
for command in "run -p a" chat "eval --data $WORK/notes.txt"; do # what is no model is not a damaged tokenizer
    # shellcheck disable=SC2086 # words
    expect 5 "$HONE" $command "$WORK/notes.txt" </dev/null
    says "neither GGUF nor safetensors"
done
expect 5 "$HONE" tokenize "$WORK/notes.txt" </dev/null
says "no tokenizer that hone knows"
expect 2 "$HONE" help nothing
expect 2 "$HONE" help run bench
says '"bench"'
expect 2 "$HONE" --version extra
silent
expect 2 "$HONE" optimize --markdown
says "--list"
expect 2 "$HONE" optimize --list --markdown --json
silent
expect 2 "$HONE" optimize --list "$MODEL"
expect 2 "$HONE" tokenize "$MODEL" --pieces --json </dev/null
expect 2 "$HONE" compare "$MODEL" '{"threads": 1}' --keep "$WORK/kept"
says "--formats"
expect 2 "$HONE" --completion fish
says "bash"

# The shapes that synth's help names are those that there are.
expect 2 "$HONE" synth nothing -o "$WORK/x.gguf"
shapes=$(sed -n 's/.*there are: //p' "$WORK/err" | tr -d ,)
expect 0 "$HONE" synth --help
for shape in ${shapes:?}; do
    prints "$shape"
done

if command -v bash >/dev/null 2>&1; then
    expect 0 "$HONE" --completion bash
    bash -n "$WORK/out" || fail "the completion is no valid bash"
    words=$(bash -c '. "$1"; COMP_WORDS=(hone do); COMP_CWORD=1; _hone; echo "${COMPREPLY[*]}"' x "$WORK/out")
    [ "$words" = doctor ] || fail "completion of \"do\" gives \"$words\""
fi
finish
