"""How do tests start the servers of test/sandbox? Each gets a folder near the root of /tmp, or in memory where there is
plenty: sockets need short paths, and the account that runs PostgreSQL must be able to enter it."""
import contextlib
import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SANDBOX = ROOT / "test" / "sandbox"
START_SECONDS_MAX = 180
MEMORY = "/dev/shm"
MEMORY_BYTES_MIN = 4 << 30
# Where servers get their folders, if somebody takes away what is left there: see place_for_servers().
PLACE_VARIABLE = "OBJECTLINK_TEST_SERVERS"


@contextlib.contextmanager
def place_for_servers():
    """A folder whose servers are gone at the end, also those of a test process that was killed."""
    place = Path(tempfile.mkdtemp(prefix="objectlink.", dir=_place()))
    place.chmod(0o755)
    try:
        yield place
    finally:
        for folder in place.glob("objectlink-*.*"):
            kind = folder.name.removeprefix("objectlink-").partition(".")[0]
            subprocess.run([SANDBOX / kind, "remove", folder], stdin=subprocess.DEVNULL, timeout=START_SECONDS_MAX, check=False)
        shutil.rmtree(place, ignore_errors=True)


def _place():
    """A run makes and removes a hundred databases of a thousand files each; a disk needs longer for that than the tests."""
    if PLACE_VARIABLE in os.environ:
        return os.environ[PLACE_VARIABLE]
    try:
        free = os.statvfs(MEMORY)
    except OSError:
        return "/tmp"
    return MEMORY if free.f_bavail * free.f_frsize >= MEMORY_BYTES_MIN and os.access(MEMORY, os.W_OK) else "/tmp"


class Server:
    def __init__(self, kind, *arguments):
        """kind: a script of test/sandbox ("postgres", "s3"); arguments: as its start takes them."""
        self.kind = kind
        self.folder = Path(tempfile.mkdtemp(prefix=f"objectlink-{kind}.", dir=_place()))
        try:
            self.call("start", *arguments)
        except BaseException:
            shutil.rmtree(self.folder, ignore_errors=True)
            raise
        words = shlex.split((self.folder / "env").read_text(), comments=True)
        self.env = dict(word.split("=", 1) for word in words if "=" in word)

    def call(self, verb, *arguments):
        done = subprocess.run(
            [SANDBOX / self.kind, verb, self.folder, *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=START_SECONDS_MAX, check=False, env={**os.environ})
        if done.returncode != 0:
            raise RuntimeError(f"sandbox/{self.kind} {verb}: {done.stderr}")
        return done.stdout

    def remove(self):
        self.call("remove")
