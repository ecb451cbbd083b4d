-- Goal: pages of which all agrees are done with by sums alone, and whatever is otherwise at any of the three sides makes its block differ, and only its own.
-- Method: one session plays user and daemon; the sums of a listing are made of rows written down.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE other (id serial PRIMARY KEY, file objectlink.storage_ref);
CREATE INDEX ON other (file);
SELECT objectlink.attach('document', 'file') > 0;
SELECT daemon.start(), daemon.walk();
INSERT INTO document (file) SELECT objectlink.storage_ref('docs', k) FROM unnest('{a1,a2,b1,b2,c1,c2}'::text[]) k;
SELECT daemon.apply();
SELECT daemon.settle(key, 'stored', jsonb_build_object('size', 1, 'etag', format('"%s"', upper(key)))) FROM objectlink.object;

-- Blocks that end with a, b, and the last key; a listing of what is given, each of size 1 with its key as ETag
CREATE FUNCTION daemon.sums(p_keys text[], p_size bigint DEFAULT 1, p_after text DEFAULT '', p_bounds text[] DEFAULT '{az,bz,NULL}', p_range int DEFAULT 0) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  v_run bigint := (SELECT id FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))));
  v_blocks text[] := '{4711,0}' || array_replace(p_bounds, NULL, objectlink.last_key(''));
  v_none text[] := array_fill('0'::text, ARRAY[cardinality(p_bounds)]);
BEGIN
  RETURN objectlink.compare_sums(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), v_run, 1, 4711, ARRAY[p_range], ARRAY[p_after], ARRAY[cardinality(p_keys)], ARRAY[10 * cardinality(p_keys)::bigint],
    ARRAY[cardinality(p_bounds)], p_bounds,
    coalesce((SELECT objectlink.sum_keys(v_blocks, k) FROM unnest(p_keys) k), v_none)::bigint[],
    coalesce((SELECT objectlink.sum_objects(v_blocks, k, 'stored', p_size, k) FROM unnest(p_keys) k), v_none)::bigint[]);
