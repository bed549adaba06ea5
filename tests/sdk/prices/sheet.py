"""Checks of packaging/prices/rebuild.py: the sheet equals what the tool makes of the installed litellm's map, and the tool
refuses a map with anything that columns.json does not know.
"""

import json
import subprocess
import sys
import tempfile
from importlib.metadata import distribution
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MAP = Path(distribution("litellm").locate_file("litellm/model_prices_and_context_window_backup.json"))
UNKNOWN = {
    "a column": lambda price_map: price_map["gpt-5.1"].update(input_cost_per_smell=1e-6),
    "a tier": lambda price_map: price_map["gpt-5.1"].update(input_cost_per_token_overnight=1e-6),
    "a nested member": lambda price_map: price_map["claude-opus-5"]["provider_specific_entry"].update(moon=2.0),
    "a mode": lambda price_map: price_map["gpt-5.1"].update(mode="telepathy"),
    "a region": lambda price_map: price_map.update({"bedrock/moon-base-1/x.y": {**price_map["gpt-5.1"], "litellm_provider": "bedrock"}}),
    "a zone": lambda price_map: price_map.update({"azure/moon/gpt-5.1": {**price_map["azure/gpt-5.1"]}}),
    "a form of id": lambda price_map: price_map.update({"mistral/a/b": {**price_map["gpt-5.1"], "litellm_provider": "mistral"}}),
    "a size of a search": lambda price_map: price_map["gpt-4.1"]["search_context_cost_per_query"].update(search_context_size_huge=0.1),
}


def rebuild(price_map, as_of):
    command = [sys.executable, str(ROOT / "packaging/prices/rebuild.py"), str(price_map), as_of]
    return subprocess.run(command, text=True, capture_output=True, timeout=120)


def main():
    failed = []
    committed = (ROOT / "assets/prices.json").read_text()
    made = rebuild(MAP, json.loads(committed)["as_of"])
    if made.stdout != committed:
        failed.append(f"the sheet is not what the tool makes of litellm {distribution('litellm').version}: {made.stderr[-300:]}")
    with tempfile.TemporaryDirectory() as folder:
        for name, change in UNKNOWN.items():
            price_map = json.loads(MAP.read_text())
            change(price_map)
            path = Path(folder, "map.json")
            path.write_text(json.dumps(price_map))
            made = rebuild(path, "test")
            if made.returncode == 0 or "unknown part of the map" not in made.stderr:
                failed.append(f"{name} that columns.json does not know is accepted: {made.stderr[-300:]}")
    for fault in failed:
        print(f"price sheet: {fault}")
    print(f"price sheet and the tool that rebuilds it: {'FAILED' if failed else 'passed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
