"""Goal: what nobody links is moved aside and back without ever being without a proved copy, and what is linked or changed meanwhile stays.
Method: orphans by boto3, runs of mode quarantine and resolve(); a proxy that stops, refuses or kills between the steps; the bucket is compared byte by byte."""
import psycopg2
import pytest

from harness.documents import content_of
from harness.runs import findings, reconcile, settle_clock
from harness.standstill import HeldRequest
from harness.waiting import always, eventually

PLACE = ".objectlink/quarantine/"


@pytest.fixture
def stored(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    documents.put([f"a/{number}" for number in range(20)])
    documents.sync()
    return documents


def orphans(stored, **contents):
    """Objects that nobody links, found by two runs; returns {key: id of its finding}."""
    pg, bucket = stored.pg, stored.bucket
    for key, content in contents.items():
        stored.upload(key, content)
    settle_clock(bucket)
    reconcile(pg), reconcile(pg)
    return {row.key: row.id for row in pg.run("SELECT id, key FROM objectlink.findings WHERE kind = 'orphan' AND status = 'open'")}


def copies(bucket):
    """{key without its place: content}"""
    return {key[len(PLACE) + 37:]: bucket.get(key) for key in bucket.keys(PLACE, own=True)}


def entries(pg):
    return {row.key: row for row in pg.run("SELECT * FROM objectlink.quarantined")}


def test_there_and_back(stored):
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"nobody's")
    before = bucket.head("strange")
    pg.run("SELECT objectlink.resolve(%s, 'quarantine', 'case 4711')", found["strange"])
    stored.sync()
    assert not bucket.exists("strange") and copies(bucket) == {"strange": b"nobody's"}
    entry = entries(pg)["strange"]
    assert (entry.state, entry.bytes, entry.reason, entry.requested_by) == ("held", 8, "case 4711", pg.cluster.superuser)
    assert bucket.exists(entry.copy_key) and entry.last_error is None and entry.since is not None
    assert pg.value("SELECT act FROM objectlink.erasures WHERE key = 'strange'") == "quarantine"
    assert pg.value("SELECT resolution FROM objectlink.findings WHERE id = %s", found["strange"]).startswith("moved to quarantine")
    # It is no finding, neither here nor there.
    reconcile(pg), reconcile(pg)
    assert findings(pg) == {}
    pg.run("SELECT objectlink.resolve(%s, 'restore')", found["strange"])
    stored.sync()
    assert bucket.get("strange") == b"nobody's" and bucket.head("strange")["ETag"] == before["ETag"]
    assert copies(bucket) == {} and entries(pg) == {}
    # Back, it is an orphan as before, and nothing that was deleted and should go again.
    settle_clock(bucket)
    reconcile(pg, mode="repair"), reconcile(pg, mode="repair")
    assert findings(pg) == {("strange", "orphan"): "open"}
    stored.refer(["strange"])
    stored.sync()
    stored.assert_in_step()
    assert [event.cause for event in pg.events("strange") if "quarantine" in event.cause] == [
        "quarantine of a finding", "quarantine confirmed", "quarantined", "release of quarantine", "quarantine released", "quarantine ended"]


def test_a_run_moves_open_orphans_and_nothing_else(stored):
    pg, bucket = stored.pg, stored.bucket
    pg.run("ALTER TABLE document DISABLE TRIGGER USER")
    pg.run("DELETE FROM document WHERE file = 's3://docs/a/3'")
    orphans(stored, one=b"1", two=b"2")
    bucket.put("young", b"seen once")
    settle_clock(bucket)
    assert reconcile(pg, mode="quarantine").repaired == 2
    stored.sync()
    assert copies(bucket) == {"one": b"1", "two": b"2"} and bucket.exists("young")
    assert pg.state("a/3") == "stored"
    reconcile(pg)
    assert findings(pg) == {("a/3", "unreferenced"): "open", ("young", "orphan"): "open"}
    run = reconcile(pg, mode="quarantine", repair_limit=0)
    assert run.state == "paused" and bucket.exists("young")


