-- Goal: rows show the state of their object in the user's own words, whatever stands in the way of one of them.
-- Method: play the daemon; triggers that raise, constraints, generated columns, partitions, children, row security, renames.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set work 'SELECT key, attempts, error_code, last_error, due_at > clock_timestamp() AS later FROM objectlink.row_work ORDER BY key;'
\set problems 'SELECT what, detail FROM objectlink.problems WHERE what LIKE ''rows%'' OR what LIKE ''status%'';'
SELECT daemon.start();
CREATE TYPE document_status AS ENUM ('uploading', 'available', 'ERROR');
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, status document_status, touched int NOT NULL DEFAULT 0,
                       shown text GENERATED ALWAYS AS (CASE status WHEN 'available' THEN 'yes' ELSE 'no' END) STORED);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.touched := OLD.touched + 1; RETURN NEW; END $$;
CREATE TRIGGER touch BEFORE UPDATE ON document FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE chunk (id int PRIMARY KEY, document int REFERENCES document, status varchar(10));
CREATE TABLE word (id int PRIMARY KEY, chunk int REFERENCES chunk ON DELETE CASCADE, status text);
CREATE TABLE silent (id int PRIMARY KEY, document int REFERENCES document);

-- What attach refuses
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'state')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'status')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'touched')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'shown')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'id', status_map => '{"pending": 1, "stored": 2, "missing": 3, "corrupt": 4, "failed": 5}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'ctid')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_map => '{}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'status', status_map => '[]')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'status', status_map => '{"deleting": "x"}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'status', status_map => '{"stored": {}}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'status', status_map => '{"stored": "available", "missing": "lost"}')$$);
\set map '{"pending": "uploading", "stored": "available", "missing": "ERROR", "corrupt": "ERROR", "failed": "ERROR"}'
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', status_column => 'status', related => '{word}', status_map => '{"pending": "uploading", "stored": "available", "missing": "ERROR", "corrupt": "ERROR", "failed": "ERROR"}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', related => '{document}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', related => '{objectlink.object}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', related => '{NULL}')$$);
CREATE VIEW looking AS SELECT * FROM document;
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file', related => '{looking}')$$);
DROP VIEW looking;
-- A related table whose column is too short for a word
ALTER TABLE chunk ALTER status TYPE varchar(6);
SELECT daemon.refused(format($$SELECT objectlink.attach('document', 'file', status_column => 'status', related => '{chunk}', status_map => %L)$$, :'map'));
ALTER TABLE chunk ALTER status TYPE varchar(10);
CREATE DOMAIN short AS text CHECK (length(VALUE) < 6);
CREATE TABLE narrow (file objectlink.storage_ref, status short, payload json, serial int GENERATED ALWAYS AS IDENTITY);
SELECT daemon.refused($$SELECT objectlink.attach('narrow', 'file', status_column => 'status')$$);
SELECT daemon.refused($$SELECT objectlink.attach('narrow', 'file', status_column => 'payload')$$);
SELECT daemon.refused($$SELECT objectlink.attach('narrow', 'file', status_column => 'serial')$$);
DROP TABLE narrow;
DROP DOMAIN short;
CREATE TABLE moving (file objectlink.storage_ref, status text, label text) PARTITION BY LIST (status);
CREATE TABLE moving_lower (file objectlink.storage_ref, status text, label text) PARTITION BY LIST (lower(label));
SELECT daemon.refused($$SELECT objectlink.attach('moving', 'file', status_column => 'status')$$);
SELECT daemon.refused($$SELECT objectlink.attach('moving_lower', 'file', status_column => 'label')$$);
DROP TABLE moving, moving_lower;

