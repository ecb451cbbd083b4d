-- Goal: which rows hang on which is what the foreign key says, whatever its values look like: for the states that rows show, the
-- marks that are taken back, and the rows that are restored.
-- Method: one document and one chunk for each pair of types that a foreign key may join, with values that are equal and look
-- different; both are marked, and deleted, and the object's deletion is given up each time.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
-- What the daemon does when a store has refused to delete an object for good.
CREATE FUNCTION daemon.give_up(p_key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM daemon.apply();
  UPDATE objectlink.object SET state = 'unlinked', due_at = NULL, issued_at = NULL, last_error = 'AccessDenied' WHERE key = p_key AND state IN ('unlinked', 'deleting');
  DELETE FROM objectlink.condemned WHERE objectlink.key(ref) = p_key AND release_after IS NULL;
  PERFORM objectlink.deletion_failed_for_good(daemon.store_id('docs'), p_key);
  PERFORM daemon.work_on_rows();
  PERFORM daemon.apply();
END $$;
CREATE FUNCTION daemon.store(VARIADIC p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM daemon.apply();
  PERFORM daemon.settle(k, 'stored', '{"size": 1}') FROM unnest(p_keys) k;
  PERFORM daemon.work_on_rows();
END $$;
CREATE FUNCTION daemon.what_failed() RETURNS text LANGUAGE sql AS $$ SELECT string_agg(error_code || ' ' || last_error, '; ') FROM objectlink.row_work $$;
-- Says for each step whether the chunk was found.
CREATE PROCEDURE daemon.hang(p_type text, p_key text, p_child_type text, p_child_key text) LANGUAGE plpgsql AS $$
DECLARE
  v_shown text;
  v_unmarked text;
  v_restored text;
BEGIN
  DROP TABLE IF EXISTS document, chunk;
  EXECUTE format('CREATE TABLE document (key %s PRIMARY KEY, file objectlink.storage_ref, status text, gone boolean)', p_type);
  EXECUTE format('CREATE TABLE chunk (n int PRIMARY KEY, document %s REFERENCES document ON DELETE CASCADE, status text, gone boolean)', p_child_type);
  PERFORM objectlink.attach('document', 'file', on_delete_failure => 'restore_row', related => '{chunk}', status_column => 'status', soft_delete_column => 'gone');
  PERFORM daemon.walk();
  EXECUTE format('INSERT INTO document VALUES (%L, ''s3://docs/a'')', p_key);
  EXECUTE format('INSERT INTO chunk VALUES (1, %L)', p_child_key);
  PERFORM daemon.store('a');
  SELECT coalesce(c.status, daemon.what_failed(), 'not shown') INTO v_shown FROM chunk c;
  COMMIT;
  UPDATE chunk SET gone = true;
  UPDATE document SET gone = true;
  COMMIT;
  PERFORM daemon.give_up('a');
  SELECT CASE WHEN bool_or(d.gone) IS TRUE THEN coalesce(daemon.what_failed(), 'marked') WHEN bool_or(c.gone) THEN 'chunk left marked' ELSE 'unmarked' END INTO v_unmarked FROM document d, chunk c;
  COMMIT;
  UPDATE document SET gone = NULL; UPDATE chunk SET gone = NULL; DELETE FROM objectlink.row_work;
  DELETE FROM objectlink.deleted_row;
  PERFORM daemon.apply();
  COMMIT;
  DELETE FROM document;
  COMMIT;
  PERFORM daemon.give_up('a');
  SELECT CASE WHEN (SELECT count(*) FROM document) = 0 THEN coalesce(daemon.what_failed(), 'nothing') WHEN (SELECT count(*) FROM chunk) = 0 THEN 'chunk left out' ELSE 'restored' END INTO v_restored;
  RAISE INFO '% %, % %: %, %, %', p_type, p_key, p_child_type, p_child_key, v_shown, v_unmarked, v_restored;
  DROP TABLE document, chunk;
  TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;
  COMMIT;
END $$;
\set ECHO all
SELECT daemon.start();
SET client_min_messages = warning;
CREATE SCHEMA contrib;
CREATE EXTENSION citext SCHEMA contrib;
CREATE EXTENSION isn SCHEMA contrib;
RESET client_min_messages;
CREATE COLLATION caseless (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN name_of AS contrib.citext CHECK (VALUE <> '');
CREATE DOMAIN numbered AS numeric(10,2);
CREATE TYPE mood AS ENUM ('so-so');
CREATE TYPE pair AS (number numeric, word text);
CREATE DOMAIN paired AS pair;
SET timezone = 'Europe/Berlin';
CALL daemon.hang('text', 'a', 'text', 'a');
CALL daemon.hang('contrib.citext', 'Some Key', 'contrib.citext', 'some key');
CALL daemon.hang('name_of', 'Some Key', 'contrib.citext', 'some key');
CALL daemon.hang('contrib.citext', 'Some Key', 'name_of', 'some key');
CALL daemon.hang('text', 'A', 'contrib.citext', 'A');
CALL daemon.hang('text COLLATE caseless', 'Some Key', 'text COLLATE caseless', 'some key');
CALL daemon.hang('text COLLATE caseless', 'Some Key', 'text', 'some key');
CALL daemon.hang('text COLLATE "C"', 'some key', 'text COLLATE "POSIX"', 'some key');
CALL daemon.hang('varchar(9)', 'some key', 'text', 'some key');
CALL daemon.hang('text', 'a', 'char(5)', 'a');
CALL daemon.hang('char(5)', 'a', 'text', 'a');
CALL daemon.hang('char(5)', 'a', 'char(8)', 'a');
CALL daemon.hang('"char"', 'a', '"char"', 'a');
CALL daemon.hang('numeric', '1.0', 'numeric', '1.00');
CALL daemon.hang('numeric', '1.0', 'int', '1');
CALL daemon.hang('numbered', '1', 'bigint', '1');
CALL daemon.hang('numeric', '-0.0', 'smallint', '0');
CALL daemon.hang('bigint', '7', 'int', '7');
CALL daemon.hang('int', '7', 'bigint', '7');
CALL daemon.hang('float8', '0', 'float8', '-0');
CALL daemon.hang('float8', '0.1', 'float8', '0.1');
CALL daemon.hang('float8', '0.5', 'float4', '0.5');
CALL daemon.hang('float8', 'NaN', 'float8', 'NaN');
SET extra_float_digits = -15;
CALL daemon.hang('float8', '0.30000000000000004', 'float8', '0.30000000000000004');
RESET extra_float_digits;
CALL daemon.hang('float8', '3', 'int', '3');
CALL daemon.hang('money', '1.5', 'money', '1.50');
CALL daemon.hang('timestamptz', '2024-07-01 00:00+02', 'timestamptz', '2024-06-30 22:00Z');
CALL daemon.hang('timestamptz', '2024-07-01 00:00+02', 'date', '2024-07-01');
CALL daemon.hang('timestamp', '2024-07-01 00:00', 'date', '2024-07-01');
CALL daemon.hang('timetz', '12:00:00+02', 'timetz', '12:00:00+02');
CALL daemon.hang('interval', '1 day -1 second', 'interval', '23:59:59');
CALL daemon.hang('float8[]', '{0}', 'float8[]', '{-0}');
CALL daemon.hang('int[]', '[0:1]={1,2}', 'int[]', '[0:1]={1,2}');
CALL daemon.hang('numrange', '[1.0,2)', 'numrange', '[1.00,2)');
CALL daemon.hang('jsonb', '{"a": 1.0}', 'jsonb', '{"a": 1.00}');
CALL daemon.hang('jsonb', '"a"', 'jsonb', '"a"');
CALL daemon.hang('bytea', '\x00ff', 'bytea', '\x00ff');
CALL daemon.hang('bit(3)', '101', 'bit(3)', '101');
CALL daemon.hang('inet', '10.0.0.1/32', 'inet', '10.0.0.1');
CALL daemon.hang('inet', '10.0.0.0/8', 'cidr', '10.0.0.0/8');
CALL daemon.hang('mood', 'so-so', 'mood', 'so-so');
CALL daemon.hang('pair', '(1.0,a)', 'pair', '(1.00,a)');
CALL daemon.hang('paired', '(1.0,a)', 'pair', '(1.00,a)');
CALL daemon.hang('contrib.isbn13', '978-0-393-04002-9', 'contrib.isbn', '0-393-04002-X');
RESET timezone;

-- Three tables deep, keys of two columns, partitions on both sides; what has a NULL in its key hangs on nothing (MATCH SIMPLE), nor does what belongs
-- to the other document, which the event says: its object is gone, so nobody will ask for it
\set events 'SELECT cause, detail - ''rows'' AS detail FROM objectlink.event WHERE cause LIKE ''rows%'' ORDER BY id; DELETE FROM objectlink.event;'
\set work 'SELECT key, attempts, compensation, error_code, last_error FROM objectlink.row_work ORDER BY key;'
CREATE TABLE document (tenant contrib.citext, id numeric, file objectlink.storage_ref, status text, PRIMARY KEY (tenant, id)) PARTITION BY LIST (tenant);
CREATE TABLE document_a PARTITION OF document FOR VALUES IN ('A');
CREATE TABLE document_b PARTITION OF document DEFAULT;
CREATE TABLE chunk (document int, tenant contrib.citext, n int, status text, FOREIGN KEY (tenant, document) REFERENCES document ON DELETE CASCADE, UNIQUE (n, document)) PARTITION BY RANGE (document);
CREATE TABLE chunk_1 PARTITION OF chunk FOR VALUES FROM (0) TO (10);
CREATE TABLE chunk_2 PARTITION OF chunk DEFAULT;
CREATE TABLE word (word text, chunk bigint, document bigint, status text, FOREIGN KEY (document, chunk) REFERENCES chunk (document, n) ON DELETE CASCADE);
SELECT objectlink.attach('document', 'file', on_delete_failure => 'restore_row', related => '{word,chunk}', status_column => 'status') > 0, daemon.walk();
INSERT INTO document VALUES ('A', 1.0, 's3://docs/a'), ('B', 1, 's3://docs/b'), ('A', 5000000000000, 's3://docs/c'), ('a', 1.5, NULL);
INSERT INTO chunk VALUES (1, 'a', 1), (1, 'A', 2), (1, 'b', 3), (1, NULL, 4), (NULL, 'a', 5);
INSERT INTO word SELECT 'w' || n, n, document FROM chunk;
-- a value that no chunk could have is no hindrance
SELECT daemon.store('a', 'b', 'c');
:work
-- what shows it already is not written again
CREATE FUNCTION needless() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it is shown already'; END $$;
CREATE TRIGGER needless BEFORE UPDATE ON word FOR EACH ROW WHEN (OLD.status = NEW.status) EXECUTE FUNCTION needless();
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{a,b}');
SELECT daemon.work_on_rows();
:work
SELECT tenant, id, status FROM document ORDER BY 1, 2; SELECT n, status FROM chunk ORDER BY 1; SELECT word, status FROM word ORDER BY 1;
BEGIN;
DELETE FROM chunk WHERE tenant IS NULL OR document IS NULL;
DELETE FROM document WHERE id = 1;
COMMIT;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('b', 'gone');
DELETE FROM objectlink.event;
SELECT daemon.give_up('a');
:work
:events
SELECT tenant, id, file FROM document ORDER BY 1, 2; SELECT * FROM chunk ORDER BY n; SELECT * FROM word ORDER BY word;

-- A column of the key that has another name by now: what hung on which is not known
DELETE FROM document WHERE id = 1;
ALTER TABLE chunk RENAME document TO part_of;
SELECT daemon.give_up('a');
:work
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
ALTER TABLE chunk RENAME part_of TO document;
ALTER TABLE document RENAME id TO number;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
ALTER TABLE document RENAME number TO id;
ALTER TABLE chunk RENAME document TO part_of;
DELETE FROM objectlink.event;
SELECT objectlink.restore_rows('docs', 'a', without_dropped => true);
:events
SELECT count(*) FROM chunk;
DROP TABLE document, chunk, word;
DROP FUNCTION needless;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- A key that was written in another way meanwhile is the same; one that a renamed column of the parent holds is not known
CREATE TABLE document (id int PRIMARY KEY, code contrib.citext UNIQUE, file objectlink.storage_ref, gone boolean);
CREATE TABLE chunk (code contrib.citext PRIMARY KEY REFERENCES document (code) ON UPDATE CASCADE, gone boolean);
SELECT objectlink.attach('document', 'file', soft_delete_column => 'gone', on_delete_failure => 'restore_row', related => '{chunk}') > 0, daemon.walk();
INSERT INTO document VALUES (1, 'Code', 's3://docs/a'); INSERT INTO chunk VALUES ('code');
SELECT daemon.store('a');
BEGIN; UPDATE chunk SET gone = true; UPDATE document SET gone = true; COMMIT;
UPDATE chunk SET code = 'CODE';
ALTER TABLE document RENAME code TO codeword;
SELECT daemon.give_up('a');
:work
ALTER TABLE document RENAME codeword TO code;
SELECT objectlink.restore_rows('docs', 'a');
SELECT gone FROM document UNION ALL SELECT gone FROM chunk;
DROP TABLE document, chunk;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- What a foreign key refers to may be NULL: nothing hangs on that
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, status text, code int UNIQUE, word text UNIQUE);
CREATE TABLE chunk (code int REFERENCES document (code), status text);
CREATE TABLE leaf (word text REFERENCES document (word), status text);
SELECT objectlink.attach('document', 'file', status_column => 'status', related => '{chunk,leaf}') > 0, daemon.walk();
INSERT INTO document VALUES (1, 's3://docs/a', NULL, NULL, NULL), (2, NULL, NULL, 2, ''); INSERT INTO chunk VALUES (NULL), (2); INSERT INTO leaf VALUES (NULL), ('');
SELECT daemon.store('a');
:work
SELECT * FROM document ORDER BY id; SELECT * FROM chunk UNION ALL SELECT NULL, status FROM leaf;
-- a foreign key that is gone keeps nobody from showing it in the attached table
ALTER TABLE chunk DROP CONSTRAINT chunk_code_fkey;
UPDATE objectlink.object SET state = 'missing' WHERE key = 'a';
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{a}');
SELECT daemon.work_on_rows();
:work
SELECT status FROM document WHERE id = 1;
-- a failure that is older than the reason to look again is forgotten
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{a}');
CREATE TABLE seen AS SELECT w FROM objectlink.row_work w;
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{a}');
SELECT objectlink.note_row_failure(w, '23505', 'late') FROM seen;
:work
DROP TABLE document, chunk, leaf, seen;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- Of several foreign keys the one to the attached table counts, then the one to the table that is nearest to it; tables may refer to one another
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, status text);
CREATE TABLE chunk (id int PRIMARY KEY, document int REFERENCES document ON DELETE CASCADE, word int, status text);
CREATE TABLE leaf (id int PRIMARY KEY, word int, chunk int REFERENCES chunk ON DELETE CASCADE, status text);
CREATE TABLE word (id int PRIMARY KEY, chunk int REFERENCES chunk ON DELETE CASCADE, status text);
ALTER TABLE leaf ADD FOREIGN KEY (word) REFERENCES word ON DELETE CASCADE;
ALTER TABLE chunk ADD FOREIGN KEY (word) REFERENCES word ON DELETE SET NULL;
CREATE TABLE vein (id int PRIMARY KEY, leaf int REFERENCES leaf ON DELETE CASCADE, document int REFERENCES document ON DELETE CASCADE, status text);
SELECT objectlink.attach('document', 'file', on_delete_failure => 'restore_row', related => '{vein,leaf,word,chunk}', status_column => 'status') > 0, daemon.walk();
SELECT r.relation, r.depth, p.parent::regclass FROM objectlink.related_table r, objectlink.parent_of(r.attachment_id, 'document'::regclass, r.relation) p ORDER BY r.depth, r.relation::text;
INSERT INTO document VALUES (1, 's3://docs/a'), (2, NULL);
INSERT INTO chunk VALUES (1, 1), (2, 2); INSERT INTO word VALUES (1, 1), (2, 2); UPDATE chunk SET word = 3 - id WHERE id = 2;
INSERT INTO leaf VALUES (1, 2, 1), (2, 1, 2), (3, 1, NULL); INSERT INTO leaf VALUES (4, 1, 1); INSERT INTO vein VALUES (1, 1, 1), (2, 1, 2);
SELECT daemon.store('a');
SELECT 'chunk' AS of, id, status FROM chunk UNION ALL SELECT 'word', id, status FROM word UNION ALL SELECT 'leaf', id, status FROM leaf UNION ALL SELECT 'vein', id, status FROM vein ORDER BY 1, 2;
-- restored in an order in which all that a row refers to is there
DELETE FROM document WHERE id = 1;
DELETE FROM objectlink.event;
SELECT daemon.give_up('a');
:work
:events
SELECT 'chunk' AS of, id FROM chunk UNION ALL SELECT 'word', id FROM word UNION ALL SELECT 'leaf', id FROM leaf UNION ALL SELECT 'vein', id FROM vein ORDER BY 1, 2;
-- of tables that refer to one another none is followed in a circle, when the way to the attached one is gone
ALTER TABLE chunk DROP CONSTRAINT chunk_document_fkey;
SELECT daemon.apply() >= 0, objectlink.queue_row_work(daemon.store_id('docs'), '{a}');
SELECT daemon.work_on_rows();
:work
DROP TABLE document, chunk, word, leaf, vein;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- What compares keys may be somebody's code: it runs as the owner of the table, as it does for the foreign key; a domain's check does not run for
-- what is only compared
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_owner;
RESET client_min_messages;
CREATE ROLE objectlink_test_owner;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_owner;
GRANT CREATE ON SCHEMA public TO objectlink_test_owner;
CREATE TYPE feeling AS ENUM ('glad', 'sad');
CREATE FUNCTION feels_same(feeling, feeling) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_user <> 'objectlink_test_owner' THEN RAISE EXCEPTION 'somebody''s code runs as somebody else'; END IF;
  RETURN $1::text = $2::text;
END $$;
CREATE FUNCTION compare_feelings(feeling, feeling) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN $1::text < $2::text THEN -1 WHEN $1::text > $2::text THEN 1 ELSE 0 END $$;
CREATE OPERATOR === (LEFTARG = feeling, RIGHTARG = feeling, FUNCTION = feels_same, COMMUTATOR = ===);
CREATE FUNCTION feels_less(feeling, feeling) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1::text < $2::text $$;
CREATE FUNCTION feels_more(feeling, feeling) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT $1::text > $2::text $$;
CREATE OPERATOR <<< (LEFTARG = feeling, RIGHTARG = feeling, FUNCTION = feels_less);
CREATE OPERATOR >>> (LEFTARG = feeling, RIGHTARG = feeling, FUNCTION = feels_more);
CREATE OPERATOR CLASS feeling_ops DEFAULT FOR TYPE feeling USING btree AS
  OPERATOR 1 <<<, OPERATOR 3 ===, OPERATOR 5 >>>, FUNCTION 1 compare_feelings(feeling, feeling);
CREATE FUNCTION may_feel(feeling) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  IF current_user <> 'objectlink_test_owner' THEN RAISE EXCEPTION 'somebody''s code runs as somebody else'; END IF;
  RETURN true;
END $$;
CREATE DOMAIN felt AS feeling CHECK (may_feel(VALUE));
SET SESSION AUTHORIZATION objectlink_test_owner;
CREATE TABLE document (id felt PRIMARY KEY, file objectlink.storage_ref, status text, gone boolean);
CREATE TABLE chunk (id felt PRIMARY KEY REFERENCES document, status text, gone boolean);
RESET SESSION AUTHORIZATION;
SELECT objectlink.attach('document', 'file', soft_delete_column => 'gone', on_delete_failure => 'restore_row', related => '{chunk}', status_column => 'status') > 0, daemon.walk();
SET SESSION AUTHORIZATION objectlink_test_owner;
INSERT INTO document VALUES ('sad', 's3://docs/a'); INSERT INTO chunk VALUES ('sad');
RESET SESSION AUTHORIZATION;
SELECT daemon.store('a');
SET SESSION AUTHORIZATION objectlink_test_owner;
BEGIN; UPDATE chunk SET gone = true; UPDATE document SET gone = true; COMMIT;
RESET SESSION AUTHORIZATION;
SELECT daemon.give_up('a');
:work
SELECT gone, status FROM document UNION ALL SELECT gone, status FROM chunk;
SET SESSION AUTHORIZATION objectlink_test_owner;
BEGIN; DELETE FROM chunk; DELETE FROM document; COMMIT;
RESET SESSION AUTHORIZATION;
SELECT daemon.give_up('a');
:work
SELECT id, gone FROM document UNION ALL SELECT id, gone FROM chunk;

SET client_min_messages = warning;
DROP TABLE document, chunk;
DROP DOMAIN felt, name_of, numbered, paired;
DROP TYPE mood, pair;
DROP FUNCTION may_feel, feels_same, feels_less, feels_more, compare_feelings CASCADE;
DROP TYPE feeling CASCADE;
DROP EXTENSION isn;
DROP EXTENSION citext;
DROP SCHEMA contrib;
DROP COLLATION caseless;
DROP OWNED BY objectlink_test_owner;
DROP ROLE objectlink_test_owner;
CALL daemon.finish();
