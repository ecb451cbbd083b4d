"""Goal: each row of the table of errors is dealt with as it says: tried again, asked less, mended, waited for, or given up.
Method: the proxy in front of a real store gives the answer; a few objects come and go; what was sent is counted.

The table is that of docs/errors.md, Classes. One test a row, for uploads, looks and deletions.
"""
import email.utils

import pytest

from harness.waiting import eventually

LOOK = {"method": "HEAD", "path": "chosen"}
UPLOAD = {"method": "PUT", "query": "^$"}
DELETE = {"method": "DELETE", "query": "^$"}
TOGETHER = {"method": "POST", "query": "^delete"}


def come_and_go(documents):
    """A look, an upload, a deletion of one and one of several."""
    chosen = documents.put(["chosen"])
    fresh = documents.put_fresh(4)
    documents.sync()
    documents.delete(chosen)
    documents.sync()
    documents.delete(fresh[:3])
    documents.sync()
    documents.assert_in_step(marks_held=True, stale_uploads=True)


def letters(documents):
    return documents.pg.run("SELECT key, operation, error_class, error_code, attempts FROM objectlink.dead_letters ORDER BY key")


# transient, outcome unknown: tried again in the request where that can do no harm, else by due time; looked at, never assumed

TRANSIENT = {
    "reset": lambda proxy, **match: proxy.cut_before(**match),
    "reset after the effect": lambda proxy, **match: proxy.cut_after(**match),
    "truncated": lambda proxy, **match: proxy.truncate(**match),
    "not XML": lambda proxy, **match: (proxy.not_http if match["method"] == "HEAD" else proxy.garbage)(**match),
    "not HTTP": lambda proxy, **match: proxy.not_http(**match),
    "drip": lambda proxy, **match: proxy.drip(bytes_at_once=64, pause=0.01, **match),
    "500": lambda proxy, **match: proxy.answer(500, code="InternalError", **match),
    "500 after the effect": lambda proxy, **match: proxy.replace_reply(500, code="InternalError", **match),
    "502": lambda proxy, **match: proxy.answer(502, body=b"<html>Bad gateway</html>", **match),
    "504": lambda proxy, **match: proxy.answer(504, **match),
    "RequestTimeout": lambda proxy, **match: proxy.answer(400, code="RequestTimeout", **match),
}


@pytest.mark.parametrize("fault", TRANSIENT)
def test_transient(documents, proxy, daemon, fault):
    for match in (LOOK, UPLOAD, DELETE, TOGETHER):
        TRANSIENT[fault](proxy, **match)
    come_and_go(documents)
    assert len([done for done in proxy.operations() if done.fault]) == 4
    documents.assert_no_attempt_spent()


def test_a_timeout_is_unknown_and_looked_at(documents, proxy, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD request_timeout '1s')")
    daemon.restart()
    for match in (LOOK, UPLOAD, DELETE, TOGETHER):
        proxy.delay_reply(3, **match)
    come_and_go(documents)
    documents.assert_no_attempt_spent()


def test_a_look_is_repeated_at_once_and_only_so_often(documents, proxy, daemon):
    """Three tries in the request; then the registry knows of it."""
    proxy.answer(500, code="InternalError", times=2, **LOOK)
    documents.put(["chosen"])
    documents.sync()
    assert not documents.pg.run("SELECT 1 FROM objectlink.object WHERE last_error IS NOT NULL")
    assert daemon.metric("objectlink_request_retries_total", store="docs", **{"class": "transient"}) == 2
    assert daemon.metric("objectlink_errors_total", store="docs") is None  # nothing that had to be tried again later
    documents.delete(["chosen"])
    documents.sync()
    proxy.answer(500, code="InternalError", times=3, method="HEAD", path="there")
    documents.link(["there"])
    documents.sync()
    assert daemon.metric("objectlink_request_retries_total", store="docs", **{"class": "transient"}) == 4
    assert daemon.metric("objectlink_errors_total", store="docs", **{"class": "transient"}) == 1
    documents.assert_no_attempt_spent()


# throttled: more slowly, and fewer at once

@pytest.mark.parametrize("status, code", [(503, "SlowDown"), (429, "TooManyRequests"), (400, "ThrottlingException")])
def test_throttled(documents, proxy, daemon, status, code):
    for match in (LOOK, UPLOAD, DELETE, TOGETHER):
        proxy.answer(status, code=code, **match)
    come_and_go(documents)
    assert daemon.metric("objectlink_request_retries_total", store="docs", **{"class": "throttled"}) >= 1
    documents.assert_no_attempt_spent()


