"""Goal: what a transaction asked for happens if and only if it commits, however it is built and wherever it ends.
Method: savepoints, exception blocks, two-phase commit, COPY, large transactions; a crash of PostgreSQL after a commit
that nobody waited for.
"""
import io
import random

import psycopg2
import pytest

from conftest import fresh_database
from harness.documents import daemon_backends
from harness.postgres import run
from harness.standstill import OpenWriter
from harness.waiting import always, eventually


@pytest.fixture
def cluster(make_cluster):
    """The writer of the WAL sleeps long, so that a commit nobody waits for is really lost in a crash."""
    return make_cluster(max_prepared_transactions=10, wal_writer_delay="10s")


@pytest.fixture
def transaction(documents, daemon):
    return documents.pg.connect(autocommit=False)


def put(key):
    return f"INSERT INTO document (file) VALUES (objectlink.put('docs', convert_to('content of {key}', 'UTF8'), key => '{key}'))"


@pytest.fixture
def known(documents):
    """Content of rows that tests insert by statements of their own."""
    for key in ["a", "b", "c", "d", "e"]:
        documents._contents[key] = b"content of " + key.encode()
    return documents


def test_rollback_leaves_no_trace(known, transaction, daemon):
    victim, = known.put(["victim"])
    known.sync()
    events = known.pg.value("SELECT count(*) FROM objectlink.event")
    run(transaction, put("a"))
    run(transaction, "DELETE FROM document")
    run(transaction, "UPDATE document SET file = 's3://docs/elsewhere'")
    run(transaction, "TRUNCATE document")
    transaction.rollback()
    known.sync()
    assert known.pg.value("SELECT count(*) FROM objectlink.event") == events
    known.assert_in_step()


def test_savepoints(known, transaction):
    run(transaction, put("a"))
    run(transaction, "SAVEPOINT one")
    run(transaction, put("b"))
    run(transaction, "SAVEPOINT two")
    run(transaction, put("c"))
    run(transaction, "RELEASE SAVEPOINT two")
    run(transaction, "ROLLBACK TO SAVEPOINT one")
    run(transaction, put("d"))
    run(transaction, "SAVEPOINT three")
    run(transaction, "DELETE FROM document")
    run(transaction, "ROLLBACK TO SAVEPOINT three")
    run(transaction, put("e"))
    transaction.commit()
    known.sync()
    assert known.linked_keys() == {"a", "d", "e"}
    known.assert_in_step()


def test_the_first_statement_is_rolled_back_to_a_savepoint(known, transaction):
    """What the trigger opened for it is gone with it, and must be opened anew."""
    for key in ["a", "b"]:
        run(transaction, "SAVEPOINT here")
        run(transaction, put(key))
        run(transaction, "ROLLBACK TO SAVEPOINT here")
        run(transaction, put(key))
    transaction.commit()
    known.sync()
    assert known.linked_keys() == {"a", "b"}
    known.assert_in_step()


def test_exception_blocks(known, daemon):
    known.pg.run(f"""DO $do$
      BEGIN
        {put("a")};
        FOR n IN 1..3 LOOP
          BEGIN
            {put("b")};
            DELETE FROM document WHERE objectlink.key(file) = 'a';
            PERFORM 1 / 0;
          EXCEPTION WHEN division_by_zero THEN
            NULL;
          END;
        END LOOP;
        BEGIN
          {put("c")};
        EXCEPTION WHEN division_by_zero THEN
          NULL;
        END;
      END $do$""")
    known.sync()
    assert known.linked_keys() == {"a", "c"}
    known.assert_in_step()


def test_a_key_that_changes_hands_within_a_transaction(known, transaction):
    known.put(["a"])
    known.sync()
    run(transaction, "DELETE FROM document")
    run(transaction, "INSERT INTO document (file) VALUES ('s3://docs/a')")
    run(transaction, "UPDATE document SET title = 'same file'")
    transaction.commit()
    known.sync()
    known.assert_in_step()


def test_put_and_delete_within_a_transaction(known, transaction):
    run(transaction, put("a"))
    run(transaction, "DELETE FROM document")
    transaction.commit()
    known.sync()
    known.assert_in_step()


