"""What does one client of a randomized history do? Transactions of every kind, over a few keys that all clients share.

All decisions come from the client's own generator; only the moments are up to the threads. To be refused is part of life:
a key that is being deleted (55006), a serialization failure, a deadlock, a lost connection. The client goes on.
"""
import time

import psycopg2
import psycopg2.errors

from harness.documents import content_of
from harness.postgres import run
from harness.waiting import eventually

REFUSALS = (psycopg2.errors.ObjectInUse, psycopg2.errors.SerializationFailure, psycopg2.errors.DeadlockDetected,
            psycopg2.errors.LockNotAvailable, psycopg2.errors.UniqueViolation, psycopg2.errors.ForeignKeyViolation)
TABLES = ("document", "page", "note")
PREPARED_SECONDS_MAX = 0.1
PAUSE_SECONDS_MAX = 0.02


def is_lost(error):
    """The session or the server is gone."""
    return (error.pgcode or "08000")[:2] in ("08", "57")


class Client:
    """One thread, one connection. `world`: what all clients share (see history.World)."""

    def __init__(self, world, name, connect):
        self._world = world
        self._name = name
        self._connect = connect
        self._history = None
        self._chance = None
        self._connection = None
        self._savepoints = 0
        self._txn = None
        self._uploaded = []
        self.outcomes = []  # for statistics

    def close(self):
        if self._connection is not None:
            self._connection.close()

    def begin_history(self, number, chance):
        self._history = number
        self._chance = chance

    def transactions(self, count):
        for number in range(count):
            time.sleep(self._chance.uniform(0, PAUSE_SECONDS_MAX))
            self._txn = f"{self._history}/{self._name}/{number}"
            self._uploaded = []
            try:
                outcome = self._transaction()
            except REFUSALS as refusal:
                outcome = type(refusal).__name__
                self._forget()
            except psycopg2.Error as error:
                if not is_lost(error):
                    raise
                # If that was at COMMIT, the trail will tell.
                outcome = "connection lost"
                self._connection.close()
            self.outcomes.append(outcome)
            if outcome != "committed":
                self._world.uploads_of_nobody.update(self._uploaded)

    def _forget(self):
        try:
            self._run("ROLLBACK")
        except psycopg2.Error:
            self._connection.close()

    def _run(self, text, *arguments):
        return run(self._connection, text, *arguments)

    def _live_connection(self):
        def connected():
            try:
                self._connection = self._connect()
            except psycopg2.OperationalError:  # it starts
                return False
            return True

        if self._connection is None or self._connection.closed:
            eventually(connected, what="the server takes connections again")

    def _transaction(self):
        chance = self._chance
        # All of it is decided before anything can fail, so that an accident does not change what comes later.
        self._isolation = chance.choices(["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"], [6, 2, 2])[0]
        commit = chance.choice(["on", "on", "on", "off"])
        steps = [chance.choices(list(STEPS), [weight for weight, _ in STEPS.values()])[0] for _ in range(chance.randint(1, 4))]
        seeds = [chance.randrange(1 << 32) for _ in steps]
        fates = [chance.choices(["plain", "kept", "undone", "undone and again"], [6, 1, 2, 1])[0] for _ in steps]
        end = chance.choices(["commit", "rollback", "prepare, commit", "prepare, roll back"], [14, 2, 3, 1])[0]
        held_seconds = chance.uniform(0, PREPARED_SECONDS_MAX)

        self._live_connection()
        self._run(f"BEGIN ISOLATION LEVEL {self._isolation}")
        self._run(f"SET LOCAL synchronous_commit = {commit}")
        self._run("SELECT set_config('history.txn', %s, true)", self._txn)
        for step, seed, fate in zip(steps, seeds, fates):
            self._step(STEPS[step][1], seed, fate)
        if end == "rollback":
            self._run("ROLLBACK")
            return "rolled back"
        if end == "commit":
            return self._commit("COMMIT")
        self._run(f"PREPARE TRANSACTION '{self._txn}'")
        time.sleep(held_seconds)
        if end == "prepare, commit":
            return self._commit(f"COMMIT PREPARED '{self._txn}'")
        self._run(f"ROLLBACK PREPARED '{self._txn}'")
        return "rolled back"

    def _commit(self, statement):
        self._world.timeline.asking(self._txn, time.time())
        self._run(statement)
        self._world.timeline.answered(self._txn, time.time())
        return "committed"

    def _step(self, step, seed, fate):
        if fate == "plain":
            step(self, seed)
            return
        self._savepoints += 1
        name = f"s{self._savepoints}"
        self._run(f"SAVEPOINT {name}")
        uploaded = len(self._uploaded)
        try:
            step(self, seed)
        except REFUSALS:
            # As a program that tries something and does without it.
            self._run(f"ROLLBACK TO SAVEPOINT {name}")
            return
        if fate == "kept":
            self._run(f"RELEASE SAVEPOINT {name}")
            return
        self._run(f"ROLLBACK TO SAVEPOINT {name}")
        self._world.uploads_of_nobody.update(self._uploaded[uploaded:])
        if fate == "undone and again":
            step(self, seed)

    # Steps. `seed` chooses: the table, the key, the row.

    def _table(self, seed):
        return TABLES[seed % len(TABLES)]

    def _insert(self, table, ref, *arguments):
        """ref: an expression of type storage_ref."""
        if table == "document":
            return self._run(f"INSERT INTO document (file) VALUES ({ref}) RETURNING objectlink.key(file) AS key", *arguments)
        if table == "page":
            folder = 1 + len(self._txn + str(arguments)) % self._world.FOLDERS
            self._run("INSERT INTO folder VALUES (%s) ON CONFLICT DO NOTHING", folder)
            return self._run(f"INSERT INTO page (part, folder, file) VALUES (1 + {folder} %% 2, {folder}, {ref})"
                             " RETURNING objectlink.key(file) AS key", *arguments)
        return self._run(f"INSERT INTO note (path) VALUES (objectlink.key({ref})) RETURNING path AS key", *arguments)

    def put(self, seed):
        key = self._world.chosen_key(seed)
        self._insert(self._table(seed >> 8), "objectlink.put('docs', %s, key => %s)", psycopg2.Binary(content_of(key)), key)

    def put_over_foreign(self, seed):
        """Somebody else's object is there, so this one will fail; it is the other that must not suffer."""
        key = self._world.foreign_key(seed)
        self._insert("document", "objectlink.put('docs', %s, key => %s)", psycopg2.Binary(content_of(key)), key)

    def put_fresh(self, seed):
        content = f"fresh {self._txn} {seed}".encode()
        row, = self._insert(self._table(seed >> 8), "objectlink.put('docs', %s, name => 'f')", psycopg2.Binary(content))
        self._world.contents[row.key] = content

    def link(self, seed):
        """An object that somebody uploads: after the row, so that no deletion of this key can be on its way."""
        key = self._world.linked_key(seed)
        self._insert(self._table(seed >> 8), "objectlink.storage_ref('docs', %s)", key)
        self._world.bucket.put(key, content_of(key))
        self._uploaded.append(key)

    def share(self, seed):
        """A second row for an object that a row holds; that row is locked, so it lasts."""
        row = self._lock_row(self._table(seed >> 4), seed, "SHARE")
        if row is not None:
            self._insert(self._table(seed >> 8), "objectlink.storage_ref('docs', %s)", row.key)

    def move(self, seed):
        """The key changes hands within a transaction."""
        table = self._table(seed >> 4)
        row = self._lock_row(table, seed, "UPDATE")
        if row is not None:
            self._run(f"DELETE FROM {table} WHERE id = %s", row.id)
            self._insert(self._table(seed >> 8), "objectlink.storage_ref('docs', %s)", row.key)

    def delete(self, seed):
        table = self._table(seed >> 4)
        self._run(f"DELETE FROM {table} WHERE id = (SELECT id FROM {table} ORDER BY md5(id::text || %s) LIMIT 1)", str(seed))

    def delete_key(self, seed):
        key = self._world.chosen_key(seed)
        self._run("DELETE FROM document WHERE file = objectlink.storage_ref('docs', %s)", key)
        self._run("DELETE FROM note WHERE path = %s", key)
        self._run("DELETE FROM page WHERE file = objectlink.storage_ref('docs', %s)", key)

    def update(self, seed):
        """To another object, to none, or to the same."""
        row = self._lock_row("document", seed, "UPDATE")
        if row is None:
            return
        key = self._world.chosen_key(seed)
        if seed >> 6 & 3 == 0:
            self._run("UPDATE document SET file = NULL WHERE id = %s", row.id)
        elif seed >> 6 & 3 == 1:
            self._run("UPDATE document SET file = objectlink.storage_ref('docs', %s) WHERE id = %s", row.key, row.id)
        else:
            self._run("UPDATE document SET file = objectlink.put('docs', %s, key => %s) WHERE id = %s",
                      psycopg2.Binary(content_of(key)), key, row.id)

    def swap(self, seed):
        """Delete, and put the same key again, as an application that replaces a file by itself."""
        key = self._world.chosen_key(seed)
        self._run("DELETE FROM document WHERE file = objectlink.storage_ref('docs', %s)", key)
        self.put(seed)

    def move_partition(self, seed):
        self._run("UPDATE page SET part = 3 - part WHERE folder = %s", 1 + seed % self._world.FOLDERS)

    def cascade(self, seed):
        self._run("DELETE FROM folder WHERE id = %s", 1 + seed % self._world.FOLDERS)

    def truncate(self, seed):
        # The trail of a TRUNCATE is what its transaction sees; an old snapshot would not see all.
        if self._isolation == "READ COMMITTED":
            self._run(f"TRUNCATE {self._table(seed)}")

    def _lock_row(self, table, seed, strength):
        key = "path" if table == "note" else "objectlink.key(file)"
        column = "path" if table == "note" else "file"
        rows = self._run(f"SELECT id, {key} AS key FROM {table} WHERE {column} IS NOT NULL AND {key} !~ '^f/'"
                         f" ORDER BY md5(id::text || %s) LIMIT 1 FOR {strength}", str(seed))
        return rows[0] if rows else None


STEPS = {  # name: (weight, what)
    "put": (8, Client.put), "put fresh": (4, Client.put_fresh), "put over foreign": (1, Client.put_over_foreign),
    "link": (3, Client.link), "share": (6, Client.share), "move": (5, Client.move), "swap": (4, Client.swap),
    "update": (6, Client.update), "delete": (10, Client.delete), "delete key": (5, Client.delete_key),
    "move partition": (1, Client.move_partition), "cascade": (1, Client.cascade), "truncate": (0.4, Client.truncate),
}
