"""Goal: content of every size and under every key arrives as it was handed over, and never in place of something else.
Method: sizes around each limit, the corpus of difficult keys, keys that are taken already, content that nobody links.
"""
import psycopg2.errors
import pytest

from harness.documents import Documents, content_of
from harness.waiting import eventually

INLINE = 32768  # objectlink.inline_content_bytes()
THRESHOLD = 5 << 20

CORPUS = [
    " ", "a b", '"', "$", "%", "%2F", "%25", "&", "'", "<", ">", "_", "+", "a+b", "=", "k=1/v=2", ":", "@", "~", "!*()",
    "tab\there", "line\nfeed", "\x01", "\x7f", "\x85", "\u00e9", "e\u0301", "\ufffd", "\ue000", "\U0001f600", "a" * 1024,
    "\u20ac" * 341 + "x", "?", "#", "x?versionId=1", ";", "soap", "a//b", "/leading", "trailing/", "./x", "../../x", "a/./b",
    "\\", "back\\slash", "x?uploads", "x?delete", "A", "a", "]]>", "&amp;", "{}", "$(x)", "--", "*", "[a]", "null", "\u202e",
]


@pytest.fixture
def documents(docs, bucket, daemon):
    return Documents(docs, bucket)


@pytest.mark.parametrize("limit", [1, INLINE])
def test_sizes_around(documents, limit):
    for size in (limit - 1, limit, limit + 1):
        documents.put([f"chosen/{size}"], size=size)
        documents.put_fresh(1, size=size)
    documents.sync()
    documents.assert_in_step()


