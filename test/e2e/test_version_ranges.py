"""Goal: versions of a bucket are listed in several ranges of keys at once, and what is told of them is what one listing from the first key to the last would tell:
through kills, where keys have more versions than a page, and nothing where one of the ranges cannot be had.
Method: pages of two versions, so that a few thousand make many ranges; boto3 does the damage, and says from its own listing what is stray."""
from concurrent.futures import ThreadPoolExecutor

import pytest

from harness.documents import wait_daemon_sessions
from harness.runs import reconcile, settle_clock
from harness.waiting import eventually

KEYS = [f"k/{number:04}" for number in range(500)]


@pytest.fixture
def stored(documents, bucket, make_daemon):
    pg = documents.pg
    pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    bucket.set_versioning("Enabled")
    documents.daemon = make_daemon(name="daemon")
    documents.put(KEYS)
    documents.sync()
    eventually(lambda: pg.value("SELECT list_order FROM objectlink.store_capabilities"), 20)
    # One that finds nothing out by itself: it has nothing to change.
    documents.daemon.stop()
    documents.daemon.start()
    damage(bucket)
    return documents


def damage(bucket):
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            list(pool.map(lambda key: bucket.put(key, b"other"), KEYS))
        for _ in range(3):
            list(pool.map(lambda key: bucket.put(key, b"x"), [f"strange/{number:02}" for number in range(60)]))
        list(pool.map(bucket.delete, KEYS[::7] + [f"alone/{number:02}" for number in range(60)]))
        list(pool.map(lambda _: bucket.put("k/0250", b"again"), range(20)))
    settle_clock(bucket)


def strays(bucket, pg):
    """By a listing of its own: what is not current, but for what is recorded, and markers that are all there is of their key."""
    recorded = {(row.key, row.version_id) for row in pg.run("SELECT key, version_id FROM objectlink.object")}
    versions, found = {}, set()
    for page in bucket.client.get_paginator("list_object_versions").paginate(Bucket=bucket.name):
        for name, kind in (("Versions", "stray_version"), ("DeleteMarkers", "stray_marker")):
            for entry in page.get(name, ()):
                versions.setdefault(entry["Key"], []).append((entry["IsLatest"], kind, entry["VersionId"]))
    for key, entries in versions.items():
        if not key.startswith(".objectlink/"):
            alone = all(kind == "stray_marker" for _, kind, _ in entries)
            found |= {(key, kind, item) for latest, kind, item in entries
                      if (not latest or (alone and kind == "stray_marker")) and (key, item) not in recorded}
    return found, sum(len(entries) for entries in versions.values())


def told(pg):
    return {(row.key, row.kind, row.item) for row in pg.run("SELECT key, kind, item FROM objectlink.findings WHERE kind LIKE 'stray%%' AND status <> 'resolved'")}


def listings(proxy):
    """(key-marker, version-id-marker) of each page of versions that was asked for."""
    return [(operation.parameters.get("key-marker", ""), operation.parameters.get("version-id-marker", ""))
            for operation in proxy.operations(method="GET", query="max-keys=2(&|$)", own=None) if "versions" in operation.parameters]


def test_several_ranges_tell_what_one_listing_would(stored, proxy):
    pg, bucket = stored.pg, stored.bucket
    expected, count = strays(bucket, pg)
    assert len(expected) > 1200 and count > 2300
    proxy.forget()
    run = reconcile(pg, page_size=2, repair_limit_share=100)
    asked = listings(proxy)
    assert (run.state, run.notes) == ("done", None)
    assert told(pg) == expected
    keys = [key for key, _ in asked]
    assert keys != sorted(keys), "several ranges at once"
    # What lies behind a range's first key is asked for by that key alone, and this store shows its versions once more.
    starts = [key for key, version in asked if not version]
    assert 4 <= len(starts) <= 20 and len(set(starts)) == len(starts)
    assert len(asked) <= count / 2 + 20 * len(starts), "one of these keys has so many"
    # A store whose order nobody has proved is listed from its first key to the last; it tells the same.
    stored.daemon.stop()
    pg.run("UPDATE objectlink.capability SET list_order = NULL")
    stored.daemon.start()
    proxy.forget()
    reconcile(pg, page_size=2)
    keys = [key for key, _ in listings(proxy)]
    assert keys == sorted(keys) and told(pg) == expected


def test_a_killed_daemon_goes_on_in_every_range(stored, proxy):
    pg, bucket = stored.pg, stored.bucket
    expected, count = strays(bucket, pg)
    proxy.forget()
    gate = proxy.hold(method="GET", query="max-keys=2&.*versions", own=None, skip=400)
    run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 2, repair_limit_share => 100)")
    gate.wait_reached()
    stored.daemon.kill()
    gate.open()
    wait_daemon_sessions(pg, 0)  # what it had sent before is still carried out
    assert pg.value("SELECT phase FROM objectlink.reconcile_progress") == "listing versions"
    assert set() < told(pg) < expected
    ranges = pg.run("SELECT after_key FROM objectlink.run_range WHERE NOT done")
    assert len(ranges) > 1
    before = len(listings(proxy))
    stored.daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, notes FROM objectlink.runs WHERE id = %s", run) == [("done", None)]
    assert told(pg) == expected
    asked = listings(proxy)
    assert {(row.after_key, "") for row in ranges} <= set(asked[before:])
    # Each range lists the key again that it was at, and one before it; k/0250 has ten pages and more.
    assert len(asked) <= count / 2 + 2 * 8 * 20


def test_a_range_that_cannot_be_had_closes_nothing(stored, proxy):
    pg, bucket = stored.pg, stored.bucket
    reconcile(pg, page_size=2)
    expected = told(pg)
    for key in ("strange/00", "strange/01"):
        for item in [item for at, _, item in expected if at == key]:
            bucket.client.delete_object(Bucket=bucket.name, Key=key, VersionId=item)
    proxy.answer(403, code="AccessDenied", method="GET", query="key-marker=k%2F04", own=None, times=None)
    run = reconcile(pg, page_size=2)
    assert run.state == "done" and "versions were not listed" in run.notes and "AccessDenied" in run.notes
    assert told(pg) == expected
    proxy.clear()
    reconcile(pg, page_size=2)
    assert told(pg) == {one for one in expected if one[0] not in ("strange/00", "strange/01")}
