"""Goal: of two databases that could both work in one bucket, never both do; nothing of the living original is deleted.
Method: real copies of every kind (base backup, dump, template, older state, standby) get a daemon of their own against the
original's bucket, and rows whose deletion would hurt; then the marker itself is removed, overwritten and raced for.
"""
import json
import shutil
import subprocess
import time

import psycopg2.errors
import pytest

from conftest import create_document_table
from harness.documents import Documents
from harness.postgres import DAEMON_ROLE, Cluster, Database
from harness.sandbox import Server
from harness.store import Bucket
from harness.waiting import always, eventually

MARKER = ".objectlink/owner/root.json"
MARKERS = r"\.objectlink/owner"
LEASE_SECONDS = 60  # objectlink.marker_lease()


def pg_tool(cluster, name, *arguments, **more):
    done = subprocess.run([name, "-h", cluster.host, "-p", str(cluster.port), "-U", cluster.superuser, *arguments],
                          capture_output=True, check=False, **more)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def fence(pg, store="docs"):
    """Why the store is fenced, once what was found in the bucket is recorded; None while it is not."""
    rows = pg.run("SELECT fence FROM objectlink.markers WHERE store = %s AND fence IS NOT NULL AND theirs IS NOT NULL", store)
    return rows[0].fence if rows else None


def wait_fenced(pg, reason, store="docs", seconds=30):
    eventually(lambda: fence(pg, store) == reason, seconds, f"fenced: {reason}")


def adopt(pg, store="docs"):
    return pg.run("SELECT * FROM objectlink.adopt_store(%s)", store)[0]


def marker(bucket, key=MARKER):
    return json.loads(bucket.get(key))


def assert_says_so(pg, daemon, reason):
    """View, event, log, health check and metrics."""
    row, = pg.run("SELECT status, error_code, error_message FROM objectlink.consistency WHERE store = 'docs'")
    assert (row.status, row.error_code) == ("fenced", reason) and "adopt_store()" in row.error_message
    event = pg.run("SELECT detail FROM objectlink.events WHERE store = 'docs' AND cause = 'store fenced' ORDER BY id DESC LIMIT 1")
    assert event[0].detail["reason"] == reason
    lines = [line for line in daemon.log() if line.get("event") == "store.fenced"]
    assert lines and lines[-1]["level"] == "error" and "system" in lines[-1]["ours"]
    status, body = daemon.http("/healthz")
    assert status == 503 and "fenced" in body
    assert daemon.metric("objectlink_store_state", store="docs", state="fenced") == 1


class World:
    """The original: objects that are stored, and a daemon that owns the place because it has deleted once."""

    def __init__(self, pg, bucket, make_daemon):
        self.pg, self.bucket, self.make_daemon = pg, bucket, make_daemon
        pg.create_server("docs", bucket.endpoint, bucket.name, request_timeout="1s")
        create_document_table(pg)
        self.documents = Documents(pg, bucket)
        self.daemon = make_daemon(name="original")
        self.keys = self.documents.put(["a", "b", "c", "d"])
        self.documents.sync()
        self.delete_one("d")

    def delete_one(self, key):
        self.documents.delete([key])
        self.documents.sync()
        assert not self.bucket.exists(key)


@pytest.fixture
def world(pg, bucket, make_daemon):
    return World(pg, bucket, make_daemon)


def assert_copy_does_nothing(world, copy, daemon, reason):
    """The copy deletes a row that the original still has, and puts content; neither reaches the bucket."""
    copy.run("DELETE FROM document WHERE file = 's3://docs/a'")
    copy.run("INSERT INTO document (file) VALUES (objectlink.put('docs', 'of the copy', key => 'copy'))")
    world.bucket.put("seen", b"seen")
    copy.run("INSERT INTO document (file) VALUES ('s3://docs/seen')")
    wait_fenced(copy, reason)
    # Looking goes on.
    eventually(lambda: copy.state("seen") == "stored")
    assert copy.state("a") in ("unlinked", "stored") or copy.state("a") is None
    always(lambda: world.bucket.exists("a") and not world.bucket.exists("copy"), 1)
    assert_says_so(copy, daemon, reason)
    assert copy.value("SELECT count(*) FROM objectlink.object WHERE attempts > 0") == 0
    assert copy.state("copy") == "pending" and copy.state("a") == "unlinked"
    world.bucket.delete("seen")


