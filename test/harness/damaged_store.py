"""The whole story of a store that an outside client has damaged in every way while users go on working: found exactly, mended exactly, well again."""
import collections

from conftest import create_document_table
from harness.damage import FOREIGN, PREFIX, Damage, Users, at_once, below_prefix
from harness.documents import Documents, content_of
from harness.runs import settle_clock
from harness.waiting import eventually
from sigv4.probe import key_corpus

PAGE_SIZE = 50
PAGES = f"max-keys={PAGE_SIZE}(&|$)"
UTF16_PAIR = ["\ufffd", "\U0001f600"]  # in this order by their bytes
WORDS = '{"stored": "READY", "missing": "ERROR", "corrupt": "ERROR", "failed": "ERROR"}'


class DamagedStore:
    """count: objects of ours, of which `each` suffer from every kind of damage. utf16: the store lists in that order."""

    def __init__(self, pg, bucket, proxy, make_daemon, count, each, seed, versioned=False, utf16=False):
        self.pg, self.bucket, self.proxy, self.versioned, self.utf16 = pg, bucket, proxy, versioned, utf16
        if versioned:
            bucket.set_versioning("Enabled")
        # An object that is not there is given up at once, so that the link to it is settled.
        pg.create_server("docs", proxy.endpoint, bucket.name, prefix=PREFIX, orphan_grace="0", upload_grace="0", max_attempts="1")
        create_document_table(pg)
        pg.run("ALTER TABLE document ADD status text")
        pg.run("SELECT objectlink.alter_attachment('document', 'file', status_column => 'status', status_map => %s)", WORDS)
        # That a run rests beside users is tested elsewhere.
        pg.run(f"ALTER DATABASE {pg.name} SET objectlink.reconcile_share = 1")
        self.daemon = make_daemon(name="daemon")
        self.documents = Documents(pg, bucket)
        odd = below_prefix(key_corpus())
        keys = [PREFIX + f"{'abk'[number % 3]}/{number:06}" for number in range(count)]
        self.lost_odd, self.strange_odd = odd[1::3], odd[2::3]
        self.erased = [PREFIX + f"erased/{number}" for number in range(each)]
        everything = [*keys, *odd[::3], *self.lost_odd, *self.erased, *(PREFIX + "pair/" + key for key in UTF16_PAIR)]
        at_once(lambda key: self.documents.upload(key, content_of(key)), everything)
        self.documents.refer(everything)
        self.documents.sync(300)
        self.documents.delete(self.erased)
        self.documents.sync()
        self.damage = Damage(self.documents, keys, each, seed)

    def suffer(self):
        self.damage.of_objects(self.lost_odd)
        self.damage.of_strangers(self.strange_odd)
        if self.versioned:
            self.damage.of_versions()
        self.damage.brought_back(self.erased)
        self.damage.behind_the_triggers()
        settle_clock(self.bucket)

    # Runs

    def run(self, mode="report", faults=lambda: None, **more):
        """To its end, or to what `faults` makes of it; its row in view runs."""
        self.proxy.clear()
        meet = faults()
        if self.utf16:
            self.proxy.sort_listings_as_utf16()
        named = "".join(f", {name} => {value}" for name, value in more.items())
        run = self.pg.value(f"SELECT objectlink.reconcile_storage('docs', '{mode}', page_size => {PAGE_SIZE}{named})")
        if meet:
            meet(run)
        self.pg.run("CALL objectlink.wait_for_run(%s, '200 seconds')", run)
        return self.pg.run("SELECT * FROM objectlink.runs WHERE id = %s", run)[0]

    def troubled_run(self):
        """Pages and looks fail now and then, and the daemon is killed in the middle."""
        def faults():
            for skip in (1, 4):
                self.proxy.answer(500, code="InternalError", method="GET", query=PAGES, own=None, skip=skip)
            self.proxy.cut_after(method="HEAD", times=3)
            gate = self.proxy.hold(method="GET", query=PAGES, own=None, skip=8)

            def kill_there(_):
                gate.wait_reached()
                self.daemon.kill()
                gate.open()
                self.daemon.start()
            return kill_there
        return self.run(faults=faults)

    def cancelled_run(self):
        def faults():
            gate = self.proxy.hold(method="GET", query=PAGES, own=None, skip=6)

            def cancel_there(run):
                gate.wait_reached()
                self.pg.run("SELECT objectlink.cancel_run(%s)", run)
                gate.open()
            return cancel_there
        return self.run(faults=faults)

    def overtaken_run(self, users):
        """Its first page is of a time before: of what it shows users have deleted some since, and put other things."""
        def faults():
            gate = self.proxy.hold(after=True, method="GET", query=PAGES, own=None)

            def wait_for_users(_):
                gate.wait_reached()
                before = users.rounds
                eventually(lambda: users.rounds > before + Users.PLACES)
                gate.open()
            return wait_for_users
        return self.run(faults=faults)

    # What there is

    def findings(self):
        """{(key, kind): status}, of all that was ever found"""
        rows = self.pg.run("SELECT key, kind, status FROM objectlink.finding")
        found = {(row.key, row.kind): row.status for row in rows}
        assert len(found) == len(rows), "each once"
        return found

    def assert_found(self, *statuses):
        found = self.findings()
        assert found.keys() == self.damage.expected, {"too much": found.keys() - self.damage.expected, "too little": self.damage.expected - found.keys()}
        assert set(found.values()) == set(statuses)

    def keys_shown(self, word):
        return {row.key for row in self.pg.run("SELECT objectlink.key(file) AS key FROM document WHERE status = %s", word)}

    def keys_in(self, state):
        return {key for key, its in self.pg.states().items() if its == state}

    def bystanders(self):
        """What lies in the bucket, but what users put there."""
        return {key: told for key, told in self.bucket.listing().items() if "/live/" not in key}


