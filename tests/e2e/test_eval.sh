# hone eval: the figure of transformers, the protocol's name, KL, texts that cannot be used.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"
HF=$STORIES/hf
TEXT=$WORK/whole
if trained; then
    cat "$STORIES/../tinystories/tinystories_sample.txt" | tail -c +1000001 | head -c 32768 >"$TEXT"

    # tests/golden/data/stories260k_ppl.json, context 512: 10.2985925 (transformers, float32).
    expect 0 "$HONE" eval --ppl "$MODEL" --data "$TEXT" --dtype f32
    prints "10.2985"
    prints "context 512, stride 511, BOS per window, scored:"
    expect 0 "$HONE" eval --ppl "$MODEL" --data "$TEXT" --dtype f32 --json
    is_json "$WORK/out"
    grep perplexity "$WORK/out" >"$WORK/gguf"
    expect 0 "$HONE" eval --ppl "$HF" --data "$TEXT" --dtype f32 --threads 1 --json
    grep perplexity "$WORK/out" | cmp -s - "$WORK/gguf" || fail "GGUF and Hugging Face folder differ"

    # Weights full of NaN: said, not printed as a number.
    cp -r "$HF" "$WORK/nan"
    chmod -R u+w "$WORK/nan"
    size=$(wc -c <"$WORK/nan/model.safetensors")
    head -c 4000 /dev/zero | tr '\0' '\377' |
        dd of="$WORK/nan/model.safetensors" bs=1 seek=$((size - 4000)) conv=notrunc 2>/dev/null
    expect 5 "$HONE" eval --ppl "$WORK/nan" --data "$TEXT" --dtype f32
    says "holds NaN or infinity"
else
    echo "SKIP the figure of transformers: needs ../shared/data/stories260k"
    cat "$HONE_SOURCE_DIR"/docs/*.md | head -c 32768 >"$TEXT"
fi

head -c 6000 "$TEXT" >"$WORK/text"
expect 0 "$HONE" eval "$MODEL" --data "$WORK/text" --weights q4_0 --kl "$MODEL" --json
is_json "$WORK/out"
prints '"top1_agreement"'
expect 0 "$HONE" eval "$MODEL" --data "$WORK/text" --dtype f32 --kl "$MODEL" --json
tr -d ' \n' <"$WORK/out" | grep -q '"max":0.0,"top1_agreement":1.0' || fail "a model differs from itself"

echo "short" >"$WORK/short"
expect 10 "$HONE" eval --ppl "$MODEL" --data "$WORK/short"
says "511"
expect 10 "$HONE" eval --ppl "$MODEL" --data "$TEXT" --max-tokens 300
says "cut by --max-tokens"
expect 2 "$HONE" eval --ppl "$MODEL" --data "$TEXT" --stride 600
says "at most 512"
expect 3 "$HONE" eval --ppl "$MODEL" --data "$WORK/nothing"
expect 2 "$HONE" eval --ppl "$MODEL"
expect 11 "$HONE" eval --ppl "$MODEL" --data "$TEXT" --ctx 100000
expect 3 "$HONE" eval --ppl "$HONE_SOURCE_DIR/tests/golden/data/models/llama" --data "$TEXT"
if trained; then
    expect 10 "$HONE" eval "$MODEL" --data "$TEXT" --kl "$HONE_SOURCE_DIR/tests/golden/data/models/llama"
    says "vocabular"
    if grep -qF "$TEXT" "$WORK/err"; then fail "the text is blamed: $(cat "$WORK/err")"; fi
    expect 0 "$HONE" synth tiny -o "$WORK/tiny.gguf"
    expect 10 "$HONE" eval "$WORK/tiny.gguf" --data "$TEXT" --kl "$MODEL"
    says "has only 512 tokens"
fi
finish
