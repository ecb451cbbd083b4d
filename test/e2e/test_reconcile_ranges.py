"""Goal: a run that compares several ranges of keys at once compares each key once, loses no progress that was made, and tells no more than one that goes
through from the first key to the last.
Method: pages of two keys, so that few hundred objects make many ranges; a proxy holds some of them up."""
import pytest

from harness.documents import wait_daemon_sessions
from harness.runs import findings, reconcile, settle_clock
from harness.waiting import eventually

KEYS = [f"k/{number:04}" for number in range(500)]


@pytest.fixture
def stored(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    documents.put(KEYS)
    documents.sync()
    return documents


def listings(proxy):
    return [operation.parameters.get("start-after", "") for operation in proxy.operations(method="GET", query="max-keys=2(&|$)", own=None)
            if "list-type=2" in operation.query]


def damage(stored):
    bucket = stored.bucket
    for key in KEYS[3::100]:
        bucket.delete(key)
    bucket.put("a", b"x")
    bucket.put("k/0250x", b"x")
    bucket.put("z", b"x")
    settle_clock(bucket)
    return {(key, "missing") for key in KEYS[3::100]} | {(key, "orphan") for key in ("a", "k/0250x", "z")}


def test_several_ranges_find_what_one_would(stored, proxy):
    pg = stored.pg
    expected = damage(stored)
    proxy.forget()
    run = reconcile(pg, page_size=2)
    asked = listings(proxy)
    assert (run.state, run.compared, run.undecided) == ("done", 503, 0)
    assert set(findings(pg)) == expected
    assert asked != sorted(asked), "several ranges at once"
    assert len(asked) <= 252 + 10 and len(set(asked)) == len(asked)
    assert pg.value("SELECT count(*) FROM objectlink.run_range") == 0
    # One after the other, the same; and what was mended is no longer found.
    assert set(findings(pg)) == expected
    for key in KEYS[3::100]:
        stored.bucket.put(key, b"content of " + key.encode())
    for key in ("a", "k/0250x", "z"):
        stored.bucket.delete(key)
    assert reconcile(pg).found == {} and findings(pg) == {}
    stored.assert_in_step()


def test_a_killed_daemon_goes_on_in_every_range(stored, proxy, daemon):
    pg = stored.pg
    expected = damage(stored)
    proxy.forget()
    gate = proxy.hold(method="GET", query="max-keys=2(&|$)", own=None, skip=120)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 2)")
    gate.wait_reached()
    daemon.kill()
    gate.open()
    wait_daemon_sessions(pg, 0)  # what it had sent before is still carried out
    ranges = pg.run("SELECT after_key, up_to FROM objectlink.run_range WHERE NOT done ORDER BY after_key")
    assert len(ranges) > 1
    before = len(listings(proxy))
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, compared FROM objectlink.runs WHERE id = %s", run) == [("done", 503)]
    assert set(findings(pg)) == expected
    # Begins in each range where it was, and asks for nothing again but the pages that were under way. (Those are noted late.)
    assert {row.after_key for row in ranges} <= set(listings(proxy)[before:])
    assert len(listings(proxy)) <= 252 + 10 + 2 * 8


def test_pausing_and_a_time_budget_lose_nothing(stored, proxy):
    pg = stored.pg
    expected = damage(stored)
    gate = proxy.hold(method="GET", query="max-keys=2(&|$)", own=None, skip=40)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 2)")
    gate.wait_reached()
    pg.run("SELECT objectlink.pause_run(%s)", run)
    gate.open()
    assert pg.value("SELECT count(*) FROM objectlink.run_range WHERE NOT done") > 1
    pg.run("SELECT objectlink.resume_run(%s)", run)
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, compared FROM objectlink.runs WHERE id = %s", run) == [("done", 503)]
    assert set(findings(pg)) == expected
    runs = []
    while not runs or runs[-1].state == "paused":
        runs.append(reconcile(pg, page_size=2, time_budget="50 milliseconds"))
        assert len(runs) < 500
    assert len({row.id for row in runs}) == 1 and (runs[-1].state, runs[-1].compared) == ("done", 503)
    assert set(findings(pg)) == expected


def test_a_sample_compares_its_part_and_finds_what_is_wrong_there(stored, proxy):
    pg = stored.pg
    for key in KEYS:
        stored.bucket.delete(key)
    proxy.forget()
    run = reconcile(pg, page_size=2, sample=10)
    assert (run.state, run.sample) == ("done", 10)
    found = {key for key, kind in findings(pg) if kind == "missing"}
    # 20 of 200 ranges, which may be of one key, or of a few.
    assert 20 <= len(found) < 250 and run.compared == len(found) and len(listings(proxy)) < 60
    # Drawn anew each time; and a run of all keys tells of all.
    reconcile(pg, page_size=2, sample=10)
    assert len(found) < len(findings(pg)) < 500
    assert reconcile(pg).found == {"missing": 500}


def test_a_store_of_which_nothing_is_known_is_split_as_it_goes(documents, daemon, bucket, proxy):
    """No row and no registry entry: only the listing itself tells how the keys go on."""
    pg = documents.pg
    pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    for key in KEYS:
        bucket.put(key)
    settle_clock(bucket)
    proxy.forget()
    run = reconcile(pg, page_size=2)
    assert (run.state, run.compared, run.found) == ("done", 500, {"orphan": 500})
    asked = listings(proxy)
    assert asked != sorted(asked), "it was split"
    assert len(asked) <= 251 + 20


def test_what_is_applied_while_a_page_waits_to_be_compared_is_no_difference(stored, proxy):
    """Each page is of a time before: rows were linked, unlinked and put since, and objects deleted and uploaded."""
    pg = stored.pg
    gate = proxy.hold(method="GET", query="max-keys=100(&|$)", own=None, skip=1, after=True)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 100)")
    gate.wait_reached()
    stored.delete(KEYS[100:300:7])
    stored.put([f"k/{number:04}/new" for number in range(90, 310, 11)])
    stored.refer(KEYS[150:160])
    stored.sync()
    gate.open()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, found FROM objectlink.runs WHERE id = %s", run) == [("done", {})]
    assert pg.run("SELECT * FROM objectlink.finding") == []
    stored.assert_in_step()


def test_every_kind_of_page_agrees_or_does_not(stored):
    """Two tables that share some objects, a registry that never had an ETag: nothing is wrong, so nothing is found, whichever way it is compared."""
    pg = stored.pg
    pg.run("CREATE TABLE copy (file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('copy', 'file')")
    pg.run("INSERT INTO copy SELECT file FROM document ORDER BY file LIMIT 100")
    stored.sync()
    pg.run("UPDATE objectlink.object SET etag = NULL WHERE key > 'k/03' AND key < 'k/04'")
    for page_size in (1000, 7):
        run = reconcile(pg, page_size=page_size)
        assert (run.state, run.listed, run.compared, run.undecided, run.found) == ("done", 500, 500, 0, {})
    eventually(lambda: pg.value("SELECT count(*) = 0 FROM objectlink.finding"))
