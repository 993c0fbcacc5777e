# hone train --lora: killed at any moment it goes on with the same bits; run, logits, eval and export take its adapter;
# QLoRA and DoRA; what is refused.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

i=0
while [ $i -lt 300 ]; do
    echo "Document $i says that $((i * 7)) is seven times $i, and that cats number $((i % 5)) sleep. <|endoftext|>"
    i=$((i + 1))
done >"$WORK/text.txt"
expect 0 "$HONE" data "$MODEL" "$WORK/text.txt" -o "$WORK/data" --validation 5%

cat >"$WORK/config.json" <<'END2'
{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 256, "num_attention_heads": 4,
 "num_key_value_heads": 2, "head_dim": 64, "intermediate_size": 256, "vocab_size": 1024,
 "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": true}
END2
expect 0 "$HONE" train "$WORK/data" --config "$WORK/config.json" -o "$WORK/base" --steps 20 --batch 256 --length 64 \
    --type f32 --rate 0.003
tune() { # tune FOLDER [OPTION]...; FRONT: what it is run by
    folder=$1
    shift
    ${FRONT:-} "$HONE" train "$WORK/data" --model "$WORK/${BASE:-base}" -o "$WORK/$folder" --lora "${RANK:-4}" --steps "${STEPS:-12}" \
        --batch 256 --part 128 --length 64 --checkpoint 2 --validate 6 --rate 0.01 --dropout 0.1 "$@"
}
same_run() { # same_run FOLDER [WHOLE]: its files are those of the uninterrupted run
    for name in adapter_model.safetensors adapter_config.json training.safetensors log.jsonl; do
        cmp -s "$WORK/${2:-whole}/$name" "$WORK/$1/$name" || fail "$1: $name is not that of the uninterrupted run"
    done
}
expect 0 tune whole --threads 2 --dora
[ -e "$WORK/whole/training.begun" ] && fail "training.begun is left"
[ -e "$WORK/whole/model.safetensors" ] && fail "the adapter's folder holds a model"
is_json "$WORK/whole/adapter_config.json"
expect 0 tune one --threads 1 --dora
same_run one
kill_runs 8 whole tune killed --threads 2 --dora
expect 0 tune killed --threads 2 --dora
same_run killed
RANK=8 expect 2 tune whole --dora
says "dora rank 4 alpha 8"
says "dora rank 8 alpha 16"
expect 2 tune whole
says "other settings"

# A branch goes on with the adapter of its run beside the same weights. Another one may have as many numbers.
STEPS=14 expect 0 tune branch --dora --branch "$WORK/whole"
[ "$(head -n 1 "$WORK/branch/log.jsonl" | cut -c 1-12)" = '{"step": 13,' ] || fail "the branch did not begin at 13"
expect 0 tune query --targets q_proj
STEPS=14 expect 2 tune never --targets o_proj --branch "$WORK/query"
says "another adapter"
expect 0 "$HONE" train "$WORK/data" --config "$WORK/config.json" -o "$WORK/other" --steps 1 --batch 64 --length 64
STEPS=14 BASE=other expect 2 tune never --targets q_proj --branch "$WORK/query"
says "beside other weights"
[ ! -e "$WORK/never" ] || fail "a branch that is refused leaves $(ls "$WORK/never")"

# Expressions that differ behind what the settings have room for: two runs, and the message shows where.
# shellcheck disable=SC2046 # a list of numbers
many=$(printf 'k_proj|%.0s' $(seq 30))
expect 0 tune long --targets ".*(${many}q_proj)"
expect 2 tune long --targets ".*(${many}o_proj)"
says "other settings: \"...proj|k_proj|k_"

# Half as many numbers to keep as before the adapter: only its own have means.
[ "$(wc -c <"$WORK/whole/training.safetensors")" -lt "$(wc -c <"$WORK/base/training.safetensors")" ] ||
    fail "the run of an adapter keeps as much as that of the model"

# PEFT's files without PEFT: an adapter with the options of one that PEFT itself wrote (golden/data/adapter) has its tensors'
# names, types and shapes, and its settings; one for all modules has its factors beside every matrix of the layers.
if command -v python3 >/dev/null 2>&1; then
    GOLDEN=$HONE_SOURCE_DIR/tests/golden/data
    cat >"$WORK/peft.py" <<'END2'
