"""Goal: consumers lose no event and get none twice, whatever commits beside them; one that is slow or dead delays nobody.
Method: transactions that stay open or roll back; writers that race a consumer which now and then forgets what it has read; the daemon.
"""
import random
import subprocess
import threading

import psycopg2
import pytest

from harness.documents import Documents
from harness.postgres import run
from harness.waiting import eventually

READ = "SELECT id, key, cause FROM objectlink.read_events('worker', %s)"


@pytest.fixture
def stream(pg):
    pg.run("SELECT objectlink.create_consumer('worker')")
    return pg


def write(connection, *causes):
    run(connection, "INSERT INTO objectlink.event (cause) SELECT c FROM unnest(%s::text[]) c", list(causes))


def read_all(pg):
    """What a consumer gets until there is no more, acknowledged as it comes."""
    causes = []
    while rows := pg.run(READ, 2):
        causes += [row.cause for row in rows]
        pg.run("SELECT objectlink.ack_events('worker', %s)", rows[-1].id)
    return causes


def pg_tool(cluster, name, *arguments, **more):
    return subprocess.run([name, "-h", cluster.host, "-p", str(cluster.port), "-U", cluster.superuser, *arguments], stdout=subprocess.PIPE, check=True, **more).stdout


def test_what_commits_late_is_not_skipped(stream):
    held, quick = stream.connect(autocommit=False), stream.connect(autocommit=False)
    write(held, "held/1")
    write(quick, "quick/1", "quick/2")
    quick.commit()
    # It has a smaller number and may still commit: nothing behind it is given yet.
    assert read_all(stream) == []
    write(held, "held/2")
    held.commit()
    assert read_all(stream) == ["held/1", "quick/1", "quick/2", "held/2"]
    assert read_all(stream) == []


def test_what_was_rolled_back_never_comes_and_holds_up_nothing(stream):
    doomed = stream.connect(autocommit=False)
    write(doomed, "doomed")
    write(stream.connection, "after")
    doomed.rollback()
    assert read_all(stream) == ["after"]


def test_what_commits_while_a_round_is_read_comes_behind_it(stream):
    write(stream.connection, *[f"first/{number}" for number in range(5)])
    rows = stream.run(READ, 2)
    late = stream.connect(autocommit=False)
    write(late, "late")
    write(stream.connection, "second")
    late.commit()
    stream.run("SELECT objectlink.ack_events('worker', %s)", rows[-1].id)
    assert read_all(stream) == ["first/2", "first/3", "first/4", "late", "second"]


def test_a_prepared_transaction_delays_and_loses_nothing(make_cluster):
    """It survives its session; so does what it wrote."""
    database = make_cluster(max_prepared_transactions=5).create_database()
    database.create_extension()
    database.run("SELECT objectlink.create_consumer('worker')")
    database.run("BEGIN; INSERT INTO objectlink.event (cause) VALUES ('prepared'); PREPARE TRANSACTION 'held'")
    write(database.connection, "later")
    assert read_all(database) == []
    database.run("COMMIT PREPARED 'held'")
    assert read_all(database) == ["prepared", "later"]
    database.close()


def test_two_readers_of_one_consumer_take_turns(stream):
    write(stream.connection, "once")
    first, second = stream.connect(autocommit=False), stream.connect(autocommit=False)
    rows = run(first, READ, 10)
    got = []
    other = threading.Thread(target=lambda: got.append(run(second, READ, 10)))
    other.start()
    eventually(lambda: stream.run("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE '%%read_events%%' AND pid <> pg_backend_pid()"))
    run(first, "SELECT objectlink.ack_events('worker', %s)", rows[-1].id)
    first.commit()
    other.join(10)
    assert got == [[]]


