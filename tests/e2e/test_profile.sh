# hone profile: parts, waiting and gaps make the whole; the trace is sound; the page is whole. Nothing
# here depends on the speed.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

expect 0 "$HONE" profile "$MODEL" --prompt 40 --tokens 6 --requests 2 --threads 2 --layers --json \
    --trace "$WORK/t.json" --html "$WORK/p.html"
is_json "$WORK/out"
is_json "$WORK/t.json"
cp "$WORK/out" "$WORK/first.json"
for word in "Flame view" "Roofline" "Each layer" "What to try" "</html>" "prefers-color-scheme"; do
    grep -qF "$word" "$WORK/p.html" || fail "the page lacks $word"
done
grep -qE "https?://|<script|<link|@import|url\(" "$WORK/p.html" && fail "the page fetches something"
if command -v python3 >/dev/null 2>&1; then
    python3 - "$WORK/first.json" "$WORK/t.json" "$WORK/p.html" <<'PY' || fail "sums or trace"
import json, sys
from html.parser import HTMLParser
p = json.load(open(sys.argv[1]))
assert p["threads"] == 2 and p["requests"] == 2 and p["dropped"] == 0, p
assert [x["name"] for x in p["phases"]] == ["prompt", "decode"]
for x in p["phases"]:
    parts = sum(q["seconds"] for q in x["parts"])
    assert abs(parts + x["between_s"] - x["wall_s"]) < 1e-6 * x["wall_s"], x["name"]
    assert x["between_s"] >= -1e-9
    assert abs(sum(q["waiting_s"] for q in x["parts"]) - x["waiting_s"]) < 1e-9
    for q in x["parts"]:
        assert 0 <= q["waiting_s"] <= q["seconds"], q
        assert q["seconds"] - q["waiting_s"] - 1e-9 <= q["busy_s"] <= 2 * q["seconds"] + 1e-9, q
    in_layers = [q for l in x["layers"] for q in l["parts"]]
    for name in ("attn_qkv", "mlp_down", "attention", "norm"):
        of = lambda list: sum(q["seconds"] for q in list if q["name"] == name)
        assert 0 < of(in_layers) <= of(x["parts"]) * (1 + 1e-9), name
names = {q["name"] for q in p["phases"][1]["parts"]}
assert {"attn_qkv", "attention", "mlp_up", "norm", "head", "sample", "detokenize"} <= names, names
assert "tokenize" in {q["name"] for q in p["phases"][0]["parts"]}
calls = {q["name"]: q["calls"] for q in p["phases"][1]["parts"]}
assert calls["sample"] == calls["head"] == 12 and calls["attention"] == 12 * p["layers"], calls
for a in p["advice"]:
    assert a["words"] and a["next"] and a["bottleneck"] in ("overhead", "weight-read", "kv-read", "arithmetic")

