# hone optimize, history, rollback, report: the loop as a user runs it. The goal is memory, whose
# measurement does not depend on how busy the machine is.
. "$(dirname "$0")/lib.sh"
[ -f "$MODEL" ] || skip "needs $MODEL"
DB=$WORK/home/registry.db
HONE_HOME=$WORK/home
export HONE_HOME
cat "$HONE_SOURCE_DIR"/docs/*.md >"$WORK/text.md"

optimize() {
    "$HONE" optimize "$MODEL" --data "$WORK/text.md" --goal memory --eval-tokens 1024 "$@"
}

# What there is not.
expect 3 "$HONE" history
says "hone optimize"
expect 2 "$HONE" optimize "$MODEL"
says "--data"
printf 'Once upon a time' >"$WORK/short.txt"
expect 10 "$HONE" optimize "$MODEL" --data "$WORK/short.txt"
says "short.txt"
says "are needed"
expect 3 "$HONE" rollback "$MODEL"

expect 3 optimize --max-loss 50% --report "$WORK/none/report.html" # before anything is measured
expect 3 "$HONE" report

# A generous bound: something smaller is found and put in force.
expect 0 optimize --max-loss 50% --report "$WORK/report.html"
prints "chosen"
prints "now in force"
prints "on the Pareto front"
expect 0 optimize --max-loss 50%
prints "measured before"
expect 0 "$HONE" history
prints "promote"
expect 0 "$HONE" history --json "$MODEL"
prints '"done"'

# What is in force is what the other commands start from, until they are told otherwise.
expect 0 "$HONE" run "$MODEL" -p "Once" -n 4
says "in force, promoted by run 1"
cp "$MODEL" "$WORK/copy.gguf" # a copy is the same model
expect 0 "$HONE" bench "$WORK/copy.gguf" --prefill 16 --decode 4 --reps 2
says "in force, promoted by run 1"
expect 0 "$HONE" run "$MODEL" -p "Once" -n 4 --config none
if grep -q "in force" "$WORK/err"; then fail "--config none still took the promoted one"; fi
expect 0 "$HONE" run "$MODEL" -p "Once" -n 4 --registry "$WORK/there-is-none.db"
if grep -q "in force" "$WORK/err"; then fail "another registry's promotion was taken"; fi

expect 3 "$HONE" run "$MODEL" -p "Once" -n 4 --adapter "$WORK" # none, but it is not for this to say
if grep -q "in force" "$WORK/err"; then fail "what was judged without an adapter was taken with one"; fi

expect 2 "$HONE" run "$MODEL" -p "Once" -n 4 --registry "$WORK"
says "is a folder"
expect 2 "$HONE" history --registry "$WORK"

# A bound that bf16 itself does not meet: nothing lossy passes, float32 comes into force.
expect 0 optimize --max-loss 0.0001%
prints "Chosen: float32"
prints "allowed are 0.00010 %"
expect 0 "$HONE" report --json
if grep -q '"verdict": "chosen"' "$WORK/out"; then
    fail "something was chosen under a bound of 0.0001 %"
fi

# The runs beside each other: the figures are those of each one's own report.
expect 0 "$HONE" compare 1 2 --json
is_json "$WORK/out"
mv "$WORK/out" "$WORK/sides.json"
expect 0 "$HONE" compare 1 2
mv "$WORK/out" "$WORK/sides"
for run in 1 2; do
    expect 0 "$HONE" report --run $run --json
    mv "$WORK/out" "$WORK/run$run.json"
done
if command -v python3 >/dev/null 2>&1; then
    python3 - "$WORK" <<'PY' || fail "the sides are not the runs': $(cat "$WORK/sides")"
import json, sys
def load(name): return json.load(open(f"{sys.argv[1]}/{name}.json"))
text = open(sys.argv[1] + "/sides").read()
sides = load("sides")
assert not sides["in_turns"] and len(sides["sides"]) == 2, sides
for i, side in enumerate(sides["sides"], 1):
    run = load(f"run{i}")
    assert side["label"] == f"run {i}: " + run["label"], side["label"]
    assert side["model"] == run["model"]["path"] and side["config"] == json.loads(run["config"]), side
    assert side["label"] in text and run["headline"] in text and run["headline"] in side["note"], text
    # of the configuration that the run ended on, whether chosen or the baseline
    ends = [e for e in run["experiments"] if e["config"] == run["config"] and "quality" in e][-1]
    cost = ends["cost"] if "cost" in ends else run["profile"]["cost"] # weights and the KV of one context: the goal is memory
    assert cost > ends["weight_bytes"], run
    quality = ends["quality"] | {"memory_bytes": cost, "kl": ends["quality"]["kl_mean"],
                                 "perplexity_to_original": ends["quality"]["perplexity"] / ends["quality"]["perplexity_original"]}
    for key in ("memory_bytes", "kl", "kl_p99", "top1_agreement", "perplexity_to_original"):
        assert abs(side[key] - quality[key]) <= 1e-10 * quality[key], (key, side, quality)
    assert "perplexity" not in side, "perplexities of different texts"
    row = next(line for line in text.splitlines() if line.startswith(side["label"]))
    assert "%.5f" % side["perplexity_to_original"] in row and "%.1f %%" % (100 * quality["top1_agreement"]) in row, row
    assert sides["reference"] and "multiples of the original's" in sides["protocol"] and sides["protocol"] in text, sides
f32 = sides["sides"][1]
assert f32["kl"] == 0 and f32["top1_agreement"] == 1 and f32["perplexity_to_original"] == 1, f32
chosen = [e for e in load("run1")["experiments"] if e["verdict"] == "chosen"]
assert chosen and not chosen[0]["same_bits_as_baseline"], "nothing lossy was chosen: no test"
assert chosen[0]["quality"]["level"] == chosen[0]["gain"]["level"] >= 0.975, chosen[0]
assert "%.3g %% bound" % (100 * chosen[0]["quality"]["level"]) in load("run1")["quality"], load("run1")["quality"]
assert any(d.startswith("compute: ") for d in sides["differences"]), sides["differences"]
PY
else
    echo "SKIP test_optimize: the figures of compare need python3 to be read"
fi
expect 0 "$HONE" compare 2 2 --json # one text: its perplexity too
prints '"perplexity": '
prints "on the same text"
expect 3 "$HONE" compare 1 99
says "there is no run 99"
expect 2 "$HONE" compare 1 "$MODEL"
says "are compared with each other only"

# Back to the former one, to the file as it is, and no further.
expect 0 "$HONE" rollback "$MODEL"
prints "=q4_0"
expect 0 "$HONE" rollback "$MODEL"
prints "the file as it is"
expect 0 "$HONE" run "$MODEL" -p "Once" -n 4
if grep -q "in force" "$WORK/err"; then fail "rolled back, but still in force"; fi
expect 3 "$HONE" rollback "$MODEL"
expect 0 "$HONE" history
prints "rollback"

# A window's pages are given back while tokens come: rounds are behind the whole prompt all the same, also where a cut to it
# (at 120, not at 110) needs some of them again.
if trained; then
    with_window "$WORK/window"
    for prompt in 110 120; do
        expect 0 "$HONE" optimize "$WORK/window" --data "$WORK/text.md" --goal memory --eval-tokens 1024 --max-loss 0.0001% \
            --prompt $prompt --registry "$WORK/window.db" --json
        tr -d '\n ' <"$WORK/out" | grep -oE '"name":"attention","text":"[^"]*"[^}]*' | grep -oE '"ops":[^,]*' >"$WORK/ops.$prompt"
    done
    [ -s "$WORK/ops.110" ] || fail "no operations of attention in the profile"
    cmp -s "$WORK/ops.110" "$WORK/ops.120" || fail "depth 120 is not that of 110: $(cat "$WORK"/ops.*)"
else
    echo "SKIP the depth of rounds in a model with a window: needs ../shared/data/stories260k"
fi

# The report stands alone.
grep -q "<svg" "$WORK/report.html" || fail "the report has no plot"
if grep -qE "https?://|<script|<link" "$WORK/report.html"; then
    fail "the report refers to something outside"
fi
expect 3 "$HONE" report --run 999

# kill -9 in the middle: what was finished stays, the second call does the rest.
DB=$WORK/killed.db
decode() { # ARGUMENT...: a goal whose figures differ each time they are measured
    exec "$HONE" optimize "$MODEL" --data "$WORK/text.md" --eval-tokens 1024 --pairs 11 \
        --registry "$DB" "$@"
}
done_experiments() {
    "$HONE" report --json --registry "$DB" 2>/dev/null | grep -c '"state": "done"'
}
ended_by() { # ended_by SIGNAL CODE EXPERIMENTS [ARGUMENT]...: a run is, after so many; else a failure
    signal=$1 wanted=$2 experiments=$3
    shift 3
    for try in 1 2 3 4 5; do # on a busy machine a run may be through before it is seen to have begun
        rm -f "$DB" "$DB"-*
        decode "$@" >"$WORK/out" 2>"$WORK/err" &
        pid=$!
        while kill -0 $pid 2>/dev/null && [ "$(done_experiments)" -lt "$experiments" ]; do
            sleep 0.05
        done
        kill -s "$signal" $pid 2>/dev/null
        wait $pid 2>/dev/null
        status=$?
        [ $status = 0 ] || break
    done
    [ $status = "$wanted" ] || fail "SIG$signal: the last of $try runs ended with $status instead of $wanted: $(cat "$WORK/err")"
}
ended_by KILL 137 3
before=$(done_experiments)
expect 0 "$HONE" report --json --registry "$DB"
prints '"state": "unfinished"'
expect 0 "$HONE" history --registry "$DB"
prints unfinished
measured() { # by the finished experiments
    "$HONE" report --json --registry "$DB" | tr -d '\n ' | grep -oE '"cost(_against)?":[0-9][^,}]*' | sort
}
measured >"$WORK/first"
(decode) >"$WORK/out" 2>"$WORK/err" || fail "the second call failed: $(cat "$WORK/err")"
prints "Chosen"
measured >"$WORK/second"
[ "$before" -ge 3 ] || fail "only $before experiments were finished before the kill"
[ "$(comm -23 "$WORK/first" "$WORK/second" | wc -l)" = 0 ] || fail "a finished experiment was redone"
[ "$(wc -l <"$WORK/second")" -gt "$(wc -l <"$WORK/first")" ] || fail "the second call added nothing"

# ctrl-C: its exit code, and the registry stays usable.
DB=$WORK/interrupted.db
ended_by TERM 130 1 # a background job of sh ignores SIGINT
says "goes on from here"
expect 0 "$HONE" report --registry "$DB"
prints "Not finished"

# More sessions than the engine has pages for when nothing is said (in a context of 512, as the trained model's): the baseline
# is judged, the profile made with them.
if trained; then
    DB=$WORK/sessions.db
    ended_by TERM 130 2 --goal throughput --sessions 256
fi

# Places that cannot be written.
printf 'no database, only text that is long enough to be read as one...' >"$WORK/bad.db"
expect 5 "$HONE" history --registry "$WORK/bad.db"
says "bad.db"
finish
