# Text that is no UTF-8 and weights that are no numbers: each a message that says where, never a
# result that is silently another one.
. "$(dirname "$0")/lib.sh"
for i in $(seq 300); do printf 'Once upon a time there was a dog.\n'; done >"$WORK/good"
{ cat "$WORK/good"; printf 'caf\351 au lait\nna\303\257ve \377\n'; cat "$WORK/good"; } >"$WORK/latin1"
{ cat "$WORK/good"; printf 'caf\303'; } >"$WORK/cut"

for command in "eval --data" "optimize --goal memory --data" "profile --data" "run -n 2 -f"; do
    # shellcheck disable=SC2086
    set -- $command
    name=$1
    shift
    expect 10 "$HONE" "$name" "$MODEL" "$@" "$WORK/latin1"
    says "latin1: line 301, byte 10203: 0xe9 is no UTF-8 (2 such places)"
    says "iconv"
done
expect 10 "$HONE" run "$MODEL" -n 2 -p "$(printf 'caf\351 au lait')"
says "the prompt: line 1, byte 3: 0xe9"
expect 10 sh -c '"$0" tokenize "$1" <"$2"' "$HONE" "$MODEL" "$WORK/latin1"
says "standard input: line 301"
expect 10 "$HONE" embed "$MODEL" --text "$(printf '\377')"
says "0xff"
expect 0 sh -c 'iconv -c -f UTF-8 -t UTF-8 "$2" | "$0" tokenize "$1"' "$HONE" "$MODEL" "$WORK/latin1"

# What `head -c` cut within a character is taken without that character, and it is said.
expect 0 "$HONE" eval "$MODEL" --data "$WORK/cut"
says "ends within a character: its last 1 byte is left out"
expect 0 sh -c 'printf "caf\303" | "$0" tokenize "$1"' "$HONE" "$MODEL"
cp "$WORK/out" "$WORK/ids"
expect 0 sh -c 'printf caf | "$0" tokenize "$1"' "$HONE" "$MODEL"
cmp -s "$WORK/out" "$WORK/ids" || fail "the cut character was not left out"

# NaN in the last tensor's data.
cp "$MODEL" "$WORK/nan.gguf"
chmod u+w "$WORK/nan.gguf"
at=$(($(wc -c <"$MODEL") - 8000))
printf '\377\377\377\377' | dd of="$WORK/nan.gguf" bs=1 seek=$((at / 4 * 4)) conv=notrunc 2>/dev/null
damaged() {
    expect 5 "$@"
    says "nan.gguf: tensor '"
    says "holds NaN or infinity"
}
damaged "$HONE" run "$WORK/nan.gguf" -p Once -n 2
damaged "$HONE" eval "$WORK/nan.gguf" --data "$WORK/good"
damaged "$HONE" optimize "$WORK/nan.gguf" --data "$WORK/good" --goal memory
damaged "$HONE" profile "$WORK/nan.gguf"
damaged "$HONE" embed "$WORK/nan.gguf" --text hello
damaged sh -c 'echo hello | "$0" chat "$1" --no-history' "$HONE" "$WORK/nan.gguf"
damaged "$HONE" logits "$WORK/nan.gguf" --tokens 1,2,3 -o "$WORK/nan.npy"
[ ! -e "$WORK/nan.npy" ] || fail "logits that are no numbers were written"
finish
