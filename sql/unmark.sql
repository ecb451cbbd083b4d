-- Goal: if the object of a row that was marked as deleted cannot be deleted, the mark is taken back, of the row and of what was
-- marked with it, or of nothing; and nothing is written over what somebody has done meanwhile.
-- Method: play the daemon up to the moment in which it gives up a deletion; then everything that can be in the way.
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
END $$;
CREATE FUNCTION daemon.store(VARIADIC p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM daemon.apply();
  PERFORM daemon.settle(k, 'stored', '{"size": 1}') FROM unnest(p_keys) k;
  PERFORM daemon.work_on_rows();
END $$;
\set ECHO all
\set work 'SELECT key, attempts, compensation, error_code, last_error FROM objectlink.row_work ORDER BY key;'
\set events 'SELECT key, cause, detail FROM objectlink.event WHERE cause LIKE ''rows%'' ORDER BY id; DELETE FROM objectlink.event;'
\set rows 'SELECT id, file, deleted_at IS NOT NULL AS marked FROM document ORDER BY id; SELECT document, n, deleted_at IS NOT NULL AS marked FROM chunk ORDER BY 1, 2; SELECT n, gone FROM word ORDER BY 1;'
SELECT daemon.start();
CREATE TABLE document (id int, file objectlink.storage_ref, deleted_at timestamptz, changes int DEFAULT 0, PRIMARY KEY (id) INCLUDE (changes));
CREATE TABLE chunk (document int REFERENCES document ON DELETE CASCADE, n int, deleted_at date, PRIMARY KEY (document, n));
-- without a column of that name
CREATE TABLE word (document int, n int, gone boolean, FOREIGN KEY (document, n) REFERENCES chunk ON DELETE CASCADE);
SELECT objectlink.attach('document', 'file', soft_delete_column => 'deleted_at', on_delete_failure => 'restore_row', related => '{chunk,word}') > 0, daemon.walk();
SELECT tgrelid::regclass, tgname ~ 'mark' AS mark, pg_get_triggerdef(oid) ~ 'UPDATE' AS update, tgenabled FROM pg_trigger WHERE tgname LIKE 'objectlink\_keep%' ORDER BY 1, 2;
INSERT INTO document VALUES (1, 's3://docs/a'), (2, 's3://docs/b'), (3, NULL);
INSERT INTO chunk SELECT d, n, CASE WHEN n = 3 THEN current_date END FROM generate_series(1, 2) d, generate_series(1, 3) n;
INSERT INTO word SELECT document, n, false FROM chunk WHERE document = 1;
SELECT daemon.store('a', 'b');

-- A transaction marks two documents and their chunks; of one the object stays, so its marks are taken back: not those from before
BEGIN;
UPDATE chunk SET deleted_at = current_date;
UPDATE document SET deleted_at = now();
COMMIT;
SELECT relation, ref, marked, image ->> 'deleted_at' FROM objectlink.deleted_row ORDER BY relation::text, id;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('b', 'gone');
SELECT daemon.give_up('a');
:rows
:work
:events
SELECT count(*) FROM objectlink.deleted_row;
SELECT daemon.apply();
SELECT key, state FROM daemon.objects;

-- An UPDATE that assigns neither column is asked nothing, nor is one that takes the mark away kept
UPDATE document SET changes = 1;
UPDATE chunk SET n = n;
UPDATE document SET deleted_at = deleted_at;
UPDATE document SET deleted_at = NULL WHERE id = 2;
UPDATE document SET file = NULL, deleted_at = NULL WHERE id = 2;
SELECT count(*) FROM objectlink.deleted_row;
-- What was marked and got another link at once is not taken back, nor is a link that was changed
UPDATE document SET file = 's3://docs/b2', deleted_at = now() WHERE id = 1;
SELECT count(*) FROM objectlink.deleted_row;
UPDATE document SET file = 's3://docs/a', deleted_at = NULL WHERE id = 1;
SELECT daemon.apply();

-- Some deleted, some marked, in one transaction: the parent marked, its chunks deleted
BEGIN;
DELETE FROM chunk WHERE document = 1 AND n < 3;
UPDATE document SET deleted_at = now() WHERE id = 1;
COMMIT;
SELECT relation, marked FROM objectlink.deleted_row ORDER BY relation::text, id;
SELECT daemon.give_up('a');
:rows
:events

-- What is in the way leaves nothing half done: the row is gone, has another link, another key; a chunk is gone
UPDATE chunk SET deleted_at = current_date WHERE document = 1 AND n = 1;
BEGIN;
UPDATE document SET deleted_at = now() WHERE id = 1;
UPDATE chunk SET deleted_at = current_date WHERE document = 1 AND n = 2;
COMMIT;
DELETE FROM chunk WHERE document = 1 AND n = 2;
SELECT daemon.give_up('a');
:rows
:work
:events
SELECT severity, what, detail FROM objectlink.problems WHERE what LIKE 'rows%';
INSERT INTO chunk VALUES (1, 2, current_date);
UPDATE document SET file = 's3://docs/other' WHERE id = 1;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
UPDATE document SET file = 's3://docs/a' WHERE id = 1;
ALTER TABLE chunk DROP CONSTRAINT chunk_document_fkey;
UPDATE document SET id = 11 WHERE id = 1;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
UPDATE document SET id = 1 WHERE id = 11;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
ALTER TABLE chunk ADD FOREIGN KEY (document) REFERENCES document ON DELETE CASCADE;
-- a trigger raises, or leaves the mark
CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.deleted_at := OLD.deleted_at; RETURN NEW; END $$;
CREATE TRIGGER leave BEFORE UPDATE ON chunk FOR EACH ROW EXECUTE FUNCTION leave();
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
DROP TRIGGER leave ON chunk;
-- the primary key is gone
ALTER TABLE word DROP CONSTRAINT word_document_n_fkey; ALTER TABLE chunk DROP CONSTRAINT chunk_pkey;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
ALTER TABLE chunk ADD PRIMARY KEY (document, n);
ALTER TABLE word ADD FOREIGN KEY (document, n) REFERENCES chunk ON DELETE CASCADE;
:rows
-- a mark that somebody has taken away already is no hindrance; one that he has set before stays
UPDATE chunk SET deleted_at = NULL WHERE document = 1 AND n = 2;
CREATE FUNCTION needless() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.deleted_at IS NULL THEN RAISE EXCEPTION 'it is not marked'; END IF; RETURN NEW; END $$;
CREATE TRIGGER needless BEFORE UPDATE ON chunk FOR EACH ROW EXECUTE FUNCTION needless();
UPDATE document SET changes = 2 WHERE id = 1;
SELECT objectlink.restore_rows('docs', 'a');
DROP TRIGGER needless ON chunk;
:rows
:events
SELECT daemon.apply();

-- Decided otherwise meanwhile: the mark taken away, set again, or the deletion tried again
UPDATE document SET deleted_at = now() WHERE id = 1;
SELECT daemon.apply();
UPDATE document SET deleted_at = NULL WHERE id = 1;
UPDATE document SET deleted_at = '2020-02-02' WHERE id = 1;
SELECT daemon.give_up('a');
SELECT deleted_at FROM document WHERE id = 1;
SELECT daemon.apply();
UPDATE document SET deleted_at = now() WHERE id = 1;
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = NULL WHERE key = 'a';
SELECT objectlink.deletion_failed_for_good(daemon.store_id('docs'), 'a');
UPDATE objectlink.object SET due_at = now() WHERE key = 'a';
SELECT daemon.work_on_rows();
SELECT deleted_at IS NOT NULL AS marked FROM document WHERE id = 1;

-- Renamed: both columns mean what they meant
UPDATE document SET deleted_at = NULL WHERE id = 1;
ALTER TABLE chunk RENAME deleted_at TO dropped_on;
ALTER TABLE document RENAME deleted_at TO removed_at;
SELECT daemon.apply();
UPDATE chunk SET dropped_on = NULL WHERE document = 1;
BEGIN;
UPDATE document SET removed_at = now() WHERE id = 1;
UPDATE chunk SET dropped_on = current_date WHERE document = 1;
COMMIT;
SELECT daemon.give_up('a');
SELECT removed_at FROM document WHERE id = 1;
SELECT dropped_on FROM chunk WHERE document = 1;
:events
-- Not asked for any more: nothing is kept from then on, what is kept is restored; asked for anew
\set triggers 'SELECT tgrelid::regclass, count(*) FROM pg_trigger WHERE tgname LIKE ''objectlink\\_keep%'' GROUP BY 1 ORDER BY 1;'
BEGIN;
UPDATE document SET removed_at = now() WHERE id = 1;
UPDATE chunk SET dropped_on = current_date WHERE document = 1;
COMMIT;
SELECT objectlink.alter_attachment('document', 'file', on_delete_failure => 'dead_letter') > 0;
:triggers
SELECT daemon.give_up('a');
SELECT removed_at FROM document WHERE id = 1;
SELECT dropped_on FROM chunk WHERE document = 1;
DELETE FROM objectlink.deleted_row;
UPDATE document SET removed_at = now() WHERE id = 1;
SELECT count(*) FROM objectlink.deleted_row;
UPDATE document SET removed_at = NULL WHERE id = 1;
SELECT objectlink.alter_attachment('document', 'file', on_delete_failure => 'restore_row') > 0;
:triggers
:events
-- after it was marked: what is not known of the column by then is NULL
UPDATE document SET removed_at = now() WHERE id = 1;
ALTER TABLE document RENAME removed_at TO deleted_at;
SELECT daemon.give_up('a');
SELECT deleted_at FROM document WHERE id = 1;
:work
SELECT daemon.apply();
-- a column that was dropped cannot be taken back, nor one of its name that is another one
BEGIN;
UPDATE document SET deleted_at = now() WHERE id = 1;
UPDATE chunk SET dropped_on = current_date WHERE document = 1;
COMMIT;
SET client_min_messages = warning;
ALTER TABLE chunk DROP dropped_on CASCADE;
RESET client_min_messages;
SELECT daemon.give_up('a');
:work
ALTER TABLE chunk ADD dropped_on text DEFAULT 'now';
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
SELECT dropped_on FROM chunk WHERE document = 1;
SELECT objectlink.alter_attachment('document', 'file', max_attempts => 5) > 0;
SELECT count(*) FROM pg_trigger WHERE tgrelid = 'chunk'::regclass AND tgname LIKE 'objectlink\_keep\_mark%';
DROP TABLE document, chunk, word;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- A boolean that takes no NULL, one that does; a text column; partitions; children; as the owner
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_owner;
RESET client_min_messages;
CREATE ROLE objectlink_test_owner;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_owner;
CREATE TABLE part (n int PRIMARY KEY, path text, gone boolean NOT NULL DEFAULT false, by text) PARTITION BY RANGE (n);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE hangs (id int PRIMARY KEY, part int REFERENCES part, gone boolean);
CREATE TABLE parent (id int PRIMARY KEY, file objectlink.storage_ref, gone boolean);
CREATE TABLE child (own text, PRIMARY KEY (id)) INHERITS (parent);
SELECT objectlink.attach('part', 'path', store => 'docs', soft_delete_column => 'gone', on_delete_failure => 'restore_row', related => '{hangs}') > 0,
       objectlink.attach('parent', 'file', soft_delete_column => 'gone', on_delete_failure => 'restore_row') > 0, daemon.walk();
INSERT INTO part VALUES (1, 'p'), (2, 'p');
INSERT INTO hangs VALUES (1, 1, NULL), (2, 1, false), (3, 1, true);
INSERT INTO child VALUES (1, 's3://docs/h', NULL);
INSERT INTO parent VALUES (1, 's3://docs/h', false);
CREATE FUNCTION sign_it() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.by := current_user; RETURN NEW; END $$;
CREATE TRIGGER sign BEFORE UPDATE ON part FOR EACH ROW WHEN (OLD.gone AND NOT NEW.gone) EXECUTE FUNCTION sign_it();
ALTER TABLE part OWNER TO objectlink_test_owner;
SELECT daemon.store('p', 'h');
BEGIN;
UPDATE part SET gone = true;
UPDATE hangs SET gone = true;
UPDATE parent SET gone = true;
COMMIT;
SELECT daemon.give_up('p'), daemon.give_up('h');
SELECT n, gone, by FROM part ORDER BY n;
SELECT id, gone FROM hangs ORDER BY id;
SELECT tableoid::regclass, id, gone FROM parent ORDER BY 1;
:work
:events

-- A column that takes no NULL and was called otherwise is false again; a link in a text column that has changed is in the way
UPDATE part SET path = 'p2', gone = true WHERE n = 2;
SELECT count(*) FROM objectlink.deleted_row;
UPDATE part SET gone = false WHERE n = 2;
SELECT daemon.apply();
UPDATE part SET gone = true WHERE n = 1;
ALTER TABLE part RENAME gone TO away;
UPDATE part SET path = 'q' WHERE n = 1;
SELECT daemon.give_up('p');
SELECT n, path, away FROM part ORDER BY n;
:work
UPDATE part SET path = 'p' WHERE n = 1;
SELECT objectlink.restore_rows('docs', 'p');
SELECT n, path, away FROM part ORDER BY n;

-- An admin who owns the tables, and nothing else, asks for it and uses it
CREATE TABLE paper (id int PRIMARY KEY, file objectlink.storage_ref, gone boolean);
CREATE TABLE sheet (id int PRIMARY KEY, paper int REFERENCES paper, gone boolean);
ALTER TABLE paper OWNER TO objectlink_test_owner; ALTER TABLE sheet OWNER TO objectlink_test_owner;
GRANT CREATE ON SCHEMA public TO objectlink_test_owner;
SELECT objectlink.grant_admin('objectlink_test_owner');
SET SESSION AUTHORIZATION objectlink_test_owner;
SELECT objectlink.attach('paper', 'file', soft_delete_column => 'gone', on_delete_failure => 'restore_row', related => '{sheet}') > 0;
INSERT INTO paper VALUES (1, 's3://docs/q'); INSERT INTO sheet VALUES (1, 1);
RESET SESSION AUTHORIZATION;
SELECT daemon.walk(), daemon.store('q');
SET SESSION AUTHORIZATION objectlink_test_owner;
BEGIN; UPDATE sheet SET gone = true; UPDATE paper SET gone = true; COMMIT;
RESET SESSION AUTHORIZATION;
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = NULL WHERE key = 'q';
SET SESSION AUTHORIZATION objectlink_test_owner;
SELECT objectlink.restore_rows('docs', 'q');
SELECT gone FROM paper UNION ALL SELECT gone FROM sheet;
ALTER TABLE sheet DROP gone CASCADE;
ALTER TABLE paper DROP gone CASCADE;
RESET SESSION AUTHORIZATION;

DROP TABLE part, hangs, parent, child, paper, sheet;
DROP FUNCTION leave, needless, sign_it;
DROP OWNED BY objectlink_test_owner;
DROP ROLE objectlink_test_owner;
CALL daemon.finish();
