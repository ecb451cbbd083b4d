"""Goal: an object is deleted when the most careful of those that unlinked it allows it, not before, and not at all while it is held.
Method: real daemon, real store; the proxy shows what was sent. Times are the database's own, taken from events.
"""
import threading

import pytest

from harness import steps
from harness.documents import content_of
from harness.postgres import run
from harness.waiting import eventually


def set_option(pg, name, value):
    known = pg.value("SELECT options ? %s FROM objectlink.server WHERE name = 'docs'", name)
    pg.run(f"ALTER SERVER docs OPTIONS ({'SET' if known else 'ADD'} {name} %s)", value)


def attach_table(pg, name, policy):
    pg.run(f"CREATE TABLE {name} (file objectlink.storage_ref)")
    pg.run(f"SELECT objectlink.attach('{name}', 'file', {policy})")


def refer_from(documents, table, keys):
    documents.pg.run(f"INSERT INTO {table} SELECT objectlink.storage_ref('docs', k) FROM unnest(%s::text[]) k", keys)


def unlink_from(documents, table, keys):
    documents.pg.run(f"DELETE FROM {table} WHERE file = ANY (ARRAY(SELECT objectlink.storage_ref('docs', k) FROM unnest(%s::text[]) k))", keys)


def assert_there(documents, keys, state="unlinked"):
    assert {documents.pg.state(key) for key in keys} == {state}
    for key in keys:
        assert documents.bucket.get(key) == content_of(key)


def seconds_until_gone(pg, key, since):
    """By the database's clock: from `since` to the start of the deletion."""
    return pg.value("SELECT extract(epoch FROM min(at) - %s) FROM objectlink.events WHERE key = %s AND to_state = 'deleting'", since, key)


def test_linked_again_within_its_retention_is_cancelled_and_nothing_was_sent(documents, proxy, daemon):
    set_option(documents.pg, "retention", "1 hour")
    keys = documents.put(["a", "b", "c"])
    documents.sync()
    proxy.forget()
    documents.delete(keys)
    documents.sync()
    assert_there(documents, keys)
    assert documents.pg.value("SELECT due_at > now() + interval '50 minutes' FROM objectlink.deletions WHERE key = 'a'")
    documents.refer(keys)
    documents.sync()
    assert_there(documents, keys, "stored")
    assert proxy.operations() == []
    documents.assert_in_step()


def test_deleted_when_the_retention_is_over(documents, daemon):
    set_option(documents.pg, "retention", "2s")
    key, = documents.put(["a"])
    documents.sync()
    since = documents.pg.value("SELECT clock_timestamp()")
    documents.delete([key])
    eventually(lambda: documents.pg.state(key) is None)
    assert seconds_until_gone(documents.pg, key, since) >= 2
    documents.sync()
    documents.assert_in_step()


@pytest.mark.parametrize("first", ["document", "careful"])
def test_shared_by_tables_of_different_policies_the_most_careful_wins(documents, daemon, first):
    pg = documents.pg
    attach_table(pg, "careful", "retention => '3 seconds'")
    keys = documents.put(["a", "b"])
    refer_from(documents, "careful", keys)
    documents.sync()
    since = pg.value("SELECT clock_timestamp()")
    for table in ["document", "careful"] if first == "document" else ["careful", "document"]:
        unlink_from(documents, table, keys)
        documents.sync()
        assert all(documents.bucket.exists(key) for key in keys)
    eventually(lambda: not any(pg.state(key) for key in keys))
    assert all(seconds_until_gone(pg, key, since) >= 3 for key in keys)
    documents.sync()
    documents.assert_in_step()


def test_truncate_of_the_careful_table_counts_as_well(documents, daemon):
    pg = documents.pg
    attach_table(pg, "careful", "retention => '1 hour'")
    keys = documents.put(["a", "b"])
    refer_from(documents, "careful", keys)
    documents.sync()
    pg.run("TRUNCATE careful")
    documents.sync()
    pg.run("TRUNCATE document")
    documents.sync()
    assert_there(documents, keys)


def test_kept_until_somebody_releases_it(documents, proxy, daemon):
    pg = documents.pg
    attach_table(pg, "archive", "on_unlink => 'keep'")
    keys = documents.put(["a", "b", "c"])
    refer_from(documents, "archive", keys)
    documents.sync()
    proxy.forget()
    pg.run("TRUNCATE archive")
    documents.sync()
    documents.delete(keys)
    documents.sync()
    assert_there(documents, keys)
    assert pg.run("SELECT held, due, later FROM objectlink.deletions_by_store") == [(3, 0, 0)]
    assert pg.value("SELECT count(*) FROM objectlink.problems") == 0  # a policy is no problem
    assert proxy.operations() == []
    assert pg.value("SELECT objectlink.release_deletions('docs', key => 'a')") == 1
    documents.sync()
    assert documents.bucket.keys() == ["b", "c"]
    assert pg.value("SELECT objectlink.release_deletions('docs', held_reason => 'on_unlink => keep')") == 2
    documents.sync()
    documents.assert_in_step()


