# Helpers of the end-to-end tests; sourced. HONE: the program. HONE_SOURCE_DIR: the source tree.
set -u
: "${HONE:?the path of the hone program}" "${HONE_SOURCE_DIR:?the source tree}"
WORK=$(mktemp -d) || exit 1 # it says why
trap 'rm -rf "$WORK"' EXIT
export HONE_HOME="$WORK/home" # no test may see, or touch, the user's registry
export HONE_CACHE="$WORK/cache"
export LC_ALL=C.UTF-8 # sort, ranges, messages: the same everywhere
export no_proxy='*'   # a test's servers are on this machine

# A trained model where there is one; else one with random weights, of which the text means nothing.
STORIES=${HONE_SHARED:-$HONE_SOURCE_DIR/../shared}/data/stories260k
MODEL=$STORIES/stories260k.gguf
trained() { [ -f "$STORIES/stories260k.gguf" ]; } # or a line that says what is left out
if ! trained; then
    mkdir "$WORK/.model"
    MODEL=$WORK/.model/stories260k.gguf
    "$HONE" synth tiny --type f32 -o "$MODEL" >/dev/null || exit 1
fi
# with_window FOLDER: the trained model, whose layers see 70 tokens here.
with_window() {
    mkdir "$1" && cp "$STORIES"/hf/model.safetensors "$STORIES"/hf/tokenizer* "$1" &&
        sed -e 's/Llama/Mistral/' -e 's/"llama"/"mistral"/' -e 's/"vocab_size"/"sliding_window": 70, &/' \
            "$STORIES/hf/config.json" >"$1/config.json"
}
failures=0

fail() {
    echo "FAIL: $*"
    failures=$((failures + 1))
}

skip() { # skip WHY: the whole script
    echo "SKIP $(basename "$0"): $*"
    exit 77
}

# kill_within PID: kill -9 at a random moment of $span milliseconds. $status: how it ended, 137 if it was running still.
span=1000
kill_within() {
    status=0
    sleep "0.$(printf '%03d' $((($(od -An -N2 -tu2 /dev/urandom)) % span)))"
    kill -9 "$1" 2>/dev/null || : # it may be through
    wait "$1" 2>/dev/null || status=$?
}
shorten_span() { span=$((span * 7 / 8 + 1)); } # a whole run was through before: so it becomes what one takes

# kill_runs KILLS WHOLE COMMAND FOLDER [OPTION]...: runs of COMMAND, which goes on with FOLDER (and with FRONT=exec is the
# program itself), until so many were killed at random moments. One that is through before is held to WHOLE by same_run, and
# they begin again.
kill_runs() {
    kills=$1 whole=$2 span=1000 status=0
    shift 2
    while [ "$kills" -gt 0 ]; do
        former=$status
        FRONT=exec "$@" >/dev/null 2>&1 &
        kill_within $!
        case $status in
        137) kills=$((kills - 1)) ;;
        0)
            [ "$former" != 0 ] || shorten_span
            same_run "$2" "$whole"
            rm -rf "${WORK:?}/$2"
            ;;
        *) fail "a run between kills ended with $status" && break ;;
        esac
    done
}

# wait_until COMMAND...: until it succeeds; a failure after a minute.
wait_until() {
    tries=0
    until "$@"; do
        [ $tries -lt 600 ] || { fail "in vain for a minute: $*" && return; }
        sleep 0.1
        tries=$((tries + 1))
    done
}

# expect CODE COMMAND...: runs it with standard output in $WORK/out, standard error in $WORK/err.
expect() {
    code=$1
    shift
    got=0
    "$@" >"$WORK/out" 2>"$WORK/err" || got=$?
    if [ "$got" != "$code" ]; then
        fail "exit code $got instead of $code: $*"
        sed 's/^/    /' "$WORK/err"
    fi
}

# says TEXT / prints TEXT: what the last `expect` wrote on standard error / output holds TEXT.
says() {
    grep -qF -e "$1" "$WORK/err" || fail "standard error does not say \"$1\": $(head -c 300 "$WORK/err")"
}
prints() {
    grep -qF -e "$1" "$WORK/out" || fail "standard output does not hold \"$1\": $(head -c 300 "$WORK/out")"
}
# same_as_scalar MODEL PRODUCTS TOKENS_FILE: the logits have the same bits as without any instruction set's kernels.
same_as_scalar() {
    expect 0 "$HONE" logits "$1" --products "$2" --tokens-file "$3" --isa scalar -o "$WORK/scalar.npy"
    expect 0 "$HONE" logits "$1" --products "$2" --tokens-file "$3" -o "$WORK/best.npy"
    cmp -s "$WORK/scalar.npy" "$WORK/best.npy" || fail "$1, $2, $3: other bits than scalar code"
}
silent() {
    [ ! -s "$WORK/out" ] || fail "standard output is not empty: $(head -c 300 "$WORK/out")"
}

# is_json FILE: with python3 where that is, else by its first and last character.
is_json() {
    if command -v python3 >/dev/null 2>&1; then
        python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1" 2>/dev/null ||
            fail "not JSON: $(head -c 200 "$1")"
    else
        [ "$(head -c 1 "$1")" = "{" ] && [ "$(tail -c 2 "$1" | tr -d '\n' | tail -c 1)" = "}" ] || fail "not a JSON object: $1"
    fi
}

finish() {
    [ "$failures" -eq 0 ] || { echo "$failures failures"; exit 1; }
    exit 0
}
