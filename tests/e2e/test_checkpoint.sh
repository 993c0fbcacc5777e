# Quantised checkpoints: what info says of them, and how contradictions and missing tensors end.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
ROOT=${HONE_SHARED:-$HONE_SOURCE_DIR/../shared}/data/golden/quant/checkpoints
[ -d "$ROOT" ] || skip "needs ../shared/data/golden/quant/checkpoints"

copy() { # copy NAME: a checkpoint that may be changed, in $WORK/model
    rm -rf "$WORK/model"
    mkdir "$WORK/model"
    cp "$ROOT/$1/config.json" "$ROOT/$1/model.safetensors" "$WORK/model"
    chmod u+w "$WORK/model"/*
}

expect 0 "$HONE" info --brief "$ROOT/gptq-4bit-actorder"
prints "gptq, 4 bits, groups of 32, act-order  4-bit   exact"
expect 0 "$HONE" info --brief "$ROOT/bnb-nf4-double"
prints "bnb-4bit, 4 bits, groups of 64"
prints "its levels rounded to bf16"
expect 0 "$HONE" info --brief "$ROOT/fp8-block128"
prints "rounded to bf16"
expect 0 "$HONE" info --json "$ROOT/awq-4bit"
is_json "$WORK/out"
expect 0 "$HONE" logits "$ROOT/awq-4bit" --tokens 5,77,200 -o "$WORK/l.npy"

# config.json says another number of bits than the tensors have.
copy gptq-4bit-actorder
sed -i 's/"bits": 4/"bits": 3/' "$WORK/model/config.json"
expect 5 "$HONE" logits "$WORK/model" --tokens 5 -o "$WORK/m.npy"
says "config.json says 3 bits"
expect 0 "$HONE" info --brief "$WORK/model"
prints "note: "
prints "config.json says 3 bits"

# A tensor is missing; what is left of its matrix has no use.
copy gptq-4bit-actorder
sed -i 's/layers.0.mlp.up_proj.scales/layers.0.mlp.up_proj.scalez/' "$WORK/model/model.safetensors"
expect 3 "$HONE" logits "$WORK/model" --tokens 5 -o "$WORK/m.npy"
says "model.layers.0.mlp.up_proj.scales' is missing"
expect 0 "$HONE" info --brief "$WORK/model"
prints "up_proj.qzeros belongs to no matrix"

# A method that hone does not read.
copy fp8-block128
sed -i 's/"quant_method": "fp8"/"quant_method": "hqq"/' "$WORK/model/config.json"
sed -i 's/layers.0.self_attn.q_proj.weight"/layers.0.self_attn.q_proj.Wq    "/' \
    "$WORK/model/model.safetensors"
expect 6 "$HONE" logits "$WORK/model" --tokens 5 -o "$WORK/m.npy"
says "hqq"

# To GGUF: decoded.
expect 0 "$HONE" quantize "$ROOT/awq-4bit" --type q8_0 -o "$WORK/awq.gguf"
expect 0 "$HONE" info --brief "$WORK/awq.gguf"
prints "q8_0"
finish
