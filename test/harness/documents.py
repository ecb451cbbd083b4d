"""What must a test find at the end? Rows with known content, and the check that rows, bucket and registry agree.

"In step" is what a run without any fault ends with: the bucket holds exactly the objects of committed rows, with the
right bytes; the registry says `stored` of each and of nothing else; nothing waits; each object's events form a legal
and complete story.
"""
import hashlib
import random
from collections import defaultdict

import psycopg2

from harness.postgres import run
from harness.waiting import eventually


def content_of(key, size=None):
    """Follows from the key, so that a mix-up of two objects shows."""
    return b"content of " + key.encode() if size is None else random.Random(key).randbytes(size)


class Documents:
    """Table `document` of one database, its store, and the bucket behind it."""

    def __init__(self, pg, bucket, store="docs"):
        self.pg = pg
        self.bucket = bucket
        self.store = store
        self._contents = {}  # key -> bytes, of all that was ever handed over

    # Rows. `on`: another connection, e.g. with a transaction open.

    def put(self, keys, size=None, on=None):
        """Rows with content, under keys that the caller chooses."""
        contents = [content_of(key, size) for key in keys]
        self._contents.update(zip(keys, contents))
        self._run(on, f"INSERT INTO document (file) SELECT objectlink.put('{self.store}', c, key => k)"
                      " FROM unnest(%s::text[], %s::bytea[]) AS t (k, c)", keys, _binaries(contents))
        return keys

    def put_fresh(self, count, size=None, on=None):
        """Rows with content, under keys that objectlink makes; returns these."""
        contents = [content_of(str(number), size) for number in range(count)]
        rows = self._run(on, f"INSERT INTO document (title, file) SELECT n, objectlink.put('{self.store}', c, name => 'f')"
                             " FROM unnest(%s::text[], %s::bytea[]) AS t (n, c) RETURNING title, objectlink.key(file) AS key",
                         [str(number) for number in range(count)], _binaries(contents))
        for row in rows:
            self._contents[row.key] = contents[int(row.title)]
        return [row.key for row in rows]

    def link(self, keys, size=None, on=None):
        """Rows that refer to objects which are in the bucket already."""
        for key in keys:
            self.upload(key, content_of(key, size))
        self.refer(keys, on)
        return keys

    def refer(self, keys, on=None):
        self._run(on, f"INSERT INTO document (file) SELECT objectlink.storage_ref('{self.store}', k) FROM unnest(%s::text[]) k", keys)

    def delete(self, keys, on=None):
        self._run(on, f"DELETE FROM document WHERE file = ANY (ARRAY(SELECT objectlink.storage_ref('{self.store}', k)"
                      " FROM unnest(%s::text[]) k))", list(keys))

    def upload(self, key, content):
        """By boto3, as somebody else would."""
        self.bucket.put(key, content)
        self._contents[key] = content

    def linked_keys(self):
        return {row.key for row in self.pg.run(
            "SELECT DISTINCT objectlink.key(file) AS key FROM document WHERE file IS NOT NULL")}

    def _run(self, on, text, *arguments):
        return run(on or self.pg.connection, text, *arguments)

    # The end

    def sync(self, seconds=60):
        self.pg.wait_for_sync(seconds)

    def assert_in_step(self, foreign=(), failed=(), marks_held=False, stale_uploads=False):
        """foreign: keys of objects in the bucket that no row refers to and that must stay. failed: keys of rows whose
        object is given up. marks_held: a request to delete may still be under way, so its key may stay condemned.
        stale_uploads: the reply to the start of a multipart upload was lost, so nobody can end it."""
        expected = self.linked_keys() - set(failed)
        self.assert_bucket(expected | set(foreign))
        rows = self.pg.run("SELECT key, state, size, sha256, last_error FROM objectlink.objects WHERE store = %s", self.store)
        assert {row.key: row.state for row in rows} == {key: "stored" for key in expected} | {key: "failed" for key in failed}
        for row in rows:
            content = self._contents.get(row.key)
            if row.state == "stored":
                assert row.size == len(content) and row.sha256 in (None, hashlib.sha256(content).digest()), row
            else:
                assert row.last_error, row
        self.assert_nothing_waits(marks_held)
        assert stale_uploads or not self.bucket.unfinished_uploads()
        assert_events_complete(self.pg)

    def assert_bucket(self, keys):
        listing = self.bucket.listing()
        assert set(listing) == set(keys)
        for key, (size, etag) in listing.items():
            content = self._contents[key]
            assert size == len(content), key
            # The server made this MD5 of what it received; only multipart uploads have to be read.
            if "-" in etag:
                assert self.bucket.get(key) == content, key
            else:
                assert etag == hashlib.md5(content).hexdigest(), key

    def assert_nothing_waits(self, marks_held=False):
        count = self.pg.value
        assert count("SELECT count(*) FROM objectlink.outbox") == 0
        assert count("SELECT count(*) FROM objectlink.scan") == 0
        assert count("SELECT count(*) FROM objectlink.payload") == 0
        assert count("SELECT count(*) FROM objectlink.object WHERE due_at IS NOT NULL") == 0
        assert count("SELECT count(*) FROM objectlink.condemned WHERE release_after IS NULL") == 0
        assert marks_held or count("SELECT count(*) FROM objectlink.condemned") == 0

    def assert_no_attempt_spent(self):
        """Whatever went wrong was the store's fault, not an object's."""
        assert self.pg.value("SELECT coalesce(max(attempts), 0) FROM objectlink.object") == 0
        assert self.pg.run("SELECT * FROM objectlink.events WHERE to_state IN ('failed', 'missing', 'corrupt')") == []


def _binaries(contents):
    return [psycopg2.Binary(content) for content in contents]


def assert_events_complete(pg):
    """Each object's events begin with nothing, follow one another, are legal, and end where the registry is. A decision
    about an object (held, released) is an event as well, and no change of its state."""
    legal = set(map(tuple, pg.run("SELECT from_state, to_state FROM objectlink.legal_transitions()")))
    stories = defaultdict(list)
    for event in pg.run("SELECT store, key, from_state, to_state, cause FROM objectlink.events"
                        " WHERE key IS NOT NULL AND to_state IS NOT NULL ORDER BY id"):
        stories[event.store, event.key].append(event)
    registry = {(row.store, row.key): row.state for row in pg.run(
        "SELECT s.name AS store, o.key, o.state FROM objectlink.object o JOIN objectlink.store s ON s.id = o.store_id")}
    assert registry.keys() <= stories.keys()
    for name, story in stories.items():
        state = None
        for event in story:
            assert event.from_state == state and (state, event.to_state) in legal and event.cause, (name, story)
            state = None if event.to_state == "gone" else event.to_state
        assert state == registry.get(name), (name, story)


# What the daemon does right now, as its sessions show it

_SESSIONS = "FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'objectlinkd'"


def wait_daemon_blocked(pg, statement, seconds=20):
    """Until the daemon waits for a lock inside such a statement (a regular expression)."""
    eventually(lambda: pg.value(f"SELECT count(*) {_SESSIONS} AND wait_event_type = 'Lock' AND query ~ %s", statement) > 0,
               seconds, f"the daemon waits in {statement}")


def wait_daemon_sessions(pg, count, seconds=20):
    eventually(lambda: pg.value(f"SELECT count(*) {_SESSIONS}") == count, seconds, f"{count} sessions of daemons")


def daemon_backends(pg):
    return [row.pid for row in pg.run(f"SELECT pid {_SESSIONS}")]


def terminate_daemon_sessions(pg):
    pg.run(f"SELECT pg_terminate_backend(pid) {_SESSIONS}")
