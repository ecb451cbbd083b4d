"""What does an attached column cost an UPDATE that leaves it alone? Of one row a transaction, and of all rows at once.

PostgreSQL itself takes time for any row trigger after an UPDATE, even one whose WHEN is constantly false: "never" has one.
"""
import time

from figure import Figure, median_ratio
from interleave import interleave
from linked_tables import create_linked_tables, empty_outboxes
from pgbench import run_pgbench
from process import cpu_seconds
from setting import QUIET

NAMES = ["bare", "attached", "never"]
ROWS = 200_000
SECONDS = 4
TARGET = ("<=", 1.03)


def measure(setting):
    figures = []
    # With room for a second version of each row in its page no index is touched: there the trigger shows most.
    for table, options, target in (("ordinary table", "", TARGET), ("only HOT updates", "WITH (fillfactor = 40)", None)):
        with setting.database(**QUIET) as pg:
            create_linked_tables(pg, "id bigint PRIMARY KEY, n int", options)
            pg.run(f"CREATE TABLE never (LIKE bare INCLUDING INDEXES) {options}")
            pg.run("CREATE TRIGGER never AFTER UPDATE ON never FOR EACH ROW WHEN (false) EXECUTE FUNCTION plpgsql_link()")
            rows = setting.many(ROWS)
            for name in NAMES:
                pg.run(f"""INSERT INTO {name} SELECT i, 0, objectlink.storage_ref('docs', md5(i::text))
                           FROM generate_series(1, {rows}) i""")
            figures += [*update_all(setting, pg, table, target), *update_single(setting, pg, table, rows)]
    return figures


def prepare(pg, name):
    pg.run(f"VACUUM {name}")
    empty_outboxes(pg)


def update_all(setting, pg, table, target):
    print(f"  {table}, all rows in one statement")
    backend = pg.value("SELECT pg_backend_pid()")
    cpu = {name: [] for name in NAMES}

    def update(name):
        prepare(pg, name)
        cpu_before, started = cpu_seconds(backend), time.perf_counter()
        pg.run(f"UPDATE {name} SET n = n + 1")
        taken = time.perf_counter() - started
        cpu[name].append(cpu_seconds(backend) - cpu_before)
        return taken

    for name in NAMES:
        update(name)
        cpu[name].clear()
    taken = interleave({name: lambda name=name: update(name) for name in NAMES}, setting.rounds)
    return [
        Figure("trigger_update", f"{table}, all rows: attached over bare", median_ratio(taken["attached"], taken["bare"]),
               target=target, rounds=taken),
        Figure("trigger_update", f"{table}, all rows: the same in CPU time of the backend",
               median_ratio(cpu["attached"], cpu["bare"]), rounds=cpu),
        Figure("trigger_update", f"{table}, all rows: a trigger that never fires over bare, in CPU time",
               median_ratio(cpu["never"], cpu["bare"]), rounds=cpu)]


def update_single(setting, pg, table, rows):
    print(f"  {table}, one row a transaction, synchronous_commit off, 1 client")
    cpu = {name: [] for name in NAMES}

    def rate(name):
        prepare(pg, name)
        run = run_pgbench(pg, f"\\set id random(1, {rows})\nUPDATE {name} SET n = n + 1 WHERE id = :id;\n", 1,
                          setting.seconds(SECONDS), "off")
        cpu[name].append(run.cpu_us)
        return run.tps

    rates = interleave({name: lambda name=name: rate(name) for name in NAMES}, setting.rounds, "tps")
    return [
        Figure("trigger_update", f"{table}, one row: attached over bare", median_ratio(rates["bare"], rates["attached"]),
               target=TARGET, rounds=rates),
        Figure("trigger_update", f"{table}, one row: the same in CPU time of the backend",
               median_ratio(cpu["attached"], cpu["bare"]), rounds=cpu)]
