"""Goal: what a DROP takes away is held, not deleted: the objects stay in their bucket, with a reason, and come back when a
row links them; nothing is sent to the store meanwhile.
Method: drops of every kind under a running daemon, behind its back, and while it is killed; the proxy saw every request.
"""
import pytest

from harness.documents import wait_daemon_sessions
from harness.postgres import DAEMON_ROLE, run
from harness.waiting import eventually

MANY = [f"many/{number:03}" for number in range(150)]


def held(pg):
    """{key: reason} of what is held; a held object is unlinked, and not due."""
    rows = pg.run("SELECT key, state, due_at, held_reason FROM objectlink.object WHERE held_reason IS NOT NULL")
    assert all((row.state, row.due_at) == ("unlinked", None) for row in rows)
    return {row.key: row.held_reason for row in rows}


def assert_held(pg, keys, reason):
    found = held(pg)
    assert found.keys() == set(keys)
    assert all(reason in said and "was dropped by" in said for said in found.values()), found


def deletions(proxy):
    """DELETE of one, POST ?delete of many."""
    return [operation for operation in proxy.operations() if operation.method == "DELETE"
            or (operation.method == "POST" and "delete" in operation.query)]


def assert_nothing_deleted(documents, proxy, keys):
    assert deletions(proxy) == []
    documents.assert_bucket(keys)
    documents.assert_nothing_waits()
    assert documents.pg.value("SELECT count(*) FROM objectlink.event WHERE to_state IN ('deleting', 'gone')") == 0


@pytest.fixture
def other(documents):
    """A second attached table; returns what is to be called for its rows."""
    documents.pg.run("CREATE TABLE other (file objectlink.storage_ref)")
    documents.pg.run("SELECT objectlink.attach('other', 'file')")
    return lambda *keys: documents.pg.run(
        "INSERT INTO other SELECT objectlink.storage_ref('docs', k) FROM unnest(%s::text[]) k", list(keys))


def test_drop_table(documents, other, proxy, daemon):
    pg = documents.pg
    documents.put(["a", "b", "shared"])
    other("shared")
    documents.sync()
    pg.run("DROP TABLE document")
    documents.sync()
    assert_held(pg, ["a", "b"], "table public.document")
    assert pg.state("shared") == "stored"
    assert [row.relation for row in pg.run("SELECT relation::text FROM objectlink.attachments")] == ["other"]
    assert_nothing_deleted(documents, proxy, ["a", "b", "shared"])

    # Linked again, it is an object as any other: nobody has to upload it, and its row may delete it.
    uploads = len(proxy.operations("PUT"))
    other("a")
    documents.sync()
    assert pg.state("a") == "stored" and held(pg).keys() == {"b"}
    assert len(proxy.operations("PUT")) == uploads
    pg.run("DELETE FROM other")
    documents.sync()
    documents.assert_bucket(["b"])
    assert held(pg).keys() == {"b"}


def test_drop_before_any_daemon_saw_the_rows(documents, other, proxy, make_daemon):
    """Content that was never uploaded is in the database only: it stays there, and is uploaded when a row links it."""
    pg = documents.pg
    documents.put(["put"])
    documents.link(["linked"])
    pg.run("DROP TABLE document")
    make_daemon()
    documents.sync()
    assert_held(pg, ["put", "linked"], "table public.document")
    assert pg.value("SELECT count(*) FROM objectlink.payload") == 1
    assert deletions(proxy) == []
    documents.assert_bucket(["linked"])
    other("put", "linked")
    documents.sync()
    documents.linked_keys = lambda: {"put", "linked"}
    documents.assert_in_step()


def test_rolled_back(documents, proxy, daemon):
    documents.put(["a"])
    connection = documents.pg.connect(autocommit=False)
    run(connection, "DROP TABLE document")
    connection.rollback()
    documents.put(["b"])
    documents.sync()
    documents.assert_in_step()
    assert deletions(proxy) == []


def test_what_was_deleted_before_goes(documents, daemon):
    documents.put(["deleted", "kept"])
    documents.sync()
    documents.delete(["deleted"])
    documents.sync()
    documents.pg.run("DROP TABLE document")
    documents.sync()
    assert_held(documents.pg, ["kept"], "table public.document")
    documents.assert_bucket(["kept"])


def test_deletes_under_way_go_on(documents, proxy, daemon):
    """Condemned, requested, unanswered: the drop of their table changes nothing for them."""
    documents.put(["deleted", "kept"])
    documents.sync()
    gate = proxy.hold(method="DELETE")
    documents.delete(["deleted"])
    gate.wait_reached()
    documents.pg.run("DROP TABLE document")
    eventually(lambda: held(documents.pg).keys() == {"kept"})
    gate.open()
    documents.sync()
    documents.assert_bucket(["kept"])
    assert documents.pg.events("deleted")[-1].to_state == "gone"


@pytest.mark.parametrize("drop, reason", [
    ("ALTER TABLE document DROP COLUMN file CASCADE", "column public.document.file"),
    ("DROP SCHEMA public CASCADE", "table public.document"),
    ("ALTER TABLE document OWNER TO olx_leaver; DROP OWNED BY olx_leaver", "table public.document"),
])
def test_other_drops(documents, proxy, daemon, drop, reason):
    documents.pg.create_role("olx_leaver")
    documents.put(["a", "b"])
    documents.sync()
    documents.put(["late"])
    documents.pg.run(drop)
    documents.sync()
    assert_held(documents.pg, ["a", "b", "late"], reason)
    assert deletions(proxy) == []


