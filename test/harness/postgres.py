"""How does a test talk to PostgreSQL? A cluster for the whole run, a fresh database for each test."""
import contextlib
import itertools
import os

import psycopg2
import psycopg2.extensions
import psycopg2.extras
from psycopg2 import sql as composed

from harness.sandbox import Server
from harness.waiting import eventually

# bytea as bytes: a memoryview is equal to nothing one would compare it with.
_BYTEA_OID = 17
psycopg2.extensions.register_type(psycopg2.extensions.new_type(
    (_BYTEA_OID,), "BYTES", lambda text, cursor: None if text is None else bytes(psycopg2.BINARY(text, cursor))))

DAEMON_ROLE = "olx_daemon"


class Cluster(Server):
    """settings: PostgreSQL settings, e.g. max_prepared_transactions=10."""

    _numbers = itertools.count(1)

    def __init__(self, **settings):
        super().__init__("postgres", *(f"{name}={value}" for name, value in settings.items()))
        self.host = self.env["PGHOST"]
        self.port = int(self.env["PGPORT"])
        self.superuser = self.env["PGUSER"]
        self.password = self.env["PGPASSWORD"]

    def stop(self, mode="fast"):
        self.call("stop", mode)

    def start(self):
        self.call("start")

    def restart(self, mode="fast"):
        """mode "immediate" is a crash: no checkpoint, unflushed WAL is lost, recovery at the start."""
        self.call("restart", mode)

    def backup(self):
        """A base backup; needs archive_mode=on."""
        self.call("backup")

    def restore(self, point):
        """Everything as of a restore point (pg_create_restore_point), from the backup and the WAL archived since."""
        postgres = Database(self, self.superuser)
        last = postgres.value("SELECT pg_walfile_name(pg_switch_wal())")
        eventually(lambda: postgres.run("SELECT 1 FROM pg_stat_archiver WHERE last_archived_wal >= %s", last), what="the WAL is archived")
        postgres.close()
        self.call("restore", point)
        eventually(lambda: not self._in_recovery(), what="the recovery has ended")

    def upgrade_from(self, old):
        """Takes over the databases of another cluster, which is stopped, by pg_upgrade. This one is new and empty."""
        self.call("upgrade", old.folder)
        self.password = old.password

    def _in_recovery(self):
        postgres = Database(self, self.superuser)
        try:
            return postgres.value("SELECT pg_is_in_recovery()")
        except psycopg2.OperationalError:
            return True
        finally:
            postgres.close()

    def create_database(self, template="template0"):
        name = f"test_{next(self._numbers)}"
        Database(self, self.env["PGDATABASE"]).run(
            f"CREATE DATABASE {name} TEMPLATE {template} ENCODING 'UTF8'")
        return Database(self, name)


class Database:
    """One database. sql() and its like use one connection of the superuser, in autocommit mode, opened when needed."""

    def __init__(self, cluster, name):
        self.cluster = cluster
        self.name = name
        self._connection = None
        self._others = []

    # Connections

    def dsn(self, user=DAEMON_ROLE, host=None, port=None):
        """For the private socket unless host says otherwise; there no password is asked."""
        return f"host={host or self.cluster.host} port={port or self.cluster.port} dbname={self.name} user={user}"

    def connect(self, user=None, autocommit=True, **more):
        connection = psycopg2.connect(
            self.dsn(user or self.cluster.superuser), cursor_factory=psycopg2.extras.NamedTupleCursor, **more)
        connection.autocommit = autocommit
        self._others.append(connection)
        return connection

    @property
    def connection(self):
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        return self._connection

    def close(self):
        for connection in self._others:
            connection.close()
        self._others, self._connection = [], None

    def drop(self):
        """Some hundred of them would fill the memory they lie in. One that cannot be dropped goes with its cluster."""
        self.close()
        maintenance = Database(self.cluster, self.cluster.env["PGDATABASE"])
        with contextlib.suppress(psycopg2.Error):
            maintenance.run(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")
        maintenance.close()

    # Statements

    def run(self, text, *arguments):
        """Runs and returns the rows (named tuples), or None where there are none. Placeholders: %s."""
        return run(self.connection, text, *arguments)

    def value(self, text, *arguments):
        rows = self.run(text, *arguments)
        assert len(rows) == 1 and len(rows[0]) == 1, f"one value expected, got {rows}"
        return rows[0][0]

    # Roles and stores

    def create_role(self, name, *granted):
        """A role that may log in and nothing more. Roles belong to the cluster, so it may be there already."""
        if not self.run("SELECT 1 FROM pg_roles WHERE rolname = %s", name):
            self.run(composed.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
                composed.Identifier(name), composed.Literal(self.cluster.password)).as_string(self.connection))
        for role in granted:
            self.run(f'GRANT {role} TO "{name}"')
        return name

    def create_extension(self):
        self.run("CREATE EXTENSION objectlink")
        self.create_role(DAEMON_ROLE)
        self.run("SELECT objectlink.grant_daemon(%s)", DAEMON_ROLE)

    def create_server(self, name, endpoint, bucket, **options):
        options = {"endpoint": endpoint, "bucket": bucket, **options}
        listed = composed.SQL(", ").join(
            composed.SQL("{} {}").format(composed.Identifier(option), composed.Literal(str(value)))
            for option, value in options.items())
        self.run(composed.SQL("CREATE SERVER {} FOREIGN DATA WRAPPER objectlink OPTIONS ({})").format(
            composed.Identifier(name), listed).as_string(self.connection))

    # objectlink's face

    def wait_for_sync(self, seconds=30):
        self.run(f"CALL objectlink.wait_for_sync('{seconds} seconds')")

    def state(self, key, store="docs"):
        """State of an object, or None when the registry does not know it."""
        rows = self.run("SELECT state FROM objectlink.objects WHERE store = %s AND key = %s", store, key)
        return rows[0].state if rows else None

    def states(self):
        """{key: state} of all objects."""
        return {row.key: row.state for row in self.run("SELECT key, state FROM objectlink.objects")}

    def events(self, key, store="docs"):
        return self.run("SELECT * FROM objectlink.events WHERE store = %s AND key = %s ORDER BY id", store, key)


def run(connection, text, *arguments):
    """As Database.run, on a connection of the test's own (a transaction left open, another role)."""
    with connection.cursor() as cursor:
        cursor.execute(text, arguments or None)
        return cursor.fetchall() if cursor.description else None


def clean_environment():
    """The environment without what would lead libpq or the AWS chain elsewhere; nobody asks the metadata service of a cloud."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "AWS_", "S3_"))} | {
        "AWS_EC2_METADATA_DISABLED": "true"}
