"""Goal: rows that were there before attach, and tables that are emptied at once, are walked through in the background.
Method: some thousand rows with few objects behind them; writers, kills and broken values while the walk is under way.
"""
import pytest

from harness.documents import Documents, wait_daemon_sessions
from harness.waiting import eventually

OBJECTS = 150
ROWS = 3000


class Existing(Documents):
    """The same table with a column of either kind."""

    def __init__(self, pg, bucket, kind):
        super().__init__(pg, bucket)
        self.column = {"text": "path", "storage_ref": "file"}[kind]
        self._value = {"text": "k", "storage_ref": "objectlink.storage_ref('docs', k)"}[kind]
        self._key = {"text": "nullif(path, '')", "storage_ref": "objectlink.key(file)"}[kind]
        self._store = {"text": ", store => 'docs'", "storage_ref": ""}[kind]
        pg.run(f"CREATE TABLE document (id bigserial PRIMARY KEY, title text,"
               f" {self.column} {'text' if kind == 'text' else 'objectlink.storage_ref'})")

    def attach(self):
        self.pg.run(f"SELECT objectlink.attach('document', '{self.column}'{self._store})")

    def refer(self, keys, on=None):
        self._run(on, f"INSERT INTO document ({self.column}) SELECT {self._value} FROM unnest(%s::text[]) k", keys)

    def delete_where(self, condition):
        self.pg.run(f"DELETE FROM document WHERE {condition}")

    def linked_keys(self):
        return {row.key for row in self.pg.run(f"SELECT DISTINCT {self._key} AS key FROM document") if row.key}


@pytest.fixture(params=["storage_ref", "text"])
def existing(pg, bucket, request):
    """Rows that share some objects, in a table that is not attached yet."""
    pg.create_server("docs", bucket.endpoint, bucket.name)
    existing = Existing(pg, bucket, request.param)
    existing.link([f"old/{number:03}" for number in range(OBJECTS)])
    pg.run(f"INSERT INTO document ({existing.column}) SELECT d.{existing.column} FROM document d, generate_series(2, {ROWS // OBJECTS})")
    pg.run("INSERT INTO document (title) SELECT 'no file' FROM generate_series(1, 50)")
    return existing


def is_walking(pg):
    return pg.value("SELECT coalesce(bool_or(linking_existing_rows), false) FROM objectlink.attachments")


def test_rows_are_linked_in_the_background(existing, make_daemon):
    make_daemon()
    existing.attach()
    existing.sync()
    assert not is_walking(existing.pg)
    assert len(existing.pg.states()) == OBJECTS
    existing.assert_in_step()


def test_attach_before_any_daemon_runs(existing, make_daemon):
    existing.attach()
    assert is_walking(existing.pg)
    make_daemon("--batch-size", "100")
    existing.sync()
    existing.assert_in_step()


def test_rows_that_change_while_they_are_walked_through(existing, make_daemon):
    existing.attach()
    make_daemon("--batch-size", "20")
    for number in range(10):
        existing.delete_where(f"id % 10 = {number} AND {existing.column} IS NOT NULL AND title IS NULL AND id < {ROWS // 2}")
        existing.link([f"new/{number}"])
    existing.delete_where(f"{existing.column}::text LIKE '%old/00%'")
    existing.sync()
    assert len(existing.linked_keys()) == OBJECTS - 10 + 10
    existing.assert_in_step()


def test_killed_while_walking(existing, make_daemon):
    existing.attach()
    daemon = make_daemon("--batch-size", "20")
    for least in (1, 30, 60):
        eventually(lambda: not is_walking(existing.pg)
                   or existing.pg.value("SELECT existing_rows_linked FROM objectlink.attachments") >= least)
        daemon.kill()
        wait_daemon_sessions(existing.pg, 0)
        daemon.start()
    existing.sync()
    existing.assert_in_step()


def test_detach_ends_the_walk_and_keeps_the_objects(existing, make_daemon):
    existing.attach()
    existing.pg.run("SELECT objectlink.detach('document', %s)", existing.column)
    make_daemon()
    existing.delete_where("true")
    existing.sync()
    assert existing.pg.states() == {}
    existing.assert_bucket({f"old/{number:03}" for number in range(OBJECTS)})


@pytest.mark.parametrize("existing", ["text"], indirect=True)
def test_a_text_that_is_no_key_holds_up_nothing(existing, make_daemon):
    pg = existing.pg
    existing.refer(["", "x" * 1025, ".objectlink/owner"])
    existing.attach()
    make_daemon()
    pg.wait_for_sync()
    assert set(pg.states()) == {f"old/{number:03}" for number in range(OBJECTS)}
    assert {event.cause for event in pg.run("SELECT cause FROM objectlink.events WHERE key IS NULL AND attachment_id IS NOT NULL")} == {"not a key"}
    existing.delete_where("true")
    existing.sync()
    existing.assert_in_step()


def test_truncate(existing, make_daemon):
    existing.pg.run("CREATE TABLE also (file objectlink.storage_ref)")
    existing.pg.run("SELECT objectlink.attach('also', 'file')")
    existing.attach()
    make_daemon("--batch-size", "50")
    existing.sync()
    existing.pg.run("INSERT INTO also SELECT objectlink.storage_ref('docs', k) FROM unnest(%s::text[]) k", ["old/000", "old/100"])
    existing.pg.run("BEGIN; TRUNCATE document; ROLLBACK")
    existing.sync()
    existing.assert_in_step()
    existing.pg.run("TRUNCATE document")
    existing.sync()
    existing.linked_keys = lambda: {"old/000", "old/100"}
    existing.assert_in_step()


def test_truncate_with_what_was_not_applied_yet(existing, make_daemon):
    existing.attach()
    existing.refer(["old/000"])
    existing.pg.run("TRUNCATE document")
    existing.pg.run("TRUNCATE document")
    existing.refer(["old/001"])
    make_daemon()
    existing.sync()
    # The objects of rows that were gone before objectlink saw them are nobody's: reconciling finds those.
    assert existing.pg.states() == {"old/001": "stored"}
    existing.assert_nothing_waits()


def test_killed_while_emptying(existing, make_daemon):
    existing.attach()
    daemon = make_daemon("--batch-size", "20")
    existing.sync()
    existing.pg.run("TRUNCATE document")
    for left in (OBJECTS - 1, 100, 50):
        eventually(lambda: existing.pg.value("SELECT count(*) FROM objectlink.object WHERE state = 'stored'") <= left)
        daemon.kill()
        wait_daemon_sessions(existing.pg, 0)
        daemon.start()
    existing.sync()
    existing.assert_in_step(marks_held=True)
