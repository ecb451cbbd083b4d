"""What does a benchmark get? How much to do, a folder, and servers that go away with it."""
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import harness.sandbox
from harness.daemon import BUILD
from harness.postgres import Cluster
from harness.sandbox import SANDBOX

BENCH = Path(__file__).resolve().parent

# Tests may keep their servers in memory. What is measured here includes the disk, or a commit would cost nothing.
harness.sandbox.MEMORY = "/tmp"

# Measured is the work, not when checkpoints and autovacuum happen to come.
QUIET = {"shared_buffers": "1GB", "max_wal_size": "16GB", "checkpoint_timeout": "1h", "autovacuum": "off"}


class Credentials(NamedTuple):
    access_key: str = "AKIAIOSFODNN7EXAMPLE"
    secret_key: str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Setting:
    def __init__(self, rounds, scale, folder):
        self.rounds = rounds
        self.scale = scale
        self.folder = folder

    def many(self, full):
        """A number of rows or of objects at this scale."""
        return max(100, int(full * self.scale))

    def seconds(self, full):
        return max(1, round(full * self.scale))

    @contextmanager
    def database(self, **settings):
        """A fresh database with the extension, in a cluster of its own."""
        cluster = Cluster(**settings)
        try:
            database = cluster.create_database()
            database.create_extension()
            try:
                yield database
            finally:
                database.close()
        finally:
            cluster.remove()


def free_port():
    return int(subprocess.run([SANDBOX / "free-ports"], capture_output=True, check=True, text=True).stdout)


def raw_loop_seconds(urls, method="HEAD", body_bytes=0, connections=32):
    """The limit: the same requests by a bare loop over libcurl, already signed if they must be."""
    return _printed_number([BUILD / "bench_raw_loop", method, str(connections), str(body_bytes)], "\n".join(urls) + "\n")


def boto3_seconds(operation, endpoint, bucket, credentials, count, threads=32):
    """A peer: a pool of threads over boto3, in a process of its own."""
    return _printed_number([sys.executable, BENCH / "boto3_pool.py", operation, endpoint, bucket, credentials.access_key,
                            credentials.secret_key, str(count), str(threads)])


def _printed_number(command, standard_input=""):
    done = subprocess.run(command, input=standard_input, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr}")
    return float(done.stdout)
