"""Goal: each of our signatures is the one that botocore, the AWS reference in Python, computes for the same request.
Method: thousands of random requests, built and signed by sigv4_probe, signed again by botocore from what would be sent.
A failure is replayed with OBJECTLINK_SEED, which each run prints."""
import datetime
import hashlib
import os
import random
import urllib.parse
import xml.etree.ElementTree as ElementTree
from base64 import b64encode
from unittest import mock

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.utils
import pytest

from sigv4.probe import ask, key_corpus

SEED = int(os.environ.get("OBJECTLINK_SEED", random.SystemRandom().randrange(2**32)))
REQUESTS_PER_OPERATION = int(os.environ.get("OBJECTLINK_ORACLE_REQUESTS", 300))
ENDPOINTS = ["http://127.0.0.1:9000", "https://s3.eu-west-1.amazonaws.com", "http://store.example:80", "http://[::1]:7480",
             "https://store.example:8443/"]
MUST_BE_SIGNED = {"host", "content-md5", "content-type"}


@pytest.fixture(scope="module", autouse=True)
def show_seed():
    print(f"OBJECTLINK_SEED={SEED}")


class Dice(random.Random):
    def __init__(self, name):
        super().__init__(f"{SEED} {name}")

    def text(self, length_max, alphabet):
        return "".join(self.choice(alphabet) for _ in range(self.randint(1, length_max)))

    def character(self):
        kind = self.randrange(6)
        if kind < 3:
            return chr(self.randint(0x20, 0x7e))
        if kind == 3:
            return self.choice("/%+&=?#;:'\"<>!*()~ ")
        if kind == 4:
            return chr(self.randint(1, 0xff))
        return chr(self.choice([self.randint(0x100, 0xd7ff), self.randint(0xe000, 0xffff), self.randint(0x10000, 0x10ffff)]))

    def key(self):
        key = "".join(self.character() for _ in range(self.choice([1, 3, 10, 40, 200])))
        return key.encode()[:1024].decode(errors="ignore") or "k"

    def identity(self):
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
        endpoint = self.choice(ENDPOINTS)
        return {
            "endpoint": endpoint, "bucket": self.text(60, "abcxyz019-.").strip("-.") + "abc",
            "region": self.choice(["us-east-1", "eu-central-1", "default", "x"]), "path_style": "[" in endpoint or self.random() < 0.8,
            "checksums": self.random() < 0.3, "access_key": self.text(20, letters.replace("/", "")),
            "secret_key": self.text(80, letters), "session_token": self.text(400, letters) if self.random() < 0.3 else "",
            "time": self.randint(1_262_304_000, 4_000_000_000)}


def body(dice):
    return dice.choice(["", "x", "".join(dice.character() for _ in range(1000))])


# What each operation takes besides its key.
OPERATIONS = {
    "put_object": lambda dice: {
        "body": body(dice), "content_type": dice.choice(["", "text/plain; charset=utf-8", "a/b;  c=d"]),
        "if_none_match": dice.random() < 0.5, "if_match": dice.choice(["", '"etag"'])},
    "head_object": lambda dice: {"version_id": dice.choice(["", "null", "v+1/=", dice.key()])},
    "get_object": lambda dice: {"range": dice.choice(["", "bytes=0-99"]), "version_id": dice.choice(["", "null"])},
    "delete_object": lambda dice: {"version_id": dice.choice(["", "null", "3/L4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY"])},
    "copy_object": lambda dice: {"from": dice.key()},
    "create_multipart_upload": lambda dice: {"sha256": hashlib.sha256(b"x").hexdigest()},
    "upload_part": lambda dice: {"upload_id": dice.key(), "number": dice.randint(1, 10000), "body": body(dice)},
    "complete_multipart_upload": lambda dice: {"upload_id": dice.key(), "etags": ['"a"', '"b"'], "if_none_match": True},
    "abort_multipart_upload": lambda dice: {"upload_id": dice.key()},
    "list_multipart_uploads": lambda dice: {"prefix": dice.key(), "key_marker": dice.key(), "upload_id_marker": dice.key()},
    "list_objects_v2": lambda dice: dice.choice([{"prefix": dice.key(), "start_after": dice.key()},
                                                 {"continuation_token": dice.key()}, {}]),
    "list_object_versions": lambda dice: dice.choice([{"prefix": dice.key(), "key_marker": dice.key(), "version_id_marker": "v+1/="}, {}]),
    "head_bucket": lambda dice: {},
    "get_bucket_versioning": lambda dice: {},
}
WITHOUT_KEY = {"list_multipart_uploads", "list_objects_v2", "list_object_versions", "head_bucket", "get_bucket_versioning"}


def requests(operation):
    dice = Dice(operation)
    keys = key_corpus() + [dice.key() for _ in range(REQUESTS_PER_OPERATION)]
    return [{"operation": operation, "key": key, **dice.identity(), **OPERATIONS[operation](dice)} for key in keys]


def signer(line, kind=botocore.auth.S3SigV4Auth, **more):
    credentials = botocore.credentials.Credentials(line["access_key"], line["secret_key"], line["session_token"] or None)
    return kind(credentials, "s3", line["region"], **more)


def stamp(line):
    return datetime.datetime.utcfromtimestamp(line["time"]).strftime("%Y%m%dT%H%M%SZ")


def authorization_parts(value):
    scheme, _, rest = value.partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    return dict(part.split("=", 1) for part in rest.split(", "))


def expected_signature(line, method, url, headers):
    request = botocore.awsrequest.AWSRequest(method=method, url=url, headers=headers)
    request.context["timestamp"] = stamp(line)
    auth = signer(line)
    return auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)


