# hone doctor: facts as text and JSON; HONE_ISA is noticed.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
expect 0 "$HONE" doctor
prints "instruction sets"
prints "memory"
expect 0 "$HONE" doctor --json
is_json "$WORK/out"
prints '"facts"'
expect 0 env HONE_ISA=scalar "$HONE" doctor
prints "unset HONE_ISA"

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
expect 2 env HONE_VARIANTS=nonsense "$HONE" doctor
says "rows-int8:24"
expect 2 env HONE_VARIANTS=few:mmx "$HONE" run "$MODEL" -p "Once" -n 1
ids=$(seq -s, 1 45)
expect 0 env HONE_VARIANTS=off "$HONE" logits "$MODEL" --tokens "$ids" --weights q8_0 -o "$WORK/usual.npy"
expect 0 env HONE_VARIANTS=rows-bf16:60,rows-int8:60,few:scalar,many:scalar,attention:scalar "$HONE" \
    logits "$MODEL" --tokens "$ids" --weights q8_0 -o "$WORK/other.npy"
cmp -s "$WORK/usual.npy" "$WORK/other.npy" || fail "another variant, other logits"
finish
