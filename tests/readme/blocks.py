"""Runs the marked code blocks of a README and counts them; see `run`. Usage: blocks.py BINARY README"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BLOCK = re.compile(r"<!-- (run|run: background|file: [\w.-]+) -->\n+```\w*\n(.*?)```", re.S)
SECONDS_MAX = 120


def shell(block, folder, environment, **options):
    command = ["bash", "-euo", "pipefail", "-c", block.replace("cargo run --release -- ", "gatekeeper ")]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **options)


def end(process):
    """Ends a block with everything it started: it leads a process group of its own."""
    for how, seconds in ((signal.SIGINT, 10), (signal.SIGKILL, 10)):
        if process.poll() is None:
            os.killpg(process.pid, how)
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                pass


def wait_for_port(process, port=4000):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def foreground(text, folder, environment):
    process = shell(text, folder, environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True)
    try:
        said, _ = process.communicate(timeout=SECONDS_MAX)
    finally:
        end(process)
    assert process.returncode == 0, f"it ended with {process.returncode}: {said[-2000:]}"


def main(binary, readme):
    blocks = BLOCK.findall(Path(readme).read_text())
    if not blocks:
        print("SKIPPED readme: no block is marked to run")
        return 0
    passed, failed, running = 0, 0, []
    with tempfile.TemporaryDirectory(prefix="gatekeeper-readme-") as folder, tempfile.TemporaryDirectory() as bin_folder:
        os.symlink(binary, f"{bin_folder}/gatekeeper")
        environment = {**os.environ, "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": folder}
        try:
            for number, (mark, text) in enumerate(blocks, 1):
                name = f"readme block {number} ({text.strip().splitlines()[0][:60]})"
                try:
                    if mark.startswith("file: "):
                        Path(folder, mark.removeprefix("file: ")).write_text(text)
                    elif mark == "run":
                        foreground(text, folder, environment)
                    else:
                        with open(f"{folder}/block-{number}.log", "wb") as output:
                            running.append(shell(text, folder, environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL))
                        wait_for_port(running[-1])
                    print(f"{name}: passed")
                    passed += 1
                except (AssertionError, subprocess.TimeoutExpired) as fault:
                    print(f"{name}: FAILED: {fault}")
                    failed += 1
        finally:
            for process in reversed(running):
                end(process)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