def test_a_store_that_throttles_gets_fewer_requests_at_once(documents, proxy, daemon):
    proxy.answer(503, code="SlowDown", times=40, **UPLOAD)
    documents.put_fresh(40)
    daemon.wait_log("store.throttled")
    assert daemon.metric("objectlink_store_concurrency", store="docs") < 32
    documents.sync()
    documents.assert_no_attempt_spent()


# clock: the offset is learned

def test_clock(documents, proxy, daemon):
    proxy.answer(403, code="RequestTimeTooSkewed", headers={"Date": email.utils.formatdate(usegmt=True)}, **UPLOAD)
    come_and_go(documents)
    daemon.wait_log("store.clock")
    documents.assert_no_attempt_spent()


# credentials: tried again

@pytest.mark.parametrize("code", ["ExpiredToken", "InvalidToken"])
def test_credentials(documents, proxy, daemon, code):
    for match in (UPLOAD, DELETE, TOGETHER):
        proxy.answer(400, code=code, **match)
    come_and_go(documents)
    documents.assert_no_attempt_spent()


# redirect: never to another host

@pytest.mark.parametrize("status, code", [(301, "PermanentRedirect"), (307, "TemporaryRedirect")])
def test_redirect(documents, proxy, daemon, status, code):
    for match in (UPLOAD, DELETE):
        proxy.answer(status, code=code, headers={"Location": "http://127.0.0.1:1/elsewhere"}, **match)
    come_and_go(documents)
    assert {done.status for done in proxy.operations() if done.fault} == {status}
    documents.assert_no_attempt_spent()


@pytest.mark.parametrize("status, code, way", [(301, "PermanentRedirect", "header"), (400, "AuthorizationHeaderMalformed", "body"), (400, None, "header of a HEAD")])
def test_the_right_region_is_learned(documents, proxy, daemon, status, code, way):
    """And kept: what else the daemon finds out about the store, and sets the connection anew for, does not make it forget."""
    body = f"<Error><Code>{code}</Code><Region>mars-north-1</Region></Error>".encode()
    faulty = LOOK if way.endswith("HEAD") else UPLOAD
    proxy.answer(status, **({"body": body} if way == "body" else {"code": code, "headers": {"x-amz-bucket-region": "mars-north-1"}}), **faulty)
    come_and_go(documents)
    regions = [done.region for done in proxy.operations(own=None)]
    assert [done.region for done in proxy.operations() if done.fault] == ["us-east-1"]
    assert set(regions[regions.index("mars-north-1"):]) == {"mars-north-1"}
    assert '"option":"us-east-1","region":"mars-north-1"' in daemon.log_text()
    documents.assert_no_attempt_spent()


# conflict: tried again, compared

def test_conflict_409(documents, proxy, daemon):
    for match in (UPLOAD, DELETE):
        proxy.answer(409, code="OperationAborted", **match)
    come_and_go(documents)
    assert letters(documents) == []


def test_conflict_412_of_our_own_earlier_try(documents, proxy, daemon):
    proxy.cut_after(**UPLOAD)
    come_and_go(documents)
    documents.assert_no_attempt_spent()


def test_a_conflict_that_stays(documents, proxy, daemon):
    documents.pg.run("SELECT objectlink.alter_attachment('document', 'file', max_attempts => 3)")
    proxy.answer(409, code="OperationAborted", method="PUT", path="contested", times=None)
    documents.put(["contested", "free"])
    eventually(lambda: letters(documents) == [("contested", "upload", "conflict", "OperationAborted", 3)])
    documents.sync()


# store-level: the breaker opens, objects keep their attempts

@pytest.mark.parametrize("status, code", [(403, "AccessDenied"), (403, "SignatureDoesNotMatch"), (403, "InvalidAccessKeyId"),
                                          (404, "NoSuchBucket"), (507, "InsufficientStorage"), (403, "QuotaExceeded")])
def test_store_level(documents, proxy, daemon, status, code):
    pg = documents.pg
    victims = documents.put_fresh(3)
    documents.sync()
    rule = proxy.answer(status, code=code, times=None)
    documents.put(["chosen"])
    documents.put_fresh(5)
    documents.delete(victims)
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE breaker = 'open' AND error_code = %s", code))
    assert pg.value("SELECT breaker_since > now() - interval '1 minute' FROM objectlink.consistency")
    eventually(lambda: daemon.metric("objectlink_store_breaker", store="docs", state="closed") == 0)
    problem, = pg.run("SELECT * FROM objectlink.problems WHERE what = 'store paused'")
    assert code in problem.detail
    proxy.remove(rule)
    documents.sync()
    assert pg.value("SELECT breaker FROM objectlink.consistency") == "closed"
    eventually(lambda: daemon.metric("objectlink_store_breaker", store="docs", state="closed") == 1)
    documents.assert_no_attempt_spent()
    documents.assert_in_step(marks_held=True)


