-- Goal: applying the outbox brings the registry to what the rows say, whatever the events were and came in which order.
-- Method: change rows, apply, show registry and events; first every row of next_state(), then what the rows can look like.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set objects 'SELECT key, state, attached, due FROM daemon.objects ORDER BY key;'
\set events 'SELECT key, from_state, to_state, cause FROM objectlink.event ORDER BY key COLLATE "C", id; DELETE FROM objectlink.event;'
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, thumb objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0;
SELECT daemon.walk();

-- next_state(): every case, and none of them illegal
CREATE TEMP TABLE cases AS
SELECT state, linked, link, unlink, put, proved, objectlink.next_state(state, linked, (NULL, link, unlink, put, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL), proved, false) AS next
FROM unnest('{NULL,reserved,pending,stored,missing,corrupt,failed,unlinked,deleting}'::text[]) state,
     unnest('{t,f}'::bool[]) linked, unnest('{t,f}'::bool[]) link, unnest('{t,f}'::bool[]) unlink, unnest('{t,f}'::bool[]) put, unnest('{t,f}'::bool[]) proved
WHERE link OR unlink OR put;
SELECT count(*), count(next) FROM cases;
SELECT * FROM cases c WHERE c.next IS DISTINCT FROM c.state
  AND NOT EXISTS (SELECT FROM objectlink.legal_transitions() l WHERE l.from_state IS NOT DISTINCT FROM c.state AND l.to_state = c.next);
SELECT coalesce(state, '(new)') AS state, CASE WHEN linked THEN 'linked' ELSE 'not linked' END AS rows, next,
       string_agg(DISTINCT concat(CASE WHEN link THEN 'L' END, CASE WHEN unlink THEN 'U' END, CASE WHEN put THEN 'P' END, CASE WHEN proved THEN '!' END), ' ')
FROM cases GROUP BY state, linked, next ORDER BY state NULLS FIRST, linked, next;
-- Linked by a row is never unlinked or deleted; not linked by any is never stored or uploaded
SELECT count(*) FROM cases WHERE linked AND next IN ('unlinked', 'reserved') OR linked AND next = 'deleting' AND state <> 'deleting';
SELECT count(*) FROM cases WHERE NOT linked AND next NOT IN ('unlinked', 'reserved', 'deleting');
-- Held, whatever was said: not linked, and nothing else; what is being deleted is looked at again before its request
SELECT DISTINCT coalesce(state, '(new)') AS state, objectlink.next_state(state, false, (NULL, link, unlink, put, NULL, NULL, NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, NULL, NULL, NULL), proved, true) AS next
FROM cases ORDER BY 1;

