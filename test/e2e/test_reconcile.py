"""Goal: a run finds exactly the differences between bucket, registry and rows, and nothing else.
Method: boto3 damages the bucket behind objectlink's back, SQL goes behind the triggers' back; objectlinkd compares, in small pages."""
import psycopg2
import pytest

from harness.documents import content_of
from harness.postgres import run
from harness.runs import findings, reconcile, settle_clock
from harness.waiting import eventually
from sigv4.probe import key_corpus


@pytest.fixture
def grace():
    return "0"


@pytest.fixture
def stored(documents, daemon, grace):
    """60 objects of ours, all well."""
    documents.pg.run(f"ALTER SERVER docs OPTIONS (ADD orphan_grace '{grace}')")
    documents.put([f"a/{number:02}" for number in range(30)])
    documents.link([f"b/{number:02}" for number in range(30)])
    documents.sync()
    return documents


def test_nothing_is_found_where_nothing_is_wrong(stored):
    pg = stored.pg
    for page_size in (1000, 7):
        run = reconcile(pg, page_size=page_size)
        assert (run.state, run.listed, run.compared, run.undecided, run.found) == ("done", 60, 60, 0, {})
    assert pg.run("SELECT * FROM objectlink.finding") == []
    stored.assert_in_step()


def test_every_damage_is_found_and_nothing_else(stored):
    pg, bucket = stored.pg, stored.bucket
    bucket.delete("a/03")
    bucket.delete("b/29")
    bucket.put("a/07", content_of("a/07")[:-1])
    bucket.put("b/07", content_of("b/07")[::-1])
    bucket.put("0/first", b"x")
    bucket.put("z/last", b"x")
    bucket.put("a/07/below", b"x")
    pg.run("ALTER TABLE document DISABLE TRIGGER USER")
    pg.run("DELETE FROM document WHERE file IN ('s3://docs/a/11')")
    bucket.put("a/11x", b"linked behind the triggers' back")
    pg.run("INSERT INTO document (file) VALUES ('s3://docs/a/11x')")
    pg.run("ALTER TABLE document ENABLE TRIGGER USER")
    settle_clock(bucket)
    expected = {("a/03", "missing"): "open", ("b/29", "missing"): "open", ("a/07", "corrupt"): "open", ("b/07", "corrupt"): "open",
                ("0/first", "orphan"): "suspected", ("z/last", "orphan"): "suspected", ("a/07/below", "orphan"): "suspected",
                ("a/11", "unreferenced"): "suspected", ("a/11x", "unregistered"): "open"}
    run = reconcile(pg, page_size=7)
    assert run.state == "done"
    sizes = [entry["Size"] for entry in bucket.client.list_objects_v2(Bucket=bucket.name)["Contents"] if not entry["Key"].startswith(".objectlink/")]
    assert (run.listed, run.bytes) == (len(sizes), sum(sizes))
    assert findings(pg) == expected
    assert run.found == {"missing": 2, "corrupt": 2, "orphan": 3, "unreferenced": 1, "unregistered": 1}
    assert {key: state for key, state in pg.states().items() if state != "stored"} == {
        "a/03": "missing", "b/29": "missing", "a/07": "corrupt", "b/07": "corrupt"}
    event = pg.events("a/03")[-1]
    assert (event.from_state, event.to_state, event.cause) == ("stored", "missing", "reconcile") and event.request_id
    before = bucket.listing()
    assert reconcile(pg).state == "done"
    assert findings(pg) == {name: "open" for name in expected}
    assert bucket.listing() == before, "a report changes nothing in the store"


def test_what_is_mended_closes_its_finding(stored):
    pg, bucket = stored.pg, stored.bucket
    bucket.delete("a/03")
    bucket.put("b/07", b"other content")
    bucket.put("strange", b"x")
    settle_clock(bucket)
    reconcile(pg)
    assert len(findings(pg)) == 3
    bucket.put("a/03", content_of("a/03"))
    bucket.put("b/07", content_of("b/07"))
    bucket.delete("strange")
    assert reconcile(pg, page_size=5).found == {}
    assert findings(pg) == {}
    assert set(findings(pg, "resolved").values()) == {"resolved"} and len(findings(pg, "resolved")) == 3
    stored.assert_in_step()


