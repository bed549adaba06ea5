"""Runs the packaged service without a network and watches it: silence.py ROOT [SECONDS]

ROOT is the unpacked package. In a network namespace with loopback alone, `strace` records every connect and execve of a service that is
configured with a provider, starts and idles. There must be no connect and one execve. Needs root.
"""

import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SETTINGS = """listen = "127.0.0.1:4000"
[providers.openai]
api_key = "file:{folder}/key"
"""


def main(root, seconds):
    with tempfile.TemporaryDirectory(prefix="gatekeeper-silence-") as folder:
        Path(folder, "key").write_text("sk-not-a-key-0123456789")
        Path(folder, "gatekeeper.toml").write_text(SETTINGS.format(folder=folder))
        trace = Path(folder, "trace")
        serve = [f"{root}/usr/bin/gatekeeper", "serve", "--create", "--config", f"{folder}/gatekeeper.toml", "--data", f"{folder}/data"]
        inner = f"ip link set lo up 2>/dev/null || ifconfig lo up; exec strace -f -qq -e trace=connect,execve -o {trace} {' '.join(serve)}"
        with Path(folder, "log").open("wb") as log:
            server = subprocess.Popen(["unshare", "--net", "sh", "-c", inner], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + 30
            while "listens on" not in Path(folder, "log").read_text():
                if server.poll() is not None or time.monotonic() > deadline:
                    sys.exit(Path(folder, "log").read_text())
                time.sleep(0.1)
            time.sleep(seconds)
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            subprocess.run(["kill", "-TERM", children[0]], check=True)
            assert server.wait(timeout=60) == 0, Path(folder, "log").read_text()
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGKILL)
        calls = trace.read_text().splitlines()
        connects = [line for line in calls if re.search(r"\bconnect\(", line)]
        executions = [line for line in calls if re.search(r"\bexecve\(", line)]
        print(f"FIGURE connects and programs started in {seconds} s of idling: {len(connects)}, {len(executions)}")
        assert not connects, connects
        assert len(executions) == 1, executions


main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 30)
