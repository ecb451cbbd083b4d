"""Goal: what takes longer than e2e tests may: limits of the protocol that are counted in tens of seconds.
Method: the real limits, waited out.
"""
import os
import signal
import time

import pytest

from harness.documents import daemon_backends, wait_daemon_sessions
from harness.standstill import OpenWriter
from harness.waiting import always, eventually

BARRIER_SECONDS = 60  # Removal::barrier_wait_max
RETRY_SECONDS = 30  # Removal::retry_after_blocked
IDLE_SECONDS = 30  # idle_session_timeout of the daemon's session


def wait_owner(pg, name, seconds):
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.workers WHERE 'docs' = ANY (stores) AND name = %s", name), seconds)


@pytest.mark.limit(200)
def test_a_frozen_daemon_loses_its_stores_by_itself(documents, proxy, make_daemon):
    """Its host still answers for the connection, so only its silence tells."""
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD request_timeout '1s')")
    first = make_daemon(name="first")
    wait_owner(documents.pg, "first", 10)
    second = make_daemon(name="second")
    wait_daemon_sessions(documents.pg, 2)
    first.signal(signal.SIGSTOP)
    documents.put_fresh(3)
    wait_owner(documents.pg, "second", IDLE_SECONDS + 15)
    documents.sync(30)
    documents.assert_in_step()
    first.signal(signal.SIGCONT)
    wait_daemon_sessions(documents.pg, 2)
    documents.put_fresh(3)
    documents.sync()
    documents.assert_in_step()
    assert second.alive and first.alive


@pytest.mark.limit(300)
def test_a_deletion_that_is_blocked_for_too_long_is_put_off(documents, daemon):
    """The mark is taken back, so that its key can be linked again; why, is told."""
    key, = documents.put(["k"])
    documents.sync()
    writer = OpenWriter(documents.pg)
    documents.delete([key])
    eventually(lambda: documents.pg.state(key) == "deleting")
    eventually(lambda: documents.pg.state(key) == "unlinked", BARRIER_SECONDS + 15)
    assert documents.pg.value("SELECT count(*) FROM objectlink.condemned") == 0
    assert "waits for transactions" in documents.pg.value("SELECT last_error FROM objectlink.objects WHERE key = %s", key)
    assert "remove.blocked" in daemon.log_text()
    documents.refer([key])
    eventually(lambda: documents.pg.state(key) == "stored")
    documents.delete([key])
    writer.go_on()
    documents.sync(RETRY_SECONDS + 15)
    documents.assert_in_step()


@pytest.mark.limit(200)
@pytest.mark.parametrize("how", ["refuse", "hang", "500"])
def test_an_outage_of_half_a_minute(documents, proxy, daemon, how):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD request_timeout '2s', ADD connect_timeout '1s')")
    before = documents.put_fresh(20)
    documents.sync()
    down_at = time.monotonic()
    if how == "refuse":
        proxy.refuse()
    elif how == "hang":
        proxy.delay(60, times=None)
    else:
        proxy.answer(500, code="InternalError", times=None)
    documents.put_fresh(100)
    documents.delete(before[:10])
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.consistency WHERE status = 'paused'"))
    always(lambda: documents.pg.value("SELECT status FROM objectlink.consistency") == "paused", 30 - (time.monotonic() - down_at))
    proxy.clear()
    proxy.cut_all()
    proxy.accept()
    documents.sync(40)  # the longest pause, and the work
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


@pytest.mark.limit(200)
def test_requests_that_last_longer_than_the_lease_while_draining(documents, proxy, make_daemon):
    """SIGTERM: what is under way may take several requests more, and each of them needs the lease."""
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    daemon = make_daemon("--drain-timeout", "2min")
    part = proxy.hold(method="PUT", query="partNumber=1")
    key, = documents.put_fresh(1, size=11 << 20)
    part.wait_reached()
    daemon.process.terminate()
    always(lambda: daemon.alive, 13)
    part.open()
    assert daemon.wait_exit(60) == 0
    assert documents.pg.state(key) == "stored"
    documents.assert_in_step()


@pytest.mark.limit(300)
def test_a_session_that_hangs_again_and_again(documents, daemon):
    for _ in range(3):
        wait_daemon_sessions(documents.pg, 1)
        documents.put_fresh(20)
        backend, = daemon_backends(documents.pg)
        os.kill(backend, signal.SIGSTOP)
        try:
            always(lambda: daemon.alive, 12)
        finally:
            os.kill(backend, signal.SIGCONT)
    documents.sync()
    documents.assert_in_step()
    documents.assert_no_attempt_spent()
