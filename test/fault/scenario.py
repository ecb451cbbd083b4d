"""What every fault test does while something breaks: upload some objects, then delete half of them. Whatever happened,
the end state must be the one of a run without faults."""
import psycopg2

OBJECTS = 30
SETTLE_SECONDS_MAX = 110  # after a kill -9 everything is settled within two minutes of quiet


def key_of(number):
    return f"dir/{number}"


def content_of(number):
    return f"content {number} ".encode() * (1 + number * 40)


def upload(pg, numbers=range(OBJECTS)):
    with pg.connect(autocommit=False) as connection, connection.cursor() as cursor:
        for number in numbers:
            cursor.execute(
                "INSERT INTO document (title, file) VALUES (%s, objectlink.put('docs', %s, key => %s))",
                (str(number), psycopg2.Binary(content_of(number)), key_of(number)))


def delete(pg, numbers=range(0, OBJECTS, 2)):
    pg.run("DELETE FROM document WHERE title = ANY (%s)", [str(number) for number in numbers])


def assert_end_state(pg, bucket, present=range(OBJECTS), gone=()):
    """Registry, bucket and events agree on what is there, byte for byte, and on what is not."""
    pg.wait_for_sync(SETTLE_SECONDS_MAX)
    assert pg.states() == {key_of(number): "stored" for number in present}
    assert sorted(bucket.keys()) == sorted(key_of(number) for number in present)
    for number in present:
        assert bucket.get(key_of(number)) == content_of(number)
    for number in gone:
        assert pg.events(key_of(number))[-1].to_state == "gone"
    assert pg.value("SELECT count(*) FROM objectlink.payload") == 0


def run_through(pg, bucket, before_delete=lambda: None):
    upload(pg)
    assert_end_state(pg, bucket)
    before_delete()
    delete_half(pg, bucket)


def delete_half(pg, bucket):
    delete(pg)
    assert_end_state(pg, bucket, range(1, OBJECTS, 2), range(0, OBJECTS, 2))
