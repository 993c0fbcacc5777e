"""Small golden files for test_text_steps.c, from the reference implementations.

    python make_text.py OUT_FOLDER VTOK

needs tokenizers 0.22, sentencepiece 0.2 and gguf; VTOK is a program that loads the vocabulary of a GGUF with llama.cpp
and prints the ids of each text on its standard input (u32 length, bytes; llama_tokenize with parse_special) on a line.

    steps.json       tokenizer.json steps: every normalizer, pre-tokenizer and decoder, and a small model of each kind
    sp_*.model/.json SentencePiece models of every type with ids and decoded text
    pre.vocab.gguf   a byte-level vocabulary whose pre-tokenizer the test writes in; pre.json: ids for each name
    t5.vocab.gguf, rwkv.vocab.gguf and .json
"""
import json
import os
import struct
import subprocess
import sys

import gguf
import sentencepiece as sp
from tokenizers import AddedToken, Regex, Tokenizer, decoders as D, models as M, normalizers as N, pre_tokenizers as P
from tokenizers import trainers

out, vtok = sys.argv[1], sys.argv[2]
here = os.path.dirname(os.path.abspath(__file__))
strings = json.load(open(os.path.join(here, "data/text/strings.json"), encoding="utf-8"))
corpus = [s for s in strings if s.strip() and "\0" not in s] * 3


def dump(name, value):
    with open(os.path.join(out, name), "w", encoding="utf-8") as f:
        json.dump(value, f, ensure_ascii=True, separators=(",", ":"))
        f.write("\n")


# ---- tokenizer.json ----
printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
codes = printable + [256 + i for i in range(256 - len(printable))]
alphabet = [chr(c) for c in codes]
vocab = {a: i for i, a in enumerate(alphabet)}
vocab.update({a + "</w>": 256 + i for i, a in enumerate(alphabet)})
bytes_model = M.BPE(vocab=vocab, merges=[], end_of_word_suffix="</w>")  # shows where words end


def rules():
    """A small precompiled_charsmap, through sentencepiece."""
    path = os.path.join(out, "rules.tsv")
    with open(path, "w") as f:
        for a, b in (("ﬁ", "fi"), ("Å", "A"), ("é", "e"), ("é", "E"), ("\n", " "), ("\t", " "), ("　", " "), ("…", "..."), ("½", "1/2")):
            f.write(" ".join("%X" % ord(c) for c in a) + "\t" + " ".join("%X" % ord(c) for c in b) + "\n")
    return path


def charsmap(model):
    data, i = open(model, "rb").read(), 0

    def varint(i):
        v = shift = 0
        while True:
            b = data[i]
            v |= (b & 127) << shift
            shift, i = shift + 7, i + 1
            if b < 128:
                return v, i

    def fields(i, end):
        while i < end:
            tag, i = varint(i)
            if tag & 7 == 0:
                v, i = varint(i)
            elif tag & 7 == 2:
                n, i = varint(i)
                v, i = (i, i + n), i + n
            else:
                v, i = None, i + (4 if tag & 7 == 5 else 8)
            yield tag >> 3, v
    for k, v in fields(0, len(data)):
        if k == 3:
            for j, w in fields(*v):
                if j == 2:
                    return data[w[0]:w[1]]


def train(name, **kw):
    path = os.path.join(out, name)
    texts = os.path.join(out, "corpus.txt")
    with open(texts, "w", encoding="utf-8") as f:
        f.write("\n".join(s.replace("\n", " ").replace("\0", " ") for s in corpus if len(s) > 3))
    sp.SentencePieceTrainer.train(input=texts, model_prefix=path, minloglevel=2, hard_vocab_limit=False, num_threads=1, **kw)
    os.remove(path + ".vocab")
    os.remove(texts)
    s = sp.SentencePieceProcessor(model_file=path + ".model")
    dump(name + ".json", dict(library="sentencepiece " + sp.__version__, cases=[
        dict(ids=s.encode(t), decoded=s.decode(s.encode(t))) for t in strings]))
    return path + ".model"


