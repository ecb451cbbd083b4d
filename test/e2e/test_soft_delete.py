"""Goal: a row that is marked as deleted loses its object; one whose mark is taken away in time keeps it; late, that is seen.
Method: real daemon, real store; the rows stay, and only a column of theirs is written.
"""
import pytest

from harness.documents import content_of
from harness.postgres import run
from harness.runs import findings, reconcile, settle_clock
from harness.waiting import eventually


@pytest.fixture
def papers(documents):
    documents.pg.run("CREATE TABLE paper (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, file objectlink.storage_ref, deleted_at timestamptz)")
    documents.pg.run("SELECT objectlink.attach('paper', 'file', soft_delete_column => 'deleted_at')")
    return documents


def put(documents, keys):
    for key in keys:
        documents._contents[key] = content_of(key)
        documents.pg.run("INSERT INTO paper (file) VALUES (objectlink.put('docs', %s, key => %s))", content_of(key).decode(), key)
    documents.sync()


def mark(documents, keys, value="now()"):
    documents.pg.run(f"UPDATE paper SET deleted_at = {value} WHERE objectlink.key(file) = ANY (%s)", list(keys))


def test_marked_rows_lose_their_objects_and_stay(papers, daemon):
    put(papers, ["a", "b", "c"])
    before = papers.pg.run("SELECT id, file FROM paper ORDER BY id")
    mark(papers, ["a", "b"])
    papers.sync()
    papers.assert_bucket({"c"})
    assert papers.pg.run("SELECT id, file FROM paper ORDER BY id") == before
    assert [tuple(row) for row in papers.pg.run("SELECT key, act, row_key ->> 'id' FROM objectlink.erasures ORDER BY key")] == [
        ("a", "soft delete", "1"), ("b", "soft delete", "2")]
    # what becomes of such a row afterwards says nothing
    papers.pg.run("DELETE FROM paper WHERE deleted_at IS NOT NULL")
    papers.sync()
    papers.assert_bucket({"c"})
    assert papers.pg.states() == {"c": "stored"}


def test_mark_taken_away_within_the_retention(papers, proxy, daemon):
    papers.pg.run("ALTER SERVER docs OPTIONS (ADD retention '1 hour')")
    put(papers, ["a", "b"])
    proxy.forget()
    mark(papers, ["a", "b"])
    papers.sync()
    assert papers.pg.states() == {"a": "unlinked", "b": "unlinked"}
    mark(papers, ["a"], "NULL")
    papers.sync()
    assert papers.pg.states() == {"a": "stored", "b": "unlinked"}
    assert proxy.operations() == []
    papers.assert_bucket({"a", "b"})


def test_mark_taken_away_when_the_object_is_gone(papers, daemon):
    """The row is alive again and has no object: nobody may believe otherwise."""
    pg = papers.pg
    pg.run("ALTER TABLE paper ADD status text")
    pg.run("SELECT objectlink.alter_attachment('paper', 'file', max_attempts => 2, status_column => 'status', on_upload_failure => 'delete_row')")
    put(papers, ["a", "b"])
    mark(papers, ["a"])
    papers.sync()
    papers.assert_bucket({"b"})
    mark(papers, ["a"], "NULL")
    papers.refer(["never"])
    papers.sync()
    # Whoever takes a mark away wants the row: its upload has not failed, so it is not taken for one whose upload has.
    assert pg.states() == {"a": "missing", "b": "stored", "never": "failed"}
    eventually(lambda: pg.run("SELECT status FROM paper WHERE objectlink.key(file) = 'a'") == [("missing",)])
    assert [row.key for row in pg.run("SELECT key FROM objectlink.dead_letters")] == ["never"]
    event = pg.events("a")[-1]
    assert (event.from_state, event.to_state, event.detail["code"]) == ("pending", "missing", "NoSuchKey")
    assert pg.run("SELECT severity, store FROM objectlink.problems WHERE what = 'objects missing'") == [("error", "docs")]
    # Put back from a backup it is found by the next run.
    papers.upload("a", content_of("a"))
    settle_clock(papers.bucket)
    reconcile(pg)
    papers.sync()
    assert pg.state("a") == "stored"
    eventually(lambda: pg.run("SELECT status FROM paper WHERE objectlink.key(file) = 'a'") == [("stored",)])


