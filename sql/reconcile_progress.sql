-- Goal: what is shown of a run under way is true: how far, how fast, until when; also when it has rested, stands still, or finds more than the last one did. What waits for a
-- person is a problem, and nothing else.
-- Method: one session plays user and daemon; a run is made older by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set include :abs_srcdir '/sql/include/run.sql'
\i :include
\set ECHO all
SET client_min_messages = error;
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start(), objectlink.attach('document', 'file') > 0, daemon.walk();
INSERT INTO document (file) SELECT objectlink.storage_ref('docs', k) FROM unnest('{a,b,c,d,e,f}'::text[]) k;
SELECT daemon.apply();
SELECT sum(daemon.settle(key, 'stored', jsonb_build_object('size', 1, 'etag', format('"%s"', key)))) FROM objectlink.object;
\set progress 'SELECT phase, compared, expected, share_done, round(keys_per_second, 1) AS per_second, round(extract(epoch FROM expected_end - now())) AS left_s FROM objectlink.reconcile_progress;'
-- Begun so long ago, and with a page so long ago
CREATE FUNCTION daemon.older(p_begun_s int, p_progress_s int) RETURNS void LANGUAGE sql AS $$
  UPDATE objectlink.run SET started_at = now() - interval '10 hours', begun_at = now() - p_begun_s * interval '1 s', progress_at = now() - p_progress_s * interval '1 s' WHERE state IN ('running', 'paused') $$;
