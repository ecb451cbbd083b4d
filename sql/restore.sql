-- Goal: if an object cannot be deleted, the rows that named it come back as they were, with what hung on them, or not at all.
-- Method: play the daemon up to the moment in which it gives up a deletion; cascades three deep, identity ALWAYS, generated
-- columns, partitions, children; then everything that can be in the way, and repair by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
-- What the daemon does when a store has refused to delete an object for good.
CREATE FUNCTION daemon.give_up(p_key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE objectlink.object SET state = 'unlinked', due_at = NULL, issued_at = NULL, last_error = 'AccessDenied' WHERE key = p_key AND state IN ('unlinked', 'deleting');
  DELETE FROM objectlink.condemned WHERE objectlink.key(ref) = p_key AND release_after IS NULL;
  PERFORM objectlink.deletion_failed_for_good(daemon.store_id('docs'), p_key);
END $$;
CREATE FUNCTION daemon.store(VARIADIC p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM daemon.apply();
  PERFORM daemon.settle(k, 'stored', '{"size": 1}') FROM unnest(p_keys) k;
  PERFORM daemon.work_on_rows();
END $$;
\set ECHO all
\set work 'SELECT key, attempts, compensation, error_code, last_error FROM objectlink.row_work ORDER BY key;'
\set problems 'SELECT severity, what, detail FROM objectlink.problems WHERE what LIKE ''rows%'';'
\set events 'SELECT key, cause, detail FROM objectlink.event WHERE cause LIKE ''rows%'' ORDER BY id; DELETE FROM objectlink.event;'
\set kept 'SELECT relation, ref, image FROM objectlink.deleted_row ORDER BY id;'
SET datestyle = 'ISO, YMD'; SET timezone = 'UTC';
SELECT daemon.start();
CREATE TABLE document (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, file objectlink.storage_ref, title text NOT NULL, size numeric(10,2), spans tstzrange[], since interval,
                       loud text GENERATED ALWAYS AS (upper(title)) STORED, extra jsonb, raw bytea, changed timestamptz, status text);
CREATE TABLE chunk (document int REFERENCES document ON DELETE CASCADE, n int, body text, PRIMARY KEY (document, n));
CREATE TABLE word (document int, n int, word text, FOREIGN KEY (document, n) REFERENCES chunk ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE letter (word text, document int REFERENCES document ON DELETE SET NULL);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', on_delete_failure => 'undo')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', on_delete_failure => NULL)$$);
SELECT objectlink.attach('document', 'file', on_delete_failure => 'restore_row', related => '{word,chunk}', status_column => 'status') > 0, daemon.walk();
SELECT on_delete_failure, related FROM objectlink.attachments;
SELECT tgrelid::regclass, tgname ~ '^objectlink_keep_\d+$' AS named, tgenabled FROM pg_trigger WHERE tgname LIKE 'objectlink\_keep%' ORDER BY 1;

-- A transaction deletes two documents; one object goes, of the other all comes back, and only that
INSERT INTO document (file, title, size, spans, since, extra, raw, changed) VALUES
  ('s3://docs/a', 'It''s A', 1.50, ARRAY[tstzrange('2024-01-01 00:00Z', NULL)], '1 mon 2 days 03:04:05.6', '{"k": [1, null]}', '\x00ff', '2024-02-29 12:00:00.123456+02'),
  ('s3://docs/b', 'B', NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO chunk SELECT d, n, 'c' FROM generate_series(1, 2) d, generate_series(1, 2) n;
INSERT INTO word SELECT document, n, 'w' || document || n FROM chunk;
INSERT INTO letter VALUES ('x', 1);
SELECT daemon.store('a', 'b');
CREATE TABLE before AS SELECT to_jsonb(d) AS image FROM document d;
SET datestyle = 'SQL, DMY'; SET intervalstyle = sql_standard; SET timezone = 'Asia/Kolkata';
DELETE FROM document;
SET datestyle = 'ISO, YMD'; RESET intervalstyle; SET timezone = 'UTC';
SELECT relation, ref FROM objectlink.deleted_row ORDER BY relation, id;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('b', 'gone');
SELECT count(*) FROM objectlink.deleted_row;
SELECT daemon.give_up('a');
SELECT daemon.work_on_rows();
SELECT count(*) FROM (SELECT to_jsonb(d) FROM document d EXCEPT SELECT image FROM before) changed;
SELECT id, file, title, size, spans, since, loud, extra, raw, changed, status FROM document;
SELECT * FROM chunk ORDER BY 1, 2; SELECT * FROM word ORDER BY 1, 2; SELECT * FROM letter;
:events
:kept
:work
SELECT op, ref FROM objectlink.outbox;
SELECT daemon.apply();
SELECT key, state FROM daemon.objects;
-- The next one has a number of its own, as ever
INSERT INTO document (title) VALUES ('next') RETURNING id;

-- Everything in the way leaves nothing half done
DELETE FROM document WHERE id = 1;
SELECT daemon.apply(), daemon.give_up('a');
-- the key is taken
INSERT INTO document (id, title) OVERRIDING SYSTEM VALUE VALUES (1, 'taken');
SELECT daemon.work_on_rows();
:work
:events
:problems
SELECT id, title FROM document ORDER BY id; SELECT count(*) FROM chunk; SELECT count(*) FROM objectlink.deleted_row;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
DELETE FROM document WHERE id = 1;
-- a check is violated
ALTER TABLE word ADD CONSTRAINT no_w CHECK (word NOT LIKE 'w12');
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
ALTER TABLE word DROP CONSTRAINT no_w;
-- a trigger raises, or keeps a row out without a word
CREATE FUNCTION keep_out() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.n = 2 THEN RETURN NULL; END IF; RETURN NEW; END $$;
CREATE TRIGGER keep_out BEFORE INSERT ON chunk FOR EACH ROW EXECUTE FUNCTION keep_out();
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
DROP TRIGGER keep_out ON chunk;
-- a column that is newer than the row and must have a value
ALTER TABLE document ADD wanted text, ADD CONSTRAINT wanted CHECK (wanted IS NOT NULL) NOT VALID;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
ALTER TABLE document DROP wanted;
-- the foreign key is gone
ALTER TABLE word DROP CONSTRAINT word_document_n_fkey;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
ALTER TABLE word ADD CONSTRAINT word_document_n_fkey FOREIGN KEY (document, n) REFERENCES chunk ON DELETE CASCADE;
-- a request to delete the object may still arrive: no row may link it, and it is no critical event that one has to wait
INSERT INTO objectlink.condemned (ref, release_after) VALUES ('s3://docs/a', 'infinity');
UPDATE objectlink.row_work SET due_at = now(), error_code = NULL;
DELETE FROM objectlink.event;
SELECT daemon.work_on_rows();
SELECT error_code, due_at < clock_timestamp() + interval '10 s' AS soon FROM objectlink.row_work;
:events
DELETE FROM objectlink.condemned;
-- a column that was dropped since: by hand, and without it; one that is newer has its default
ALTER TABLE document DROP extra, ADD newer int DEFAULT 7;
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
:work
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
SELECT objectlink.restore_rows('docs', 'a', without_dropped => true);
SELECT id, file, title, newer FROM document ORDER BY id; SELECT count(*) FROM chunk; SELECT count(*) FROM word;
:work
:problems
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
SELECT daemon.apply();
SELECT key, state FROM daemon.objects;

-- Nothing is restored over a decision of somebody else: to try the deletion again, to link the object anew
DELETE FROM document WHERE id = 1;
SELECT daemon.apply(), daemon.give_up('a');
UPDATE objectlink.object SET due_at = now() WHERE key = 'a';
SELECT daemon.work_on_rows();
:work
SELECT count(*) FROM document WHERE id = 1;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
SELECT daemon.give_up('a');
INSERT INTO document (file, title) VALUES ('s3://docs/a', 'anew');
SELECT daemon.apply(), daemon.work_on_rows();
SELECT title FROM document WHERE file IS NOT NULL;
:work
-- Nor what an UPDATE or TRUNCATE took away, or what somebody else unlinked last
CREATE TABLE other (file objectlink.storage_ref);
SELECT objectlink.attach('other', 'file') > 0, daemon.walk();
INSERT INTO other VALUES ('s3://docs/a');
DELETE FROM document WHERE file IS NOT NULL;
SELECT daemon.apply();
DELETE FROM other;
SELECT daemon.apply(), daemon.give_up('a'), daemon.work_on_rows();
:work
SELECT count(*) FROM document WHERE file IS NOT NULL;
INSERT INTO document (file, title) VALUES ('s3://docs/c', 'updated');
SELECT daemon.store('c');
UPDATE document SET file = NULL WHERE file IS NOT NULL;
SELECT daemon.apply(), daemon.give_up('c'), daemon.work_on_rows();
:work
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'c')$$);
-- What nobody can want any more is forgotten: of what is linked again, after an hour; of what is gone, at once
SELECT ref, count(*) FROM objectlink.deleted_row GROUP BY 1 ORDER BY 1;
UPDATE objectlink.deleted_row SET at = at - interval '2 hours';
INSERT INTO document (file, title) VALUES ('s3://docs/a', 'linked again');
SELECT objectlink.release_condemned(daemon.epoch(0));
SELECT count(*) > 0 AS kept FROM objectlink.deleted_row;
SELECT daemon.apply(), objectlink.release_condemned(daemon.epoch(0));
SELECT count(*) FROM objectlink.deleted_row;
DROP TABLE document, chunk, word, letter, other, before;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- Partitions, one of which left meanwhile; inheritance children; a text column; rows that refer to one another
CREATE TABLE part (n int, path text, parent int, PRIMARY KEY (n), FOREIGN KEY (parent) REFERENCES part DEFERRABLE) PARTITION BY RANGE (n);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (10) TO (20);
CREATE TABLE parent (file objectlink.storage_ref, id int);
CREATE TABLE child (own text) INHERITS (parent);
SELECT objectlink.attach('part', 'path', store => 'docs', on_delete_failure => 'restore_row') > 0, objectlink.attach('parent', 'file', on_delete_failure => 'restore_row') > 0, daemon.walk();
INSERT INTO part VALUES (1, 'p', 11), (11, 'p', NULL);
INSERT INTO child VALUES ('s3://docs/h', 1, 'own');
INSERT INTO parent VALUES ('s3://docs/h', 2);
SELECT daemon.store('p', 'h');
DELETE FROM part;
DELETE FROM parent;
ALTER TABLE part DETACH PARTITION part_1;
CREATE TABLE part_3 PARTITION OF part FOR VALUES FROM (0) TO (10);
SELECT daemon.walk(), daemon.apply(), daemon.give_up('p'), daemon.give_up('h'), daemon.work_on_rows();
SELECT tableoid::regclass, * FROM part ORDER BY n;
SELECT * FROM part_1;
SELECT * FROM child; SELECT * FROM ONLY parent;
:work
DROP TABLE part, part_1, parent, child;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- Two attached tables share an object, and a related table: each brings back its own, and nothing twice. One has no primary key, so no event
-- names its rows; of many the first hundred are named
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, note text);
CREATE TABLE sheet (n int UNIQUE, file objectlink.storage_ref);
CREATE TABLE chunk (id int PRIMARY KEY, document int REFERENCES document ON DELETE CASCADE, sheet int REFERENCES sheet (n) ON DELETE CASCADE);
CREATE TABLE word (document int REFERENCES document ON DELETE CASCADE);
SELECT objectlink.attach('document', 'file', on_delete_failure => 'restore_row', related => '{chunk,word}') > 0,
       objectlink.attach('sheet', 'file', on_delete_failure => 'restore_row', related => '{chunk}') > 0, daemon.walk();
