"""What does a client see when its connection to PostgreSQL breaks at the worst moment? A TCP proxy in front of it.

    proxy = PostgresProxy(host, port).start()        # host: an address or a socket folder; clients use proxy.port
    proxy.cut_before("COMMIT")                       # the server never hears the COMMIT
    proxy.cut_after("COMMIT")                        # committed, but the client is not told
    proxy.stall()                                    # bytes stop in both directions, nothing is closed

Looks at simple queries ('Q') and at extended ones (Parse, and Bind of a statement that was prepared earlier); the
text is a regular expression, ignoring case. Speaks no TLS: a client that asks for it is told no by the server.
"""
import re
import socket
import struct
import threading
from dataclasses import dataclass

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102


@dataclass
class _Rule:
    pattern: str
    when: str  # before, after
    times: int | None
    skip: int
    hits: int = 0


class _Session:
    def __init__(self, proxy, client):
        self._proxy = proxy
        self._client = client
        self._server = proxy.connect_upstream()
        self._statements = {}  # name → text
        # Set once the client has sent what the cut is to follow: replies are swallowed until ReadyForQuery.
        self._swallow = threading.Event()

    def serve(self):
        back = threading.Thread(target=self._to_client, daemon=True)
        try:
            self._start_up()
            back.start()
            while True:
                kind, payload = self._message(self._client)
                self._proxy.wait_unless_stalled()
                rule = self._proxy.take(self._text(kind, payload))
                if rule is not None:
                    if rule.when == "before":
                        return
                    self._swallow.set()
                self._server.sendall(kind + struct.pack("!i", len(payload) + 4) + payload)
        except (OSError, EOFError):
            pass
        finally:
            self.close()

    def close(self):
        for sock in (self._client, self._server):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def _start_up(self):
        while True:
            head = self._exactly(self._client, 8)
            length, code = struct.unpack("!ii", head)
            self._server.sendall(head + self._exactly(self._client, length - 8))
            if code in (SSL_REQUEST, GSS_REQUEST):
                self._client.sendall(self._exactly(self._server, 1))
                continue
            if code == CANCEL_REQUEST:
                raise EOFError
            return

    def _text(self, kind, payload):
        if kind == b"Q":
            return payload[:-1].decode("utf-8", "replace")
        if kind == b"P":
            name, text, _ = payload.split(b"\0", 2)
            # Nothing happens before it is bound, and a match here would count twice.
            self._statements[name] = text.decode("utf-8", "replace")
            return None
        if kind == b"B":
            return self._statements.get(payload.split(b"\0", 2)[1])
        return None

    def _to_client(self):
        try:
            while True:
                kind, payload = self._message(self._server)
                self._proxy.wait_unless_stalled()
                if self._swallow.is_set():
                    if kind == b"Z":
                        self.close()
                        return
                    continue
                self._client.sendall(kind + struct.pack("!i", len(payload) + 4) + payload)
        except (OSError, EOFError):
            self.close()

    def _message(self, sock):
        kind = self._exactly(sock, 1)
        length = struct.unpack("!i", self._exactly(sock, 4))[0]
        return kind, self._exactly(sock, length - 4)

    @staticmethod
    def _exactly(sock, count):
        pieces = []
        while count:
            data = sock.recv(min(count, 1 << 16))
            if not data:
                raise EOFError
            pieces.append(data)
            count -= len(data)
        return b"".join(pieces)


class PostgresProxy:
    def __init__(self, host, port):
        self._upstream = (host, int(port))
        self._rules = []
        self._sessions = set()
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._listener = None
        self.port = None

    def start(self):
        self._listen(0)
        return self

    def stop(self):
        self.refuse()

    def cut_before(self, pattern, times=1, skip=0):
        """The connection breaks when such a statement arrives; the server sees the client vanish without it."""
        return self._add(_Rule(pattern, "before", times, skip))

    def cut_after(self, pattern, times=1, skip=0):
        """The statement is done, then the connection breaks instead of the reply."""
        return self._add(_Rule(pattern, "after", times, skip))

    def clear(self):
        with self._lock:
            self._rules = []

    def cut_all(self):
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.close()

    def refuse(self):
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self._flowing.set()
        self.cut_all()

    def accept(self):
        if self._listener is None:
            self._listen(self.port)

    def stall(self):
        self._flowing.clear()

    def flow(self):
        self._flowing.set()

    # For sessions

    def wait_unless_stalled(self):
        self._flowing.wait()

    def take(self, text):
        if text is None:
            return None
        with self._lock:
            for rule in self._rules:
                if not re.search(rule.pattern, text, re.I):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    return None
                if rule.times is not None and rule.hits >= rule.times:
                    continue
                rule.hits += 1
                return rule
        return None

    def connect_upstream(self):
        host, port = self._upstream
        if host.startswith("/"):
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(f"{host}/.s.PGSQL.{port}")
            return sock
        sock = socket.create_connection((host, port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _add(self, rule):
        with self._lock:
            self._rules.append(rule)
        return rule

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port or 0))
        listener.listen(64)
        self._listener = listener
        self.port = listener.getsockname()[1]
        threading.Thread(target=self._accept_all, args=(listener,), daemon=True).start()

    def _accept_all(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        try:
            session = _Session(self, client)
        except OSError:
            client.close()
            return
        with self._lock:
            self._sessions.add(session)
        try:
            session.serve()
        finally:
            with self._lock:
                self._sessions.discard(session)
