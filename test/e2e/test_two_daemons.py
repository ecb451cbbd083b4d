"""Goal: several daemons share a database; each store has one owner at a time, and when it goes another one takes over.
Method: the proxy's log says whether two of them ever did the same thing; owners are killed, stopped and frozen.
"""
import signal
import time
from collections import Counter

import psycopg2
import pytest

from harness.documents import daemon_backends, terminate_daemon_sessions, wait_daemon_sessions
from harness.postgres import DAEMON_ROLE, run
from harness.store import Bucket
from harness.waiting import always, eventually

LEASE_SECONDS = 10  # objectlink.lease()


def owner(pg):
    """Name of the daemon that owns the store, as view workers tells; None if nobody does."""
    found = pg.run("SELECT name FROM objectlink.workers WHERE 'docs' = ANY (stores)")
    assert len(found) <= 1, "two daemons own one store"
    return found[0].name if found else None


def wait_owner(pg, name, seconds=30):
    eventually(lambda: owner(pg) == name, seconds, f"{name} owns the store")


@pytest.fixture
def two(documents, make_daemon):
    first = make_daemon(name="first")
    wait_owner(documents.pg, "first")
    second = make_daemon(name="second")
    wait_daemon_sessions(documents.pg, 2)
    return first, second


def assert_nothing_twice(proxy):
    """Each object was uploaded once and deleted at most once, although the store would have taken more."""
    puts = Counter(done.key for done in proxy.operations(method="PUT") if done.upstream_status == 200)
    deletes = Counter(done.key for done in proxy.operations(method="DELETE"))
    assert not [key for key, count in (puts + Counter()).items() if count > 1]
    assert not [key for key, count in deletes.items() if count > 1]


def some_work(documents):
    keys = documents.put_fresh(20)
    documents.delete(keys[:5])
    documents.delete(keys[10:11])


def test_locks_that_anybody_may_take_keep_no_daemon_out(documents, make_daemon):
    """With the numbers that all can read: those of the outbox, of the store and of the next daemons, and that of whoever purges events."""
    pg = documents.pg
    pg.create_role("stranger")
    stranger = pg.connect("stranger")
    store = pg.value("SELECT objectlink.store_id('docs')")
    workers = pg.value("SELECT coalesce(max(id), 0) FROM objectlink.worker")
    for number in [0, store]:
        run(stranger, "SELECT pg_advisory_lock(objectlink.lock_class(), %s)", number)
    run(stranger, "SELECT pg_advisory_lock(objectlink.worker_lock_class(), %s + n) FROM generate_series(0, 100) n", workers)
    run(stranger, "SELECT pg_advisory_lock(%s, 0)", pg.value("SELECT objectlink.event_lock_class()"))
    assert pg.run("SELECT * FROM objectlink.live_worker") == []  # none of that is taken for a daemon
    make_daemon(name="first")
    wait_owner(pg, "first")
    some_work(documents)
    documents.sync()
    documents.assert_in_step()
    pg.run("SET lock_timeout = '200ms'")
    assert pg.value("SELECT objectlink.purge_events(now() + interval '1 hour')") > 0
    for call in ["take_lock(objectlink.lock_class(), 0, true, true, true)", "give_lock_back(objectlink.lock_class(), 0)"]:
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            run(stranger, f"SELECT objectlink.{call}")


def test_only_one_works_for_a_store(documents, proxy, two):
    some_work(documents)
    documents.sync()
    some_work(documents)
    documents.sync()
    assert owner(documents.pg) == "first"
    documents.assert_in_step()
    assert_nothing_twice(proxy)


def test_stores_can_have_different_owners(documents, s3_server, two):
    first, second = two
    documents.pg.create_server("other", s3_server.endpoint, Bucket(s3_server).name, prefix="other")
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.workers WHERE 'other' = ANY (stores)"))
    documents.pg.run("INSERT INTO document (file) VALUES (objectlink.put('other', 'x', key => 'other/1'))")
    documents.sync()
    assert documents.pg.state("other/1", "other") == "stored"


def test_clean_stop_hands_over_at_once(documents, proxy, two):
    first, second = two
    some_work(documents)
    assert first.stop() == 0
    some_work(documents)
    wait_owner(documents.pg, "second", 10)
    documents.sync()
    documents.assert_in_step(marks_held=True)
    assert_nothing_twice(proxy)


def test_killed_owner_is_replaced_without_waiting_where_its_death_is_certain(documents, proxy, two):
    first, second = two
    some_work(documents)
    first.kill()
    wait_owner(documents.pg, "second", 10)
    documents.sync(20)
    documents.assert_in_step(marks_held=True)


def test_a_frozen_owner_is_replaced_after_lease_and_request_timeout(documents, proxy, two):
    """Its host hangs, so the server drops its session; it may still wake up and must do no harm then."""
    first, second = two
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD request_timeout '1s')")
    kept = documents.put_fresh(2)
    documents.sync()
    held = proxy.hold(method="PUT")
    documents.put_fresh(5)
    held.wait_reached()
    first.signal(signal.SIGSTOP)
    keys = documents.put_fresh(5)
    documents.delete(kept[:1])
    frozen_session = documents.pg.value("SELECT pid FROM objectlink.workers WHERE name = 'first'")
    documents.pg.run("SELECT pg_terminate_backend(%s)", frozen_session)
    wait_owner(documents.pg, "second", 15)
    taken_over = time.time()
    proxy.forget()
    eventually(proxy.operations, LEASE_SECONDS + 10)
    mutating = [done.started for done in proxy.operations() if done.method != "HEAD"]
    assert min(mutating) - taken_over > LEASE_SECONDS  # and the request timeout, less what it took to see the new owner
    documents.sync()
    first.signal(signal.SIGCONT)
    held.open()  # its request arrives after all
    wait_daemon_sessions(documents.pg, 2)
    documents.sync()
    some_work(documents)
    documents.sync()
    assert owner(documents.pg) == "second"
    assert set(keys) <= documents.linked_keys()
    documents.assert_in_step(marks_held=True)


def test_the_drainer_is_replaced_too(documents, two):
    first, second = two
    first.kill()
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.workers WHERE drainer AND name = 'second'"), 10)
    documents.put_fresh(3)
    documents.sync()
    documents.assert_in_step()


def test_owners_that_come_and_go(documents, proxy, make_daemon):
    daemons = [make_daemon(name=f"daemon-{number}") for number in range(3)]
    for number in range(3):
        some_work(documents)
        victim = daemons[number]
        victim.kill() if number % 2 else victim.stop()
        documents.sync()
        victim.start()
    documents.sync()
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()