END $$;
\set all '''{a1,a2,b1,b2,c1,c2}'''
\set run 'SELECT state, pages, listed, bytes, compared, list_requests FROM objectlink.run ORDER BY id DESC LIMIT 1;'
-- All agrees: done, and that ends the run
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.sums(:all);
:run
-- Not listed, listed and unknown, of other size; order means nothing
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.sums('{a1,b1,b2,c1,c2}'), daemon.sums('{a1,a2,b1,b2,c1,c2,c3}'), daemon.sums('{a2,a1,c2,c1,b2,b1}', 2), daemon.sums('{}');
-- The registry: another content, nothing proved, states; a finding
BEGIN;
UPDATE objectlink.object SET etag = '"x"' WHERE key = 'a1';
UPDATE objectlink.object SET etag = NULL WHERE key = 'b1';
UPDATE objectlink.object SET size = 2 WHERE key = 'c1';
SELECT daemon.sums(:all);
ROLLBACK;
BEGIN;
UPDATE objectlink.object SET state = 'missing' WHERE key = 'a1';
UPDATE objectlink.object SET state = 'unlinked' WHERE key = 'b1';
SELECT daemon.sums(:all), daemon.sums('{a2,b2,c1,c2}');
ROLLBACK;
BEGIN;
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence) VALUES (daemon.store_id('docs'), 'b15', 'orphan', 'open', 1, 1, '{}');
SELECT daemon.sums(:all);
UPDATE objectlink.finding SET kind = 'stuck';  -- no matter of a page
SELECT daemon.sums(:all);
ROLLBACK;
BEGIN;
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence, resolved_at) VALUES (daemon.store_id('docs'), 'b15', 'orphan', 'resolved', 1, 1, '{}', now());
SELECT daemon.sums(:all);
ROLLBACK;
-- The rows: one that went behind the triggers' back, one that came; two of one key are as one, in two tables they differ
BEGIN;
ALTER TABLE document DISABLE TRIGGER USER;
DELETE FROM document WHERE file = 's3://docs/a1';
INSERT INTO document (file) VALUES ('s3://docs/c3');
SELECT daemon.sums(:all);
ROLLBACK;
BEGIN;
INSERT INTO document (file) VALUES ('s3://docs/b1'), ('s3://docs/b1');
SELECT daemon.sums('{a1,a2,b1,b2}');
ROLLBACK;
BEGIN;
INSERT INTO other (file) VALUES ('s3://docs/b1'), ('s3://elsewhere/a1');
SELECT daemon.sums(:all);
ROLLBACK;
-- Spread over two tables; and in a text column
BEGIN;
ALTER TABLE document DISABLE TRIGGER USER;
WITH gone AS (DELETE FROM document WHERE file IN ('s3://docs/a1', 's3://docs/c2') RETURNING file) INSERT INTO other (file) SELECT file FROM gone;
SELECT daemon.sums(:all);
ROLLBACK;
BEGIN;
CREATE TABLE plain (id int, file text COLLATE "C");
CREATE INDEX ON plain (file);
SELECT objectlink.attach('plain', 'file', store => 'docs') > 0;
SELECT daemon.sums('{a1,a2}', p_bounds => '{az,bz,c0}');
ALTER TABLE document DISABLE TRIGGER USER;
ALTER TABLE plain DISABLE TRIGGER USER;
DELETE FROM document WHERE file = 's3://docs/b1';
SELECT daemon.sums(:all);
INSERT INTO plain (file) VALUES ('b1');
SELECT daemon.sums(:all);
ROLLBACK;
-- A row that is marked as deleted links nothing
BEGIN;
CREATE TABLE soft (file objectlink.storage_ref, deleted_at timestamptz);
SELECT objectlink.attach('soft', 'file', soft_delete_column => 'deleted_at') > 0;
ALTER TABLE soft DISABLE TRIGGER USER;
ALTER TABLE document DISABLE TRIGGER USER;
DELETE FROM document WHERE file IN ('s3://docs/a1', 's3://docs/b1');
INSERT INTO soft VALUES ('s3://docs/a1', NULL), ('s3://docs/b1', now());
SELECT daemon.sums(:all);
ROLLBACK;
-- A column that has no index: nothing agrees
BEGIN;
CREATE TABLE bare (file objectlink.storage_ref);
SELECT daemon.sums(:all);
ROLLBACK;
-- A table that cannot be asked: nothing agrees, though it holds nothing
BEGIN;
CREATE ROLE objectlink_test_mute;
CREATE TABLE mute (file objectlink.storage_ref);
SELECT objectlink.attach('mute', 'file') > 0;
ALTER TABLE mute OWNER TO objectlink_test_mute;
REVOKE ALL ON mute FROM objectlink_test_mute;
SELECT daemon.sums(:all);
ROLLBACK;
-- Not where the page begins; another owner; over
SELECT daemon.sums(:all, p_after => 'a1'), daemon.sums(:all, p_range => 1);
SELECT daemon.refused(format('SELECT objectlink.compare_sums(%s, 0, 1, 1, 1, ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'', ''{}'')', daemon.store_id('docs')));
SELECT daemon.refused($$SELECT objectlink.sum_keys('{1,0}', 'a')$$);
SELECT daemon.refused($$SELECT objectlink.sum_keys('{x,0,z}', 'a')$$);
SELECT daemon.refused($$SELECT objectlink.sum_keys('{1,-1,z}', 'a')$$);
SELECT daemon.refused($$SELECT objectlink.sum_keys(NULL, 'a')$$);
SELECT daemon.refused($$SELECT objectlink.sum_keys_step(NULL, '{1,0,z}', 'a')$$);
SELECT objectlink.sum_keys('{1,99,z}', 'a'), objectlink.sum_keys('{1,0,a,a}', NULL), objectlink.sum_objects('{1,0,a}', NULL, NULL, NULL, NULL), objectlink.sum_objects('{1,0,a}', 'b', 'stored', NULL, NULL);
:run
-- Parts of a page, and ranges: split where it is not yet compared
SELECT objectlink.pass_blocks(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id, 0, '', 'az', 2, 20) FROM objectlink.run WHERE state = 'running';
SELECT objectlink.pass_blocks(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id, 0, '', 'az', 2, 20) FROM objectlink.run WHERE state = 'running';
SELECT objectlink.split_range(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id, 0, k::text[])
  FROM objectlink.run, unnest(ARRAY['{az}', '{a}', '{c,b}', '{c,c}', '{}', '{b,c}', '{d}', '{b}']) k WHERE state = 'running';
