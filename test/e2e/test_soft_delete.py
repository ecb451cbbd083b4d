"""Goal: a row that is marked as deleted loses its object; one whose mark is taken away in time keeps it; late, that is seen.
Method: real daemon, real store; the rows stay, and only a column of theirs is written.
"""
import pytest

from harness.documents import content_of
from harness.runs import findings, reconcile, settle_clock


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
    put(papers, ["a"])
    mark(papers, ["a"])
    papers.sync()
    papers.assert_bucket(set())
    papers.pg.run("SELECT objectlink.alter_attachment('paper', 'file', max_attempts => 2)")
    mark(papers, ["a"], "NULL")
    papers.sync()
    assert papers.pg.states() == {"a": "failed"}
    assert papers.pg.value("SELECT error_class FROM objectlink.dead_letters WHERE key = 'a'") == "not_found"


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
