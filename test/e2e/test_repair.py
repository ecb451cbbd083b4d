"""Goal: a repair mends what is safe and no more; what nobody links goes only because a person says so, and only if it is still the same.
Method: damage by boto3 and behind the triggers' back; then runs of mode repair, resolve(), and what becomes of bucket and registry."""
import psycopg2
import pytest

from harness.documents import content_of
from harness.runs import findings, reconcile, settle_clock
from harness.waiting import always, eventually


@pytest.fixture
def stored(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    documents.put([f"a/{number:02}" for number in range(20)])
    documents.sync()
    return documents


def behind_the_triggers(pg, *statements):
    for statement in ("ALTER TABLE document DISABLE TRIGGER USER", *statements, "ALTER TABLE document ENABLE TRIGGER USER",
                      *(f"ALTER TABLE document ENABLE ALWAYS TRIGGER {row.tgname}" for row in pg.run(
                          "SELECT tgname FROM pg_trigger WHERE tgrelid = 'document'::regclass AND tgname LIKE 'objectlink%%'"))):
        pg.run(statement)


def finding(pg, key):
    return pg.value("SELECT id FROM objectlink.findings WHERE key = %s AND status <> 'resolved'", key)


def test_a_repair_mends_what_it_may(stored):
    pg, bucket = stored.pg, stored.bucket
    bucket.delete("a/01")
    bucket.put("a/02", b"other")
    bucket.put("strange", b"x")
    stored.upload("bypassed", b"linked behind the triggers' back")
    behind_the_triggers(pg, "DELETE FROM document WHERE file = 's3://docs/a/03'", "INSERT INTO document (file) VALUES ('s3://docs/bypassed')")
    settle_clock(bucket)
    for _ in range(3):
        assert reconcile(pg, mode="repair", page_size=7).state == "done"
        stored.sync()
    assert pg.states() == {f"a/{n:02}": "stored" for n in range(20)} | {
        "a/01": "missing", "a/02": "corrupt", "a/03": "unlinked", "bypassed": "stored"}
    # What no row links any more is held, as everything whose link has vanished without a word: a person releases it.
    assert pg.value("SELECT held_reason FROM objectlink.object WHERE key = 'a/03'")
    assert findings(pg) == {("a/01", "missing"): "open", ("a/02", "corrupt"): "open", ("strange", "orphan"): "open"}
    assert bucket.get("strange") == b"x" and bucket.get("a/03") == content_of("a/03") and bucket.get("a/02") == b"other"


def test_rows_that_nobody_ever_knew_are_found_and_linked(stored):
    """Neither registry nor bucket has them, and the block of keys that they lie in is listed as it should be."""
    pg, bucket = stored.pg, stored.bucket
    behind_the_triggers(pg, "INSERT INTO document (file) VALUES ('s3://docs/a/05x'), ('s3://docs/zz'), ('s3://docs/later')")
    expected = {(key, "unregistered"): "open" for key in ("a/05x", "later", "zz")}
    run = reconcile(pg)
    assert (run.state, run.listed, run.compared) == ("done", 20, 23) and findings(pg) == expected
    evidence = pg.value("SELECT evidence FROM objectlink.findings WHERE key = 'zz'")
    assert evidence["column"] == "public.document.file" and evidence["listed"] is False
    assert reconcile(pg, page_size=3).state == "done" and findings(pg) == expected
    # By whatever means it ends, its finding does too.
    stored.upload("later", content_of("later"))
    behind_the_triggers(pg, "DELETE FROM document WHERE file = 's3://docs/zz'")
    reconcile(pg, mode="repair")
    eventually(lambda: pg.state("later") == "stored" and pg.state("a/05x") == "pending", 30)
    stored.upload("a/05x", content_of("a/05x"))
    stored.sync()
    reconcile(pg)
    assert findings(pg) == {} and pg.state("a/05x") == "stored" and pg.state("zz") is None
    stored.assert_in_step()


def test_what_is_stuck_is_told_and_tried_again(stored, proxy):
    pg, bucket = stored.pg, stored.bucket
    proxy.answer(500, code="InternalError", method="DELETE", path="a/07", times=None)
    stored.delete(["a/07"])
    eventually(lambda: pg.value("SELECT last_error FROM objectlink.object WHERE key = 'a/07' AND state = 'deleting' AND attempts > 0"), 30)
    assert reconcile(pg).found == {}
    # As if it had been refused for an hour, and as if the next try were far off.
    pg.run("UPDATE objectlink.object SET since = since - interval '1 hour', due_at = now() + interval '19 minutes' WHERE key = 'a/07'")
    assert reconcile(pg).found == {"stuck": 1}
    evidence = pg.value("SELECT evidence FROM objectlink.findings WHERE key = 'a/07'")
    assert evidence["state"] == "deleting" and evidence["error_code"] and evidence["last_error"]
    proxy.clear()
    assert pg.state("a/07") == "deleting" and findings(pg) == {("a/07", "stuck"): "open"}
    run = reconcile(pg, mode="repair")
    assert run.repaired == 1
    eventually(lambda: pg.state("a/07") is None, 30)
    assert reconcile(pg).found == {} and findings(pg) == {}


def test_what_somebody_has_brought_back_stays_until_a_person_decides(stored):
    """After a restore on purpose, from a backup of the bucket: written after the deletion."""
    pg, bucket = stored.pg, stored.bucket
    stored.delete(["a/05", "a/06"])
    stored.sync()
    bucket.put("a/05", content_of("a/05"))
    bucket.put("a/06", b"somebody else's")
    settle_clock(bucket)
    for _ in range(3):
        reconcile(pg, mode="repair")
        stored.sync()
    assert findings(pg) == {("a/05", "undeleted"): "open", ("a/06", "orphan"): "open"}
    pg.run("SELECT * FROM objectlink.cleanup('docs', orphans => 'leave', dry_run => false)")
    stored.sync()
    assert bucket.get("a/05") == content_of("a/05")
    pg.run("SELECT objectlink.resolve(%s, 'delete', 'nobody has asked for it')", finding(pg, "a/05"))
    stored.sync()
    assert not bucket.exists("a/05") and bucket.get("a/06") == b"somebody else's"
    assert pg.state("a/05") is None and pg.events("a/05")[-1].to_state == "gone"
    reconcile(pg)
    assert findings(pg) == {("a/06", "orphan"): "open"}


def test_what_has_survived_its_deletion_is_deleted_again(stored):
    """The store said that it was gone, and it was not: written before the deletion."""
    pg, bucket = stored.pg, stored.bucket
    bucket.put("a/05x", content_of("a/05"))
    settle_clock(bucket)
    # As if a/05x had been deleted: of what really was, only a store that lies would still show the old time.
    stored.delete(["a/05"])
    stored.sync()
    pg.run("UPDATE objectlink.event SET key = 'a/05x' WHERE key = 'a/05'")
    pg.run("ALTER TABLE objectlink.erasure DISABLE TRIGGER ALL")
    pg.run("UPDATE objectlink.erasure SET key = 'a/05x' WHERE key = 'a/05'")
    pg.run("ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays")
    pg.run("ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays_whole")
    reconcile(pg, mode="repair")
    assert findings(pg) == {("a/05x", "undeleted"): "suspected"} and bucket.exists("a/05x")
    reconcile(pg, mode="repair")
    stored.sync()
    assert not bucket.exists("a/05x") and pg.events("a/05x")[-1].to_state == "gone"
    reconcile(pg)
    assert findings(pg) == {}


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_what_is_back_heals_by_itself_status_column_included(pg, documents, daemon, damage):
    bucket = documents.bucket
    pg.run("ALTER TABLE document ADD COLUMN status text")
    pg.run("SELECT objectlink.detach('document', 'file')")
    pg.run("SELECT objectlink.attach('document', 'file', status_column => 'status', status_map => '{\"missing\": \"ERROR\", \"corrupt\": \"ERROR\", \"stored\": \"READY\"}')")
    documents.put(["kept", "lost"])
    documents.sync()

    def shown():
        documents.sync()
        return {row.key: (row.status, pg.state(row.key)) for row in pg.run("SELECT objectlink.key(file) AS key, status FROM document")}
    well = {"kept": ("READY", "stored"), "lost": ("READY", "stored")}
    assert shown() == well
    bucket.delete("lost") if damage == "missing" else bucket.put("lost", b"something else")
    reconcile(pg)
    assert shown() == well | {"lost": ("ERROR", damage)}
    assert findings(pg) == {("lost", damage): "open"}
    bucket.put("lost", content_of("lost"))
    settle_clock(bucket)
    reconcile(pg)
    assert shown() == well
    assert findings(pg) == {} and findings(pg, "resolved") == {("lost", damage): "resolved"}
    assert [event.to_state for event in pg.events("lost")[-2:]] == [damage, "stored"]


def test_an_orphan_goes_when_a_person_says_so(stored):
    pg, bucket = stored.pg, stored.bucket
    for key in ("strange/1", "strange/2"):
        bucket.put(key, b"x")
    settle_clock(bucket)
    reconcile(pg)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="only suspected"):
        pg.run("SELECT objectlink.resolve(%s, 'delete')", finding(pg, "strange/1"))
    reconcile(pg)
    pg.run("SELECT objectlink.resolve(%s, 'delete', 'case 4711')", finding(pg, "strange/1"))
    stored.sync()
    assert bucket.listing().keys() & {"strange/1", "strange/2"} == {"strange/2"}
    assert findings(pg) == {("strange/2", "orphan"): "open"}
    story = [(event.from_state, event.to_state, event.cause) for event in pg.events("strange/1") if event.to_state]
    assert story[0] == (None, "unlinked", "orphan confirmed") and story[-1][1] == "gone"
    erasure = pg.run("SELECT act, unlinked_by, proof FROM objectlink.erasures WHERE key = 'strange/1'")[0]
    assert erasure.act == "orphan" and erasure.unlinked_by == pg.cluster.superuser and erasure.proof


