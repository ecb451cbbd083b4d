"""Goal: a batch of deletions is proved by few listings, and a listing that proves nothing is not believed.
Method: radosgw behind the fault proxy, which counts requests, loses, alters and invents replies.
"""
import pytest

from harness.documents import content_of
from harness.waiting import eventually

COUNT = 100


@pytest.fixture
def stored(documents, daemon):
    """Keys of a batch, in one folder; other objects live before, between and behind them."""
    keys = documents.put([f"folder/{number:03}" for number in range(COUNT)])
    documents.put(["a", "folder/", "folder/050+", "folder0", "z"])
    documents.sync()
    # What the store can do is known before: how it lists, above all.
    documents.put(["probe"])
    documents.sync()
    documents.delete(["probe"])
    documents.sync()
    return keys


def looks(proxy):
    return proxy.operations(method="HEAD", path="folder/")


def proofs(documents, keys):
    return {row.proof for row in documents.pg.run(
        "SELECT detail ->> 'proof' AS proof FROM objectlink.events WHERE to_state = 'gone' AND key = ANY (%s)", keys)}


def delete(documents, keys):
    documents.delete(keys)
    documents.sync()


def test_a_batch_is_proved_by_a_listing(documents, stored, proxy):
    proxy.forget()
    delete(documents, stored)
    assert len(proxy.operations(method="POST", query="^delete")) == 1
    assert len(proxy.operations(method="GET", query="list-type=2")) == 1
    assert looks(proxy) == []
    assert proofs(documents, stored) == {"listing"}
    documents.assert_in_step()


def test_more_than_a_page(documents, daemon, proxy):
    keys = documents.put([f"many/{number:04}" for number in range(1500)])
    documents.sync()
    proxy.forget()
    delete(documents, keys)
    assert len(proxy.operations(method="GET", query="list-type=2")) <= 4
    assert len(proxy.operations(method="HEAD")) < 64
    assert proofs(documents, keys) <= {"listing", "HEAD 404"}
    documents.assert_in_step()


def test_few_keys_are_looked_for(documents, stored, proxy):
    proxy.forget()
    delete(documents, stored[:10])
    assert proxy.operations(method="GET") == []
    assert len(looks(proxy)) == 10
    assert proofs(documents, stored[:10]) == {"HEAD 404"}


def test_pages_full_of_others_are_not_worth_it(documents, daemon, bucket, proxy):
    keys = [f"sparse/{number:04}/x" for number in range(0, 2400, 60)]
    for number in range(2400):
        bucket.put(f"sparse/{number:04}", b"")
    documents.put(keys + ["probe"])
    documents.sync()
    delete(documents, ["probe"])
    proxy.forget()
    delete(documents, keys)
    assert len(proxy.operations(method="GET", query="list-type=2")) == 1
    assert 0 < len(proxy.operations(method="HEAD")) < len(keys)
    assert proofs(documents, keys) == {"listing", "HEAD 404"}


def lie(keys, order=None, truncated=False, token=""):
    listed = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    return (f"<ListBucketResult><IsTruncated>{str(truncated).lower()}</IsTruncated>"
            f"<NextContinuationToken>{token}</NextContinuationToken>{listed}</ListBucketResult>").encode()


USELESS = {
    "refused": lambda proxy, **match: proxy.answer(403, code="AccessDenied", **match),
    # As often as a look is tried at once, or without end.
    "500": lambda proxy, **match: proxy.answer(500, code="InternalError", times=3, **match),
    "cut": lambda proxy, **match: proxy.cut_after(times=None, **match),
    "truncated body": lambda proxy, **match: proxy.truncate(times=3, **match),
    "garbage": lambda proxy, **match: proxy.garbage(**match),
    "out of order": lambda proxy, **match: proxy.answer(200, body=lie(["folder/050", "folder/02"]), **match),
    "from another place": lambda proxy, **match: proxy.answer(200, body=lie(["a", "b"]), **match),
    "goes on without a token": lambda proxy, **match: proxy.answer(200, body=lie(["folder/050"], truncated=True), **match),
    "goes on and is empty": lambda proxy, **match: proxy.answer(200, body=lie([], truncated=True, token="t"), **match),
}


