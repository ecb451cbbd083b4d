"""Goal: a database that is restored to an earlier moment finds the objects that its rows had then.
Method: archived WAL, a base backup, work, and a real recovery to a named point; the daemon then meets the bucket as it is now.
"""
import pytest

from conftest import fresh_database
from harness.documents import content_of
from harness.waiting import eventually

POINT = "before the mistake"


@pytest.fixture
def cluster(make_cluster):
    return make_cluster(archive_mode="on")


@pytest.fixture
def database(cluster, request):
    yield from fresh_database(cluster, request)


@pytest.fixture
def retention():
    return "1 hour"


@pytest.fixture
def story(documents, daemon, retention):
    """Rows before the backup, between it and the point, and after that; then the recovery. The daemon is not started again."""
    pg = documents.pg
    if retention:
        pg.run(f"ALTER SERVER docs OPTIONS (ADD retention '{retention}')")
    documents.put(["old/kept", "old/deleted", "old/replaced"])
    documents.link(["old/linked"])
    documents.sync()
    pg.cluster.backup()
    documents.put(["new/kept", "new/deleted"])
    pg.run("INSERT INTO document (file) SELECT file FROM document WHERE objectlink.key(file) = 'new/deleted'")
    documents.sync()
    at_point = documents.linked_keys()
    pg.run("SELECT pg_create_restore_point(%s)", POINT)

    documents.delete(["old/deleted", "new/deleted", "old/linked"])
    documents.put(["too late/1"])
    pg.run("UPDATE document SET file = objectlink.put('docs', %s, key => 'too late/2') WHERE objectlink.key(file) = 'old/replaced'",
           content_of("too late/2"))
    documents._contents["too late/2"] = content_of("too late/2")
    documents.sync()
    daemon.stop()
    before = documents.bucket.listing()
    pg.close()
    pg.cluster.restore(POINT)
    assert documents.linked_keys() == at_point
    return before


# A restored database may have been promoted: deletions wait until the lease is over that the marker tells of.
LEASE_SECONDS = 150


def test_every_row_finds_its_object(documents, daemon, story):
    documents.story = story
    daemon.start()
    documents.sync()
    # What was made after the point is nobody's: it stays until it is looked for.
    documents.assert_in_step(foreign={"too late/1", "too late/2"})


@pytest.mark.long
@pytest.mark.limit(240)
def test_work_goes_on(documents, daemon, story):
    """Keys are linked, used again and deleted as if nothing had happened."""
    documents.story = story
    documents.pg.run("ALTER SERVER docs OPTIONS (DROP retention)")
    daemon.start()
    documents.put(["later"])
    documents.delete(["old/deleted", "new/deleted"])
    # Its object is there already: the same content, so it is taken for what it is.
    documents.put(["too late/1"])
    documents.sync(LEASE_SECONDS)
    documents.assert_in_step(foreign={"too late/2"})


@pytest.mark.long
@pytest.mark.limit(240)
def test_other_content_under_a_key_of_the_lost_time_is_not_overwritten(documents, daemon, story):
    documents.story = story
    daemon.start()
    documents.pg.run("INSERT INTO document (file) VALUES (objectlink.put('docs', 'something else', key => 'too late/2'))")
    eventually(lambda: documents.pg.state("too late/2") == "failed")
    assert documents.bucket.get("too late/2") == content_of("too late/2")
    documents.delete(["too late/2"])
    documents.sync(LEASE_SECONDS)
    assert documents.bucket.get("too late/2") == content_of("too late/2")


class TestWithoutRetention:
    """The counter-example: what is deleted at once cannot come back. So nothing more is done before a person has looked."""

    @pytest.fixture
    def retention(self):
        return None

    @pytest.fixture
    def story(self, documents, daemon, story):
        documents.story = story
        daemon.start()
        eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.markers WHERE fence = 'behind' AND theirs IS NOT NULL"))
        assert documents.bucket.listing() == story
        documents.pg.run("SELECT objectlink.adopt_store('docs')")
        documents.sync(LEASE_SECONDS)
        return story

    def test_only_what_was_deleted_is_lost(self, documents, story):
        lost = {"old/deleted", "new/deleted", "old/replaced", "old/linked"}
        assert not lost & set(story)
        assert set(documents.bucket.listing()) == {"old/kept", "new/kept", "too late/1", "too late/2"}
        for key in ("old/kept", "new/kept"):
            assert documents.pg.state(key) == "stored" and documents.bucket.get(key) == content_of(key)

    def test_what_is_lost_is_visible(self, documents, story):
        """What the lost time has deleted is missing, what it has made is nobody's; the rest is as it was."""
        pg = documents.pg
        pg.run("ALTER SERVER docs OPTIONS (ADD orphan_grace '0')")
        for _ in range(2):
            run = pg.value("SELECT objectlink.reconcile_storage('docs', page_size => 3)")
            pg.run("CALL objectlink.wait_for_run(%s, '30 seconds')", run)
        lost = {"old/deleted", "new/deleted", "old/replaced", "old/linked"}
        found = {(row.key, row.kind): row.status for row in pg.run("SELECT key, kind, status FROM objectlink.findings")}
        assert found == {(key, "missing"): "open" for key in lost} | {(key, "orphan"): "open" for key in ("too late/1", "too late/2")}
        assert pg.states() == {key: "missing" for key in lost} | {"old/kept": "stored", "new/kept": "stored"}
        assert set(documents.bucket.listing()) == {"old/kept", "new/kept", "too late/1", "too late/2"}
