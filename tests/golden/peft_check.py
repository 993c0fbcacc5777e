#!/usr/bin/env python3
"""An adapter that hone train wrote, loaded by PEFT: the same logits in float32 as hone's own, unmerged and merged.

    peft_check.py HONE SOURCE_DIR        exit code 77: no peft here
"""
import json
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import peft
    import torch
    from transformers import AutoModelForCausalLM
except ImportError as e:
    print("SKIP golden.peft:", e)
    sys.exit(77)

hone, source = sys.argv[1:3]
failures = 0


def run(*command):
    done = subprocess.run([hone, *map(str, command)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"FAIL: {command}: {done.stderr}")


def logits_of(model, ids, *more):
    path = os.path.join(work, "x.npy")
    run("logits", model, "--tokens", ",".join(map(str, ids)), "--dtype", "f32", "-o", path, *more)
    return np.load(path).reshape(-1)


def check(what, a, b):
    global failures
    off = float(np.abs(a - b).max())
    print(f"{what}: largest difference {off:.2e} of {np.abs(b).max():.2f}")
    if not off < 1e-4 * max(1.0, np.abs(b).max()):
        failures += 1
        print("FAIL:", what)


with tempfile.TemporaryDirectory() as work:
    os.environ["HONE_HOME"] = os.environ["HONE_CACHE"] = os.path.join(work, "home")
    pieces, text, data = (os.path.join(work, n) for n in ("pieces", "text.txt", "data"))
    with open(text, "w") as f:
        f.writelines(f"Line {i} is followed by line {i + 1}, and {i % 7} cats.\n" for i in range(200))
    run("tokenizer", "train", text, "-o", pieces, "--vocab", 400)
    run("data", pieces, text, "-o", data)
    cases = (("llama", []), ("llama", ["--dora", "--rslora"]), ("gpt2", ["--dora"]), ("gpt2", []),
             ("llama", ["--targets", r".*\.[02]\..*(q_proj|up_proj)", "--dropout", "0.2"]))
    for i, (name, options) in enumerate(cases):
        model = os.path.join(source, "tests/golden/data/models", name)
        folder = os.path.join(work, f"adapter{i}")
        run("train", data, "--model", model, "-o", folder, "--lora", 4, "--steps", 30, "--batch", 256, "--length", 64,
            "--rate", 0.01, *options)
        ids = [5, 9, 4, 7, 11, 3, 8]
        base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")
        with torch.no_grad():
            plain = base(torch.tensor([ids])).logits[0, -1].numpy().copy()
            adapted = peft.PeftModel.from_pretrained(base, folder).eval()
            want = adapted(torch.tensor([ids])).logits[0, -1].numpy()
        what = " ".join([name, *options])
        check(what, logits_of(model, ids, "--adapter", folder)[-want.size:], want)
        if np.abs(plain - want).max() < 1e-3:
            failures += 1
            print("FAIL: the adapter does nothing")
        merged = folder + "-merged"
        run("export", model, "--adapter", folder, "--type", "f32", "-o", merged)
        check(what + ", merged", logits_of(merged, ids)[-want.size:], want)
sys.exit(failures != 0)
