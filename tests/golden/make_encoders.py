"""Encoders whose weights a formula makes, and what transformers computes from them, for
tests/golden/test_encoder_hashes.c: small enough to be in the tree.

    pip install torch==2.9.1 transformers==4.57.6 numpy
    python make_encoders.py SHARED/golden/models >data/encoders.json

The configurations are those of golden/models. Element i of the tensor NAME, with h the 32-bit FNV-1a hash of
NAME: x = (i + h) * 2654435761, x ^= x >> 15, x *= 0x2c1b3c6d, x ^= x >> 12, each modulo 2^32; u is
(x >> 8) / 2^24 - 0.5; then 1 + u/4 for weights of norms, 2u for embeddings, u/4 for biases, u/2 for the rest.
"""
import json
import os
import sys

import numpy as np
import torch
import transformers

TAKEN = {  # golden: results
    "bert": ("mean", "pooler"),
    "bert-classify": ("logits",),
    "roberta": ("mean", "cls"),
    "xlm_roberta-rerank": ("logits",),
    "modernbert": ("mean", "max"),
    "deberta_v2": ("logits",),
}
LENGTHS = (5, 61)


def values(name, shape):
    h = 2166136261
    for c in name.encode():
        h = (h ^ c) * 16777619 % 2**32
    x = (np.arange(np.prod(shape), dtype=np.uint64) + h) * 2654435761 % 2**32
    x ^= x >> 15
    x = x * 0x2C1B3C6D % 2**32
    x ^= x >> 12
    u = (x >> 8).astype(np.float32) / np.float32(2**24) - np.float32(0.5)
    if len(shape) == 1:
        u = np.float32(1) + u / 4 if name.endswith("weight") else u / 4
    else:
        u = u * 2 if "embeddings" in name else u / 2
    return torch.tensor(u.reshape(shape))


out = {"transformers": transformers.__version__, "torch": torch.__version__, "models": {}}
for golden, results in TAKEN.items():
    config = transformers.AutoConfig.from_pretrained(os.path.join(sys.argv[1], golden))
    config._attn_implementation = "eager"
    model = getattr(transformers, config.architectures[0])(config).float().eval()
    shapes = {k: list(v.shape) for k, v in model.state_dict().items() if v.is_floating_point()}
    model.load_state_dict({k: values(k, s) for k, s in shapes.items()}, strict=False)
    texts = []
    for n in LENGTHS:
        ids = [(37 * i + 11) % (config.vocab_size - 5) + 5 for i in range(n)]
        types = [int(i > n // 2) if getattr(config, "type_vocab_size", 0) == 2 else 0 for i in range(n)]
        given = {"input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, n, dtype=torch.long)}
        if config.model_type in ("bert", "deberta-v2"):
            given["token_type_ids"] = torch.tensor([types])
        both = []
        for dtype in (torch.float32, torch.float64):
            with torch.no_grad():
                r = model.to(dtype)(**given)
            get = {
                "mean": lambda: r.last_hidden_state[0].mean(0),
                "cls": lambda: r.last_hidden_state[0, 0],
                "max": lambda: r.last_hidden_state[0].max(0).values,
                "pooler": lambda: r.pooler_output[0],
                "logits": lambda: r.logits[0],
            }
            both.append({k: get[k]() for k in results})
        model.to(torch.float32)
        lost = max(float((both[0][k] - both[1][k]).abs().max()) for k in results)
        print(f"{golden} {n}: float32 loses {lost:.2g}", file=sys.stderr)
        want = {k: [float(f"{x:.8g}") for x in v.tolist()] for k, v in both[1].items()}
        texts.append({"ids": ids, "types": types} | want)
    keep = {k: v for k, v in config.to_diff_dict().items() if k != "torch_dtype"}
    keep["architectures"] = config.architectures
    out["models"][golden] = {"config": keep, "shapes": shapes, "texts": texts}
print("{")
for k in ("transformers", "torch"):
    print(f' "{k}": "{out[k]}",')
print(' "models": {')
print(",\n".join(f'  "{k}": ' + json.dumps(v, separators=(",", ":")) for k, v in out["models"].items()))
print(" }\n}")
