"""How is a drain set up? Rows are inserted while no daemon runs; then one starts, and the clock with it."""
import time
from contextlib import contextmanager

from typing import NamedTuple

from harness.daemon import Daemon
from process import cpu_seconds

SECONDS_MAX = 900


class Drain(NamedTuple):
    seconds: float
    backend_cpu_seconds: float  # hardly changed by what else the machine does


class Drained:
    """One table "document", attached, in store "docs"; and a daemon for it."""

    def __init__(self, setting, pg, endpoint, bucket, credentials):
        self.pg = pg
        self._daemon = Daemon(pg.dsn(), setting.folder, credentials=credentials)
        pg.create_server("docs", endpoint, bucket)
        pg.run("CREATE TABLE document (id bigint, file objectlink.storage_ref)")
        pg.run("SELECT objectlink.attach('document', 'file')")
        self._daemon.run_once()  # the walk over the rows that were there before: none

    def load_links(self, count):
        """count links, each to be verified, wait in the outbox; nothing else is known."""
        self._forget()
        self.pg.run(f"""INSERT INTO document SELECT i, objectlink.storage_ref('docs', '2026/11/' || md5(i::text))
                        FROM generate_series(1, {count}) i""")
        self.pg.run("CHECKPOINT")

    def load_puts(self, count, content_bytes):
        """count objects to be uploaded."""
        self._forget()
        self.pg.run(f"""INSERT INTO document SELECT i, objectlink.put('docs', convert_to(rpad(i::text, {content_bytes}), 'UTF8'))
                        FROM generate_series(1, {count}) i""")
        self.pg.run("CHECKPOINT")

    @contextmanager
    def running(self):
        """The daemon, stopped at the end in good order, so that the next one need not wait for it."""
        self._daemon.start()
        try:
            yield self._daemon
        finally:
            self._daemon.stop()

    def stored(self):
        """How many operations have succeeded so far, as the daemon counts them: asking costs the database nothing."""
        return int(self._daemon.metric("objectlink_operations_total", outcome="stored") or 0)

    def drain(self, count):
        """From the daemon's start until all count objects are stored, and settled in the registry."""
        started = time.perf_counter()
        with self.running():
            self.wait_stored(count)
            while not self.pg.value("SELECT NOT EXISTS (SELECT FROM objectlink.object WHERE due_at IS NOT NULL)"):
                time.sleep(0.01)
            seconds = time.perf_counter() - started
            backend = self.pg.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'objectlinkd'")
            backend_cpu_seconds = cpu_seconds(backend)
        settled = self.pg.value("SELECT count(*) FROM objectlink.object WHERE state = 'stored'")
        assert settled == count, f"{settled} of {count} objects are stored"
        return Drain(seconds, backend_cpu_seconds)

    def wait_stored(self, count, look=lambda: None):
        """look: called at every look at the counter."""
        deadline = time.monotonic() + SECONDS_MAX
        while self.stored() < count:
            assert self._daemon.alive, self._daemon.tail()
            assert time.monotonic() < deadline, f"{self.stored()} of {count} after {SECONDS_MAX} s"
            look()
            time.sleep(0.1)  # the daemon's answer costs it something too

    def _forget(self):
        self.pg.run("TRUNCATE document")
        self.pg.run("""TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.payload,
                       objectlink.condemned, objectlink.scan""")
