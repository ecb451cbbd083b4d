"""How fast are links verified? Against a server that answers at once, so that all of it is the daemon and the database."""
import statistics

from drained import Drained
from empty_store import EmptyStore
from figure import Figure, median_ratio
from interleave import interleave
from setting import Credentials, boto3_seconds, raw_loop_seconds

LINKS = 100_000
BOTO3_REQUESTS = 2_000


def measure(setting):
    links = setting.many(LINKS)
    requests = setting.many(BOTO3_REQUESTS)
    with EmptyStore(setting.folder) as store, setting.database() as pg:
        drained = Drained(setting, pg, store.endpoint, "bench", Credentials())

        def product():
            drained.load_links(links)
            return links / drained.drain(links).seconds

        rates = interleave({
            "objectlinkd": product,
            "raw loop": lambda: links / raw_loop_seconds(store.urls(links)),
            "boto3": lambda: requests / boto3_seconds("head", store.endpoint, "bench", Credentials(), requests),
        }, setting.rounds, "op/s")
    return [
        Figure("drain_verify", "verified, from the daemon's start", statistics.median(rates["objectlinkd"]), "op/s",
               (">=", 8000), rates),
        Figure("drain_verify", "over a raw libcurl loop", median_ratio(rates["objectlinkd"], rates["raw loop"]),
               target=(">=", 0.6), rounds=rates),
        Figure("drain_verify", "over a boto3 thread pool", median_ratio(rates["objectlinkd"], rates["boto3"]),
               target=(">=", 10), rounds=rates)]
