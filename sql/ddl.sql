-- Goal: an attached table may be altered as any other: links go on, or the alteration is refused, but none is lost silently.
-- Method: alter, then write a row and look at the outbox, and ask the rows; trees of tables get special attention.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE PROCEDURE daemon.forget() LANGUAGE sql AS 'DELETE FROM objectlink.outbox';
\set show 'SELECT op, attached, relation, ref FROM daemon.outbox ORDER BY ref, op, relation::text; CALL daemon.forget();'
\set linked 'SELECT ref, (SELECT relation FROM objectlink.attachment a WHERE a.id = l.attachment_id) FROM objectlink.linked(ARRAY(SELECT objectlink.storage_ref(''docs'', k) FROM unnest(string_to_array(:''keys'', '' '')) k)) l ORDER BY ref;'
CREATE VIEW daemon.triggers AS
SELECT tgrelid::regclass AS relation, split_part(tgname, '_', 2) AS trigger, tgenabled AS enabled, count(*)
FROM pg_trigger WHERE tgname LIKE 'objectlink\_%\_%' GROUP BY 1, 2, 3;
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, path text);
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('document', 'path', store => 'docs') > 0;
SELECT daemon.start();

-- Renamed: column, table, schema
INSERT INTO document VALUES (1, 's3://docs/1', 'p/1');
ALTER TABLE document RENAME COLUMN file TO "the file";
ALTER TABLE document RENAME COLUMN path TO file;
INSERT INTO document VALUES (2, 's3://docs/2', 'p/2');
ALTER TABLE document RENAME TO paper;
CREATE SCHEMA shelf;
ALTER TABLE paper SET SCHEMA shelf;
INSERT INTO shelf.paper VALUES (3, 's3://docs/3', 'p/3');
:show
SELECT relation, column_name, store FROM objectlink.attachments ORDER BY store NULLS FIRST;
SELECT trigger, enabled, count FROM daemon.triggers ORDER BY 1, 2;
\set keys '1 2 3 p/1 p/3'
:linked
SELECT daemon.walk();
:show
ALTER TABLE shelf.paper SET SCHEMA public;
ALTER TABLE paper RENAME TO document;
-- in one transaction with writes before and after, by a session that has the old name in its cache; rolled back
BEGIN;
INSERT INTO document VALUES (4, 's3://docs/4', NULL);
ALTER TABLE document RENAME COLUMN "the file" TO link;
INSERT INTO document VALUES (5, 's3://docs/5', NULL);
ROLLBACK;
INSERT INTO document VALUES (6, 's3://docs/6', NULL);
ALTER TABLE document RENAME COLUMN "the file" TO link;
ALTER TABLE document RENAME COLUMN file TO path;
:show

-- Columns before it are dropped and added; the table is rewritten
ALTER TABLE document ADD COLUMN extra text DEFAULT 'x', DROP CONSTRAINT document_pkey;
ALTER TABLE document DROP COLUMN id;
ALTER TABLE document ADD COLUMN id bigint GENERATED ALWAYS AS IDENTITY;
INSERT INTO document (link, path) VALUES ('s3://docs/7', 'p/7');
VACUUM FULL document;
DELETE FROM document WHERE path = 'p/7';
:show

-- The type can't be changed while it is attached, nor the column dropped by accident
SELECT daemon.refused('ALTER TABLE document ALTER COLUMN link TYPE text');
SELECT daemon.refused('ALTER TABLE document ALTER COLUMN path TYPE int USING 1');
SELECT daemon.refused('ALTER TABLE document DROP COLUMN link');

-- DISABLE is the owner's word and stays; a plain ENABLE, as after a restore, is made ALWAYS again
ALTER TABLE document DISABLE TRIGGER ALL;
ALTER TABLE document ADD COLUMN more text;
SELECT trigger, enabled, count FROM daemon.triggers ORDER BY 1, 2;
INSERT INTO document (link) VALUES ('s3://docs/unseen');
:show
\set keys 'unseen'
:linked
ALTER TABLE document ENABLE TRIGGER ALL;
SELECT trigger, enabled, count FROM daemon.triggers ORDER BY 1, 2;
SET session_replication_role = replica;
INSERT INTO document (link) VALUES ('s3://docs/replicated');
RESET session_replication_role;
:show

