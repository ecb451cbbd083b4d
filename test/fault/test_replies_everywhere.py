"""Goal: as e2e/test_lost_replies.py, for every kind of request alone, repeatedly, and mixed at random.
Method: one fault at one kind of request, several times in a row; then a storm of all of them.
"""
import random

import pytest

FAULTS = ["cut_before", "cut_after", "truncate", "garbage", "not_http", "500", "500 after", "503", "503 after", "SlowDown", "429", "drip"]
KINDS = {
    "look": {"method": "HEAD"},
    "upload": {"method": "PUT", "query": "^$"},
    "start of a multipart upload": {"method": "POST", "query": "^uploads"},
    "part": {"method": "PUT", "query": "partNumber"},
    "end of a multipart upload": {"method": "POST", "query": "^uploadId"},
    "deletion of many": {"method": "POST", "query": "^delete"},
    "deletion of one": {"method": "DELETE"},
}


def break_reply(proxy, fault, **match):
    if fault == "garbage" and match.get("method") == "HEAD":
        fault = "not_http"  # a well-formed lie could only be believed
    if fault in ("500", "503"):
        proxy.answer(int(fault), **match)
    elif fault == "SlowDown":
        proxy.answer(503, code="SlowDown", **match)
    elif fault == "429":
        proxy.answer(429, headers={"Retry-After": "1"}, **match)
    elif fault.endswith(" after"):
        proxy.replace_reply(int(fault.split()[0]), code="InternalError", **match)
    elif fault == "drip":
        proxy.drip(bytes_at_once=8, pause=0.005, **match)
    else:
        getattr(proxy, fault)(**match)


@pytest.fixture
def stored(documents, daemon):
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB', ADD request_timeout '5s')")
    daemon.restart()
    return documents


def come_and_go(documents):
    fresh = documents.put_fresh(3) + documents.put_fresh(1, size=6 << 20)
    chosen = documents.put(["chosen/1", "chosen/2"])
    there = documents.link(["there/1", "there/2"])
    documents.sync(100)
    documents.delete([fresh[0], fresh[3], chosen[0], there[0]])
    documents.sync(100)
    documents.delete([fresh[1]])
    documents.sync(100)


@pytest.mark.limit(300)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fault", FAULTS)
def test_three_times_in_a_row(stored, proxy, fault, kind):
    break_reply(proxy, fault, times=3, **KINDS[kind])
    come_and_go(stored)
    assert len([done for done in proxy.operations() if done.fault]) >= 1
    stored.assert_in_step(marks_held=True, stale_uploads=True)
    stored.assert_no_attempt_spent()


@pytest.mark.limit(600)
def test_storm(stored, proxy, random_seed):
    chance = random.Random(random_seed)
    for _ in range(150):
        break_reply(proxy, chance.choice(FAULTS), skip=chance.randint(0, 8), **chance.choice(list(KINDS.values())))
    living = []
    for number in range(30):
        living += stored.put_fresh(10) + stored.put([f"{number}/1", f"{number}/2"]) + stored.link([f"there/{number}"])
        if number % 10 == 0:
            living += stored.put_fresh(1, size=6 << 20)
        chance.shuffle(living)
        gone, living = living[:len(living) // 2], living[len(living) // 2:]
        stored.delete(gone)
        stored.sync(100)
    assert stored.linked_keys() == set(living)
    stored.assert_in_step(marks_held=True, stale_uploads=True)
    stored.assert_no_attempt_spent()