def test_mark_taken_away_when_nothing_is_left_of_the_object_s_end(papers, daemon):
    """Events and erasure records are purged; a policy that deletes the rows of failed uploads must not take the row for one of these."""
    pg = papers.pg
    pg.run("SELECT objectlink.alter_attachment('paper', 'file', max_attempts => 2, on_upload_failure => 'delete_row')")
    put(papers, ["a"])
    mark(papers, ["a"])
    papers.sync()
    papers.assert_bucket(set())
    pg.run("SELECT objectlink.purge_events('infinity')")
    assert pg.run("SELECT objectlink.purge_erasures('infinity')") == [(1,)]
    mark(papers, ["a"], "NULL")
    papers.sync()
    assert pg.states() == {"a": "missing"}
    assert [(event.from_state, event.to_state) for event in pg.events("a")] == [(None, "pending"), ("pending", "missing")]
    assert pg.run("SELECT severity, store FROM objectlink.problems WHERE what = 'objects missing'") == [("error", "docs")]
    assert pg.run("SELECT deleted_at FROM paper") == [(None,)]
    # Who has the row and not the object lets it go, or puts it back: by a row, it is an upload like any other.
    mark(papers, ["a"])
    papers.sync()
    assert pg.states() == {}


def test_another_column_marks_the_rows_from_now_on(papers, make_daemon):
    """What was marked by the old one is alive again, what is marked by the new one alone is held until a person lets it go."""
    pg = papers.pg
    daemon = make_daemon()
    pg.run("ALTER TABLE paper ADD gone boolean; ALTER SERVER docs OPTIONS (ADD retention '1 hour')")
    put(papers, ["was marked", "is marked", "both", "neither", "rests"])
    mark(papers, ["was marked", "both", "rests"])
    pg.run("UPDATE paper SET gone = true WHERE objectlink.key(file) IN ('is marked', 'both')")
    papers.sync()
    assert pg.states() == {"was marked": "unlinked", "is marked": "stored", "both": "unlinked", "neither": "stored", "rests": "unlinked"}
    daemon.stop()
    pg.run("SELECT objectlink.alter_attachment('paper', 'file', soft_delete_column => 'gone')")
    # Before anybody has walked over the rows; one is not due, so nobody asks about it but the walk.
    pg.run("SELECT objectlink.expedite_deletions('docs', key => k) FROM unnest('{was marked,both}'::text[]) k")
    daemon.start()
    papers.sync()
    assert pg.states() == {"was marked": "stored", "is marked": "unlinked", "neither": "stored", "rests": "stored"}
    papers.assert_bucket({"was marked", "is marked", "neither", "rests"})
    assert [(event.key, event.cause) for event in pg.run("SELECT key, cause FROM objectlink.events WHERE to_state = 'unlinked' AND cause <> 'unlink'")] == [("is marked", "policy changed")]
    problem, = pg.run("SELECT * FROM objectlink.problems WHERE what = 'objects held'")
    assert "marked as deleted by column gone" in problem.detail
    pg.run("SELECT " + problem.remedy.partition("SELECT ")[2])
    pg.run("SELECT objectlink.expedite_deletions('docs')")
    pg.run("ALTER SERVER docs OPTIONS (SET retention '0')")
    pg.run("UPDATE paper SET gone = true WHERE objectlink.key(file) = 'neither'")
    papers.sync()
    papers.assert_bucket({"was marked", "rests"})


def test_another_row_that_is_not_marked_keeps_the_object(papers, daemon):
    put(papers, ["a"])
    papers.pg.run("INSERT INTO paper (file) SELECT file FROM paper")
    papers.refer(["a"])
    for statement in ["UPDATE paper SET deleted_at = now() WHERE id = 1", "UPDATE paper SET deleted_at = now() WHERE id = 2"]:
        papers.pg.run(statement)
        papers.sync()
        papers.assert_bucket({"a"})
        assert papers.pg.states() == {"a": "stored"}
    papers.delete(["a"])
    papers.sync()
    papers.assert_bucket(set())


def test_attached_late_marked_rows_are_not_linked_and_a_run_finds_their_objects(documents, daemon):
    pg = documents.pg
    pg.run("CREATE TABLE paper (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, file objectlink.storage_ref, gone boolean)")
    for key in ["alive", "marked"]:
        documents.upload(key, content_of(key))
        pg.run("INSERT INTO paper (file, gone) VALUES (objectlink.storage_ref('docs', %s), %s)", key, key == "marked")
    pg.run("SELECT objectlink.attach('paper', 'file', soft_delete_column => 'gone')")
    documents.sync()
    assert pg.states() == {"alive": "stored"}
    documents.assert_bucket({"alive", "marked"})
    pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    settle_clock(documents.bucket)
    reconcile(pg)
    assert findings(pg) == {("marked", "orphan"): "suspected"}


@pytest.fixture
def restored(documents):
    """Marks are taken back, also of chunks; words have no mark and go by a cascade."""
    pg = documents.pg
    pg.run("ALTER SERVER docs OPTIONS (ADD max_attempts '2')")
    pg.run("CREATE TABLE paper (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, file objectlink.storage_ref, deleted_at timestamptz)")
    pg.run("CREATE TABLE chunk (id int PRIMARY KEY, paper int REFERENCES paper ON DELETE CASCADE, deleted_at timestamptz)")
    pg.run("CREATE TABLE word (chunk int REFERENCES chunk ON DELETE CASCADE, word text)")
    pg.run("SELECT objectlink.attach('paper', 'file', soft_delete_column => 'deleted_at', on_delete_failure => 'restore_row', related => '{chunk,word}')")
    return documents


