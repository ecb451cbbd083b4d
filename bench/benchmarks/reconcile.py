"""How fast is a store compared with registry and rows, with how much memory and how many requests? Against a server that lists
at once, so that all of it is the daemon and the database."""
import statistics

from figure import Figure, median_ratio
from interleave import interleave
from harness.waiting import eventually
from listed_store import SECONDS_MAX, ListedStore, ListingServer
from setting import raw_loop_seconds

KEYS = 10_000_000
FEW_KEYS = 100_000


def measure(setting):
    keys = setting.many(KEYS)
    few_peak, *_ = _compare(setting, min(FEW_KEYS, keys), 1)
    peak, runs, rates, cpu_us, longest, again = _compare(setting, keys, setting.rounds)
    requests = [1000 * run.list_requests / keys for run in runs]
    return [
        Figure("reconcile", f"compared, {keys:,} keys", statistics.median(rates["objectlinkd"]), "keys/s", (">=", 500_000), rates),
        Figure("reconcile", "CPU time of daemon and backend", cpu_us, "us/key"),
        Figure("reconcile", "over a raw libcurl loop that lists the same", median_ratio(rates["objectlinkd"], rates["raw lister"]), rounds=rates),
        Figure("reconcile", "over an ordered scan of the registry's index", median_ratio(rates["objectlinkd"], rates["index scan"]), rounds=rates),
        Figure("reconcile", "LIST requests per 1000 keys", max(requests), "", ("<=", 1.02), {"requests": requests}),
        Figure("reconcile", "listed again after kill -9 half way", 100 * again, "%", ("<=", 1)),
        Figure("reconcile", "longest transaction, looked at 4 times a second", longest, "s", ("<=", 2)),
        Figure("reconcile", f"peak of the daemon's memory, {keys:,} keys", peak, "MiB", ("<=", 64)),
        Figure("reconcile", f"its growth from {FEW_KEYS:,} keys", peak - few_peak, "MiB", ("<=", 8))]


def _compare(setting, keys, rounds):
    runs, cpu_us, transactions = [], [], []
    with ListingServer(keys) as server, setting.database() as pg:
        store = ListedStore(setting, pg, server, keys)

        def product():
            before = store.cpu_seconds()
            runs.append(store.ended(store.begin(), look=lambda: transactions.append(store.longest_transaction())))
            cpu_us.append([1e6 * (after - then) / keys for after, then in zip(store.cpu_seconds(), before)])
            return keys / runs[-1].took.total_seconds()

        def index_scan():
            took = pg.value("""EXPLAIN (ANALYZE, TIMING off, FORMAT json)
                               SELECT key FROM objectlink.object WHERE store_id = (SELECT id FROM objectlink.store) ORDER BY key""")
            return keys / (took[0]["Execution Time"] / 1000)

        with store.running():
            rates = interleave({
                "objectlinkd": product,
                "raw lister": lambda: keys / raw_loop_seconds(server.page_urls(), "GET", connections=8),
                "index scan": index_scan,
            }, rounds, "keys/s")
            peak = store.peak_mib()
            again = _listed_again(store, server)
    cpu = [statistics.median(one) for one in zip(*cpu_us)]
    print(f"  CPU, us a key: daemon {cpu[0]:.2f}, its backend {cpu[1]:.2f}, listing server {cpu[2]:.2f}")
    print(f"  {keys:,} keys: peak {peak:.1f} MiB, {runs[-1].list_requests} LIST requests, {runs[-1].pages} pages")
    return peak, runs, rates, sum(cpu[:2]), max(transactions), again


def _listed_again(store, server):
    """The share of the pages that a run asks for twice whose daemon is killed half way."""
    before = server.listings()
    store.ended(store.begin())
    undisturbed = server.listings() - before
    run = store.begin()
    eventually(lambda: store.pg.value("SELECT compared FROM objectlink.run WHERE id = %s", run) > store.count / 2, SECONDS_MAX)
    store.daemon.kill()
    store.daemon.start()
    store.ended(run)
    return (server.listings() - before - 2 * undisturbed) / undisturbed