-- Every state, in the user's words; what hangs on the row too, three tables deep, where it has the column
SELECT objectlink.attach('document', 'file', status_column => 'status', status_map => :'map', related => '{word,chunk,silent}') > 0;
SELECT status_column, status_map ->> 'stored' AS stored, related, on_upload_failure FROM objectlink.attachments;
SELECT relation, depth, status_column FROM objectlink.related_table ORDER BY depth, relation::text;
INSERT INTO document (id, file) VALUES (1, 's3://docs/1'), (2, 's3://docs/2'), (3, NULL);
INSERT INTO chunk VALUES (10, 1), (11, 1), (20, 2), (30, 3);
INSERT INTO word VALUES (100, 10), (110, 11), (200, 20), (300, 30);
SELECT daemon.walk(), daemon.apply(), daemon.work_on_rows();
\set rows 'SELECT d.id, d.status, d.shown, d.touched, c.id AS chunk, c.status, w.id AS word, w.status FROM document d LEFT JOIN chunk c ON c.document = d.id LEFT JOIN word w ON w.chunk = c.id ORDER BY d.id, c.id, w.id;'
:rows
SELECT daemon.settle('1', 'stored', '{"size": 1}'), daemon.settle('2', 'failed', '{"error_code": "NoSuchKey"}'), daemon.work_on_rows();
:rows
-- The write was no link: the outbox is empty, and nothing is due
SELECT count(*) FROM objectlink.outbox;
:work
-- A row that links an object which is stored already; what has its word already is not written again
INSERT INTO document (id, file) VALUES (4, 's3://docs/1');
SELECT daemon.apply(), daemon.work_on_rows();
SELECT id, status, touched FROM document WHERE file = 's3://docs/1' ORDER BY id;
-- A row that comes to another object shows that one's state; one whose link went shows what it showed
UPDATE document SET file = 's3://docs/2' WHERE id = 4;
UPDATE document SET file = NULL WHERE id = 1;
SELECT daemon.apply(), daemon.work_on_rows();
SELECT id, status FROM document ORDER BY id;
-- The state at the time of writing: what was queued for an earlier one never overwrites a later one
UPDATE document SET file = 's3://docs/1' WHERE id = 1;
SELECT daemon.apply();
SELECT key, generation FROM objectlink.row_work;
UPDATE objectlink.object SET state = 'missing' WHERE key = '1';
SELECT daemon.work_on_rows();
SELECT id, status FROM document WHERE id = 1;
-- nor is one forgotten that comes while the row is being written
CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  UPDATE objectlink.object SET state = 'missing' WHERE key = '1' AND state = 'stored';
  IF FOUND THEN PERFORM objectlink.queue_row_work(daemon.store_id('docs'), '{1}'); END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER meanwhile BEFORE UPDATE ON document FOR EACH ROW WHEN (NEW.id = 1) EXECUTE FUNCTION meanwhile();
UPDATE objectlink.object SET state = 'stored' WHERE key = '1';
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{1}');
SELECT daemon.work_on_rows();
SELECT d.status, o.state FROM document d, objectlink.object o WHERE d.id = 1 AND o.key = '1';
DROP TRIGGER meanwhile ON document;
-- A word that is null is not written
UPDATE objectlink.row_policy SET status_map = status_map || '{"pending": null}';
SELECT objectlink.append_outbox('L', 's3://docs/1', attachment_id) FROM objectlink.row_policy;
SELECT daemon.apply(), daemon.work_on_rows();
SELECT d.status, o.state FROM document d, objectlink.object o WHERE d.id = 1 AND o.key = '1';
SELECT daemon.settle('1', 'stored');

