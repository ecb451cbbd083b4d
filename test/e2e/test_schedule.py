"""Goal: the recipes of docs/operations.md for pg_cron do what they say, for a role that is no superuser.
Method: their text is taken from the document, only the minute is changed; a real pg_cron runs them in a cluster of its own."""
import contextlib
import re

import psycopg2
import pytest

from harness.postgres import Database
from harness.runs import findings, reconcile, settle_clock
from harness.sandbox import ROOT
from harness.waiting import eventually

DATABASE = "scheduled"
MINUTE_SECONDS_MAX = 100  # until a job that is due every minute has run


@pytest.fixture
def database(make_cluster):
    cluster = make_cluster(**{"shared_preload_libraries": "pg_cron", "cron.database_name": DATABASE, "cron.use_background_workers": "on"})
    postgres = Database(cluster, cluster.env["PGDATABASE"])
    postgres.run(f"CREATE DATABASE {DATABASE} TEMPLATE template0 ENCODING 'UTF8'")
    postgres.close()
    database = Database(cluster, DATABASE)
    # Its launcher has given up as long as there was no such database, and begins anew by itself.
    eventually(lambda: database.run("CREATE EXTENSION IF NOT EXISTS pg_cron") or True, 30, "pg_cron is there")
    yield database
    with contextlib.suppress(psycopg2.Error):
        database.run("SELECT cron.unschedule(jobid) FROM cron.job")
    database.drop()


@pytest.fixture
def operator(docs):
    """A session of the role that schedules."""
    docs.create_role("olx_operator")
    docs.run("SELECT objectlink.grant_admin('olx_operator')")
    docs.run("GRANT USAGE ON SCHEMA cron TO olx_operator")
    docs.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    return docs.connect("olx_operator")


def recipes():
    """{name of the job: its statement}"""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    found = re.findall(r"^```pgsql\n(SELECT cron\.schedule\('([^']+)'.*?)^```$", text, re.M | re.S)
    return {name: statement for statement, name in found}


def schedule(operator, name):
    statement, count = re.subn(rf"('{name}', )'[^']+'", r"\1'* * * * *'", recipes()[name])
    assert count == 1
    with operator.cursor() as cursor:
        cursor.execute(statement)


def outcome(pg, name):
    """(status, message) of the last ended run of a job."""
    rows = pg.run("SELECT d.status, d.return_message FROM cron.job_run_details d JOIN cron.job j USING (jobid)"
                  " WHERE j.jobname = %s AND d.status IN ('succeeded', 'failed') ORDER BY d.runid DESC LIMIT 1", name)
    return tuple(rows[0]) if rows else None


def unschedule(pg, *names):
    for name in names:
        pg.run("SELECT cron.unschedule(jobid) FROM cron.job WHERE jobname = %s", name)


def test_the_recipes_are_those_that_are_tested():
    assert set(recipes()) == {"objectlink report", "objectlink repair", "objectlink cleanup"}


def test_a_cleanup_does_nothing_where_nothing_is_found_or_what_was_found_is_old(operator, docs):
    """Its body as it stands in the document, without waiting for pg_cron. What runs would have found is written down."""
    pg = docs
    body = re.search(r"\$job\$\n(.*?)\$job\$", recipes()["objectlink cleanup"], re.S).group(1)

    def decided():
        with operator.cursor() as cursor:
            cursor.execute(body)
        return [row.key for row in pg.run("SELECT key FROM objectlink.finding WHERE delete_at IS NOT NULL ORDER BY key")]

    def finding(key, status):
        pg.run("INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence)"
               " SELECT id, %s, 'orphan', %s, 1, 1, '{\"etag\": \"e\"}' FROM objectlink.store WHERE name = 'docs'", key, status)

    assert decided() == [], "nobody has compared"
    run = pg.value("SELECT objectlink.reconcile_storage('docs')")
    pg.run("UPDATE objectlink.run SET state = 'done', started_at = now(), ended_at = now(), found = '{}' WHERE id = %s", run)
    assert decided() == [], "nothing is found"
    finding("tmp/once", "suspected")
    assert decided() == [], "seen once"
    finding("tmp/twice", "open")
    finding("elsewhere", "open")
    pg.run("UPDATE objectlink.run SET ended_at = now() - interval '4 hours'")
    assert decided() == [], "too long ago"
    pg.run("UPDATE objectlink.run SET ended_at = now()")
    assert decided() == ["tmp/twice"]


@pytest.mark.limit(400)
def test_report_repair_and_cleanup_when_something_is_found(operator, docs, bucket, daemon):
    pg = docs
    pg.run("INSERT INTO document (file) SELECT objectlink.put('docs', 'x', key => n::text) FROM generate_series(1, 5) n")
    pg.wait_for_sync()
    for key in ("tmp/strange", "strange"):
        bucket.put(key, b"nobody's")
    settle_clock(bucket)

    schedule(operator, "objectlink report")
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.runs WHERE state = 'done'"), MINUTE_SECONDS_MAX, "a report has run")
    unschedule(pg, "objectlink report")
    run = pg.run("SELECT mode, requested_by FROM objectlink.runs ORDER BY id")[0]
    assert (run.mode, run.requested_by) == ("report", "olx_operator")
    assert findings(pg) == {("tmp/strange", "orphan"): "suspected", ("strange", "orphan"): "suspected"}
    eventually(lambda: not pg.run("SELECT 1 FROM objectlink.runs WHERE state NOT IN ('done')"), 30)
    reconcile(pg)

    schedule(operator, "objectlink repair")
    schedule(operator, "objectlink cleanup")
    eventually(lambda: outcome(pg, "objectlink cleanup") and outcome(pg, "objectlink repair")
               and pg.run("SELECT 1 FROM objectlink.runs WHERE mode = 'repair' AND state = 'done'"), MINUTE_SECONDS_MAX, "repair and cleanup have run")
    assert outcome(pg, "objectlink repair")[0] == "succeeded"
    unschedule(pg, "objectlink repair")
    assert outcome(pg, "objectlink cleanup")[0] == "succeeded", outcome(pg, "objectlink cleanup")
    pg.wait_for_sync()
    assert not bucket.exists("tmp/strange") and bucket.exists("strange"), "only what the recipe names"
    record = pg.run("SELECT act, unlinked_by FROM objectlink.erasures WHERE key = 'tmp/strange'")[0]
    assert tuple(record) == ("orphan", "olx_operator")
    assert pg.value("SELECT count(*) FROM objectlink.objects WHERE state = 'stored'") == 5

    # Too much is a person's business, and the job says so.
    pg.run("UPDATE objectlink.finding SET status = 'open' WHERE key = 'strange'")
    pg.run("INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence)"
           " SELECT id, 'tmp/' || n, 'orphan', 'open', 1, 1, '{\"etag\": \"e\"}' FROM objectlink.store, generate_series(1, 101) n WHERE name = 'docs'")
    eventually(lambda: outcome(pg, "objectlink cleanup")[0] == "failed", MINUTE_SECONDS_MAX, "the job has refused")
    unschedule(pg, "objectlink cleanup")
    assert pg.value("SELECT count(*) FROM objectlink.finding WHERE delete_at IS NOT NULL") == 0
