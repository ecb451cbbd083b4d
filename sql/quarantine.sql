-- Goal: quarantine refuses what it cannot move, goes step by step, and waits for whatever its key waits for.
-- Method: one session plays user and daemon; what the store would answer is written down.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
SELECT daemon.start();
CREATE FUNCTION daemon.found(p_key text, p_kind text DEFAULT 'orphan', p_status text DEFAULT 'open', p_size bigint DEFAULT 7) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence)
  VALUES (daemon.store_id('docs'), p_key, p_kind, p_status, 1, 1, jsonb_build_object('size', p_size, 'etag', '"e"')) RETURNING id $$;
CREATE FUNCTION daemon.quarantine_work() RETURNS TABLE (id bigint, step text, key text, copy text) LANGUAGE sql AS $$
  UPDATE objectlink.quarantine SET due_at = '-infinity' WHERE due_at IS NOT NULL AND due_at < clock_timestamp() + interval '1 minute';
  SELECT w.id, w.step, w.key, regexp_replace(w.copy_key, '[0-9a-f]{8}-[0-9a-f-]{27}', 'uuid') FROM objectlink.quarantine_work(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) w $$;
CREATE FUNCTION daemon.quarantine_settle(p_id bigint, p_step text, p_outcome text, p_more jsonb DEFAULT '{}') RETURNS int LANGUAGE sql AS $$
  SELECT objectlink.settle_quarantine(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
    json_build_array(jsonb_build_object('id', p_id, 'step', p_step, 'outcome', p_outcome, 'etag', 'c') || p_more)) $$;
CREATE FUNCTION daemon.looked(p_sighting text) RETURNS int LANGUAGE sql AS $$
  SELECT objectlink.confirm_deletions(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
    (SELECT json_agg(json_build_object('id', d.id, 'sighting', p_sighting, 'size', d.size, 'etag', d.etag))
     FROM objectlink.deletions_to_confirm(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) d)) $$;
