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
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'file', 'docs')$$);
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
SELECT objectlink.attach('picture', 'path', 'docs') > 0;
SELECT daemon.refused($$SELECT objectlink.inventory_column('picture', 'path', 'docs')$$);
DROP TABLE picture, document;
SELECT daemon.walk() >= 0;
DROP OWNED BY objectlink_test_stranger;
CALL daemon.finish();
SET client_min_messages = error;
DROP ROLE objectlink_test_stranger;
