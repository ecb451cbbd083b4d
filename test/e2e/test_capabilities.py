"""Goal: what a store can do is found out once, by trying, and used; what could not be found out is not guessed.
Method: radosgw; what it cannot do (conditional DELETE, checksums) the fault proxy does in front of it.
"""
import pytest

from harness.waiting import always, eventually

PROBES = ".objectlink/probe/"


def view(pg):
    row, = pg.run("SELECT * FROM objectlink.store_capabilities")
    return row


def known(pg, **wanted):
    row = view(pg)
    assert {name: getattr(row, name) for name in wanted} == wanted, row


def own_keys(bucket):
    return [key for key in bucket.keys(own=True) if key.startswith(PROBES)]


def use(documents, count=2):
    """Something is uploaded and deleted: then the store has to be known."""
    keys = documents.put_fresh(count)
    documents.sync()
    documents.delete(keys)
    documents.sync()
    return keys


def test_what_radosgw_can_do(documents, daemon, bucket):
    known(documents.pg, conditional_put=None, versioning=None, probed_at=None, last_error=None)
    use(documents)
    known(documents.pg, store="docs", conditional_put=True, conditional_delete=False, versioning="off", checksums=False,
          multi_delete=True, list_order=True, last_error=None)
    assert view(documents.pg).probed_at is not None
    assert own_keys(bucket) == []


def test_an_idle_daemon_sends_nothing(documents, daemon, proxy):
    daemon.wait_log("store.acquired")
    always(lambda: proxy.operations(own=None) == [], 1)
    documents.link(["there"])
    documents.sync()
    # Nothing was to be changed; that the place is taken is marked.
    assert {done.method for done in proxy.operations(own=None) if not done.marker} == {"HEAD"}


def test_probed_once(documents, daemon, proxy):
    use(documents)
    count = len(proxy.operations(own="probe"))
    assert 0 < count < 30
    daemon.restart()
    use(documents)
    assert len(proxy.operations(own="probe")) == count
    documents.pg.run("SELECT objectlink.forget_capabilities('docs')")
    daemon.restart()
    use(documents)
    assert len(proxy.operations(own="probe")) == 2 * count


def test_forgetting_reaches_a_running_daemon(documents, daemon, proxy):
    use(documents)
    before = view(documents.pg).probed_at
    documents.pg.run("SELECT objectlink.forget_capabilities('docs')")

    def probed_again():
        use(documents, 1)
        return view(documents.pg).probed_at not in (None, before)

    eventually(probed_again)


def test_an_altered_server_is_another_store(documents, daemon, s3_server, proxy):
    use(documents)
    other = type(documents.bucket)(s3_server)
    documents.pg.run(f"ALTER SERVER docs OPTIONS (SET bucket '{other.name}')")
    known(documents.pg, multi_delete=None, probed_at=None)
    eventually(lambda: (use(documents, 1), view(documents.pg).multi_delete)[1])
    assert proxy.operations(own="probe", path=f"^/{other.name}/")
    assert own_keys(other) == []


@pytest.mark.parametrize("versioning", [None, "Enabled"])
def test_what_a_killed_probe_left_is_taken_away(documents, daemon, bucket, proxy, versioning):
    if versioning:
        bucket.set_versioning(versioning)
    held = proxy.hold(own="probe", method="POST", query="^delete")
    documents.put_fresh(1)
    held.wait_reached()
    daemon.kill()
    held.drop()
    assert own_keys(bucket)
    daemon.start()
    use(documents)
    known(documents.pg, multi_delete=True, last_error=None)
    assert not [entry for entry in bucket.versions(own=True) if entry[0].startswith(PROBES)]


def test_an_account_that_may_not_probe_still_works(documents, daemon, proxy):
    proxy.answer(403, code="AccessDenied", own="probe", times=None)
    keys = use(documents, 50)
    known(documents.pg, conditional_put=None, conditional_delete=None, versioning=None, checksums=None, multi_delete=None)
    assert "AccessDenied" in view(documents.pg).last_error
    assert documents.pg.value("SELECT status FROM objectlink.consistency") == "ok"
    assert documents.pg.value("SELECT count(*) FROM objectlink.events WHERE key = ANY (%s) AND detail ->> 'proof' = 'HEAD 404'", keys) == 50
    documents.assert_in_step()