-- Of the first one nobody knows how many keys there are, unless the registry was analyzed by chance
SELECT objectlink.reconcile_storage('docs') AS run \gset
:progress
SELECT daemon.page('{a,b,c}', 'c') ->> 'state';
SELECT coalesce(expected, 6) AS unless_analyzed, coalesce(share_done, 0.5) FROM objectlink.reconcile_progress;
SELECT daemon.page('{d,e,f}') ->> 'state';
SELECT count(*) FROM objectlink.reconcile_progress;
-- By what ANALYZE has seen; not of a part of it
CREATE TEMP TABLE run AS SELECT * FROM objectlink.run;
TRUNCATE objectlink.run;
ANALYZE objectlink.object;
SELECT objectlink.reconcile_storage('docs') AS run \gset
SELECT daemon.page('{a,b,c}', 'c') ->> 'state';
SELECT expected, share_done, expected_end > now() AS later FROM objectlink.reconcile_progress;
SELECT objectlink.cancel_run(:run);
SELECT objectlink.reconcile_storage('docs', prefix => 'a') AS run \gset
SELECT daemon.page('{a}') ->> 'state';
SELECT estimated FROM objectlink.run WHERE id = :run;
TRUNCATE objectlink.run;
INSERT INTO objectlink.run OVERRIDING SYSTEM VALUE SELECT * FROM run;
-- Half of it in 100 s: so it takes as long again. As long as nothing more comes it gets slower
SELECT objectlink.reconcile_storage('docs') AS run \gset
SELECT daemon.page('{a,b,c}', 'c') ->> 'state';
BEGIN;
SELECT daemon.older(100, 0);
SELECT expected, share_done, keys_per_second = 0.0, extract(epoch FROM expected_end - now()) BETWEEN 98 AND 105 FROM objectlink.reconcile_progress;
SELECT daemon.older(1, 0);
SELECT keys_per_second BETWEEN 0.5 AND 3, extract(epoch FROM expected_end - now()) BETWEEN 0 AND 10 FROM objectlink.reconcile_progress;
SELECT daemon.older(1000, 999);
SELECT keys_per_second = 0.0, extract(epoch FROM expected_end - now()) > 990 FROM objectlink.reconcile_progress;
ROLLBACK;
SELECT daemon.refused(format($$CALL objectlink.wait_for_run(%s, '0')$$, :run));
-- Paused: it is as fast as it was, whatever time goes by, and has no end. Whoever paused it is told
SELECT daemon.older(1, 0), objectlink.pause_run(:run);
SELECT daemon.older(3601, 3600);
:progress
SELECT severity, what, detail = format('paused by %s', session_user) AS detail, regexp_replace(remedy, '\d+', 'N') AS remedy FROM objectlink.problems;
SELECT objectlink.resume_run(:run);
SELECT * FROM objectlink.problems;
-- Let go on: only what it compares from then on counts
SELECT daemon.page('{d}', 'd') ->> 'state';
SELECT daemon.older(1, 0);
SELECT compared, share_done, keys_per_second BETWEEN 0.1 AND 1, extract(epoch FROM expected_end - now()) BETWEEN 0 AND 20 FROM objectlink.reconcile_progress;
-- More than the last time: not over before it is
SELECT daemon.page('{e,f,g,h,i}', 'i') ->> 'undecided';
SELECT compared, expected, share_done, expected_end FROM objectlink.reconcile_progress;
SELECT daemon.page('{}') ->> 'state';
-- Its time is over: wait_for_run returns, and says so
SET client_min_messages = warning;
SELECT objectlink.reconcile_storage('docs', time_budget => '1 us') AS run \gset
SELECT daemon.page('{a,b,c}', 'c') ->> 'state';
CALL objectlink.wait_for_run(:run);
SELECT * FROM objectlink.problems;
-- What it was before it was cancelled is over
SELECT objectlink.cancel_run(:run);
SET client_min_messages = notice;
CALL objectlink.wait_for_run(:run);
UPDATE objectlink.run SET braked_at = now() WHERE id = :run;
CALL objectlink.wait_for_run(:run);
SET client_min_messages = error;
-- Its place is another one: it waits, and says for what. What is paused in a store without server is nobody's problem
SELECT objectlink.reconcile_storage('docs') AS run \gset
SELECT objectlink.marker_state(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) IS NOT NULL;
UPDATE objectlink.marker SET fence = 'altered', fenced_at = now();
SELECT phase FROM objectlink.reconcile_progress;
UPDATE objectlink.marker SET fence = NULL, fenced_at = NULL;
SELECT objectlink.cancel_run(:run);
CREATE SERVER brief FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'brief');
SELECT objectlink.store_id('brief') > 0;
UPDATE objectlink.store SET status = 'paused' WHERE name = 'brief';
SELECT store, what FROM objectlink.problems;
DROP SERVER brief;
SELECT store, what FROM objectlink.problems;
-- What nobody does: runs, and what was decided about findings
INSERT INTO objectlink.finding (store_id, key, kind, status, item, run_id, first_run_id, evidence)
  SELECT daemon.store_id('docs'), k, v, s, i, 1, 1, '{"etag": "e", "size": 1}' FROM (VALUES ('o', 'orphan', 'open', ''), ('x', 'stale_upload', 'open', 'u'), ('y', 'stray_version', 'open', 'v'),
    ('z', 'stray_marker', 'acknowledged', 'm'), ('a', 'missing', 'acknowledged', ''), ('b', 'missing', 'open', '')) AS f (k, v, s, i);
SET objectlink.notify = never;
UPDATE objectlink.object SET state = 'missing', last_error = 'the store no longer has it' WHERE key IN ('a', 'b');
SELECT severity, what, detail, remedy FROM objectlink.problems;
DELETE FROM objectlink.worker;
SELECT objectlink.unlock(0);
SELECT objectlink.reconcile_storage('docs') AS run \gset
SELECT detail FROM objectlink.problems WHERE what = 'no daemon';
SELECT objectlink.cancel_run(:run);
SELECT count(*) FROM objectlink.problems WHERE what = 'no daemon';
SELECT objectlink.resolve(id, 'delete') FROM objectlink.findings WHERE key = 'o';
SELECT detail FROM objectlink.problems WHERE what = 'no daemon';
DROP TABLE document;
CALL daemon.finish();
