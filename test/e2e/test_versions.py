"""Goal: on a versioned bucket the version that was stored is deleted, not hidden; what others have stored there stays.
Method: radosgw with versioning enabled, suspended, or switched on while the daemon runs; boto3 lists what is left.
"""
import psycopg2
import pytest

from harness.documents import content_of
from harness.waiting import eventually


@pytest.fixture
def versioned(documents, bucket, make_daemon):
    bucket.set_versioning("Enabled")
    make_daemon()
    return documents


def put(documents, key, content):
    documents.pg.run("INSERT INTO document (file) VALUES (objectlink.put('docs', %s, key => %s))", psycopg2.Binary(content), key)


def contents(bucket, key):
    """Of all versions, newest first; None: a delete marker."""
    return [content for _, _, content in bucket.versions(key)]


def gone(documents, key):
    """What the last event says of the proof."""
    event, = documents.pg.run("SELECT to_state, detail FROM objectlink.events WHERE key = %s ORDER BY id DESC LIMIT 1", key)
    assert event.to_state == "gone"
    return event.detail


def come_and_go(documents, keys):
    documents.sync()
    documents.delete(keys)
    documents.sync()


def test_nothing_is_left_of_what_was_stored(versioned, bucket):
    keys = versioned.put_fresh(3) + versioned.put(["chosen"]) + versioned.link(["there"]) + versioned.put_fresh(1, size=6 << 20)
    come_and_go(versioned, keys)
    assert bucket.versions() == []
    for key in keys:
        assert gone(versioned, key) == {"proof": "version listing"}


def test_a_batch_is_proved_by_one_listing_of_versions(versioned, bucket, proxy):
    keys = versioned.put_fresh(200)
    versioned.sync()
    proxy.forget()
    come_and_go(versioned, keys)
    assert bucket.versions() == []
    assert len(proxy.operations(method="POST", query="^delete")) == 1
    assert len(proxy.operations(method="GET", query="versions")) <= 2
    assert proxy.operations(method="HEAD") == [] and proxy.operations(method="DELETE") == []
    assert gone(versioned, keys[0]) == {"proof": "version listing"}


def test_history_beneath_our_version_stays(versioned, bucket):
    for content in (b"first", b"second"):
        bucket.put("linked", content)
    versioned.link(["linked"])
    come_and_go(versioned, ["linked"])
    assert contents(bucket, "linked") == [b"second", b"first"]
    assert gone(versioned, "linked") == {"proof": "version listing", "versions_left": 2}
    assert bucket.get("linked") == b"second"


def test_the_same_bytes_stored_earlier_by_somebody_else_stay(versioned, bucket):
    """An ETag is no identity."""
    bucket.put("twice", content_of("twice"))
    versioned.link(["twice"])
    come_and_go(versioned, ["twice"])
    assert contents(bucket, "twice") == [content_of("twice")]
    assert gone(versioned, "twice")["versions_left"] == 1


def test_what_somebody_stored_over_our_version_stays(versioned, bucket):
    versioned.put(["mine"])
    versioned.sync()
    bucket.put("mine", b"theirs")
    come_and_go(versioned, ["mine"])
    assert contents(bucket, "mine") == [b"theirs"]
    assert gone(versioned, "mine")["versions_left"] == 1


def test_longer_keys_are_others(versioned, bucket):
    for key in ("a", "ab", "a/b", "a\u00e4"):
        versioned.put([key])
    come_and_go(versioned, ["a"])
    assert {key for key, _, _ in bucket.versions()} == {"ab", "a/b", "a\u00e4"}
    versioned.assert_in_step()


@pytest.mark.parametrize("key", ["tab\there", "x\x01", "a b+c%20", "x?versionId=1", "\u00e9", "<&>'\"", "/"])
def test_strange_keys(versioned, bucket, key):
    put(versioned, key, b"x")
    come_and_go(versioned, [key])
    assert bucket.versions() == []


def test_a_marker_without_object_is_taken_away(versioned, bucket):
    versioned.put(["hidden"])
    versioned.sync()
    bucket.delete("hidden")
    bucket.delete("hidden")
    come_and_go(versioned, ["hidden"])
    assert bucket.versions() == []