-- A trigger that raises for one row: its object waits, the others don't; nothing of it is half done, the proof stands
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.id = 110 THEN RAISE EXCEPTION 'word % is sacred', NEW.id USING ERRCODE = 'P0042'; END IF; RETURN NEW; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON word FOR EACH ROW EXECUTE FUNCTION refuse();
INSERT INTO document (id, file) SELECT i, objectlink.storage_ref('docs', i::text) FROM generate_series(50, 54) i;
SELECT daemon.apply();
SELECT daemon.settle(i::text, 'stored') FROM generate_series(50, 54) i;
SELECT daemon.work_on_rows();
SELECT id, status FROM document WHERE id = 1 OR id >= 50 ORDER BY id;
SELECT id, status FROM word WHERE id < 200 ORDER BY id;
:work
:problems
SELECT key, cause, attempt, detail FROM objectlink.event WHERE cause = 'row not written';
SELECT key, state FROM objectlink.object WHERE key = '1';
-- It is tried again, later each time; the event says it once
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
SELECT key, attempts, due_at - clock_timestamp() > interval '1 s' AS backs_off FROM objectlink.row_work;
SELECT count(*) FROM objectlink.event WHERE cause = 'row not written';
SELECT what, store FROM objectlink.unsettled(pg_current_xact_id(), clock_timestamp()) ORDER BY what;
DROP TRIGGER refuse ON word;
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
SELECT id, status FROM document WHERE id = 1;
SELECT id, status FROM word WHERE id < 200 ORDER BY id;
:work
:problems
-- A constraint
ALTER TABLE document ADD CONSTRAINT honest CHECK (id <> 50 OR status <> 'ERROR');
UPDATE objectlink.object SET state = 'corrupt' WHERE key IN ('50', '51');
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{50,51}');
SELECT daemon.work_on_rows();
:work
SELECT id, status FROM document WHERE id IN (50, 51) ORDER BY id;
ALTER TABLE document DROP CONSTRAINT honest;
-- A trigger that takes its time is cut off
CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NEW; END $$;
CREATE TRIGGER dawdle BEFORE UPDATE ON document FOR EACH ROW WHEN (NEW.id = 50) EXECUTE FUNCTION dawdle();
SELECT daemon.work_on_rows();
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
:work
-- and the statement that called it still has the time it had
SET statement_timeout = '3s';
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.refused($$SELECT daemon.work_on_rows(), pg_sleep(3600)$$);
RESET statement_timeout;
DROP TRIGGER dawdle ON document;
UPDATE objectlink.row_work SET due_at = now();
SELECT daemon.work_on_rows();
SELECT id, status FROM document WHERE id = 50;
-- A constraint trigger that is deferred is run at once, by the owner
CREATE FUNCTION check_late() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'late check of %', NEW.id; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER check_late AFTER UPDATE ON document DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.id = 50) EXECUTE FUNCTION check_late();
UPDATE objectlink.object SET state = 'stored' WHERE key = '50';
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{50}');
SELECT daemon.work_on_rows();
DROP TRIGGER check_late ON document;

-- Renamed: the column, that of a related table, a table, a schema
ALTER TABLE document RENAME status TO condition;
ALTER TABLE chunk RENAME status TO "chunk's";
CREATE SCHEMA elsewhere;
ALTER TABLE word SET SCHEMA elsewhere;
ALTER TABLE document RENAME TO paper;
UPDATE objectlink.object SET state = 'missing' WHERE key = '1';
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{1}');
SELECT daemon.work_on_rows();
SELECT d.id, d.condition, c."chunk's", w.status FROM paper d JOIN chunk c ON c.document = d.id JOIN elsewhere.word w ON w.chunk = c.id WHERE d.id = 1;
-- Dropped: nothing is tried for ever, and it is to be seen; the same of a related table is no problem
ALTER TABLE paper DROP shown, DROP condition;
DROP TABLE elsewhere.word;
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{1}');
SELECT daemon.work_on_rows();
:work
:problems
SELECT relation FROM objectlink.related_table ORDER BY 1;
ALTER TABLE paper ADD condition document_status;
:problems
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{1}');
SELECT daemon.work_on_rows();
SELECT id, condition FROM paper WHERE id = 1;
-- Detached: nothing is written any more
UPDATE objectlink.object SET state = 'stored' WHERE key = '1';
SELECT objectlink.queue_row_work(daemon.store_id('docs'), '{1}');
SELECT objectlink.detach('paper', 'file');
SELECT daemon.work_on_rows();
:work
SELECT id, condition FROM paper WHERE id = 1;
DROP TABLE paper, chunk, silent CASCADE;
DROP SCHEMA elsewhere;
TRUNCATE objectlink.outbox, objectlink.object, objectlink.event, objectlink.scan, objectlink.row_work;

