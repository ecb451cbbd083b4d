-- Goal: whatever becomes of a table, the rows in it are asked before an object is deleted.
-- Method: two tables link a key; one of them is made part of a tree, or renamed, in every way; then the other's row goes.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all

-- Lets the link of the table that is left alone go, and says what becomes of the object. Nothing may be issued.
CREATE TABLE plain (file objectlink.storage_ref);
SELECT objectlink.attach('plain', 'file') > 0;
SELECT daemon.start();
CREATE FUNCTION daemon.unlink(p_key text) RETURNS TABLE (state text, issued bigint) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO plain VALUES (objectlink.storage_ref('docs', p_key));
  PERFORM daemon.apply();
  PERFORM daemon.settle(p_key, 'stored');
  DELETE FROM plain;
  PERFORM daemon.apply();
  PERFORM daemon.condemn();
  issued := (SELECT count(*) FROM daemon.issue());
  state := (SELECT o.state FROM objectlink.object o WHERE o.key = p_key);
  RETURN NEXT;
END $$;
-- For comparison: nobody else links it.
SELECT * FROM daemon.unlink('alone');
SELECT daemon.settle('alone', 'gone');

-- A text column, attached; its table becomes the first partition of a new one, a child, and leaves again
CREATE TABLE old (id int NOT NULL, path text);
SELECT objectlink.attach('old', 'path', store => 'docs') > 0;
INSERT INTO old VALUES (1, 'old');
CREATE TABLE whole (id int NOT NULL, path text) PARTITION BY RANGE (id);
ALTER TABLE whole ATTACH PARTITION old FOR VALUES FROM (0) TO (10);
SELECT * FROM daemon.unlink('old');
ALTER TABLE whole DETACH PARTITION old;
CREATE TABLE above (id int NOT NULL, path text);
ALTER TABLE old INHERIT above;
SELECT * FROM daemon.unlink('old');
-- The table above is attached as well, and answers for both.
SELECT objectlink.attach('above', 'path', store => 'docs') > 0;
SELECT * FROM daemon.unlink('old');
SELECT relid::regclass, column_name, store FROM objectlink.asked_column WHERE store IS NOT NULL ORDER BY relid;
-- Detached, and still asked, through the one above
SELECT objectlink.detach('old', 'path');
SELECT relid::regclass, column_name, store FROM objectlink.asked_column WHERE store IS NOT NULL ORDER BY relid;
SELECT * FROM daemon.unlink('old');
ALTER TABLE old NO INHERIT above;
SELECT relid::regclass, column_name, store FROM objectlink.asked_column WHERE store IS NOT NULL ORDER BY relid;
SELECT * FROM daemon.unlink('old');
-- A part of something that nobody has attached
ALTER TABLE whole ATTACH PARTITION old FOR VALUES FROM (0) TO (10);
SELECT * FROM daemon.unlink('old');
DROP TABLE whole, above;

-- Two attachments of one row, of which only the upper one takes marked rows for deleted
CREATE TABLE marked (id int NOT NULL, file objectlink.storage_ref, deleted_at timestamptz) PARTITION BY RANGE (id);
CREATE TABLE unmarked (id int NOT NULL, file objectlink.storage_ref, deleted_at timestamptz);
SELECT objectlink.attach('marked', 'file', soft_delete_column => 'deleted_at') > 0, objectlink.attach('unmarked', 'file') > 0;
INSERT INTO unmarked VALUES (1, 's3://docs/marked', '2020-01-01');
ALTER TABLE marked ATTACH PARTITION unmarked FOR VALUES FROM (0) TO (10);
SELECT * FROM daemon.unlink('marked');
DROP TABLE marked;

-- Children of a foreign table, which is not asked; theirs are asked through them
CREATE FOREIGN TABLE far (file objectlink.storage_ref) SERVER docs;
CREATE TABLE near () INHERITS (far);
CREATE TABLE nearer () INHERITS (near);
INSERT INTO near VALUES ('s3://docs/near');
INSERT INTO nearer VALUES ('s3://docs/nearer');
SELECT * FROM daemon.unlink('near');
SELECT * FROM daemon.unlink('nearer');
SELECT relid::regclass FROM objectlink.asked_column WHERE relid::regclass::text LIKE 'near%';
DROP FOREIGN TABLE far CASCADE;

-- Columns renamed by commands that are not ALTER TABLE
CREATE TYPE form AS (path text);
CREATE TABLE typed OF form;
SELECT objectlink.attach('typed', 'path', store => 'docs') > 0;
INSERT INTO typed VALUES ('typed');
ALTER TYPE form RENAME ATTRIBUTE path TO path_2 CASCADE;
SELECT * FROM daemon.unlink('typed');
ALTER TABLE typed NOT OF;
ALTER VIEW typed RENAME COLUMN path_2 TO path_3;
SELECT * FROM daemon.unlink('typed');
ALTER MATERIALIZED VIEW typed RENAME COLUMN path_3 TO path_4;
SELECT * FROM daemon.unlink('typed');
ALTER FOREIGN TABLE typed RENAME COLUMN path_4 TO path_5;
SELECT * FROM daemon.unlink('typed');
INSERT INTO typed VALUES ('renamed');
SELECT column_name FROM objectlink.attachments WHERE relation = 'typed'::regclass;
DROP TABLE typed;
DROP TYPE form;

-- A child made by CREATE SCHEMA says what it links, like every other one, and is refused what is being deleted
CREATE SCHEMA archive CREATE TABLE plain_2020 () INHERITS (public.plain);
INSERT INTO archive.plain_2020 VALUES ('s3://docs/archived');
SELECT op, ref FROM daemon.outbox;
DELETE FROM archive.plain_2020;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT daemon.refused($$INSERT INTO archive.plain_2020 VALUES ('s3://docs/archived')$$);
DROP SCHEMA archive CASCADE;

DROP TABLE plain;
CALL daemon.finish();
