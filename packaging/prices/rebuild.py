#!/usr/bin/env python3
"""Rebuilds assets/prices.json from the public price map in PyPI's litellm wheel. README.md explains the use.

usage: rebuild.py WHEEL_OR_MAP AS_OF > prices.json

Fails on a column, nested member, region, zone or form of id that columns.json does not know, and on an entry of
decisions.json that applies to no row. It must never drop a figure silently: each omission has a reason in columns.json.
"""
import json
import re
import sys
import zipfile
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).parent
KNOWN = json.loads((HERE / "columns.json").read_text())
DECISIONS = json.loads((HERE / "decisions.json").read_text())
MAP = "litellm/model_prices_and_context_window_backup.json"
CLASSES = [*KNOWN["token_rates"].values(), *KNOWN["unit_rates"].values()]
REGION = re.compile(r"(af|ap|ca|eu|il|me|mx|sa|us|us-gov)-(central|(north|south)?(east|west)?)-\d")
SIZE = re.compile(r"(?:(low|medium|high|standard|hd)/)?(\d+-x-\d+|max-x-max)/(?:(\d+|max)-steps/)?(.+)")
NO_SUFFIX = re.compile(r"(?P<base>.+?)(?:_above_(?P<above>\d+)k_tokens)?(?:_(?P<kind>" + "|".join([*KNOWN["tiers"], *KNOWN["endpoints"]]) + r"))?")


class Unknown(Exception):
    """The map has something that columns.json does not know."""


def decimal(value, times=1):
    amount = Decimal(str(value)) * times
    return format(amount.normalize(), "f") if amount else "0"


def rate_of(column):
    """Class, multiplier, band and tier of a rate column; None for other columns."""
    match = NO_SUFFIX.fullmatch(column)
    base, above, kind = match["base"], int(match["above"] or 0) * 1000, match["kind"]
    if base in KNOWN["token_rates"]:
        return KNOWN["token_rates"][base], 1_000_000, above, kind
    if base in KNOWN["unit_rates"]:
        return KNOWN["unit_rates"][base], 1, above, kind
    return None


def whole(value):
    """A count: the map writes some as 4096.0."""
    if value is None or isinstance(value, int):
        return value
    count = Decimal(str(value))
    if count != int(count):
        raise Unknown(f"a count of {value}")
    return int(count)


def check_columns(entries):
    listed = {name for group in ("factors", "fees", "vendor_fees", "facts", "without_money", "left_out_columns") for name in KNOWN[group]}
    unknown = Counter(
        column for _, entry in entries for column in entry
        if column not in listed and not column.startswith("supports_") and rate_of(column) is None
    )
    if unknown:
        raise Unknown("unknown columns: " + ", ".join(f"{name} ({count} entries)" for name, count in sorted(unknown.items())))


def figures(entry):
    """Rates of an entry as {(tier or endpoint, band): {class: decimal}}."""
    found = defaultdict(dict)
    for column, value in entry.items():
        if rate := rate_of(column):
            name, times, above, kind = rate
            found[KNOWN["tiers"].get(kind, kind or "standard"), above][name] = decimal(value, times)
    return dict(found)


def sorted_rates(rates):
    return {name: rates[name] for name in CLASSES if name in rates}


def card(found):
    """A card in the form of the sheet."""
    endpoints = KNOWN["endpoints"]
    made = {"rates": sorted_rates(found.get(("standard", 0), {}))}
    tiers = {tier: sorted_rates(rates) for (tier, above), rates in sorted(found.items()) if not above and tier != "standard" and tier not in endpoints}
    bands = defaultdict(dict)
    for (tier, above), rates in sorted(found.items()):
        if above and tier not in endpoints:
            bands[above][tier] = sorted_rates(rates)
    if tiers:
        made["service_tiers"] = tiers
    if bands:
        made["long_context"] = [{"above_input_tokens": above, "standard": {}, **band} for above, band in sorted(bands.items())]
    for endpoint in endpoints:
        own = {("standard", above): rates for (kind, above), rates in found.items() if kind == endpoint}
        if own:
            made.setdefault("endpoints", {})[endpoint] = card(own)
    return made


def contradicts(one, other):
    return any(one[place].get(name, value) != value for place, rates in other.items() if place in one for name, value in rates.items())


def union(one, other):
    return {place: {**other.get(place, {}), **one.get(place, {})} for place in {**one, **other}}


