# hone bench: the rows that were asked for, each with its limit. Nothing here depends on the speed.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

expect 0 "$HONE" bench "$MODEL" --prefill 16,32 --decode 4 --depth 0,64 --batch 1,3 --reps 2 --threads 2 --json
is_json "$WORK/out"
[ "$(grep -c '"test": "prefill"' "$WORK/out")" = 8 ] || fail "not 8 prefill rows"
[ "$(grep -c '"test": "decode"' "$WORK/out")" = 4 ] || fail "not 4 decode rows"
for key in tokens depth batch tok_s tok_s_lo tok_s_hi limit share; do
    [ "$(grep -c "\"$key\":" "$WORK/out")" = 12 ] || fail "not every row has $key"
done
if command -v python3 >/dev/null 2>&1; then
    python3 -c 'import json, sys
for r in json.load(open(sys.argv[1]))["rows"]:
    assert 0 < r["tok_s_lo"] <= r["tok_s"] <= r["tok_s_hi"] and r["limit"] > 0, r
    assert abs(r["share"] * r["limit"] / r["tok_s"] - 1) < 1e-6, r' "$WORK/out" || fail "rows do not add up"
fi
expect 0 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --reps 1
prints "decode"
grep -q prefill "$WORK/out" && fail "a prefill that was not asked for"
expect 2 "$HONE" bench "$MODEL" --prefill 0 --decode 0
expect 2 "$HONE" bench "$MODEL" --batch 0
expect 3 "$HONE" bench "$WORK/nothing.gguf"
finish
