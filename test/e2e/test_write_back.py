"""Goal: rows show the state of their object in the user's own words, and nothing a user's table does delays anything else.
Method: real daemon, real store, proxies; locks that users hold, triggers that raise or dawdle, kills; the rows are the witness.
"""
import threading

import pytest

from harness.documents import terminate_daemon_sessions
from harness.postgres import run
from harness.waiting import always, eventually

WORDS = """'{"pending": "uploading", "stored": "available", "failed": "ERROR", "missing": "ERROR", "corrupt": "ERROR"}'"""


@pytest.fixture
def papers(documents):
    """Table paper(id, file, status) with chunks; `document` stays without a status column."""
    documents.pg.run("CREATE TABLE paper (id bigserial PRIMARY KEY, file objectlink.storage_ref, status text)")
    documents.pg.run("CREATE TABLE chunk (paper bigint REFERENCES paper ON DELETE CASCADE, status text)")
    documents.pg.run(f"SELECT objectlink.attach('paper', 'file', status_column => 'status', related => '{{chunk}}', status_map => {WORDS})")
    return documents


def put(documents, keys, on=None):
    for key in keys:
        run(on or documents.pg.connection,
            "WITH p AS (INSERT INTO paper (file) VALUES (objectlink.put('docs', %s, key => %s)) RETURNING id) INSERT INTO chunk SELECT id FROM p, generate_series(1, 2)",
            "content of " + key, key)
        documents._contents[key] = b"content of " + key.encode()
    return keys


def statuses(pg):
    """By key: what the row and its chunks show."""
    return {row.key: set(row.words) for row in pg.run(
        "SELECT objectlink.key(p.file) AS key, array_agg(p.status) || array_agg(c.status) AS words FROM paper p LEFT JOIN chunk c ON c.paper = p.id"
        " WHERE p.file IS NOT NULL GROUP BY 1")}


def test_rows_are_written_when_wait_for_sync_returns(papers, daemon):
    put(papers, ["a", "b"])
    papers.pg.run("INSERT INTO paper (file) VALUES ('s3://docs/nowhere')")
    papers.pg.run("ALTER SERVER docs OPTIONS (ADD max_attempts '1')")
    papers.pg.wait_for_sync()
    assert statuses(papers.pg) == {"a": {"available"}, "b": {"available"}, "nowhere": {"ERROR", None}}
    assert papers.pg.run("SELECT * FROM objectlink.row_work") == []


def test_rows_that_link_one_object_all_show_it_and_later_ones_too(papers, daemon):
    put(papers, ["a"])
    papers.pg.wait_for_sync()
    papers.pg.run("INSERT INTO paper (file) SELECT file FROM paper")
    papers.pg.wait_for_sync()
    assert [row.status for row in papers.pg.run("SELECT status FROM paper")] == ["available"] * 2


def test_rows_from_before_attach(documents, daemon):
    documents.put(["a", "b"])
    documents.pg.wait_for_sync()
    documents.pg.run("ALTER TABLE document ADD status text")
    documents.pg.run("SELECT objectlink.detach('document', 'file')")
    documents.pg.run("SELECT objectlink.attach('document', 'file', status_column => 'status')")
    documents.pg.wait_for_sync()
    assert [row.status for row in documents.pg.run("SELECT status FROM document")] == ["stored"] * 2


def test_a_row_that_a_user_has_locked_delays_only_its_object(papers, daemon):
    user = papers.pg.connect(autocommit=False)
    put(papers, ["a", "b", "c"])
    papers.pg.wait_for_sync()
    # Their status is made wrong, so that all three have to be written.
    papers.pg.run("UPDATE paper SET status = NULL")
    papers.pg.run("UPDATE chunk SET status = NULL")
    run(user, "SELECT * FROM paper WHERE file = 's3://docs/b' FOR UPDATE")
    papers.pg.run("SELECT objectlink.queue_row_work(1, '{a,b,c}')")
    eventually(lambda: statuses(papers.pg)["a"] == statuses(papers.pg)["c"] == {"available"})
    row, = eventually(lambda: papers.pg.run("SELECT key, error_code FROM objectlink.row_work WHERE failed_at IS NOT NULL"))
    assert row == ("b", "55P03")
    assert papers.pg.run("SELECT detail FROM objectlink.problems WHERE what = 'rows not written'")
    # Uploads and proofs go on meanwhile, and so do other rows.
    put(papers, ["d"])
    eventually(lambda: statuses(papers.pg)["d"] == {"available"})
    assert None in statuses(papers.pg)["b"]
    user.commit()
    papers.pg.wait_for_sync()
    assert statuses(papers.pg)["b"] == {"available"}
    assert papers.pg.run("SELECT detail FROM objectlink.problems WHERE what = 'rows not written'") == []


