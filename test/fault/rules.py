"""Which requests does a fault hit, and what is done to them?

A rule matches by method, path (a regular expression, searched in the decoded path) and query, lets `skip` matching
requests pass first and is spent after `times` (None: never). The first rule that matches is the only one applied.

Requests about objectlink's own objects (.objectlink/, the ownership markers) are matched by rules that say so in their path
or query, and by rules that match every request; a rule about "a PUT" means one of the user's objects.
"""
import re
import threading
import urllib.parse
from dataclasses import dataclass, field

FOREVER = None
OWN = ".objectlink/"


@dataclass
class Operation:
    """One request as the proxy saw it."""
    method: str
    path: str  # decoded
    query: str  # as sent
    request_bytes: int
    started: float  # time.time()
    body: bytes = b""  # of the request, for DeleteObjects only
    access_key: str | None = None  # with which it was signed
    region: str | None = None  # for which it was signed
    host: str | None = None  # as the client named it
    status: int | None = None  # what the client was told; None: no reply reached it
    upstream_status: int | None = None  # what the server said; None: it was not asked, or did not answer
    seconds: float | None = None  # None: still running
    fault: str | None = None  # name of the rule's fault

    @property
    def own(self):
        """About the store itself or objectlink's own objects, not an object of a row. Faults and logs leave these out unless
        they ask for them: how often a store is probed is no business of a test of something else."""
        return (OWN in self.path or OWN in urllib.parse.unquote(self.query) or b"<Key>" + OWN.encode() in self.body
                or self.query.startswith("versioning"))

    @property
    def marker(self):
        """About the ownership marker."""
        return OWN + "owner/" in self.path or OWN + "owner/" in urllib.parse.unquote(self.query)

    @property
    def key(self):
        """The object's key, for path-style requests; empty for those that address the bucket."""
        return self.path.lstrip("/").partition("/")[2]

    @property
    def parameters(self):
        return dict(urllib.parse.parse_qsl(self.query, keep_blank_values=True))


@dataclass
class Rule:
    fault: str  # name of a method of faults.py
    arguments: dict = field(default_factory=dict)
    method: str | None = None
    path: str | None = None
    query: str | None = None  # regular expression, searched in the raw query; '^$' for requests without one
    times: int | None = 1
    skip: int = 0
    # True: only requests about the store itself or objectlink's own objects; "probe": of these not the ownership marker's;
    # None: those too; "auto": those too if path or query names them, or if nothing is named at all: an outage leaves nothing out.
    own: bool | str | None = "auto"
    hits: int = 0

    def matches(self, operation):
        named = "objectlink" in (self.path or "") + (self.query or "")
        everything = (self.method, self.path, self.query) == (None, None, None)
        own = self.own if self.own != "auto" else None if named or everything else False
        if own == "probe":
            own = True
            if operation.marker:
                return False
        return ((own is None or own == operation.own)
                and (self.method is None or operation.method == self.method)
                and (self.path is None or re.search(self.path, operation.path) is not None)
                and (self.query is None or re.search(self.query, operation.query) is not None))


class RuleBook:
    """Thread-safe: connections ask it, tests fill it."""

    def __init__(self):
        self._rules = []
        self._lock = threading.Lock()

    def add(self, rule):
        with self._lock:
            self._rules.append(rule)
        return rule

    def remove(self, rule):
        with self._lock:
            self._rules = [other for other in self._rules if other is not rule]

    def clear(self):
        with self._lock:
            self._rules = []

    def take(self, operation):
        with self._lock:
            for rule in self._rules:
                if not rule.matches(operation):
                    continue
                if rule.skip > 0:
                    rule.skip -= 1
                    return None
                if rule.times is not None and rule.hits >= rule.times:
                    continue
                rule.hits += 1
                return rule
        return None
