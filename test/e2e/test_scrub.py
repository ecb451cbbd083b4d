"""Goal: whatever happens to an object behind objectlink's back is found by the scrub alone, within its rate, and nothing else is.
Method: boto3 damages the bucket; a round after the other is awaited; faults and kills by proxy and signal."""
import hashlib

import pytest

from harness.documents import content_of
from harness.runs import findings, reconcile
from harness.waiting import always, eventually


def set_options(pg, **options):
    """Adds or changes options of the store."""
    for name, value in options.items():
        known = pg.value("SELECT options ? %s FROM objectlink.server WHERE name = 'docs'", name)
        pg.run(f"ALTER SERVER docs OPTIONS ({'SET' if known else 'ADD'} {name} '{value}')")


def progress(pg):
    return pg.run("SELECT * FROM objectlink.scrub_progress WHERE store = 'docs'")[0]


def scrubbed(pg, seconds=60):
    """Waits until a whole round has begun and ended after this call; its row of the progress."""
    began = pg.value("SELECT clock_timestamp()")
    eventually(lambda: (progress(pg).last_round_begun_at or began) > began, seconds, "a whole round")
    return progress(pg)


def looks(proxy):
    return proxy.operations(method="HEAD")


@pytest.fixture
def stored(documents, daemon):
    """40 objects of ours, half of them uploaded by others; a round begins every second."""
    documents.put([f"a/{number:02}" for number in range(20)])
    documents.link([f"b/{number:02}" for number in range(20)])
    documents.sync()
    set_options(documents.pg, scrub_interval="1s", scrub_rate=1000)
    return documents


def test_what_is_well_is_proved_again_and_nothing_else_happens(stored, daemon):
    pg = stored.pg
    events = pg.value("SELECT count(*) FROM objectlink.event")
    before = dict(pg.run("SELECT key, verified_at FROM objectlink.objects"))
    row = scrubbed(pg)
    assert (row.last_round_looked, row.last_round_undecided, row.objects) == (40, 0, 40)
    after = dict(pg.run("SELECT key, verified_at FROM objectlink.objects"))
    assert all(after[key] > before[key] for key in before)
    assert pg.value("SELECT count(*) FROM objectlink.event") == events
    assert findings(pg) == {}
    set_options(pg, scrub_interval="1 day")
    assert progress(pg).proved_share == 1
    assert daemon.metric("objectlink_operations_total", operation="scrub", outcome="same") >= 40
    assert daemon.metric("objectlink_scrub_proved_since_seconds", store="docs") > 1_600_000_000
    stored.assert_in_step()


def test_every_damage_is_found_and_mended_again(stored):
    pg, bucket = stored.pg, stored.bucket
    set_options(pg, scrub_content_share=1)
    bucket.delete("a/03")
    bucket.put("a/07", content_of("a/07")[:-1])
    bucket.put("b/07", content_of("b/07")[::-1])
    damaged = {("a/03", "missing"): "open", ("a/07", "corrupt"): "open", ("b/07", "corrupt"): "open"}
    scrubbed(pg)
    assert findings(pg) == damaged
    assert {key: state for key, state in pg.states().items() if state != "stored"} == {key: kind for key, kind in damaged}
    event = pg.events("a/03")[-1]
    assert (event.from_state, event.to_state, event.cause) == ("stored", "missing", "scrub") and event.request_id
    told = pg.value("SELECT count(*) FROM objectlink.event WHERE cause = 'scrub'")
    scrubbed(pg)
    assert pg.value("SELECT count(*) FROM objectlink.event WHERE cause = 'scrub'") == told == 3, "said once"
    for key, _ in damaged:
        bucket.put(key, content_of(key))
    scrubbed(pg)
    assert findings(pg) == {} and set(pg.states().values()) == {"stored"}
    stored.assert_in_step()


