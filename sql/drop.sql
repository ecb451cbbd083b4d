-- Goal: whatever takes rows away without a trigger being fired, the objects they linked are held with a reason, and never due;
-- what rows had unlinked before goes on to be deleted. A drop that is rolled back has not happened.
-- Method: every way a table, a part of it or its column can vanish, before and after its rows were applied; then the registry.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
-- Without the time of day.
CREATE FUNCTION daemon.said(p_reason text) RETURNS text LANGUAGE sql AS
$$ SELECT replace(regexp_replace(p_reason, ' at [-0-9]+ [:0-9]+ UTC', '', 'g'), session_user, 'me') $$;
CREATE VIEW daemon.held AS
SELECT o.key, o.state, CASE WHEN o.due_at IS NULL THEN 'no' WHEN o.due_at <= clock_timestamp() THEN 'now' ELSE 'later' END AS due, daemon.said(o.held_reason) AS held
FROM objectlink.object o;
\set objects 'SELECT * FROM daemon.held ORDER BY key;'
\set forget 'TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.condemned, objectlink.attachment, objectlink.payload;'
-- Everything in the order of the daemon: the outbox until it is empty, then the walks.
CREATE FUNCTION daemon.settle_all() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  FOR i IN 1 .. 3 LOOP
    PERFORM daemon.apply();
    PERFORM daemon.walk();
  END LOOP;
END $$;
-- Of each key: stored, as the daemon would have it.
CREATE FUNCTION daemon.store() RETURNS void LANGUAGE sql AS
$$ SELECT daemon.settle(o.key, 'stored', '{"size": 1}') FROM objectlink.object o WHERE o.state = 'pending' $$;
\set settle 'SELECT daemon.settle_all();'
\set store 'SELECT daemon.settle_all(); SELECT count(*) FROM (SELECT daemon.store()) AS s;'
SET client_min_messages = warning;
SELECT daemon.start();