def test_a_user_waits_for_a_row_no_longer_than_the_limit(papers, daemon):
    """What a transaction has written is not held while it waits for a lock of somebody else."""
    put(papers, ["a", "b"])
    papers.pg.wait_for_sync()
    user = papers.pg.connect(autocommit=False)
    papers.pg.run("UPDATE paper SET status = NULL")
    run(user, "SELECT * FROM paper WHERE file = 's3://docs/b' FOR UPDATE")
    papers.pg.run("SELECT objectlink.queue_row_work(1, '{a,b}')")
    eventually(lambda: papers.pg.run("SELECT 1 FROM objectlink.row_work WHERE key = 'b' AND attempts > 0"))
    # Takes the locks the other way round: without the limit, this would be a deadlock.
    run(user, "SET LOCAL deadlock_timeout = '10min'")
    run(user, "UPDATE paper SET status = 'mine' WHERE file = 's3://docs/a'")
    user.commit()
    papers.pg.wait_for_sync()


@pytest.mark.parametrize("body", ["RAISE EXCEPTION 'not this one'", "PERFORM pg_sleep(3600)", "DELETE FROM paper WHERE id = 0; RAISE SQLSTATE '57014'"])
def test_a_trigger_that_fails_delays_only_its_object(papers, daemon, body):
    papers.pg.run(f"CREATE FUNCTION wrong() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$")
    papers.pg.run("CREATE TRIGGER wrong BEFORE UPDATE ON public.paper FOR EACH ROW WHEN (objectlink.key(NEW.file) = 'b') EXECUTE FUNCTION wrong()")
    put(papers, ["a", "b", "c"])
    papers.put(["other"])
    eventually(lambda: papers.pg.states() == dict.fromkeys(["a", "b", "c", "other"], "stored"))
    eventually(lambda: statuses(papers.pg) == {"a": {"available"}, "b": {None}, "c": {"available"}})
    problem, = eventually(lambda: papers.pg.run("SELECT severity, detail FROM objectlink.problems WHERE what = 'rows not written'"))
    assert problem.severity == "error" and "1 objects" in problem.detail
    # The daemon neither lost its session nor its ownership for it.
    assert papers.pg.value("SELECT max(epoch) FROM objectlink.owner") == 1
    papers.pg.run("DROP TRIGGER wrong ON paper")
    papers.pg.wait_for_sync()
    assert statuses(papers.pg)["b"] == {"available"}


def test_slow_triggers_leave_the_daemon_time_for_its_work(papers, daemon):
    """Every write takes its whole limit, and many are to be made."""
    papers.pg.run("CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$")
    papers.pg.run("CREATE TRIGGER slow BEFORE UPDATE ON paper FOR EACH ROW EXECUTE FUNCTION slow()")
    put(papers, [f"slow/{n}" for n in range(20)])
    eventually(lambda: papers.pg.run("SELECT 1 FROM objectlink.row_work WHERE error_code = '57014'"))
    for n in range(5):
        papers.put([f"other/{n}"])
        eventually(lambda n=n: papers.pg.state(f"other/{n}") == "stored", 10)
    papers.pg.run("DROP TRIGGER slow ON paper")
    papers.pg.run("UPDATE objectlink.row_work SET due_at = now()")
    papers.pg.wait_for_sync(60)
    assert set.union(*statuses(papers.pg).values()) == {"available"}


def test_a_write_is_no_link(papers, proxy, daemon):
    put(papers, ["a"])
    papers.pg.wait_for_sync()
    proxy.forget()
    events = papers.pg.value("SELECT count(*) FROM objectlink.event")
    papers.pg.run("UPDATE paper SET status = 'wrong'")
    papers.pg.run("SELECT objectlink.queue_row_work(1, '{a}')")
    papers.pg.wait_for_sync()
    assert statuses(papers.pg) == {"a": {"available"}}
    assert proxy.operations() == [] and papers.pg.value("SELECT count(*) FROM objectlink.event") == events


