"""Exports of a running server, intact and attacked, checked by `gatekeeper audit verify` and by verify_audit.py: both must agree on each.

    audit_cases.py BINARY [CASES]

Where the library `aics-tlog` is installed, it checks tree, checkpoint and proof of the intact export as well.
"""

import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
BINARY, CASES = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 40
passed = failed = 0


def judge(name, is_right, why=""):
    global passed, failed
    passed, failed = passed + is_right, failed + (not is_right)
    print(f"{name}: {'passed' if is_right else 'FAILED ' + why}", flush=True)


class Server:
    def __init__(self, folder):
        self.folder = folder
        (folder / "gatekeeper.toml").write_text('listen = "127.0.0.1:0"\ndata = "data"\n')
        printed = self.run("init")
        (folder / "kept-key").write_text(next(line.strip() for line in printed.splitlines() if "/1+" in line) + "\n")
        self.start()

    def start(self):
        self.process = subprocess.Popen([BINARY, "serve"], cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            if (self.folder / "data/admin.sock").exists():
                break
            time.sleep(0.1)

    def run(self, *arguments):
        return subprocess.run([BINARY, *arguments], cwd=self.folder, check=True, capture_output=True, text=True).stdout

    def add_teams(self, first, last):
        for number in range(first, last):
            self.run("teams", "create", f"team {number}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


def verdicts(*arguments):
    """Exit codes of both verifiers."""
    ours = subprocess.run([BINARY, "audit", "verify", *map(str, arguments)], capture_output=True)
    theirs = subprocess.run([sys.executable, HERE / "verify_audit.py", *map(str, arguments)], capture_output=True)
    return ours.returncode, theirs.returncode


def agree(name, expected, *arguments):
    ours, theirs = verdicts(*arguments)
    judge(name, (ours, theirs) == (expected, expected), f"gatekeeper {ours}, verify_audit.py {theirs}, expected {expected}")


def edit(lines, other, rng):
    at = rng.randrange(len(lines))
    byte = rng.randrange(len(lines[at]))
    changed = bytes([lines[at][byte] ^ 1])
    lines[at] = lines[at][:byte] + changed + lines[at][byte + 1 :]


def delete(lines, other, rng):
    del lines[rng.randrange(len(lines))]


def swap(lines, other, rng):
    one, two = rng.sample(range(len(lines)), 2)
    lines[one], lines[two] = lines[two], lines[one]


def repeat(lines, other, rng):
    at = rng.randrange(len(lines))
    lines.insert(at, lines[at])


def truncate(lines, other, rng):
    del lines[rng.randrange(len(lines)) :]


def splice(lines, other, rng):
    at = rng.randrange(min(len(lines), len(other)))
    lines[at] = other[at]


def attack(export, other, folder, kind, rng):
    shutil.copytree(export, folder)
    events = folder / "events.jsonl"
    lines = events.read_bytes().splitlines()
    kind(lines, (other / "events.jsonl").read_bytes().splitlines(), rng)
    events.write_bytes(b"".join(line + b"\n" for line in lines))


def check_restore(server, folder, key):
    """A restore continues the log of the backup under the next generation; both verifiers tell it from tampering."""
    server.start()
    try:
        early = folder / "early"
        early.write_text(server.run("audit", "checkpoint"))
        server.run("backup", "backup")
        server.add_teams(20, 23)
        lost = folder / "lost"
        lost.write_text(server.run("audit", "checkpoint"))
        server.stop()
        server.run("restore", "backup")
        server.start()
        server.add_teams(30, 33)
        server.run("audit", "export", "restored")
    finally:
        server.stop()
    export = server.folder / "restored"
    agree("restored log", 0, export, "--public-key", key)
    agree("restored log with a checkpoint from before the backup", 0, export, "--checkpoint", early)
    agree("restored log with a checkpoint of what the restore replaced", 0, export, "--checkpoint", lost)
    text = (export / "events.jsonl").read_text()
    for name, changed in (
        ("change of what a restore continues", text.replace("team 3", "team 4", 1)),
        ("restore that names another root", text.replace('"root":"', '"root":"A', 1)),
        ("restore that names another size", text.replace('"size":', '"size":1', 1)),
    ):
        target = folder / name.replace(" ", "-")
        shutil.copytree(export, target)
        (target / "events.jsonl").write_text(changed)
        agree(name, 14, target)


def check_with_library(export, proof):
    """The public library `aics-tlog` on the same files."""
    try:
        import aics_tlog
    except ImportError:
        print("SKIPPED aics-tlog: it cannot be installed (it needs Python 3.12)")
        return
    key = aics_tlog.parse_vkey((export / "public-keys").read_text().split()[-1])
    text = (export / "checkpoints").read_text()
    note = aics_tlog.parse_note(text[text.rindex("gatekeeper/", 0, text.rindex("\n\n")) :])
    result = aics_tlog.verify_checkpoint(note, key)
    judge("checkpoint, by aics-tlog", result.ok, str(result))
    head = aics_tlog.parse_checkpoint(note.text)
    tree = aics_tlog.MerkleTree((export / "events.jsonl").read_bytes().splitlines())
    judge("root, by aics-tlog", tree.root() == head.root, f"{tree.root().hex()} and {head.root.hex()}")
    import base64

    before, after = proof.read_text().split("\n\n", 1)
    _, extra, index, *path = before.split("\n")
    head = aics_tlog.parse_checkpoint(aics_tlog.parse_note(after).text)
    event, place = base64.b64decode(extra[6:]), int(index[6:])
    proved = aics_tlog.verify_leaf_inclusion(event, place, head.size, [base64.b64decode(line) for line in path], head.root)
    judge("inclusion proof, by aics-tlog", proved)


def main():
    rng = random.Random(18)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        servers = []
        for instance in ("one", "two"):
            (folder / instance).mkdir()
            servers.append(Server(folder / instance))
        one, two = servers
        try:
            one.add_teams(0, 12)
            two.add_teams(0, 9)
            kept = folder / "kept"
            kept.write_text(one.run("audit", "checkpoint"))
            for server in servers:
                server.run("audit", "export", "export")
            one.add_teams(12, 14)
            newer = folder / "newer"
            newer.write_text(one.run("audit", "checkpoint"))
            proof = folder / "event.tlog-proof"
            proof.write_text(one.run("audit", "prove", "5"))
            one.run("audit", "export", "since", "--since", "2020-01-01")
        finally:
            for server in servers:
                server.stop()
        export, other, key = one.folder / "export", two.folder / "export", one.folder / "kept-key"
        agree("intact export", 0, export)
        agree("intact export with kept checkpoint and key", 0, export, "--checkpoint", kept, "--public-key", key)
        agree("export since a date", 0, one.folder / "since", "--public-key", key)
        agree("older copy against a newer checkpoint", 14, export, "--checkpoint", newer)
        agree("export of another instance", 14, other, "--public-key", key)
        agree("proof", 0, proof, "--public-key", key)
        forged = folder / "forged.tlog-proof"
        forged.write_text(proof.read_text().replace("index 4", "index 5"))
        agree("proof of another place", 14, forged, "--public-key", key)
        agree("proof with another key", 14, proof, "--public-key", two.folder / "kept-key")
        kinds = (edit, delete, swap, repeat, truncate, splice)
        for number in range(CASES):
            kind = kinds[number % len(kinds)]
            target = folder / f"attack-{number}"
            attack(export, other, target, kind, rng)
            agree(f"attack {number}, {kind.__name__}", 14, target)
        check_with_library(export, proof)
        check_restore(one, folder, key)
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
