"""Goal: as e2e/test_history.py, for hundreds of histories, or thousands; and that the oracle sees a broken protocol.
Method: randomized histories (fault/history.py) for a while, or OBJECTLINK_HISTORIES of them; then against an extension in
which one step of the protocol is left out (fault/broken_protocol.py), until it is seen.
"""
import os
import time

import psycopg2.errors
import pytest

from fault.broken_protocol import BROKEN, break_function
from fault.history_fixtures import bucket, cluster, database, historian, s3_server  # noqa: F401
from fault.history_oracle import Violation

MINUTES = 15
BROKEN_HISTORIES_MAX = 1000  # one of them was seen after 158 only
REPORT_SECONDS = 60


@pytest.mark.limit(6 * 3600)
def test_randomized_histories(historian, capsys):
    wanted = int(os.environ.get("OBJECTLINK_HISTORIES", 0))
    started = reported = time.monotonic()
    number = 0
    while number < wanted if wanted else time.monotonic() - started < MINUTES * 60:
        historian.play(number)
        number += 1
        if time.monotonic() - reported > REPORT_SECONDS:
            reported = time.monotonic()
            with capsys.disabled():
                print(f"\n{number} histories, {number / (reported - started) * 60:.0f} a minute, {historian.deletes} keys deleted", flush=True)


@pytest.mark.limit(3600)
@pytest.mark.parametrize("broken", BROKEN)
def test_the_oracle_sees_a_broken_protocol(historian, pg, capsys, broken):
    break_function(pg, *BROKEN[broken])
    # A database that never comes to rest, or a row in doubt, is as good a sign as a violation.
    with pytest.raises((Violation, psycopg2.errors.QueryCanceled)) as seen:
        for number in range(BROKEN_HISTORIES_MAX):
            historian.play(number)
    with capsys.disabled():
        print(f"\n{broken}: {str(seen.value)[:300]}", flush=True)
