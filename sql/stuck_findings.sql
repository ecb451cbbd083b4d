-- Goal: a run tells what is stuck, a repair has it tried again, and the finding ends when it is no longer stuck; what is held on purpose is not stuck.
-- Method: one session plays user and daemon; rows of the registry are made older by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set include :abs_srcdir '/sql/include/run.sql'
\i :include
\set ECHO all
SET client_min_messages = error;
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start(), objectlink.attach('document', 'file') > 0, daemon.walk();
INSERT INTO document SELECT n, objectlink.storage_ref('docs', 'k' || n) FROM generate_series(1, 8) n;
SELECT daemon.apply();
SELECT sum(daemon.settle('k' || n, 'stored', '{"size": 1}')) FROM generate_series(4, 8) n;
DELETE FROM document WHERE id >= 5;
SELECT daemon.apply();
\set findings 'SELECT key, status, item, evidence ->> ''state'' AS state, evidence ->> ''error_code'' AS error, resolution FROM objectlink.findings WHERE kind = ''stuck'' ORDER BY key, id;'
\set compare 'SELECT objectlink.reconcile_storage(''docs''); SELECT p ->> ''state'' AS state FROM daemon.page(''{k4}'', p_since_ms => 100000000) p;'
-- Young: nothing is stuck
:compare
:findings
-- Half an hour later: two uploads, one of them without a due time, one in a pause between tries; a deletion, one that waits for its retention, one held, a reservation nobody came for
UPDATE objectlink.object SET since = since - interval '30 minutes', due_at = due_at - interval '30 minutes';
UPDATE objectlink.object SET due_at = NULL WHERE key = 'k1';
UPDATE objectlink.object SET due_at = now() + interval '5 minutes', attempts = 3, error_code = 'SlowDown' WHERE key = 'k2';
UPDATE objectlink.object SET since = now() WHERE key = 'k3';
UPDATE objectlink.object SET due_at = now() + interval '1 day' WHERE key = 'k6';
UPDATE objectlink.object SET due_at = NULL, held_reason = 'kept' WHERE key = 'k7';
INSERT INTO objectlink.object (store_id, key, state, since, due_at) VALUES (daemon.store_id('docs'), 'r1', 'reserved', now() - interval '1 day', now() - interval '1 hour'),
  (daemon.store_id('docs'), 'r2', 'reserved', now() - interval '1 day', now() + interval '1 hour'), (daemon.store_id('docs'), 'r3', 'reserved', now() - interval '1 day', NULL);
:compare
:findings
SELECT state, found FROM objectlink.runs ORDER BY id DESC LIMIT 1;
SELECT key, due_at <= now() AS due FROM objectlink.object WHERE key IN ('k1', 'k2', 'k5', 'r1', 'r3') ORDER BY key;
-- Only below a prefix; of a store that is held, deletions wait on purpose; of one that is fenced nothing is said
INSERT INTO objectlink.finding (store_id, key, kind, status, evidence) SELECT daemon.store_id('docs'), k, 'stuck', 'open', '{}' FROM unnest('{elsewhere,k1/gone}'::text[]) k;
SELECT objectlink.reconcile_storage('docs', prefix => 'k1');
SELECT p ->> 'state' FROM daemon.page('{}') p;
SELECT key, status FROM objectlink.findings WHERE key IN ('elsewhere', 'k1/gone') ORDER BY key;
DELETE FROM objectlink.finding WHERE key IN ('elsewhere', 'k1/gone');
SELECT found FROM objectlink.runs ORDER BY id DESC LIMIT 1;
SELECT held FROM objectlink.hold_deletions('docs');
:compare
:compare
:findings
SELECT count(*) >= 0 FROM objectlink.release_deletions('docs');
:compare
SELECT count(*) FROM objectlink.findings WHERE kind = 'stuck' AND status = 'open';
SELECT daemon.claim();
UPDATE objectlink.marker SET fence = 'missing', fenced_at = now(), lease_owner = NULL, lease_until = NULL;
UPDATE objectlink.object SET since = now() WHERE key = 'k2';
:compare
SELECT count(*) FROM objectlink.findings WHERE kind = 'stuck' AND status = 'open';
UPDATE objectlink.marker SET fence = NULL, fenced_at = NULL;
UPDATE objectlink.object SET since = now() - interval '30 minutes' WHERE key = 'k2';
-- One by one, and all at once
DELETE FROM objectlink.event;
SELECT daemon.refused(format('SELECT objectlink.resolve(%s, ''delete'')', id)) FROM objectlink.findings WHERE kind = 'stuck' AND key = 'k2' AND status = 'open';
SELECT objectlink.resolve(id, 'repair', 'case 4711') FROM objectlink.findings WHERE kind = 'stuck' AND key = 'k2' AND status = 'open';
SELECT key, due_at <= clock_timestamp() AS due FROM objectlink.object WHERE key IN ('k1', 'k2', 'r3') ORDER BY key;
SELECT key, cause, detail - 'run'::text AS detail FROM objectlink.events ORDER BY id;
SELECT decided_by = session_user AS decided, reason FROM objectlink.findings WHERE kind = 'stuck' AND key = 'k2' AND status = 'open';
SELECT kind, open, action, acted FROM objectlink.cleanup('docs', kinds => '{stuck}');
UPDATE objectlink.object SET due_at = now() + interval '5 minutes' WHERE key = 'k2';
SELECT objectlink.reconcile_storage('docs', 'repair');
SELECT p ->> 'state' AS state FROM daemon.page('{k4}', p_since_ms => 100000000) p;
SELECT key, due_at <= clock_timestamp() AS due FROM objectlink.object ORDER BY key;
SELECT repaired FROM objectlink.runs ORDER BY id DESC LIMIT 1;
-- Done, gone or no longer stuck: the next run closes them
SELECT daemon.settle('k1', 'stored', '{"size": 1}');
UPDATE objectlink.object SET state = 'unlinked', since = now() WHERE key = 'r1';
UPDATE objectlink.object SET since = now() WHERE key = 'k2';
:compare
:findings
SELECT kind, open FROM objectlink.verify_data_consistency('docs') WHERE kind = 'stuck';
DROP TABLE document;
CALL daemon.finish();
