# hone gradients: the command that anyone checks the trainer with, against PyTorch's gradients; ids and labels as they may be written.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
LLAMA=$HONE_SOURCE_DIR/tests/golden/data/models/llama
F=$WORK/g.safetensors

# The ids, labels, loss and gradients of the reference; safetensors: 8 bytes of length, JSON, numbers.
if command -v python3 >/dev/null 2>&1; then
    cat >"$WORK/golden.py" <<'END'
import json, struct, sys
def read(path):
    data = open(path, "rb").read()
    n = struct.unpack("<Q", data[:8])[0]
    head, body = json.loads(data[8:8 + n]), data[8 + n:]
    kinds = {"F32": "f", "I64": "q", "I32": "i"}
    return head.get("__metadata__", {}), {
        k: struct.unpack("<%d%s" % ((v["data_offsets"][1] - v["data_offsets"][0]) // struct.calcsize(kinds[v["dtype"]]),
                                    kinds[v["dtype"]]), body[v["data_offsets"][0]:v["data_offsets"][1]])
        for k, v in head.items() if k != "__metadata__"}
ref = read(sys.argv[1] + "/reference.safetensors")[1]
if sys.argv[2] in ("ids", "labels"):
    all = ref["grad.input_ids" if sys.argv[2] == "ids" else "grad.labels"]
    print(";".join(",".join(map(str, all[i:i + 24])) for i in (0, 24)))
else:
    meta, got = read(sys.argv[2])
    want = read(sys.argv[1] + "/gradients.safetensors")[1]
    assert sorted(got) == sorted(want), set(got) ^ set(want)
    assert abs(float(meta["loss"]) - ref["grad.loss"][0]) < 2e-5, (meta, ref["grad.loss"])
    assert int(meta["tokens"]) == int(sys.argv[3]), meta
    for name in want:
        top = max(map(abs, want[name]))
        worst = max(abs(a - b) for a, b in zip(want[name], got[name]))
        assert len(want[name]) == len(got[name]) and worst <= 1e-4 * top, (name, worst, top)
END
    ids=$(python3 "$WORK/golden.py" "$LLAMA" ids) labels=$(python3 "$WORK/golden.py" "$LLAMA" labels)
    expect 0 "$HONE" gradients "$LLAMA" --ids "$ids" --labels "$labels" --dtype f32 -o "$F" --json
    is_json "$WORK/out"
    tokens=$(sed -n 's/.*"tokens": \([0-9]*\).*/\1/p' "$WORK/out")
    python3 "$WORK/golden.py" "$LLAMA" "$F" "$tokens" || fail "the gradients are not PyTorch's"
else
    echo "SKIP test_gradients: PyTorch's gradients need python3 to be read"
fi

# Labels are the ids themselves unless they are given; -100 is none, and the first of a sequence is never predicted.
expect 0 "$HONE" gradients "$LLAMA" --ids "1,2,3;4,5" -o "$F"
prints "over 3 tokens"
expect 0 "$HONE" gradients "$LLAMA" --ids "1,2,3;4,5" --labels "-100,-100,3;4,5" -o "$F"
prints "over 2 tokens"
expect 10 "$HONE" gradients "$LLAMA" --ids "1,2" --labels "1,-100" -o "$WORK/none"
says "no token has a label"
expect 10 "$HONE" gradients "$LLAMA" --ids "1,999999" -o "$WORK/none"
for ids in "" "1,,2" "1,2;" "x" "1 2" "1,99999999999999999999"; do
    expect 2 "$HONE" gradients "$LLAMA" --ids "$ids" -o "$WORK/none"
done
expect 2 "$HONE" gradients "$LLAMA" --ids "1,2,3" --labels "1,2" -o "$WORK/none"
expect 2 "$HONE" gradients "$LLAMA" --ids "1,2,3" --labels "1,2;3" -o "$WORK/none"
expect 2 "$HONE" gradients "$LLAMA" --ids "1,2" --labels "1,-3" -o "$WORK/none"
expect 2 "$HONE" gradients "$LLAMA" --ids "-5,2" -o "$WORK/none"
says "--ids: -5 is no token"
expect 3 "$HONE" gradients "$LLAMA" --ids "1,2" -o "$WORK/no/folder/g.safetensors"
[ ! -e "$WORK/none" ] || fail "a refused call left a file"
finish