train("sp_unigram", model_type="unigram", vocab_size=300, character_coverage=0.98, normalization_rule_tsv=rules())
train("sp_bytes", model_type="unigram", vocab_size=500, byte_fallback=True, character_coverage=0.98,
      normalization_rule_name="identity", remove_extra_whitespaces=False)
train("sp_bpe", model_type="bpe", vocab_size=300, character_coverage=0.98, normalization_rule_tsv=rules(), add_dummy_prefix=False,
      user_defined_symbols=["<|im_start|>", "wor"])
train("sp_char", model_type="char", vocab_size=200, normalization_rule_tsv=rules())
train("sp_word", model_type="word", vocab_size=150, normalization_rule_name="identity")
small_map = charsmap(os.path.join(out, "sp_unigram.model"))
os.remove(os.path.join(out, "rules.tsv"))

steps = []


def add(name, tok, model=None):
    spec = json.loads(tok.to_str())
    if model is None:
        del spec["model"]
    # That table of scripts is older than two of the emoji: their strings are left out.
    old = "scripts" in name
    ids = [None if old and set(s) & set("\U0001f9d1\U0001fa90") else tok.encode(s).ids for s in strings]
    steps.append(dict(name=name, spec=spec, ids=ids))
    if model:
        steps[-1]["decoded"] = [tok.decode(i, skip_special_tokens=False) for i in ids]


def bytes_with(normalizer=None, pre=None):
    tok = Tokenizer(bytes_model)
    last = P.ByteLevel(add_prefix_space=False, use_regex=False)
    if normalizer:
        tok.normalizer = normalizer
    tok.pre_tokenizer = P.Sequence([pre, last]) if pre else last
    tok.decoder = D.ByteLevel()
    return tok


for name, n in dict(
        bert=N.BertNormalizer(), bert_cased=N.BertNormalizer(lowercase=False), bert_accents=N.BertNormalizer(strip_accents=False),
        nfc=N.NFC(), nfd=N.NFD(), nfkc=N.NFKC(), nfkd=N.NFKD(), lower=N.Lowercase(), strip=N.Strip(left=True, right=False),
        accents=N.Sequence([N.NFD(), N.StripAccents()]), nmt=N.Nmt(), map=N.Precompiled(small_map), replace=N.Replace("l", "LL"),
        replace_regex=N.Replace(Regex(r"\w{2}+"), "w"), prepend=N.Prepend("x "), bytes=N.Sequence([N.Lowercase(), N.NFKC()])).items():
    add("normalizer " + name, bytes_with(normalizer=n))
for name, p in dict(
        whitespace=P.Whitespace(), split=P.WhitespaceSplit(), bert=P.BertPreTokenizer(), punctuation=P.Punctuation(),
        punctuation_next=P.Punctuation("merged_with_next"), digits=P.Digits(), digit=P.Digits(True), metaspace=P.Metaspace(),
        metaspace_first=P.Metaspace(prepend_scheme="first", split=False), scripts=P.UnicodeScripts(), delimiter=P.CharDelimiterSplit("o"),
        contiguous=P.Split(Regex(r"[\h[xyz]]"), "contiguous"),
        both=P.Split(Regex(r"[\p{L}&&[^\p{Han}]]+|\p{Han}"), "isolated"), removed=P.Split(" ", "removed"), inverted=P.Split(Regex(r"\d{1,2}+|\p{L}"), "removed", invert=True)).items():
    add("pre-tokenizer " + name, bytes_with(pre=p))


def trained(model, trainer, **parts):
    tok = Tokenizer(model)
    for k, v in parts.items():
        setattr(tok, k, v)
    tok.train_from_iterator(corpus, trainer)
    return tok


