"""Goal: as e2e/test_commit_in_doubt.py and e2e/test_transactions.py, for long.
Method: the connection breaks at every statement again and again; the server crashes at random moments; a long outage.
"""
import random

import pytest

from harness.crash import wait_events
from harness.documents import terminate_daemon_sessions
from harness.postgres import DAEMON_ROLE, run
from harness.waiting import eventually

STATEMENTS = ["register_worker", "acquire", "apply_outbox", "due_work", "read_payload", "settle", r"\.condemn\(", "writers", "issue",
              "store_settings", "look", "scan_step", "release_condemned", "set_asleep", "set_store_status", "LISTEN"]
MULTIPART_SIZE = 6 << 20


@pytest.fixture
def daemon(documents, pg_proxy, make_daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    return make_daemon(name="daemon", dsn=documents.pg.dsn(DAEMON_ROLE, "127.0.0.1", pg_proxy.port),
                       environment={"PGPASSWORD": documents.pg.cluster.password})


def come_and_go(documents):
    fresh = documents.put_fresh(4) + documents.put_fresh(1, size=MULTIPART_SIZE)
    documents.put(["chosen/1", "chosen/2"])
    documents.link(["there/1"])
    documents.sync(100)
    documents.delete(fresh[:3] + ["chosen/1"])
    documents.sync(100)
    documents.refer(["there/1"])
    documents.delete(fresh[4:])
    documents.sync(100)


@pytest.mark.limit(300)
@pytest.mark.parametrize("when", ["cut_before", "cut_after"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_cut_at_several_times(documents, daemon, pg_proxy, statement, when):
    documents.sync()
    for skip in range(3):
        getattr(pg_proxy, when)(statement, skip=skip)
    if statement in ("register_worker", "acquire", "LISTEN"):
        pg_proxy.cut_all()
    come_and_go(documents)
    documents.assert_in_step(marks_held=True, stale_uploads=True)
    documents.assert_no_attempt_spent()


@pytest.mark.limit(600)
def test_sessions_terminated_at_random(documents, daemon, random_seed):
    chance = random.Random(random_seed)
    living = []
    for number in range(40):
        living += documents.put_fresh(chance.randint(1, 10))
        chance.shuffle(living)
        gone, living = living[:len(living) // 2], living[len(living) // 2:]
        documents.delete(gone)
        wait_events(documents.pg, chance.randint(0, 30))
        terminate_daemon_sessions(documents.pg)
    documents.sync(100)
    assert documents.linked_keys() == set(living)
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


class TestServerCrashes:
    @pytest.fixture
    def cluster(self, make_cluster):
        return make_cluster(wal_writer_delay="10s")

    @pytest.fixture
    def daemon(self, documents, make_daemon):
        return make_daemon(name="daemon")

    @pytest.mark.limit(600)
    def test_at_random(self, documents, daemon, random_seed):
        chance = random.Random(random_seed)
        pg = documents.pg
        for number in range(25):
            connection = pg.connect()
            run(connection, "SET synchronous_commit = " + chance.choice(["on", "off"]))
            keys = documents.put([f"{number}/{key}" for key in range(20)], on=connection)
            some = chance.randint(0, 20)
            eventually(lambda: sum(pg.state(key) == "stored" for key in keys) >= some)
            documents.delete(chance.sample(keys, 12), on=connection)
            wait_events(pg, chance.randint(0, 40), 0.5)
            pg.cluster.restart("immediate")
            pg.close()
        documents.sync(100)
        documents.assert_in_step(marks_held=True)
        documents.assert_no_attempt_spent()
        assert daemon.alive
