"""What does a store of millions look like? A server whose keys are made by arithmetic, and a registry and a table with the same."""
import subprocess
import time
import urllib.request
from contextlib import contextmanager

from harness.daemon import BUILD, Daemon
from harness.waiting import eventually
from process import cpu_seconds, peak_resident_mib
from setting import Credentials, free_port

BUCKET = "bench"
SECONDS_MAX = 1800

# As bench/listing_server.cpp makes them.
KEYS_SQL = """SELECT 'data/' || lpad((n / 1000)::text, 9, '0') || '/' || lpad(mod(n, 1000)::text, 3, '0') AS key,
                     '"' || lpad(to_hex(n), 32, '0') || '"' AS etag, 1000 + mod(n, 1000000) AS size
              FROM generate_series(0, {count} - 1) n"""


class ListingServer:
    """Use with `with`."""

    def __init__(self, count):
        self._count = count
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self._process = None

    def __enter__(self):
        self._process = subprocess.Popen([BUILD / "bench_listing_server", str(self.port), str(self._count), BUCKET])
        eventually(self._answers, 10, "the listing server answers")
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()

    @property
    def pid(self):
        return self._process.pid

    def page_urls(self):
        pages = (self._count + 999) // 1000
        return [f"{self.endpoint}/{BUCKET}?list-type=2&start-after=data/{page - 1:09d}/999" if page else
                f"{self.endpoint}/{BUCKET}?list-type=2" for page in range(pages)]

    def listings(self):
        """Pages listed since it began."""
        return int(urllib.request.urlopen(f"{self.endpoint}/listings").read())

    def _answers(self):
        try:
            return urllib.request.urlopen(f"{self.endpoint}/{BUCKET}?list-type=2&max-keys=1").status == 200
        except OSError:
            return False


class ListedStore:
    """Store "docs", the attached table "document", and a registry in which all is as the server has it."""

    def __init__(self, setting, pg, server, count, bucket=BUCKET, credentials=Credentials(), listed=None):
        """listed: (key, etag, size) of each object, if the server makes no keys by arithmetic."""
        self.pg, self.server, self.count = pg, server, count
        pg.create_server("docs", server.endpoint, bucket)
        pg.run("CREATE TABLE document (file objectlink.storage_ref)")
        pg.run("SELECT objectlink.attach('document', 'file')")
        self.daemon = Daemon(pg.dsn(), setting.folder, credentials=credentials)
        self.daemon.run_once()
        source, values = f"({KEYS_SQL.format(count=count)}) k", ()
        if listed is not None:
            source, values = "unnest(%s::text[], %s::text[], %s::bigint[]) AS k (key, etag, size)", [list(column) for column in zip(*listed)]
        pg.run("ALTER TABLE document DISABLE TRIGGER USER")
        pg.run(f"INSERT INTO document SELECT objectlink.storage_ref('docs', key) FROM {source}", *values)
        pg.run("ALTER TABLE document ENABLE TRIGGER USER")
        pg.run(f"""INSERT INTO objectlink.object (store_id, key, state, since, attachment_id, size, etag, verified_at)
                   SELECT (SELECT id FROM objectlink.store WHERE name = 'docs'), key, 'stored', now(), (SELECT min(id) FROM objectlink.attachment), size, etag, now()
                   FROM {source}""", *values)
        pg.run("VACUUM ANALYZE document")
        pg.run("VACUUM ANALYZE objectlink.object")
        pg.run("CHECKPOINT")

    @contextmanager
    def running(self):
        self.daemon.start()
        try:
            eventually(lambda: self.pg.value("SELECT count(*) FROM objectlink.workers"), 20, "the daemon is at work")
            yield self.daemon
        finally:
            self.daemon.stop()

    def begin(self):
        return self.pg.value("SELECT objectlink.reconcile_storage('docs')")

    def ended(self, run, look=lambda: None):
        """look: called at every look at the run."""
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            row = self.pg.run("SELECT *, ended_at - started_at AS took FROM objectlink.run WHERE id = %s", run)[0]
            if row.state not in ("queued", "running"):
                break
            assert self.daemon.alive, self.daemon.tail()
            assert time.monotonic() < deadline, f"{row.compared} of {self.count} after {SECONDS_MAX} s"
            look()
            time.sleep(0.25)  # who asks all the time is somebody at work, beside whom a run rests
        assert (row.state, row.compared, row.undecided, row.found) == ("done", self.count, 0, {}), row
        return row

    def cpu_seconds(self):
        """Of the daemon, its backend, and the server: hardly changed by what else the machine does."""
        backend = self.pg.value("SELECT pid FROM pg_stat_activity WHERE application_name = 'objectlinkd'")
        return [cpu_seconds(pid) for pid in (self.daemon.pid, backend, self.server.pid)]

    def longest_transaction(self):
        """Seconds for which the transaction that the daemon has open now has been open."""
        return self.pg.value("SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)::float FROM pg_stat_activity"
                             " WHERE application_name = 'objectlinkd'")

    def peak_mib(self):
        return peak_resident_mib(self.daemon.pid)