INSERT INTO document SELECT n, 's3://docs/a' FROM generate_series(1, 101) n;
INSERT INTO document VALUES (200, 's3://docs/b');
INSERT INTO sheet VALUES (1, 's3://docs/a');
INSERT INTO chunk VALUES (1, 101, NULL), (2, NULL, 1), (3, 200, NULL);
SELECT daemon.store('a', 'b');
BEGIN; DELETE FROM document; DELETE FROM sheet; COMMIT;
-- in the way of both
INSERT INTO document VALUES (1); INSERT INTO sheet VALUES (1);
-- a table of which nothing is kept has to be related no more; a column that was dropped counts only if the row had a value
ALTER TABLE word DROP CONSTRAINT word_document_fkey; ALTER TABLE document DROP note;
SELECT daemon.apply(), daemon.give_up('a'), daemon.work_on_rows();
SELECT cause, detail ->> 'relation' AS relation, detail -> 'count' AS count, jsonb_array_length(detail -> 'rows') AS named, detail -> 'rows' -> 0 AS first FROM objectlink.event WHERE cause LIKE 'rows%' ORDER BY 2;
DELETE FROM document; DELETE FROM sheet; DELETE FROM objectlink.event;
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
:work
SELECT detail ->> 'relation' AS relation, jsonb_array_length(detail -> 'rows') AS named, detail -> 'counts' AS counts, detail -> 'left' AS left FROM objectlink.event WHERE cause = 'rows restored' ORDER BY 1;
SELECT count(*) FROM document; SELECT count(*) FROM sheet; SELECT * FROM chunk ORDER BY id;
-- the row of the other object, and what hangs on it, are still kept; with the last goes what hung on it
SELECT relation, ref FROM objectlink.deleted_row ORDER BY id;
SELECT daemon.apply() > 0;
SELECT objectlink.forget_deleted(daemon.store_id('docs'), '{nothing,b}');
SELECT count(*) FROM objectlink.deleted_row;
-- decided otherwise, and no state to be shown: linked anew, not applied yet or applied; handed over anew
INSERT INTO sheet VALUES (3, 's3://docs/c');
SELECT daemon.store('c');
DELETE FROM sheet WHERE n = 3;
SELECT daemon.apply(), daemon.give_up('c');
INSERT INTO sheet VALUES (4, 's3://docs/c');
SELECT daemon.work_on_rows();
:work
SELECT n FROM sheet WHERE n > 2;
SELECT daemon.apply() > 0;
DELETE FROM sheet WHERE n = 4;
SELECT daemon.apply(), daemon.give_up('c');
INSERT INTO sheet VALUES (5, 's3://docs/c');
SELECT daemon.apply(), daemon.work_on_rows();
:work
SELECT n FROM sheet WHERE n > 2;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'c')$$);
DELETE FROM sheet WHERE n = 5;
SELECT daemon.apply(), daemon.give_up('c');
SELECT objectlink.append_outbox('P', 's3://docs/c', NULL);
SELECT daemon.work_on_rows();
:work
SELECT n FROM sheet WHERE n > 2;
DELETE FROM objectlink.outbox WHERE op = 'P';
-- what a trigger defers runs at once, as the owner, by hand as well
CREATE FUNCTION object() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'it objects'; END $$;
CREATE CONSTRAINT TRIGGER object AFTER INSERT ON sheet DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION object();
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'c')$$);
DROP TRIGGER object ON sheet;
DROP FUNCTION object;
-- among other work on objects that no row links any more
SELECT daemon.give_up('c');
INSERT INTO objectlink.object (store_id, key, state, since) VALUES (daemon.store_id('docs'), 'x', 'unlinked', now());
INSERT INTO objectlink.row_work (store_id, key, attachment_id, due_at) SELECT daemon.store_id('docs'), 'x', a.id, '-infinity' FROM objectlink.attachments a WHERE a.relation = 'sheet'::regclass;
-- what has failed before is only tried when it is asked for
UPDATE objectlink.row_work SET failed_at = now() WHERE restore;
SELECT (objectlink.work_on_rows(daemon.epoch(0), 100, false)).done;
SELECT n FROM sheet WHERE n > 2;
UPDATE objectlink.row_work SET failed_at = NULL;
INSERT INTO objectlink.row_work (store_id, key, attachment_id, due_at) SELECT daemon.store_id('docs'), 'x', a.id, '-infinity' FROM objectlink.attachments a WHERE a.relation = 'sheet'::regclass;
SELECT daemon.work_on_rows();
:work
SELECT n FROM sheet WHERE n > 2;
-- work on rows that goes on while the deletion is given up takes the restoring off nobody's list; what had failed is tried at once
DELETE FROM document WHERE id = 1;
INSERT INTO objectlink.row_work (store_id, key, attachment_id, attempts, failed_at, due_at, compensation, error_code, last_error, alone)
  SELECT daemon.store_id('docs'), 'a', a.id, 5, now(), 'infinity', 'delete_row', '23503', 'no', true FROM objectlink.attachments a WHERE a.relation IN ('document'::regclass, 'sheet'::regclass);
