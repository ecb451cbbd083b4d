"""Goal: each alert rule asks for numbers that a daemon really shows, with labels and words that it really uses.
Method: make a daemon show each metric, then read the rules and look each name, label and value up.
"""
import re

import pytest

from harness.documents import content_of
from harness.postgres import run
from harness.runs import reconcile, settle_clock
from harness.sandbox import ROOT
from harness.waiting import eventually

RULES = (ROOT / "docs" / "objectlink-alerts.yml").read_text()
METRICS = (ROOT / "docs" / "daemon.md").read_text()
# What the daemon and its functions may say: their literals, those of SQL's arrays one by one.
SAID = {word for folder, kind in [("sidecar", "cpp"), ("extension/sql", "sql")] for path in (ROOT / folder).glob(f"*.{kind}")
        for word in re.findall(r"""(?<=["'{,])\w+(?=["'},])""", path.read_text())}


def expressions():
    return re.findall(r"- alert: (\w+)\n\s+expr: (.*?)\n\s+(?:for|labels):", RULES, re.S)


def rules():
    """Name, expression, and the rest of each rule."""
    return re.findall(r"- alert: (\w+)\n\s+expr: (.*?)\n(\s+(?:for|labels):.*?)(?=\n      - alert|\Z)", RULES, re.S)


@pytest.fixture
def shown(documents, proxy, daemon):
    """What /metrics says after uploads, deletions, errors, throttling, a dead letter, a store that was down, and proofs that were refused."""
    pg = documents.pg
    proxy.answer(400, code="EntityTooLarge", method="PUT", path="huge", times=None)
    proxy.answer(503, code="SlowDown", method="HEAD", times=1)
    documents.put(["huge", "chosen"])
    documents.sync()
    documents.delete(documents.put_fresh(2) + ["chosen"])
    documents.sync()
    pg.run("UPDATE objectlink.object SET state = 'pending', due_at = NULL, since = now() - interval '1 hour' WHERE key = 'huge'")
    proxy.answer(503, code="SlowDown", times=None)
    documents.put_fresh(60)
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE breaker = 'open'"))
    proxy.clear()
    eventually(lambda: daemon.metric("objectlink_requeued_objects_total") == 1)
    documents.sync()
    reconcile(pg)
    eventually(lambda: daemon.metric("objectlink_last_run", store="docs", state="done") == 1, 60)
    proxy.answer(403, code="AccessDenied", method="HEAD", times=None)
    pg.run("ALTER SERVER docs OPTIONS (ADD scrub_interval '1 day', ADD scrub_rate '1000')")
    eventually(lambda: daemon.metric("objectlink_scrub_overdue_seconds", store="docs") is not None, 60)
    proxy.clear()
    return daemon.http("/metrics")[1]


# Only when hundreds of repeats have failed.
RARE = {"objectlink_request_retries_denied_total"}


def test_every_rule_asks_for_what_is_shown(shown):
    found = expressions()
    assert len(found) == RULES.count("- alert:") >= 12
    names = {name for _, expression in found for name in re.findall(r"objectlink_\w+", expression)}
    assert {name for name in names if f"\n{name}{{" not in shown and f"\n{name} " not in shown} <= RARE
    assert names & RARE <= set(re.findall(r"objectlink_\w+", (ROOT / "docs" / "daemon.md").read_text()))
    for alert, expression in found:
        for name, labels in re.findall(r"(objectlink_\w+)\{(.*?)\}", expression):
            samples = [line for line in shown.splitlines() if line.startswith(name + "{")]
            for label, comparison, words in re.findall(r'(\w+)(=~?)"(.*?)"', labels):
                values = {value for line in samples for value in re.findall(rf'\b{label}="(.*?)"', line)}
                assert values, (alert, name, label)
                if comparison == "=":
                    assert words in values, (alert, name, label, words, values)


# Nobody is called for these.
WELL = {"stored", "gone", "same", "done", "queued", "running", "active", "closed"}


