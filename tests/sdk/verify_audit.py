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


def digest(*parts):
    return sha256(b"".join(parts)).digest()


class Tree:
    """Roots of the complete subtrees, largest first, each with its number of leaves."""

    def __init__(self, size, peaks):
        self.size = size
        self.peaks = list(zip((1 << bit for bit in range(63, -1, -1) if size >> bit & 1), peaks, strict=True))

    def append(self, data):
        width, root = 1, digest(b"\0", data)
        while self.peaks and self.peaks[-1][0] == width:
            width, root = width * 2, digest(b"\1", self.peaks.pop()[1], root)
        self.peaks.append((width, root))
        self.size += 1

    def root(self):
        roots = [root for _, root in self.peaks] or [digest()]
        return functools.reduce(lambda right, left: digest(b"\1", left, right), reversed(roots))


def public_keys(text):
    parts = (line.split("+", 2) for line in text.split())
    return [(name.rsplit("/", 1)[0], b64decode(key, validate=True)[1:]) for name, _, key in parts]


def split_notes(text):
    notes = [""]
    for line in text.splitlines(keepends=True):
        if "\n— " in notes[-1] and not line.startswith("—"):
            notes.append("")
        notes[-1] += line
    return [note for note in notes if note]


def open_checkpoint(note, keys):
    """Origin, size and root of a note that one of the keys has signed."""
    body, signatures = note.split("\n\n")
    origin, size, root = body.split("\n")
    if str(int(size)) != size:
        raise ValueError("malformed size")
    for line in signatures.splitlines():
        dash, name, encoded = line.split(" ")
        signature = b64decode(encoded, validate=True)
        for instance, raw in keys:
            identity = sha256(name.encode() + b"\n\1" + raw).digest()[:4]
            if dash == "—" and name == origin and name.rsplit("/", 1)[0] == instance and signature[:4] == identity:
                Ed25519PublicKey.from_public_bytes(raw).verify(signature[4:], (body + "\n").encode())
                return origin, int(size), b64decode(root, validate=True)
    raise ValueError("signed by another key")


def generation(origin):
    return int(origin.rsplit("/", 1)[1])


def read_event(line):
    try:
        event = json.loads(line)
        return event["seq"], event["action"], event["detail"]
    except (ValueError, KeyError, TypeError):
        return None, None, None


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
    expected, current = tree.size + 1, 1
    lines = (folder / "events.jsonl").read_bytes().split(b"\n")
    for line in lines[:-1] if lines[-1] == b"" else lines:
        seq, action, detail = read_event(line)
        if seq != expected:
            differences.append(f"event {seq} in the place of event {expected}")
        if action == "instance.restored":
            if (detail["from"]["size"], b64decode(detail["from"]["root"])) != (tree.size, tree.root()):
                differences.append(f"event {seq}: restore of another log")
            current = generation(detail["origin"])
            print(f"restore: generation {current} continues a backup of {tree.size} events")
        expected = seq + 1 if isinstance(seq, int) else expected + 1
        tree.append(line)
        for own, origin, size, root in heads:
            if size != tree.size or generation(origin) < current:
                continue
            if root != tree.root():
                differences.append(f"events up to {size} are not those that a checkpoint signs")
            elif own:
                newest = size
    missing = (head for head in heads if head[2] > tree.size and generation(head[1]) >= current)
    differences += [f"events {tree.size + 1} to {size} missing" for _, _, size, _ in missing]
    unsigned = [f"events {newest + 1} to {tree.size}: no checkpoint"] if newest < tree.size else []
    return differences + unsigned, f"{tree.size} events"


def verify_proof(text, keys):
    head, note = text.split("\n\n", 1)
    form, extra, index, *path = head.split("\n")
    place, event = int(index.removeprefix("index ")), b64decode(extra.removeprefix("extra "), validate=True)
    _, size, root = open_checkpoint(note, keys)
    number, last, found = place, size - 1, digest(b"\0", event)
    for sibling in (b64decode(line, validate=True) for line in path):
        on_left = number & 1 or number == last
        found = digest(b"\1", sibling, found) if on_left else digest(b"\1", found, sibling)
        while on_left and not number & 1 and number:
            number, last = number >> 1, last >> 1
        number, last = number >> 1, last >> 1
    is_right = form == "c2sp.org/tlog-proof@v1" and (found, last) == (root, 0) and place < size
    return [] if is_right else ["another root"], f"event {place + 1}"


parser = argparse.ArgumentParser()
parser.add_argument("path", type=pathlib.Path)
parser.add_argument("--checkpoint", type=pathlib.Path, action="append", default=[])
parser.add_argument("--public-key", type=pathlib.Path)
arguments = parser.parse_args()
try:
    trusted = public_keys((arguments.public_key or arguments.path / "public-keys").read_text())
    if arguments.path.is_dir():
        found, what = verify_export(arguments.path, [file.read_text() for file in arguments.checkpoint], trusted)
    else:
        found, what = verify_proof(arguments.path.read_text(), trusted)
except (ValueError, KeyError, InvalidSignature) as error:
    found, what = [f"{type(error).__name__}: {error}"], str(arguments.path)
print("".join(f"DIFFERS: {line}\n" for line in found[:20]) + what, "differ" if found else "verified")
sys.exit(14 if found else 0)