def test_an_orphan_that_was_replaced_stays(stored):
    pg, bucket = stored.pg, stored.bucket
    bucket.put("strange", b"x")
    settle_clock(bucket)
    reconcile(pg), reconcile(pg)
    bucket.put("strange", b"y")
    pg.run("SELECT objectlink.resolve(%s, 'delete')", finding(pg, "strange"))
    stored.sync()
    assert bucket.get("strange") == b"y"
    row = pg.run("SELECT status, resolution FROM objectlink.findings WHERE key = 'strange'")[0]
    assert row.status == "suspected" and "something else" in row.resolution
    assert pg.state("strange") is None


def test_looks_that_are_refused_for_ever_hold_up_nobody_else(stored, proxy):
    pg, bucket = stored.pg, stored.bucket
    refused = [f"refused/{number:03}" for number in range(100)]
    for key in refused:
        bucket.put(key, b"x")
    bucket.put("strange", b"x")
    settle_clock(bucket)
    for _ in range(2):
        reconcile(pg)
    proxy.answer(403, method="HEAD", path="refused/", times=None)
    assert pg.value("SELECT objectlink.resolve_all('delete', 'docs', kind => 'orphan', prefix => 'refused/', dry_run => false)") == 100
    eventually(lambda: pg.value("SELECT bool_and(looks_refused > 0) FROM objectlink.finding WHERE key LIKE 'refused/%%'"))
    pg.run("SELECT objectlink.resolve(%s, 'delete')", finding(pg, "strange"))
    eventually(lambda: not bucket.exists("strange"), 30)
    assert bucket.keys("refused/") == refused and pg.value("SELECT count(*) FROM objectlink.object WHERE key LIKE 'refused/%%'") == 0


