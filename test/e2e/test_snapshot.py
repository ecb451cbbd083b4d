"""Goal: other sessions' open transactions delay only what must not happen before they end.
Method: one session keeps an old snapshot for the whole test; another has written rows and does not commit.
"""
import pytest

from harness.postgres import run
from harness.standstill import OpenWriter
from harness.waiting import always, eventually


def test_an_old_snapshot_delays_nothing(documents, daemon):
    reader = documents.pg.connect(autocommit=False)
    run(reader, "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    run(reader, "SELECT count(*) FROM document")
    for _ in range(3):
        keys = documents.put_fresh(100)
        documents.sync(20)
        documents.delete(keys[:90])
        documents.sync(20)
    assert run(reader, "SELECT count(*) FROM document")[0].count == 0
    documents.assert_in_step()


def test_a_writer_elsewhere_delays_nothing(documents, daemon):
    """It holds back the xmin horizon, but it can't have written a row that links anything."""
    documents.pg.run("CREATE TABLE elsewhere (n int)")
    other = documents.pg.connect(autocommit=False)
    run(other, "INSERT INTO elsewhere VALUES (1)")
    keys = documents.put_fresh(5)
    documents.sync(20)
    documents.delete(keys)
    documents.sync(20)
    documents.assert_in_step()


def test_an_open_writer_delays_deletions_and_nothing_else(documents, daemon):
    victims = documents.put_fresh(5)
    documents.sync()
    writer = OpenWriter(documents.pg)
    documents.delete(victims)
    eventually(lambda: all(documents.pg.state(key) == "deleting" for key in victims))
    for _ in range(3):
        keys = documents.put_fresh(5)
        documents.link(["there"])
        eventually(lambda: all(documents.pg.state(key) == "stored" for key in keys), 10)
    always(lambda: all(documents.bucket.exists(key) for key in victims), 0.5)
    writer.go_on()
    documents.sync()
    documents.assert_in_step()


def test_a_writer_that_links_what_is_being_deleted_wins_before_the_mark(documents, daemon):
    """It looked before the mark was there, so the barrier waits for it, and then its row is found."""
    key, = documents.put_fresh(1)
    documents.sync()
    writer = documents.pg.connect(autocommit=False)
    documents.refer([key], on=writer)
    documents.delete([key])
    eventually(lambda: documents.pg.state(key) == "deleting")
    writer.commit()
    documents.sync()
    assert documents.linked_keys() == {key}
    documents.assert_in_step()


def test_an_uncommitted_row_is_no_row(documents, daemon):
    writer = documents.pg.connect(autocommit=False)
    documents.put(["uncommitted"], on=writer)
    documents.put(["committed"])
    eventually(lambda: documents.pg.state("committed") == "stored")
    assert documents.pg.state("uncommitted") is None
    writer.rollback()
    documents.sync()
    documents.assert_in_step()


@pytest.mark.parametrize("mode", ["ACCESS EXCLUSIVE", "SHARE"])
def test_a_locked_table_delays_only_what_has_to_be_asked_of_it(documents, daemon, mode):
    documents.pg.run("CREATE TABLE other (file objectlink.storage_ref)")
    documents.pg.run("SELECT objectlink.attach('other', 'file')")
    victims = documents.put_fresh(3)
    documents.sync()
    locker = documents.pg.connect(autocommit=False)
    run(locker, f"LOCK TABLE other IN {mode} MODE")
    keys = documents.put_fresh(3)
    eventually(lambda: all(documents.pg.state(key) == "stored" for key in keys), 15)
    documents.delete(victims)
    if mode == "ACCESS EXCLUSIVE":
        always(lambda: all(documents.bucket.exists(key) for key in victims), 1)
    locker.rollback()
    documents.sync()
    documents.assert_in_step()
