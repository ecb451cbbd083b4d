-- Goal: the outbox gets exactly one row for every link and unlink that commits, whatever kind of statement, table or
-- savepoint it came through, and nothing that must not be linked passes.
-- Method: triggers made by hand, so that nothing but link_trigger and truncate_trigger is tested; the outbox is emptied
-- after each case.
SET client_min_messages = warning;
SET search_path = public;

-- What the outbox has got since the last call
CREATE FUNCTION touched(OUT op "char", OUT attachment int, OUT ref text, OUT relation regclass) RETURNS SETOF record LANGUAGE sql AS $$
  WITH taken AS (DELETE FROM objectlink.outbox RETURNING *)
  SELECT op, attachment_id, ref::text, relid::regclass FROM taken ORDER BY ref::text COLLATE "C", op DESC, attachment_id
$$;
CREATE PROCEDURE link_by_hand(relation regclass, column_name name, id int, store text DEFAULT NULL) LANGUAGE plpgsql AS $$
DECLARE
  arguments text := concat_ws(', ', id, quote_literal(column_name), quote_literal(store));
BEGIN
  EXECUTE format('CREATE TRIGGER links_%s AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger(%s)', id, relation, arguments);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER links_%s', relation, id);
END $$;

CREATE SERVER docs FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'docs');
CREATE SERVER below FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'others', prefix 'in/here');
CREATE FOREIGN DATA WRAPPER another_wrapper;
CREATE SERVER foreigner FOREIGN DATA WRAPPER another_wrapper;

-- Rows
CREATE TABLE document (id int PRIMARY KEY, note text, file objectlink.storage_ref);
CALL link_by_hand('document', 'file', 1);
INSERT INTO document VALUES (1, 'a', 's3://docs/a'), (2, 'b', 's3://docs/b'), (3, 'none', NULL);
SELECT * FROM touched();
BEGIN;
INSERT INTO document VALUES (9, '', 's3://docs/x');
SELECT xid = pg_current_xact_id() AS own_xid, at BETWEEN now() AND statement_timestamp() AS of_statement, image IS NULL AS no_image FROM objectlink.outbox;
ROLLBACK;
SELECT * FROM touched();
UPDATE document SET note = 'c';
UPDATE document SET file = file;
SELECT * FROM touched();
UPDATE document SET file = 's3://docs/a2' WHERE id = 1;
UPDATE document SET file = NULL WHERE id = 2;
UPDATE document SET file = 's3://docs/c' WHERE id = 3;
SELECT * FROM touched();
DELETE FROM document;
SELECT * FROM touched();
-- Two attachments on one table, each with its own column
ALTER TABLE document ADD COLUMN preview objectlink.storage_ref;
CALL link_by_hand('document', 'preview', 2);
INSERT INTO document VALUES (1, '', 's3://docs/a', 's3://docs/p');
SELECT * FROM touched();
DELETE FROM document;
SELECT * FROM touched();

-- Other ways in: COPY, MERGE, ON CONFLICT, data-modifying WITH, cascades
COPY document FROM stdin;
1	one	s3://docs/1	\N
2	two	s3://docs/2	s3://docs/2p
\.
SELECT * FROM touched();
MERGE INTO document d USING (VALUES (1, 's3://docs/1m'), (3, 's3://docs/3m')) v(id, file) ON d.id = v.id
  WHEN MATCHED THEN UPDATE SET file = v.file::objectlink.storage_ref
  WHEN NOT MATCHED THEN INSERT VALUES (v.id, '', v.file::objectlink.storage_ref);
