"""Goal: a request whose reply is lost, false or unreadable is neither forgotten nor believed, whether it took effect or not.
Method: every kind of request meets every kind of broken reply once; the end is that of a run without faults.
"""
import psycopg2.errors
import pytest

from harness.documents import content_of
from harness.waiting import eventually

MULTIPART_SIZE = 6 << 20  # two parts

# How a reply is broken: (what the proxy does, whether the store has done what it was asked)
FAULTS = {
    "connection cut, no effect": lambda proxy, **match: proxy.cut_before(**match),
    "connection cut after the effect": lambda proxy, **match: proxy.cut_after(**match),
    "500, no effect": lambda proxy, **match: proxy.answer(500, code="InternalError", **match),
    "500 after the effect": lambda proxy, **match: proxy.replace_reply(500, code="InternalError", **match),
    "503 SlowDown": lambda proxy, **match: proxy.answer(503, code="SlowDown", **match),
    "truncated": lambda proxy, **match: proxy.truncate(**match),
    # Garbage in place of headers, where the reply has nothing else: a well-formed lie could only be believed.
    "garbage": lambda proxy, **match: (proxy.not_http if match.get("method") == "HEAD" else proxy.garbage)(**match),
    "not HTTP": lambda proxy, **match: proxy.not_http(**match),
    "drip": lambda proxy, **match: proxy.drip(bytes_at_once=64, pause=0.01, **match),
}
ALL_KINDS = {
    "look before an upload": {"method": "HEAD", "path": "chosen"},
    "upload": {"method": "PUT", "query": "^$"},
    "start of a multipart upload": {"method": "POST", "query": "^uploads"},
    "part": {"method": "PUT", "query": "partNumber"},
    "end of a multipart upload": {"method": "POST", "query": "^uploadId"},
    "verification": {"method": "HEAD", "path": "there"},
    "deletion of many": {"method": "POST", "query": "^delete"},
    "deletion of one": {"method": "DELETE", "query": "^$"},
}


@pytest.fixture
def stored(documents, daemon):
    """Objects of every kind; the proxy sees each kind of request while they come and go."""
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    daemon.restart()
    return documents


def come_and_go(documents):
    fresh = documents.put_fresh(3) + documents.put_fresh(1, size=MULTIPART_SIZE)
    chosen = documents.put(["chosen/1", "chosen/2"])
    there = documents.link(["there/1", "there/2"])
    documents.sync()
    documents.delete([fresh[0], fresh[3], chosen[0], there[0]])
    documents.sync()
    documents.delete([fresh[1]])
    documents.sync()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_request_meets(stored, proxy, fault):
    for match in ALL_KINDS.values():
        FAULTS[fault](proxy, **match)
    come_and_go(stored)
    hit = [done for done in proxy.operations() if done.fault]
    assert len(hit) == len(ALL_KINDS)
    stored.assert_in_step(marks_held=True, stale_uploads=True)
    stored.assert_no_attempt_spent()


@pytest.mark.parametrize("fault", ["connection cut after the effect", "500, no effect", "garbage"])
def test_proofs_meet(stored, proxy, fault):
    """The looks that prove an upload or a deletion."""
    keys = stored.put_fresh(2)
    stored.sync()
    FAULTS[fault](proxy, method="HEAD", times=3)
    big = stored.put_fresh(1, size=MULTIPART_SIZE)
    stored.sync()
    FAULTS[fault](proxy, method="HEAD", times=3)
    stored.delete(keys + big)
    stored.sync()
    stored.assert_in_step(marks_held=True, stale_uploads=True)
    stored.assert_no_attempt_spent()


def test_every_third_request_fails(stored, proxy):
    for _ in range(30):
        # Not the ownership marker's: five of its requests must succeed one after the other, and its retries wait ever longer.
        proxy.cut_after(skip=2, own=False)
    come_and_go(stored)
    stored.assert_in_step(marks_held=True, stale_uploads=True)
    stored.assert_no_attempt_spent()


