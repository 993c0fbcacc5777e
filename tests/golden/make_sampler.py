"""Distributions after transformers' logits processors -> tests/golden/data/sampler.json.

    python -m venv v && v/bin/pip install torch transformers numpy && v/bin/python tests/golden/make_sampler.py

Order: SequenceBias, RepetitionPenalty, (frequency and presence: OpenAI's formula, transformers has none),
Temperature, TopK, TopP, MinP; then softmax in float64.
"""
import json
import os

import numpy as np
import torch
import transformers
from transformers.generation import logits_process as lp

VOCAB = 97
CASES = [
    {},
    dict(temperature=0.7),
    dict(temperature=1.8),
    dict(top_k=1),
    dict(top_k=7),
    dict(top_k=500),
    dict(top_p=0.1),
    dict(top_p=0.5, temperature=1.3),
    dict(top_p=0.95),
    dict(min_p=0.05),
    dict(min_p=0.3, temperature=2.0),
    dict(top_k=20, top_p=0.8, min_p=0.1, temperature=1.5),
    dict(repetition_penalty=1.3),
    dict(repetition_penalty=0.8, temperature=0.9),
    dict(frequency_penalty=0.4, presence_penalty=0.7),
    dict(repetition_penalty=1.2, frequency_penalty=-0.3, presence_penalty=0.2, top_k=30, top_p=0.9),
    dict(bias={"3": 2.5, "50": -4.0, "96": 1.0}),
    dict(bias={"3": 5.0, "10": -100.0}, repetition_penalty=1.5, top_p=0.7),
    dict(penalty_window=4, repetition_penalty=2.0, presence_penalty=0.5),
]


def distribution(logits, history, c):
    x = torch.tensor(logits[None], dtype=torch.float32)
    ids = torch.tensor([history])
    if c.get("bias"):
        x = lp.SequenceBiasLogitsProcessor([[[int(k)], v] for k, v in c["bias"].items()])(ids, x)
    window = history[-c["penalty_window"]:] if "penalty_window" in c else history
    if "repetition_penalty" in c:
        x = lp.RepetitionPenaltyLogitsProcessor(c["repetition_penalty"])(torch.tensor([window]), x)
    if "frequency_penalty" in c or "presence_penalty" in c:
        count = torch.bincount(torch.tensor(window), minlength=VOCAB)
        x = x - count * c.get("frequency_penalty", 0) - (count > 0) * c.get("presence_penalty", 0)
    if "temperature" in c:
        x = lp.TemperatureLogitsWarper(c["temperature"])(ids, x)
    if "top_k" in c:
        x = lp.TopKLogitsWarper(c["top_k"])(ids, x)
    if "top_p" in c:
        x = lp.TopPLogitsWarper(c["top_p"])(ids, x)
    if "min_p" in c:
        x = lp.MinPLogitsWarper(c["min_p"])(ids, x)
    return torch.softmax(x.double(), -1)[0].tolist()


def main():
    rng = np.random.default_rng(20261121)
    out = []
    for c in CASES:
        logits = (rng.standard_normal(VOCAB) * 3).astype(np.float32)
        history = rng.integers(0, VOCAB, 40).tolist() + [5, 5, 5, 60]
        out.append(dict(settings=c, logits=[float(v) for v in logits], history=history,
                        probability=distribution(logits, history, c)))
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "sampler.json")
    with open(path, "w") as f:
        json.dump(dict(transformers=transformers.__version__, torch=torch.__version__, vocab=VOCAB, cases=out), f)
        f.write("\n")


main()