def test_writers_that_race_a_consumer(stream, random_seed):
    chance = random.Random(random_seed)
    seeds = [chance.random() for _ in range(6)]
    committed, lock = set(), threading.Lock()

    def writer(number):
        own = random.Random(seeds[number])
        connection = stream.connect(autocommit=False)
        for transaction in range(60):
            causes = [f"{number}/{transaction}/{event}" for event in range(own.randint(1, 5))]
            for cause in causes:
                write(connection, cause)
            if own.random() < 0.2:
                connection.rollback()
                continue
            connection.commit()
            with lock:
                committed.update(causes)

    writers = [threading.Thread(target=writer, args=(number,)) for number in range(5)]
    for thread in writers:
        thread.start()
    got = []
    reader = stream.connect(autocommit=False)

    def read_once():
        rows = run(reader, READ, chance.randint(1, 20))
        if not rows:
            reader.commit()
            return False
        if chance.random() < 0.3:
            reader.rollback()
            return True
        end = chance.randrange(len(rows))
        run(reader, "SELECT objectlink.ack_events('worker', %s)", rows[end].id)
        reader.commit()
        got.extend(row.cause for row in rows[:end + 1])
        return True

    while any(thread.is_alive() for thread in writers):
        read_once()
    for thread in writers:
        thread.join()

    def drained():
        while read_once():
            pass
        return set(got) == committed

    eventually(drained)
    assert len(got) == len(set(got))
    # Of each writer in the order in which it wrote.
    for number in range(5):
        own = [tuple(map(int, cause.split("/"))) for cause in got if cause.startswith(f"{number}/")]
        assert own == sorted(own)


def test_the_events_of_an_object_come_in_order_and_a_dead_consumer_delays_nothing(docs, bucket, daemon):
    docs.run("SELECT objectlink.create_consumer('worker')")
    docs.run("SELECT objectlink.create_consumer('dead')")
    documents = Documents(docs, bucket)
    dead = docs.connect(autocommit=False)
    run(dead, "SELECT * FROM objectlink.read_events('dead')")  # holds its place, and never ends
    keys = documents.put_fresh(20)
    documents.sync()
    documents.delete(keys)
    documents.sync()
    dead.rollback()
    got = []

    def all_read():
        rows = docs.run(READ, 50)
        if rows:
            docs.run("SELECT objectlink.ack_events('worker', %s)", rows[-1].id)
        got.extend(rows)
        return len([row for row in got if row.cause == "delete"]) == 20

    eventually(all_read)
    stories = docs.run("SELECT key, array_agg(cause ORDER BY id) AS causes FROM objectlink.events WHERE key IS NOT NULL GROUP BY key")
    assert {row.key: row.causes for row in stories} == {key: [row.cause for row in got if row.key == key] for key in keys}
    assert docs.value("SELECT unread FROM objectlink.consumers WHERE name = 'dead'") > 0


def test_an_event_that_has_its_id_long_before_its_transaction_has_a_number(stream):
    """Its id is older than what was given meanwhile. A consumer that took ids to follow transactions' numbers would never look there again."""
    stream.run("CREATE FUNCTION wait_for_gate() RETURNS jsonb LANGUAGE plpgsql AS "
               "$$ BEGIN PERFORM pg_advisory_lock(42); PERFORM pg_advisory_unlock(42); RETURN '{}'; END $$")
    gate = stream.connect()
    run(gate, "SELECT pg_advisory_lock(42)")
    write(stream.connection, "before")
    slow = threading.Thread(target=lambda: run(stream.connect(), "INSERT INTO objectlink.event (cause, detail) VALUES ('slow', wait_for_gate())"))
    slow.start()
    eventually(lambda: stream.run("SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted"))
    got = []
    for number in range(20):
        write(stream.connection, f"quick/{number}")
        got += read_all(stream)
    run(gate, "SELECT pg_advisory_unlock(42)")
    slow.join()
    for number in range(20, 30):
        write(stream.connection, f"quick/{number}")
        got += read_all(stream)
    assert sorted(got) == sorted(["before", "slow"] + [f"quick/{number}" for number in range(30)])


def test_savepoints(stream):
    writer = stream.connect(autocommit=False)
    write(writer, "kept/1")
    run(writer, "SAVEPOINT s")
    write(writer, "undone")
    run(writer, "ROLLBACK TO s")
    write(writer, "kept/2")
    run(writer, "SAVEPOINT s")
    write(writer, "kept/3")
    run(writer, "RELEASE s")
    write(stream.connection, "beside")
    assert read_all(stream) == []
    writer.commit()
    assert read_all(stream) == ["kept/1", "kept/2", "kept/3", "beside"]


