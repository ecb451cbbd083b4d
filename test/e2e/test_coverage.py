"""Goal: however SQL makes a row come or go, bucket and rows are in step afterwards; nothing else makes an object go.
Method: each way on tables of its own, under a running daemon; then the bucket holds exactly the objects that rows still
link, the registry says so, and what was linked is `stored`. The outbox of each way is in sql/triggers.sql.
"""
import io
from dataclasses import dataclass

import psycopg2
import pytest

from conftest import fresh_database
from harness.documents import Documents
from harness.waiting import eventually

KEYS = "abcdefgh"

PARTITIONED = """
CREATE TABLE t (id int, kind text, file objectlink.storage_ref) PARTITION BY LIST (kind);
CREATE TABLE t_x PARTITION OF t FOR VALUES IN ('x');
CREATE TABLE t_y (file objectlink.storage_ref, junk int, kind text, id int);
ALTER TABLE t_y DROP COLUMN junk;
ALTER TABLE t ATTACH PARTITION t_y FOR VALUES IN ('y');
CREATE TABLE t_z PARTITION OF t FOR VALUES IN ('z') PARTITION BY LIST (id);
CREATE TABLE t_z1 PARTITION OF t_z FOR VALUES IN (1);
CREATE TABLE t_rest PARTITION OF t DEFAULT;
SELECT objectlink.attach('t', 'file');
"""
INHERITED = """
CREATE TABLE t (id int, file objectlink.storage_ref);
CREATE TABLE t_child (extra text) INHERITS (t);
CREATE TABLE t_grandchild (more text) INHERITS (t_child);
SELECT objectlink.attach('t', 'file');
"""
PLAIN = """
CREATE TABLE t (id int PRIMARY KEY, title text, file objectlink.storage_ref);
SELECT objectlink.attach('t', 'file');
"""
CASCADES = """
CREATE TABLE t (id int PRIMARY KEY);
CREATE TABLE page (t int DEFAULT 9 REFERENCES t ON DELETE {0} ON UPDATE CASCADE, file objectlink.storage_ref);
SELECT objectlink.attach('page', 'file');
"""


@dataclass
class Way:
    tables: str
    rows: str
    change: str
    linked: str  # keys that rows link at the end
    gone: str  # keys that rows have unlinked; what no row ever linked is nobody's business
    dropped: str = ""  # keys that are held