@pytest.mark.parametrize("end", ["COMMIT PREPARED", "ROLLBACK PREPARED"])
def test_prepared_transaction(known, transaction, daemon, end):
    victim, = known.put(["victim"])
    known.sync()
    transaction.tpc_begin(transaction.xid(0, "t", ""))
    run(transaction, put("a"))
    run(transaction, "DELETE FROM document WHERE objectlink.key(file) = 'victim'")
    transaction.tpc_prepare()
    transaction.close()
    known.put(["b"])
    eventually(lambda: known.pg.state("b") == "stored")
    assert known.pg.state("a") is None and known.pg.state("victim") == "stored"
    known.pg.run(f"{end} '{known.pg.value('SELECT gid FROM pg_prepared_xacts')}'")
    known.sync()
    assert known.linked_keys() == ({"a", "b"} if end == "COMMIT PREPARED" else {"victim", "b"})
    known.assert_in_step()


@pytest.mark.parametrize("when", ["before the mark", "at the barrier"])
def test_a_prepared_transaction_holds_up_the_deletion_of_what_it_links(known, daemon, when):
    """It may have looked for the mark before that was there; and it survives a restart of the server."""
    known.put(["a"])
    known.sync()
    preparing = known.pg.connect(autocommit=False)
    preparing.tpc_begin(preparing.xid(0, "t", ""))
    known.refer(["a"], on=preparing)
    if when == "before the mark":
        preparing.tpc_prepare()
    known.delete(["a"])
    eventually(lambda: known.pg.state("a") == "deleting")
    if when == "at the barrier":
        preparing.tpc_prepare()
    preparing.close()
    always(lambda: known.bucket.exists("a"), 0.5)
    known.pg.cluster.restart()
    known.pg.close()
    eventually(lambda: daemon_backends(known.pg))
    always(lambda: known.bucket.exists("a"), 0.5)
    known.pg.run(f"COMMIT PREPARED '{known.pg.value('SELECT gid FROM pg_prepared_xacts')}'")
    known.sync()
    assert known.linked_keys() == {"a"}
    known.assert_in_step()


def test_copy(known, daemon):
    for key in "abcde":
        known.upload(key, b"content of " + key.encode())
    lines = "".join(f"s3://docs/{key}\n" for key in "abcde")
    with known.pg.connection.cursor() as cursor:
        cursor.copy_expert("COPY document (file) FROM STDIN", io.StringIO(lines))
        with pytest.raises(psycopg2.Error):
            cursor.copy_expert("COPY document (file) FROM STDIN", io.StringIO("s3://docs/never\nnot a ref\n"))
    known.sync()
    assert known.linked_keys() == set("abcde")
    known.assert_in_step()


def test_ten_thousand_rows_in_one_transaction(known, daemon):
    """A few objects and many rows: what counts is that the outbox is applied in several batches."""
    keys = [f"shared/{number}" for number in range(100)]
    known.put(keys)
    known.sync()
    known.pg.run("INSERT INTO document (file) SELECT file FROM document, generate_series(1, 99)")
    known.delete(keys[50:])
    known.sync()
    assert known.pg.value("SELECT count(*) FROM document") == 5000
    known.assert_in_step()


def test_interleaved_transactions_on_the_same_keys(known, daemon, random_seed):
    """Batches of the outbox are not in the order of commits: only the rows say what is linked."""
    chance = random.Random(random_seed)
    keys = [f"k/{number}" for number in range(10)]
    known.put(keys)
    known.sync()
    open_ones = [known.pg.connect(autocommit=False) for _ in range(4)]
    for _ in range(60):
        connection, key = chance.choice(open_ones), chance.choice(keys)
        try:
            known.refer([key], on=connection)
            if chance.random() < 0.4:
                run(connection, "DELETE FROM document WHERE id = (SELECT id FROM document WHERE objectlink.key(file) = %s"
                                " LIMIT 1 FOR UPDATE SKIP LOCKED)", key)
            if chance.random() < 0.4:
                connection.commit() if chance.random() < 0.7 else connection.rollback()
        except psycopg2.errors.ObjectInUse:  # its object is being deleted: as documented
            connection.rollback()
    for connection in open_ones:
        connection.commit()
    known.delete(keys[:5])
    known.sync()
    known.assert_in_step()