-- (new) -> pending; nothing to apply -> nothing happens
INSERT INTO document VALUES (1, 's3://docs/1');
SELECT daemon.apply();
:objects
:events
SELECT daemon.apply();
:events
-- pending -> unlinked -> pending
DELETE FROM document;
SELECT daemon.apply();
INSERT INTO document VALUES (1, 's3://docs/1');
SELECT daemon.apply();
:objects
:events
-- pending -> stored; then linked by one more row, still stored
SELECT daemon.settle('1', 'stored', '{"size": 7}');
INSERT INTO document VALUES (2, 's3://docs/1');
SELECT daemon.apply();
:objects
:events
-- one row of two goes: still stored; the last one: unlinked; back before it is due: stored, for it was proved
DELETE FROM document WHERE id = 1;
SELECT daemon.apply();
:events
DELETE FROM document WHERE id = 2;
SELECT daemon.apply();
:objects
:events
INSERT INTO document VALUES (3, 's3://docs/1');
SELECT daemon.apply();
:objects
:events
-- moved to another row in one transaction, by UPDATE, and back: nothing to see
BEGIN;
DELETE FROM document WHERE id = 3;
INSERT INTO document VALUES (4, 's3://docs/1');
COMMIT;
UPDATE document SET file = NULL;
UPDATE document SET file = 's3://docs/1';
SELECT daemon.apply();
:events
-- unlinked and linked again, seen in two batches of one event each: the rows decide, not the order
BEGIN;
UPDATE document SET file = 's3://docs/new';
UPDATE document SET file = 's3://docs/1';
COMMIT;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
:events
SELECT daemon.apply();
:objects
:events
-- inserted and deleted before anybody looked
INSERT INTO document VALUES (5, 's3://docs/brief');
DELETE FROM document WHERE id = 5;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
:events
SELECT daemon.apply();
:events
-- an unlink of what nobody knew
SELECT objectlink.append_outbox('U', 's3://docs/unheard-of', NULL);
SELECT daemon.apply();
:events
-- failed, missing, corrupt: a new link is a reason to look again, an unlink of one row of two is none
INSERT INTO document VALUES (11, 's3://docs/failed'), (12, 's3://docs/missing'), (13, 's3://docs/corrupt');
SELECT daemon.apply();
SELECT daemon.settle('failed', 'failed', '{"error_code": "NoSuchKey"}'), daemon.settle('missing', 'stored'), daemon.settle('corrupt', 'stored');
UPDATE objectlink.object SET state = key WHERE key IN ('missing', 'corrupt');
DELETE FROM objectlink.event;
INSERT INTO document SELECT id + 10, file FROM document WHERE id > 10;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 100);
:events
SELECT daemon.settle(k, 'failed') FROM unnest('{failed,missing,corrupt}'::text[]) k;
DELETE FROM document WHERE id > 20;
SELECT daemon.apply();
:objects
SELECT last_error, error_code, attempts FROM objectlink.object WHERE key = 'failed';
DELETE FROM document WHERE id > 10;
SELECT daemon.apply();
:objects
DELETE FROM objectlink.event;
-- deleting: only issue() may take it back, an event changes nothing (the row came in with triggers off)
SELECT count(*) FROM daemon.condemn();
ALTER TABLE document DISABLE TRIGGER ALL;
INSERT INTO document VALUES (30, 's3://docs/failed');
ALTER TABLE document ENABLE TRIGGER ALL;
SELECT objectlink.append_outbox('U', 's3://docs/failed', NULL), objectlink.append_outbox('U', 's3://docs/missing', NULL);
SELECT daemon.apply();
SELECT key, state FROM objectlink.object WHERE key IN ('failed', 'missing');
DELETE FROM document;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.condemned, objectlink.event;

-- Shared by two columns of a row, by two tables, by three stores: the last link counts
CREATE TABLE page (scan objectlink.storage_ref);
SELECT objectlink.attach('document', 'thumb') > 0, objectlink.attach('page', 'scan') > 0, daemon.walk();
INSERT INTO document VALUES (1, 's3://docs/shared', 's3://docs/shared');
INSERT INTO page VALUES ('s3://docs/shared');
SELECT daemon.apply();
:objects
SELECT daemon.settle('shared', 'stored');
DELETE FROM page;
SELECT daemon.apply();
UPDATE document SET thumb = NULL;
SELECT daemon.apply();
:objects
DELETE FROM document;
SELECT daemon.apply();
:objects
:events
CREATE SERVER other FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'other', retention '7 days');
INSERT INTO document VALUES (1, 's3://docs/key'), (2, 's3://other/key');
SELECT daemon.apply();
DELETE FROM document WHERE id = 2;
SELECT daemon.apply();
SELECT store, key, state, due FROM daemon.objects ORDER BY store, key;
-- held for its retention
SELECT due_at - since BETWEEN interval '7 days' - interval '1 second' AND interval '7 days' + interval '1 second' FROM objectlink.object WHERE state = 'unlinked' AND key = 'key';
CALL daemon.drop_server('other');
-- a store whose server is gone: kept in mind all the same
DELETE FROM document;
SELECT daemon.apply();
SELECT store, key, state FROM daemon.objects WHERE key = 'key' ORDER BY store;

