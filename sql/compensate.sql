-- Goal: rows whose object was given up go, or lose their link, as their attachment asks: all of an object or none, and none that has a chance again.
-- Method: play the daemon; foreign keys, NOT NULL, triggers that raise or keep rows without a word, links and content that come meanwhile.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set work 'SELECT key, attempts, compensation, error_code, last_error FROM objectlink.row_work ORDER BY key;'
\set problems 'SELECT severity, what, detail FROM objectlink.problems WHERE what LIKE ''rows%'';'
\set events 'SELECT key, cause, actor = session_user AS by_daemon, detail FROM objectlink.event WHERE cause LIKE ''rows%'' ORDER BY id; DELETE FROM objectlink.event;'
SELECT daemon.start();
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, status text);
CREATE TABLE keeper (document int REFERENCES document DEFERRABLE INITIALLY DEFERRED);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', on_upload_failure => 'delete')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', on_upload_failure => NULL)$$);
CREATE TABLE strict (id int, file objectlink.storage_ref NOT NULL);
SELECT daemon.refused($$SELECT objectlink.attach('strict', 'file', on_upload_failure => 'set_null')$$);
CREATE TABLE derived (key text, file objectlink.storage_ref GENERATED ALWAYS AS (objectlink.storage_ref('docs', key)) STORED);
SELECT daemon.refused($$SELECT objectlink.attach('derived', 'file', on_upload_failure => 'set_null')$$);
DROP TABLE derived;
DROP TABLE strict;
SELECT objectlink.attach('document', 'file', on_upload_failure => 'delete_row', status_column => 'status') > 0, daemon.walk();
SELECT on_upload_failure FROM objectlink.attachments;

-- Every row that links it goes, and says which; the object is unlinked and goes the way of every other
INSERT INTO document SELECT i, objectlink.put('docs', 'x', key => 'a') FROM generate_series(1, 2) i;
INSERT INTO document VALUES (3, objectlink.put('docs', 'x', key => 'b'));
SELECT daemon.apply();
SELECT daemon.settle('a', 'failed', '{"error_class": "object", "error_code": "EntityTooLarge", "message": "too large"}'), daemon.settle('b', 'stored', '{"size": 1}');
SELECT daemon.work_on_rows();
SELECT id, file, status FROM document ORDER BY id;
:events
:work
SELECT op, ref, image FROM objectlink.outbox ORDER BY image;
SELECT daemon.apply();
SELECT key, state FROM daemon.objects ORDER BY key;
-- A foreign key refuses one of two rows, at once although it is deferred: both stay, and show it
INSERT INTO document SELECT i, 's3://docs/c' FROM generate_series(4, 5) i;
INSERT INTO keeper VALUES (5);
SELECT daemon.apply();
SELECT daemon.settle('c', 'failed'), daemon.work_on_rows();
SELECT id, file, status FROM document ORDER BY id;
SELECT count(*) FROM objectlink.outbox;
:events
:work
:problems
-- Tried again: the critical event says it once. Then nothing is in the way any more
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
:events
DELETE FROM keeper;
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
SELECT id, file, status FROM document ORDER BY id;
:events
:problems
-- A trigger that keeps the row without a word, or raises
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = 6 THEN RETURN NULL; END IF; RAISE 'never'; END $$;
CREATE TRIGGER keep BEFORE DELETE ON document FOR EACH ROW EXECUTE FUNCTION keep();
INSERT INTO document VALUES (6, 's3://docs/d'), (7, 's3://docs/e');
SELECT daemon.apply();
SELECT daemon.settle('d', 'failed'), daemon.settle('e', 'failed'), daemon.work_on_rows();
:work
SELECT id, file, status FROM document ORDER BY id;
DROP TRIGGER keep ON document;
DELETE FROM document WHERE id IN (6, 7);
SELECT daemon.apply();
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
:work
DELETE FROM objectlink.event;
-- Linked anew, and not applied yet: not compensated, and tried once more
INSERT INTO document VALUES (8, 's3://docs/f');
SELECT daemon.apply();
SELECT daemon.settle('f', 'failed');
INSERT INTO document VALUES (9, 's3://docs/f');
SELECT daemon.work_on_rows();
SELECT id, file FROM document WHERE id IN (8, 9) ORDER BY id;
SELECT daemon.apply(), daemon.work_on_rows();
SELECT id, file, status FROM document WHERE id IN (8, 9) ORDER BY id;
SELECT key, state FROM daemon.objects WHERE key = 'f';
-- Found after all, before anybody came to it
SELECT daemon.settle('f', 'failed');
UPDATE objectlink.object SET state = 'stored', verified_at = now() WHERE key = 'f';
SELECT daemon.work_on_rows();
SELECT id, file, status FROM document WHERE id IN (8, 9) ORDER BY id;
:events
-- Missing and corrupt are no failed uploads
UPDATE objectlink.object SET state = 'missing' WHERE key = 'f';
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{f}');
SELECT daemon.work_on_rows();
SELECT id, file, status FROM document WHERE id IN (8, 9) ORDER BY id;

-- set_null: the row stays, with its word, and links nothing; cascades and a table without a primary key; shared by tables of different policies
CREATE TABLE page (path text, status text, n int);
CREATE TABLE shared (file objectlink.storage_ref);
SELECT objectlink.attach('page', 'path', store => 'docs', on_upload_failure => 'set_null', status_column => 'status', status_map => '{"failed": "ERROR"}') > 0;
SELECT objectlink.attach('shared', 'file') > 0, daemon.walk();
INSERT INTO page VALUES ('g', 'new', 1), ('g', 'new', 2);
INSERT INTO shared VALUES ('s3://docs/g');
SELECT daemon.apply();
SELECT daemon.settle('g', 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "no such key"}'), daemon.work_on_rows();
SELECT * FROM page ORDER BY n;
SELECT * FROM shared;
:events
SELECT daemon.apply();
SELECT key, state FROM daemon.objects WHERE key = 'g';
-- NOT NULL came later
ALTER TABLE page DROP n;
DELETE FROM page;
ALTER TABLE page ALTER path SET NOT NULL;
INSERT INTO page VALUES ('h', 'new');
SELECT daemon.apply();
SELECT daemon.settle('h', 'failed'), daemon.work_on_rows();
SELECT * FROM page;
:work
:problems
-- With the rights of the table's owner, and no more
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_owner;
RESET client_min_messages;
CREATE ROLE objectlink_test_owner;
CREATE TABLE seen (who text);
GRANT INSERT ON seen TO objectlink_test_owner;
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (current_user); RETURN OLD; END $$;
CREATE TRIGGER see AFTER DELETE ON document FOR EACH ROW EXECUTE FUNCTION see();
INSERT INTO document VALUES (10, 's3://docs/i');
SELECT daemon.apply();
ALTER TABLE document OWNER TO objectlink_test_owner;
SELECT daemon.settle('i', 'failed'), daemon.work_on_rows();
SELECT * FROM seen;
REVOKE DELETE ON document FROM objectlink_test_owner;
UPDATE objectlink.object SET state = 'pending' WHERE key = 'f';
SELECT daemon.settle('f', 'failed'), daemon.work_on_rows();
SELECT key, compensation, error_code, last_error FROM objectlink.row_work WHERE key = 'f';

SET client_min_messages = warning;
DROP TABLE document, keeper, page, shared, seen;
DROP FUNCTION keep, see;
DROP ROLE objectlink_test_owner;
CALL daemon.finish();