-- Partitions, inheritance children, row security that hides rows from the owner, a text column, words that are quoted
CREATE TABLE part (n int, path text, status text) PARTITION BY RANGE (n);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (10);
CREATE TABLE part_2 (status text, path text, n int);
ALTER TABLE part ATTACH PARTITION part_2 FOR VALUES FROM (10) TO (20);
CREATE TABLE parent (file objectlink.storage_ref, status text);
CREATE TABLE child (own int) INHERITS (parent);
ALTER TABLE parent ENABLE ROW LEVEL SECURITY;
ALTER TABLE parent FORCE ROW LEVEL SECURITY;
SELECT objectlink.attach('part', 'path', store => 'docs', status_column => 'status') > 0;
SELECT objectlink.attach('parent', 'file', status_column => 'status', status_map => '{"stored": "it''s \"there\"; DROP TABLE parent", "failed": ""}') > 0;
INSERT INTO part VALUES (1, 'a'), (11, 'b');
INSERT INTO parent VALUES ('s3://docs/a');
INSERT INTO child VALUES ('s3://docs/b');
SELECT daemon.walk(), daemon.apply(), daemon.work_on_rows();
SELECT daemon.settle('a', 'stored'), daemon.settle('b', 'failed'), daemon.work_on_rows();
SELECT tableoid::regclass, path, status FROM part ORDER BY n;
SELECT tableoid::regclass, file, status FROM parent ORDER BY file;
-- A partition that leaves keeps its policy
ALTER TABLE part DETACH PARTITION part_2;
SELECT relation, status_column FROM objectlink.attachments ORDER BY relation;
UPDATE objectlink.object SET state = 'stored' WHERE key = 'b';
SELECT daemon.walk(), daemon.apply(), daemon.work_on_rows();
SELECT path, status FROM part_2;

-- A table's triggers never run with more rights than its owner's, and cannot leave anything behind that would
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_owner;
RESET client_min_messages;
CREATE ROLE objectlink_test_owner;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_owner;
CREATE TABLE theirs (file objectlink.storage_ref, status text);
SELECT objectlink.attach('theirs', 'file', status_column => 'status') > 0;
CREATE FUNCTION seize() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  NEW.status := concat_ws(' ', NEW.status, current_user, (SELECT rolsuper FROM pg_roles WHERE rolname = current_user), current_setting('search_path'));
  BEGIN RESET SESSION AUTHORIZATION; EXCEPTION WHEN OTHERS THEN NEW.status := NEW.status || ' ' || SQLERRM; END;
  BEGIN PERFORM count(*) FROM objectlink.object; EXCEPTION WHEN OTHERS THEN NEW.status := NEW.status || '; ' || SQLERRM; END;
  BEGIN CREATE TEMP TABLE trap (); EXCEPTION WHEN OTHERS THEN NEW.status := NEW.status || '; ' || SQLERRM; END;
  RETURN NEW;
END $$;
CREATE TRIGGER seize BEFORE UPDATE ON theirs FOR EACH ROW EXECUTE FUNCTION seize();
ALTER TABLE theirs OWNER TO objectlink_test_owner;
INSERT INTO theirs VALUES ('s3://docs/theirs');
SELECT daemon.walk(), daemon.apply(), daemon.work_on_rows();
SELECT status FROM theirs;
-- nor is a table written that its owner may not write
REVOKE UPDATE ON theirs FROM objectlink_test_owner;
SELECT daemon.settle('theirs', 'stored'), daemon.work_on_rows();
:work
-- Who does not own a table has no say in what is written into it
CREATE TABLE related (file objectlink.storage_ref, n int PRIMARY KEY);
CREATE TABLE hanging (n int REFERENCES related);
ALTER TABLE related OWNER TO objectlink_test_owner;
SELECT objectlink.grant_admin('objectlink_test_owner');
GRANT USAGE ON SCHEMA daemon TO objectlink_test_owner;
GRANT CREATE ON SCHEMA public TO objectlink_test_owner;
SET SESSION AUTHORIZATION objectlink_test_owner;
SELECT daemon.refused($$SELECT objectlink.set_row_policy(id, 'status', NULL, NULL, 'mark', 'dead_letter') FROM objectlink.attachment WHERE relation = 'part'::regclass$$);
SELECT daemon.refused($$SELECT objectlink.set_row_policy(0, 'status', NULL, NULL, 'mark', 'dead_letter')$$);
SELECT daemon.refused($$SELECT objectlink.attach('related', 'file', related => '{hanging}')$$);
SELECT daemon.refused($$INSERT INTO objectlink.row_policy VALUES (1)$$);
SELECT daemon.refused($$UPDATE objectlink.related_table SET relation = 'hanging'$$);
RESET SESSION AUTHORIZATION;