import json, os, re, struct, sys
def tensors(path):
    data = open(path, "rb").read()
    head = json.loads(data[8:8 + struct.unpack("<Q", data[:8])[0]])
    return {k: (v["dtype"], v["shape"]) for k, v in head.items() if k != "__metadata__"}
def adapter(folder):
    return tensors(folder + "/adapter_model.safetensors"), json.load(open(folder + "/adapter_config.json"))
def chosen(targets, module): # peft/tuners/tuners_utils.py: check_target_module_exists
    return bool(re.fullmatch(targets, module)) if isinstance(targets, str) else \
        any(module == t or module.endswith("." + t) for t in targets)
folder, base, peft = sys.argv[1:]
got, config = adapter(folder)
names = {k[:-len(".weight")]: v[1] for k, v in tensors(base + "/model.safetensors").items() if k.endswith("_proj.weight")}
wanted, own = {}, {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 8, "lora_dropout": 0.1, "bias": "none",
                   "use_dora": True, "use_rslora": False, "fan_in_fan_out": False, "modules_to_save": None}
for name, (n, k) in names.items():
    at = "base_model.model." + name
    wanted.update({at + ".lora_A.weight": ("F32", [4, k]), at + ".lora_B.weight": ("F32", [n, 4]),
                   at + ".lora_magnitude_vector": ("F32", [n])})
if peft:
    wanted, own = adapter(peft)
    names = {re.sub(r"^base_model\.model\.|\.lora_A\.weight$", "", k) for k in wanted if "lora_A" in k}
    modules = {k[:-len(".weight")] for k in tensors(base + "/model.safetensors") if k.endswith(".weight")}
else:
    modules = set(names)
assert names and got == wanted, (set(got) ^ set(wanted), got)
assert {m for m in modules if chosen(config["target_modules"], m)} == set(names), config["target_modules"]
assert config["base_model_name_or_path"] == base, config
for key in ("peft_type", "task_type", "r", "lora_alpha", "lora_dropout", "bias", "use_dora", "use_rslora", "fan_in_fan_out",
            "modules_to_save"):
    assert config[key] == own[key], (key, config[key], own[key])
END2
    peft() { # peft CASE MODEL [OPTION]...: one of golden/make_adapter.py's
        name=$1 model=$GOLDEN/models/$2
        shift 2
        expect 0 "$HONE" train "$WORK/data400" --model "$model" -o "$WORK/peft-$name" --steps 1 --batch 64 --length 64 "$@"
        python3 "$WORK/peft.py" "$WORK/peft-$name" "$model" "$GOLDEN/adapter/$name" || fail "$name: not as PEFT writes it"
    }
    expect 0 "$HONE" tokenizer train "$WORK/text.txt" --vocab 400 -o "$WORK/pieces"
    expect 0 "$HONE" data "$WORK/pieces" "$WORK/text.txt" -o "$WORK/data400"
    peft lora llama --lora 2 --alpha 8 --targets 'model\.layers\.3\..*\.(q_proj|v_proj|down_proj)'
    peft dora llama --lora 1 --alpha 3 --dora --rslora --targets 'model\.layers\.1\..*_proj'
    peft gpt2 gpt2 --lora 2 --alpha 2 --targets 'transformer\.h\.1\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc)'
    peft gpt2-dora gpt2 --lora 1 --alpha 2 --dora --targets 'transformer\.h\.0\.attn\.c_attn'
    python3 "$WORK/peft.py" "$WORK/whole" "$WORK/base" "" || fail "the adapter for all modules is not as PEFT writes it"
else
    echo "SKIP test_adapter: PEFT's files need python3 to be read"
fi

