"""Holds what the built binary books against public calculators, record by record. Usage: compare.py BINARY [--write]

The binary gets the usage of each record in an answer of its vendor. Every difference must be explained by an entry of
differences.json, and every entry must explain one; the table is tests/sdk/prices/DIFFERENCES.md, written with --write.
GK_PRICED_MODELS: models of each kind of record, for a short run without the table; all without it.
"""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
import answers  # noqa: E402
import calculators  # noqa: E402
import records  # noqa: E402
from stage import ask, free_port, wait_until_ready  # noqa: E402

# calculators have rates as floats
TOLERANCE = Decimal("1e-9")
PATHS = {"openai": "/v1", "anthropic": "/v1", "groq": "/v1", "mistral": "/v1", "together": "/v1", "deepseek": "/v1"}


class Vendor(http.server.BaseHTTPRequestHandler):
    """Answers every request with the usage of the record at hand, in the dialect of the path."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        record = self.server.record
        self.server.answer = answers.responses(record) if self.path.endswith("/responses") else answers.answer(record)
        body = json.dumps(self.server.answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def section(record):
    """Name of the provider that serves a record: one for each place."""
    return f"{record.provider}_{re.sub('[^a-z0-9]', '_', record.place)}".rstrip("_")


def config(chosen, folder, port, upstream):
    text = f'listen = "127.0.0.1:{port}"\ndata = "{folder}/data"\n'
    for name, record in sorted({section(record): record for record in chosen}.items()):
        key = f'api_key = "file:{folder}/upstream.key"\n'
        text += f'[providers.{name}]\ntype = "{record.provider}"\nbase_url = "{upstream}{PATHS.get(record.provider, "")}"\n{key}price = "sheet"\n'
        if record.provider == "bedrock":
            text += f'region = "{record.place}"\n'
        elif record.place:
            text += f'[providers.{name}.prices."*"]\nplace = "{record.place}"\n'
    return text


def booked(chosen, binary):
    """Answer of the vendor and row of the request log for each record."""
    with tempfile.TemporaryDirectory(prefix="gatekeeper-prices-") as folder:
        vendor = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Vendor)
        threading.Thread(target=vendor.serve_forever, daemon=True).start()
        Path(folder, "upstream.key").write_text("sk-upstream")
        Path(folder, "upstream.key").chmod(0o600)
        port = free_port()
        url, path = f"http://127.0.0.1:{port}", f"{folder}/gatekeeper.toml"
        Path(path).write_text(config(chosen, folder, port, f"http://127.0.0.1:{vendor.server_address[1]}"))
        made = subprocess.run([binary, "init", "--data", f"{folder}/data"], cwd=folder, text=True, capture_output=True, timeout=30)
        admin = re.search(r"sk-gk-master-[\w-]+", made.stdout).group()
        with open(f"{folder}/log", "wb") as log:
            server = subprocess.Popen([binary, "serve", "--config", path], cwd=folder, stdout=log, stderr=log)
        try:
            wait_until_ready(url, server, f"{folder}/log")
            team = ask("POST", f"{url}/v1/teams", admin, {"name": "open"})["id"]
            key = ask("POST", f"{url}/v1/keys", admin, {"name": "open", "team": team})["key"]
            given = [call(url, key, vendor, number, record) for number, record in enumerate(chosen)]
            return given, rows(url, admin)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)
            vendor.shutdown()


def call(url, key, vendor, number, record):
    vendor.record, vendor.answer = record, None
    path, body = answers.request(record)
    body["model"] = f"{section(record)}/{record.model}"
    asked = urllib.request.Request(url + path, json.dumps(body).encode(), {
        "content-type": "application/json", "authorization": f"Bearer {key}", "x-api-key": key, "x-gatekeeper-tag": f"n{number}"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            answer.read()
    except urllib.error.HTTPError as error:
        print(f"{record.name}: {error.code}: {error.read()[:300]}")
    return vendor.answer


def rows(url, admin):
    """Rows of the request log by the number of their record."""
    found, before = {}, ""
    ask("GET", f"{url}/v1/usage", admin)
    while True:
        page = ask("GET", f"{url}/v1/requests?limit=500{before}", admin)
        found |= {int(row["tag"][1:]): row for row in page["data"] if row["status"] != "refused"}
        if not page.get("next"):
            return found
        before = f"&before={page['next']}"


def differs(one, other):
    return abs(one - other) > TOLERANCE * max(abs(one), abs(other), Decimal("1e-12"))


def matches(entry, record, calculator, ours, theirs):
    def is_in(member, value):
        return re.fullmatch(entry.get(member, ".*"), value)

    direction = entry.get("direction")
    return (
        is_in("calculator", calculator) and is_in("provider", record.provider) and is_in("model", record.model)
        and is_in("tier", record.tier) and is_in("place", record.place) and is_in("part", record.part)
        and is_in("band", "above" if record.above else "base") and direction in (None, "dearer" if ours > theirs else "cheaper")
    )


def compare(chosen, given, found):
    """Differences by the entry that explains them, unexplained ones, and comparisons by calculator and provider."""
    entries = json.loads((HERE / "differences.json").read_text())
    explained, unexplained, counts = defaultdict(list), [], Counter()
    for number, (record, answer) in enumerate(zip(chosen, given)):
        row = found.get(number)
        # a request for a single word has a low ceiling
        if row is None or set(row["flags"]) - {"over_ceiling"}:
            unexplained.append(f"{record.name}: booked as {row and row['flags']}")
            continue
        ours = Decimal(row["cost_usd"])
        for calculator, theirs in (("litellm", calculators.by_litellm(record)), ("genai-prices", calculators.by_genai(record, answer))):
            if theirs is None:
                counts[calculator, record.provider, "unknown"] += 1
                continue
            counts[calculator, record.provider, "compared"] += 1
            if not differs(ours, theirs):
                continue
            counts[calculator, record.provider, "differs"] += 1
            entry = next((at for at, entry in enumerate(entries) if matches(entry, record, calculator, ours, theirs)), None)
            if entry is None:
                unexplained.append(f"{record.name}: {ours} here, {theirs} by {calculator} ({float(ours / theirs) if theirs else 'inf':.6}) {row['cost_lines'][-1]['text']}")
            else:
                explained[entry].append((record, ours, theirs))
    return entries, explained, unexplained, counts


def table(entries, explained, counts, total):
    lines = [
        "# Prices beside public calculators", "",
        "Written by `tests/sdk/prices/run --write`; the judgements are in `differences.json`. A record is one answer of a vendor to the",
        "built binary; a calculator that lists no price for its card is not asked. Versions: `requirements.txt`.", "",
        "| calculator | provider | compared | equal | differ | not listed |", "|---|---|---:|---:|---:|---:|"]
    for calculator, provider in sorted({key[:2] for key in counts}):
        compared, differ, unknown = (counts[calculator, provider, kind] for kind in ("compared", "differs", "unknown"))
        lines.append(f"| {calculator} | {provider} | {compared} | {compared - differ} | {differ} | {unknown} |")
    lines += ["", f"{total} records. Every difference, who is right, and why:", "",
              "| calculator | where | records | example | here | there | right | why |", "|---|---|---:|---|---:|---:|---|---|"]
    for at, entry in enumerate(entries):
        if explained[at]:
            record, ours, theirs = explained[at][0]
            shown = lambda usd: f"{usd:.6f}".rstrip("0").rstrip(".")
            lines.append(f"| {entry['calculator']} | {entry['where']} | {len(explained[at])} | `{record.name}` | {shown(ours)} | {shown(theirs)} | {entry['right']} | {entry['why']} |")
    return "\n".join(lines) + "\n"


def main(binary, *options):
    models_max = int(os.environ.get("GK_PRICED_MODELS", "0"))
    chosen = list(records.chosen(models_max))
    given, found = booked(chosen, str(Path(binary).resolve()))
    entries, explained, unexplained, counts = compare(chosen, given, found)
    for line in unexplained:
        print(f"not explained: {line}")
    unused = [entry["where"] for at, entry in enumerate(entries) if not explained[at] and models_max == 0]
    for where in unused:
        print(f"explains nothing: {where}")
    failed = len(unexplained) + len(unused)
    total = sum(count for (_, _, kind), count in counts.items() if kind == "compared")
    if models_max == 0:
        text, path = table(entries, explained, counts, len(chosen)), HERE / "DIFFERENCES.md"
        if "--write" in options:
            path.write_text(text)
        elif path.read_text() != text:
            print("DIFFERENCES.md is out of date: tests/sdk/prices/run --write")
            failed += 1
    print(f"{len(chosen)} records, {total} comparisons with public calculators: {'FAILED' if failed else 'passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
