# hone tokenizer train and hone data: from text to a vocabulary, from there to tokens on disk, into a model's folder and GGUF.
. "${HONE_SOURCE_DIR:?}/tests/e2e/lib.sh"

# Some text: numbers in words, so that there are words that come again.
awk 'BEGIN {
    split("one two three four five six seven eight nine ten", w, " ")
    for (i = 0; i < 4000; i++) {
        printf "%s and %s make %d, ", w[1 + i % 10], w[1 + int(i / 7) % 10], i * 7919 % 9973
        if (i % 40 == 39) printf "<|endoftext|>\n"
    }
}' >"$WORK/t.txt"

expect 0 "$HONE" tokenizer train --vocab 400 "$WORK/t.txt" -o "$WORK/tokenizer.json" --json
is_json "$WORK/out"
grep -q '"vocab": *400' "$WORK/out" || fail "not 400 tokens: $(cat "$WORK/out")"
cp "$WORK/tokenizer.json" "$WORK/first.json"
expect 0 "$HONE" tokenizer train --vocab 400 --threads 1 "$WORK/t.txt" -o "$WORK/tokenizer.json"
expect 7 "$HONE" tokenizer train --vocab 400 --memory 1K "$WORK/t.txt" -o "$WORK/small.json"
says "more than the 1 KiB allowed"
expect 3 "$HONE" tokenizer train --vocab 400 "$WORK/t.txt" -o "$WORK/none/small.json"
cmp -s "$WORK/first.json" "$WORK/tokenizer.json" || fail "one thread gives another vocabulary"

# Special tokens and a chat template go into a folder.
printf '%s' "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}" >"$WORK/chat.jinja"
expect 0 "$HONE" tokenizer train --vocab 300 --pre qwen2 --special '<|endoftext|>' --special '<|user|>' --special '<|assistant|>' \
    --special '<|end|>' --template "$WORK/chat.jinja" "$WORK/t.txt" -o "$WORK/folder"
is_json "$WORK/folder/tokenizer_config.json"
printf 'one and two<|user|>' >"$WORK/in"
expect 0 "$HONE" tokenize --parse-special "$WORK/folder" <"$WORK/in"
case $(cat "$WORK/out") in *" 1") ;; *) fail "<|user|> is not token 1: $(cat "$WORK/out")" ;; esac

# What cannot be says so.
expect 2 "$HONE" tokenizer train --vocab 256 "$WORK/t.txt" -o "$WORK/x.json"
says "256 bytes and 1 special tokens are 257"
expect 2 "$HONE" tokenizer train --vocab 400 --pre nonsense "$WORK/t.txt" -o "$WORK/x.json"
says "no pre-tokenizer is called"
expect 2 "$HONE" tokenizer learn --vocab 400 "$WORK/t.txt" -o "$WORK/x.json"
expect 3 "$HONE" tokenizer train --vocab 400 "$WORK/none.txt" -o "$WORK/x.json"
expect 7 "$HONE" tokenizer train --vocab 400 --memory 1K "$WORK/t.txt" -o "$WORK/x.json"
says "allow more, or give fewer documents"
[ ! -e "$WORK/x.json" ] || fail "a file was written in spite of the error"
expect 0 "$HONE" tokenizer train --vocab 4000 "$WORK/t.txt" -o "$WORK/small.json"
says "not 4000: no pair of neighbours that is left"

# Tokens on disk.
expect 0 "$HONE" data "$WORK/folder" "$WORK/t.txt" -o "$WORK/data" --validation 10%
prints "train"
[ -s "$WORK/data/train.tokens" ] && [ -s "$WORK/data/validation.tokens" ] || fail "a side is missing"
is_json "$WORK/data/data.json"
cat >"$WORK/c.jsonl" <<'END'
{"messages":[{"role":"user","content":"one and two"},{"role":"assistant","content":"make three"}]}
{"messages":[{"role":"user","content":"one"}]}
END
expect 10 "$HONE" data "$WORK/folder" "$WORK/c.jsonl" -o "$WORK/chat"
says "c.jsonl: line 2: the conversation has no turn of the assistant"
[ ! -e "$WORK/chat/train.tokens" ] || fail "a data set was written in spite of the error"
expect 10 "$HONE" data "$WORK/tokenizer.json" "$WORK/c.jsonl" -o "$WORK/chat"
says "there is no chat template"
echo '{"text":"ten' >>"$WORK/c.jsonl"
expect 5 "$HONE" data "$WORK/folder" "$WORK/c.jsonl" -o "$WORK/chat"
says "c.jsonl: line 3 is no valid JSON"
expect 0 "$HONE" data "$WORK/folder" "$WORK/c.jsonl" -o "$WORK/chat" --skip-broken --validation 0 --json
is_json "$WORK/out"
grep -q '"broken": *2' "$WORK/out" || fail "not two broken documents: $(cat "$WORK/out")"
says "c.jsonl: line 3"

# A byte order mark is no text, in JSON Lines neither.
printf '\357\273\277{"text":"one and two"}\n{"text":"three"}\n' >"$WORK/mark.jsonl"
expect 0 "$HONE" data "$WORK/folder" "$WORK/mark.jsonl" -o "$WORK/mark" --validation 0 --json
grep -q '"documents": *2' "$WORK/out" || fail "not two documents: $(cat "$WORK/out")"

# Full disk: /dev/full takes nothing.
if [ -w /dev/full ]; then
    mkdir "$WORK/full" && ln -s /dev/full "$WORK/full/link"
    expect 8 sh -c 'ulimit -f 1; trap "" XFSZ; exec "$0" "$@"' "$HONE" data "$WORK/folder" "$WORK/t.txt" -o "$WORK/cut"
    [ ! -e "$WORK/cut" ] || fail "a folder without a data set stayed: $(ls "$WORK/cut")"
    expect 8 sh -c 'ulimit -f 1; trap "" XFSZ; exec "$0" "$@"' "$HONE" tokenizer train --vocab 400 "$WORK/t.txt" -o "$WORK/cut"
    [ ! -e "$WORK/cut" ] || fail "a folder without a tokenizer stayed: $(ls "$WORK/cut")"
fi

# The vocabulary serves a model: in its folder, and in GGUF.
GOLDEN=$HONE_SOURCE_DIR/tests/golden/data/models/llama
mkdir "$WORK/model" && cp "$GOLDEN/config.json" "$GOLDEN/model.safetensors" "$WORK/model"
expect 0 "$HONE" tokenizer train --vocab 389 --pre qwen2 --special '<|endoftext|>' --special '<|user|>' --special '<|assistant|>' \
    --special '<|end|>' --template "$WORK/chat.jinja" "$WORK/t.txt" -o "$WORK/model"
expect 0 "$HONE" quantize "$WORK/model" --type f32 -o "$WORK/model.gguf"
printf 'seven and two make 4095, three<|end|> x' >"$WORK/in"
"$HONE" tokenize --parse-special "$WORK/model" <"$WORK/in" >"$WORK/folder.ids"
expect 0 "$HONE" tokenize --parse-special "$WORK/model.gguf" <"$WORK/in"
cmp -s "$WORK/out" "$WORK/folder.ids" || fail "GGUF gives $(cat "$WORK/out"), the folder $(cat "$WORK/folder.ids")"
expect 0 "$HONE" run "$WORK/model.gguf" --prompt "one and" -n 4
finish
