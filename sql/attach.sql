-- Goal: attach takes every column that can be asked, refuses all others with a reason, and detach undoes it.
-- Method: one table of each kind; each refusal shows SQLSTATE, message, detail and hint.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all

CREATE TABLE document (id int PRIMARY KEY, title text, size int, file objectlink.storage_ref, files objectlink.storage_ref[]);

-- Refused: kinds of relation
CREATE VIEW v_document AS SELECT * FROM document;
CREATE MATERIALIZED VIEW m_document AS SELECT * FROM document;
CREATE FOREIGN DATA WRAPPER elsewhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER elsewhere;
CREATE FOREIGN TABLE f_document (file objectlink.storage_ref) SERVER elsewhere;
CREATE TEMPORARY TABLE t_document (file objectlink.storage_ref);
CREATE SEQUENCE s_document;
SELECT daemon.refused($$SELECT objectlink.attach('v_document', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('m_document', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('f_document', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('t_document', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('s_document', 'last_value')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document_pkey', 'id')$$);
SELECT daemon.refused($$SELECT objectlink.attach('pg_class', 'relname', store => 'docs')$$);
SELECT daemon.refused($$SELECT objectlink.attach('objectlink.condemned', 'ref')$$);
SELECT daemon.refused($$SELECT objectlink.attach('no_such_table', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach(NULL, 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', NULL)$$);

-- Refused: columns
SELECT daemon.refused($$SELECT objectlink.attach('document', 'no_such_column')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'ctid')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'FILE')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'size')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'size', store => 'docs')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'files')$$);
ALTER TABLE document ADD COLUMN dropped objectlink.storage_ref;
ALTER TABLE document DROP COLUMN dropped;
SELECT daemon.refused($$SELECT objectlink.attach('document', 'dropped')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', '........pg.dropped.6........')$$);

-- Refused: stores
SELECT daemon.refused($$SELECT objectlink.attach('document', 'title')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'title', store => 'no_such_store')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'title', store => 'elsewhere')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', store => 'docs')$$);

-- Refused: settings
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', max_attempts => 0)$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', max_attempts => 1001)$$);

-- Refused: partitions and inherited columns, which come with their parent
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE child (own objectlink.storage_ref) INHERITS (document);
SELECT daemon.refused($$SELECT objectlink.attach('part_1', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('child', 'file')$$);

-- After all that nothing is left behind
SELECT count(*) FROM objectlink.attachment;
SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgfoid::regproc::text LIKE 'objectlink.%' AND tgrelid NOT IN ('objectlink.object'::regclass, 'objectlink.erasure'::regclass);

-- Accepted, and then refused a second time
SELECT objectlink.attach('document', 'file') > 0;
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file')$$);
SELECT objectlink.attach('document', 'title', store => 'docs', max_attempts => 3) > 0;
SELECT daemon.refused($$SELECT objectlink.attach('document', 'title', store => 'docs')$$);
SELECT objectlink.attach('part', 'file') > 0;
-- A child's own column is its own attachment
SELECT objectlink.attach('child', 'own') > 0;
SELECT relation, column_name, store, max_attempts, linking_existing_rows, existing_rows_linked, last_error
FROM objectlink.attachments ORDER BY relation::text, column_name;

-- The triggers: ALWAYS, on every table of a tree
SELECT tgrelid::regclass, regexp_replace(tgname, '\d+$', 'N') AS trigger, tgenabled, tgparentid <> 0 AS clone
FROM pg_trigger WHERE NOT tgisinternal AND tgrelid IN ('document'::regclass, 'child'::regclass, 'part'::regclass, 'part_1'::regclass)
ORDER BY tgrelid::regclass::text, tgname COLLATE "C";

-- The index to ask by: made on a small table, one that serves is taken, one that does not is not
SELECT tablename, regexp_replace(indexdef, '^.* USING ', '') FROM pg_indexes
WHERE tablename IN ('document', 'child', 'part', 'part_1') ORDER BY tablename, indexname COLLATE "C";
CREATE TABLE indexed (a objectlink.storage_ref, b objectlink.storage_ref, c objectlink.storage_ref, d text, e text, f objectlink.storage_ref);
CREATE INDEX indexed_a ON indexed (a, b);
CREATE INDEX indexed_b ON indexed (b) WHERE b IS NOT NULL;
CREATE INDEX indexed_c ON indexed (c) WHERE c IS NOT NULL AND a IS NOT NULL;
CREATE INDEX indexed_d ON indexed (d);
CREATE INDEX indexed_e ON indexed (e COLLATE "C");
CREATE INDEX indexed_f ON indexed USING hash (f);
SELECT count(objectlink.attach('indexed', c)) FROM unnest('{a,b,c,f}'::name[]) c;
SELECT count(objectlink.attach('indexed', c, store => 'docs')) FROM unnest('{d,e}'::name[]) c;
SELECT regexp_replace(indexdef, '^.* USING ', '') FROM pg_indexes WHERE tablename = 'indexed' ORDER BY indexname COLLATE "C";
SELECT column_name, indexed FROM objectlink.asked_column WHERE relid = 'indexed'::regclass ORDER BY 1;

-- A large table: its owner decides when the index is built
CREATE TABLE large (id int, file objectlink.storage_ref);
BEGIN;
-- A stand-in for 128 MB of rows.
CREATE OR REPLACE FUNCTION objectlink.index_at_once_bytes() RETURNS bigint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 0::bigint';
INSERT INTO large VALUES (1, 's3://docs/large');
SELECT daemon.refused($$SELECT objectlink.attach('large', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('large', 'file', create_index => false)$$);
SELECT objectlink.attach('large', 'file', create_index => true) > 0;
ROLLBACK;
SELECT daemon.refused($$SELECT objectlink.attach('large', 'file', create_index => false)$$);
CREATE INDEX ON large (file);
SELECT objectlink.attach('large', 'file', create_index => false) > 0;

-- An index that failed to be built does not serve
CREATE TABLE broken (file objectlink.storage_ref);
INSERT INTO broken VALUES ('s3://docs/twice'), ('s3://docs/twice');
CREATE UNIQUE INDEX CONCURRENTLY broken_file ON broken (file);
SELECT daemon.refused($$SELECT objectlink.attach('broken', 'file', create_index => false)$$);

-- Awkward names
CREATE SCHEMA "odd ""schema";
CREATE TABLE "odd ""schema"."Tab'le ON x FOR EACH ROW" ("co""l 'umn" objectlink.storage_ref);
CREATE TABLE "odd ""schema"."ch\1ild" () INHERITS ("odd ""schema"."Tab'le ON x FOR EACH ROW");
SELECT objectlink.attach($$"odd ""schema"."Tab'le ON x FOR EACH ROW"$$, $$co"l 'umn$$) > 0;
INSERT INTO "odd ""schema"."Tab'le ON x FOR EACH ROW" VALUES ('s3://docs/odd');
INSERT INTO "odd ""schema"."ch\1ild" VALUES ('s3://docs/odder');
SELECT op, ref FROM daemon.outbox ORDER BY ref;
TRUNCATE objectlink.outbox;

-- An attach that rolls back leaves nothing
CREATE TABLE undone (file objectlink.storage_ref);
BEGIN;
SELECT objectlink.attach('undone', 'file') > 0;
ROLLBACK;
INSERT INTO undone VALUES ('s3://docs/undone');
SELECT count(*) FROM objectlink.attachments WHERE relation = 'undone'::regclass;
SELECT count(*) FROM daemon.outbox;

-- A transaction that wrote the table may attach it too: its rows are linked by the walk
BEGIN;
CREATE TABLE fresh (file objectlink.storage_ref);
INSERT INTO fresh VALUES ('s3://docs/before');
SELECT objectlink.attach('fresh', 'file') > 0;
INSERT INTO fresh VALUES ('s3://docs/after');
COMMIT;
SELECT op, attached, ref FROM daemon.outbox;

-- Detach: no triggers, no events, and it can be attached again
SELECT daemon.refused($$SELECT objectlink.detach('undone', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.detach('document', 'no_such_column')$$);
SELECT daemon.refused($$SELECT objectlink.detach('v_document', 'file')$$);
SELECT objectlink.detach('document', 'file');
SELECT objectlink.detach('document', 'title');
SELECT objectlink.detach('part', 'file');
SELECT objectlink.detach('child', 'own');
SELECT daemon.refused($$SELECT objectlink.detach('document', 'file')$$);
SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('document'::regclass, 'child'::regclass, 'part'::regclass, 'part_1'::regclass) AND NOT tgisinternal;
TRUNCATE objectlink.outbox;
INSERT INTO document (id, title, file) VALUES (1, 'title', 's3://docs/detached');
DELETE FROM document;
TRUNCATE document;
SELECT count(*) FROM daemon.outbox;
SELECT count(*) FROM objectlink.scan s JOIN objectlink.attachment a ON a.id = s.attachment_id WHERE a.detached_at IS NOT NULL;
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document (id, file) VALUES (2, 's3://docs/again');
SELECT op, attached, ref FROM daemon.outbox;

SET client_min_messages = warning;
DROP TABLE document, part, indexed, large, broken, undone, fresh CASCADE;
DROP SCHEMA "odd ""schema" CASCADE;
DROP FOREIGN DATA WRAPPER elsewhere CASCADE;
DROP SEQUENCE s_document;
CALL daemon.finish();
