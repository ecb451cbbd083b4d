-- Goal: every way SQL has to change a row appends exactly the links and unlinks of that change, and nothing else does.
-- Method: one statement at a time, then what it left in the outbox; `show` prints it and empties it.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE PROCEDURE daemon.forget() LANGUAGE sql AS 'DELETE FROM objectlink.outbox';
\set show 'SELECT op, relation, ref FROM daemon.outbox ORDER BY ref, op; CALL daemon.forget();'
\set count 'SELECT op, count(*), count(DISTINCT ref) FROM daemon.outbox GROUP BY op ORDER BY op; CALL daemon.forget();'

CREATE TABLE document (id int PRIMARY KEY, title text, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;

-- INSERT: a NULL links nothing
INSERT INTO document VALUES (1, 'one', 's3://docs/1'), (2, 'two', NULL);
:show
-- UPDATE: only a change of the column counts
UPDATE document SET title = 'uno' WHERE id = 1;
UPDATE document SET file = file;
UPDATE document SET id = 10 WHERE id = 1;
:show
UPDATE document SET file = 's3://docs/1b' WHERE id = 10;
:show
UPDATE document SET file = NULL WHERE id = 10;
:show
UPDATE document SET file = 's3://docs/2' WHERE id = 2;
:show
UPDATE document SET file = 's3://docs/' || objectlink.key(file) || '/deep' WHERE id = 2;
:show
-- Bytewise: case and trailing blanks make another key
UPDATE document SET file = 's3://docs/2/DEEP' WHERE id = 2;
UPDATE document SET file = 's3://docs/2/DEEP ' WHERE id = 2;
:show
-- DELETE
DELETE FROM document;
:show
-- A key given up and taken again in one statement, and in one transaction
INSERT INTO document VALUES (1, 'a', 's3://docs/a'), (2, 'b', 's3://docs/b');
CALL daemon.forget();
UPDATE document d SET file = o.file FROM document o WHERE d.id <> o.id;
:show
BEGIN;
DELETE FROM document WHERE id = 1;
INSERT INTO document VALUES (1, 'a', 's3://docs/b');
COMMIT;
:show
-- Keys at their limits: 1024 bytes, every byte that UTF-8 knows, and a row so long that it is compressed and toasted
INSERT INTO document VALUES (3, repeat('x', 3000), objectlink.storage_ref('docs', repeat('k', 1024))),
                            (4, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) i), objectlink.storage_ref('docs', repeat(U&'\00e4', 512))),
                            (5, '', objectlink.storage_ref('docs', E'\t \\ " '' %s $$ // ../ ' || chr(1) || chr(128514)));
SELECT op, octet_length(objectlink.key(o.ref)), d.file::text = o.ref::text AS same FROM objectlink.outbox o LEFT JOIN document d ON d.file::text = o.ref::text ORDER BY 2;
CALL daemon.forget();
UPDATE document SET title = title || 'y';
:show
DELETE FROM document WHERE id > 2;
:count

-- RETURNING, CTEs, writing views, rules of a view's INSTEAD OF trigger
WITH gone AS (DELETE FROM document RETURNING id, title, file) INSERT INTO document SELECT id + 100, title, file FROM gone;
:show
CREATE VIEW titled AS SELECT id, title, file FROM document WHERE title IS NOT NULL;
INSERT INTO titled VALUES (7, 'seven', 's3://docs/7');
UPDATE titled SET file = 's3://docs/7b' WHERE id = 7;
DELETE FROM titled WHERE id = 7;
:show
-- INSTEAD OF triggers, rules, cursors; locks say nothing
CREATE VIEW named AS SELECT id, objectlink.key(file) AS name FROM document;
CREATE FUNCTION instead() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN DELETE FROM document WHERE id = OLD.id; RETURN OLD; END IF;
  INSERT INTO document VALUES (NEW.id, NULL, objectlink.storage_ref('docs', NEW.name));
  RETURN NEW;
