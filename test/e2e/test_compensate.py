"""Goal: what is given up is compensated as the table's owner asks, wholly or not at all, and nothing else is.
Method: real daemon, real store, a proxy that refuses uploads for good or only for a while; rows, events and bucket are the witness.
"""
import pytest

from harness.postgres import run
from harness.waiting import eventually


@pytest.fixture
def attach(documents):
    """Detaches table `document` and attaches it with more arguments; uploads of keys below bad/ fail for good."""
    def again(arguments):
        documents.pg.run("SELECT objectlink.detach('document', 'file')")
        documents.pg.run(f"SELECT objectlink.attach('document', 'file', {arguments})")
        return documents
    return again


def rows(pg):
    return sorted(row.key or "" for row in pg.run("SELECT objectlink.key(file) AS key FROM document"))


def assert_in_step(documents, marks_held=False):
    # What the daemon did to the rows was committed after the first wait began.
    documents.sync()
    documents.assert_in_step(marks_held=marks_held)


def refuse(proxy):
    proxy.answer(400, "EntityTooLarge", method="PUT", path="/bad/", times=None)


def test_rows_of_failed_uploads_are_deleted_and_nothing_else(attach, proxy, daemon):
    documents = attach("on_upload_failure => 'delete_row'")
    refuse(proxy)
    documents.put(["good/1", "bad/1", "good/2", "bad/2"])
    documents.pg.run("INSERT INTO document (title) VALUES ('no file')")
    documents.pg.wait_for_sync()
    assert rows(documents.pg) == ["", "good/1", "good/2"]
    events = documents.pg.run("SELECT key, detail FROM objectlink.events WHERE cause = 'rows compensated' ORDER BY key")
    assert [(e.key, e.detail["code"], e.detail["rows"]) for e in events] == \
        [("bad/1", "EntityTooLarge", [{"id": 2}]), ("bad/2", "EntityTooLarge", [{"id": 4}])]
    assert_in_step(documents)


def test_links_of_failed_uploads_are_set_null(attach, proxy, daemon):
    documents = attach("on_upload_failure => 'set_null'")
    refuse(proxy)
    documents.put(["good/1", "bad/1"])
    documents.pg.wait_for_sync()
    assert rows(documents.pg) == ["", "good/1"]
    assert_in_step(documents)


def test_marked_is_the_default(attach, proxy, daemon):
    documents = attach("status_column => 'title'")
    refuse(proxy)
    documents.put(["bad/1"])
    documents.pg.wait_for_sync()
    assert documents.pg.run("SELECT title FROM document") == [("failed",)]


def test_an_absent_object_that_somebody_else_should_have_uploaded(attach, daemon):
    documents = attach("on_upload_failure => 'delete_row', max_attempts => 2")
    documents.refer(["nowhere"])
    documents.pg.wait_for_sync()
    assert rows(documents.pg) == []
    assert_in_step(documents)


def test_other_content_under_the_key_stays_what_it_is(attach, daemon):
    """A put that found its key taken: its row goes, the object is somebody else's."""
    documents = attach("on_upload_failure => 'delete_row'")
    documents.upload("taken", b"not ours")
    documents.pg.run("INSERT INTO document (file) VALUES (objectlink.put('docs', 'ours', key => 'taken'))")
    eventually(lambda: rows(documents.pg) == [])
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.events WHERE key = 'taken' AND to_state = 'unlinked'"))
    assert documents.bucket.get("taken") == b"not ours"
    assert documents.pg.value("SELECT detail->>'code' FROM objectlink.events WHERE cause = 'rows compensated'") == "ObjectExists"


def test_an_outage_compensates_nothing(attach, proxy, daemon):
    documents = attach("on_upload_failure => 'delete_row', max_attempts => 1")
    proxy.answer(503, "SlowDown", method="PUT", times=None)
    documents.put(["a", "b"])
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.objects WHERE last_error IS NOT NULL"))
    eventually(lambda: len(proxy.operations()) >= 4)
    assert rows(documents.pg) == ["a", "b"] and documents.pg.run("SELECT 1 FROM objectlink.events WHERE to_state = 'failed'") == []
    proxy.clear()
    documents.sync()
    assert_in_step(documents)