def test_a_restored_object_with_other_content_is_corrupt(stored):
    pg, bucket = stored.pg, stored.bucket
    bucket.delete("a/03")
    reconcile(pg)
    bucket.put("a/03", b"the wrong backup")
    reconcile(pg)
    assert findings(pg) == {("a/03", "corrupt"): "open"}
    bucket.delete("a/03")
    reconcile(pg)
    assert findings(pg) == {("a/03", "missing"): "open"}
    assert [event.to_state for event in pg.events("a/03")[-3:]] == ["missing", "corrupt", "missing"]


class TestWithGrace:
    @pytest.fixture
    def grace(self):
        return "1 hour"

    def test_young_objects_are_no_orphans(self, stored):
        stored.bucket.put("young", b"x")
        settle_clock(stored.bucket)
        for _ in range(2):
            run = reconcile(stored.pg)
            assert run.found == {} and run.undecided == 1
        assert findings(stored.pg) == {}


def test_an_upload_before_its_row_is_no_orphan_while_the_transaction_is_open(stored):
    pg, bucket = stored.pg, stored.bucket
    session = pg.connect(autocommit=False)
    session.cursor().execute("SELECT 1")
    bucket.put("early", b"x")
    settle_clock(bucket)
    reconcile(pg)
    assert findings(pg) == {}
    session.cursor().execute("INSERT INTO document (file) VALUES ('s3://docs/early')")
    reconcile(pg)
    session.commit()
    stored.sync()
    assert reconcile(pg).found == {}
    assert findings(pg) == {} and pg.state("early") == "stored"


def test_a_daemon_that_starts_checks_nothing(stored, proxy, daemon):
    """However many objects there are: it looks at what is due, and at the marker of its place."""
    daemon.stop()
    proxy.forget()
    daemon.start()
    stored.put(["new"])
    stored.sync()
    asked = proxy.operations(own=None)
    assert any(operation.key == "new" for operation in asked)
    assert {operation.key for operation in asked if not operation.own} - {""} == {"new"}
    assert not [operation.query for operation in asked if "list-type=2" in operation.query and not operation.own]


# Interrupted, and with a listing that cannot be believed

def listings(proxy):
    return [operation for operation in proxy.operations(method="GET", query="list-type=2", own=None)
            if "max-keys=5&" in operation.query + "&"]


def test_a_killed_daemon_goes_on_at_the_last_page(stored, proxy, daemon):
    pg = stored.pg
    stored.bucket.delete("a/01")
    stored.bucket.delete("b/25")
    proxy.forget()
    gate = proxy.hold(method="GET", query="list-type=2.*max-keys=5|max-keys=5.*list-type=2", own=None, skip=6)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 5)")
    gate.wait_reached()
    # The pages before it are compared while it is asked for.
    reached = listings(proxy)[-1].parameters["start-after"]
    assert reached >= "a/2"
    eventually(lambda: pg.value("SELECT after_key FROM objectlink.reconcile_progress WHERE run_id = %s", run) == reached)
    daemon.kill()
    gate.open()
    before = len(listings(proxy))
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    row = pg.run("SELECT * FROM objectlink.runs WHERE id = %s", run)[0]
    assert (row.state, row.compared) == ("done", 60)
    assert findings(pg) == {("a/01", "missing"): "open", ("b/25", "missing"): "open"}
    after = listings(proxy)[before:]
    assert after[0].parameters["start-after"] == reached
    assert len(listings(proxy)) <= 60 / 5 + 3


def test_another_daemon_takes_a_run_over(stored, proxy, daemon, make_daemon):
    pg = stored.pg
    gate = proxy.hold(method="GET", query="max-keys=5", own=None, skip=4)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 5)")
    gate.wait_reached()
    other = make_daemon(name="other")
    daemon.kill()
    gate.open()
    pg.run("CALL objectlink.wait_for_run(%s, '100 seconds')", run)
    assert pg.run("SELECT state, compared FROM objectlink.runs WHERE id = %s", run) == [("done", 60)]
    assert "goes on: compares the store" in other.log_text()


