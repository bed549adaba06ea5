#!/usr/bin/env python3
"""Judge of assets/vendor-limits.json and tests/golden/refusals.json.

Checks the shape of both files and evaluates the rules: the rule that a known refusal names must refuse it, no
other sourced rule may, and the accepted requests must pass every sourced rule. `refuses` is the specification of
the limit kinds. Must never accept a rule whose source is not named, unless it is `believed`.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "assets" / "vendor-limits.json"
REFUSALS = ROOT / "tests" / "golden" / "refusals.json"
CODEX = ROOT / "tests" / "golden" / "codex"

VENDORS = """openai azure anthropic gemini bedrock mistral groq cohere ollama together deepseek xai
    openrouter""".split()
ENDPOINTS = """chat responses messages generate_content converse invoke cohere_chat ollama_chat
    embeddings""".split()
SOURCES = ["sdk", "doc", "issue", "believed"]

NAMES = ["known_fields", "refused_fields", "ignored_fields", "required"]
NUMBERS = ["max_chars", "min_chars", "max_key_chars", "min", "max", "max_items", "min_items", "max_count",
           "max_depth", "max_properties", "max_bytes"]
FLAGS = ["not_blank", "all_required", "additional_properties_false"]
VALUES = ["one_of", "types", "media_types", "schema_keywords", "betas", "only_at", "first_one_of", "last_one_of"]
OTHERS = ["pattern", "not_with", "not_after", "less_than"]
SCHEMAS = ["schema_keywords", "all_required", "additional_properties_false", "max_depth", "max_properties"]
LIMITS = NAMES + NUMBERS + FLAGS + VALUES + OTHERS

MEMBERS = {"vendor", "endpoint", "models", "but_models", "field", "when", "per", "which", "scope", "served_at",
           "limit", "value", "status", "code", "source"}
ACCEPTED_MEMBERS = {"vendor", "endpoint", "model", "headers", "request"}
REFUSAL_MEMBERS = {"vendor", "endpoint", "model", "headers", "request", "status", "message", "source", "rule"}


# Paths: `messages[].content[].text`; `[]` is every element, `*` every member value, `` the body itself.

def is_address(text):
    """An address of the Web, or a Python package with its version: `pip:NAME==VERSION`."""
    return re.fullmatch(r"https://\S+|pip:[a-z-]+==[0-9.]+", text) is not None


def tokens(path):
    """Steps of a path; `[]` and `*` are steps of their own."""
    return [step for part in path.split(".") if part
            for step in re.findall(r"\[\]|[^\[\]]+", part)]


def children(value, step):
    """Pairs of key and child that one step selects; null counts as absent."""
    if step == "[]":
        pairs = enumerate(value) if isinstance(value, list) else []
    elif step == "*":
        pairs = value.items() if isinstance(value, dict) else []
    else:
        pairs = [(step, value[step])] if isinstance(value, dict) and step in value else []
    return [(key, child) for key, child in pairs if child is not None]


def select(value, steps, trail=()):
    """All values at a path, each with the keys that lead to it."""
    if not steps:
        yield value, trail
        return
    for key, child in children(value, steps[0]):
        yield from select(child, steps[1:], trail + (key,))


def bound(body, path, rule_steps, trail):
    """Values at `path`, where the part that it shares with the rule's path means the same elements."""
    steps = tokens(path)
    shared = 0
    while shared < min(len(steps), len(rule_steps), len(trail)) and steps[shared] == rule_steps[shared]:
        shared += 1
    value = body
    for key in trail[:shared]:
        value = value[key]
    return [found for found, _ in select(value, steps[shared:])]


def holds(condition, body, rule_steps, trail):
    """A condition: the field is absent, present, or has one of the values."""
    found = bound(body, condition["field"], rule_steps, trail)
    met = any(value in condition["values"] for value in found) if "values" in condition else bool(found)
    return met != bool(condition.get("absent"))


def judged(rule, body):
    """Values that a rule judges: at its path, under its conditions, all of them or the first per array."""
    steps = tokens(rule["field"])
    seen = set()
    for value, trail in select(body, steps):
        if not all(holds(c, body, steps, trail) for c in rule.get("when", [])):
            continue
        if rule.get("which") == "first":
            if trail[:-1] in seen:
                continue
            seen.add(trail[:-1])
        yield value, trail