def merge(entries, provider, model):
    """Entries of one model: the vendor's id leads, others add figures and facts unless they contradict it."""
    prefixed = provider not in ("bedrock", "openai")
    first = KNOWN["prefixes"][provider] + model if prefixed else model
    entries = sorted(entries, key=lambda item: (item[0] != first, item[0]))
    facts, found = entries[0][1], figures(entries[0][1])
    for key, entry in entries[1:]:
        if contradicts(found, figures(entry)):
            note(f"{key}: other figures than {entries[0][0]}; dropped")
            continue
        found, facts = union(found, figures(entry)), {**entry, **facts}
    return facts, found


def search_fees(provider, model, entry):
    prices = entry["search_context_cost_per_query"]
    if set(prices) != {f"search_context_size_{size}" for size in ("low", "medium", "high")}:
        raise Unknown(f"{model}: search_context_cost_per_query has {sorted(prices)}")
    usd = {decimal(price) for price in prices.values()}
    if len(usd) > 1:
        raise Unknown(f"{model}: search fees differ by context size")
    usd = usd.pop()
    if provider == "openai":
        if re.fullmatch(DECISIONS["search_models"], model):
            return {"web_search_each_call": {"usd": usd, "per": "call"}}
        general = next(fee for fee in DECISIONS["fees"] if (fee["provider"], fee["tool"]) == (provider, "web_search"))
        return {"web_search_preview": {"usd": usd, "per": "call"}, "web_search": {"usd": general["usd"], "per": "call"}}
    if provider != "gemini":
        return {"browser_search" if provider == "groq" else "web_search": {"usd": usd, "per": "call"}}
    fee = {"usd": usd, "per": billing_unit(model, entry)}
    if free := entry.get("search_free_requests"):
        if set(free) != {"count", "period", "shared_group"}:
            raise Unknown(f"{model}: search_free_requests has {sorted(free)}")
        fee["free"] = {"count": free["count"], "per": free["period"], "shared_by": free["shared_group"]}
    return {"google_search": fee}


def billing_unit(model, entry):
    unit = entry.get("web_search_billing_unit", "per_prompt")
    if unit not in ("per_prompt", "per_query"):
        raise Unknown(f"{model}: web_search_billing_unit {unit}")
    return unit.removeprefix("per_")


def fees(provider, model, entry):
    made = search_fees(provider, model, entry) if "search_context_cost_per_query" in entry else {}
    if "search_free_requests" in entry and not made:
        raise Unknown(f"{model}: search_free_requests without a fee")
    if "google_maps_grounding_cost_per_query" in entry:
        made["google_maps"] = {"usd": decimal(entry["google_maps_grounding_cost_per_query"]), "per": billing_unit(model, entry)}
    return dict(sorted(made.items()))


def factors(model, entry):
    made = {name: decimal(entry[column]) for column, name in KNOWN["factors"].items() if column in entry}
    for member, value in (entry.get("provider_specific_entry") or {}).items():
        if member in KNOWN["entry_factors"]:
            made[KNOWN["entry_factors"][member]] = decimal(value)
        elif member not in KNOWN["entry_flags"]:
            raise Unknown(f"{model}: provider_specific_entry has {member}")
    return dict(sorted(made.items()))


def write_ttl(provider, model, found):
    if not any("cache_write" in rates for rates in found.values()):
        return None
    head, _, rest = model.partition(".")
    author = (rest if head in KNOWN["profiles"] else model) if provider == "bedrock" else provider + "."
    if author.startswith(("anthropic.", "amazon.")):
        return "5m"
    return "30m" if author.startswith(("openai.", "azure.")) else None


def locate(key, provider):
    """Model, place and size that a key of the map names; None if it is left out."""
    for owner, form, reason in KNOWN["left_out_keys"]:
        if owner == provider and re.fullmatch(form, key):
            note(f"{key}: left out: {reason}")
            return None
    prefix = KNOWN["prefixes"][provider]
    name, place, size = key.removeprefix("text-completion-openai/").removeprefix(prefix), None, None
    if match := SIZE.fullmatch(name):
        quality, pixels, steps, name = match.groups()
        name = name.removeprefix(prefix)
        size = {"quality": quality, "size": pixels.replace("-x-", "x"), "steps": steps}
    if "/" in name and provider == "azure":
        zone, name = name.split("/", 1)
        if zone not in KNOWN["zones"]:
            raise Unknown(f"{key}: zone {zone}")
        place = KNOWN["zones"][zone]
    if "/" in name and provider == "bedrock":
        place, name = name.split("/", 1)
        if place != "invoke" and not REGION.fullmatch(place):
            raise Unknown(f"{key}: region {place}")
        place = None if place == "invoke" else place
    if "/" in name and provider not in KNOWN["slash_in_id"]:
        raise Unknown(f"{key}: slash in the id {name}")
    for owner, listed, model, quality in KNOWN["resolutions"]:
        if (owner, listed) == (provider, name):
            name, size = model, {"quality": quality}
    for owner, listed, model in KNOWN["second_names"]:
        name = model if (owner, listed) == (provider, name) else name
    return name, place, size and {member: value for member, value in size.items() if value}


