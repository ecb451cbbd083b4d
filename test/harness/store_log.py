"""What did the S3 server itself do, and when? Reads the log of its operations (`test/sandbox/s3 start DIR --log`).

The server writes one JSON object a request, after it has answered, and names each key of a multi-delete. Its clock is
the machine's coarse one: a time may be a tick too early, never too late.
"""
import codecs
import datetime
import json
import re
import urllib.parse
from dataclasses import dataclass

from harness.waiting import eventually

ENTRY_CHARACTERS_MAX = 1 << 20
TICK_SECONDS_MAX = 0.010  # of the coarse clock, at any CONFIG_HZ


@dataclass(frozen=True)
class StoreOperation:
    what: str  # the server's word: put_obj, delete_obj, multi_object_delete...
    key: str
    received: float  # time.time(): not later than the server's first look at the request
    done: float  # not earlier than its effect
    request_id: str
    client: str  # user agent

    @property
    def by_witness(self):
        return self.client.startswith("Boto3")


class StoreLog:
    """The successful operations of one bucket, each read once, in the order of their ends."""

    def __init__(self, server, bucket):
        self._path = server.folder / "operations.log"
        self._bucket = bucket
        self._read = 0
        self._rest = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._marks = 0

    def news(self):
        """All that ended before this call and was not returned yet, and perhaps a little of what came after."""
        self._marks += 1
        mark = f".objectlink/log-mark-{self._marks}"
        self._bucket.head(mark)
        found = []
        eventually(lambda: self._read_until(found, mark), what="the server has written its log")
        return found

    def _read_until(self, found, mark):
        with open(self._path, "rb") as log:
            log.seek(self._read)
            self._rest += self._decoder.decode(log.read())
            self._read = log.tell()
        marked = False
        for entry in self._entries():
            if entry.get("bucket") != self._bucket.name:
                continue
            marked |= _key(entry).endswith(mark)
            found += _operations(entry)
        return marked

    def _entries(self):
        """The server may leave out the end of a line between two entries, and the last one may be half written."""
        at = 0
        while True:
            while self._rest[at:at + 1].isspace():
                at += 1
            try:
                entry, at = json.JSONDecoder().raw_decode(self._rest, at)
            except json.JSONDecodeError:
                break
            yield entry
        self._rest = self._rest[at:]
        assert len(self._rest) < ENTRY_CHARACTERS_MAX, f"the server's log cannot be read: {self._rest[:1000]}"


def _key(entry):
    path = re.match(r"\S+ /([^ ?]*)", entry["uri"]).group(1)
    return urllib.parse.unquote(path).partition("/")[2]


def _operations(entry):
    received = datetime.datetime.fromisoformat(entry["time"].replace("Z", "+00:00")).timestamp()
    done = received + entry["total_time"] / 1000 + 2 * TICK_SECONDS_MAX
    common = (received, done, entry["trans_id"], entry["user_agent"])
    if entry["operation"] == "multi_object_delete":
        return [StoreOperation("multi_object_delete", deleted["key"], *common)
                for deleted in entry.get("op_data", {}).get("objects", ()) if not deleted["error"]]
    if not entry["http_status"].startswith("2"):
        return []
    return [StoreOperation(entry["operation"], _key(entry), *common)]
