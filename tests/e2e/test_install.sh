# make install into a folder of its own, then a program outside of the tree is built against that.
. "$(dirname "$0")/lib.sh"
BUILD=$(dirname "$HONE")
grep -q fsanitize "$BUILD/CMakeCache.txt" && skip "a sanitised build is not installed"
to=$WORK/root
expect 0 cmake --install "$BUILD" --prefix "$to"
for file in bin/hone include/hone/hone.h include/hone/engine/engine.h lib/libhone.a lib/pkgconfig/hone.pc \
    share/man/man1/hone-run.1 share/bash-completion/completions/hone share/doc/hone/optimize.md; do
    [ -f "$to/$file" ] || fail "$file was not installed"
done
expect 0 "$to/bin/hone" --version
prints "hone 0"

flags=$(PKG_CONFIG_PATH="$to/lib/pkgconfig" pkg-config --cflags --libs hone) || fail "pkg-config does not know hone"
# shellcheck disable=SC2086 # a list of words
expect 0 ${CC:-cc} -std=c17 -Wall -Wextra -Werror "$HONE_SOURCE_DIR/tests/e2e/library.c" -o "$WORK/program" $flags
expect 0 "$WORK/program" "$MODEL" "Once upon a time" 20
cp "$WORK/out" "$WORK/library"
expect 0 "$HONE" run "$MODEL" -p "Once upon a time" -n 20
grep -qF "$(cat "$WORK/out")" "$WORK/library" || fail "the library continues otherwise than hone run"
expect 3 "$WORK/program" "$WORK/nothing.gguf" x 1
says "nothing.gguf"
finish
