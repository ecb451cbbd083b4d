"""Goal: what lies in a bucket beside its objects is found: uploads in parts that nobody has ended, versions that are not current, markers that hide nothing; and
goes only when it is still that, by its own id, and never something that is in use.
Method: boto3 begins uploads and writes versions behind objectlink's back; runs, repairs and resolve(); the bucket is listed by boto3."""
import psycopg2
import pytest

from harness.documents import content_of
from harness.runs import findings, reconcile, settle_clock
from harness.waiting import always, eventually

PART = b"p" * (5 << 20)


@pytest.fixture
def stored(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0', ADD upload_grace '0')")
    documents.put([f"a/{number}" for number in range(4)])
    documents.sync()
    return documents


def begin_upload(bucket, key, part=None):
    upload = bucket.client.create_multipart_upload(Bucket=bucket.name, Key=key)["UploadId"]
    if part:
        bucket.client.upload_part(Bucket=bucket.name, Key=key, UploadId=upload, PartNumber=1, Body=part)
    return upload


def finding(pg, key, kind):
    return pg.value("SELECT id FROM objectlink.findings WHERE key = %s AND kind = %s AND status <> 'resolved'", key, kind)


def states(pg, kind):
    return sorted((row.key, row.item, row.status) for row in pg.run(
        "SELECT key, item, status FROM objectlink.findings WHERE kind = %s AND status <> 'resolved'", kind))


class TestUploads:
    def test_what_nobody_has_ended_is_found_and_aborted(self, stored):
        pg, bucket = stored.pg, stored.bucket
        first = begin_upload(bucket, "big/1", part=b"x")
        second = begin_upload(bucket, "big/1")
        of_ours = begin_upload(bucket, "a/1")
        settle_clock(bucket)
        assert reconcile(pg).found == {"stale_upload": 3}
        expected = sorted([("big/1", first), ("big/1", second), ("a/1", of_ours)])
        assert states(pg, "stale_upload") == [(*one, "suspected") for one in expected]
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="only suspected"):
            pg.run("SELECT objectlink.resolve(%s, 'abort')", finding(pg, "a/1", "stale_upload"))
        reconcile(pg)
        assert states(pg, "stale_upload") == [(*one, "open") for one in expected]
        evidence = pg.value("SELECT evidence FROM objectlink.findings WHERE key = 'a/1'")
        assert evidence["upload_id"] == of_ours and evidence["initiated"]
        pg.run("SELECT objectlink.resolve(%s, 'abort', 'case 4711')", finding(pg, "a/1", "stale_upload"))
        stored.sync()
        assert sorted(bucket.unfinished_uploads()) == ["big/1", "big/1"]
        event = pg.run("SELECT cause, actor, request_id, detail FROM objectlink.events WHERE key = 'a/1' ORDER BY id DESC LIMIT 1")[0]
        assert event.cause == "stale_upload deleted" and event.request_id and event.detail["item"] == of_ours and event.detail["reason"] == "case 4711"
        assert reconcile(pg, mode="repair").repaired == 2
        stored.sync()
        assert bucket.unfinished_uploads() == []
        assert reconcile(pg).found == {} and findings(pg) == {}
        stored.assert_in_step()

    def test_young_ones_and_those_that_somebody_is_at_stay(self, stored):
        pg, bucket = stored.pg, stored.bucket
        pg.run("ALTER SERVER docs OPTIONS (SET upload_grace '1 hour')")
        begin_upload(bucket, "young")
        settle_clock(bucket)
        assert reconcile(pg).found == {} and findings(pg) == {}
        pg.run("ALTER SERVER docs OPTIONS (SET upload_grace '0')")
        reconcile(pg), reconcile(pg)
        pg.run("ALTER SERVER docs OPTIONS (SET upload_grace '1 hour')")
        # Begun long ago, it might be; but a part has just come in.
        bucket.client.upload_part(Bucket=bucket.name, Key="young", UploadId=states(pg, "stale_upload")[0][1], PartNumber=1, Body=b"x")
        pg.run("SELECT objectlink.resolve(%s, 'abort')", finding(pg, "young", "stale_upload"))
        stored.sync()
        assert bucket.unfinished_uploads() == ["young"]
        row = pg.run("SELECT status, resolution FROM objectlink.findings WHERE key = 'young'")[0]
        assert row.status == "suspected" and "a part of it came in lately" in row.resolution

    def test_the_daemons_own_uploads_are_never_touched(self, stored, proxy):
        pg, bucket = stored.pg, stored.bucket
        pg.run("ALTER SERVER docs OPTIONS (ADD multipart_threshold '5MB', ADD part_size '5MB')")
        gate = proxy.hold(method="PUT", query="partNumber=2")
        stored.put(["large"], size=11 << 20)
        gate.wait_reached()
        settle_clock(bucket)
        assert bucket.unfinished_uploads() == ["large"]
        for _ in range(3):
            assert reconcile(pg, mode="repair").found == {}
        assert bucket.unfinished_uploads() == ["large"]
        gate.open()
        stored.sync()
        assert bucket.unfinished_uploads() == []
        stored.assert_in_step()

    def test_one_that_was_found_and_is_completed_or_put_anew_is_not_aborted(self, stored):
        pg, bucket = stored.pg, stored.bucket
        upload = begin_upload(bucket, "done")
        part = bucket.client.upload_part(Bucket=bucket.name, Key="done", UploadId=upload, PartNumber=1, Body=b"x")
        begin_upload(bucket, "waited/for")
        settle_clock(bucket)
        reconcile(pg), reconcile(pg)
        bucket.client.complete_multipart_upload(Bucket=bucket.name, Key="done", UploadId=upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
        stored.refer(["waited/for"])
        eventually(lambda: pg.state("waited/for") == "pending")
        assert pg.value("SELECT objectlink.resolve_all('abort', 'docs', kind => 'stale_upload', dry_run => false)") == 2
        eventually(lambda: pg.value("SELECT count(*) FROM objectlink.findings WHERE delete_at IS NOT NULL") == 0, 30)
        assert bucket.get("done") == b"x" and bucket.unfinished_uploads() == ["waited/for"]
        assert {row.key: row.resolution for row in pg.run("SELECT key, resolution FROM objectlink.findings WHERE kind = 'stale_upload'")} == {
            "done": "the store no longer had it", "waited/for": "not deleted: its key is pending"}

    @pytest.mark.parametrize("answer", [dict(status=403, code="AccessDenied"), dict(status=501, code="NotImplemented"), dict(status=500, code="InternalError")], ids=["403", "501", "500"])
    def test_a_listing_that_is_refused_fails_no_run_and_closes_nothing(self, stored, proxy, answer):
        pg, bucket = stored.pg, stored.bucket
        upload = begin_upload(bucket, "big")
        settle_clock(bucket)
        reconcile(pg)
        status, code = answer["status"], answer["code"]
        proxy.answer(status, code=code, method="GET", query="uploads", own=None, times=None)
        bucket.delete("a/2")
        run = reconcile(pg)
        assert run.state == "done" and run.found == {"missing": 1} and code in run.notes and "uploads were not listed" in run.notes
        assert states(pg, "stale_upload") == [("big", upload, "suspected")]

    def test_page_by_page_and_by_another_daemon(self, stored, proxy, daemon):
        pg, bucket = stored.pg, stored.bucket
        for number in range(1005):
            begin_upload(bucket, f"many/{number:04}")
        settle_clock(bucket)
        gate = proxy.hold(method="GET", query="key-marker=many", own=None)
        run = pg.value("SELECT objectlink.reconcile_storage('docs')")
        gate.wait_reached()
        assert pg.value("SELECT phase FROM objectlink.reconcile_progress") == "listing uploads"
        daemon.kill()
        gate.open()
        daemon.start()
        pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
        assert pg.run("SELECT state, found, notes FROM objectlink.runs WHERE id = %s", run) == [("done", {"stale_upload": 1005}, None)]
        assert sum("uploads" in operation.query and "key-marker" not in operation.query for operation in proxy.operations(method="GET", query="uploads", own=None)) == 1
        assert reconcile(pg, mode="repair").state == "paused", "a repair of so many waits for a person"
        assert len(bucket.unfinished_uploads()) == 1000


class TestVersions:
    @pytest.fixture
    def stored(self, documents, bucket, make_daemon):
        bucket.set_versioning("Enabled")
        daemon = make_daemon(name="daemon")
        documents.pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
        documents.put([f"a/{number}" for number in range(4)])
        documents.sync()
        assert daemon.alive
        return documents

    def resolve(self, pg, key, kind, action="delete"):
        pg.run("SELECT objectlink.resolve(%s, %s, 'case 4711')", finding(pg, key, kind), action)

    def test_what_is_not_current_and_not_recorded_is_found_and_nothing_else(self, stored):
        pg, bucket = stored.pg, stored.bucket
        recorded = {key: version for key, version, _ in bucket.versions()}
        # Overwritten: the recorded version is not current any more, and is no stray.
        bucket.put("a/0", b"other")
        # Hidden by a marker; and put back, so that the marker is not current.
        bucket.delete("a/1")
        bucket.delete("a/2")
        bucket.put("a/2", content_of("a/2"))
        # Nobody's, twice, and one that was deleted by somebody: its marker hides a version.
        bucket.put("strange", b"1"), bucket.put("strange", b"2")
        bucket.put("hidden", b"1")
        bucket.delete("hidden")
        # A marker alone.
        bucket.delete("nothing")
        settle_clock(bucket)
        versions = bucket.versions()
        marker = {key: version for key, version, content in versions if content is None}
        first = {key: version for key, version, content in versions if content == b"1"}
        run = reconcile(pg)
        assert run.state == "done" and run.notes is None
        assert states(pg, "stray_version") == [("hidden", first["hidden"], "suspected"), ("strange", first["strange"], "suspected")]
        assert states(pg, "stray_marker") == [("a/2", marker["a/2"], "suspected"), ("nothing", marker["nothing"], "suspected")]
        assert reconcile(pg, mode="repair").state == "done"
        assert {row.status for row in pg.run("SELECT status FROM objectlink.findings WHERE kind LIKE 'stray%%'")} == {"open"}
        assert bucket.versions() == versions, "none goes by itself"
        for key, kind in (("hidden", "stray_version"), ("strange", "stray_version"), ("a/2", "stray_marker"), ("nothing", "stray_marker")):
            self.resolve(pg, key, kind)
        stored.sync()
        gone = {("hidden", first["hidden"]), ("strange", first["strange"]), ("a/2", marker["a/2"]), ("nothing", marker["nothing"])}
        left = {(key, version) for key, version, _ in versions} - gone
        assert {(key, version) for key, version, _ in bucket.versions()} == left
        assert set(recorded.items()) <= left
        event = pg.run("SELECT cause, actor, request_id, detail FROM objectlink.events WHERE key = 'strange' ORDER BY id DESC LIMIT 1")[0]
        assert event.cause == "stray_version deleted" and event.request_id and event.detail["item"] == first["strange"] and event.detail["size"] == 1
        reconcile(pg)
        # What was hidden is gone, so its marker hides nothing.
        assert states(pg, "stray_version") == [] and states(pg, "stray_marker") == [("hidden", marker["hidden"], "suspected")]

    def test_what_has_changed_since_it_was_found_stays(self, stored):
        pg, bucket = stored.pg, stored.bucket
        bucket.put("strange", b"1"), bucket.put("strange", b"2")
        bucket.put("linked", b"1"), bucket.put("linked", b"2")
        bucket.put("a/3", b"other"), bucket.put("a/3", b"another")
        bucket.delete("nothing")
        settle_clock(bucket)
        reconcile(pg), reconcile(pg)
        versions = bucket.versions()
        latest = next(version for key, version, content in versions if key == "strange" and content == b"2")
        # The only way back that does not make a new version: what was stray is current now.
        bucket.client.delete_object(Bucket=bucket.name, Key="strange", VersionId=latest)
        # A row whose triggers were off.
        pg.run("ALTER TABLE document DISABLE TRIGGER USER")
        pg.run("INSERT INTO document (file) VALUES ('s3://docs/linked')")
        pg.run("ALTER TABLE document ENABLE TRIGGER USER")
        # Of what is corrupt, any version may be the one to put back.
        assert pg.state("a/3") == "corrupt"
        assert pg.value("SELECT objectlink.resolve_all('delete', 'docs', kind => 'stray_version', dry_run => false)") == 3
        eventually(lambda: pg.value("SELECT count(*) FROM objectlink.findings WHERE delete_at IS NOT NULL") == 0, 30)
        assert {row.key: row.resolution for row in pg.run("SELECT key, resolution FROM objectlink.findings WHERE kind = 'stray_version'")} == {
            "strange": "not deleted: it is the current version by now", "linked": "not deleted: a row links its key, which is not known",
            "a/3": "not deleted: its object is corrupt"}
        assert bucket.versions() == [version for version in versions if version[1] != latest]

    def test_the_version_null_is_told_and_never_deleted(self, documents, bucket, make_daemon):
        pg = documents.pg
        pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
        make_daemon(name="daemon")
        documents.put(["ours"])
        documents.sync()
        bucket.put("strange", b"1")
        bucket.set_versioning("Enabled")
        bucket.put("ours", b"over it"), bucket.put("strange", b"2")
        settle_clock(bucket)
        reconcile(pg), reconcile(pg)
        # From before the bucket was versioned: nobody has written down an id, so what looks like it is it.
        assert states(pg, "stray_version") == [("strange", "null", "open")]
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match='id "null"'):
            self.resolve(pg, "strange", "stray_version")
        assert pg.value("SELECT objectlink.resolve_all('delete', 'docs', kind => 'stray_version', dry_run => false)") == 0
        assert len(bucket.versions("ours")) == len(bucket.versions("strange")) == 2

    def test_page_by_page_a_key_with_more_versions_than_a_page_included(self, stored):
        pg, bucket = stored.pg, stored.bucket
        for _ in range(7):
            bucket.put("many", b"x")
        for key in ("b/1", "b/2", "b/3"):
            bucket.delete(key)
        settle_clock(bucket)
        assert reconcile(pg, page_size=3).state == "done"
        versions = [version for _, version, _ in bucket.versions("many")]
        current = bucket.head("many")["VersionId"]
        assert sorted(item for _, item, _ in states(pg, "stray_version")) == sorted(version for version in versions if version != current)
        assert [key for key, _, _ in states(pg, "stray_marker")] == ["b/1", "b/2", "b/3"]

    def test_a_deletion_that_is_refused_is_given_up_in_the_end_and_hits_nothing_else(self, stored, proxy):
        pg, bucket = stored.pg, stored.bucket
        bucket.put("strange", b"1"), bucket.put("strange", b"2")
        settle_clock(bucket)
        reconcile(pg), reconcile(pg)
        versions = bucket.versions()
        proxy.answer(403, code="AccessDenied", method="DELETE", path="strange", times=None)
        self.resolve(pg, "strange", "stray_version")
        eventually(lambda: pg.value("SELECT looks_refused FROM objectlink.finding WHERE kind = 'stray_version'") > 0, 30)
        proxy.clear()
        eventually(lambda: states(pg, "stray_version") == [], 30)
        assert len(bucket.versions()) == len(versions) - 1
        stored.put(["later"])
        stored.sync()

    def test_held_deletions_wait_and_hang_nobody(self, stored):
        pg, bucket = stored.pg, stored.bucket
        bucket.put("strange", b"1"), bucket.put("strange", b"2")
        settle_clock(bucket)
        reconcile(pg), reconcile(pg)
        pg.run("SELECT objectlink.hold_deletions('docs')")
        self.resolve(pg, "strange", "stray_version")
        stored.sync()
        always(lambda: len(bucket.versions("strange")) == 2, 1)
        pg.run("SELECT objectlink.release_deletions('docs')")
        eventually(lambda: len(bucket.versions("strange")) == 1, 30)
