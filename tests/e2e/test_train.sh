# hone train: killed at any moment it goes on with the bits of a run that was not; the same bits on one and two
# threads; what it refuses; a full disk leaves the last checkpoint.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

i=0
while [ $i -lt 300 ]; do
    echo "Document $i says that $((i * 7)) is seven times $i, and that cats number $((i % 5)) sleep. <|endoftext|>"
    i=$((i + 1))
done >"$WORK/text.txt"
expect 0 "$HONE" data "$MODEL" "$WORK/text.txt" -o "$WORK/data" --validation 5%

cat >"$WORK/config.json" <<'END'
{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "num_attention_heads": 4,
 "num_key_value_heads": 2, "head_dim": 8, "intermediate_size": 64, "vocab_size": 1024,
 "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}
END
train() { # train FOLDER [OPTION]...; FRONT: what it is run by
    folder=$1
    shift
    ${FRONT:-} "$HONE" train "$WORK/data" --config "$WORK/config.json" -o "$WORK/$folder" --steps 40 --batch 512 \
        --part 256 --checkpoint 2 --validate 20 --type f32 ${RATE:---rate 0.01} --length "${LENGTH:-64}" "$@"
}
same_run() { # same_run FOLDER: its files are those of the uninterrupted run
    for name in model.safetensors training.safetensors log.jsonl; do
        cmp -s "$WORK/whole/$name" "$WORK/$1/$name" || fail "$1: $name is not that of the uninterrupted run"
    done
}

expect 0 train whole --threads 2 --json
is_json "$WORK/out"
[ "$(wc -l <"$WORK/whole/log.jsonl")" = 40 ] || fail "log.jsonl has $(wc -l <"$WORK/whole/log.jsonl") lines"
first=$(head -n 1 "$WORK/whole/log.jsonl" | sed 's/.*"loss": \([0-9]*\).*/\1/')
last=$(tail -n 1 "$WORK/whole/log.jsonl" | sed 's/.*"loss": \([0-9]*\).*/\1/')
[ "$first" -ge 6 ] && [ "$last" -le 4 ] || fail "the loss went from $first to $last"
grep -q validation "$WORK/whole/log.jsonl" || fail "nothing was validated"
expect 0 "$HONE" logits "$WORK/whole" --tokens 1,2,3 -o "$WORK/whole.npy"

expect 0 train one --threads 1
same_run one

kills=0 through=0
while [ $kills -lt 20 ]; do
    FRONT=exec train killed --threads 2 >/dev/null 2>&1 &
    pid=$!
    sleep "0.$(printf '%03d' $((($(od -An -N2 -tu2 /dev/urandom)) % 250)))"
    kill -9 $pid 2>/dev/null || through=$((through + 1))
    wait $pid 2>/dev/null
    kills=$((kills + 1))
done
expect 0 train killed --threads 2
same_run killed
[ -z "$(find "$WORK/killed" -name 'training.begun')" ] || fail "training.begun is left"

[ $through -lt 20 ] || fail "every run was through before it was killed"
expect 0 train killed # nothing is left to do
same_run killed
RATE="--rate 0.02" expect 2 train killed
says "other settings"
mkdir "$WORK/other" && echo '{}' >"$WORK/other/config.json"
expect 2 train other
says "holds a model"
[ "$(cat "$WORK/other/config.json")" = '{}' ] || fail "another model was touched"
LENGTH=256 expect 10 train long
says "context"
expect 2 "$HONE" train "$WORK/data" -o "$WORK/none"
says "--like"
expect 3 "$HONE" train "$WORK/nothing" --config "$WORK/config.json" -o "$WORK/none"
expect 3 "$HONE" train "$WORK/data" --config "$WORK/no.json" -o "$WORK/none"

# A rate that no model survives: skipped steps, then an end with a reason and the checkpoint before it.
RATE="--rate 10 --clip 0 --warmup 0 --weight-decay 10 --floor 100%" expect 10 train wild
says "not finite"

# From a trained folder on, in bfloat16; its tokenizer comes along if it has one.
expect 0 "$HONE" train "$WORK/data" --model "$WORK/whole" -o "$WORK/on" --steps 2 --batch 256 --length 64
[ -f "$WORK/on/model.safetensors" ] || fail "no model was written"

# A disk that is full at the second checkpoint: the run stops, the first one is whole, and with room it goes on.
export HONE WORK
mkdir "$WORK/small"
if unshare -m true 2>/dev/null; then
    unshare -m sh -c 'mount -t tmpfs -o size=1200k none "$WORK/small" || exit 77
        run() {
            "$HONE" train "$WORK/data" --config "$WORK/config.json" -o "$WORK/small/run" --steps 40 --batch 512 \
                --length 64 --part 256 --rate 0.01 --checkpoint 2 --validate 20 --type f32
        }
        run; [ $? = 8 ] || exit 1
        [ -z "$(find "$WORK/small" -name "*.tmp*")" ] || exit 2
        mount -o remount,size=8m "$WORK/small" && run || exit 3
        cmp "$WORK/whole/training.safetensors" "$WORK/small/run/training.safetensors" || exit 4' \
        >"$WORK/out" 2>"$WORK/err"
    got=$?
    [ $got = 77 ] && echo "SKIP test_train: a full disk needs the right to mount"
    [ $got = 0 ] || [ $got = 77 ] || fail "full disk: part $got: $(tail -n 2 "$WORK/err")"
    [ $got = 77 ] || says "No space left"
else
    echo "SKIP test_train: a full disk needs the right to mount"
fi
finish
