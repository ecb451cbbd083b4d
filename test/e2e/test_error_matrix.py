"""Goal: the error matrix: whatever is down while a document is uploaded or deleted, document and object end alike, nothing else is
hurt, and the error is told. test/README.md says which row of the requirements is tested where.
Method: store, database or event consumer fail at the worst moment (after the effect, before it is recorded); one of a batch fails.
"""
import pytest

from harness.documents import content_of
from harness.postgres import DAEMON_ROLE, run
from harness.waiting import eventually

EVENTS = "SELECT id, store, key, cause FROM objectlink.{} WHERE key IS NOT NULL ORDER BY id"


@pytest.fixture
def daemon(documents, pg_proxy, make_daemon):
    """Reaches PostgreSQL by way of the proxy, with a password, because that way is TCP."""
    return make_daemon(name="daemon", dsn=documents.pg.dsn(DAEMON_ROLE, "127.0.0.1", pg_proxy.port),
                       environment={"PGPASSWORD": documents.pg.cluster.password})


class StoreDown:
    """Nobody listens there."""

    def __init__(self, documents, proxy, pg_proxy):
        self.documents, self.proxy = documents, proxy

    def begin(self):
        self.proxy.refuse()

    def see(self, before):
        pg = self.documents.pg
        eventually(lambda: pg.value("SELECT status FROM objectlink.consistency") == "paused")
        assert pg.run("SELECT 1 FROM objectlink.problems WHERE what = 'store paused'")
        assert set(self.documents.bucket.keys()) == set(before)

    def end(self):
        self.proxy.accept()


class DatabaseDown:
    """It is gone when the store has just done what it was asked for, and nobody can write that down."""

    def __init__(self, documents, proxy, pg_proxy):
        self.documents, self.proxy, self.pg_proxy = documents, proxy, pg_proxy

    def begin(self):
        self.gate = self.proxy.hold(path=".", after=True)

    def see(self, before):
        self.gate.wait_reached()
        self.pg_proxy.refuse()
        self.pg_proxy.cut_all()
        self.gate.open()
        assert set(self.documents.bucket.keys()) != set(before)
        assert self.documents.pg.run("SELECT 1 FROM objectlink.object WHERE state IN ('pending', 'deleting')")

    def end(self):
        self.pg_proxy.accept()


class ConsumerDown:
    """It has begun to read, and never goes on."""

    def __init__(self, documents, proxy, pg_proxy):
        self.documents = documents

    def begin(self):
        self.dead = self.documents.pg.connect(autocommit=False)
        run(self.dead, "SELECT * FROM objectlink.read_events('indexer')")

    def see(self, before):
        self.documents.sync()  # nobody waits for it

    def end(self):
        self.dead.rollback()


@pytest.mark.parametrize("down", [StoreDown, DatabaseDown, ConsumerDown])
@pytest.mark.parametrize("operation", ["upload", "delete"])
def test_down_while_documents_are_uploaded_or_deleted(documents, proxy, pg_proxy, daemon, operation, down):
    documents.pg.run("SELECT objectlink.create_consumer('indexer', from_beginning => true)")
    before = documents.put_fresh(3)
    documents.sync()
    down = down(documents, proxy, pg_proxy)
    down.begin()
    # The user's transaction waits for nobody, and its rows are what he said.
    if operation == "upload":
        after = before + documents.put_fresh(3)
    else:
        after = before[1:]
        documents.delete(before[:1])
    assert documents.linked_keys() == set(after)
    down.see(before)
    down.end()
    documents.sync()
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()
    assert documents.linked_keys() == set(after)
    eventually(lambda: documents.pg.run("SELECT count(*) FROM objectlink.read_events('indexer')")[0].count
               == documents.pg.value("SELECT count(*) FROM objectlink.event"))
    assert documents.pg.run(EVENTS.format("read_events('indexer')")) == documents.pg.run(EVENTS.format("events"))


def test_bytes_that_cannot_be_removed_are_told_beside_what_came_first(documents, proxy, daemon):
    """Stored, but the store said that it can never be; the row goes; then the bytes cannot be removed. Each error is told, and the
    later one takes no earlier one's place."""
    pg = documents.pg
    pg.run("SELECT objectlink.alter_attachment('document', 'file', on_upload_failure => 'delete_row', max_attempts => 2)")
    said = proxy.replace_reply(400, code="EntityTooLarge", method="PUT", path="/half$", times=None)
    kept = [proxy.delete_errors("^half$", code="AccessDenied", times=None),
            proxy.answer(403, code="AccessDenied", method="DELETE", path="/half$", times=None)]
    documents.put(["half"])

    def given_up():
        documents.delete(documents.put_fresh(1))  # the store does for others what it refuses here: it is this object's own trouble
        return pg.run("SELECT operation, error_code FROM objectlink.dead_letters") == [("delete", "AccessDenied")]

    eventually(given_up, 60)
    assert "half" not in documents.linked_keys() and documents.bucket.exists("half")
    told = [(event.cause, event.detail.get("code")) for event in pg.events("half") if event.detail and "code" in event.detail]
    assert told[0][1] == "EntityTooLarge" and ("rows compensated", "EntityTooLarge") in told and told[-1] == ("delete given up", "AccessDenied")
    for rule in [said, *kept]:
        proxy.remove(rule)
    assert pg.value("SELECT objectlink.retry_dead_letters()") == 1
    documents.sync()
    documents.assert_in_step(marks_held=True)