WAYS = {
    "insert, update, delete": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b'), (3, '', NULL), (4, '', 's3://docs/d')",
        "UPDATE t SET file = 's3://docs/c' WHERE id = 3; UPDATE t SET file = NULL WHERE id = 1; DELETE FROM t WHERE id = 2; UPDATE t SET title = 'x', id = 5 WHERE id = 4",
        "cd", "ab"),
    "swapped by one UPDATE": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')",
        "UPDATE t SET file = o.file FROM t o WHERE t.id <> o.id; UPDATE t SET file = 's3://docs/a'", "a", "b"),
    "on conflict": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')",
        """INSERT INTO t VALUES (1, '', 's3://docs/c') ON CONFLICT DO NOTHING;
           INSERT INTO t VALUES (2, '', 's3://docs/d'), (3, '', 's3://docs/e') ON CONFLICT (id) DO UPDATE SET file = excluded.file""", "ade", "b"),
    "merge": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b'), (4, '', 's3://docs/d')",
        """MERGE INTO t USING (VALUES (1, NULL), (2, 's3://docs/c'), (3, 's3://docs/e')) AS s (id, file) ON t.id = s.id
           WHEN MATCHED AND s.file IS NULL THEN DELETE
           WHEN MATCHED THEN UPDATE SET file = s.file::objectlink.storage_ref
           WHEN NOT MATCHED THEN INSERT VALUES (s.id, '', s.file::objectlink.storage_ref)""", "cde", "ab"),
    "writing CTEs": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')",
        """WITH gone AS (DELETE FROM t RETURNING *), moved AS (INSERT INTO t SELECT id + 10, title, file FROM gone WHERE id = 1 RETURNING *)
           SELECT count(*) FROM gone, moved""", "a", "b"),
    "cursor": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b'), (3, '', 's3://docs/c')",
        """DO $$ DECLARE c CURSOR FOR SELECT * FROM t ORDER BY id FOR UPDATE; r record; BEGIN
             OPEN c; FETCH c INTO r; DELETE FROM t WHERE CURRENT OF c; FETCH c INTO r; UPDATE t SET file = 's3://docs/d' WHERE CURRENT OF c;
           END $$""", "cd", "ab"),
    "locked only": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a')",
        "SELECT * FROM t FOR UPDATE; LOCK TABLE t IN EXCLUSIVE MODE; UPDATE t SET file = file; CLUSTER t USING t_pkey", "a", ""),
    "a BEFORE trigger decides": Way(
        PLAIN + """CREATE FUNCTION redirect() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF NEW.title = 'skip' THEN RETURN NULL; END IF; NEW.file := 's3://docs/' || NEW.title; RETURN NEW; END $$;
           CREATE TRIGGER redirect BEFORE INSERT OR UPDATE OF title ON t FOR EACH ROW EXECUTE FUNCTION redirect()""",
        "INSERT INTO t VALUES (1, 'a', NULL), (2, 'skip', 's3://docs/b'), (3, 'c', 's3://docs/d')",
        "UPDATE t SET title = 'e' WHERE id = 3; UPDATE t SET title = 'skip' WHERE id = 1", "ae", "c"),
    "updatable view": Way(
        PLAIN + "CREATE VIEW v AS SELECT id, title, file FROM t WHERE id < 10 WITH CHECK OPTION",
        "INSERT INTO v VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')",
        "UPDATE v SET file = 's3://docs/c' WHERE id = 1; DELETE FROM v WHERE id = 2", "c", "ab"),
    "view with INSTEAD OF": Way(
        PLAIN + """CREATE VIEW v AS SELECT id, objectlink.key(file) AS name FROM t;
           CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             IF TG_OP = 'DELETE' THEN DELETE FROM t WHERE id = OLD.id; RETURN OLD; END IF;
             INSERT INTO t VALUES (NEW.id, '', objectlink.storage_ref('docs', NEW.name)); RETURN NEW; END $$;
           CREATE TRIGGER i INSTEAD OF INSERT OR DELETE ON v FOR EACH ROW EXECUTE FUNCTION instead()""",
        "INSERT INTO v VALUES (1, 'a'), (2, 'b')", "DELETE FROM v WHERE name = 'a'", "b", "a"),
    "rules": Way(
        PLAIN + """CREATE TABLE door (id int, file objectlink.storage_ref);
           CREATE RULE through AS ON INSERT TO door DO INSTEAD INSERT INTO t VALUES (NEW.id, '', NEW.file);
           CREATE RULE out AS ON DELETE TO door DO INSTEAD DELETE FROM t WHERE id = OLD.id;
           CREATE RULE never AS ON UPDATE TO t WHERE OLD.id = 1 DO INSTEAD NOTHING""",
        "INSERT INTO door VALUES (1, 's3://docs/a'), (2, 's3://docs/b')", "UPDATE t SET file = 's3://docs/c'", "ac", "b"),
    "foreign key, CASCADE": Way(
        CASCADES.format("CASCADE"), "INSERT INTO t VALUES (1), (2); INSERT INTO page VALUES (1, 's3://docs/a'), (1, 's3://docs/b'), (2, 's3://docs/c')",
        "UPDATE t SET id = 3 WHERE id = 2; DELETE FROM t WHERE id = 1", "c", "ab"),
    "foreign key, SET NULL on the column itself": Way(
        """CREATE TABLE known (file objectlink.storage_ref PRIMARY KEY);
           CREATE TABLE t (a int, file objectlink.storage_ref REFERENCES known ON DELETE SET NULL ON UPDATE CASCADE);
           SELECT objectlink.attach('t', 'file'), objectlink.attach('known', 'file') AS other""",
        "INSERT INTO known VALUES ('s3://docs/a'), ('s3://docs/b'); INSERT INTO t VALUES (1, 's3://docs/a'), (2, 's3://docs/b')",
        "DELETE FROM known WHERE objectlink.key(file) = 'a'; UPDATE known SET file = 's3://docs/c'", "c", "ab"),
    "foreign key, SET DEFAULT": Way(
        """CREATE TABLE known (file objectlink.storage_ref PRIMARY KEY);
           CREATE TABLE t (file objectlink.storage_ref DEFAULT 's3://docs/d' REFERENCES known ON DELETE SET DEFAULT);
           SELECT objectlink.attach('t', 'file')""",
        "INSERT INTO known VALUES ('s3://docs/a'), ('s3://docs/d'); INSERT INTO t VALUES ('s3://docs/a')",
        "DELETE FROM known WHERE objectlink.key(file) = 'a'", "d", "a"),
    "foreign key, in the way": Way(
        CASCADES.format("RESTRICT") + "SELECT objectlink.detach('page', 'file'); ALTER TABLE t ADD file objectlink.storage_ref; SELECT objectlink.attach('t', 'file')",
        "INSERT INTO t VALUES (1, 's3://docs/a'); INSERT INTO page VALUES (1, NULL)",
        "DO $$ BEGIN DELETE FROM t; EXCEPTION WHEN foreign_key_violation THEN NULL; END $$", "a", ""),
    "truncate": Way(
        PLAIN + "CREATE TABLE other (file objectlink.storage_ref)", "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b'); INSERT INTO other VALUES ('s3://docs/b')",
        "TRUNCATE t RESTART IDENTITY", "b", "a"),
    "truncate and fill again": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')",
        "BEGIN; TRUNCATE t; INSERT INTO t VALUES (1, '', 's3://docs/b'); COMMIT", "b", "a"),
    "truncate cascade": Way(
        CASCADES.format("CASCADE"), "INSERT INTO t VALUES (1); INSERT INTO page VALUES (1, 's3://docs/a')", "TRUNCATE t CASCADE", "", "a"),
    "truncate a partition": Way(
        PARTITIONED, "INSERT INTO t VALUES (1, 'x', 's3://docs/a'), (2, 'y', 's3://docs/b'), (1, 'z', 's3://docs/c')",
        "TRUNCATE t_y, t_z", "a", "bc"),
    "truncate all partitions": Way(
        PARTITIONED, "INSERT INTO t VALUES (1, 'x', 's3://docs/a'), (2, 'y', 's3://docs/b'), (1, 'z', 's3://docs/c')", "TRUNCATE t", "", "abc"),
    "truncate only the parent": Way(
        INHERITED, "INSERT INTO t VALUES (1, 's3://docs/a'); INSERT INTO t_child VALUES (1, 's3://docs/b')", "TRUNCATE ONLY t", "b", "a"),
    "moved between partitions": Way(
        PARTITIONED, "INSERT INTO t VALUES (1, 'x', 's3://docs/a'), (1, 'y', 's3://docs/b')",
        "UPDATE t SET kind = 'y' WHERE kind = 'x'; UPDATE t SET kind = 'z' WHERE objectlink.key(file) = 'b'", "ab", ""),
    "moved, and changed on the way": Way(
        PARTITIONED, "INSERT INTO t VALUES (1, 'x', 's3://docs/a'), (2, 'x', 's3://docs/b')",
        "UPDATE t SET kind = 'y', file = 's3://docs/c' WHERE id = 1; UPDATE t SET kind = 'q', file = NULL WHERE id = 2", "c", "ab"),
    "partitions by their own name": Way(
        PARTITIONED, "INSERT INTO t_y (id, kind, file) VALUES (1, 'y', 's3://docs/a'), (2, 'y', 's3://docs/b'); INSERT INTO t_rest VALUES (3, 'q', 's3://docs/c')",
        "DELETE FROM t_y WHERE id = 1; UPDATE t_rest SET file = 's3://docs/d'", "bd", "ac"),
    "a later partition": Way(
        PARTITIONED, "INSERT INTO t VALUES (1, 'x', 's3://docs/a')",
        """CREATE TABLE t_w PARTITION OF t FOR VALUES IN ('w'); CREATE TABLE t_z2 PARTITION OF t_z DEFAULT;
           INSERT INTO t VALUES (1, 'w', 's3://docs/b'), (2, 'w', 's3://docs/c'), (9, 'z', 's3://docs/d');
           DELETE FROM t WHERE id = 2; TRUNCATE t_z2""", "ab", "cd"),
    "a partition that comes with rows": Way(
        PARTITIONED + "CREATE TABLE t_w (kind text, id int, file objectlink.storage_ref)",
        "INSERT INTO t_w VALUES ('w', 1, 's3://docs/a'), ('w', 2, 's3://docs/b')",
        "ALTER TABLE t ATTACH PARTITION t_w FOR VALUES IN ('w'); DELETE FROM t WHERE id = 2", "a", "b"),
    "a partition that leaves": Way(
        PARTITIONED, "INSERT INTO t VALUES (1, 'x', 's3://docs/a'), (2, 'x', 's3://docs/b'), (3, 'y', 's3://docs/c')",
        "ALTER TABLE t DETACH PARTITION t_x; DELETE FROM t_x WHERE id = 1; DELETE FROM t", "b", "ac"),
    "a partition that leaves and returns": Way(
        PARTITIONED, "INSERT INTO t VALUES (1, 'x', 's3://docs/a'), (2, 'x', 's3://docs/b')",
        """ALTER TABLE t DETACH PARTITION t_x; UPDATE t_x SET file = 's3://docs/c' WHERE id = 2;
           ALTER TABLE t ATTACH PARTITION t_x FOR VALUES IN ('x'); DELETE FROM t WHERE id = 1""", "c", "ab"),
    "inheritance": Way(
        INHERITED, "INSERT INTO t VALUES (1, 's3://docs/a'); INSERT INTO t_child VALUES (2, 's3://docs/b'), (3, 's3://docs/c'); INSERT INTO t_grandchild VALUES (4, 's3://docs/d')",
        "UPDATE t SET file = 's3://docs/e' WHERE id = 2; DELETE FROM ONLY t; DELETE FROM t WHERE id = 4", "ce", "abd"),
    "inheritance, joining and leaving": Way(
        INHERITED + "CREATE TABLE late (id int, file objectlink.storage_ref)", "INSERT INTO late VALUES (1, 's3://docs/a'), (2, 's3://docs/b'), (3, 's3://docs/c')",
        "ALTER TABLE late INHERIT t; DELETE FROM t WHERE id = 1; ALTER TABLE late NO INHERIT t; DELETE FROM late WHERE id = 2", "c", "ab"),
    "replica role": Way(
        PLAIN, "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')",
        """SET session_replication_role = replica; DELETE FROM t WHERE id = 1; INSERT INTO t VALUES (3, '', 's3://docs/c');
           UPDATE t SET file = 's3://docs/d' WHERE id = 2; RESET session_replication_role""", "cd", "ab"),
    "domain, generated, unlogged": Way(
        """CREATE DOMAIN picture AS objectlink.storage_ref CHECK (objectlink.key(VALUE) < 'y');
           CREATE UNLOGGED TABLE t (id text, face picture, badge objectlink.storage_ref GENERATED ALWAYS AS (objectlink.storage_ref('docs', id)) STORED);
           SELECT objectlink.attach('t', 'face'), objectlink.attach('t', 'badge') AS other""",
        "INSERT INTO t (id, face) VALUES ('a', 's3://docs/b'), ('c', 's3://docs/d')",
        "UPDATE t SET id = 'e' WHERE id = 'a'; DELETE FROM t WHERE id = 'c'", "be", "acd"),
    "text columns": Way(
        "CREATE TABLE t (id int, path varchar(20)); SELECT objectlink.attach('t', 'path', store => 'docs')",
        "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, '')", "UPDATE t SET path = '' WHERE id = 1; UPDATE t SET path = 'c' WHERE id = 3", "bc", "a"),
    "deferred triggers and constraints": Way(
        PLAIN + """CREATE TABLE copy (file objectlink.storage_ref); SELECT objectlink.attach('copy', 'file');
           CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM t WHERE id = NEW.id; INSERT INTO copy VALUES (NEW.file); RETURN NULL; END $$;
           CREATE CONSTRAINT TRIGGER late AFTER UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION late()""",
        "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')", "UPDATE t SET file = 's3://docs/c' WHERE id = 1", "bc", "a"),
    "renamed, moved to a schema, given away": Way(
        PLAIN + "CREATE SCHEMA shelf", "INSERT INTO t VALUES (1, '', 's3://docs/a'), (2, '', 's3://docs/b')",
        """ALTER TABLE t RENAME COLUMN file TO link; ALTER TABLE t RENAME TO u; ALTER TABLE u SET SCHEMA shelf;
           ALTER TABLE shelf.u REPLICA IDENTITY FULL, SET UNLOGGED; ALTER TABLE shelf.u SET LOGGED;
           DELETE FROM shelf.u WHERE id = 1; INSERT INTO shelf.u VALUES (3, '', 's3://docs/c')""", "bc", "a"),
    "a dropped child": Way(
        INHERITED, "INSERT INTO t VALUES (1, 's3://docs/a'); INSERT INTO t_grandchild VALUES (2, 's3://docs/b')", "DROP TABLE t_grandchild", "a", "", "b"),
}


