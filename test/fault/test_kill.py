"""Goal: kill -9 of the daemon at each step of its work loses nothing, doubles nothing and destroys nothing.
Method: the proxies hold the daemon's request at the step, the daemon is killed there, and another one starts."""
import concurrent.futures
import random
import threading

import pytest

from conftest import create_document_table
from fault import scenario

STEPS = {
    "upload not yet received": ({"method": "PUT"}, False),
    "upload received": ({"method": "PUT"}, True),
    "delete not yet received": ({"method": "POST", "query": "^delete"}, False),
    "delete received": ({"method": "POST", "query": "^delete"}, True),
}


@pytest.fixture
def pg_behind(pg, bucket, proxy):
    pg.create_server("docs", proxy.endpoint, bucket.name)
    create_document_table(pg)
    return pg


@pytest.mark.limit(300)
@pytest.mark.parametrize("fate", ["open", "drop"])
@pytest.mark.parametrize("step", STEPS)
def test_killed_at_a_request(pg_behind, bucket, proxy, daemon, step, fate):
    """fate: the request of the dead daemon arrives all the same, or never."""
    match, after = STEPS[step]
    gate = proxy.hold(after=after, **match)

    def kill_there():
        gate.wait_reached(60)
        daemon.kill()
        getattr(gate, fate)()
        daemon.start()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        killed = pool.submit(kill_there)
        scenario.run_through(pg_behind, bucket)
        killed.result()


@pytest.mark.limit(600)
def test_killed_again_and_again(pg_behind, bucket, daemon):
    """At moments nobody chose; the seed is printed."""
    seed = random.SystemRandom().randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    ended = threading.Event()

    def kill():
        while not ended.wait(chance.uniform(0.05, 0.8)):
            daemon.restart()

    killing = threading.Thread(target=kill)
    killing.start()
    try:
        for round_ in range(5):
            numbers = range(round_ * 40, round_ * 40 + 40)
            scenario.upload(pg_behind, numbers)
            ended.wait(1)
            scenario.delete(pg_behind, numbers[::2])
            ended.wait(1)
    finally:
        ended.set()
        killing.join()
    scenario.assert_end_state(pg_behind, bucket, range(1, 200, 2), range(0, 200, 2))


@pytest.mark.limit(300)
def test_two_daemons_one_is_killed(pg_behind, bucket, make_daemon):
    daemons = [make_daemon(), make_daemon()]
    scenario.upload(pg_behind)
    daemons[0].kill()
    scenario.assert_end_state(pg_behind, bucket)
    daemons[0].start()
    scenario.delete(pg_behind)
    daemons[1].kill()
    scenario.assert_end_state(pg_behind, bucket, range(1, scenario.OBJECTS, 2), range(0, scenario.OBJECTS, 2))
