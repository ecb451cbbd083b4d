"""Goal: the ways in which others lost data (the table in test/README.md), each played to its end: the bytes are still there.
Method: the real daemon, store and rows; what each test does is what the other project did. Lines with tests elsewhere are not here.
"""
import psycopg2
import psycopg2.errors
import pytest

from harness.documents import content_of
from harness.postgres import run
from harness.standstill import lock_events
from harness.waiting import eventually


@pytest.fixture
def stored(documents, daemon):
    documents.put(["a", "b", "c"])
    documents.sync()
    return documents


def assert_there(documents, *keys):
    for key in keys:
        assert documents.bucket.get(key) == content_of(key)


def test_uploaded_but_the_row_is_not_committed_yet(documents, daemon):
    """3: an object that no row refers to yet is not ours to judge."""
    documents.upload("early", content_of("early"))
    transaction = documents.pg.connect(autocommit=False)
    documents.refer(["early"], on=transaction)
    documents.put(["other"])
    documents.delete(["other"])
    eventually(lambda: documents.pg.state("other") == "deleting")  # a barrier: the open transaction is waited for
    assert_there(documents, "early")
    transaction.commit()
    documents.sync()
    documents.assert_in_step()


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in the next one"])
def test_deleted_and_created_again_under_its_key(stored, together):
    """5: the deletion must not hit the successor."""
    connection = stored.pg.connect(autocommit=not together)
    for _ in range(5):
        stored.delete(["a"], on=connection)
        try:
            stored.put(["a"], on=connection)
        except psycopg2.errors.ObjectInUse:  # told so, not deceived; only if it was committed in between
            assert not together
            stored.sync()
            stored.put(["a"])
        if together:
            connection.commit()
    stored.sync()
    assert_there(stored, "a")
    stored.assert_in_step()


def test_other_content_under_a_key_and_a_rollback(stored):
    """6: the old bytes stay, whether the transaction fails by itself or is refused."""
    transaction = stored.pg.connect(autocommit=False)
    with pytest.raises(psycopg2.errors.UniqueViolation):
        run(transaction, "INSERT INTO document (file) VALUES (objectlink.put('docs', 'new bytes', key => 'a'))")
    transaction.rollback()
    stored.put(["fresh"], on=transaction)
    transaction.rollback()
    stored.sync()
    assert_there(stored, "a")
    stored.assert_in_step()


def test_two_rows_share_an_object(stored):
    """7: it goes with the last one, in whatever column and table that is."""
    pg = stored.pg
    pg.run("CREATE TABLE attached_text (path text)")
    pg.run("SELECT objectlink.attach('attached_text', 'path', store => 'docs')")
    stored.refer(["a"])
    pg.run("INSERT INTO attached_text VALUES ('a'), ('b')")
    stored.sync()
    pg.run("DELETE FROM document WHERE id = (SELECT min(id) FROM document WHERE objectlink.key(file) = 'a')")
    stored.delete(["b"])
    stored.sync()
    assert_there(stored, "a", "b")
    stored.delete(["a"])
    stored.sync()
    assert_there(stored, "a", "b")
    pg.run("DELETE FROM attached_text")
    stored.sync()
    assert stored.bucket.keys() == ["c"]
    stored.assert_in_step()


def test_a_prefix_that_begins_another_one(documents, daemon):
    """8: neither images2/ nor a key of the same name outside belongs to images."""
    pg, bucket = documents.pg, documents.bucket
    pg.run("DROP TABLE document")
    for name in ("images", "images2"):
        pg.create_server(name, documents.bucket.endpoint, bucket.name, prefix=name)
    pg.run("CREATE TABLE picture (file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('picture', 'file')")
    keys = ["images/1", "images2/1", "images/images2/1", "images/images/1"]
    foreign = ["1", "images2", "images21", "/images/1"]
    for key in foreign:
        bucket.put(key, content_of(key))
    for key in keys:
        pg.run("INSERT INTO picture VALUES (objectlink.put(%s, %s, key => %s))", key.partition("/")[0], psycopg2.Binary(content_of(key)), key)
    for key in ["images2/1", "images2", "images", "images/", "1"]:
        with pytest.raises(psycopg2.errors.InvalidParameterValue):
            pg.run("INSERT INTO picture VALUES (objectlink.put('images', 'x', key => %s))", key)
    documents.sync()
    pg.run("DELETE FROM picture WHERE objectlink.store(file) = 'images'")
    documents.sync()
    assert bucket.keys() == sorted(foreign + ["images2/1"])
    assert_there(documents, "images2/1", *foreign)


