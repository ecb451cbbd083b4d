"""What does a client see when the network or the store misbehaves? An HTTP proxy in front of a real S3 server.

    proxy = FaultProxy("http://127.0.0.1:9000").start()      # clients use proxy.endpoint
    proxy.answer(503, code="SlowDown", method="PUT", times=3)
    proxy.cut_after(method="POST", query="delete")            # deleted, but the reply is lost
    gate = proxy.hold(method="PUT", after=True)               # ... gate.wait_reached(); kill something; gate.open()
    proxy.operations(method="PUT", path="q3.pdf")             # what arrived, for assertions

Requests pass through byte by byte, Host header included, so signatures stay valid. One thread a connection.
It invents no S3 semantics; what faults there are stands in faults.py, how they are chosen in rules.py.
"""
import re
import socket
import threading
import time
import urllib.parse

from fault import faults
from fault.http_message import Reader
from fault.rules import Operation, Rule, RuleBook

UPSTREAM_SECONDS_MAX = 600


class _Cut(Exception):
    """The client's connection is gone, on purpose."""


def signed_with(request):
    """Access key id and region."""
    scope = re.search(r"Credential=([^/]+)/\d{8}/([^/]+)/s3/", request.header("Authorization") or "")
    return scope.groups() if scope else (None, None)


class Exchange:
    """One request and its reply. Used by the thread of its connection only."""

    def __init__(self, connection, request, operation):
        self._connection = connection
        self.request = request
        self.operation = operation
        self.upstream_host = connection.proxy.upstream_host

    def forward(self, request=None):
        reply = self._connection.ask_upstream(request or self.request, self.operation.method)
        self.operation.upstream_status = int(reply.start_line().split()[1])
        return reply

    def ask(self, request, method):
        """A request of the proxy's own."""
        return self._connection.ask_upstream(request, method)

    def send(self, data):
        self._connection.client.sendall(data)

    def cut(self, graceful=False):
        if not graceful:
            # Zero linger makes close() send a reset instead of an orderly end.
            self._connection.client.setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        raise _Cut


class _Connection:
    def __init__(self, proxy, client):
        self.proxy = proxy
        self.client = client
        self._upstream = None
        self._upstream_reader = None

    def serve(self):
        reader = Reader(self.client)
        try:
            while True:
                request = reader.head()
                if (request.header("Expect") or "").lower() == "100-continue":
                    self.client.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                reader.request_body(request)
                self._serve_one(request)
                if (request.header("Connection") or "").lower() == "close":
                    return
        except (EOFError, OSError, _Cut):
            pass
        finally:
            self.client.close()
            self._close_upstream()

    def _serve_one(self, request):
        method, target, _ = request.start_line().split(" ", 2)
        path, _, query = target.partition("?")
        access_key, region = signed_with(request)
        operation = Operation(method, urllib.parse.unquote(path), query, len(request.body), time.time(),
                              request.body if method == "POST" and re.match("delete", query) else b"", access_key, region, request.header("Host"))
        self.proxy.record(operation)
        rule = self.proxy.rules.take(operation)
        exchange = Exchange(self, request, operation)
        try:
            if rule is None:
                reply = exchange.forward()
            else:
                operation.fault = rule.fault
                reply = getattr(faults, rule.fault)(exchange, **rule.arguments)
            if reply is None:
                return
            # Before sending: who has the reply may look at the log at once.
            operation.status = int(reply.start_line().split()[1])
            operation.seconds = time.time() - operation.started
            self.client.sendall(reply.to_bytes())
        finally:
            operation.seconds = time.time() - operation.started

    def ask_upstream(self, request, method):
        # A kept-alive connection may have been closed by the server meanwhile; only an unused one proves an outage.
        for fresh in (False, True):
            if fresh or self._upstream is None:
                self._close_upstream()
                self._upstream = socket.create_connection(self.proxy.upstream, timeout=UPSTREAM_SECONDS_MAX)
                self._upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._upstream_reader = Reader(self._upstream)
                fresh = True
            try:
                self._upstream.sendall(request.to_bytes())
                reply = self._upstream_reader.reply(method)
            except (EOFError, OSError):
                self._close_upstream()
                if fresh:
                    raise
                continue
            if (reply.header("Connection") or "").lower() == "close":
                self._close_upstream()
            return reply
        raise AssertionError("unreachable")

    def _close_upstream(self):
        if self._upstream is not None:
            self._upstream.close()
            self._upstream = None


