# make demo: tools/demo.sh to its end, with the small one of the models that hone carries and without any; the goal is memory,
# whose measurement takes seconds. What it says to try next can be run as it stands there.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

unset HONE_SHARED
mkdir -p "$WORK/tree/tools"
for name in README.md docs recipes; do ln -s "$HONE_SOURCE_DIR/$name" "$WORK/tree"; done
sed '/^run optimize/s/decode-latency/memory --eval-tokens 1024/' "$HONE_SOURCE_DIR/tools/demo.sh" >"$WORK/tree/tools/demo.sh"
grep -q '^run optimize.* memory --eval-tokens 1024' "$WORK/tree/tools/demo.sh" || fail "the demo's goal could not be changed"
expect 0 "$HONE" export "$HONE_SOURCE_DIR/models/embedded-1m.gguf" -o "$WORK/tree/models/embedded"

demo() { # demo MODEL: as the demo names it
    expect 0 sh "$WORK/tree/tools/demo.sh" "$HONE"
    cp "$WORK/out" "$WORK/demo"
    prints "$ hone optimize $1 "
    prints "Chosen: "
    page=$(sed -n 's/^demo: the page is \([^,]*\),.*/\1/p' "$WORK/demo")
    grep -q "<svg" "$WORK/tree/$page" || fail "$1: $page is no report"
    next=$(sed -n 's/^Try next: \(.*\)   (.*/\1/p' "$WORK/demo")
    (cd "$WORK/tree" && eval "${next:-false} -n 4") >"$WORK/out" 2>"$WORK/err" || fail "$1: \"$next\": $(cat "$WORK/err")"
    says "in force, promoted by run"
    [ -s "$WORK/out" ] || fail "$1: what is to be tried next says nothing"
}
demo models/embedded
if grep -q RANDOM "$WORK/demo"; then fail "the carried model's weights are called random"; fi
rm -r "$WORK/tree/models"
demo build/demo/tiny.gguf
grep -q RANDOM "$WORK/demo" || fail "nothing says that the weights are random"
[ ! -e "$HONE_HOME" ] || fail "the user's registry was touched: $(ls "$HONE_HOME")"
finish
