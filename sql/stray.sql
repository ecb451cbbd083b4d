-- Goal: of uploads and versions that lie beside the objects only those count that nothing of ours is about, once they are old enough and seen twice; none goes that is in use, or may be.
-- Method: one session plays user and daemon; pages of listings are written down.
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
INSERT INTO document (file) SELECT objectlink.storage_ref('docs', k) FROM unnest('{a,b,c,p}'::text[]) k;
SELECT daemon.apply();
SELECT sum(daemon.settle(k, 'stored', jsonb_build_object('size', 1, 'etag', format('"%s"', k), 'version_id', CASE WHEN k <> 'b' THEN k || '1' END))) FROM unnest('{a,b,c}'::text[]) k;
SELECT objectlink.put('docs', 'waits', key => 'reserved');
SELECT daemon.apply();
-- Pages of both listings; each key with its id
CREATE FUNCTION daemon.uploads(p_keys text[], p_ids text[], p_next text DEFAULT NULL, p_after text DEFAULT '', p_age_s bigint DEFAULT 10000000) RETURNS text LANGUAGE sql AS $$
  SELECT objectlink.note_uploads(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id, 0, p_after, CASE p_after WHEN '' THEN '' ELSE 'i' END, p_next, 'i', 1,
    p_keys, p_ids, ARRAY(SELECT 1000 FROM unnest(p_keys)), ARRAY(SELECT p_age_s * 1000 FROM unnest(p_keys)))
  FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r $$;
CREATE FUNCTION daemon.versions(p_keys text[], p_ids text[], p_marker boolean DEFAULT false, p_next text DEFAULT NULL, p_etag text DEFAULT '"x"', p_age_s bigint DEFAULT 10000000,
                                p_range int DEFAULT 0, p_after text DEFAULT '') RETURNS text LANGUAGE sql AS $$
  SELECT objectlink.note_versions(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id, p_range, p_after, p_next, 1,
    p_keys, p_ids, ARRAY(SELECT p_marker FROM unnest(p_keys)), ARRAY(SELECT 1::bigint FROM unnest(p_keys)), ARRAY(SELECT p_etag FROM unnest(p_keys)), ARRAY(SELECT p_age_s * 1000 FROM unnest(p_keys)))
  FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r $$;
