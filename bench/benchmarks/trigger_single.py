"""What does an attached column cost an INSERT of one row? Transactions per second of pgbench, fsync on."""
import statistics

from figure import Figure, median_ratio
from interleave import interleave
from linked_tables import NAMES, create_linked_tables, empty
from pgbench import transactions_per_second
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
            rates = {}
            for clients in (1, 8):
                print(f"  synchronous_commit {commit}, {clients} clients")
                rates[clients] = interleave(
                    {name: lambda name=name: rate(setting, pg, name, clients, commit) for name in NAMES},
                    setting.rounds, "tps")
                figures += [
                    Figure("trigger_single", f"synchronous_commit {commit}, {clients} clients: attached over bare",
                           median_ratio(rates[clients]["bare"], rates[clients]["attached"]), target=("<=", bound),
                           rounds=rates[clients]),
                    Figure("trigger_single", f"synchronous_commit {commit}, {clients} clients: plpgsql over bare",
                           median_ratio(rates[clients]["bare"], rates[clients]["plpgsql"]), rounds=rates[clients])]
            gain = {name: statistics.median(rates[8][name]) / statistics.median(rates[1][name]) for name in NAMES}
            figures.append(Figure("trigger_single", f"synchronous_commit {commit}: gain from 1 to 8 clients, attached over bare",
                                  gain["attached"] / gain["bare"], target=(">=", 0.95), rounds=gain))
    return figures


def rate(setting, pg, name, clients, commit):
    empty(pg, name)
    return transactions_per_second(pg, INSERT.format(table=name), clients, setting.seconds(SECONDS),
                                   f"-c synchronous_commit={commit}")
