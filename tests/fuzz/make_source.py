"""Seeds of fuzz_source (its first comment tells the form): a config.json and tensors, for every kind of source.

    python make_source.py corpus/source
"""
import json
import os
import struct
import sys

N, K, G = 8, 64, 32
BYTES = dict(F32=4, F16=2, BF16=2, I32=4, I64=8, I8=1, U8=1, F8_E4M3=1)


def tensor(dtype, *shape, fill=None):
    n = BYTES[dtype]
    for s in shape:
        n *= s
    return dtype, list(shape), fill or b"\x01\x02\x3c\x10", n


NAMES = """a.qweight a.qzeros a.scales a.g_idx a.weight_packed a.weight_scale a.weight_zero_point a.weight_shape
a.weight_g_idx a.weight_global_scale a.weight a.weight.absmax a.weight.quant_map a.weight.nested_absmax
a.weight.nested_quant_map a.weight.quant_state.bitsandbytes__nf4 a.SCB a.weight_format a.weight_scale_inv
a.weight_scale_2 a.k_scale a.compressed a.bitmask a.shape a.row_offsets e.up_blocks e.up_scales""".split()
DTYPES = "F32 F16 BF16 I32 I64 I8 U8 U32 F8_E4M3 F8_E8M0".split()


def seed(folder, name, config, tensors):
    text = json.dumps(config).encode()
    out = struct.pack("<H", len(text)) + text
    for k, (dtype, shape, fill, n) in tensors.items():
        fill = fill[:255]
        out += bytes([NAMES.index(k), DTYPES.index(dtype), len(shape), *shape, len(fill)]) + fill
    with open(os.path.join(folder, name), "wb") as f:
        f.write(out)


def ints(*values, dtype="i"):
    return struct.pack(f"<{len(values)}{dtype}", *values)


def main(folder):
    def q(**k):
        return dict(quantization_config=k)

    def ct(fmt, bits, **k):
        return q(quant_method="compressed-tensors", format=fmt, ignore=["re:.*head", "x"], config_groups=dict(
            group_0=dict(targets=["Linear", "re:a$"], weights=dict(num_bits=bits, **k))))

    g_idx = tensor("I32", K, fill=ints(0, 1))
    seed(folder, "gptq", q(quant_method="gptq", bits=4, group_size=G), {
        "a.qweight": tensor("I32", K // 8, N), "a.qzeros": tensor("I32", 2, 1), "a.scales": tensor("F16", 2, N),
        "a.g_idx": g_idx})
    seed(folder, "gptq3", q(quant_method="gptq", bits=3, group_size=G, checkpoint_format="gptq_v2"), {
        "a.qweight": tensor("I32", K * 3 // 32, 32), "a.qzeros": tensor("I32", 2, 3), "a.scales": tensor("F16", 2, 32)})
    seed(folder, "awq", q(quant_method="awq", bits=4, group_size=G, version="gemm", modules_to_not_convert=["b"]), {
        "a.qweight": tensor("I32", K, N // 8), "a.qzeros": tensor("I32", 2, 1), "a.scales": tensor("F16", 2, N)})
    seed(folder, "packed", ct("pack-quantized", 4, group_size=G, strategy="group"), {
        "a.weight_packed": tensor("I32", N, K // 8), "a.weight_scale": tensor("BF16", N, 2),
        "a.weight_zero_point": tensor("I32", 1, 2), "a.weight_shape": tensor("I64", 2, fill=ints(N, K, dtype="q")),
        "a.weight_g_idx": g_idx})
    seed(folder, "nvfp4", ct("nvfp4-pack-quantized", 4, group_size=16), {
        "a.weight_packed": tensor("U8", N, K // 2), "a.weight_scale": tensor("F8_E4M3", N, K // 16),
        "a.weight_global_scale": tensor("F32", 1, fill=struct.pack("<f", 2.0))})
    state = json.dumps(dict(quant_type="nf4", blocksize=64, shape=[N, K], nested_blocksize=256, nested_offset=0.5)).encode()
    seed(folder, "nf4", q(quant_method="bitsandbytes", load_in_4bit=True), {
        "a.weight": tensor("U8", 2, N * K // 4), "a.weight.absmax": tensor("U8", N),
        "a.weight.quant_map": tensor("F32", 16), "a.weight.nested_absmax": tensor("F32", 1),
        "a.weight.nested_quant_map": tensor("F32", 128, 2),
        "a.weight.quant_state.bitsandbytes__nf4": tensor("U8", len(state), fill=state)})
    seed(folder, "int8", q(quant_method="bitsandbytes", load_in_8bit=True), {
        "a.weight": tensor("I8", N, K), "a.SCB": tensor("F32", N), "a.weight_format": tensor("U8", 1, fill=b"\0")})
    seed(folder, "bytes", ct("int-quantized", 8, strategy="channel"), {
        "a.weight": tensor("I8", N, K), "a.weight_scale": tensor("F32", N, 1), "a.weight_zero_point": tensor("I8", N, 1)})
    seed(folder, "fp8", q(quant_method="fp8", weight_block_size=[4, 48]), {
        "a.weight": tensor("F8_E4M3", N, K), "a.weight_scale_inv": tensor("F32", 2, 2), "a.k_scale": tensor("F32")})
    seed(folder, "sparse24", ct("sparse-24-bitmask", 16), {
        "a.compressed": tensor("BF16", N, K // 2), "a.bitmask": tensor("U8", N, K // 8, fill=b"\x35\x63"),
        "a.shape": tensor("I64", 2, 1, fill=ints(N, K, dtype="q"))})
    seed(folder, "sparse", {}, {
        "a.compressed": tensor("F32", 3 * N), "a.bitmask": tensor("U8", N, K // 8, fill=b"\x01\x80\0\0\x10\0\0\0"),
        "a.row_offsets": tensor("I64", N, fill=ints(*[3 * i for i in range(N)], dtype="q")),
        "a.weight_scale": tensor("F32", 1)})
    seed(folder, "experts", q(quant_method="mxfp4", modules_to_not_convert=[]), {
        "e.up_blocks": tensor("U8", 2, 3, 2, 16), "e.up_scales": tensor("U8", 2, 3, 2)})
    seed(folder, "plain", dict(quantization_config=dict(quant_method="aqlm")), {"a.weight": tensor("BF16", N, K)})


main(sys.argv[1])