def test_only_what_was_given_can_be_acknowledged(stream):
    """Whoever acknowledges the latest event there is would skip those he has never seen."""
    write(stream.connection, "1", "2", "3", "4")
    rows = stream.run(READ, 2)
    latest = stream.value("SELECT max(id) FROM objectlink.event")
    with pytest.raises(psycopg2.errors.InvalidParameterValue, match="was not read by consumer"):
        stream.run("SELECT objectlink.ack_events('worker', %s)", latest)
    stream.run("SELECT objectlink.ack_events('worker', %s)", rows[-1].id)
    assert read_all(stream) == ["3", "4"]


def test_two_sessions_that_both_have_read_may_both_acknowledge(stream):
    write(stream.connection, "1", "2")
    first, second = stream.connect(), stream.connect()
    rows = run(first, READ, 10)
    assert run(second, READ, 10) == rows
    run(second, "SELECT objectlink.ack_events('worker', %s)", rows[-1].id)
    write(stream.connection, "3")
    next_rows = run(second, READ, 10)
    assert run(first, "SELECT objectlink.ack_events('worker', %s) AS count", rows[-1].id)[0].count == 0
    assert run(second, "SELECT objectlink.ack_events('worker', %s) AS count", next_rows[-1].id)[0].count == 1
    assert read_all(stream) == []


def test_a_consumer_made_in_an_open_transaction_gets_what_came_since(pg):
    making = pg.connect(autocommit=False)
    run(making, "SELECT objectlink.create_consumer('worker')")
    write(pg.connection, "meanwhile")
    # Nobody sees the consumer yet. A purge by hand waits for it, the daemon's does without.
    pg.run("SET lock_timeout = '200ms'")
    with pytest.raises(psycopg2.errors.LockNotAvailable):
        pg.run("SELECT objectlink.purge_events(now() + interval '1 hour')")
    assert pg.value("SELECT objectlink.expire_events(now() + interval '1 hour')") == 0
    making.commit()
    pg.run("SELECT objectlink.purge_events(now() + interval '1 hour')")
    assert read_all(pg) == ["meanwhile"]


def test_a_purge_that_stays_open_does_not_hold_up_the_daemon(pg):
    write(pg.connection, "old")
    purging = pg.connect(autocommit=False)
    run(purging, "SELECT objectlink.purge_events(now() + interval '1 hour')")
    pg.run("SET lock_timeout = '200ms'")
    assert pg.value("SELECT objectlink.expire_events(now() + interval '1 hour')") == 0
    purging.commit()


def test_an_idle_consumer_does_not_look_through_what_it_has_read(stream):
    write(stream.connection, *[str(number) for number in range(5000)])
    while rows := stream.run(READ, 5000):
        stream.run("SELECT objectlink.ack_events('worker', %s)", rows[-1].id)

    def caught_up():
        stream.run(READ, 1)
        return stream.value("SELECT (SELECT last_value FROM objectlink.event_id_seq) - floor_id FROM objectlink.consumer") < 100

    eventually(caught_up)


@pytest.mark.parametrize("way", ["to_smaller_numbers", "to_larger_numbers"])
def test_restored_into_a_server_whose_transactions_have_other_numbers(make_cluster, cluster, way):
    """Nothing that was not acknowledged is lost, by reading or by a purge; nothing is kept for ever, and new events come too."""
    other = make_cluster(max_prepared_transactions=5)
    original = other.create_database()
    original.create_extension()
    copy = cluster.create_database()
    burn_numbers(original if way == "to_smaller_numbers" else copy)
    for consumer in ("worker", "idle"):
        original.run("SELECT objectlink.create_consumer(%s)", consumer)
    for number in range(4):
        write(original.connection, f"read/{number}")
        assert read_all(original) == [f"read/{number}"]
    write(original.connection, *[f"round/{number}" for number in range(4)])
    rows = original.run(READ, 2)
    original.run("SELECT objectlink.ack_events('worker', %s)", rows[0].id)
    late = original.connect(autocommit=False)
    write(late, "late")
    write(original.connection, "last")
    late.commit()
    dump = pg_tool(other, "pg_dump", "-Fc", "--no-privileges", original.name)
    pg_tool(cluster, "pg_restore", "--exit-on-error", "-1", "--no-privileges", "-d", copy.name, input=dump)
    write(copy.connection, "new/0")
    copy.run("SELECT objectlink.purge_events(now() + interval '1 hour')")
    write(copy.connection, "new/1")
    unread = ["round/1", "round/2", "round/3", "late", "last", "new/0", "new/1"]
    got = read_all(copy)
    assert got[-len(unread):] == unread  # what was acknowledged just before may come once more
    rows = copy.run("SELECT id, cause FROM objectlink.read_events('idle', 1000)")
    assert [row.cause for row in rows][-len(unread):] == unread
    copy.run("SELECT objectlink.ack_events('idle', %s)", rows[-1].id)
    write(copy.connection, "end")
    assert read_all(copy) == ["end"]
    assert copy.run("SELECT cause FROM objectlink.read_events('idle')")[0].cause == "end"
    copy.run("SELECT objectlink.purge_events(now() + interval '1 hour')")
    assert copy.value("SELECT count(*) FROM objectlink.event") == 1
    original.drop()
    copy.drop()


