"""Which steps does the daemon go through for one object, and how does a test bring it to each of them and keep it there?"""
import itertools
from types import SimpleNamespace

from harness.standstill import HeldRequest, HeldStatement, OpenWriter, lock_events, lock_object
from harness.waiting import eventually

MULTIPART_SIZE = 11 << 20  # three parts
_numbers = itertools.count(1)


def scene_of(documents, proxy, daemon):
    """Some stored objects, a few of them shared, that must survive all of it."""
    documents.pg.run("ALTER SERVER docs OPTIONS (ADD part_size '5MB', ADD multipart_threshold '5MB')")
    kept = documents.put(["kept/1", "kept/2"]) + documents.put_fresh(2)
    documents.refer(kept[:2])
    documents.sync()
    return SimpleNamespace(documents=documents, pg=documents.pg, proxy=proxy, daemon=daemon, kept=kept)


def new_keys(name):
    """A step may be taken twice in one database."""
    return [f"{name}/{next(_numbers)}" for _ in range(2)]


# Each brings the daemon to a step where it stands still, and says how what is under way goes on or is lost.

def apply_links(scene):
    lock = lock_events(scene.pg)
    scene.documents.put_fresh(3)
    return lock.reached("apply_outbox")


def look_before_upload(scene):
    held = HeldRequest(scene.proxy, method="HEAD")
    scene.documents.put(new_keys("chosen"))
    return held.reached()


def upload(scene, after=False):
    held = HeldRequest(scene.proxy, method="PUT", after=after)
    scene.documents.put_fresh(3)
    return held.reached()


def upload_done(scene):
    return upload(scene, after=True)


def upload_to_chosen_key_done(scene):
    held = HeldRequest(scene.proxy, method="PUT", after=True)
    scene.documents.put(new_keys("chosen"))
    return held.reached()


def settle_upload(scene):
    held = upload(scene, after=True)
    lock = lock_events(scene.pg)
    held.go_on()
    return lock.reached("settle")


def multipart(scene, after=False, **match):
    held = HeldRequest(scene.proxy, after=after, **match)
    scene.documents.put_fresh(1, size=MULTIPART_SIZE)
    return held.reached()


def multipart_second_part(scene):
    return multipart(scene, method="PUT", query="partNumber=2")


def multipart_complete(scene):
    return multipart(scene, method="POST", query="^uploadId=")


def multipart_completed(scene):
    return multipart(scene, after=True, method="POST", query="^uploadId=")


def verify(scene):
    held = HeldRequest(scene.proxy, method="HEAD")
    scene.documents.link(new_keys("there"))
    return held.reached()


def settle_verify(scene):
    held = verify(scene)
    lock = lock_events(scene.pg)
    held.go_on()
    return lock.reached("settle")


def apply_unlinks(scene):
    keys = victims(scene)
    lock = lock_events(scene.pg)
    scene.documents.delete(keys)
    return lock.reached("apply_outbox")


def condemn(scene):
    keys = victims(scene)
    # The daemon's own insert of the mark waits to see what becomes of this one.
    lock = HeldStatement(scene.pg, "INSERT INTO objectlink.condemned (ref) VALUES (objectlink.storage_ref('docs', %s))", keys[0])
    scene.documents.delete(keys)
    return lock.reached(r"objectlink\.condemn\(")


def barrier(scene):
    keys = victims(scene)
    writer = OpenWriter(scene.pg)
    scene.documents.delete(keys)
    eventually(lambda: {scene.pg.state(key) for key in keys} == {"deleting"})
    return writer


def issue(scene):
    keys = victims(scene)
    writer = OpenWriter(scene.pg)
    scene.documents.delete(keys)
    eventually(lambda: {scene.pg.state(key) for key in keys} == {"deleting"})
    lock = lock_object(scene.pg, keys[1])
    writer.go_on()
    return lock.reached(r"objectlink\.issue\(")


def delete_many(scene, after=False):
    keys = victims(scene)
    held = HeldRequest(scene.proxy, method="POST", query="^delete", after=after)
    scene.documents.delete(keys)
    return held.reached()


def delete_many_done(scene):
    return delete_many(scene, after=True)


def delete_one(scene, after=False):
    keys = victims(scene)
    held = HeldRequest(scene.proxy, method="DELETE", after=after)
    scene.documents.delete(keys[:1])
    return held.reached()


def delete_one_done(scene):
    return delete_one(scene, after=True)


def proof_of_deletion(scene):
    keys = victims(scene)
    held = HeldRequest(scene.proxy, method="HEAD")
    scene.documents.delete(keys)
    return held.reached()


def settle_deletion(scene):
    held = proof_of_deletion(scene)
    lock = lock_events(scene.pg)
    held.go_on()
    return lock.reached("settle")


def victims(scene):
    """Stored objects that are to be deleted."""
    keys = scene.documents.put_fresh(1) + scene.documents.put(new_keys("victim"))
    scene.documents.sync()
    return keys


STEPS = [apply_links, look_before_upload, upload, upload_done, upload_to_chosen_key_done, settle_upload,
         multipart_second_part, multipart_complete, multipart_completed, verify, settle_verify,
         apply_unlinks, condemn, barrier, issue, delete_many, delete_many_done, delete_one, delete_one_done,
         proof_of_deletion, settle_deletion]
