"""Goal: rows of an object that cannot be deleted come back, linked once, and whatever else goes on does not destroy what they name.
Method: real daemon, real store. A retention keeps the object; that its deletion was given up is said by the function that says so.
"""
import pytest

from harness.documents import content_of
from harness.postgres import run
from harness.waiting import always, eventually


@pytest.fixture
def papers(documents):
    pg = documents.pg
    pg.run("ALTER SERVER docs OPTIONS (ADD retention '1 hour')")
    pg.run("CREATE TABLE paper (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, file objectlink.storage_ref, status text)")
    pg.run("CREATE TABLE chunk (id int PRIMARY KEY, paper int REFERENCES paper ON DELETE CASCADE, body text)")
    pg.run("CREATE TABLE word (chunk int REFERENCES chunk ON DELETE CASCADE, word text)")
    pg.run("SELECT objectlink.attach('paper', 'file', status_column => 'status', on_delete_failure => 'restore_row', related => '{chunk,word}')")
    return documents


def put(documents, keys):
    for number, key in enumerate(keys):
        documents._contents[key] = content_of(key)
        documents.pg.run("INSERT INTO paper (file) VALUES (objectlink.put('docs', %s, key => %s))", documents._contents[key].decode(), key)
        documents.pg.run(f"INSERT INTO chunk SELECT {number}, max(id), 'body' FROM paper; INSERT INTO word VALUES ({number}, 'word')")
    documents.sync()


def give_up(pg, key, on=None):
    """As settle() does when the store has refused for good."""
    run(on or pg.connection, "WITH given_up AS (UPDATE objectlink.object SET due_at = NULL WHERE key = %s AND state = 'unlinked' RETURNING store_id, key)"
                             " SELECT objectlink.deletion_failed_for_good(store_id, key) FROM given_up", key)


def rows(pg):
    return [tuple(row) for row in pg.run("SELECT objectlink.key(p.file) AS key, p.status, c.body, w.word FROM paper p JOIN chunk c ON c.paper = p.id JOIN word w ON w.chunk = c.id ORDER BY 1")]


def test_rows_come_back_with_all_that_hung_on_them(papers, daemon):
    put(papers, ["a", "b"])
    before = papers.pg.run("SELECT * FROM paper ORDER BY id")
    papers.pg.run("DELETE FROM paper")
    papers.sync()
    assert rows(papers.pg) == []
    for key in ["a", "b"]:
        give_up(papers.pg, key)
    eventually(lambda: len(rows(papers.pg)) == 2)
    papers.sync()
    assert papers.pg.run("SELECT * FROM paper ORDER BY id") == before
    assert rows(papers.pg) == [(key, "stored", "body", "word") for key in ["a", "b"]]
    assert papers.pg.states() == {"a": "stored", "b": "stored"}
    papers.assert_bucket({"a", "b"})


def test_a_deletion_that_the_store_refuses_for_good(papers, proxy, daemon):
    """As with an object lock: the rows come back, and when the lock is gone they can be deleted with their objects."""
    pg = papers.pg
    pg.run("ALTER SERVER docs OPTIONS (SET retention '0', ADD max_attempts '2')")
    put(papers, ["locked/a", "free/b"])
    rules = [proxy.delete_errors("^locked/", code="AccessDenied", times=None),
             proxy.answer(403, code="AccessDenied", method="DELETE", path="locked/", times=None)]
    pg.run("DELETE FROM paper")

    def restored():
        papers.delete(papers.put_fresh(1))  # the store does for others what it refuses here: it is this object's own trouble
        return rows(pg) == [("locked/a", "stored", "body", "word")]

    eventually(restored, 60)
    papers.sync()
    assert pg.states() == {"locked/a": "stored"}
    assert pg.run("SELECT 1 FROM objectlink.events WHERE cause = 'delete given up' AND key = 'locked/a'")
    assert pg.run("SELECT * FROM objectlink.dead_letters") == []
    assert papers.bucket.exists("locked/a") and not papers.bucket.exists("free/b")
    for rule in rules:
        proxy.remove(rule)
    pg.run("DELETE FROM paper")
    papers.sync()
    assert rows(pg) == [] and papers.bucket.keys() == []


