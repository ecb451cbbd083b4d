"""What can happen to a request on its way to the store and back?

Each function gets the exchange (see proxy.Exchange) and the rule's arguments, and answers with the reply for the
client, or None when it has sent that itself; exchange.cut() does not return.
"""
import base64
import datetime
import email.utils
import hashlib
import html
import re
import threading
import time
import urllib.parse
import xml.sax.saxutils

from fault.http_message import Message, reply_message
from fault.sigv4 import signed_headers

DRIP_SECONDS_MAX = 600


def error_body(code, message="injected by the fault proxy", resource=""):
    return (f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>{message}</Message>'
            f"<Resource>{resource}</Resource><RequestId>injected-by-proxy</RequestId></Error>").encode()


def answer(exchange, status, code=None, body=None, headers=None):
    """An answer that the store never gave. The request does not reach it."""
    if body is None:
        body = error_body(code) if code else b""
    if exchange.operation.method == "HEAD":
        return reply_message(status, b"", {"Content-Length": "0", **(headers or {})})
    return reply_message(status, body, headers)


def delay(exchange, seconds):
    """Slow before the store sees it."""
    time.sleep(seconds)
    return exchange.forward()


def delay_reply(exchange, seconds):
    """The effect happens at once, the reply comes late."""
    reply = exchange.forward()
    time.sleep(seconds)
    return reply


def cut_before(exchange):
    """The connection breaks before the request reached the store: no effect."""
    exchange.cut()


def cut_after(exchange):
    """The effect happened, the reply is lost."""
    exchange.forward()
    exchange.cut()


def replace_reply(exchange, status, code=None):
    """The effect happened, the client is told of an error."""
    exchange.forward()
    return answer(exchange, status, code)


def drip(exchange, bytes_at_once=1, pause=0.05):
    """The reply comes in small pieces, headers included."""
    data = exchange.forward().to_bytes()
    deadline = time.monotonic() + DRIP_SECONDS_MAX
    for start in range(0, len(data), bytes_at_once):
        if time.monotonic() > deadline:
            exchange.cut()
        exchange.send(data[start:start + bytes_at_once])
        time.sleep(pause)
    exchange.operation.status = exchange.operation.upstream_status


def truncate(exchange, keep=0.5):
    """The reply ends in the middle of its body, though Content-Length promised more."""
    reply = exchange.forward()
    exchange.send(reply.head + reply.body[:int(len(reply.body) * keep)])
    exchange.cut(graceful=True)


def garbage(exchange, body=b"<html>not what you asked for \xff\x00"):
    """Status and effect are true, the body is nonsense of consistent length."""
    reply = exchange.forward()
    head = re.sub(rb"\r\n(Content-Length|Transfer-Encoding):[^\r\n]*", b"", reply.head, flags=re.I)
    head = head[:-2] + b"Content-Length: %d\r\n\r\n" % len(body)
    return Message(head, body)


def not_http(exchange, data=b"\x16\x03\x01 what is this\r\n\r\n"):
    """Something that is no HTTP at all answers."""
    exchange.send(data)
    exchange.cut(graceful=True)


def hold(exchange, gate, after):
    """Stops at the gate, before the store sees the request or after it has answered."""
    reply = exchange.forward() if after else None
    if not gate.stop_here():
        exchange.cut()
    return reply or exchange.forward()


def revoke(exchange, access_key, code, gate):
    """A key that is no longer valid: what is signed with it stops at the gate, and is refused then."""
    if access_key.encode() + b"/" not in exchange.request.head:
        return exchange.forward()
    if not gate.stop_here():
        exchange.cut()
    return answer(exchange, 403, code)


def drop_headers(exchange, names):
    """The store does not know these headers. They must not be signed."""
    head = exchange.request.head
    for name in names:
        head = re.sub(rb"\r\n" + name.encode() + rb":[^\r\n]*", b"", head, flags=re.I)
    return exchange.forward(Message(head, exchange.request.body))


def older_objects(exchange, hours):
    """The store says of its objects that they were written so long before they were."""
    reply = exchange.forward()
    modified = reply.header("Last-Modified")
    if modified is None:
        return reply
    then = email.utils.parsedate_to_datetime(modified) - datetime.timedelta(hours=hours)
    head = re.sub(rb"(\r\nLast-Modified:)[^\r\n]*", rb"\1 " + email.utils.format_datetime(then, usegmt=True).encode(), reply.head, flags=re.I)
    return Message(head, reply.body)


def delete_errors(exchange, keys, code="InternalError", access_key=None, secret_key=None):
    """DeleteObjects: these keys fail (and stay), the others are deleted, all inside an HTTP 200.

    The others go to the store in a request that the proxy signs itself: the client's signature covers the body.
    """
    entries = re.findall(rb"<Object>.*?</Object>", exchange.request.body, re.S)
    listed = {_key_of(entry): entry for entry in entries}
    failing = [key for key in listed if _selected(key, keys)]
    passing = [entry for key, entry in listed.items() if key not in failing]
    inner = b""
    if passing:
        body = b"<Delete>" + b"".join(passing) + b"</Delete>"
        reply = exchange.forward(_resigned(exchange, body, access_key, secret_key))
        inner = b"".join(re.findall(rb"<(?:Deleted|Error)>.*?</(?:Deleted|Error)>", _unchunked(reply), re.S))
    for key in failing:
        inner += (f"<Error><Key>{xml.sax.saxutils.escape(key)}</Key><Code>{code}</Code>"
                  "<Message>injected by the fault proxy</Message></Error>").encode()
    return reply_message(200, b'<?xml version="1.0" encoding="UTF-8"?>'
                              b'<DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' + inner
                              + b"</DeleteResult>")


