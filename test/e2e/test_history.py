"""Goal: nothing live is destroyed and nothing is left over, whatever many clients and accidents do at once.
Method: randomized histories (fault/history.py), judged from the S3 server's own log; a few here, thousands in test/fault.
"""
import pytest

from fault.broken_protocol import BROKEN, broken_text
from fault.history_fixtures import bucket, cluster, database, historian, play, s3_server  # noqa: F401

SECONDS = 20
HISTORIES_MIN = 5


@pytest.mark.limit(180)
def test_randomized_histories(historian):
    assert play(historian, seconds=SECONDS) >= HISTORIES_MIN
    assert historian.deletes > 0 and historian.outcomes["committed"] > 0


def test_each_step_that_the_long_test_leaves_out_is_where_it_was(pg):
    for step in BROKEN.values():
        broken_text(pg, *step)  # or it says so
