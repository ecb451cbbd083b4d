"""Goal: whatever the store or the network to it does, the end state is that of a run without faults.
Method: the fault proxy in front of a real S3 server misbehaves for a few requests, or for a while."""
import threading

import pytest

from conftest import create_document_table
from fault import scenario
from fault.rules import FOREVER
from harness.waiting import always, eventually

ANY_UPLOAD = {"method": "PUT", "times": 5}
ANY_DELETE = {"method": "POST", "query": "^delete", "times": 2}

UPLOAD_FAULTS = {
    "500": lambda proxy: proxy.answer(500, "InternalError", **ANY_UPLOAD),
    "503": lambda proxy: proxy.answer(503, "SlowDown", **ANY_UPLOAD),
    "408": lambda proxy: proxy.answer(400, "RequestTimeout", **ANY_UPLOAD),
    "500 without a body": lambda proxy: proxy.answer(500, **ANY_UPLOAD),
    "502 in HTML": lambda proxy: proxy.answer(502, body=b"<html>Bad gateway</html>", **ANY_UPLOAD),
    "cut before": lambda proxy: proxy.cut_before(**ANY_UPLOAD),
    "cut after": lambda proxy: proxy.cut_after(**ANY_UPLOAD),
    "500 after the effect": lambda proxy: proxy.replace_reply(500, "InternalError", **ANY_UPLOAD),
    "no HTTP": lambda proxy: proxy.not_http(**ANY_UPLOAD),
    "drip": lambda proxy: proxy.drip(bytes_at_once=20, pause=0.02, **ANY_UPLOAD),
    "timeout": lambda proxy: proxy.delay(4, **ANY_UPLOAD),
    "late reply": lambda proxy: proxy.delay_reply(4, **ANY_UPLOAD),
    "HEAD cut": lambda proxy: proxy.cut_before(method="HEAD", times=5),
    "HEAD 500": lambda proxy: proxy.answer(500, method="HEAD", times=5),
}

DELETE_FAULTS = {
    "500": lambda proxy: proxy.answer(500, "InternalError", **ANY_DELETE),
    "503": lambda proxy: proxy.answer(503, "SlowDown", **ANY_DELETE),
    "cut before": lambda proxy: proxy.cut_before(**ANY_DELETE),
    "cut after": lambda proxy: proxy.cut_after(**ANY_DELETE),
    "500 after the effect": lambda proxy: proxy.replace_reply(500, "InternalError", **ANY_DELETE),
    "garbage": lambda proxy: proxy.garbage(**ANY_DELETE),
    "truncated": lambda proxy: proxy.truncate(**ANY_DELETE),
    "late reply": lambda proxy: proxy.delay_reply(4, **ANY_DELETE),
    "some keys fail": lambda proxy: proxy.delete_errors(r"[02468]$", times=2),
    "all keys are slowed down": lambda proxy: proxy.delete_errors(".", code="SlowDown", times=2),
}


@pytest.fixture
def pg_behind(pg, bucket, proxy):
    """Store "docs" is reached through the proxy, with a short request timeout."""
    pg.create_server("docs", proxy.endpoint, bucket.name, request_timeout="2s", connect_timeout="1s")
    create_document_table(pg)
    return pg


@pytest.mark.limit(300)
@pytest.mark.parametrize("name", UPLOAD_FAULTS)
def test_upload_faults(pg_behind, bucket, proxy, daemon, name):
    UPLOAD_FAULTS[name](proxy)
    scenario.run_through(pg_behind, bucket)


@pytest.mark.limit(300)
@pytest.mark.parametrize("name", DELETE_FAULTS)
def test_delete_faults(pg_behind, bucket, proxy, daemon, name):
    scenario.run_through(pg_behind, bucket, lambda: DELETE_FAULTS[name](proxy))
    assert any(done.fault for done in proxy.operations(method="POST"))


@pytest.mark.limit(300)
def test_outage_costs_no_object_its_attempts(pg_behind, bucket, proxy, daemon):
    proxy.refuse()
    scenario.upload(pg_behind)
    always(lambda: set(pg_behind.states().values()) == {"pending"}, 5)
    assert pg_behind.value("SELECT max(attempts) FROM objectlink.objects") == 0
    proxy.accept()
    scenario.assert_end_state(pg_behind, bucket)


@pytest.mark.limit(300)
@pytest.mark.parametrize("status, code", [(403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (404, "NoSuchBucket")])
def test_store_level_errors_stop_the_store_and_not_its_objects(pg_behind, bucket, proxy, daemon, status, code):
    rule = proxy.answer(status, code, times=FOREVER)
    scenario.upload(pg_behind)
    eventually(lambda: pg_behind.run("SELECT FROM objectlink.consistency WHERE error_code = %s", code) != [])
    assert set(pg_behind.states().values()) == {"pending"}
    assert pg_behind.value("SELECT max(attempts) FROM objectlink.objects") == 0
    proxy.remove(rule)
    scenario.assert_end_state(pg_behind, bucket)


@pytest.mark.limit(300)
def test_server_that_flaps(pg_behind, bucket, proxy, daemon):
    ended = threading.Event()

    def flap():
        while not ended.wait(0.3):
            proxy.refuse()
            ended.wait(0.2)
            proxy.accept()

    flapping = threading.Thread(target=flap)
    flapping.start()
    try:
        scenario.upload(pg_behind)
        ended.wait(4)
    finally:
        ended.set()
        flapping.join()
        proxy.accept()
    scenario.assert_end_state(pg_behind, bucket)
    scenario.delete_half(pg_behind, bucket)
