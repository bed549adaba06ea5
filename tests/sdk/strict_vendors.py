"""Strict vendors for the coding agents: the scripted upstream refuses what a sourced rule of assets/vendor-limits.json refuses. The verdict is
that of tests/limits/check.py, which shares no code with the gateway. Azure is judged by OpenAI's rules too.
"""

import json
import re
import sys
import urllib.parse
from pathlib import Path

import script

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "limits"))
import check  # noqa: E402

# name in the configuration, type, path behind the scripted upstream's address, model
TARGETS = [
    ("openai-new", "openai", "/openai-new/v1", "gpt-5.4"),
    ("openai-old", "openai", "/openai-old/v1", "gpt-4.1"),
    ("azure", "azure", "/azure", "gpt-5.4"),
    ("bedrock-claude", "bedrock", "/bedrock-claude", "anthropic.claude-opus-4-6-v1"),
    ("bedrock-nova", "bedrock", "/bedrock-nova", "amazon.nova-2-lite-v1:0"),
    ("gemini-strict", "gemini", "/gemini-strict/v1beta", "gemini-3.8-flash"),
    ("mistral", "mistral", "/mistral/v1", "mistral-medium-3-5"),
    ("groq-strict", "groq", "/groq/openai/v1", "openai/gpt-oss-120b"),
    ("deepseek", "deepseek", "/deepseek", "deepseek-v4-pro"),
]
VENDOR_AT = {path.split("/")[1]: vendor for _, vendor, path, _ in TARGETS}
BORROWED = {"azure": ["azure", "openai"]}
ENDPOINTS = {"gemini": "generate_content"}


RULE_LIST = json.loads((ROOT / "assets" / "vendor-limits.json").read_text())["rules"]


def refusers(vendor, path, body, headers):
    """Names of the sourced rules by which a vendor refuses a request."""
    in_path = re.search(r"/models?/([^/]+?)(:\w+)?(/|$)", path)
    model = urllib.parse.unquote(in_path[1]) if in_path else body["model"]
    dialect = script.dialect_of(path)
    request = {"endpoint": ENDPOINTS.get(dialect, dialect), "model": model, "request": body, "headers": headers}
    judges = BORROWED.get(vendor, [vendor])
    return sorted(set().union(*(check.refusers({**request, "vendor": judge}, RULE_LIST) for judge in judges)))


class StrictScript(script.Script):
    """Upstream of all strict vendors; keeps what it refused."""

    def __init__(self):
        self.refused = []
        super().__init__()

    def refusal(self, path, body, headers):
        vendor = VENDOR_AT[path.split("/")[1]]
        names = refusers(vendor, path, body, headers)
        if names:
            self.refused.append(f"{path}: {names}")
            return f"strict fake: {names}"
        return None


def config(folder, upstream):
    return "".join(
        f'[providers.{name}]\ntype = "{kind}"\nbase_url = "{upstream}{path}"\napi_key = "file:{folder}/upstream.key"\n'
        f'price = {{ input = "1.00", output = "5.00" }}\nmodels = ["{model}"]\n'
        + ('region = "eu-west-1"\n' if kind == "bedrock" else "")
        for name, kind, path, model in TARGETS
    )
