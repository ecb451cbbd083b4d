"""Which servers, databases and daemons does a test get? Fixtures for test/e2e and test/fault.

    s3_server, cluster   radosgw and PostgreSQL, once per run
    bucket               a fresh bucket (also as `s3`)
    database             a fresh database without the extension
    pg                   a fresh database with the extension and a role for the daemon that is no superuser
    docs                 `pg` with a server "docs" for `bucket` and table document(id, title, file), attached
    documents            the same by way of `proxy`, as harness.documents.Documents
    daemon               a running objectlinkd for `pg`; restart(), kill(), stop(), log()
    make_daemon          for more of them, or with other arguments
    proxy, pg_proxy      fault proxies in front of the store and of PostgreSQL; endpoint and port to be used instead
    make_cluster         a PostgreSQL with other settings, for this test or, with the same settings, for several
"""
import os
import random
import signal

import pytest

from fault.pg_proxy import PostgresProxy
from fault.proxy import FaultProxy
from harness.daemon import Daemon
from harness.documents import Documents
from harness.postgres import DAEMON_ROLE, Cluster
from harness.store import Bucket, S3Server

TEST_SECONDS_MAX = 120


def pytest_collection_modifyitems(config, items):
    """Of the end-to-end tests part "e2e" leaves out those marked long, part "long" the others. With pytest alone all are there."""
    part = os.environ.get("OBJECTLINK_PART")
    if part not in ("e2e", "long"):
        return
    chosen = [item for item in items if (item.get_closest_marker("long") is not None) == (part == "long")]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets fixtures see, while they clean up, whether the test failed."""
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_call(item):
    """A test that hangs fails, and the others still run."""
    marker = item.get_closest_marker("limit")
    seconds = marker.args[0] if marker else TEST_SECONDS_MAX

    def too_long(*_):
        raise AssertionError(f"the test took longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _failed(request):
    report = getattr(request.node, "report_call", None)
    return report is None or report.failed


@pytest.fixture
def random_seed():
    """Printed when the test fails; OBJECTLINK_SEED sets it."""
    seed = int(os.environ.get("OBJECTLINK_SEED", random.randrange(1 << 32)))
    print(f"OBJECTLINK_SEED={seed}")
    return seed


@pytest.fixture(scope="session")
def s3_server():
    server = S3Server()
    yield server
    server.remove()


@pytest.fixture
def bucket(s3_server):
    return Bucket(s3_server)


@pytest.fixture
def s3(bucket):
    return bucket


@pytest.fixture(scope="session")
def make_cluster():
    clusters = {}

    def make(**settings):
        key = tuple(sorted(settings.items()))
        if key not in clusters:
            clusters[key] = Cluster(**settings)
        return clusters[key]

    yield make
    for cluster in clusters.values():
        cluster.remove()


@pytest.fixture(scope="session")
def cluster(make_cluster):
    return make_cluster()


@pytest.fixture
def database(cluster, request):
    yield from fresh_database(cluster, request)


def fresh_database(cluster, request):
    """For tests with a cluster of their own: `yield from fresh_database(make_cluster(...), request)`."""
    database = cluster.create_database()
    yield database
    if _failed(request):
        log = (cluster.folder / "log").read_text(errors="replace").splitlines()
        lines = [line for line in log if f"@{database.name} " in line][-20:]
        print("\n--- PostgreSQL's log, this database", *lines, sep="\n")
    database.drop()


@pytest.fixture
def pg(database):
    database.create_extension()
    return database


@pytest.fixture
def docs(pg, bucket):
    pg.create_server("docs", bucket.endpoint, bucket.name)
    create_document_table(pg)
    return pg


def create_document_table(pg):
    pg.run("CREATE TABLE document (id bigserial PRIMARY KEY, title text, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file')")


@pytest.fixture
def documents(pg, bucket, proxy):
    pg.create_server("docs", proxy.endpoint, bucket.name)
    create_document_table(pg)
    return Documents(pg, bucket)


@pytest.fixture
def make_daemon(database, s3_server, tmp_path, request):
    daemons = []

    def make(*arguments, name=None, dsn=None, credentials=s3_server, environment=None, start=True):
        daemon = Daemon(dsn or database.dsn(DAEMON_ROLE), tmp_path, name or f"daemon-{len(daemons) + 1}", credentials,
                        ["--poll-interval", "200ms", *arguments], environment)
        daemons.append(daemon)
        return daemon.start() if start else daemon

    yield make
    try:
        for daemon in daemons:
            daemon.stop()
            daemon.assert_no_defect()
    finally:
        for daemon in daemons:
            if daemon.alive:
                daemon.kill()
            if _failed(request):
                print(f"\n--- log of {daemon.name} (status {daemon.process and daemon.process.returncode})",
                      daemon.tail(), sep="\n")


@pytest.fixture
def daemon(pg, make_daemon):
    return make_daemon(name="daemon")


@pytest.fixture
def proxy(s3_server):
    proxy = FaultProxy(s3_server.endpoint, s3_server.access_key, s3_server.secret_key).start()
    yield proxy
    proxy.stop()


@pytest.fixture
def pg_proxy(cluster):
    proxy = PostgresProxy(cluster.host, cluster.port).start()
    yield proxy
    proxy.stop()