END $$;
CREATE TRIGGER instead INSTEAD OF INSERT OR DELETE ON named FOR EACH ROW EXECUTE FUNCTION instead();
INSERT INTO named VALUES (8, 'eight'), (9, 'nine');
DELETE FROM named WHERE name = 'nine';
:show
CREATE TABLE door (id int, file objectlink.storage_ref);
CREATE RULE through AS ON INSERT TO door DO INSTEAD INSERT INTO document VALUES (NEW.id, NULL, NEW.file);
CREATE RULE nothing AS ON UPDATE TO document WHERE OLD.id = 8 DO INSTEAD NOTHING;
INSERT INTO door VALUES (10, 's3://docs/10');
UPDATE document SET file = 's3://docs/by-rule/' || id WHERE id IN (8, 10);
:show
DO $$
DECLARE
  c CURSOR FOR SELECT * FROM document WHERE id IN (8, 10) ORDER BY id FOR UPDATE;
  r record;
BEGIN
  OPEN c;
  FETCH c INTO r;
  DELETE FROM document WHERE CURRENT OF c;
  FETCH c INTO r;
  UPDATE document SET file = 's3://docs/by-cursor' WHERE CURRENT OF c;
END $$;
:show
BEGIN;
SELECT count(*) FROM (SELECT FROM document FOR UPDATE) AS locked;
LOCK TABLE document IN EXCLUSIVE MODE;
COMMIT;
:show
DROP RULE nothing ON document;
DROP TABLE door;
DROP VIEW named;
DROP FUNCTION instead();
DELETE FROM document WHERE id = 10;
CALL daemon.forget();

-- ON CONFLICT
TRUNCATE document;
INSERT INTO document VALUES (1, 'one', 's3://docs/1');
CALL daemon.forget();
INSERT INTO document VALUES (1, 'again', 's3://docs/other') ON CONFLICT DO NOTHING;
:show
INSERT INTO document VALUES (1, 'again', 's3://docs/other') ON CONFLICT (id) DO UPDATE SET title = excluded.title;
:show
INSERT INTO document VALUES (1, 'again', 's3://docs/other'), (2, 'two', 's3://docs/2') ON CONFLICT (id) DO UPDATE SET file = excluded.file;
:show

-- MERGE
MERGE INTO document d USING (VALUES (1, NULL), (2, 's3://docs/2m'), (3, 's3://docs/3')) AS s (id, file) ON d.id = s.id
WHEN MATCHED AND s.file IS NULL THEN DELETE
WHEN MATCHED THEN UPDATE SET file = s.file::objectlink.storage_ref
WHEN NOT MATCHED THEN INSERT VALUES (s.id, 'merged', s.file::objectlink.storage_ref);
:show

-- COPY, more rows than the trigger collects at a time
COPY document FROM stdin;
11	eleven	s3://docs/11
12	twelve	\N
\.
:show
COPY document FROM stdin;
13	thirteen	s3://docs/13
14	fourteen	not a ref
\.
:show
INSERT INTO document SELECT i, 'many', 's3://docs/many/' || i FROM generate_series(1000, 5999) i;
:count
UPDATE document SET file = 's3://docs/more/' || id WHERE title = 'many';
:count
DELETE FROM document WHERE title = 'many';
:count