events = json.load(open(sys.argv[2]))["traceEvents"]
named = {e["tid"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
tracks = {}
for e in events:
    assert e["ph"] in ("M", "X"), e
    if e["ph"] == "X":
        assert e["dur"] >= 0 and e["ts"] >= 0 and e["pid"] == 1
        tracks.setdefault(e["tid"], []).append(e)
assert set(tracks) <= named and len(tracks) == 3, (tracks.keys(), named)  # request, two pool threads
for tid, list in tracks.items():
    open_, last = [], 0
    for e in list:
        assert e["ts"] >= last, ("not in order", tid, e)
        last = e["ts"]
        while open_ and e["ts"] >= open_[-1] - 0.0015:
            open_.pop()
        assert not open_ or e["ts"] + e["dur"] <= open_[-1] + 0.0015, ("not nested", tid, e)
        open_.append(e["ts"] + e["dur"])
got = {e["name"] for list in tracks.values() for e in list}
assert {"load", "open tokenizer", "prompt", "decode", "step", "waiting", "mlp_up"} <= got, got
assert sum(e["name"] == "step" for e in tracks[1]) == 1 + 6

class Balanced(HTMLParser):
    stack = []
    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "br"):
            self.stack.append(tag)
    def handle_startendtag(self, tag, attrs):
        pass
    def handle_endtag(self, tag):
        assert self.stack and self.stack.pop() == tag, (tag, self.getpos())
b = Balanced()
b.feed(open(sys.argv[3]).read())
assert not b.stack, b.stack
PY
fi

# The next profile of the same model says what changed; the registry shows both, a report neither.
expect 0 "$HONE" profile "$MODEL" --prompt 40 --tokens 6 --requests 1 --threads 1 --kv int8
prints "Since the profile of"
prints "decode:"
# ... of the same lengths, whatever came between
expect 0 "$HONE" profile "$MODEL" --prompt 20 --tokens 6 --requests 1
expect 0 "$HONE" profile "$MODEL" --prompt 40 --tokens 6 --requests 1
prints "Since the profile of"
expect 0 "$HONE" profile "$MODEL" --prompt 40 --tokens 6 --requests 1 --no-keep --against "$WORK/first.json" --cost
prints "Since the profile of the file given"
prints "Recording costs"
cp "$MODEL" "$WORK/other.gguf"
expect 0 "$HONE" profile "$WORK/other.gguf" --prompt 40 --tokens 6 --requests 1 --no-keep --against "$WORK/first.json"
says "first.json is the profile of"
expect 0 "$HONE" history
[ "$(grep -c profile "$WORK/out")" = 4 ] || fail "not 4 profiles in the history"
expect 3 "$HONE" report
says "no run"
expect 2 "$HONE" report 1
says "run 1 is a profile"
expect 2 "$HONE" compare 1 2
if command -v python3 >/dev/null 2>&1; then # runs of which nothing is known yet: names, and no figures
    python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("DELETE FROM experiments")
db.execute("UPDATE runs SET goal = \"ttft\", state = \"running\", result = NULL, finished = NULL")
db.commit()' "$HONE_HOME/registry.db" || fail "no registry to change"
    expect 0 "$HONE" compare 1 2
    [ "$(head -n 1 "$WORK/out")" = "run 1: unfinished" ] || fail "heads of no columns: $(head -n 1 "$WORK/out")"
fi

# What cannot be done is said.
expect 2 "$HONE" profile "$MODEL" --tokens 0
expect 3 "$HONE" profile "$WORK/nothing.gguf"
printf '{"phases": 7, "advice": [1, {"name": 3}]' >"$WORK/broken.json"
"$HONE" profile "$MODEL" --prompt 8 --tokens 2 --requests 1 --no-keep --against "$WORK/broken.json" >/dev/null 2>"$WORK/err" &&
    fail "a broken profile was taken"
says "broken.json"
printf '{"phases": 7, "prompt_tokens": 8, "decode_tokens": 2, "advice": [1, {"name": 3}], "steady_s": "x"}' >"$WORK/odd.json"
expect 5 "$HONE" profile "$MODEL" --prompt 8 --tokens 2 --requests 1 --no-keep --against "$WORK/odd.json"
says "odd.json is no profile"
expect 2 "$HONE" profile "$MODEL" --prompt 8 --tokens 2 --requests 1 --no-keep --against "$WORK/first.json"
says "give --prompt 40 --tokens 6"
expect 2 "$HONE" profile "$MODEL" --prompt 8 --tokens 2 --requests 1 --no-keep --html "$WORK"
expect 3 "$HONE" profile "$MODEL" --prompt 8 --tokens 2 --requests 1 --no-keep --trace "$WORK/none/t.json"
: >"$WORK/empty.txt"
"$HONE" profile "$MODEL" --data "$WORK/empty.txt" --requests 1 --no-keep >/dev/null 2>"$WORK/err" &&
    fail "an empty text was profiled"
says "empty.txt is empty"
expect 11 "$HONE" profile "$MODEL" --prompt 100000 --tokens 4000 --data "$HONE_SOURCE_DIR/README.md"
# A name that is no UTF-8 is shown as far as it is.
odd=$WORK/$(printf 'caf\351.gguf')
cp "$MODEL" "$odd"
expect 0 "$HONE" profile "$odd" --prompt 8 --tokens 4 --requests 2 --json --html "$WORK/odd.html"
is_json "$WORK/out"
prints '"model": '
[ "$(LC_ALL=C tr -dc '\351' <"$WORK/odd.html" | wc -c)" = 0 ] || fail "the page is no UTF-8"

# A full disk: what the registry holds is read, and what cannot be kept is shown all the same.
export HONE MODEL WORK
mkdir "$WORK/small"
if unshare -m mount -t tmpfs none "$WORK/small" 2>/dev/null; then
    unshare -m sh -c 'mount -t tmpfs -o size=1m none "$WORK/small" && cp "$HONE_HOME/registry.db" "$WORK/small" || exit 1
        cat /dev/zero >"$WORK/small/fill" 2>/dev/null
        export HONE_HOME="$WORK/small"
        "$HONE" run "$MODEL" -p Hello -n 2 && "$HONE" history &&
            "$HONE" profile "$MODEL" --prompt 8 --tokens 2 --requests 1' >"$WORK/out" 2>"$WORK/err" ||
        fail "a full disk: $(tail -n 2 "$WORK/err")"
    says "not kept in the registry"
    prints "first token"
else
    echo "SKIP test_profile: a full disk needs the right to mount"
fi
finish
