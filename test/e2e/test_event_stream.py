"""Goal: consumers lose no event and get none twice, whatever commits beside them; one that is slow or dead delays nobody.
Method: transactions that stay open or roll back; writers that race a consumer which now and then forgets what it has read; the daemon.
"""
import random
import threading

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
