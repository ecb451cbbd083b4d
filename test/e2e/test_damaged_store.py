"""Goal: of a store that others have damaged in every way, while users go on working, exactly the damage is found and exactly that is mended; then it is well again.
Method: see harness/damaged_store.py. Hundreds of objects here; thousands, versions, and a store that lists by UTF-16, in the long ones."""
import pytest

from harness.damaged_store import DamagedStore, play


@pytest.mark.limit(300)
def test_every_damage_among_hundreds_of_objects(pg, bucket, proxy, make_daemon, random_seed):
    play(DamagedStore(pg, bucket, proxy, make_daemon, count=600, each=4, seed=random_seed))


@pytest.mark.long
@pytest.mark.limit(900)
@pytest.mark.parametrize("kind", [{}, {"versioned": True}, {"utf16": True}], ids=["plain", "versioned", "utf16"])
def test_every_damage_among_thousands_of_objects(pg, bucket, proxy, make_daemon, random_seed, kind):
    play(DamagedStore(pg, bucket, proxy, make_daemon, count=5000, each=40, seed=random_seed, **kind))
