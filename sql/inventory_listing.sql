-- Goal: a run may compare an inventory instead of a listing; its files count only as a whole, in order, of one manifest; and nothing that it shows
-- is a finding before the object itself was looked at.
-- Method: one session plays user and daemon; files and looks are written down.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\pset null NULL
\pset format unaligned
\pset tuples_only on
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
-- Refused
SELECT daemon.refused($$SELECT objectlink.reconcile_storage(inventory => 'a/manifest.json')$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', inventory => 'a/data/1.csv.gz')$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', inventory => '')$$);
SELECT daemon.refused(format($$SELECT objectlink.reconcile_storage('docs', inventory => %L)$$, repeat('x', 1024) || '/manifest.json')) LIMIT 1;

SELECT daemon.start(), daemon.walk();
INSERT INTO document (file) SELECT objectlink.storage_ref('docs', k) FROM unnest('{a,b,c,d}'::text[]) k;
SELECT daemon.apply();
SELECT sum(daemon.settle(key, 'stored', jsonb_build_object('size', 1, 'etag', format('"%s"', upper(key))))) FROM objectlink.object;
UPDATE objectlink.object SET verified_at = now() - interval '9 days', since = now() - interval '9 days';
\set daemon 'daemon.store_id(''docs''), daemon.epoch(daemon.store_id(''docs''))'
CREATE FUNCTION daemon.run() RETURNS bigint LANGUAGE sql AS $$ SELECT max(id) FROM objectlink.run $$;
CREATE FUNCTION daemon.next() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', listing, inventory) FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) $$;
-- A day old
CREATE FUNCTION daemon.manifest(p_files int, p_md5 text DEFAULT 'm', p_since_ms bigint DEFAULT 86400000) RETURNS text LANGUAGE sql AS $$
  SELECT concat_ws(' ', state, files_read) FROM objectlink.begin_inventory(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), daemon.run(), p_md5, p_files, 1700000000000, p_since_ms)
$$;
CREATE FUNCTION daemon.file(p_file int, p_whole boolean, p_keys text[], p_age_s int DEFAULT 864000) RETURNS text LANGUAGE sql AS $$
  SELECT objectlink.collect_inventory(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), daemon.run(), p_file, p_whole, p_keys,
    ARRAY(SELECT 1::bigint FROM unnest(p_keys)), ARRAY(SELECT upper(k) FROM unnest(p_keys) k), ARRAY(SELECT p_age_s * 1000::bigint FROM unnest(p_keys)))
$$;

-- Files count one after the other
SELECT objectlink.reconcile_storage('docs', inventory => 'inv/manifest.json');
SELECT regexp_replace(r, 'since .*', 'since ...') FROM daemon.refused($$SELECT objectlink.reconcile_storage('docs', inventory => 'inv/manifest.json')$$) r;
SELECT mode, state, inventory, inventory_at FROM objectlink.runs;
SELECT daemon.file(0, true, '{a}');
SELECT daemon.next();
SELECT daemon.file(0, true, '{a}');
SELECT daemon.manifest(3);
SELECT daemon.file(1, true, '{a}');
SELECT daemon.file(0, false, '{b,a}');
SELECT phase, inventory, files, files_read, list_requests FROM objectlink.reconcile_progress;
-- killed: the file begins anew
SELECT daemon.next();
SELECT daemon.manifest(3);
SELECT daemon.file(0, false, '{b,a}');
SELECT daemon.file(0, true, '{d}');
SELECT daemon.file(0, true, '{x}');
SELECT daemon.manifest(3);
SELECT daemon.file(1, true, '{}');
SELECT daemon.file(2, false, '{c}');
-- not of the manifest that the others are of
SELECT daemon.manifest(3, 'other');
SELECT daemon.file(2, true, '{c}');
SELECT daemon.manifest(3), daemon.file(2, true, '{c}');
SELECT daemon.next();
SELECT keys, files, files_read FROM objectlink.collection;
SELECT inventory, age(now(), inventory_at) BETWEEN '23:59' AND '24:01' AS a_day_old FROM objectlink.runs;
SELECT key, size, etag, since_ms BETWEEN 86400000 AND 86460000 AS a_day_ago, store_time_ms FROM objectlink.collected_page(:daemon, daemon.run(), '', 10);
-- the server has crashed: all of it again
DELETE FROM objectlink.collected_key;
SELECT daemon.next();
SELECT daemon.manifest(1, 'other');
SELECT daemon.file(0, true, '{}');
SELECT daemon.next();
SELECT objectlink.cancel_run(daemon.run());
SELECT key, since_ms FROM objectlink.collected_page(:daemon, daemon.run(), '', 10);
SELECT daemon.file(0, true, '{}');
-- An empty bucket has no files
SELECT objectlink.reconcile_storage('docs', inventory => 'inv/manifest.json');
SELECT daemon.next();
SELECT daemon.manifest(0);
SELECT daemon.next();
SELECT objectlink.cancel_run(daemon.run());
-- A time budget: paused between two files, and a call for the same inventory lets it go on, no other
SELECT objectlink.reconcile_storage('docs', inventory => 'inv/manifest.json', time_budget => '1 microsecond') AS paused \gset
SELECT daemon.next(), daemon.manifest(2);
SELECT daemon.file(0, true, '{a}');
SELECT state, pause_reason FROM objectlink.runs WHERE id = :paused;
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs')$$) LIMIT 1;
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', inventory => 'inv/2/manifest.json')$$) LIMIT 1;
SELECT objectlink.reconcile_storage('docs', inventory => 'inv/manifest.json') = :paused;
SELECT daemon.next(), daemon.manifest(2);
SELECT objectlink.cancel_run(daemon.run());

