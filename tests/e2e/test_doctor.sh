# hone doctor: facts as text and JSON; HONE_ISA is noticed.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
expect 0 "$HONE" doctor
prints "instruction sets"
prints "memory"
expect 0 "$HONE" doctor --json
is_json "$WORK/out"
prints '"facts"'
expect 2 "$HONE" doctor --threads 1
says "--measure"
expect 0 env HONE_ISA=scalar "$HONE" doctor
prints "unset HONE_ISA"

# The system's own limits and nodes: those of this process, and others put in their place.
fact() { sed -n "s/^.\{4\}  $1  *//p" "$WORK/out"; }
expect 0 "$HONE" doctor
[ "$(fact 'open files (ulimit -n)')" = "$(ulimit -n)" ] || fail "ulimit -n is $(ulimit -n), not $(fact 'open files.*')"
[ "$(ulimit -v)" != unlimited ] || [ "$(fact 'address space (ulimit -v)')" = unlimited ] || fail "ulimit -v is unlimited"
# shellcheck disable=SC3045 # dash and bash have -l
[ "$(fact 'locked memory (ulimit -l)' | cut -d ' ' -f 1)" = "$(ulimit -l)" ] || fail "ulimit -l is $(ulimit -l)"
NODES=/sys/devices/system/node/online
[ ! -r $NODES ] || [ "$(fact 'NUMA nodes' | sed 's/.*(nodes* \(.*\))/\1/')" = "$(cat $NODES)" ] ||
    fail "nodes $(cat $NODES), not $(fact 'NUMA nodes')"
expect 0 sh -c 'ulimit -n 123; exec "$HONE" doctor'
[ "$(fact 'open files (ulimit -n)')" = 123 ] || fail "ulimit -n 123 is not shown"
prints "ulimit -n 1024"
expect 0 sh -c 'ulimit -l 64; exec "$HONE" doctor'
[ "$(fact 'locked memory (ulimit -l)')" = "64 KiB" ] || fail "ulimit -l 64 is $(fact 'locked.*-l)')"
if ! ldd "$HONE" 2>/dev/null | grep -q 'lib[at]san'; then # whose shadow is address space, too
    expect 0 sh -c 'ulimit -v 67108864; exec "$HONE" doctor'
    [ "$(fact 'address space (ulimit -v)')" = "67108864 KiB (64.0 GiB)" ] || fail "ulimit -v is $(fact 'address.*-v)')"
fi
expect 0 sh -c 'ulimit -n 300; exec "$HONE" doctor --json'
tr -d '\n' <"$WORK/out" | grep -q '"open files (ulimit -n)", *"value": "300", *"health": "fine"' || fail "300 files are wrong"
echo 0-1 >"$WORK/nodes"
if unshare -m mount --bind "$WORK/nodes" $NODES 2>/dev/null; then
    expect 0 unshare -m sh -c 'mount --bind "$1" "$2" && exec "$HONE" doctor' sh "$WORK/nodes" $NODES
    [ "$(fact 'NUMA nodes')" = "2 (nodes 0-1)" ] || fail "nodes 0-1, not $(fact 'NUMA nodes')"
    prints "numactl --cpunodebind=0"
else
    echo "SKIP test_doctor: other NUMA nodes need the right to mount"
fi

# Which kernels run: measured once, kept, forced, refused; the answers stay the same.
expect 0 "$HONE" doctor
prints "rows-int8"
ls "$HONE_CACHE"/variants-*.json >/dev/null 2>&1 || fail "what was measured was not kept"
expect 0 "$HONE" doctor
prints ", measured 2"
expect 0 env HONE_VARIANTS=fresh "$HONE" doctor
prints "measured now"
for f in "$HONE_CACHE"/variants-*.json; do head -c 100 "$f" >"$WORK/cut" && cp "$WORK/cut" "$f"; done
expect 0 "$HONE" doctor
prints "measured now"
expect 0 env HONE_CACHE=/proc/none "$HONE" doctor
prints "rows-int8"
expect 0 env HONE_VARIANTS=rows-int8:40 "$HONE" doctor
prints "HONE_VARIANTS=rows-int8:40"
expect 0 env HONE_VARIANTS=off "$HONE" doctor
prints "not measured"
grep -q "0\.0 %$" "$WORK/out" && fail "what was not measured is called 0.0 % faster"
expect 2 env HONE_VARIANTS=nonsense "$HONE" doctor
says "rows-int8:24"
expect 2 env HONE_VARIANTS=few:mmx "$HONE" run "$MODEL" -p "Once" -n 1
ids=$(seq -s, 1 45)
expect 0 env HONE_VARIANTS=off "$HONE" logits "$MODEL" --tokens "$ids" --weights q8_0 -o "$WORK/usual.npy"
expect 0 env HONE_VARIANTS=rows-bf16:60,rows-int8:60,few:scalar,many:scalar,attention:scalar "$HONE" \
    logits "$MODEL" --tokens "$ids" --weights q8_0 -o "$WORK/other.npy"
cmp -s "$WORK/usual.npy" "$WORK/other.npy" || fail "another variant, other logits"
finish