def assert_adopted(world, copy, seconds=30):
    """What waited is done after somebody has decided."""
    row = adopt(copy)
    assert row.adopted and row.ours["system"] and row.theirs["fingerprint"]

    def goes_on():
        # The original may have written its marker again after it was shown: then that is shown, and asked about, as well.
        if fence(copy):
            adopt(copy)
        return not world.bucket.exists("a") and world.bucket.exists("copy")

    eventually(goes_on, seconds, "the adopted store goes on")
    assert copy.value("SELECT status FROM objectlink.consistency WHERE store = 'docs'") == "ok"
    event, *_ = copy.run("SELECT actor, detail FROM objectlink.events WHERE cause = 'store adopted'")
    assert event.actor and event.detail["ours"] and event.detail["theirs"]


# Copies of the database

def dump_copy(world):
    copy = world.pg.cluster.create_database()
    dump = pg_tool(world.pg.cluster, "pg_dump", "-Fc", world.pg.name)
    pg_tool(world.pg.cluster, "pg_restore", "--exit-on-error", "-1", "-d", copy.name, input=dump)
    return copy


def template_copy(world):
    world.daemon.stop()
    world.pg.close()
    copy = world.pg.cluster.create_database(template=world.pg.name)
    world.daemon.start()
    return copy


@pytest.mark.limit(200)
@pytest.mark.parametrize("make_copy", [dump_copy, pytest.param(template_copy, marks=pytest.mark.long)])
def test_a_copy_in_the_same_cluster(world, make_copy, make_daemon):
    copy = make_copy(world)
    daemon = make_daemon(name="copy", dsn=copy.dsn(DAEMON_ROLE))
    assert_copy_does_nothing(world, copy, daemon, "copy")
    world.delete_one("b")  # the original is not bothered
    world.daemon.kill()  # it is gone for good; its lease may be live
    assert_adopted(world, copy, 100)
    assert marker(world.bucket)["name"] == copy.name
    # And should the original come back, it is the one that is fenced.
    world.daemon.start()
    world.documents.delete(["c"])
    wait_fenced(world.pg, "replaced")
    always(lambda: world.bucket.exists("c"), 1)
    assert_says_so(world.pg, world.daemon, "replaced")
    copy.close()


@pytest.mark.limit(200)
def test_a_dump_of_a_database_that_never_deleted_anything(pg, bucket, make_daemon):
    """Its place is marked with its first object: its copy must not come first."""
    # The copy's daemon waits for the owner that its dump names, as after every takeover.
    pg.create_server("docs", bucket.endpoint, bucket.name, request_timeout="1s")
    create_document_table(pg)
    make_daemon(name="original")
    Documents(pg, bucket).put(["a"])
    pg.wait_for_sync()
    eventually(lambda: bucket.exists(MARKER))
    copy = pg.cluster.create_database()
    pg_tool(pg.cluster, "psql", "-q", "-d", copy.name, input=pg_tool(pg.cluster, "pg_dump", pg.name))
    make_daemon(name="copy", dsn=copy.dsn(DAEMON_ROLE))
    copy.run("DELETE FROM document")
    wait_fenced(copy, "copy")
    always(lambda: bucket.exists("a"), 1)
    copy.close()


def test_a_renamed_database_goes_on(world):
    world.daemon.stop()
    world.pg.close()
    admin = Database(world.pg.cluster, world.pg.cluster.env["PGDATABASE"])
    admin.run(f"ALTER DATABASE {world.pg.name} RENAME TO renamed_{world.pg.name}")
    admin.close()
    world.pg.name = f"renamed_{world.pg.name}"
    world.daemon.dsn = world.pg.dsn(DAEMON_ROLE)
    world.make_daemon(name="after", dsn=world.pg.dsn(DAEMON_ROLE))
    world.delete_one("a")
    assert fence(world.pg) is None


