#!/bin/sh
# hone export from GGUF: the folder gives the logits and tokens of the file, here and in transformers.
. "$(dirname "$0")/lib.sh"

IDS=1,5,9,100,7,23,200,31,2,77,150,8,64,99,11,12,13,140,15,16,17,18,119,20,21,22,123,24,25,26
same() { # same A B NAME: both give the same logits to the bit
    expect 0 "$HONE" logits "$1" --dtype f32 --tokens $IDS -o "$WORK/a.npy"
    expect 0 "$HONE" logits "$2" --dtype f32 --tokens $IDS -o "$WORK/b.npy"
    cmp -s "$WORK/a.npy" "$WORK/b.npy" || fail "$3: other logits"
}

expect 0 "$HONE" export "$MODEL" --type f32 -o "$WORK/folder"
same "$MODEL" "$WORK/folder" "stories260k as a folder"
expect 0 "$HONE" export "$WORK/folder" --type f32 -o "$WORK/again.gguf"
same "$MODEL" "$WORK/again.gguf" "stories260k as a folder and back"

# Nothing takes the place of the model that it is made from, whatever name it goes by.
cp "$MODEL" "$WORK/m.gguf"
ln "$WORK/m.gguf" "$WORK/hard.gguf"
ln -s m.gguf "$WORK/soft.gguf"
for name in m.gguf ./m.gguf hard.gguf soft.gguf; do
    expect 2 "$HONE" quantize "$WORK/m.gguf" --type q8_0 -o "$WORK/$name"
    says "is the model itself"
    expect 2 "$HONE" export "$WORK/m.gguf" -o "$WORK/$name"
    expect 0 cmp "$MODEL" "$WORK/m.gguf"
done
expect 2 "$HONE" quantize "$WORK/m.gguf" --type q8_0 --imatrix "$WORK/again.gguf" -o "$WORK/./again.gguf"
says "is the importance matrix itself"
ln "$WORK/folder/model.safetensors" "$WORK/part.gguf"
expect 2 "$HONE" export "$WORK/folder" -o "$WORK/part.gguf"
expect 0 "$HONE" quantize "$WORK/m.gguf" --type q8_0 -o "$WORK/again.gguf" # another file is replaced
expect 0 "$HONE" export "$WORK/folder" --type f32 -o "$WORK/again.gguf"

for text in "Once upon a time, there was a  big \"box\"." "  12 x
y"; do
    for m in "$MODEL" "$WORK/folder" "$WORK/again.gguf"; do
        printf %s "$text" >"$WORK/text"
        expect 0 sh -c "'$HONE' tokenize '$m' <'$WORK/text'"
        cat "$WORK/out" >>"$WORK/ids"
    done
    [ "$(sort -u "$WORK/ids" | wc -l)" = 1 ] || fail "other tokens: $text"
    rm "$WORK/ids"
done

