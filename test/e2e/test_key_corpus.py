"""Goal: our client and a real S3 server mean the same object by the same key, and understand each other's errors.
Method: sigv4_probe sends single requests of ours; boto3, which shares nothing with it, looks at the result."""
import hashlib
import time
import urllib.request

import pytest

from sigv4.probe import Store, ask, key_corpus

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()


@pytest.fixture
def store(bucket):
    return Store(bucket.endpoint, bucket.name, bucket.server.access_key, bucket.server.secret_key)


def content_of(key):
    return "content of " + key


def put_corpus(store):
    keys = key_corpus()
    for key, answer in zip(keys, store.many("put_object", ({"key": key, "body": content_of(key)} for key in keys))):
        assert answer["error"] is None, (key, answer)
    return keys


def test_every_key_is_stored_as_it_is(store, bucket):
    keys = put_corpus(store)
    assert bucket.keys() == sorted(keys, key=str.encode)
    for key in keys:
        assert bucket.get(key).decode() == content_of(key), key


def test_every_key_is_read_as_it_is(store, bucket):
    keys = key_corpus()
    for key in keys:
        bucket.put(key, content_of(key).encode())
    for key, answer in zip(keys, store.many("get_object", ({"key": key} for key in keys))):
        assert answer["reply_body"].decode() == content_of(key), key
    for key, answer in zip(keys, store.many("head_object", ({"key": key} for key in keys))):
        assert answer["size"] == len(content_of(key).encode()), key
        assert answer["etag"].strip('"') == hashlib.md5(content_of(key).encode()).hexdigest()


def test_listings_give_every_key_once_and_in_order(store):
    keys = put_corpus(store)
    for max_keys in (1000, 7):
        listed, token = [], ""
        for _ in range(len(keys) + 1):
            page = store.call("list_objects_v2", max_keys=max_keys, continuation_token=token)
            assert page["error"] is None and page["in_order"], page
            listed += page["keys"]
            token = page["next_token"]
            if not page["truncated"]:
                break
        assert listed == sorted(keys, key=str.encode)
    for at, key in enumerate(listed):
        page = store.call("list_objects_v2", max_keys=1, start_after=key)
        assert page["keys"] == listed[at + 1:at + 2], key


def test_deleting_some_keys_leaves_their_twins(store, bucket):
    """Keys of the corpus differ by as little as a blank, an encoding or a normal form."""
    keys = put_corpus(store)
    safe = [key for key, answer in zip(keys, ask({"operation": "xml_safe", "key": key} for key in keys)) if answer["safe"]]
    unsafe = [key for key in keys if key not in safe]
    left = set(keys)
    for half in (safe[::2], safe[1::2]):
        answer = store.call("delete_objects", keys=half)
        assert answer["error"] is None and answer["errors"] == {}, answer
        left -= set(half)
        assert set(bucket.keys()) == left
    for key in unsafe:
        assert store.call("delete_object", key=key)["error"] is None
        left.remove(key)
        assert set(bucket.keys()) == left
    assert store.call("delete_objects", keys=safe)["errors"] == {}  # what is gone counts as deleted
    assert store.call("delete_object", key="never there")["error"] is None


def test_head_tells_our_digest(store, bucket):
    store.call("put_object", key="k", body="hello", content_type="text/plain")
    head = store.call("head_object", key="k")
    assert (head["size"], head["content_type"]) == (5, "text/plain")
    assert head["metadata_sha256"] == hashlib.sha256(b"hello").hexdigest()
    assert bucket.head("k")["Metadata"] == {"objectlink-sha256": head["metadata_sha256"]}
    store.call("put_object", key="empty", body="")
    assert store.call("head_object", key="empty")["metadata_sha256"] == EMPTY_SHA256


def test_ranges(store):
    store.call("put_object", key="k", body="0123456789")
    part = store.call("get_object", key="k", range="bytes=2-4")
    assert (part["status"], part["reply_body"], part["size"]) == (206, b"234", 10)
    assert store.call("get_object", key="k", range="bytes=10-")["code"] == "InvalidRange"


def test_a_conditional_put_never_overwrites(store, bucket):
    assert store.call("put_object", key="k", body="one", if_none_match=True)["error"] is None
    again = store.call("put_object", key="k", body="two", if_none_match=True)
    assert again["class"] == "conflict"
    assert bucket.get("k") == b"one"


@pytest.mark.parametrize("key", ["multi part", "a/../b+c", "é\u0301 😀"])
def test_multipart(store, bucket, key):
    parts = ["a" * (5 << 20), "b" * 1000]
    upload = store.call("create_multipart_upload", key=key, content_type="text/plain", sha256=EMPTY_SHA256)["upload_id"]
    assert [key, upload] in store.call("list_multipart_uploads")["uploads"]
    etags = [store.call("upload_part", key=key, upload_id=upload, number=number, body=part)["etag"]
             for number, part in enumerate(parts, 1)]
    assert store.call("head_object", key=key)["class"] == "not_found"
    assert store.call("complete_multipart_upload", key=key, upload_id=upload, etags=etags)["error"] is None
    head = store.call("head_object", key=key)
    assert head["metadata_sha256"] == EMPTY_SHA256
    assert head["etag"].strip('"') == ask([{"operation": "multipart_etag", "bodies": parts}])[0]["etag"]
    assert bucket.get(key).decode() == "".join(parts)