# Two databases

@pytest.mark.long
@pytest.mark.parametrize("prefixes", [("", ""), ("", "x"), ("x", ""), ("x", "x/y"), ("x/y/", "x")])
def test_two_databases_on_one_place(cluster, pg, bucket, make_daemon, prefixes):
    ours, theirs = prefixes
    pg.create_server("docs", bucket.endpoint, bucket.name, prefix=ours)
    create_document_table(pg)
    make_daemon(name="first")
    key = "x/y/a"
    Documents(pg, bucket).put([key])
    pg.wait_for_sync()
    eventually(lambda: pg.run("SELECT 1 FROM objectlink.markers WHERE confirmed_at IS NOT NULL"))
    other = cluster.create_database()
    other.create_extension()
    other.create_server("docs", bucket.endpoint, bucket.name, prefix=theirs)
    create_document_table(other)
    daemon = make_daemon(name="second", dsn=other.dsn(DAEMON_ROLE))
    other.run("INSERT INTO document (file) VALUES (%s)", f"s3://docs/{key}")
    eventually(lambda: other.state(key) == "stored")
    other.run("DELETE FROM document")
    reason = "foreign" if ours.rstrip("/") == theirs.rstrip("/") else "overlap"
    wait_fenced(other, reason)
    always(lambda: bucket.exists(key), 1)
    assert_says_so(other, daemon, reason)
    assert fence(pg) is None
    other.close()


def test_neighbouring_prefixes_do_not_meet(cluster, pg, bucket, make_daemon):
    other = cluster.create_database()
    other.create_extension()
    for database, prefix in ((pg, "a"), (other, "ab")):
        database.create_server("docs", bucket.endpoint, bucket.name, prefix=prefix)
        create_document_table(database)
        make_daemon(name=prefix, dsn=database.dsn(DAEMON_ROLE))
        documents = Documents(database, bucket)
        documents.put([f"{prefix}/1"])
        documents.sync()
        documents.delete([f"{prefix}/1"])
        documents.sync()
        assert database.run("SELECT 1 FROM objectlink.markers WHERE fence IS NULL AND protection = 'strong'")
    assert bucket.keys() == []
    other.close()


# The server moves

def test_a_server_altered_to_another_bucket(world, s3_server):
    elsewhere = Bucket(s3_server)
    elsewhere.put("a", b"somebody else's")
    world.pg.run(f"ALTER SERVER docs OPTIONS (SET bucket '{elsewhere.name}')")
    world.documents.delete(["a"])
    wait_fenced(world.pg, "altered")
    always(lambda: elsewhere.exists("a") and world.bucket.exists("a"), 1)
    assert_says_so(world.pg, world.daemon, "altered")
    world.pg.run(f"ALTER SERVER docs OPTIONS (SET bucket '{world.bucket.name}')")
    world.documents.sync()
    assert elsewhere.exists("a") and not world.bucket.exists("a")
    world.pg.run(f"ALTER SERVER docs OPTIONS (SET bucket '{elsewhere.name}')")
    elsewhere.put("b", b"moved")
    world.documents.delete(["b"])
    wait_fenced(world.pg, "altered")
    assert adopt(world.pg).theirs["state"] == "absent"
    world.documents.sync()
    assert not elsewhere.exists("b") and world.bucket.exists("b")


# The marker itself

MUTILATIONS = {
    "removed": (lambda bucket: bucket.delete(MARKER), "missing"),
    "emptied": (lambda bucket: bucket.put(MARKER, b""), "unreadable"),
    "garbage": (lambda bucket: bucket.put(MARKER, b"\xff\x00 {"), "unreadable"),
    "of a later format": (lambda bucket: bucket.put(MARKER, b'{"format": 2}'), "unreadable"),
    "of somebody else": (lambda bucket: bucket.put(MARKER, json.dumps(
        {**marker(bucket), "install": "x", "nonce": "y", "lease_ms": 0}).encode()), "replaced"),
    "of a later self": (lambda bucket: bucket.put(MARKER, json.dumps(
        {**marker(bucket), "epoch": 1000, "nonce": "y", "lease_ms": 0}).encode()), "behind"),
}