def conditional_delete(exchange, access_key=None, secret_key=None):
    """DELETE If-Match and <ETag> in DeleteObjects, as AWS honours them: what has another ETag stays."""
    def has_other_etag(path, wanted):
        headers = signed_headers("HEAD", exchange.upstream_host, path, "", b"", access_key, secret_key)
        head = f"HEAD {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        etag = exchange.ask(Message((head + "\r\n").encode("latin-1"), b""), "HEAD").header("ETag")
        return etag is not None and etag.strip('"') != wanted.strip('"')

    path = exchange.request.start_line().split()[1].partition("?")[0]
    if exchange.operation.method == "DELETE":
        wanted = exchange.request.header("If-Match")
        return answer(exchange, 412, "PreconditionFailed") if wanted and has_other_etag(path, wanted) else exchange.forward()
    changed = []
    for entry in re.findall(rb"<Object>.*?</Object>", exchange.request.body, re.S):
        etag = re.search(rb"<ETag>(.*?)</ETag>", entry)
        if etag and has_other_etag(path + urllib.parse.quote(_key_of(entry)), html.unescape(etag.group(1).decode())):
            changed.append(_key_of(entry))
    return delete_errors(exchange, changed, "PreconditionFailed", access_key, secret_key)


def verified_checksum(exchange):
    """x-amz-checksum-sha256 of a PUT, verified as AWS does."""
    claimed = exchange.request.header("x-amz-checksum-sha256")
    true = base64.b64encode(hashlib.sha256(exchange.request.body).digest()).decode()
    return answer(exchange, 400, "BadDigest") if claimed not in (None, true) else exchange.forward()


def _key_of(entry):
    return xml.sax.saxutils.unescape(
        re.search(rb"<Key>(.*?)</Key>", entry, re.S).group(1).decode(), {"&quot;": '"', "&apos;": "'"})


def _selected(key, keys):
    return re.search(keys, key) is not None if isinstance(keys, str) else key in keys


def _resigned(exchange, body, access_key, secret_key):
    target = exchange.request.start_line().split()[1]
    path, _, _ = target.partition("?")
    headers = signed_headers("POST", exchange.upstream_host, path, "delete=", body, access_key, secret_key)
    head = f"POST {path}?delete= HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return Message((head + "\r\n").encode("latin-1"), body)


def _unchunked(reply):
    if (reply.header("Transfer-Encoding") or "").lower() != "chunked":
        return reply.body
    body, rest = b"", reply.body
    while True:
        size_line, _, rest = rest.partition(b"\r\n")
        size = int(size_line.split(b";")[0], 16)
        if size == 0:
            return body
        body, rest = body + rest[:size], rest[size + 2:]


class Gate:
    """A place where requests stop until a test lets them go."""

    SECONDS_MAX = 120

    def __init__(self):
        self._reached = threading.Event()
        self._decided = threading.Event()
        self._dropped = False

    def stop_here(self):
        self._reached.set()
        self._decided.wait(self.SECONDS_MAX)
        return not self._dropped

    def wait_reached(self, seconds=30):
        assert self._reached.wait(seconds), "no request reached the gate"

    def open(self):
        """The request goes on, even if its client is gone by now: it then arrives late."""
        self._decided.set()

    def drop(self):
        """The request gets no further."""
        self._dropped = True
        self._decided.set()


def utf16_order(exchange):
    """A page of a listing, sorted as stores sort that hold keys in UTF-16."""
    return sorted_page(exchange, lambda key: key.encode("utf-16-be"))


def no_order(exchange, gate, pages):
    """A page of a listing in an order that tells nothing, as of a store that spreads keys by their hashes. pages: how many more pass before
    one stops at the gate."""
    if gate is not None:
        pages[0] -= 1
        if pages[0] == 0:
            gate.stop_here()
    return sorted_page(exchange, lambda key: hashlib.md5(key.encode()).digest())


def sorted_page(exchange, order):
    reply = exchange.forward()
    entries = re.findall(rb"<Contents>.*?</Contents>", reply.body, re.S)

    def place_of(entry):
        return order(urllib.parse.unquote(html.unescape(re.search(rb"<Key>(.*?)</Key>", entry, re.S).group(1).decode())))

    body = reply.body
    for place, entry in zip(entries, sorted(entries, key=place_of)):
        body = body.replace(place, b"<!--%d-->" % entries.index(entry), 1)
    for number, entry in enumerate(entries):
        body = body.replace(b"<!--%d-->" % number, entry, 1)
    headers = {name: reply.header(name) for name in ("Content-Type", "Date", "x-amz-request-id") if reply.header(name)}
    return reply_message(int(reply.start_line().split()[1]), body, headers)
