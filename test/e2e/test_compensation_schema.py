"""Goal: rows of a schema that has everything come back, or go, whole: cascades three deep, partitions, GENERATED columns, identity
ALWAYS, row security that hides the rows from their owner, triggers of several kinds; and none of its code runs with more rights than its owner has.
Method: real daemon, real store, a proxy that refuses for good. The schema belongs to a role that is nobody, its rows are deleted by another one.
"""
import pytest

from harness.documents import content_of
from harness.postgres import run
from harness.waiting import eventually

SCHEMA = """
CREATE SCHEMA archive;
CREATE TABLE archive.book (id int GENERATED ALWAYS AS IDENTITY, shelf text, title text NOT NULL CONSTRAINT titled CHECK (title <> ''), loud text GENERATED ALWAYS AS (upper(title)) STORED,
  file objectlink.storage_ref, seen json[], changed timestamptz, version int NOT NULL DEFAULT 1, PRIMARY KEY (shelf, id)) PARTITION BY LIST (shelf);
CREATE TABLE archive.book_a PARTITION OF archive.book FOR VALUES IN ('a');
CREATE TABLE archive.book_b (version int NOT NULL DEFAULT 1, title text NOT NULL CONSTRAINT titled CHECK (title <> ''), shelf text NOT NULL, id int NOT NULL,
  loud text GENERATED ALWAYS AS (upper(title)) STORED, file objectlink.storage_ref, changed timestamptz, seen json[]);
ALTER TABLE archive.book ATTACH PARTITION archive.book_b FOR VALUES IN ('b');
CREATE TABLE archive.chapter (shelf text, book int, n int, body text, PRIMARY KEY (shelf, book, n),
  FOREIGN KEY (shelf, book) REFERENCES archive.book ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED) PARTITION BY HASH (book);
CREATE TABLE archive.chapter_0 PARTITION OF archive.chapter FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE archive.chapter_1 PARTITION OF archive.chapter FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE archive.page (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, shelf text, book int, n int, words int GENERATED ALWAYS AS (n * 100) STORED,
  FOREIGN KEY (shelf, book, n) REFERENCES archive.chapter ON DELETE CASCADE);
CREATE TABLE archive.note (page bigint REFERENCES archive.page ON DELETE CASCADE, text text);
CREATE TABLE archive.witness (who name, did text, what text, replica text DEFAULT current_setting('session_replication_role'));
CREATE FUNCTION archive.before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.changed := coalesce(NEW.changed, '2020-01-01Z'); RETURN NEW; END $$;
CREATE TRIGGER before BEFORE INSERT ON archive.book FOR EACH ROW EXECUTE FUNCTION archive.before();
CREATE FUNCTION archive.after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO archive.witness VALUES (current_user, tg_op, tg_argv[0]); RETURN NULL; END $$;
CREATE TRIGGER after AFTER INSERT OR DELETE ON archive.note FOR EACH ROW EXECUTE FUNCTION archive.after('note');
CREATE TRIGGER whole AFTER INSERT OR DELETE ON archive.book FOR EACH STATEMENT EXECUTE FUNCTION archive.after('book');
CREATE CONSTRAINT TRIGGER late AFTER INSERT OR DELETE ON archive.page DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION archive.after('page, late');
"""
HIDDEN = """
ALTER TABLE archive.{0} ENABLE ROW LEVEL SECURITY; ALTER TABLE archive.{0} FORCE ROW LEVEL SECURITY;
CREATE POLICY hidden ON archive.{0} USING (current_setting('archive.shelf', true) = shelf);
"""
TABLES = ["book", "chapter", "page", "note"]


@pytest.fixture
def archive(documents, request):
    """Tables of `librarian`, who sees their rows only after saying the shelf; `reader` may delete books."""
    pg = documents.pg
    for role in ["librarian", "reader"]:
        pg.create_role(role)
    pg.run("GRANT USAGE ON FOREIGN SERVER docs TO librarian; SELECT objectlink.grant_admin('librarian')")
    pg.run(f'GRANT CREATE ON DATABASE "{pg.name}" TO librarian')
    pg.run("ALTER SERVER docs OPTIONS (ADD max_attempts '2')")
    librarian = pg.connect("librarian")
    run(librarian, SCHEMA)
    for table in TABLES[:3]:
        run(librarian, HIDDEN.format(table))
    run(librarian, f"SELECT objectlink.attach('archive.book', 'file', related => '{{archive.chapter,archive.page,archive.note}}', {request.param})")
    run(librarian, "GRANT USAGE ON SCHEMA archive TO reader; GRANT SELECT, DELETE ON archive.book TO reader; GRANT INSERT ON archive.witness TO reader")
    yield documents
    pg.run("DROP SCHEMA archive CASCADE; DROP OWNED BY librarian, reader")


