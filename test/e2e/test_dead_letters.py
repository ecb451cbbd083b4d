"""Goal: what can't be done for an object's own reasons is given up visibly and can be tried again; what is the store's trouble never is.
Method: the proxy fails single keys, or everything; each object has one attempt, or few. Ends as without any fault once it is mended.
"""
import pytest

from conftest import create_document_table
from harness.documents import Documents
from harness.waiting import eventually


def letters(pg):
    return {row.key: row for row in pg.run("SELECT * FROM objectlink.dead_letters")}


def wait_letters(pg, keys, seconds=60):
    eventually(lambda: set(letters(pg)) == set(keys), seconds, f"dead letters are {keys}")
    return letters(pg)


def allow_attempts(documents, count):
    documents.pg.run("SELECT objectlink.alter_attachment('document', 'file', max_attempts => %s)", count)


def keep_succeeding(documents):
    """Others that come and go well, which shows that it is not the store."""
    documents.delete(documents.put_fresh(3))


def test_an_upload_that_can_never_succeed(documents, proxy, daemon):
    pg = documents.pg
    rule = proxy.answer(400, code="EntityTooLarge", method="PUT", path="^/[^/]*/huge$", times=None)
    documents.put(["huge", "small"])
    documents.sync()
    letter = wait_letters(pg, ["huge"])["huge"]
    assert (letter.operation, letter.error_class, letter.error_code, letter.attempts) == ("upload", "object", "EntityTooLarge", 1)
    assert letter.request_id == "injected-by-proxy" and letter.message == "injected by the fault proxy"
    assert (letter.relation, letter.column_name) == ("document", "file") and letter.first_failed_at <= letter.last_failed_at
    assert len(proxy.operations(method="PUT", path="huge")) == 1
    problem, = pg.run("SELECT * FROM objectlink.problems")
    assert problem.what == "dead letters" and "huge" in problem.detail
    proxy.remove(rule)
    call = problem.remedy.partition("SELECT ")[2].partition("),")[0] + ")"
    assert pg.value(f"SELECT {call}") == 1
    documents.sync()
    documents.assert_in_step()
    assert letters(pg) == {} and pg.run("SELECT * FROM objectlink.problems") == []


@pytest.mark.parametrize("code, status", [("BadDigest", 400), ("XAmzContentSHA256Mismatch", 400)])
def test_bytes_that_arrive_broken_three_times(documents, proxy, daemon, code, status):
    proxy.answer(status, code=code, method="PUT", path="broken", times=3)
    documents.put(["broken"])
    letter = wait_letters(documents.pg, ["broken"])["broken"]
    assert (letter.error_code, letter.attempts) == (code, 3)
    assert documents.pg.value("SELECT objectlink.retry_dead_letters('docs', 'broken')") == 1
    documents.sync()
    documents.assert_in_step()


def test_an_object_that_never_comes(documents, daemon):
    allow_attempts(documents, 2)
    documents.refer(["late"])
    letter = wait_letters(documents.pg, ["late"])["late"]
    assert (letter.operation, letter.error_code, letter.attempts) == ("verify", "NoSuchKey", 2)
    documents.upload("late", b"here it is")
    assert documents.pg.value("SELECT objectlink.retry_dead_letters(error_code => 'NoSuchKey')") == 1
    documents.sync()
    documents.assert_in_step()
    assert letters(documents.pg) == {}


@pytest.fixture
def locked(documents, proxy, daemon):
    """Objects that may not be deleted, alone or together, while others may: as with an object lock."""
    allow_attempts(documents, 2)
    keys = documents.put(["locked/1", "locked/2"])
    documents.sync()
    documents.rules = [proxy.delete_errors("^locked/", code="AccessDenied", times=None),
                       proxy.answer(403, code="AccessDenied", method="DELETE", path="locked/", times=None)]
    documents.delete(keys)

    def spent():
        keep_succeeding(documents)
        return set(letters(documents.pg)) == set(keys)

    eventually(spent, 60, "both are given up")
    return documents


def test_deletions_that_are_refused(locked, proxy):
    pg = locked.pg
    letter = letters(pg)["locked/1"]
    assert (letter.operation, letter.error_class, letter.error_code, letter.attempts) == ("delete", "store", "AccessDenied", 2)
    locked.sync()  # a dead letter is settled
    assert pg.value("SELECT status FROM objectlink.consistency") == "ok"
    assert pg.run("SELECT count, example_key FROM objectlink.failures_by_cause WHERE operation = 'delete'") == [(2, "locked/1")]
    asked = len(proxy.operations(path="locked/"))
    keep_succeeding(locked)
    locked.sync()
    assert len(proxy.operations(path="locked/")) == asked  # nobody tries any more
    for rule in locked.rules:
        proxy.remove(rule)
    assert pg.value("SELECT objectlink.retry_dead_letters('docs', operation => 'delete')") == 2
    locked.sync()
    locked.assert_in_step(marks_held=True)
    assert [event.cause for event in pg.events("locked/1")][-4:] == ["delete given up", "retry dead letter", "due", "delete"]


