-- Goal: an inventory is queued only of what could be attached, and only for who may read it; it counts what a page and a column have in common and not.
-- Method: one session plays user and daemon; a page of a listing is written down.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE picture (id int, path text, file objectlink.storage_ref);
CREATE TABLE document (file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'path', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'path', 'docs', samples => -1)$$);
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'path', 'nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'nothing', 'docs')$$);
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'file', 'nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.inventory_column('document', 'file', 'docs')$$);
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'id', 'docs')$$);
SELECT daemon.start(), daemon.walk();
-- Queued: one run of a store at a time; an admin who may not read the column learns nothing of it
SELECT objectlink.inventory_column('picture', 'path', 'docs', samples => 1) AS run \gset
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'path', 'docs')$$);
SELECT mode, state FROM objectlink.runs;
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_stranger;
CREATE ROLE objectlink_test_stranger LOGIN;
RESET client_min_messages;
SELECT objectlink.grant_admin('objectlink_test_stranger');
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_stranger;
GRANT USAGE ON SCHEMA daemon TO objectlink_test_stranger;
SET SESSION AUTHORIZATION objectlink_test_stranger;
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'path', 'docs')$$);
RESET SESSION AUTHORIZATION;
-- A page
INSERT INTO picture (path) VALUES ('a'), ('a'), ('b'), ('gone'), ('gone too'), ('.objectlink/x'), (''), (NULL);
INSERT INTO document VALUES ('s3://docs/b'), ('s3://docs/c');
SELECT id FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :run, 0, '', NULL, '{.objectlink/x,a,b,c,d}', '{1,2,4,8,16}', '{"","","","",""}', '{1,1,1,1,1}', 0, 1);
SELECT state, rows, keys, matched, matched_bytes, missing, invalid, linked, orphans, orphan_bytes, samples FROM objectlink.inventories;
SELECT count(*) FROM objectlink.object;
SELECT count(*) FROM objectlink.finding;
-- A column of references, not attached yet: only those to the store that is asked about count. Its own rows are no links of others
CREATE SERVER other FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'other');
CREATE DOMAIN picture_ref AS objectlink.storage_ref;
CREATE TABLE gallery (file picture_ref);
INSERT INTO gallery VALUES ('s3://docs/a'), ('s3://docs/a'), ('s3://docs/b'), ('s3://docs/gone'), ('s3://other/x'), ('s3://other/d'), (NULL);
INSERT INTO gallery SELECT objectlink.storage_ref('docs', k) FROM unnest(ARRAY[chr(1), repeat(chr(1114111), 256)]) k;
SELECT objectlink.inventory_column('gallery', 'file', 'docs', samples => 3) AS run \gset
SELECT id = :run FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :run, 0, '', 'a', '{a}', '{1}', '{""}', '{1}', 0, 1);
SELECT objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :run, 0, 'a', NULL, '{b,c,d}', '{2,4,8}', '{"","",""}', '{1,1,1}', 0, 1);
SELECT state, rows, keys, matched, matched_bytes, missing, invalid, linked, orphans, orphan_bytes FROM objectlink.inventories WHERE run_id = :run;
SELECT listed, bytes FROM objectlink.runs WHERE id = :run;
SELECT samples -> 'linked' AS linked, samples -> 'orphan' AS orphan, samples #> '{missing,1}' AS missing, jsonb_array_length(samples -> 'missing') AS all_missing
FROM objectlink.inventories WHERE run_id = :run;
DROP TABLE gallery;
DROP DOMAIN picture_ref;
SELECT objectlink.attach('picture', 'path', 'docs') > 0;
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'path', 'docs')$$);
DROP TABLE picture, document;
DROP SERVER other;
SELECT daemon.walk() >= 0;
DROP OWNED BY objectlink_test_stranger;
CALL daemon.finish();
SET client_min_messages = error;
DROP ROLE objectlink_test_stranger;
