"""Goal: a connection to PostgreSQL that breaks at any statement, and a server that crashes, change nothing in the end.
Method: the daemon connects through a proxy that cuts at a chosen statement, before it or after it took effect."""
import pytest

from fault import scenario
from harness.postgres import DAEMON_ROLE
from harness.waiting import eventually

STATEMENTS = ["register_worker", "acquire", "apply_outbox", "due_work", "read_payload", "settle", "condemn", "writers",
              "issue", "COMMIT"]
CUTS = 3


@pytest.fixture
def daemon(docs, pg_proxy, make_daemon):
    return make_daemon(name="daemon", dsn=docs.dsn(DAEMON_ROLE, "127.0.0.1", pg_proxy.port), start=False)


@pytest.mark.limit(300)
@pytest.mark.parametrize("when", ["cut_before", "cut_after"])
@pytest.mark.parametrize("statement", STATEMENTS)
def test_connection_cut_at_a_statement(docs, bucket, pg_proxy, daemon, statement, when):
    getattr(pg_proxy, when)(rf"\b{statement}\b", times=CUTS)
    daemon.start()
    scenario.run_through(docs, bucket)


@pytest.mark.limit(300)
def test_database_that_stalls(docs, bucket, pg_proxy, daemon):
    daemon.start()
    scenario.upload(docs)
    pg_proxy.stall()
    eventually(lambda: docs.value("SELECT count(*) FROM objectlink.objects") == scenario.OBJECTS)
    pg_proxy.flow()
    scenario.assert_end_state(docs, bucket)
    scenario.delete_half(docs, bucket)


@pytest.mark.limit(300)
@pytest.mark.parametrize("mode", ["immediate", "fast"])
def test_server_restarts_in_the_middle(docs, bucket, make_daemon, mode):
    daemon = make_daemon()
    for step in (scenario.upload, scenario.delete):
        step(docs)
        docs.close()
        docs.cluster.restart(mode)
    assert daemon.alive
    scenario.assert_end_state(docs, bucket, range(1, scenario.OBJECTS, 2), range(0, scenario.OBJECTS, 2))