def test_a_marker_over_somebodys_history_stays(versioned, bucket):
    bucket.put("hidden", b"theirs")
    versioned.link(["hidden"])
    versioned.sync()
    bucket.delete("hidden")
    come_and_go(versioned, ["hidden"])
    assert contents(bucket, "hidden") == [None, b"theirs"]
    assert gone(versioned, "hidden")["versions_left"] == 1


def test_a_link_to_what_was_marked_deleted_destroys_no_history(versioned, bucket):
    """It never was there, as far as the link is concerned."""
    versioned.pg.run("ALTER SERVER docs OPTIONS (ADD max_attempts '1')")
    bucket.put("marked", b"theirs")
    bucket.delete("marked")
    versioned.refer(["marked"])
    eventually(lambda: versioned.pg.state("marked") == "failed")
    versioned.delete(["marked"])
    versioned.sync()
    assert contents(bucket, "marked") == [None, b"theirs"]


def test_a_link_that_was_never_looked_at_means_what_is_there_now_and_no_more(documents, bucket, make_daemon, proxy):
    bucket.set_versioning("Enabled")
    for content in (b"older", b"newest"):
        bucket.put("never verified", content)
    rule = proxy.answer(500, code="InternalError", method="HEAD", path="never verified", times=None)
    make_daemon()
    documents.refer(["never verified"])
    eventually(lambda: len(proxy.operations(method="HEAD", path="never verified")) > 1)
    documents.delete(["never verified"])
    # Its reply is lost after the version was deleted: the next try must not take the older one for it.
    proxy.cut_after(method="DELETE", path="never verified")
    eventually(lambda: proxy.operations(method="DELETE", path="never verified"))
    proxy.remove(rule)
    documents.sync()
    assert contents(bucket, "never verified") == [b"older"]


def test_all_versions_are_deleted_where_the_server_says_so(versioned, bucket):
    versioned.pg.run("ALTER SERVER docs OPTIONS (ADD delete_versions 'all')")
    for key in ("one", "two"):
        bucket.put(key, b"theirs")
        bucket.delete(key)
        bucket.put(key, b"theirs too")
        versioned.link([key])
    bucket.put("one/more", b"stays")
    come_and_go(versioned, ["one", "two"])
    assert contents(bucket, "one/more") == [b"stays"]
    assert {key for key, _, _ in bucket.versions()} == {"one/more"}
    assert gone(versioned, "one") == {"proof": "version listing"}


def test_more_versions_than_a_page_holds(versioned, bucket):
    for number in range(1100):
        bucket.put("busy", str(number).encode())
    versioned.link(["busy"])
    versioned.sync()
    for number in range(5):
        bucket.put("busy", str(number).encode())
    come_and_go(versioned, ["busy"])
    assert gone(versioned, "busy")["versions_left"] == 1105
    assert content_of("busy") not in contents(bucket, "busy")


def test_uploads_whose_replies_were_lost_leave_no_version(versioned, bucket, proxy):
    """radosgw ignores If-None-Match where versions are kept, so that each try makes one."""
    proxy.cut_after(method="PUT", times=2)
    keys = versioned.put_fresh(1)
    versioned.sync()
    assert len(bucket.versions(keys[0])) == 3
    come_and_go(versioned, keys)
    assert bucket.versions() == []


def test_an_upload_that_never_was_proved_leaves_no_version(versioned, bucket, proxy):
    rule = proxy.cut_after(method="PUT", times=None)
    put(versioned, "unproved", b"ours")
    bucket.put("unproved", b"theirs, of other size")
    fresh = versioned.put_fresh(1)
    eventually(lambda: len(bucket.versions(fresh[0])) > 1)
    versioned.delete(["unproved", *fresh])
    eventually(lambda: versioned.pg.state(fresh[0]) != "pending")
    proxy.remove(rule)
    versioned.sync()
    assert contents(bucket, "unproved") == [b"theirs, of other size"]
    assert bucket.versions(fresh[0]) == []


