#!/usr/bin/env python3
"""Adapters made by PEFT beside the models in tests/golden/data/models, with what PEFT and PyTorch make of them:
logits, loss and gradients of A, B and magnitudes. Writes tests/golden/data/adapter/<case>/.

    pip install torch transformers peft safetensors
    python3 tests/golden/make_adapter.py

Made with torch 2.9.1 (CPU), transformers 4.57.6 and the peft version in each adapter_config.json.
"""
import json
import os
import sys

import peft
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "data")
CASES = {
    "lora": ("llama", dict(r=2, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"],
                           layers_to_transform=[3])),
    "dora": ("llama", dict(r=1, lora_alpha=3, use_dora=True, use_rslora=True,
                           target_modules=r"model\.layers\.1\..*_proj")),
    "gpt2": ("gpt2", dict(r=2, lora_alpha=2, target_modules=r"transformer\.h\.1\.(attn\.c_attn|attn\.c_proj|mlp\.c_fc)",
                          use_dora=False)),
    "gpt2-dora": ("gpt2", dict(r=1, lora_alpha=2, target_modules=r"transformer\.h\.0\.attn\.c_attn", use_dora=True)),
}


def make(name, base, options):
    torch.manual_seed(len(name) + 17)
    folder = os.path.join(DATA, "adapter", name)
    model = AutoModelForCausalLM.from_pretrained(os.path.join(DATA, "models", base), dtype=torch.float32,
                                                 attn_implementation="eager")
    model = peft.get_peft_model(model, peft.LoraConfig(task_type="CAUSAL_LM", **options))
    for key, p in model.named_parameters():
        if "lora_B" in key:
            p.data = torch.randn_like(p) * 0.1
        elif "lora_magnitude" in key:
            p.data *= 1 + 0.2 * torch.randn_like(p)
    model.eval()
    os.makedirs(folder, exist_ok=True)
    model.save_pretrained(folder)
    path = os.path.join(folder, "adapter_config.json")
    config = json.load(open(path))
    config["base_model_name_or_path"] = base
    json.dump(config, open(path, "w"), indent=1, sort_keys=True)
    for other in os.listdir(folder):
        if other not in ("adapter_config.json", "adapter_model.safetensors"):
            os.remove(os.path.join(folder, other))
    ids = torch.randint(3, model.config.vocab_size, (2, 12))
    out = model(ids, labels=ids)
    out.loss.backward()
    tensors = {"ids": ids, "loss": out.loss.detach().reshape(1),
               "logits": out.logits[0, -1:].detach().clone()}
    saved = load_file(os.path.join(folder, "adapter_model.safetensors"))
    for key, p in model.named_parameters():
        if not p.requires_grad:
            continue
        key = key.replace(".default", "")
        key = key if key in saved else key.removesuffix(".weight")
        assert saved[key].shape == p.shape and torch.equal(saved[key], p.data), key
        tensors["grad." + key] = p.grad.clone()
    assert len(tensors) == 3 + len(saved)
    save_file(tensors, os.path.join(folder, "reference.safetensors"))
    print(name, len(saved), "tensors, loss", float(out.loss))


for case in sys.argv[1:] or CASES:
    make(case, *CASES[case])
