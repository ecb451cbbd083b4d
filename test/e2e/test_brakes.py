"""Goal: more deletions together than a store's limit stop, all at once or slowly; everybody is told, and only a person lets them go on.
Method: a small limit, a TRUNCATE too many; the bucket is counted by boto3.
"""
import psycopg2.errors
import pytest

from harness.waiting import always, eventually

LIMIT = 50
OBJECTS = 200
WORK_LEFT = 5  # exit status: sidecar/exit_code.hpp


@pytest.fixture
def limited(documents):
    documents.pg.run(f"ALTER SERVER docs OPTIONS (ADD delete_limit '{LIMIT}')")
    return documents


def status(documents):
    return documents.pg.value("SELECT status FROM objectlink.consistency")


def truncate_too_much(documents, daemon):
    """Returns how many objects are left once everything that had begun is through."""
    documents.put_fresh(OBJECTS)
    documents.sync()
    documents.pg.run("TRUNCATE document")
    eventually(lambda: status(documents) == "braked")
    eventually(lambda: documents.pg.value("SELECT count(*) = 0 FROM objectlink.object WHERE state <> 'unlinked'")
               and documents.pg.value("SELECT count(*) = 0 FROM objectlink.outbox")
               and documents.pg.value("SELECT count(*) = 0 FROM objectlink.scan"))
    left = len(documents.bucket.keys())
    assert OBJECTS - LIMIT <= left <= OBJECTS
    assert documents.pg.value("SELECT due FROM objectlink.deletions_by_store") == left
    eventually(lambda: daemon.http("/healthz")[0] == 503)
    return left


def assert_stands_still(documents, left):
    always(lambda: len(documents.bucket.keys()) == left, 1)


def test_a_truncate_too_much_stops_and_a_release_finishes_it(limited, daemon):
    pg = limited.pg
    left = truncate_too_much(limited, daemon)
    assert "deletions are braked" in daemon.http("/healthz")[1]
    assert daemon.http("/readyz")[0] == 200
    assert daemon.metric("objectlink_store_state", store="docs", state="braked") == 1
    problem = pg.run("SELECT severity, what, remedy FROM objectlink.problems")[0]
    assert (problem.severity, problem.what) == ("error", "deletions braked") and "release_brake('docs')" in problem.remedy
    with pytest.raises(psycopg2.errors.QueryCanceled, match="braked"):
        limited.sync(1)
    # It waits and does not spin.
    commits = "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
    before = pg.value(commits)
    assert_stands_still(limited, left)
    assert pg.value(commits) - before < 200
    # Other work goes on.
    new, = limited.put_fresh(1)
    eventually(lambda: pg.state(new) == "stored")
    assert len([line for line in daemon.log() if line.get("event") == "store.braked"]) == 1
    assert pg.value("SELECT objectlink.release_brake('docs', reason => 'meant so')") == left
    limited.sync()
    eventually(lambda: daemon.http("/healthz")[0] == 200)
    assert daemon.metric("objectlink_store_state", store="docs", state="active") == 1
    assert [row.cause for row in pg.run("SELECT cause FROM objectlink.events WHERE key IS NULL ORDER BY id")] == ["braked", "brake released"]
    limited.assert_in_step()


def test_linked_again_while_braked(limited, daemon):
    left = truncate_too_much(limited, daemon)
    keys = limited.bucket.keys()
    limited.refer(keys)
    eventually(lambda: {limited.pg.state(key) for key in keys} == {"stored"})
    assert limited.pg.value("SELECT objectlink.release_brake('docs')") == 0
    limited.sync()
    assert len(limited.bucket.keys()) == left
    limited.assert_in_step()


def test_few_at_a_time_add_up(limited, daemon):
    keys = limited.put_fresh(80)
    limited.sync()
    for first in (0, 20):
        limited.delete(keys[first:first + 20])
        limited.sync()
    limited.delete(keys[40:60])
    eventually(lambda: status(limited) == "braked")
    assert len(limited.bucket.keys()) == 40
    limited.pg.run("SELECT objectlink.release_brake('docs')")
    limited.sync()
    limited.assert_in_step()


def test_a_daemon_that_is_killed_and_its_successor_are_braked_too(limited, daemon, make_daemon):
    left = truncate_too_much(limited, daemon)
    daemon.kill()
    successor = make_daemon(name="successor")
    eventually(lambda: limited.pg.run("SELECT 1 FROM objectlink.workers WHERE name = 'successor' AND 'docs' = ANY (stores)"))
    eventually(lambda: "deletions are braked" in successor.http("/healthz")[1])
    assert_stands_still(limited, left)
    limited.pg.run("SELECT objectlink.release_brake('docs')")
    limited.sync()
    eventually(lambda: successor.http("/healthz")[0] == 200)
    limited.assert_in_step(marks_held=True)


def test_an_outage_while_braked_does_not_hide_the_brake(limited, proxy, daemon):
    truncate_too_much(limited, daemon)
    proxy.refuse()
    limited.put_fresh(3)
    eventually(lambda: daemon.metric("objectlink_store_state", store="docs", state="paused") == 1)
    assert "deletions are braked" not in daemon.http("/healthz")[1]  # the outage comes first: it stops everything
    eventually(lambda: {row.what for row in limited.pg.run("SELECT what FROM objectlink.problems")} >= {"deletions braked", "store paused"})
    proxy.accept()
    eventually(lambda: daemon.metric("objectlink_store_state", store="docs", state="braked") == 1)
    assert daemon.http("/healthz")[0] == 503 and "deletions are braked" in daemon.http("/healthz")[1]
    limited.pg.run("SELECT objectlink.release_brake('docs')")
    limited.sync()
    eventually(lambda: daemon.http("/healthz")[0] == 200)
    limited.assert_in_step(marks_held=True)


def test_once_says_that_work_is_left(limited, daemon):
    left = truncate_too_much(limited, daemon)
    daemon.stop()
    assert daemon.run_once() == WORK_LEFT
    assert len(limited.bucket.keys()) == left
    limited.pg.run("SELECT objectlink.release_brake('docs')")
    assert daemon.run_once() == 0
    assert limited.bucket.keys() == []


def test_released_and_too_much_again(limited, daemon):
    truncate_too_much(limited, daemon)
    limited.pg.run("SELECT objectlink.release_brake('docs')")
    limited.sync()
    limited.put_fresh(OBJECTS)
    limited.sync()
    limited.pg.run("DELETE FROM document")
    eventually(lambda: status(limited) == "braked")
    assert len(limited.bucket.keys()) >= OBJECTS - LIMIT
