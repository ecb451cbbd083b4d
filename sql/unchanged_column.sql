-- Goal: an UPDATE that can't change the linked column leaves the link trigger out, and whatever does change it is seen all
-- the same, named or not.
-- Method: a trigger of ours with a WHEN that says when it is asked; then each way to change a column, and the outbox.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE PROCEDURE daemon.forget() LANGUAGE sql AS 'DELETE FROM objectlink.outbox';
\set show 'SELECT op, ref FROM daemon.outbox ORDER BY ref, op; CALL daemon.forget();'

-- Whether the trigger is asked
CREATE FUNCTION asked(id int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'asked of row %', id; RETURN true; END $$;
CREATE TABLE witness (id int, title text, file objectlink.storage_ref);
INSERT INTO witness VALUES (1, 'one', 's3://docs/w1'), (2, 'two', NULL);
CREATE TRIGGER witness AFTER UPDATE ON witness FOR EACH ROW WHEN (asked(OLD.id)) EXECUTE FUNCTION objectlink.link_trigger('1', 'file');
UPDATE witness SET title = 'uno' WHERE id = 1;
UPDATE witness SET file = file WHERE id = 1;
UPDATE witness SET file = 's3://docs/w2' WHERE id = 1;
:show
-- with a trigger of somebody else's beside it, which fires as before
CREATE FUNCTION other() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'other: % to %', OLD.title, NEW.title; RETURN NULL; END $$;
CREATE TRIGGER other AFTER UPDATE ON witness FOR EACH ROW EXECUTE FUNCTION other();
UPDATE witness SET title = 'eins' WHERE id = 1;
DROP TRIGGER other ON witness;
-- with one before the row, which might change anything
CREATE FUNCTION pass() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER pass BEFORE UPDATE ON witness FOR EACH ROW EXECUTE FUNCTION pass();
UPDATE witness SET title = 'un' WHERE id = 1;
DROP TRIGGER pass ON witness;
-- with transition tables
CREATE FUNCTION changed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'changed: %', (SELECT string_agg(title, ',') FROM new_rows); RETURN NULL; END $$;
CREATE TRIGGER changed AFTER UPDATE ON witness REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION changed();
UPDATE witness SET title = 'ett' WHERE id = 1;
DROP TABLE witness;

-- A plan that is kept: the same statement before and after somebody adds a trigger before the row
CREATE TABLE document (id int PRIMARY KEY, title text, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 'one', 's3://docs/1'), (2, 'two', 's3://docs/2');
CALL daemon.forget();
PREPARE retitle AS UPDATE document SET title = title || '!' WHERE id = $1;
EXECUTE retitle(1);
:show
CREATE FUNCTION follow_title() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN NEW.file := objectlink.storage_ref('docs', NEW.title); RETURN NEW; END $$;
CREATE TRIGGER follow_title BEFORE UPDATE ON document FOR EACH ROW EXECUTE FUNCTION follow_title();
EXECUTE retitle(1);
:show
DROP TRIGGER follow_title ON document;
EXECUTE retitle(1);
:show
-- Assigned among others, from a query, through a view, a rule, a WITH, a cursor, a function
UPDATE document SET (id, file, title) = (SELECT 1, 's3://docs/q'::objectlink.storage_ref, 'q') WHERE id = 1;
:show
CREATE VIEW paper AS SELECT id AS number, file AS scan, title FROM document;
UPDATE paper SET scan = 's3://docs/v' WHERE number = 1;
UPDATE paper SET title = 'v' WHERE number = 1;
:show
CREATE TABLE request (id int, file objectlink.storage_ref);
INSERT INTO request VALUES (1, NULL);
CREATE RULE hand_on AS ON UPDATE TO request DO ALSO UPDATE document SET file = NEW.file WHERE id = NEW.id;
UPDATE request SET file = 's3://docs/r';
:show
WITH retitled AS (UPDATE document SET title = 'w' WHERE id = 1 RETURNING id)
UPDATE document SET file = 's3://docs/w' WHERE id = 2;
WITH changed AS (UPDATE document SET file = 's3://docs/x' WHERE id = 1 RETURNING id)
UPDATE document SET title = 'x' WHERE id = 2;
:show
BEGIN;
DECLARE one CURSOR FOR SELECT * FROM document WHERE id = 1 FOR UPDATE;
FETCH one;
UPDATE document SET file = 's3://docs/c' WHERE CURRENT OF one;
COMMIT;
:show
-- ON CONFLICT and MERGE
INSERT INTO document VALUES (1, 'again', 's3://docs/o') ON CONFLICT (id) DO UPDATE SET file = EXCLUDED.file;
INSERT INTO document VALUES (1, 'once more', 's3://docs/p') ON CONFLICT (id) DO UPDATE SET title = EXCLUDED.title;
:show
MERGE INTO document d USING (VALUES (1, 's3://docs/m'::objectlink.storage_ref)) AS n (id, file) ON d.id = n.id
  WHEN MATCHED THEN UPDATE SET file = n.file;
MERGE INTO document d USING (VALUES (1)) AS n (id) ON d.id = n.id WHEN MATCHED THEN UPDATE SET title = 'merged';
:show
-- A renamed column
ALTER TABLE document RENAME COLUMN file TO body;
UPDATE document SET title = 'renamed' WHERE id = 1;
UPDATE document SET body = 's3://docs/n' WHERE id = 1;
:show
DROP TABLE request, document CASCADE;

-- A generated column changes with others
CREATE TABLE named (id int PRIMARY KEY, name text, note text, file objectlink.storage_ref GENERATED ALWAYS AS (objectlink.storage_ref('docs', name)) STORED);
SELECT objectlink.attach('named', 'file') > 0;
INSERT INTO named (id, name) VALUES (1, 'g1');
UPDATE named SET note = 'still g1';
UPDATE named SET name = 'g2';
:show
DROP TABLE named;

-- A foreign key changes what refers to it
CREATE TABLE object_key (key text PRIMARY KEY, note text);
CREATE TABLE usage (id int, key text REFERENCES object_key ON UPDATE CASCADE ON DELETE SET NULL);
SELECT objectlink.attach('usage', 'key', store => 'docs') > 0;
INSERT INTO object_key VALUES ('f1', ''), ('f2', '');
INSERT INTO usage VALUES (1, 'f1'), (2, 'f2');
CALL daemon.forget();
UPDATE object_key SET note = 'x';
UPDATE usage SET id = id + 10;
:show
UPDATE object_key SET key = 'f3' WHERE key = 'f1';
DELETE FROM object_key WHERE key = 'f2';
:show
DROP TABLE usage, object_key;

-- Partitions and children have their columns elsewhere
CREATE TABLE parted (id int, title text, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE TABLE part_1 (file objectlink.storage_ref, dropped int, title text, id int);
ALTER TABLE part_1 DROP COLUMN dropped;
ALTER TABLE parted ATTACH PARTITION part_1 FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF parted FOR VALUES IN (2);
SELECT objectlink.attach('parted', 'file') > 0;
INSERT INTO parted VALUES (1, 'one', 's3://docs/p1'), (2, 'two', 's3://docs/p2');
CALL daemon.forget();
UPDATE parted SET title = 'any';
UPDATE part_1 SET title = 'one';
:show
UPDATE parted SET file = 's3://docs/p' || id;
:show
UPDATE parted SET file = 's3://docs/p' || id || 'b';
:show
UPDATE part_1 SET file = 's3://docs/p1c';
:show
UPDATE parted SET id = 2 WHERE id = 1;
:show
DROP TABLE parted;
CREATE TABLE parent (id int, file objectlink.storage_ref);
CREATE TABLE child (extra text) INHERITS (parent);
SELECT objectlink.attach('parent', 'file') > 0;
INSERT INTO child VALUES (1, 's3://docs/i1', 'x');
CALL daemon.forget();
UPDATE parent SET id = 2;
UPDATE child SET extra = 'y';
:show
UPDATE parent SET file = 's3://docs/i2';
UPDATE child SET file = 's3://docs/i3';
:show
DROP TABLE parent CASCADE;

-- Nothing of it without the extension's own function: one of the same name elsewhere is somebody else's
CREATE FUNCTION link_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'not ours'; RETURN NULL; END $$;
CREATE TABLE lookalike (id int, file text);
CREATE TRIGGER objectlink_update_1 AFTER UPDATE ON lookalike FOR EACH ROW EXECUTE FUNCTION link_trigger('1', 'file');
INSERT INTO lookalike VALUES (1, 'x');
UPDATE lookalike SET id = 2;
DROP TABLE lookalike;
DROP FUNCTION link_trigger, asked, other, pass, changed, follow_title;
CALL daemon.finish();
