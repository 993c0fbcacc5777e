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
same_run() { # same_run FOLDER [WHOLE]: its files are those of the uninterrupted run
    for name in model.safetensors training.safetensors log.jsonl; do
        cmp -s "$WORK/${2:-whole}/$name" "$WORK/$1/$name" || fail "$1: $name is not that of the uninterrupted run"
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

kill_runs 20 whole train killed --threads 2
for name in model.safetensors training.safetensors training.begun log.jsonl events.out.tfevents.0.hone; do
    echo half >"$WORK/killed/$name.tmp.1" # of a run that was killed while it wrote
done
echo mine >"$WORK/killed/notes.tmp.1"
expect 0 train killed --threads 2
same_run killed
[ "$(find "$WORK/killed" -name 'training.begun' -o -name '*.tmp.*')" = "$WORK/killed/notes.tmp.1" ] ||
    fail "left: $(ls "$WORK/killed")"
expect 0 train killed --json # nothing is left to do
prints '"loss": null'
same_run killed
RATE="--rate 0.02" expect 2 train killed
says "other settings"
expect 2 train killed --whole # other rows
says "other settings"
mkdir "$WORK/other" && echo '{}' >"$WORK/other/config.json"
expect 2 train other
says "holds config.json"
[ "$(cat "$WORK/other/config.json")" = '{}' ] || fail "another model was touched"
for option in "--momentum 0.9" --plain-momentum "--muon-scale original" "--decay 5" "--schedule constant --floor 5%" \
    "--warmup 41" "--until 41"; do
    # shellcheck disable=SC2086 # a list of words
    expect 2 train never $option
    says "--$(echo "$option" | sed 's/.*--\([^ ]*\).*/\1/') "
done
[ ! -e "$WORK/never" ] || fail "a start that is refused left $(ls "$WORK/never")"
LENGTH=256 expect 10 train long
says "context"
expect 2 "$HONE" train "$WORK/data" -o "$WORK/none"
says "--like"
expect 3 "$HONE" train "$WORK/nothing" --config "$WORK/config.json" -o "$WORK/none"
expect 3 "$HONE" train "$WORK/data" --config "$WORK/no.json" -o "$WORK/none"

# Muon: the same, and resumed; another optimiser's run is refused.
RATE="--rate 0.01 --optimizer muon" expect 0 train muon --threads 2
cmp -s "$WORK/whole/model.safetensors" "$WORK/muon/model.safetensors" && fail "Muon made AdamW's steps"
last=$(tail -n 1 "$WORK/muon/log.jsonl" | sed 's/.*"loss": \([0-9]*\).*/\1/')
[ "$last" -le 4 ] || fail "Muon's loss went to $last"
RATE="--rate 0.01 --optimizer muon" kill_runs 3 muon train muon-killed --threads 1
RATE="--rate 0.01 --optimizer muon" expect 0 train muon-killed --threads 1
same_run muon-killed muon
expect 2 train muon
says "other settings"

# VDPBF16PS's products: other bits, the same on one and two threads and without the instruction.
expect 0 train dot --threads 2 --products bf16-dot
expect 0 train dot-scalar --threads 1 --products bf16-dot --isa scalar
cmp -s "$WORK/dot/model.safetensors" "$WORK/dot-scalar/model.safetensors" || fail "bf16-dot depends on the machine"
cmp -s "$WORK/dot/model.safetensors" "$WORK/whole/model.safetensors" && fail "bf16-dot has the bits of exact"

# A branch goes on where the run stands, by another schedule; it is a run of its own.
branch() {
    "$HONE" train "$WORK/data" --branch "$WORK/$1" -o "$WORK/branch-$1" --batch 512 --part 256 --length 64 --type f32 \
        --rate 0.01 --checkpoint 2 --schedule wsd --decay 10 --warmup 0 --steps "${STEPS:-50}" "$2" "$3"
}
expect 0 branch whole --optimizer adamw
[ "$(head -n 1 "$WORK/branch-whole/log.jsonl" | cut -c 1-12)" = '{"step": 41,' ] || fail "the branch did not begin at 41"
[ "$(wc -l <"$WORK/branch-whole/log.jsonl")" = 10 ] || fail "the branch did not make 10 steps"
expect 0 branch whole --optimizer adamw # nothing is left to do
[ "$(wc -l <"$WORK/branch-whole/log.jsonl")" = 10 ] || fail "the branch's log changed"
same_run one
expect 5 branch muon --optimizer adamw
STEPS=40 expect 2 branch one --optimizer adamw
says "one stands at step 40"
expect 2 branch one --until 39
[ ! -e "$WORK/branch-one" ] || fail "a branch without a step was made"
expect 0 train until --until 7
[ "$(wc -l <"$WORK/until/log.jsonl")" = 7 ] || fail "--until 7 made another number of steps"
expect 0 train until
same_run until
expect 0 "$HONE" data "$MODEL" "$WORK/text.txt" -o "$WORK/others" --validation 20%
expect 2 "$HONE" train "$WORK/others" --branch "$WORK/whole" -o "$WORK/none" --batch 512 --part 256 --length 64 --type f32
says "other data"
expect 3 "$HONE" train "$WORK/data" --branch "$WORK/nothing" -o "$WORK/none"

# Curves: in the registry whatever was killed, as a page, for TensorBoard.
expect 0 "$HONE" report --training "$WORK/killed" --json
is_json "$WORK/out"
[ "$(grep -c '"step"' "$WORK/out")" = 40 ] || fail "$(grep -c '"step"' "$WORK/out") points are in the registry, not 40"
expect 0 "$HONE" report --training "$WORK/killed" -o "$WORK/curves.html"
grep -q 'step 40 of 40' "$WORK/curves.html" || fail "the page does not tell the steps"
expect 0 "$HONE" report --training "$WORK/killed"
grep -q nan "$WORK/out" && fail "a speed that is not known is shown as a number: $(grep nan "$WORK/out" | head -n 1)"
expect 3 "$HONE" report --training "$WORK/data"
[ "$(stat -c %s "$WORK/whole/events.out.tfevents.0.hone")" = "$(stat -c %s "$WORK/killed/events.out.tfevents.0.hone")" ] ||
    fail "the killed run's event file is not as long as the other's"
if [ -n "${HONE_TENSORBOARD:-}" ]; then
    "$HONE_TENSORBOARD" "$HONE_SOURCE_DIR/tests/golden/make_events.py" --read \
        "$WORK/killed/events.out.tfevents.0.hone" >"$WORK/events"
    [ "$(grep -c ' train/loss ' "$WORK/events")" = 40 ] || fail "TensorBoard does not see 40 losses"
    [ "$(grep -c ' validation/loss ' "$WORK/events")" = 2 ] || fail "TensorBoard does not see 2 validations"
else
    echo "SKIP test_train: TensorBoard's own reader needs HONE_TENSORBOARD=<a python with tensorboard>"
fi

# A clock that fails costs the speeds, nothing else.
cat >"$WORK/clock.c" <<'END'
#include <time.h>
int clock_gettime(clockid_t c, struct timespec *t) { (void)c, (void)t; return -1; }
END
if ldd "$HONE" 2>/dev/null | grep -q 'lib[at]san'; then
    echo "SKIP test_train: a failing clock cannot be preloaded under a sanitizer"
elif cc -shared -fPIC -o "$WORK/clock.so" "$WORK/clock.c" 2>/dev/null; then
    FRONT="env LD_PRELOAD=$WORK/clock.so" expect 0 train clock --threads 2
    prints " 0 tokens/s"
    same_run clock
else
    echo "SKIP test_train: a failing clock needs cc"
fi

# A rate that no model survives: skipped steps, then an end with a reason and the checkpoint before it.
RATE="--rate 10 --clip 0 --warmup 0 --weight-decay 10 --floor 100%" expect 10 train wild
says "not finite"
grep -q -e '-nan' "$WORK/out" "$WORK/err" && fail "a NaN has a sign: $(grep -h -e '-nan' "$WORK/out" "$WORK/err" | tail -n 1)"

# Rows of a long prompt: nothing to learn, no loss.
printf '{"prompt": "%s", "completion": "cats"}\n' "$(head -n 40 "$WORK/text.txt" | tr '\n' ' ')" >"$WORK/prompt.jsonl"
expect 0 "$HONE" data "$MODEL" "$WORK/prompt.jsonl" -o "$WORK/prompt" --validation 0
expect 0 "$HONE" train "$WORK/prompt" --config "$WORK/config.json" -o "$WORK/unlabelled" --steps 8 --batch 64 --length 64
prints "  loss -  rate"
grep -q '"loss": null' "$WORK/unlabelled/log.jsonl" || fail "a loss of nothing: $(head -n 1 "$WORK/unlabelled/log.jsonl")"

# From a trained folder on, in bfloat16; its tokenizer comes along if it has one.
expect 0 "$HONE" train "$WORK/data" --model "$WORK/whole" -o "$WORK/on" --steps 2 --batch 300 --length 64
says "a step has 256 tokens"
[ -f "$WORK/on/model.safetensors" ] || fail "no model was written"

# --like: another model's shape with fresh weights (a loss near ln 521) and its tokenizer, or that of --tokenizer. What
# cannot be is told, and leaves the folder to what can.
GOLDEN=$HONE_SOURCE_DIR/tests/golden/data/models
expect 0 "$HONE" tokenizer train "$WORK/text.txt" --vocab 400 -o "$WORK/pieces"
expect 0 "$HONE" tokenizer train "$WORK/text.txt" --vocab 300 -o "$WORK/fewer.json"
expect 0 "$HONE" data "$WORK/pieces" "$WORK/text.txt" -o "$WORK/data400"
fresh() { # fresh FOLDER [OPTION]...
    folder=$1
    shift
    "$HONE" train "$WORK/data400" -o "$WORK/$folder" --steps 1 --batch 64 --length 64 --type f32 "$@"
}
shape() { "$HONE" info "$1" | sed 1d | sort; } # without the path: dimensions, metadata, tensors
refused() { # refused CODE TEXT FOLDER [OPTION]...: and nothing of it stays
    want=$1 text=$2 into=$3
    shift 3
    expect "$want" fresh "$into" "$@"
    says "$text"
    [ ! -e "$WORK/$into" ] || fail "$into is left: $(ls "$WORK/$into")"
}
mkdir "$WORK/mamba" && echo '{"model_type": "mamba", "vocab_size": 521}' >"$WORK/mamba/config.json"
echo '{"model_type": "llama"}' >"$WORK/lacks.json"
echo '{"model_type": ' >"$WORK/cut.json"
refused 2 "--like" llama --like "$GOLDEN/llama" --model "$WORK/whole"
refused 2 "$MODEL is not a Hugging Face folder" llama --like "$MODEL"
refused 3 "$WORK/nowhere" llama --like "$WORK/nowhere"
refused 3 "data400 holds no config.json" llama --like "$WORK/data400"
refused 6 '"mamba" is not one that hone runs' llama --like "$WORK/mamba"
says "$WORK/mamba"
refused 3 "$WORK/lacks.json: config.json: 'num_hidden_layers' is missing" llama --config "$WORK/lacks.json"
refused 5 "$WORK/cut.json" llama --config "$WORK/cut.json"
refused 10 "the data has tokens up to 399, the model 389" llama --like "$GOLDEN/llama-tied"
mkdir "$WORK/llama" # what the user had stays
expect 10 fresh llama --like "$GOLDEN/llama-tied"
[ "$(ls -A "$WORK/llama" | wc -l)" = 0 ] || fail "left: $(ls -A "$WORK/llama")"
cp "$WORK/fewer.json" "$WORK/llama/tokenizer.json"
expect 2 fresh llama --like "$GOLDEN/llama" --tokenizer "$WORK/pieces"
says "holds another tokenizer.json"
cmp -s "$WORK/fewer.json" "$WORK/llama/tokenizer.json" || fail "the user's tokenizer.json was touched"
rm "$WORK/llama/tokenizer.json"
echo '{}' >"$WORK/llama/adapter_config.json"
expect 2 fresh llama --like "$GOLDEN/llama" --tokenizer "$WORK/pieces"
says "holds adapter_config.json"
[ "$(ls -A "$WORK/llama")" = adapter_config.json ] || fail "the user's adapter was touched: $(ls -A "$WORK/llama")"
rm -r "$WORK/llama"
mkdir "$WORK/begun" # a start that was killed
cp "$WORK/fewer.json" "$WORK/begun/tokenizer.json"
cp "$GOLDEN/llama/config.json" "$WORK/begun"
printf 'tokenizer.json\n.\n' >"$WORK/begun/training.begun"
refused 10 "the data has tokens up to 399" begun --like "$GOLDEN/llama-tied"

# A tokenizer must be one, fit the vocabulary, and be that of the data.
expect 0 "$HONE" tokenizer train "$HONE_SOURCE_DIR"/docs/*.md --vocab 600 -o "$WORK/more"
refused 3 "no.json" llama --like "$GOLDEN/llama" --tokenizer "$WORK/no.json"
refused 5 "text.txt is no tokenizer.json" llama --like "$GOLDEN/llama" --tokenizer "$WORK/text.txt"
refused 3 "holds no tokenizer" llama --like "$GOLDEN/llama" --tokenizer "$WORK/data400"
refused 10 "600 tokens" llama --like "$GOLDEN/llama" --tokenizer "$WORK/more"
refused 10 "fewer.json ...)" llama --like "$GOLDEN/llama" --tokenizer "$WORK/fewer.json"
says "data400 was cut by another tokenizer ($(sed -n 's/.*"tokenizer": "\(.*\)".*/\1/p' "$WORK/data400/data.json"))"
for name in llama gpt2 gemma3; do
    expect 0 fresh $name --like "$GOLDEN/$name" --tokenizer "$WORK/pieces/tokenizer.json"
    shape "$GOLDEN/$name" >"$WORK/wanted"
    shape "$WORK/$name" >"$WORK/got"
    cmp -s "$WORK/wanted" "$WORK/got" || fail "--like $name: $(diff "$WORK/wanted" "$WORK/got" | head -n 5)"
    cmp -s "$WORK/pieces/tokenizer.json" "$WORK/$name/tokenizer.json" || fail "--like $name: not the given tokenizer.json"
    grep -q '"loss": 6\.[12345]' "$WORK/$name/log.jsonl" || fail "not fresh: $(cat "$WORK/$name/log.jsonl")"
done
expect 0 "$HONE" run "$WORK/llama" -p Document -n 2

# --tokenizer takes the place of the model's own, all of it; a folder gives all of its files.
mkdir "$WORK/mixed" && cp "$GOLDEN/llama/config.json" "$WORK/mixed"
cp "$WORK/more/tokenizer.json" "$WORK/mixed"
for file in tokenizer_config.json special_tokens_map.json vocab.json generation_config.json; do
    echo '{}' >"$WORK/mixed/$file"
done
: >"$WORK/mixed/merges.txt"
expect 10 fresh shaped --like "$WORK/mixed"
says "mixed has 600 tokens"
expect 0 fresh shaped --like "$WORK/mixed" --tokenizer "$WORK/pieces"
for file in "$WORK/pieces"/*; do
    cmp -s "$file" "$WORK/shaped/$(basename "$file")" || fail "--tokenizer: $(basename "$file") did not come along"
done
for file in special_tokens_map.json vocab.json generation_config.json merges.txt; do
    [ ! -e "$WORK/shaped/$file" ] || fail "--tokenizer: $file of --like stands beside it"
done
mkdir "$WORK/shaped/additional_chat_templates"
echo "with pages" >"$WORK/shaped/additional_chat_templates/rag.jinja"
expect 0 fresh likewise --like "$WORK/shaped"
expect 0 cmp "$WORK/shaped/additional_chat_templates/rag.jinja" "$WORK/likewise/additional_chat_templates/rag.jinja"
for file in "$WORK/pieces"/*; do
    cmp -s "$file" "$WORK/likewise/$(basename "$file")" || fail "--like: $(basename "$file") did not come along"
done

# A run that goes on: other sources are refused by name, the same or none are fine.
again() { fresh shaped "$@"; }
expect 0 again --like "$WORK/mixed" --tokenizer "$WORK/pieces"
says "going on after step 1"
expect 0 again --config "$GOLDEN/llama/config.json"
expect 0 again
expect 2 again --like "$GOLDEN/gpt2" --tokenizer "$WORK/pieces"
says "another config.json than --like"
expect 2 again --like "$WORK/mixed"
says "another tokenizer.json than --like"
expect 2 again --like "$WORK/mixed" --tokenizer "$WORK/fewer.json"
says "another tokenizer.json than --tokenizer"
expect 3 again --tokenizer "$WORK/nowhere"
expect 3 again --config "$WORK/nowhere.json"
expect 3 again --like "$WORK/nowhere"
expect 2 again --like "$GOLDEN/llama" --config "$GOLDEN/llama/config.json"

# A quantised model's shape: the weights are plain, and config.json says nothing else.
expect 0 "$HONE" synth tiny --type gptq-4bit-g128 -o "$WORK/gptq"
cp "$WORK/gptq/config.json" "$WORK/gptq.json"
expect 0 fresh plain --like "$WORK/gptq" --tokenizer "$WORK/pieces"
expect 0 fresh plainer --config "$WORK/gptq.json"
for name in plain plainer; do
    grep -q quantization_config "$WORK/gptq.json" || fail "gptq's config.json has no quantization_config: no test"
    if grep -q quantization_config "$WORK/$name/config.json"; then fail "$name keeps quantization_config"; fi
    expect 0 "$HONE" logits "$WORK/$name" --tokens 1,2,3 -o "$WORK/plain.npy"
done

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
