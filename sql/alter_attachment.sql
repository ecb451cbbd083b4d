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
\set events 'SELECT detail - ''relation'' - ''column'' AS changed FROM objectlink.event WHERE cause = ''policy changed'' AND key IS NULL ORDER BY id; DELETE FROM objectlink.event;'
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

-- Which column marks rows as deleted
CREATE TABLE leaf (id int PRIMARY KEY, file objectlink.storage_ref, gone boolean, gone_at timestamptz, note text);
CREATE TABLE vein (leaf int REFERENCES leaf ON DELETE CASCADE, gone_at timestamptz, id int PRIMARY KEY);
SELECT objectlink.attach('leaf', 'file', soft_delete_column => 'gone') > 0, daemon.walk();
INSERT INTO leaf SELECT n, objectlink.storage_ref('docs', 'l' || n) FROM generate_series(1, 5) n;
SELECT daemon.store('l1', 'l2', 'l3', 'l4', 'l5');
UPDATE leaf SET gone = true WHERE id IN (1, 2);
UPDATE leaf SET gone_at = now() WHERE id IN (2, 3);
INSERT INTO leaf VALUES (6, 's3://docs/l4', NULL, now());
SELECT daemon.apply();
\set leaves 'SELECT key, state, due_at IS NULL AS rests, split_part(held_reason, \' since \', 1) AS held FROM objectlink.object WHERE key LIKE \'l_\' ORDER BY key;'
:leaves
DELETE FROM objectlink.event;
SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone_at') > 0;
SELECT soft_delete_column FROM objectlink.attachments WHERE relation = 'leaf'::regclass;
SELECT daemon.walk(2), daemon.apply();
-- 1 is linked again, 2 stays what it was, 3 is held: nobody has deleted it now; 4 has another row
:leaves
SELECT key, from_state, to_state, cause, split_part(detail ->> 'held', ' since ', 1) AS held FROM objectlink.event WHERE key LIKE 'l_' ORDER BY key, id;
:events
SELECT severity, what, split_part(detail, ' since ', 1) AS detail FROM objectlink.problems WHERE what = 'objects held' AND detail LIKE '%leaf%';
UPDATE leaf SET gone = true WHERE id = 5; UPDATE leaf SET gone_at = now() WHERE id = 4; UPDATE leaf SET gone_at = NULL WHERE id = 3;
SELECT op, objectlink.key(ref) FROM objectlink.outbox;
SELECT daemon.apply();
:leaves
SELECT regexp_replace(tgname, '\d+', '') AS trigger, pg_get_triggerdef(oid) ~ 'gone_at' AND pg_get_triggerdef(oid) !~ 'gone IS' AS by_it FROM pg_trigger
  WHERE tgrelid = 'leaf'::regclass AND NOT tgisinternal AND tgname LIKE 'objectlink%' AND tgname NOT LIKE '%truncate%' ORDER BY tgname;