def test_owner_without_privileges(documents, daemon):
    """Who may drop a table needs no right on anything of objectlink's."""
    pg = documents.pg
    documents.put(["a"])
    pg.create_role("olx_owner")
    pg.run("ALTER TABLE document OWNER TO olx_owner")
    run(pg.connect("olx_owner"), "DROP TABLE document")
    documents.sync()
    assert_held(pg, ["a"], "table public.document was dropped by olx_owner")


@pytest.fixture
def parts(documents):
    """A partitioned table for a year; returns what puts a row into a month."""
    pg = documents.pg
    pg.run("CREATE TABLE part (month int, file objectlink.storage_ref) PARTITION BY LIST (month)")
    for month in range(1, 5):
        pg.run(f"CREATE TABLE part_{month} PARTITION OF part FOR VALUES IN ({month})")
    pg.run("SELECT objectlink.attach('part', 'file')")

    def put(month, *keys):
        for key in keys:
            documents.upload(key, key.encode())
        pg.run("INSERT INTO part SELECT %s, objectlink.storage_ref('docs', k) FROM unnest(%s::text[]) k", month, list(keys))

    return put


@pytest.mark.parametrize("drop, reason", [
    ("DROP TABLE part_1", "partition public.part_1 of public.part"),
    ("ALTER TABLE part DETACH PARTITION part_1; DROP TABLE part_1", "table public.part_1"),
])
def test_partitions_rotate(documents, parts, proxy, daemon, drop, reason):
    """What other partitions delete at the same time is deleted."""
    pg = documents.pg
    parts(1, *MANY)
    parts(2, "deleted", "kept", "moved")
    documents.sync()
    pg.run("DELETE FROM part WHERE file = 's3://docs/deleted'")
    pg.run("UPDATE part SET month = 1 WHERE file = 's3://docs/moved'")
    pg.run(drop)
    documents.sync()
    assert_held(pg, [*MANY, "moved"], reason)
    documents.assert_bucket([*MANY, "moved", "kept"])
    assert pg.state("kept") == "stored" and pg.events("deleted")[-1].to_state == "gone"


def test_killed_while_it_looks_for_what_was_dropped(documents, parts, make_daemon):
    pg = documents.pg
    parts(1, *MANY)
    parts(2, "kept")
    daemon = make_daemon("--batch-size", "10")
    documents.sync()
    pg.run("DROP TABLE part_1")
    for least in (1, 40, 80):
        eventually(lambda: len(held(pg)) >= least)
        daemon.kill()
        wait_daemon_sessions(pg, 0)
        daemon.start()
    documents.sync()
    assert_held(pg, MANY, "partition public.part_1")
    documents.assert_bucket([*MANY, "kept"])


def test_truncated_and_dropped_at_once(documents, parts, proxy, make_daemon):
    """Whether a row came after the TRUNCATE, nobody can tell any more: all of it is held."""
    parts(1, "a", "b")
    parts(2, "kept")
    daemon = make_daemon()
    documents.sync()
    daemon.stop()
    documents.pg.run("TRUNCATE part_1")
    parts(1, "new")
    documents.pg.run("DROP TABLE part_1")
    daemon.start()
    documents.sync()
    assert_held(documents.pg, ["a", "b", "new"], "partition public.part_1")
    assert_nothing_deleted(documents, proxy, ["a", "b", "new", "kept"])


def test_copies_keep_what_they_hold(documents, proxy, daemon):
    documents.put(["copied", "alike", "dropped"])
    documents.sync()
    pg = documents.pg
    pg.run("CREATE TABLE snapshot AS SELECT * FROM document WHERE file = 's3://docs/copied'")
    pg.run("CREATE TABLE alike (LIKE document INCLUDING ALL)")
    pg.run("INSERT INTO alike SELECT * FROM document WHERE file = 's3://docs/alike'")
    pg.run("DROP TABLE document CASCADE")
    documents.sync()
    assert_held(pg, ["dropped"], "table public.document")
    assert pg.state("copied") == pg.state("alike") == "stored"
    assert deletions(proxy) == []


def test_detached_text_column_keeps_its_objects(documents, daemon):
    """Also when another table, which links the same object, gives it up."""
    pg = documents.pg
    pg.run("CREATE TABLE legacy (path text)")
    pg.run("SELECT objectlink.attach('legacy', 'path', store => 'docs')")
    documents.link(["shared", "own"])
    pg.run("INSERT INTO legacy VALUES ('shared')")
    documents.sync()
    pg.run("SELECT objectlink.detach('legacy', 'path')")
    documents.delete(["shared", "own"])
    documents.sync()
    documents.assert_bucket(["shared"])
    pg.run("DELETE FROM legacy")
    documents.sync()
    documents.assert_bucket(["shared"])


def test_the_extension_is_dropped(documents, daemon):
    """Objects and tables stay; the columns of its type go."""
    pg = documents.pg
    documents.put(["a"])
    documents.sync()
    daemon.stop()
    with pytest.raises(Exception, match="other objects depend on it"):
        pg.run("DROP EXTENSION objectlink")
    pg.run("DROP EXTENSION objectlink CASCADE")
    assert pg.value("SELECT count(*) FROM document") == 1
    documents.assert_bucket(["a"])
    # And again: nothing of the old one is in the way.
    pg.create_extension()
    assert pg.value("SELECT has_schema_privilege(%s, 'objectlink', 'USAGE')", DAEMON_ROLE)
