"""Runs the demo of a binary for another processor: emulated.py EMULATOR BINARY

One answer is streamed by the simulator; the command line, emulated too, verifies the ledger before and after a restart.
"""

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent.parent / "sdk"))

from stage import free_port  # noqa: E402

START_S = 120


class Demo:
    def __init__(self, command, folder):
        self.command, self.folder, self.port = command, folder, free_port()
        self.log = Path(folder, "demo.log")
        self.start()

    def start(self):
        with self.log.open("wb") as output:
            arguments = ["demo", "--data", f"{self.folder}/data", "--listen", f"127.0.0.1:{self.port}"]
            self.server = subprocess.Popen([*self.command, *arguments], stdout=output, stderr=output)
        deadline = time.monotonic() + START_S
        while "Ctrl-C stops the demo" not in self.log.read_text():
            assert self.server.poll() is None and time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        assert self.server.wait(timeout=60) == 0, self.log.read_text()

    def run(self, *arguments):
        command = [*self.command, *arguments, "--data", f"{self.folder}/data"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def ask(self):
        """Events of a streamed answer."""
        key = re.search(r"OPENAI_API_KEY=(\S+)", self.log.read_text()).group(1)
        body = {"model": "simulator-large", "stream": True, "messages": [{"role": "user", "content": "Hello, tokens=8"}]}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/v1/chat/completions", json.dumps(body).encode())
        request.add_header("authorization", f"Bearer {key}")
        request.add_header("content-type", "application/json")
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.read().decode()

    def records(self):
        said = self.run("ledger", "verify")
        assert "all agree" in said, said
        return int(re.search(r"^(\d+) records, ", said, re.M).group(1))


def main(*command):
    with tempfile.TemporaryDirectory(prefix="gatekeeper-emulated-") as folder:
        began = time.monotonic()
        demo = Demo(command, folder)
        try:
            print(f"FIGURE emulated demo, first start: {time.monotonic() - began:.1f} s")
            before = demo.records()
            answer = demo.ask()
            assert "[DONE]" in answer and "x-gatekeeper-cost-usd" in answer, answer
            assert demo.records() == before + 1
            demo.stop()
            demo.start()
            assert demo.records() == before + 1
            demo.stop()
        finally:
            if demo.server.poll() is None:
                demo.server.kill()


main(*sys.argv[1:])