MERGE INTO document d USING (VALUES (2)) v(id) ON d.id = v.id WHEN MATCHED THEN DELETE;
SELECT * FROM touched();
INSERT INTO document VALUES (1, '', 's3://docs/not'), (4, '', 's3://docs/4') ON CONFLICT DO NOTHING;
INSERT INTO document VALUES (1, '', 's3://docs/1u') ON CONFLICT (id) DO UPDATE SET file = excluded.file;
SELECT * FROM touched();
WITH gone AS (DELETE FROM document WHERE id = 4 RETURNING file) INSERT INTO document SELECT 5, '', file FROM gone;
SELECT * FROM touched();
CREATE TABLE child (document_id int REFERENCES document ON DELETE CASCADE, file objectlink.storage_ref);
CALL link_by_hand('child', 'file', 3);
INSERT INTO child VALUES (5, 's3://docs/child');
DELETE FROM document;
SELECT * FROM touched();
-- A BEFORE trigger has the last word
CREATE FUNCTION other_key() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.file := 's3://docs/other'; RETURN NEW; END $$;
CREATE TRIGGER before BEFORE INSERT OR UPDATE ON document FOR EACH ROW EXECUTE FUNCTION other_key();
INSERT INTO document VALUES (1, '', 's3://docs/mine');
SELECT * FROM touched();
DROP TRIGGER before ON document;
DROP FUNCTION other_key;
-- Also in a replica, because the triggers are ENABLE ALWAYS
SET session_replication_role = replica;
INSERT INTO document VALUES (2, '', 's3://docs/replica');
RESET session_replication_role;
SELECT * FROM touched();
DROP TABLE child;
TRUNCATE document;
SELECT * FROM touched();
CREATE TRIGGER truncated AFTER TRUNCATE ON document EXECUTE FUNCTION objectlink.truncate_trigger(1);
INSERT INTO document VALUES (2, '', 's3://docs/t');
TRUNCATE document;
SELECT * FROM touched();
BEGIN;
TRUNCATE document;
ROLLBACK;
SELECT * FROM touched();

-- Partitions with columns in another order, dropped columns, moves between them
CREATE TABLE part (id int, kind text, file objectlink.storage_ref) PARTITION BY LIST (kind);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (gone int, file objectlink.storage_ref, gone_too text, kind text, id int);
ALTER TABLE part_b DROP COLUMN gone, DROP COLUMN gone_too;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
CALL link_by_hand('part', 'file', 4);
INSERT INTO part SELECT i, CASE i % 2 WHEN 0 THEN 'a' ELSE 'b' END, objectlink.storage_ref('docs', 'p' || i) FROM generate_series(1, 4) i;
SELECT * FROM touched();
UPDATE part SET kind = 'a' WHERE id = 1;
SELECT * FROM touched();
UPDATE part SET kind = 'b', file = 's3://docs/moved' WHERE id = 2;
SELECT * FROM touched();
CREATE TABLE part_c PARTITION OF part FOR VALUES IN ('c');
INSERT INTO part_c VALUES (5, 'c', 's3://docs/p5');
DELETE FROM part;
SELECT * FROM touched();
DROP TABLE part;

-- Columns come and go between statements of one session
INSERT INTO document VALUES (1, '', 's3://docs/a');
ALTER TABLE document ADD COLUMN extra int DEFAULT 1;
INSERT INTO document VALUES (2, '', 's3://docs/b', NULL, 1);
ALTER TABLE document DROP COLUMN note;
INSERT INTO document VALUES (3, 's3://docs/c');
UPDATE document SET file = 's3://docs/d' WHERE id = 1;
SELECT * FROM touched();
ALTER TABLE document RENAME COLUMN file TO renamed;
INSERT INTO document VALUES (4, 's3://docs/d');
\set VERBOSITY sqlstate
INSERT INTO document VALUES (4, 's3://docs/d');
\set VERBOSITY default
-- Another column takes the name
ALTER TABLE document ADD COLUMN file objectlink.storage_ref;
INSERT INTO document (id, file, renamed) VALUES (5, 's3://docs/new', 's3://docs/old');
SELECT * FROM touched();
ALTER TABLE document DROP COLUMN file;
ALTER TABLE document ADD COLUMN file int;
INSERT INTO document (id) VALUES (6);
ALTER TABLE document DROP COLUMN file;
ALTER TABLE document ADD COLUMN file text;
INSERT INTO document (id) VALUES (6);
ALTER TABLE document DROP COLUMN file;
ALTER TABLE document RENAME COLUMN renamed TO file;
INSERT INTO document (id, file) VALUES (7, 's3://docs/again');
SELECT * FROM touched();

-- Domains
CREATE DOMAIN pdf AS objectlink.storage_ref CHECK (objectlink.key(VALUE) LIKE '%.pdf');
CREATE DOMAIN contract AS pdf;
CREATE TABLE deal (id int, file contract);
CALL link_by_hand('deal', 'file', 5);
INSERT INTO deal VALUES (1, 's3://docs/x.pdf');
UPDATE deal SET file = 's3://docs/y.pdf';
DELETE FROM deal;
SELECT * FROM touched();
DROP TABLE deal;
DROP DOMAIN contract, pdf;

