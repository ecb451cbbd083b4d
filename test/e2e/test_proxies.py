"""Goal: the fault proxies do what fault tests rely on, or those would prove nothing.
Method: boto3 and psycopg2 through the proxies; the real servers, asked directly, say what took effect."""
import threading
import time

import boto3
import botocore.config
import botocore.exceptions
import psycopg2
import pytest

from harness.waiting import eventually

NETWORK_ERRORS = (botocore.exceptions.HTTPClientError, botocore.exceptions.ConnectionError,
                  botocore.exceptions.ResponseStreamingError)


@pytest.fixture
def through(proxy, bucket):
    """A client that goes through the proxy and never repeats a request."""
    return boto3.client(
        "s3", endpoint_url=proxy.endpoint, aws_access_key_id=bucket.server.access_key,
        aws_secret_access_key=bucket.server.secret_key, region_name="us-east-1",
        config=botocore.config.Config(retries={"total_max_attempts": 1}, read_timeout=10,
                                      s3={"addressing_style": "path"}))


def test_signed_requests_pass_untouched(proxy, through, bucket):
    key = "Übersicht 100% #1?.txt"
    through.put_object(Bucket=bucket.name, Key=key, Body=b"x" * 100_000)
    assert through.get_object(Bucket=bucket.name, Key=key)["Body"].read() == b"x" * 100_000
    assert [entry["Key"] for entry in through.list_objects_v2(Bucket=bucket.name)["Contents"]] == [key]
    through.head_object(Bucket=bucket.name, Key=key)
    through.delete_object(Bucket=bucket.name, Key=key)
    assert [(done.method, done.status) for done in proxy.operations()] == [
        ("PUT", 200), ("GET", 200), ("GET", 200), ("HEAD", 200), ("DELETE", 204)]
    assert proxy.operations(method="PUT")[0].path == f"/{bucket.name}/{key}"


def test_answers_count_and_skip(proxy, through, bucket):
    proxy.answer(503, code="SlowDown", method="PUT", times=2, skip=1)
    outcomes = []
    for number in range(4):
        try:
            through.put_object(Bucket=bucket.name, Key=str(number), Body=b"")
            outcomes.append("ok")
        except botocore.exceptions.ClientError as error:
            outcomes.append(error.response["Error"]["Code"])
    assert outcomes == ["ok", "SlowDown", "SlowDown", "ok"]
    assert bucket.keys() == ["0", "3"]


@pytest.mark.parametrize("fault, effect", [("cut_before", False), ("cut_after", True)])
def test_cut(proxy, through, bucket, fault, effect):
    getattr(proxy, fault)(method="PUT")
    with pytest.raises(NETWORK_ERRORS):
        through.put_object(Bucket=bucket.name, Key="k", Body=b"x")
    assert bucket.exists("k") is effect
    done = proxy.operations()[0]
    assert (done.fault, done.status, done.upstream_status) == (fault, None, 200 if effect else None)


def test_truncated_body(proxy, through, bucket):
    bucket.put("k", b"x" * 1000)
    proxy.truncate(method="GET")
    with pytest.raises(NETWORK_ERRORS):
        through.get_object(Bucket=bucket.name, Key="k")["Body"].read()


def test_garbage_and_nonsense(proxy, through, bucket):
    proxy.garbage(query="list-type=2")
    with pytest.raises(botocore.parsers.ResponseParserError):
        through.list_objects_v2(Bucket=bucket.name)
    proxy.not_http(method="GET")
    with pytest.raises(botocore.exceptions.BotoCoreError):
        through.list_objects_v2(Bucket=bucket.name)


def test_drip_and_delay(proxy, through, bucket):
    bucket.put("k", b"x" * 100)
    proxy.drip(method="GET", bytes_at_once=200, pause=0.1)
    started = time.monotonic()
    assert through.get_object(Bucket=bucket.name, Key="k")["Body"].read() == b"x" * 100
    assert time.monotonic() - started > 0.2
    proxy.delay(0.3, method="HEAD")
    started = time.monotonic()
    through.head_object(Bucket=bucket.name, Key="k")
    assert time.monotonic() - started >= 0.3


def test_errors_per_key(proxy, through, bucket):
    names = ["a", "b & <c>", "d"]
    for name in names:
        bucket.put(name)
    proxy.delete_errors(["b & <c>"], code="AccessDenied")
    reply = through.delete_objects(Bucket=bucket.name, Delete={"Objects": [{"Key": name} for name in names]})
    assert sorted(entry["Key"] for entry in reply["Deleted"]) == ["a", "d"]
    assert [(entry["Key"], entry["Code"]) for entry in reply["Errors"]] == [("b & <c>", "AccessDenied")]
    assert bucket.keys() == ["b & <c>"]


def test_refused_and_back(proxy, through, bucket):
    through.put_object(Bucket=bucket.name, Key="k", Body=b"x")
    proxy.refuse()
    with pytest.raises(NETWORK_ERRORS):
        through.head_object(Bucket=bucket.name, Key="k")
    proxy.accept()
    through.head_object(Bucket=bucket.name, Key="k")


def test_gate(proxy, through, bucket):
    gate = proxy.hold(method="PUT")
    client = threading.Thread(target=through.put_object, kwargs={"Bucket": bucket.name, "Key": "k", "Body": b"x"})
    client.start()
    gate.wait_reached()
    assert not bucket.exists("k")
    gate.open()
    client.join()
    assert bucket.exists("k")


@pytest.fixture
def table(database):
    database.run("CREATE TABLE t (n int)")
    return database


def connect(database, pg_proxy):
    return psycopg2.connect(database.dsn("postgres", "127.0.0.1", pg_proxy.port), password=database.cluster.password)


@pytest.mark.parametrize("when, effect", [("cut_before", 0), ("cut_after", 1)])
def test_connection_cut_at_commit(table, pg_proxy, when, effect):
    connection = connect(table, pg_proxy)
    getattr(pg_proxy, when)("COMMIT")
    connection.cursor().execute("INSERT INTO t VALUES (1)")
    with pytest.raises(psycopg2.OperationalError):
        connection.commit()
    eventually(lambda: table.value("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()") == 1)
    assert table.value("SELECT count(*) FROM t") == effect
    assert connect(table, pg_proxy).closed == 0


def test_stall_and_flow(table, pg_proxy):
    connection = connect(table, pg_proxy)
    connection.autocommit = True
    pg_proxy.stall()
    client = threading.Thread(target=connection.cursor().execute, args=("INSERT INTO t VALUES (1)",))
    client.start()
    client.join(0.2)
    assert client.is_alive() and table.value("SELECT count(*) FROM t") == 0
    pg_proxy.flow()
    client.join(10)
    assert table.value("SELECT count(*) FROM t") == 1