# JSON schemas

def subschemas(schema):
    """The schema and every schema inside it."""
    if not isinstance(schema, dict):
        return
    yield schema
    for key in ("properties", "$defs", "definitions", "patternProperties"):
        for child in (schema.get(key) or {}).values():
            yield from subschemas(child)
    for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
        for child in schema.get(key) or []:
            yield from subschemas(child)
    for key in ("items", "additionalProperties", "not"):
        yield from subschemas(schema.get(key))


def is_object(schema):
    kind = schema.get("type")
    return kind == "object" or isinstance(kind, list) and "object" in kind or "properties" in schema


def depth(schema):
    """Levels of objects and arrays, a flat object being one."""
    if not isinstance(schema, dict):
        return 0
    inner = list((schema.get("properties") or {}).values()) + [schema.get("items")]
    for key in ("anyOf", "oneOf", "allOf"):
        inner += schema.get(key) or []
    own = 1 if is_object(schema) or "items" in schema else 0
    return own + max([depth(child) for child in inner] or [0])


# Limits

def size(value):
    """Count of elements or members; one for anything else, so that a lone stop string is one stop."""
    return len(value) if isinstance(value, (list, dict)) else 1


def media_type(value):
    """Media type of a data URL or a bare type; none for another URL, which is not judged."""
    if value.startswith("data:"):
        return re.split("[;,]", value[5:], maxsplit=1)[0].lower()
    return None if "://" in value else value.lower()


def data_bytes(value):
    """Bytes of base64 data, of a data URL's payload, or of a serialized body."""
    if not isinstance(value, str):
        return len(json.dumps(value, separators=(",", ":")).encode())
    payload = value.split(",", 1)[1] if value.startswith("data:") else value
    return len(payload) * 3 // 4


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def json_type(value):
    kinds = [(bool, "boolean"), (str, "string"), (list, "array"), (dict, "object"), ((int, float), "number")]
    return next(name for kind, name in kinds if isinstance(value, kind))


def follows(value, order):
    """Some message has a role that must not stand directly after the role before it."""
    roles = [m.get("role") for m in value if isinstance(m, dict)]
    return any(after in order.get(before, []) for before, after in zip(roles, roles[1:]))


def one_refuses(rule, value, trail, body):
    """Verdict of a rule on one value at its path."""
    limit, bar = rule["limit"], rule["value"]
    steps = tokens(rule["field"])
    text = isinstance(value, str)
    if limit == "known_fields":
        return isinstance(value, dict) and any(name not in bar for name in value)
    if limit == "refused_fields":
        return isinstance(value, dict) and any(value.get(name) is not None for name in bar)
    if limit == "required":
        return isinstance(value, dict) and any(value.get(name) is None for name in bar)
    if limit == "max_chars":
        return text and len(value) > bar
    if limit == "min_chars":
        return text and len(value) < bar
    if limit == "max_key_chars":
        return isinstance(value, dict) and any(len(name) > bar for name in value)
    if limit == "pattern":
        return text and not re.fullmatch(bar, value)
    if limit == "not_blank":
        return text and not value.strip()
    if limit == "min":
        return is_number(value) and value < bar
    if limit == "max":
        return is_number(value) and value > bar
    if limit == "less_than":
        return is_number(value) and any(is_number(other) and value >= other
                                        for other in bound(body, bar, steps, trail))
    if limit == "max_items":
        return size(value) > bar
    if limit == "min_items":
        return size(value) < bar
    if limit == "one_of":
        return value not in bar
    if limit == "types":
        return json_type(value) not in bar
    if limit == "media_types":
        return text and media_type(value) is not None and media_type(value) not in bar
    if limit == "max_bytes":
        return data_bytes(value) > bar
    if limit == "not_with":
        return any(holds(c, body, steps, trail) for c in bar)
    if limit in ("first_one_of", "last_one_of"):
        place = 0 if limit == "first_one_of" else -1
        return isinstance(value, list) and bool(value) and value[place].get("role") not in bar
    if limit == "not_after":
        return isinstance(value, list) and follows(value, bar)
    if limit in SCHEMAS and text:
        # a schema that is written as a text
        value = json.loads(value)
    if limit == "schema_keywords":
        inside = [value] if rule.get("scope") == "top" else list(subschemas(value))
        return any(isinstance(s, dict) and any(word not in bar for word in s) for s in inside)
    if limit == "all_required":
        return any(name not in (s.get("required") or []) for s in subschemas(value)
                   for name in s.get("properties") or {})
    if limit == "additional_properties_false":
        return any(is_object(s) and s.get("additionalProperties") is not False for s in subschemas(value))
    if limit == "max_depth":
        return depth(value) > bar
    if limit == "max_properties":
        return sum(len(s.get("properties") or {}) for s in subschemas(value)) > bar
    raise ValueError(limit)