def test_an_object_from_before_the_bucket_was_versioned(documents, bucket, make_daemon):
    make_daemon()
    keys = documents.put_fresh(2) + documents.link(["there"])
    documents.sync()
    bucket.set_versioning("Enabled")
    bucket.put("there", b"over it")
    come_and_go(documents, keys)
    assert [(key, content) for key, _, content in bucket.versions()] == [("there", b"over it")]


@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_bucket_that_becomes_versioned_while_nobody_looks(documents, bucket, make_daemon, count):
    """The daemon knows it as unversioned: its DELETE only adds a marker, and the reply says so."""
    make_daemon()
    documents.put(["before"])
    come_and_go(documents, ["before"])
    assert documents.pg.value("SELECT versioning FROM objectlink.store_capabilities") == "off"
    keys = documents.put_fresh(count)
    documents.sync()
    bucket.set_versioning("Enabled")
    come_and_go(documents, keys)
    assert bucket.versions() == []
    assert {gone(documents, key)["proof"] for key in keys} == {"version listing"}
    eventually(lambda: documents.pg.value("SELECT versioning FROM objectlink.store_capabilities") == "enabled")


def test_our_own_marker_does_not_hide_what_was_beneath(documents, bucket, make_daemon):
    make_daemon()
    documents.put(["before"])
    come_and_go(documents, ["before"])
    documents.put(["chosen"])
    documents.sync()
    bucket.set_versioning("Enabled")
    bucket.put("chosen", b"theirs")
    come_and_go(documents, ["chosen"])
    assert contents(bucket, "chosen") == [b"theirs"]
    assert bucket.get("chosen") == b"theirs"


def test_suspended_versioning(versioned, bucket):
    old = versioned.put(["old"])
    versioned.sync()
    bucket.set_versioning("Suspended")
    new = versioned.put(["new"]) + versioned.put_fresh(2)
    come_and_go(versioned, old + new)
    assert bucket.versions() == []


def test_what_took_the_place_of_a_null_version_stays(versioned, bucket):
    bucket.set_versioning("Suspended")
    versioned.put(["mine"])
    versioned.sync()
    bucket.put("mine", b"theirs")
    come_and_go(versioned, ["mine"])
    assert contents(bucket, "mine") == [b"theirs"]


def test_versions_that_may_not_be_listed(versioned, bucket, proxy):
    """The recorded one can be deleted all the same, and looked for by its id; one that is not known is not guessed."""
    proxy.answer(403, code="AccessDenied", method="GET", query="versions", times=None)
    versioned.put(["recorded"])
    come_and_go(versioned, ["recorded"])
    assert bucket.versions() == []
    assert gone(versioned, "recorded")["proof"] == "HEAD 404"
    bucket.set_versioning("Suspended")
    versioned.put(["unknown"])
    versioned.sync()
    versioned.delete(["unknown"])
    eventually(lambda: versioned.pg.value("SELECT error_code FROM objectlink.dead_letters WHERE key = 'unknown'") == "VersionsNotListed")
    assert bucket.exists("unknown")
    assert versioned.pg.value("SELECT status FROM objectlink.consistency") == "ok"
    proxy.clear()
    assert versioned.pg.value("SELECT objectlink.retry_dead_letters('docs')") == 1
    versioned.sync()
    assert bucket.versions() == []


@pytest.mark.parametrize("fault", [lambda proxy, **match: proxy.answer(500, code="InternalError", **match),
                                   lambda proxy, **match: proxy.cut_after(**match),
                                   lambda proxy, **match: proxy.truncate(**match),
                                   lambda proxy, **match: proxy.garbage(**match)])
def test_a_listing_that_fails_proves_nothing(versioned, bucket, proxy, fault):
    versioned.put(["one"])
    versioned.sync()
    fault(proxy, method="GET", query="versions", times=2)
    come_and_go(versioned, ["one"])
    assert bucket.versions() == []
    assert len([done for done in proxy.operations(method="GET", query="versions") if done.fault]) == 2
    versioned.assert_in_step(marks_held=True)
    versioned.assert_no_attempt_spent()


def test_a_store_that_says_deleted_but_keeps_the_version(versioned, bucket, proxy):
    versioned.put(["one"])
    versioned.sync()
    proxy.answer(204, body=b"", method="DELETE", times=2)
    come_and_go(versioned, ["one"])
    assert bucket.versions() == []
