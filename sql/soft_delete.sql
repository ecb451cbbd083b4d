-- Goal: a row that is marked as deleted links nothing. To mark it is to delete it, to take the mark away is to insert it, and
-- whoever asks the rows gives the same answer. In any doubt about the column a row links.
-- Method: one session plays user and daemon; the outbox, the registry and each question are compared.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE PROCEDURE daemon.forget() LANGUAGE sql AS 'DELETE FROM objectlink.outbox';
\set show 'SELECT op, ref, image ->> ''act'' FROM objectlink.outbox ORDER BY ref, op; CALL daemon.forget();'
\set objects 'SELECT key, state, due FROM daemon.objects ORDER BY key;'
-- Everything but the triggers asks by this, or by linked()
CREATE FUNCTION daemon.linking(p_table regclass, p_value text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
  v_at objectlink.attachment;
  v_found boolean;
  v_key text := coalesce(substring(p_value FROM '^s3://docs/(.*)$'), p_value);
BEGIN
  SELECT * INTO v_at FROM objectlink.attachment WHERE relation = p_table AND detached_at IS NULL;
  EXECUTE format('SELECT EXISTS (SELECT FROM %s AS t WHERE %s)', p_table, objectlink.linking_rows(v_at)) INTO v_found USING ARRAY[p_value];
  IF v_found <> EXISTS (SELECT FROM objectlink.linked(ARRAY[objectlink.storage_ref('docs', v_key)]) l WHERE l.attachment_id = v_at.id) THEN
    RAISE WARNING 'questions differ about %', p_value;
  END IF;
  RETURN v_found;
END $$;

-- What attach refuses
CREATE DOMAIN always AS timestamptz NOT NULL;
CREATE DOMAIN flag AS boolean NOT NULL;
CREATE TABLE wrong (id int, deleted boolean, file objectlink.storage_ref, other objectlink.storage_ref, status text, made timestamptz NOT NULL,
                    always always, follows boolean GENERATED ALWAYS AS (id < 0) STORED, flag flag DEFAULT false, PRIMARY KEY (id, flag));
SELECT daemon.refused(format('SELECT objectlink.attach(''wrong'', ''file'', soft_delete_column => %L)', c))
FROM unnest('{nowhere,ctid,file,other,made,always,follows,flag}'::text[]) c;
SELECT daemon.refused('SELECT objectlink.attach(''wrong'', ''file'', status_column => ''status'', soft_delete_column => ''status'')');
SELECT objectlink.attach('wrong', 'other', status_column => 'status') > 0;
SELECT daemon.refused('SELECT objectlink.attach(''wrong'', ''file'', soft_delete_column => ''status'')');
SELECT objectlink.detach('wrong', 'other');
SELECT objectlink.attach('wrong', 'other', soft_delete_column => 'deleted') > 0;
SELECT daemon.refused('SELECT objectlink.attach(''wrong'', ''file'', status_column => ''deleted'')');
-- to take a mark back, the row must be known again, and its related rows
CREATE TABLE hangs (wrong int, status text, deleted timestamptz NOT NULL);
SELECT daemon.refused('SELECT objectlink.attach(''wrong'', ''file'', soft_delete_column => ''deleted'', related => ''{hangs}'', on_delete_failure => ''restore_row'')');
ALTER TABLE hangs ALTER deleted DROP NOT NULL;
SELECT daemon.refused('SELECT objectlink.attach(''wrong'', ''file'', soft_delete_column => ''deleted'', related => ''{hangs}'', on_delete_failure => ''restore_row'')');
ALTER TABLE wrong DROP CONSTRAINT wrong_pkey;
SELECT daemon.refused('SELECT objectlink.attach(''wrong'', ''file'', soft_delete_column => ''deleted'', on_delete_failure => ''restore_row'')');
DROP TABLE hangs;
CREATE TABLE halves (id int, gone boolean, file objectlink.storage_ref) PARTITION BY LIST (gone);
CREATE TABLE halves_live PARTITION OF halves FOR VALUES IN (false, NULL);
CREATE TABLE halves_gone PARTITION OF halves FOR VALUES IN (true);
SELECT daemon.refused('SELECT objectlink.attach(''halves'', ''file'', soft_delete_column => ''gone'', on_delete_failure => ''restore_row'')');
DROP TABLE wrong;
CALL daemon.forget();

-- Rows that are there already: only those that are not marked are linked, also where a page ends between two rows of one value
SELECT daemon.start();
CREATE TABLE document (id int PRIMARY KEY, title text, file objectlink.storage_ref, deleted_at timestamptz);
INSERT INTO document VALUES (1, 'one', 's3://docs/1', NULL), (2, 'two', 's3://docs/2', '-infinity'), (3, 'three', 's3://docs/3', now()),
                            (4, 'four', 's3://docs/3', NULL), (5, 'five', 's3://docs/4', now());
CREATE TABLE note (id int PRIMARY KEY, path text, gone boolean NOT NULL DEFAULT false);
INSERT INTO note VALUES (1, 'n/1', false), (2, 'n/2', true), (3, 'n/3', true), (4, 'n/3', false), (5, '', false);
SELECT objectlink.attach('document', 'file', soft_delete_column => 'deleted_at') > 0,
       objectlink.attach('note', 'path', store => 'docs', soft_delete_column => 'gone') > 0,
       objectlink.attach('halves', 'file', soft_delete_column => 'gone') > 0;
SELECT relation, column_name, soft_delete_column FROM objectlink.attachments ORDER BY id;
SELECT daemon.walk(3);
:show
TRUNCATE document, note;
CALL daemon.forget();
DELETE FROM objectlink.object;

-- Each way of a row
INSERT INTO document VALUES (1, 'one', 's3://docs/1', NULL), (2, 'two', 's3://docs/2', now());
:show
UPDATE document SET deleted_at = now() WHERE id = 1;
:show
UPDATE document SET deleted_at = now() - interval '1 day' WHERE id = 1;
UPDATE document SET file = 's3://docs/other' WHERE id = 1;
UPDATE document SET file = NULL WHERE id = 1;
UPDATE document SET file = 's3://docs/1' WHERE id = 1;
:show
UPDATE document SET deleted_at = NULL WHERE id = 1;
:show
-- both at once
UPDATE document SET deleted_at = now(), file = 's3://docs/new' WHERE id = 1;
:show
UPDATE document SET deleted_at = NULL, file = 's3://docs/1' WHERE id = 1;
:show
UPDATE document SET deleted_at = now() WHERE id = 1;
CALL daemon.forget();
UPDATE document SET deleted_at = NULL, file = NULL WHERE id = 1;
:show
-- a row that is marked goes without a word, and one that is not as before
UPDATE document SET file = 's3://docs/1' WHERE id = 1;
CALL daemon.forget();
DELETE FROM document;
:show
-- within one transaction and savepoint
BEGIN;
INSERT INTO document VALUES (1, 'one', 's3://docs/1');
SAVEPOINT s;
UPDATE document SET deleted_at = now();
ROLLBACK TO s;
COMMIT;
:show
-- a trigger before the row decides
CREATE FUNCTION mark_instead() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE document SET deleted_at = now() WHERE id = OLD.id; RETURN NULL; END $$;
CREATE TRIGGER mark_instead BEFORE DELETE ON document FOR EACH ROW EXECUTE FUNCTION mark_instead();
DELETE FROM document;
:show
DROP TRIGGER mark_instead ON document;
INSERT INTO document VALUES (1, 'one', 's3://docs/1') ON CONFLICT (id) DO UPDATE SET deleted_at = NULL;
:show
DELETE FROM document;
CALL daemon.forget();

-- A boolean, and a text column
INSERT INTO note VALUES (1, 'n/1', false), (2, 'n/2', true);
UPDATE note SET gone = NOT gone;
:show
UPDATE note SET path = '' WHERE gone;
UPDATE note SET gone = false;
:show
-- The partition goes by it: the row moves
INSERT INTO halves VALUES (1, false, 's3://docs/h1'), (2, true, 's3://docs/h2');
UPDATE halves SET gone = true WHERE id = 1;
:show
UPDATE halves SET gone = NULL WHERE id = 1;
:show

-- An UPDATE that assigns neither does not ask; whatever assigns one does
CREATE FUNCTION asked(id int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'asked of row %', id; RETURN true; END $$;
CREATE TABLE witness (id int, title text, file objectlink.storage_ref, deleted_at timestamptz);
INSERT INTO witness VALUES (1, 'one', 's3://docs/w1');
CREATE TRIGGER witness AFTER UPDATE ON witness FOR EACH ROW WHEN (asked(OLD.id)) EXECUTE FUNCTION objectlink.link_trigger('1', 'file', '', 'deleted_at');
UPDATE witness SET title = 'uno';
UPDATE witness SET deleted_at = deleted_at;
UPDATE witness SET deleted_at = now();
:show
UPDATE witness SET file = file;
:show
-- and neither do the triggers that keep marked rows, of an attached table or of a related one
DROP TRIGGER witness ON witness;
CREATE TRIGGER witness AFTER UPDATE ON witness FOR EACH ROW WHEN (asked(OLD.id)) EXECUTE FUNCTION objectlink.keep_row_trigger('1', 'file', '', 'deleted_at');
UPDATE witness SET title = 'eins';
UPDATE witness SET deleted_at = deleted_at;
DROP TRIGGER witness ON witness;
CREATE TRIGGER witness AFTER UPDATE ON witness FOR EACH ROW WHEN (asked(OLD.id)) EXECUTE FUNCTION objectlink.keep_row_trigger('1', '', '', 'deleted_at');
UPDATE witness SET title = 'un', file = NULL;
UPDATE witness SET deleted_at = deleted_at;
DROP TABLE witness;

-- Everybody who asks
INSERT INTO document VALUES (1, 'one', 's3://docs/a', NULL), (2, 'two', 's3://docs/b', now()), (3, 'three', 's3://docs/c', now()), (4, 'four', 's3://docs/c', NULL);
TRUNCATE note, halves;
INSERT INTO note VALUES (1, 'a', false), (2, 'b', true), (3, 'c', true), (4, 'c', false);
SELECT k, daemon.linking('document', 's3://docs/' || k), daemon.linking('note', k) FROM unnest('{a,b,c}'::text[]) k;
-- with no index
DROP INDEX document_file_idx, note_path_idx;
SELECT k, daemon.linking('document', 's3://docs/' || k), daemon.linking('note', k) FROM unnest('{a,b,c}'::text[]) k;
CREATE INDEX ON document (file);
CREATE INDEX ON note (path COLLATE "C");
-- a copy is of nobody who says that it may be marked
CREATE TABLE copy AS SELECT * FROM document;
CREATE INDEX ON copy (file);
SELECT objectlink.key(ref), attachment_id IS NULL AS other FROM objectlink.linked('{s3://docs/b}');
DROP TABLE copy;
TRUNCATE document, note;
CALL daemon.forget();
DELETE FROM objectlink.scan;

-- The registry: marked is unlinked, with retention, policy and record as after a DELETE; unmarked is linked again
SELECT objectlink.alter_attachment('document', 'file', retention => '1 day') > 0;
INSERT INTO document VALUES (1, 'one', 's3://docs/a'), (2, 'two', 's3://docs/b'), (3, 'three', 's3://docs/b');
SELECT daemon.apply();
SELECT daemon.settle(k, 'stored', '{"size": 1}') FROM unnest('{a,b}'::text[]) k;
UPDATE document SET deleted_at = now() WHERE id < 3;
SELECT daemon.apply();
:objects
UPDATE document SET deleted_at = NULL WHERE id = 1;
SELECT daemon.apply();
:objects
UPDATE document SET deleted_at = now();
SELECT objectlink.alter_attachment('document', 'file', on_unlink => 'keep') > 0;
SELECT daemon.apply();
:objects
UPDATE document SET deleted_at = NULL;
SELECT objectlink.alter_attachment('document', 'file', reset => '{on_unlink,retention}') > 0, daemon.apply();
UPDATE objectlink.object SET keep_until = NULL;
UPDATE document SET deleted_at = now();
SELECT daemon.apply();
SELECT daemon.condemn();
-- while it is being deleted it cannot be linked again
SELECT daemon.refused('UPDATE document SET deleted_at = NULL WHERE id = 1');
-- found unmarked behind the triggers, it stays
SET session_replication_role = replica;
ALTER TABLE document DISABLE TRIGGER USER;
UPDATE document SET deleted_at = NULL WHERE id = 2;
RESET session_replication_role;
ALTER TABLE document ENABLE TRIGGER USER;
SELECT daemon.issue();
SELECT daemon.settle('a', 'gone', '{"request_id": "R1", "proof": "HEAD 404"}');
:objects
SELECT key, relation, row_key, act FROM objectlink.erasures ORDER BY id;
-- what is gone is linked, and looked for
UPDATE document SET deleted_at = NULL WHERE id = 1;
SELECT daemon.apply();
:objects
-- rows that are marked do not show the state of an object, nor are they compensated
SELECT objectlink.detach('document', 'file');
ALTER TABLE document ADD status text;
SELECT objectlink.attach('document', 'file', soft_delete_column => 'deleted_at', status_column => 'status', on_upload_failure => 'delete_row') > 0, daemon.walk(), daemon.apply();
INSERT INTO document VALUES (4, 'four', 's3://docs/never', now()), (6, 'six', 's3://docs/never', NULL);
SELECT daemon.apply(), daemon.settle('never', 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "absent"}');
SELECT daemon.work_on_rows() > 0;
SELECT id, status, deleted_at IS NULL AS live FROM document ORDER BY id;
-- a row whose mark was taken away too late is no failed upload: it stays, and says what it is
SELECT daemon.settle('a', 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "absent"}');
SELECT daemon.work_on_rows() > 0;
SELECT id, status, deleted_at IS NULL AS live FROM document ORDER BY id;
SELECT from_state, to_state, cause FROM objectlink.event WHERE key = 'a' ORDER BY id DESC LIMIT 1;
SELECT key, state, attempts, due_at IS NULL AS rests, error_code FROM objectlink.object WHERE key = 'a';
-- another error says nothing of whether it is there
UPDATE objectlink.object SET state = 'pending' WHERE key = 'a';
SELECT daemon.settle('a', 'failed', '{"error_class": "object", "error_code": "InvalidURI", "message": "no"}');
SELECT state FROM objectlink.object WHERE key = 'a';

-- nor does it matter how long ago it went, and that somebody else let go of it last: that its mark was taken away says enough, of a text column as well.
-- A mark that goes with another link is a new link
SELECT objectlink.alter_attachment('note', 'path', on_upload_failure => 'delete_row') > 0;
INSERT INTO document VALUES (7, 'seven', 's3://docs/g'), (8, 'eight', 's3://docs/g'), (9, 'nine', 's3://docs/h');
INSERT INTO note VALUES (7, 'i');
SELECT daemon.apply();
SELECT daemon.settle(k, 'stored', '{"size": 1}') FROM unnest('{g,h,i}'::text[]) k;
UPDATE document SET deleted_at = now() WHERE id IN (7, 9);
UPDATE note SET gone = true WHERE id = 7;
SELECT daemon.apply();
DELETE FROM document WHERE id = 8;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle(k, 'gone') FROM unnest('{g,h,i}'::text[]) k;
SELECT key, act FROM objectlink.erasures WHERE key IN ('g', 'h', 'i') ORDER BY key;
SELECT count(*) > 0 FROM objectlink.purge_erasures('infinity');
DELETE FROM objectlink.event;
UPDATE document SET deleted_at = NULL WHERE id = 7;
UPDATE document SET deleted_at = NULL, file = 's3://docs/new' WHERE id = 9;
UPDATE note SET gone = false WHERE id = 7;
SELECT op, objectlink.key(ref), image ->> 'act' AS act FROM objectlink.outbox ORDER BY 2;
SELECT daemon.apply();
SELECT daemon.settle(k, 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "absent"}') FROM unnest('{g,new,i}'::text[]) k;
SELECT daemon.work_on_rows() > 0;
SELECT key, from_state, to_state, detail ->> 'code' AS code FROM objectlink.event WHERE key IN ('g', 'new', 'i') AND to_state IS NOT NULL ORDER BY key, id;
SELECT id, status, deleted_at IS NULL AS live FROM document WHERE id > 6 ORDER BY id;
SELECT id, gone FROM note WHERE id = 7;
SELECT what, detail FROM objectlink.problems WHERE what = 'objects missing';
-- tried anew it is still that; unlinked, and linked by a new row, no more
INSERT INTO note VALUES (8, 'i');
SELECT daemon.apply(), daemon.settle('i', 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "absent"}');
SELECT state FROM objectlink.object WHERE key = 'i';
DELETE FROM note WHERE path = 'i';
SELECT daemon.apply();
INSERT INTO note VALUES (9, 'i');
SELECT daemon.apply(), daemon.settle('i', 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "absent"}'), daemon.work_on_rows() > 0;
SELECT state FROM objectlink.object WHERE key = 'i';
DELETE FROM document WHERE id > 6;
SELECT daemon.apply() >= 0;
-- the same where rows count again because another column marks them by now, or none
INSERT INTO note VALUES (10, 'j');
SELECT daemon.apply(), daemon.settle('j', 'stored', '{"size": 1}');
UPDATE note SET gone = true WHERE id = 10;
SELECT daemon.apply();
SELECT 'j' IN (SELECT daemon.condemn()), 'j' IN (SELECT daemon.issue());
SELECT daemon.settle('j', 'gone'), count(*) FROM objectlink.purge_erasures('infinity');
DELETE FROM objectlink.event;
SELECT objectlink.alter_attachment('note', 'path', reset => '{soft_delete_column}') > 0, daemon.walk() > 0, daemon.apply() > 0;
SELECT daemon.settle('j', 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "absent"}'), daemon.work_on_rows();
SELECT key, state FROM objectlink.object WHERE key = 'j';
SELECT count(*) FROM note WHERE id = 10;
DELETE FROM note WHERE id > 6;
SELECT objectlink.alter_attachment('note', 'path', soft_delete_column => 'gone') > 0, daemon.walk() >= 0, daemon.apply() > 0;
-- where no mark is taken away the record of its end tells, as long as it is kept
INSERT INTO document VALUES (7, 'seven', 's3://docs/m'), (8, 'eight', 's3://docs/o');
SELECT daemon.apply();
SELECT daemon.settle(k, 'stored', '{"size": 1}') FROM unnest('{m,o}'::text[]) k;
UPDATE document SET deleted_at = now() WHERE id = 7;
DELETE FROM document WHERE id = 8;
SELECT daemon.apply();
SELECT count(*) FROM daemon.condemn() c WHERE c IN ('m', 'o');
SELECT count(*) FROM daemon.issue() i WHERE i IN ('m', 'o');
SELECT daemon.settle(k, 'gone') FROM unnest('{m,o}'::text[]) k;
DELETE FROM document WHERE id = 7;
INSERT INTO document VALUES (7, 'seven', 's3://docs/m'), (8, 'eight', 's3://docs/o');
SELECT daemon.apply();
SELECT daemon.settle(k, 'failed', '{"error_class": "not_found", "error_code": "NoSuchKey", "message": "absent"}') FROM unnest('{m,o}'::text[]) k;
SELECT key, state FROM objectlink.object WHERE key IN ('m', 'o') ORDER BY key;
DELETE FROM document WHERE id > 6;
SELECT daemon.apply() > 0;
-- nor is it forgotten while a column cannot be asked
SELECT objectlink.put_back(ARRAY[('s3://docs/k', true, true, false, 1, NULL, now(), NULL, '{1}', NULL, false, NULL, NULL, NULL, NULL, NULL, u)::objectlink.touched], ('{}', '{}', true, NULL, NULL, NULL, NULL)::objectlink.answer) FROM unnest('{t,f}'::boolean[]) u;
SELECT op, image ->> 'act' AS act FROM objectlink.outbox WHERE ref::text = 's3://docs/k' ORDER BY op, act;
DELETE FROM objectlink.outbox WHERE ref::text = 's3://docs/k';

-- Renamed, it means the same
ALTER TABLE document RENAME deleted_at TO removed_at;
SELECT soft_delete_column FROM objectlink.attachments WHERE relation = 'document'::regclass;
CALL daemon.forget();
INSERT INTO document VALUES (5, 'five', 's3://docs/e');
UPDATE document SET removed_at = now() WHERE id = 5;
:show
SELECT daemon.linking('document', 's3://docs/e');
-- its type stays, and so does it
SELECT daemon.refused('ALTER TABLE document ALTER removed_at TYPE text');
SELECT split_part(daemon.refused('ALTER TABLE document DROP removed_at'), ':', 1) LIMIT 1;
-- another type all the same: all rows link
BEGIN;
SELECT objectlink.drop_triggers(id) FROM objectlink.attachment WHERE relation = 'document'::regclass AND detached_at IS NULL;
SET LOCAL check_function_bodies = off;
ALTER TABLE document ALTER removed_at TYPE text;
SET LOCAL check_function_bodies = on;
SELECT daemon.linking('document', 's3://docs/e');
SELECT what, detail FROM objectlink.problems WHERE what LIKE 'soft%';
ROLLBACK;
-- Dropped: all rows link, are linked, and it is said
ALTER TABLE document DROP removed_at CASCADE;
SELECT daemon.linking('document', 's3://docs/e');
SELECT severity, what, detail, remedy FROM objectlink.problems WHERE what LIKE 'soft%';
SELECT cause, regexp_replace(detail ->> 'message', ' by .*', '') FROM objectlink.event WHERE cause = 'drop';
SELECT * FROM objectlink.switched_off_trigger;
SELECT daemon.walk();
:show
-- another one of that name is another one
ALTER TABLE document ADD removed_at timestamptz DEFAULT now();
SELECT daemon.linking('document', 's3://docs/e');
UPDATE document SET removed_at = NULL;
DELETE FROM document WHERE id = 5;
:show
DROP TABLE document, note, halves;
DROP DOMAIN always, flag;

-- Inherited and split off: the same column, with numbers of its own
CREATE TABLE shelf (id int, was int, file objectlink.storage_ref, deleted_at timestamptz) PARTITION BY RANGE (id);
ALTER TABLE shelf DROP was;
CREATE TABLE shelf_low (id int, deleted_at timestamptz, file objectlink.storage_ref);
INSERT INTO shelf_low VALUES (1, now(), 's3://docs/s1'), (2, NULL, 's3://docs/s2');
SELECT objectlink.attach('shelf', 'file', soft_delete_column => 'deleted_at') > 0, daemon.walk();
ALTER TABLE shelf ATTACH PARTITION shelf_low FOR VALUES FROM (0) TO (100);
CREATE TABLE bin (id int, file objectlink.storage_ref, deleted boolean);
CREATE TABLE bin_child (more text) INHERITS (bin);
SELECT objectlink.attach('bin', 'file', soft_delete_column => 'deleted') > 0, daemon.walk();
:show
INSERT INTO bin_child VALUES (1, 's3://docs/c1', false), (2, 's3://docs/c2', true);
UPDATE bin SET deleted = true WHERE id = 1;
UPDATE shelf SET deleted_at = now() WHERE id = 2;
:show
SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/s1,s3://docs/s2,s3://docs/c1,s3://docs/c2}');
ALTER TABLE shelf DETACH PARTITION shelf_low;
ALTER TABLE bin_child NO INHERIT bin;
SELECT relation, soft_delete_column FROM objectlink.attachments ORDER BY relation::text;
SELECT daemon.walk() > 0;
:show
UPDATE shelf_low SET deleted_at = NULL WHERE id = 1;
UPDATE bin_child SET deleted = NULL WHERE id = 1;
:show
SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/s1,s3://docs/s2,s3://docs/c1,s3://docs/c2}');
ALTER TABLE bin DROP deleted CASCADE;
SELECT * FROM objectlink.switched_off_trigger;
DROP TABLE shelf, shelf_low, bin, bin_child;
-- Dropped with its type, by a command that does not name the table; taken back
CREATE DOMAIN mark AS timestamptz;
CREATE TABLE leaf (id int, file objectlink.storage_ref, marked mark);
CREATE TABLE leaf_child () INHERITS (leaf);
SELECT objectlink.attach('leaf', 'file', soft_delete_column => 'marked') > 0, daemon.walk() > 0;
INSERT INTO leaf VALUES (1, 's3://docs/l1', now());
INSERT INTO leaf_child VALUES (2, 's3://docs/l2', now());
CALL daemon.forget();
SET client_min_messages = warning;
BEGIN;
DROP DOMAIN mark CASCADE;
SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/l1,s3://docs/l2}');
SELECT * FROM objectlink.switched_off_trigger;
ROLLBACK;
SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/l1,s3://docs/l2}');
DROP DOMAIN mark CASCADE;
RESET client_min_messages;
SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/l1,s3://docs/l2}') ORDER BY 1;
SELECT * FROM objectlink.switched_off_trigger;
SELECT daemon.walk();
:show
SELECT count(*) FROM objectlink.problems WHERE what LIKE 'soft%';
SELECT objectlink.detach('leaf', 'file');
SELECT count(*) FROM objectlink.problems WHERE what LIKE 'soft%';
DROP TABLE leaf, leaf_child;
-- A domain over boolean is a boolean; a composite value marks, whatever is in it
CREATE DOMAIN yes_or_no AS boolean;
CREATE TYPE by_whom AS (who name, at timestamptz);
CREATE TABLE leaf (id int PRIMARY KEY, file objectlink.storage_ref, gone yes_or_no, gone_by by_whom, path text);
SELECT objectlink.attach('leaf', 'file', soft_delete_column => 'gone') > 0, objectlink.attach('leaf', 'path', store => 'docs', soft_delete_column => 'gone_by') > 0, daemon.walk();
INSERT INTO leaf VALUES (1, 's3://docs/l1', false, NULL, 'p1'), (2, 's3://docs/l2', true, ROW('me', now()), 'p2'), (3, 's3://docs/l3', NULL, ROW(NULL, NULL)::by_whom, 'p3');
:show
SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/l1,s3://docs/l2,s3://docs/l3,s3://docs/p1,s3://docs/p2,s3://docs/p3}') ORDER BY 1;
UPDATE leaf SET gone = NOT gone, gone_by = CASE id WHEN 3 THEN NULL ELSE ROW(NULL, NULL)::by_whom END;
:show
SELECT objectlink.key(ref) FROM objectlink.linked('{s3://docs/l1,s3://docs/l2,s3://docs/l3,s3://docs/p1,s3://docs/p2,s3://docs/p3}') ORDER BY 1;
DROP TABLE leaf;
DROP DOMAIN yes_or_no;
DROP TYPE by_whom;
DROP FUNCTION asked, mark_instead;
CALL daemon.finish();