def refuses(rule, request):
    """Verdict of a rule on a request: `endpoint`, `model`, `headers`, `request` (the body)."""
    if not serves(rule, request["model"]):
        return False
    limit, body = rule["limit"], request["request"]
    if limit == "only_at":
        return request["endpoint"] not in rule["value"]
    if request["endpoint"] != rule["endpoint"] or limit == "ignored_fields":
        return False
    if limit == "betas":
        sent = [b.strip() for b in request.get("headers", {}).get("anthropic-beta", "").split(",") if b.strip()]
        sent += [b for found, _ in select(body, tokens(rule["field"])) for b in found] if rule["field"] else []
        return any(beta not in rule["value"] for beta in sent)
    found = list(judged(rule, body))
    if limit == "max_count":
        width = len(tokens(rule.get("per", "")))
        counts = Counter(trail[:width] for _, trail in found)
        return any(count > rule["value"] for count in counts.values())
    return any(one_refuses(rule, value, trail, body) for value, trail in found)


def matches(pattern, model):
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), model) is not None


def serves(rule, model):
    """The rule speaks of this model."""
    named = any(matches(p, model) for p in rule.get("models", ["*"]))
    return named and not any(matches(p, model) for p in rule.get("but_models", []))


# Shape

def value_fault(rule):
    limit, value = rule["limit"], rule["value"]
    if limit in NAMES + VALUES:
        return None if isinstance(value, list) else "value is not a list"
    if limit in NUMBERS:
        return None if is_number(value) else "value is not a number"
    if limit in FLAGS:
        return None if value is True else "value is not true"
    if limit == "pattern":
        try:
            re.compile(value)
        except re.error as e:
            return f"pattern: {e}"
        outside_re2 = re.search(r"\(\?[=!<]|\\[1-9]", value)
        return "pattern is not RE2" if outside_re2 else None
    if limit == "not_with":
        good = isinstance(value, list) and all(isinstance(c, dict) and "field" in c for c in value)
        return None if good else "value is not a list of conditions"
    if limit == "not_after":
        return None if isinstance(value, dict) else "value is not an object"
    return None if isinstance(value, str) else "value is not a path"


def rule_faults(rule):
    unknown = set(rule) - MEMBERS
    if unknown:
        yield f"unknown members {sorted(unknown)}"
    missing = {"vendor", "endpoint", "field", "limit", "value", "source"} - set(rule)
    if missing:
        yield f"missing members {sorted(missing)}"
        return
    if rule["vendor"] not in VENDORS or rule["endpoint"] not in ENDPOINTS or rule["limit"] not in LIMITS:
        yield "unknown vendor, endpoint or limit"
        return
    fault = value_fault(rule)
    if fault:
        yield fault
    source = rule["source"]
    if source.get("kind") not in SOURCES or not source.get("says"):
        yield "source has no known kind or says nothing"
    elif source["kind"] != "believed" and not is_address(source.get("at", "")):
        yield "source has no address"
    elif len(source["says"].split()) > 20:
        yield "source says more than 20 words"
    if rule.get("served_at", "chat") not in ENDPOINTS:
        yield "served at an unknown endpoint"
    if "status" in rule and rule["limit"] == "ignored_fields":
        yield "an ignored field has no status"