class Drainer:
    """Plays the daemon's part of applying the outbox, from a position of the test's choice."""

    def __init__(self, pg):
        self.pg = pg
        worker = pg.value("SELECT objectlink.register_worker('test', '0', 'test')")
        self.epoch = pg.run("SELECT epoch FROM objectlink.acquire(0, %s)", worker)[0].epoch

    def apply(self, after="(0,0)"):
        return self.pg.run("SELECT taken FROM objectlink.apply_outbox(%s, %s::tid, 1000)", self.epoch, after)[0].taken


def due_at_once(pg):
    return pg.value("SELECT due_at <= now() FROM objectlink.object WHERE state = 'unlinked'")


@pytest.mark.parametrize("together", [True, False], ids=["in one transaction", "in several"])
def test_a_put_that_is_read_after_what_became_of_it(documents, together):
    """New rows may take the place of old ones in the outbox, so its order is none."""
    pg, drainer = documents.pg, Drainer(documents.pg)
    connection = pg.connect(autocommit=not together)
    documents.put(["k"], on=connection)
    documents.delete(["k"], on=connection)
    if together:
        connection.commit()
    put = pg.value("SELECT ctid::text FROM objectlink.outbox WHERE op = 'P'")
    assert drainer.apply(after=put) == 2  # its link and its unlink, which lie behind it
    assert due_at_once(pg)
    assert drainer.apply() == 1
    assert due_at_once(pg)


def test_a_put_after_the_unlink_is_reserved(documents):
    """Its row may still come."""
    pg, drainer = documents.pg, Drainer(documents.pg)
    documents.put(["k"])
    documents.delete(["k"])
    pg.run("SELECT objectlink.put('docs', convert_to('content of k', 'UTF8'), key => 'k')")
    while drainer.apply() > 0:
        pass
    assert not due_at_once(pg)


@pytest.mark.parametrize("flushed", [False, True], ids=["lost", "kept"])
def test_a_delete_that_nobody_waited_for_and_a_crash(known, daemon, flushed):
    """The row is back and so is its object, or both are gone."""
    known.put(["a", "b"])
    known.sync()
    daemon.kill()  # its own commits would make the delete durable
    hurried = known.pg.connect()
    run(hurried, "SET synchronous_commit = off")
    run(hurried, "DELETE FROM document WHERE objectlink.key(file) = 'a'")
    if flushed:
        known.pg.run("INSERT INTO document (title) VALUES ('a commit that waits')")
    known.pg.cluster.restart("immediate")
    known.pg.close()
    assert known.linked_keys() == ({"b"} if flushed else {"a", "b"})
    daemon.start()
    known.sync()
    known.assert_in_step()


def test_crash_of_the_server_in_the_middle_of_work(known, daemon, random_seed):
    crash_loop(known, daemon, random.Random(random_seed), rounds=2)


def crash_loop(known, daemon, chance, rounds):
    for number in range(rounds):
        connection = known.pg.connect()
        run(connection, "SET synchronous_commit = " + chance.choice(["on", "off"]))
        keys = known.put([f"{number}/{key}" for key in range(20)], on=connection)
        eventually(lambda: sum(known.pg.state(key) == "stored" for key in keys) >= chance.randint(0, 20))
        known.delete(chance.sample(keys, 12), on=connection)
        events = known.pg.value("SELECT count(*) FROM objectlink.event") + chance.randint(0, 40)
        known.pg.run("DO $$ BEGIN FOR n IN 1..50 LOOP EXIT WHEN (SELECT count(*) FROM objectlink.event) >= %s;"
                     " PERFORM pg_sleep(0.01); COMMIT; END LOOP; END $$", events)
        known.pg.cluster.restart("immediate")
        known.pg.close()
    known.sync()
    known.assert_in_step(marks_held=True)
    known.assert_no_attempt_spent()
    assert daemon.alive