@pytest.mark.parametrize("fault", [
    lambda proxy, match: proxy.answer(500, code="InternalError", times=None, **match),
    lambda proxy, match: proxy.answer(403, code="AccessDenied", times=None, **match),
    lambda proxy, match: proxy.truncate(times=None, **match),
    lambda proxy, match: proxy.garbage(times=None, **match),
    lambda proxy, match: proxy.cut_after(times=None, **match),
], ids=["500", "403", "truncated", "garbage", "cut"])
def test_a_listing_that_fails_finds_nothing(stored, proxy, fault):
    pg = stored.pg
    stored.bucket.delete("b/29")
    stored.bucket.put("strange", b"x")
    settle_clock(stored.bucket)
    fault(proxy, dict(method="GET", query="max-keys=9", own=None, skip=3))
    run = reconcile(pg, page_size=9)
    assert run.state == "failed" and run.error_code and run.error_message
    assert findings(pg) == {}
    assert set(pg.states().values()) == {"stored"}
    proxy.clear()
    stored.put(["later"])
    stored.sync()
    assert reconcile(pg, page_size=9).found == {"missing": 1, "orphan": 1}


def test_a_page_that_fails_now_and_then_is_asked_for_again(stored, proxy):
    pg = stored.pg
    stored.bucket.delete("b/29")
    for skip in (1, 4, 6):
        proxy.answer(500, code="InternalError", method="GET", query="max-keys=9", own=None, times=1, skip=skip)
    proxy.cut_after(method="HEAD", path="b/29", times=2)
    run = reconcile(pg, page_size=9)
    assert (run.state, run.compared, run.found) == ("done", 60, {"missing": 1})