def test_a_breaker_outlives_the_daemon(documents, proxy, daemon):
    """What one has found out the next one knows: it begins with a probe."""
    pg = documents.pg
    rule = proxy.answer(500, code="InternalError", times=None)
    documents.put_fresh(60)
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE breaker = 'open'"))
    since = pg.value("SELECT status_since FROM objectlink.consistency")
    daemon.kill()
    proxy.forget()
    daemon.start()
    eventually(lambda: len(proxy.operations()) >= 2)
    assert len(proxy.operations()) < 10
    assert pg.run("SELECT breaker <> 'closed', status_since FROM objectlink.consistency") == [(True, since)]
    proxy.remove(rule)
    documents.sync()
    documents.assert_in_step()
    documents.assert_no_attempt_spent()


def test_one_forbidden_prefix_does_not_stop_the_store(documents, proxy, daemon):
    """Nothing else is uploaded there that would show it: an object of our own does."""
    pg = documents.pg
    pg.run("SELECT objectlink.alter_attachment('document', 'file', max_attempts => 2)")
    rule = proxy.answer(403, code="AccessDenied", path="^/[^/]*/forbidden/", times=None)
    documents.put([f"forbidden/{number}" for number in range(5)])
    eventually(lambda: len(letters(documents)) == 5, 60)
    assert {letter.error_code for letter in letters(documents)} == {"AccessDenied"}
    assert pg.value("SELECT breaker FROM objectlink.consistency") == "closed"
    keys = documents.put_fresh(3)
    documents.sync()
    assert {pg.state(key) for key in keys} == {"stored"}
    proxy.remove(rule)
    assert pg.value("SELECT objectlink.retry_dead_letters('docs')") == 5
    documents.sync()
    documents.assert_in_step()


# object-level: a dead letter at once

@pytest.mark.parametrize("status, code", [(400, "KeyTooLongError"), (400, "InvalidObjectName"), (400, "EntityTooLarge"), (413, None)])
def test_object_level(documents, proxy, daemon, status, code):
    proxy.answer(status, code=code, method="PUT", path="bad", times=None)
    documents.put(["bad", "good"])
    documents.sync()
    assert letters(documents) == [("bad", "upload", "object", code or "EntityTooLarge", 1)]
    assert documents.pg.state("good") == "stored"
    assert len(proxy.operations(method="PUT", path="bad")) == 1


def test_object_level_of_a_deletion(documents, proxy, daemon):
    proxy.answer(400, code="InvalidObjectName", method="DELETE", path="bad", times=None)
    documents.put(["bad", "good"])
    documents.sync()
    documents.delete(["bad"])
    documents.sync()
    assert letters(documents) == [("bad", "delete", "object", "InvalidObjectName", 1)]
    assert documents.bucket.exists("bad")


# DeleteObjects: errors for single keys inside of a 200

def test_keys_that_failed_among_others_are_tried_alone(documents, proxy, daemon):
    keys = [f"many/{number:02}" for number in range(40)]
    documents.put(keys)
    documents.sync()
    proxy.delete_errors(keys[:3], code="InternalError", times=None)
    documents.delete(keys)
    documents.sync()
    assert {done.key for done in proxy.operations(**DELETE)} == set(keys[:3])
    assert len(proxy.operations(**TOGETHER)) == 1
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


# An outage

@pytest.mark.parametrize("how", ["500", "cut", "503"])
def test_a_long_outage_gives_nothing_up_and_multiplies_nothing(documents, proxy, daemon, how):
    """With one attempt each. What is sent in the outage is what was under way when it began, and then probes; so all that was
    sent for these objects is at most half as much again as without it."""
    pg = documents.pg
    pg.run("SELECT objectlink.alter_attachment('document', 'file', max_attempts => 1)")
    pg.run("ALTER SERVER docs OPTIONS (ADD concurrency '8')")
    daemon.restart()
    documents.put_fresh(1)
    documents.sync()
    proxy.forget()
    if how == "cut":
        proxy.cut_before(times=None)
    else:
        proxy.answer(int(how), code="InternalError" if how == "500" else "SlowDown", times=None)
    documents.put_fresh(200)
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE breaker = 'open'"))
    # Ten probes take about as long as its pauses grow to; a longer outage only adds one each 15 s.
    eventually(lambda: pg.value("SELECT now() - breaker_since > interval '25 seconds' FROM objectlink.consistency"), 60)
    proxy.clear()
    documents.sync(90)
    sent = len(proxy.operations(own=False))
    assert sent <= 1.5 * 200, sent
    assert letters(documents) == []
    documents.assert_no_attempt_spent()
    documents.assert_in_step()