def assert_in_step(documents, linked, gone, dropped=""):
    pg = documents.pg
    documents.assert_bucket(set(KEYS) - set(gone))
    assert pg.states() == {**{key: "stored" for key in linked}, **{key: "unlinked" for key in dropped}}
    assert {row.key for row in pg.run("SELECT key FROM objectlink.object WHERE held_reason IS NOT NULL")} == set(dropped)
    assert {row.key for row in pg.run(
        "SELECT objectlink.key(ref) AS key FROM objectlink.linked(ARRAY(SELECT objectlink.storage_ref('docs', k) FROM unnest(%s::text[]) k))"
        " WHERE ref IS NOT NULL", list(KEYS))} == set(linked)
    documents.assert_nothing_waits()


@pytest.fixture
def store(pg, bucket):
    pg.create_server("docs", bucket.endpoint, bucket.name)
    documents = Documents(pg, bucket)
    for key in KEYS:
        documents.upload(key, key.encode())
    return documents


@pytest.mark.parametrize("name", WAYS)
def test_in_step(store, make_daemon, name):
    way = WAYS[name]
    store.pg.run(way.tables)
    make_daemon()
    store.pg.run(way.rows)
    store.pg.wait_for_sync()
    store.pg.run(way.change)
    store.pg.wait_for_sync()
    assert_in_step(store, way.linked, way.gone, way.dropped)