SELECT number, after_key, up_to, done FROM objectlink.run_range ORDER BY number;
SELECT daemon.sums('{}', p_after => 'az', p_bounds => '{b}');
UPDATE objectlink.run SET aside = NULL;
SELECT phase, ranges_left, after_key, compared FROM objectlink.reconcile_progress;
SELECT daemon.sums('{c1,c2}', p_after => 'c', p_bounds => '{NULL}', p_range => 2);
SELECT daemon.sums('{b1,b2}', p_after => 'b', p_bounds => '{c}', p_range => 1);
:run
SELECT * FROM objectlink.run_range;
-- What the registry knows of the spread of keys; of a prefix, those below it
SELECT objectlink.reconcile_storage('docs', prefix => 'b');
SELECT s.keys, s.expected FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r, objectlink.sample_keys(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id) s;
SELECT daemon.sums('{b1,b2}', p_bounds => '{NULL}');
:run
SELECT octet_length(objectlink.last_key(repeat('x', n))) FROM generate_series(0, 5) n;
-- A sample: ranges drawn by lot stay, at least one; never of a run that compares all
SELECT objectlink.reconcile_storage('docs', sample => 40);
SELECT sampled FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT objectlink.split_range(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id, 0, '{a2,b1,b2,c1}') FROM objectlink.run WHERE state = 'running';
SELECT objectlink.keep_sample(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id) FROM objectlink.run WHERE state = 'running';
SELECT count(*), count(*) FILTER (WHERE NOT done) FROM objectlink.run_range;
UPDATE objectlink.run SET sample = 0.001 WHERE state = 'running';
UPDATE objectlink.run_range SET done = false;
SELECT objectlink.keep_sample(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id) FROM objectlink.run WHERE state = 'running';
SELECT count(*) FILTER (WHERE NOT done) FROM objectlink.run_range;
UPDATE objectlink.run SET sample = NULL WHERE state = 'running';
UPDATE objectlink.run_range SET done = false;
SELECT objectlink.keep_sample(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id) FROM objectlink.run WHERE state = 'running';
SELECT count(*) FILTER (WHERE NOT done) FROM objectlink.run_range;
SELECT objectlink.cancel_run(id) FROM objectlink.run WHERE state = 'running';
-- It is no comparison of the whole; 100 percent are
SELECT (objectlink.last_comparison(daemon.store_id('docs'))).id AS last \gset
INSERT INTO objectlink.run (store_id, mode, prefix, place, page_size, state, sample) SELECT store_id, mode, prefix, place, page_size, 'done', 50 FROM objectlink.run WHERE id = :last;
SELECT (objectlink.last_comparison(daemon.store_id('docs'))).id = :last;
SELECT objectlink.reconcile_storage('docs', sample => 100);
SELECT sample FROM objectlink.runs WHERE state = 'queued';
-- Nothing beside the keys is listed for a sample; and one that had no more time goes on with the next call for such a one only
SELECT aside FROM objectlink.run ORDER BY id DESC LIMIT 1;
SELECT objectlink.cancel_run(max(id)) FROM objectlink.runs;
SELECT objectlink.reconcile_storage('docs', sample => 40) AS sampled \gset
SELECT aside FROM objectlink.run WHERE id = :sampled;
UPDATE objectlink.run SET state = 'paused', out_of_time = true WHERE id = :sampled;
SELECT regexp_replace(daemon.refused($$SELECT objectlink.reconcile_storage('docs')$$), '[0-9]+ of mode.*', 'N ...');
SELECT regexp_replace(daemon.refused($$SELECT objectlink.reconcile_storage('docs', sample => 41)$$), '[0-9]+ of mode.*', 'N ...');
SELECT objectlink.reconcile_storage('docs', sample => 40) = :sampled;
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', sample => 0)$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', sample => 100.1)$$);
DROP TABLE document, other;
CALL daemon.finish();
