"""The tokenizers package learns a vocabulary: CPU seconds and wall seconds, and whether hone's merges are the same.

    python tokenizer_train_peer.py HONE_TOKENIZER_JSON MIN_FREQUENCY TEXT_JSONL
"""
import json
import os
import sys
import time

from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

hone = json.load(open(sys.argv[1], encoding="utf-8"))
texts = [json.loads(line)["text"] for line in open(sys.argv[3], encoding="utf-8")]
steps = [
    pre_tokenizers.Split(Regex(p["pattern"]["Regex"]), "isolated")
    if p["type"] == "Split"
    else pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for p in hone["pre_tokenizer"]["pretokenizers"]
]
t = Tokenizer(models.BPE())
t.pre_tokenizer = pre_tokenizers.Sequence(steps)
trainer = trainers.BpeTrainer(
    vocab_size=len(hone["model"]["vocab"]),
    min_frequency=int(sys.argv[2]),
    special_tokens=[a["content"] for a in hone["added_tokens"]],
    initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    show_progress=False,
)
before, cpu = time.monotonic(), os.times()
t.train_from_iterator(texts, trainer)
after, done = os.times(), time.monotonic()
same = json.loads(t.to_str())["model"]["merges"] == hone["model"]["merges"]
print(json.dumps({"cpu_s": after.user + after.system - cpu.user - cpu.system, "wall_s": done - before, "same": same}))
