#!/bin/sh
# The models in models/: what their card says of them is so, and they write the same text on every instruction set.
. "$(dirname "$0")/lib.sh"

MODELS=$HONE_SOURCE_DIR/models
HELDOUT=$HONE_SOURCE_DIR/recipes/embedded/heldout.txt
card() { # ROW: its cells after the first, "|" between them
    sed -n "s/^| $1 |//p" "$MODELS/README.md" | tr -d ' '
}
perplexity() {
    expect 0 "$HONE" eval "$1" --data "$HELDOUT"
    awk '$1 == "perplexity" { printf "%.2f", $2 }' "$WORK/out"
}
have="$(perplexity "$MODELS/embedded")|$(perplexity "$MODELS/embedded-1m.gguf")|"
[ "$(card 'perplexity of `recipes\/embedded\/heldout.txt`')" = "$have" ] || fail "the card has other perplexities than $have"

for model in embedded embedded-1m.gguf; do
    expect 0 "$HONE" info "$MODELS/$model"
    parameters=$(awk '$1 == "total" { print $3 }' "$WORK/out")
    case "|$(card parameters)" in
    *"|$parameters|"*) ;;
    *) fail "$model has $parameters parameters, the card says $(card parameters)" ;;
    esac
    for isa in "" scalar; do
        expect 0 env HONE_ISA="$isa" "$HONE" run "$MODELS/$model" -p "The directory /etc contains" --tokens 16 --temperature 0
        cp "$WORK/out" "$WORK/text$isa"
    done
    cmp -s "$WORK/text" "$WORK/textscalar" || fail "$model writes another text in plain C: $(cat "$WORK/textscalar")"
    "$HONE" tokenize "$MODELS/$model" <"$HELDOUT" >"$WORK/ids.$model" || fail "tokenize $model"
done
cmp -s "$WORK/ids.embedded" "$WORK/ids.embedded-1m.gguf" || fail "the sibling has another tokenizer"
[ "$(find "$MODELS" -type f -exec cat {} + | wc -c)" -le 16000000 ] || fail "models/ is larger than 16 MB"
finish