@pytest.mark.long
@pytest.mark.limit(200)
@pytest.mark.parametrize("mutilation", MUTILATIONS)
def test_a_marker_that_was_changed_by_hand(world, mutilation):
    change, reason = MUTILATIONS[mutilation]
    change(world.bucket)
    world.daemon.restart()  # what it knew is gone, and with it the lease
    world.documents.delete(["a"])
    wait_fenced(world.pg, reason)
    always(lambda: world.bucket.exists("a"), 1)
    assert_says_so(world.pg, world.daemon, reason)
    before = adopt(world.pg)
    assert before.reason == reason
    world.documents.sync(140)
    assert not world.bucket.exists("a")
    assert marker(world.bucket)["epoch"] > (before.theirs.get("epoch") or 0)


def test_what_was_shown_is_what_is_taken_over(world):
    """Between the look and adopt_store() the marker changes once more: that is another decision."""
    world.bucket.delete(MARKER)
    world.daemon.restart()
    world.documents.delete(["a"])
    wait_fenced(world.pg, "missing")
    world.bucket.put(MARKER, b"surprise")
    adopt(world.pg)
    wait_fenced(world.pg, "unreadable")
    always(lambda: world.bucket.exists("a"), 1)


def test_dry_run_changes_nothing(world):
    world.bucket.delete(MARKER)
    world.daemon.restart()
    world.documents.delete(["a"])
    wait_fenced(world.pg, "missing")
    row, = world.pg.run("SELECT * FROM objectlink.adopt_store('docs', dry_run => true)")
    assert not row.adopted and fence(world.pg) == "missing"
    assert any("This database" in notice for notice in world.pg.connection.notices)


# Clusters of their own

def ignore(_data):
    pass


def recover_to_the_end(data):
    """Of what the backup has: a point-in-time recovery to the moment of the backup, with a timeline of its own."""
    (data / "recovery.signal").touch()
    with open(data / "postgresql.conf", "a", encoding="ascii") as settings:
        settings.write("restore_command = 'false'\n")


class Clone(Cluster):
    """A copy of a cluster's files, with a port of its own."""

    def __init__(self, original, *backup_options, prepare=ignore):
        Server.__init__(self, "postgres")
        self.stop()
        data = self.folder / "data"
        settings = (data / "postgresql.conf").read_text()
        shutil.rmtree(data)
        pg_tool(original, "pg_basebackup", "-D", str(data), "-X", "stream", "--no-sync", "-c", "fast", *backup_options)
        (data / "postgresql.conf").write_text(settings)
        prepare(data)
        subprocess.run(["chown", "-R", "postgres", str(data)], check=False)
        data.chmod(0o700)
        self.host, self.port = self.env["PGHOST"], int(self.env["PGPORT"])
        self.superuser, self.password = self.env["PGUSER"], self.env["PGPASSWORD"]
        self.start()


@pytest.fixture
def clusters():
    made = []
    yield made
    for cluster in made:
        cluster.remove()


def own_world(clusters, bucket, make_daemon):
    original = Cluster()
    clusters.append(original)
    pg = original.create_database()
    pg.create_extension()
    return World(pg, bucket, lambda name: make_daemon(name=name, dsn=pg.dsn(DAEMON_ROLE)))


