-- Goal: what an attachment asks for can be changed piece by piece, is checked as attach does, and breaks no promise made before.
-- Method: play the daemon; change each setting while objects wait in the state that the change is about.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
CREATE FUNCTION daemon.give_up(p_key text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  UPDATE objectlink.object SET state = 'unlinked', due_at = NULL, issued_at = NULL, last_error = 'AccessDenied' WHERE key = p_key AND state IN ('unlinked', 'deleting');
  PERFORM objectlink.deletion_failed_for_good(daemon.store_id('docs'), p_key);
END $$;
CREATE FUNCTION daemon.store(VARIADIC p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM daemon.apply();
  PERFORM daemon.settle(k, 'stored', '{"size": 1}') FROM unnest(p_keys) k;
  PERFORM daemon.work_on_rows();
END $$;
\set ECHO all
\set rows 'SELECT id, file, status, word FROM document ORDER BY id;'
\set events 'SELECT detail - ''relation'' - ''column'' AS changed FROM objectlink.event WHERE cause = ''policy changed'' ORDER BY id; DELETE FROM objectlink.event;'
\set triggers 'SELECT tgrelid::regclass FROM pg_trigger WHERE tgname LIKE ''objectlink\_keep%'' ORDER BY 1;'
SELECT daemon.start();
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, status text, word text);
CREATE TABLE chunk (document int REFERENCES document ON DELETE CASCADE, n int, status text);
CREATE TABLE note (document int REFERENCES document ON DELETE CASCADE, text text);
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
INSERT INTO document VALUES (1, 's3://docs/a'), (2, 's3://docs/b');
INSERT INTO chunk VALUES (1, 1);
SELECT daemon.store('a', 'b');
:rows

-- A status column: rows that are there already show it too
SELECT objectlink.alter_attachment('document', 'file', status_column => 'status') > 0;
SELECT attachment_id > 0, kind FROM objectlink.scan;
SELECT daemon.walk(1), daemon.work_on_rows();
:rows
-- other words, in another column, and in related tables; each leaves the others as they are
SELECT objectlink.alter_attachment('document', 'file', status_map => '{"stored": "available"}') > 0;
SELECT daemon.walk(), daemon.work_on_rows();
:rows
SELECT objectlink.alter_attachment('document', 'file', status_column => 'word') > 0, daemon.walk(), daemon.work_on_rows();
SELECT objectlink.alter_attachment('document', 'file', status_column => 'status', related => '{chunk}') > 0, daemon.walk(), daemon.work_on_rows();
:rows
SELECT * FROM chunk;
SELECT status_column, status_map, related, on_upload_failure FROM objectlink.attachments;
-- no more: what was written stays
SELECT objectlink.alter_attachment('document', 'file', reset => '{status_column,related}') > 0, daemon.walk(), daemon.work_on_rows();
SELECT status_column, status_map, related FROM objectlink.attachments;
SELECT count(*) FROM objectlink.row_policy;
:rows
:events

-- What becomes of rows whose upload fails: of those that fail from then on
INSERT INTO document VALUES (3, 's3://docs/fails'), (4, 's3://docs/fails-too');
SELECT daemon.apply();
SELECT daemon.settle('fails', 'failed');
SELECT objectlink.alter_attachment('document', 'file', on_upload_failure => 'delete_row', status_column => 'status') > 0, daemon.walk(), daemon.work_on_rows();
:rows
SELECT daemon.settle('fails-too', 'failed');
SELECT daemon.work_on_rows();
:rows
SELECT objectlink.alter_attachment('document', 'file', reset => '{on_upload_failure,status_column}') > 0;
:events

-- Deleted rows are kept from then on
:triggers
SELECT objectlink.alter_attachment('document', 'file', on_delete_failure => 'restore_row', related => '{chunk,note}') > 0;
:triggers
SELECT objectlink.alter_attachment('document', 'file', related => '{chunk}') > 0;
:triggers
INSERT INTO document VALUES (5, 's3://docs/later', 'stored');
SELECT daemon.store('later');
DELETE FROM document WHERE id = 1;
SELECT daemon.apply();
SELECT relation FROM objectlink.deleted_row ORDER BY id;
-- not any more; but what was deleted before keeps what it was promised
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', reset => '{related,on_delete_failure}')$$);
SELECT objectlink.alter_attachment('document', 'file', on_delete_failure => 'dead_letter') > 0;
:triggers
DELETE FROM document WHERE id = 5;
SELECT daemon.apply();
SELECT relation FROM objectlink.deleted_row ORDER BY id;
SELECT daemon.give_up('a'), daemon.give_up('later');
SELECT daemon.work_on_rows();
:rows
SELECT * FROM chunk;
SELECT count(*) FROM objectlink.deleted_row;
SELECT objectlink.alter_attachment('document', 'file', reset => '{related}') > 0;
:events

-- What waits to be deleted keeps its time; a longer one protects it, a shorter one hastens nothing
SELECT objectlink.alter_attachment('document', 'file', retention => '30 days') > 0;
DELETE FROM document WHERE id = 2;
SELECT daemon.apply();
SELECT objectlink.alter_attachment('document', 'file', retention => '0', on_unlink => 'delete') > 0;
SELECT key, due_at > now() + interval '29 days' AS waits FROM objectlink.object WHERE key = 'b';

-- Refused as by attach, and nothing has changed then
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', status_column => 'nothing', retention => '7 days')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', status_column => 'file')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', status_column => 'id')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', status_map => '{"stored": "x"}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', status_column => 'status', status_map => '{"gone": "x"}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', on_upload_failure => 'undo')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', on_delete_failure => 'undo')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', related => '{document}')$$);
CREATE TABLE stranger (id int);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', related => '{stranger}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'status', related => '{chunk}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment(NULL, 'status', related => '{chunk}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', reset => '{soul}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', reset => NULL)$$);
SELECT on_unlink, retention, status_column, status_map, related, on_upload_failure, on_delete_failure FROM objectlink.attachments;
-- two columns of one table cannot show in one
ALTER TABLE document ADD thumb objectlink.storage_ref;
SELECT objectlink.attach('document', 'thumb', status_column => 'word') > 0;
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', status_column => 'word')$$);
SELECT objectlink.alter_attachment('document', 'thumb', status_map => '{"stored": "ok"}') > 0;

