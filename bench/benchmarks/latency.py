"""How long after COMMIT does the PUT arrive? On an idle system, compared with a PUT sent directly at the same moment."""
import http.client
import random
import select
import statistics
import time

from arrival_store import ArrivalStore
from drained import Drained
from figure import Figure, percentile
from harness.postgres import run
from harness.waiting import eventually
from interleave import interleave
from setting import Credentials

OBJECTS_A_ROUND = 60
PAUSE_SECONDS = (0.25, 0.5)  # random, so that the daemon sleeps, and at no fixed point of its waiting
SHORT_PAUSE_SECONDS = (0.02, 0.05)
BODY = b"x" * 100


def measure(setting):
    objects = max(10, setting.many(OBJECTS_A_ROUND) if setting.scale >= 1 else 10)
    with ArrivalStore() as store, setting.database(max_prepared_transactions=0) as pg:
        drained = Drained(setting, pg, store.endpoint, "bench", Credentials())
        writer = pg.connect(autocommit=False)
        listener, asker = pg.connect(), pg.connect()
        run(listener, "LISTEN bench")
        samples = {"objectlinkd": [], "raw PUT": [], "LISTEN and one query": []}

        def round_of(name, once, pause=SHORT_PAUSE_SECONDS):
            taken = []
            for _ in range(objects):
                time.sleep(random.uniform(*pause))
                taken.append(once() * 1000)
            samples[name] += taken
            return statistics.median(taken)

        with drained.running() as daemon:
            eventually(lambda: daemon.metric("objectlink_database_connected") == 1, 30)
            for _ in range(3):  # connections are open before the clock runs
                committed_put(writer, store)
                time.sleep(0.5)
            interleave({
                "objectlinkd": lambda: round_of("objectlinkd", lambda: committed_put(writer, store), PAUSE_SECONDS),
                "raw PUT": lambda: round_of("raw PUT", raw_put_of(store)),
                "LISTEN and one query": lambda: round_of("LISTEN and one query", lambda: woken(listener, asker)),
            }, setting.rounds, "ms")
    raw = statistics.median(samples["raw PUT"])
    return [
        Figure("latency", "COMMIT sent to PUT arrived, over a raw PUT: p50", statistics.median(samples["objectlinkd"]) - raw,
               "ms", ("<=", 2), samples),
        Figure("latency", "COMMIT sent to PUT arrived, over a raw PUT: p99", percentile(samples["objectlinkd"], 99) - raw,
               "ms", ("<=", 10), samples),
        Figure("latency", "limit: COMMIT of a NOTIFY to the end of one query, p50",
               statistics.median(samples["LISTEN and one query"]), "ms", rounds=samples),
        Figure("latency", "limit: the same, p99", percentile(samples["LISTEN and one query"], 99), "ms", rounds=samples)]


def committed_put(writer, store):
    """Seconds from sending COMMIT to the arrival; the commit itself is part of them."""
    ref = run(writer, "INSERT INTO document VALUES (1, objectlink.put('docs', %s)) RETURNING objectlink.key(file)", BODY)
    path = f"/bench/{ref[0][0]}"
    started = time.perf_counter()
    writer.commit()
    return eventually(lambda: store.arrivals.get(path), 30) - started


def raw_put_of(store):
    connection = http.client.HTTPConnection("127.0.0.1", store.port)
    connection.connect()
    numbers = iter(range(1_000_000))

    def raw_put():
        path = f"/bench/raw/{next(numbers)}"
        started = time.perf_counter()
        connection.request("PUT", path, BODY)
        connection.getresponse().read()
        return store.arrivals[path] - started

    return raw_put


def woken(listener, asker):
    """Seconds from sending a NOTIFY (its own transaction) until a listener has been woken and has asked something."""
    started = time.perf_counter()
    run(asker, "NOTIFY bench")
    while not listener.notifies:
        select.select([listener], [], [], 10)
        listener.poll()
    listener.notifies.clear()
    run(listener, "SELECT 1")
    return time.perf_counter() - started
