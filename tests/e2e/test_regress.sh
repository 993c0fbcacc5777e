# hone bench in turns, suites, baselines; hone regress on histories that are made, not measured.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

# The same configuration twice, or another one: what is said fits the interval, whatever the speed.
printf '{"tests": [{"decode": 4, "depth": 8, "batch": 2}, {"prefill": 16}]}' >"$WORK/suite.json"
expect 0 "$HONE" bench "$MODEL" --suite "$WORK/suite.json" --versus '{"threads": 1}' --rounds 10 --json
is_json "$WORK/out"
prints '"decode 4, depth 8, batch 2"'
prints '"prefill 16, depth 0, batch 1"'
prints '"rounds": 10'
expect 2 "$HONE" bench "$MODEL" --rounds 3 --versus '{}'
expect 5 "$HONE" bench "$MODEL" --prefill 0 --decode 2 --versus '{"thread": 1}'
says thread
expect 3 "$HONE" bench "$MODEL" --prefill 0 --decode 2 --versus "$WORK/nothing.gguf"
for bad in '{"tests": []}' '{"tests": [{"decode": 0}]}' '{"tests": [{"decode": 4, "prefill": 4}]}' \
    '{"tests": [{"decode": 4, "speed": 1}]}' '{"tests": [3]}' '{"tests": [{"decode": 1e99}]}' 'no JSON'; do
    printf '%s' "$bad" >"$WORK/bad.json"
    expect 5 "$HONE" bench "$MODEL" --suite "$WORK/bad.json"
    says bad.json
done
expect 2 "$HONE" bench "$MODEL" --suite "$WORK/suite.json" --prefill 99
says "leave out --prefill"

# Found out before the search, and before there is anything to search
for bad in "file:///etc/passwd" "ftp://host/x" nonsense ""; do
    expect 2 "$HONE" regress --webhook "$bad"
    says "no http or https address"
done
expect 2 "$HONE" regress --webhook-time 3
says "--webhook"

# Nothing kept yet; then a baseline, and a second bench that is compared with it.
expect 3 "$HONE" regress
says "hone bench"
expect 0 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --reps 2 --baseline main
says "kept as the baseline main"
expect 0 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --reps 2 --baseline main
says "not measured in turns"
says "nothing can be claimed"
grep -qE '  +-  +[0-9]' "$WORK/out" || fail "two repetitions have an interval: $(cat "$WORK/out")"
expect 0 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --reps 1 --baseline main --json
is_json "$WORK/out"
prints '"baseline_tok_s"'
prints "nothing can be claimed"
# Another depth beside it makes no other history of the test; of that one the baseline knows nothing.
expect 0 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --depth 0,100 --reps 2 --baseline main
expect 0 "$HONE" bench "$MODEL" --prefill 0 --decode 4 --depth 100 --reps 1 --baseline main
says "nothing is compared"
expect 0 "$HONE" regress
prints "too few runs"
[ "$(grep -c stories260k "$WORK/out")" = 2 ] || fail "not two histories, each with its model: $(cat "$WORK/out")"
grep -qE 'depth 0, batch 1 +4 ' "$WORK/out" || fail "not four runs of one test: $(cat "$WORK/out")"

"$HONE" synth tiny --layers 1 -o "$WORK/other.gguf" >/dev/null || fail "synth"
expect 0 "$HONE" profile "$WORK/other.gguf" --prompt 8 --tokens 2 --requests 1 # known, and without a benchmark
expect 3 "$HONE" regress "$WORK/other.gguf"
says "no benchmark of this model"
"$HONE" synth tiny --layers 2 -o "$WORK/unknown.gguf" >/dev/null || fail "synth"
expect 3 "$HONE" regress "$WORK/unknown.gguf"
says "nothing of it is kept"

command -v python3 >/dev/null 2>&1 || finish
plant() { # plant SLOWER: 30 benches like the first, of 1 % noise, the last 12 slower by so much
    python3 - "$HONE_HOME/registry.db" "$1" <<'PY'
import random, sqlite3, sys
db, slower = sqlite3.connect(sys.argv[1]), float(sys.argv[2])
random.seed(5)
db.execute("DELETE FROM points WHERE bench > 1")
db.execute("DELETE FROM benches WHERE id > 1")
test = db.execute("SELECT test FROM points WHERE bench = 1").fetchone()[0]
db.execute("UPDATE points SET seconds = 0.01")
for i in range(2, 32):
    db.execute("INSERT INTO benches SELECT ?, model, environment, configuration, machine, NULL, at, result"
               " FROM benches WHERE id = 1", (i,))
    db.execute("INSERT INTO points VALUES(?, ?, ?)",
               (i, test, 0.01 * random.gauss(1, 0.01) * (1 + slower if i > 19 else 1)))
db.commit()
PY
}
plant 0
expect 0 "$HONE" regress
prints "no change"
plant -0.03
expect 0 "$HONE" regress
prints "less since bench"
plant 0.03
expect 12 "$HONE" regress "$MODEL" --json
prints '"regression": true'
prints '"path": "'
prints '"configuration": {'
prints '"at": "'
grep -qE '"bench": (19|2[012])' "$WORK/out" || fail "not found in its place"
expect 0 "$HONE" regress --margin 10%

# The webhook gets the result; one that hangs, or is not there, costs a bounded time and no exit code.
python3 - "$WORK/port" "$WORK/told" <<'PY' &
import http.server, sys
class H(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        open(sys.argv[2], "wb").write(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204); self.end_headers()
    def log_message(self, *a): pass
s = http.server.HTTPServer(("127.0.0.1", 0), H)
s.timeout = 120
open(sys.argv[1] + ".tmp", "w").write(str(s.server_port))
import os; os.rename(sys.argv[1] + ".tmp", sys.argv[1])
s.handle_request()
PY
server=$!
wait_until [ -s "$WORK/port" ]
expect 12 "$HONE" regress --webhook "http://127.0.0.1:$(cat "$WORK/port")/hook" --webhook-time 60
wait "$server"
is_json "$WORK/told"
grep -q '"regressions":1' "$WORK/told" || fail "the webhook was not told: $(head -c 200 "$WORK/told")"
expect 12 "$HONE" regress --webhook "http://127.0.0.1:$(cat "$WORK/port")/hook" --webhook-time 1
says "the webhook was not told"
finish
