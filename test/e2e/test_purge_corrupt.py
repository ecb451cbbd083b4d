"""Goal: entries whose object is lost for long enough are purged, by their owner's word and with an audit trail, and nothing that is well, or well again.
Method: boto3 damages the bucket, a run finds it, time is set back in the registry; purge_corrupt() as a schedule would call it."""
from harness.documents import content_of
from harness.runs import findings, reconcile

PURGE = "SELECT objects, purged, rows_changed, failed, note FROM objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', reason => 'lost for good'"


def test_what_is_lost_for_a_month_goes_and_what_was_put_back_stays(documents, daemon):
    pg, bucket = documents.pg, documents.bucket
    documents.put(["well", "missing", "corrupt", "restored", "recent"])
    documents.sync()
    for key in ("missing", "restored", "recent"):
        bucket.delete(key)
    bucket.put("corrupt", b"something else")
    reconcile(pg)
    assert len(findings(pg)) == 4
    pg.run("UPDATE objectlink.object SET since = since - interval '40 days' WHERE key <> 'recent'")
    assert pg.run(PURGE + ")") == [(3, 0, 0, 0, "a dry run: nothing was done")]
    # Put back, and no run has seen it: the next one does, before anything is purged.
    bucket.put("restored", content_of("restored"))
    reconcile(pg)
    assert pg.run(PURGE + ", dry_run => false)") == [(2, 2, 2, 0, None)]
    documents.sync()
    assert documents.linked_keys() == {"well", "restored", "recent"}
    assert pg.states() == {"well": "stored", "restored": "stored", "recent": "missing"} | (
        {"corrupt": "unlinked"} if pg.state("corrupt") == "unlinked" else {})
    for key in ("missing", "corrupt"):
        event = next(event for event in pg.events(key) if event.cause == "purged")
        assert event.detail["reason"] == "lost for good" and event.detail["count"] == 1 and event.detail["keys"]
    assert pg.events("missing")[-1].to_state == "gone"
    assert reconcile(pg).found == {"missing": 1}
    assert pg.run(PURGE + ", dry_run => false)") == []
