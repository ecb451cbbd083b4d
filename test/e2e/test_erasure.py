"""Goal: each object that is deleted leaves one true record, whatever happens to the daemon, and nobody forges it unseen.
Method: deletions by named roles through faults and kills; an export is checked by code that shares nothing with objectlink.
"""
import hashlib
import json
import random
import re
import subprocess
import sys

import pytest

from harness import steps
from harness.crash import crash_loop, kill_at
from harness.postgres import DAEMON_ROLE
from harness.sandbox import ROOT
from harness.store import Bucket
from harness.waiting import eventually
from test_dump_restore import adopt, restore

HOSTILE_KEYS = ['plain', 'a "quote"', "back\\slash", "tab\tnewline\n\x01\x7f", "\u00e9 \u20ac \U0001f600", "e\u0301", "</x>&'", " "]


def export(pg, *arguments):
    """As an auditor gets it: lines written by psql."""
    done = subprocess.run(
        ["psql", "-X", "-At", "-h", pg.cluster.host, "-p", str(pg.cluster.port), "-U", pg.cluster.superuser, "-d", pg.name,
         "-c", f"SELECT * FROM objectlink.erasure_report({', '.join(arguments)})"], capture_output=True, check=True)
    return done.stdout.decode().splitlines()


def first_broken(lines):
    """Number of the first record that does not follow from the one before it; None: the chain is whole."""
    last_hash = "00" * 32
    for number, line in enumerate(lines, 1):
        record = json.loads(line)
        written, before = record.pop("hash"), record.pop("prev_hash")
        text = json.dumps(record, ensure_ascii=False, separators=(", ", " : "))
        computed = hashlib.sha256(bytes.fromhex(before) + text.encode()).hexdigest()
        if (before, computed, record["id"]) != (last_hash, written, str(number)):
            return number
        last_hash = written
    return None


def accepted_by_the_documents(lines):
    """What the program in the reference says of an export."""
    program = re.search(r"```python\n(import hashlib.*?)```", (ROOT / "docs" / "sql-reference.md").read_text(), re.S)[1]
    done = subprocess.run([sys.executable, "-c", program], input="".join(line + "\n" for line in lines).encode(),
                          capture_output=True, check=False)
    assert done.returncode == 0 or b"AssertionError" in done.stderr, done.stderr
    return done.returncode == 0


def records(pg):
    return pg.run("SELECT * FROM objectlink.erasures ORDER BY store, id")


def assert_one_record_each(pg):
    """As many as events say that something is gone, of the same objects."""
    gone = pg.run("SELECT store::text, key FROM objectlink.events WHERE to_state = 'gone' ORDER BY 1, 2")
    assert pg.run("SELECT store, key FROM objectlink.erasures ORDER BY 1, 2") == gone
    assert all(row.intact for row in pg.run("SELECT intact FROM objectlink.verify_erasures()"))
    assert first_broken(export(pg)) is None


def test_a_record_says_who_when_which_row_and_how_it_was_proved(documents, daemon):
    pg = documents.pg
    pg.create_role("olx_clerk")
    pg.run("GRANT SELECT, DELETE ON document TO olx_clerk")
    documents.put(["kept", "letter"])
    documents.sync()
    size, etag = documents.bucket.listing()["letter"]
    row_id = pg.value("SELECT id FROM document WHERE objectlink.key(file) = 'letter'")
    clerk = pg.connect("olx_clerk", autocommit=False)
    with clerk.cursor() as cursor:
        cursor.execute("DELETE FROM document WHERE id = %s RETURNING now()", [row_id])
        began = cursor.fetchone()[0]
    clerk.commit()
    documents.sync()

    record, = records(pg)
    assert (record.store, record.bucket, record.key, record.size) == ("docs", documents.bucket.name, "letter", size)
    assert record.etag.strip('"') == etag
    assert record.sha256 == hashlib.sha256(documents._contents["letter"]).digest()
    assert (record.unlinked_by, record.act) == ("olx_clerk", "delete")
    assert began <= record.unlinked_at <= record.found_at
    assert (record.relation, record.column_name, record.row_key) == ("public.document", "file", {"id": row_id})
    assert began <= record.found_at <= record.requested_at <= record.at
    assert record.proof and record.worker == "daemon"
    gone = documents.pg.events("letter")[-1]
    assert gone.to_state == "gone" and record.request_id == gone.request_id is not None
    assert pg.run("SELECT 1 FROM objectlink.objects WHERE key = 'letter'") == []
    assert len(export(pg, "relation => 'document'", f"row_key => '{{\"id\": {row_id}}}'")) == 1
    documents.assert_in_step()


