"""Comparison of a recording with what an SDK read of it: every value of the recording must be there."""

import base64
import datetime


def snake(name):
    return "".join("_" + letter.lower() if letter.isupper() else letter for letter in name)


def lost(recorded, read, at=""):
    """Values of the recording that the SDK did not parse. Names compare in snake case; null equals an empty value."""
    if isinstance(recorded, dict):
        read = read if isinstance(read, dict) else {}
        names = {snake(name): value for name, value in read.items()}
        return [loss for name, value in recorded.items() for loss in lost(value, names.get(snake(name)), f"{at}.{name}")]
    if isinstance(recorded, list):
        read = read if isinstance(read, list) else []
        read = read + [None] * (len(recorded) - len(read))
        return [loss for number, value in enumerate(recorded) for loss in lost(value, read[number], f"{at}[{number}]")]
    if isinstance(read, datetime.datetime):
        read = recorded if datetime.datetime.fromisoformat(recorded) == read else read
    if recorded == read or (not recorded and not read) or at.endswith("thoughtSignature") and same_bytes(recorded, read):
        return []
    # padding against guessing from lengths; clients with a closed schema drop it
    if at.endswith(".p") and read is None:
        return []
    return [f"{at}: {recorded!r} became {read!r}"]


def same_bytes(one, other):
    one, other = (base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_") + "==") for text in (one, other or ""))
    return one == other
