#!/bin/sh
# llama.cpp computes the same logits from the GGUF files that hone writes of the golden models. HONE_LLAMA names a
# build of it (with bin/libllama.so); its headers are those of the source that it was built from, or of HONE_LLAMA_SOURCE.
. "$(dirname "$0")/lib.sh"

PEER=${HONE_LLAMA:-}
[ -n "$PEER" ] && [ -e "$PEER/bin/libllama.so" ] || skip "HONE_LLAMA names no build of llama.cpp that has bin/libllama.so"
SOURCE=${HONE_LLAMA_SOURCE:-$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$PEER/CMakeCache.txt" 2>/dev/null)}
[ -e "$SOURCE/include/llama.h" ] || skip "no llama.h in HONE_LLAMA_SOURCE/include"
${CC:-cc} -O1 "$HONE_SOURCE_DIR/tests/e2e/llama_cpp_logits.c" -I"$SOURCE/include" -I"$SOURCE/ggml/include" \
    -L"$PEER/bin" -lllama -lggml -lggml-base -Wl,-rpath,"$PEER/bin" -o "$WORK/peer" 2>"$WORK/err" ||
    skip "llama.cpp's headers do not compile with this test: $(head -n 1 "$WORK/err")"

# compare MODEL ARCH MOST TOKENS: the largest difference of any logit. What is allowed, and why: both sides are float32
# with other orders of sums (1e-4 for logits up to 10); llama.cpp's CPU looks gelu up in a table of half precision.
# llama.cpp ignores the windows of llama, phi3 and starcoder2 (24 or 25 here; so fewer tokens than that), and the scale
# of scores where it is not that of the heads' size: here it is made that.
compare() {
    dir=$HONE_SOURCE_DIR/tests/golden/data/models/$1
    [ -d "$dir" ] || dir=${HONE_SHARED:-$HONE_SOURCE_DIR/../shared}/data/golden/models/$1
    if [ ! -d "$dir" ]; then
        echo "SKIP $1: needs ../shared/data/golden/models/$1"
        return
    fi
    mkdir "$WORK/$1"
    ln -s "$(realpath "$dir")/model.safetensors" "$WORK/$1/"
    heads=$(sed -n 's/.*"head_dim": *\([0-9]*\).*/\1/p' "$dir/config.json")
    sed "s/\"query_pre_attn_scalar\": *[0-9]*/\"query_pre_attn_scalar\": ${heads:-0}/" "$dir/config.json" >"$WORK/$1/config.json"
    vocab=$(tr -d ' \n' <"$dir/config.json" | sed 's/.*"vocab_size":\([0-9]*\).*/\1/')
    ids=$(awk -v v="$vocab" -v n="$4" 'BEGIN { for (i = 0; i < n; i++) printf "%s%d", i ? "," : "", (7919 * i + 13) % v }')
    expect 0 "$HONE" quantize "$WORK/$1" --type f32 -o "$WORK/$1.gguf"
    expect 0 "$HONE" logits "$WORK/$1.gguf" --dtype f32 --tokens "$ids" -o "$WORK/$1.npy"
    # shellcheck disable=SC2046 # a list of words
    "$WORK/peer" "$WORK/$1.gguf" "$2" "$vocab" logits $(echo "$ids" | tr , ' ') >"$WORK/want" 2>"$WORK/err" || {
        fail "$1: llama.cpp does not run it: $(head -n 1 "$WORK/err")"
        return
    }
    tr ' ' '\n' <"$WORK/want" >"$WORK/want.list"
    tail -c $(($4 * vocab * 4)) "$WORK/$1.npy" | od -An -v -tf4 -w4 >"$WORK/have.list"
    worst=$(paste "$WORK/want.list" "$WORK/have.list" | awk '
        NF != 2 || $1 != $1 + 0 { bad = 1 }
        { d = $1 - $2; d = d < 0 ? -d : d; if (d > w) w = d; n++ }
        END { print (bad || n == 0) ? "none" : w }')
    echo "$1: off by $worst of $3 allowed"
    awk "BEGIN { exit !(\"$worst\" != \"none\" && $worst + 0 <= $3) }" || fail "$1: llama.cpp's logits differ by $worst"
    rm -f "$WORK/$1.gguf" "$WORK/$1.npy"
}

compare llama llama 1e-4 100
compare llama-tied llama 1e-4 100
compare mistral llama 1e-4 20
compare qwen2 qwen2 1e-4 100
compare qwen3 qwen3 1e-4 100
compare phi3 phi3 1e-4 20
compare phi3-longrope phi3 4e-4 100
compare gemma gemma 2e-2 100
compare gemma2 gemma2 2e-2 100
compare gemma3 gemma3 2e-2 100
compare gpt2 gpt2 2e-2 100
compare gpt_neox gptneox 2e-2 100
compare starcoder2 starcoder2 2e-2 20
finish