def test_an_orphan_that_is_gone_is_resolved(stored):
    pg, bucket = stored.pg, stored.bucket
    bucket.put("strange", b"x")
    settle_clock(bucket)
    reconcile(pg), reconcile(pg)
    bucket.delete("strange")
    pg.run("SELECT objectlink.resolve(%s, 'delete')", finding(pg, "strange"))
    stored.sync()
    assert findings(pg, "resolved") == {("strange", "orphan"): "resolved"} and pg.state("strange") is None


@pytest.mark.parametrize("by", ["trigger", "behind"])
def test_an_orphan_that_a_row_links_by_now_stays(stored, by):
    pg, bucket = stored.pg, stored.bucket
    stored.upload("strange", b"x")
    settle_clock(bucket)
    reconcile(pg), reconcile(pg)
    session = pg.connect(autocommit=False)
    session.cursor().execute("INSERT INTO document (file) VALUES ('s3://docs/strange')") if by == "trigger" else None
    if by == "behind":
        behind_the_triggers(pg, "INSERT INTO document (file) VALUES ('s3://docs/strange')")
    pg.run("SELECT objectlink.resolve(%s, 'delete')", finding(pg, "strange"))
    if by == "trigger":
        eventually(lambda: pg.state("strange") in ("unlinked", "deleting"))
        always(lambda: bucket.exists("strange"), 1)
        session.commit()
    session.close()
    eventually(lambda: pg.state("strange") == "stored", 60)
    stored.assert_in_step()


def test_an_orphan_that_is_put_meanwhile_is_not_touched(stored):
    pg, bucket = stored.pg, stored.bucket
    stored.upload("strange", content_of("strange"))
    settle_clock(bucket)
    reconcile(pg), reconcile(pg)
    orphan = finding(pg, "strange")
    stored.put(["strange"])
    stored.sync()
    pg.run("SELECT objectlink.resolve(%s, 'delete')", orphan)
    stored.sync()
    assert pg.state("strange") == "stored"
    stored.assert_in_step()


def test_all_of_a_kind_at_once(stored):
    pg, bucket = stored.pg, stored.bucket
    for number in range(5):
        bucket.put(f"strange/{number}", b"x")
        bucket.put(f"kept/{number}", b"x")
    settle_clock(bucket)
    reconcile(pg), reconcile(pg)
    everything = "SELECT objectlink.resolve_all('delete', 'docs', kind => 'orphan', prefix => 'strange/'"
    assert pg.value(everything + ")") == 5
    stored.sync()
    assert len(bucket.keys("strange/")) == 5, "a dry run is the default"
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded):
        pg.run(everything + ", at_most => 4, dry_run => false)")
    assert pg.value(everything + ", dry_run => false)") == 5
    stored.sync()
    assert bucket.keys("strange/") == [] and len(bucket.keys("kept/")) == 5
    for wrong in ("'delete', 'docs'", "'destroy', 'docs', kind => 'orphan'", "'delete', 'docs', kind => 'missing'", "NULL, 'docs', kind => 'orphan'"):
        with pytest.raises(psycopg2.errors.InvalidParameterValue):
            pg.run(f"SELECT objectlink.resolve_all({wrong})")