def test_an_upload_is_stored_once_though_its_reply_was_lost(stored, proxy):
    proxy.cut_after(method="PUT", times=2)
    key, = stored.put_fresh(1)
    stored.sync()
    done = [operation.upstream_status for operation in proxy.operations(method="PUT")]
    assert done.count(200) == 1  # the others were refused: If-None-Match
    stored.assert_in_step()


def test_a_key_with_a_delete_on_its_way_is_refused_until_that_can_not_arrive_any_more(stored, proxy, daemon):
    pg = stored.pg
    stored.put(["again"])
    stored.sync()
    proxy.cut_after(method="DELETE")
    stored.delete(["again"])
    stored.sync()
    assert not stored.bucket.exists("again")
    for attempt in (lambda: stored.put(["again"]), lambda: stored.refer(["again"])):
        with pytest.raises(psycopg2.errors.ObjectInUse):
            attempt()
    assert pg.value("SELECT release_after - now() > '15 minutes' FROM objectlink.condemned")
    pg.run("UPDATE objectlink.condemned SET release_after = now()")  # as if that time had passed
    daemon.restart()
    eventually(lambda: pg.value("SELECT count(*) FROM objectlink.condemned") == 0)
    stored.put(["again"])
    stored.sync()
    stored.assert_in_step()


def test_errors_per_key_inside_a_200(stored, proxy):
    keys = [f"many/{number:02}" for number in range(20)]
    stored.put(keys)
    stored.sync()
    proxy.delete_errors(keys[:5], code="InternalError", times=2)
    stored.delete(keys)
    stored.sync()
    stored.assert_in_step(marks_held=True)
    first = proxy.operations(method="POST", query="^delete")[0]
    assert first.fault == "delete_errors"


def test_a_reply_that_fails_many_keys_is_one_failure_of_the_store(stored, proxy):
    keys = [f"many/{number:02}" for number in range(40)]
    stored.put(keys)
    stored.sync()
    proxy.answer(500, code="InternalError", method="POST", query="^delete")
    stored.delete(keys)
    stored.sync()
    assert not stored.pg.run("SELECT * FROM objectlink.events WHERE cause = 'store paused'")
    stored.assert_in_step(marks_held=True)


def test_keys_that_may_not_be_deleted_hold_up_nothing_else(stored, proxy):
    """As with an object lock: the store is well, these objects are not."""
    locked = [f"locked/{number}" for number in range(5)]
    free = [f"free/{number}" for number in range(5)]
    stored.put(locked + free)
    stored.sync()
    rules = [proxy.delete_errors("^locked/", code="AccessDenied", times=None),
             proxy.answer(403, code="AccessDenied", method="DELETE", path="locked/", times=None)]
    stored.delete(locked + free)
    eventually(lambda: not any(stored.bucket.exists(key) for key in free), 5)
    more = stored.put_fresh(5)
    eventually(lambda: all(stored.pg.state(key) == "stored" for key in more), 5)
    assert {stored.pg.state(key) for key in locked} == {"deleting"}
    assert stored.pg.value("SELECT status FROM objectlink.consistency") == "ok"
    assert "AccessDenied" in {row.error_code for row in stored.pg.run("SELECT error_code FROM objectlink.objects WHERE state = 'deleting'")}
    for rule in rules:
        proxy.remove(rule)
    stored.sync()
    stored.assert_in_step(marks_held=True)


def test_a_store_that_says_deleted_but_keeps_the_object(stored, proxy):
    key, = stored.put_fresh(1)
    stored.sync()
    proxy.answer(204, body=b"", method="DELETE", times=3)
    stored.delete([key])
    stored.sync()
    stored.assert_in_step(marks_held=True)
    assert len(proxy.operations(method="DELETE")) == 4


def test_content_of_another_upload_is_not_taken_for_ours(stored):
    stored.upload("taken", b"somebody else's")
    stored.pg.run("INSERT INTO document (file) VALUES (objectlink.put('docs', %s, key => 'taken'))", content_of("taken"))
    stored.sync()
    assert stored.pg.state("taken") == "failed"
    assert stored.bucket.get("taken") == b"somebody else's"