def test_words_that_rules_look_for_are_said_by_the_daemon():
    """Also those of a regular expression, of which others would hide one that nobody says."""
    for alert, expression in expressions():
        for metric, labels in re.findall(r"(objectlink_\w+)\{(.*?)\}", expression):
            row, = re.findall(rf"^\| `{metric}` \|.*$", METRICS, re.M)
            for label, words in re.findall(r'(state|outcome|kind|class)=~?"(.*?)"', labels):
                assert not set(words.split("|")) & WELL, (alert, words)
                # The kinds of findings are compared with the database's own, below.
                for word in words.split("|") if metric != "objectlink_open_findings" else []:
                    assert f"`{word}`" in row or metric == "objectlink_errors_total", (alert, metric, label, word)
                    assert word in SAID, (alert, metric, label, word)


def test_rules_compare_as_their_numbers_mean():
    one_of = {"objectlink_last_run", "objectlink_store_breaker", "objectlink_store_state"}
    found = rules()
    assert [(name, expression) for name, expression, _ in found] == expressions()
    for alert, expression, rest in found:
        metrics = re.findall(r"objectlink_\w+", expression)
        for metric in metrics:
            # What only grows says nothing as it is.
            assert metric.endswith("_total") == bool(re.search(rf"(?:rate|increase)\({metric}\b", expression)), alert
            assert f'registry, "{metric}"' in (ROOT / "sidecar" / "metrics.cpp").read_text(), metric
        if alert == "ObjectlinkNoDaemon":
            assert expression == "absent(objectlink_database_connected == 1)"
        elif set(metrics) <= one_of:
            assert re.search(r"\) == 1$", expression), alert
        elif "0.05" in expression:
            assert re.fullmatch(r'\|\s+sum by \(store\) \(rate\((\w+)\{operation="(\w+)",outcome=~?"[a-z|]+"\}\[(\w+)\]\)\)'
                                r'\s+> 0\.05 \* sum by \(store\) \(rate\(\1\{operation="\2"\}\[\3\]\)\)', expression), alert
        else:
            assert re.search(r"> (?:0|1|900)$", expression), alert
        # Whoever is called has to see which store, and what to do.
        severity, = re.findall(r"severity: (\w+)", rest)
        assert severity in ("info", "warning", "critical")
        by = set(re.findall(r"\w+", " ".join(re.findall(r"by \((.*?)\)", expression))))
        assert set(re.findall(r"\$labels\.(\w+)", rest)) <= (by or {"store"}), alert
        assert alert == "ObjectlinkNoDaemon" or "$labels.store" in rest, alert
        assert set(re.findall(r"for: (\w+)", rest)) <= {"1m", "5m", "10m", "15m", "1h", "6h"}


# Whom nobody calls at night may wait; what is lost, or stands still, may not.
@pytest.mark.parametrize("alert, severity", [("Inconsistent", "critical"), ("RowsNotCompensated", "critical"), ("StoreBroken", "critical"), ("StoreStopped", "critical"),
                                             ("NoDaemon", "critical"), ("Orphans", "info"), ("Strays", "info"), ("DeadLetters", "warning"), ("UploadsFail", "warning")])
def test_what_is_lost_or_stands_still_is_critical(alert, severity):
    assert {name: re.findall(r"severity: (\w+)", rest) for name, _, rest in rules()}["Objectlink" + alert] == [severity]


def test_what_a_rule_advises_to_ask_can_be_asked(pg):
    asked = [query for _, _, rest in rules() for text in re.findall(r"description: '(.*)'$", rest, re.M)
             for query in re.findall(r"SELECT [^;]*", text.replace("''", "'"))]
    assert len(asked) >= 15
    for query in asked:
        pg.run(query)


@pytest.mark.parametrize("wanted", ["upload", "delete", "dead_letters", "inconsistent", "scrub", "stuck", "store_breaker", "store_state", "oldest",
                                    "orphan", "last_run", "to_delete", "compensation"])
def test_each_demand_has_a_rule(wanted):
    """Failure rates of uploads and deletions, what was given up, the state of consistency, proofs, stuck work, unusable stores, orphans, what became of runs and cleanups,
    rows that could not be compensated."""
    assert any(wanted in expression for _, expression in expressions())


