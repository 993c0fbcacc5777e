"""Cuts tests/golden/data/dtype_ggml.safetensors out of ../shared/data/golden/quant/ggml.safetensors.

That file was made with the `gguf` package 0.19.0 (see the SOURCES.md beside it): random blocks and what
they decode to, and a matrix with what it encodes to. Only the formats of src/dtype are kept.

    python3 tests/golden/make_dtype.py ../shared/data/golden/quant/ggml.safetensors
"""
import json
import os
import struct
import sys

ENCODE = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "BF16", "TQ1_0", "TQ2_0", "MXFP4"]

raw = open(sys.argv[1], "rb").read()
n = struct.unpack("<Q", raw[:8])[0]
header, data = json.loads(raw[8:8 + n]), raw[8 + n:]
names = ["matrix"] + [f"{part}.{t}" for part in ("quantized", "dequantized") for t in ENCODE]
names += [name for name in header if name.startswith(("blocks.", "values."))]
out, body = {}, b""
for name in names:
    b, e = header[name]["data_offsets"]
    out[name] = dict(header[name], data_offsets=[len(body), len(body) + e - b])
    body += data[b:e]
text = json.dumps(out, separators=(",", ":")).encode()
text += b" " * (-len(text) % 8)
here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "data", "dtype_ggml.safetensors"), "wb") as f:
    f.write(struct.pack("<Q", len(text)) + text + body)
