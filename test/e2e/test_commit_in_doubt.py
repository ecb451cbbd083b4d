"""Goal: a connection to PostgreSQL that breaks at any statement, or a server that stops, leaves nothing half done.
Method: the proxy cuts the daemon's connection before or after a statement (each is a transaction); sessions are
terminated; the server is restarted; a backend is stopped for longer than the daemon's lease.
"""
import os
import signal
import time

import pytest

from harness.documents import daemon_backends, terminate_daemon_sessions, wait_daemon_sessions
from harness.postgres import DAEMON_ROLE
from harness.waiting import always, eventually

LEASE_SECONDS = 10  # objectlink.lease()
MULTIPART_SIZE = 6 << 20


@pytest.fixture
def daemon(documents, pg_proxy, make_daemon):
    """Reaches PostgreSQL by way of the proxy, with a password, because that way is TCP."""
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    return make_daemon(name="daemon", dsn=documents.pg.dsn(DAEMON_ROLE, "127.0.0.1", pg_proxy.port),
                       environment={"PGPASSWORD": documents.pg.cluster.password})


def come_and_go(documents):
    """Passes through every statement of the daemon, most of them several times."""
    fresh = documents.put_fresh(4) + documents.put_fresh(1, size=MULTIPART_SIZE)
    documents.put(["chosen/1", "chosen/2"])
    documents.link(["there/1"])
    documents.sync()
    documents.delete(fresh[:3] + ["chosen/1"])
    documents.sync()
    documents.refer(["there/1"])
    documents.delete(fresh[4:])
    documents.sync()


@pytest.mark.parametrize("when", ["cut_before", "cut_after"])
@pytest.mark.parametrize("statement", ["acquire", "apply_outbox", "read_payload", "settle", r"\.condemn\(", "writers", "issue"])
def test_cut_at(documents, daemon, pg_proxy, statement, when):
    documents.sync()
    if statement == "acquire":
        pg_proxy.cut_all()
    cut = getattr(pg_proxy, when)(statement)
    come_and_go(documents)
    eventually(lambda: cut.hits == 1)
    documents.sync()
    documents.assert_in_step(marks_held=True, stale_uploads=True)
    documents.assert_no_attempt_spent()
    assert daemon.alive


def test_session_terminated_again_and_again(documents, daemon):
    kept = []
    for number in range(6):
        kept += documents.put_fresh(5)
        gone = documents.put([f"{number}/{key}" for key in range(5)])
        eventually(lambda: daemon_backends(documents.pg))
        terminate_daemon_sessions(documents.pg)
        documents.delete(gone)
        eventually(lambda: daemon_backends(documents.pg))
        terminate_daemon_sessions(documents.pg)
    documents.sync()
    assert documents.linked_keys() == set(kept)
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


def test_postgresql_gone_for_a_while(documents, daemon, pg_proxy, proxy):
    keys = documents.put_fresh(5)
    held = proxy.hold(method="PUT")
    held.wait_reached()
    pg_proxy.refuse()
    held.open()
    eventually(lambda: daemon.http("/healthz")[0] == 503)
    assert daemon.metric("objectlink_database_connected") == 0
    pg_proxy.accept()
    documents.sync()
    assert set(keys) == documents.linked_keys()
    documents.assert_in_step()
    eventually(lambda: daemon.http("/healthz")[0] == 200)


def test_backend_stopped_for_longer_than_the_lease(documents, daemon, proxy):
    """The daemon can't know whether another one has taken over meanwhile: it must not begin anything that changes the store."""
    documents.put_fresh(3)
    documents.sync()
    backend, = daemon_backends(documents.pg)
    proxy.delay(0.2, method="PUT", times=None)
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD concurrency '1')")
    documents.put_fresh(30)
    eventually(lambda: len(proxy.operations(method="PUT")) > 5)
    os.kill(backend, signal.SIGSTOP)
    stopped = time.time()
    try:
        # Whether in the middle of a statement or not: from the end of the lease on, nothing new.
        eventually(lambda: time.time() > stopped + LEASE_SECONDS + 0.5, LEASE_SECONDS + 2)
        proxy.forget()
        always(lambda: [done for done in proxy.operations() if done.method != "HEAD"] == [], 2)
        assert daemon.alive
    finally:
        os.kill(backend, signal.SIGCONT)
    proxy.clear()
    documents.sync()
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()