-- Text columns hold keys of a store; NULL and '' are no links
CREATE DOMAIN file_key AS varchar(2000);
CREATE TABLE legacy (id int, key text, other file_key);
CALL link_by_hand('legacy', 'key', 6, 'docs');
CALL link_by_hand('legacy', 'other', 7, 'docs');
INSERT INTO legacy VALUES (1, 'a b', 'o/1'), (2, '', ''), (3, NULL, NULL), (4, '/x//', 's3://docs/k');
SELECT * FROM touched();
UPDATE legacy SET key = CASE id WHEN 1 THEN '' WHEN 2 THEN 'new' END;
SELECT * FROM touched();
UPDATE legacy SET other = NULL;
SELECT * FROM touched();
INSERT INTO legacy VALUES (5, repeat('k', 1025));
-- What was there before it was attached, and is no key, can still be taken away
ALTER TABLE legacy DISABLE TRIGGER ALL;
INSERT INTO legacy VALUES (5, repeat('k', 1025));
ALTER TABLE legacy ENABLE ALWAYS TRIGGER links_6;
UPDATE legacy SET key = 'good' WHERE id = 5;
DELETE FROM legacy;
SELECT * FROM touched();
DROP TABLE legacy;
DROP DOMAIN file_key;

-- Keys: reserved, outside the prefix
CREATE TABLE attempt (file objectlink.storage_ref);
CALL link_by_hand('attempt', 'file', 8);
INSERT INTO attempt VALUES ('s3://docs/.objectlink/marker');
INSERT INTO attempt VALUES ('s3://below/in/here2/a');
INSERT INTO attempt VALUES ('s3://below/in/here/');
INSERT INTO attempt VALUES ('s3://below/.objectlink/x');
INSERT INTO attempt VALUES ('s3://below/in/here/a'), ('s3://docs/a/.objectlink/x'), ('s3://docs/.objectlink');
SELECT * FROM touched();

-- Stores: unknown, foreign, dropped, created again, changed, renamed, within one session
INSERT INTO attempt VALUES ('s3://nope/a');
INSERT INTO attempt VALUES ('s3://foreigner/a');
BEGIN;
CREATE SERVER nope FOREIGN DATA WRAPPER objectlink;
INSERT INTO attempt VALUES ('s3://nope/a');
ROLLBACK;
INSERT INTO attempt VALUES ('s3://nope/a');
ALTER SERVER below OPTIONS (SET prefix 'there');
INSERT INTO attempt VALUES ('s3://below/in/here/b');
INSERT INTO attempt VALUES ('s3://below/there/b');
ALTER SERVER below OPTIONS (DROP prefix);
INSERT INTO attempt VALUES ('s3://below/in/here/b');
-- Refused while there are references; but what if it happens?
ALTER EVENT TRIGGER objectlink_server_change DISABLE;
ALTER EVENT TRIGGER objectlink_server_drop DISABLE;
ALTER SERVER below RENAME TO beyond;
INSERT INTO attempt VALUES ('s3://below/in/here/c');
INSERT INTO attempt VALUES ('s3://beyond/in/here/c');
ALTER SERVER beyond RENAME TO below;
DROP SERVER below;
INSERT INTO attempt VALUES ('s3://below/in/here/d');
ALTER EVENT TRIGGER objectlink_server_change ENABLE;
ALTER EVENT TRIGGER objectlink_server_drop ENABLE;
CREATE SERVER below FOREIGN DATA WRAPPER objectlink;
INSERT INTO attempt VALUES ('s3://below/in/here/d');
SELECT * FROM touched();

-- Privileges: linking needs USAGE on the store, unlinking needs nothing
CREATE ROLE regress_linker;
GRANT USAGE ON SCHEMA objectlink TO regress_linker;
GRANT SELECT, INSERT, UPDATE, DELETE ON attempt TO regress_linker;
SET ROLE regress_linker;
INSERT INTO attempt VALUES ('s3://docs/denied');
DELETE FROM attempt WHERE file OPERATOR(pg_catalog.=) 's3://below/in/here/d';
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER docs TO regress_linker;
SET ROLE regress_linker;
INSERT INTO attempt VALUES ('s3://docs/granted');
INSERT INTO attempt VALUES ('s3://below/denied');
SELECT count(*) FROM objectlink.outbox;
RESET ROLE;
SELECT * FROM touched();
-- In one transaction: another user does not inherit what was checked for the first, and a REVOKE counts at once
BEGIN;
INSERT INTO attempt VALUES ('s3://below/superuser');
SET LOCAL ROLE regress_linker;
SAVEPOINT s;
INSERT INTO attempt VALUES ('s3://below/denied');
ROLLBACK TO s;
INSERT INTO attempt VALUES ('s3://docs/granted');
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER docs FROM regress_linker;
SET LOCAL ROLE regress_linker;
INSERT INTO attempt VALUES ('s3://docs/revoked');
ROLLBACK;
SELECT * FROM touched();