def test_a_longer_retention_protects_what_waits_already(documents, daemon):
    pg = documents.pg
    attach_table(pg, "brief", "retention => '2 seconds'")
    set_option(pg, "retention", "2s")
    of_store, of_table = documents.put(["store"]), documents.put(["table"])
    refer_from(documents, "brief", of_table)
    documents.sync()
    documents.delete(of_store + of_table)
    unlink_from(documents, "brief", of_table)
    documents.sync()
    set_option(pg, "retention", "1 hour")
    pg.run("SELECT objectlink.alter_attachment('brief', 'file', on_unlink => 'keep')")
    eventually(lambda: pg.value("SELECT due_at > now() + interval '50 minutes' FROM objectlink.deletions WHERE key = 'store'"))
    eventually(lambda: pg.value("SELECT held_reason FROM objectlink.deletions WHERE key = 'table'") == "on_unlink => keep")
    assert_there(documents, of_store + of_table)
    documents.sync()


def test_expedited_is_deleted_now(documents, daemon):
    pg = documents.pg
    set_option(pg, "retention", "1 hour")
    keys = documents.put(["now/1", "now/2", "later"])
    documents.sync()
    documents.delete(keys)
    documents.sync()
    assert pg.run("SELECT * FROM objectlink.expedite_deletions('docs', prefix => 'now/', reason => 'asked for')") == [(2, 0)]
    documents.sync()
    assert documents.bucket.keys() == ["later"]
    assert_there(documents, ["later"])
    decision = pg.run("SELECT actor, detail FROM objectlink.events WHERE cause = 'expedite deletions'")[0]
    assert decision.actor == pg.cluster.superuser and decision.detail["reason"] == "asked for"


def test_a_held_store_deletes_nothing_and_does_everything_else(documents, proxy, daemon):
    pg = documents.pg
    keys = documents.put(["a", "b"])
    documents.sync()
    assert pg.run("SELECT * FROM objectlink.hold_deletions('docs', reason => 'moving house')") == [(0, 0)]
    proxy.forget()
    documents.delete(keys)
    documents.sync()
    documents.put(["new"])
    documents.sync()
    assert_there(documents, keys)
    assert pg.state("new") == "stored"
    assert [done.method for done in proxy.operations() if done.method in ("DELETE", "POST")] == []
    assert daemon.http("/healthz")[0] == 200
    assert pg.value("SELECT remedy FROM objectlink.problems") == "SELECT objectlink.release_deletions('docs')"
    daemon.restart()
    documents.delete(["new"])
    documents.sync()
    assert_there(documents, keys + ["new"])
    assert pg.value("SELECT objectlink.release_deletions('docs')") == 3
    documents.sync()
    documents.assert_in_step()


BEFORE_THE_REQUEST = [steps.apply_unlinks, steps.condemn, steps.barrier, steps.issue]
AFTER_IT = [steps.delete_many, steps.delete_many_done, steps.delete_one, steps.delete_one_done, steps.proof_of_deletion,
            steps.settle_deletion]


@pytest.mark.parametrize("step", BEFORE_THE_REQUEST + AFTER_IT, ids=lambda step: step.__name__)
@pytest.mark.parametrize("whole_store", [False, True], ids=["prefix", "store"])
def test_held_while_the_deletion_is_under_way(documents, proxy, daemon, step, whole_store):
    """Whatever a hold counts as held is there afterwards, and what is not there was said to be too late, or gone before."""
    scene = steps.scene_of(documents, proxy, daemon)
    pg = documents.pg
    stop = step(scene)
    victims = set(pg.states()) - documents.linked_keys()
    assert victims
    answers = []
    arguments = "'docs'" if whole_store else "'docs', prefix => ''"
    holder = threading.Thread(target=lambda: answers.extend(
        run(pg.connect(), f"SELECT * FROM objectlink.hold_deletions({arguments}, reason => 'stop')")))
    holder.start()
    # It waits for what stands still, or it is through already.
    eventually(lambda: answers or pg.value("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s",
                                           "SELECT * FROM objectlink.hold_deletions%"))
    stop.go_on()
    holder.join(30)
    (held, too_late), = answers
    documents.sync()
    left = {key for key in victims if documents.bucket.exists(key)}
    assert set(pg.states()) - documents.linked_keys() == left
    assert len(victims - left) >= too_late
    if not whole_store:
        assert {row.key for row in pg.run("SELECT key FROM objectlink.object WHERE admin_hold IS NOT NULL")} == left | documents.linked_keys()
        assert held == len(left) + len(documents.linked_keys())
    if step in AFTER_IT:
        assert not left
    elif step is not steps.issue:  # there the daemon was first
        assert left == victims
    # Released, it ends as if nothing had been.
    pg.run("SELECT objectlink.release_deletions('docs')")
    pg.run("SELECT objectlink.release_deletions('docs', prefix => '')")
    documents.sync()
    documents.assert_in_step()