def test_sizes_around_the_multipart_threshold(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    daemon.restart()
    for size in (THRESHOLD - 1, THRESHOLD, THRESHOLD + 1, 2 * THRESHOLD, 2 * THRESHOLD + 1):
        documents.put([f"chosen/{size}"], size=size)
    documents.sync()
    parts = {key: etag.partition("-")[2] for key, (_, etag) in documents.bucket.listing().items()}
    assert parts == {f"chosen/{THRESHOLD - 1}": "", f"chosen/{THRESHOLD}": "", f"chosen/{THRESHOLD + 1}": "2",
                     f"chosen/{2 * THRESHOLD}": "2", f"chosen/{2 * THRESHOLD + 1}": "3"}
    documents.assert_in_step()


def test_more_than_the_memory_for_content(documents, make_daemon, daemon):
    daemon.stop()
    documents.put_fresh(8, size=1 << 20)
    documents.put_fresh(1, size=3 << 20)
    small = make_daemon("--payload-memory", "1MB")
    documents.sync()
    documents.assert_in_step()
    assert small.alive


def test_difficult_keys(documents):
    documents.put(CORPUS)
    documents.sync()
    documents.assert_in_step()
    documents.delete(CORPUS[::2])
    documents.sync()
    assert documents.linked_keys() == set(CORPUS[1::2])
    documents.assert_in_step()
    documents.delete(CORPUS[1::2])
    documents.sync()
    documents.assert_in_step()


def test_difficult_keys_of_objects_that_are_there(documents):
    documents.link(CORPUS)
    documents.sync()
    documents.assert_in_step()
    documents.delete(CORPUS)
    documents.sync()
    documents.assert_in_step()


@pytest.mark.parametrize("key", ["", "a" * 1025, "\u20ac" * 342, ".objectlink/owner"])
def test_keys_that_are_refused(documents, key):
    with pytest.raises(psycopg2.errors.DataError):
        documents.put([key])
    documents.sync()
    assert documents.bucket.keys(own=True) == []


def test_fresh_keys_lie_under_the_prefix_and_end_in_the_name(pg, bucket, make_daemon):
    pg.create_server("docs", bucket.endpoint, bucket.name, prefix="some/prefix")
    pg.run("CREATE TABLE document (id bigserial PRIMARY KEY, title text, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file')")
    documents = Documents(pg, bucket)
    make_daemon()
    keys = documents.put_fresh(2)
    assert all(key.startswith("some/prefix/") and key.endswith("/f") for key in keys)
    with pytest.raises(psycopg2.errors.DataError):
        documents.put(["some/prefix2/x"])
    documents.sync()
    documents.assert_in_step()


def test_same_content_again_under_the_same_key(documents):
    documents.put(["k"])
    documents.put(["k"])  # it still waits, or is already there
    documents.sync()
    documents.put(["k"])
    documents.sync()
    assert documents.pg.value("SELECT count(*) FROM document") == 3
    documents.assert_in_step()


def test_other_content_under_the_same_key_is_refused(documents, daemon):
    daemon.stop()
    documents.put(["k"])
    other = "INSERT INTO document (file) VALUES (objectlink.put('docs', 'other', key => 'k'))"
    with pytest.raises(psycopg2.errors.UniqueViolation):
        documents.pg.run(other)
    daemon.start()
    documents.sync()
    with pytest.raises(psycopg2.errors.UniqueViolation):
        documents.pg.run(other)
    documents.sync()
    documents.assert_in_step()


def test_two_transactions_put_under_the_same_key(documents):
    first, second = documents.pg.connect(autocommit=False), documents.pg.connect(autocommit=False)
    documents.put(["k"], on=first)
    first.rollback()
    documents.put(["k"], on=second)
    second.commit()
    documents.sync()
    documents.assert_in_step()


def test_key_taken_by_a_foreign_object_with_the_same_content(documents):
    documents.upload("k", content_of("k"))
    documents.put(["k"])
    documents.sync()
    documents.assert_in_step()


FOREIGN = {"longer": b"something else altogether", "empty": b"", "same size": content_of("K")}


@pytest.fixture(params=FOREIGN)
def taken(documents, daemon, request):
    """Somebody else's object lies where a row puts its content."""
    daemon.stop()
    documents.put(["k"])
    documents.upload("k", FOREIGN[request.param])
    return documents


def test_key_taken_by_a_foreign_object_with_other_content(taken, daemon):
    daemon.start()
    fresh = taken.put_fresh(2)
    taken.sync()
    assert taken.pg.state("k") == "failed"
    assert all(taken.pg.state(key) == "stored" for key in fresh)
    row = taken.pg.run("SELECT error_class, error_code, last_error FROM objectlink.objects WHERE key = 'k'")[0]
    assert (row.error_class, row.error_code) == ("object", "ObjectExists") and row.last_error
    assert taken.pg.events("k")[-1].detail["code"] == "ObjectExists"
    taken.assert_bucket({"k", *fresh})


@pytest.mark.parametrize("when", ["before the upload", "after it was refused"])
def test_a_foreign_object_is_not_deleted_with_the_row_that_failed_to_replace_it(taken, daemon, when):
    if when == "after it was refused":
        daemon.start()
        taken.sync()
    taken.delete(["k"])
    if when == "before the upload":
        daemon.start()
    taken.sync()
    taken.assert_in_step(foreign=["k"])


def test_content_without_a_row_is_kept_and_not_uploaded(documents, daemon):
    ref = documents.pg.value("SELECT objectlink.put('docs', %s, key => 'k')::text", content_of("k"))
    documents.sync()
    assert documents.pg.state("k") == "reserved"
    assert documents.bucket.keys() == []
    documents._contents["k"] = content_of("k")
    documents.pg.run("INSERT INTO document (file) VALUES (%s)", ref)
    documents.sync()
    documents.assert_in_step()


def test_content_that_no_row_ever_links_is_dropped(documents, daemon):
    documents.pg.run("SELECT objectlink.put('docs', 'x', name => 'f')")
    documents.sync()
    documents.pg.run("UPDATE objectlink.object SET due_at = now() WHERE state = 'reserved'")  # as if its time had passed
    eventually(lambda: documents.pg.value("SELECT count(*) FROM objectlink.object") == 0)
    documents.sync()
    documents.assert_in_step()


# Objects that come and go behind objectlink's back

def test_link_to_an_absent_object_is_given_up_and_taken_up_again(pg, bucket, make_daemon):
    pg.create_server("docs", bucket.endpoint, bucket.name)
    pg.run("CREATE TABLE document (id bigserial PRIMARY KEY, title text, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file', max_attempts => 3)")
    documents = Documents(pg, bucket)
    make_daemon()
    documents.refer(["k"])
    documents.sync()
    documents.assert_in_step(failed=["k"])
    row = pg.run("SELECT attempts, error_code, last_error FROM objectlink.objects")[0]
    assert (row.attempts, row.error_code) == (3, "NoSuchKey") and row.last_error
    documents.upload("k", content_of("k"))
    documents.refer(["k"])
    documents.sync()
    documents.assert_in_step()
    assert [event.to_state for event in pg.events("k")] == ["pending", "failed", "pending", "stored"]


def test_an_object_that_is_not_there_yet(documents):
    documents.refer(["late"])
    eventually(lambda: documents.pg.run("SELECT 1 FROM objectlink.object WHERE attempts >= 2"))
    documents.upload("late", content_of("late"))
    documents.sync()
    documents.assert_in_step()


def test_an_object_that_vanished_after_it_was_stored(documents):
    keys = documents.put_fresh(2) + documents.link(["there"])
    documents.sync()
    for key in keys:
        documents.bucket.delete(key)
    documents.delete(keys)
    documents.sync()
    documents.assert_in_step()


def test_an_object_that_vanishes_before_it_is_verified(pg, bucket, proxy, make_daemon):
    pg.create_server("docs", proxy.endpoint, bucket.name, max_attempts=2)
    pg.run("CREATE TABLE document (id bigserial PRIMARY KEY, title text, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file')")
    documents = Documents(pg, bucket)
    held = proxy.hold(method="HEAD")
    make_daemon()
    documents.link(["k"])
    held.wait_reached()
    bucket.delete("k")
    held.open()
    documents.sync()
    documents.assert_in_step(failed=["k"])


def test_an_object_that_vanishes_before_its_upload_is_proved(pg, bucket, proxy, make_daemon):
    pg.create_server("docs", proxy.endpoint, bucket.name, part_size="5MB", multipart_threshold="5MB")
    pg.run("CREATE TABLE document (id bigserial PRIMARY KEY, title text, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file')")
    documents = Documents(pg, bucket)
    held = proxy.hold(method="HEAD")
    make_daemon()
    key, = documents.put_fresh(1, size=6 << 20)
    held.wait_reached()
    bucket.delete(key)
    held.open()
    documents.sync()
    documents.assert_in_step()


def test_an_object_that_vanishes_before_it_is_deleted(pg, bucket, proxy, make_daemon):
    pg.create_server("docs", proxy.endpoint, bucket.name)
    pg.run("CREATE TABLE document (id bigserial PRIMARY KEY, title text, file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file')")
    documents = Documents(pg, bucket)
    make_daemon()
    keys = documents.put_fresh(3)
    documents.sync()
    held = proxy.hold(method="POST")
    documents.delete(keys)
    held.wait_reached()
    for key in keys:
        bucket.delete(key)
    held.open()
    documents.sync()
    documents.assert_in_step()