def test_other_bytes_behind_the_same_size_and_etag(stored):
    """The registry knows what was uploaded; a store that has lost a bit still tells the old ETag."""
    pg = stored.pg
    set_options(pg, scrub_content_share=1)
    wrong = hashlib.sha256(b"what was there once").digest()
    pg.run("UPDATE objectlink.object SET sha256 = %s WHERE key = 'a/05'", wrong)
    scrubbed(pg)
    assert findings(pg) == {("a/05", "corrupt"): "open"}
    assert pg.value("SELECT error_code FROM objectlink.objects WHERE key = 'a/05'") == "ContentDiffers"
    assert hashlib.sha256(content_of("a/05")).hexdigest() in pg.value("SELECT last_error FROM objectlink.objects WHERE key = 'a/05'")
    # What only looks does not take it for mended.
    set_options(pg, scrub_content_share=0)
    assert reconcile(pg).state == "done"
    scrubbed(pg)
    assert findings(pg) == {("a/05", "corrupt"): "open"}
    pg.run("UPDATE objectlink.object SET sha256 = %s WHERE key = 'a/05'", hashlib.sha256(content_of("a/05")).digest())
    scrubbed(pg)
    assert findings(pg) == {} and pg.state("a/05") == "stored"


def test_content_is_read_in_pieces_and_its_digest_written_down(stored, proxy):
    pg = stored.pg
    size = 9_000_000
    stored.link(["large"], size=size)
    stored.sync()
    assert pg.value("SELECT sha256 FROM objectlink.objects WHERE key = 'large'") is None
    set_options(pg, scrub_content_share=1)
    row = scrubbed(pg)
    assert pg.value("SELECT sha256 FROM objectlink.objects WHERE key = 'large'") == hashlib.sha256(content_of("large", size)).digest()
    assert row.last_round_read == 41
    assert len([get for get in proxy.operations(method="GET", path="large") if get.status == 206]) >= 3
    stored.upload("large", content_of("large", size)[:-1] + b"!")
    scrubbed(pg)
    assert findings(pg) == {("large", "corrupt"): "open"}


def test_a_share_reads_everything_in_some_rounds(stored):
    pg = stored.pg
    set_options(pg, scrub_content_share=0.5)
    rows = [scrubbed(pg), scrubbed(pg)]
    assert all(row.last_round_looked == 40 and 0 < row.last_round_read < 40 for row in rows)
    eventually(lambda: pg.value("SELECT count(*) FROM objectlink.objects WHERE sha256 IS NULL") == 0, 30, "all were read")


@pytest.mark.parametrize("fault", [
    lambda proxy, match: proxy.answer(403, code="AccessDenied", times=None, **match),
    lambda proxy, match: proxy.answer(500, code="InternalError", times=None, **match),
    lambda proxy, match: proxy.cut_after(times=None, **match),
], ids=["403", "500", "cut"])
def test_what_is_unknown_changes_nothing(stored, proxy, fault):
    pg = stored.pg
    stored.bucket.delete("a/03")
    fault(proxy, dict(method="HEAD", path="a/03$"))
    set_options(pg, scrub_rate=999)  # from here on no round has seen it without the fault
    row = scrubbed(pg)
    assert (row.last_round_looked, row.last_round_undecided) == (40, 1)
    assert findings(pg) == {} and set(pg.states().values()) == {"stored"}
    assert pg.run("SELECT what FROM objectlink.problems WHERE what = 'objects not proved'")
    stored.assert_no_attempt_spent()
    proxy.clear()
    scrubbed(pg)
    assert findings(pg) == {("a/03", "missing"): "open"}


def test_a_404_that_is_none_proves_nothing(stored, proxy):
    """Answered once: the second look sees the object. Answered always, with the bucket gone: nothing is missing."""
    pg = stored.pg
    proxy.answer(404, method="HEAD", path="a/04$", times=1)
    scrubbed(pg)
    scrubbed(pg)
    assert findings(pg) == {}
    proxy.answer(404, method="HEAD", times=None, own=None)
    began = pg.value("SELECT clock_timestamp()")
    eventually(lambda: pg.value("SELECT status FROM objectlink.consistency WHERE store = 'docs'") == "paused"
               or (progress(pg).last_round_begun_at or began) > began, 40, "the store is paused, or a round has ended")
    assert findings(pg) == {} and set(pg.states().values()) == {"stored"}