def test_retried_by_a_person_before_the_rows_are_back(papers, daemon):
    """A decision to delete after all wins; the row does not come back without its object."""
    put(papers, ["a"])
    papers.pg.run("DELETE FROM paper")
    papers.sync()
    give_up(papers.pg, "a", on=(person := papers.pg.connect(autocommit=False)))
    run(person, "UPDATE objectlink.object SET due_at = now() WHERE key = 'a'")
    run(person, "SELECT objectlink.expedite_deletions('docs', key => 'a')")
    person.commit()
    eventually(lambda: papers.pg.state("a") is None)
    papers.sync()
    assert rows(papers.pg) == [] and papers.bucket.keys() == [] and papers.pg.run("SELECT * FROM objectlink.deleted_row") == []


def test_a_lock_delays_and_a_conflict_is_seen(papers, daemon):
    put(papers, ["a", "b"])
    papers.pg.run("DELETE FROM paper")
    papers.sync()
    user = papers.pg.connect(autocommit=False)
    run(user, "LOCK TABLE word IN SHARE MODE")
    papers.pg.run("INSERT INTO paper (id) OVERRIDING SYSTEM VALUE VALUES (2)")
    for key in ["a", "b"]:
        give_up(papers.pg, key)
    eventually(lambda: papers.pg.run("SELECT 1 FROM objectlink.problems WHERE what = 'rows not compensated' AND detail LIKE '%duplicate key%'"))
    eventually(lambda: papers.pg.run("SELECT 1 FROM objectlink.row_work WHERE key = 'a' AND error_code = '55P03'"))
    assert papers.pg.value("SELECT count(*) FROM paper WHERE file IS NOT NULL") == papers.pg.value("SELECT count(*) FROM chunk") == 0
    user.commit()
    eventually(lambda: [row[0] for row in rows(papers.pg)] == ["a"])
    always(lambda: papers.pg.state("b") == "unlinked" and papers.bucket.exists("b"), 0.5)
    papers.pg.run("DELETE FROM paper WHERE id = 2")
    assert papers.pg.value("SELECT objectlink.restore_rows('docs', 'b')") == 3
    papers.sync()
    assert [row[0] for row in rows(papers.pg)] == ["a", "b"]
    assert papers.pg.run("SELECT * FROM objectlink.problems WHERE what = 'rows not compensated'") == []


def test_killed_before_the_rows_are_back(papers, make_daemon):
    daemon = make_daemon()
    put(papers, ["a"])
    papers.pg.run("DELETE FROM paper")
    papers.sync()
    user = papers.pg.connect(autocommit=False)
    run(user, "LOCK TABLE word IN SHARE MODE")
    give_up(papers.pg, "a")
    eventually(lambda: papers.pg.run("SELECT 1 FROM objectlink.row_work WHERE key = 'a' AND error_code = '55P03'"))
    daemon.kill()
    user.commit()
    daemon.start()
    eventually(lambda: [row[0] for row in rows(papers.pg)] == ["a"], 60)
    papers.sync()
    assert papers.pg.state("a") == "stored"
    papers.assert_bucket({"a"})


def test_rows_of_a_deletion_that_succeeds_are_forgotten(papers, daemon):
    put(papers, ["a"])
    papers.pg.run("DELETE FROM paper")
    papers.sync()
    assert papers.pg.value("SELECT count(*) FROM objectlink.deleted_row") == 3
    papers.pg.run("SELECT objectlink.expedite_deletions('docs')")
    papers.sync()
    assert papers.bucket.keys() == [] and papers.pg.value("SELECT count(*) FROM objectlink.deleted_row") == 0


def test_a_rollback_keeps_nothing(papers, daemon):
    put(papers, ["a"])
    user = papers.pg.connect(autocommit=False)
    run(user, "SAVEPOINT s")
    run(user, "DELETE FROM paper")
    run(user, "ROLLBACK TO s")
    user.commit()
    papers.sync()
    assert papers.pg.value("SELECT count(*) FROM objectlink.deleted_row") == 0
