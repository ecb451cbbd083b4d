"""Goal: whatever the daemon was doing when it was killed, its successor ends where a daemon without accident would have.
Method: the daemon is stopped at a step, killed with -9, and what was under way is either lost or done after its death.
"""
import random

import pytest

from harness import steps
from harness.crash import crash_loop, kill_at


@pytest.fixture
def scene(documents, proxy, daemon):
    return steps.scene_of(documents, proxy, daemon)


# One of the two ends of each step, in turn; test/fault has both.
@pytest.mark.parametrize("step, under_way", [
    pytest.param(step, ("lost", "done")[number % 2], id=f"{step.__name__}, {('lost', 'done')[number % 2]}")
    for number, step in enumerate(steps.STEPS)])
def test_killed_at(scene, step, under_way):
    kill_at(scene, step, under_way)


@pytest.mark.parametrize("step", [steps.upload, steps.delete_many, steps.delete_one], ids=lambda step: step.__name__)
def test_a_dead_daemons_request_that_arrives_late_does_no_harm(scene, step):
    stop = step(scene)
    scene.daemon.restart()
    scene.documents.sync()
    stop.go_on()
    scene.documents.assert_in_step(marks_held=True, stale_uploads=True)


def test_killed_again_and_again_at_random(documents, daemon, random_seed):
    crash_loop(documents, [daemon], random.Random(random_seed), rounds=12)