-- What it shows is looked at first. p_since_ms as above
CREATE FUNCTION daemon.compare(p_mode text, p_keys text[], p_since_ms bigint DEFAULT 86400000) RETURNS json LANGUAGE plpgsql AS $$
BEGIN
  PERFORM objectlink.reconcile_storage('docs', p_mode, inventory => 'inv/manifest.json'), daemon.next();
  PERFORM daemon.manifest(1, p_since_ms => p_since_ms);
  PERFORM daemon.file(0, true, p_keys);
  PERFORM daemon.next();
  RETURN objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), daemon.run(), 0, '', NULL, p_keys,
    ARRAY(SELECT 1::bigint FROM unnest(p_keys)), ARRAY(SELECT upper(k) FROM unnest(p_keys) k), ARRAY(SELECT 864000000::bigint FROM unnest(p_keys)), p_since_ms, 0);
END $$;
CREATE FUNCTION daemon.looked(p_page json, p_sighting text, p_age_s int DEFAULT 864000) RETURNS text LANGUAGE sql AS $$
  SELECT objectlink.conclude_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), daemon.run(), 0, '', p_page ->> 'reached',
    (p_page ->> 'listed')::bigint, (p_page ->> 'bytes')::bigint, (p_page ->> 'compared')::bigint, (p_page ->> 'undecided')::bigint,
    (SELECT json_agg(l::jsonb || jsonb_build_object('sighting', p_sighting, 'request_id', 'req', 'age_ms', p_age_s * 1000)
                     || CASE p_sighting WHEN 'other' THEN '{"size": 2, "etag": "seen"}'::jsonb WHEN 'absent' THEN '{"size": null, "etag": null}' ELSE '{}' END) FROM json_array_elements(p_page -> 'looks') l))