def sort_key(rule):
    return (rule["vendor"], rule["endpoint"], rule["field"], rule["limit"], json.dumps(rule.get("models", [])),
            json.dumps(rule.get("when", [])), json.dumps(rule["value"]))


def name_of(rule):
    return f'{rule["vendor"]}/{rule["endpoint"]}/{rule["field"]}/{rule["limit"]}'


def refusal_faults(refusal, rules):
    wrong = set(refusal) ^ REFUSAL_MEMBERS - ({"headers"} - set(refusal))
    if wrong:
        yield f"members {sorted(wrong)}"
        return
    if not is_address(refusal["source"]):
        yield "source has no address"
    named = [r for r in rules if name_of(r) == refusal["rule"] and r["vendor"] == refusal["vendor"]]
    if not named:
        yield f'no rule {refusal["rule"]}'
        return
    guilty = [r for r in named if refuses(r, refusal)]
    if not guilty:
        yield f'rule {refusal["rule"]} does not refuse'
        return
    if all(r["source"]["kind"] == "believed" for r in guilty):
        yield f'rule {refusal["rule"]} is believed only'
    if all(r.get("status") not in (None, refusal["status"]) for r in guilty):
        yield f'rule {refusal["rule"]} has another status'
    yield from (f"also refused by {name}" for name in refusers(refusal, rules) - {refusal["rule"]})


def refusers(request, rules):
    """Names of the sourced rules that refuse a request."""
    return {name_of(r) for r in rules if r["vendor"] == request["vendor"]
            and r["source"]["kind"] != "believed" and refuses(r, request)}


def accepted_faults(request, rules):
    """A usual request must pass every sourced rule, so that no rule refuses too much."""
    if set(request) - ACCEPTED_MEMBERS:
        yield "unknown members"
    yield from (f"refused by {name}" for name in refusers(request, rules))


def faults(rules, refusals, accepted):
    for number, rule in enumerate(rules, 1):
        yield from (f"rule {number} ({name_of(rule)}): {f}" for f in rule_faults(rule))
    keys = [sort_key(rule) for rule in rules]
    yield from (f"rule {n}: not sorted" for n, (a, b) in enumerate(zip(keys, keys[1:]), 2) if a > b)
    yield from (f"rule {n}: twice" for n, (a, b) in enumerate(zip(keys, keys[1:]), 2) if a == b)
    for number, refusal in enumerate(refusals, 1):
        yield from (f"refusal {number}: {f}" for f in refusal_faults(refusal, rules))
    for number, request in enumerate(accepted, 1):
        yield from (f"accepted {number}: {f}" for f in accepted_faults(request, rules))


def table(rules, refusals):
    print(f'{"vendor":<12}' + "".join(f"{kind:>10}" for kind in SOURCES) + f'{"rules":>8}{"refusals":>10}')
    kinds = Counter((r["vendor"], r["source"]["kind"]) for r in rules)
    known = Counter(r["vendor"] for r in refusals)
    for vendor in sorted(VENDORS) + ["all"]:
        own = [v for v in VENDORS if vendor in (v, "all")]
        row = [sum(kinds[v, kind] for v in own) for kind in SOURCES]
        print(f"{vendor:<12}" + "".join(f"{n:>10}" for n in row)
              + f"{sum(row):>8}{sum(known[v] for v in own):>10}")
    print("\n" + "  ".join(f"{limit} {n}" for limit, n in Counter(r["limit"] for r in rules).most_common()))


def captured():
    """Requests recorded from Codex, which OpenAI takes."""
    bodies = [json.loads(path.read_text()) for path in sorted(CODEX.glob("*.json"))]
    return [{"vendor": "openai", "endpoint": "responses", "model": "gpt-5.4", "request": body} for body in bodies]


def main():
    rules = json.loads(RULES.read_text())["rules"]
    examples = json.loads(REFUSALS.read_text())
    refusals = examples["refusals"]
    found = list(faults(rules, refusals, examples["accepted"] + captured()))
    for fault in found:
        print(fault)
    table(rules, refusals)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