def fill(documents, keys):
    """One book on each shelf for each key, each with two chapters, four pages and four notes."""
    librarian = documents.pg.connect("librarian", autocommit=False)
    for key in keys:
        documents._contents[key] = content_of(key)
        for shelf in ["a", "b"]:
            run(librarian, "SELECT set_config('archive.shelf', %s, true)", shelf)
            ref = run(librarian, "SELECT objectlink.put('docs', %s, key => %s) AS ref", content_of(key), key)[0].ref if shelf == "a" else ref
            book, = run(librarian, "INSERT INTO archive.book (shelf, title, file, seen) VALUES (%s, %s, %s, ARRAY['{\"b\" :1, \"b\": 2}']::json[]) RETURNING id", shelf, key, ref)
            run(librarian, "INSERT INTO archive.chapter SELECT %s, %s, n, 'body' FROM generate_series(1, 2) n", shelf, book.id)
            run(librarian, "WITH p AS (INSERT INTO archive.page (shelf, book, n) SELECT %s, %s, n FROM generate_series(1, 2) n, generate_series(1, 2) RETURNING id)"
                           " INSERT INTO archive.note SELECT id, 'note' FROM p", shelf, book.id)
    librarian.commit()


def contents(pg, key=None):
    """All rows, as texts; of one book, with everything that hangs on it."""
    if key is None:
        return {table: sorted(row[0] for row in pg.run(f"SELECT t::text FROM archive.{table} t")) for table in TABLES}
    return {table: sorted(row[0] for row in pg.run(
        f"SELECT DISTINCT ({alias}.*)::text FROM archive.book b JOIN archive.chapter c ON (c.shelf, c.book) = (b.shelf, b.id)"
        f" JOIN archive.page p ON (p.shelf, p.book, p.n) = (c.shelf, c.book, c.n) JOIN archive.note o ON o.page = p.id WHERE b.title = %s", key))
        for table, alias in zip(TABLES, "bcpo")}


def lock(proxy):
    return [proxy.delete_errors("^locked/", code="AccessDenied", times=None),
            proxy.answer(403, code="AccessDenied", method="DELETE", path="locked/", times=None)]


def assert_ran_as_owner(pg, operation, expected):
    """Whatever the daemon did, its triggers ran as the tables' owner, once for each row or statement."""
    seen = pg.run("SELECT what, who, count(*), bool_and(replica = 'origin') AS ordinary FROM archive.witness WHERE did = %s GROUP BY 1, 2 ORDER BY 1", operation)
    assert [tuple(row) for row in seen] == [(what, "librarian", count, True) for what, count in expected]


@pytest.mark.parametrize("archive", ["on_delete_failure => 'restore_row'"], indirect=True)
def test_a_deletion_that_is_refused_brings_everything_back(archive, proxy, daemon):
    pg = archive.pg
    fill(archive, ["free/1", "locked/1"])
    archive.sync()
    before, after = contents(pg), contents(pg, "locked/1")
    assert [len(after[table]) for table in TABLES] == [2, 4, 8, 8]
    rules = lock(proxy)
    pg.run("ALTER ROLE reader BYPASSRLS; TRUNCATE archive.witness")  # RLS does not hide what cascades
    run(pg.connect("reader"), "DELETE FROM archive.book")
    assert contents(pg) == {table: [] for table in TABLES}

    def restored():
        archive.delete(archive.put_fresh(1))  # the store does for others what it refuses here
        return contents(pg) == after

    eventually(restored, 60)
    archive.sync()
    assert pg.states() == {"locked/1": "stored"}
    # Linked once, and by nobody twice.
    assert [event.cause for event in pg.events("locked/1")][-4:] == ["delete given up", "rows restored", "link", "verify"]
    assert_ran_as_owner(pg, "INSERT", [("book", 1), ("note", 8), ("page, late", 8)])
    counts = pg.value("SELECT detail -> 'counts' FROM objectlink.events WHERE cause = 'rows restored'")
    assert counts == {"archive.book": 2, "archive.chapter": 4, "archive.page": 8, "archive.note": 8}
    assert pg.value("SELECT count(*) FROM objectlink.deleted_row") == 0
    # The next ones get numbers of their own, as ever.
    fill(archive, ["free/2"])
    archive.sync()
    for rule in rules:
        proxy.remove(rule)
    run(pg.connect("reader"), "DELETE FROM archive.book")
    archive.sync()
    assert contents(pg) == {table: [] for table in TABLES}
    archive.assert_bucket(set())
    assert before["book"] != after["book"]


