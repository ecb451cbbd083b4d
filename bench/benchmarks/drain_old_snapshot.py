"""What does another session's old snapshot cost the drain? It keeps every dead row version from being cleaned up."""
from drained import Drained
from empty_store import EmptyStore
from figure import Figure, median_ratio
from interleave import interleave
from setting import Credentials

LINKS = 150_000


def measure(setting):
    links = setting.many(LINKS)
    with EmptyStore(setting.folder) as store, setting.database() as pg:
        drained = Drained(setting, pg, store.endpoint, "bench", Credentials())

        cpu = {"without": [], "old snapshot": []}

        def drain(name):
            done = drained.drain(links)
            cpu[name].append(1e6 * done.backend_cpu_seconds / links)
            return links / done.seconds

        def free():
            drained.load_links(links)
            return drain("without")

        def held():
            drained.load_links(links)
            with pg.connect(autocommit=False) as reader, reader.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
                cursor.execute("SELECT count(*) FROM document")
                rate = drain("old snapshot")
                reader.rollback()
            return rate

        rates = interleave({"without": free, "old snapshot": held}, setting.rounds, "op/s")
    return [
        Figure("drain_old_snapshot", "rate with an old snapshot held, over without",
               median_ratio(rates["old snapshot"], rates["without"]), target=(">=", 0.9), rounds=rates),
        Figure("drain_old_snapshot", "the same in operations per CPU time of the backend",
               median_ratio(cpu["without"], cpu["old snapshot"]), rounds=cpu)]