def sizes(keys):
    made = {}
    for key, entry, size in keys:
        found = figures(entry)
        if set(found) - {("standard", 0)}:
            raise Unknown(f"{key}: a size with tiers or bands")
        whole = {**size, **card(found)}
        if made.setdefault(json.dumps(size), whole) != whole:
            raise Unknown(f"{key}: two prices for one size")
    return [made[size] for size in sorted(made)]


def places(provider, model, by_place, found, own_fees):
    cards, at_base = {}, []
    for place, entries in sorted(by_place.items()):
        facts, there = merge(entries, provider, model)
        if found and not contradicts(found, there):
            if union(there, found) == found:
                at_base.append(place)
                continue
            there = union(there, found)
        cards[place] = card(there)
        there_fees = fees(provider, model, facts)
        if there_fees and there_fees != own_fees:
            cards[place]["fees"] = there_fees
        if there_factors := factors(model, facts):
            cards[place]["factors"] = there_factors
    return cards, at_base


def row(provider, model, keys):
    """Row of a model from all of its keys: (key, entry, place, size)."""
    base = [(key, entry) for key, entry, place, size in keys if not place and not size]
    by_place = defaultdict(list)
    for key, entry, place, _ in keys:
        if place:
            by_place[place].append((key, entry))
    lead, found = merge(base, provider, model) if base else ({}, {})
    facts = lead or keys[0][1]
    own_fees = fees(provider, model, lead)
    cards, at_base = places(provider, model, by_place, found, own_fees)
    head, _, rest = model.partition(".")
    said = {answer: {name for column, name in KNOWN["capabilities"].items() if facts.get(column) is answer} for answer in (True, False)}
    made = {
        "provider": provider, "model": model, "mode": facts["mode"],
        "context": whole(facts.get("max_input_tokens") or facts.get("max_tokens")), "max_output": whole(facts.get("max_output_tokens")),
    }
    optional = {
        "cache_write_ttl": write_ttl(provider, model, found), "cache_min_tokens": whole(facts.get("prompt_cache_min_tokens")),
        "sizes": sizes([(key, entry, size) for key, entry, _, size in keys if size]),
        "factors": factors(model, lead), "fees": own_fees, "regions": cards, "regions_at_base": at_base,
        "profile_of": rest if provider == "bedrock" and head in KNOWN["profiles"] and "." in rest else None,
        "vector_size": whole(facts.get("output_vector_size")), "capabilities": sorted(said[True]), "lacks": sorted(said[False] - said[True]),
        "deprecated_on": facts.get("deprecation_date"), "successor": (facts.get("successor_model") or "").removeprefix(KNOWN["prefixes"][provider]),
        "image_tokens": next((tokens for owner, form, tokens in DECISIONS["image_tokens"] if re.fullmatch(owner, provider) and re.fullmatch(form, model)), None),
    }
    return {**made, **card(found), **{member: value for member, value in optional.items() if value}}


def base_cards(row):
    yield row["rates"]
    yield from row.get("service_tiers", {}).values()
    for band in row.get("long_context", []):
        yield from (rates for rates in band.values() if isinstance(rates, dict))


def without_low_writes(entry):
    """Removes rates of cache writes below that of input; returns True if the entry had one."""
    low = [rates for rates in base_cards(entry) if Decimal(rates.get("cache_write", "1000000")) < Decimal(rates.get("input", "0"))]
    for rates in low:
        del rates["cache_write"]
    return bool(low)


