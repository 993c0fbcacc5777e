#!/bin/sh
# hone formats: its page in docs/ is current; every type that it says hone writes is written and runs.
. "$(dirname "$0")/lib.sh"

expect 0 "$HONE" formats --markdown
cmp -s "$WORK/out" "$HONE_SOURCE_DIR/docs/formats.md" ||
    fail "docs/formats.md is not current: hone formats --markdown >docs/formats.md"
expect 0 "$HONE" formats --json
is_json "$WORK/out"
expect 0 "$HONE" formats
prints q4_k

# A trained Llama whose rows are multiples of 256.
DATA=${HONE_SHARED:-$HONE_SOURCE_DIR/../shared}/data/stories3m
if [ ! -d "$DATA" ]; then
    echo "SKIP every type on stories3m: needs ../shared/data/stories3m"
    finish
fi
PEER=${HONE_LLAMA:-}/bin/llama-perplexity
if [ ! -x "$PEER" ]; then
    echo "SKIP llama.cpp: HONE_LLAMA names no build that has bin/llama-perplexity"
    PEER=
fi
# KL divergence at most: about twice what was measured when this was written.
while read -r type most; do
    expect 0 "$HONE" quantize "$DATA" --type "$type" -o "$WORK/$type.gguf"
    expect 0 "$HONE" eval "$WORK/$type.gguf" --kl "$DATA" --data "$DATA/held_out.txt" \
        --ctx 128 --max-tokens 600 --json
    kl=$(tr -d " \n" <"$WORK/out" | sed -n "s/.*\"kl\":{[^}]*\"mean\":\([0-9.e+-]*\).*/\1/p")
    awk "BEGIN { exit !($kl < $most) }" || fail "$type: KL divergence $kl, expected below $most"
    if [ -n "$PEER" ]; then
        # by its exit code: the last lines of its log are sometimes lost
        "$PEER" -m "$WORK/$type.gguf" -f "$DATA/held_out.txt" -c 128 --chunks 16 -t 1 >"$WORK/peer" 2>&1 ||
            fail "$type: llama.cpp does not load it: $(tail -n 2 "$WORK/peer")"
    fi
    rm -f "$WORK/$type.gguf"
done <<TYPES
q8_0 0.00025
q6_k 0.0016
q5_k_m 0.006
q4_k_m 0.023
iq4_xs 0.03
mxfp4 0.09
q3_k_m 0.075
q2_k 0.25
TYPES

# An importance matrix that is none is named.
printf 'not a matrix' >"$WORK/bad.dat"
expect 5 "$HONE" quantize "$DATA" --type q4_k --imatrix "$WORK/bad.dat" -o "$WORK/x.gguf"
says bad.dat
[ ! -e "$WORK/x.gguf" ] || fail "a failed quantize left its file"
finish
