"""Was anything live destroyed? Compares what clients know of their commits with what the S3 server says it did.

A trigger on every table writes, in the user's own transaction, which row took which key to which: the trail. It is there
exactly if the transaction is, whatever became of the connection or the server; the client adds when it asked for the commit
and when it knew of it. From that follows for each key when a committed row *certainly* held it. Whatever is not certain is
never held against objectlink: only a delete that the server received after a row's commit was known, and ended before the
commit that took the row away was even asked for, is a violation.
"""
import threading
from collections import defaultdict
from dataclasses import dataclass

NEVER = float("inf")
DELETES = ("delete_obj", "multi_object_delete")
PUTS = ("put_obj", "complete_multipart", "copy_obj")

TRAIL = """
CREATE SEQUENCE row_id;
CREATE TABLE trail (seq bigint GENERATED ALWAYS AS IDENTITY, txn text NOT NULL DEFAULT current_setting('history.txn'),
                    row_id bigint NOT NULL, was text, becomes text);
CREATE FUNCTION write_trail() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  was text;
  becomes text;
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    EXECUTE format('INSERT INTO trail (row_id, was) SELECT id, %s FROM %s r', TG_ARGV[0], TG_RELID::regclass);
    RETURN NULL;
  END IF;
  IF TG_OP <> 'INSERT' THEN EXECUTE format('SELECT %s FROM (SELECT ($1).*) r', TG_ARGV[0]) INTO was USING OLD; END IF;
  IF TG_OP <> 'DELETE' THEN EXECUTE format('SELECT %s FROM (SELECT ($1).*) r', TG_ARGV[0]) INTO becomes USING NEW; END IF;
  INSERT INTO trail (row_id, was, becomes) VALUES (coalesce(NEW.id, OLD.id), was, becomes);
  RETURN NULL;
END $$;
"""


def trail_of(table, key):
    """Statements that give a table its trail; key: the expression that yields the key of a row."""
    call = f"EXECUTE FUNCTION write_trail($${key}$$)"
    return (f"CREATE TRIGGER trail AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW {call};"
            f"CREATE TRIGGER trail_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT {call};")


class Violation(AssertionError):
    """A promise is broken."""

    def __init__(self, text, keys=()):
        super().__init__(text)
        self.keys = keys


@dataclass
class Commit:
    asked: float = NEVER  # before COMMIT was sent
    known: float = NEVER  # after its reply; an outcome in doubt is known when the trail was read


@dataclass
class Hold:
    """A committed row that held a key: certainly from `since` to `until`."""
    row_id: int
    since: float
    until: float = NEVER


class Timeline:
    """What rows held which keys when. Clients write commits, from their threads; the rest is the main thread's."""

    def __init__(self):
        self._lock = threading.Lock()
        self._commits = {}
        self._holds = defaultdict(list)
        self._current = {}  # row id -> key

    def asking(self, txn, now):
        with self._lock:
            self._commits[txn] = Commit(asked=now)

    def answered(self, txn, now):
        with self._lock:
            self._commits[txn].known = now

    def extend(self, trail, now):
        """trail: rows in order of seq, none of which is read twice. Row locks put those of one row in the order of commits."""
        net = {}  # what a transaction does to a row on the way is nobody's business
        for step in trail:
            before = net.get((step.row_id, step.txn))
            net[step.row_id, step.txn] = (before[0] if before else step.was, step.becomes)
        for (row_id, txn), (was, becomes) in net.items():
            commit = self._commits[txn]
            current = self._current.get(row_id)
            assert current == was, f"the trail of row {row_id} has a gap: {current!r}, {was!r}"
            if was == becomes:
                continue
            if was is not None:
                next(hold for hold in reversed(self._holds[was]) if hold.row_id == row_id).until = commit.asked
            if becomes is not None:
                self._holds[becomes].append(Hold(row_id, min(commit.known, now)))
            self._current[row_id] = becomes
        with self._lock:
            self._commits.clear()

    def keys(self):
        return {key for key in self._current.values() if key is not None}

    def held_during(self, key, start, end):
        return [hold for hold in self._holds.get(key, ()) if hold.since < start and hold.until > end]


def check_operations(operations, timeline, content_is_foreign):
    """content_is_foreign(key): whether another object is there than the one that put() would upload."""
    for operation in operations:
        if operation.by_witness:
            continue
        if operation.what in DELETES:
            holds = timeline.held_during(operation.key, operation.received, operation.done)
            if holds:
                raise Violation(f"a live object was deleted: {operation}, held by {holds}", [operation.key])
            if content_is_foreign(operation.key):
                raise Violation(f"somebody else's object was deleted: {operation}", [operation.key])
        elif operation.what in PUTS and content_is_foreign(operation.key):
            raise Violation(f"an object with other content was overwritten: {operation}", [operation.key])
