"""What does a daemon with nothing to do cost? One that has worked before, watched for a while, beside a bare LISTEN."""
import time

from drained import Drained
from empty_store import EmptyStore
from figure import Figure
from harness.postgres import run
from process import cpu_seconds, private_mib, resident_mib
from setting import Credentials

LINKS = 1_000
SECONDS = 40
SETTLED_SECONDS = 5  # then it has gone to sleep


def measure(setting):
    seconds = setting.seconds(SECONDS)
    # Autovacuum would begin transactions in this database too, and the server itself writes WAL for standbys.
    quiet = {"autovacuum": "off", "wal_level": "minimal", "max_wal_senders": 0}
    with EmptyStore(setting.folder) as store, setting.database(**quiet) as pg:
        drained = Drained(setting, pg, store.endpoint, "bench", Credentials())
        listener = pg.connect()
        run(listener, "LISTEN somewhere")
        drained.load_links(LINKS)
        with drained.running() as daemon:
            drained.wait_stored(LINKS)
            time.sleep(SETTLED_SECONDS)
            backends = dict(pg.run("SELECT application_name = 'objectlinkd', pid FROM pg_stat_activity "
                                   "WHERE application_name = 'objectlinkd' OR pid = %s", listener.info.backend_pid))
            before = look(pg), cpu_of(daemon.pid, backends)
            time.sleep(seconds)
            after = look(pg), cpu_of(daemon.pid, backends)
            resident, private = resident_mib(daemon.pid), private_mib(daemon.pid)
    transactions = after[0].xact_commit - before[0].xact_commit - 1  # the first look itself
    cpu = {name: 100 * (after[1][name] - before[1][name]) / seconds for name in after[1]}
    return [
        Figure("idle", "queries", transactions / seconds, "per s", ("<=", 1)),
        Figure("idle", "WAL", float(after[0].wal - before[0].wal), "bytes", ("<=", 0)),
        Figure("idle", "CPU of objectlinkd", cpu["objectlinkd"], "% of a core", ("<=", 0.1)),
        Figure("idle", "CPU of its backend", cpu["its backend"], "% of a core"),
        Figure("idle", "CPU of a backend that only listens", cpu["bare LISTEN"], "% of a core"),
        Figure("idle", "resident memory", resident, "MiB", ("<=", 16)),
        Figure("idle", "of which private", private, "MiB")]


def look(pg):
    # A backend reports its transactions at most once a second; over the whole time that is no more than one query.
    return pg.run("""SELECT xact_commit, pg_current_wal_insert_lsn() - '0/0' AS wal
                     FROM pg_stat_database WHERE datname = current_database()""")[0]


def cpu_of(daemon_pid, backends):
    return {"objectlinkd": cpu_seconds(daemon_pid), "its backend": cpu_seconds(backends[True]),
            "bare LISTEN": cpu_seconds(backends[False])}