@pytest.mark.limit(300)
@pytest.mark.parametrize("original", ["up", pytest.param("down", marks=pytest.mark.long)])
def test_a_clone_by_base_backup(clusters, bucket, make_daemon, original):
    world = own_world(clusters, bucket, make_daemon)
    clone = Clone(world.pg.cluster)
    clusters.append(clone)
    if original == "down":
        world.daemon.kill()
        world.pg.close()
        world.pg.cluster.stop("immediate")
    copy = Database(clone, world.pg.name)
    daemon = make_daemon(name="clone", dsn=copy.dsn(DAEMON_ROLE))
    assert_copy_does_nothing(world, copy, daemon, "moved")
    if original == "up":
        world.delete_one("b")
        assert fence(world.pg) is None
        world.daemon.kill()
    assert_adopted(world, copy, 120)
    copy.close()


@pytest.mark.long
@pytest.mark.limit(300)
def test_two_living_clones_where_the_seat_is_not_checked(clusters, bucket, make_daemon):
    world = own_world(clusters, bucket, make_daemon)
    world.pg.run("ALTER SERVER docs OPTIONS (ADD seat_check 'false')")
    clone = Clone(world.pg.cluster)
    clusters.append(clone)
    world.delete_one("b")
    copy = Database(clone, world.pg.name)
    make_daemon(name="clone", dsn=copy.dsn(DAEMON_ROLE))
    copy.run("DELETE FROM document WHERE file = 's3://docs/a'")
    # It waits out the original's lease, or sees that the original is ahead; in no case it deletes while that one lives.
    world.daemon.restart()
    world.delete_one("c")
    wait_fenced(copy, "behind", seconds=120)
    assert bucket.exists("a") and fence(world.pg) is None
    copy.close()


@pytest.mark.long
@pytest.mark.limit(300)
def test_a_promoted_standby_goes_on(clusters, bucket, make_daemon):
    world = own_world(clusters, bucket, make_daemon)
    standby = Clone(world.pg.cluster, "-R")
    clusters.append(standby)
    target = world.pg.value("SELECT pg_current_wal_lsn()")
    copy = Database(standby, world.pg.name)
    eventually(lambda: copy.value("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", target), 60)
    world.daemon.kill()
    world.pg.close()
    world.pg.cluster.stop("immediate")
    copy.run("SELECT pg_promote()")
    eventually(lambda: not copy.value("SELECT pg_is_in_recovery()"))
    daemon = make_daemon(name="promoted", dsn=copy.dsn(DAEMON_ROLE))
    copy.run("DELETE FROM document WHERE file = 's3://docs/a'")
    # The old primary could still be deleting: its lease has to run out first.
    daemon.wait_log("store.waits")
    assert bucket.exists("a")
    eventually(lambda: not bucket.exists("a"), LEASE_SECONDS + 30, "the standby goes on")
    assert copy.value("SELECT status FROM objectlink.consistency") == "ok"
    assert marker(bucket)["timeline"] == 2
    copy.close()


@pytest.mark.limit(300)
@pytest.mark.parametrize("way", ["point-in-time restore", pytest.param("lossy failover", marks=pytest.mark.long)])
def test_an_older_state_of_the_database(clusters, bucket, make_daemon, way):
    """The original deleted something that the restored state still refers to, and does not know of."""
    world = own_world(clusters, bucket, make_daemon)
    clone = Clone(world.pg.cluster, *(["-R"] if way == "lossy failover" else []),
                  prepare=ignore if way == "lossy failover" else recover_to_the_end)
    clusters.append(clone)
    copy = Database(clone, world.pg.name)
    if way == "lossy failover":
        copy.run("ALTER SYSTEM SET primary_conninfo = ''")
        copy.run("SELECT pg_reload_conf()")
        eventually(lambda: not copy.run("SELECT 1 FROM pg_stat_wal_receiver"))
    world.daemon.restart()  # another lease, so another epoch
    world.delete_one("b")
    world.daemon.kill()
    world.pg.close()
    world.pg.cluster.stop("immediate")
    if way == "lossy failover":
        copy.run("SELECT pg_promote()")
    eventually(lambda: not copy.value("SELECT pg_is_in_recovery()"), 60)
    daemon = make_daemon(name="restored", dsn=copy.dsn(DAEMON_ROLE))
    assert_copy_does_nothing(world, copy, daemon, "behind")
    assert_adopted(world, copy, 120)
    copy.close()