def empty_listing(prefix=""):
    return ('<?xml version="1.0" encoding="UTF-8"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f'<Name>b</Name><Prefix>{prefix}</Prefix><MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated><KeyCount>0</KeyCount></ListBucketResult>')


def test_a_listing_that_ends_early_declares_nothing_missing(stored, proxy):
    pg = stored.pg
    proxy.answer(200, body=empty_listing().encode(), headers={"Content-Type": "application/xml", "Date": "Tue, 01 Jan 2030 00:00:00 GMT"},
                 method="GET", query="max-keys=9", own=None, times=None, skip=3)
    run = reconcile(pg, page_size=9)
    assert (run.state, run.error_code) == ("failed", "ListingIncomplete")
    assert findings(pg) == {} and set(pg.states().values()) == {"stored"}


def test_a_look_that_is_refused_proves_nothing(stored, proxy):
    pg = stored.pg
    stored.bucket.delete("a/05")
    stored.bucket.delete("a/06")
    proxy.answer(403, method="HEAD", path="a/05", times=None)
    run = reconcile(pg)
    assert (run.state, run.undecided, run.found) == ("done", 1, {"missing": 1})
    assert pg.state("a/05") == "stored" and pg.state("a/06") == "missing"


def test_a_store_that_is_down_fails_no_run(stored, proxy, daemon):
    pg = stored.pg
    stored.bucket.delete("a/05")
    proxy.refuse()
    run = pg.value("SELECT objectlink.reconcile_storage('docs')")
    daemon.wait_log("store.paused")
    assert pg.value("SELECT phase FROM objectlink.reconcile_progress WHERE run_id = %s", run) in ("comparing", "waiting for the store")
    proxy.accept()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert findings(pg) == {("a/05", "missing"): "open"}


def test_a_run_while_everything_moves(stored):
    """Rows come and go, objects are uploaded and deleted by the daemon, and only the damage is found."""
    pg, bucket = stored.pg, stored.bucket
    damaged = ["a/02", "a/20", "b/13"]
    for key in damaged:
        bucket.delete(key)
    bucket.put("b/15", b"changed")
    moved, number = [], 0
    for _ in range(5):
        run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 3)")
        pages = -1

        def page_done():
            row = pg.run("SELECT state, pages FROM objectlink.run WHERE id = %s AND (pages > %s OR state = 'done')", run, pages)
            return row and row[0]

        # Something is changed at each page.
        while (at := eventually(page_done)).state != "done":
            pages = at.pages
            moved += stored.put([f"{'abc'[number % 3]}/{number % 31:02}/{number}/{n}" for n in range(4)])
            if number % 3 == 0:
                stored.delete(moved[:len(moved) // 2])
                moved = moved[len(moved) // 2:]
            number += 1
    expected = {(key, "missing"): "open" for key in damaged} | {("b/15", "corrupt"): "open"}
    seen = {(row.key, row.kind) for row in pg.run("SELECT key, kind FROM objectlink.finding")}
    assert seen == set(expected), "nothing else was found at any time"
    assert findings(pg) == expected
    stored.sync()


def test_a_paused_run_goes_on_where_it_was(stored, proxy):
    pg = stored.pg
    stored.bucket.delete("b/25")
    gate = proxy.hold(method="GET", query="max-keys=5", own=None, skip=4)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 5)")
    gate.wait_reached()
    pg.run("SELECT objectlink.pause_run(%s)", run)
    gate.open()
    with pytest.raises(psycopg2.errors.QueryCanceled, match="paused"):
        pg.run("CALL objectlink.wait_for_run(%s, '1 second')", run)
    assert f"run {run}: paused, {pg.value('SELECT compared FROM objectlink.runs WHERE id = %s', run)} keys compared" in pg.connection.notices[-1]
    reached = pg.value("SELECT after_key FROM objectlink.reconcile_progress WHERE run_id = %s", run)
    with pytest.raises(psycopg2.errors.ObjectInUse):
        pg.run("SELECT objectlink.reconcile_storage('docs')")
    proxy.forget()
    pg.run("SELECT objectlink.resume_run(%s)", run)
    pg.run("CALL objectlink.wait_for_run(%s, '30 seconds')", run)
    assert 'is done: 60 keys compared, found {"missing": 1}' in pg.connection.notices[-1]
    assert listings(proxy)[0].parameters["start-after"] == reached
    assert pg.run("SELECT state, compared, found FROM objectlink.runs WHERE id = %s", run) == [("done", 60, {"missing": 1})]


def test_a_cancelled_run_ends_at_once(stored, proxy):
    pg = stored.pg
    stored.bucket.delete("a/01")
    gate = proxy.hold(method="GET", query="max-keys=5", own=None, skip=4)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 5)")
    gate.wait_reached()
    pg.run("SELECT objectlink.cancel_run(%s)", run)
    gate.open()
    assert reconcile(pg).state == "done"
    row = pg.run("SELECT state, compared, found FROM objectlink.runs WHERE id = %s", run)[0]
    assert row.state == "cancelled" and row.compared < 60 and row.found == {"missing": 1}
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="queued since"):
        pg.run("SELECT objectlink.resume_run(%s)", run)


def test_a_cancelled_run_may_go_on_where_it_was(stored, proxy):
    pg = stored.pg
    stored.bucket.delete("a/01")
    stored.bucket.delete("b/25")
    gate = proxy.hold(method="GET", query="max-keys=5", own=None, skip=4)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 5)")
    gate.wait_reached()
    pg.run("SELECT objectlink.cancel_run(%s)", run)
    gate.open()
    compared = pg.value("SELECT compared FROM objectlink.runs WHERE id = %s", run)
    reached = pg.value("SELECT max(after_key) FROM objectlink.run_range WHERE run_id = %s", run)
    assert 0 < compared < 60
    proxy.forget()
    pg.run("SELECT objectlink.resume_run(%s)", run)
    pg.run("CALL objectlink.wait_for_run(%s, '30 seconds')", run)
    assert listings(proxy)[0].parameters["start-after"] == reached
    assert pg.run("SELECT state, compared, found FROM objectlink.runs WHERE id = %s", run) == [("done", 60, {"missing": 2})]
    assert pg.value("SELECT count(*) FROM objectlink.run_range") == 0


