#!/usr/bin/env python3
"""Rotary frequencies of transformers for every scaling that hone reads -> data/rope.json.

    python3 -m venv v && v/bin/pip install torch==2.9.1 transformers==4.57.6
    v/bin/python tests/golden/make_rope.py > tests/golden/data/rope.json
"""
import json
import torch
import transformers
from transformers import LlamaConfig
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

cases = [
    ("default", 128, 8192, 10000.0, None),
    ("linear", 64, 4096, 10000.0, {"rope_type": "linear", "factor": 2.5}),
    ("dynamic", 64, 2048, 10000.0, {"rope_type": "dynamic", "factor": 4.0}),
    ("yarn", 128, 131072, 1000000.0,
     {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}),
    ("yarn-deepseek", 64, 163840, 10000.0,
     {"rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096,
      "beta_fast": 32, "beta_slow": 1, "mscale": 1.0, "mscale_all_dim": 0.707}),
    ("llama3", 128, 131072, 500000.0,
     {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}),
    ("llama3.2", 64, 131072, 500000.0,
     {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}),
]
out = {"transformers": transformers.__version__, "torch": torch.__version__, "cases": []}
for name, head_dim, context, theta, scaling in cases:
    c = LlamaConfig(hidden_size=head_dim * 4, num_attention_heads=4, head_dim=head_dim,
                    max_position_embeddings=context, rope_theta=theta, rope_scaling=scaling)
    kind = scaling["rope_type"] if scaling else "default"
    inv, factor = ROPE_INIT_FUNCTIONS[kind](c, "cpu")
    position = [0, 1, 7, 511, 4095, 100003]
    angle = torch.tensor(position, dtype=torch.float32)[:, None] * inv[None, :]
    out["cases"].append({
        "name": name, "head_dim": head_dim, "config": {
            "model_type": "llama", "max_position_embeddings": context, "rope_theta": theta,
            "rope_scaling": scaling},
        "inv_freq": inv.tolist(), "attention_factor": float(factor), "positions": position,
        "cos": (angle.cos() * factor).tolist(), "sin": (angle.sin() * factor).tolist()})
print(json.dumps(out))
