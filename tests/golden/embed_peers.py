"""hone embed, classify and rerank beside transformers, text in, vectors and scores out.

Makes random-weight models with real tokenizers in WORK, runs both programs on the same lines (short, long,
empty, cut, other scripts) and compares. Needs torch and transformers; skips by name without them.

Run: python embed_peers.py HONE TOKENIZERS      (TOKENIZERS: ../../../shared/data/tokenizers)
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile

try:
    import numpy as np
    import torch
    import transformers as tf
except ImportError as e:
    print(f"SKIP embed_peers: needs {e.name}")
    sys.exit(77)

HONE, TOKENIZERS = sys.argv[1:3]
LINES = ["A man is playing a guitar.", "", "The quick brown fox jumps over the lazy dog",
         "Zoë's naïve café – 東京 は ¿qué?", "word " * 300, "a\tb   c", "x" * 300, "1234567890 " * 9,
         "Machine learning is everywhere!", "short"] * 2
CUT = 64
failures = 0


def check(name, value, ok):
    global failures
    print(f"{'ok  ' if ok else 'FAIL'} {name}: {value}")
    failures += not ok


def save(config, cls, tokenizer, folder, extra=()):
    torch.manual_seed(7)
    model = cls(config).eval()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape) * (0.3 if p.dim() == 1 else p.shape[-1] ** -0.5) + (p.dim() == 1))
    model.save_pretrained(folder, safe_serialization=True)
    for f in os.listdir(os.path.join(TOKENIZERS, tokenizer)):
        shutil.copy(os.path.join(TOKENIZERS, tokenizer, f), folder)
    for path, content in extra:
        os.makedirs(os.path.dirname(os.path.join(folder, path)) or ".", exist_ok=True)
        json.dump(content, open(os.path.join(folder, path), "w"))
    fast = tf.PreTrainedTokenizerFast(tokenizer_file=os.path.join(folder, "tokenizer.json"))
    fast._tokenizer.no_padding()
    return model, fast


def hone(*args, lines=None):
    text = "".join(x + "\n" for x in lines) if lines is not None else None
    r = subprocess.run([HONE, *args], input=text, capture_output=True, text=True)
    if r.returncode:
        check(" ".join(args), r.stderr.strip(), False)
        return None
    return r.stdout


def encode(fast, a, b=None):
    # lists: transformers takes an empty second text of a single pair for none
    e = fast([a], b if b is None else [b], truncation="longest_first", max_length=CUT, return_tensors="pt",
             return_token_type_ids=True)
    return {k: e[k] for k in ("input_ids", "token_type_ids")}


def embed(name, config, cls, tokenizer, types, work):
    folder = os.path.join(work, name)
    extra = [("modules.json", [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                               {"idx": 1, "name": "1", "path": "1_Pooling",
                                "type": "sentence_transformers.models.Pooling"},
                               {"idx": 2, "name": "2", "path": "2_Normalize",
                                "type": "sentence_transformers.models.Normalize"}]),
             ("1_Pooling/config.json", {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}),
             ("sentence_bert_config.json", {"max_seq_length": CUT})]
    model, fast = save(config, cls, tokenizer, folder, extra)
    want = []
    for line in LINES:
        e = encode(fast, line)
        if not types:
            e.pop("token_type_ids")
        with torch.no_grad():
            h = model(**e).last_hidden_state[0]
        want.append(torch.nn.functional.normalize(h.mean(0), dim=0).numpy())
    out = os.path.join(work, "v.npy")
    if hone("embed", folder, "--truncate", "--dtype", "f32", "-o", out, lines=LINES) is None:
        return
    got = np.load(out)
    cosine = (got * np.array(want)).sum(1)
    check(f"{name}: least cosine in float32", f"1 - {1 - cosine.min():.1e}", bool(cosine.min() > 1 - 1e-6))
    if name != "deberta":  # GGUF has no name for DeBERTa
        file, again = os.path.join(work, name + ".gguf"), os.path.join(work, "g.npy")
        hone("quantize", folder, "--type", "f32", "-o", file)
        hone("embed", file, "--truncate", "--max-tokens", str(CUT), "--dtype", "f32", "-o", again, lines=LINES)
        # GGUF does not carry WordPiece's bound of 100 characters for a word
        same = [i for i, x in enumerate(LINES) if name != "bert" or "x" * 101 not in x]
        check(f"{name}: the same bits from GGUF", f"{len(same)} texts", bool((np.load(again)[same] == got[same]).all()))
    hone("embed", folder, "--truncate", "-o", out, lines=LINES)
    cosine = (np.load(out) * np.array(want)).sum(1)
    check(f"{name}: least cosine in bfloat16", f"{cosine.min():.6f}", bool(cosine.min() > 0.999))


def classify(name, config, cls, tokenizer, types, work):
    folder = os.path.join(work, name)
    model, fast = save(config, cls, tokenizer, folder)
    query, worst = "what is played?", 0.0
    one = config.num_labels == 1
    want = []
    for line in LINES:
        e = encode(fast, query, line) if one else encode(fast, line)
        if not types:
            e.pop("token_type_ids")
        with torch.no_grad():
            x = model(**e).logits[0]
        want.append(torch.sigmoid(x).tolist() if one else torch.softmax(x, 0).tolist())
    common = ["--truncate", "--max-tokens", str(CUT), "--dtype", "f32", "--json"]
    if one:
        out = hone("rerank", folder, "--query", query, *common, lines=LINES)
        got = out and {r["index"]: [r["score"]] for r in json.loads(out)["results"]}
    else:
        out = hone("classify", folder, "--top", "0", *common, lines=LINES)
        got = out and {r["index"]: [s for _, s in sorted((x["label"], x["score"]) for x in r["labels"])]
                       for r in json.loads(out)["results"]}
    if not got:
        return
    for i, w in enumerate(want):
        worst = max([worst] + [abs(a - b) for a, b in zip(w, got[i], strict=True)])
    check(f"{name}: largest difference of a score", f"{worst:.1e}", worst < 1e-5)


small = dict(hidden_size=96, num_hidden_layers=3, num_attention_heads=6, intermediate_size=200)
with tempfile.TemporaryDirectory() as work:
    bert = dict(vocab_size=30522, max_position_embeddings=512, **small)
    embed("bert", tf.BertConfig(**bert), tf.BertModel, "all-MiniLM-L6-v2", True, work)
    classify("bert-3", tf.BertConfig(num_labels=3, **bert), tf.BertForSequenceClassification, "all-MiniLM-L6-v2", True,
             work)
    classify("bert-1", tf.BertConfig(num_labels=1, **bert), tf.BertForSequenceClassification, "all-MiniLM-L6-v2", True,
             work)
    roberta = dict(vocab_size=50265, max_position_embeddings=514, type_vocab_size=1, pad_token_id=1, bos_token_id=0,
                   eos_token_id=2, **small)
    embed("roberta", tf.RobertaConfig(**roberta), tf.RobertaModel, "roberta-base", False, work)
    classify("roberta-1", tf.RobertaConfig(num_labels=1, **roberta), tf.RobertaForSequenceClassification,
             "roberta-base", False, work)
    modern = dict(vocab_size=50280, max_position_embeddings=512, local_attention=32, pad_token_id=1, bos_token_id=0,
                  eos_token_id=2, cls_token_id=0, sep_token_id=2, **small)
    embed("modernbert", tf.ModernBertConfig(**modern), tf.ModernBertModel, "roberta-base", False, work)
    for pooling in ("cls", "mean"):
        classify("modernbert-" + pooling, tf.ModernBertConfig(num_labels=4, classifier_pooling=pooling, **modern),
                 tf.ModernBertForSequenceClassification, "roberta-base", False, work)
    deberta = dict(vocab_size=30522, max_position_embeddings=512, relative_attention=True, position_buckets=32,
                   norm_rel_ebd="layer_norm", share_att_key=True, pos_att_type="p2c|c2p", position_biased_input=False,
                   type_vocab_size=0, max_relative_positions=-1, pooler_hidden_size=96, **small)
    embed("deberta", tf.DebertaV2Config(**deberta), tf.DebertaV2Model, "all-MiniLM-L6-v2", False, work)
    classify("deberta-3", tf.DebertaV2Config(num_labels=3, **deberta), tf.DebertaV2ForSequenceClassification,
             "all-MiniLM-L6-v2", False, work)
sys.exit(failures > 0)