-- Dropped: the column, then the table. The registry keeps what it knows
SELECT daemon.walk(), daemon.apply() > 0;
SET client_min_messages = warning;
ALTER TABLE document DROP COLUMN link CASCADE;
RESET client_min_messages;
INSERT INTO document (path) VALUES ('p/8');
TRUNCATE document;
:show
DROP TABLE document;
DROP SCHEMA shelf;
SELECT objectlink.append_outbox('U', 's3://docs/1', NULL);
SELECT daemon.apply();
SELECT state FROM objectlink.object WHERE key = '1';
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 's3://docs/new');
DROP TABLE document;
SELECT daemon.apply(), daemon.walk();
SELECT state FROM objectlink.object WHERE key = 'new';
TRUNCATE objectlink.object, objectlink.outbox, objectlink.scan;

-- Partitions: new, attached with rows, detached, of a partition, many
CREATE TABLE part (id int, file objectlink.storage_ref) PARTITION BY RANGE (id);
SELECT objectlink.attach('part', 'file') > 0;
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (1) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20) PARTITION BY RANGE (id);
CREATE TABLE part_2a PARTITION OF part_2 FOR VALUES FROM (10) TO (15);
CREATE TABLE part_3 (file objectlink.storage_ref, junk int, id int);
ALTER TABLE part_3 DROP COLUMN junk;
INSERT INTO part_3 (id, file) VALUES (20, 's3://docs/came-with-it');
ALTER TABLE part ATTACH PARTITION part_3 FOR VALUES FROM (20) TO (30);
SELECT * FROM daemon.triggers ORDER BY relation::text, trigger;
INSERT INTO part VALUES (1, 's3://docs/1'), (10, 's3://docs/10'), (21, 's3://docs/21');
TRUNCATE part_2a;
:show
\set keys '1 10 21 came-with-it'
:linked
ALTER TABLE part RENAME COLUMN file TO renamed;
UPDATE part SET renamed = 's3://docs/1b' WHERE id = 1;
DELETE FROM part_3 WHERE id = 20;
:show
-- the rows that came with part_3 are linked by a walk, and by no more than that
SELECT relid::regclass FROM objectlink.scan WHERE relid IS NOT NULL;
SELECT daemon.walk();
:show
-- a detached partition: its rows link as before, by an attachment of its own
ALTER TABLE part DETACH PARTITION part_3;
SELECT relation, column_name, linking_existing_rows FROM objectlink.attachments WHERE relation IN ('part'::regclass, 'part_3'::regclass) ORDER BY relation::text;
SELECT * FROM daemon.triggers WHERE relation = 'part_3'::regclass ORDER BY trigger;
\set keys '1b 21'
:linked
INSERT INTO part_3 (id, renamed) VALUES (22, 's3://docs/detached');
:show
TRUNCATE part_3;
:show
ALTER TABLE part ATTACH PARTITION part_3 FOR VALUES FROM (20) TO (30);
SELECT * FROM daemon.triggers WHERE relation = 'part_3'::regclass ORDER BY trigger;
INSERT INTO part VALUES (23, 's3://docs/back');
:show
-- with parts of its own
ALTER TABLE part DETACH PARTITION part_2;
INSERT INTO part_2 VALUES (10, 's3://docs/10');
:show
SELECT * FROM daemon.triggers WHERE relation IN ('part_2'::regclass, 'part_2a'::regclass) ORDER BY relation::text, trigger;
-- a text column that nobody would ask any more
CREATE TABLE old (id int, path text) PARTITION BY LIST (id);
CREATE TABLE old_1 PARTITION OF old FOR VALUES IN (1);
CREATE TABLE old_2 PARTITION OF old FOR VALUES IN (2);
SELECT objectlink.attach('old', 'path', store => 'docs') > 0;
INSERT INTO old VALUES (1, 'archived'), (2, 'current');
SELECT daemon.walk(), daemon.apply() > 0;
ALTER TABLE old DETACH PARTITION old_1;
TRUNCATE old_2;
SELECT daemon.apply();
SELECT daemon.walk() > 0, daemon.apply() > 0;
SELECT key, state, attached FROM daemon.objects WHERE key IN ('archived', 'current') ORDER BY key;
DROP TABLE old, old_1;
-- attached by itself before it becomes a partition: two attachments speak, the rows decide
CREATE TABLE part_4 (id int, renamed objectlink.storage_ref);
SELECT objectlink.attach('part_4', 'renamed') > 0;
INSERT INTO part_4 VALUES (30, 's3://docs/30');
ALTER TABLE part ATTACH PARTITION part_4 FOR VALUES FROM (30) TO (40);
INSERT INTO part VALUES (31, 's3://docs/31');
:show
\set keys '30 31'
:linked
-- in a transaction that rolls back
BEGIN;
CREATE TABLE part_5 PARTITION OF part FOR VALUES FROM (40) TO (50);
INSERT INTO part VALUES (40, 's3://docs/40');
ROLLBACK;
:show
-- more of them than the stack has room for, were each one handled inside the one before
DO $$
BEGIN
  FOR i IN 101 .. 160 LOOP
    EXECUTE format('CREATE TABLE many_%s (id int, renamed objectlink.storage_ref)', i);
  END LOOP;