def test_a_row_that_comes_while_another_one_is_compensated(attach, proxy, daemon):
    """It is not seen until it commits: then the object is tried anew, for that row."""
    documents = attach("on_upload_failure => 'delete_row', max_attempts => 1")
    user = documents.pg.connect(autocommit=False)
    documents.refer(["late"])
    eventually(lambda: documents.pg.state("late") in ("pending", "failed"))
    documents.refer(["late"], on=user)
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.events WHERE cause = 'rows compensated'"))
    documents.upload("late", b"here at last")
    user.commit()
    documents.sync()
    assert rows(documents.pg) == ["late"] and documents.pg.state("late") == "stored"
    assert_in_step(documents)


def test_a_foreign_key_keeps_the_row_and_a_person_is_told(attach, proxy, daemon):
    documents = attach("on_upload_failure => 'delete_row', status_column => 'title'")
    documents.pg.run("CREATE TABLE invoice (document bigint REFERENCES document)")
    refuse(proxy)
    user = documents.pg.connect(autocommit=False)
    documents.put(["bad/1"], on=user)
    run(user, "INSERT INTO invoice SELECT max(id) FROM document")
    user.commit()
    documents.put(["bad/2", "good"])
    eventually(lambda: rows(documents.pg) == ["bad/1", "good"])
    problem, = eventually(lambda: documents.pg.run("SELECT * FROM objectlink.problems WHERE what = 'rows not compensated'"))
    assert "invoice" in problem.detail and problem.severity == "error"
    assert documents.pg.value("SELECT detail->>'severity' FROM objectlink.events WHERE cause = 'rows not compensated'") == "critical"
    assert documents.pg.value("SELECT title FROM document WHERE file = 's3://docs/bad/1'") == "failed"
    documents.pg.run("DELETE FROM invoice")
    documents.pg.wait_for_sync(60)
    assert rows(documents.pg) == ["good"]
    assert documents.pg.run("SELECT * FROM objectlink.problems WHERE what = 'rows not compensated'") == []
    assert_in_step(documents)


def test_cascades_partitions_and_row_security(documents, proxy, daemon):
    pg = documents.pg
    pg.run("CREATE TABLE paper (id int, part int, file objectlink.storage_ref, PRIMARY KEY (part, id)) PARTITION BY LIST (part)")
    pg.run("CREATE TABLE paper_1 PARTITION OF paper FOR VALUES IN (1); CREATE TABLE paper_2 PARTITION OF paper FOR VALUES IN (2)")
    pg.run("CREATE TABLE chunk (id int PRIMARY KEY, part int, paper int, FOREIGN KEY (part, paper) REFERENCES paper ON DELETE CASCADE)")
    pg.run("CREATE TABLE word (chunk int REFERENCES chunk ON DELETE CASCADE, file objectlink.storage_ref)")
    pg.run("ALTER TABLE paper ENABLE ROW LEVEL SECURITY; ALTER TABLE paper FORCE ROW LEVEL SECURITY")
    pg.run("SELECT objectlink.attach('paper', 'file', on_upload_failure => 'delete_row')")
    pg.run("SELECT objectlink.attach('word', 'file')")
    refuse(proxy)
    pg.run("INSERT INTO paper VALUES (1, 1, objectlink.put('docs', 'x', key => 'bad/1')), (2, 2, objectlink.put('docs', 'x', key => 'bad/1'))")
    pg.run("INSERT INTO chunk VALUES (1, 1, 1), (2, 2, 2); INSERT INTO word VALUES (1, objectlink.put('docs', 'w', key => 'w'))")
    pg.wait_for_sync()
    assert [pg.value(f"SELECT count(*) FROM {table}") for table in ["paper", "chunk", "word"]] == [0, 0, 0]
    detail = pg.value("SELECT detail FROM objectlink.events WHERE cause = 'rows compensated'")
    assert detail["count"] == 2 and detail["rows"] == [{"id": 1, "part": 1}, {"id": 2, "part": 2}]
    assert_in_step(documents)


def test_killed_before_the_rows_are_compensated(attach, proxy, make_daemon):
    documents = attach("on_upload_failure => 'delete_row'")
    refuse(proxy)
    daemon = make_daemon()
    documents.put(["bad/1"], on=(user := documents.pg.connect(autocommit=False)))
    user.commit()
    run(user, "LOCK TABLE document IN SHARE MODE")
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.row_work WHERE error_code = '55P03'"))
    daemon.kill()
    user.commit()
    daemon.start()
    documents.pg.wait_for_sync(60)
    assert rows(documents.pg) == []
    assert_in_step(documents, marks_held=True)
