"""How do tests wait without sleeping? For a condition, with a limit."""
import time


def eventually(condition, seconds=30, what=None):
    """Asks until condition() is true and returns what it said; AssertionError once the time is over.

    An AssertionError inside the condition counts as "not yet" and is raised as it is at the end.
    """
    deadline = time.monotonic() + seconds
    pause = 0.005
    while True:
        failure = None
        value = None
        try:
            value = condition()
        except AssertionError as error:
            failure = error
        if value:
            return value
        if time.monotonic() > deadline:
            raise failure or AssertionError(f"not within {seconds} s: {what or _name(condition)} (last: {value!r})")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.1)


def always(condition, seconds, what=None):
    """The opposite: condition() must hold during all of this time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert condition(), f"did not hold: {what or _name(condition)}"
        time.sleep(0.02)


def _name(condition):
    return getattr(condition, "__name__", repr(condition))
