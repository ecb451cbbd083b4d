"""What would an outside client do to a bucket, and what must be found of it? Every kind of damage, written down as it is done; and users that go on working meanwhile."""
import random
import threading
from concurrent.futures import ThreadPoolExecutor

from harness.documents import content_of
from harness.postgres import run

CLIENTS = 16
PREFIX = "in/"
FOREIGN = ("out/x", "in", "in2/x", "inn", "/in/x")  # beside the prefix, however alike


def below_prefix(keys):
    return [PREFIX + key for key in keys if len((PREFIX + key).encode()) <= 1024]


def at_once(action, items):
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(action, items))


class Damage:
    """`expected`: {(key, kind)} of what a run has to find, and nothing else. Every key is damaged once."""

    def __init__(self, documents, keys, each, seed):
        self.documents, self.bucket, self.pg = documents, documents.bucket, documents.pg
        self.each = each
        self.expected = set()
        self.lost = []  # to be put back
        self.strangers = []
        self._victims = list(keys)
        random.Random(seed).shuffle(self._victims)

    def _take(self):
        victims, self._victims = self._victims[:self.each], self._victims[self.each:]
        assert len(victims) == self.each
        return victims

    def _lose(self, kind, action, keys=None):
        keys = keys or self._take()
        at_once(action, keys)
        self.lost += keys
        self.expected |= {(key, kind) for key in keys}

    def of_objects(self, odd_ours):
        """By an outside client: objects of ours."""
        put, delete = self.bucket.put, self.bucket.delete
        self._lose("missing", delete)
        self._lose("missing", delete, odd_ours)
        self._lose("corrupt", lambda key: put(key, content_of(key)[:-1]))  # truncated
        self._lose("corrupt", lambda key: put(key, b""))
        self._lose("corrupt", lambda key: put(key, content_of(key)[::-1]))  # of equal size
        self._lose("corrupt", lambda key: put(key, content_of(key) + b"!"))
        # Written again as it was: no damage.
        at_once(lambda key: put(key, content_of(key)), self._take())

    def of_strangers(self, odd):
        """Objects that nobody knows, and what lies beside the store's prefix."""
        beside = [key + suffix for key in self._take() for suffix in ("x", "/x")]
        self.strangers = [PREFIX + "!first", PREFIX + "~last", *beside, *odd]
        at_once(lambda key: self.bucket.put(key, b"nobody's"), self.strangers)
        for key in FOREIGN:
            self.documents.upload(key, content_of(key))
        self.expected |= {(key, "orphan") for key in self.strangers}
        for key in (PREFIX + "upload", "out/upload"):
            self.bucket.client.create_multipart_upload(Bucket=self.bucket.name, Key=key)
        self.expected |= {(PREFIX + "upload", "stale_upload")}

    def of_versions(self):
        """In a versioned bucket: what was lost is hidden, its version is no stray; what others have overwritten leaves one."""
        def overwrite_and_put_back(key):
            self.bucket.put(key, b"for a moment")
            self.bucket.put(key, content_of(key))

        def hide_and_put_back(key):
            self.bucket.delete(key)
            self.bucket.put(key, content_of(key))
        overwritten, hidden, twice = self._take(), self._take(), [PREFIX + f"twice/{number}" for number in range(self.each)]
        at_once(overwrite_and_put_back, overwritten)
        at_once(hide_and_put_back, hidden)
        for _ in range(2):
            at_once(lambda key: self.bucket.put(key, b"nobody's"), twice)
        self.bucket.delete(PREFIX + "nothing")
        self.strangers += twice
        self.expected |= ({(key, "stray_version") for key in (*overwritten, *twice)} | {(key, "orphan") for key in twice}
                          | {(key, "stray_marker") for key in (*hidden, PREFIX + "nothing")})

    def behind_the_triggers(self):
        """Rows that objectlink was not told of; the objects of some are there."""
        linked, unlinked = [PREFIX + f"bypassed/{number}" for number in range(self.each)], self._take()
        for key in linked[::2]:
            self.documents.upload(key, content_of(key))
        triggers = [row.tgname for row in self.pg.run("SELECT tgname FROM pg_trigger WHERE tgrelid = 'document'::regclass AND tgname LIKE 'objectlink%%'")]
        for name in triggers:
            self.pg.run(f'ALTER TABLE document DISABLE TRIGGER "{name}"')
        self.documents.refer(linked)
        self.documents.delete(unlinked)
        for name in triggers:
            self.pg.run(f'ALTER TABLE document ENABLE ALWAYS TRIGGER "{name}"')
        self.bypassed, self.absent, self.let_go = linked[::2], linked[1::2], unlinked
        self.expected |= {(key, "unregistered") for key in linked} | {(key, "unreferenced") for key in unlinked}

    def brought_back(self, keys):
        """Deleted by us before, and put again by somebody."""
        at_once(lambda key: self.bucket.put(key, content_of(key)), keys)
        self.restored = keys
        self.expected |= {(key, "undeleted") for key in keys}

    def put_back(self):
        at_once(lambda key: self.bucket.put(key, content_of(key)), self.lost)


class Users(threading.Thread):
    """Insert, link and delete as long as it lasts, no faster than the daemon. What they do is never a difference. `with`: an error of theirs is the test's."""

    PLACES = 3  # the first of them is on the first page of a listing

    def __init__(self, documents):
        super().__init__()
        self._documents, self._stop_asked, self._error = documents, threading.Event(), None
        self.rounds = 0

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self._stop_asked.set()
        self.join()
        if self._error:
            raise self._error

    def run(self):
        try:
            connection = self._documents.pg.connect(autocommit=False)
            while not self._stop_asked.is_set():
                self._round(connection, self.rounds)
                self.rounds += 1
        except Exception as error:  # noqa: BLE001 - it is raised where the test waits for it
            self._error = error

    def _round(self, connection, number):
        place = self._place(number)
        self._documents.put([place + str(n) for n in range(4)], on=connection)
        connection.commit()
        # An upload that gets its row in the same transaction.
        run(connection, "SELECT 1")
        self._documents.link([place + "linked"], on=connection)
        connection.commit()
        if number >= 2:
            before = self._place(number - 2)
            self._documents.delete([before + name for name in ("0", "1", "2", "linked")], on=connection)
            connection.commit()
        run(connection, "CALL objectlink.wait_for_sync('2 minutes')")
        connection.commit()

    def _place(self, number):
        return PREFIX + f"{'!ak'[number % self.PLACES]}/live/{number:05}/"
