"""Goal: wait_for_sync() never returns early, whatever the order in which a daemon does its steps.
Method: the test plays the daemon by its SQL functions, while another session waits.
"""
import threading

from harness.postgres import run
from harness.waiting import always, eventually


def test_waits_for_what_a_walk_appended_where_the_drainer_does_not_look_at_once(docs):
    """The rows that a walk appends may lie before the drainer's position: then the walk ends before they are applied."""
    def call(text):
        return docs.run(text.replace("$outbox", "(SELECT epoch FROM objectlink.owner WHERE resource = 0)")
                        .replace("$store", "1, (SELECT epoch FROM objectlink.owner WHERE resource = 1)"))

    docs.run("INSERT INTO document (file) VALUES ('s3://docs/k')")
    docs.run("SELECT objectlink.store_settings()")
    docs.run("SELECT objectlink.acquire(r, objectlink.register_worker('test', '0', 'test')) FROM generate_series(0, 1) r")
    call("SELECT objectlink.scan_step($outbox, 10) FROM generate_series(1, 2)")
    call("SELECT objectlink.apply_outbox($outbox, '(0,0)', 10)")
    call("""SELECT objectlink.settle($store, '[{"key": "k", "state": "pending", "attempts": 0, "outcome": "stored", "cause": "verify"}]')""")
    docs.run("TRUNCATE document")
    waiter = threading.Thread(target=lambda: run(docs.connect(), "CALL objectlink.wait_for_sync('1 minute')"))
    waiter.start()
    eventually(lambda: docs.value("SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'CALL %%wait_for_sync%%' AND state = 'active'"))
    call("SELECT objectlink.apply_outbox($outbox, '(0,0)', 10)")
    assert [row.kind for row in docs.run("SELECT kind FROM objectlink.scan")] == ["unlink"]
    always(waiter.is_alive, 0.5)
    call("SELECT objectlink.scan_step($outbox, 10) FROM generate_series(1, 2)")
    assert docs.run("SELECT kind FROM objectlink.scan") == []
    assert docs.value("SELECT count(*) FROM objectlink.outbox") == 1
    always(waiter.is_alive, 1)
    call("SELECT objectlink.apply_outbox($outbox, '(0,0)', 10)")
    assert docs.state("k") == "unlinked"
    always(waiter.is_alive, 0.5)
    call("SELECT objectlink.marker_state($store)")
    call("SELECT objectlink.confirm_marker($store, objectlink.begin_marker($store) ->> 'nonce', 'etag', true)")
    call("SELECT objectlink.condemn($store, '{k}')")
    call("SELECT objectlink.issue($store, '{k}', 0)")
    call("""SELECT objectlink.settle($store, '[{"key": "k", "state": "deleting", "attempts": 0, "outcome": "gone", "cause": "delete"}]')""")
    waiter.join(10)
    assert not waiter.is_alive()