def play(story):
    """story: a DamagedStore, not damaged yet."""
    pg, damage = story.pg, story.damage
    story.suffer()
    untouched = story.bystanders()
    with Users(story.documents) as users:
        eventually(lambda: users.rounds > 2)
        assert story.troubled_run().state == "done"
        story.assert_found("suspected", "open")
        assert story.cancelled_run().state == "cancelled"
        assert story.overtaken_run(users).state == "done"
        story.assert_found("open")
        # As many as this are more than a repair does without a person; here they are meant.
        assert story.run("repair", repair_limit=1000000, repair_limit_share=100).state == "done"
    if story.utf16:
        story.daemon.wait_log("reconcile.out_of_order")
    story.documents.sync(200)
    assert_mended_and_no_more(story, untouched)
    make_well(story)


def assert_mended_and_no_more(story, untouched):
    damage = story.damage
    assert story.bystanders() == untouched
    assert story.bucket.unfinished_uploads() == ["out/upload"]
    missing, corrupt = ({key for key, kind in damage.expected if kind == wanted} for wanted in ("missing", "corrupt"))
    assert story.keys_in("missing") == missing and story.keys_in("corrupt") == corrupt
    # A link to what is not there ends as every such link does; what was let go behind the triggers waits for a person.
    assert story.keys_in("failed") == set(damage.absent) and story.keys_in("unlinked") == set(damage.let_go)
    in_error = missing | corrupt | set(damage.absent)
    assert story.keys_shown("ERROR") == in_error
    assert story.keys_shown("READY") == story.documents.linked_keys() - in_error == story.keys_in("stored")


def make_well(story):
    """Put back, decided about, uploaded at last: all of it heals, and every finding closes."""
    pg, damage = story.pg, story.damage
    damage.put_back()
    for key in damage.absent:
        story.documents.upload(key, content_of(key))
    kinds = collections.Counter(kind for _, kind in damage.expected)
    # Versions first: one that lies below an orphan would come to light with it.
    for kind in ("stray_version", "stray_marker", "orphan", "undeleted"):
        assert pg.value("SELECT objectlink.resolve_all('delete', 'docs', kind => %s, dry_run => false, at_most => 10000)", kind) == kinds[kind]
        story.documents.sync(200)
    pg.run("SELECT objectlink.release_deletions('docs', prefix => %s)", PREFIX)
    story.documents.sync(200)
    settle_clock(story.bucket)
    assert story.run().state == "done"
    story.documents.sync()
    assert story.keys_shown("ERROR") == set()
    # What was overwritten in a versioned bucket, and put back, has left its versions there.
    left = {kind for (_, kind), status in story.findings().items() if status != "resolved"}
    assert left == set() or story.versioned and left <= {"stray_version", "stray_marker"}
    story.documents.assert_in_step(foreign=FOREIGN, marks_held=True, stale_uploads=True)