def test_the_row_cannot_be_deleted(stored):
    """10: a foreign key stands in the way, at once or at the commit; the object stays, and nothing is noted."""
    pg = stored.pg
    pg.run("CREATE TABLE note (document bigint REFERENCES document, late bigint REFERENCES document DEFERRABLE INITIALLY DEFERRED)")
    pg.run("INSERT INTO note SELECT id, NULL FROM document WHERE objectlink.key(file) = 'a'")
    pg.run("INSERT INTO note SELECT NULL, id FROM document WHERE objectlink.key(file) = 'b'")
    events = pg.value("SELECT count(*) FROM objectlink.event")
    for key in ("a", "b"):
        with pytest.raises(psycopg2.errors.ForeignKeyViolation):
            stored.delete([key])
    with pytest.raises(psycopg2.errors.FeatureNotSupported):
        pg.run("TRUNCATE document")
    stored.sync()
    assert pg.value("SELECT count(*) FROM objectlink.event") == events
    assert_there(stored, "a", "b", "c")
    stored.assert_in_step()


def test_an_object_that_vanished_stops_nothing(stored):
    """13: somebody else deleted it; the others are dealt with."""
    stored.bucket.delete("a")
    stored.delete(["a", "b"])
    stored.sync()
    assert stored.bucket.keys() == ["c"]
    stored.assert_in_step()


def test_two_objects_of_the_same_content(documents, daemon):
    """14: they have one ETag, which is no identity."""
    for key in ("x", "y"):
        documents._contents[key] = b"the same"
        documents.pg.run("INSERT INTO document (file) VALUES (objectlink.put('docs', 'the same', key => %s))", key)
    documents.sync()
    documents.delete(["x"])
    documents.sync()
    assert documents.bucket.get("y") == b"the same"
    documents.assert_in_step()


def test_a_second_unlink_while_the_first_is_pending(stored, proxy):
    """19: it raises nothing in the user's transaction, and the object goes once."""
    pg = stored.pg
    stored.refer(["a"])
    stored.sync()
    first, second = (row.id for row in pg.run("SELECT id FROM document WHERE objectlink.key(file) = 'a' ORDER BY id"))
    lock = lock_events(pg)
    pg.run("DELETE FROM document WHERE id = %s", first)
    lock.reached("apply_outbox")
    pg.run("DELETE FROM document WHERE id = %s", second)
    lock.go_on()
    stored.sync()
    assert stored.bucket.keys() == ["b", "c"]
    assert len(proxy.operations(method="DELETE", path="/a$")) == 1
    stored.assert_in_step()


def test_an_unlink_while_the_object_is_being_deleted(stored, proxy):
    """19 again: by a row that came in with triggers off."""
    pg = stored.pg
    held = proxy.hold(method="DELETE")
    stored.delete(["a"])
    held.wait_reached()
    pg.run("ALTER TABLE document DISABLE TRIGGER ALL")
    pg.run("INSERT INTO document (file) VALUES ('s3://docs/a')")
    pg.run("ALTER TABLE document ENABLE TRIGGER ALL")
    stored.delete(["a"])
    held.open()
    stored.sync()
    assert stored.bucket.keys() == ["b", "c"]
    stored.assert_in_step()


@pytest.mark.parametrize("column", ["storage_ref", "domain", "without index"])
def test_a_column_that_objectlink_was_never_told_of(stored, column):
    """23: it links what it holds all the same."""
    pg = stored.pg
    pg.run("CREATE DOMAIN file_ref AS objectlink.storage_ref")
    pg.run(f"CREATE TABLE untold (file {'file_ref' if column == 'domain' else 'objectlink.storage_ref'})")
    if column != "without index":
        pg.run("CREATE INDEX ON untold (file)")
    pg.run("INSERT INTO untold VALUES ('s3://docs/a')")
    stored.delete(["a", "b"])
    stored.sync()
    assert_there(stored, "a", "c")
    assert stored.bucket.keys() == ["a", "c"]
    assert pg.state("a") == "stored"
    # and when it lets go, nobody says so: it is found at the next touch of its key
    pg.run("DELETE FROM untold")
    stored.refer(["a"])
    stored.delete(["a"])
    stored.sync()
    assert stored.bucket.keys() == ["c"]