@pytest.mark.parametrize("archive", ["on_delete_failure => 'restore_row'"], indirect=True)
@pytest.mark.parametrize("conflict, mend", [
    ("INSERT INTO archive.book (shelf, id, title) OVERRIDING SYSTEM VALUE SELECT shelf, id, 'taken' FROM gone WHERE shelf = 'b'", "DELETE FROM archive.book WHERE title = 'taken'"),
    ("ALTER TABLE archive.chapter ADD CONSTRAINT none CHECK (n < 2)", "ALTER TABLE archive.chapter DROP CONSTRAINT none"),
    ("ALTER TABLE archive.book DETACH PARTITION archive.book_b", "ALTER TABLE archive.book ATTACH PARTITION archive.book_b FOR VALUES IN ('b')"),
    ("ALTER TABLE archive.page ADD must text, ADD CONSTRAINT must CHECK (must IS NOT NULL)", "ALTER TABLE archive.page DROP must"),
    ("CREATE TRIGGER no BEFORE INSERT ON archive.note FOR EACH ROW EXECUTE FUNCTION no()", "DROP TRIGGER no ON archive.note"),
], ids=["key taken", "check violated", "partition gone", "column added", "trigger raises"])
def test_a_conflict_leaves_nothing_half_done_and_one_call_repairs_it(archive, proxy, daemon, conflict, mend):
    pg = archive.pg
    fill(archive, ["locked/1"])
    archive.sync()
    after = contents(pg)
    pg.run("CREATE TABLE gone AS SELECT shelf, id FROM archive.book")
    pg.run("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$")
    lock(proxy)
    pg.run("DELETE FROM archive.book")
    pg.run(conflict)
    in_the_way = contents(pg)

    def told():
        archive.delete(archive.put_fresh(1))
        return pg.run("SELECT * FROM objectlink.events WHERE cause = 'rows not compensated'")

    event = eventually(told, 60)[0]
    assert event.detail["severity"] == "critical" and event.detail["count"] == 2
    assert event.detail["rows"] == pg.run("SELECT jsonb_agg(jsonb_build_object('id', id, 'shelf', shelf) ORDER BY shelf) FROM gone")[0][0]
    assert contents(pg) == in_the_way
    letter, = pg.run("SELECT key, operation, rows_kept FROM objectlink.dead_letters")
    assert letter == ("locked/1", "delete", 2)
    # The rows as they were, for their owner, and for nobody else.
    kept = "SELECT relation::text, count(*) FROM objectlink.kept_rows GROUP BY 1 ORDER BY 1"
    parts = run(pg.connect("librarian"), kept)
    assert sum(part.count for part in parts) == 22 and run(pg.connect("reader"), kept) == []
    # What is in the way is mended, and the call that `problems` names brings all of it back.
    problem, = pg.run("SELECT * FROM objectlink.problems WHERE what = 'rows not compensated'")
    pg.run(mend)
    call = "SELECT " + problem.remedy.partition("SELECT ")[2].partition(". The rows")[0]
    assert run(pg.connect("librarian"), call)[0][0] == 22
    archive.sync()
    assert contents(pg) == after and pg.states() == {"locked/1": "stored"}
    assert pg.run("SELECT * FROM objectlink.problems WHERE what IN ('rows not compensated', 'dead letters')") == []
    pg.run("DROP TABLE gone; DROP FUNCTION no")


@pytest.mark.parametrize("archive", ["on_upload_failure => 'delete_row'", "on_upload_failure => 'set_null'"], indirect=True)
def test_an_upload_that_is_refused_takes_its_rows_and_all_that_hangs_on_them_away(archive, proxy, daemon, request):
    pg = archive.pg
    proxy.answer(400, "EntityTooLarge", method="PUT", path="/huge/", times=None)
    fill(archive, ["small/1", "huge/1"])
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.events WHERE cause = 'rows compensated'"))
    archive.sync()
    event, = pg.run("SELECT key, detail FROM objectlink.events WHERE cause = 'rows compensated'")
    assert (event.key, event.detail["count"]) == ("huge/1", 2) and sorted(row["shelf"] for row in event.detail["rows"]) == ["a", "b"]
    assert pg.run("SELECT title, count(*), count(file) AS linked FROM archive.book GROUP BY 1 ORDER BY 1") == (
        [("small/1", 2, 2)] if "delete_row" in request.node.callspec.params["archive"] else [("huge/1", 2, 0), ("small/1", 2, 2)])
    archive.assert_bucket({"small/1"})
    if "delete_row" in request.node.callspec.params["archive"]:
        assert contents(pg) == contents(pg, "small/1")
        assert_ran_as_owner(pg, "DELETE", [("book", 1), ("note", 8), ("page, late", 8)])