-- Cascades
CREATE TABLE page (document int REFERENCES document ON DELETE CASCADE ON UPDATE CASCADE, scan objectlink.storage_ref);
SELECT objectlink.attach('page', 'scan') > 0;
TRUNCATE document, page;
CALL daemon.forget();
INSERT INTO document VALUES (1, 'one', 's3://docs/1');
INSERT INTO page VALUES (1, 's3://docs/p1'), (1, 's3://docs/p2'), (1, NULL);
CALL daemon.forget();
UPDATE document SET id = 2;
:show
DELETE FROM document;
:show
-- A foreign key that is in the way: the row stays, and so does its link
CREATE TABLE note (document int REFERENCES document);
INSERT INTO document VALUES (3, 'three', 's3://docs/3');
INSERT INTO note VALUES (3);
CALL daemon.forget();
DELETE FROM document;
:show
-- ON DELETE SET DEFAULT of a linked column
CREATE TABLE known (file objectlink.storage_ref PRIMARY KEY);
INSERT INTO known VALUES ('s3://docs/x'), ('s3://docs/default');
CREATE TABLE use (file objectlink.storage_ref DEFAULT 's3://docs/default' REFERENCES known ON DELETE SET DEFAULT);
SELECT objectlink.attach('use', 'file') > 0;
INSERT INTO use VALUES ('s3://docs/x');
CALL daemon.forget();
DELETE FROM known WHERE objectlink.key(file) = 'x';
:show

-- TRUNCATE: one row says it of the relation
TRUNCATE use, known;
:show
TRUNCATE document CASCADE;
:show

-- Triggers of the user's own: what counts is the row that was stored
CREATE FUNCTION redirect() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.title = 'skip' THEN RETURN NULL; END IF;
  NEW.file := 's3://docs/by-trigger/' || NEW.id;
  RETURN NEW;
END $$;
CREATE TRIGGER redirect BEFORE INSERT OR UPDATE ON document FOR EACH ROW EXECUTE FUNCTION redirect();
INSERT INTO document VALUES (1, 'one', 's3://docs/ignored'), (2, 'skip', 's3://docs/skipped');
:show
UPDATE document SET id = 8 WHERE id = 1;
:show
DROP TRIGGER redirect ON document;
CREATE FUNCTION write_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO page (scan) VALUES (NEW.file);
  RETURN NULL;
END $$;
CREATE TRIGGER zz_write_again AFTER INSERT ON document FOR EACH ROW EXECUTE FUNCTION write_again();
INSERT INTO document VALUES (5, 'five', 's3://docs/5');
SELECT attached, ref FROM daemon.outbox ORDER BY 1;
CALL daemon.forget();
DROP TRIGGER zz_write_again ON document;
-- and one that fires only at commit
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON document DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION write_again();
BEGIN;
INSERT INTO document VALUES (6, 'six', 's3://docs/6');
COMMIT;
SELECT attached, ref FROM daemon.outbox ORDER BY 1;
CALL daemon.forget();
DROP TRIGGER late ON document;

-- Replication: ALWAYS triggers fire for what is applied
SET session_replication_role = replica;
INSERT INTO document VALUES (20, 'replicated', 's3://docs/20');
UPDATE document SET file = 's3://docs/20b' WHERE id = 20;
DELETE FROM document WHERE id = 20;
TRUNCATE use;
RESET session_replication_role;
:show

-- Partitions: rows inserted by either door, moved, with columns in another order
CREATE TABLE part (id int, kind text, file objectlink.storage_ref) PARTITION BY LIST (kind);
CREATE TABLE part_a PARTITION OF part FOR VALUES IN ('a');
CREATE TABLE part_b (file objectlink.storage_ref, dropped int, kind text, id int);
ALTER TABLE part_b DROP COLUMN dropped;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
CREATE TABLE part_c PARTITION OF part FOR VALUES IN ('c') PARTITION BY LIST (id);
CREATE TABLE part_c1 PARTITION OF part_c DEFAULT;
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (1, 'a', 's3://docs/a1'), (2, 'b', 's3://docs/b2'), (3, 'c', 's3://docs/c3');
INSERT INTO part_b (id, kind, file) VALUES (4, 'b', 's3://docs/b4');
:show
UPDATE part SET kind = 'b' WHERE id = 1;
:show
UPDATE part SET kind = 'c', file = 's3://docs/moved' WHERE id = 1;
:show
UPDATE part SET id = id + 10;
:show
TRUNCATE part_b;
:show
TRUNCATE part;
:show
COPY part FROM stdin;
1	a	s3://docs/copied/a
2	c	s3://docs/copied/c
\.
DELETE FROM part;
:show