class FaultProxy:
    def __init__(self, upstream_endpoint, access_key=None, secret_key=None, tls=None):
        """The keys serve delete_errors() alone. tls: an ssl.SSLContext; clients speak TLS to the proxy then."""
        parts = urllib.parse.urlsplit(upstream_endpoint)
        assert parts.scheme == "http", "the proxy speaks plain HTTP only"
        self.upstream = (parts.hostname, parts.port or 80)
        self.upstream_host = parts.netloc
        self.rules = RuleBook()
        self._tls = tls
        self._keys = {"access_key": access_key, "secret_key": secret_key}
        self._operations = []
        self._clients = set()  # their plain sockets
        self._lock = threading.Lock()
        self._listener = None
        self.port = None

    # Life

    def start(self):
        self._listen(0)
        return self

    def stop(self):
        self.refuse()
        self.cut_all()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def refuse(self):
        """From now on connections are refused, and those there are broken: the store's host is down."""
        listener, self._listener = self._listener, None
        if listener is not None:
            # shutdown() wakes the thread that waits in accept(); close() alone would not.
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        self.cut_all()

    def accept(self):
        """The end of refuse(), at the same port."""
        if self._listener is None:
            self._listen(self.port)

    def cut_all(self):
        with self._lock:
            clients = list(self._clients)
        for client in clients:
            try:
                client.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(512)
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

    def _serve(self, connection):
        client = connection
        with self._lock:
            self._clients.add(connection)
        try:
            if self._tls:
                client = self._tls.wrap_socket(client, server_side=True)
            _Connection(self, client).serve()
        except OSError:
            client.close()  # one that did not like the certificate
        finally:
            with self._lock:
                self._clients.discard(connection)

    # Faults: each takes method, path, query, own, times (None: for ever) and skip, and returns the rule for remove()

    def answer(self, status, code=None, body=None, headers=None, **match):
        return self._add("answer", match, status=status, code=code, body=body, headers=headers)

    def delay(self, seconds, **match):
        return self._add("delay", match, seconds=seconds)

    def delay_reply(self, seconds, **match):
        return self._add("delay_reply", match, seconds=seconds)

    def cut_before(self, **match):
        return self._add("cut_before", match)

    def cut_after(self, **match):
        return self._add("cut_after", match)

    def replace_reply(self, status, code=None, **match):
        return self._add("replace_reply", match, status=status, code=code)

    def drip(self, bytes_at_once=1, pause=0.05, **match):
        return self._add("drip", match, bytes_at_once=bytes_at_once, pause=pause)

    def truncate(self, keep=0.5, **match):
        return self._add("truncate", match, keep=keep)

    def garbage(self, **match):
        return self._add("garbage", match)

    def not_http(self, **match):
        return self._add("not_http", match)

    def hold(self, after=False, **match):
        gate = faults.Gate()
        self._add("hold", match, gate=gate, after=after)
        return gate

    def revoke(self, access_key, code="InvalidAccessKeyId"):
        gate = faults.Gate()
        self._add("revoke", {"times": None}, access_key=access_key, code=code, gate=gate)
        return gate

    def drop_headers(self, names, **match):
        return self._add("drop_headers", match, names=names)

    def older_objects(self, hours, **match):
        return self._add("older_objects", {"method": "HEAD", "times": None, **match}, hours=hours)

    def delete_errors(self, keys, code="InternalError", **match):
        """keys: a list, or a regular expression."""
        match = {"method": "POST", "query": "^delete", **match}
        return self._add("delete_errors", match, keys=keys, code=code, **self._keys)

    # What a store can do that the real server behind the proxy cannot; for ever

    def honour_delete_conditions(self, together=True):
        """together: in DeleteObjects as well."""
        self._add("conditional_delete", {"method": "DELETE", "query": "^$", "own": None, "times": None}, **self._keys)
        if together:
            self._add("conditional_delete", {"method": "POST", "query": "^delete", "own": None, "times": None}, **self._keys)

    def sort_listings_as_utf16(self):
        self._add("utf16_order", {"method": "GET", "query": "list-type=2", "own": None, "times": None})

    def shuffle_listings(self, query="list-type=2", hold_at=None):
        """hold_at: the number of a page that stops at the gate, which is returned."""
        gate = faults.Gate() if hold_at else None
        self._add("no_order", {"method": "GET", "query": query, "own": None, "times": None}, gate=gate, pages=[hold_at])
        return gate

    def verify_checksums(self):
        self._add("verified_checksum", {"method": "PUT", "query": "^$", "own": None, "times": None})

    def _add(self, fault, match, **arguments):
        return self.rules.add(Rule(fault, arguments, **match))

    def remove(self, rule):
        self.rules.remove(rule)

    def clear(self):
        self.rules.clear()

    # The log

    def record(self, operation):
        with self._lock:
            self._operations.append(operation)

    def operations(self, method=None, path=None, query=None, own="auto"):
        """What arrived so far, oldest first; path and query are regular expressions. own: see Operation."""
        if own == "auto" and path is None and query is None:
            own = False
        wanted = Rule("", method=method, path=path, query=query, own=own)
        with self._lock:
            return [operation for operation in self._operations if wanted.matches(operation)]

    def forget(self):
        with self._lock:
            self._operations = []