def test_an_export_is_checked_without_objectlink_and_any_change_shows(documents, daemon, random_seed):
    pg = documents.pg
    pg.run("CREATE TABLE odd (name text, n numeric, day timestamptz, file objectlink.storage_ref, PRIMARY KEY (name, n, day))")
    pg.run("SELECT objectlink.attach('odd', 'file')")
    for number, key in enumerate(HOSTILE_KEYS):
        documents.upload(key, b"content")
        pg.run("INSERT INTO odd VALUES (%s, %s, now(), objectlink.storage_ref('docs', %s))", key, f"1{number}.50", key)
    documents.sync()
    for key in HOSTILE_KEYS:
        pg.run("DELETE FROM odd WHERE name = %s", key)
        documents.sync()
    lines = export(pg)
    assert [json.loads(line)["key"] for line in lines] == HOSTILE_KEYS
    assert [json.loads(json.loads(line)["row_key"])["name"] for line in lines] == HOSTILE_KEYS
    assert first_broken(lines) is None and accepted_by_the_documents(lines)
    assert not accepted_by_the_documents(lines[:2] + lines[3:])
    assert pg.value("SELECT encode(head_hash, 'hex') FROM objectlink.verify_erasures()") == json.loads(lines[-1])["hash"]

    chance = random.Random(random_seed)
    for number, line in enumerate(lines):
        for name, value in json.loads(line).items():
            other = "x" if value is None else value[:-1] + chance.choice([c for c in "0123456789abcdef" if c != value[-1:]])
            forged = json.dumps(json.loads(line) | {name: other}, ensure_ascii=False)
            assert first_broken(lines[:number] + [forged] + lines[number + 1:]) == number + 1, (name, forged)
    for number in range(len(lines) - 1):
        assert first_broken(lines[:number] + lines[number + 1:]) == number + 1
        assert first_broken(lines[:number] + [lines[number + 1], lines[number]] + lines[number + 2:]) == number + 1


def test_a_superuser_with_triggers_off_is_found_out(documents, daemon):
    pg = documents.pg
    keys = documents.put_fresh(5)
    documents.sync()
    documents.delete(keys)
    documents.sync()
    assert_one_record_each(pg)
    pg.run("ALTER TABLE objectlink.erasure DISABLE TRIGGER USER")
    pg.run("UPDATE objectlink.erasure SET row_key = '{\"id\": 4711}' WHERE id = 2")
    assert pg.run("SELECT intact, first_broken_id FROM objectlink.verify_erasures()") == [(False, 2)]
    assert first_broken(export(pg)) == 2


@pytest.mark.parametrize("way", ["plain", "custom"])
def test_a_dump_keeps_records_and_chain(documents, make_daemon, s3_server, way):
    pg = documents.pg
    daemon = make_daemon(name="daemon")
    keys = documents.put_fresh(6)
    documents.sync()
    documents.delete(keys[:3])
    documents.sync()
    assert pg.value("SELECT objectlink.purge_erasures(clock_timestamp())") == 3
    documents.delete(keys[3:4])
    documents.sync()
    daemon.stop()
    copy = restore(pg, way)
    for question in ["SELECT * FROM objectlink.erasure ORDER BY store_id, id", "SELECT * FROM objectlink.verify_erasures()",
                     "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'objectlink.erasure'::regclass ORDER BY tgname"]:
        answer = copy.run(question)
        assert answer and answer == pg.run(question)

    # The chain goes on in the copy, with a bucket of its own.
    bucket = Bucket(s3_server)
    for key in keys[4:]:
        bucket.put(key, documents._contents[key])
    copy.run(f"ALTER SERVER docs OPTIONS (SET endpoint '{bucket.endpoint}', SET bucket '{bucket.name}')")
    copy.run("SELECT objectlink.grant_daemon(%s)", DAEMON_ROLE)
    make_daemon(dsn=copy.dsn(DAEMON_ROLE), name="daemon of the copy")
    adopt(copy)
    copy.run("DELETE FROM document")
    copy.wait_for_sync()
    row, = copy.run("SELECT records, last_id, intact FROM objectlink.verify_erasures()")
    assert row.intact and row.last_id == 6
    copy.close()