@pytest.mark.long
@pytest.mark.limit(300)
def test_a_move_to_a_new_cluster(clusters, bucket, make_daemon):
    """By a dump: another system identifier, other oids."""
    world = own_world(clusters, bucket, make_daemon)
    world.daemon.stop()
    fresh = Cluster()
    clusters.append(fresh)
    script = pg_tool(world.pg.cluster, "pg_dumpall", "-l", world.pg.name, "--no-role-passwords")
    world.pg.close()
    world.pg.cluster.stop()
    subprocess.run(["psql", "-q", "-h", fresh.host, "-p", str(fresh.port), "-U", fresh.superuser, "-d", "postgres"],
                   input=script, capture_output=True, check=True)
    copy = Database(fresh, world.pg.name)
    daemon = make_daemon(name="new", dsn=copy.dsn(DAEMON_ROLE))
    assert_copy_does_nothing(world, copy, daemon, "copy")
    assert_adopted(world, copy, 100)
    copy.close()


@pytest.mark.long
@pytest.mark.limit(300)
def test_pg_upgrade(clusters, bucket, make_daemon):
    """It keeps every oid and changes the system identifier. What waited before it waits after it, until somebody decides."""
    world = own_world(clusters, bucket, make_daemon)
    old = world.pg
    old.run("ALTER SERVER docs OPTIONS (ADD retention '1 hour')")
    world.documents.delete(["c"])  # known to be unlinked, and kept by the store's retention
    world.documents.sync()
    world.daemon.stop()
    old.run("ALTER SERVER docs OPTIONS (DROP retention)")
    world.documents.delete(["b"])  # committed, and not yet applied
    old.run("INSERT INTO document (file) VALUES (objectlink.put('docs', 'put before', key => 'before'))")
    registry = "SELECT * FROM objectlink.object ORDER BY store_id, key COLLATE \"C\""
    outbox = "SELECT * FROM objectlink.outbox ORDER BY ref, op"
    known, waiting = old.run(registry), old.run(outbox)
    assert waiting
    old.close()
    old.cluster.stop()
    new = Cluster()
    clusters.append(new)
    new.upgrade_from(old.cluster)

    upgraded = Database(new, old.name)
    assert upgraded.run(registry) == known and upgraded.run(outbox) == waiting
    daemon = make_daemon(name="upgraded", dsn=upgraded.dsn(DAEMON_ROLE))
    assert_copy_does_nothing(world, upgraded, daemon, "copy")
    assert (upgraded.state("b"), upgraded.state("before"), upgraded.state("c")) == ("unlinked", "pending", "unlinked")
    always(lambda: bucket.exists("b") and bucket.exists("c") and not bucket.exists("before"), 1)

    assert_adopted(world, upgraded, 100)
    eventually(lambda: not bucket.exists("b") and upgraded.state("before") == "stored", 30, "what waited is done")
    assert bucket.get("before") == b"put before"
    # Nothing has hastened what a policy keeps.
    always(lambda: bucket.exists("c"), 1)
    assert upgraded.value("SELECT due_at > now() FROM objectlink.objects WHERE key = 'c'")
    upgraded.run("SELECT objectlink.expedite_deletions('docs', key => 'c')")
    eventually(lambda: not bucket.exists("c"))
    assert upgraded.value("SELECT bool_and(intact) FROM objectlink.verify_erasures()")
    upgraded.close()


# Faults