-- Links nobody announced: a column that is not attached, behind a domain, in a child, under forced row security
CREATE DOMAIN picture AS objectlink.storage_ref;
CREATE TABLE silent (file picture);
CREATE TABLE silent_child (own objectlink.storage_ref) INHERITS (silent);
CREATE TABLE secret (file objectlink.storage_ref);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret FORCE ROW LEVEL SECURITY;
CREATE TABLE partitioned (id int, file objectlink.storage_ref) PARTITION BY RANGE (id);
CREATE TABLE partition PARTITION OF partitioned DEFAULT;
INSERT INTO silent VALUES ('s3://docs/domain');
INSERT INTO silent_child VALUES ('s3://docs/child', 's3://docs/own');
INSERT INTO secret VALUES ('s3://docs/secret');
INSERT INTO partition VALUES (1, 's3://docs/partition');
INSERT INTO document SELECT row_number() OVER (), objectlink.storage_ref('docs', k) FROM unnest('{domain,child,own,secret,partition,nowhere}'::text[]) k;
DELETE FROM document;
SELECT daemon.apply();
SELECT key, state FROM objectlink.object WHERE key IN ('domain', 'child', 'own', 'secret', 'partition', 'nowhere') ORDER BY key;
SELECT objectlink.attach('secret', 'file') > 0, daemon.walk();
DELETE FROM secret;
INSERT INTO secret VALUES ('s3://docs/secret2');
SELECT daemon.apply();
SELECT key, state, attached FROM daemon.objects WHERE key LIKE 'secret%' ORDER BY key;
-- What does not count: a view, an array, a text that only looks like it
CREATE VIEW looking AS SELECT 's3://docs/seen'::objectlink.storage_ref AS file;
CREATE TABLE unasked (files objectlink.storage_ref[], path text);
INSERT INTO unasked VALUES ('{s3://docs/seen}', 's3://docs/seen');
SELECT objectlink.append_outbox('U', 's3://docs/seen', NULL);
SELECT daemon.apply();
SELECT key, state FROM objectlink.object WHERE key = 'seen';
DROP TABLE silent, silent_child, secret, partitioned, unasked;
DROP VIEW looking;
DROP DOMAIN picture;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event;

-- Text columns: the database's own collation and a case-insensitive one, keys compared byte by byte
SELECT datlocprovider, datcollate NOT IN ('C', 'POSIX') AS by_libc FROM pg_database WHERE datname = current_database();
CREATE COLLATION any_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TABLE legacy (path text, loose text COLLATE any_case);
SELECT objectlink.attach('legacy', 'path', store => 'docs') > 0, objectlink.attach('legacy', 'loose', store => 'docs') > 0, daemon.walk();
INSERT INTO legacy VALUES ('Straße', 'a'), ('strasse', 'A');
SELECT daemon.apply();
:objects
UPDATE legacy SET loose = 'A' WHERE loose COLLATE "C" = 'a';
SELECT daemon.apply();
:objects
DELETE FROM legacy WHERE path = 'Straße';
SELECT daemon.apply();
:objects
DROP TABLE legacy;
DROP COLLATION any_case;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event;

