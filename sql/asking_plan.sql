-- Goal: no question about a few keys ever reads a large table or the whole registry, whatever the statistics say.
-- Method: 100,000 rows in each table; each statement of the daemon runs once for 100 keys, and what it read is counted: scans of
-- tables in full, and entries of indexes. Statistics are missing, old (taken when the table was empty) or fresh; plans are custom or generic.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set rows 100000
CREATE TABLE document (id int, file objectlink.storage_ref) WITH (autovacuum_enabled = off);
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY RANGE (id);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (50000) WITH (autovacuum_enabled = off);
CREATE TABLE part_high PARTITION OF part FOR VALUES FROM (50000) TO (MAXVALUE) WITH (autovacuum_enabled = off);
CREATE TABLE note (id int, path text) WITH (autovacuum_enabled = off);
CREATE TABLE untold (id int, file objectlink.storage_ref) WITH (autovacuum_enabled = off);
CREATE INDEX ON untold (file);
-- Most rows are marked as deleted, and there are indexes by which those that are not could be found
CREATE TABLE bin (id int, file objectlink.storage_ref, deleted_at timestamptz) WITH (autovacuum_enabled = off);
CREATE INDEX ON bin (deleted_at);
CREATE INDEX ON bin (id) WHERE deleted_at IS NULL;
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('part', 'file') > 0, objectlink.attach('note', 'path', store => 'docs') > 0,
       objectlink.attach('bin', 'file', soft_delete_column => 'deleted_at') > 0;
SELECT daemon.walk();
ALTER TABLE objectlink.object SET (autovacuum_enabled = off);
-- Old: taken when everything was empty
ANALYZE document, part, note, untold, bin, objectlink.object, objectlink.outbox, objectlink.condemned;
-- Filled behind the triggers, which are not what is measured
SET session_replication_role = replica;
ALTER TABLE document DISABLE TRIGGER USER;
ALTER TABLE part DISABLE TRIGGER USER;
ALTER TABLE note DISABLE TRIGGER USER;
ALTER TABLE bin DISABLE TRIGGER USER;
INSERT INTO document SELECT n, objectlink.storage_ref('docs', 'd/' || n) FROM generate_series(1, :rows) n;
INSERT INTO part SELECT n, objectlink.storage_ref('docs', 'p/' || n) FROM generate_series(1, :rows) n;
INSERT INTO note SELECT n, 'n/' || n FROM generate_series(1, :rows) n;
INSERT INTO untold SELECT n, objectlink.storage_ref('docs', 'u/' || n) FROM generate_series(1, :rows) n;
INSERT INTO bin SELECT n, objectlink.storage_ref('docs', 'b/' || n), CASE WHEN n % 3 > 0 THEN now() END FROM generate_series(1, :rows) n;
INSERT INTO objectlink.object (store_id, key, state, since, verified_at, size)
  SELECT daemon.store_id('docs'), 'd/' || n, 'stored', now(), now(), 1 FROM generate_series(1, :rows) n;
RESET session_replication_role;