-- Inheritance: a child's rows are the parent's
CREATE TABLE parent (id int, file objectlink.storage_ref);
CREATE TABLE child (extra text) INHERITS (parent);
CREATE TABLE grandchild (more text) INHERITS (child);
SELECT objectlink.attach('parent', 'file') > 0;
INSERT INTO grandchild VALUES (1, 's3://docs/grandchild', '', '');
INSERT INTO child VALUES (2, 's3://docs/child', '');
:show
UPDATE parent SET file = 's3://docs/changed/' || id;
:show
DELETE FROM ONLY parent;
DELETE FROM parent WHERE id = 1;
:show
TRUNCATE ONLY parent;
TRUNCATE child;
:show

-- Domains, generated columns, unlogged tables
CREATE DOMAIN picture AS objectlink.storage_ref CHECK (objectlink.key(VALUE) LIKE 'img/%');
CREATE DOMAIN portrait AS picture;
CREATE DOMAIN place AS text;
CREATE UNLOGGED TABLE person (id int, face portrait, home place, badge objectlink.storage_ref GENERATED ALWAYS AS (objectlink.storage_ref('docs', 'badge/' || id)) STORED);
SELECT objectlink.attach('person', 'face') > 0, objectlink.attach('person', 'home', store => 'docs') > 0, objectlink.attach('person', 'badge') > 0;
INSERT INTO person VALUES (1, 's3://docs/img/1', 'home/1');
INSERT INTO person VALUES (2, 's3://docs/jpg/2', 'home/2');
:show
UPDATE person SET id = 9, face = 's3://docs/img/9';
:show

-- Text columns: empty is no link, what can't be a key is refused, comparison is bytewise
CREATE TABLE legacy (id int PRIMARY KEY, path text, short varchar(20));
SELECT objectlink.attach('legacy', 'path', store => 'docs') > 0, objectlink.attach('legacy', 'short', store => 'docs') > 0;
INSERT INTO legacy VALUES (1, 'a/b', 's'), (2, '', ''), (3, NULL, NULL);
:show
UPDATE legacy SET path = '' WHERE id = 1;
UPDATE legacy SET path = 'A' WHERE id = 2;
UPDATE legacy SET path = 'a' WHERE id = 2;
:show
SELECT daemon.refused($$INSERT INTO legacy VALUES (4, repeat('k', 1025))$$);
SELECT daemon.refused($$INSERT INTO legacy VALUES (4, '.objectlink/mine')$$);
SELECT daemon.refused($$UPDATE legacy SET path = repeat('k', 1025)$$);
:show

-- Refused values
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 's3://no_such_store/key')$$);
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 's3://docs/.objectlink/owner')$$);
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 's3://docs/')$$);
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 'docs/key')$$);
CREATE SERVER images FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'images', prefix 'images');
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 's3://images/images2/key')$$);
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 's3://images/images')$$);
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 's3://images/images/')$$);
SELECT daemon.refused($$INSERT INTO document VALUES (30, '', 's3://images/key')$$);
INSERT INTO document VALUES (30, '', 's3://images/images/key');
:show
-- A changed setting counts at once; what was linked before can still be unlinked, even from a store that is gone
ALTER SERVER images OPTIONS (SET prefix 'pictures');
SELECT daemon.refused($$INSERT INTO document VALUES (31, '', 's3://images/images/other')$$);
INSERT INTO document VALUES (31, '', 's3://images/pictures/key');
CALL daemon.drop_server('images');
SELECT daemon.refused($$INSERT INTO document VALUES (32, '', 's3://images/pictures/other')$$);
DELETE FROM document WHERE id IN (30, 31);
:show

