"""Sentences per second of hone embed beside transformers (torch), on the same random all-MiniLM-L6 in one run.

Both programs take the same lines and the same number of threads, sort them by length and batch them; loading is
left out, turning text into tokens is counted. A B A B..., medians. CPU seconds (user and system), so that the figures
mean something on a busy machine; of hone those of a run minus those of one with a single line. More than one thread
counts against torch, whose threads spin while they wait.

Run: python bench/embed.py HONE ../shared/data [THREADS]    (torch, transformers)
"""
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import torch
import transformers as tf

HONE, DATA = sys.argv[1:3]
THREADS = int(sys.argv[3]) if len(sys.argv) > 3 else 1
ROUNDS, BATCH, COUNT = 3, 32, 256
torch.set_num_threads(THREADS)


def sentences():
    with open(os.path.join(DATA, "stsbenchmark", "sts-dev.csv"), encoding="utf-8") as f:
        lines = [part for row in f for part in row.rstrip("\n").split("\t")[5:7]]
    return lines[:COUNT]


def passages():
    with open(os.path.join(DATA, "wikitext-2", "valid.txt"), encoding="utf-8") as f:
        lines = [x.strip() for x in f if len(x) > 200]
    return [x[:700] for x in lines[: COUNT // 8]]


def torch_run(model, tokenizer, lines, dtype):
    start = time.process_time()
    order = sorted(range(len(lines)), key=lambda i: -len(lines[i]))
    out = [None] * len(lines)
    with torch.inference_mode():
        for at in range(0, len(order), BATCH):
            part = order[at: at + BATCH]
            e = tokenizer([lines[i] for i in part], padding=True, truncation=True, max_length=256, return_tensors="pt")
            h = model(**e).last_hidden_state.float()
            m = e["attention_mask"].unsqueeze(-1).float()
            v = torch.nn.functional.normalize((h * m).sum(1) / m.sum(1), dim=1)
            for i, x in zip(part, v):
                out[i] = x
    return time.process_time() - start, torch.stack(out)


def hone_run(folder, path, dtype, out):
    r = subprocess.run([HONE, "embed", folder, path, "--max-tokens", "256", "--truncate", "--pooling", "mean",
                        "--dtype", dtype, "--threads", str(THREADS), "-o", out, "--json"],
                       capture_output=True, text=True, check=True)
    j = json.loads(r.stdout)
    return j["tokens"]


def cpu_of(*args):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    tokens = hone_run(*args)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, tokens


with tempfile.TemporaryDirectory() as work:
    config = tf.BertConfig(vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
                           intermediate_size=1536, max_position_embeddings=512)
    torch.manual_seed(1)
    model = tf.BertModel(config).eval()
    folder = os.path.join(work, "model")
    model.save_pretrained(folder)
    for f in os.listdir(os.path.join(DATA, "tokenizers", "all-MiniLM-L6-v2")):
        shutil.copy(os.path.join(DATA, "tokenizers", "all-MiniLM-L6-v2", f), folder)
    tokenizer = tf.PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"), pad_token="[PAD]")
    models = {"f32": model, "bf16": tf.BertModel.from_pretrained(folder, dtype=torch.bfloat16).eval()}
    print(f"all-MiniLM-L6 (random weights), {THREADS} thread(s), torch {torch.__version__}, medians of {ROUNDS}")
    for name, lines in (("sentences", sentences()), ("passages", passages())):
        path = os.path.join(work, name)
        with open(path, "w", encoding="utf-8") as f:
            f.writelines(x + "\n" for x in lines)
        one = os.path.join(work, "one")
        with open(one, "w", encoding="utf-8") as f:
            f.write("one\n")
        for dtype in ("f32", "bf16"):
            a, b = [], []
            for i in range(ROUNDS + 1):
                out = os.path.join(work, "v.npy")
                h = cpu_of(folder, path, dtype, out)
                h, tokens = h[0] - cpu_of(folder, one, dtype, out)[0], h[1]
                t, _ = torch_run(models[dtype], tokenizer, lines, dtype)
                if i:  # the first round warms both up
                    a.append(h)
                    b.append(t)
            ratio = statistics.median(y / x for x, y in zip(a, b))
            print(f"{name:10} {len(lines):5} of {tokens / len(lines):5.1f} tokens  {dtype:4}  "
                  f"hone {len(lines) / statistics.median(a):6.0f} per CPU second   torch {len(lines) / statistics.median(b):6.0f}"
                  f"   hone is {ratio:.2f} times as fast", flush=True)
