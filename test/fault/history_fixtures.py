"""Fixtures of randomized histories, for the short run of test/e2e and the long ones of test/fault."""
import time

import pytest

from conftest import fresh_database
from fault.history import CLUSTER_SETTINGS, Historian, World
from harness.store import Bucket, S3Server


@pytest.fixture(scope="session")
def s3_server():
    """One that keeps a log of its operations."""
    server = S3Server(log=True)
    yield server
    server.remove()


@pytest.fixture
def bucket(s3_server):
    return Bucket(s3_server)


@pytest.fixture
def cluster(make_cluster):
    return make_cluster(**CLUSTER_SETTINGS)


@pytest.fixture
def database(cluster, request):
    yield from fresh_database(cluster, request)


@pytest.fixture
def historian(pg, bucket, proxy, pg_proxy, make_daemon, random_seed):
    world = World(pg, bucket, proxy.endpoint)
    historian = Historian(world, [make_daemon(name="first"), make_daemon(name="second")], proxy, pg_proxy, random_seed)
    yield historian
    print(f"\n{historian.outcomes}, {historian.deletes} keys deleted")
    historian.close()


def play(historian, seconds=None, count=None):
    """Histories for so long, or so many; returns how many. Raises Violation."""
    ends = time.monotonic() + (seconds or float("inf"))
    number = 0
    while time.monotonic() < ends and (count is None or number < count):
        historian.play(number)
        number += 1
    return number