@pytest.mark.parametrize("fault", USELESS)
def test_a_useless_listing_proves_nothing(documents, stored, proxy, fault):
    proxy.forget()
    USELESS[fault](proxy, method="GET", query="list-type=2")
    delete(documents, stored)
    assert len(looks(proxy)) == COUNT
    assert proofs(documents, stored) == {"HEAD 404"}
    documents.assert_in_step()
    documents.assert_no_attempt_spent()


def test_a_page_proves_only_as_far_as_it_goes(documents, stored, proxy):
    """It ends at folder/049, so all behind it is asked for again."""
    proxy.forget()
    proxy.answer(200, body=lie(["folder/049+"], truncated=True, token="t"), method="GET", query="list-type=2")
    delete(documents, stored)
    assert len(proxy.operations(method="GET", query="list-type=2")) == 2
    assert looks(proxy) == []
    assert proofs(documents, stored) == {"listing"}


def test_what_a_listing_shows_is_still_there(documents, stored, bucket, proxy):
    """The store says of all that they are deleted, and has kept them."""
    said = "".join(f"<Deleted><Key>{key}</Key></Deleted>" for key in stored)
    proxy.answer(200, body=f"<DeleteResult>{said}</DeleteResult>".encode(), method="POST", query="^delete")
    documents.delete(stored)
    eventually(lambda: documents.pg.value(
        "SELECT count(*) FROM objectlink.objects WHERE error_code = 'StillThere' OR key LIKE 'folder/___'") < COUNT, 60)
    documents.sync()
    assert not any(key in bucket.keys() for key in stored)
    documents.assert_in_step()


def test_strange_keys_in_a_batch(documents, daemon, proxy):
    strange = ["k\x01", "k\n", " k", "k ", "k\u2028", "k\x7f", "k\u00e9", "ke\u0301", "k\ufffd", "k\U0001f600", "k%20", "k+", "k<&>"]
    keys = documents.put(strange + [f"k{number}" for number in range(50)])
    documents.sync()
    documents.put(["k", "l"])
    delete(documents, keys)
    assert proofs(documents, ["k1", "k\u00e9", "k\U0001f600"]) == {"listing"}
    assert proofs(documents, ["k\x01", "k\n"]) == {"HEAD 404"}
    documents.assert_in_step()


def test_a_store_that_sorts_otherwise_is_not_listed(documents, daemon, bucket, proxy):
    """As UTF-16 would have it: U+1F600 before U+FFFD. The probe finds out."""
    proxy.answer(200, body=b"", own="probe", method="GET", query="list-type=2.*prefix", skip=1)
    keys = documents.put([f"k/{number}" for number in range(50)])
    documents.sync()
    delete(documents, keys)
    assert documents.pg.value("SELECT list_order FROM objectlink.store_capabilities") is None
    assert proxy.operations(method="GET", query="list-type=2") == []
    assert proofs(documents, keys) == {"HEAD 404"}


def test_a_prefix_bounds_the_listing(pg, bucket, proxy, make_daemon):
    pg.create_server("docs", proxy.endpoint, bucket.name, prefix="mine")
    pg.run("CREATE TABLE document (file objectlink.storage_ref)")
    pg.run("SELECT objectlink.attach('document', 'file')")
    make_daemon()
    pg.run("INSERT INTO document SELECT objectlink.put('docs', 'x', key => 'mine/' || n) FROM generate_series(1, 50) n")
    bucket.put("mineral", content_of("mineral"))
    pg.wait_for_sync()
    pg.run("DELETE FROM document")
    pg.wait_for_sync()
    listing, = proxy.operations(method="GET", query="list-type=2")
    assert listing.parameters["prefix"] == "mine/"
    assert bucket.keys() == ["mineral"]
