#!/usr/bin/env python3
"""A LoRA step by PEFT on the CPU beside hone's (bench/README.md): CPU time and memory, random weights in the shape of
Llama 3.2 1B, all linear modules of the layers.

    bench/finetune_peer.py [STEPS [TOKENS [LENGTH [RANK [float32|bfloat16]]]]]       python with torch, transformers, peft
"""
import os
import resource
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

steps, tokens, length, rank = [int(x) for x in sys.argv[1:5]] + [3, 512, 256, 16][len(sys.argv[1:5]):]
dtype = getattr(torch, sys.argv[5]) if len(sys.argv) > 5 else torch.bfloat16
torch.set_num_threads(int(os.environ.get("THREADS", 2)))
torch.set_default_dtype(dtype)
model = LlamaForCausalLM(LlamaConfig(vocab_size=128256, hidden_size=2048, intermediate_size=8192, num_hidden_layers=16,
                                     num_attention_heads=32, num_key_value_heads=8, head_dim=64,
                                     tie_word_embeddings=True))
torch.set_default_dtype(torch.float32)
model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"))
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3)
ids = torch.randint(0, 128256, (tokens // length, length))
for step in range(steps):
    cpu, wall = time.process_time(), time.time()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(f"step {step}: loss {loss.item():.3f}, {1000 * (time.process_time() - cpu) / tokens:.1f} CPU ms/token, "
          f"{tokens / (time.time() - wall):.1f} tokens/s, peak "
          f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB", flush=True)
