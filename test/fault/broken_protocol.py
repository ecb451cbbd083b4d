"""The protocol of deleting with one step left out, for each step: what must not go unnoticed by the oracle of the histories."""
import re

ISSUE, CONDEMN, SETTLE = "issue(int, bigint, text[], bigint)", "condemn(int, bigint, text[])", "settle(int, bigint, json)"
RESULTS = r"json_to_recordset\(p_results\)(?= AS r \(\s+key text, state text)"


def believing(state, outcome):
    """Instead of RESULTS: whatever is still open of objects in this state, is taken for this outcome."""
    return ("json_to_recordset((SELECT json_agg(CASE WHEN e ->> 'state' = '" + state + "'"
            " AND e ->> 'outcome' IN ('retry', 'unknown') THEN jsonb_set(e, '{outcome}', '\"" + outcome + "\"') ELSE e END)"
            " FROM jsonb_array_elements(p_results::jsonb) e))")


# One step of the protocol left out, by changing the text of a function: (function, what, instead).
BROKEN = {
    "the barrier waits for nobody": ("writers()", r"WHERE l\.locktype", "WHERE false AND l.locktype"),
    "the rows are not asked again": (ISSUE, r"objectlink\.linked\(v_refs\)", "objectlink.linked('{}')"),
    "what waits to be applied is not looked at": (ISSUE, r"b\.ref OPERATOR\(pg_catalog\.=\) ANY \(v_refs\)", "false"),
    "no key is condemned": (CONDEMN, r"(INTO objectlink\.condemned AS c \(ref\) SELECT [^\n]+ FROM due d)\n", r"\1 WHERE false\n"),
    "the mark goes although a request may still arrive": (SETTLE, r"= p_epoch AND c\.release_after IS NULL\s+AND a\.watched_until IS NULL\s+\), marked",
                                                          "= p_epoch), marked"),
    "a deletion is believed without proof": (SETTLE, RESULTS, believing("deleting", "gone")),
    "an upload is believed without proof": (SETTLE, RESULTS, believing("pending", "stored")),
}


def broken_text(pg, signature, what, instead):
    text = pg.value(f"SELECT pg_get_functiondef('objectlink.{signature}'::regprocedure)")
    broken, count = re.subn(what, instead, text)
    assert count > 0, "this step of the protocol is not where it was"
    return broken


def break_function(pg, *step):
    pg.run(broken_text(pg, *step))
