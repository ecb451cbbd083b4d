"""How do tests in Python use our request builder, signer and client? Through the program sigv4_probe (probe.cpp)."""
import base64
import json
import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PROBE = ROOT / os.environ.get("OBJECTLINK_BUILD", "build") / "sigv4_probe"
PROBE_SECONDS_MAX = 120


def ask(lines, send=False):
    """One answer for each line. The bytes of bodies come back as bytes."""
    lines = list(lines)
    done = subprocess.run(
        [PROBE] + (["--send"] if send else []), input="".join(json.dumps(line) + "\n" for line in lines),
        capture_output=True, text=True, encoding="utf-8", timeout=PROBE_SECONDS_MAX, check=True)
    answers = [json.loads(line) for line in done.stdout.split("\n") if line]
    assert len(answers) == len(lines)
    for answer in answers:
        for name in ("body", "reply_body"):
            if name in answer:
                answer[name] = base64.b64decode(answer[name])
    return answers


def key_corpus():
    return ask([{"operation": "key_corpus"}])[0]["keys"]


class Store:
    """Sends single requests to a bucket and gives their answers."""

    def __init__(self, endpoint, bucket, access_key, secret_key):
        self.common = {"endpoint": endpoint, "bucket": bucket, "access_key": access_key, "secret_key": secret_key}

    def many(self, operation, arguments):
        return ask(({**self.common, "operation": operation, **more} for more in arguments), send=True)

    def call(self, operation, **arguments):
        return self.many(operation, [arguments])[0]
