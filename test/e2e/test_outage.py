"""Goal: a store that is down, slow or overloaded costs time and nothing else; one broken store is no other store's trouble.
Method: the proxy refuses, errs or dawdles for some seconds while rows come and go, then stops doing so.
"""
import threading
import time

import pytest

from conftest import create_document_table
from harness.documents import Documents
from harness.waiting import eventually


def go_down(proxy, how):
    if how == "refuses connections":
        proxy.refuse()
    elif how == "cuts connections":
        proxy.cut_before(times=None)
    elif how == "answers 500":
        proxy.answer(500, code="InternalError", times=None)
    elif how == "answers 503":
        proxy.answer(503, code="SlowDown", times=None)
    elif how == "loses replies":
        proxy.cut_after(times=None)
    elif how == "talks nonsense":
        proxy.not_http(times=None)
    elif how == "hangs":
        proxy.delay(3600, times=None)
    else:
        proxy.delay(3, times=None)


def come_back(proxy):
    proxy.clear()
    proxy.accept()


@pytest.mark.parametrize("how", ["refuses connections", "cuts connections", "answers 500", "answers 503", "loses replies",
                                 "talks nonsense", "times out"])
def test_outage(documents, proxy, daemon, how):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD request_timeout '1s', ADD connect_timeout '1s')")
    daemon.restart()
    before = documents.put_fresh(10) + documents.link(["there/1"])
    documents.sync()
    go_down(proxy, how)
    documents.put_fresh(20)
    documents.put(["chosen/1", "chosen/2"])
    documents.link(["there/2", "there/3"])
    documents.delete(before[:8])
    status = documents.pg.value
    eventually(lambda: status("SELECT status FROM objectlink.consistency") == "paused", 20)
    assert status("SELECT error_message FROM objectlink.consistency")
    assert daemon.http("/healthz")[0] == 503
    proxy.forget()
    if how != "refuses connections":  # it lasts for some probes
        eventually(lambda: len(proxy.operations(own=None)) >= 3)
    come_back(proxy)
    documents.sync()
    assert status("SELECT status FROM objectlink.consistency") == "ok"
    eventually(lambda: daemon.http("/healthz")[0] == 200)
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


AMPLIFICATION_MAX = 1.5


def ride_out(pg, bucket, proxy, make_daemon, ways, seconds):
    """One store is down, in one way after the other, while rows come and go; another one is well all the time. Rows of the first
    become objects when it is back; what it was asked for in all is compared with what it would have been asked for anyway."""
    pg.create_server("down", proxy.endpoint, bucket.name, prefix="down", request_timeout="5s", connect_timeout="2s")
    pg.create_server("docs", bucket.endpoint, bucket.name, prefix="docs")
    create_document_table(pg)
    documents, down = Documents(pg, bucket), Documents(pg, bucket, store="down")
    daemon = make_daemon()
    victims = down.put([f"down/before/{number}" for number in range(20)])
    down.sync()
    proxy.forget()
    down.put([f"down/calibrate/{number}" for number in range(50)])
    down.sync()
    each = len(proxy.operations(own=None)) / 50  # requests for one upload in good times
    proxy.forget()
    count, deleted, slowest = 0, 0, 0.0
    for way in ways:
        go_down(proxy, way)
        end = time.monotonic() + seconds / len(ways)
        while time.monotonic() < end:
            down.put([f"down/{way}/{number}" for number in range(count, count + 20)])
            count += 20
            if deleted < len(victims):
                down.delete(victims[deleted:deleted + 5])
                deleted += 5
            begun = time.monotonic()
            keys = documents.put_fresh(5)
            eventually(lambda: all(pg.state(key) == "stored" for key in keys), 20)
            slowest = max(slowest, time.monotonic() - begun)
            documents.delete(keys)
            time.sleep(min(2.0, max(0.0, end - time.monotonic())))  # the pace of users, not a wait for something
        come_back(proxy)
        proxy.cut_all()  # what hangs would hang on
    down.sync(300)
    asked = len(proxy.operations(own=None))
    needed = each * count + deleted
    assert pg.value("SELECT count(*) FROM objectlink.objects WHERE store = 'down' AND state = 'stored'") == 50 + count + len(victims) - deleted
    assert pg.run("SELECT * FROM objectlink.dead_letters") == []
    down.assert_no_attempt_spent()
    down.assert_nothing_waits(marks_held=True)
    assert slowest < 10
    print(f"{asked} requests where {needed:.0f} would do; slowest round of the other store {slowest:.1f} s")
    assert asked <= AMPLIFICATION_MAX * needed
    assert daemon.alive


