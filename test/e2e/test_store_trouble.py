"""Goal: a store that is set up wrongly says so clearly, loses nothing, and works as soon as it is mended, without a restart.
Method: wrong bucket, wrong or missing credentials, an account without permission, a host that is not there.
"""
import json
import os

import pytest

from conftest import create_document_table
from harness.documents import Documents
from harness.waiting import eventually


def write_credentials(path, access_key, secret_key, profile="default"):
    """In one step, as tools that rotate credentials do."""
    new = path.with_suffix(".new")
    new.write_text(f"[{profile}]\naws_access_key_id = {access_key}\naws_secret_access_key = {secret_key}\n")
    new.chmod(0o600)
    os.replace(new, path)


@pytest.fixture
def credentials_file(tmp_path):
    return tmp_path / "credentials"


@pytest.fixture
def file_daemon(make_daemon, credentials_file):
    """A daemon that has its credentials from a file only."""
    return lambda: make_daemon(credentials=None, environment={"AWS_SHARED_CREDENTIALS_FILE": str(credentials_file)})


def consistency(pg):
    return pg.run("SELECT status, error_code, error_message, pending FROM objectlink.consistency WHERE store = 'docs'")[0]


def assert_waits(documents, code, *words):
    """Paused with this error; everything that was asked for still waits, and nothing counts as failed."""
    pg = documents.pg
    # A HEAD that is refused has no words; the first refusal that has some replaces it.
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE status = 'paused' AND error_code = %s", code), 30)
    found = consistency(pg)
    for word in words:
        assert word in found.error_message, found
    documents.assert_no_attempt_spent()
    assert pg.run("SELECT 1 FROM objectlink.events WHERE cause = 'store paused' AND detail ->> 'code' = %s", code)


def assert_resumes(documents, daemon):
    # A fence is seen as soon as the server is altered, perhaps before the daemon has its session.
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.workers"), what="the daemon is at work")
    session = documents.pg.value("SELECT id FROM objectlink.workers")
    documents.sync()
    assert consistency(documents.pg).status == "ok"
    assert consistency(documents.pg).error_message is None
    assert documents.pg.value("SELECT id FROM objectlink.workers") == session
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()
    assert daemon.alive


def some_work(documents):
    documents.put_fresh(4)
    documents.put(["chosen"])
    documents.link(["there"])


@pytest.fixture
def documents(docs, bucket):
    return Documents(docs, bucket)


def test_unknown_bucket(documents, daemon):
    pg = documents.pg
    pg.run("ALTER SERVER docs OPTIONS (SET bucket 'no-such-bucket')")
    daemon.restart()  # or it would go on with the old bucket until its next look
    some_work(documents)
    assert_waits(documents, "NoSuchBucket")
    pg.run(f"ALTER SERVER docs OPTIONS (SET bucket '{documents.bucket.name}')")
    assert_resumes(documents, daemon)


def test_unknown_bucket_instead_of_the_right_one(documents, daemon):
    pg = documents.pg
    victims = documents.put_fresh(3)
    documents.sync()
    pg.run("ALTER SERVER docs OPTIONS (SET bucket 'no-such-bucket')")
    daemon.restart()
    some_work(documents)
    documents.delete(victims[:2])
    eventually(lambda: pg.value("SELECT (status, error_code) = ('fenced', 'altered') FROM objectlink.consistency"))
    assert documents.bucket.exists(victims[0])
    # A 404 for the bucket is no proof that an object is gone.
    assert not pg.run("SELECT 1 FROM objectlink.events WHERE to_state = 'gone'")
    pg.run(f"ALTER SERVER docs OPTIONS (SET bucket '{documents.bucket.name}')")
    assert_resumes(documents, daemon)


def test_nothing_but_looks_in_an_unknown_bucket(documents, daemon):
    """A HEAD's 404 has no body that would say whether the object or the bucket is missing."""
    documents.pg.run("ALTER SERVER docs OPTIONS (SET bucket 'no-such-bucket')")
    daemon.restart()
    documents.link(["there/1", "there/2"])
    assert_waits(documents, "NoSuchBucket")
    documents.pg.run(f"ALTER SERVER docs OPTIONS (SET bucket '{documents.bucket.name}')")
    assert_resumes(documents, daemon)


@pytest.mark.parametrize("wrong, code", [(("AKIANOBODY", "x"), "InvalidAccessKeyId"), ((None, "wrong"), "SignatureDoesNotMatch")],
                         ids=["unknown key", "wrong secret"])
def test_wrong_credentials(documents, s3_server, credentials_file, file_daemon, wrong, code):
    write_credentials(credentials_file, wrong[0] or s3_server.access_key, wrong[1])
    daemon = file_daemon()
    some_work(documents)
    assert_waits(documents, code)
    assert "wrong" not in daemon.log_text().replace("wrong secret", "")
    write_credentials(credentials_file, s3_server.access_key, s3_server.secret_key)
    assert_resumes(documents, daemon)


