# A signal in the middle of a long command: it stops in order, says so, and leaves nothing half-written.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
command -v timeout >/dev/null 2>&1 || skip "needs timeout (coreutils)"

# Far more than half a second of work. --preserve-status: the program's own exit code.
expect 130 timeout --preserve-status -s TERM 0.5 "$HONE" synth llama-3-8b -o "$WORK/big.gguf"
says "SIGTERM"
left=$(ls "$WORK" | grep -v -e '^out$' -e '^err$')
[ -z "$left" ] || fail "left behind: $left"

# What was there before stays as it was.
echo "the former file" >"$WORK/big.gguf"
expect 130 timeout --preserve-status -s INT 0.5 "$HONE" synth llama-3-8b -o "$WORK/big.gguf"
[ "$(cat "$WORK/big.gguf")" = "the former file" ] || fail "the former file was changed"

# kill -9 leaves at most a temporary file, never a broken one under the final name.
rm -f "$WORK/big.gguf"
expect 137 timeout --preserve-status -s KILL 0.5 "$HONE" synth llama-3-8b -o "$WORK/big.gguf"
[ ! -e "$WORK/big.gguf" ] || fail "a killed command left a file under its final name"
finish