-- What a soft-delete column rules out
CREATE TABLE marked (id int, file objectlink.storage_ref, deleted_at timestamptz, status text);
SELECT objectlink.attach('marked', 'file', soft_delete_column => 'deleted_at') > 0;
SELECT daemon.refused($$SELECT objectlink.alter_attachment('marked', 'file', on_delete_failure => 'restore_row')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('marked', 'file', status_column => 'deleted_at')$$);
SELECT objectlink.alter_attachment('marked', 'file', status_column => 'status') > 0;
SELECT status_column, soft_delete_column FROM objectlink.attachments WHERE relation = 'marked'::regclass;
DROP TABLE marked;

-- Only by the owner of the table, whose own type may run code of his while it is checked
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_owner, objectlink_test_other;
RESET client_min_messages;
CREATE ROLE objectlink_test_owner;
CREATE ROLE objectlink_test_other;
GRANT USAGE ON SCHEMA daemon TO PUBLIC;
GRANT CREATE ON SCHEMA public TO objectlink_test_owner;
SELECT objectlink.grant_admin('objectlink_test_owner'), objectlink.grant_admin('objectlink_test_other');
SET ROLE objectlink_test_owner;
CREATE FUNCTION spy(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE NOTICE 'checked as %', current_user; RETURN true; END $$;
CREATE DOMAIN spied AS text CHECK (spy(VALUE));
CREATE TABLE mine (id int PRIMARY KEY, file objectlink.storage_ref, status spied);
SELECT objectlink.attach('mine', 'file') > 0;
SELECT objectlink.alter_attachment('mine', 'file', status_column => 'status', status_map => '{"stored": "x", "pending": null, "missing": null, "corrupt": null, "failed": null}') > 0;
SET ROLE objectlink_test_other;
SELECT daemon.refused($$SELECT objectlink.alter_attachment('mine', 'file', retention => '1 day')$$);
SELECT daemon.refused($$SELECT objectlink.change_policy(id, 'keep', NULL, NULL, NULL, NULL, NULL, 'mark', 'dead_letter') FROM objectlink.attachments WHERE relation = 'mine'::regclass$$);
RESET ROLE;
DROP TABLE mine, note, chunk, document, stranger;
DROP OWNED BY objectlink_test_owner, objectlink_test_other;
DROP ROLE objectlink_test_owner, objectlink_test_other;
CALL daemon.finish();
