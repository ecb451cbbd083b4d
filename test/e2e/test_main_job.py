"""Goal: the main job, end to end: a row inserted uploads its object, a row deleted deletes it.
Method: SQL on one side, boto3 on the other, objectlinkd between them as a role without superuser."""
import hashlib
import os

import psycopg2
import pytest

KEYS = ["q3.pdf", "Übersicht 100% #1?.txt", "a+b&c=d;e", "../../x", "tab\there", "x?versionId=1", "€" * 100]


def insert_put(pg, content, **arguments):
    """Inserts a row with put() and returns the object's key."""
    arguments = arguments or {"name": "q3.pdf"}
    named = ", ".join(f"{argument} => %s" for argument in arguments)
    return pg.value(
        f"INSERT INTO document (title, file) VALUES ('a title', objectlink.put('docs', %s, {named}))"
        " RETURNING objectlink.key(file)",
        psycopg2.Binary(content), *arguments.values())


def test_from_create_extension_to_the_last_event(database, s3, make_daemon):
    pg = database
    pg.create_extension()
    pg.create_server("docs", s3.endpoint, s3.name)
    pg.run("CREATE TABLE document (id bigserial PRIMARY KEY, title text, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file')")
    make_daemon()

    content = os.urandom(300_000)
    key = insert_put(pg, content)
    pg.wait_for_sync()
    assert s3.sha256(key) == hashlib.sha256(content).hexdigest()
    row = pg.run("SELECT state, size, sha256 FROM objectlink.objects WHERE key = %s", key)[0]
    assert row == ("stored", len(content), hashlib.sha256(content).digest())

    pg.run("DELETE FROM document")
    pg.wait_for_sync()
    assert not s3.exists(key)
    assert pg.state(key) is None
    assert pg.events(key)[-1].to_state == "gone"


def test_pending_is_visible_before_any_daemon_runs(docs, s3):
    key = insert_put(docs, b"content")
    assert docs.state(key) == "pending"
    assert s3.keys() == []


@pytest.mark.parametrize("size", [0, 1, 300_000, 17 << 20, 40 << 20])
def test_content_arrives_byte_for_byte(docs, s3, daemon, size):
    content = os.urandom(size)
    key = insert_put(docs, content, name="some.bin", content_type="application/x-test")
    docs.wait_for_sync()
    assert docs.state(key) == "stored"
    assert s3.sha256(key) == hashlib.sha256(content).hexdigest()
    assert s3.head(key)["ContentType"] == "application/x-test"


@pytest.mark.parametrize("key", KEYS, ids=range(len(KEYS)))
def test_difficult_keys(docs, s3, daemon, key):
    content = key.encode()
    assert insert_put(docs, content, key=key) == key
    docs.wait_for_sync()
    assert s3.get(key) == content
    docs.run("DELETE FROM document")
    docs.wait_for_sync()
    assert s3.keys() == []


def test_link_to_an_object_that_exists(docs, s3, daemon):
    s3.put("there.txt", b"was here before")
    docs.run("INSERT INTO document (file) VALUES ('s3://docs/there.txt')")
    docs.wait_for_sync()
    row = docs.run("SELECT state, size FROM objectlink.objects WHERE key = 'there.txt'")[0]
    assert (row.state, row.size) == ("stored", len(b"was here before"))


def test_link_to_an_absent_object_ends_in_a_visible_error(docs, s3, make_daemon):
    docs.run("ALTER SERVER docs OPTIONS (ADD max_attempts '1')")
    make_daemon()
    docs.run("INSERT INTO document (file) VALUES ('s3://docs/nowhere.txt')")
    docs.wait_for_sync()
    row = docs.run("SELECT state, last_error FROM objectlink.objects WHERE key = 'nowhere.txt'")[0]
    assert row.state in ("failed", "missing")
    assert row.last_error


def test_nothing_happens_without_commit(docs, s3, daemon):
    connection = docs.connect(autocommit=False)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO document (file) VALUES (objectlink.put('docs', 'x', key => 'rolled-back'))")
        connection.rollback()
        cursor.execute("INSERT INTO document (file) VALUES (objectlink.put('docs', 'x', key => 'kept'))")
        cursor.execute("SAVEPOINT here")
        cursor.execute("INSERT INTO document (file) VALUES (objectlink.put('docs', 'x', key => 'savepoint'))")
        cursor.execute("ROLLBACK TO here")
        connection.commit()
    docs.wait_for_sync()
    assert docs.states() == {"kept": "stored"}
    assert s3.keys() == ["kept"]


def test_shared_object_goes_with_its_last_row(docs, s3, daemon):
    key = insert_put(docs, b"shared")
    docs.run("INSERT INTO document (file) SELECT file FROM document")
    docs.wait_for_sync()
    docs.run("DELETE FROM document WHERE id = (SELECT min(id) FROM document)")
    docs.wait_for_sync()
    assert s3.get(key) == b"shared"
    docs.run("DELETE FROM document")
    docs.wait_for_sync()
    assert not s3.exists(key)


def test_update_moves_the_link(docs, s3, daemon):
    first = insert_put(docs, b"first")
    docs.wait_for_sync()
    second = docs.value("UPDATE document SET file = objectlink.put('docs', 'second', name => 'b') RETURNING objectlink.key(file)")
    docs.wait_for_sync()
    assert not s3.exists(first)
    assert s3.get(second) == b"second"


def test_truncate_deletes_all(docs, s3, daemon):
    docs.run("INSERT INTO document (file) SELECT objectlink.put('docs', convert_to(n::text, 'UTF8'), name => 'n') FROM generate_series(1, 50) n")
    docs.wait_for_sync()
    assert len(s3.keys()) == 50
    docs.run("TRUNCATE document")
    docs.wait_for_sync()
    assert s3.keys() == []


def test_rows_from_before_attach_are_linked(pg, s3, make_daemon):
    pg.create_server("docs", s3.endpoint, s3.name)
    pg.run("CREATE TABLE document (file objectlink.storage_ref)")
    for number in range(20):
        s3.put(f"old/{number}", b"old")
    pg.run("INSERT INTO document SELECT objectlink.storage_ref('docs', 'old/' || n) FROM generate_series(0, 19) n")
    pg.run("SELECT objectlink.attach('document', 'file')")
    make_daemon()
    pg.wait_for_sync()
    assert set(pg.states().values()) == {"stored"} and len(pg.states()) == 20


def test_killed_daemon_loses_nothing(docs, s3, daemon):
    docs.run("INSERT INTO document (file) SELECT objectlink.put('docs', convert_to(n::text, 'UTF8'), key => 'k/' || n) FROM generate_series(1, 500) n")
    daemon.kill()
    docs.run("DELETE FROM document WHERE id % 2 = 0")
    daemon.start()
    docs.wait_for_sync(60)
    assert sorted(s3.keys()) == sorted(f"k/{n}" for n in range(1, 501, 2))
    assert set(docs.states().values()) == {"stored"}
