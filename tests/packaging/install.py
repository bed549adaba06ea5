"""Installs the packages into chroots and uses them: install.py PACKAGES FOLDER

PACKAGES is the output of packaging/build. In FOLDER a Debian bookworm is made with debootstrap, from the mirror of this machine.
Trials: apt install, first answer, upgrade from a package with a lower version, remove, purge that keeps and purge that deletes
the data; the .rpm into a copy of the same root. systemd does not run in a chroot: the service is started by the command line of
its unit, with the user and the credentials that the unit would give it. Needs root.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent.parent / "sdk"))

from stage import CANARY, free_port, wait_until_ready  # noqa: E402
from upstream import Upstream  # noqa: E402

passed = failed = 0


def check(name, holds, said=""):
    global passed, failed
    print(f"install {name}: {'passed' if holds else f'FAILED {said}'}", flush=True)
    passed, failed = passed + bool(holds), failed + (not holds)


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {done.stdout}{done.stderr}")
    return done.stdout


def mirror():
    """Archive that has Debian's base system, as this machine is configured."""
    files = [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))]
    text = "\n".join(file.read_text() for file in files if file.is_file())
    for found in re.findall(r"^(?:deb (?:\[.*?\] )?|URIs: )(https?://\S*/debian/?)(?:\s|$)", text, re.M):
        return found
    return sys.exit("no Debian archive in /etc/apt")


class Root:
    """A Debian root with the service in it."""

    def __init__(self, path):
        self.path = Path(path)

    def inside(self, *command, **options):
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        return run("chroot", self.path, *command, env=environment, **options)

    def file(self, path):
        return self.path / path.lstrip("/")

    def mode(self, path):
        return f"{self.file(path).stat().st_mode & 0o7777:o} {self.file(path).stat().st_uid}"

    def add_provider(self, upstream):
        """The second of the four commands; the service runs already, without a provider."""
        address = ["--type", "openai_compatible", "--base-url", f"{upstream.url}/v1"]
        terms = ["--models", "o-text", "--price", "1.00/5.00", "--key-stdin"]
        self.inside("gatekeeper", "providers", "add", "chatty", *address, *terms, input=CANARY)

    def start(self):
        """Runs ExecStart of the unit as its user, with a copy of the credentials as systemd makes it."""
        unit = self.file("/usr/lib/systemd/system/gatekeeper.service").read_text()
        command = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1).split()
        user = re.search(r"^gatekeeper:[^:]*:(\d+):(\d+):", self.file("/etc/passwd").read_text(), re.M)
        uid, gid = int(user.group(1)), int(user.group(2))
        credentials = self.file("/run/credentials/gatekeeper.service")
        shutil.rmtree(credentials, ignore_errors=True)
        credentials.mkdir(parents=True)
        for source in self.file("/etc/gatekeeper/credentials").iterdir():
            copy = credentials / f"gatekeeper_{source.name}"
            shutil.copy(source, copy)
            os.chown(copy, uid, gid)
        os.chown(credentials, uid, gid)
        environment = {
            "CREDENTIALS_DIRECTORY": "/run/credentials/gatekeeper.service",
            "GATEKEEPER_LISTEN": f"127.0.0.1:{self.port}",
            "PATH": "/usr/bin",
        }

        def enter():
            os.chroot(self.path)
            os.chdir("/")
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)

        self.log = self.path.parent / f"{self.path.name}.log"
        with self.log.open("ab") as output:
            self.server = subprocess.Popen(command, env=environment, stdout=output, stderr=output, preexec_fn=enter)
        wait_until_ready(f"http://127.0.0.1:{self.port}", self.server, self.log)

    def stop(self):
        self.server.send_signal(signal.SIGTERM)
        check(f"{self.path.name}: service stops with exit code 0", self.server.wait(timeout=60) == 0, self.log.read_text())

    def create_key(self):
        made = self.inside("gatekeeper", "keys", "create", "--team", "eng", "--budget", "$1", "--json")
        return json.loads(made)["key"]

    def ask(self, key):
        body = {"model": "o-text", "messages": [{"role": "user", "content": "hello"}], "stream": True}
        head = ["-H", f"authorization: Bearer {key}", "-H", "content-type: application/json", "-d", json.dumps(body)]
        url = f"http://127.0.0.1:{self.port}/v1/chat/completions"
        return "[DONE]" in run("curl", "--silent", "--show-error", "--no-buffer", url, *head)

    def calls(self):
        report = self.inside("gatekeeper", "usage", "--json")
        return sum(int(row.get("requests", 0)) for row in json.loads(report)["data"])


