"""Runs the service without a network and watches it: silence.py ROOT [SECONDS], or silence.py --day BINARY [SECONDS]

ROOT is the unpacked package. In a network namespace with loopback alone, `strace` records every connect and execve of a service that is
configured with a provider, starts and idles. There must be no connect and one execve. Needs root.

With --day the service is BINARY, linked dynamically, and libfaketime injects a clock that runs so fast that 24 hours of upkeep pass
meanwhile: checkpoints, retention, times of keys and sessions, counts, the stored time. The log's own instants show that they did.
"""

import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta
from pathlib import Path

SETTINGS = """listen = "127.0.0.1:4000"
[providers.openai]
api_key = "file:{folder}/key"
"""
FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
DAY = timedelta(hours=24)
# 24 hours and a half in the seconds of the run
MARGIN = 1.5


def instants(log):
    """First and last instant of the log."""
    found = re.findall(r"^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)", log, re.M)
    first, last = (datetime.fromisoformat(text) for text in (found[0], found[-1]))
    return first, last


def wait_until(happened, server, log):
    deadline = time.monotonic() + 60
    while not happened():
        if server.poll() is not None or time.monotonic() > deadline:
            sys.exit(log.read_text())
        time.sleep(0.1)


def main(binary, seconds, day):
    with tempfile.TemporaryDirectory(prefix="gatekeeper-silence-") as folder:
        Path(folder, "key").write_text("sk-not-a-key-0123456789")
        Path(folder, "gatekeeper.toml").write_text(SETTINGS.format(folder=folder))
        trace, log = Path(folder, "trace"), Path(folder, "log")
        clock = f"-E LD_PRELOAD={FAKETIME} -E FAKETIME='+0 x{int(DAY.total_seconds() * MARGIN / seconds)}' -E FAKETIME_DONT_RESET=1" if day else ""
        serve = [binary, "serve", "--create", "--config", f"{folder}/gatekeeper.toml", "--data", f"{folder}/data"]
        strace = f"exec strace -f -qq --seccomp-bpf -e trace=connect,execve {clock} -o {trace} {' '.join(serve)}"
        with log.open("wb") as output:
            server = subprocess.Popen(["unshare", "--net", "sh", "-c", f"ip link set lo up 2>/dev/null || ifconfig lo up; {strace}"], stdout=output, stderr=output)
        try:
            wait_until(lambda: "listens on" in log.read_text(), server, log)
            time.sleep(seconds)
            children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
            subprocess.run(["kill", "-TERM", children[0]], check=True)
            assert server.wait(timeout=60) == 0, log.read_text()
        finally:
            if server.poll() is None:
                server.send_signal(signal.SIGKILL)
        calls = trace.read_text().splitlines()
        connects = [line for line in calls if re.search(r"\bconnect\(", line)]
        executions = [line for line in calls if re.search(r"\bexecve\(", line)]
        passed = timedelta(seconds=seconds)
        if day:
            first, last = instants(log.read_text())
            passed = last - first
            assert passed >= DAY, f"only {passed} of upkeep passed\n{log.read_text()}"
        print(f"FIGURE connects and programs started in {int(passed.total_seconds())} s of idling{' by an injected clock' if day else ''}: {len(connects)}, {len(executions)}")
        assert not connects, connects
        assert len(executions) == 1, executions


arguments = [argument for argument in sys.argv[1:] if argument != "--day"]
day = "--day" in sys.argv
main(arguments[0] if day else f"{arguments[0]}/usr/bin/gatekeeper", int(arguments[1]) if len(arguments) > 1 else 30, day)
