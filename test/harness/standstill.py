"""How does a test stop the daemon at a step of its choice? By a request held at the proxy's gate, or by a lock of its own
on which a statement of the daemon waits. Once it stands still it can be killed, and what was under way can be let go on
or be lost.
"""
from harness.documents import terminate_daemon_sessions, wait_daemon_blocked
from harness.postgres import run
from harness.waiting import eventually


class HeldRequest:
    """One request, held before the store has seen it or after it has answered."""

    def __init__(self, proxy, **match):
        self._proxy = proxy
        self._gate = proxy.hold(**match)

    def reached(self):
        self._gate.wait_reached()
        return self

    def go_on(self):
        self._gate.open()
        # Its client may be dead; what counts is that the store has dealt with it.
        eventually(lambda: all(done.upstream_status for done in self._proxy.operations() if done.fault == "hold"),
                   what="the held request is done")

    def lose(self):
        self._gate.drop()


class HeldStatement:
    """A statement of the daemon that waits for a lock. Its daemon may die meanwhile: the server does not notice."""

    def __init__(self, pg, lock, *arguments):
        self._pg = pg
        self._connection = pg.connect(autocommit=False)
        run(self._connection, lock, *arguments)

    def reached(self, statement):
        wait_daemon_blocked(self._pg, statement)
        return self

    def go_on(self):
        self._connection.rollback()

    def lose(self):
        terminate_daemon_sessions(self._pg)
        self._connection.rollback()


class OpenWriter:
    """A transaction that has written a row of an attached table: no deletion may be issued while it is open."""

    def __init__(self, pg):
        self.connection = pg.connect(autocommit=False)
        run(self.connection, "INSERT INTO document (title) VALUES ('an open writer')")

    def go_on(self):
        self.connection.rollback()

    lose = go_on


def lock_events(pg):
    """Stops every statement that changes an object's state: apply, settle, condemn, issue."""
    return HeldStatement(pg, "LOCK TABLE objectlink.event IN ACCESS EXCLUSIVE MODE")


def lock_object(pg, key):
    return HeldStatement(pg, "SELECT 1 FROM objectlink.object WHERE key = %s FOR UPDATE", key)
