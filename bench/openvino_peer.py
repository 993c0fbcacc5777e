"""OpenVINO GenAI's side of bench/peers: python openvino_peer.py MODEL.gguf THREADS DEPTH,...

Its defaults: weights as the GGUF reader makes them, activations in 8 bits where the plugin does so, keys and values in
8 bits. Prints lines `test value`, in the names of bench/peers: tokens per second; start in seconds, from the start of
this process to the first token; peak in bytes. Each prompt has random tokens of its own: prefixes are kept by it.
"""

import sys

import numpy as np
import openvino as ov
import openvino_genai as genai
from peer_process import age, peak

model, threads, depths = sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",") if len(sys.argv) > 3 else []
pipeline = genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
random = np.random.default_rng(1)


def run(prompt, tokens):
    ids = random.integers(300, 20000, (1, prompt), dtype=np.int64)
    inputs = genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids)))
    config = genai.GenerationConfig(max_new_tokens=tokens, ignore_eos=True, do_sample=False)
    return pipeline.generate(inputs, config).perf_metrics


run(8, 1)
print("start", age())
run(32, 2)
for n in (512, 2048):
    print(f"prefill-{n}", n / (run(n, 1).get_ttft().mean / 1000))
print("decode", 1000 / run(32, 64).get_tpot().mean)
for depth in depths:
    print(f"decode-at-{depth}", 1000 / run(int(depth), 24).get_tpot().mean)
print("peak", peak())