def test_unfinished_uploads_are_listed_by_their_keys(store):
    keys = key_corpus()
    started = store.many("create_multipart_upload", ({"key": key} for key in keys))
    uploads = store.call("list_multipart_uploads")["uploads"]
    assert sorted(uploads) == sorted([key, answer["upload_id"]] for key, answer in zip(keys, started))
    for key, upload in uploads:
        assert store.call("abort_multipart_upload", key=key, upload_id=upload)["error"] is None
    assert store.call("list_multipart_uploads")["uploads"] == []


def test_an_aborted_upload_is_gone(store):
    upload = store.call("create_multipart_upload", key="k")["upload_id"]
    wrong = store.call("complete_multipart_upload", key="k", upload_id=upload, etags=['"00000000000000000000000000000000"'])
    assert wrong["class"] == "conflict"
    assert store.call("abort_multipart_upload", key="k", upload_id=upload)["error"] is None
    assert store.call("abort_multipart_upload", key="k", upload_id=upload)["error"] is None
    assert store.call("list_multipart_uploads")["uploads"] == []
    assert store.call("upload_part", key="k", upload_id=upload, number=1, body="x")["class"] == "not_found"


def test_copies(store, bucket):
    for key in ["a b/ü?%2F+", "plain"]:
        store.call("put_object", key=key, body="x")
        assert store.call("copy_object", **{"from": key, "key": "copy of " + key})["error"] is None
        assert bucket.get("copy of " + key) == b"x"
    assert store.call("copy_object", **{"from": "missing", "key": "k"})["class"] == "not_found"


def test_presigned_urls_work_without_credentials(store, bucket):
    for key in ["a b/ü?%2F+", "x?versionId=1"]:
        put, get = ask({**store.common, "operation": "presign", "key": key, "method": method, "expiry": 60}
                       for method in ("PUT", "GET"))
        with urllib.request.urlopen(urllib.request.Request(put["url"], data=b"presigned", method="PUT")) as reply:
            assert reply.status == 200
        with urllib.request.urlopen(get["url"]) as reply:
            assert reply.read() == b"presigned" == bucket.get(key)


def test_missing_is_not_forbidden_is_not_a_missing_bucket(store, s3_server):
    assert store.call("head_object", key="missing")["class"] == "not_found"
    assert store.call("get_object", key="missing")["code"] == "NoSuchKey"
    assert store.call("head_bucket")["error"] is None

    stranger = Store(s3_server.endpoint, store.common["bucket"], s3_server.other_access_key, s3_server.other_secret_key)
    store.call("put_object", key="k", body="x")
    for operation in ("head_object", "get_object", "delete_object", "put_object"):
        answer = stranger.call(operation, key="k")
        assert (answer["class"], answer["code"]) == ("store", "AccessDenied"), operation

    nowhere = Store(s3_server.endpoint, "no-such-bucket", s3_server.access_key, s3_server.secret_key)
    for operation in ("get_object", "delete_object", "put_object", "list_objects_v2", "head_bucket"):
        answer = nowhere.call(operation, key="k")
        assert (answer["class"], answer["code"]) == ("store", "NoSuchBucket"), operation
    assert nowhere.call("delete_objects", keys=["k"])["code"] == "NoSuchBucket"


def test_wrong_keys_and_wrong_time(store):
    assert store.call("get_object", key="k", secret_key="wrong")["code"] == "SignatureDoesNotMatch"
    assert store.call("get_object", key="k", access_key="NOBODY")["code"] == "InvalidAccessKeyId"
    late = store.call("get_object", key="k", time=int(time.time()) - 3600)
    assert (late["class"], late["code"]) == ("clock", "RequestTimeTooSkewed")


def test_a_key_that_is_too_long_is_the_objects_fault(store):
    assert store.call("put_object", key="a" * 1025, body="x")["class"] == "object"


def test_versions(store, bucket):
    assert store.call("get_bucket_versioning")["versioning"] == 0
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    assert store.call("get_bucket_versioning")["versioning"] == 1
    first = store.call("put_object", key="k", body="one")["version_id"]
    second = store.call("put_object", key="k", body="two")["version_id"]
    assert first and second and first != second
    assert store.call("get_object", key="k", version_id=first)["reply_body"] == b"one"
    assert store.call("delete_object", key="k", version_id=second)["version_id"] == second
    assert bucket.get("k") == b"one"
