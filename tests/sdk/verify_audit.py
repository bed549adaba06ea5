#!/usr/bin/env python3
"""Checks an exported audit log of Gatekeeper, or a proof of one event, without any code of Gatekeeper.

Needs the library `cryptography` for Ed25519. Exits with 0 if everything agrees, else with 14.
Formats: RFC 9162 section 2.1 (tree), C2SP signed-note, tlog-checkpoint and tlog-proof.
"""

import argparse
import functools
import json
import pathlib
import sys
from base64 import b64decode
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def leaf(data):
    return sha256(b"\0" + data).digest()


def node(left, right):
    return sha256(b"\1" + left + right).digest()


class Tree:
    """Roots of the complete subtrees, largest first, each with its number of leaves."""

    def __init__(self, size, peaks):
        self.size = size
        self.peaks = list(zip((1 << bit for bit in range(63, -1, -1) if size >> bit & 1), peaks, strict=True))

    def append(self, data):
        width, root = 1, leaf(data)
        while self.peaks and self.peaks[-1][0] == width:
            root = node(self.peaks.pop()[1], root)
            width *= 2
        self.peaks.append((width, root))
        self.size += 1

    def root(self):
        roots = [root for _, root in self.peaks] or [sha256(b"").digest()]
        return functools.reduce(lambda right, left: node(left, right), reversed(roots))


def public_keys(text):
    keys = []
    for line in text.split():
        name, _, encoded = line.split("+", 2)
        keys.append((name.rsplit("/", 1)[0], b64decode(encoded, validate=True)[1:]))
    return keys


def split_notes(text):
    notes, current = [], ""
    for line in text.splitlines(keepends=True):
        if "\n— " in current and not line.startswith("—"):
            notes.append(current)
            current = ""
        current += line
    return notes + [current] if current else notes


def open_checkpoint(note, keys):
    """Origin, size and root of a note that one of the keys has signed."""
    body, signatures = note.split("\n\n")
    body += "\n"
    origin, size, root = body.splitlines()
    if str(int(size)) != size:
        raise ValueError("malformed size")
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ")
        signature = b64decode(encoded, validate=True)
        for instance, raw in keys:
            identity = sha256(name.encode() + b"\n\1" + raw).digest()[:4]
            if dash == "—" and name == origin and name.rsplit("/", 1)[0] == instance and signature[:4] == identity:
                Ed25519PublicKey.from_public_bytes(raw).verify(signature[4:], body.encode())
                return origin, int(size), b64decode(root, validate=True)
    raise ValueError("signed by another key")


def generation(origin):
    return int(origin.rsplit("/", 1)[1])


def verify_export(folder, kept, keys):
    start = json.loads((folder / "start.json").read_text())
    tree = Tree(start["size"], [b64decode(peak) for peak in start["peaks"]])
    heads, differences, newest = [], [], 0
    for own, text in [(True, (folder / "checkpoints").read_text())] + [(False, text) for text in kept]:
        for note in split_notes(text):
            try:
                heads.append((own, *open_checkpoint(note, keys)))
            except (ValueError, InvalidSignature) as error:
                differences.append(f"checkpoint: {error or 'invalid signature'}")
    heads.sort(key=lambda head: head[2])
    expected, current = tree.size + 1, 1
    lines = (folder / "events.jsonl").read_bytes().split(b"\n")
    for line in lines[:-1] if lines[-1] == b"" else lines:
        try:
            event = json.loads(line)
            seq, action = event["seq"], event["action"]
        except (ValueError, KeyError, TypeError):
            seq, action, event = None, None, None
        if seq != expected:
            differences.append(f"event {seq} in the place of event {expected}")
        if action == "instance.restored":
            before = event["detail"]["from"]
            if before["size"] != tree.size or b64decode(before["root"]) != tree.root():
                differences.append(f"event {seq}: restore of another log")
            current = generation(event["detail"]["origin"])
            print(f"restore: generation {current} continues a backup of {tree.size} events")
        expected = seq + 1 if isinstance(seq, int) else expected + 1
        tree.append(line)
        for own, origin, size, root in [head for head in heads if head[2] == tree.size]:
            if generation(origin) < current:
                continue
            if root != tree.root():
                differences.append(f"events up to {size} are not those that a checkpoint signs")
            elif own:
                newest = size
    for _, origin, size, _ in heads:
        if size > tree.size and generation(origin) >= current:
            differences.append(f"events {tree.size + 1} to {size} missing")
    if newest < tree.size:
        differences.append(f"events {newest + 1} to {tree.size} are signed by no checkpoint")
    return differences, f"{tree.size} events"


def verify_proof(text, keys):
    head, note = text.split("\n\n", 1)
    form, extra, index, *path = head.split("\n")
    if form != "c2sp.org/tlog-proof@v1":
        raise ValueError("not a proof")
    place, event = int(index.removeprefix("index ")), b64decode(extra.removeprefix("extra "), validate=True)
    _, size, root = open_checkpoint(note, keys)
    number, last, found = place, size - 1, leaf(event)
    for sibling in (b64decode(line, validate=True) for line in path):
        if number & 1 or number == last:
            found = node(sibling, found)
            while not number & 1 and number:
                number, last = number >> 1, last >> 1
        else:
            found = node(found, sibling)
        number, last = number >> 1, last >> 1
    return ([] if (found, last) == (root, 0) and place < size else ["another root"]), f"event {place + 1}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("path", type=pathlib.Path)
    parser.add_argument("--checkpoint", type=pathlib.Path, action="append", default=[])
    parser.add_argument("--public-key", type=pathlib.Path)
    arguments = parser.parse_args()
    path = arguments.path
    keys = public_keys((arguments.public_key or path / "public-keys").read_text())
    try:
        if path.is_dir():
            kept = [file.read_text() for file in arguments.checkpoint]
            differences, what = verify_export(path, kept, keys)
        else:
            differences, what = verify_proof(path.read_text(), keys)
    except (ValueError, KeyError, InvalidSignature) as error:
        differences, what = [f"{type(error).__name__}: {error}"], str(path)
    for difference in differences[:20]:
        print(f"DIFFERS: {difference}")
    print(what, "differ" if differences else "verified")
    sys.exit(14 if differences else 0)


main()