\set quarantined 'SELECT id, key, state, ending, due_at IS NULL AS rests, attempts, last_error FROM objectlink.quarantine ORDER BY id;'
-- Refused
SELECT daemon.found('seen once', 'orphan', 'suspected'), daemon.found('large', p_size => 5368709121), daemon.found('lost', 'missing'), daemon.found('back', 'undeleted');
SELECT daemon.refused($$SELECT objectlink.resolve(1, 'quarantine')$$);
SELECT daemon.refused($$SELECT objectlink.resolve(2, 'quarantine')$$);
SELECT daemon.refused($$SELECT objectlink.resolve(3, 'quarantine')$$);
SELECT daemon.refused($$SELECT objectlink.resolve(4, 'quarantine')$$);
SELECT daemon.refused($$SELECT objectlink.resolve(2, 'restore')$$);
SELECT daemon.refused($$SELECT objectlink.release_quarantine(NULL)$$);
SELECT daemon.refused($$SELECT objectlink.release_quarantine(4711)$$);
SELECT daemon.refused($$SELECT objectlink.release_quarantine(1, repeat('x', 201))$$);
SELECT daemon.refused($$SELECT objectlink.purge_quarantine(NULL)$$);
SELECT daemon.refused($$SELECT objectlink.purge_quarantine('-1 s')$$);
SELECT daemon.refused($$SELECT objectlink.purge_quarantine('0', prefix => 'a')$$);
SELECT daemon.refused($$SELECT objectlink.purge_quarantine('0', 'nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.purge_quarantine('0', at_most => 0)$$);
:quarantined
-- Moved: the copy first; a second call changes nothing; a key without room for its place
SELECT objectlink.resolve(daemon.found('a/b'), 'quarantine'), objectlink.resolve(daemon.found(repeat('k', 1000)), 'quarantine');
SELECT objectlink.resolve(5, 'quarantine');
SELECT step, left(key, 3), copy FROM daemon.quarantine_work() ORDER BY id;
SELECT daemon.refused($$SELECT objectlink.release_quarantine(1)$$);
-- The store does not answer; refuses; then it is proved. Each outcome counts once
SELECT daemon.quarantine_settle(1, 'copy', 'retry', '{"unknown": true, "message": "no reply"}'), daemon.quarantine_settle(2, 'copy', 'refused', '{"message": "no"}');
SELECT state, attempts, unknown_until > now() AS may_arrive, last_error FROM objectlink.quarantine ORDER BY id;
SELECT daemon.quarantine_settle(1, 'copy', 'done'), daemon.quarantine_settle(1, 'copy', 'done'), daemon.quarantine_settle(1, 'remove', 'done');
-- Refused for good: it stays, and says why. Its copy may have come all the same, and goes
UPDATE objectlink.quarantine SET attempts = 9 WHERE id = 2;
SELECT daemon.quarantine_settle(2, 'copy', 'refused', '{"message": "no"}');
SELECT status, resolution, delete_at FROM objectlink.finding WHERE id = 6;
SELECT id, step FROM daemon.quarantine_work();
SELECT daemon.refused($$SELECT objectlink.issue_copies(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{2}')$$);
SELECT daemon.claim();
SELECT objectlink.issue_copies(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{1,2}');
SELECT daemon.quarantine_settle(2, 'remove', 'done', '{"proof": "HEAD 404"}');
:quarantined
-- The original goes by the way of every deletion; held while it is held
SELECT daemon.looked('same');
SELECT held FROM objectlink.hold_deletions('docs');
SELECT daemon.quarantine_work();
:quarantined
SELECT released FROM objectlink.release_deletions('docs');
SELECT daemon.condemn(), daemon.issue();
SELECT daemon.settle('a/b', 'gone', '{"proof": "HEAD 404"}');
SELECT daemon.quarantine_work();
:quarantined
SELECT act, proof FROM objectlink.erasures;
-- Back: not while a request to delete its key may still arrive, or while it is handed over anew
INSERT INTO objectlink.condemned (ref, release_after) VALUES ('s3://docs/a/b', 'infinity');
SELECT objectlink.resolve(5, 'restore', 'a mistake');
SELECT daemon.quarantine_work();
:quarantined
DELETE FROM objectlink.condemned;
UPDATE objectlink.quarantine SET due_at = now();
SELECT id, step FROM daemon.quarantine_work();
SELECT daemon.quarantine_settle(1, 'restore', 'other');
:quarantined
SELECT objectlink.release_quarantine(1);
SELECT daemon.quarantine_settle(1, 'restore', 'done');
:quarantined
-- What a fenced store has stays as it is
UPDATE objectlink.marker SET fence = 'behind', fenced_at = now(), lease_until = NULL;
SELECT daemon.quarantine_work();
UPDATE objectlink.marker SET fence = NULL, fenced_at = NULL;
SELECT id, step FROM daemon.quarantine_work();
SELECT daemon.quarantine_settle(1, 'remove', 'done');
-- Replaced, or gone, after it was copied: the copy may be all there is
SELECT objectlink.resolve(daemon.found('c'), 'quarantine');
SELECT daemon.quarantine_settle(4, 'copy', 'done'), daemon.looked('other'), daemon.quarantine_work();
:quarantined
-- Linked meanwhile: only when it is proved to be there the copy is not needed
CREATE TABLE document (file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
SELECT objectlink.resolve(daemon.found('d'), 'quarantine'), objectlink.resolve(daemon.found('e'), 'quarantine'), objectlink.resolve(daemon.found('f'), 'quarantine');
SELECT daemon.quarantine_settle(5, 'copy', 'done'), daemon.quarantine_settle(6, 'copy', 'done'), daemon.quarantine_settle(7, 'copy', 'done');
INSERT INTO document VALUES ('s3://docs/d'), ('s3://docs/e');
SELECT daemon.apply(), daemon.looked('same'), daemon.quarantine_work();
:quarantined
SELECT daemon.settle('d', 'stored', '{"size": 7}'), daemon.settle('e', 'failed', '{"error_code": "NoSuchKey"}');
-- or after the original was deleted: the copy is all there is, whatever becomes of the link
SELECT daemon.condemn(), daemon.issue();
SELECT daemon.settle('f', 'gone', '{"proof": "HEAD 404"}');
INSERT INTO document VALUES ('s3://docs/f');
SELECT daemon.apply(), daemon.settle('f', 'stored', '{"size": 7}');
SELECT daemon.quarantine_work();
:quarantined
DELETE FROM objectlink.quarantine WHERE id > 4;
-- Purged: with a record
SELECT * FROM objectlink.purge_quarantine('0', dry_run => false, reason => 'old');
SELECT daemon.quarantine_settle(4, 'remove', 'done', '{"proof": "HEAD 404"}');
SELECT regexp_replace(key, '[0-9a-f]{8}-[0-9a-f-]{27}', 'uuid') AS key, act, proof FROM objectlink.erasures ORDER BY id;
SELECT count(*) FROM objectlink.quarantine;
SELECT key, cause, detail ->> 'why' AS why FROM objectlink.events WHERE cause LIKE '%quarantine%' AND key <> repeat('k', 1000) ORDER BY id;
-- Decided otherwise while it was copied, or found to be other by then: nothing is deleted, and the copy goes
TRUNCATE objectlink.quarantine, objectlink.finding RESTART IDENTITY;
SELECT objectlink.resolve(daemon.found(k), 'quarantine') FROM unnest('{known,deleted,size,etag,same}'::text[]) k;
SELECT objectlink.acknowledge(1);
SELECT objectlink.resolve(2, 'delete');
UPDATE objectlink.finding SET evidence = evidence || '{"size": 8}' WHERE id = 3;
UPDATE objectlink.finding SET evidence = evidence || '{"etag": "f"}' WHERE id = 4;
SELECT daemon.quarantine_settle(n, 'copy', 'done') FROM generate_series(1, 5) n;
:quarantined
SELECT key, status, delete_at IS NOT NULL AS goes FROM objectlink.finding ORDER BY id;
-- Taken back after it was copied: the original stays, and the copy goes
TRUNCATE objectlink.quarantine, objectlink.finding RESTART IDENTITY;
SELECT objectlink.resolve(daemon.found('taken back'), 'quarantine');
SELECT daemon.quarantine_settle(1, 'copy', 'done');
SELECT objectlink.acknowledge(1, 'it stays');
SELECT daemon.looked('same'), daemon.quarantine_work();
:quarantined
SELECT key, status, delete_at, resolution FROM objectlink.finding;
SELECT count(*) FROM objectlink.object WHERE key = 'taken back';
-- A copy that may still arrive is not removed before it can: its reply was lost, or an owner that vanished was told to copy
TRUNCATE objectlink.quarantine, objectlink.finding RESTART IDENTITY;
SELECT objectlink.resolve(daemon.found(k), 'quarantine') FROM unnest('{lost,vanished,told}'::text[]) k;
UPDATE objectlink.quarantine SET issued_epoch = 0 WHERE id = 2;
SELECT id, step FROM daemon.quarantine_work() ORDER BY id;
SELECT daemon.quarantine_settle(1, 'copy', 'retry', '{"unknown": true}');
SELECT daemon.quarantine_settle(n, 'copy', 'other') FROM generate_series(1, 3) n;
SELECT id, key, state, ending, due_at > clock_timestamp() + interval '1 minute' AS waits FROM objectlink.quarantine ORDER BY id;
-- Purged: not while deletions of the store are held; no more than are meant
UPDATE objectlink.quarantine SET state = 'held', ending = NULL, due_at = NULL;
SELECT objects FROM objectlink.purge_quarantine('0', at_most => 2);
SELECT daemon.refused($$SELECT objectlink.purge_quarantine('0', dry_run => false, at_most => 2)$$);
SELECT count(*) FROM objectlink.purge_quarantine('0', dry_run => false, at_most => 3);
SELECT held FROM objectlink.hold_deletions('docs');
SELECT daemon.quarantine_work();
SELECT DISTINCT state, ending, last_error FROM objectlink.quarantine;
SELECT released FROM objectlink.release_deletions('docs');
SELECT id, step FROM daemon.quarantine_work() ORDER BY id;
SET client_min_messages = warning;
DROP TABLE document;
CALL daemon.finish();