def test_a_store_that_is_down_in_several_ways(pg, bucket, proxy, make_daemon):
    ride_out(pg, bucket, proxy, make_daemon, ["refuses connections", "answers 503", "hangs"], 24)


@pytest.mark.long
@pytest.mark.limit(1200)
def test_ten_minutes(pg, bucket, proxy, make_daemon):
    """Longer than any backoff, and than what one remembers of failures."""
    ride_out(pg, bucket, proxy, make_daemon, ["refuses connections", "answers 503", "hangs", "answers 500", "cuts connections"], 600)


def test_a_store_that_is_down_is_only_probed(documents, proxy, daemon):
    """However much waits for it: not more than what was under way when it showed, and then one request at a time."""
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD concurrency '2')")
    daemon.restart()
    proxy.answer(500, code="InternalError", times=None)
    documents.put_fresh(300)
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.consistency WHERE status = 'paused'"))
    eventually(lambda: documents.pg.value("SELECT count(*) FROM objectlink.object WHERE last_error LIKE '%store is paused%'") > 100)
    proxy.forget()
    eventually(lambda: len(proxy.operations()) >= 4)
    probes = [done.started for done in proxy.operations()][1:]
    assert all(later - earlier > 0.1 for earlier, later in zip(probes, probes[1:]))
    assert len(probes) < 10
    proxy.clear()
    documents.sync()
    documents.assert_in_step()
    documents.assert_no_attempt_spent()


def test_a_probe_that_hangs_is_seen_and_outlives_the_daemon(documents, proxy, daemon):
    pg = documents.pg
    proxy.answer(500, code="InternalError", times=None)
    documents.put_fresh(20)
    breaker = "SELECT breaker FROM objectlink.consistency"
    eventually(lambda: pg.value(breaker) == "open")
    proxy.clear()
    proxy.delay(60, times=None)
    eventually(lambda: pg.value(breaker) == "half_open", 30)
    since, paused_since = pg.run("SELECT breaker_since, status_since FROM objectlink.consistency")[0]
    assert since > paused_since
    eventually(lambda: daemon.metric("objectlink_store_breaker", store="docs", state="half_open") == 1)
    daemon.kill()
    assert pg.value(breaker) == "half_open"
    daemon.start()
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.workers WHERE 'docs' = ANY (stores)"))
    assert pg.value(breaker) != "closed"
    assert pg.value("SELECT status_since FROM objectlink.consistency") == paused_since
    proxy.clear()
    proxy.cut_all()
    documents.sync()
    assert pg.value(breaker) == "closed"
    documents.assert_in_step()
    documents.assert_no_attempt_spent()


def test_the_real_servers_own_slow_down(docs, bucket, s3_server, daemon):
    documents = Documents(docs, bucket)
    victims = documents.put_fresh(20)
    documents.sync()
    s3_server.set("rgw_max_concurrent_requests", 2)
    try:
        documents.put_fresh(40)
        documents.delete(victims)
        eventually(lambda: docs.run("SELECT 1 FROM objectlink.object WHERE error_class = 'throttled'"), 20)
    finally:
        s3_server.set("rgw_max_concurrent_requests", 1024)
    documents.sync()
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


def test_a_broken_store_does_not_slow_another(pg, bucket, proxy, make_daemon):
    pg.create_server("down", proxy.endpoint, bucket.name, prefix="down")
    pg.create_server("docs", bucket.endpoint, bucket.name, prefix="docs")
    create_document_table(pg)
    documents = Documents(pg, bucket)
    down = Documents(pg, bucket, store="down")
    proxy.delay(60, times=None)  # the worst: requests that hang
    hanging = down.put([f"down/{number}" for number in range(40)])
    make_daemon()
    eventually(lambda: len(proxy.operations()) >= 30)
    for _ in range(3):
        keys = documents.put_fresh(20)
        eventually(lambda: all(pg.state(key) == "stored" for key in keys), 5)
        documents.delete(keys)
        eventually(lambda: not any(pg.state(key) for key in keys), 5)
    assert {pg.state(key, "down") for key in hanging} == {"pending"}
    proxy.clear()
    proxy.cut_all()
    documents.sync()
    assert {pg.state(key, "down") for key in hanging} == {"stored"}


def test_uploads_go_on_while_the_store_is_slow(documents, proxy, daemon):
    """A transaction never waits for the store."""
    proxy.delay(0.5, times=None, method="PUT")
    keys = []
    writers = [threading.Thread(target=lambda: keys.extend(documents.put_fresh(10, on=documents.pg.connect()))) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(5)
    assert len(keys) == 40
    proxy.clear()
    documents.sync()
    documents.assert_in_step()