def test_wrong_credentials_and_nothing_but_looks(documents, s3_server, credentials_file, file_daemon):
    """The refusal of a HEAD has no body that would say what is wrong."""
    write_credentials(credentials_file, s3_server.access_key, "wrong")
    daemon = file_daemon()
    documents.link(["there/1", "there/2", "there/3"])
    assert_waits(documents, "SignatureDoesNotMatch")
    write_credentials(credentials_file, s3_server.access_key, s3_server.secret_key)
    assert_resumes(documents, daemon)


@pytest.mark.parametrize("code", ["InvalidAccessKeyId", "ExpiredToken"])
def test_keys_that_are_rotated_while_requests_are_under_way(pg, bucket, proxy, s3_server, credentials_file, file_daemon, code):
    """Those that were signed with the old ones are sent once more, each; nobody notices, whatever they do."""
    pg.create_server("docs", proxy.endpoint, bucket.name)
    create_document_table(pg)
    documents = Documents(pg, bucket)
    bucket.client.put_bucket_policy(Bucket=bucket.name, Policy=json.dumps({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/other"]}, "Action": "s3:*",
        "Resource": [f"arn:aws:s3:::{bucket.name}", f"arn:aws:s3:::{bucket.name}/*"]}]}))
    write_credentials(credentials_file, s3_server.access_key, s3_server.secret_key)
    daemon = file_daemon()
    victims = documents.put_fresh(3)
    documents.sync()
    gate = proxy.revoke(s3_server.access_key, code)
    proxy.forget()
    documents.put_fresh(8)
    documents.link(["there/1", "there/2"])
    documents.delete(victims)
    eventually(lambda: len(proxy.operations(method="PUT")) >= 8 and proxy.operations(method="HEAD"))
    write_credentials(credentials_file, s3_server.other_access_key, s3_server.other_secret_key)
    gate.open()
    documents.sync()
    assert len(proxy.operations(method="PUT")) == 2 * 8
    documents.assert_in_step()
    documents.assert_no_attempt_spent()
    assert "store.paused" not in daemon.log_text()
    assert documents.pg.run("SELECT key FROM objectlink.object WHERE last_error IS NOT NULL") == []
    assert daemon.metric("objectlink_request_retries_total", store="docs", **{"class": "credentials"}) >= 10


def test_no_credentials_at_all(documents, s3_server, credentials_file, file_daemon):
    daemon = file_daemon()
    some_work(documents)
    assert_waits(documents, "LocalFailure", "no credentials", str(credentials_file))
    write_credentials(credentials_file, s3_server.access_key, s3_server.secret_key)
    assert_resumes(documents, daemon)


def test_profile_that_is_missing(documents, s3_server, credentials_file, file_daemon):
    write_credentials(credentials_file, s3_server.access_key, s3_server.secret_key, profile="archive")
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD credentials 'archiv')")
    daemon = file_daemon()
    some_work(documents)
    assert_waits(documents, "LocalFailure", '"archiv"')
    documents.pg.run("ALTER SERVER docs OPTIONS (SET credentials 'archive')")
    assert_resumes(documents, daemon)


def test_account_without_permission(documents, s3_server, credentials_file, file_daemon):
    write_credentials(credentials_file, s3_server.access_key, s3_server.secret_key)
    daemon = file_daemon()
    victims = documents.put_fresh(5)
    documents.sync()
    write_credentials(credentials_file, s3_server.other_access_key, s3_server.other_secret_key)
    some_work(documents)
    documents.delete(victims)
    assert_waits(documents, "AccessDenied")
    assert documents.bucket.exists(victims[0])
    write_credentials(credentials_file, s3_server.access_key, s3_server.secret_key)
    assert_resumes(documents, daemon)


@pytest.mark.parametrize("endpoint, code", [("http://no-such-host.invalid:9000", "NameNotResolved"),
                                            ("http://127.0.0.1:1", "ConnectFailed"), ("https://{}", "TlsFailed")])
def test_wrong_endpoint(documents, daemon, endpoint, code):
    right = documents.bucket.endpoint
    documents.pg.run(f"ALTER SERVER docs OPTIONS (SET endpoint '{endpoint.format(right.removeprefix('http://'))}')")
    daemon.restart()
    some_work(documents)
    assert_waits(documents, code)
    documents.pg.run(f"ALTER SERVER docs OPTIONS (SET endpoint '{right}')")
    assert_resumes(documents, daemon)


def test_server_without_endpoint_and_bucket(pg, bucket, make_daemon):
    pg.run("CREATE SERVER docs FOREIGN DATA WRAPPER objectlink")
    create_document_table(pg)
    documents = Documents(pg, bucket)
    daemon = make_daemon()
    some_work(documents)
    daemon.wait_log("store.options")
    eventually(lambda: "endpoint" in daemon.http("/healthz")[1])
    pg.run(f"ALTER SERVER docs OPTIONS (ADD endpoint '{bucket.endpoint}', ADD bucket '{bucket.name}')")
    assert_resumes(documents, daemon)
    eventually(lambda: daemon.http("/healthz")[0] == 200)


def test_server_made_after_the_daemon(pg, bucket, make_daemon):
    daemon = make_daemon()
    daemon.wait_log("session.started")
    pg.create_server("docs", bucket.endpoint, bucket.name)
    create_document_table(pg)
    documents = Documents(pg, bucket)
    some_work(documents)
    assert_resumes(documents, daemon)