special = ["[UNK]", "<s>", "</s>"]
add("WordPiece", trained(M.WordPiece(unk_token="[UNK]", max_input_chars_per_word=30),
    trainers.WordPieceTrainer(vocab_size=320, special_tokens=special, limit_alphabet=150, show_progress=False),
    normalizer=N.BertNormalizer(), pre_tokenizer=P.BertPreTokenizer(), decoder=D.WordPiece()), True)
add("WordLevel", trained(M.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=150, special_tokens=special, show_progress=False),
    pre_tokenizer=P.Whitespace()), True)
add("Unigram", trained(M.Unigram(), trainers.UnigramTrainer(vocab_size=450, special_tokens=special, unk_token="[UNK]", show_progress=False),
    normalizer=N.NFKC(), pre_tokenizer=P.Metaspace(), decoder=D.Metaspace()), True)
add("Unigram of whole texts", trained(M.Unigram(), trainers.UnigramTrainer(vocab_size=420, special_tokens=special, unk_token="[UNK]",
    show_progress=False), normalizer=N.Replace(" ", "▁"), decoder=D.Sequence([D.Replace("▁", " "), D.ByteFallback(), D.Fuse(), D.Strip(" ", 1, 0)])), True)
add("BPE with affixes", trained(M.BPE(unk_token="[UNK]", continuing_subword_prefix="##", end_of_word_suffix="</w>"),
    trainers.BpeTrainer(vocab_size=500, special_tokens=special, continuing_subword_prefix="##", end_of_word_suffix="</w>", limit_alphabet=80,
                        show_progress=False), pre_tokenizer=P.WhitespaceSplit(), decoder=D.BPEDecoder()), True)
add("BPE with byte normalizer", trained(M.BPE(), trainers.BpeTrainer(vocab_size=400, special_tokens=special, show_progress=False,
    initial_alphabet=alphabet), normalizer=N.ByteLevel(), decoder=D.ByteLevel()), True)
ctc = Tokenizer(M.WordLevel(vocab={"<pad>": 0, "|": 1, "[UNK]": 2, "l": 3, "o": 4, "w": 5, "r": 6, "d": 7, "H": 8, "e": 9, ".": 10}, unk_token="[UNK]"))
ctc.normalizer, ctc.pre_tokenizer, ctc.decoder = N.Replace(" ", "|"), P.Split(Regex("."), "isolated"), D.CTC()
add("CTC", ctc, True)
strip = Tokenizer(M.WordLevel(vocab={"[UNK]": 0, "hello": 1, "world": 2, "__a__": 3, "____": 4, "1": 5, "_": 6}, unk_token="[UNK]"))
strip.pre_tokenizer, strip.decoder = P.WhitespaceSplit(), D.Strip("_", 1, 2)
strip.add_tokens([AddedToken("wor", single_word=False), AddedToken("é", normalized=True)])
add("Strip", strip, True)
dump("steps.json", dict(library="tokenizers 0.22", model=json.loads(Tokenizer(bytes_model).to_str())["model"], cases=steps))


# ---- GGUF, against llama.cpp ----
def llama(path, special, texts):
    data = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    r = subprocess.run([vtok, path, special], input=data, stdout=subprocess.PIPE, check=True)
    return [list(map(int, line.split())) for line in r.stdout.decode().split("\n")[:-1]]


def write(path, model, tokens, types, extra):
    w = gguf.GGUFWriter(path, "rwkv6" if model == "rwkv" else model)
    w.add_tokenizer_model(model)
    w.add_token_list(tokens)
    w.add_token_types(types)
    extra(w)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


plain = [t for t in strings if "\0" not in t]
bpe = trained(M.BPE(), trainers.BpeTrainer(vocab_size=900, show_progress=False, initial_alphabet=alphabet),
              pre_tokenizer=P.ByteLevel(add_prefix_space=False))
bpe_spec = json.loads(bpe.to_str())["model"]
bpe_tokens = [t for t, _ in sorted(bpe_spec["vocab"].items(), key=lambda x: x[1])]
bpe_merges = [m if isinstance(m, str) else " ".join(m) for m in bpe_spec["merges"]]