# It changes what the model says, alike beside a folder, a GGUF file and merged.
logits() { # logits NAME MODEL [OPTION]...
    name=$1 model=$2
    shift 2
    expect 0 "$HONE" logits "$model" --tokens 5,9,4,7,11,3,8 --dtype f32 -o "$WORK/$name.npy" "$@"
}
logits plain "$WORK/base"
logits adapted "$WORK/base" --adapter "$WORK/whole"
cmp -s "$WORK/plain.npy" "$WORK/adapted.npy" && fail "the adapter changes nothing"
mkdir "$WORK/folder"
echo '{"adapter": "../whole"}' >"$WORK/folder/config.json" # seen from there
logits named "$WORK/base" --config "$WORK/folder/config.json"
cmp "$WORK/named.npy" "$WORK/adapted.npy" || fail "another adapter than the configuration's file names"
expect 0 "$HONE" quantize "$WORK/base" --type f32 -o "$WORK/base.gguf"
logits gguf "$WORK/base.gguf" --adapter "$WORK/whole"
cmp "$WORK/gguf.npy" "$WORK/adapted.npy" || fail "beside a GGUF file it gives other bits"
expect 0 "$HONE" export "$WORK/base" --adapter "$WORK/whole" --type f32 -o "$WORK/merged"
prints "merged)"
logits merged "$WORK/merged"
expect 6 "$HONE" export "$WORK/base.gguf" --adapter "$WORK/whole" -o "$WORK/never"
expect 2 "$HONE" export "$WORK/base" --adapter "$WORK/whole" -o "$WORK/never.gguf"
[ ! -e "$WORK/never" ] || fail "a folder was left"

# The base in codes; formats that its rows do not fit are told.
expect 0 tune nf4 --quantize nf4
expect 0 "$HONE" logits "$WORK/base" --weights attention=nf4,mlp=nf4 --tokens 1,2,3 --adapter "$WORK/nf4" -o "$WORK/x.npy"
expect 0 tune again --quantize nf4 --threads 1
cmp "$WORK/nf4/adapter_model.safetensors" "$WORK/again/adapter_model.safetensors" || fail "QLoRA: other bits"
expect 2 tune never --quantize nf4 --dtype f32
says "give one of them"
sed 's/: 256/: 96/g; s/: 64/: 24/' "$WORK/config.json" >"$WORK/odd.json"
expect 0 "$HONE" train "$WORK/data" --config "$WORK/odd.json" -o "$WORK/odd" --steps 1 --batch 64 --length 64
expect 6 "$HONE" train "$WORK/data" --model "$WORK/odd" -o "$WORK/never" --length 64 --steps 1 --lora 4 --quantize nf4
says "nf4"

# On from an adapter that is there: without a step it is the same one, with steps another, with the same bits after
# kill -9; Muon has nothing to do here.
further() { # further FOLDER FROM [OPTION]...
    folder=$1 from=$2
    shift 2
    ${FRONT:-} "$HONE" train "$WORK/data" --model "$WORK/base" -o "$WORK/$folder" --adapter-from "$WORK/$from" --steps 6 \
        --batch 256 --part 128 --length 64 --checkpoint 2 --validate 6 --rate "${RATE:-0.01}" "$@"
}
RATE=0 expect 0 further still whole
cmp "$WORK/whole/adapter_model.safetensors" "$WORK/still/adapter_model.safetensors" || fail "a rate of 0 changed the adapter"
cmp "$WORK/whole/adapter_config.json" "$WORK/still/adapter_config.json" || fail "the adapter has other settings"
expect 0 further on whole --threads 2
cmp -s "$WORK/still/adapter_model.safetensors" "$WORK/on/adapter_model.safetensors" && fail "nothing was learnt"
kill_runs 3 on further on-killed whole --threads 1
expect 0 further on-killed whole --threads 1
same_run on-killed on
expect 2 further on nf4
says "other settings"
expect 2 further never whole --dropout 0.2
says "--dropout"
expect 2 further never whole --lora 4
expect 3 further never nowhere
expect 2 further never whole --optimizer muon
says "adamw"

expect 2 tune never --targets q_prj
says "did you mean q_proj?"
expect 2 "$HONE" train "$WORK/data" -o "$WORK/never" --lora 4
says "--model"
expect 2 "$HONE" train "$WORK/data" --model "$WORK/base" -o "$WORK/never" --alpha 4
says "--lora"
expect 2 "$HONE" train "$WORK/data" --model "$WORK/base" -o "$WORK/never" --lora 0
expect 2 "$HONE" train "$WORK/data" --model "$WORK/base" -o "$WORK/merged" --lora 4
says "no run of hone train"
expect 7 tune never --memory 1k
says "MiB"
expect 3 "$HONE" logits "$WORK/base" --tokens 1 --adapter "$WORK/nowhere" -o "$WORK/x.npy"
expect 3 "$HONE" logits "$WORK/base" --tokens 1 --adapter "$WORK/data" -o "$WORK/x.npy"
says "not the folder of an adapter"
expect 5 "$HONE" logits "$WORK/odd" --tokens 1 --adapter "$WORK/whole" -o "$WORK/x.npy"
says "another model"
finish