def test_a_run_with_a_time_budget_goes_on_at_the_next_call(stored):
    pg = stored.pg
    stored.bucket.delete("b/25")
    runs, compared = set(), 0
    for _ in range(100):
        run = reconcile(pg, page_size=5, time_budget="1 microsecond")
        runs.add(run.id)
        if run.state == "done":
            break
        # A page each; the marker of the place is on the first.
        assert run.state == "paused" and run.compared - compared in (4, 5)
        compared = run.compared
    assert len(runs) == 1 and run.compared == 60 and run.found == {"missing": 1}


@pytest.mark.parametrize("odd", [False, True])
def test_two_stores_whose_prefixes_begin_alike(pg, bucket, daemon, odd):
    """images and images2: neither sees what is the other's, nor what lies beside them."""
    for name in ("images", "images2"):
        pg.create_server(name, bucket.endpoint, bucket.name, prefix=name, orphan_grace="0")
    pg.run("CREATE TABLE picture (id int, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('picture', 'file')")
    pg.run("INSERT INTO picture SELECT n, objectlink.put(s, 'content', key => s || '/' || n) FROM generate_series(1, 5) n, unnest('{images,images2}'::text[]) s")
    pg.wait_for_sync()
    bucket.put("images", b"x")
    bucket.put("images.txt", b"x")
    bucket.put("imagesx/1", b"x")
    bucket.put("images/strange", b"x")
    bucket.delete("images2/3")
    settle_clock(bucket)
    run = pg.value("SELECT objectlink.reconcile_storage(page_size => %s)", 2 if odd else 1000)
    pg.run("CALL objectlink.wait_for_run(%s, '30 seconds')", run)
    assert pg.run("SELECT store, state, compared, found FROM objectlink.runs ORDER BY store") == [
        ("images", "done", 6, {"orphan": 1}), ("images2", "done", 5, {"missing": 1})]
    assert {(row.store, row.key) for row in pg.run("SELECT store, key FROM objectlink.findings")} == {
        ("images", "images/strange"), ("images2", "images2/3")}


def test_difficult_keys(documents, daemon):
    """Every key of the corpus as an object of ours, lost, and as a stranger."""
    pg, bucket = documents.pg, documents.bucket
    pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    keys = key_corpus()
    ours, lost, strange = keys[::3], keys[1::3], keys[2::3]
    documents.put(ours + lost)
    documents.sync()
    for key in lost:
        bucket.delete(key)
    for key in strange:
        bucket.put(key, b"x")
    settle_clock(bucket)
    for page_size in (1000, 3):
        assert reconcile(pg, page_size=page_size).state == "done"
    assert findings(pg) == {(key, "missing"): "open" for key in lost} | {(key, "orphan"): "open" for key in strange}


def test_a_bucket_that_was_emptied(stored):
    """Everything is looked at, and everything is missing; nothing is unlinked or deleted, and all of it heals."""
    pg, bucket = stored.pg, stored.bucket
    contents = {key: bucket.get(key) for key in bucket.keys()}
    for key in contents:
        bucket.delete(key)
    assert reconcile(pg, page_size=7).found == {"missing": 60}
    assert set(pg.states().values()) == {"missing"}
    for key, content in contents.items():
        bucket.put(key, content)
    assert reconcile(pg, page_size=7).found == {}
    stored.assert_in_step()


def test_a_decision_that_is_not_committed_holds_up_nothing_but_the_run(stored, proxy, daemon):
    pg = stored.pg
    session = pg.value("SELECT id FROM objectlink.workers")
    gate = proxy.hold(method="GET", query="list-type=2")
    run_id = pg.value("SELECT objectlink.reconcile_storage('docs')")
    gate.wait_reached()
    person = pg.connect(autocommit=False)
    run(person, "SELECT objectlink.cancel_run(%s)", run_id)
    gate.open()
    daemon.wait_log("reconcile.waits")
    stored.put(["meanwhile/1"])
    stored.delete(["a/00"])
    stored.sync()
    person.rollback()
    pg.run("CALL objectlink.wait_for_run(%s, '30 seconds')", run_id)
    assert pg.value("SELECT state FROM objectlink.runs WHERE id = %s", run_id) == "done"
    assert pg.value("SELECT id FROM objectlink.workers") == session
    assert findings(pg) == {}
    stored.assert_in_step(marks_held=True)