def test_a_purge_is_asked_for_and_says_first_what_it_would_do(stored):
    pg, bucket = stored.pg, stored.bucket
    orphans(stored, one=b"1", two=b"22")
    pg.run("SELECT objectlink.resolve_all('quarantine', 'docs', kind => 'orphan', dry_run => false)")
    stored.sync()
    assert pg.run("SELECT * FROM objectlink.purge_quarantine('1 hour', dry_run => false)") == []
    assert [tuple(row) for row in pg.run("SELECT * FROM objectlink.purge_quarantine('0')")] == [("docs", 2, 3)]
    with pytest.raises(psycopg2.errors.ProgramLimitExceeded):
        pg.run("SELECT objectlink.purge_quarantine('0', at_most => 1, dry_run => false)")
    assert len(copies(bucket)) == 2
    pg.run("SELECT objectlink.hold_deletions('docs')")
    pg.run("SELECT objectlink.purge_quarantine('0', 'docs', prefix => 'one', dry_run => false, reason => 'old')")
    eventually(lambda: entries(pg)["one"].last_error)
    assert len(copies(bucket)) == 2, "what is held is held"
    pg.run("SELECT objectlink.release_deletions('docs')")
    eventually(lambda: set(entries(pg)) == {"two"}, 30)
    assert copies(bucket) == {"two": b"22"}
    record = pg.run("SELECT key, act, unlinked_by, size FROM objectlink.erasures WHERE act = 'purge of quarantine'")[0]
    assert record.key.endswith("/one") and (record.unlinked_by, record.size) == (pg.cluster.superuser, 1)
    assert pg.value("SELECT bool_and(intact) FROM objectlink.verify_erasures()")


def test_nothing_is_put_over_what_lies_there(stored):
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"old")
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    stored.sync()
    bucket.put("strange", b"new")
    pg.run("SELECT objectlink.release_quarantine(%s)", entries(pg)["strange"].id)
    eventually(lambda: (entries(pg)["strange"].last_error or "").startswith("not released"))
    assert bucket.get("strange") == b"new" and copies(bucket) == {"strange": b"old"} and entries(pg)["strange"].state == "held"


def test_changed_before_it_is_copied(stored):
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"old")
    bucket.put("strange", b"new")
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    eventually(lambda: entries(pg) == {}, 30)
    assert bucket.get("strange") == b"new" and copies(bucket) == {}
    row = pg.run("SELECT status, resolution FROM objectlink.findings WHERE id = %s", found["strange"])[0]
    assert row.status == "suspected" and "something else" in row.resolution


def test_gone_before_it_is_copied(stored):
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"old")
    bucket.delete("strange")
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    eventually(lambda: entries(pg) == {}, 30)
    assert findings(pg) == {} and copies(bucket) == {}


def test_linked_after_it_was_copied(stored):
    """The row comes between copy and deletion, and the deletion asks the rows."""
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"wanted after all")
    session = pg.connect(autocommit=False)
    session.cursor().execute("INSERT INTO document (file) VALUES ('s3://docs/strange')")
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    eventually(lambda: pg.state("strange") in ("unlinked", "deleting"), 30)
    assert copies(bucket) == {"strange": b"wanted after all"}
    always(lambda: bucket.exists("strange"), 1)
    session.commit()
    session.close()
    eventually(lambda: pg.state("strange") == "stored" and entries(pg) == {}, 90)
    assert copies(bucket) == {}
    stored.sync()
    stored.assert_in_step()


WAY_THERE = {"copy": {"method": "PUT", "path": PLACE}, "deletion": {"method": "DELETE", "path": "/strange$", "own": False}}
WAY_BACK = {"copy": {"method": "PUT", "path": "/strange$", "own": False}, "deletion": {"method": "DELETE", "path": PLACE}}


def kill_at(stored, daemon, proxy, request, after, under_way):
    """Call what leads to the request in between."""
    held = HeldRequest(proxy, after=after, **request)
    yield
    held.reached()
    daemon.kill()
    held.lose() if under_way == "lost" else held.go_on()
    assert b"nobody's" in {*copies(stored.bucket).values(), stored.bucket.exists("strange") and stored.bucket.get("strange")}
    daemon.start()
    yield


@pytest.mark.parametrize("under_way", ["lost", "done"])
@pytest.mark.parametrize("step", WAY_THERE)
def test_killed_on_the_way_there(stored, daemon, proxy, step, under_way):
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"nobody's")
    killing = kill_at(stored, daemon, proxy, WAY_THERE[step], under_way == "done", under_way)
    next(killing)
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    next(killing)
    eventually(lambda: "strange" in entries(pg) and entries(pg)["strange"].state == "held", 60)
    assert not bucket.exists("strange") and copies(bucket) == {"strange": b"nobody's"}


