-- Goal: what a run has found is told and cleaned up in one call, by default only in words; nothing is done from old findings, from suspicions, or beyond the limits.
-- Method: runs and findings are written down as a daemon would leave them.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE SERVER images FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'images', prefix 'p');
CREATE SERVER bare FOREIGN DATA WRAPPER objectlink OPTIONS (bucket 'bare');
SELECT daemon.start();
\set verify 'SELECT store_name, kind, open, suspected, acknowledged, bytes, example_key, run_id, age < interval ''1 hour'' AS fresh, queued_run, note FROM objectlink.verify_data_consistency'
\set cleanup 'SELECT store_name, kind, action, open, acted, left_out, bytes, example_key, note FROM objectlink.cleanup'
CREATE FUNCTION daemon.ran(p_store text, p_state text, p_prefix text, p_ended_at timestamptz DEFAULT now()) RETURNS bigint LANGUAGE sql AS $$
  INSERT INTO objectlink.run (store_id, mode, prefix, place, page_size, state, ended_at, error_message)
  VALUES (daemon.store_id(p_store), 'report', p_prefix, 'x', 1000, p_state, p_ended_at, CASE p_state WHEN 'failed' THEN 'the listing cannot be had' END) RETURNING id $$;
CREATE FUNCTION daemon.found(p_key text, p_kind text, p_status text DEFAULT 'open', p_evidence jsonb DEFAULT '{"size": 7, "etag": "e"}') RETURNS void LANGUAGE sql AS $$
  INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence) VALUES (daemon.store_id('docs'), p_key, p_kind, p_status, 1, 1, p_evidence) $$;
-- Nobody has looked: unknown is not zero
:verify();
SELECT * FROM objectlink.cleanup();
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', dry_run => false)$$);
-- A run of a part says nothing of the whole; one that failed is told
SELECT daemon.ran('docs', 'done', 'a/') > 0, daemon.ran('images', 'done', 'p/') > 0, daemon.ran('images', 'failed', 'p/') > 0;
:verify() WHERE kind = 'orphan';
SELECT daemon.refused($$SELECT objectlink.verify_data_consistency('nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.verify_data_consistency('docs', '-1 s')$$);
-- Found
SELECT daemon.ran('docs', 'done', '') > 0;
SELECT daemon.found('o1', 'orphan'), daemon.found('o2', 'orphan'), daemon.found('o3', 'orphan', 'suspected'), daemon.found('o4', 'orphan', 'acknowledged'),
       daemon.found('o5', 'orphan', 'open', '{"size": 1}'), daemon.found('m', 'missing', 'open', '{"proved_size": 5}'), daemon.found('c', 'corrupt'),
       daemon.found('u', 'undeleted', 'open', '{"size": 7, "etag": "e", "survived": true}'), daemon.found('back', 'undeleted', 'open', '{"size": 7, "etag": "e", "survived": false}'), daemon.found('r1', 'unregistered', 'open', '{}'), daemon.found('r2', 'unreferenced', 'open', '{}'), daemon.found('gone', 'orphan', 'suspected');
UPDATE objectlink.finding SET status = 'resolved', resolved_at = now() WHERE key = 'gone';
:verify('docs');
-- A dry run is the default and does nothing
:cleanup('docs');
SELECT count(*) FROM objectlink.finding WHERE delete_at IS NOT NULL OR decided_by IS NOT NULL;
SELECT count(*) FROM objectlink.outbox;
-- Refused
SELECT daemon.refused($$SELECT objectlink.cleanup('nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.cleanup(prefix => 'a')$$);
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', kinds => '{orphans}')$$);
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', orphans => 'destroy')$$);
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', at_most => 0)$$);
SELECT daemon.refused($$SELECT objectlink.cleanup(at_most_share => 0)$$);
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', reason => repeat('x', 201))$$);
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', at_most => 4, dry_run => false)$$);
SELECT kind, acted, note FROM objectlink.cleanup('docs', at_most => 4) WHERE note LIKE '%too many%';
SELECT count(*) FROM objectlink.finding WHERE delete_at IS NOT NULL;
-- Of a kind, below a prefix, orphans left alone
:cleanup('docs', kinds => '{orphan}', prefix => 'o1');
:cleanup('docs', orphans => 'leave', dry_run => false);
SELECT key, kind, delete_at IS NOT NULL AS goes, decided_by = session_user AS mine, reason FROM objectlink.finding WHERE decided_by IS NOT NULL ORDER BY key;
SELECT op, ref FROM objectlink.outbox ORDER BY ref;
-- What was decided about is left out the next time
:cleanup('docs', dry_run => false, reason => 'case 4711');
SELECT key, kind, reason FROM objectlink.finding WHERE delete_at IS NOT NULL ORDER BY key;
:cleanup('docs', kinds => '{orphan}');
-- A tenth of a store is too much
SELECT count(*) FROM generate_series(1, 100) n CROSS JOIN LATERAL daemon.found(n::text, 'orphan');
SELECT daemon.refused($$SELECT objectlink.cleanup('docs', dry_run => false)$$);
SELECT kind, open, acted, note FROM objectlink.cleanup('docs', kinds => '{orphan}');
SELECT acted FROM objectlink.cleanup('docs', kinds => '{orphan}', dry_run => false, at_most_share => 100);
-- Old findings: not acted on, unless that is meant; a store that is named says so at once
UPDATE objectlink.run SET ended_at = now() - interval '25 hours' WHERE store_id = daemon.store_id('docs');
UPDATE objectlink.finding SET delete_at = NULL WHERE key = 'o1';
SELECT regexp_replace(r, 'ended at [^\n]*', 'ended at ...') FROM daemon.refused($$SELECT objectlink.cleanup('docs', dry_run => false)$$) r;
SELECT kind, acted, note ~ 'ended at' AS stale FROM objectlink.cleanup(kinds => '{orphan}', dry_run => false);
SELECT kind, acted FROM objectlink.cleanup('docs', kinds => '{orphan}', dry_run => false, max_age => '2 days');
-- A check queues a run only if asked to, and only where the last one is too old
SELECT count(*) FROM objectlink.run WHERE state = 'queued';
SELECT DISTINCT store_name, queued_run > 0 AS queued FROM objectlink.verify_data_consistency(max_age => '2 hours') ORDER BY 1;
SELECT DISTINCT store_name, queued_run > 0 AS queued FROM objectlink.verify_data_consistency(max_age => '2 hours') ORDER BY 1;
SELECT s.name, count(*) FROM objectlink.run r JOIN objectlink.store s ON s.id = r.store_id WHERE r.state = 'queued' GROUP BY 1 ORDER BY 1;
SELECT count(*) FROM objectlink.run WHERE state = 'queued';
CALL daemon.drop_server('images');
CALL daemon.drop_server('bare');
CALL daemon.finish();