END $$;
CREATE TABLE many (id int, renamed objectlink.storage_ref) PARTITION BY LIST (id);
DO $$
BEGIN
  FOR i IN 101 .. 160 LOOP
    EXECUTE format('ALTER TABLE many ATTACH PARTITION many_%s FOR VALUES IN (%1$s)', i);
  END LOOP;
END $$;
SET max_stack_depth = '256kB';
SELECT objectlink.attach('many', 'renamed') > 0;
RESET max_stack_depth;
SELECT count(*), sum(count) FROM daemon.triggers WHERE relation::text LIKE 'many%' AND enabled = 'A';
DROP TABLE many;

-- Inheritance: children of children, joining and leaving
CREATE TABLE parent (id int, file objectlink.storage_ref);
SELECT objectlink.attach('parent', 'file') > 0;
CREATE TABLE child () INHERITS (parent);
CREATE TABLE grandchild (own objectlink.storage_ref) INHERITS (child);
CREATE TEMPORARY TABLE passing () INHERITS (parent);
SELECT * FROM daemon.triggers WHERE relation::text LIKE '%child' OR relation::text = 'passing' ORDER BY relation::text, trigger;
INSERT INTO grandchild VALUES (1, 's3://docs/grandchild', 's3://docs/own');
:show
\set keys 'grandchild own'
:linked
CREATE TABLE late (id int, file objectlink.storage_ref);
INSERT INTO late VALUES (1, 's3://docs/late/1');
ALTER TABLE late INHERIT parent;
INSERT INTO late VALUES (2, 's3://docs/late/2');
:show
ALTER TABLE parent RENAME COLUMN file TO renamed;
INSERT INTO late VALUES (3, 's3://docs/late/3');
DELETE FROM grandchild;
:show
-- leaving: it links on its own from then on
ALTER TABLE late NO INHERIT parent;
DELETE FROM late WHERE id = 1;
:show
\set keys 'late/1 late/2'
:linked
DROP TABLE passing;
SELECT objectlink.detach('parent', 'renamed');
SELECT objectlink.detach('late', 'renamed');
SELECT count(*) FROM daemon.triggers WHERE relation IN ('parent'::regclass, 'child'::regclass, 'grandchild'::regclass, 'late'::regclass);

-- Made by other means: LIKE and CTAS copy no triggers, but what they hold is asked
CREATE TABLE copied AS SELECT * FROM late;
CREATE TABLE alike (LIKE part INCLUDING ALL);
INSERT INTO alike VALUES (1, 's3://docs/alike');
:show
\set keys 'late/3 alike'
:linked
-- The server keeps its name as long as there are objects
SELECT daemon.refused('ALTER SERVER docs RENAME TO papers') LIKE '2BP01%' LIMIT 1;
INSERT INTO part VALUES (1, 's3://docs/x');
:show
-- The extension goes: tables and rows stay, their columns do not
BEGIN;
SELECT daemon.refused('DROP EXTENSION objectlink') LIKE '2BP01%' LIMIT 1;
INSERT INTO part VALUES (2, 's3://docs/y');
SET LOCAL client_min_messages = warning;
DROP EXTENSION objectlink CASCADE;
SELECT column_name FROM information_schema.columns WHERE table_name = 'part';
INSERT INTO part VALUES (3);
ROLLBACK;
INSERT INTO part VALUES (4, 's3://docs/z');
:show

SET client_min_messages = warning;
DROP TABLE part, part_2, parent, child, grandchild, late, copied, alike CASCADE;
CALL daemon.finish();