@pytest.mark.parametrize("under_way", ["lost", "done"])
@pytest.mark.parametrize("step", WAY_BACK)
def test_killed_on_the_way_back(stored, daemon, proxy, step, under_way):
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"nobody's")
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    stored.sync()
    killing = kill_at(stored, daemon, proxy, WAY_BACK[step], under_way == "done", under_way)
    next(killing)
    pg.run("SELECT objectlink.resolve(%s, 'restore')", found["strange"])
    next(killing)
    eventually(lambda: entries(pg) == {}, 60)
    assert bucket.get("strange") == b"nobody's" and copies(bucket) == {}


def test_a_copy_that_is_not_proved_is_none(stored, proxy):
    """The store says that it has copied, and has not."""
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"nobody's")
    lie = proxy.answer(200, body=b"<CopyObjectResult><ETag>&quot;x&quot;</ETag></CopyObjectResult>", method="PUT", path=PLACE, times=None)
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    eventually(lambda: (entries(pg)["strange"].last_error or "").startswith("the store confirmed the copy"))
    assert pg.state("strange") is None and bucket.exists("strange")
    assert pg.value("SELECT what FROM objectlink.problems WHERE what = 'quarantine'")
    proxy.rules.remove(lie)
    eventually(lambda: entries(pg)["strange"].state == "held", 60)
    assert copies(bucket) == {"strange": b"nobody's"}


def test_what_the_store_does_not_copy_stays_where_it_is(stored, proxy):
    pg, bucket = stored.pg, stored.bucket
    found = orphans(stored, strange=b"nobody's")
    proxy.answer(403, code="AccessDenied", method="PUT", path=PLACE, times=None)
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    eventually(lambda: entries(pg)["strange"].last_error)
    pg.run("UPDATE objectlink.quarantine SET attempts = 9, due_at = now()")
    eventually(lambda: entries(pg) == {}, 30)
    assert bucket.get("strange") == b"nobody's"
    row = pg.run("SELECT status, resolution FROM objectlink.findings WHERE id = %s", found["strange"])[0]
    assert row.status == "open" and "AccessDenied" in row.resolution


def test_multipart_objects_and_long_keys(stored):
    """Whose ETag is not that of a copy; whose key leaves no room for the place."""
    pg, bucket = stored.pg, stored.bucket
    content = content_of("big", 6 << 20)
    long_key = "k" * 1024
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key="big")["UploadId"]
    parts = [{"PartNumber": number, "ETag": bucket.client.upload_part(Bucket=bucket.name, Key="big", UploadId=upload, PartNumber=number, Body=part)["ETag"]}
             for number, part in enumerate((content[:5 << 20], content[5 << 20:]), 1)]
    bucket.client.complete_multipart_upload(Bucket=bucket.name, Key="big", UploadId=upload, MultipartUpload={"Parts": parts})
    bucket.put(long_key, b"long")
    orphans(stored)
    pg.run("SELECT objectlink.resolve_all('quarantine', 'docs', kind => 'orphan', dry_run => false)")
    stored.sync()
    assert not bucket.exists("big") and not bucket.exists(long_key)
    for key in ("big", long_key):
        pg.run("SELECT objectlink.release_quarantine(%s)", entries(pg)[key].id)
    stored.sync()
    assert bucket.get("big") == content and bucket.get(long_key) == b"long" and bucket.keys(PLACE, own=True) == []


def test_in_a_versioned_bucket_no_version_of_a_copy_is_forgotten(stored):
    pg, bucket = stored.pg, stored.bucket
    bucket.client.put_bucket_versioning(Bucket=bucket.name, VersioningConfiguration={"Status": "Enabled"})
    found = orphans(stored, strange=b"nobody's")
    pg.run("SELECT objectlink.resolve(%s, 'quarantine')", found["strange"])
    stored.sync()
    assert not bucket.exists("strange") and copies(bucket) == {"strange": b"nobody's"}
    bucket.client.put_object(Bucket=bucket.name, Key=entries(pg)["strange"].copy_key, Body=b"nobody's")
    pg.run("SELECT objectlink.purge_quarantine('0', dry_run => false)")
    eventually(lambda: entries(pg) == {}, 60)
    left = bucket.client.list_object_versions(Bucket=bucket.name, Prefix=PLACE)
    assert not left.get("Versions") and not left.get("DeleteMarkers")
