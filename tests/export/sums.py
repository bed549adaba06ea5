"""Loads an export into DuckDB and compares its sums with the usage report, digit by digit: sums.py BINARY [FOLDER]"""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from decimal import Decimal

import duckdb

BINARY = sys.argv[1]
# the client holds one page, whatever the number of requests; compared with a command that prints a line
CLIENT_MB_MAX = 16
# refusals have a shorter retention than their count
COLUMNS = ["requests", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens", "cost_usd"]
READERS = {
    "csv": "read_csv('{file}', all_varchar = true)",
    "jsonl": "(select *, usage->>'input_tokens' as input_tokens, usage->>'cached_tokens' as cached_tokens, "
             "usage->>'output_tokens' as output_tokens, usage->>'reasoning_tokens' as reasoning_tokens from "
             "read_json('{file}', format = 'newline_delimited', columns = {{provider: 'varchar', model: 'varchar', status: 'varchar', "
             "id: 'varchar', net_cost_usd: 'varchar', usage: 'json'}}))",
}
SUMS = """
    select coalesce(provider, '') as provider, coalesce(model, '') as model,
        count(*) filter (status <> 'refused'),
        sum(coalesce(try_cast(input_tokens as bigint), 0)), sum(coalesce(try_cast(cached_tokens as bigint), 0)),
        sum(coalesce(try_cast(output_tokens as bigint), 0)), sum(coalesce(try_cast(reasoning_tokens as bigint), 0)),
        sum(coalesce(try_cast(net_cost_usd as decimal(30, 12)), 0))
    from {source} group by all
"""
counts = {"passed": 0, "failed": 0}


def check(name, holds, found=""):
    counts["passed" if holds else "failed"] += 1
    print(f"export {name}: {'passed' if holds else f'FAILED: {found}'}")


def run(*arguments, where):
    return subprocess.run([BINARY, *arguments], cwd=where, check=True, capture_output=True, text=True).stdout


def memory_mb(*arguments, where):
    """Memory of a command at its most."""
    process = subprocess.Popen([BINARY, *arguments], cwd=where, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{arguments} ended with {process.returncode}")
    return used.ru_maxrss / 1024


def start(where, arguments, ready):
    log = open(os.path.join(where, "server.log"), "w")
    process = subprocess.Popen([BINARY, *arguments], cwd=where, stdout=log, stderr=log)
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline and process.poll() is None:
        if ready in open(log.name).read():
            return process
        time.sleep(0.1)
    sys.exit(f"the server did not start: {open(log.name).read()[-2000:]}")


def usage(where):
    report = json.loads(run("usage", "--json", "--group-by", "provider,model", "--start", "2020-01-01", "--end", "2100-01-01", *PLACE, where=where))
    rows = {}
    for row in report["data"]:
        place = (row.get("provider") or "", row.get("model") or "")
        values = [Decimal(str(row[name])) for name in COLUMNS]
        rows[place] = [old + new for old, new in zip(rows.get(place, [Decimal(0)] * len(COLUMNS)), values)]
    return rows


def exported(where, form):
    file = os.path.join(where, f"export.{form}")
    began = time.monotonic()
    client_mb = memory_mb("requests", "export", "--format", form, "--out", file, *PLACE, where=where)
    took = time.monotonic() - began
    more_mb = client_mb - memory_mb("clock", *PLACE, where=where)
    check(f"the {form} is written in constant memory", more_mb <= CLIENT_MB_MAX, f"{more_mb:.0f} MB")
    source = READERS[form].format(file=file)
    database = duckdb.connect()
    rows = {row[:2]: [Decimal(value) for value in row[2:]] for row in database.execute(SUMS.format(source=source)).fetchall()}
    total, different = database.execute(f"select count(*), count(distinct id) from {source}").fetchone()
    os.remove(file)
    print(f"FIGURE exported as {form}: {total} requests in {took:.1f} s")
    return rows, total, different


def compare(where):
    expected = usage(where)
    for form in READERS:
        rows, total, different = exported(where, form)
        check(f"every request is in the {form} once", total == different and total > 20_000, f"{total} rows, {different} ids")
        wrong = {place: (rows.get(place), expected.get(place)) for place in rows.keys() | expected.keys() if rows.get(place) != expected.get(place)}
        check(f"sums of the {form} equal the usage report", not wrong, wrong)


def main():
    global PLACE
    if len(sys.argv) > 2:
        where, PLACE, ready = sys.argv[2], ["--config", "gatekeeper.toml"], "gatekeeper listens on"
        arguments = ["serve", *PLACE]
    else:
        where, PLACE, ready = tempfile.mkdtemp(), ["--data", "demo"], "Ctrl-C stops"
        arguments = ["demo", *PLACE, "--history", "90d"]
    process = start(where, arguments, ready)
    try:
        compare(where)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=60)
    if len(sys.argv) <= 2:
        shutil.rmtree(where)
    print(f"{counts['passed']} passed, {counts['failed']} failed")
    sys.exit(1 if counts["failed"] else 0)


main()