-- Existing rows: walked in small steps, in the order of the index; NULL, empty and impossible ones do not stop the walk
CREATE TABLE legacy (id int, path text);
INSERT INTO legacy SELECT i, '' FROM generate_series(1, 10) i;
INSERT INTO legacy VALUES (20, NULL), (21, 'a'), (22, 'a'), (23, 'a'), (24, repeat('k', 1025)), (25, 'z'), (26, 'b');
SELECT objectlink.attach('legacy', 'path', store => 'docs') > 0;
SELECT objectlink.scan_step(daemon.epoch(0), 2);
SELECT daemon.walk(2);
SELECT op, attached, ref FROM daemon.outbox ORDER BY ref;
SELECT cause, detail ->> 'message' FROM objectlink.event WHERE cause = 'not a key';
SELECT daemon.apply();
:objects
SELECT linking_existing_rows, last_error FROM objectlink.attachments WHERE relation = 'legacy'::regclass;
-- the column is dropped from under the walk, or the table, or it is detached
INSERT INTO document VALUES (1, 's3://docs/1');
CREATE TABLE doomed_column (file objectlink.storage_ref); CREATE TABLE doomed_table (file objectlink.storage_ref); CREATE TABLE leaving (file objectlink.storage_ref);
INSERT INTO doomed_column VALUES ('s3://docs/d1'); INSERT INTO doomed_table VALUES ('s3://docs/d2'); INSERT INTO leaving VALUES ('s3://docs/d3');
SELECT objectlink.attach('doomed_column', 'file') > 0, objectlink.attach('doomed_table', 'file') > 0, objectlink.attach('leaving', 'file') > 0;
SET client_min_messages = warning;
ALTER TABLE doomed_column DROP COLUMN file CASCADE;
DROP TABLE doomed_table;
RESET client_min_messages;
SELECT objectlink.detach('leaving', 'file');
SELECT daemon.walk();
SELECT count(*) FROM objectlink.scan;
SELECT daemon.apply();
:objects
-- a walk that can't go on does not hold up the others, and when it can, it is no problem any more
CREATE TABLE locked (file objectlink.storage_ref); CREATE TABLE free (file objectlink.storage_ref);
INSERT INTO locked VALUES ('s3://docs/l1'), ('s3://docs/l2'); INSERT INTO free VALUES ('s3://docs/f1');
SELECT objectlink.attach('locked', 'file') > 0, objectlink.attach('free', 'file') > 0;
CREATE ROLE objectlink_test_owner;
ALTER TABLE locked OWNER TO objectlink_test_owner;
REVOKE ALL ON locked FROM objectlink_test_owner;
SELECT objectlink.scan_step(daemon.epoch(0), 1), objectlink.scan_step(daemon.epoch(0), 1);
SELECT what, detail FROM objectlink.problems WHERE what LIKE '%walk%';
SELECT ref FROM daemon.outbox ORDER BY ref;
GRANT SELECT ON locked TO objectlink_test_owner;
SELECT objectlink.scan_step(daemon.epoch(0), 1), objectlink.scan_step(daemon.epoch(0), 1);
SELECT what, detail FROM objectlink.problems WHERE what LIKE '%walk%';
SELECT daemon.walk();
SELECT ref FROM daemon.outbox ORDER BY ref;
DROP TABLE locked, free;
DROP ROLE objectlink_test_owner;
TRUNCATE objectlink.scan, objectlink.outbox;
DROP TABLE legacy, doomed_column, leaving;
DELETE FROM document;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan;

-- Rows whose keys are not below the store's prefix, or are objectlink's own, are never taken over, nor deleted
CREATE SERVER images FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'images', prefix 'img/');
CREATE TABLE foreign_keys (id int, path text);
INSERT INTO foreign_keys VALUES (1, 'img/mine'), (2, 'somebody/elses'), (3, 'img'), (4, 'img/'), (5, '.objectlink/owner');
SELECT objectlink.attach('foreign_keys', 'path', store => 'images') > 0, daemon.walk(), daemon.apply();
:objects
DELETE FROM foreign_keys;
SELECT daemon.apply();
:objects
DELETE FROM objectlink.event;
DROP TABLE foreign_keys;
CALL daemon.drop_server('images');
TRUNCATE objectlink.object, objectlink.outbox;

-- TRUNCATE: the drainer asks about every object of the attachment, in steps
INSERT INTO page SELECT objectlink.storage_ref('docs', 'p/' || i) FROM generate_series(1, 5) i;
INSERT INTO document SELECT i, objectlink.storage_ref('docs', 'd/' || i), CASE WHEN i = 3 THEN 's3://docs/p/3'::objectlink.storage_ref END FROM generate_series(1, 3) i;
SELECT daemon.apply();
TRUNCATE page;
SELECT daemon.apply();
SELECT kind, done FROM objectlink.scan;
SELECT objectlink.scan_step(daemon.epoch(0), 2);
SELECT kind, done FROM objectlink.scan;
SELECT daemon.walk(2);
SELECT daemon.apply();
:objects
-- rolled back: nothing; filled again before it was applied: what is there is linked
BEGIN; TRUNCATE document; ROLLBACK;
BEGIN; TRUNCATE document; INSERT INTO document VALUES (1, 's3://docs/d/1'); COMMIT;
SELECT daemon.apply(), daemon.walk();
SELECT daemon.apply();
:objects
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event;
DELETE FROM document;
TRUNCATE objectlink.outbox;