$$;
CREATE FUNCTION daemon.looks(p_page json) RETURNS SETOF text LANGUAGE sql AS $$ SELECT concat_ws(' ', l ->> 'key', l ->> 'reason', l ->> 'state', l ->> 'size', l ->> 'etag') FROM json_array_elements(p_page -> 'looks') l ORDER BY l ->> 'key' COLLATE "C" $$;
\set findings 'SELECT key, kind, status, resolution FROM objectlink.findings ORDER BY id'
\set ended 'SELECT state, listed, compared, undecided, found FROM objectlink.runs WHERE id = daemon.run()'
-- nobody's: seen twice, as always
SELECT daemon.compare('report', '{a,b,c,d,stray}') AS page \gset
SELECT daemon.looks(:'page');
:findings;
SELECT daemon.looked(:'page', 'same');
:findings;
:ended;
SELECT daemon.looked(daemon.compare('report', '{a,b,c,d,stray}'), 'same');
:findings;
SELECT (evidence #- '{look,at}') - '{inventory_at,run,page,age_s}'::text[] AS evidence, (evidence ->> 'inventory_at')::timestamptz < now() - interval '23 hours' AS dated FROM objectlink.findings;
-- another by now, or of which nothing was learnt: neither found nor closed. Gone: closed
SELECT daemon.looked(daemon.compare('report', '{a,b,c,d,stray}'), 'other');
:ended;
SELECT daemon.looked(daemon.compare('report', '{a,b,c,d,stray}'), 'unknown');
:ended;
:findings;
SELECT daemon.looked(daemon.compare('report', '{a,b,c,d,stray}'), 'absent');
:findings;
-- too young for an orphan, by the look, though not by the inventory
SELECT daemon.looked(daemon.compare('report', '{a,b,c,d,young}'), 'same', 60);
:ended;
-- linked between the comparison and its looks, and in motion; then applied
SELECT daemon.compare('report', '{a,b,c,d,late}') AS page \gset
INSERT INTO document VALUES (5, 's3://docs/late');
SELECT daemon.looked(:'page', 'same');
:ended;
SELECT daemon.compare('report', '{a,b,c,d,late}') AS page \gset
SELECT daemon.looks(:'page');
:ended;
SELECT daemon.apply();
SELECT daemon.compare('report', '{a,b,c,d,late}') ->> 'looks';
SELECT count(*) FROM objectlink.findings WHERE key IN ('young', 'late');
DELETE FROM document WHERE id = 5;
SELECT daemon.apply();
TRUNCATE objectlink.finding;
-- A row that came in with triggers off is no word of the inventory: found as by a listing
ALTER TABLE document DISABLE TRIGGER ALL;
INSERT INTO document VALUES (6, 's3://docs/off');
ALTER TABLE document ENABLE TRIGGER ALL;
SELECT daemon.compare('repair', '{a,b,c,d}') ->> 'looks';
SELECT key, kind, status, evidence -> 'listed' AS listed FROM objectlink.findings;
SELECT daemon.compare('repair', '{a,b,c,d,off}') ->> 'looks';
:findings;
:ended;
SELECT daemon.apply();
SELECT key, state FROM objectlink.object WHERE key = 'off';
TRUNCATE objectlink.finding;
-- Too many repairs: paused with nothing of the page done
SELECT daemon.looked(daemon.compare('report', '{a,b,c,d,stray}'), 'same') FROM generate_series(1, 2);
SELECT daemon.compare('quarantine', '{a,b,c,d,stray}') AS page \gset
UPDATE objectlink.run SET repair_limit = 0 WHERE id = daemon.run();
SELECT daemon.looked(:'page', 'same');
SELECT state, pause_reason, repaired, compared FROM objectlink.runs WHERE id = daemon.run();
UPDATE objectlink.run SET repair_limit = 1 WHERE id = daemon.run();
SELECT objectlink.resume_run(daemon.run()), daemon.next();
SELECT daemon.looked(:'page', 'same');
SELECT state, repaired, compared FROM objectlink.runs WHERE id = daemon.run();
SELECT key, state FROM objectlink.quarantine;
DELETE FROM objectlink.quarantine;
DELETE FROM document WHERE id = 6;
SELECT daemon.apply();
TRUNCATE objectlink.finding;
-- What is linked: missing and corrupt by a look each time, also what was so before
SELECT daemon.compare('report', '{a,b,c}') AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'absent');
SELECT daemon.compare('report', '{a,b,c}') AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'absent');
:findings;
SELECT daemon.compare('report', '{a,b,c}') AS page \gset
SELECT daemon.looked(:'page', 'same');
:findings;
UPDATE objectlink.object SET etag = 'of old' WHERE key = 'a';
SELECT daemon.compare('report', '{a,b,c,d}') AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'other');
SELECT daemon.compare('report', '{a,b,c,d}') AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'same');
:findings;
-- Proved since the inventory was begun: it says nothing of that
UPDATE objectlink.object SET verified_at = now() - interval '1 hour', etag = 'new';
SELECT daemon.compare('report', '{a,b}') ->> 'looks';
:ended;
-- Deleted by ourselves since it was begun, and so of course in it; long before it was: a look says whether it is still there
DELETE FROM document WHERE file = 's3://docs/a';
SELECT daemon.apply();
SELECT daemon.condemn(), daemon.issue();
SELECT daemon.settle('a', 'gone');
SELECT daemon.compare('report', '{a,b}') ->> 'looks';
:ended;
SELECT daemon.compare('report', '{a,b,c,d}', 0) AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'absent');
:ended;
SELECT daemon.looked(daemon.compare('report', '{a,b,c,d}', 0), 'same');
:ended;
TRUNCATE objectlink.finding;
-- How old is what is known: as old as the inventory
SELECT daemon.looked(daemon.compare('report', '{b,c,d,stray}'), 'absent');
SELECT DISTINCT age BETWEEN '23:59' AND '24:01' AS a_day FROM objectlink.verify_data_consistency('docs');
DROP TABLE document;
SELECT daemon.walk() >= 0;
CALL daemon.finish();
