"""Usage records for the comparison with public calculators: for every card of the price sheet (model, place, tier, context
band) one record with plain tokens, and one for each class of tokens that its vendor reports apart. Counts are made from the
record's name, so that every run has the same. It knows no price.
"""

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

SHEET = Path(__file__).parents[3] / "assets" / "prices.json"
MODES = ("chat", "responses", "embedding")
# classes of the sheet, and the counts that report them
COUNTS = {
    "cache_read": "cache_read", "cache_write": "write", "cache_write_1h": "write_1h", "cache_write_12h": "write_12h",
    "input_audio": "audio_in", "cache_read_audio": "audio_cached", "output_reasoning": "reasoning",
    "output_audio": "audio_out", "output_image": "image_out",
}
OPENAI = ("cache_read", "write", "write_12h", "audio_in", "reasoning", "audio_out")
# counts that a vendor reports apart; classes beyond these never reach a gateway
REPORTED = {
    "openai": OPENAI, "azure": OPENAI, "groq": ("cache_read", "reasoning"), "deepseek": ("cache_read", "reasoning"), "mistral": ("cache_read", "reasoning"),
    "together": ("cache_read", "reasoning"), "cohere": (), "bedrock": ("cache_read", "write", "write_1h"),
    "anthropic": ("cache_read", "write", "write_1h", "reasoning"),
    "gemini": ("cache_read", "audio_in", "audio_cached", "reasoning", "audio_out", "image_out"),
}
EMBEDDERS = ("openai", "azure", "mistral")
TIERS = ("batch", "flex", "priority", "ultrafast")
FACTORS = {"geo_us": {"geo": "us"}, "fast": {"speed": "fast"}, "region_eu": {"place": "eu"}, "region_us": {"place": "us"}, "fedramp": {"place": "gov"}}
FEES = {
    "openai": ("web_search", "web_search_preview", "file_search", "code_interpreter"), "anthropic": ("web_search",),
    "groq": ("browser_search", "browser_open"), "azure": ("code_interpreter",), "gemini": (),
}


@dataclass
class Record:
    provider: str
    model: str
    mode: str
    tier: str = "standard"
    place: str = ""
    above: int = 0
    part: str = "plain"
    geo: str = ""
    speed: str = ""
    is_base: bool = True
    counts: dict = field(default_factory=dict)
    tools: dict = field(default_factory=dict)

    @property
    def name(self):
        where = f" in {self.place}" if self.place else ""
        band = f" above {self.above}" if self.above else ""
        return f"{self.provider}/{self.model}{where} {self.tier}{band} {self.part}"

    def count(self, name):
        return self.counts.get(name, 0)

    def prompt(self):
        return sum(self.count(name) for name in ("input", "cache_read", "write", "write_1h", "write_12h", "audio_in", "audio_cached"))

    def output(self):
        return sum(self.count(name) for name in ("output", "reasoning", "audio_out", "image_out"))


def numbers(name):
    """An endless row of numbers below 1, made from a name."""
    seed = hashlib.sha256(name.encode()).digest()
    while True:
        for at in range(0, 32, 4):
            yield int.from_bytes(seed[at:at + 4], "big") / 2**32
        seed = hashlib.sha256(seed).digest()


def with_counts(record, count):
    """Counts of the record: a few thousand tokens, or a prompt above the threshold of the band."""
    made = numbers(record.name)
    tokens = lambda most: 1 + int(next(made) * most)
    record.counts = {"input": tokens(5_000) + (record.above and record.above + 1)}
    if record.mode != "embedding":
        record.counts["output"] = tokens(3_000)
    if count:
        record.counts[count] = tokens(4_000)
    return record


def cards(row):
    """Place and card of every card of a row, the base card first, and whether it is the base card."""
    yield base_place(row), row, True
    for place, card in row.get("regions", {}).items():
        yield place, card, False


def base_place(row):
    """A place at which the base card holds; None if every place has a card of its own."""
    if row["provider"] != "bedrock":
        return ""
    at_base, places = row.get("regions_at_base", []), row.get("regions", {})
    if at_base:
        return at_base[0]
    commercial = [place for place in places if not place.startswith("us-gov")]
    return None if commercial else "us-east-1"


def of_card(row, place, card, is_base, tier, above):
    rates = card["rates"]
    if tier != "standard":
        rates = {**rates, **card.get("service_tiers", {}).get(tier, {})}
    for band in card.get("long_context", []):
        if band["above_input_tokens"] == above:
            rates = {**rates, **band.get("standard", {}), **band.get(tier, {})}
    base = {"provider": row["provider"], "model": row["model"], "mode": row["mode"], "tier": tier, "place": place, "above": above, "is_base": is_base}
    yield with_counts(Record(**base), None)
    if row["mode"] == "embedding":
        return
    for rate, count in COUNTS.items():
        if rate in rates and count in REPORTED[row["provider"]]:
            if row["mode"] == "responses" and count.startswith("audio"):
                continue
            yield with_counts(Record(**base, part=count), count)


def of_factors(row):
    base = {"provider": row["provider"], "model": row["model"], "mode": row["mode"], "is_base": False}
    for factor in row.get("factors", {}):
        if row["mode"] != "embedding":
            yield with_counts(Record(**base, part=factor, **FACTORS[factor]), "cache_read")


def of_fees(row, sheet):
    vendor = {fee["tool"] for fee in sheet["fees"] if fee["provider"] == row["provider"]}
    for tool in FEES.get(row["provider"], ()):
        if tool not in {*row.get("fees", {}), *vendor} or row["mode"] == "embedding":
            continue
        base = {"provider": row["provider"], "model": row["model"], "part": tool}
        mode = "responses" if row["provider"] in ("openai", "azure") else row["mode"]
        record = with_counts(Record(**base, mode=mode), None)
        record.tools = {tool: 2}
        yield record


def is_priced(row):
    rates = row["rates"]
    return float(rates.get("input", 0)) > 0 and (row["mode"] == "embedding" or float(rates.get("output", 0)) > 0)


def all_records():
    sheet = json.loads(SHEET.read_text())
    for row in sheet["models"]:
        if row["mode"] not in MODES or row["provider"] not in REPORTED:
            continue
        if row["mode"] == "embedding" and row["provider"] not in EMBEDDERS:
            continue
        for place, card, is_base in cards(row):
            if place is None or not is_priced({**row, "rates": card["rates"]}):
                continue
            bands = card.get("long_context", [])
            listed = {*card.get("service_tiers", {}), *(tier for band in bands for tier in band if tier in TIERS)}
            # an embedding's answer names no tier
            for tier in ["standard", *(sorted(listed) if row["mode"] != "embedding" else [])]:
                for above in [0, *(band["above_input_tokens"] for band in bands)]:
                    yield from of_card(row, place, card, is_base, tier, above)
        if is_priced(row):
            yield from of_factors(row)
            yield from of_fees(row, sheet)


def chosen(models_max):
    """Records of the sheet: of every vendor, class, tier, band, place and kind of model at most this many models; 0: all."""
    seen = {}
    for record in all_records():
        kind = (record.provider, record.mode, record.part, record.tier, record.above, record.place, record.geo, record.speed)
        seen[kind] = seen.get(kind, 0) + 1
        if not models_max or seen[kind] <= models_max:
            yield record
