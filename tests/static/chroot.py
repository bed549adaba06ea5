"""Runs the binary in a chroot with only its configuration and a credential, and sends a request; then again with the semantic cache on, and
questions of all lengths.

Prints the time until ready and the resident memory; fails above so many MB, and above 60 MB with the embedder loaded. Usage: chroot.py BINARY MB
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "sdk"))

from stage import CANARY, ask, free_port, keys, stop, wait_until_ready  # noqa: E402
from stage import config as config_of  # noqa: E402
from upstream import Upstream  # noqa: E402

# with the semantic cache on and its embedder loaded
SEMANTIC_MEMORY_KB_MAX = 60_000
QUESTIONS = 120


def inside(folder, *command, **options):
    """Starts a command whose root is the folder."""
    return subprocess.Popen(command, preexec_fn=lambda: (os.chroot(folder), os.chdir("/")), **options)


def resident_kb(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


def own_kb(pid):
    """Memory that is not pages of a file."""
    return int(re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text()).group(1))


@contextlib.contextmanager
def serving(folder, port, settings):
    """The server in the chroot, with its process id and the seconds until it was ready."""
    Path(folder, "gatekeeper.toml").write_text(settings)
    log = Path(folder, "serve.log")
    start = time.monotonic()
    with log.open("wb") as output:
        server = inside(folder, "/gatekeeper", "serve", "--config", "/gatekeeper.toml", stdout=output, stderr=output)
    try:
        wait_until_ready(f"http://127.0.0.1:{port}", server, log)
        yield server.pid, time.monotonic() - start
    finally:
        stop(server)


def ask_about(url, key, text):
    body = {"model": "o-text", "messages": [{"role": "user", "content": text}]}
    answer = ask("POST", f"{url}/v1/chat/completions", key, body)
    assert answer["usage"]["total_tokens"] == 26, answer


def ask_questions(url, key):
    """Questions of 1 to 90 words, and a repeat of each in other letters, which needs its vector too."""
    words = "what did the committee decide about that old bridge over the river in the last winter before its repair".split()
    for count in range(1, QUESTIONS + 1):
        question = " ".join(f"{words[number % len(words)]}" for number in range(count % 90 + 1)) + f" in {count}"
        ask_about(url, key, question)
        ask_about(url, key, question.capitalize() + "?")


def main(binary, memory_mb_max):
    with tempfile.TemporaryDirectory(prefix="gatekeeper-chroot-") as folder:
        upstream = Upstream()
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        shutil.copy(binary, f"{folder}/gatekeeper")
        key_file = Path(folder, "upstream.key")
        key_file.write_text(CANARY)
        key_file.chmod(0o600)
        # without its one cached route: every cache is off
        settings = config_of(port, "", upstream.url).split("[routes.cached]")[0]
        Path(folder, "gatekeeper.toml").write_text(settings)
        made = inside(folder, "/gatekeeper", "init", "--data", "/data", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        said, _ = made.communicate(timeout=30)
        found = re.search(r"sk-gk-master-[\w-]+", said)
        if made.returncode != 0 or not found:
            sys.exit(f"init failed: {said}")
        with serving(folder, port, settings) as (pid, ready):
            key = keys(url, found.group())["GK_KEY"]
            ask_about(url, key, "hello")
            started = resident_kb(pid)
            # two seconds after the start its code is given back
            time.sleep(3)
            ask_about(url, key, "hello")
            memory = resident_kb(pid)
            print(f"ready after {ready * 1000:.0f} ms, {started / 1000:.1f} MB resident, {memory / 1000:.1f} MB after the start and a request")
            assert memory <= memory_mb_max * 1000, f"{memory} KB are more than {memory_mb_max} MB"
        with serving(folder, port, settings + '[cache]\nmode = "semantic"\n') as (pid, _):
            ask_questions(url, key)
            memory, own = resident_kb(pid), own_kb(pid)
            metrics = urllib.request.urlopen(urllib.request.Request(f"{url}/metrics", headers={"authorization": f"Bearer {found.group()}"}))
            served = re.search(r'gatekeeper_cache_lookups_total\{outcome="semantic"\} (\d+)', metrics.read().decode())
            print(
                f"{memory / 1000:.1f} MB resident ({own / 1000:.1f} MB of them no pages of a file) with the embedder loaded, "
                f"after {2 * QUESTIONS} questions, {served.group(1)} of them served by likeness"
            )
            assert int(served.group(1)) > QUESTIONS // 4, served.group(0)
            assert memory <= SEMANTIC_MEMORY_KB_MAX, f"{memory} KB are more than {SEMANTIC_MEMORY_KB_MAX}"


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