@pytest.mark.parametrize("fault", [lambda proxy: proxy.answer(503, code="SlowDown", own="probe", times=None),
                                   lambda proxy: proxy.cut_before(own="probe", method="PUT", times=None),
                                   lambda proxy: proxy.answer(500, code="InternalError", own="probe", method="DELETE", times=None)])
def test_a_probe_that_is_not_answered_decides_nothing(documents, daemon, proxy, fault):
    rule = fault(proxy)
    use(documents)
    known(documents.pg, conditional_put=None, conditional_delete=None, checksums=None, multi_delete=None, probed_at=None)
    assert view(documents.pg).last_error
    documents.assert_in_step()
    proxy.remove(rule)
    daemon.restart()
    use(documents)
    known(documents.pg, conditional_put=True, conditional_delete=False, multi_delete=True, last_error=None)


def test_one_refusal_leaves_the_rest_known(documents, daemon, proxy):
    proxy.answer(403, code="AccessDenied", own="probe", method="GET", query="versioning", times=None)
    use(documents)
    known(documents.pg, versioning=None, conditional_put=True, multi_delete=True)
    assert "versioning" in view(documents.pg).last_error


def test_without_deleteobjects_each_goes_by_itself(documents, daemon, proxy):
    proxy.answer(501, code="NotImplemented", own=None, method="POST", query="^delete", times=None)
    keys = use(documents, 40)
    known(documents.pg, multi_delete=False)
    assert proxy.operations(method="POST", query="^delete") == []
    assert {done.key for done in proxy.operations(method="DELETE")} == set(keys)
    documents.assert_in_step()


# Conditional deletion

@pytest.mark.parametrize("count", [1, 5, 50])
@pytest.mark.parametrize("together", [True, False])
def test_what_somebody_stored_over_ours_is_not_deleted(documents, daemon, bucket, proxy, count, together):
    proxy.honour_delete_conditions(together)
    keys = documents.put([f"k/{number}" for number in range(count)])
    documents.sync()
    bucket.put(keys[0], b"theirs")
    documents.delete(keys)
    eventually(lambda: documents.pg.value("SELECT error_code FROM objectlink.objects WHERE key = %s", keys[0]) == "ObjectReplaced")
    eventually(lambda: bucket.keys() == [keys[0]])
    known(documents.pg, conditional_delete=True)
    assert bool(proxy.operations(method="POST", query="^delete")) == (together and count > 1)
    assert bucket.get(keys[0]) == b"theirs"
    left = "SELECT key, state, error_class FROM objectlink.objects"
    eventually(lambda: documents.pg.run(left) == [(keys[0], "unlinked", "object")])
    assert documents.pg.value("SELECT status FROM objectlink.consistency") == "ok"
    # It is a dead letter, and not tried again; once it is gone, so is ours.
    assert documents.pg.run("SELECT key, operation, error_code FROM objectlink.dead_letters") == [(keys[0], "delete", "ObjectReplaced")]
    bucket.delete(keys[0])
    assert documents.pg.value("SELECT objectlink.retry_dead_letters('docs')") == 1
    documents.sync()
    documents.assert_in_step()


def test_ours_is_deleted_under_its_condition(documents, daemon, proxy):
    proxy.honour_delete_conditions()
    use(documents, 1)
    use(documents, 60)
    documents.link(["there"])
    use(documents, 1)
    known(documents.pg, conditional_delete=True)
    documents.assert_in_step()


def test_our_own_content_with_another_etag_is_ours(documents, daemon, bucket, proxy):
    """As encrypting stores make it: a second try of the same upload has another ETag."""
    proxy.honour_delete_conditions()
    documents.put(["mine"])
    documents.sync()
    documents.pg.run("UPDATE objectlink.object SET etag = '\"an older one\"'")
    documents.delete(["mine"])
    documents.sync()
    assert bucket.keys() == []
    assert documents.pg.state("mine") is None


# Checksums

def test_checksums_go_with_uploads_where_they_are_verified(documents, daemon, bucket, proxy):
    proxy.verify_checksums()
    use(documents)
    known(documents.pg, checksums=True)
    documents.put(["checked"])
    documents.sync()
    assert documents.pg.state("checked") == "stored"
    documents.assert_in_step()
