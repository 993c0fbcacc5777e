# hone logits: the file's bytes, the same bits everywhere, nothing half-written.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
LLAMA=$HONE_SOURCE_DIR/tests/golden/data/models/llama

expect 0 "$HONE" logits "$LLAMA" --tokens 1,2,3 --dtype f32 -o "$WORK/a.npy"
prints "[3, 521]"
# Format 1.0: magic, length of the header, a multiple of 64 bytes before 3 * 521 floats.
[ "$(wc -c <"$WORK/a.npy")" = $((128 + 3 * 521 * 4)) ] || fail "the file has $(wc -c <"$WORK/a.npy") bytes"
head -c 6 "$WORK/a.npy" | tail -c 5 | grep -q NUMPY || fail "no NumPy magic"
head -c 128 "$WORK/a.npy" | grep -aqF "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 521), }" ||
    fail "header: $(head -c 128 "$WORK/a.npy")"
if python3 -c 'import numpy' 2>/dev/null; then
    python3 -c 'import numpy, sys
a = numpy.load(sys.argv[1])
assert a.shape == (3, 521) and a.dtype == numpy.float32 and numpy.isfinite(a).all()' "$WORK/a.npy" ||
        fail "numpy cannot read it"
fi

printf '[1, 2,\n3]\n' >"$WORK/ids"
expect 0 "$HONE" logits "$LLAMA" --tokens-file "$WORK/ids" --dtype f32 --threads 1 --isa scalar -o "$WORK/b.npy"
cmp -s "$WORK/a.npy" "$WORK/b.npy" || fail "one thread of scalar code gives other bits"
expect 0 "$HONE" logits "$LLAMA" --tokens 1,2,3 -o "$WORK/c.npy" --json
is_json "$WORK/out"
cmp -s "$WORK/a.npy" "$WORK/c.npy" && fail "bf16 gives the bits of f32"

expect 10 "$HONE" logits "$LLAMA" --tokens 1,521 -o "$WORK/d.npy"
says "521"
[ ! -e "$WORK/d.npy" ] || fail "a failed run left a file"
printf '1 2\nthree\n' >"$WORK/ids"
expect 10 "$HONE" logits "$LLAMA" --tokens-file "$WORK/ids" -o "$WORK/d.npy"
says "line 2"
expect 2 "$HONE" logits "$LLAMA" -o "$WORK/d.npy"
expect 2 "$HONE" logits "$LLAMA" --tokens 1
expect 3 "$HONE" logits "$WORK/nothing" --tokens 1 -o "$WORK/d.npy"
expect 3 "$HONE" logits "$LLAMA" --tokens 1 -o "$WORK/no/such/d.npy"
[ -z "$(find "$WORK" -name 'd.npy*')" ] || fail "something half-written is left"

# Many rows of an MLP of 384 = 256 + 128 outputs: other kernels than a few rows', the same bits as without tiles.
awk 'BEGIN { for (i = 0; i < 330; i++) print i * 37 % 1000 }' >"$WORK/many"
for type in bf16 q8_0 q4_1 int8-channel; do
    expect 0 "$HONE" synth tiny --type $type -o "$WORK/tiny-$type.gguf"
    for products in exact int8-row bf16-weights; do
        same_as_scalar "$WORK/tiny-$type.gguf" $products "$WORK/many"
    done
done
finish
