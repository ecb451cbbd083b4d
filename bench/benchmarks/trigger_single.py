"""What does an attached column cost an INSERT of one row? Transactions per second of pgbench, fsync on."""
import statistics

from figure import Figure, median_ratio
from interleave import interleave
from linked_tables import NAMES, create_linked_tables, empty
from pgbench import run_pgbench
from setting import QUIET

SECONDS = 4
INSERT = """\\set id random(1, 1000000000)
INSERT INTO {table} (id, file) VALUES (:id, ('s3://docs/2026/11/' || md5(random()::text))::objectlink.storage_ref);
"""


def measure(setting):
    figures = []
    with setting.database(**{**QUIET, "fsync": "on", "full_page_writes": "on"}) as pg:
        create_linked_tables(pg, "id bigint")
        for commit, bound in (("on", 1.15), ("off", 1.3)):
            gain = []
            for clients in (1, 8):
                rates, cpu = compare(setting, pg, clients, commit)
                what = f"synchronous_commit {commit}, {clients} client{'s' if clients > 1 else ''}"
                figures += [
                    Figure("trigger_single", f"{what}: attached over bare", median_ratio(rates["bare"], rates["attached"]),
                           target=("<=", bound), rounds=rates),
                    Figure("trigger_single", f"{what}: the same in CPU time of the backends",
                           median_ratio(cpu["attached"], cpu["bare"]), rounds=cpu),
                    Figure("trigger_single", f"{what}: plpgsql over bare", median_ratio(rates["bare"], rates["plpgsql"]), rounds=rates)]
                gain.append({name: statistics.median(rates[name]) for name in NAMES})
            one, eight = gain
            figures.append(Figure(
                "trigger_single", f"synchronous_commit {commit}: gain from 1 to 8 clients, attached over bare",
                (eight["attached"] / one["attached"]) / (eight["bare"] / one["bare"]), target=(">=", 0.95)))
    return figures


def compare(setting, pg, clients, commit):
    print(f"  synchronous_commit {commit}, clients: {clients}")
    cpu = {name: [] for name in NAMES}

    def rate(name):
        empty(pg, name)
        run = run_pgbench(pg, INSERT.format(table=name), clients, setting.seconds(SECONDS), commit)
        cpu[name].append(run.cpu_us)
        return run.tps

    return interleave({name: lambda name=name: rate(name) for name in NAMES}, setting.rounds, "tps"), cpu
