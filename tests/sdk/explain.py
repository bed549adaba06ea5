"""Recomputes the cost of random requests from their `/v1/requests` records. Shares no code with the gateway.
Usage: explain.py URL ADMINISTRATIVE_KEY [N]   (a URL of http://ADDRESS:PORT)
"""

import json
import random
import sys
import urllib.request
from decimal import Decimal


def ask(path):
    request = urllib.request.Request(sys.argv[1] + path, headers={"authorization": f"Bearer {sys.argv[2]}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


ids, before = [], ""
while before is not None:
    page = ask(f"/v1/requests?limit=500{before}")
    ids += [row["id"] for row in page["data"]]
    before = page["next"] and f"&before={page['next']}"
chosen = random.sample(ids, min(int((sys.argv + ["1000"])[3]), len(ids)))
for identity in chosen:
    explained = ask(f"/v1/requests/{identity}")
    for attempt in explained["attempts"]:
        amounts = [line["count"] * Decimal(line["rate_usd"]) for line in attempt["cost_lines"]]
        corrections = [Decimal(entry["amount_usd"]) for entry in attempt["corrections"]]
        assert amounts == [Decimal(line["amount_usd"]) for line in attempt["cost_lines"]], attempt
        assert sum(amounts) == Decimal(attempt["cost_usd"]), attempt
        assert sum(amounts) + sum(corrections) == Decimal(attempt["net_cost_usd"]), attempt
    assert sum(Decimal(attempt["net_cost_usd"]) for attempt in explained["attempts"]) == Decimal(explained["net_cost_usd"])
print(f"the sums of {len(chosen)} requests: passed")