def test_the_row_goes_or_changes_hands_meanwhile(papers, daemon):
    put(papers, ["a", "b"])
    papers.pg.wait_for_sync()
    user = papers.pg.connect(autocommit=False)
    run(user, "UPDATE paper SET file = 's3://docs/b' WHERE file = 's3://docs/a'")
    papers.pg.run("UPDATE objectlink.row_policy SET status_map = status_map || '{\"stored\": \"there\"}'")
    papers.pg.run("SELECT objectlink.queue_row_work(1, '{a,b}')")
    eventually(lambda: papers.pg.run("SELECT 1 FROM objectlink.row_work WHERE key = 'a' AND attempts > 0"))
    user.commit()
    papers.pg.wait_for_sync()
    assert statuses(papers.pg) == {"b": {"there"}}
    papers.pg.run("DELETE FROM paper")
    papers.pg.wait_for_sync()
    assert papers.pg.run("SELECT * FROM objectlink.row_work") == [] and papers.bucket.keys() == []


def test_killed_while_rows_wait(papers, make_daemon):
    """Its successor writes them; what was begun is rolled back as a whole."""
    daemon = make_daemon()
    put(papers, ["a", "b"])
    papers.pg.wait_for_sync()
    user = papers.pg.connect(autocommit=False)
    run(user, "SELECT * FROM chunk WHERE paper = (SELECT id FROM paper WHERE file = 's3://docs/a') FOR UPDATE")
    papers.pg.run("UPDATE objectlink.row_policy SET status_map = status_map || '{\"stored\": \"there\"}'")
    papers.pg.run("SELECT objectlink.queue_row_work(1, '{a,b}')")
    eventually(lambda: papers.pg.run("SELECT 1 FROM objectlink.row_work WHERE key = 'a' AND attempts > 0"))
    assert statuses(papers.pg)["a"] == {"available"}  # the row's own status is rolled back with that of its chunks
    daemon.kill()
    user.commit()
    daemon.start()
    papers.pg.wait_for_sync(60)
    assert statuses(papers.pg) == {"a": {"there"}, "b": {"there"}}


def test_the_session_ends_again_and_again(papers, daemon):
    stop = threading.Event()

    def disturb():
        other = papers.pg.connect()
        while not stop.wait(0.1):
            run(other, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'objectlinkd' AND query ~ 'work_on_rows' AND datname = current_database()")

    disturber = threading.Thread(target=disturb)
    disturber.start()
    keys = put(papers, [f"k/{n}" for n in range(30)])
    eventually(lambda: all(papers.pg.state(key) == "stored" for key in keys), 60)
    stop.set()
    disturber.join()
    papers.pg.wait_for_sync(60)
    assert set.union(*statuses(papers.pg).values()) == {"available"}


def test_two_daemons_one_of_which_owns_the_store_and_the_other_the_outbox(papers, make_daemon):
    papers.pg.run("CREATE SERVER idle FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'idle')")
    make_daemon()
    make_daemon()
    put(papers, ["a"])
    papers.pg.wait_for_sync()
    assert statuses(papers.pg) == {"a": {"available"}}


def test_once_writes_the_rows_before_it_ends(papers, make_daemon):
    put(papers, ["a"])
    daemon = make_daemon("--once")
    daemon.process.wait(60)
    assert daemon.process.returncode == 0
    assert statuses(papers.pg) == {"a": {"available"}}


def test_a_hundred_rows_at_once(papers, daemon):
    keys = put(papers, [f"k/{n}" for n in range(100)])
    papers.pg.wait_for_sync(60)
    assert statuses(papers.pg) == {key: {"available"} for key in keys}
    always(lambda: papers.pg.value("SELECT count(*) FROM objectlink.row_work") == 0, 0.5)
    terminate_daemon_sessions(papers.pg)


def test_rows_show_what_reconciling_finds(papers, daemon):
    """Behind objectlink's back an object goes and comes back, another is changed; each row says so in its own words."""
    pg, bucket = papers.pg, papers.bucket
    put(papers, ["gone", "changed", "well"])
    pg.wait_for_sync()
    bucket.delete("gone")
    bucket.put("changed", b"something else")

    def reconcile():
        pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", pg.value("SELECT objectlink.reconcile_storage('docs')"))
        pg.wait_for_sync()
        return statuses(pg)

    assert reconcile() == {"gone": {"ERROR"}, "changed": {"ERROR"}, "well": {"available"}}
    assert pg.states() == {"gone": "missing", "changed": "corrupt", "well": "stored"}
    for key in ("gone", "changed"):
        bucket.put(key, b"content of " + key.encode())
    assert reconcile() == {"gone": {"available"}, "changed": {"available"}, "well": {"available"}}