# A tokenizer goes to GGUF as the folder has it, or not at all.
edited() { # edited NAME SED [TOKENIZER_JSON]: the folder with its tokenizer.json, or that one, on one line and edited
    cp -r "$WORK/folder" "$WORK/$1"
    rm "$WORK/$1/tokenizer_config.json" "$WORK/$1/generation_config.json"
    tr -d '\n' <"${3:-$WORK/folder/tokenizer.json}" >"$WORK/plain.json"
    sed "$2" "$WORK/plain.json" >"$WORK/$1/tokenizer.json"
    [ "$2" = "" ] || ! cmp -s "$WORK/plain.json" "$WORK/$1/tokenizer.json" || fail "$1: nothing was edited"
}
cut_alike() { # cut_alike FOLDER TEXT...: here, as GGUF and back again
    name=$1
    shift
    expect 0 "$HONE" export "$WORK/$name" --type f32 -o "$WORK/$name.gguf"
    expect 0 "$HONE" export "$WORK/$name.gguf" --type f32 -o "$WORK/$name-back"
    for text in "$@"; do
        for m in "$name" "$name.gguf" "$name-back"; do
            printf %s "$text" | "$HONE" tokenize "$WORK/$m" >>"$WORK/ids" || fail "$m: no ids"
        done
        [ "$(sort -u "$WORK/ids" | wc -l)" = 1 ] || fail "$name: other tokens in GGUF or back: $text"
        rm "$WORK/ids"
    done
}
UNIGRAM=$HONE_SOURCE_DIR/tests/fuzz/corpus/tokenizer/unigram.json
edited suffix 's/{"type": "Nmt"}, {"type": "NFKC"}, //; s/-2.5\]/-2.1]/' "$UNIGRAM" # it says nothing of two texts
cut_alike suffix "a b  ab"
grep -q -e "-2.0999999046325684" "$WORK/suffix-back/tokenizer.json" || fail "a score is not the file's float32 to the bit"
edited no-suffix 's/{"type": "Nmt"}, {"type": "NFKC"}, //; s/"post_processor": {.*}, "model"/"model"/' "$UNIGRAM"
cut_alike no-suffix "a b  ab"
edited nmt '' "$UNIGRAM"
expect 6 "$HONE" quantize "$WORK/nmt" --type f16 -o "$WORK/nmt.gguf"
says "$WORK/nmt: GGUF cannot say how this folder's tokenizer cuts text"
[ ! -e "$WORK/nmt.gguf" ] || fail "a file is there all the same"
if trained; then
    edited unprefixed 's/{ *"type": "Prepend", *"prepend": "[^"]*" *},//'
    cut_alike unprefixed "Once upon a time" "  two"
    edited nfc 's/"normalizers": \[/&{"type": "NFC"},/'
    expect 0 "$HONE" quantize "$WORK/nfc" --type f16 -o "$WORK/nfc.gguf"
    says "normalizer is lost"
    edited lower 's/"normalizers": \[/&{"type": "Lowercase"},/'
    expect 6 "$HONE" quantize "$WORK/lower" --type f16 -o "$WORK/lower.gguf"

    # Every token that ends an answer goes along.
    ends() { # ends IDS: what the folder says of it as GGUF and back
        rm -rf "$WORK/ends-back"
        expect 0 "$HONE" export "$WORK/ends" --type f32 -o "$WORK/ends.gguf"
        cp "$WORK/err" "$WORK/notes"
        expect 0 "$HONE" export "$WORK/ends.gguf" --type f32 -o "$WORK/ends-back"
        tr -d ' \n' <"$WORK/ends-back/generation_config.json" >"$WORK/out"
        prints "\"eos_token_id\":[$1]"
    }
    cp -r "$WORK/folder" "$WORK/ends"
    echo '{"eos_token_id": [2, 315, 316]}' >"$WORK/ends/generation_config.json"
    ends 2,315,316
    grep -q "end an answer" "$WORK/notes" && fail "a note of ends where none is lost"
    echo '{"eos_token_id": [2, 315, 316, 317]}' >"$WORK/ends/generation_config.json"
    ends 2,315,316
    grep -q "end an answer" "$WORK/notes" || fail "no note of an end that is lost"
    rm "$WORK/ends/generation_config.json"
    sed 's/"eos_token_id": 2/"eos_token_id": [2, 0, 400], "limit": Infinity/' "$WORK/folder/config.json" >"$WORK/ends/config.json"
    ends 2,0 # 400 is no special token: the config.json of another tokenizer
    expect 0 "$HONE" export "$WORK/ends" --type f32 -o "$WORK/ends-copy" # Infinity, which JSON has not
    expect 0 "$HONE" info "$WORK/ends-copy" --json
    prints '"inf"'
fi

# A folder's name may be no UTF-8.
odd=$WORK/$(printf 'caf\351')
cp -r "$WORK/folder" "$odd"
expect 0 "$HONE" export "$odd" --type f32 -o "$WORK/odd.gguf"
expect 0 "$HONE" quantize "$odd" --type f16 -o "$odd.gguf" --json
prints "$(printf 'caf\357\277\275.gguf')" # U+FFFD
expect 0 "$HONE" info "$odd" --json
is_json "$WORK/out"

# Chat templates go along, wherever the folder has them, there and back.
cp -r "$WORK/folder" "$WORK/talks"
sed 's/^{/{"chat_template": [{"name": "default", "template": "not this"}, {"name": "tool_use", "template": "with tools"}],/' \
    "$WORK/folder/tokenizer_config.json" >"$WORK/talks/tokenizer_config.json"
printf '{{ messages[0].content }} of the file' >"$WORK/talks/chat_template.jinja"
expect 0 "$HONE" export "$WORK/talks" --type f32 -o "$WORK/talks.gguf"
for text in "of the file" tokenizer.chat_template.tool_use tokenizer.chat_templates "with tools"; do
    grep -qaF "$text" "$WORK/talks.gguf" || fail "the GGUF file has no \"$text\""
done
mkdir "$WORK/talks/additional_chat_templates"
echo "with pages" >"$WORK/talks/additional_chat_templates/rag.jinja"
expect 0 "$HONE" export "$WORK/talks" --type f32 -o "$WORK/talks-copy"
expect 0 cmp "$WORK/talks/additional_chat_templates/rag.jinja" "$WORK/talks-copy/additional_chat_templates/rag.jinja"
grep -qaF "not this" "$WORK/talks.gguf" && fail "chat_template.jinja does not come first"
expect 0 "$HONE" export "$WORK/talks.gguf" --type f32 -o "$WORK/talks-back"
grep -qF "with tools" "$WORK/talks-back/tokenizer_config.json" || fail "the template tool_use is lost on the way back"

