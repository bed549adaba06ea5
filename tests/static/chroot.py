"""Runs the binary in a chroot with only its configuration and a credential, and sends a request.

Prints the time until ready and the resident memory; fails above so many MB. Usage: chroot.py BINARY MB
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "sdk"))

from stage import CANARY, ask, free_port, keys, wait_until_ready  # noqa: E402
from stage import config as config_of  # noqa: E402
from upstream import Upstream  # noqa: E402


def inside(folder, *command, **options):
    """Starts a command whose root is the folder."""
    return subprocess.Popen(command, preexec_fn=lambda: (os.chroot(folder), os.chdir("/")), **options)


def resident_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def main(binary, memory_mb_max):
    with tempfile.TemporaryDirectory(prefix="gatekeeper-chroot-") as folder, tempfile.TemporaryFile() as output:
        upstream = Upstream()
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        shutil.copy(binary, f"{folder}/gatekeeper")
        key_file = Path(folder, "upstream.key")
        key_file.write_text(CANARY)
        key_file.chmod(0o600)
        Path(folder, "gatekeeper.toml").write_text(config_of(port, "", upstream.url))
        made = inside(folder, "/gatekeeper", "init", "--data", "/data", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = made.communicate(timeout=30)
        found = re.search(r"sk-gk-master-[\w-]+", said)
        if made.returncode != 0 or not found:
            sys.exit(f"init failed: {said}")
        start = time.monotonic()
        log = Path(folder, "serve.log")
        with log.open("wb") as output:
            server = inside(folder, "/gatekeeper", "serve", "--config", "/gatekeeper.toml", stdout=output, stderr=output)
        try:
            wait_until_ready(url, server, log)
            ready = time.monotonic() - start
            key = keys(url, found.group())["GK_KEY"]
            body = {"model": "o-text", "messages": [{"role": "user", "content": "hello"}]}
            answer = ask("POST", f"{url}/v1/chat/completions", key, body)
            assert answer["usage"]["total_tokens"] == 26, answer
            memory = resident_kb(server.pid)
            print(f"ready after {ready * 1000:.0f} ms, {memory / 1000:.1f} MB resident after a request")
            assert memory <= memory_mb_max * 1000, f"{memory} KB are more than {memory_mb_max} MB"
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