-- A condemned key is refused by every door, its unlink is not
INSERT INTO document VALUES (40, '', 's3://docs/doomed');
INSERT INTO objectlink.condemned VALUES ('s3://docs/doomed'), ('s3://docs/doomed/too');
CALL daemon.forget();
SELECT daemon.refused($$INSERT INTO document VALUES (41, '', 's3://docs/doomed')$$);
SELECT daemon.refused($$INSERT INTO part VALUES (41, 'a', 's3://docs/doomed/too')$$);
SELECT daemon.refused($$INSERT INTO legacy VALUES (41, 'doomed')$$);
SELECT daemon.refused($$UPDATE document SET file = 's3://docs/doomed/too'$$);
SELECT daemon.refused($$INSERT INTO document SELECT i, '', 's3://docs/' || CASE i WHEN 3999 THEN 'doomed' ELSE i::text END FROM generate_series(1000, 4000) i$$);
COPY document FROM stdin;
41		s3://docs/fine
42		s3://docs/doomed
\.
UPDATE document SET title = 'a row that holds it may change';
DELETE FROM document WHERE id = 40;
:show
-- A key like it is none
INSERT INTO document VALUES (43, '', 's3://docs/doome'), (44, '', 's3://docs/doomed/'), (45, '', 's3://docs/Doomed');
:count
TRUNCATE objectlink.condemned;
-- A statement that went wrong half way through its keys leaves no trace; after it the session works on
SELECT daemon.refused($$INSERT INTO document SELECT 50 + i, '', CASE WHEN i = 2 THEN 's3://docs/.objectlink/x' ELSE 's3://docs/' || i END::objectlink.storage_ref FROM generate_series(1, 3) i$$);
:show
INSERT INTO document VALUES (60, '', 's3://docs/60');
:show

-- Triggers misused by hand
CREATE TABLE misused (id int, file objectlink.storage_ref);
CREATE TRIGGER before BEFORE INSERT ON misused FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger('1', 'file');
SELECT daemon.refused($$INSERT INTO misused VALUES (1, 's3://docs/1')$$);
DROP TRIGGER before ON misused;
CREATE TRIGGER no_arguments AFTER INSERT ON misused FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger();
SELECT daemon.refused($$INSERT INTO misused VALUES (1, 's3://docs/1')$$);
DROP TRIGGER no_arguments ON misused;
CREATE TRIGGER no_number AFTER INSERT ON misused FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger('x', 'file');
SELECT daemon.refused($$INSERT INTO misused VALUES (1, 's3://docs/1')$$);
DROP TRIGGER no_number ON misused;
CREATE TRIGGER no_column AFTER INSERT ON misused FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger('1', 'nothing');
SELECT daemon.refused($$INSERT INTO misused VALUES (1, 's3://docs/1')$$);
DROP TRIGGER no_column ON misused;
CREATE TRIGGER no_ref AFTER INSERT ON misused FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger('1', 'id');
SELECT daemon.refused($$INSERT INTO misused VALUES (1, 's3://docs/1')$$);
DROP TRIGGER no_ref ON misused;
CREATE TRIGGER statement AFTER INSERT ON misused EXECUTE FUNCTION objectlink.link_trigger('1', 'file');
SELECT daemon.refused($$INSERT INTO misused VALUES (1, 's3://docs/1')$$);
DROP TRIGGER statement ON misused;
CREATE TRIGGER not_truncate AFTER INSERT ON misused EXECUTE FUNCTION objectlink.truncate_trigger('1');
SELECT daemon.refused($$INSERT INTO misused VALUES (1, 's3://docs/1')$$);
SELECT daemon.refused($$SELECT objectlink.link_trigger()$$);
SELECT daemon.refused($$SELECT objectlink.truncate_trigger()$$);

SET client_min_messages = warning;
DROP TABLE document, page, note, known, use, part, parent, person, legacy, misused CASCADE;
DROP DOMAIN place, portrait, picture;
DROP FUNCTION redirect(), write_again();
CALL daemon.finish();