-- Of several that are written at once only the one to blame is told of
CREATE TABLE tome (id int PRIMARY KEY, file objectlink.storage_ref, status text CHECK (id <> 2 OR status IS NULL));
SELECT objectlink.attach('tome', 'file', status_column => 'status') > 0, daemon.walk() >= 0;
INSERT INTO tome SELECT n, 's3://docs/t' || n FROM generate_series(1, 3) n;
SELECT daemon.apply();
DELETE FROM objectlink.event;
SELECT daemon.work_on_rows() > 0;
SELECT id, status FROM tome ORDER BY id;
SELECT key FROM objectlink.event WHERE cause = 'row not written' ORDER BY id;
DROP TABLE tome;
-- Only the owner of the outbox writes rows
SELECT daemon.refused($$SELECT * FROM objectlink.work_on_rows(daemon.epoch(0) - 1, 1, true)$$);
-- What else is no status column, no related table: what an attachment that has ended used is free again
CREATE TABLE shelf (id int PRIMARY KEY, file objectlink.storage_ref, path text, gone text, status text, other objectlink.storage_ref) PARTITION BY RANGE (id);
CREATE TABLE shelf_1 PARTITION OF shelf FOR VALUES FROM (0) TO (10);
CREATE TABLE board (id int, shelf int REFERENCES shelf, status text) PARTITION BY RANGE (id);
CREATE TABLE board_1 PARTITION OF board FOR VALUES FROM (0) TO (10);
CREATE TEMP TABLE passing (shelf int);
SELECT daemon.refused($$SELECT objectlink.attach('shelf', 'path', store => 'docs', status_column => 'path')$$);
SELECT objectlink.attach('shelf', 'path', store => 'docs', soft_delete_column => 'gone', status_column => 'status') > 0;
SELECT daemon.refused($$SELECT objectlink.attach('shelf', 'file', status_column => 'path')$$);
SELECT daemon.refused($$SELECT objectlink.attach('shelf', 'file', status_column => 'gone')$$);
SELECT daemon.refused($$SELECT objectlink.attach('shelf', 'file', status_column => 'status')$$);
SELECT daemon.refused($$SELECT objectlink.attach('shelf', 'file', status_column => 'status', status_map => '{"stored": []}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('shelf', 'file', related => '{passing}')$$);
SELECT daemon.refused($$SELECT objectlink.attach('shelf', 'file', related => '{board_1}')$$);
SELECT objectlink.detach('shelf', 'path');
SELECT objectlink.attach('shelf', 'file', status_column => 'gone') > 0;
SELECT objectlink.attach('shelf', 'other', status_column => 'status', related => '{board}') > 0;
-- A column of another number, as after a dump, is followed from there
ALTER TABLE shelf DROP status; ALTER TABLE shelf ADD status text; ALTER TABLE shelf RENAME status TO state;
ALTER TABLE board DROP status; ALTER TABLE board ADD status text; ALTER TABLE board RENAME status TO state;
SELECT status_column FROM objectlink.attachments WHERE column_name = 'other';
SELECT relation, status_column FROM objectlink.related_table WHERE relation = 'board'::regclass;

SET client_min_messages = warning;
DROP TABLE shelf, board;
DROP TABLE part, part_2, parent, child, theirs, related, hanging CASCADE;
DROP FUNCTION touch, refuse, meanwhile, dawdle, check_late, seize;
DROP TYPE document_status;
DROP OWNED BY objectlink_test_owner;
DROP ROLE objectlink_test_owner;
CALL daemon.finish();
