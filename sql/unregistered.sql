-- Goal: rows that came in while triggers were off are found, also where nobody has uploaded their object, and nothing else is; their findings end only when that is over.
-- Method: one session plays user and daemon; the listing has what is known.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set include :abs_srcdir '/sql/include/run.sql'
\i :include
\set ECHO all
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE named (id serial PRIMARY KEY, file text COLLATE "C", deleted_at timestamptz);
CREATE INDEX ON named (file);
CREATE SERVER images FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'images');
CREATE TABLE far (file text COLLATE "C");
CREATE INDEX ON far (file);
SELECT objectlink.attach('far', 'file', store => 'images') > 0;
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('named', 'file', store => 'docs', soft_delete_column => 'deleted_at') > 0;
SELECT daemon.start(), daemon.walk();
INSERT INTO document (file) SELECT objectlink.storage_ref('docs', k) FROM unnest('{a,b,c}'::text[]) k;
SELECT daemon.apply();
SELECT daemon.settle(key, 'stored', jsonb_build_object('size', 1, 'etag', format('"%s"', key))) FROM objectlink.object;
\set findings 'SELECT f.key, kind, status, evidence -> ''listed'' AS listed, evidence ->> ''column'' AS "column", attachment_id IS NOT NULL AS attached FROM objectlink.findings f WHERE status <> ''resolved'' ORDER BY key, kind;'
\set compare 'SELECT objectlink.reconcile_storage(''docs''); SELECT p ->> ''state'' AS state, p ->> ''compared'' AS compared, p ->> ''undecided'' AS undecided FROM daemon.page(''{a,b,c}'') p;'
SET client_min_messages = error;
:compare
-- Neither known nor there: in both columns, several rows of one, of another store, soft-deleted, and what no reference can name
SET session_replication_role = replica;
ALTER TABLE document DISABLE TRIGGER USER;
ALTER TABLE named DISABLE TRIGGER USER;
ALTER TABLE far DISABLE TRIGGER USER;
INSERT INTO far VALUES ('far');
INSERT INTO document (file) VALUES ('s3://docs/0'), ('s3://docs/aa'), ('s3://docs/aa'), ('s3://elsewhere/b1'), (NULL);
INSERT INTO named (file, deleted_at) VALUES ('aa', NULL), ('bb', NULL), ('z', NULL), ('dead', now()), (repeat('k', 1025), NULL), ('.objectlink/owner/root.json', NULL), ('', NULL);
RESET session_replication_role;
:compare
:findings
-- Only below a prefix, and page by page
UPDATE objectlink.finding SET status = 'resolved', resolved_at = now();
SELECT objectlink.reconcile_storage('docs', prefix => 'b');
SELECT p ->> 'compared' AS compared FROM daemon.page('{b}', 'b') p;
SELECT p ->> 'compared' AS compared FROM daemon.page('{}') p;
:findings
:compare
-- No more than one comparison covers: it goes on where it had to end
INSERT INTO named (file) SELECT 'm' || to_char(n, 'FM0000') FROM generate_series(1, objectlink.compare_rows_max() + 5) n;
SELECT objectlink.reconcile_storage('docs');
SELECT p ->> 'reached' AS reached, p ->> 'compared' AS compared FROM daemon.page('{a,b,c}') p;
SELECT p ->> 'reached' AS reached, p ->> 'compared' AS compared FROM daemon.page('{}') p;
SELECT count(*) FROM objectlink.findings WHERE kind = 'unregistered' AND key LIKE 'm%';
DELETE FROM named WHERE file LIKE 'm%';
SELECT objectlink.reconcile_storage('docs');
SELECT p ->> 'reached' AS reached, p ->> 'compared' AS compared FROM daemon.page('{a,b,c}') p;
SELECT p ->> 'reached' AS reached, p ->> 'compared' AS compared FROM daemon.page('{}') p;
SELECT count(*) FROM objectlink.findings WHERE kind = 'unregistered' AND key LIKE 'm%' AND status <> 'resolved';
-- Linked, and not applied yet: in motion
BEGIN;
INSERT INTO named (file) VALUES ('moving');
SELECT objectlink.append_outbox('L', 's3://docs/moving', NULL);
:compare
:findings
ROLLBACK;
-- A column that cannot be read any more, or only as a whole, mends nothing, and it is said
CREATE ROLE objectlink_test_mute;
ALTER TABLE named OWNER TO objectlink_test_mute;
REVOKE ALL ON named FROM objectlink_test_mute;
:compare
:findings
ALTER TABLE named OWNER TO CURRENT_USER;
DROP ROLE objectlink_test_mute;
DROP INDEX named_file_idx;
:compare
:findings
SELECT DISTINCT note FROM objectlink.verify_data_consistency('docs');
CREATE INDEX ON named (file);
SELECT DISTINCT note FROM objectlink.verify_data_consistency('docs');
-- The row is gone: so is the finding
DELETE FROM document WHERE file = 's3://docs/0';
:compare
:findings
-- A column that nobody has attached promises nothing
CREATE TABLE copied (file objectlink.storage_ref);
CREATE INDEX ON copied (file);
INSERT INTO copied VALUES ('s3://docs/copied');
:compare
:findings
DROP TABLE copied;
-- A repair links them: what is not there is looked for, and given up as every link
SELECT objectlink.reconcile_storage('docs', 'repair');
SELECT p ->> 'state' AS state FROM daemon.page('{a,b,c}') p;
SELECT daemon.apply();
SELECT key, state, attached FROM daemon.objects WHERE state <> 'stored' ORDER BY key;
:compare
:findings
SET client_min_messages = warning;
DROP TABLE document, named, far;
CALL daemon.drop_server('images');
CALL daemon.finish();