def test_too_many_repairs_wait_for_a_person(stored):
    pg, bucket = stored.pg, stored.bucket
    for number in range(8):
        bucket.delete(f"a/{number:02}")
    run = reconcile(pg, mode="repair", page_size=5, repair_limit=5)
    assert run.state == "paused" and "repair_limit is 5" in run.pause_reason
    assert sum(state == "missing" for state in pg.states().values()) <= 5
    pg.run("SELECT objectlink.resume_run(%s)", run.id)
    pg.run("CALL objectlink.wait_for_run(%s, '30 seconds')", run.id)
    assert pg.value("SELECT state FROM objectlink.runs WHERE id = %s", run.id) == "done"
    assert sum(state == "missing" for state in pg.states().values()) == 8


def test_a_lost_page_of_rows_is_braked_by_its_share(documents, daemon):
    """120 of 300 is fewer than the absolute limit, and far more than a tenth."""
    pg, bucket = documents.pg, documents.bucket
    documents.put([f"a/{number:03}" for number in range(300)], size=1)
    documents.sync()
    behind_the_triggers(pg, "DELETE FROM document WHERE id <= 120")
    assert reconcile(pg, mode="repair").state == "done"
    run = reconcile(pg, mode="repair")
    assert run.state == "paused" and "repair_limit_share" in run.pause_reason
    documents.sync()
    assert set(pg.states().values()) == {"stored"}


def test_a_report_of_a_bucket_that_was_emptied_shows_in_few_rows(pg, documents, daemon):
    """All of it is found. What a run shows of it to everybody stays within the limits, until somebody has looked and lets a repair go on."""
    pg.run("ALTER TABLE document ADD status text; SELECT objectlink.detach('document', 'file')")
    pg.run("SELECT objectlink.attach('document', 'file', status_column => 'status', status_map => '{\"missing\": \"ERROR\", \"stored\": \"READY\"}')")
    keys = documents.put([f"a/{number:02}" for number in range(20)])
    documents.sync()

    def errors():
        pg.wait_for_sync()
        return pg.value("SELECT count(*) FROM document WHERE status = 'ERROR'")

    for key in keys:
        documents.bucket.delete(key)
    for _ in range(2):
        run = reconcile(pg, page_size=5, repair_limit=7)
        # A page is marked as a whole or not at all, and an empty listing is one.
        assert (run.state, run.found, run.repaired) == ("done", {"missing": 20}, 0)
        assert "not all that is missing or corrupt is shown by states and status columns: at least" in run.notes and "repair_limit is 7" in run.notes
        assert findings(pg) == {(key, "missing"): "open" for key in keys}
        assert errors() == 0 and set(pg.states().values()) == {"stored"}
        problem, = pg.run("SELECT * FROM objectlink.problems")
        assert (problem.severity, problem.what) == ("error", "missing objects, not shown") and problem.detail.startswith("20 objects")
    for key in keys[15:]:
        documents.bucket.put(key, content_of(key))
    run = reconcile(pg, page_size=5, mode="repair", repair_limit=100)
    assert run.state == "done" and run.notes is None
    assert errors() == 15
    assert [problem.what for problem in pg.run("SELECT what FROM objectlink.problems")] == ["objects missing"]
    # What was within them is shown by a report too.
    documents.bucket.delete("a/19")
    assert reconcile(pg, repair_limit=1).notes is None
    assert errors() == 16
    assert findings(pg) == {(key, "missing"): "open" for key in keys[:15] + keys[19:]}


def test_a_report_repairs_nothing(stored):
    pg = stored.pg
    behind_the_triggers(pg, "DELETE FROM document WHERE file = 's3://docs/a/03'", "INSERT INTO document (file) VALUES ('s3://docs/a/03x')")
    stored.upload("a/03x", b"x")
    settle_clock(stored.bucket)
    for _ in range(3):
        reconcile(pg)
        stored.sync()
    assert findings(pg) == {("a/03", "unreferenced"): "open", ("a/03x", "unregistered"): "open"}
    assert pg.state("a/03") == "stored" and pg.state("a/03x") is None
    pg.run("SELECT objectlink.resolve(%s, 'repair')", finding(pg, "a/03x"))
    stored.sync()
    assert pg.state("a/03x") == "stored"
