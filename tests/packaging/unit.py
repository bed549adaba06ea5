"""Runs the unpacked service as its unit describes it: unit.py ROOT [--strace | --seccomp]

ROOT is the unpacked package. systemd-socket-activate passes the socket, this program is the notify listener, a folder holds the
credentials. One streamed request goes to a scripted upstream; then SIGTERM. --strace records all system calls and compares them
with what `systemd-analyze syscall-filter` expands the unit's filter to; --seccomp loads that filter into the process.
"""

import ctypes
import json
import os
import re
import shlex
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent.parent / "sdk"))

from stage import CANARY, free_port, wait_until_ready  # noqa: E402
from upstream import Upstream  # noqa: E402

WATCHDOG_S = 3
ERRNO_EPERM = 1


def unit(root):
    """Settings of [Service]; a repeated one is a list of values."""
    settings = {}
    for line in Path(root, "usr/lib/systemd/system/gatekeeper.service").read_text().splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            settings.setdefault(name, []).append(value)
    return settings


def expand(name):
    """System calls of a set such as @system-service."""
    if not name.startswith("@"):
        return {name}
    listed = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, capture_output=True, text=True).stdout
    words = [line.strip() for line in listed.splitlines()[1:]]
    return set().union(*(expand(word) for word in words if word and not word.startswith("#")))


def allowed_calls(settings):
    # an allow-list always contains @default
    calls = expand("@default")
    for value in settings["SystemCallFilter"]:
        names = set().union(*(expand(name) for name in value.lstrip("~").split()))
        calls = calls - names if value.startswith("~") else calls | names
    return calls


def numbers():
    for header in Path("/usr/include").glob("**/asm/unistd_64.h"):
        return {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", header.read_text())}
    return {}


def filter_program(calls):
    """BPF: allow the calls of the list, EPERM for the others, kill another architecture."""
    load, equal, give = 0x20, 0x15, 0x06
    allow, errno, kill = 0x7FFF0000, 0x00050000 | ERRNO_EPERM, 0x80000000
    program = [(load, 0, 0, 4), (equal, 1, 0, 0xC000003E), (give, 0, 0, kill), (load, 0, 0, 0)]
    known = numbers()
    for call in sorted(calls):
        if call in known:
            program += [(equal, 0, 1, known[call]), (give, 0, 0, allow)]
    program.append((give, 0, 0, errno))
    return b"".join(struct.pack("HBBI", *step) for step in program), len(program)


def confine(calls):
    libc = ctypes.CDLL(None, use_errno=True)
    code, length = filter_program(calls)
    buffer = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    program = Program(length, ctypes.addressof(buffer))

    def enter(kept=buffer):
        if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(program), 0, 0):
            raise OSError(ctypes.get_errno(), "seccomp")

    return enter


class Manager:
    """The notification socket that systemd would offer."""

    def __init__(self, folder):
        self.path = f"{folder}/notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(self.path)

    def wait_for(self, state, seconds):
        self.socket.settimeout(seconds)
        while True:
            said = self.socket.recv(4096).decode()
            if state in said.split("\n"):
                return


def write_settings(root, folder, upstream):
    """The packaged file with a provider and the data folder of this run."""
    text = Path(root, "etc/gatekeeper/gatekeeper.toml").read_text()
    assert 'seal_key = "credential:seal_key"' in text.splitlines()
    text = text.replace('data = "/var/lib/gatekeeper"', f'data = "{folder}/state"')
    text += f'[providers.chatty]\ntype = "openai_compatible"\nbase_url = "{upstream.url}/v1"\napi_key = "credential:upstream"\n'
    text += 'price = { input = "1.00", output = "5.00" }\nmodels = ["o-text"]\n'
    Path(folder, "gatekeeper.toml").write_text(text)
    credentials = Path(folder, "credentials")
    credentials.mkdir()
    # as LoadCredential=gatekeeper:/etc/gatekeeper/credentials names them
    Path(credentials, "gatekeeper_seal_key").write_text("00112233445566778899aabbccddeeff" * 2)
    Path(credentials, "gatekeeper_upstream").write_text(CANARY)


def main(root, mode):
    settings = unit(root)
    binary = f"{root}/usr/bin/gatekeeper"
    command = shlex.split(settings["ExecStart"][-1])
    assert command[0] == "/usr/bin/gatekeeper", command
    calls = allowed_calls(settings)
    with tempfile.TemporaryDirectory(prefix="gatekeeper-unit-") as folder:
        upstream, manager = Upstream(), Manager(folder)
        write_settings(root, folder, upstream)
        port = free_port()
        environment = {
            "GATEKEEPER_CONFIG": f"{folder}/gatekeeper.toml",
            "CREDENTIALS_DIRECTORY": f"{folder}/credentials",
            "NOTIFY_SOCKET": manager.path,
            "WATCHDOG_USEC": str(WATCHDOG_S * 1_000_000),
            "PATH": os.environ["PATH"],
        }
        passed = [f"--setenv={name}={value}" for name, value in environment.items() if name != "PATH"]
        traced = ["strace", "-f", "-qq", "-c", "-U", "name", "-o", f"{folder}/calls"] if mode == "--strace" else []
        activate = ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", *passed, "--", binary, *command[1:]]
        # a tracer's child has another process id than the one that the socket is passed to, and the filter is for the service,
        # not for its manager: these two bind the socket themselves
        if mode:
            environment["GATEKEEPER_LISTEN"] = f"127.0.0.1:{port}"
            activate = [*traced, binary, *command[1:]]
        log = Path(folder, "serve.log")
        start = time.monotonic()
        with log.open("wb") as output:
            confined = confine(calls) if mode == "--seccomp" else None
            server = subprocess.Popen(activate, env=environment, stdout=output, stderr=output, preexec_fn=confined)
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_ready(url, server, log)
            print(f"FIGURE service start with an empty folder{mode.replace('--', ', under ')}: {(time.monotonic() - start) * 1000:.0f} ms")
            manager.wait_for("READY=1", 10)
            create = [binary, "keys", "create", "--team", "eng", "--budget", "$1", "--json"]
            made = subprocess.run(create, env=environment, capture_output=True, text=True, check=False)
            assert made.returncode == 0, made.stderr + log.read_text()
            key = re.search(r"sk-gk-eng-[\w-]+", made.stdout).group()
            body = {"model": "o-text", "messages": [{"role": "user", "content": "hello"}], "stream": True}
            curl = ["curl", "--silent", "--fail", "--no-buffer", f"{url}/v1/chat/completions", "-H", f"authorization: Bearer {key}"]
            streamed = subprocess.run([*curl, "-H", "content-type: application/json", "-d", json.dumps(body)], capture_output=True, text=True, check=False)
            assert "[DONE]" in streamed.stdout, streamed.stdout + log.read_text()
            if mode == "":
                manager.wait_for("WATCHDOG=1", WATCHDOG_S)
            # the process that runs the service: systemd-socket-activate has become it, strace runs it
            pid = server.pid
            if mode == "--strace":
                children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
                pid = int(children[0])
            os.kill(pid, signal.SIGTERM)
            manager.wait_for("STOPPING=1", 10)
            assert server.wait(timeout=30) == 0, log.read_text()
            assert CANARY not in log.read_text()
        finally:
            if server.poll() is None:
                server.kill()
        if mode == "--strace":
            lines = Path(folder, "calls").read_text().split()
            outside = set(lines) - calls - {"syscall", "name", "----------------", "total", "execve"}
            outside = {call for call in outside if call.isidentifier()}
            assert not outside, f"outside the filter: {sorted(outside)}"


main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
