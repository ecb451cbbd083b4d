"""Goal: entries whose object is lost for long enough are purged, by their owner's word and with an audit trail, and nothing that is well, or well again.
Method: boto3 damages the bucket, a run finds it, time is set back in the registry; purge_corrupt() as a schedule would call it."""
from harness.documents import content_of
from harness.runs import findings, reconcile

PURGE = "SELECT objects, note FROM objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', reason => 'lost for good'"


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
    assert pg.run(PURGE + ")") == [(3, "a dry run: nothing was done")]
    # Put back, and no run has seen it: the daemon does, before anything goes.
    bucket.put("restored", content_of("restored"))
    assert pg.run(PURGE + ", dry_run => false)") == [(3, "the daemon looks at each once more before it does it")]
    documents.sync()
    assert bucket.get("restored") == content_of("restored")
    assert pg.value("SELECT resolution FROM objectlink.findings WHERE key = 'restored'") == "not purged: the store has it again"
    reconcile(pg)
    assert documents.linked_keys() == {"well", "restored", "recent"}
    assert pg.states() == {"well": "stored", "restored": "stored", "recent": "missing"} | (
        {"corrupt": "unlinked"} if pg.state("corrupt") == "unlinked" else {})
    for key in ("missing", "corrupt"):
        event = next(event for event in pg.events(key) if event.cause == "purged")
        assert event.detail["reason"] == "lost for good" and event.detail["count"] == 1 and event.detail["keys"]
    assert pg.events("missing")[-1].to_state == "gone"
    assert reconcile(pg).found == {"missing": 1}
    assert pg.run(PURGE + ", dry_run => false)") == []