mv "$WORK/talks/additional_chat_templates/rag.jinja" "$WORK/talks/additional_chat_templates/tool-use.jinja"
expect 6 "$HONE" quantize "$WORK/talks" --type f16 -o "$WORK/talks-two.gguf"
says "$WORK/talks: two chat templates have the key tokenizer.chat_template.tool_use"
rm -r "$WORK/talks/additional_chat_templates"
printf 'caf\351' >"$WORK/talks/chat_template.jinja"
expect 5 "$HONE" quantize "$WORK/talks" --type f16 -o "$WORK/talks-odd.gguf"
says "$WORK/talks"

HF=$HONE_SOURCE_DIR/tests/golden/data/models/llama
for rope in '"rope_type":"dynamic","factor":2.0' '"rope_type":"linear","factor":2.0' \
    '"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":64,"attention_factor":1.3' \
    '"rope_type":"yarn","factor":4.0,"original_max_position_embeddings":64,"mscale":0.7,"mscale_all_dim":1.1' \
    '"rope_type":"llama3","factor":8.0,"low_freq_factor":1.0,"high_freq_factor":4.0,"original_max_position_embeddings":64'; do
    rm -rf "$WORK/rope" "$WORK/back"
    cp -r "$HF" "$WORK/rope"
    sed "s/\"rope_scaling\": {/\"rope_scaling\": {$rope}, \"unused\": {/" "$HF/config.json" >"$WORK/rope/config.json"
    expect 0 "$HONE" export "$WORK/rope" --type f32 -o "$WORK/rope.gguf"
    expect 0 "$HONE" export "$WORK/rope.gguf" --type f32 -o "$WORK/back"
    same "$WORK/rope" "$WORK/rope.gguf" "$rope"
    same "$WORK/rope" "$WORK/back" "$rope and back"
done

DATA=${HONE_SHARED:-$HONE_SOURCE_DIR/../shared}/data/golden/models
if [ ! -d "$DATA" ]; then
    echo "SKIP architectures: needs ../shared/data/golden/models"
    finish
fi
DECODERS="llama llama-tied mistral qwen2 qwen3 phi3 phi3-longrope gemma gemma2 gemma3 gpt2 gpt_neox starcoder2"
ENCODERS="bert bert-classify roberta xlm_roberta-rerank modernbert"
for name in $DECODERS $ENCODERS; do
    expect 0 "$HONE" export "$DATA/$name" --type f32 -o "$WORK/$name.gguf"
    expect 0 "$HONE" export "$WORK/$name.gguf" --type f32 -o "$WORK/$name"
done
for name in $DECODERS; do
    same "$DATA/$name" "$WORK/$name.gguf" "$name as GGUF"
    same "$DATA/$name" "$WORK/$name" "$name as GGUF and back"
done
# GGUF's name for an expression says whether a word that is a token is taken whole: where it says otherwise, so does hone.
expect 0 "$HONE" synth tiny --layers 1 -o "$WORK/whole.gguf"
expect 0 "$HONE" export "$WORK/whole.gguf" -o "$WORK/whole"
grep -q '"ignore_merges": *true' "$WORK/whole/tokenizer.json" || fail "the exported tokenizer has no ignore_merges"
sed 's/{1,3}//' "$WORK/whole/tokenizer.json" >"$WORK/tokenizer.json" && cp "$WORK/tokenizer.json" "$WORK/whole/"
expect 0 "$HONE" quantize "$WORK/whole" --type q8_0 -o "$WORK/whole2.gguf"
says "ignore_merges"
if ! "${HONE_PYTHON:-python3}" -c 'import torch, transformers' 2>/dev/null; then
    echo "SKIP transformers: HONE_PYTHON names no python that has it"
    finish
fi
HONE_WORK=$WORK HONE_DATA=$DATA HONE_MODELS="$DECODERS $ENCODERS" "${HONE_PYTHON:-python3}" - <<'PY' || fail "transformers disagrees"
import json, os, torch, transformers
ids = torch.tensor([[3 + i * 37 % 380 for i in range(150)]])
for name in os.environ["HONE_MODELS"].split():
    out = []
    for folder in os.environ["HONE_DATA"], os.environ["HONE_WORK"]:
        path = os.path.join(folder, name)
        kind = getattr(transformers, json.load(open(os.path.join(path, "config.json")))["architectures"][0])
        model, info = kind.from_pretrained(path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        # GGUF has no name for BERT's pooler, which no vector of a text comes from
        assert not [k for k in info["missing_keys"] if "pooler" not in k] and not info["unexpected_keys"], (name, info)
        with torch.no_grad():
            out.append(model(ids)[0])
    assert (out[0] - out[1]).abs().max() < 1e-4, name
PY
finish
