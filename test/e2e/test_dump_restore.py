"""Goal: pg_dump keeps configuration, registry and pending work; a restored database goes on where the dumped one was.
Method: a dump with work in every state, restored with the strictest options; a daemon for the copy, with another bucket.
"""
import subprocess

import pytest

from conftest import create_document_table
from harness.documents import Documents
from harness.postgres import DAEMON_ROLE, run
from harness.store import Bucket
from harness.waiting import eventually


def pg_tool(cluster, name, *arguments, **more):
    done = subprocess.run([name, "-h", cluster.host, "-p", str(cluster.port), "-U", cluster.superuser, *arguments],
                          capture_output=True, check=False, **more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def restore(original, way):
    copy = original.cluster.create_database()
    if way == "plain":
        script = pg_tool(original.cluster, "pg_dump", original.name)
        pg_tool(original.cluster, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-1", "-d", copy.name, input=script)
    else:
        dump = pg_tool(original.cluster, "pg_dump", "-Fc", original.name)
        pg_tool(original.cluster, "pg_restore", "--exit-on-error", "-1", "-d", copy.name, input=dump)
    return copy


@pytest.fixture
def dumped(pg, bucket, make_daemon):
    """Stored, failed, reserved, unlinked, pending and not even applied: all of it in one database without a daemon."""
    pg.create_server("docs", bucket.endpoint, bucket.name, max_attempts=1)
    pg.run("CREATE TABLE legacy (path text)")
    pg.run("CREATE TABLE part (n int, file objectlink.storage_ref) PARTITION BY RANGE (n)")
    pg.run("CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10)")
    create_document_table(pg)
    pg.run("ALTER TABLE document ADD dropped int, ADD also objectlink.storage_ref")
    pg.run("ALTER TABLE document DROP dropped")
    pg.run("SELECT objectlink.attach('document', 'also')")
    pg.run("SELECT objectlink.attach('part', 'file')")
    pg.run("CREATE TABLE paper (id int PRIMARY KEY, gone int, file objectlink.storage_ref, status text)")
    pg.run("CREATE TABLE chunk (paper int REFERENCES paper, gone int, status text)")
    pg.run("ALTER TABLE paper DROP gone; ALTER TABLE chunk DROP gone")
    pg.run("SELECT objectlink.attach('paper', 'file', status_column => 'status', related => '{chunk}', on_delete_failure => 'restore_row')")
    pg.run("CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not now'; END $$")
    pg.run("CREATE TRIGGER refuse BEFORE UPDATE ON paper FOR EACH ROW EXECUTE FUNCTION refuse()")
    pg.run("INSERT INTO paper VALUES (1, objectlink.put('docs', 'of a paper', key => 'paper')); INSERT INTO chunk VALUES (1)")
    pg.run("INSERT INTO paper VALUES (2, 's3://docs/stored/1'); DELETE FROM paper WHERE id = 2")
    documents = Documents(pg, bucket)
    documents._contents["paper"] = b"of a paper"
    daemon = make_daemon()
    documents.stored = documents.put(["stored/1", "stored/2"])
    documents.refer(["failed"])
    eventually(lambda: pg.states() == {"stored/1": "stored", "stored/2": "stored", "failed": "failed", "paper": "stored"})
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.row_work WHERE failed_at IS NOT NULL"))
    daemon.stop()
    documents.delete(["stored/2"])
    documents.put(["pending/1", "pending/2"])
    documents.upload("legacy/1", b"legacy")
    pg.run("INSERT INTO legacy VALUES ('legacy/1')")
    pg.run("SELECT objectlink.attach('legacy', 'path', store => 'docs')")
    pg.run("INSERT INTO part VALUES (1, objectlink.put('docs', 'in a partition', key => 'part'))")
    documents._contents["part"] = b"in a partition"
    pg.run("SELECT objectlink.put('docs', 'x', key => 'reserved')")
    return documents


TABLES = ["store", "attachment", "scan", "outbox", "condemned", "object", "payload", "event", "erasure", "erasure_chain", "erasure_purged",
          "capability", "marker", "row_policy", "related_table", "row_work", "deleted_row"]


def adopt(copy):
    """It has objects, and now another bucket: somebody has to say that they are there."""
    eventually(lambda: copy.run("SELECT 1 FROM objectlink.markers WHERE fence = 'altered' AND theirs IS NOT NULL"))
    copy.run("SELECT objectlink.adopt_store('docs')")


def content_of_tables(pg):
    # But for the number of the transaction that wrote an event, which means nothing in another cluster.
    return {table: sorted(map(str, pg.run(f"SELECT to_jsonb(t) - (CASE '{table}' WHEN 'event' THEN 'xid' ELSE '' END) AS row FROM objectlink.{table} t")))
            for table in TABLES}


def triggers(pg):
    return {tuple(row) for row in pg.run(
        "SELECT tgrelid::regclass::text, tgname::text, tgenabled::text, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgname LIKE 'objectlink%'")}


@pytest.mark.parametrize("way", ["plain", "custom"])
def test_everything_is_there(dumped, way):
    copy = restore(dumped.pg, way)
    assert content_of_tables(copy) == content_of_tables(dumped.pg)
    assert triggers(copy) == triggers(dumped.pg)
    assert copy.run("SELECT relation::text, column_name, store FROM objectlink.attachments ORDER BY id") == \
        dumped.pg.run("SELECT relation::text, column_name, store FROM objectlink.attachments ORDER BY id")
    copy.close()


def test_a_daemon_finishes_the_pending_work_of_the_copy(dumped, make_daemon, s3_server):
    copy = restore(dumped.pg, "custom")
    # A bucket of its own: two databases must not share one.
    bucket = Bucket(s3_server)
    for key, content in [("stored/1", dumped._contents["stored/1"]), ("stored/2", dumped._contents["stored/2"]), ("legacy/1", b"legacy"),
                         ("paper", b"of a paper")]:
        bucket.put(key, content)
    # Rows that waited to be written in the original are written in the copy.
    copy.run("DROP TRIGGER refuse ON paper")
    copy.run(f"ALTER SERVER docs OPTIONS (SET bucket '{bucket.name}')")
    copy.run("SELECT objectlink.grant_daemon(%s)", DAEMON_ROLE)
    make_daemon(dsn=copy.dsn(DAEMON_ROLE), name="daemon of the copy")
    restored = Documents(copy, bucket)
    restored._contents = dict(dumped._contents)
    adopt(copy)
    copy.wait_for_sync()
    states = copy.states()
    assert states.pop("reserved") == "reserved" and states.pop("failed") == "failed"
    assert states == {key: "stored" for key in ["stored/1", "pending/1", "pending/2", "legacy/1", "part", "paper"]}
    restored.assert_bucket(states)
    assert copy.run("SELECT p.status, c.status AS chunk FROM paper p JOIN chunk c ON c.paper = p.id") == [("stored", "stored")]

    # The triggers work, in partitions and for columns whose number is another one now.
    copy.run("UPDATE document SET also = file, file = NULL WHERE objectlink.key(file) = 'pending/1'")
    copy.run("DELETE FROM part")
    restored.put(["new"])
    copy.run("ALTER TABLE part ADD more int; CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20)")
    copy.run("INSERT INTO part VALUES (11, objectlink.put('docs', 'in a partition', key => 'part 2'))")
    copy.wait_for_sync()
    del states["part"]
    assert copy.states() == states | {"new": "stored", "part 2": "stored", "reserved": "reserved", "failed": "failed"}
    restored._contents["part 2"] = b"in a partition"
    restored.assert_bucket(states.keys() | {"new", "part 2"})

    # And the original knows nothing of it.
    assert dumped.bucket.keys() == ["legacy/1", "paper", "stored/1", "stored/2"]
    copy.close()


def test_what_was_dropped_is_held_in_the_copy(dumped, make_daemon, s3_server):
    """Also if its link was not even applied: the number of its table means nothing in the copy."""
    dumped.pg.run("CREATE TABLE gone (file objectlink.storage_ref)")
    dumped.pg.run("SELECT objectlink.attach('gone', 'file')")
    dumped.pg.run("INSERT INTO gone VALUES ('s3://docs/stored/2'), ('s3://docs/dropped')")
    dumped.pg.run("DROP TABLE gone")
    copy = restore(dumped.pg, "plain")
    bucket = Bucket(s3_server)
    for key in ["stored/1", "stored/2", "dropped", "legacy/1", "paper"]:
        bucket.put(key, b"content")
    copy.run("DROP TRIGGER refuse ON paper")
    copy.run(f"ALTER SERVER docs OPTIONS (SET bucket '{bucket.name}')")
    copy.run("SELECT objectlink.grant_daemon(%s)", DAEMON_ROLE)
    make_daemon(dsn=copy.dsn(DAEMON_ROLE))
    adopt(copy)
    copy.wait_for_sync()
    held = {row.key: row.held_reason for row in copy.run("SELECT key, held_reason FROM objectlink.object WHERE held_reason IS NOT NULL")}
    assert held.keys() == {"stored/2", "dropped"}
    assert all("gone was dropped" in reason for reason in held.values()), held
    assert bucket.exists("stored/2") and bucket.exists("dropped")
    copy.close()


def test_the_original_goes_on_after_a_dump(dumped, make_daemon):
    pg_tool(dumped.pg.cluster, "pg_dump", "-Fc", dumped.pg.name)
    dumped.pg.run("DROP TRIGGER refuse ON paper")
    make_daemon()
    dumped.sync()
    assert dumped.pg.state("pending/1") == "stored" and dumped.pg.state("stored/2") is None


def test_a_schema_only_dump_restores(dumped):
    copy = dumped.pg.cluster.create_database()
    script = pg_tool(dumped.pg.cluster, "pg_dump", "--schema-only", dumped.pg.name)
    pg_tool(dumped.pg.cluster, "psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", copy.name, input=script)
    assert triggers(copy) == triggers(dumped.pg)
    copy.close()


@pytest.mark.parametrize("way", ["plain", "custom"])
def test_marked_rows_link_nothing_in_the_copy_either(pg, bucket, way):
    """Although the columns of the copy have other numbers."""
    pg.create_server("docs", bucket.endpoint, bucket.name)
    pg.run("CREATE TABLE letter (was int, id int PRIMARY KEY, file objectlink.storage_ref, deleted_at timestamptz); ALTER TABLE letter DROP was")
    pg.run("SELECT objectlink.attach('letter', 'file', soft_delete_column => 'deleted_at')")
    pg.run("INSERT INTO letter VALUES (1, 's3://docs/alive', NULL), (2, 's3://docs/marked', now())")
    copy = restore(pg, way)

    def linked():
        return [row[0] for row in copy.run("SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/alive,s3://docs/marked}') ORDER BY 1")]

    assert linked() == ["alive"]
    copy.run("UPDATE letter SET deleted_at = NULL WHERE id = 2")
    assert copy.value("SELECT count(*) FROM objectlink.outbox WHERE op = 'L' AND objectlink.key(ref) = 'marked'") == 1
    copy.run("ALTER TABLE letter RENAME deleted_at TO removed_at")
    copy.run("UPDATE letter SET removed_at = now()")
    assert linked() == []
    # and the first change is one of the other name
    copy = restore(pg, way)
    copy.run("ALTER TABLE letter RENAME file TO scan")
    assert copy.value("SELECT column_name FROM objectlink.attachments") == "scan"
    assert linked() == ["alive"]