@pytest.fixture
def scene(documents, proxy, daemon):
    return steps.scene_of(documents, proxy, daemon)


@pytest.mark.parametrize("under_way", ["lost", "done"])
@pytest.mark.parametrize("step", [steps.issue, steps.delete_many, steps.delete_many_done, steps.delete_one_done,
                                  steps.proof_of_deletion, steps.settle_deletion], ids=lambda step: step.__name__)
def test_killed_on_the_way_one_record_each(scene, step, under_way):
    kill_at(scene, step, under_way)
    assert scene.pg.value("SELECT count(*) FROM objectlink.events WHERE to_state = 'gone'") > 0
    assert_one_record_each(scene.pg)


def test_an_outcome_that_stays_unknown_for_a_while_is_one_record(documents, proxy, daemon):
    documents.put(["letter"])
    documents.sync()
    proxy.cut_after(method="DELETE", times=2)
    proxy.answer(500, code="InternalError", method="HEAD", times=2)
    documents.delete(["letter"])
    documents.sync()
    assert len(records(documents.pg)) == 1
    assert_one_record_each(documents.pg)


def test_what_the_store_only_says_it_has_deleted_has_no_record(documents, proxy, daemon):
    documents.put(["letter"])
    documents.sync()
    lie = proxy.answer(204, body=b"", method="DELETE", times=None)
    documents.delete(["letter"])
    # A second request shows that the first was judged.
    eventually(lambda: len(proxy.operations(method="DELETE")) >= 2)
    assert documents.bucket.exists("letter") and not records(documents.pg)
    proxy.remove(lie)
    documents.sync()
    assert not documents.bucket.exists("letter")
    assert_one_record_each(documents.pg)


def test_two_daemons_killed_in_turn_write_one_chain(documents, make_daemon, random_seed):
    crash_loop(documents, [make_daemon(), make_daemon()], random.Random(random_seed), rounds=6)
    assert records(documents.pg)
    assert_one_record_each(documents.pg)


def coverage(pg, point):
    row, = pg.run("SELECT covered, gone, gone_bytes, waiting, reason FROM objectlink.recovery_coverage(%s)", point)
    return row


def test_a_delete_that_was_open_at_the_restore_point_counts(documents, daemon):
    """Its row is back after the restore, though the transaction had begun before."""
    pg = documents.pg
    documents.put(["letter"])
    documents.sync()
    writer = pg.connect(autocommit=False)
    documents.delete(["letter"], on=writer)
    point = pg.value("SELECT clock_timestamp()")
    writer.commit()
    documents.sync()
    assert coverage(pg, point).gone == 1 and coverage(pg, point).gone_bytes == len(documents._contents["letter"])
    assert not coverage(pg, point).covered
    later = pg.value("SELECT clock_timestamp()")
    assert coverage(pg, later).gone == 0


def test_what_the_retention_holds_is_covered(documents, daemon):
    pg = documents.pg
    pg.run("ALTER SERVER docs OPTIONS (ADD retention '1 hour')")
    documents.put(["letter", "kept"])
    documents.sync()
    point = pg.value("SELECT clock_timestamp()")
    documents.delete(["letter"])
    documents.sync()
    assert coverage(pg, point)[:4] == (True, 0, 0, 1)
    # The present retention counts, not the one of then.
    pg.run("ALTER SERVER docs OPTIONS (SET retention '0')")
    assert not coverage(pg, point).covered
    pg.run("ALTER SERVER docs OPTIONS (SET retention '1 hour')")
    assert coverage(pg, point).covered
    # Unless somebody decides otherwise.
    pg.run("SELECT objectlink.expedite_deletions('docs', key => 'letter')")
    documents.sync()
    assert coverage(pg, point)[:2] == (False, 1)
    assert_one_record_each(pg)
