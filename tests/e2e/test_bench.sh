# hone bench: the rows that were asked for, each with its limit. Nothing here depends on the speed.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

expect 0 "$HONE" bench "$MODEL" --prefill 16,32 --decode 4 --depth 0,64 --batch 1,3 --reps 3 --threads 2 --json
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
grep -qE '^decode .* -  +[0-9.]+  +[0-9.]+ %$' "$WORK/out" || fail "an interval of one repetition: $(cat "$WORK/out")"
grep -q prefill "$WORK/out" && fail "a prefill that was not asked for"
expect 2 "$HONE" bench "$MODEL" --prefill 0 --decode 0
expect 2 "$HONE" bench "$MODEL" --batch 0
expect 2 "$HONE" bench "$MODEL" --versus '{}' --baseline main
says "give one of them"
echo '{"kv_bytes_max": 1048576}' >"$WORK/kv.json"
expect 7 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --batch 512 --config "$WORK/kv.json"
needed=$(sed -n 's/.* need \([0-9.]*\) MiB of KV pages, the bound is [0-9.]* MiB: .*/\1/p' "$WORK/err")
bound=$(sed -n 's/.* MiB of KV pages, the bound is \([0-9.]*\) MiB: .*/\1/p' "$WORK/err")
[ -n "$needed" ] && [ "$needed" != "$bound" ] || fail "the bound is not told from what is needed: $(cat "$WORK/err")"
expect 3 "$HONE" bench "$WORK/nothing.gguf"

# In turns with another build (here: itself), which must be one and must know how
expect 0 "$HONE" bench "$MODEL" --versus "build:$HONE" --prefill 16 --decode 4 --rounds 10 --threads 1
prints "B: $HONE: hone"
[ "$(grep -c "threads=1 " "$WORK/out")" = 2 ] || fail "B has not A's configuration: $(cat "$WORK/out")"
expect 0 "$HONE" bench "$MODEL" --versus "build:$HONE" --prefill 16 --decode 4 --batch 2 --rounds 10 --json
is_json "$WORK/out"
[ "$(grep -c '"ratio":' "$WORK/out")" = 2 ] || fail "not two ratios"
expect 3 "$HONE" bench "$MODEL" --versus "build:$WORK/nothing" --decode 4
expect 9 "$HONE" bench "$MODEL" --versus build:true --decode 4
says "bench --worker"
printf '#!/bin/sh\nread x; echo "{\\"name\\": \\"x\\"}"; read x; kill -9 $$\n' >"$WORK/dies"
chmod +x "$WORK/dies"
expect 9 "$HONE" bench "$MODEL" --versus "build:$WORK/dies" --decode 4
says "ended without an answer"
sed 's/kill -9 ../echo "{\\"error\\": \\"no luck\\"}"/' "$WORK/dies" >"$WORK/fails"
chmod +x "$WORK/fails"
expect 9 "$HONE" bench "$MODEL" --versus "build:$WORK/fails" --decode 4
says "no luck"
printf '#!/bin/sh\nyes x | tr -d "\\n"\n' >"$WORK/babbles"
chmod +x "$WORK/babbles"
expect 9 "$HONE" bench "$MODEL" --versus "build:$WORK/babbles" --decode 4
for line in nonsense '{"batch": 1}' '{"config": {}, "batch": 1000, "tokens": 1}' '{"config": {"threads": -7}, "batch": 1, "tokens": 1}'; do
    echo "$line" >"$WORK/lines"
    expect 0 "$HONE" bench "$MODEL" --worker <"$WORK/lines"
    prints '"error"'
done
printf '{"config": {}, "batch": 1, "tokens": 8}\n{"decode": 9}\n' >"$WORK/lines" # in a pipe a failure would not be counted
expect 0 "$HONE" bench "$MODEL" --worker <"$WORK/lines"
prints "larger than"

# ... with a server: an event every 4 ms, or something else than that
expect 9 "$HONE" bench "$MODEL" --versus http://127.0.0.1:1 --decode 4
if command -v python3 >/dev/null 2>&1; then
    python3 "$HONE_SOURCE_DIR/tests/e2e/completions.py" "$WORK/port" &
    server=$!
    wait_until [ -s "$WORK/port" ]
    at=http://127.0.0.1:$(cat "$WORK/port")
    OPENAI_API_KEY=secret expect 0 "$HONE" bench "$MODEL" --versus "$at/good/" --prefill 16 --decode 32 --batch 1,3 --rounds 10 --json
    is_json "$WORK/out"
    python3 -c 'import json, sys
o = json.load(open(sys.argv[1]))
assert o["b"]["model"] == "stub" and o["b"]["endpoint"].endswith("/good/v1"), o["b"]
for r in o["rows"]:
    batch = int(r["test"].split()[-1])
    if r["test"].startswith("decode"): # of several answers the ends of the stretch that all share count, too
        assert 0 < r["b_tok_s"] <= (1 if batch == 1 else 2) * batch / 0.004, r' "$WORK/out" || fail "the server's figures"
    for how in refuses:9 garbage:5 drops:9 fails:9 breaks:9 short:5 empty:5 endless:5; do
        expect "${how#*:}" "$HONE" bench "$MODEL" --versus "$at/${how%:*}" --prefill 0 --decode 8 --rounds 10
    done
    expect 9 "$HONE" bench "$MODEL" --versus "$at/refuses" --prefill 0 --decode 8 --rounds 10
    says '{"error": "no"}'
    expect 9 "$HONE" bench "$MODEL" --versus "$at/fails" --prefill 0 --decode 8 --rounds 10
    says 'ends with an error: out of  memory'
    expect 9 "$HONE" bench "$MODEL" --versus "$at/breaks" --prefill 0 --decode 8 --rounds 10
    says 'broke off'
    expect 5 "$HONE" bench "$MODEL" --versus "$at/one-by-one" --prefill 0 --decode 8 --batch 2 --rounds 10
    says "serves fewer at once"
    expect 2 "$HONE" bench "$MODEL" --versus "http://127.0.0.1:80@localhost/" --decode 8
    expect 2 "$HONE" bench "$MODEL" --versus "$at/good" --prefill 16 --depth 8 --decode 0 --rounds 10
    kill $server
    wait $server 2>/dev/null
else
    echo "without python3 no server was compared with"
fi
finish