def fill(documents):
    put(documents, ["locked/a", "free/b"])
    documents.pg.run("INSERT INTO chunk SELECT p * 10 + n, p, CASE WHEN n = 3 THEN timestamptz '2020-01-01' END FROM generate_series(1, 2) p, generate_series(1, 3) n")
    documents.pg.run("INSERT INTO word SELECT id, 'w' FROM chunk")


def refuse(proxy):
    return [proxy.delete_errors("^locked/", code="AccessDenied", times=None),
            proxy.answer(403, code="AccessDenied", method="DELETE", path="locked/", times=None)]


def rows(pg):
    """Each paper with its mark, and the chunks of it that are not marked."""
    return {row.key: (row.marked, row.chunks) for row in pg.run(
        "SELECT objectlink.key(p.file) AS key, p.deleted_at IS NOT NULL AS marked,"
        " count(c.id) FILTER (WHERE c.deleted_at IS NULL) AS chunks FROM paper p LEFT JOIN chunk c ON c.paper = p.id GROUP BY p.id")}


def mark_all(pg):
    pg.run("UPDATE chunk SET deleted_at = now() WHERE deleted_at IS NULL; UPDATE paper SET deleted_at = now()")


def others_can_be_deleted(documents):
    """The store does for others what it refuses here: it is this object's own trouble."""
    documents.delete(documents.put_fresh(1))


def test_a_deletion_that_is_refused_takes_the_marks_back(restored, proxy, daemon):
    pg = restored.pg
    fill(restored)
    rules = refuse(proxy)
    mark_all(pg)

    def taken_back():
        others_can_be_deleted(restored)
        return rows(pg) == {"locked/a": (False, 2), "free/b": (True, 0)}

    eventually(taken_back, 60)
    restored.sync()
    assert pg.states() == {"locked/a": "stored"}
    restored.assert_bucket({"locked/a"})
    assert pg.value("SELECT detail -> 'counts' FROM objectlink.events WHERE cause = 'rows restored'") == {"public.paper": 1, "public.chunk": 2}
    assert pg.run("SELECT * FROM objectlink.dead_letters") == []
    assert pg.run("SELECT * FROM objectlink.deleted_row") == []
    for rule in rules:
        proxy.remove(rule)
    mark_all(pg)
    restored.sync()
    assert rows(pg) == {"locked/a": (True, 0), "free/b": (True, 0)}
    restored.assert_bucket(set())


def test_a_chunk_that_is_gone_is_a_critical_event_and_nothing_is_half_done(restored, proxy, daemon):
    pg = restored.pg
    fill(restored)
    refuse(proxy)
    mark_all(pg)
    pg.run("DELETE FROM chunk WHERE id = 11")

    def reported():
        others_can_be_deleted(restored)
        return pg.run("SELECT 1 FROM objectlink.events WHERE cause = 'rows not compensated' AND detail ->> 'severity' = 'critical'")

    eventually(reported, 60)
    assert rows(pg) == {"locked/a": (True, 0), "free/b": (True, 0)}
    assert pg.run("SELECT 1 FROM objectlink.problems WHERE what = 'rows not compensated' AND detail LIKE '%%only 1 of 2 rows of public.chunk%%'")
    assert [row.key for row in pg.run("SELECT key FROM objectlink.dead_letters")] == ["locked/a"]
    restored.assert_bucket({"locked/a"})
    pg.run("INSERT INTO chunk VALUES (11, 1, now())")
    assert pg.value("SELECT objectlink.restore_rows('docs', 'locked/a')") == 3
    restored.sync()
    assert rows(pg)["locked/a"] == (False, 2)
    assert pg.states() == {"locked/a": "stored"}
    assert pg.run("SELECT * FROM objectlink.problems WHERE what = 'rows not compensated'") == []


def test_killed_before_the_marks_are_back(restored, proxy, make_daemon):
    daemon = make_daemon()
    fill(restored)
    refuse(proxy)
    user = restored.pg.connect(autocommit=False)
    mark_all(restored.pg)
    run(user, "LOCK TABLE chunk IN SHARE MODE")

    def waits():
        others_can_be_deleted(restored)
        return restored.pg.run("SELECT 1 FROM objectlink.row_work WHERE error_code = '55P03'")

    eventually(waits, 60)
    daemon.kill()
    assert rows(restored.pg)["locked/a"] == (True, 0)
    user.commit()
    make_daemon()
    eventually(lambda: rows(restored.pg)["locked/a"] == (False, 2), 60)
    restored.sync()
    restored.assert_bucket({"locked/a"})
