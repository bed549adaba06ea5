"""Generates test vectors for src/provider/bedrock/sigv4.rs: fixed requests to Bedrock signed by botocore.
Usage: python sigv4.py > ../golden/bedrock/sigv4.json
"""

import datetime
import json
import random
from unittest import mock
from urllib.parse import quote

from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

MODELS = [
    "anthropic.claude-sonnet-5-5",
    "anthropic.claude-opus-4-5-20251101-v1:0",
    "eu.amazon.nova-lite-v1:0",
    "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.anthropic.claude-sonnet-4-20250514-v1:0",
    "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:application-inference-profile/a1b2c3",
    "a b+c~d_e.f-g%h",
    "größe/日本",
]
HOSTS = [
    "https://bedrock-runtime.eu-west-1.amazonaws.com",
    "https://vpce-0123-abc.bedrock-runtime.us-east-1.vpce.amazonaws.com:443",
    "http://127.0.0.1:8080",
    "http://Localhost:80/a/prefix",
]
PATHS = ["converse", "converse-stream", "invoke", "invoke-with-response-stream"]
HEADERS = [
    [],
    [("content-type", "application/json")],
    [("content-type", "application/json"), ("accept", "application/vnd.amazon.eventstream")],
    [("x-amzn-bedrock-accept", "  application/json   ;  q=1 "), ("a-header", "A,b"), ("z-header", "")],
]


def signed(case):
    headers = [("host", None), ("x-amz-date", None), ("x-amz-security-token", None), ("authorization", None)]
    request = AWSRequest(method="POST", url=case["url"], data=case["body"].encode(), headers=dict(case["headers"]))
    keys = Credentials(case["access_key_id"], case["secret_access_key"], case["session_token"])
    now = datetime.datetime.fromtimestamp(case["now_ms"] // 1000, datetime.timezone.utc)
    with mock.patch("botocore.auth.get_current_datetime", lambda *_: now.replace(tzinfo=None)):
        auth.SigV4Auth(keys, "bedrock", case["region"]).add_auth(request)
    request.headers["host"] = auth._host_from_url(case["url"])
    return [(name, request.headers[name]) for name, _ in headers if name in request.headers]


def cases(count):
    dice = random.Random(4)
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
    text = lambda length: "".join(dice.choice(letters) for _ in range(length))
    for number in range(count):
        host, model, path = dice.choice(HOSTS), MODELS[number % len(MODELS)], dice.choice(PATHS)
        yield {
            "url": f"{host}/model/{quote(model, safe='-._~')}/{path}",
            "region": dice.choice(["eu-west-1", "us-east-1", "us-gov-west-1", "ap-northeast-3"]),
            "access_key_id": f"KEY{number}",
            "secret_access_key": "secret/" + text(33),
            "session_token": text(200) if number % 3 == 0 else None,
            "now_ms": dice.choice([0, 951_782_400_000, 1_709_251_199_999, dice.randrange(4_000_000_000_000)]),
            "headers": dice.choice(HEADERS),
            "body": dice.choice(["", "{}", '{"messages":[]}', "日本 " + text(dice.randrange(500))]),
        }


print(json.dumps([{**case, "signed": signed(case)} for case in cases(140)], indent=0, ensure_ascii=False))