-- none any more
SELECT objectlink.alter_attachment('leaf', 'file', reset => '{soft_delete_column}') > 0, daemon.walk() > 0, daemon.apply();
:leaves
:events
SELECT objectlink.alter_attachment('leaf', 'file', reset => '{soft_delete_column}') > 0;
SELECT count(*) FROM objectlink.scan;
-- one that was dropped, and is there again under the same name
SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone') > 0, daemon.walk() > 0, daemon.apply();
SET client_min_messages = warning;
ALTER TABLE leaf DROP gone CASCADE;
RESET client_min_messages;
SELECT daemon.walk() > 0, daemon.apply();
SELECT objectlink.alter_attachment('leaf', 'file', retention => '1 day') > 0;
SELECT what, remedy FROM objectlink.problems WHERE what LIKE 'soft%';
ALTER TABLE leaf ADD gone boolean;
SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone', reset => '{retention}') > 0;
SELECT count(*) FROM objectlink.problems WHERE what LIKE 'soft%';
SELECT daemon.walk() > 0, daemon.apply();
-- together with marks that are taken back, also of related tables
SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone_at', on_delete_failure => 'restore_row', related => '{vein}') > 0, daemon.walk() > 0, daemon.apply();
SELECT tgrelid::regclass, tgname ~ 'mark' AS marks FROM pg_trigger WHERE tgname LIKE 'objectlink\_keep%' ORDER BY 1, 2;
INSERT INTO vein (leaf, id) VALUES (5, 1);
UPDATE vein SET gone_at = now(); UPDATE leaf SET gone_at = now() WHERE id = 5;
SELECT relation, marked FROM objectlink.deleted_row ORDER BY id;
SELECT daemon.apply(), daemon.refused($$SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone')$$);
DELETE FROM objectlink.deleted_row;
-- rows that were deleted hinder nobody
INSERT INTO leaf VALUES (9, 's3://docs/l9'); DELETE FROM leaf WHERE id = 9;
SELECT relation, marked FROM objectlink.deleted_row ORDER BY id;
SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone') > 0, daemon.walk() > 0, daemon.apply();
SELECT tgrelid::regclass, tgname ~ 'mark' AS marks FROM pg_trigger WHERE tgname LIKE 'objectlink\_keep%' ORDER BY 1, 2;
SELECT objectlink.alter_attachment('leaf', 'file', on_delete_failure => 'dead_letter', reset => '{related}') > 0;
-- while a request to delete it may be on its way, no row may come to link it
UPDATE leaf SET gone = true, gone_at = NULL WHERE id = 5;
INSERT INTO objectlink.condemned (ref) VALUES ('s3://docs/l5');
SELECT daemon.refused($$SELECT objectlink.alter_attachment('leaf', 'file', reset => '{soft_delete_column}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone_at')$$);
SELECT soft_delete_column FROM objectlink.attachments WHERE relation = 'leaf'::regclass;
UPDATE leaf SET gone_at = now() WHERE id = 5;
SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone_at') > 0;
DELETE FROM objectlink.condemned;
-- refused as by attach
SELECT daemon.refused(format('SELECT objectlink.alter_attachment(''leaf'', ''file'', soft_delete_column => %L)', c)) FROM unnest('{nowhere,file,id}'::text[]) c;
SELECT objectlink.alter_attachment('leaf', 'file', status_column => 'note') > 0;
SELECT daemon.refused($$SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'note')$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT daemon.refused($$SELECT objectlink.alter_attachment('leaf', 'file', reset => '{soft_delete_column}')$$);
ROLLBACK;
SET client_min_messages = warning;
DROP TABLE vein, leaf;
RESET client_min_messages;
-- a part is dropped before the walk: what is held is held for both
CREATE TABLE leaf (id int, file objectlink.storage_ref, gone boolean) PARTITION BY LIST (id);
CREATE TABLE leaf_7 PARTITION OF leaf FOR VALUES IN (7);
CREATE TABLE leaf_8 PARTITION OF leaf FOR VALUES IN (8);
SELECT objectlink.attach('leaf', 'file') > 0, daemon.walk();
INSERT INTO leaf VALUES (7, 's3://docs/l7', NULL), (8, 's3://docs/l8', true);
SELECT daemon.store('l7', 'l8');
DELETE FROM objectlink.event;
SELECT objectlink.alter_attachment('leaf', 'file', soft_delete_column => 'gone') > 0;
SET client_min_messages = warning;
DROP TABLE leaf_7;
RESET client_min_messages;
SELECT daemon.walk() > 0, daemon.apply();
SELECT key, to_state, cause, detail ->> 'held' ~ 'marked as deleted by column gone.*; partition public.leaf_7 of public.leaf was dropped' AS both FROM objectlink.event WHERE key LIKE 'l_' ORDER BY key, id;
DROP TABLE leaf;

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
SELECT daemon.refused($$SELECT objectlink.change_mark(id, NULL) FROM objectlink.attachments WHERE relation = 'mine'::regclass$$);
SELECT daemon.refused($$SELECT objectlink.change_policy(id, 'keep', NULL, NULL, NULL, NULL, NULL, 'mark', 'dead_letter', NULL) FROM objectlink.attachments WHERE relation = 'mine'::regclass$$);
RESET ROLE;
DROP TABLE mine, note, chunk, document, stranger;
DROP OWNED BY objectlink_test_owner, objectlink_test_other;
DROP ROLE objectlink_test_owner, objectlink_test_other;
CALL daemon.finish();
