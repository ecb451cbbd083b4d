"""Goal: as e2e/test_crash.py, with both ends of every step, and for long.
Method: kill -9 at each step and at random, of one daemon and of two at once, with faults of the network in between.
"""
import random

import pytest

from harness import steps
from harness.crash import crash_loop, kill_at
from harness.waiting import eventually

ROUNDS = 150


@pytest.fixture
def scene(documents, proxy, daemon):
    return steps.scene_of(documents, proxy, daemon)


@pytest.mark.parametrize("under_way", ["lost", "done"])
@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.__name__)
def test_killed_at(scene, step, under_way):
    kill_at(scene, step, under_way)


@pytest.mark.parametrize("step", [steps.upload_done, steps.upload_to_chosen_key_done, steps.multipart_second_part,
                                  steps.multipart_complete, steps.multipart_completed, steps.delete_many_done, steps.delete_one_done],
                         ids=lambda step: step.__name__)
def test_a_dead_daemons_request_that_arrives_late_does_no_harm(scene, step):
    stop = step(scene)
    scene.daemon.restart()
    scene.documents.sync()
    stop.go_on()
    scene.documents.assert_in_step(marks_held=True, stale_uploads=True)


@pytest.mark.parametrize("step", steps.STEPS, ids=lambda step: step.__name__)
def test_the_successor_is_killed_at_the_same_step(scene, step):
    """Two accidents in a row, where the second daemon has to deal with what the first one left."""
    stop = step(scene)
    scene.daemon.kill()
    stop.go_on()
    scene.daemon.start()
    # What it does once when it begins needs the table of events as well, which some steps lock.
    scene.documents.put_fresh(1)
    eventually(lambda: scene.pg.value("SELECT count(*) = 0 FROM objectlink.outbox"), what="the second daemon is at work")
    kill_at(scene, step, "lost")


@pytest.mark.limit(600)
@pytest.mark.parametrize("daemons", [1, 2])
def test_killed_at_random_for_long(documents, make_daemon, random_seed, daemons):
    crash_loop(documents, [make_daemon(name=f"daemon-{number}") for number in range(daemons)], random.Random(random_seed), ROUNDS)


@pytest.mark.limit(600)
def test_killed_at_random_while_the_network_fails_at_random(documents, proxy, daemon, random_seed):
    chance = random.Random(random_seed)
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD request_timeout '2s')")
    for _ in range(400):
        getattr(proxy, chance.choice(["cut_before", "cut_after", "truncate", "not_http"]))(skip=chance.randint(0, 10))
    crash_loop(documents, [daemon], chance, ROUNDS // 3)
