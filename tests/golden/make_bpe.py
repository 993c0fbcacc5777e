"""tests/golden/data/bpe/*.json: vocabularies that the tokenizers package learns (tokenizers 0.22.2).

    python make_bpe.py OUT_FOLDER

The texts are made here, by a small generator, so that they need no source: words of Zipf's frequencies over a few
letters (many pairs tie), runs of one letter (pairs overlap themselves), words that are made of two others in two ways
(the same token from two merges), digits, several scripts, line ends. Each file holds the documents, what was asked for,
and the vocabulary and merges in order. test_bpe_golden.c learns the same.
"""
import json
import random
import sys
from pathlib import Path

import tokenizers
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def words(rng, letters, count, length):
    return ["".join(rng.choice(letters) for _ in range(rng.randint(1, length))) for _ in range(count)]


def zipf(rng, vocabulary, n):
    weights = [1 / (i + 1) for i in range(len(vocabulary))]
    return " ".join(rng.choices(vocabulary, weights, k=n))


def ties(rng):
    return [zipf(rng, words(rng, "abc", 40, 6), 60) for _ in range(12)]


def runs(rng):
    return [" ".join("ab"[rng.randint(0, 1)] * rng.randint(1, 17) for _ in range(30)) for _ in range(6)] + [
        "a" * 70 + "b" * 33 + "ab" * 40 + "aba" * 20
    ]


def nested(rng):
    base = words(rng, "xyz", 6, 2)
    return [" ".join("".join(rng.choices(base, k=rng.randint(1, 5))) for _ in range(50)) for _ in range(8)]


def prose(rng):
    some = words(rng, "etaoinshrdlu", 80, 7) + ["don't", "I'm", "WE'LL", "naïve", "größe", "слово", "λόγος", "日本語", "12345", "3.14", "--", "(x)"]
    texts = [zipf(rng, rng.sample(some, len(some)), 50).replace(" e", ".\n") for _ in range(10)]
    return texts + ["  two  blanks\t\ttabs\r\n\r\nends  ", "\n\n\nx"]


CASES = [
    # name, pre-tokenizer of GGUF, its expression, texts, vocabulary, least frequency, most bytes of a token
    ("ties", "gpt-2", GPT2, ties, 320, 2, 0),
    ("ties_to_the_end", "gpt-2", GPT2, ties, 5000, 0, 0),
    ("runs", "gpt-2", GPT2, runs, 300, 0, 0),
    ("nested", "gpt-2", GPT2, nested, 420, 1, 0),
    ("nested_short", "gpt-2", GPT2, nested, 420, 1, 4),
    ("prose", "llama-bpe", LLAMA3 % r"\p{N}{1,3}", prose, 400, 2, 0),
    ("prose_digits", "qwen2", LLAMA3 % r"\p{N}", prose, 700, 2, 0),
]


def main(out):
    assert tokenizers.__version__ == "0.22.2", tokenizers.__version__
    for name, pre, expression, make, vocab, frequency, longest in CASES:
        texts = make(random.Random(name.split("_")[0]))
        t = Tokenizer(models.BPE())
        t.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        specials = ["<|endoftext|>", "<|user|>"]
        # The package's bound is that of a token which is no longer allowed.
        more = {"max_token_length": longest + 1} if longest else {}
        t.train_from_iterator(
            texts,
            trainers.BpeTrainer(
                vocab_size=vocab, min_frequency=frequency, special_tokens=specials,
                initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False, **more,
            ),
        )
        model = json.loads(t.to_str())["model"]
        pieces = [p for p, _ in sorted(model["vocab"].items(), key=lambda x: x[1])]
        assert [model["vocab"][p] for p in pieces] == list(range(len(pieces)))
        data = {
            "made_by": "make_bpe.py, tokenizers " + tokenizers.__version__,
            "pre": pre, "vocab": vocab, "min_frequency": frequency, "max_token_bytes": longest, "specials": specials,
            "texts": texts, "pieces": pieces[len(specials) + 256 :], "merges": model["merges"],
        }
        path = Path(out) / (name + ".json")
        path.write_text(json.dumps(data, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")
        print(name, len(pieces), len(model["merges"]), path.stat().st_size)


main(sys.argv[1])
