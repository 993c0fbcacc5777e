#!/usr/bin/env python3
"""PyTorch's side of bench/train: whole training steps (forward, backward, AdamW) on the CPU of a model with random weights.

    train_peer.py FOLDER TOKENS BATCH LENGTH STEPS TYPE THREADS [RANK]

FOLDER holds config.json, TOKENS is hone data's train.tokens (ids of 16 bits). TYPE: float32, or bfloat16 (autocast; master
weights in float32). Eager first, then compiled, after a step of each that does not count. With RANK: LoRA by PEFT beside
weights of TYPE, eager only. A line a mode: mode tokens_s cpu_s_token peak_bytes
"""
import array
import os
import sys
import time

folder, tokens, batch, length, steps, kind, threads = sys.argv[1:8]
batch, length, steps, threads = int(batch), int(length), int(steps), int(threads)
rank = int(sys.argv[8]) if len(sys.argv) > 8 else 0
os.environ["OMP_NUM_THREADS"] = str(threads)
import torch  # noqa: E402 (after the environment)
import transformers  # noqa: E402
from peer_process import peak  # noqa: E402

torch.set_num_threads(threads)
torch.manual_seed(0)
transformers.logging.set_verbosity_error()
config = transformers.AutoConfig.from_pretrained(folder)
if rank:
    from peft import LoraConfig, get_peft_model

    torch.set_default_dtype(getattr(torch, kind))
model = transformers.AutoModelForCausalLM.from_config(config)
model.config.use_cache = False
if rank:
    torch.set_default_dtype(torch.float32)
    model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"))
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-3, weight_decay=0.1, fused=True)
ids = array.array("H")
with open(tokens, "rb") as f:
    ids.frombytes(f.read(2 * batch * (steps + 1)))
ids = torch.tensor(ids, dtype=torch.long).view(steps + 1, batch // length, length)


def step(f, rows):
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=kind == "bfloat16" and not rank):
        loss = f(input_ids=rows, labels=rows).loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.item()


def measure(mode, f):
    step(f, ids[0])
    peak(reset=True)
    wall, cpu = time.perf_counter(), time.process_time()
    for i in range(steps):
        step(f, ids[i + 1])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(mode, batch * steps / wall, cpu / (batch * steps), peak(), flush=True)


measure("eager", model)
if not rank and os.environ.get("COMPILE", "1") == "1":
    try:
        measure("compiled", torch.compile(model, dynamic=False))
    except Exception as e:  # no C++ compiler, an operation that it cannot
        print("torch.compile failed:", str(e).splitlines()[0] if str(e) else type(e).__name__, file=sys.stderr)