def debian(root, upstream, new, old):
    root.inside("mount", "-t", "proc", "proc", "/proc")
    try:
        for package in (new, old):
            shutil.copy(package, root.file("/root"))
        start = time.monotonic()
        said = root.inside("apt-get", "install", "--yes", "--no-install-recommends", f"/root/{old.name}")
        check("postinst names the next steps", all(step in said for step in ("providers add", "keys create", "curl ")), said)
        seal_key = root.file("/etc/gatekeeper/credentials/seal_key")
        check("seal key is 0400 root", root.mode("/etc/gatekeeper/credentials/seal_key") == "400 0")
        check("data folder is 0700", root.mode("/var/lib/gatekeeper").startswith("700"))
        root.port = free_port()
        root.start()
        root.add_provider(upstream)
        key = root.create_key()
        check("installed service answers a streamed request", root.ask(key))
        print(f"FIGURE apt install to the first answer, systemd of the chroot included: {time.monotonic() - start:.1f} s")
        root.stop()
        before = seal_key.read_bytes()
        root.inside("apt-get", "install", "--yes", "--no-install-recommends", f"/root/{new.name}")
        root.start()
        check("upgrade keeps keys, books and configuration", root.ask(key) and root.calls() == 2)
        check("upgrade keeps the seal key", seal_key.read_bytes() == before)
        root.stop()
        root.inside("apt-get", "remove", "--yes", "gatekeeper")
        kept = [root.file(path).exists() for path in ("/etc/gatekeeper/gatekeeper.toml", "/var/lib/gatekeeper/gatekeeper.redb")]
        check("remove keeps configuration and data", all(kept) and not root.file("/usr/bin/gatekeeper").exists())
        root.inside("apt-get", "purge", "--yes", "gatekeeper")
        check("purge without an answer keeps data and credentials", root.file("/var/lib/gatekeeper/gatekeeper.redb").exists() and seal_key.exists())
        check("purge removes the configuration", not root.file("/etc/gatekeeper/gatekeeper.toml").exists())
        root.inside("apt-get", "install", "--yes", "--no-install-recommends", f"/root/{new.name}")
        check("a later installation finds the data and its seal key", seal_key.read_bytes() == before)
        root.inside("debconf-set-selections", input="gatekeeper gatekeeper/delete-data boolean true\n")
        root.inside("apt-get", "purge", "--yes", "gatekeeper")
        check("purge with the answer yes deletes the data", not root.file("/var/lib/gatekeeper").exists() and not seal_key.exists())
    finally:
        root.inside("umount", "/proc")


def redhat(root, upstream, package):
    run("rpm", "--root", root.path, "--initdb")
    # the dependency on systemd is met by a Debian package, which rpm does not know
    run("rpm", "--root", root.path, "--nodeps", "--install", package)
    check("rpm: seal key is 0400 root", root.mode("/etc/gatekeeper/credentials/seal_key") == "400 0")
    root.port = free_port()
    root.start()
    root.add_provider(upstream)
    check("rpm: installed service answers a streamed request", root.ask(root.create_key()))
    root.stop()
    run("rpm", "--root", root.path, "--erase", "--nodeps", "gatekeeper")
    check("rpm: erase keeps the data", root.file("/var/lib/gatekeeper/gatekeeper.redb").exists())


def older(package, folder):
    """The same package with a lower version."""
    tree = folder / "older"
    run("dpkg-deb", "-R", package, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: (.*)$", r"Version: \1~previous", control.read_text(), flags=re.M))
    made = folder / "gatekeeper_previous_amd64.deb"
    run("dpkg-deb", "--root-owner-group", "--build", tree, made)
    return made


def main(packages, folder):
    folder = Path(folder).resolve()
    (new,) = Path(packages).glob("*.deb")
    base, upstream = folder / "debian", Upstream()
    include = "ca-certificates,debconf,systemd,procps"
    run("debootstrap", "--variant=minbase", f"--include={include}", "bookworm", base, mirror())
    shutil.copy("/etc/resolv.conf", base / "etc/resolv.conf")
    other = folder / "redhat"
    run("cp", "-a", base, other)
    debian(Root(base), upstream, new, older(new, folder))
    packaged = list(Path(packages).glob("*.rpm"))
    if packaged and shutil.which("rpm"):
        redhat(Root(other), upstream, packaged[0])
    else:
        print("SKIPPED install rpm: no rpm")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main(*sys.argv[1:])
