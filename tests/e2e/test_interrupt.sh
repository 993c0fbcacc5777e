# A signal in the middle of a long command: it stops in order, says so, and leaves nothing half-written.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

# stopped CODE SIGNAL...: synth, which writes 16 GB, ends with this code when signalled after the first of them. Two signals
# at once are one: whoever signals a process and its group (timeout, a terminal's wrapper) sends two.
stopped() {
    code=$1
    shift
    ${FRONT:-} "$HONE" synth llama-3-8b -o "$WORK/big.gguf" >"$WORK/out" 2>"$WORK/err" &
    pid=$!
    wait_until [ -s "$WORK/big.gguf.tmp.$pid" ]
    for signal in "$@"; do
        kill -s "$signal" $pid $pid
    done
    got=0
    wait $pid 2>/dev/null || got=$?
    [ "$got" = "$code" ] || fail "exit code $got instead of $code by SIG$*: $(cat "$WORK/err")"
}

stopped 130 TERM
says "SIGTERM"
stopped 130 HUP
says "SIGHUP"
FRONT=nohup stopped 130 HUP TERM
says "SIGTERM"
left=$(ls "$WORK" | grep -v -e '^out$' -e '^err$')
[ -z "$left" ] || fail "left behind: $left"

# What was there before stays as it was.
echo "the former file" >"$WORK/big.gguf"
stopped 130 INT
[ "$(cat "$WORK/big.gguf")" = "the former file" ] || fail "the former file was changed"

# kill -9 leaves at most a temporary file, never a broken one under the final name.
rm -f "$WORK/big.gguf"
stopped 137 KILL
[ ! -e "$WORK/big.gguf" ] || fail "a killed command left a file under its final name"
finish