CREATE FUNCTION daemon.skip(p_aside text, p_note text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
  SELECT objectlink.skip_aside(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id, p_aside, 1, p_note) FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r;
  SELECT concat_ws(' ', state, coalesce(aside, 'keys'), list_requests, notes) FROM objectlink.run ORDER BY id DESC LIMIT 1 $$;
CREATE FUNCTION daemon.keys() RETURNS text LANGUAGE sql AS $$ SELECT daemon.page('{a,b,c}', p_since_ms => 100000000) ->> 'state' $$;
CREATE FUNCTION daemon.issue_strays(p_age_ms bigint DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT daemon.claim();
  SELECT f.kind || ' ' || f.key || ' ' || f.item FROM objectlink.issue_strays(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
    ARRAY(SELECT id FROM objectlink.strays_to_remove(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')))), ARRAY(SELECT p_age_ms FROM generate_series(1, 50))) i
  JOIN objectlink.finding f ON f.id = i ORDER BY 1 $$;
CREATE FUNCTION daemon.settle_stray(p_key text, p_outcome text, p_message text DEFAULT '', p_deleted boolean DEFAULT true) RETURNS int LANGUAGE sql AS $$
  SELECT objectlink.settle_strays(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), (SELECT json_agg(json_build_object('id', id, 'outcome', p_outcome, 'message', p_message, 'deleted', p_deleted, 'request_id', 'req'))
    FROM objectlink.finding WHERE key = p_key AND status <> 'resolved')) $$;
\set strays 'SELECT key, kind, item, status, delete_at IS NOT NULL AS goes, resolution FROM objectlink.findings WHERE kind LIKE ''sta%'' OR kind LIKE ''stray%'' ORDER BY kind, key, item, id;'

-- Uploads: of a key that is stored or unknown; not while a link waits, or content; not of objectlink's own, nor young, nor of unknown age
SELECT objectlink.reconcile_storage('docs');
INSERT INTO objectlink.object (store_id, key, state, since, due_at) VALUES (daemon.store_id('docs'), 'promised', 'reserved', now(), now() + interval '1 day');
SELECT daemon.uploads('{a,p,promised,reserved,x,.objectlink/q}', '{u1,u2,u0,u3,u4,u5}', 'y');
SELECT daemon.uploads('{y}', '{u6}', NULL, 'x');
SELECT daemon.uploads('{y,z}', '{u6,u7}', NULL, 'y', 604799);
SELECT daemon.skip('versions');
SELECT daemon.keys();
:strays
SELECT found, notes FROM objectlink.runs;
SELECT evidence - 'run'::text AS evidence FROM objectlink.findings WHERE key = 'x';
-- Refused, or in part: nothing is closed, and the run goes on; over: what is not shown any more
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.uploads('{a}', '{u1}', 'b');
SELECT phase, found FROM objectlink.reconcile_progress;
SELECT daemon.skip('versions');
SELECT daemon.skip('uploads', 'uploads were not listed: no');
SELECT daemon.skip('versions', 'nor versions');
SELECT daemon.keys();
:strays
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.uploads('{a}', '{u1}');
SELECT daemon.uploads('{a}', '{u1}');
SELECT daemon.skip('versions'), daemon.keys();
:strays
-- A repair has the open ones aborted, within its limits; neither quarantine nor an inventory looks for any
SELECT objectlink.reconcile_storage('docs', 'repair', repair_limit => 0);
SELECT daemon.uploads('{a,x}', '{u1,u9}');
SELECT state, pause_reason FROM objectlink.runs ORDER BY id DESC LIMIT 1;
SELECT objectlink.resume_run(max(id)) FROM objectlink.runs;
SELECT daemon.uploads('{a,x}', '{u1,u9}');
SELECT repaired FROM objectlink.runs ORDER BY id DESC LIMIT 1;
SELECT daemon.skip('versions'), daemon.keys();
:strays
SELECT objectlink.reconcile_storage('docs', 'quarantine');
SELECT aside FROM objectlink.run ORDER BY id DESC LIMIT 1;
SELECT daemon.keys();
-- It goes if it is still what it was: asked once more, when it was looked at
SELECT runs FROM objectlink.look(ARRAY[daemon.store_id('docs')], '(0,0)');
SELECT kind, key, item, initiated_ms FROM objectlink.strays_to_remove(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT count(*) FROM objectlink.deletions_to_confirm(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
BEGIN;
SELECT daemon.issue_strays(1000);
SELECT resolution FROM objectlink.findings WHERE item = 'u1';
ROLLBACK;
BEGIN;
UPDATE objectlink.finding SET key = 'anew' WHERE item = 'u1';
SELECT objectlink.put('docs', 'anew', key => 'anew');
SELECT daemon.issue_strays();
SELECT status, resolution FROM objectlink.findings WHERE item = 'u1';
SELECT cause, detail ->> 'reason' AS reason FROM objectlink.events ORDER BY id DESC LIMIT 1;
ROLLBACK;
BEGIN;
SET LOCAL synchronous_commit = off;
SELECT daemon.refused('SELECT daemon.issue_strays()');
ROLLBACK;
SELECT daemon.refused(format('SELECT objectlink.issue_strays(%s, 0, ''{}'', ''{}'')', daemon.store_id('docs')));
SELECT daemon.issue_strays();
SELECT daemon.settle_stray('a', 'retry'), daemon.settle_stray('a', 'other', 'it was begun at another time');
SELECT daemon.settle_stray('a', 'gone');
SELECT objectlink.resolve(id, 'acknowledge') FROM objectlink.findings WHERE item = 'u1' AND status = 'suspected';
SELECT daemon.refused(format('SELECT objectlink.resolve(%s, ''delete'')', id)) FROM objectlink.findings WHERE item = 'u1' AND status = 'acknowledged';
UPDATE objectlink.finding SET status = 'open' WHERE item = 'u1' AND status <> 'resolved';
SELECT objectlink.resolve_all('abort', 'docs', kind => 'stale_upload', dry_run => false);
SELECT daemon.issue_strays(700000000);
SELECT daemon.settle_stray('a', 'gone');
SELECT cause, actor = session_user AS actor, request_id, detail - 'finding'::text AS detail FROM objectlink.events ORDER BY id DESC LIMIT 1;
:strays
SELECT window_begun FROM objectlink.store WHERE name = 'docs';
-- A request that was under way when the decision was taken back: what is gone is told all the same
SELECT objectlink.reconcile_storage('docs') > 0;
SELECT daemon.uploads('{x}', '{u10}'), daemon.skip('versions'), daemon.keys();
UPDATE objectlink.finding SET status = 'open' WHERE item = 'u10';
SELECT objectlink.resolve(id, 'abort') FROM objectlink.findings WHERE item = 'u10';
SELECT daemon.issue_strays();
SELECT objectlink.acknowledge(id, 'no') FROM objectlink.findings WHERE item = 'u10';
SELECT daemon.issue_strays();
SELECT daemon.settle_stray('x', 'other', 'changed');
SELECT status, resolution FROM objectlink.findings WHERE item = 'u10';
SELECT daemon.settle_stray('x', 'gone');
SELECT status, resolution FROM objectlink.findings WHERE item = 'u10';
SELECT cause FROM objectlink.events ORDER BY id DESC LIMIT 1;
TRUNCATE objectlink.finding;

-- Versions: not the recorded one, nor what may be it; of keys in motion nothing
DELETE FROM document WHERE file = 's3://docs/c';
SELECT daemon.apply();
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.skip('uploads');
SELECT daemon.versions('{a,a,b,c,p,x,.objectlink/q}', '{a1,a0,b0,c0,p0,"null",q0}', p_next => 'z');
SELECT objectlink.note_versions(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), max(id), 0, '', NULL, 1, '{z}', '{z0}', '{f}', '{1}', '{""}', '{1}') FROM objectlink.run;
SELECT objectlink.note_versions(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), max(id), 0, 'z', NULL, 1,
  '{b,young,unknown,m}', '{b9,y0,u0,m0}', '{f,f,f,t}', '{1,1,1,0}', '{"\"b\"","","",""}', '{100000000,1,NULL,100000000}') FROM objectlink.run;
SELECT daemon.keys();
:strays
SELECT evidence - 'run'::text AS evidence FROM objectlink.findings WHERE key = 'a';
SELECT objectlink.reconcile_storage('docs', 'repair');
SELECT daemon.skip('uploads');
SELECT daemon.versions('{a,b,x}', '{a0,b0,"null"}');
SELECT daemon.keys();
:strays
SELECT kind, open, action, acted, left_out, note FROM objectlink.cleanup('docs', kinds => '{stray_version,stray_marker,stale_upload}');
-- Decided about: by one, or by a filter, and never the version null
SELECT regexp_replace(daemon.refused(format('SELECT objectlink.resolve(%s, ''delete'')', id)), 'finding \d+', 'finding N') FROM objectlink.findings WHERE key = 'x';
SELECT objectlink.stray_stays(f, NULL) FROM objectlink.finding f WHERE key = 'x';
SELECT daemon.refused($$INSERT INTO objectlink.finding (store_id, key, kind, status, evidence) VALUES (1, 'x', 'stray_version', 'open', '{}')$$);
SELECT objectlink.resolve_all('delete', 'docs', kind => 'stray_version', dry_run => false);
-- What is corrupt may need it; what is recorded by now; what is being deleted; what a row links that nobody knows; a table that cannot be asked
BEGIN;
UPDATE objectlink.object SET state = 'missing' WHERE key = 'a';
UPDATE objectlink.object SET version_id = 'b0' WHERE key = 'b';
SELECT daemon.issue_strays();
SELECT key, status, resolution FROM objectlink.findings WHERE kind = 'stray_version' AND key IN ('a', 'b') ORDER BY key;
ROLLBACK;
BEGIN;
INSERT INTO objectlink.condemned (ref) VALUES ('s3://docs/a');
UPDATE objectlink.finding SET key = 'unknown' WHERE key = 'b' AND item = 'b0';
ALTER TABLE document DISABLE TRIGGER USER;
INSERT INTO document (file) VALUES ('s3://docs/unknown');
SELECT daemon.issue_strays();
SELECT key, resolution FROM objectlink.findings WHERE resolution LIKE 'not deleted%' ORDER BY key;
ROLLBACK;
BEGIN;
CREATE ROLE objectlink_test_mute;
ALTER TABLE document OWNER TO objectlink_test_mute;
REVOKE ALL ON document FROM objectlink_test_mute;
UPDATE objectlink.finding SET key = 'unknown' WHERE key = 'b' AND item = 'b0';
SELECT daemon.issue_strays();
SELECT key, resolution ~ 'permission denied' AS doubt FROM objectlink.findings WHERE resolution LIKE 'not deleted%' ORDER BY key;
ROLLBACK;
-- Held, braked, fenced: it waits
BEGIN;
SELECT held >= 0 FROM objectlink.hold_deletions('docs');
SELECT count(*) FROM objectlink.strays_to_remove(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT what, key FROM objectlink.unsettled(pg_snapshot_xmax(pg_current_snapshot()), clock_timestamp()) WHERE what = 'deletion of a finding';
ROLLBACK;
SELECT what, key FROM objectlink.unsettled(pg_snapshot_xmax(pg_current_snapshot()), clock_timestamp()) WHERE what = 'deletion of a finding' ORDER BY key;
BEGIN;
ALTER SERVER docs OPTIONS (ADD delete_limit '1');
-- what is begun counts
SELECT count(*) FROM daemon.issue_strays();
SELECT daemon.issue_strays();
SELECT braked_at IS NOT NULL AS braked FROM objectlink.store WHERE name = 'docs';
SELECT count(*) FROM objectlink.strays_to_remove(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
ROLLBACK;
BEGIN;
SELECT daemon.claim();
UPDATE objectlink.marker SET fence = 'missing', fenced_at = now(), lease_owner = NULL, lease_until = NULL;
SELECT count(*) FROM objectlink.strays_to_remove(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT daemon.refused(format('SELECT objectlink.issue_strays(%s, %s, ''{}'', ''{}'')', daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))));
ROLLBACK;
SELECT daemon.issue_strays();
SELECT daemon.settle_stray('a', 'gone'), daemon.settle_stray('b', 'gone', p_deleted => false);
SELECT key, cause, detail - 'finding'::text AS detail FROM objectlink.events ORDER BY id DESC LIMIT 2;
:strays
SELECT window_begun FROM objectlink.store WHERE name = 'docs';
-- Refused again and again: given up
UPDATE objectlink.finding SET item = 'x0', delete_at = now() WHERE key = 'x';
SELECT sum(daemon.settle_stray('x', 'refused', 'AccessDenied')) FROM generate_series(1, 8);
SELECT status, delete_at, resolution FROM objectlink.findings WHERE key = 'x';
TRUNCATE objectlink.finding;
-- More than are told one by one: they are counted, and what is not told is not closed
INSERT INTO objectlink.finding (store_id, key, kind, item, status, run_id, first_run_id, evidence) VALUES (daemon.store_id('docs'), 'zz', 'stray_version', 'v', 'open', 1, 1, '{}');
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.skip('uploads');
SELECT objectlink.note_versions(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), max(id), 0, '', NULL, 1, array_agg('v' || n), array_agg('i' || n), array_agg(false),
    array_agg(1::bigint), array_agg(''::text), array_agg(100000000::bigint)) FROM generate_series(1, objectlink.aside_findings_max() + 5) n, objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r;
SELECT daemon.keys();
SELECT found, notes FROM objectlink.runs ORDER BY id DESC LIMIT 1;
SELECT status FROM objectlink.findings WHERE key = 'zz';
-- Versions range by range: each has its own progress, counts go over all of them, and only the last one's end closes what was not shown
DELETE FROM objectlink.finding;
INSERT INTO objectlink.finding (store_id, key, kind, item, status, run_id, first_run_id, evidence) SELECT daemon.store_id('docs'), k, 'stray_version', 'v', 'open', 1, 1, '{}' FROM unnest('{d,zz}'::text[]) k;
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.skip('uploads');
CREATE FUNCTION daemon.ranges() RETURNS TABLE (number int, after_key text, up_to text, done boolean) LANGUAGE sql AS $$
  SELECT number, after_key, up_to, done FROM objectlink.run_range WHERE run_id = (SELECT max(id) FROM objectlink.run) ORDER BY after_key, done DESC $$;
SELECT objectlink.split_range(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id, 0, '{g,t}') FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r;
SELECT daemon.versions('{u,u}', '{v1,v2}', p_range => 2, p_after => 't', p_next => 't');
SELECT daemon.versions('{u,v}', '{v3,v4}', p_range => 2, p_after => 't', p_next => 'u');
SELECT daemon.versions('{i}', '{v5}', p_range => 1, p_after => 'g');
SELECT phase, after_key, ranges_left, list_requests, found FROM objectlink.reconcile_progress;
-- no more than one is told of at one place, and no other listing goes on there
SELECT daemon.versions('{i}', '{v6}', p_range => 1, p_after => 'g'), daemon.versions('{u}', '{v7}', p_range => 2, p_after => 't'), daemon.versions('{u}', '{v8}', p_range => 3);
SELECT daemon.versions('{d}', '{v9}', p_next => 'f');
SELECT * FROM daemon.ranges();
SELECT daemon.versions('{v}', '{v10}', p_range => 2, p_after => 'u');
SELECT * FROM daemon.ranges();
SELECT count(*) FROM objectlink.findings WHERE status = 'open';
BEGIN;
UPDATE objectlink.run SET aside_found = objectlink.aside_findings_max() WHERE state = 'running';
SELECT daemon.versions('{g}', '{v11}', p_after => 'f');
SELECT count(*) FROM objectlink.findings WHERE status = 'open';
SELECT notes, (SELECT count(*) FROM objectlink.findings WHERE item = 'v11') AS told FROM objectlink.runs ORDER BY id DESC LIMIT 1;
ROLLBACK;
SELECT daemon.versions('{g}', '{v11}', p_after => 'f');
SELECT key, resolution = format('no longer seen by run %s', (SELECT max(id) FROM objectlink.run)) AS closed FROM objectlink.findings WHERE item = 'v' ORDER BY key;
SELECT aside, aside_found FROM objectlink.run ORDER BY id DESC LIMIT 1;
SELECT daemon.keys();
SELECT found, notes FROM objectlink.runs ORDER BY id DESC LIMIT 1;
-- One that cannot be had ends all of them, and closes nothing
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.skip('uploads');
SELECT objectlink.split_range(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id, 0, '{g}') FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r;
SELECT daemon.versions('{}', '{}', p_range => 1, p_after => 'g');
SELECT daemon.skip('versions', 'versions were not listed: no');
SELECT daemon.versions('{}', '{}');
SELECT * FROM daemon.ranges();
SELECT daemon.keys();
SELECT count(*) FROM objectlink.findings WHERE kind = 'stray_version' AND status = 'suspected';
-- The end of a listing closes what is of its own kinds and below the prefix of the run
DELETE FROM objectlink.finding;
INSERT INTO objectlink.finding (store_id, key, kind, item, status, run_id, first_run_id, evidence)
  SELECT daemon.store_id('docs'), k, t, CASE t WHEN 'orphan' THEN '' ELSE 'i' END, 'open', 1, 1, '{}' FROM unnest('{in/a,out}'::text[]) k, unnest('{orphan,stale_upload,stray_marker}'::text[]) t;
SELECT objectlink.reconcile_storage('docs', prefix => 'in/');
SELECT daemon.uploads('{}', '{}');
SELECT key, kind FROM objectlink.findings WHERE status = 'open' ORDER BY key, kind;
SELECT daemon.versions('{}', '{}');
SELECT key, kind FROM objectlink.findings WHERE status = 'open' ORDER BY key, kind;
SELECT objectlink.cancel_run(max(id)) FROM objectlink.runs;
-- A time budget, another owner, another place
SELECT objectlink.reconcile_storage('docs', time_budget => '1 ms');
SELECT daemon.uploads('{a}', '{u1}', 'a');
SELECT state, pause_reason FROM objectlink.runs ORDER BY id DESC LIMIT 1;
SELECT objectlink.reconcile_storage('docs', time_budget => '1 h') = max(id) AS same FROM objectlink.runs;
SELECT r.aside, g.after_key, g.after_item FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r, objectlink.run_ranges(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id) g;
SELECT daemon.uploads('{a}', '{u1}', 'b', '');
SELECT daemon.uploads('{a}', '{u1}', 'b', 'a');
SELECT daemon.refused(format('SELECT objectlink.note_uploads(%s, 0, 1, 0, '''', '''', NULL, '''', 1, ''{}'', ''{}'', ''{}'', ''{}'')', daemon.store_id('docs')));
SELECT objectlink.cancel_run(max(id)) FROM objectlink.runs;
DROP TABLE document;
CALL daemon.finish();
