"""Goal: nothing live is destroyed and nothing is left over, whatever many clients and accidents do at once.
Method: randomized histories (fault/history.py), judged from the S3 server's own log; a few here, thousands in test/fault.
"""
import pytest

from fault.history_fixtures import bucket, cluster, database, historian, play, s3_server  # noqa: F401

SECONDS = 20
HISTORIES_MIN = 5


@pytest.mark.limit(180)
def test_randomized_histories(historian):
    assert play(historian, seconds=SECONDS) >= HISTORIES_MIN
    assert historian.deletes > 0 and historian.outcomes["committed"] > 0
