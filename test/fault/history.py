"""Do rows and objects stay together whatever happens at once? One randomized history after the other, each of them judged.

In a history several clients (history_client.py) work on the same few keys while requests fail, arrive late or lose their
replies, daemons are killed and stopped, sessions are cut and the database server crashes. Then everything is let come to
rest, and the oracle (history_oracle.py) and this file judge: no delete hit what a committed row held, each committed row's
object is there with the right bytes, nothing else is, and registry and events tell the same.

The seed fixes every decision of the clients and the plan of faults; how the threads meet is up to the machine. Servers, daemons
and bucket are used again, and the keys of a history overlap with those of the one before: so a request that arrives
after its history has ended, or a mark that was given up too early, meets the same key in a later life.
"""
import hashlib
import random
import threading
import time
from collections import Counter

import psycopg2

from fault.history_client import Client, is_lost
from fault.history_oracle import DELETES, TRAIL, Timeline, Violation, check_operations, trail_of
from harness.documents import content_of, terminate_daemon_sessions
from harness.postgres import Database, run
from harness.store_log import StoreLog
from harness.waiting import eventually

CLIENTS = 5
TRANSACTIONS = 6  # of a client in a history
SYNC_SECONDS_MAX = 60
LATE_LOOKS_MAX = 5  # rounds of them in one judgement
CLIENT_SECONDS_MAX = 60
REQUEST_TIMEOUT_MS = 1000  # the shortest that a store takes
LOCK_TIMEOUT_MS = 300  # a prepared transaction that nobody ends holds its locks until the history ends
CLUSTER_SETTINGS = {"max_prepared_transactions": 20, "wal_writer_delay": "10s", "deadlock_timeout": "50ms"}


def foreign_content(key):
    return b"somebody else's " + key.encode()


class World:
    """Tables, keys and contents: what all clients share."""

    FOLDERS = 3
    CHOSEN, LINKED, FOREIGN = 6, 2, 2  # keys in use at a time
    HISTORIES_TO_RENEW = 8  # after so many histories none of the keys is in use any more

    def __init__(self, pg, bucket, endpoint):
        self.pg = pg
        # With connections of their own, as other threads use them.
        self.client_pg = Database(pg.cluster, pg.name)
        self.accident_pg = Database(pg.cluster, pg.name)
        self.bucket = bucket
        self.timeline = Timeline()
        self.contents = {}  # of keys that objectlink made
        self.uploads_of_nobody = set()  # uploaded by a client for a row that was never committed
        self._first = {"k": 0, "l": 0, "f": 0}
        self._foreign = set()
        pg.create_server("docs", endpoint, bucket.name, request_timeout=f"{REQUEST_TIMEOUT_MS}ms")
        pg.run(TRAIL)
        pg.run("CREATE TABLE document (id bigint PRIMARY KEY DEFAULT nextval('row_id'), file objectlink.storage_ref)")
        pg.run("CREATE TABLE folder (id bigint PRIMARY KEY)")
        pg.run("CREATE TABLE page (id bigint DEFAULT nextval('row_id'), part int, file objectlink.storage_ref,"
               " folder bigint REFERENCES folder ON DELETE CASCADE, PRIMARY KEY (id, part)) PARTITION BY LIST (part)")
        pg.run("CREATE TABLE page_1 PARTITION OF page FOR VALUES IN (1)")
        pg.run("CREATE TABLE page_2 PARTITION OF page FOR VALUES IN (2)")
        pg.run("CREATE TABLE note (id bigint PRIMARY KEY DEFAULT nextval('row_id'), path text)")
        for table, key in (("document", "objectlink.key(r.file)"), ("page", "objectlink.key(r.file)"), ("note", "r.path")):
            pg.run(trail_of(table, key))
        for arguments in ("'document', 'file'", "'page', 'file'", "'note', 'path', store => 'docs'"):
            pg.run(f"SELECT objectlink.attach({arguments})")

    def next_history(self, number):
        """The keys in use move on."""
        for kind, count in (("k", self.CHOSEN), ("l", self.LINKED), ("f", self.FOREIGN)):
            self._first[kind] = number * count // self.HISTORIES_TO_RENEW
        for seed in range(self.FOREIGN):
            key = self.foreign_key(seed)
            if key not in self._foreign:
                self.bucket.put(key, foreign_content(key))
                self._foreign.add(key)

    def _key(self, kind, count, seed):
        return f"{kind}/{self._first[kind] + seed % count}"

    def chosen_key(self, seed):
        return self._key("k", self.CHOSEN, seed)

    def linked_key(self, seed):
        return self._key("l", self.LINKED, seed)

    def foreign_key(self, seed):
        return self._key("f", self.FOREIGN, seed)

    def is_foreign(self, key):
        return key in self._foreign

    def content(self, key):
        return foreign_content(key) if key in self._foreign else self.contents.get(key) or content_of(key)

    def linked_keys(self):
        return {row.key for row in self.pg.run(
            "SELECT objectlink.key(file) AS key FROM document WHERE file IS NOT NULL"
            " UNION SELECT objectlink.key(file) FROM page WHERE file IS NOT NULL UNION SELECT path FROM note WHERE path IS NOT NULL")}


