"""What happens to a daemon that is killed, and how is its successor judged?"""
from harness.documents import wait_daemon_sessions
from harness.waiting import eventually


def kill_at(scene, step, under_way):
    """Kills the daemon at a step (see steps.py); what it had under way is "lost", or is "done" after its death."""
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


def crash_loop(documents, daemons, chance, rounds):
    """Each round changes some rows and kills a daemon at a random moment of the work this makes."""
    living = []
    for number in range(rounds):
        living += documents.put_fresh(chance.randint(1, 20))
        living += documents.put([f"{number}/{key}" for key in range(chance.randint(1, 5))])
        living += documents.link([f"there/{number}"])
        chance.shuffle(living)
        gone, living = living[:len(living) // 2], living[len(living) // 2:]
        documents.delete(gone)
        # Not a wait for an end, but the choice of a moment: which step it hits is up to chance.
        wait_events(documents.pg, chance.randint(0, 60))
        chance.choice(daemons).restart()
    documents.sync(120)
    assert documents.linked_keys() == set(living)
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


def wait_events(pg, count, seconds=1):
    """Until objects have changed state so often, or do no more."""
    last = "SELECT coalesce(max(id), 0) FROM objectlink.event"
    before = pg.value(last)
    try:
        eventually(lambda: pg.value(last) >= before + count, seconds)
    except AssertionError:
        pass