-- Condemned keys
INSERT INTO objectlink.condemned (ref) VALUES ('s3://docs/doomed');
INSERT INTO attempt VALUES ('s3://docs/doomed');
\set VERBOSITY sqlstate
INSERT INTO attempt VALUES ('s3://docs/doomed');
\set VERBOSITY default
INSERT INTO attempt VALUES ('s3://docs/doomed2'), ('s3://docs/doome');
-- The first row, one of the first, one behind the point where all marks are read at once
INSERT INTO attempt SELECT objectlink.storage_ref('docs', CASE i WHEN 5 THEN 'doomed' ELSE 'k' || i END) FROM generate_series(1, 1000) i;
INSERT INTO attempt SELECT objectlink.storage_ref('docs', CASE i WHEN 1000 THEN 'doomed' ELSE 'k' || i END) FROM generate_series(1, 1000) i;
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO attempt SELECT objectlink.storage_ref('docs', 'k' || i) FROM generate_series(1, 1000) i;
INSERT INTO attempt VALUES ('s3://docs/doomed');
ROLLBACK;
DELETE FROM objectlink.condemned;
INSERT INTO attempt VALUES ('s3://docs/doomed');
SELECT * FROM touched();

-- Savepoints: what is rolled back leaves nothing, what stays keeps everything
BEGIN;
INSERT INTO attempt VALUES ('s3://docs/outer');
SAVEPOINT a;
INSERT INTO attempt VALUES ('s3://docs/rolled back');
ROLLBACK TO a;
INSERT INTO attempt VALUES ('s3://docs/after rollback');
SAVEPOINT b;
INSERT INTO attempt VALUES ('s3://docs/released');
SAVEPOINT c;
INSERT INTO attempt VALUES ('s3://docs/inner rolled back');
ROLLBACK TO c;
RELEASE b;
COMMIT;
SELECT * FROM touched();
BEGIN;
SAVEPOINT a;
INSERT INTO attempt VALUES ('s3://docs/first of all');
ROLLBACK TO a;
INSERT INTO attempt VALUES ('s3://docs/second');
COMMIT;
SELECT * FROM touched();
BEGIN;
INSERT INTO attempt VALUES ('s3://docs/never');
ROLLBACK;
SELECT * FROM touched();
-- Exception blocks inside one statement: a function in the middle of an INSERT, and rows of several levels at once
CREATE FUNCTION attempt_both(key text) RETURNS objectlink.storage_ref LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO attempt VALUES (objectlink.storage_ref('docs', 'kept ' || key));
  BEGIN
    INSERT INTO attempt VALUES (objectlink.storage_ref('docs', 'lost ' || key));
    RAISE 'roll back';
  EXCEPTION WHEN raise_exception THEN
    INSERT INTO attempt VALUES (objectlink.storage_ref('docs', 'handled ' || key));
  END;
  RETURN objectlink.storage_ref('docs', 'returned ' || key);
END $$;
INSERT INTO attempt SELECT attempt_both(i::text) FROM generate_series(1, 2) i;
SELECT * FROM touched();
-- COPY collects rows that stay collected when a savepoint begins; then more rows than fit, at both levels
BEGIN;
COPY attempt FROM stdin;
s3://docs/copied 1
s3://docs/copied 2
\.
SAVEPOINT a;
INSERT INTO attempt SELECT objectlink.storage_ref('docs', 'many ' || i) FROM generate_series(1, 1000) i;
ROLLBACK TO a;
INSERT INTO attempt SELECT objectlink.storage_ref('docs', 'many ' || i) FROM generate_series(1001, 2000) i;
COMMIT;
SELECT count(*), count(DISTINCT ref), min(ref), max(ref) FROM touched();
BEGIN;
COPY attempt FROM PROGRAM 'seq -f "s3://docs/copied %g" 255';
SAVEPOINT a;
COPY attempt FROM PROGRAM 'seq -f "s3://docs/in savepoint %g" 700';
ROLLBACK TO a;
COPY attempt FROM PROGRAM 'seq -f "s3://docs/after savepoint %g" 700';
SAVEPOINT b;
COPY attempt FROM PROGRAM 'seq -f "s3://docs/released %g" 700';
RELEASE b;
COMMIT;
SELECT split_part(ref, ' ', 1) AS kind, count(*), count(DISTINCT ref) FROM touched() GROUP BY 1 ORDER BY 1;
-- Long keys fill the memory before the rows do
BEGIN;
INSERT INTO attempt SELECT objectlink.storage_ref('docs', i || repeat('k', 1000)) FROM generate_series(1, 500) i;
COMMIT;
SELECT count(*), count(DISTINCT ref), min(length(ref)) FROM touched();
-- A later statement of the transaction sees the rows
BEGIN;
INSERT INTO attempt SELECT objectlink.storage_ref('docs', 'seen ' || i) FROM generate_series(1, 10) i;
SELECT count(*) FROM objectlink.outbox;
COMMIT;
SELECT count(*) FROM touched();
-- Transactions ended inside a procedure
DO $$
BEGIN
  FOR i IN 1..3 LOOP
    INSERT INTO attempt VALUES (objectlink.storage_ref('docs', 'procedure ' || i));
    IF i = 2 THEN ROLLBACK; ELSE COMMIT; END IF;
  END LOOP;