@pytest.mark.parametrize("name", WAYS)
def test_in_step_when_all_of_it_is_read_at_once(store, make_daemon, name):
    """Nothing is computed from the order of events: the daemon comes when it is over."""
    way = WAYS[name]
    for statements in (way.tables, way.rows, way.change):
        store.pg.run(statements)
    make_daemon()
    store.pg.wait_for_sync()
    assert_in_step(store, way.linked, way.gone, way.dropped)


def test_copy(store, daemon):
    pg = store.pg
    pg.run(PLAIN)
    with pg.connection.cursor() as cursor:
        cursor.copy_expert("COPY t FROM stdin", io.StringIO("1\t\ts3://docs/a\n2\t\t\\N\n3\t\ts3://docs/b\n"))
        with pytest.raises(psycopg2.DataError):
            cursor.copy_expert("COPY t FROM stdin", io.StringIO("4\t\ts3://docs/c\n5\t\tno ref\n"))
    pg.wait_for_sync()
    assert_in_step(store, "ab", "")


# Logical replication: what a subscription applies links and unlinks like anything else

@pytest.fixture
def cluster(make_cluster, request):
    return make_cluster(wal_level="logical") if "subscribed" in request.fixturenames else make_cluster()


@pytest.fixture
def subscribed(store, cluster, request):
    """Table t here receives what is done to a table in another database, which knows nothing of objectlink."""
    pg = store.pg
    publisher = next(publishers := fresh_database(cluster, request))
    publisher.run("CREATE TABLE t (id int PRIMARY KEY, kind text, file text)")
    publisher.run("ALTER TABLE t REPLICA IDENTITY FULL")
    publisher.run("INSERT INTO t VALUES (1, 'x', 's3://docs/a'), (2, 'x', 's3://docs/b')")
    publisher.run("CREATE PUBLICATION p FOR TABLE t")
    slot = f"slot_{pg.name}"
    publisher.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", slot)
    pg.run("CREATE TABLE t (id int, kind text, file objectlink.storage_ref, PRIMARY KEY (id, kind)) PARTITION BY LIST (kind)")
    pg.run("CREATE TABLE t_x PARTITION OF t FOR VALUES IN ('x'); CREATE TABLE t_rest PARTITION OF t DEFAULT")
    pg.run("SELECT objectlink.attach('t', 'file')")
    pg.run(f"CREATE SUBSCRIPTION {slot} CONNECTION 'host={cluster.host} port={cluster.port} user={cluster.superuser} dbname={publisher.name}'"
           f" PUBLICATION p WITH (create_slot = false, slot_name = '{slot}')")
    yield publisher
    pg.run(f"ALTER SUBSCRIPTION {slot} DISABLE")
    pg.run(f"ALTER SUBSCRIPTION {slot} SET (slot_name = NONE)")
    pg.run(f"DROP SUBSCRIPTION {slot}")
    publishers.close()