def test_whatever_a_run_can_find_somebody_is_told_of(pg):
    kinds = set(re.findall(r"'(\w+)'", pg.value("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'finding_kind_check'")))
    assert len(kinds) >= 10
    told = [word for _, expression in expressions() for words in re.findall(r'objectlink_open_findings\{kind=~?"(.*?)"\}', expression) for word in words.split("|")]
    assert sorted(told) == sorted(kinds)


def test_an_alert_of_dead_letters_is_over_when_they_are(documents, proxy, daemon):
    rule = proxy.answer(400, code="EntityTooLarge", method="PUT", path="huge", times=None)
    documents.put(["huge"])
    eventually(lambda: daemon.metric("objectlink_dead_letters", store="docs", operation="upload") == 1, 60)
    proxy.remove(rule)
    documents.pg.run("SELECT objectlink.retry_dead_letters()")
    eventually(lambda: daemon.metric("objectlink_dead_letters", store="docs", operation="upload") == 0, 60)


def test_alerts_of_what_runs_find_are_over_when_it_is_mended(documents, proxy, daemon):
    """Orphans, what somebody has decided to delete, and objects that are missing or corrupt."""
    pg, bucket = documents.pg, documents.bucket
    pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    documents.put(["gone", "changed", "well"])
    documents.sync()
    bucket.delete("gone")
    bucket.put("changed", b"something else")
    for key in ["nobody/1", "nobody/2"]:
        documents.upload(key, b"?")

    def inconsistent():
        return {state: daemon.metric("objectlink_inconsistent_objects", store="docs", state=state) for state in ("missing", "corrupt")}

    assert inconsistent() == {"missing": 0, "corrupt": 0}
    settle_clock(bucket)
    for _ in range(2):
        reconcile(pg)
    eventually(lambda: daemon.metric("objectlink_open_findings", store="docs", kind="orphan") == 2 and inconsistent() == {"missing": 1, "corrupt": 1}, 60)
    assert pg.run("SELECT missing, corrupt, stored FROM objectlink.consistency WHERE store = 'docs'") == [(1, 1, 1)]
    assert daemon.metric("objectlink_findings_to_delete", store="docs") == 0
    rule = proxy.answer(503, code="SlowDown", path="/nobody/2", times=None)
    pg.run("SELECT objectlink.resolve_all('delete', 'docs', kind => 'orphan', dry_run => false)")
    for key in ("gone", "changed"):
        bucket.put(key, content_of(key))
    eventually(lambda: daemon.metric("objectlink_findings_to_delete", store="docs") == 1, 60)
    proxy.remove(rule)
    reconcile(pg)
    eventually(lambda: daemon.metric("objectlink_open_findings", store="docs", kind="orphan") == 0
               and daemon.metric("objectlink_findings_to_delete", store="docs") == 0 and inconsistent() == {"missing": 0, "corrupt": 0}, 60)
    assert bucket.keys() == ["changed", "gone", "well"]


def test_an_alert_of_rows_that_cannot_be_compensated(documents, proxy, daemon):
    pg = documents.pg
    pg.run("SELECT objectlink.alter_attachment('document', 'file', on_upload_failure => 'delete_row')")
    pg.run("CREATE TABLE invoice (document bigint REFERENCES document)")
    proxy.answer(400, code="EntityTooLarge", method="PUT", path="huge", times=None)
    user = pg.connect(autocommit=False)
    documents.put(["huge"], on=user)
    run(user, "INSERT INTO invoice SELECT max(id) FROM document")
    user.commit()
    eventually(lambda: daemon.metric("objectlink_row_failures", store="docs", kind="compensation") == 1, 60)
    assert daemon.metric("objectlink_row_failures", store="docs", kind="status") == 0
    pg.run("DELETE FROM invoice")
    eventually(lambda: daemon.metric("objectlink_row_failures", store="docs", kind="compensation") == 0, 60)
