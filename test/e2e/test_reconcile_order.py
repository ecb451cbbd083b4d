"""Goal: a store that lists in another order than that of bytes is compared all the same, and never by a listing that is not complete.
Method: a proxy sorts each page of the listing anew; daemons and servers are killed while the listing is collected."""
import pytest

from harness.runs import findings, reconcile, settle_clock
from harness.waiting import eventually

KEYS = [f"k/{number:03}" for number in range(100)] + ["\ufffd", "\U0001f600"]


@pytest.fixture
def stored(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    documents.put(KEYS)
    documents.sync()
    return documents


def damage(stored):
    bucket = stored.bucket
    bucket.delete("k/050")
    bucket.put("k/077", b"other")
    bucket.put("strange", b"x")
    bucket.put("\U0001f601", b"x")
    settle_clock(bucket)
    return {("k/050", "missing"), ("k/077", "corrupt"), ("strange", "orphan"), ("\U0001f601", "orphan")}


@pytest.mark.parametrize("order, page_size", [("sort_listings_as_utf16", 1000), ("shuffle_listings", 9)])
def test_every_order_finds_the_same(stored, proxy, daemon, order, page_size):
    pg = stored.pg
    getattr(proxy, order)()
    run = reconcile(pg, page_size=page_size)
    assert (run.state, run.compared, run.undecided, run.found) == ("done", 102, 0, {})
    daemon.wait_log("reconcile.out_of_order")
    expected = damage(stored)
    for _ in range(2):
        run = reconcile(pg, page_size=page_size)
        assert (run.state, run.compared, run.undecided) == ("done", 104, 0)
        assert set(findings(pg)) == expected
    assert set(findings(pg).values()) == {"open"}
    # What was collected goes.
    eventually(lambda: pg.value("SELECT (SELECT count(*) FROM objectlink.collected_key) + (SELECT count(*) FROM objectlink.collection) = 0"), 60)


def collecting(stored, proxy, page=7):
    """A run that has collected a part, and is held up at the next page."""
    gate = proxy.shuffle_listings("max-keys=9(&|$)", hold_at=page)
    run = stored.pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 9)")
    gate.wait_reached()
    eventually(lambda: stored.pg.value("SELECT phase FROM objectlink.reconcile_progress WHERE run_id = %s", run) == "collecting")
    return run, gate


def test_a_killed_daemon_goes_on_collecting(stored, proxy, daemon):
    pg = stored.pg
    expected = damage(stored)
    run, gate = collecting(stored, proxy)
    daemon.kill()
    gate.open()
    pages = pg.value("SELECT pages FROM objectlink.collection WHERE run_id = %s", run)
    assert pages > 0 and pg.run("SELECT * FROM objectlink.finding") == []
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, compared FROM objectlink.runs WHERE id = %s", run) == [("done", 104)]
    assert set(findings(pg)) == expected
    # From the page where it was: no page twice but that one.
    assert pg.value("SELECT list_requests FROM objectlink.run WHERE id = %s", run) <= 12 + 3


def test_a_listing_that_was_lost_is_collected_anew(stored, proxy, daemon):
    """As a crash of the server leaves it: tables that are not logged are empty."""
    pg = stored.pg
    expected = damage(stored)
    run, gate = collecting(stored, proxy)
    daemon.kill()
    gate.open()
    pg.run("TRUNCATE objectlink.collected_key")
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, compared FROM objectlink.runs WHERE id = %s", run) == [("done", 104)]
    assert set(findings(pg)) == expected


@pytest.mark.parametrize("fault, code", [
    (lambda proxy, match: proxy.answer(500, code="InternalError", times=None, **match), "InternalError"),
    (lambda proxy, match: proxy.truncate(times=None, **match), None)], ids=["500", "truncated"])
def test_a_listing_that_does_not_get_complete_finds_nothing(stored, proxy, fault, code):
    pg = stored.pg
    damage(stored)
    run, gate = collecting(stored, proxy)
    proxy.clear()
    fault(proxy, dict(method="GET", query="max-keys=9(&|$)", own=None))
    gate.open()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    row = pg.run("SELECT state, error_code FROM objectlink.runs WHERE id = %s", run)[0]
    assert row.state == "failed" and (code is None or row.error_code == code)
    assert findings(pg) == {} and set(pg.states().values()) == {"stored"}


def test_a_paused_or_cancelled_run_leaves_nothing_half_compared(stored, proxy):
    pg = stored.pg
    expected = damage(stored)
    run, gate = collecting(stored, proxy)
    pg.run("SELECT objectlink.pause_run(%s)", run)
    gate.open()
    pg.run("SELECT objectlink.resume_run(%s)", run)
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert set(findings(pg)) == expected
    proxy.clear()
    run, gate = collecting(stored, proxy, page=5)
    pg.run("SELECT objectlink.cancel_run(%s)", run)
    gate.open()
    assert set(findings(pg)) == expected
    assert reconcile(pg).state == "done"
