# Packed weights kept on disk: mapped, never of another model, whatever happens to file or program.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
if command -v python3 >/dev/null 2>&1; then
    python3 -c 'import os, sys; os.open(sys.argv[1], os.O_TMPFILE | os.O_RDWR)' "$WORK" 2>/dev/null ||
        skip "needs files without a name (O_TMPFILE) in ${TMPDIR:-/tmp}"
fi

M=$WORK/model.gguf
"$HONE" synth tiny --layers 48 --type bf16 -o "$M" >/dev/null 2>&1 || fail "synth"
folder=$HONE_CACHE/packed
answer() { "$HONE" run "$M" -p "Hello" -n 8 --json >"$WORK/full" 2>"$WORK/err" && grep '"text"' "$WORK/full" >"$1"; }
kept() { ls "$folder" 2>/dev/null | grep -c 'packed$'; }
no_cache() { HONE_CACHE=off answer "$1"; }
same() { cmp -s "$WORK/right" "$1" || fail "$2: another answer"; }

no_cache "$WORK/right" || fail "HONE_CACHE=off: $(cat "$WORK/err")"
[ ! -e "$HONE_CACHE" ] || fail "HONE_CACHE=off made a folder"
answer "$WORK/a" || fail "the first start: $(cat "$WORK/err")"
same "$WORK/a" "the first start"
[ "$(kept)" = 1 ] || fail "the first start kept nothing"
[ "$(stat -c %a "$folder")" = 700 ] || fail "others may look into the cache"
answer "$WORK/a" && same "$WORK/a" "the second start"

# The list.
expect 0 "$HONE" cache
prints "model.gguf"
expect 0 "$HONE" cache --json
is_json "$WORK/out"
prints '"model": "model.gguf"'
expect 2 "$HONE" cache nonsense
expect 0 "$HONE" doctor
prints "packed weights"
expect 0 "$HONE" doctor --json
is_json "$WORK/out"
prints '"packed weights"'

# A pipe is not waited for.
file=$(ls "$folder"/*.packed)
mv "$file" "$WORK/packed"
mkfifo "$file"
expect 0 timeout 100 "$HONE" cache
expect 0 timeout 100 "$HONE" run "$M" -p "Hello" -n 1
says "is no file of this user"
rm "$file"
mv "$WORK/packed" "$file"

# A bit flipped on the disk.
printf 'X' | dd of="$file" bs=1 seek=5000000 conv=notrunc 2>/dev/null
answer "$WORK/a"
same "$WORK/a" "after a flipped bit"
says "damaged"
[ "$(kept)" = 1 ] || fail "what was damaged was not made anew"
answer "$WORK/a"
grep -q damaged "$WORK/err" && fail "it was damaged again"

# The worst: other weights in a file of the same name, size and time, where no sample looks.
touch -r "$M" "$WORK/time"
size=$(stat -c %s "$M")
head -c 200000 /dev/urandom | tr -c '\000-\017' '\001' |
    dd of="$M" bs=1 seek=$((size / 2 - 100000)) conv=notrunc 2>/dev/null
touch -r "$WORK/time" "$M"
no_cache "$WORK/right"
cmp -s "$WORK/right" "$WORK/a" && fail "the change of the file changes nothing: no test"
answer "$WORK/a"
same "$WORK/a" "a file changed in place, its time put back"
cp -p "$M" "$WORK/copy.gguf"
mv "$WORK/copy.gguf" "$M"
answer "$WORK/a"
same "$WORK/a" "a copy"

# Nobody is told about a cache that cannot be, but by doctor.
(HONE_CACHE=/proc/none answer "$WORK/a") || fail "a folder that cannot be: $(cat "$WORK/err")"
same "$WORK/a" "a folder that cannot be"
grep -q "cache" "$WORK/err" && fail "a folder that cannot be is no news: $(cat "$WORK/err")"
HONE_CACHE=/proc/none "$HONE" doctor | grep -q "packs anew" || fail "doctor does not say why nothing is kept"

# A limit of file size is told.
mv "$folder" "$folder.kept"
(ulimit -f 8192 && answer "$WORK/a") || fail "a limit of file size: $(cat "$WORK/err")"
same "$WORK/a" "a limit of file size"
says "not cached"
says "File too large"
rm -rf "$folder" && mv "$folder.kept" "$folder"

# A disk that is full.
mkdir "$WORK/small"
if unshare -m mount -t tmpfs none "$WORK/small" 2>/dev/null; then
    unshare -m sh -c 'mount -t tmpfs -o size=8m none "$1" && HONE_CACHE=$1 "$2" run "$3" -p Hello -n 8 --json &&
        ls "$1/packed" | wc -l >"$4"' sh "$WORK/small" "$HONE" "$M" "$WORK/count" >"$WORK/full" 2>"$WORK/err" ||
        fail "a full disk: $(cat "$WORK/err")"
    grep '"text"' "$WORK/full" >"$WORK/a"
    same "$WORK/a" "a full disk"
    [ "$(cat "$WORK/count")" = 0 ] || fail "a full disk holds something"
    says "not cached"
else
    echo "SKIP a full disk: needs the right to mount"
fi

# What may not be removed is not said to be.
if unshare -m sh -c 'mount --bind "$1" "$1"' sh "$WORK/small" 2>/dev/null; then
    files=$(kept)
    unshare -m sh -c 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" cache clear --json' sh "$folder" "$HONE" \
        >"$WORK/out" 2>"$WORK/err"
    got=$?
    [ $got = 4 ] || fail "exit code $got of a folder that is read only"
    says "cannot remove"
    prints '"files": []'
    [ "$(kept)" = "$files" ] || fail "the folder was not read only: no test"
else
    echo "SKIP a cache that is read only: needs the right to mount"
fi

# Four at once, none there before.
expect 0 "$HONE" cache clear
[ "$(kept)" = 0 ] || fail "clear leaves files"
pids=
for i in 1 2 3 4; do
    "$HONE" run "$M" -p "Hello" -n 8 --json >"$WORK/race$i" 2>/dev/null &
    pids="$pids $!"
done
for p in $pids; do wait "$p" || fail "one of four at once failed"; done
for i in 1 2 3 4; do
    grep '"text"' "$WORK/race$i" >"$WORK/a"
    same "$WORK/a" "four at once"
done
[ "$(kept)" = 1 ] || fail "four at once leave $(kept) files"

# Killed at any moment of a start that packs: the next start is right, and nothing else is left in the folder.
rm -f "$folder"/*
kills=0 runs=0
while [ $kills -lt "${HONE_KILLS:-30}" ]; do
    runs=$((runs + 1))
    [ $((runs % 3)) = 0 ] || rm -f "$folder"/*
    "$HONE" run "$M" -p "Hello" -n 8 >/dev/null 2>&1 &
    kill_within $!
    case $status in
    137) kills=$((kills + 1)) ;;
    0) [ $((runs % 3)) = 0 ] || shorten_span ;; # it packed
    *) fail "a run between kills ended with $status" && break ;;
    esac
    if [ $((runs % 5)) = 0 ]; then
        answer "$WORK/a" || fail "after kill -9: $(cat "$WORK/err")"
        same "$WORK/a" "after kill -9"
        grep -q damaged "$WORK/err" && fail "kill -9 left a damaged file"
    fi
done 2>/dev/null
[ "$(ls "$folder" | grep -vc '\.packed$\|\.seen$')" = 0 ] || fail "kill -9 left: $(ls "$folder")"

finish
