"""Goal: an upload that arrives after its object was deleted and proved to be absent leaves no stray for long.
Method: the proxy holds a PUT until its object has come and gone; the end of the signature's time is set in the table.
"""
import pytest

from harness.waiting import eventually

MARK_IS_HELD = "SELECT release_after - now() > '14 minutes' AND watched FROM objectlink.condemned"


@pytest.fixture
def impatient(documents):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD request_timeout '1s')")
    return documents


def time_is_over(documents, daemon):
    documents.pg.run("UPDATE objectlink.condemned SET release_after = now()")
    daemon.restart()  # looks at once
    eventually(lambda: documents.pg.value("SELECT count(*) FROM objectlink.condemned") == 0)
    documents.sync()


def upload_is_held(documents, proxy, chosen):
    held = proxy.hold(method="PUT")
    key, = documents.put(["chosen"]) if chosen else documents.put_fresh(1)
    held.wait_reached()
    return held, key


@pytest.mark.parametrize("chosen", [False, True])
@pytest.mark.parametrize("end", ["timeout", "kill"])
@pytest.mark.parametrize("versioned", [False, True])
def test_an_upload_that_arrives_after_the_deletion(impatient, daemon, bucket, proxy, chosen, end, versioned):
    documents = impatient
    if versioned:
        bucket.set_versioning("Enabled")
    held, key = upload_is_held(documents, proxy, chosen)
    if end == "kill":
        daemon.restart()
    documents.sync()
    assert documents.pg.state(key) == "stored"  # by another try
    documents.delete([key])
    documents.sync()
    assert documents.pg.state(key) is None and not bucket.exists(key)
    assert documents.pg.value(MARK_IS_HELD)
    assert documents.pg.value("SELECT detail ? 'watched_until' FROM objectlink.events WHERE to_state = 'gone'")

    held.open()
    eventually(lambda: bucket.exists(key))
    time_is_over(documents, daemon)
    assert bucket.versions() == []
    causes = [row.cause for row in documents.pg.run("SELECT cause FROM objectlink.events WHERE key = %s ORDER BY id", key)]
    assert causes[-4:] == ["delete", "upload may be late", "due", "delete"]
    documents.assert_in_step()


def test_an_upload_that_never_was_proved(impatient, daemon, bucket, proxy):
    """It is deleted before any try has succeeded."""
    documents = impatient
    held, key = upload_is_held(documents, proxy, True)
    rule = proxy.cut_before(method="PUT", times=None)
    documents.delete([key])
    documents.sync()
    assert documents.pg.value(MARK_IS_HELD)
    assert documents.pg.value("SELECT count(*) FROM objectlink.payload") == 0
    proxy.remove(rule)
    held.open()
    eventually(lambda: bucket.exists(key))
    time_is_over(documents, daemon)
    assert bucket.keys() == []
    documents.assert_in_step()


def test_what_somebody_else_has_stored_there_meanwhile_stays(impatient, daemon, bucket, proxy):
    documents = impatient
    held, key = upload_is_held(documents, proxy, True)
    documents.sync()
    documents.delete([key])
    documents.sync()
    documents.upload(key, b"theirs")
    held.drop()
    time_is_over(documents, daemon)
    assert bucket.get(key) == b"theirs"
    assert documents.pg.value("SELECT detail ->> 'code' FROM objectlink.events WHERE key = %s ORDER BY id DESC LIMIT 1", key) == "ObjectExists"
    documents.assert_in_step(foreign=[key])


def test_a_key_that_was_linked_again_stays(impatient, daemon, bucket, proxy):
    documents = impatient
    held, key = upload_is_held(documents, proxy, True)
    documents.sync()
    documents.delete([key])
    documents.sync()
    held.open()
    eventually(lambda: bucket.exists(key))
    daemon.stop()
    documents.pg.run("DELETE FROM objectlink.condemned")  # as if its time were over, and nobody had looked yet
    documents.refer([key])
    daemon.start()
    documents.sync()
    documents.assert_in_step()


def test_uploads_with_a_known_outcome_are_not_waited_for(documents, daemon, proxy):
    proxy.answer(400, code="EntityTooLarge", method="PUT", path="/refused")
    proxy.answer(503, code="SlowDown", method="PUT", path="/slow")
    keys = documents.put(["refused", "slow", "fine"]) + documents.put_fresh(2)
    documents.sync()
    documents.delete(keys)
    documents.sync()
    eventually(lambda: documents.pg.value("SELECT count(*) FROM objectlink.condemned") == 0)
    assert documents.pg.value("SELECT count(*) FROM objectlink.events WHERE detail ? 'watched_until'") == 0


def test_a_lost_part_makes_no_object(documents, daemon, proxy):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    daemon.restart()
    proxy.cut_after(method="PUT", query="partNumber=2")
    keys = documents.put_fresh(1, size=11 << 20)
    documents.sync()
    documents.delete(keys)
    documents.sync()
    assert documents.pg.value("SELECT count(*) FROM objectlink.condemned") == 0


def test_a_lost_completion_may_make_one(documents, daemon, proxy):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    daemon.restart()
    proxy.cut_before(method="POST", query="^uploadId=")
    keys = documents.put_fresh(1, size=11 << 20)
    documents.sync()
    documents.delete(keys)
    documents.sync()
    assert documents.pg.value(MARK_IS_HELD)