FAULTS = {
    "reply lost, no effect": lambda proxy, **match: proxy.cut_before(**match),
    "reply lost after the effect": lambda proxy, **match: proxy.cut_after(**match),
    "500": lambda proxy, **match: proxy.answer(500, code="InternalError", **match),
    "500 after the effect": lambda proxy, **match: proxy.replace_reply(500, code="InternalError", **match),
    "503": lambda proxy, **match: proxy.answer(503, code="SlowDown", **match),
    "412 that means nothing": lambda proxy, **match: proxy.answer(412, code="PreconditionFailed", **match),
    "412 after the effect": lambda proxy, **match: proxy.replace_reply(412, code="PreconditionFailed", **match),
    "garbage": lambda proxy, **match: proxy.garbage(**match),
    "not HTTP": lambda proxy, **match: proxy.not_http(**match),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("at", ["creation", "renewal"])
def test_every_marker_request_meets(documents, proxy, daemon, fault, at):
    if at == "renewal":
        documents.put(["first"])
        documents.sync()
        eventually(lambda: documents.bucket.exists(MARKER))
        daemon.restart()
    if fault != "garbage":
        FAULTS[fault](proxy, method="PUT", path=MARKERS)
        FAULTS[fault](proxy, method="PUT", path=MARKERS, skip=1)
    refused = fault.startswith("412")
    FAULTS[fault](proxy, method="GET", query="objectlink") if not refused else None
    if fault != "garbage" and not refused:
        FAULTS[fault](proxy, method="GET", path=MARKERS)
        FAULTS[fault](proxy, method="GET", path=MARKERS, skip=1)
    documents.put(["a", "b"])
    documents.sync()
    documents.delete(["a"])
    documents.sync()
    assert any(done.fault for done in proxy.operations(path=MARKERS) + proxy.operations(query="objectlink"))
    assert documents.pg.value("SELECT count(*) FROM objectlink.markers WHERE fence IS NOT NULL") == 0
    documents.assert_in_step(marks_held=True)
    documents.assert_no_attempt_spent()


def test_a_daemon_killed_between_epoch_and_marker(documents, proxy, daemon):
    documents.put(["a"])
    documents.sync()
    eventually(lambda: documents.bucket.exists(MARKER))
    for after in (False, True):
        daemon.restart()
        gate = proxy.hold(after=after, method="PUT", path=MARKERS)
        key, = documents.put_fresh(1)
        documents.sync()
        documents.delete([key])
        gate.wait_reached()
        daemon.kill()
        gate.open()  # it arrives although its daemon is dead
        daemon.start()
        documents.sync()
        assert documents.pg.value("SELECT count(*) FROM objectlink.markers WHERE fence IS NOT NULL") == 0
    documents.assert_in_step(marks_held=True)


def deleted_one(documents):
    documents.put(["a", "b"])
    documents.sync()
    documents.delete(["a"])
    documents.sync()
    eventually(lambda: marker(documents.bucket)["lease_ms"] > 0)
    return marker(documents.bucket)["epoch"]


@pytest.mark.parametrize("once", [False, True], ids=["a signal", "--once"])
def test_a_clean_stop_ends_the_lease(documents, make_daemon, once):
    """Whoever takes over need not wait, and a database restored to before the last deletion has a smaller epoch."""
    daemon = make_daemon(name="daemon")
    epoch = deleted_one(documents)
    if once:
        assert daemon.stop() == 0
        documents.delete(["b"])
        assert daemon.run_once() == 0
    else:
        assert daemon.stop() == 0
    last = marker(documents.bucket)
    assert last["lease_ms"] == 0 and last["epoch"] > epoch
    assert last["epoch"] == documents.pg.value("SELECT epoch FROM objectlink.markers")
    daemon.start()
    documents.delete(documents.linked_keys())
    documents.sync()
    documents.assert_in_step(marks_held=True)


@pytest.mark.parametrize("fault", ["reply lost, no effect", "reply lost after the effect", "503", "412 that means nothing"])
def test_a_stop_that_cannot_end_the_lease(documents, proxy, daemon, fault):
    """It is a courtesy: a store in trouble neither delays the stop nor confuses the next daemon."""
    deleted_one(documents)
    before = len(proxy.operations(path=MARKERS))
    FAULTS[fault](proxy, method="PUT", path=MARKERS)
    assert daemon.stop(30) == 0
    tries = proxy.operations(path=MARKERS)[before:]
    assert len(tries) == 1 and tries[0].fault
    daemon.start()
    documents.delete(["b"])
    documents.sync()
    assert documents.pg.value("SELECT count(*) FROM objectlink.markers WHERE fence IS NOT NULL") == 0
    documents.assert_in_step(marks_held=True)


def test_a_daemon_that_deleted_nothing_stops_without_a_word(documents, proxy, daemon):
    documents.put(["a"])
    documents.sync()
    eventually(lambda: documents.bucket.exists(MARKER))
    before = len(proxy.operations(path=MARKERS))
    daemon.stop()
    assert len(proxy.operations(path=MARKERS)) == before


def test_no_deletion_without_the_marker(documents, proxy, daemon):
    """The store is well but for the marker: uploads go on, deletions wait, and it is said why."""
    proxy.answer(403, code="AccessDenied", method="PUT", path=MARKERS, times=None)
    documents.put(["a"])
    documents.sync()
    documents.delete(["a"])
    documents.put(["b"])
    eventually(lambda: documents.pg.state("b") == "stored")
    eventually(lambda: "AccessDenied" in (documents.pg.value("SELECT last_error FROM objectlink.markers") or ""))
    always(lambda: documents.bucket.exists("a"), 1)
    assert documents.pg.state("a") == "unlinked" and not proxy.operations(method="DELETE")
    assert documents.pg.value("SELECT status FROM objectlink.consistency") == "ok"
    eventually(lambda: daemon.http("/healthz")[0] == 503)
    proxy.clear()
    documents.sync()
    assert not documents.bucket.exists("a")


def test_a_store_that_ignores_conditions_is_found_out(documents, proxy, daemon):
    proxy.drop_headers(["if-match", "if-none-match"], method="PUT", path=MARKERS, times=None)
    documents.put(["a"])
    documents.sync()
    documents.delete(["a"])
    documents.sync()
    assert documents.pg.value("SELECT protection FROM objectlink.markers") == "weak"
    assert "store.weak" in daemon.log_text()


@pytest.mark.long
@pytest.mark.limit(200)
def test_a_lease_that_ran_out_on_a_weak_store(documents, proxy, daemon):
    """Nothing there refuses a late write, so from then on the marker is read before it is written: a successor's would be lost. What
    keeps the lease from being renewed is that no write can be read back."""
    proxy.drop_headers(["if-match", "if-none-match"], method="PUT", path=MARKERS, times=None)
    documents.put(["a", "b"])
    documents.sync()
    documents.delete(["a"])
    documents.sync()
    assert documents.pg.value("SELECT protection FROM objectlink.markers") == "weak"
    unreadable = proxy.answer(500, code="InternalError", method="GET", path=MARKERS, times=None)
    writer = documents.pg.connect(autocommit=False)
    writer.cursor().execute("INSERT INTO document (id) VALUES (-1)")
    documents.delete(["b"])  # waits for the writer, and so wants a lease
    eventually(lambda: documents.pg.value("SELECT lease_until < clock_timestamp() FROM objectlink.marker"), LEASE_SECONDS + 10)

    def is_between_tries():
        last = proxy.operations(path=MARKERS)[-1]
        return last.method == "GET" and last.status == 500 and time.time() - last.started > 1

    eventually(is_between_tries)  # the next thing it does is to begin a claim, not to read back what it wrote
    assert sum(put.status == 200 for put in proxy.operations(method="PUT", path=MARKERS)) > 2
    successor = {**marker(documents.bucket), "install": "00000000-0000-0000-0000-000000000000", "nonce": "another's"}
    documents.bucket.put(MARKER, json.dumps(successor).encode())
    proxy.remove(unreadable)
    wait_fenced(documents.pg, "replaced")
    assert marker(documents.bucket) == successor
    writer.close()
    assert documents.bucket.exists("b")


def test_an_idle_store_asks_nothing(documents, proxy, daemon):
    documents.put(["a", "b"])
    documents.sync()
    documents.delete(["a"])
    documents.sync()
    proxy.forget()
    always(lambda: not proxy.operations(path=MARKERS), 3)
