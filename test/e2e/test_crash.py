"""Goal: whatever the daemon was doing when it was killed, its successor ends where a daemon without accident would have.
Method: the daemon is stopped at a step, killed with -9, and what was under way is either lost or done after its death.
"""
import random
from types import SimpleNamespace

import pytest

from harness.documents import wait_daemon_sessions
from harness.standstill import HeldRequest, HeldStatement, OpenWriter, lock_events, lock_object
from harness.waiting import eventually

MULTIPART_SIZE = 11 << 20  # three parts


@pytest.fixture
def scene(documents, proxy, daemon):
    """Some stored objects, a few of them shared, that must survive all of it."""
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    daemon.restart()
    kept = documents.put(["kept/1", "kept/2"]) + documents.put_fresh(2)
    documents.refer(kept[:2])
    documents.sync()
    return SimpleNamespace(documents=documents, pg=documents.pg, proxy=proxy, daemon=daemon, kept=kept)


# Each brings the daemon to a step where it stands still, and says how what is under way goes on or is lost.

def apply_links(scene):
    lock = lock_events(scene.pg)
    scene.documents.put_fresh(3)
    return lock.reached("apply_outbox")


def look_before_upload(scene):
    held = HeldRequest(scene.proxy, method="HEAD")
    scene.documents.put(["chosen/1", "chosen/2"])
    return held.reached()


def upload(scene, after=False):
    held = HeldRequest(scene.proxy, method="PUT", after=after)
    scene.documents.put_fresh(3)
    return held.reached()


def upload_done(scene):
    return upload(scene, after=True)


def upload_to_chosen_key_done(scene):
    held = HeldRequest(scene.proxy, method="PUT", after=True)
    scene.documents.put(["chosen/1", "chosen/2"])
    return held.reached()


def settle_upload(scene):
    held = upload(scene, after=True)
    lock = lock_events(scene.pg)
    held.go_on()
    return lock.reached("settle")


def multipart(scene, after=False, **match):
    held = HeldRequest(scene.proxy, after=after, **match)
    scene.documents.put_fresh(1, size=MULTIPART_SIZE)
    return held.reached()


def multipart_second_part(scene):
    return multipart(scene, method="PUT", query="partNumber=2")


def multipart_complete(scene):
    return multipart(scene, method="POST", query="^uploadId=")


def multipart_completed(scene):
    return multipart(scene, after=True, method="POST", query="^uploadId=")


def verify(scene):
    held = HeldRequest(scene.proxy, method="HEAD")
    scene.documents.link(["there/1", "there/2"])
    return held.reached()


def settle_verify(scene):
    held = verify(scene)
    lock = lock_events(scene.pg)
    held.go_on()
    return lock.reached("settle")


def apply_unlinks(scene):
    keys = victims(scene)
    lock = lock_events(scene.pg)
    scene.documents.delete(keys)
    return lock.reached("apply_outbox")


def condemn(scene):
    keys = victims(scene)
    # The daemon's own insert of the mark waits to see what becomes of this one.
    lock = HeldStatement(scene.pg, "INSERT INTO objectlink.condemned (ref) VALUES (objectlink.storage_ref('docs', %s))", keys[0])
    scene.documents.delete(keys)
    return lock.reached(r"objectlink\.condemn\(")


def barrier(scene):
    keys = victims(scene)
    writer = OpenWriter(scene.pg)
    scene.documents.delete(keys)
    eventually(lambda: {scene.pg.state(key) for key in keys} == {"deleting"})
    return writer


def issue(scene):
    keys = victims(scene)
    writer = OpenWriter(scene.pg)
    scene.documents.delete(keys)
    eventually(lambda: {scene.pg.state(key) for key in keys} == {"deleting"})
    lock = lock_object(scene.pg, keys[1])
    writer.go_on()
    return lock.reached(r"objectlink\.issue\(")


def delete_many(scene, after=False):
    keys = victims(scene)
    held = HeldRequest(scene.proxy, method="POST", query="^delete", after=after)
    scene.documents.delete(keys)
    return held.reached()


def delete_many_done(scene):
    return delete_many(scene, after=True)


def delete_one(scene, after=False):
    keys = victims(scene)
    held = HeldRequest(scene.proxy, method="DELETE", after=after)
    scene.documents.delete(keys[:1])
    return held.reached()


def delete_one_done(scene):
    return delete_one(scene, after=True)


def proof_of_deletion(scene):
    keys = victims(scene)
    held = HeldRequest(scene.proxy, method="HEAD")
    scene.documents.delete(keys)
    return held.reached()


def settle_deletion(scene):
    held = proof_of_deletion(scene)
    lock = lock_events(scene.pg)
    held.go_on()
    return lock.reached("settle")


def victims(scene):
    """Stored objects that are to be deleted."""
    keys = scene.documents.put_fresh(2) + scene.documents.put(["victim"])
    scene.documents.sync()
    return keys


STEPS = [apply_links, look_before_upload, upload, upload_done, upload_to_chosen_key_done, settle_upload,
         multipart_second_part, multipart_complete, multipart_completed, verify, settle_verify,
         apply_unlinks, condemn, barrier, issue, delete_many, delete_many_done, delete_one, delete_one_done,
         proof_of_deletion, settle_deletion]


@pytest.mark.parametrize("under_way", ["lost", "done"])
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_killed_at(scene, step, under_way):
    stop = step(scene)
    scene.daemon.kill()
    if under_way == "lost":
        stop.lose()
    else:
        stop.go_on()
    wait_daemon_sessions(scene.pg, 0)
    scene.daemon.start()
    scene.documents.sync()
    assert set(scene.kept) <= scene.documents.linked_keys()
    # A request to delete that a dead daemon sent may arrive late; an upload nobody finished is found by reconciling.
    scene.documents.assert_in_step(marks_held=True, stale_uploads=step.__name__.startswith("multipart"))
    scene.documents.assert_no_attempt_spent()


@pytest.mark.parametrize("step", [upload, upload_done, delete_many, delete_one, multipart_complete],
                         ids=lambda step: step.__name__)
def test_a_dead_daemons_request_that_arrives_late_does_no_harm(scene, step):
    stop = step(scene)
    scene.daemon.restart()
    scene.documents.sync()
    stop.go_on()
    scene.documents.assert_in_step(marks_held=True, stale_uploads=True)


def test_killed_again_and_again_at_random(documents, daemon, random_seed):
    crash_loop(documents, daemon, random.Random(random_seed), rounds=12)


def crash_loop(documents, daemon, chance, rounds):
    """Each round changes some rows and kills the daemon at a random moment of the work this makes."""
    living = []
    for number in range(rounds):
        living += documents.put_fresh(chance.randint(1, 20))
        living += documents.put([f"{number}/{key}" for key in range(chance.randint(1, 5))])
        living += documents.link([f"there/{number}"])
        chance.shuffle(living)
        gone, living = living[:len(living) // 2], living[len(living) // 2:]
        documents.delete(gone)
        # A moment, not a wait: which step it hits is up to chance.
        wait_log_lines(documents.pg, chance.randint(0, 60))
        daemon.restart()
    documents.sync()
    assert documents.linked_keys() == set(living)
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


def wait_log_lines(pg, events):
    """Until so many more events have happened, or nothing more does."""
    before = pg.value("SELECT coalesce(max(id), 0) FROM objectlink.event")
    try:
        eventually(lambda: pg.value("SELECT coalesce(max(id), 0) FROM objectlink.event") >= before + events, 1)
    except AssertionError:
        pass