def burn_numbers(database):
    database.run("CREATE TABLE burnt (n int)")
    database.run("DO $$ BEGIN FOR i IN 1 .. 20000 LOOP BEGIN INSERT INTO burnt VALUES (i); EXCEPTION WHEN division_by_zero THEN NULL; END; END LOOP; END $$")
    database.run("DROP TABLE burnt")


def test_a_consumer_is_rung_by_the_daemon_if_it_asked_for_it_and_by_nobody_else(docs, bucket, make_daemon):
    docs.run("SELECT objectlink.create_consumer('silent')")
    documents = Documents(docs, bucket)
    listener = docs.connect()
    run(listener, "LISTEN objectlink_events")

    def rung():
        listener.poll()
        return listener.notifies

    daemon = make_daemon()
    documents.put_fresh(5)
    documents.sync()
    assert rung() == []
    daemon.stop()
    docs.run("SELECT objectlink.create_consumer('worker', notify => true)")
    documents.put_fresh(5)
    assert rung() == []  # users never wait for the lock that NOTIFY takes
    make_daemon()
    documents.sync()
    eventually(rung)
    senders = {notify.pid for notify in listener.notifies}
    assert senders == {row.pid for row in docs.run("SELECT pid FROM objectlink.workers")}
    transactions = docs.value("SELECT count(DISTINCT xid) FROM objectlink.event e WHERE to_state = 'stored'")
    assert 1 <= len(listener.notifies) <= transactions
    assert len([row for row in docs.run("SELECT * FROM objectlink.read_events('worker')") if row.to_state == "stored"]) == 5


@pytest.mark.parametrize("cause", ["unlink", "rows compensated", "rows not compensated"])
def test_a_consumer_is_rung_also_where_no_store_has_answered(docs, bucket, make_daemon, cause):
    """For what only the rows tell: an object that waits for its retention, rows that were deleted, or could not be."""
    docs.run("SELECT objectlink.create_consumer('worker', notify => true); ALTER SERVER docs OPTIONS (ADD retention '1 day')")
    documents = Documents(docs, bucket)
    keys = documents.put_fresh(1)
    daemon = make_daemon()
    documents.sync()
    docs.run("SELECT objectlink.alter_attachment('document', 'file', on_upload_failure => 'delete_row')")
    if cause == "rows not compensated":
        docs.run("CREATE TABLE invoice (document bigint REFERENCES document); INSERT INTO invoice SELECT id FROM document")
    daemon.stop()
    if cause == "unlink":
        documents.delete(keys)
    else:
        # As settle() leaves it, which has rung for that already.
        for state in ["missing", "pending", "failed"]:
            docs.run("UPDATE objectlink.object SET state = %s, due_at = NULL", state)
        docs.run("INSERT INTO objectlink.row_work (store_id, key, attachment_id) SELECT o.store_id, o.key, o.attachment_id FROM objectlink.object o")
    listener = docs.connect()
    run(listener, "LISTEN objectlink_events")
    daemon.start()
    eventually(lambda: docs.run("SELECT 1 FROM objectlink.events WHERE cause = %s", cause))

    def rung():
        listener.poll()
        return listener.notifies

    # That the row went is an event of the object too, and told when the outbox is applied.
    assert 1 <= len(eventually(rung)) <= (2 if cause == "rows compensated" else 1)