def decide(row, decision):
    """Applies a decision to a row; returns True if the row is doubtful for it."""
    if decision.get("write_below_input"):
        return any([without_low_writes(part) for part in (row, *row.get("regions", {}).values())])
    if "query_fee" in decision:
        fee = row.get("fees", {}).get("google_search", {})
        is_doubtful = (fee.get("usd"), fee.get("per")) == (decision["query_fee"], "prompt")
        if is_doubtful:
            fee["per"] = "query"
        return is_doubtful
    if "times" in decision:
        for rates in base_cards(row):
            rates.update({name: decimal(value, Decimal(decision["times"])) for name, value in rates.items() if name in KNOWN["token_rates"].values()})
        return True
    rates = row["service_tiers"].get(decision["tier"], {}) if "tier" in decision else row["rates"]
    for name, value in decision["rates"].items():
        if Decimal(value) <= Decimal(rates.get(name, "0")):
            return False
    raised = sorted_rates({**rates, **decision["rates"]})
    rates.clear()
    rates.update(raised)
    return bool(rates)


def apply_decisions(rows):
    for decision in DECISIONS["doubtful"]:
        chosen = [
            one for one in rows
            if re.fullmatch(decision["provider"], one["provider"]) and re.fullmatch(decision["models"], one["model"])
            and not re.fullmatch(decision.get("unlike", "$^"), one["model"])
        ]
        doubtful = [one for one in chosen if decide(one, decision)]
        if not doubtful:
            raise Unknown(f"decisions.json: `{decision['models']}` applies to no row")
        for one in doubtful:
            one.setdefault("doubtful", []).append(decision["why"])
        note(f"{decision['models']}: {len(doubtful)} rows: {decision['why']}")
    for one in rows:
        add_preview_fee(one)


def add_preview_fee(row):
    """Fee of the older search tool where the map lists none: it depends on reasoning."""
    listed = row.get("fees", {})
    if row["provider"] != "openai" or row["mode"] not in ("chat", "responses") or {"web_search_preview", "web_search_each_call"} & set(listed):
        return
    kind = "reasoning" if "reasoning" in row.get("capabilities", []) else "plain"
    row["fees"] = dict(sorted({**listed, "web_search_preview": {"usd": DECISIONS["preview_search"][kind], "per": "call"}}.items()))


def build(source):
    source.pop("sample_spec", None)
    entries = [(key, entry) for key, entry in source.items() if entry.get("litellm_provider") in KNOWN["providers"]]
    check_columns(entries)
    made_fees, models = [dict(fee) for fee in DECISIONS["fees"]], defaultdict(list)
    for key, entry in entries:
        provider = KNOWN["providers"][entry["litellm_provider"]]
        if "code_interpreter_cost_per_session" in entry:
            made_fees.append({"provider": provider, "tool": "code_interpreter", "usd": decimal(entry["code_interpreter_cost_per_session"]), "per": "session", "from": "map"})
            continue
        if "guardrail_cost_per_unit" in entry:
            made_fees += [{"provider": provider, "tool": f"guardrail.{unit}", "usd": decimal(usd), "per": "unit", "from": "map"} for unit, usd in entry["guardrail_cost_per_unit"].items()]
            continue
        if (where := locate(key, provider)) is None:
            continue
        if entry["mode"] not in KNOWN["modes"]:
            raise Unknown(f"{key}: mode {entry['mode']}")
        model, place, size = where
        models[provider, model].append((key, entry, place, size))
    rows = [row(provider, model, keys) for (provider, model), keys in sorted(models.items())]
    apply_decisions(rows)
    return rows, sorted(made_fees, key=lambda fee: tuple(fee.values()))


def note(text):
    print(text, file=sys.stderr)


def read_map(path):
    if path.endswith(".whl"):
        with zipfile.ZipFile(path) as wheel:
            return json.loads(wheel.read(MAP), parse_float=str)
    return json.loads(Path(path).read_text(), parse_float=str)


def write(as_of, rows, made_fees):
    head = {
        "as_of": as_of,
        "unit": "USD per million tokens; rates named per_*, *_per_* are USD per single unit; fees are USD per what they say; image_tokens: the most tokens one image can come to",
        "source": "public list prices as collected in the MIT-licensed litellm price map",
    }
    line = lambda value: json.dumps(value, separators=(",", ":"))
    print(line(head)[:-1] + ',"fees":[\n' + ",\n".join(map(line, made_fees)) + '\n],"models":[\n' + ",\n".join(map(line, rows)) + "\n]}")


if __name__ == "__main__":
    try:
        write(sys.argv[2], *build(read_map(sys.argv[1])))
    except Unknown as problem:
        sys.exit(f"unknown part of the map: {problem}; decide on it in columns.json")
