-- Goal: the outbox says from which row a link went, by which act and from which table, as they were when it went.
-- Method: rows with keys of every kind go in every way; keys, columns and tables change between.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE PROCEDURE daemon.forget() LANGUAGE sql AS 'DELETE FROM objectlink.outbox';
\set show 'SELECT op, objectlink.key(ref) AS key, image FROM objectlink.outbox ORDER BY ref, op; CALL daemon.forget();'

-- Only unlinks: a link says nothing of its row
CREATE TABLE document (id int PRIMARY KEY, title text, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
INSERT INTO document VALUES (1, 'one', 's3://docs/1'), (2, 'two', 's3://docs/2'), (3, 'three', 's3://docs/3'), (4, 'four', NULL);
:show
DELETE FROM document WHERE id = 1;
UPDATE document SET file = NULL WHERE id = 2;
UPDATE document SET file = 's3://docs/3b' WHERE id = 3;
UPDATE document SET title = 'vier' WHERE id = 4;
DELETE FROM document WHERE id = 4;
:show
-- the key it had, when the same UPDATE changes that too
UPDATE document SET id = 33, file = NULL WHERE id = 3;
:show
INSERT INTO document VALUES (5, 'five', 's3://docs/5');
MERGE INTO document d USING (VALUES (5)) AS v (id) ON d.id = v.id WHEN MATCHED THEN DELETE;
:show
-- by a cascade, and by hand in a savepoint that is rolled back
CREATE TABLE folder (name text PRIMARY KEY);
ALTER TABLE document ADD folder text REFERENCES folder ON DELETE CASCADE;
INSERT INTO folder VALUES ('a');
INSERT INTO document VALUES (6, 'six', 's3://docs/6', 'a'), (7, 'seven', 's3://docs/7', NULL);
CALL daemon.forget();
BEGIN;
SAVEPOINT s;
DELETE FROM document WHERE id = 7;
ROLLBACK TO s;
DELETE FROM folder;
COMMIT;
:show
-- by a trigger of the user, for another row than the one that was named
CREATE FUNCTION also_the_next() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM document WHERE id = OLD.id + 1; RETURN NULL; END $$;
CREATE TRIGGER also AFTER DELETE ON document FOR EACH ROW EXECUTE FUNCTION also_the_next();
INSERT INTO document VALUES (8, 'eight', 's3://docs/8');
CALL daemon.forget();
DELETE FROM document WHERE id = 7;
:show
DROP FUNCTION also_the_next CASCADE;
-- TRUNCATE names no row
TRUNCATE document;
:show

-- Values as to_jsonb() gives them; a key of many columns, in another order than the table's
CREATE DOMAIN code AS text CHECK (VALUE <> '');
CREATE TYPE colour AS ENUM ('red', 'it''s "blue"');
CREATE TABLE wide (file objectlink.storage_ref, happened timestamp, c colour, u uuid, n numeric, b boolean, k code, j jsonb, v varchar(10),
                   PRIMARY KEY (k, n, c, b, u, happened, j, v));
SELECT objectlink.attach('wide', 'file') > 0;
INSERT INTO wide VALUES ('s3://docs/w', '2026-02-03 04:05:06.789', 'it''s "blue"', '00000000-0000-4000-8000-000000000001', 1.50, true,
                         E'a\\b\n\u00e9', '{"x": [1, null]}', 'v');
CALL daemon.forget();
DELETE FROM wide;
SELECT image, image -> 'row' = (SELECT to_jsonb(r) FROM (SELECT E'a\\b\n\u00e9' AS k, 1.50 AS n, 'it''s "blue"' AS c, true AS b,
  '00000000-0000-4000-8000-000000000001' AS u, '2026-02-03T04:05:06.789' AS happened, '{"x": [1, null]}'::jsonb AS j, 'v' AS v) r)
FROM objectlink.outbox;
CALL daemon.forget();
-- a key larger than what is collected in memory, and many of them
CREATE TABLE large (id text PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('large', 'file') > 0;
INSERT INTO large SELECT repeat(chr(97 + i % 26), 2000) || i, objectlink.storage_ref('docs', 'large/' || i) FROM generate_series(1, 300) i;
INSERT INTO large VALUES (repeat('z', 100000), 's3://docs/large/0');
CALL daemon.forget();
DELETE FROM large;
SELECT count(*), count(DISTINCT image -> 'row' ->> 'id'), max(length(image -> 'row' ->> 'id')),
       count(*) FILTER (WHERE image -> 'row' ->> 'id' LIKE '%' || substr(objectlink.key(ref), 7)) FROM objectlink.outbox;
CALL daemon.forget();

-- Without a key: the table only. A unique index is none; one that is deferrable is
CREATE TABLE keyless (id int UNIQUE, file objectlink.storage_ref);
SELECT objectlink.attach('keyless', 'file') > 0;
INSERT INTO keyless SELECT i, objectlink.storage_ref('docs', 'k' || i) FROM generate_series(1, 9) i;
CALL daemon.forget();
DELETE FROM keyless WHERE id = 1;
:show
-- and the key may come, change and go while the session remembers it
ALTER TABLE keyless ADD PRIMARY KEY (id) DEFERRABLE INITIALLY DEFERRED;
DELETE FROM keyless WHERE id = 2;
:show
ALTER TABLE keyless RENAME id TO number;
DELETE FROM keyless WHERE number = 3;
:show
ALTER TABLE keyless ALTER number TYPE text;
DELETE FROM keyless WHERE number = '4';
:show
ALTER TABLE keyless DROP CONSTRAINT keyless_pkey, ADD extra int NOT NULL DEFAULT 7, ADD PRIMARY KEY (extra, number);
DELETE FROM keyless WHERE number = '5';
:show
BEGIN;
ALTER TABLE keyless DROP CONSTRAINT keyless_pkey, DROP number;
DELETE FROM keyless WHERE file = 's3://docs/k6';
SELECT image FROM objectlink.outbox;
ROLLBACK;
DELETE FROM keyless WHERE number = '6';
:show
ALTER TABLE keyless RENAME TO "It's ""odd""";
CREATE SCHEMA "a.b";
ALTER TABLE "It's ""odd""" SET SCHEMA "a.b";
DELETE FROM "a.b"."It's ""odd""" WHERE number = '7';
ALTER SCHEMA "a.b" RENAME TO "b.c";
DELETE FROM "b.c"."It's ""odd""" WHERE number = '8';
:show
-- gone with its table, and still named
BEGIN;
DELETE FROM "b.c"."It's ""odd""";
DROP TABLE "b.c"."It's ""odd""";
COMMIT;
:show

-- Partitions have column numbers of their own, and are named after their root; a row that moves says where it was
CREATE TABLE part (n int, tenant int, file objectlink.storage_ref, PRIMARY KEY (tenant, n)) PARTITION BY RANGE (n);
CREATE TABLE part_low PARTITION OF part FOR VALUES FROM (0) TO (10) PARTITION BY LIST (tenant);
CREATE TABLE part_low_1 PARTITION OF part_low FOR VALUES IN (1);
CREATE TABLE part_high (gone int, file objectlink.storage_ref, tenant int NOT NULL, also int, n int NOT NULL);
ALTER TABLE part_high DROP gone, DROP also;
ALTER TABLE part ATTACH PARTITION part_high FOR VALUES FROM (10) TO (20);
SELECT objectlink.attach('part', 'file') > 0;
INSERT INTO part VALUES (1, 1, 's3://docs/low'), (2, 1, 's3://docs/moves'), (11, 1, 's3://docs/high');
CALL daemon.forget();
UPDATE part SET n = 12 WHERE n = 2;
DELETE FROM part WHERE n IN (1, 11);
:show
TRUNCATE part_high;
:show
INSERT INTO part VALUES (13, 1, 's3://docs/detached');
CALL daemon.forget();
ALTER TABLE part DETACH PARTITION part_high;
DELETE FROM part_high;
:show
-- while it is being detached concurrently it has no root any more
CREATE TABLE part_mid PARTITION OF part FOR VALUES FROM (30) TO (40);
INSERT INTO part VALUES (31, 1, 's3://docs/mid');
CALL daemon.forget();
BEGIN;
SET LOCAL allow_system_table_mods = on;
UPDATE pg_inherits SET inhdetachpending = true WHERE inhrelid = 'part_mid'::regclass;
DELETE FROM part_mid;
SELECT image FROM objectlink.outbox;
ROLLBACK;
-- a child has rows, and perhaps a key, of its own
CREATE TABLE parent (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE child () INHERITS (parent);
SELECT objectlink.attach('parent', 'file') > 0;
INSERT INTO parent VALUES (1, 's3://docs/parent');
INSERT INTO child VALUES (1, 's3://docs/child');
CALL daemon.forget();
DELETE FROM parent;
:show

-- A text column; and a value that never was a link
CREATE TABLE legacy (id int PRIMARY KEY, path text);
SELECT objectlink.attach('legacy', 'path', store => 'docs') > 0;
INSERT INTO legacy VALUES (1, 'text/1'), (2, '');
CALL daemon.forget();
DELETE FROM legacy;
:show

-- Switched off, by a superuser only
INSERT INTO document VALUES (1, 'one', 's3://docs/1');
CALL daemon.forget();
SET objectlink.record_row_keys = off;
DELETE FROM document;
:show
RESET objectlink.record_row_keys;
CREATE ROLE objectlink_test_user;
SET ROLE objectlink_test_user;
SET objectlink.record_row_keys = off;
RESET ROLE;
-- nor by one who is faster than the module
INSERT INTO document VALUES (2, 'two', 's3://docs/2');
CALL daemon.forget();
GRANT SELECT, DELETE ON document TO objectlink_test_user;
\c
SET ROLE objectlink_test_user;
SET objectlink.record_row_keys = off;
DELETE FROM document;
RESET ROLE;
:show
DROP OWNED BY objectlink_test_user;
DROP ROLE objectlink_test_user;

DROP TABLE document, folder, wide, large, part, part_high, parent, child, legacy;
DROP SCHEMA "b.c";
DROP DOMAIN code;
DROP TYPE colour;
\set ECHO none
CALL daemon.finish();
