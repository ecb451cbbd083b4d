"""How does a test have a store reconciled, and see what was found?"""
import email.utils

from harness.waiting import eventually


def reconcile(pg, store="docs", seconds=60, **arguments):
    """Runs to the end and returns its row of view runs."""
    named = "".join(f", {name} => %s" for name in arguments)
    run = pg.value(f"SELECT objectlink.reconcile_storage(%s{named})", store, *arguments.values())
    pg.run(f"CALL objectlink.wait_for_run(%s, '{seconds} seconds')", run)
    return pg.run("SELECT * FROM objectlink.runs WHERE id = %s", run)[0]


def findings(pg, *statuses):
    """{(key, kind): status}"""
    return {(row.key, row.kind): row.status for row in pg.run(
        "SELECT key, kind, status FROM objectlink.findings WHERE status = ANY (%s)", list(statuses or ("suspected", "open", "acknowledged")))}


def settle_clock(bucket):
    """Until the store's clock has left the second in which the last object was written: younger ones are never orphans."""
    key = ".objectlink/clock"
    bucket.put(key)
    written = bucket.head(key)["LastModified"]

    def later():
        reply = bucket.client.head_bucket(Bucket=bucket.name)["ResponseMetadata"]["HTTPHeaders"]["date"]
        return (email.utils.parsedate_to_datetime(reply) - written).total_seconds() >= 3
    eventually(later, 10, "the store's clock goes on")
    bucket.delete(key)
