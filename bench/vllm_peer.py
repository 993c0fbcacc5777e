"""vLLM's side of bench/peers (its build for CPUs): python vllm_peer.py FOLDER THREADS DEPTH,... BATCH,...

A Hugging Face folder, in bfloat16 from end to end, compiled as vLLM does by default. Prints lines `test value`, in the
names of bench/peers: tokens per second; start in seconds, from the start of this process to the first token; peak in
bytes. Each prompt has random tokens of its own, prefixes are not kept.
"""

import os
import sys
import time

folder, threads, depths, batches = sys.argv[1], int(sys.argv[2]), *([int(n) for n in a.split(",")] for a in sys.argv[3:5])
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", f"0-{threads - 1}")
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "4")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")

import numpy as np
from peer_process import age, peak
from vllm import LLM, SamplingParams, TokensPrompt

random = np.random.default_rng(1)
most = max(2048, *depths) + 128
llm = LLM(folder, dtype="bfloat16", max_model_len=most, max_num_batched_tokens=most, max_num_seqs=max(*batches, 2),
          enable_prefix_caching=False)


def run(prompt, tokens, batch=1):
    """Seconds that `batch` random prompts and `tokens` tokens after each of them take."""
    prompts = [TokensPrompt(prompt_token_ids=random.integers(300, 20000, prompt).tolist()) for _ in range(batch)]
    options = SamplingParams(max_tokens=tokens, ignore_eos=True, temperature=0, detokenize=False)
    t = time.perf_counter()
    llm.generate(prompts, options, use_tqdm=False)
    return time.perf_counter() - t


run(8, 1)
print("start", age())
run(32, 2)
for n in (512, 2048):
    print(f"prefill-{n}", n / run(n, 1))
print("decode", 64 / (run(32, 65) - run(32, 1)))
for depth in depths:
    print(f"decode-at-{depth}", 24 / (run(depth, 25) - run(depth, 1)), flush=True)
for batch in batches:
    print(f"decode-x{batch}", 16 * batch / (run(16, 17, batch) - run(16, 1, batch)), flush=True)
print("peak", peak())