def pre_file(path, name):
    def extra(w):
        w.add_token_merges(bpe_merges)
        w.add_bos_token_id(len(bpe_tokens))
        w.add_tokenizer_pre(name)  # the last: the test writes over it
    write(path, "gpt2", bpe_tokens + ["<|special|>"], [1] * len(bpe_tokens) + [3], extra)


UPPER, LOWER, END = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"


def cased(upper, lower, end, digits, rest="[\\r\\n/]*"):
    return (rf"[^\r\n\p{{L}}\p{{N}}]?{upper}*{lower}+{end}|[^\r\n\p{{L}}\p{{N}}]?{upper}+{lower}*{end}|{digits}"
            rf"| ?[^\s\p{{L}}\p{{N}}]+{rest}|\s*[\r\n]+|\s+(?!\S)|\s+")


O200K = cased(UPPER, LOWER, END, r"\p{N}{1,3}")
NOT_HAN = r"(?:(?!\p{Han})%s)"
# llama.cpp approximates these; the reference is the tokenizers library with the models' own expressions.
own = {
    "gpt-4o": [O200K], "tekken": [cased(UPPER, LOWER, "", r"\p{N}")], "tiny_aya": [r"\d{1,3}(?=(?:\d{3})*\b)", O200K],
    "granite-embed-multi-97m": [O200K],
    "kimi-k2": [r"\p{Han}+|" + cased(NOT_HAN % UPPER, NOT_HAN % LOWER, END, r"\p{N}{1,3}", "[\\r\\n]*")],
}
whole = {"tekken", "granite-embed-multi-97m"}
names = ("default llama-bpe minicpm5 dbrx qwen2 qwen35 ufakzeka laguna jais-2 seed-coder bailingmoe exaone-moe deepseek-llm "
         "deepseek-coder deepseek-v3 spark2_5 starcoder gpt-2 falcon bloom viking superbpe chameleon").split()
pre = {}
gguf_path = os.path.join(out, "pre.vocab.gguf")
for name in names:
    pre_file(gguf_path, name)
    pre[name] = llama(gguf_path, "0", plain)
for name, expressions in own.items():
    tok = Tokenizer(M.BPE(vocab=bpe_spec["vocab"], merges=[tuple(m.split(" ")) for m in bpe_merges], ignore_merges=name in whole))
    tok.pre_tokenizer = P.Sequence([P.Split(Regex(e), "isolated") for e in expressions] + [P.ByteLevel(add_prefix_space=False, use_regex=False)])
    pre[name] = [tok.encode(t).ids for t in plain]
pre_file(gguf_path, "PRETOKENIZER")
dump("pre.json", pre)

uni = sp.SentencePieceProcessor(model_file=os.path.join(out, "sp_unigram.model"))
pieces = [uni.id_to_piece(i) for i in range(uni.vocab_size())]


def t5_extra(w):
    w.add_token_scores([uni.get_score(i) for i in range(uni.vocab_size())])
    w.add_precompiled_charsmap(small_map)
    w.add_remove_extra_whitespaces(True)
    w.add_add_space_prefix(True)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_unk_token_id(0)


write(os.path.join(out, "t5.vocab.gguf"), "t5", pieces, [2, 3, 3] + [1] * (len(pieces) - 3), t5_extra)
dump("t5.json", llama(os.path.join(out, "t5.vocab.gguf"), "1", plain))
words = sorted({w.encode()[:k] for s in plain for w in s.split(" ") for k in range(2, 12)} - {b"", b"<s>"})[:400]
rwkv = [bytes([b]) for b in range(256)] + [w for w in words if len(w) > 1]
write(os.path.join(out, "rwkv.vocab.gguf"), "rwkv", ["<s>"] + [repr(t)[2:-1] for t in rwkv], [3] + [1] * len(rwkv), lambda w: None)
dump("rwkv.json", llama(os.path.join(out, "rwkv.vocab.gguf"), "0", plain))
