"""How does the proxy read and write HTTP/1.1 messages without changing a byte of them?

Only what S3 clients and servers use: Content-Length and chunked bodies, 100-continue, HEAD. Bodies are held in
memory; no pipelining.
"""
import re
from dataclasses import dataclass

BODY_BYTES_MAX = 1 << 30
HEAD_BYTES_MAX = 1 << 20


@dataclass
class Message:
    head: bytes  # start line and headers with the empty line at their end, as received
    body: bytes = b""  # as received: a chunked body keeps its chunk sizes

    def start_line(self):
        return self.head.split(b"\r\n", 1)[0].decode("latin-1")

    def header(self, name):
        found = re.search(rb"\r\n" + re.escape(name.encode()) + rb":[ \t]*([^\r\n]*)", self.head, re.I)
        return found.group(1).decode("latin-1").strip() if found else None

    def to_bytes(self):
        return self.head + self.body


class Reader:
    """Reads messages one after the other from a socket. EOFError: the peer closed between or within messages."""

    def __init__(self, sock):
        self._sock = sock
        self._buffer = b""

    def _fill(self):
        data = self._sock.recv(1 << 16)
        if not data:
            raise EOFError
        self._buffer += data

    def _until(self, mark, limit):
        while mark not in self._buffer:
            if len(self._buffer) > limit:
                raise EOFError
            self._fill()
        end = self._buffer.index(mark) + len(mark)
        piece, self._buffer = self._buffer[:end], self._buffer[end:]
        return piece

    def _exactly(self, count):
        if count > BODY_BYTES_MAX:
            raise EOFError
        pieces = [self._buffer[:count]]
        self._buffer = self._buffer[count:]
        missing = count - len(pieces[0])
        while missing:
            data = self._sock.recv(min(missing, 1 << 20))
            if not data:
                raise EOFError
            pieces.append(data)
            missing -= len(data)
        return b"".join(pieces)

    def _chunked(self):
        pieces = []
        while True:
            size_line = self._until(b"\r\n", HEAD_BYTES_MAX)
            pieces.append(size_line)
            size = int(size_line.split(b";")[0], 16)
            if size:
                pieces.append(self._exactly(size + 2))
                continue
            while pieces[-1] != b"\r\n":  # trailers
                pieces.append(self._until(b"\r\n", HEAD_BYTES_MAX))
            return b"".join(pieces)

    def head(self):
        return Message(self._until(b"\r\n\r\n", HEAD_BYTES_MAX))

    def request_body(self, message):
        if (message.header("Transfer-Encoding") or "").lower() == "chunked":
            message.body = self._chunked()
        else:
            message.body = self._exactly(int(message.header("Content-Length") or 0))

    def reply(self, method):
        """The final reply; interim ones (100 Continue) are dropped."""
        while True:
            message = self.head()
            status = int(message.start_line().split()[1])
            if status >= 200:
                break
        if method == "HEAD" or status in (204, 304):
            return message
        if (message.header("Transfer-Encoding") or "").lower() == "chunked":
            message.body = self._chunked()
        elif message.header("Content-Length") is not None:
            message.body = self._exactly(int(message.header("Content-Length")))
        else:
            try:
                while True:
                    self._fill()
            except EOFError:
                message.body, self._buffer = self._buffer, b""
        return message


def reply_message(status, body=b"", headers=None, reason="Injected"):
    lines = [f"HTTP/1.1 {status} {reason}"]
    fields = {"Content-Type": "application/xml", "x-amz-request-id": "injected-by-proxy", **(headers or {})}
    fields.setdefault("Content-Length", str(len(body)))
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return Message(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body)