def check_signature(line, answer):
    assert "exception" not in answer, (line, answer)
    headers = dict(answer["headers"])
    assert len(headers) == len(answer["headers"]), "a header twice"
    parts = authorization_parts(headers.pop("authorization"))
    signed = parts["SignedHeaders"].split(";")
    assert signed == sorted(signed)
    assert {name for name in headers if name in MUST_BE_SIGNED or name.startswith("x-amz-")} <= set(signed)
    assert headers["x-amz-date"] == stamp(line)
    assert parts["Credential"] == f"{line['access_key']}/{stamp(line)[:8]}/{line['region']}/s3/aws4_request"
    expected = expected_signature(line, answer["method"], answer["url"], {name: headers[name] for name in signed})
    assert parts["Signature"] == expected, line


def check_content(line, answer):
    headers = dict(answer["headers"])
    assert headers["x-amz-content-sha256"] == hashlib.sha256(answer["body"]).hexdigest()
    if "content-md5" in headers:
        assert headers["content-md5"] == b64encode(hashlib.md5(answer["body"]).digest()).decode()
    split = urllib.parse.urlsplit(answer["url"])
    assert headers["host"] == split.netloc
    key = "" if line["operation"] in WITHOUT_KEY else line["key"]
    bucket = "/" + line["bucket"] if line["path_style"] else ""
    assert split.path == f"{bucket}/" + botocore.utils.percent_encode(key, safe="/~")
    assert split.fragment == ""


@pytest.mark.parametrize("operation", OPERATIONS)
def test_operation(operation):
    lines = requests(operation)
    for line, answer in zip(lines, ask(lines)):
        check_signature(line, answer)
        check_content(line, answer)


def test_delete_objects():
    dice = Dice("delete_objects")
    safe = [key for key in key_corpus() + [dice.key() for _ in range(1000)]
            if key == key.strip() and key.isprintable() and "\ufeff" not in key and ord(max(key)) < 0xfffe]
    assert len(safe) > 100
    lines = [{"operation": "delete_objects", "key": "", "keys": dice.sample(safe, dice.randint(1, 50)), **dice.identity()}
             for _ in range(REQUESTS_PER_OPERATION)]
    for line, answer in zip(lines, ask(lines)):
        check_signature(line, answer)
        check_content({**line, "operation": "head_bucket"}, answer)
        namespace = "{http://s3.amazonaws.com/doc/2006-03-01/}"
        tree = ElementTree.fromstring(answer["body"])
        assert [node.text for node in tree.iter(namespace + "Key")] == line["keys"]


def test_any_request():
    """The signer alone, with headers and queries that no operation of ours has."""
    dice = Dice("any")
    lines = []
    for _ in range(3 * REQUESTS_PER_OPERATION):
        headers = {dice.text(12, "abcdefghijklmnopqrstuvwxyz0123456789-"): dice.text(40, "abc XYZ,;=/\"  ") for _ in range(5)}
        headers.update({"host": "h:1", "x-amz-date": "", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"})
        line = {"operation": "sign", **dice.identity(), "method": dice.choice(["GET", "PUT", "POST", "DELETE"]),
                "path": "/" + botocore.utils.percent_encode(dice.key(), safe="/~"), "payload_hash": "UNSIGNED-PAYLOAD",
                "query": [[dice.key(), dice.choice(["", dice.key()])] for _ in range(dice.randint(0, 6))]}
        headers["x-amz-date"] = stamp(line)
        line["headers"] = list(headers.items())
        lines.append(line)
    for line, answer in zip(lines, ask(lines)):
        url = f"http://h:1{line['path']}" + ("?" + answer["query"] if answer["query"] else "")
        # Decoding our query gives what was asked for.
        assert sorted(urllib.parse.parse_qsl(answer["query"], keep_blank_values=True)) == sorted(map(tuple, line["query"]))
        parts = authorization_parts(answer["authorization"])
        assert parts["Signature"] == expected_signature(line, line["method"], url, dict(line["headers"])), line


def test_presigned_urls():
    dice = Dice("presign")
    lines = [{"operation": "presign", "key": key, **dice.identity(), "method": dice.choice(["GET", "PUT"]),
              "query": dice.choice([[], [["versionId", dice.key()]], [["partNumber", "7"], ["uploadId", dice.key()]]]),
              "expiry": dice.randint(1, 604800)}
             for key in key_corpus() + [dice.key() for _ in range(REQUESTS_PER_OPERATION)]]
    for line, answer in zip(lines, ask(lines)):
        base = line["endpoint"].rstrip("/")
        if base.endswith(":80"):
            base = base[:-3]
        url = f"{base}/{line['bucket']}/" + botocore.utils.percent_encode(line["key"], safe="/~")
        if line["query"]:
            url += "?" + "&".join(f"{name}={urllib.parse.quote(value, safe='')}" for name, value in line["query"])
        request = botocore.awsrequest.AWSRequest(method=line["method"], url=url)
        with mock.patch("botocore.auth.datetime") as clock:
            clock.datetime.utcnow.return_value = datetime.datetime.utcfromtimestamp(line["time"])
            signer(line, botocore.auth.S3SigV4QueryAuth, expires=line["expiry"]).add_auth(request)
        ours, theirs = urllib.parse.urlsplit(answer["url"]), urllib.parse.urlsplit(request.url)
        assert ours[:3] == theirs[:3]
        as_pairs = lambda query: sorted(urllib.parse.parse_qsl(query, keep_blank_values=True))
        assert as_pairs(ours.query) == as_pairs(theirs.query), line
