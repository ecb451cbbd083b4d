"""Goal: before a column is attached its owner knows what he would get, and nothing has changed by that.
Method: a table of keys beside a bucket that differs from it in every way; the daemon lists it."""
import pytest

from harness.store import Bucket


@pytest.fixture
def adopted(documents, daemon):
    pg, bucket = documents.pg, documents.bucket
    pg.run('CREATE TABLE picture (id serial PRIMARY KEY, path text)')
    pg.run('CREATE INDEX ON picture (path COLLATE "C")')
    return pg, bucket


def inventory(pg, store="docs", **arguments):
    named = "".join(f", {name} => %s" for name in arguments)
    number = pg.value(f"SELECT objectlink.inventory_column('picture', 'path', %s{named})", store, *arguments.values())
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", number)
    return pg.run("SELECT * FROM objectlink.inventories WHERE run_id = %s", number)[0]


def test_everything_is_counted_and_nothing_changes(documents, adopted):
    pg, bucket = adopted
    documents.put(["both", "ours"])
    documents.sync()
    for key in ("a", "b/ü", "stray"):
        bucket.put(key, b"12345")
    pg.run("INSERT INTO picture (path) VALUES ('a'), ('a'), ('b/ü'), ('both'), ('gone'), ('.objectlink/x'), (repeat('x', 1025)), (NULL)")
    events = pg.value("SELECT count(*) FROM objectlink.event WHERE key IS NOT NULL")
    before = bucket.listing()
    row = inventory(pg)
    assert (row.state, row.rows, row.keys, row.matched, row.missing, row.invalid, row.linked, row.orphans) == ("done", 7, 4, 3, 1, 2, 1, 1)
    assert (row.orphan_bytes, row.undecided) == (5, 0)
    assert row.matched_bytes == sum(before[key][0] for key in ("a", "b/ü", "both"))
    assert row.samples["missing"] == [{"key": "gone", "rows": 1}]
    assert row.samples["orphan"] == [{"key": "stray", "size": 5}]
    assert row.samples["linked"] == [{"key": "both"}]
    assert {sample["reason"] for sample in row.samples["invalid"]} == {"longer than 1024 bytes", "not below the prefix of its store, or reserved"}
    assert bucket.listing() == before
    assert pg.value("SELECT count(*) FROM objectlink.event WHERE key IS NOT NULL") == events
    assert pg.run("SELECT * FROM objectlink.finding") == []
    assert set(pg.states()) == {"both", "ours"}
    assert inventory(pg, samples=0).samples == {"missing": [], "invalid": [], "linked": [], "orphan": []}


def test_many_rows_are_counted_in_batches(adopted):
    pg, bucket = adopted
    pg.run("INSERT INTO picture (path) SELECT 'n/' || n FROM generate_series(1, 5000) n, generate_series(1, 2)")
    for number in (1, 77, 5000):
        bucket.put(f"n/{number}", b"x")
    row = inventory(pg)
    assert (row.state, row.rows, row.keys, row.matched, row.missing) == ("done", 10000, 5000, 3, 4997)
    assert len(row.samples["missing"]) == 10


def test_a_column_that_is_gone_ends_the_run_and_nothing_else(documents, adopted, daemon):
    pg, bucket = adopted
    daemon.stop()
    number = pg.value("SELECT objectlink.inventory_column('picture', 'path', 'docs')")
    pg.run("ALTER TABLE picture DROP COLUMN path")
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", number)
    assert pg.value("SELECT error_code FROM objectlink.runs WHERE id = %s", number) == "ColumnNotReadable"
    assert pg.run("SELECT * FROM objectlink.problems WHERE what = 'reconciling failed'") == []
    documents.put(["k"])
    documents.sync()
    assert "session.lost" not in daemon.log_text()


def test_a_column_of_references_is_counted_store_by_store(documents, daemon, s3_server):
    pg, bucket = documents.pg, documents.bucket
    other = Bucket(s3_server)
    pg.create_server("other", other.endpoint, other.name)
    documents.put(["both"])
    documents.sync()
    for key in ("a", "stray"):
        bucket.put(key, b"12345")
    other.put("x", b"123")
    pg.run("CREATE TABLE picture (path objectlink.storage_ref)")
    pg.run("INSERT INTO picture VALUES ('s3://docs/a'), ('s3://docs/a'), ('s3://docs/both'), ('s3://docs/gone'), ('s3://other/x'), ('s3://other/stray'), (NULL)")
    row = inventory(pg)
    assert (row.state, row.rows, row.keys, row.matched, row.missing, row.invalid, row.linked, row.orphans) == ("done", 4, 3, 2, 1, 0, 1, 1)
    assert row.samples == {"missing": [{"key": "gone", "rows": 1}], "orphan": [{"key": "stray", "size": 5}], "linked": [{"key": "both"}], "invalid": []}
    row = inventory(pg, store="other")
    assert (row.state, row.rows, row.matched, row.missing, row.linked, row.orphans) == ("done", 2, 1, 1, 0, 0)
    assert set(pg.states()) == {"both"}