-- Tables read in full by one statement, and index entries and rows that it went through. Counters of this transaction: nobody
-- else's work is in them.
CREATE FUNCTION daemon.cost(p_statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_scans jsonb;
  v_entries bigint;
  v_found text;
BEGIN
  SELECT jsonb_object_agg(c.oid, pg_stat_get_xact_numscans(c.oid)), sum(pg_stat_get_xact_tuples_returned(c.oid))
    INTO v_scans, v_entries FROM daemon.measured c;
  EXECUTE p_statement;
  SELECT sum(pg_stat_get_xact_tuples_returned(c.oid)) - v_entries,
         string_agg(c.oid::regclass::text, ' ' ORDER BY c.oid::regclass::text)
           FILTER (WHERE c.relkind = 'r' AND pg_stat_get_xact_numscans(c.oid) > (v_scans ->> c.oid::text)::bigint)
    INTO v_entries, v_found FROM daemon.measured c;
  -- 100 keys, each found a few times over, old versions of its row among them. A walk over a whole index is 100,000.
  RETURN concat_ws(', ', 'scans of ' || v_found, CASE WHEN v_entries > 100 * 30 THEN 'more entries than there should be' END);
END $$;
CREATE VIEW daemon.measured AS
SELECT c.oid, c.relkind FROM pg_class c
WHERE c.relname IN ('document', 'part_low', 'part_high', 'note', 'untold', 'bin')
   OR c.oid = 'objectlink.object'::regclass
   OR c.oid IN (SELECT i.indexrelid FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid
                WHERE t.relname IN ('document', 'part_low', 'part_high', 'note', 'untold', 'bin') OR t.oid = 'objectlink.object'::regclass);
CREATE PROCEDURE daemon.measure() LANGUAGE plpgsql AS $$
DECLARE
  v_mode text;
  v_step record;
  v_cost text;
  v_few text := 'ARRAY(SELECT objectlink.storage_ref(''docs'', k || n * 900) FROM generate_series(1, 16) n, unnest(''{d/,p/,n/,u/,b/,x/}''::text[]) k)';
  v_keys text := 'ARRAY(SELECT ''d/'' || n * 900 FROM generate_series(1, 100) n)';
  v_store text := 'daemon.store_id(''docs''), daemon.epoch(daemon.store_id(''docs''))';
BEGIN
  FOREACH v_mode IN ARRAY ARRAY['force_custom_plan', 'force_generic_plan'] LOOP
    PERFORM set_config('plan_cache_mode', v_mode, true);
    FOR v_step IN SELECT * FROM (VALUES
      ('linked', format('SELECT count(*) FROM objectlink.linked(%s)', v_few)),
      ('apply', format('WITH o AS (INSERT INTO objectlink.outbox (op, ref, xid, at) SELECT ''U'', r, pg_current_xact_id(), now() FROM unnest(%s) r) SELECT', v_few)),
      ('apply', 'SELECT objectlink.apply_outbox(daemon.epoch(0), ''(0,0)'', 1000)'),
      ('unlinked', format('UPDATE objectlink.object SET state = ''unlinked'', due_at = now() WHERE store_id = daemon.store_id(''docs'') AND key = ANY (%s)', v_keys)),
      ('due_work', 'SELECT count(*) FROM objectlink.due_work(daemon.store_id(''docs''), ''-infinity'', 100)'),
      ('condemn', format('SELECT objectlink.condemn(%s, %s)', v_store, v_keys)),
      ('expire_reserved', format('SELECT objectlink.expire_reserved(%s, %s)', v_store, v_keys)),
      ('issue', format('SELECT objectlink.issue(%s, %s, 0)', v_store, v_keys)),
      ('settle', format('SELECT objectlink.settle(%s, (SELECT json_agg(json_build_object(''key'', k, ''state'', ''stored'', ''attempts'', 0, ''outcome'', ''retry'',
                          ''cause'', ''test'', ''retry_ms'', 1)) FROM unnest(%s) k))', v_store, v_keys)),
      ('look', 'SELECT objectlink.look(ARRAY[daemon.store_id(''docs'')], ''(0,0)'')'),
      ('look_after', format('SELECT count(*) FROM objectlink.look_after(%s)', v_store)),
      ('writers', 'SELECT count(*) FROM objectlink.writers()')) AS s (name, statement)
    LOOP
      v_cost := daemon.cost(v_step.statement);
      IF v_cost <> '' THEN
        RAISE NOTICE '% with %: %', v_step.name, v_mode, v_cost;
      END IF;
    END LOOP;
  END LOOP;
END $$;

SELECT daemon.claim();
-- Every few seconds the brake counts, up to a bound of its own: not meant here
UPDATE objectlink.store SET due_counted_at = 'infinity', window_at = clock_timestamp();
-- The measure measures
SELECT daemon.cost('SELECT count(*) FROM document WHERE id > 0');
SET enable_seqscan = off;
SELECT daemon.cost('SELECT count(file) FROM (SELECT file FROM document ORDER BY file) d');
RESET enable_seqscan;

-- Old statistics
BEGIN; CALL daemon.measure(); ROLLBACK;
-- Fresh ones
ANALYZE document, part, note, untold, bin, objectlink.object;
BEGIN; CALL daemon.measure(); ROLLBACK;
-- None at all
DELETE FROM pg_statistic WHERE starelid IN (SELECT oid FROM daemon.measured);
UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid IN (SELECT oid FROM daemon.measured);
BEGIN; CALL daemon.measure(); ROLLBACK;
-- Those of a table of which almost all was one value
UPDATE pg_class SET reltuples = 1e9 WHERE oid IN (SELECT oid FROM daemon.measured WHERE relkind = 'r');
BEGIN; CALL daemon.measure(); ROLLBACK;
-- A column without index costs one scan for the whole batch, not one a key
DROP INDEX untold_file_idx;
SELECT daemon.cost('SELECT count(*) FROM objectlink.linked(ARRAY(SELECT objectlink.storage_ref(''docs'', ''u/'' || n) FROM generate_series(1, 100) n))');
SELECT count(*) FROM objectlink.linked(ARRAY(SELECT objectlink.storage_ref('docs', 'u/' || n) FROM generate_series(1, 100) n));

ALTER TABLE objectlink.object RESET (autovacuum_enabled);
SET client_min_messages = warning;
DROP TABLE document, part, note, untold, bin;
CALL daemon.finish();
