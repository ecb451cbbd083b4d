"""What does an attached column cost an UPDATE that leaves it alone? Of all rows at once, and of one row a transaction."""
import time

from figure import Figure, median_ratio
from interleave import interleave
from linked_tables import NAMES, create_linked_tables, empty_outboxes
from pgbench import transactions_per_second
from setting import QUIET

ROWS = 200_000
SECONDS = 4
TARGET = ("<=", 1.03)


def measure(setting):
    rows = setting.many(ROWS)
    with setting.database(**QUIET) as pg:
        # Room for a second version of each row in its page: no index is touched, so the trigger shows most.
        create_linked_tables(pg, "id bigint PRIMARY KEY, n int", "WITH (fillfactor = 40)")
        for name in NAMES:
            pg.run(f"INSERT INTO {name} SELECT i, 0, objectlink.storage_ref('docs', md5(i::text)) FROM generate_series(1, {rows}) i")
        print("  all rows in one statement")
        bulk = interleave({name: lambda name=name: update_all(pg, name) for name in NAMES}, setting.rounds)
        print("  one row a transaction, synchronous_commit off, 1 client")
        single = interleave({name: lambda name=name: update_single(setting, pg, name, rows) for name in NAMES},
                            setting.rounds, "tps")
    return [
        Figure("trigger_update", "all rows: attached over bare", median_ratio(bulk["attached"], bulk["bare"]),
               target=TARGET, rounds=bulk),
        Figure("trigger_update", "all rows: plpgsql over bare", median_ratio(bulk["plpgsql"], bulk["bare"]), rounds=bulk),
        Figure("trigger_update", "one row: attached over bare", median_ratio(single["bare"], single["attached"]),
               target=TARGET, rounds=single)]


def prepare(pg, name):
    pg.run(f"VACUUM {name}")
    empty_outboxes(pg)


def update_all(pg, name):
    prepare(pg, name)
    started = time.perf_counter()
    pg.run(f"UPDATE {name} SET n = n + 1")
    return time.perf_counter() - started


def update_single(setting, pg, name, rows):
    prepare(pg, name)
    return transactions_per_second(
        pg, f"\\set id random(1, {rows})\nUPDATE {name} SET n = n + 1 WHERE id = :id;\n", 1, setting.seconds(SECONDS),
        "-c synchronous_commit=off")
