"""The tokenizers package on one thread: user CPU seconds to encode a text, by its quickest call.

    python text_peer.py TOKENIZER_JSON TEXT
"""
import json
import os
import sys
import time

os.environ["RAYON_NUM_THREADS"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
from tokenizers import Tokenizer, __version__  # noqa: E402 (after the environment)

tok = Tokenizer.from_file(sys.argv[1])
tok.no_padding()
tok.no_truncation()
with open(sys.argv[2], encoding="utf-8", newline="") as f:
    text = f.read()
calls = [lambda: tok.encode(text, add_special_tokens=False)]
if hasattr(tok, "encode_batch_fast"):  # without offsets
    calls.append(lambda: tok.encode_batch_fast([text], add_special_tokens=False)[0])
best, tokens = 1e9, 0
for call in calls:
    start = time.process_time()
    tokens = len(call().ids)
    best = min(best, time.process_time() - start)
print(json.dumps({"version": __version__, "bytes": len(text.encode()), "tokens": tokens, "encode_s": round(best, 6)}))