def wait_applied(pg, expected):
    eventually(lambda: {row.id: row.key for row in pg.run("SELECT id, objectlink.key(file) AS key FROM t")} == expected)


def test_logical_replication(store, subscribed, daemon):
    pg = store.pg
    wait_applied(pg, {1: "a", 2: "b"})
    pg.wait_for_sync()
    assert_in_step(store, "ab", "")

    subscribed.run("INSERT INTO t VALUES (3, 'x', 's3://docs/c'), (4, 'y', 's3://docs/d'); DELETE FROM t WHERE id = 1")
    subscribed.run("UPDATE t SET file = 's3://docs/e' WHERE id = 2")
    wait_applied(pg, {2: "e", 3: "c", 4: "d"})
    pg.wait_for_sync()
    assert_in_step(store, "cde", "ab")

    # A row that moves between partitions here, where it was an ordinary UPDATE there
    subscribed.run("UPDATE t SET kind = 'z', file = 's3://docs/f' WHERE id = 3")
    wait_applied(pg, {2: "e", 3: "f", 4: "d"})
    pg.wait_for_sync()
    assert_in_step(store, "def", "abc")

    subscribed.run("TRUNCATE t; INSERT INTO t VALUES (9, 'x', 's3://docs/g')")
    wait_applied(pg, {9: "g"})
    pg.wait_for_sync()
    assert_in_step(store, "g", "abcdef")


def test_unlogged_table_after_a_crash(make_cluster, bucket, make_daemon, request):
    """Its rows are gone without a word, so their objects are not deleted; what was not read before is held."""
    cluster = make_cluster(max_connections=37)
    databases = fresh_database(cluster, request)
    pg = next(databases)
    pg.create_extension()
    pg.create_server("docs", bucket.endpoint, bucket.name)
    store = Documents(pg, bucket)
    for key in "ab":
        store.upload(key, key.encode())
    pg.run("CREATE UNLOGGED TABLE t (file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('t', 'file')")
    daemon = make_daemon(dsn=pg.dsn())
    pg.run("INSERT INTO t VALUES ('s3://docs/a')")
    pg.wait_for_sync()
    daemon.stop()
    pg.run("INSERT INTO t VALUES ('s3://docs/b')")
    pg.close()
    cluster.restart("immediate")
    daemon.start()
    pg.wait_for_sync()
    assert pg.value("SELECT count(*) FROM t") == 0
    store.assert_bucket("ab")
    assert pg.state("a") == "stored"
    assert "without a word" in pg.value("SELECT held_reason FROM objectlink.object WHERE key = 'b'")
    databases.close()