DELETE FROM document; DELETE FROM chunk; DELETE FROM sheet;
SELECT daemon.apply() > 0;
CREATE TABLE seen AS SELECT w FROM objectlink.row_work w;
SELECT daemon.give_up('a');
SELECT objectlink.end_row_work(ARRAY(SELECT w FROM seen));
SELECT a.relation, w.restore, w.attempts, w.alone, w.due_at <= clock_timestamp() AS due, w.failed_at, w.compensation, w.error_code, w.last_error FROM objectlink.row_work w JOIN objectlink.attachments a ON a.id = w.attachment_id ORDER BY 1;
-- detached it restores nothing
SELECT objectlink.detach('sheet', 'file');
UPDATE objectlink.row_work SET due_at = now();
DELETE FROM objectlink.row_work w USING objectlink.attachments a WHERE a.id = w.attachment_id AND a.relation = 'document'::regclass;
SELECT daemon.work_on_rows();
:work
SELECT count(*) FROM sheet;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'a')$$);
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;
-- What is forgotten by itself: after an hour what is linked again or gone, not while it waits to be deleted, or while more is to be said of it; and
-- what hung on it, of the same transaction and attachment
INSERT INTO objectlink.object (store_id, key, state, since) SELECT daemon.store_id('docs'), s, s, now() FROM unnest('{unlinked,deleting,stored}'::text[]) s;
INSERT INTO objectlink.object (store_id, key, state, since) VALUES (daemon.store_id('docs'), 'said', 'stored', now());
SELECT objectlink.append_outbox('U', 's3://docs/said', NULL);
INSERT INTO objectlink.deleted_row (xid, at, attachment_id, relation, ref, image)
SELECT x.xid::text::xid8, now() - x.ago, x.attachment, 'document', 's3://docs/' || x.key, jsonb_build_object('is', x.what)
FROM (VALUES (1, interval '2 hours', 1, 'unlinked', 'waits'), (1, '2 hours', 1, NULL, 'hung on what waits'), (1, '2 hours', 2, NULL, 'hung on nothing, in another attachment'),
             (2, '2 hours', 1, 'deleting', 'is being deleted'), (3, '2 hours', 1, 'stored', 'linked again'), (3, '2 hours', 1, NULL, 'hung on what is linked again'),
             (4, '59 minutes', 1, 'stored', 'linked again just now'), (4, '59 minutes', 1, NULL, 'hung on what is linked again just now'),
             (5, '2 hours', 1, 'said', 'more is to be said of it'), (6, '2 hours', 1, NULL, 'hung on nothing'), (7, '59 minutes', 1, NULL, 'hung on nothing just now'),
             (8, '2 hours', 1, 'stored', 'linked again, beside'), (8, '2 hours', 1, NULL, 'hung on it'), (8, '2 hours', 2, 'unlinked', 'waits, beside'), (8, '2 hours', 2, NULL, 'hung on it as well'),
             (9, '2 hours', 1, 'gone', 'is not known any more')) AS x (xid, ago, attachment, key, what);
