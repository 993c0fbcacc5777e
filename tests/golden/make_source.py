"""Quantised matrices as compressed-tensors stores them, for tests/golden/test_source_golden.c.

    pip install torch==2.9.1 transformers==4.57.6 safetensors numpy pydantic loguru
    pip install --no-deps compressed-tensors==0.13.0
    python make_source.py SHARED/golden/quant data/sources.safetensors

Beside the parts of each matrix NAME stands NAME.dequantized, what the package makes of them again. GPTQ, AWQ,
MXFP4, bitsandbytes and the tables of small floats are those of golden/quant (SOURCES.md there says what made
them), GPTQ and AWQ cut to 32 outputs.
"""
import sys

import numpy as np
import torch
from compressed_tensors.compressors import PackedQuantizationCompressor
from compressed_tensors.compressors.quantized_compressors.fp4_quantized import NVFP4PackedCompressor
from compressed_tensors.compressors.quantized_compressors.naive_quantized import IntQuantizationCompressor
from compressed_tensors.compressors.sparse_compressors.sparse_24_bitmask import Sparse24BitMaskTensor
from compressed_tensors.compressors.sparse_compressors.sparse_bitmask import BitmaskTensor
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file, save_file

N, K, GROUP = 20, 320, 64
rng = np.random.default_rng(4)
out = {}


def put(name, parts, back):
    for k, v in parts.items():
        out[f"{name}.{k}"] = v.clone().contiguous()
    out[f"{name}.dequantized"] = back.to(torch.float32).contiguous()


def matrix():
    return torch.tensor(rng.standard_normal((N, K)).astype(np.float32))


def integers(name, bits, symmetric, group, scale_dtype, act_order=False, packed=True):
    w = matrix()
    strategy = "group" if group else "channel"
    args = QuantizationArgs(num_bits=bits, type="int", symmetric=symmetric, strategy=strategy, group_size=group)
    g_idx = None
    if act_order:
        g_idx = torch.tensor(rng.permutation(np.arange(K) // group).astype(np.int32))
        order = torch.argsort(g_idx, stable=True)
        grouped = w[:, order].reshape(N, -1, group)
    else:
        grouped = w.reshape(N, -1, group or K)
    scale, zero = calculate_qparams(grouped.amin(-1), grouped.amax(-1), args)
    scale, zero = scale.to(scale_dtype), zero.to(torch.int8)
    tool = PackedQuantizationCompressor() if packed else IntQuantizationCompressor()
    parts = tool.compress_weight(weight=w, scale=scale, zero_point=zero, quantization_args=args, g_idx=g_idx)
    parts["weight_scale"] = scale
    if g_idx is not None:
        parts["weight_g_idx"] = g_idx
    if not symmetric and not packed:
        parts["weight_zero_point"] = zero
    # In float32, so that nothing is rounded to the type of the scales.
    back = tool.decompress_weight(dict(parts, weight_scale=scale.to(torch.float32)), args)
    if packed:
        parts["weight_shape"] = torch.as_tensor(list(parts["weight_shape"])).to(torch.int64)
    put(name, parts, back)


integers("int4.actorder", 4, True, GROUP, torch.bfloat16, act_order=True)
integers("int4.actorder_zeros", 4, False, GROUP, torch.float16, act_order=True)
integers("int4.channel_zeros", 4, False, None, torch.bfloat16)
integers("int2", 2, False, 32, torch.float16)
integers("int5", 5, False, 32, torch.float16)
integers("int6", 6, True, GROUP, torch.float16)
integers("int8.packed_zeros", 8, False, GROUP, torch.float16)
integers("int8.bytes_group", 8, True, GROUP, torch.float16, packed=False)
integers("int8.bytes_zeros", 8, False, None, torch.bfloat16, packed=False)

# NVFP4: values of the table, so that the codes are what they are and only the layout is at stake.
table = torch.tensor([0, .5, 1, 1.5, 2, 3, 4, 6, -0.0, -.5, -1, -1.5, -2, -3, -4, -6])
codes = torch.tensor(rng.integers(0, 16, (N, K)))
scale = torch.tensor(rng.uniform(0.1, 400, (N, K // 16)).astype(np.float32)).to(torch.float8_e4m3fn)
whole = torch.tensor([2688.0 / 3.5])
packed = (codes[:, 0::2] | codes[:, 1::2] << 4).to(torch.uint8)
parts = dict(weight_packed=packed, weight_scale=scale, weight_global_scale=whole)
back = NVFP4PackedCompressor().decompress_weight(
    dict(parts, weight_scale=scale.to(torch.float32)), QuantizationArgs(num_bits=4, type="float", group_size=16,
                                                                      strategy="tensor_group"))
expected = table[codes] * (scale.to(torch.float32) / whole).repeat_interleave(16, 1)
assert torch.equal(back.to(torch.bfloat16), expected.to(torch.bfloat16))    # the package rounds to bfloat16
put("nvfp4", parts, expected)

w = matrix().to(torch.bfloat16)
t = Sparse24BitMaskTensor.from_dense(w)
put("sparse24", dict(compressed=t.compressed, bitmask=t.bitmask,
                                                     shape=torch.tensor(t.shape).reshape(-1, 1)), t.decompress())
w = matrix() * torch.tensor(rng.random((N, K)) < 0.3)
w[3] = 0
t = BitmaskTensor.from_dense(w)
put("sparse", dict(compressed=t.compressed, bitmask=t.bitmask, row_offsets=t.row_offsets,
                   shape=torch.tensor(t.shape)), t.decompress())

# The shared goldens. What packs along the outputs is cut by words.
for name, t in load_file(sys.argv[1] + "/packed.safetensors").items():
    tag, _, part = name.rpartition(".")
    if tag.startswith(("gptq", "awq")):
        words = 32 * (int(tag.split(".")[1][0]) if tag.startswith("gptq") else 4) // 32
        cut = dict(qweight=words if tag.startswith("awq") else 32, qzeros=words, scales=32)
        out[name] = (t[:32] if part == "dequantized" else t if part == "g_idx" else t[:, :cut[part]]).contiguous()
    elif tag == "mxfp4":
        out[name.replace("mxfp4.", "experts.gate_up_proj.") if part == "dequantized"
            else f"experts.gate_up_proj_{part}"] = t
for name, t in load_file(sys.argv[1] + "/bitsandbytes.safetensors").items():
    if name not in ("weight", "codebook.dynamic_map_8bit"):
        out[f"bnb.{name}"] = t
for name, t in load_file(sys.argv[1] + "/floats.safetensors").items():
    if name.endswith(".values") and "fnuz" not in name:
        out[name] = t

save_file({k: v.clone() for k, v in out.items()}, sys.argv[2])