-- A column that can't be asked: what was unlinked waits, what was linked is believed, nothing becomes unlinked
INSERT INTO document VALUES (1, 's3://docs/stays'), (2, 's3://docs/goes'), (3, 's3://docs/put-again');
SELECT daemon.apply();
SELECT daemon.settle(k, 'stored', '{"size": 1}') FROM unnest('{stays,goes,put-again}'::text[]) k;
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE mixed (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER dummy;
SELECT ref, attachment_id, unknown FROM objectlink.linked('{s3://docs/stays,s3://docs/nobody}');
TRUNCATE objectlink.event;
DELETE FROM document WHERE id = 2;
INSERT INTO document VALUES (4, 's3://docs/new');
SELECT objectlink.append_outbox('P', 's3://docs/reserved', NULL);
-- nor can it be seen that this one is linked: it is believed, or what a row links would be held as lost
SELECT objectlink.append_outbox('L', 's3://docs/far', NULL);
-- the row of this one is where nobody can look
ALTER TABLE document DISABLE TRIGGER ALL;
DELETE FROM document WHERE id = 3;
ALTER TABLE document ENABLE TRIGGER ALL;
SELECT objectlink.append_outbox('P', 's3://docs/put-again', NULL);
SELECT daemon.apply() > 0;
:objects
:events
SELECT op, ref FROM objectlink.outbox ORDER BY ref, op;
DROP TABLE mixed;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
SELECT daemon.apply() > 0;
:objects
:events
SELECT count(*) FROM objectlink.outbox;

-- Who may apply, and how much
SELECT daemon.refused($$SELECT objectlink.apply_outbox(daemon.epoch(0) - 1, '(0,0)', 1)$$);
SELECT daemon.refused($$SELECT objectlink.apply_outbox(daemon.epoch(0) + 1, '(0,0)', 1)$$);
SELECT daemon.refused($$SELECT objectlink.apply_outbox(NULL, '(0,0)', 1)$$);
SELECT daemon.refused($$SELECT objectlink.scan_step(daemon.epoch(0) - 1, 1)$$);
SELECT daemon.refused($$SELECT objectlink.release_condemned(daemon.epoch(0) - 1)$$);
TRUNCATE objectlink.outbox;
INSERT INTO page SELECT objectlink.storage_ref('docs', 'q/' || i) FROM generate_series(1, 5) i;
SELECT * FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 2);
SELECT * FROM objectlink.apply_outbox(daemon.epoch(0), '(0,4)', 10);
SELECT * FROM objectlink.apply_outbox(daemon.epoch(0), '(0,5)', 10);
SELECT * FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 10);
SELECT * FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 10);
-- what an idle daemon sees
SELECT outbox, due_in_ms, settings IS NOT NULL FROM objectlink.look(ARRAY[daemon.store_id('docs')], '(0,0)');
INSERT INTO page VALUES ('s3://docs/q/9');
SELECT outbox FROM objectlink.look('{}', '(0,0)');
SELECT outbox, due_in_ms FROM objectlink.look('{}', '(1000,0)');
SELECT objectlink.set_asleep(true);
SELECT objectlink.set_asleep(false);
SELECT asleep FROM objectlink.doorbell;

-- wait_for_sync() says what it waits for
SELECT daemon.refused($$CALL objectlink.wait_for_sync('0')$$);
SELECT daemon.refused($$CALL objectlink.wait_for_sync(NULL)$$);
SELECT daemon.refused($$CALL objectlink.wait_for_sync('-1 s')$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT daemon.refused($$CALL objectlink.wait_for_sync('1 s')$$);
ROLLBACK;
SELECT daemon.apply();
SELECT daemon.refused($$CALL objectlink.wait_for_sync('0')$$);
TRUNCATE objectlink.object;
CALL objectlink.wait_for_sync('0');

-- An idle daemon also sees a walk, a deletion, a fence: what it did not see would wait until something else wakes it
TRUNCATE objectlink.outbox;
INSERT INTO page VALUES ('s3://docs/idle');
SELECT daemon.apply();
TRUNCATE page;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 100);
SELECT outbox FROM objectlink.look('{}', '(1000,0)');
SELECT daemon.walk(), daemon.apply();
SELECT key, state FROM objectlink.object;
SELECT outbox, due_in_ms FROM objectlink.look(ARRAY[daemon.store_id('docs')], '(1000,0)');
SELECT daemon.claim();
SELECT settings FROM objectlink.look('{}', '(1000,0)') \gset
SELECT objectlink.fence_store(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'missing', NULL) IS NOT NULL;
SELECT settings <> :'settings' FROM objectlink.look('{}', '(1000,0)');

SET client_min_messages = warning;
DROP TABLE document, page;
CALL daemon.finish();
