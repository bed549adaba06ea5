"""Runs the marked code blocks of a page, in order, in one shell in an empty folder, and counts them.

A block passes once the shell has come past its end; the first one that fails ends the shell. Processes that the blocks started in the
background are ended with the shell's process group. Usage: blocks.py BINARY PAGE
"""

import fcntl
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

BLOCK = re.compile(r"<!-- run -->\n+```sh\n(.*?)```", re.S)
PAST = "block-is-past"
SECONDS_MAX = 180


LOOPBACK_IS_UP = 1
READS_FLAGS, SETS_FLAGS = 0x8913, 0x8914


def raises_loopback():
    """In a network of its own the loopback device is down at first."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        asked = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(door, READS_FLAGS, asked), 16)
        if not flags & LOOPBACK_IS_UP:
            fcntl.ioctl(door, SETS_FLAGS, struct.pack("16sh14x", b"lo", flags | LOOPBACK_IS_UP))


def one_script(blocks):
    parts = [f"{block}\necho {number} >>{PAST}\n" for number, block in enumerate(blocks)]
    return "set -euo pipefail\n" + "".join(parts).replace("cargo run --release -- ", "gatekeeper ")


def end_group(process):
    for how, seconds in ((signal.SIGTERM, 15), (signal.SIGKILL, 5)):
        try:
            os.killpg(process.pid, how)
            process.wait(seconds)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass


def environment_with(binary, folder):
    os.symlink(binary, f"{folder}/gatekeeper")
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GATEKEEPER_")}
    return {**kept, "PATH": f"{folder}:{os.environ['PATH']}", "HOME": folder}


def main(binary, page):
    blocks = BLOCK.findall(Path(page).read_text())
    name = Path(page).name
    if not blocks:
        print(f"SKIPPED readme: {name} has no block that is marked to run")
        return 0
    raises_loopback()
    with tempfile.TemporaryDirectory(prefix="gatekeeper-readme-") as folder, tempfile.TemporaryDirectory() as programs:
        said = Path(programs, "said")
        with said.open("wb") as output:
            shell = subprocess.Popen(
                ["bash", "-c", one_script(blocks)],
                cwd=folder,
                env=environment_with(binary, programs),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            shell.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            print(f"the blocks did not end within {SECONDS_MAX} s")
        end_group(shell)
        past = Path(folder, PAST)
        passed = len(past.read_text().split()) if past.exists() else 0
        for number, block in enumerate(blocks):
            result = "passed" if number < passed else "FAILED" if number == passed else "not reached"
            print(f"{name}: block {number + 1} ({block.strip().splitlines()[0][:60]}): {result}")
        if passed < len(blocks):
            print(f"--- the shell said\n{said.read_text(errors='replace')[-4000:]}")
    print(f"{passed} passed, {len(blocks) - passed} failed")
    return 1 if passed < len(blocks) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
