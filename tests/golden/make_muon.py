#!/usr/bin/env python3
"""Three steps of Muon -> data/muon.safetensors, for tests/golden/test_muon.c.

    python3 -m venv v && v/bin/pip install torch==2.9.1 numpy safetensors
    v/bin/python tests/golden/make_muon.py tests/golden/data/muon.safetensors

Weights and gradients are numbers of a formula that the test has too. Of each tensor at most 512 values are kept,
evenly spread. Four runs: torch.optim.Muon as it is (it iterates in bfloat16), and a transcription of it in which the
iteration is in float32: with and without Nesterov's momentum, with both scales, with clipping in the last.
AdamW is PyTorch's own.
"""
import math
import sys

import numpy
import torch
from safetensors.torch import save_file

H, F, V, Q, KV = 16, 1100, 24, 32, 16
RATE, DECAY, STEPS = 0.02, 0.1, 3
L = "model.layers.0."
SHAPES = {
    "model.embed_tokens.weight": (V, H), "lm_head.weight": (V, H), "model.norm.weight": (H,),
    L + "input_layernorm.weight": (H,), L + "post_attention_layernorm.weight": (H,),
    L + "self_attn.q_proj.weight": (Q, H), L + "self_attn.k_proj.weight": (KV, H),
    L + "self_attn.v_proj.weight": (KV, H), L + "self_attn.o_proj.weight": (H, Q),
    L + "mlp.gate_proj.weight": (F, H), L + "mlp.up_proj.weight": (F, H), L + "mlp.down_proj.weight": (H, F),
}


def numbers(name, step, shape, scale):
    """splitmix64 of FNV-1a(name) + step, the upper 24 bits as a number in [-1, 1)"""
    seed = 0xcbf29ce484222325
    for c in name.encode():
        seed = (seed ^ c) * 0x100000001b3 % 2**64
    with numpy.errstate(over="ignore"):
        x = numpy.uint64(seed) + numpy.uint64(step) + numpy.arange(
            1, math.prod(shape) + 1, dtype=numpy.uint64) * numpy.uint64(0x9e3779b97f4a7c15)
        x = (x ^ (x >> numpy.uint64(30))) * numpy.uint64(0xbf58476d1ce4e5b9)
        x = (x ^ (x >> numpy.uint64(27))) * numpy.uint64(0x94d049bb133111eb)
        x = x ^ (x >> numpy.uint64(31))
    v = (x >> numpy.uint64(40)).astype(numpy.float32) / numpy.float32(2**23) - numpy.float32(1)
    return torch.from_numpy(v * numpy.float32(scale)).reshape(shape)


class Transcribed(torch.optim.Optimizer):
    """torch.optim.Muon with the iteration in float32"""

    def __init__(self, params, lr, momentum, nesterov, original):
        super().__init__(params, dict(lr=lr, momentum=momentum, nesterov=nesterov, original=original))

    @torch.no_grad()
    def step(self):
        for g in self.param_groups:
            for p in g["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                m.lerp_(p.grad, 1 - g["momentum"])
                x = p.grad.lerp(m, g["momentum"]) if g["nesterov"] else m.clone()
                tall = x.size(0) > x.size(1)
                x = x.T if tall else x
                x = x / x.norm().clamp(min=1e-7)
                for _ in range(5):
                    a = x @ x.T
                    x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
                x = x.T if tall else x
                n, k = p.shape
                scale = math.sqrt(max(1, n / k)) if g["original"] else 0.2 * math.sqrt(max(n, k))
                p.mul_(1 - g["lr"] * DECAY).add_(x, alpha=-g["lr"] * scale)


def run(muon, clip):
    params = {n: torch.nn.Parameter(numbers(n, 0, s, 0.125)) for n, s in SHAPES.items()}
    hidden = [p for n, p in params.items() if "_proj" in n]
    tables = [p for n, p in params.items() if "embed" in n or "head" in n]
    norms = [p for n, p in params.items() if "norm" in n]
    optimizers = [muon(hidden), torch.optim.AdamW([{"params": tables, "weight_decay": DECAY},
                                                   {"params": norms, "weight_decay": 0.0}],
                                                  lr=RATE, betas=(0.9, 0.95), eps=1e-8)]
    for step in range(1, STEPS + 1):
        for n, p in params.items():
            p.grad = numbers(n, step, SHAPES[n], 2.0**-7)
        if clip:
            torch.nn.utils.clip_grad_norm_(params.values(), clip)
        for o in optimizers:
            o.step()
    return {n: p.detach() for n, p in params.items()}


def sample(x):
    x = x.flatten()
    return x[::(x.numel() + 511) // 512].contiguous()


runs = {
    "torch": run(lambda p: torch.optim.Muon(p, lr=RATE, weight_decay=DECAY, momentum=0.95, nesterov=True,
                                            adjust_lr_fn="match_rms_adamw"), 0),
    "match-rms": run(lambda p: Transcribed(p, RATE, 0.95, True, False), 0),
    "original": run(lambda p: Transcribed(p, RATE, 0.95, True, True), 0),
    "plain": run(lambda p: Transcribed(p, RATE, 0.9, False, True), 0.5),
}
for n in SHAPES:
    start = numbers(n, 0, SHAPES[n], 0.125)
    a, b = runs["torch"][n] - start, runs["match-rms"][n] - start
    print(f"{n}: bfloat16 differs by {float((a - b).norm() / b.norm()):.3g} of the way")
save_file({f"{r}/{n}": sample(x) for r, all_ in runs.items() for n, x in all_.items()}, sys.argv[1],
          metadata={"torch": torch.__version__})
