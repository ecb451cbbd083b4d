-- Goal: whoever has an object before him sees which rows hold it, in every table that may, and is told what could not be asked.
-- Method: one object in columns of each kind; the answers are compared with what was inserted.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
SET client_min_messages = error;
SELECT daemon.start();
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, deleted_at timestamptz);
CREATE TABLE named (part int, "the Id" text, file text NOT NULL COLLATE "C", PRIMARY KEY (part, "the Id")) PARTITION BY LIST (part);
CREATE TABLE named_1 PARTITION OF named FOR VALUES IN (1);
CREATE INDEX ON named (file);
CREATE TABLE keyless (file objectlink.storage_ref);
CREATE TABLE elsewhere (id int PRIMARY KEY, file text NOT NULL COLLATE "C");
CREATE INDEX ON elsewhere (file);
CREATE SERVER others FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'others');
SELECT objectlink.attach('document', 'file', soft_delete_column => 'deleted_at') > 0, objectlink.attach('named', 'file', store => 'docs') > 0, objectlink.attach('elsewhere', 'file', store => 'others') > 0;
INSERT INTO document VALUES (1, 's3://docs/k', NULL), (2, 's3://docs/k', now()), (3, 's3://docs/other', NULL), (4, NULL, NULL);
INSERT INTO named VALUES (1, 'a', 'k'), (1, 'b', 'K');
INSERT INTO keyless VALUES ('s3://docs/k'), ('s3://docs/k');
INSERT INTO elsewhere VALUES (1, 'k');
SELECT * FROM objectlink.rows_of('docs', 'k') ORDER BY relation::text, row_key::text;
SELECT * FROM objectlink.rows_of('others', 'k');
SELECT * FROM objectlink.rows_of('docs', 'nothing');
SELECT count(*) FROM objectlink.rows_of('docs', 'k', at_most => 3);
-- Code of a table's owner that fails runs as he, is told, and keeps no other table
CREATE TYPE odd AS ENUM ('a');
CREATE FUNCTION odd_json(odd) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'runs as %', current_user; END $$;
CREATE CAST (odd AS json) WITH FUNCTION odd_json(odd);
CREATE TABLE broken (id odd PRIMARY KEY, file objectlink.storage_ref);
CREATE ROLE objectlink_test_owner;
GRANT ALL ON SCHEMA public TO objectlink_test_owner;
ALTER TABLE broken OWNER TO objectlink_test_owner;
INSERT INTO broken VALUES ('a', 's3://docs/k');
SELECT relation, row_key, links, note FROM objectlink.rows_of('docs', 'k') WHERE relation IN ('broken'::regclass, 'keyless'::regclass);
-- Refused
SELECT daemon.refused($$SELECT objectlink.rows_of('nowhere', 'k')$$);
SELECT daemon.refused($$SELECT objectlink.rows_of('docs', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.rows_of(NULL, 'k')$$);
SELECT daemon.refused($$SELECT objectlink.rows_of('docs', '')$$);
SELECT daemon.refused($$SELECT objectlink.rows_of('docs', 'k', 0)$$);
-- Readers may, whatever tables they may read; others may not
CREATE ROLE objectlink_test_reader;
SELECT objectlink.grant_reader('objectlink_test_reader');
SET ROLE objectlink_test_reader;
SELECT count(*) FROM objectlink.rows_of('docs', 'k');
RESET ROLE;
SET ROLE objectlink_test_owner;
SELECT objectlink.rows_of('docs', 'k');
RESET ROLE;
DROP TABLE document, named, keyless, elsewhere, broken;
DROP TYPE odd CASCADE;
SELECT daemon.apply() > 0;
DROP OWNED BY objectlink_test_reader, objectlink_test_owner;
DROP ROLE objectlink_test_reader, objectlink_test_owner;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.scan, objectlink.event;
DROP SERVER others;
CALL daemon.finish();
