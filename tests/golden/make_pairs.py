"""Writes data/pairs.json: pairs of texts encoded by the tokenizers package, whole and cut.

Run: python make_pairs.py ../../../shared/data/tokenizers >data/pairs.json   (tokenizers 0.22)
"""
import json
import os
import sys

from tokenizers import Tokenizer

NAMES = ["all-MiniLM-L6-v2", "roberta-base", "t5-small", "llama2", "clip"]
PAIRS = [
    ["what is a panda?", "The giant panda is a bear species endemic to China."],
    ["", "an empty query"],
    ["an empty document", ""],
    ["short", "word " * 60],
    ["word " * 60, "short"],
    ["alpha " * 40, "beta gamma " * 40],
    ["Zoë's naïve café – 東京", "¿Qué? ﬁne\n\ttabs  and blanks"],
]
out = []
for name in NAMES:
    path = os.path.join(sys.argv[1], name, "tokenizer.json")
    for most in (0, 7, 16, 17, 64):
        t = Tokenizer.from_file(path)
        t.no_padding()
        t.no_truncation()
        if most:
            t.enable_truncation(most, strategy="longest_first")
        for a, b in PAIRS:
            for pair in (True, False):
                e = t.encode(a, b) if pair else t.encode(a)
                out.append({"tokenizer": name, "most": most, "a": a, "b": b if pair else None,
                            "ids": e.ids, "types": e.type_ids})
json.dump(out, sys.stdout, ensure_ascii=False, separators=(",", ":"))