class Historian:
    """Plays histories and judges each; raises Violation. daemons, proxy, pg_proxy: as the fixtures make them."""

    def __init__(self, world, daemons, proxy, pg_proxy, seed):
        self._world = world
        self._pg = world.pg
        self._daemons = daemons
        self._proxy = proxy
        self._pg_proxy = pg_proxy
        self._seed = seed
        self._log = StoreLog(world.bucket.server, world.bucket)
        self._events_read = 0
        self._states = {}  # key -> state, as the events tell
        self._legal = set(map(tuple, self._pg.run("SELECT from_state, to_state FROM objectlink.legal_transitions()")))
        self._clients = []
        self.outcomes = Counter()
        self.deletes = 0

    def play(self, number):
        chance = random.Random(f"{self._seed}/{number}")
        try:
            self._world.next_history(number)
            self._break_requests(chance)
            self._act(number, chance)
            self._come_to_rest(chance)
            self._judge()
            self._tidy(chance, number)
        except Exception as failure:
            told = self._told(failure.keys) if isinstance(failure, Violation) else ""
            what = failure.args[0] if failure.args else repr(failure)
            failure.args = (f"history {number} of OBJECTLINK_SEED={self._seed}: {what}{told}",)
            raise

    # What goes wrong

    def _break_requests(self, chance):
        deletes = [{"method": "DELETE"}, {"method": "POST", "query": "^delete"}]
        any_request = deletes + [{"method": "PUT"}, {"method": "HEAD"}]
        proxy = self._proxy
        for _ in range(chance.choice([0, 0, 1, 2, 3, 5])):
            match = {**chance.choice(any_request), "skip": chance.randint(0, 6)}
            fault = chance.choice(["cut_before", "cut_after", "truncate", "not_http", "500", "503", "slow", "told 500"])
            if fault == "500":
                proxy.answer(500, code="InternalError", **match)
            elif fault == "503":
                proxy.answer(503, code="SlowDown", **match)
            elif fault == "told 500":
                proxy.replace_reply(500, code="InternalError", **match)
            elif fault == "slow":
                proxy.delay(chance.uniform(0, 0.1), **match)
            else:
                getattr(proxy, fault)(**match)
        for _ in range(chance.choice([0, 0, 0, 0, 1, 2])):
            # Longer than the daemon waits: it arrives when nobody expects it any more.
            late_seconds = REQUEST_TIMEOUT_MS / 1000 + chance.uniform(0.05, 2)
            proxy.delay(late_seconds, **chance.choice(deletes), skip=chance.randint(0, 6))
        if chance.random() < 0.2:
            chance.choice([proxy.cut_after, proxy.cut_before])(method="HEAD", times=chance.randint(1, 4))
        if chance.random() < 0.3:
            getattr(self._pg_proxy, chance.choice(["cut_after", "cut_before"]))("^COMMIT", skip=chance.randint(0, 4))

    def _accidents(self, chance):
        """[(seconds from the start, what)]"""
        kinds = [self._kill, self._kill, self._stop, self._cut_a_client]
        plan = [(chance.uniform(0, 0.4), chance.choice(kinds), chance.randrange(1 << 32))
                for _ in range(chance.choice([0, 0, 1, 1, 2, 3]))]
        if chance.random() < 0.03:
            plan.append((chance.uniform(0, 0.3), self._crash, 0))
        if chance.random() < 0.01:
            # A daemon that loses its session and lives: the other one has to wait for the lease to run out.
            plan.append((chance.uniform(0, 0.4), self._cut_daemons, 0))
        return sorted(plan, key=lambda accident: accident[0])

    def _daemon(self, seed):
        return self._daemons[seed % len(self._daemons)]

    def _kill(self, seed):
        self._daemon(seed).restart()

    def _stop(self, seed):
        daemon = self._daemon(seed)
        if daemon.alive:
            daemon.stop()
        daemon.start()

    def _cut_daemons(self, _):
        terminate_daemon_sessions(self._accident_pg)

    def _cut_a_client(self, seed):
        run(self._accident_pg.connection, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = %s", f"client-{seed % CLIENTS}")

    def _crash(self, _):
        self._accident_pg.close()
        self._pg.cluster.restart("immediate")

    def _act(self, number, chance):
        if not self._clients:
            self._clients = [Client(self._world, str(client), self._connector(client)) for client in range(CLIENTS)]
        failures = []

        def guarded(work, *arguments):
            try:
                work(*arguments)
            except BaseException as failure:  # pylint: disable=broad-except
                failures.append(failure)

        threads = []
        for client in self._clients:
            client.begin_history(number, random.Random(chance.randrange(1 << 64)))
            threads.append(threading.Thread(target=guarded, args=(client.transactions, TRANSACTIONS), daemon=True))
        accidents = self._accidents(chance)
        threads.append(threading.Thread(target=guarded, args=(self._have_accidents, accidents), daemon=True))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(CLIENT_SECONDS_MAX)
            assert not thread.is_alive(), "a client hangs"
        for client in self._clients:
            self.outcomes.update(client.outcomes)
            client.outcomes.clear()
        if failures:
            raise failures[0]

    def _have_accidents(self, accidents):
        started = time.monotonic()
        for at, accident, seed in accidents:
            time.sleep(max(0, started + at - time.monotonic()))
            try:
                accident(seed)
            except psycopg2.Error as error:
                if not is_lost(error):
                    raise
                self._accident_pg.close()
            self.outcomes[accident.__name__.strip("_")] += 1

    @property
    def _accident_pg(self):
        return self._world.accident_pg

    def _connector(self, client):
        # One of them through the proxy that loses replies to COMMIT.
        where = {"host": "127.0.0.1", "port": self._pg_proxy.port} if client == 0 else {}
        return lambda: self._world.client_pg.connect(
            application_name=f"client-{client}", password=self._pg.cluster.password,
            options=f"-c lock_timeout={LOCK_TIMEOUT_MS}", **where)

    # The end

    def _come_to_rest(self, chance):
        self._proxy.clear()
        self._pg_proxy.clear()
        for daemon in self._daemons:
            if not daemon.alive:
                daemon.start()
        self._reconnect()
        eventually(lambda: not self._pg.run("SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                                            " AND application_name ~ '^client-' AND state <> 'idle'"), what="no client is at work")
        for row in self._pg.run("SELECT gid FROM pg_prepared_xacts WHERE database = current_database() ORDER BY gid"):
            if chance.random() < 0.5:
                self._world.timeline.asking(row.gid, time.time())
                self._pg.run(f"COMMIT PREPARED '{row.gid}'")
                self._world.timeline.answered(row.gid, time.time())
            else:
                self._pg.run(f"ROLLBACK PREPARED '{row.gid}'")
        self._pg.wait_for_sync(SYNC_SECONDS_MAX)
        # What was put may be linked for 24 h; it may be held for that although its row has gone already, when the drainer
        # reads of both in another order. That must be the only reason to wait, and must end.
        held = self._pg.run("UPDATE objectlink.object SET due_at = now() WHERE state IN ('reserved', 'unlinked') AND last_error IS NULL"
                            " AND due_at > now() + objectlink.reservation_time() - interval '1 hour' RETURNING key")
        if held:
            self.outcomes["held for a row to come"] += len(held)
            self._wait_gone([row.key for row in held])
            self._pg.wait_for_sync(SYNC_SECONDS_MAX)

    def _wait_gone(self, keys):
        eventually(lambda: not self._pg.run("SELECT key FROM objectlink.object WHERE key = ANY (%s)", keys), what=f"{keys} are gone")

    def _reconnect(self):
        """After a crash the connection is dead and does not know."""
        def answers():
            try:
                return self._pg.value("SELECT 1")
            except psycopg2.Error:
                self._pg.close()
                return None

        eventually(answers, what="the server answers")

    def close(self):
        for client in self._clients:
            client.close()
        self._world.client_pg.close()
        self._world.accident_pg.close()

    def _judge(self):
        trail = self._pg.run("WITH t AS (DELETE FROM trail RETURNING *) SELECT * FROM t ORDER BY seq")
        self._world.timeline.extend(trail, time.time())
        linked = self._world.linked_keys()
        assert linked == self._world.timeline.keys(), "the trail is not what the tables hold"
        operations = self._log.news()
        self.deletes += sum(operation.what in DELETES for operation in operations)
        check_operations(operations, self._world.timeline, self._world.is_foreign)
        for _ in range(LATE_LOOKS_MAX):
            try:
                self._judge_rest(linked)
                return
            except Violation:
                if not self._wait_for_late_looks():
                    raise
        self._judge_rest(linked)

    def _judge_rest(self, linked):
        self._judge_registry(linked)
        self._judge_bucket(linked)
        self._judge_events()

    def _wait_for_late_looks(self):
        """A quarter of an hour after it was deleted, an object of which an upload may still have arrived is looked at once more: perhaps
        while a history is judged. Waits until that is over; False: there was none."""
        looked_at = self._pg.run("SELECT DISTINCT key FROM objectlink.event WHERE cause = 'upload may be late' AND at > now() - interval '30 s'")
        eventually(lambda: not self._pg.run("SELECT 1 FROM objectlink.object WHERE key = ANY (%s) AND state IN ('unlinked', 'deleting')",
                                            [row.key for row in looked_at]), what="late looks are over")
        return bool(looked_at)

    def _judge_bucket(self, linked):
        listing = self._world.bucket.listing()
        there = set(listing)
        missing = linked - there
        if missing:
            raise Violation("objects of committed rows are not there", missing)
        strays = {key for key in there - linked if not self._world.is_foreign(key) and key not in self._world.uploads_of_nobody}
        if strays:
            raise Violation("objects that no row refers to are there", strays)
        for key, (size, etag) in listing.items():
            content = self._world.content(key)
            if (size, etag) != (len(content), hashlib.md5(content).hexdigest()):
                raise Violation("wrong content", [key])

    def _judge_registry(self, linked):
        expected = {key: "failed" if self._world.is_foreign(key) else "stored" for key in linked}
        states = {row.key: row.state for row in self._pg.run("SELECT key, state FROM objectlink.object")}
        if states != expected:
            wrong = {key for key in states.keys() | expected.keys() if states.get(key) != expected.get(key)}
            raise Violation("the registry is wrong", wrong)
        for waits in ("objectlink.outbox", "objectlink.scan", "objectlink.object WHERE due_at IS NOT NULL",
                      "objectlink.condemned WHERE release_after IS NULL", "objectlink.payload WHERE objectlink.key(ref) !~ '^f/'"):
            found = self._pg.run(f"SELECT * FROM {waits} LIMIT 3")
            if found:
                raise Violation(f"something waits in {waits}: {found}")

    def _judge_events(self):
        for event in self._pg.run("SELECT id, key, from_state, to_state, cause FROM objectlink.event"
                                  " WHERE key IS NOT NULL AND id > %s ORDER BY id", self._events_read):
            self._events_read = event.id
            state = self._states.pop(event.key, None)
            if event.from_state != state or (state, event.to_state) not in self._legal or not event.cause:
                raise Violation("events that do not follow from one another", [event.key])
            if event.to_state != "gone":
                self._states[event.key] = event.to_state
        told = {row.key: row.state for row in self._pg.run("SELECT key, state FROM objectlink.object")}
        if told != self._states:
            raise Violation("the events end elsewhere than the registry", {key for key, _ in told.items() ^ self._states.items()})

    def _told(self, keys):
        """Each key with its last events and holders."""
        lines = []
        for key in sorted(keys)[:5]:
            now = self._pg.run("SELECT state, due_at, last_error FROM objectlink.object WHERE key = %s", key)
            lines.append(f"\n{key}: {now} " + "; ".join(
                f"{event.at:%H:%M:%S.%f} {event.from_state}→{event.to_state} ({event.cause})" for event in self._pg.events(key)[-8:]))
            lines += [f"\n    {hold}" for hold in self._world.timeline.held_during(key, float("inf"), 0)[-4:]]
        return "".join(lines)

    def _tidy(self, chance, number):
        """Rows of keys that are no longer in use go; their deletions meet the next history."""
        if chance.random() < 0.7:
            return
        connection = self._pg.connect(autocommit=False)
        txn = f"tidy/{number}"
        run(connection, "SELECT set_config('history.txn', %s, true)", txn)
        for table in ("document", "page", "note"):
            run(connection, f"DELETE FROM {table} WHERE id % 4 <> 0")
        self._world.timeline.asking(txn, time.time())
        connection.commit()
        self._world.timeline.answered(txn, time.time())
        connection.close()