-- DROP TABLE: applied before, put and not uploaded, not applied yet, shared with a table that stays
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE other (file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('other', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/1'), (2, 's3://docs/shared'), (3, 's3://docs/deleted'), (4, 's3://docs/twice');
INSERT INTO other VALUES ('s3://docs/shared'), ('s3://docs/others');
:store
INSERT INTO document VALUES (5, objectlink.put('docs', 'content', key => 'put'));
DELETE FROM document WHERE id = 3;
SELECT daemon.apply() > 0;
INSERT INTO document VALUES (6, 's3://docs/unapplied'), (7, objectlink.put('docs', 'content', key => 'put-unapplied'));
BEGIN;
DROP TABLE document;
ROLLBACK;
:settle
:objects
SELECT count(*) FROM objectlink.attachment WHERE dropped IS NOT NULL;
INSERT INTO document VALUES (8, 's3://docs/unapplied-too');
BEGIN;
SAVEPOINT here;
DROP TABLE document;
ROLLBACK TO here;
DELETE FROM document WHERE id = 4;
COMMIT;
SELECT daemon.apply() > 0;
INSERT INTO document VALUES (9, 's3://docs/late'), (10, objectlink.put('docs', 'content', key => 'put-late'));
DROP TABLE document;
SELECT daemon.apply() > 0;
:objects
:settle
:objects
SELECT relation, column_name, detached_at IS NOT NULL AS ended, daemon.said(dropped) FROM objectlink.attachment ORDER BY id;
SELECT relation FROM objectlink.attachments;
SELECT cause, key, to_state, daemon.said(detail::text) FROM objectlink.event WHERE cause IN ('drop', 'unlink') ORDER BY id;
-- what a row had unlinked goes, nothing else does; content that is in the database only stays there
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT ref FROM objectlink.payload ORDER BY ref;
-- nothing makes a held object due: a put, an unlink of another row, a walk, a try that is taken back
SELECT objectlink.put('docs', 'content', key => 'put');
SELECT daemon.refused($$SELECT objectlink.put('docs', 'other content', key => 'put-late')$$);
SELECT objectlink.append_outbox('U', 's3://docs/unapplied', NULL);
DELETE FROM other WHERE objectlink.key(file) = 'others';
TRUNCATE other;
:settle
:objects
SELECT daemon.refused($$UPDATE objectlink.object SET due_at = now() WHERE key = '1'$$);
-- linked again, by whom ever: it is back, and what is unlinked then by a row may go
INSERT INTO other VALUES ('s3://docs/1'), ('s3://docs/put-late');
:settle
SELECT * FROM daemon.held WHERE key IN ('1', 'put-late') ORDER BY key;
DELETE FROM other;
:settle
SELECT * FROM daemon.held WHERE key IN ('1', 'put-late') ORDER BY key;
DROP TABLE other;
:forget

-- Deleted, or truncated, and dropped before that was applied: nobody can say any more whether another row held the key
CREATE TABLE emptied (file objectlink.storage_ref);
SELECT objectlink.attach('emptied', 'file') > 0;
INSERT INTO emptied VALUES ('s3://docs/deleted'), ('s3://docs/rest');
:store
BEGIN;
DELETE FROM emptied WHERE objectlink.key(file) = 'deleted';
TRUNCATE emptied;
INSERT INTO emptied VALUES ('s3://docs/new');
DROP TABLE emptied;
COMMIT;
:settle
:objects
:forget
-- the walk after the TRUNCATE is under way: what it did not reach is held
CREATE TABLE emptied (file objectlink.storage_ref);
SELECT objectlink.attach('emptied', 'file') > 0;
INSERT INTO emptied SELECT objectlink.storage_ref('docs', 'k' || i) FROM generate_series(1, 4) i;
:store
TRUNCATE emptied;
SELECT daemon.apply();
SELECT objectlink.scan_step(daemon.epoch(0), 2);
SELECT daemon.apply();
SELECT objectlink.scan_step(daemon.epoch(0), 1);
DROP TABLE emptied;
:settle
:objects
:forget

-- what a row has unlinked goes, although its table was truncated and dropped after that
CREATE TABLE emptied (file objectlink.storage_ref);
SELECT objectlink.attach('emptied', 'file') > 0;
INSERT INTO emptied VALUES ('s3://docs/deleted'), ('s3://docs/rest');
:store
DELETE FROM emptied WHERE objectlink.key(file) = 'deleted';
SELECT daemon.apply();
TRUNCATE emptied;
DROP TABLE emptied;
:settle
:objects
:forget

-- DROP COLUMN; columns that were never attached, or are not any more, promised nothing
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, path text, free objectlink.storage_ref, was text);
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('document', 'path', store => 'docs') > 0, objectlink.attach('document', 'was', store => 'docs') > 0;
INSERT INTO document VALUES (1, 's3://docs/file', 'path', 's3://docs/free', 'was'), (2, 's3://docs/file-2', 'file', NULL, NULL);
:store
SELECT objectlink.detach('document', 'was');
INSERT INTO document VALUES (3, 's3://docs/file-late', 'path-late', NULL, NULL);
SELECT daemon.refused('ALTER TABLE document DROP COLUMN file');
ALTER TABLE document DROP COLUMN free, DROP COLUMN was, DROP COLUMN file CASCADE;
SELECT tgname ~ 'truncate' FROM pg_trigger WHERE tgrelid = 'document'::regclass AND tgname LIKE 'objectlink%' ORDER BY 1;
:settle
:objects
ALTER TABLE document DROP COLUMN path CASCADE;
:settle
:objects
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'document'::regclass AND tgname LIKE 'objectlink%';
-- the rest of the table goes too: nothing is said twice
DROP TABLE document;
SELECT column_name, daemon.said(dropped) FROM objectlink.attachment ORDER BY id;
SELECT count(*) FROM objectlink.scan;
:forget

-- Cascades: schema, domain, owner, several at once
CREATE SCHEMA shelf;
CREATE DOMAIN shelf.picture AS objectlink.storage_ref;
CREATE TABLE shelf."odd ""name" (file objectlink.storage_ref);
CREATE TABLE album (face shelf.picture, id int);
CREATE ROLE objectlink_test_leaver;
CREATE TABLE left_behind (file objectlink.storage_ref);
SELECT count(objectlink.attach(r::regclass, c)) FROM (VALUES ('shelf."odd ""name"', 'file'::name), ('album', 'face'), ('left_behind', 'file')) v (r, c);
INSERT INTO shelf."odd ""name" VALUES ('s3://docs/shelf');
INSERT INTO album VALUES ('s3://docs/album');
INSERT INTO left_behind VALUES ('s3://docs/left');
:store
ALTER TABLE left_behind OWNER TO objectlink_test_leaver;
DROP SCHEMA shelf CASCADE;
DROP OWNED BY objectlink_test_leaver CASCADE;
:settle
:objects
DROP ROLE objectlink_test_leaver;
DROP TABLE album;
:forget

-- Partitions: the tree stays. What others delete meanwhile is deleted
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
CREATE TABLE part_3 PARTITION OF part FOR VALUES FROM (20) TO (30) PARTITION BY LIST (id);
CREATE TABLE part_3a PARTITION OF part_3 FOR VALUES IN (20);
CREATE TABLE part_rest PARTITION OF part DEFAULT;
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (1, 's3://docs/1'), (2, 's3://docs/2'), (3, 's3://docs/both'), (10, 's3://docs/10'), (11, 's3://docs/both'), (20, 's3://docs/20'), (99, 's3://docs/99');
:store
DELETE FROM part WHERE id = 2;
UPDATE part SET id = 12 WHERE id = 1;
INSERT INTO part VALUES (13, 's3://docs/13-late');
DROP TABLE part_2;
:settle
:objects
DELETE FROM part WHERE id = 3;
-- one walk for several drops
INSERT INTO part VALUES (100, 's3://docs/100');
:store
DROP TABLE part_3;
DROP TABLE part_rest;
DROP TABLE part_1;
SELECT count(*) FROM objectlink.scan;
SELECT objectlink.scan_step(daemon.epoch(0), 1000) > 0;
SELECT count(*), daemon.said(min(hold)) FROM objectlink.scan;
:settle
:objects
DROP TABLE part;
:forget
-- a drop while the walk after another one is under way: it comes after that, or what the walk has passed would never be asked about
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (2, 's3://docs/1-passed'), (1, 's3://docs/2'), (2, 's3://docs/3');
:store
DROP TABLE part_1;
SELECT objectlink.scan_step(daemon.epoch(0), 1);
DROP TABLE part_2;
:settle
:objects
DROP TABLE part;
:forget
-- a walk after a TRUNCATE of one partition holds what may have been in another one
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (1, 's3://docs/1'), (2, 's3://docs/2');
:store
TRUNCATE part_1;
SELECT daemon.apply();
SELECT objectlink.scan_step(daemon.epoch(0), 1000);
DROP TABLE part_2;
:settle
:objects
:forget
DROP TABLE part;
-- the walk comes before the word of a row: it leaves that key out
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (1, 's3://docs/1'), (2, 's3://docs/2');
:store
DELETE FROM part WHERE id = 1;
DROP TABLE part_2;
SELECT daemon.walk();
:objects
:settle
:objects
DROP TABLE part;
:forget
-- detached and dropped, as partitions are rotated: the objects are still known by the tree's attachment
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (1, 's3://docs/1'), (2, 's3://docs/2');
:store
ALTER TABLE part DETACH PARTITION part_1;
DROP TABLE part_1;
ALTER TABLE part DETACH PARTITION part_2 CONCURRENTLY;
:settle
SELECT relation FROM objectlink.attachments ORDER BY relation::text;
:objects
-- truncated soon after it was detached
INSERT INTO part_2 VALUES (2, 's3://docs/3');
:store
ALTER TABLE part ATTACH PARTITION part_2 DEFAULT;
ALTER TABLE part DETACH PARTITION part_2;
TRUNCATE part_2;
:settle
:objects
DROP TABLE part, part_2;
:forget

-- Inheritance: a child goes, a parent's column goes and the child keeps it
CREATE TABLE parent (id int, file objectlink.storage_ref, path text);
CREATE TABLE child () INHERITS (parent);
CREATE TABLE late (id int, file objectlink.storage_ref, path text);
CREATE TABLE grandchild () INHERITS (child);
SELECT objectlink.attach('parent', 'file') > 0, objectlink.attach('parent', 'path', store => 'docs') > 0;
ALTER TABLE late INHERIT parent;
INSERT INTO parent VALUES (1, 's3://docs/parent', 'p/parent');
INSERT INTO child VALUES (1, 's3://docs/child', 'p/child');
INSERT INTO grandchild VALUES (1, 's3://docs/grandchild', 'p/grandchild');
INSERT INTO late VALUES (1, 's3://docs/late', 'p/late');
:store
-- each has its own index to be asked by
SELECT tablename, string_agg(regexp_replace(indexdef, '^.* USING ', ''), ', ' ORDER BY indexdef) FROM pg_indexes
WHERE tablename IN ('parent', 'child', 'grandchild', 'late') GROUP BY 1 ORDER BY 1;
SELECT relid::regclass, column_name, indexed FROM objectlink.asked_column WHERE relid = 'parent'::regclass ORDER BY 2;
DROP TABLE grandchild;
:settle
:objects
ALTER TABLE ONLY parent DROP COLUMN file CASCADE;
:settle
SELECT relation, column_name FROM objectlink.attachments ORDER BY 1::text, 2;
:objects
DELETE FROM late;
DELETE FROM child;
:settle
:objects
DROP TABLE parent CASCADE;
:settle
:objects
:forget

-- Made by other means: what they hold is asked, so dropping the original holds nothing; dropping the copy is nobody's business
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/1'), (2, 's3://docs/2');
:store
CREATE TABLE copied AS SELECT * FROM document WHERE id = 1;
SELECT relation, column_name, attachment_id FROM objectlink.unindexed_relation;
DROP TABLE document;
:settle
:objects
DROP TABLE copied;
:settle
:objects
:forget

-- Links that vanish without a word: switched off triggers, an unlogged table that a crash has emptied
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/1');
ALTER TABLE document DISABLE TRIGGER ALL;
SELECT relation, regexp_replace(trigger, '\d+$', 'N'), status FROM objectlink.switched_off_trigger ORDER BY 2;
DELETE FROM document;
ALTER TABLE document ENABLE TRIGGER ALL;
SELECT count(*) FROM objectlink.switched_off_trigger;
:settle
:objects
-- a word that is read later than the link counts
INSERT INTO document VALUES (2, 's3://docs/2');
DELETE FROM document;
CREATE TEMP TABLE later AS SELECT * FROM objectlink.outbox WHERE op = 'U';
DELETE FROM objectlink.outbox WHERE op = 'U';
SELECT daemon.apply();
:objects
INSERT INTO objectlink.outbox SELECT * FROM later;
SELECT daemon.apply();
:objects
DROP TABLE later;
-- a trigger dropped by hand shows, and comes back with the next change of a table
SELECT format('DROP TRIGGER objectlink_delete_%s ON document', id) FROM objectlink.attachments \gexec
SELECT relation, regexp_replace(trigger, '\d+$', 'N'), status FROM objectlink.switched_off_trigger ORDER BY 2;
CREATE TABLE whatever ();
SELECT count(*) FROM objectlink.switched_off_trigger;
DROP TABLE document, whatever;
:forget

-- detach(): the objects of its rows stay, whoever else gives them up
CREATE TABLE legacy (id int, path text);
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('legacy', 'path', store => 'docs') > 0, objectlink.attach('document', 'file') > 0;
INSERT INTO legacy VALUES (1, 'shared'), (2, 'applied'), (3, 'renamed');
:store
INSERT INTO document VALUES (1, 's3://docs/shared'), (2, 's3://docs/renamed'), (3, 's3://docs/applied');
INSERT INTO legacy VALUES (4, 'not-applied');
SELECT objectlink.detach('legacy', 'path');
DELETE FROM document WHERE id = 1;
:settle
:objects
ALTER TABLE legacy RENAME COLUMN path TO place;
DELETE FROM document WHERE id = 2;
:settle
SELECT * FROM daemon.held WHERE key = 'renamed';
-- until the column holds keys no more
DELETE FROM legacy WHERE id = 3;
DROP INDEX legacy_path_idx;
ALTER TABLE legacy ALTER COLUMN place TYPE int USING id;
SELECT daemon.refused($$SELECT * FROM objectlink.linked('{s3://docs/shared}')$$);
DROP TABLE legacy, document;
:forget

-- A key that is being deleted, found to have been dropped: it goes back, held
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (1, 's3://docs/moved');
:store
UPDATE part SET id = 2;
DROP TABLE part_2;
-- the unlink of the move is read, its link not yet
CREATE TEMP TABLE later AS SELECT * FROM objectlink.outbox WHERE op = 'L';
DELETE FROM objectlink.outbox WHERE op = 'L';
DELETE FROM objectlink.scan;
SELECT daemon.apply();
SELECT daemon.condemn();
INSERT INTO objectlink.outbox SELECT * FROM later;
SELECT daemon.issue();
:objects
SELECT daemon.apply();
:objects
-- and once more, read while it is condemned
UPDATE objectlink.object SET held_reason = NULL, due_at = now();
SELECT daemon.condemn();
INSERT INTO objectlink.outbox SELECT * FROM later;
SELECT daemon.apply();
:objects
SELECT daemon.issue();
:objects
SELECT count(*) FROM objectlink.condemned;
-- held is no deletion that does not get on
SELECT what FROM objectlink.problems WHERE what LIKE 'deletions%';
-- and found to be linked after all: it is back, and is not held any more
UPDATE objectlink.object SET held_reason = NULL, due_at = now();
SELECT daemon.condemn();
INSERT INTO objectlink.outbox SELECT * FROM later;
SELECT daemon.apply();
CREATE TABLE silent (file objectlink.storage_ref);
INSERT INTO silent VALUES ('s3://docs/moved');
SELECT daemon.issue();
:objects
SELECT count(*) FROM objectlink.condemned;
DROP TABLE part, later, silent;
:forget

-- A deletion was tried, and blocked; then it is found that the word of a dropped table is missing: held, it is none that waits
CREATE TABLE document (id int, file objectlink.storage_ref);
CREATE TABLE other (file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('other', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/1');
INSERT INTO other VALUES ('s3://docs/1');
:store
DELETE FROM other;
CREATE TEMP TABLE later AS SELECT * FROM objectlink.outbox;
TRUNCATE objectlink.outbox;
DELETE FROM document;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{1}', 60000, 'blocked');
DROP TABLE other;
INSERT INTO objectlink.outbox SELECT * FROM later;
SELECT daemon.apply();
:objects
SELECT last_error FROM objectlink.object;
DROP TABLE document, later;
:forget

-- A table that can't be asked: the walk comes again, what was dropped is not believed to be linked
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/1');
:store
INSERT INTO document VALUES (2, 's3://docs/late');
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE mixed (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER dummy;
DROP TABLE document;
:settle
:objects
SELECT last_error FROM objectlink.scan;
SELECT op, ref FROM objectlink.outbox;
DROP TABLE mixed;
:settle
:objects
SELECT count(*) FROM objectlink.scan;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
:forget

-- Dropped while nobody looked: found with the next drop of whatever table
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/1');
:store
INSERT INTO document VALUES (2, 's3://docs/late');
ALTER EVENT TRIGGER objectlink_drop DISABLE;
DROP TABLE document;
ALTER EVENT TRIGGER objectlink_drop ENABLE;
:settle
:objects
CREATE TABLE whatever (id int);
CREATE TRIGGER objectlink_insert_99999999999999999999 AFTER INSERT ON whatever FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger();
DROP TABLE whatever;
:settle
:objects
SELECT relation, column_name, daemon.said(dropped) FROM objectlink.attachment;
:forget

-- A prepared transaction that drops
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/1');
:store
BEGIN;
DROP TABLE document;
PREPARE TRANSACTION 'drops';
:settle
:objects
COMMIT PREPARED 'drops';
:settle
:objects
:forget
CALL daemon.finish();
