"""Goal: a run takes a share of its time only while others are at work in the database, all of it otherwise, and ends either way.
Method: sessions that compute, sleep or wait for a lock, beside the session of the daemon's role that asks."""
import threading
from contextlib import contextmanager

import psycopg2.errors
import pytest

from harness.postgres import DAEMON_ROLE, run
from harness.runs import reconcile
from harness.waiting import eventually

FOR_LONG = 10 ** 12
COMPUTE, SLEEP = f"SELECT count(*) FROM (SELECT generate_series(1, {FOR_LONG}::bigint)) n", "SELECT pg_sleep(600)"


@contextmanager
def at(pg, statement, user=None):
    """Somebody executes this."""
    session = pg.connect(user=user)

    def execute():
        with pytest.raises(psycopg2.errors.QueryCanceled):
            run(session, statement)

    thread = threading.Thread(target=execute)
    thread.start()
    try:
        eventually(lambda: pg.value("SELECT state = 'active' FROM pg_stat_activity WHERE pid = %s", session.info.backend_pid))
        yield session
    finally:
        session.cancel()
        thread.join()
        session.close()


@pytest.fixture
def daemons_session(pg):
    session = pg.connect(user=DAEMON_ROLE)
    yield lambda: run(session, "SELECT objectlink.run_share()")[0].run_share
    session.close()


def test_who_counts(pg, daemons_session):
    assert daemons_session() == 1, "nobody is there, but for who asks"
    with at(pg, COMPUTE):
        eventually(lambda: daemons_session() == 0.1)
        pg.run(f"ALTER DATABASE {pg.name} SET objectlink.reconcile_share = 0.25")
        session = pg.connect(user=DAEMON_ROLE)
        assert run(session, "SELECT objectlink.run_share()")[0].run_share == 0.25
        session.close()
    eventually(lambda: daemons_session() == 1, what="it is over")
    with at(pg, SLEEP):
        eventually(lambda: pg.value("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"))
        assert daemons_session() == 1
    with at(pg, COMPUTE, user=DAEMON_ROLE):
        assert daemons_session() == 1, "another daemon"


def test_who_waits_for_a_lock_takes_nothing(pg, daemons_session):
    pg.run("CREATE TABLE locked ()")
    holder = pg.connect(autocommit=False)
    run(holder, "LOCK TABLE locked")
    with at(pg, "SELECT FROM locked"):
        eventually(lambda: pg.value("SELECT count(*) = 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"))
        assert daemons_session() == 1
    holder.close()


def test_a_run_rests_beside_others_and_ends(documents, daemon):
    pg = documents.pg
    documents.put([f"k/{number:03}" for number in range(100)])
    documents.sync()
    rested = lambda: daemon.metric("objectlink_reconcile_rest_seconds_total", store="docs")  # noqa: E731
    with at(pg, COMPUTE):
        done = reconcile(pg, page_size=5)
        assert (done.state, done.compared, done.found) == ("done", 100, {})
        assert rested() > 0
    pg.run(f"ALTER DATABASE {pg.name} SET objectlink.reconcile_share = 1")
    daemon.stop()
    daemon.start()
    with at(pg, COMPUTE):
        assert reconcile(pg, page_size=5).compared == 100
        assert rested() is None, "the share is all of it"


def test_cancelled_while_a_collected_listing_is_compared(documents, daemon, proxy):
    """It rests when it is cancelled, so the next thing it does is to ask for a page of what is gone."""
    pg = documents.pg
    documents.put([f"k/{number:03}" for number in range(200)])
    documents.sync()
    proxy.shuffle_listings()
    assert reconcile(pg).compared == 200
    pg.run(f"ALTER DATABASE {pg.name} SET objectlink.reconcile_share = 0.01")
    daemon.stop()
    daemon.start()
    process = daemon.pid
    with at(pg, COMPUTE):
        run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 5)")
        eventually(lambda: pg.value("SELECT compared > 0 FROM objectlink.run WHERE id = %s", run), 100)
        pg.run("SELECT objectlink.cancel_run(%s)", run)
    assert reconcile(pg).compared == 200
    assert daemon.alive and daemon.pid == process