SELECT objectlink.release_condemned(daemon.epoch(0));
SELECT xid, attachment_id, ref, image ->> 'is' AS is FROM objectlink.deleted_row ORDER BY id;
-- so many at once
TRUNCATE objectlink.deleted_row, objectlink.outbox;
INSERT INTO objectlink.deleted_row (xid, at, attachment_id, relation, ref, image) SELECT '1', '2000-01-01', 1, 'document', 's3://docs/gone', '{}' FROM generate_series(1, objectlink.kept_rows_looked_at() + 1);
SELECT objectlink.release_condemned(daemon.epoch(0));
SELECT count(*) FROM objectlink.deleted_row;
DROP TABLE document, sheet, chunk, word, seen;
-- nor is a row kept of a table that is gone
SELECT count(*) FROM objectlink.deleted_row;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work, objectlink.deleted_row;

-- Rights: whoever deletes keeps the rows without a right on anything of objectlink; what is kept nobody reads, and casts to json
-- that types have are not run; what is restored is written as the owner; by hand only by the owner
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_owner, objectlink_test_user;
RESET client_min_messages;
CREATE ROLE objectlink_test_owner;
CREATE ROLE objectlink_test_user;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_owner;
CREATE TYPE odd AS (x int);
CREATE FUNCTION odd_json(odd) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RETURN json_build_object('x', ($1).x + CASE current_user WHEN 'objectlink_test_user' THEN 0 ELSE 100 END); END $$;
CREATE CAST (odd AS json) WITH FUNCTION odd_json(odd);
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, odd odd);
CREATE TABLE chunk (document int REFERENCES document);
SELECT objectlink.attach('document', 'file', on_delete_failure => 'restore_row', related => '{chunk}') > 0, daemon.walk();
CREATE FUNCTION who() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := CASE current_user WHEN 'objectlink_test_owner' THEN NEW.id ELSE -1 END; RETURN NEW; END $$;
INSERT INTO document VALUES (1, 's3://docs/d', ROW(5));
CREATE TRIGGER who BEFORE INSERT ON document FOR EACH ROW EXECUTE FUNCTION who();
ALTER TABLE document OWNER TO objectlink_test_owner;
GRANT SELECT, DELETE ON document TO objectlink_test_user;
SELECT daemon.store('d');
SELECT objectlink.grant_admin('objectlink_test_user');
GRANT USAGE ON SCHEMA daemon TO objectlink_test_user;
CREATE FUNCTION leak(jsonb) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'seen: %', $1; RETURN true; END $$;
SET SESSION AUTHORIZATION objectlink_test_user;
DELETE FROM document;
SELECT "row" FROM objectlink.kept_rows WHERE leak("row");
SELECT daemon.refused($$SELECT * FROM objectlink.deleted_row$$);
SELECT daemon.refused($$TABLE objectlink.deleted_row$$), (SELECT count(*) FROM objectlink.kept_rows) AS seen;
SELECT daemon.refused($$INSERT INTO objectlink.deleted_row (xid, at, attachment_id, relation, ref, image) VALUES ('1', now(), 1, 'document', 's3://docs/d', '{}')$$);
SET SESSION AUTHORIZATION objectlink_test_owner;
SELECT store, key, relation, "row", marked, deleted_at > now() - interval '1 minute' AS just_now, deleted_in IS NOT NULL AS known FROM objectlink.kept_rows;
RESET SESSION AUTHORIZATION;
SET ROLE objectlink_test_user;
SELECT count(*) FROM objectlink.kept_rows;
RESET ROLE;
SELECT image FROM objectlink.deleted_row;
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = NULL, last_error = 'AccessDenied' WHERE key = 'd';
SET SESSION AUTHORIZATION objectlink_test_user;
SELECT key, operation, rows_kept FROM objectlink.dead_letters;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'd')$$);
RESET SESSION AUTHORIZATION;
ALTER TABLE document OWNER TO objectlink_test_user;
SET SESSION AUTHORIZATION objectlink_test_user;
SELECT daemon.refused($$SELECT objectlink.restore_rows('docs', 'd')$$);
RESET SESSION AUTHORIZATION;
ALTER TABLE document OWNER TO objectlink_test_owner;
SELECT daemon.give_up('d'), daemon.work_on_rows();
SELECT * FROM document;
-- An owner who may no longer use the store cannot link: the rows wait
DELETE FROM document;
REVOKE USAGE ON FOREIGN SERVER docs FROM objectlink_test_owner;
SELECT daemon.apply(), daemon.give_up('d'), daemon.work_on_rows();
:work

SET client_min_messages = warning;
DROP TABLE document, chunk;
DROP TYPE odd CASCADE;
DROP FUNCTION keep_out, who, leak;
DROP OWNED BY objectlink_test_owner, objectlink_test_user;
DROP ROLE objectlink_test_owner, objectlink_test_user;
CALL daemon.finish();
