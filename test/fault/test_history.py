"""Goal: as e2e/test_history.py, for hundreds of histories, or thousands; and that the oracle sees a broken protocol.
Method: randomized histories (fault/history.py) for a while, or OBJECTLINK_HISTORIES of them; then against an extension in
which one step of the protocol is left out, until it is seen.
"""
import os
import re
import time

import psycopg2.errors
import pytest

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


ISSUE, CONDEMN, SETTLE = "issue(int, bigint, text[], bigint)", "condemn(int, bigint, text[])", "settle(int, bigint, json)"
RESULTS = r"SELECT p_store AS store_id, r\.\* FROM json_to_recordset\(p_results\)"


def believing(state, outcome):
    """Instead of RESULTS: whatever is still open of objects in this state, is taken for this outcome."""
    return ("SELECT p_store AS store_id, r.* FROM json_to_recordset((SELECT json_agg(CASE WHEN e ->> 'state' = '" + state + "'"
            " AND e ->> 'outcome' IN ('retry', 'unknown') THEN jsonb_set(e, '{outcome}', '\"" + outcome + "\"') ELSE e END)"
            " FROM jsonb_array_elements(p_results::jsonb) e))")


# One step of the protocol left out, by changing the text of a function: (function, what, instead).
BROKEN = {
    "the barrier waits for nobody": ("writers()", r"WHERE l\.locktype", "WHERE false AND l.locktype"),
    "the rows are not asked again": (ISSUE, r"objectlink\.linked\(v_refs\)", "objectlink.linked('{}')"),
    "what waits to be applied is not looked at": (ISSUE, r"b\.ref OPERATOR\(pg_catalog\.=\) ANY \(v_refs\)", "false"),
    "no key is condemned": (CONDEMN, r"FROM due d\s+ON CONFLICT", "FROM due d WHERE false ON CONFLICT"),
    "the mark goes although a request may still arrive": (SETTLE, r"= p_epoch AND c\.release_after IS NULL\s+\), marked",
                                                          "= p_epoch), marked"),
    "a deletion is believed without proof": (SETTLE, RESULTS, believing("deleting", "gone")),
    "an upload is believed without proof": (SETTLE, RESULTS, believing("pending", "stored")),
}


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


def break_function(pg, signature, what, instead):
    text = pg.value(f"SELECT pg_get_functiondef('objectlink.{signature}'::regprocedure)")
    broken, count = re.subn(what, instead, text)
    assert count > 0, "this step of the protocol is not where it was"
    pg.run(broken)
