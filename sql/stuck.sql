-- Goal: what is on its way for too long is seen, by store, state and table; what nobody would ever look at again is due again.
-- Method: rows of the registry are made older by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start(), objectlink.attach('document', 'file') > 0, daemon.walk();
INSERT INTO document SELECT n, objectlink.storage_ref('docs', 'k' || n) FROM generate_series(1, 6) n;
SELECT daemon.apply();
SELECT sum(daemon.settle('k' || n, 'stored')) FROM generate_series(3, 6) n;
DELETE FROM document WHERE id IN (4, 5, 6);
SELECT daemon.apply();
SELECT key, state, age < interval '1 minute' AS young, relation FROM objectlink.waiting ORDER BY key;
SELECT * FROM objectlink.stuck;
-- Half an hour later
UPDATE objectlink.object SET since = since - interval '30 minutes', due_at = due_at - interval '30 minutes';
UPDATE objectlink.object SET due_at = now() + interval '1 day' WHERE key = 'k6';
SELECT store, state, relation, column_name, count, since < now() - interval '10 minutes' AS old, attempts, example_key, reason FROM objectlink.stuck ORDER BY state;
SELECT what, store, detail FROM objectlink.problems WHERE what = 'work stuck' ORDER BY detail;
-- how many in a state for longer than a time of one's own
SELECT state, count(*) FROM objectlink.waiting WHERE age > interval '20 minutes' GROUP BY state ORDER BY state;
SELECT what, label, number FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) WHERE what <> 'oldest' AND number > 0 ORDER BY 1, 2;
-- What is held is a decision, not stuck
SELECT held FROM objectlink.hold_deletions('docs');
SELECT state, count FROM objectlink.stuck;
SELECT objectlink.release_deletions('docs');
-- The reason, where it is known
SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'paused', 'store', 'ConnectFailed', 'refused');
SELECT state, count, reason FROM objectlink.stuck ORDER BY state;
SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'ok', NULL, NULL, NULL);
-- Without a due time, or with one far away, nobody would look again
DELETE FROM objectlink.event;
UPDATE objectlink.object SET due_at = NULL WHERE key = 'k1';
UPDATE objectlink.object SET due_at = 'infinity' WHERE key = 'k2';
SELECT key FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) WHERE state = 'pending';
SELECT number FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) WHERE what = 'requeued';
SELECT key FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) WHERE state = 'pending' ORDER BY key;
SELECT key, from_state, to_state, cause, detail FROM objectlink.event ORDER BY key;
SELECT number FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) WHERE what = 'requeued';
-- what has just come is left alone, and what waits for its retention
UPDATE objectlink.object SET due_at = NULL, since = now() WHERE key = 'k1';
SELECT number FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) WHERE what = 'requeued';
SELECT key, due_at > now() AS later FROM objectlink.object WHERE key = 'k6';
-- What runs have found and what rows wait, for alerts: only what asks for somebody
SELECT count(*) FILTER (WHERE number > 0) AS more_than_none, count(*) FROM objectlink.watch(daemon.store_id('docs'));
INSERT INTO objectlink.finding (store_id, key, kind, status, resolved_at, evidence, delete_at)
SELECT daemon.store_id('docs'), v.key, v.kind, v.status, CASE WHEN v.status = 'resolved' THEN now() END, '{}', CASE WHEN v.key = 'goes' THEN now() END
FROM (VALUES ('a', 'orphan', 'open'), ('goes', 'orphan', 'open'), ('b', 'orphan', 'suspected'), ('c', 'orphan', 'acknowledged'), ('d', 'orphan', 'resolved'), ('e', 'undeleted', 'open')) AS v (key, kind, status);
INSERT INTO objectlink.finding (store_id, key, kind, status, evidence) VALUES (0, 'elsewhere', 'orphan', 'open', '{}');
INSERT INTO objectlink.row_work (store_id, key, attachment_id, failed_at, compensation)
SELECT daemon.store_id('docs'), v.key, 1, v.failed_at, v.compensation FROM (VALUES ('a', now(), NULL), ('b', now(), 'restore_row'), ('c', now(), 'delete_row'), ('d', NULL, NULL)) AS v (key, failed_at, compensation);
INSERT INTO objectlink.run (store_id, mode, prefix, place, page_size, state) SELECT daemon.store_id('docs'), m, '', '', 1000, s FROM (VALUES ('report', 'done'), ('report', 'failed'), ('inventory', 'done')) AS v (m, s);
SELECT what, label, number FROM objectlink.watch(daemon.store_id('docs')) WHERE number > 0;
TRUNCATE objectlink.row_work, objectlink.run, objectlink.finding;
-- Of very many that have just been linked only those are read that are stuck; by the views too
BEGIN;
INSERT INTO objectlink.object (store_id, key, state, since, due_at) SELECT daemon.store_id('docs'), 'many/' || n, 'pending', clock_timestamp(), clock_timestamp() FROM generate_series(1, 20000) n;
INSERT INTO objectlink.object (store_id, key, state, since, due_at) SELECT daemon.store_id('docs'), 'stuck/' || s, s, now() - interval '1 h', now() - interval '1 h' FROM unnest('{pending,deleting,reserved,unlinked}'::text[]) s;
ANALYZE objectlink.object;
CREATE FUNCTION daemon.reads(p_statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_measured oid[] := ARRAY(SELECT i.indexrelid FROM pg_index i WHERE i.indrelid = 'objectlink.object'::regclass) || 'objectlink.object'::regclass::oid;
  v_before bigint := (SELECT sum(pg_stat_get_xact_tuples_returned(m)) FROM unnest(v_measured) m);
BEGIN
  EXECUTE p_statement;
  RETURN CASE WHEN (SELECT sum(pg_stat_get_xact_tuples_returned(m)) FROM unnest(v_measured) m) - v_before > 500 THEN 'too many' ELSE 'few' END;
END $$;
SELECT daemon.reads($$SELECT objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')))$$);
SELECT daemon.reads($$SELECT key FROM objectlink.stuck_objects(daemon.store_id('docs'), '', 2000)$$);
SELECT daemon.reads('SELECT * FROM objectlink.stuck'), daemon.reads('SELECT * FROM objectlink.problems'), daemon.reads('SELECT key FROM objectlink.objects') AS of_all;
SELECT what, label, number FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) WHERE what = 'stuck' ORDER BY 2;
SELECT number BETWEEN 3590 AND 3700 AS an_hour FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) WHERE what = 'oldest';
SELECT key FROM objectlink.stuck_objects(daemon.store_id('docs'), 'stuck/', 2000) ORDER BY key;
SELECT state, count, example_key FROM objectlink.stuck WHERE example_key LIKE 'stuck/%' ORDER BY state;
ROLLBACK;
-- Only for the owner
SELECT daemon.refused($$SELECT objectlink.look_after(daemon.store_id('docs'), 0)$$);
DROP TABLE document;
CALL daemon.finish();
