"""Runs the marked code blocks of a page, in order, in one shell in an empty folder, and counts them.

A block passes once the shell has come past its end, and if the page shows its output (`<!-- output -->`), once it has printed just that;
`…` stands for any text within a line. The first block that fails ends the shell. `<!-- run: demo -->` starts the demo in the background
and pastes the `export` lines that it prints; `<!-- run: without demo -->` stops it first. Processes that the blocks started in the background are ended with the shell's process
group. Usage: blocks.py BINARY PAGE
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

BLOCK = re.compile(
    r"<!-- run(?:: (?P<how>demo|without demo))? -->\n+```sh\n(?P<code>.*?)```(?:\n+<!-- output -->\n+```text\n(?P<output>.*?)```)?", re.S
)
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


def shell_code(block, number):
    """The block as the shell runs it; it leaves its number behind."""
    code = block["code"].replace("cargo run --release -- ", "gatekeeper ").replace("target/release/gatekeeper", "gatekeeper")
    if block["how"] == "without demo":
        code = f"kill $demo\nwait $demo\n{code}"
    if block["how"] == "demo":
        code = (
            f"{code.rstrip()} >demo.out &\ndemo=$!\nuntil grep -q 'Ctrl-C' demo.out; do sleep 0.2; done\n"
            "eval \"$(grep '^  export ' demo.out)\"\n"
        )
    elif block["output"]:
        code = f"{{\n{code}}} >output-{number}\n"
    return f"{code}\necho {number} >>{PAST}\n"


def difference(block, printed):
    """The first line that differs from the page, or nothing."""
    shown, lines = block["output"].splitlines(), printed.rstrip().splitlines()
    for number in range(max(len(shown), len(lines))):
        line, found = shown[number : number + 1], lines[number : number + 1]
        if not line or not found:
            return f"line {number + 1}: the page has {line}, printed was {found}"
        pattern = ".*".join(re.escape(part) for part in line[0].split("…"))
        # columns keep their place where a value has another length
        pattern = re.sub(r"(?:\\ ){2,}", r" {2,}", pattern)
        if not re.fullmatch(pattern, found[0].rstrip()):
            return f"line {number + 1}: the page has {line[0]!r}, printed was {found[0]!r}"
    return None


def one_script(blocks):
    return "set -euo pipefail\n" + "".join(shell_code(block, number) for number, block in enumerate(blocks))


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
    blocks = [found.groupdict() for found in BLOCK.finditer(Path(page).read_text())]
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
        good = 0
        for number, block in enumerate(blocks):
            result = "passed" if number < passed else "FAILED" if number == passed else "not reached"
            if number < passed and block["output"]:
                differs = difference(block, Path(folder, f"output-{number}").read_text())
                result = f"FAILED: {differs}" if differs else "passed, with this output"
            good += result.startswith("passed")
            print(f"{name}: block {number + 1} ({block['code'].strip().splitlines()[0][:60]}): {result}")
        if passed < len(blocks):
            print(f"--- the shell said\n{said.read_text(errors='replace')[-4000:]}")
    print(f"{good} passed, {len(blocks) - good} failed")
    return 1 if good < len(blocks) else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
