#!/usr/bin/env python3
"""Perplexity of stories260k by Hugging Face transformers, under hone's protocol (src/eval/eval.h).

    python3.11 -m venv v && v/bin/pip install torch==2.9.1 transformers==4.57.6 numpy safetensors \
        sentencepiece protobuf
    v/bin/python tests/golden/hf_perplexity.py [--text FILE] [--out tests/golden/data/stories260k_ppl.json]

Nothing here is hone's code: the windows are cut by a second implementation, written from the protocol's
description, the logits are transformers' in float32 and the sums are numpy's in float64.

Protocol: t[0..n) is the text's tokens without BOS; each window begins with BOS (b = 1) and holds
P = context - b tokens of the text; windows begin at multiples of S = min(stride, P) until one reaches the
end; the last may be shorter. A token is scored once, in the first window that holds it after a
predecessor (BOS is one). Score: -ln p(token).
"""
import argparse
import hashlib
import json
import os
import platform

import numpy
import torch
import transformers
from transformers import AutoTokenizer, LlamaForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
SLICE = (1_000_000, 1_000_000 + 32_768)  # bytes of tinystories_sample.txt, then cut to whole UTF-8
CASES = [(128, 128), (256, 256), (512, 512), (256, 64)]  # (context, stride)


def windows(n, context, stride, bos):
    payload = context - (1 if bos else 0)
    step = min(stride, payload)
    scored_to = 0
    begin = 0
    while True:
        end = min(begin + payload, n)
        first = max(scored_to, begin if bos else begin + 1)
        yield begin, end, first
        scored_to = end
        if end == n:
            return
        begin += step


def perplexity(model, ids, context, stride, bos):
    nll = numpy.zeros(len(ids))
    count = numpy.zeros(len(ids), dtype=int)
    number = 0
    for begin, end, first in windows(len(ids), context, stride, bos is not None):
        number += 1
        row = ([bos] if bos is not None else []) + ids[begin:end]
        shift = len(row) - (end - begin)
        with torch.no_grad():
            logits = model(torch.tensor([row])).logits[0].double().numpy()
        for i in range(first, end):
            x = logits[i - begin + shift - 1]
            top = x.max()
            nll[i] = numpy.log(numpy.exp(x - top).sum()) + top - x[ids[i]]
            count[i] += 1
    assert count.max() == 1
    total, scored = float(nll.sum()), int(count.sum())
    return {
        "context": context,
        "stride": min(stride, context - (1 if bos is not None else 0)),
        "bos": bos if bos is not None else -1,
        "windows": number,
        "scored": scored,
        "nll_sum": total,
        "perplexity": float(numpy.exp(total / scored)),
        "nll_first_16": [float(v) for v in nll[:16]],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    shared = os.environ.get("HONE_SHARED", os.path.join(HERE, "..", "..", "..", "shared"))
    default = os.path.join(shared, "data", "tinystories", "tinystories_sample.txt")
    parser.add_argument("--model", default=os.path.join(HERE, "..", "..", "..", "shared", "data", "stories260k", "hf"))
    parser.add_argument("--text", default=default)
    parser.add_argument("--out", default=os.path.join(HERE, "data", "stories260k_ppl.json"))
    a = parser.parse_args()
    torch.set_num_threads(1)
    with open(a.text, "rb") as f:
        whole = f.read()
    text = whole[SLICE[0] : SLICE[1]].decode("utf-8", errors="strict")
    tokenizer = AutoTokenizer.from_pretrained(a.model)
    model = LlamaForCausalLM.from_pretrained(a.model, dtype=torch.float32, attn_implementation="eager")
    model.eval()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    with_special = tokenizer(text)["input_ids"]
    adds_bos = with_special[0] == tokenizer.bos_token_id and with_special[1:] == ids
    assert adds_bos
    bos = tokenizer.bos_token_id
    out = {
        "model": "stories260k/hf",
        "versions": {
            "transformers": transformers.__version__,
            "torch": torch.__version__.split("+")[0],
            "numpy": numpy.__version__,
            "python": platform.python_version(),
        },
        "dtype": "float32",
        "attention": "eager",
        "text": {
            "file": "tinystories/tinystories_sample.txt",
            "file_sha256": hashlib.sha256(whole).hexdigest(),
            "begin": SLICE[0],
            "end": SLICE[1],
            "sha256": hashlib.sha256(text.encode()).hexdigest(),
            "tokens": len(ids),
            "first_64_ids": ids[:64],
        },
        "results": [perplexity(model, ids, c, s, bos) for c, s in CASES]
        + [perplexity(model, ids, 256, 256, None)],
    }
    with open(a.out, "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")
    for r in out["results"]:
        print({k: v for k, v in r.items() if k != "nll_first_16"})


if __name__ == "__main__":
    main()
