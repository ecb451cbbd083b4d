"""Goal: a run that reads an S3 Inventory finds exactly what one that lists finds; what has happened since the inventory explains itself; one that is
not whole, not of this bucket, or not as its manifest says, finds nothing.
Method: inventories written by boto3 in AWS's form, well and damaged in each way; objects damaged by boto3; kills and faults by signal and proxy."""
import gzip
import json
import random
import time

import pytest

from harness.inventory import ALL_VERSIONS, rows_of, take_inventory, versions_of
from harness.runs import findings, reconcile, settle_clock
from harness.store import Bucket
from harness.waiting import eventually

KEYS = [f"k/{number:03}" for number in range(60)] + ["with space", "a+b", "100%", "ü/ß", "\U0001f600", "q?x=1&y=2", 'quo"te', "comma,", "new\nline", "tab\tbed"]


@pytest.fixture
def stored(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
    documents.put(KEYS)
    documents.sync()
    settle_clock(documents.bucket)
    return documents


@pytest.fixture
def elsewhere(stored, s3_server):
    """Another bucket, where the inventories of this one are delivered."""
    bucket = Bucket(s3_server)
    stored.pg.run(f"ALTER SERVER docs OPTIONS (ADD inventory_bucket '{bucket.name}')")
    return bucket


def damage(stored):
    bucket = stored.bucket
    bucket.delete("k/050")
    bucket.delete("with space")
    bucket.put("k/017", b"other")
    for key in ("strange", "strange+too", "k/0505"):
        bucket.put(key, b"x")
    with_triggers_off(stored.pg, "off")
    bucket.put("off", b"x")
    settle_clock(bucket)
    return {("k/050", "missing"), ("with space", "missing"), ("k/017", "corrupt"), ("strange", "orphan"), ("strange+too", "orphan"), ("k/0505", "orphan"),
            ("off", "unregistered")}


def with_triggers_off(pg, key):
    pg.run("ALTER TABLE document DISABLE TRIGGER ALL")
    pg.run("INSERT INTO document (file) VALUES (%s)", f"s3://docs/{key}")
    pg.run("ALTER TABLE document ENABLE TRIGGER ALL")


def got(proxy, path):
    return len(proxy.operations(method="GET", path=path))


def failed(pg, key, **arguments):
    """The error code of a run that had to fail."""
    run = reconcile(pg, inventory=key, **arguments)
    assert (run.state, run.found) == ("failed", {}), run
    return run.error_code


def test_it_finds_what_a_listing_finds(stored, proxy, elsewhere, daemon):
    pg = stored.pg
    well = take_inventory(stored.bucket).deliver(elsewhere)
    run = reconcile(pg, inventory=well)
    assert (run.state, run.listed, run.compared, run.undecided, run.found, run.inventory) == ("done", 70, 70, 0, {}, well)
    assert abs(run.inventory_at.timestamp() - time.time()) < 60
    expected = damage(stored)
    key = take_inventory(stored.bucket, folder="after").deliver(elsewhere)
    proxy.forget()
    for _ in range(2):
        run = reconcile(pg, inventory=key)
        assert (run.state, run.compared, run.undecided) == ("done", 74, 0)
        assert set(findings(pg)) == expected
    assert set(findings(pg).values()) == {"open"}
    assert proxy.operations(query="list-type=2") == []
    assert pg.value("SELECT list_requests FROM objectlink.run WHERE id = %s", run.id) == 0
    # The witness: a run that lists sees each of them again, and nothing else.
    listed = reconcile(pg)
    assert (listed.state, listed.compared) == ("done", 74) and set(findings(pg)) == expected
    assert {row.run_id for row in pg.run("SELECT run_id FROM objectlink.findings WHERE status = 'open'")} == {listed.id}
    # What was read goes.
    eventually(lambda: pg.value("SELECT (SELECT count(*) FROM objectlink.collected_key) + (SELECT count(*) FROM objectlink.collection) = 0"), 60)


def test_it_may_lie_in_the_bucket_itself(stored):
    pg, bucket = stored.pg, stored.bucket
    key = take_inventory(bucket, files=1, folder=".objectlink/inventory").deliver(bucket)
    run = reconcile(pg, inventory=key)
    assert (run.state, run.compared, run.found) == ("done", 70, {})


def test_of_a_versioned_bucket_only_what_is_there_now_counts(documents, daemon, s3_server):
    """And that the bucket of the inventories is versioned says nothing of the store's."""
    pg, bucket = documents.pg, documents.bucket
    bucket.set_versioning("Enabled")
    elsewhere = Bucket(s3_server)
    elsewhere.set_versioning("Enabled")
    pg.run(f"ALTER SERVER docs OPTIONS (ADD orphan_grace '0', ADD inventory_bucket '{elsewhere.name}')")
    documents.put(["a", "b", "c", "d"])
    documents.sync()
    bucket.put("b", b"other")
    bucket.delete("c")
    bucket.put("stray", b"1")
    bucket.put("stray", b"2")
    bucket.put("was", b"1")
    bucket.delete("was")
    settle_clock(bucket)
    key = take_inventory(bucket, versions_of(bucket), schema=ALL_VERSIONS).deliver(elsewhere)
    run = reconcile(pg, inventory=key)
    assert (run.state, run.undecided) == ("done", 0)
    assert findings(pg) == {("b", "corrupt"): "open", ("c", "missing"): "open", ("stray", "orphan"): "suspected"}


def test_the_bucket_of_inventories_says_nothing_of_the_stores_own(stored, elsewhere):
    pg = stored.pg
    elsewhere.set_versioning("Enabled")
    key = take_inventory(stored.bucket).deliver(elsewhere)
    assert reconcile(pg, inventory=key).state == "done"
    assert pg.value("SELECT versioning FROM objectlink.store_capabilities WHERE store = 'docs'") == "off"


def test_only_keys_below_the_prefix_count(pg, bucket, make_daemon):
    for name in ("images", "images2"):
        pg.create_server(name, bucket.endpoint, bucket.name, prefix=name)
        pg.run(f"ALTER SERVER {name} OPTIONS (ADD orphan_grace '0')")
    bucket.put("images/a", b"x")
    bucket.put("images2/b", b"x")
    bucket.put("image", b"x")
    settle_clock(bucket)
    key = take_inventory(bucket, folder=".objectlink/inventory").deliver(bucket)
    make_daemon()
    run = reconcile(pg, store="images", inventory=key)
    assert (run.state, run.compared) == ("done", 1)
    assert findings(pg) == {("images/a", "orphan"): "suspected"}
    run = reconcile(pg, store="images2", inventory=key, prefix="images2/c")
    assert (run.state, run.compared) == ("done", 0)


def test_what_has_happened_since_explains_itself(stored, elsewhere):
    """Put, deleted, replaced, brought back, linked: by us and by others."""
    pg, bucket = stored.pg, stored.bucket
    for key in ("gone by now", "linked by now", "other by now"):
        bucket.put(key, b"x")
    bucket.delete("k/010")
    settle_clock(bucket)
    reconcile(pg)
    assert findings(pg)[("k/010", "missing")] == "open"
    pg.run("TRUNCATE objectlink.finding")
    key = take_inventory(bucket).deliver(elsewhere)
    stored.put([f"new/{number}" for number in range(20)])
    stored.delete([f"k/{number:03}" for number in range(20, 30)])
    stored.refer(["linked by now"])
    stored.sync()
    bucket.put("k/010", b"content of k/010")
    bucket.delete("gone by now")
    bucket.put("other by now", b"another one")
    bucket.put("a stranger", b"x")
    for _ in range(2):
        run = reconcile(pg, inventory=key)
        assert (run.state, findings(pg)) == ("done", {})
    assert pg.state("k/010") == "stored"
    # Of ten that were deleted since, and one that is another, nothing could be said.
    assert run.undecided == 11
    assert set(findings(pg, "suspected", "open")) == set()
    reconcile(pg)
    assert set(findings(pg)) == {("a stranger", "orphan"), ("other by now", "orphan")}


def test_what_it_leaves_out_is_looked_at(stored, elsewhere, proxy):
    """It may lack what was written shortly before it; but not what had been there for a day: then it is no inventory of this store."""
    pg = stored.pg
    key = take_inventory(stored.bucket, rows_of(stored.bucket, leave_out=["k/001", "k/059"])).deliver(elsewhere)
    proxy.older_objects(hours=25)
    assert failed(pg, key) == "ListingIncomplete"
    assert findings(pg) == {} and set(pg.states().values()) == {"stored"}
    proxy.clear()
    run = reconcile(pg, inventory=key)
    assert (run.state, run.found, findings(pg)) == ("done", {}, {})
    assert pg.value("SELECT looks FROM objectlink.run WHERE id = %s", run.id) == 2


def change(name, value):
    def apply(inventory):
        inventory.manifest[name] = value
    return apply


def change_file(number, **values):
    def apply(inventory):
        inventory.manifest["files"][number].update(values)
    return apply


def with_content(number, make):
    """Of a file, with size and MD5 of what it is by then."""
    def apply(inventory):
        key = inventory.manifest["files"][number]["key"]
        entries = list(inventory.manifest["files"])
        inventory.put(key, make(inventory.files[key]))
        last = inventory.manifest["files"].pop()
        entries[number] = last
        inventory.manifest["files"] = entries
    return apply


def without_file(inventory):
    del inventory.files[inventory.manifest["files"][2]["key"]]


def swapped(inventory):
    first, second = (entry["key"] for entry in inventory.manifest["files"][:2])
    inventory.files[first], inventory.files[second] = inventory.files[second], inventory.files[first]


def edited(edit):
    return lambda content: gzip.compress(edit(gzip.decompress(content).decode()).encode())


DAMAGE = {
    "no data file": (without_file, "InventoryMissing"),
    "files swapped": (swapped, "InventoryDamaged"),
    "another MD5": (change_file(2, MD5checksum="0" * 32), "InventoryDamaged"),
    "another size": (change_file(2, size=7), "InventoryDamaged"),
    "cut gzip": (with_content(2, lambda content: content[:-5]), "InventoryDamaged"),
    "empty file": (with_content(1, lambda content: b""), "InventoryDamaged"),
    "no gzip": (with_content(2, gzip.decompress), "InventoryDamaged"),
    "changed byte": (with_content(2, lambda content: content[:40] + bytes([content[40] ^ 8]) + content[41:]), "InventoryDamaged"),
    "a column less": (with_content(1, edited(lambda text: text.replace(',"STANDARD"', "", 1))), "InventoryMalformed"),
    "a column more": (change("fileSchema", "Bucket, Key, Size, LastModifiedDate, ETag, StorageClass, IsMultipartUploaded"), "InventoryMalformed"),
    "a row cut": (with_content(2, edited(lambda text: text[:-30])), "InventoryMalformed"),
    "a key that is not encoded": (with_content(0, edited(lambda text: text.replace("k/0", "%k/0", 1))), "InventoryMalformed"),
    "a row of another bucket": (with_content(0, edited(lambda text: text.replace('"test', '"tost', 1))), "InventoryMalformed"),
    "no ETag": (change("fileSchema", "Bucket, Key, Size, LastModifiedDate, x, StorageClass"), "InventoryMalformed"),
    "another bucket": (change("sourceBucket", "another"), "InventoryForeign"),
    "Parquet": (change("fileFormat", "Parquet"), "InventoryFormat"),
    "ORC": (change("fileFormat", "ORC"), "InventoryFormat"),
    "of tomorrow": (lambda inventory: change("creationTimestamp", str(int(time.time() * 1000) + 86400000))(inventory), "InventoryMalformed"),
    "of no time": (change("creationTimestamp", ""), "InventoryMalformed"),
    "files that are none": (change("files", "all"), "InventoryMalformed"),
}


def test_one_that_is_damaged_finds_nothing(stored, elsewhere, daemon):
    """In each way that one can be; the bucket is damaged too, so that there would be something to find."""
    pg = stored.pg
    expected = damage(stored)
    for number, (name, (apply, code)) in enumerate(DAMAGE.items()):
        inventory = take_inventory(stored.bucket, folder=f"inventory-{number}")
        apply(inventory)
        assert failed(pg, inventory.deliver(elsewhere)) == code, name
        assert pg.run("SELECT * FROM objectlink.finding") == [], name
    assert set(pg.states().values()) == {"stored"}
    for checksum, code in (("", "InventoryMissing"), ("0" * 32, "InventoryDamaged"), ("x", "InventoryDamaged")):
        inventory = take_inventory(stored.bucket, folder=f"checksum-{checksum[:1]}")
        assert failed(pg, inventory.deliver(elsewhere, checksum)) == code
    assert failed(pg, "nowhere/manifest.json") == "InventoryMissing"
    elsewhere.put("none/manifest.json", json.dumps([]).encode())
    elsewhere.put("none/manifest.checksum", b"d751713988987e9331980363e24189ce")
    assert failed(pg, "none/manifest.json") == "InventoryMalformed"
    elsewhere.put("empty/manifest.json")
    assert failed(pg, "empty/manifest.json") == "InventoryMalformed"
    assert pg.run("SELECT * FROM objectlink.finding") == []
    assert "session.lost" not in daemon.log_text()
    # And it is not because of the store.
    assert reconcile(pg, inventory=take_inventory(stored.bucket).deliver(elsewhere)).state == "done"
    assert set(findings(pg)) == expected


def reading(stored, elsewhere, proxy, page_size=7):
    """A run that is held up at the third of four files."""
    key = take_inventory(stored.bucket, files=4).deliver(elsewhere)
    gate = proxy.hold(method="GET", path=r"data/2\.csv")
    run = stored.pg.value("SELECT objectlink.reconcile_storage('docs', inventory => %s, page_size => %s)", key, page_size)
    gate.wait_reached()
    eventually(lambda: stored.pg.run("SELECT phase, files, files_read FROM objectlink.reconcile_progress WHERE run_id = %s", run) == [("collecting", 4, 2)])
    return run, gate, key


def test_a_killed_daemon_goes_on_file_by_file(stored, elsewhere, proxy, daemon):
    pg = stored.pg
    expected = damage(stored)
    run, gate, _ = reading(stored, elsewhere, proxy)
    daemon.kill()
    gate.open()
    assert pg.run("SELECT * FROM objectlink.finding") == []
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, compared, undecided FROM objectlink.runs WHERE id = %s", run) == [("done", 74, 0)]
    assert set(findings(pg)) == expected
    assert [got(proxy, rf"data/{number}\.csv") for number in range(4)] == [1, 1, 2, 1]


def test_a_manifest_that_was_replaced_meanwhile_ends_the_run(stored, elsewhere, proxy, daemon):
    pg = stored.pg
    damage(stored)
    run, gate, _ = reading(stored, elsewhere, proxy)
    daemon.kill()
    gate.open()
    take_inventory(stored.bucket, files=4, created=time.time() - 100).deliver(elsewhere)
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, error_code FROM objectlink.runs WHERE id = %s", run) == [("failed", "InventoryChanged")]
    assert pg.run("SELECT * FROM objectlink.finding") == []


def test_a_run_is_paused_and_let_go_on_between_files(stored, elsewhere, proxy):
    pg = stored.pg
    expected = damage(stored)
    run, gate, _ = reading(stored, elsewhere, proxy)
    pg.run("SELECT objectlink.pause_run(%s)", run)
    gate.open()
    pg.run("SELECT objectlink.resume_run(%s)", run)
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert set(findings(pg)) == expected


def test_a_crash_of_the_server_has_all_of_it_read_again(stored, elsewhere, proxy, daemon):
    pg = stored.pg
    expected = damage(stored)
    run, gate, _ = reading(stored, elsewhere, proxy)
    daemon.kill()
    gate.open()
    pg.run("TRUNCATE objectlink.collected_key")
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, compared FROM objectlink.runs WHERE id = %s", run) == [("done", 74)]
    assert set(findings(pg)) == expected


def test_replies_that_fail_now_and_then_are_asked_for_again(stored, elsewhere, proxy):
    pg = stored.pg
    expected = damage(stored)
    key = take_inventory(stored.bucket).deliver(elsewhere)
    proxy.answer(500, code="InternalError", method="GET", path="manifest.json", times=2)
    proxy.truncate(method="GET", path="manifest.checksum")
    proxy.answer(503, code="SlowDown", method="GET", path=r"0\.csv", times=2)
    proxy.cut_after(method="GET", path=r"1\.csv", times=2)
    proxy.truncate(method="GET", path=r"2\.csv", times=2)
    assert reconcile(pg, inventory=key).state == "done"
    assert set(findings(pg)) == expected


def test_a_store_that_is_down_fails_no_run(stored, elsewhere, proxy):
    pg = stored.pg
    expected = damage(stored)
    run, gate, _ = reading(stored, elsewhere, proxy)
    proxy.refuse()
    gate.drop()
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.consistency WHERE breaker = 'open'"), 60)
    proxy.accept()
    pg.run("CALL objectlink.wait_for_run(%s, '100 seconds')", run)
    assert pg.run("SELECT state, compared FROM objectlink.runs WHERE id = %s", run) == [("done", 74)]
    assert set(findings(pg)) == expected


def test_a_bucket_that_may_not_be_read_ends_the_run_and_nothing_else(stored, elsewhere, proxy):
    pg = stored.pg
    key = take_inventory(stored.bucket).deliver(elsewhere)
    proxy.answer(403, code="AccessDenied", method="GET", path=f"^/{elsewhere.name}/", times=None)
    assert failed(pg, key) == "AccessDenied"
    proxy.clear()
    pg.run("ALTER SERVER docs OPTIONS (SET inventory_bucket 'there-is-none')")
    assert failed(pg, key) == "NoSuchBucket"
    assert pg.value("SELECT breaker FROM objectlink.consistency WHERE store = 'docs'") == "closed"
    stored.put(["later"])
    stored.sync()


@pytest.mark.parametrize("status, code", [(301, "PermanentRedirect"), (400, "AuthorizationHeaderMalformed")])
def test_its_bucket_in_another_region_ends_the_run_and_does_not_move_the_store(stored, elsewhere, proxy, daemon, status, code):
    pg = stored.pg
    key = take_inventory(stored.bucket).deliver(elsewhere)
    proxy.answer(status, code=code, headers={"x-amz-bucket-region": "mars-north-1"}, method="GET", path=key, times=None)
    assert failed(pg, key) == code
    assert pg.value("SELECT error_class FROM objectlink.runs ORDER BY id DESC LIMIT 1") == "redirect"
    proxy.clear()
    stored.put(["later"])
    stored.sync()
    assert reconcile(pg).state == "done"
    assert {operation.region for operation in proxy.operations(own=None)} == {"us-east-1"}
    assert pg.value("SELECT breaker FROM objectlink.consistency WHERE store = 'docs'") == "closed"


def test_a_bucket_that_is_gone_declares_nothing_missing(stored, elsewhere, proxy, daemon):
    """That the bucket of the inventories answers says nothing of the store's own, whose 404 may mean anything then."""
    pg = stored.pg
    key = take_inventory(stored.bucket, rows=[], files=0).deliver(elsewhere)
    daemon.stop()
    proxy.answer(404, code="NoSuchBucket", path=f"^/{stored.bucket.name}(/|$)", own=None, times=None)
    daemon.start()
    run = reconcile(pg, inventory=key)
    assert run.state == "failed" and findings(pg) == {} and set(pg.states().values()) == {"stored"}


def test_a_daemon_that_begins_with_the_comparison_asks_for_the_bucket(stored, elsewhere, proxy, daemon):
    pg = stored.pg
    stored.bucket.delete("k/050")
    key = take_inventory(stored.bucket).deliver(elsewhere)
    gate = proxy.hold(method="HEAD", path="k/050")
    run = pg.value("SELECT objectlink.reconcile_storage('docs', inventory => %s)", key)
    gate.wait_reached()
    daemon.kill()
    gate.open()
    assert pg.value("SELECT listing FROM objectlink.run WHERE id = %s", run) == "collected"
    daemon.start()
    pg.run("CALL objectlink.wait_for_run(%s, '60 seconds')", run)
    assert pg.run("SELECT state, undecided FROM objectlink.runs WHERE id = %s", run) == [("done", 0)]
    assert findings(pg) == {("k/050", "missing"): "open"}


def test_what_its_findings_say_is_mended(stored, elsewhere):
    """Modes repair and quarantine go by it as by a listing."""
    pg, bucket = stored.pg, stored.bucket
    damage(stored)
    key = take_inventory(bucket).deliver(elsewhere)
    for _ in range(2):
        assert reconcile(pg, inventory=key, mode="repair").state == "done"
    stored.pg.wait_for_sync(60)
    assert pg.state("off") == "stored"
    assert bucket.exists("strange"), "a repair leaves orphans alone"
    assert reconcile(pg, inventory=key, mode="quarantine").state == "done"
    eventually(lambda: not any(bucket.exists(orphan) for orphan in ("strange", "strange+too", "k/0505")), 60)
    eventually(lambda: pg.value("SELECT count(*) FROM objectlink.quarantined WHERE state = 'held'") == 3, 60)


def test_an_inventory_of_nothing_declares_nothing_missing(stored, elsewhere):
    pg = stored.pg
    stored.bucket.delete("k/003")
    key = take_inventory(stored.bucket, rows=[], files=0).deliver(elsewhere)
    run = reconcile(pg, inventory=key)
    assert run.state == "done" and findings(pg) == {("k/003", "missing"): "open"}


def test_many_pieces_and_many_batches_are_one_file(stored, elsewhere, proxy):
    """Rows that compress badly, more than a piece of them, most of them of no interest."""
    pg = stored.pg
    rows = rows_of(stored.bucket)
    chance = random.Random(7)
    noise = [{**rows[0], "Key": chance.randbytes(16).hex(), "ETag": chance.randbytes(16).hex()} for _ in range(60_000)]
    inventory = take_inventory(stored.bucket, rows[:-1] + noise + rows[-1:], files=1)
    assert len(next(iter(inventory.files.values()))) > 1_500_000
    key = inventory.deliver(elsewhere)
    run = reconcile(pg, inventory=key, prefix="k/")
    assert (run.state, run.compared, run.found) == ("done", 60, {})
    assert got(proxy, r"0\.csv") >= 2