def test_a_deletion_that_was_given_up_and_a_row_that_links_the_key_again(locked, proxy):
    """It leaves the dead letters; it is looked at, not believed; a retry of the others leaves it alone."""
    pg = locked.pg
    looks = len(proxy.operations(method="HEAD", path="locked/1"))
    locked.refer(["locked/1"])
    eventually(lambda: pg.state("locked/1") == "stored")
    assert len(proxy.operations(method="HEAD", path="locked/1")) == looks + 1
    assert set(letters(pg)) == {"locked/2"}
    for rule in locked.rules:
        proxy.remove(rule)
    assert pg.value("SELECT objectlink.retry_dead_letters()") == 1
    locked.sync()
    locked.assert_in_step(marks_held=True)
    assert locked.bucket.exists("locked/1")


def test_a_retry_of_a_deletion_asks_the_rows_again(locked, proxy):
    """A row that came in with triggers off saves the object also then."""
    pg = locked.pg
    pg.run("ALTER TABLE document DISABLE TRIGGER USER")
    locked.refer(["locked/1"])
    pg.run("ALTER TABLE document ENABLE TRIGGER USER")
    for rule in locked.rules:
        proxy.remove(rule)
    assert pg.value("SELECT objectlink.retry_dead_letters()") == 2
    locked.sync()
    assert locked.bucket.exists("locked/1") and pg.state("locked/1") == "stored"
    assert not locked.bucket.exists("locked/2")


def test_discarding_a_deletion_leaves_the_object(locked):
    pg = locked.pg
    assert pg.run("SELECT discarded, objects_left, rows_left, contents_dropped FROM objectlink.discard_dead_letters('docs')") == [(2, 2, 0, 0)]
    assert letters(pg) == {} and locked.bucket.exists("locked/1")
    assert pg.run("SELECT actor = session_user AS mine, detail ->> 'left' AS stays FROM objectlink.events WHERE cause = 'discard dead letter' AND key = 'locked/1'") == [
        (True, "the object stays in the store")]
    locked.sync()
    assert locked.bucket.exists("locked/1")


def test_a_key_that_fails_without_a_reason_while_others_do_not(documents, proxy, daemon):
    """500 for one object, for ever: neither the store's end nor a try without end."""
    allow_attempts(documents, 2)
    proxy.answer(500, code="InternalError", method="PUT", path="poison", times=None)
    documents.put(["poison"])

    def given_up():
        keep_succeeding(documents)
        return "poison" in letters(documents.pg)

    eventually(given_up, 60, "it is given up")
    assert letters(documents.pg)["poison"].error_class == "transient"
    documents.sync()
    assert documents.pg.value("SELECT status FROM objectlink.consistency") == "ok"


STORE_TROUBLE = {
    "connection refused": lambda proxy: proxy.refuse(),
    "connection cut": lambda proxy: proxy.cut_before(times=None),
    "500": lambda proxy: proxy.answer(500, code="InternalError", times=None),
    "503": lambda proxy: proxy.answer(503, code="SlowDown", times=None),
    "429": lambda proxy: proxy.answer(429, code="TooManyRequests", times=None),
    "507": lambda proxy: proxy.answer(507, code="InsufficientStorage", times=None),
    "clock": lambda proxy: proxy.answer(403, code="RequestTimeTooSkewed", times=None),
    "credentials": lambda proxy: proxy.answer(400, code="ExpiredToken", times=None),
    "redirect": lambda proxy: proxy.answer(301, code="PermanentRedirect", times=None),
    "access denied": lambda proxy: proxy.answer(403, code="AccessDenied", times=None),
    "signature": lambda proxy: proxy.answer(403, code="SignatureDoesNotMatch", times=None),
    "no bucket": lambda proxy: proxy.answer(404, code="NoSuchBucket", times=None),
}


@pytest.mark.parametrize("trouble", STORE_TROUBLE)
def test_trouble_of_a_store_costs_no_attempt_and_the_other_store_no_speed(pg, bucket, proxy, make_daemon, trouble):
    """With one attempt each, anything that was counted would be a dead letter at once."""
    pg.create_server("down", proxy.endpoint, bucket.name, prefix="down", connect_timeout="1s")
    pg.create_server("docs", bucket.endpoint, bucket.name, prefix="docs")
    create_document_table(pg)
    documents, down = Documents(pg, bucket), Documents(pg, bucket, store="down")
    allow_attempts(documents, 1)
    make_daemon()
    victims = down.put_fresh(3)
    documents.sync()
    STORE_TROUBLE[trouble](proxy)
    waiting = down.put_fresh(5) + down.put(["down/chosen"]) + down.link(["down/there"])
    down.delete(victims)
    for _ in range(3):
        keys = documents.put_fresh(5)
        eventually(lambda: all(pg.state(key) == "stored" for key in keys), 10)
        documents.delete(keys)
        eventually(lambda: not any(pg.state(key) for key in keys), 10)
    if trouble != "connection refused":
        proxy.forget()
        # By then a pause may be as long as they get: three of 15 s.
        eventually(lambda: len(proxy.operations()) >= 3, 60, what="it was tried again")
    assert {pg.state(key, "down") for key in waiting} == {"pending"}
    assert letters(pg) == {} and pg.value("SELECT max(attempts) FROM objectlink.object") == 0
    proxy.clear()
    proxy.accept()
    documents.sync()
    down.assert_no_attempt_spent()
    assert {pg.state(key, "down") for key in waiting} == {"stored"} and not any(bucket.exists(key) for key in victims)