# A batch: each item by itself

@pytest.fixture
def papers(documents):
    """Documents with chunks, that come back if their object cannot be deleted, and go if theirs cannot be uploaded."""
    pg = documents.pg
    pg.run("SELECT objectlink.detach('document', 'file')")
    pg.run("CREATE TABLE chunk (document bigint REFERENCES document ON DELETE CASCADE, body text)")
    pg.run("SELECT objectlink.attach('document', 'file', max_attempts => 2, related => '{chunk}',"
           " on_upload_failure => 'delete_row', on_delete_failure => 'restore_row')")
    return documents


def with_chunks(documents):
    return [row.key for row in documents.pg.run(
        "SELECT DISTINCT objectlink.key(d.file) AS key FROM document d JOIN chunk c ON c.document = d.id ORDER BY 1")]


def insert_batch(documents, keys):
    """One statement for all of them."""
    for key in keys:
        documents._contents[key] = content_of(key)
    documents.pg.run("WITH d AS (INSERT INTO document (file) SELECT objectlink.put('docs', convert_to('content of ' || k, 'UTF8'), key => k)"
                     " FROM unnest(%s::text[]) k RETURNING id) INSERT INTO chunk SELECT id, 'chunk' FROM d", keys)


def test_of_a_batch_of_uploads_each_succeeds_or_is_rolled_back_by_itself(papers, proxy, daemon):
    pg = papers.pg
    proxy.answer(400, code="EntityTooLarge", path="/bad/", method="PUT", times=None)
    insert_batch(papers, ["good/1", "bad/1", "good/2", "bad/2", "good/3"])
    eventually(lambda: papers.linked_keys() == {"good/1", "good/2", "good/3"})
    papers.sync()
    papers.assert_bucket({"good/1", "good/2", "good/3"})
    assert with_chunks(papers) == ["good/1", "good/2", "good/3"]
    # Every error is recorded, with what was done about it.
    told = pg.run("SELECT key, detail ->> 'code' AS code FROM objectlink.events WHERE cause = 'rows compensated' ORDER BY key")
    assert told == [("bad/1", "EntityTooLarge"), ("bad/2", "EntityTooLarge")]


def test_of_a_batch_of_deletions_each_succeeds_or_is_rolled_back_by_itself(papers, proxy, daemon):
    pg = papers.pg
    keys = [f"{kind}/{number}" for kind in ("free", "locked") for number in (1, 2, 3)]
    insert_batch(papers, keys)
    papers.sync()
    documents = pg.run("SELECT * FROM document ORDER BY id")
    for rule in (lambda: proxy.delete_errors("^locked/", code="AccessDenied", times=None),
                 lambda: proxy.answer(403, code="AccessDenied", method="DELETE", path="locked/", times=None)):
        rule()
    pg.run("DELETE FROM document")

    def restored():
        papers.delete(papers.put_fresh(1))  # the store does for others what it refuses here: it is these objects' own trouble
        return with_chunks(papers) == keys[3:]

    eventually(restored, 60)
    papers.sync()
    assert pg.run("SELECT * FROM document ORDER BY id") == documents[3:]  # as they were
    papers.assert_bucket(set(keys[3:]))
    for key in keys[3:]:
        assert [event.cause for event in pg.events(key)][-4:] == ["delete given up", "rows restored", "link", "verify"]


def test_a_restore_that_fails_is_critical_and_stops_no_other(papers, proxy, daemon):
    pg = papers.pg
    keys = ["locked/1", "locked/2"]
    insert_batch(papers, keys)
    papers.sync()
    taken = pg.value("SELECT min(id) FROM document")
    proxy.delete_errors("^locked/", code="AccessDenied", times=None)
    proxy.answer(403, code="AccessDenied", method="DELETE", path="locked/", times=None)
    pg.run("DELETE FROM document")
    pg.run("INSERT INTO document (id) VALUES (%s)", taken)  # where one of them was

    def restored():
        papers.delete(papers.put_fresh(1))
        return with_chunks(papers) == keys[1:]

    eventually(restored, 60)
    told = "SELECT key, detail ->> 'severity' AS severity, detail ->> 'code' AS code FROM objectlink.events WHERE cause = 'rows not compensated'"
    eventually(lambda: pg.run(told) == [("locked/1", "critical", "23505")])
    assert pg.run("SELECT severity FROM objectlink.problems WHERE what = 'rows not compensated'") == [("error",)]
    assert papers.bucket.exists("locked/1")
    # A person makes room, and it is done.
    pg.run("DELETE FROM document WHERE id = %s", taken)
    assert pg.value("SELECT objectlink.restore_rows('docs', 'locked/1')") == 2
    papers.sync()
    assert with_chunks(papers) == keys
    assert pg.run("SELECT 1 FROM objectlink.problems WHERE what = 'rows not compensated'") == []