def test_a_round_goes_on_where_a_killed_daemon_has_left_it(stored, proxy, daemon, make_daemon):
    pg = stored.pg
    stored.refer([])
    pg.run("ALTER SERVER docs OPTIONS (SET scrub_interval '1 day')")
    stored.link([f"c/{number:03}" for number in range(250)])
    stored.sync()
    pg.run("DELETE FROM objectlink.scrub")
    stored.bucket.delete("c/240")
    gate = proxy.hold(method="HEAD", path="c/150$")
    proxy.forget()
    pg.run("ALTER SERVER docs OPTIONS (SET scrub_interval '2 days')")
    gate.wait_reached()
    reached = pg.value("SELECT after_key FROM objectlink.scrub")
    assert reached >= "b/"
    other = make_daemon(name="other")
    daemon.kill()
    gate.open()
    eventually(lambda: progress(pg).last_round_looked, 60, "the round is over")
    assert progress(pg).round == 1 and progress(pg).last_round_looked == 290
    assert findings(pg) == {("c/240", "missing"): "open"}
    keys = [look.key for look in looks(proxy) if look.key <= reached and "/" in look.key]
    assert len(keys) == len(set(keys)), "what was proved before is not looked at again"
    assert other.alive


def test_it_keeps_its_rate_and_gives_way_to_work(stored, proxy):
    pg = stored.pg
    pg.run("ALTER SERVER docs OPTIONS (SET scrub_interval '1 day', SET scrub_rate '5')")
    pg.run("DELETE FROM objectlink.scrub")
    proxy.forget()
    pg.run("ALTER SERVER docs OPTIONS (SET scrub_interval '2 days')")
    eventually(lambda: len(looks(proxy)) >= 15, 30, "it is at work")
    seen = looks(proxy)
    assert len(seen) - 1 <= 5 * (seen[-1].started - seen[0].started) + 3
    assert progress(pg).phase == "proving"
    # New work does not wait for the round.
    stored.put([f"new/{number}" for number in range(20)])
    stored.sync(10)
    assert pg.value("SELECT last_round_looked FROM objectlink.scrub_progress") is None
    # While a request of real work is under way, nothing is looked at.
    gate = proxy.hold(method="PUT", path="late$")
    stored.put(["late"])
    gate.wait_reached()
    count = len(looks(proxy))
    always(lambda: len(looks(proxy)) <= count + 2, 1.5, "no more than was under way is looked at")
    gate.open()
    stored.sync(20)
    eventually(lambda: len(looks(proxy)) > count + 5, 20, "it goes on")


def test_a_store_that_is_down_costs_nothing(stored, proxy):
    pg = stored.pg
    scrubbed(pg)
    proxy.refuse()
    eventually(lambda: pg.value("SELECT status FROM objectlink.consistency WHERE store = 'docs'") == "paused", 40, "the store is paused")
    assert progress(pg).phase == "waiting for the store"
    proxy.accept()
    scrubbed(pg)
    assert findings(pg) == {}
    stored.assert_no_attempt_spent()


def test_once_does_not_wait_for_a_round(documents, make_daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD scrub_interval '1s')")
    documents.put(["k"])
    daemon = make_daemon(start=False)
    assert daemon.run_once() == 0
    assert documents.pg.state("k") == "stored"
    assert documents.pg.value("SELECT count(*) FROM objectlink.scrub") == 0


def test_a_round_that_is_late_shows_in_its_metric(stored, daemon):
    pg = stored.pg

    def overdue():
        return daemon.metric("objectlink_scrub_overdue_seconds", store="docs")
    scrubbed(pg)
    set_options(pg, scrub_interval="1 day")
    eventually(lambda: overdue() == 0, 60)
    # The round under way has gone on for three days, and at such a rate it will for some more.
    set_options(pg, scrub_rate=1)
    pg.run("UPDATE objectlink.scrub SET begun_at = now() - interval '3 days', after_key = '', done_begun_at = now() - interval '4 days'")
    eventually(lambda: 2 * 86400 <= (overdue() or 0) < 2 * 86400 + 600, 60)
    set_options(pg, scrub_interval="0")
    eventually(lambda: overdue() is None, 60)
