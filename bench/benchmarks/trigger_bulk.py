"""What does an attached column cost a bulk INSERT? One statement of many rows, in one transaction."""
import statistics
import time

from figure import Figure, median_ratio
from interleave import interleave
from linked_tables import NAMES, create_linked_tables, empty
from process import cpu_seconds
from setting import QUIET

ROWS = 300_000
BODY_BYTES = 950  # a row of 1 kB with the key

# Keys of 50 bytes, as put() makes them: random within a folder. "in order" is the case where the index costs least.
SOURCES = {
    "narrow": ("md5(i::text)", "NULL", ("<=", 1.6)),
    "1 kB": ("md5(i::text)", f"repeat('x', {BODY_BYTES})", ("<=", 1.45)),
    "narrow, keys in order": ("lpad(i::text, 32, '0')", "NULL", None),
}


def measure(setting):
    figures = []
    with setting.database(**QUIET) as pg:
        create_linked_tables(pg, "id bigint, body text")
        pg.run("CREATE TABLE source (id bigint, body text, file objectlink.storage_ref)")
        for shape, (key, body, target) in SOURCES.items():
            pg.run("TRUNCATE source")
            pg.run(f"""INSERT INTO source SELECT i, {body}, objectlink.storage_ref('docs', '2026/11/' || {key})
                       FROM generate_series(1, {setting.many(ROWS)}) i""")
            pg.run("VACUUM ANALYZE source")
            figures += compare(setting, pg, shape, target)
    return figures


def compare(setting, pg, shape, target):
    print(f"  {shape}")
    backend = pg.value("SELECT pg_backend_pid()")
    cpu = {name: [] for name in NAMES}

    def insert(name):
        empty(pg, name)
        cpu_before, started = cpu_seconds(backend), time.perf_counter()
        pg.run(f"INSERT INTO {name} SELECT * FROM source")
        taken = time.perf_counter() - started
        cpu[name].append(cpu_seconds(backend) - cpu_before)
        return taken

    for name in NAMES:  # a session learns about a table at first use
        insert(name)
        cpu[name].clear()
    taken = interleave({name: lambda name=name: insert(name) for name in NAMES}, setting.rounds)
    bare, attached, plpgsql = (statistics.median(taken[name]) for name in NAMES)
    return [
        Figure("trigger_bulk", f"{shape}: attached over bare", median_ratio(taken["attached"], taken["bare"]),
               target=target, rounds=taken),
        Figure("trigger_bulk", f"{shape}: the same in CPU time of the backend", median_ratio(cpu["attached"], cpu["bare"]), rounds=cpu),
        Figure("trigger_bulk", f"{shape}: added by plpgsql over added by attached",
               (plpgsql - bare) / max(attached - bare, 1e-3), target=(">=", 3) if target else None, rounds=taken)]
