"""Does the daemon's memory depend on how much waits? A million rows in the outbox; one run, memory is not noisy."""
from drained import Drained
from empty_store import EmptyStore
from figure import Figure
from process import peak_resident_mib, resident_mib
from setting import Credentials

WAITING = 1_000_000
DRAINED = 300_000


def measure(setting):
    waiting, drained_links = setting.many(WAITING), setting.many(DRAINED)
    with EmptyStore(setting.folder) as store, setting.database() as pg:
        drained = Drained(setting, pg, store.endpoint, "bench", Credentials())
        drained.load_links(waiting)
        with drained.running() as daemon:
            samples = []
            drained.wait_stored(drained_links, lambda: samples.append((drained.stored(), resident_mib(daemon.pid))))
            peak = peak_resident_mib(daemon.pid)
    early = next(memory for stored, memory in samples if stored >= drained_links // 10)
    late = samples[-1][1]
    print(f"  at 10 %: {early:.1f} MiB, at the end: {late:.1f} MiB, peak: {peak:.1f} MiB")
    rounds = {"samples": samples[::max(1, len(samples) // 100)]}
    return [
        Figure("drain_memory", f"peak while {waiting:,} rows wait", peak, "MiB", ("<=", 64), rounds),
        Figure("drain_memory", f"growth from 10 % to all of {drained_links:,}", late - early, "MiB", ("<=", 4), rounds)]