END $$;
SELECT * FROM touched();
-- Deferred: the cascade runs at commit
CREATE TABLE owner (id int PRIMARY KEY);
CREATE TABLE owned (id int REFERENCES owner ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, file objectlink.storage_ref);
CALL link_by_hand('owned', 'file', 9);
INSERT INTO owner VALUES (1);
INSERT INTO owned VALUES (1, 's3://docs/owned');
DELETE FROM owner;
SELECT * FROM touched();
-- A cursor that is still open at commit
BEGIN;
DECLARE c CURSOR FOR SELECT 1;
INSERT INTO attempt VALUES ('s3://docs/cursor');
FETCH c;
COMMIT;
SELECT * FROM touched();
-- Serializable
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO attempt VALUES ('s3://docs/serializable');
COMMIT;
SELECT * FROM touched();

-- append_outbox
SELECT objectlink.append_outbox('P', 's3://docs/put', NULL), objectlink.append_outbox('L', 's3://docs/linked', 1),
  objectlink.append_outbox('U', 's3://unknown store/unlinked', 2);
SELECT * FROM touched();
SELECT objectlink.append_outbox('T', 's3://docs/put', NULL);
SELECT objectlink.append_outbox('P', NULL, NULL);
SELECT objectlink.append_outbox('P', 's3://unknown/put', NULL);
SELECT objectlink.append_outbox('L', 's3://docs/.objectlink/x', NULL);
-- Triggers that nobody should make
CREATE TRIGGER wrong BEFORE INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger(1, 'file');
INSERT INTO attempt VALUES ('s3://docs/a');
DROP TRIGGER wrong ON attempt;
CREATE TRIGGER wrong AFTER INSERT ON attempt EXECUTE FUNCTION objectlink.link_trigger(1, 'file');
INSERT INTO attempt VALUES ('s3://docs/a');
DROP TRIGGER wrong ON attempt;
CREATE TRIGGER wrong AFTER INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger();
INSERT INTO attempt VALUES ('s3://docs/a');
DROP TRIGGER wrong ON attempt;
CREATE TRIGGER wrong AFTER INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger('x', 'file');
INSERT INTO attempt VALUES ('s3://docs/a');
DROP TRIGGER wrong ON attempt;
CREATE TRIGGER wrong AFTER INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger(1, 'file', 'docs');
INSERT INTO attempt VALUES ('s3://docs/a');
DROP TRIGGER wrong ON attempt;
CREATE TRIGGER wrong AFTER INSERT ON attempt FOR EACH ROW EXECUTE FUNCTION objectlink.truncate_trigger(1);
INSERT INTO attempt VALUES ('s3://docs/a');
DROP TRIGGER wrong ON attempt;
SELECT objectlink.link_trigger();
-- The outbox must stay without index, or the index would lack rows
BEGIN;
CREATE INDEX ON objectlink.outbox (ref);
INSERT INTO attempt VALUES ('s3://docs/a');
ROLLBACK;
INSERT INTO attempt VALUES ('s3://docs/a');
SELECT * FROM touched();

-- Settings
SHOW objectlink.notify;
SET objectlink.notify = sometimes;
SET objectlink.unknown = 1;

DROP TABLE document, attempt, owned, owner;
DROP FUNCTION attempt_both, touched;
DROP PROCEDURE link_by_hand;
DROP SERVER docs, below, foreigner;
DROP FOREIGN DATA WRAPPER another_wrapper;
REVOKE USAGE ON SCHEMA objectlink FROM regress_linker;
DROP ROLE regress_linker;
