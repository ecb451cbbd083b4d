-- Goal: what was given up is a dead letter until somebody or something ends it; a retry goes the whole way again; nothing else is one.
-- Method: one session plays user and daemon. First what goes right, then what is no dead letter, then what is refused.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set letters 'SELECT store, key, operation, error_class AS class, error_code AS code, message, attempts, request_id AS request, first_failed_at <= last_failed_at AS ordered, state, size, relation FROM objectlink.dead_letters ORDER BY store, key;'
\set objects 'SELECT key, state, due_at IS NOT NULL AS due, attempts, last_error, held_reason FROM objectlink.object ORDER BY key;'
\set events 'SELECT key, from_state, to_state, cause, actor = session_user AS mine, attempt, detail FROM objectlink.event ORDER BY id; DELETE FROM objectlink.event;'
\set condemned 'SELECT ref, CASE WHEN release_after IS NULL THEN ''no end'' WHEN release_after > clock_timestamp() THEN ''later'' ELSE ''now'' END FROM objectlink.condemned ORDER BY ref;'
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start(), objectlink.attach('document', 'file') > 0, daemon.walk();
-- Rows that were stored and are deleted, up to the request
CREATE PROCEDURE daemon.unlink(p_keys text[]) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO document SELECT 1000 + row_number() OVER (), objectlink.storage_ref('docs', k) FROM unnest(p_keys) k;
  PERFORM daemon.apply();
  PERFORM daemon.settle(k, 'stored', '{"size": 1, "etag": "e"}') FROM unnest(p_keys) k;
  DELETE FROM document WHERE id > 1000;
  PERFORM daemon.apply();
  PERFORM daemon.condemn();
  PERFORM daemon.issue();
  DELETE FROM objectlink.event;
END $$;

-- An upload, a check and a deletion
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'content')), (2, 's3://docs/link');
SELECT daemon.apply();
CALL daemon.unlink('{locked}');
SELECT daemon.settle('content', 'failed', '{"counted": true, "cause": "upload", "error_class": "object", "error_code": "EntityTooLarge", "message": "too large", "request_id": "R1"}');
SELECT daemon.settle('link', 'retry', '{"counted": true, "retry_ms": 0, "cause": "verify", "error_class": "not_found", "error_code": "NoSuchKey", "message": "no such object"}');
:letters
SELECT daemon.settle('link', 'failed', '{"counted": true, "cause": "verify", "error_class": "not_found", "error_code": "NoSuchKey", "message": "no such object"}');
SELECT daemon.settle('locked', 'retry', '{"counted": true, "retry_ms": 0, "cause": "delete", "error_class": "store", "error_code": "AccessDenied", "message": "object is locked"}');
SELECT daemon.settle('locked', 'failed', '{"counted": true, "cause": "delete", "error_class": "store", "error_code": "AccessDenied", "message": "object is locked", "request_id": "R2"}');
:letters
:objects
:condemned
:events
SELECT store, operation, error_class, error_code, count, example_key, example_message FROM objectlink.failures_by_cause ORDER BY operation;
SELECT severity, store, what, detail, since IS NOT NULL AS since, remedy FROM objectlink.problems;
SELECT key, state, due_at, held_reason FROM objectlink.deletions;
-- settled: nobody has to wait for it
CALL objectlink.wait_for_sync('1 second');

-- A dry run changes nothing
SELECT objectlink.retry_dead_letters(dry_run => true);
SELECT * FROM objectlink.discard_dead_letters(dry_run => true);
:events
SELECT count(*) FROM objectlink.dead_letters;
-- of an error, of a store and an operation, of one
SELECT objectlink.retry_dead_letters(error_code => 'NoSuchBucket'), objectlink.retry_dead_letters('docs', operation => 'verify', error_class => 'object');
SELECT objectlink.retry_dead_letters('docs', operation => 'verify', reason => 'the object has come');
SELECT objectlink.retry_dead_letters('docs', 'content');
:objects
:events
SELECT daemon.settle('link', 'stored', '{"size": 1, "cause": "verify"}'), daemon.settle('content', 'stored', '{"size": 7, "cause": "upload"}');
:letters
SELECT failing_since FROM objectlink.object WHERE key IN ('link', 'content');
DELETE FROM objectlink.event;
-- A deletion goes the whole way again: condemned, asked, issued
SELECT objectlink.retry_dead_letters();
:events
:letters
SELECT daemon.condemn();
:condemned
SELECT daemon.issue();
SELECT daemon.settle('locked', 'gone', '{"cause": "delete"}');
:objects
:condemned
DELETE FROM objectlink.event;

-- A key that is linked again leaves the dead letters, and is looked at before it counts as stored
CALL daemon.unlink('{again}');
SELECT daemon.settle('again', 'failed', '{"counted": true, "message": "no"}');
INSERT INTO document VALUES (3, 's3://docs/again');
SELECT daemon.apply();
:letters
:objects
DELETE FROM document WHERE id = 3;
SELECT daemon.apply();
SELECT key, state, due_at IS NOT NULL FROM objectlink.object WHERE key = 'again';
-- Linked while its retry is under way: the rows are asked again
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('again', 'failed', '{"counted": true, "message": "no"}');
SELECT objectlink.retry_dead_letters('docs', 'again');
SELECT daemon.condemn();
ALTER TABLE document DISABLE TRIGGER USER;
INSERT INTO document VALUES (3, 's3://docs/again');
ALTER TABLE document ENABLE TRIGGER USER;
SELECT daemon.issue();
SELECT key, state FROM objectlink.object WHERE key = 'again';
SELECT daemon.apply();
SELECT daemon.settle('again', 'stored');
DELETE FROM document WHERE id = 3;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('again', 'gone');
DELETE FROM objectlink.event;

-- A request that may still arrive keeps its key refused, so nobody links it meanwhile
CALL daemon.unlink('{late,other-epoch,unknown-before}');
UPDATE objectlink.object SET issued_epoch = issued_epoch - 1 WHERE key = 'other-epoch';
SELECT daemon.settle('late', 'failed', '{"counted": true, "message": "no reply", "delete_unknown": true}');
SELECT daemon.settle('unknown-before', 'unknown', '{"message": "no reply"}');
SELECT daemon.settle('unknown-before', 'failed', '{"counted": true, "message": "no"}');
SELECT daemon.settle('other-epoch', 'failed', '{"counted": true, "message": "no"}');
:condemned
SELECT daemon.refused($$INSERT INTO document VALUES (9, 's3://docs/$$ || key || $$')$$) FROM (SELECT key FROM objectlink.dead_letters ORDER BY key OFFSET 0) d;
UPDATE objectlink.condemned SET release_after = now();
SELECT objectlink.release_condemned(daemon.epoch(0));
SELECT key FROM objectlink.dead_letters ORDER BY key;
INSERT INTO document VALUES (9, 's3://docs/late');
SELECT daemon.apply();
SELECT key FROM objectlink.dead_letters ORDER BY key;
DELETE FROM document WHERE id = 9;
SELECT daemon.apply();
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;

-- Discarding says what stays behind
DELETE FROM document;
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'content')), (2, 's3://docs/link');
SELECT daemon.apply();
CALL daemon.unlink('{locked}');
SELECT daemon.settle(k, 'failed', '{"counted": true, "error_code": "Some", "message": "no"}') FROM unnest('{content,link,locked}'::text[]) k;
DELETE FROM objectlink.event;
SELECT * FROM objectlink.discard_dead_letters(reason => 'case 4711');
:events
:letters
:objects
SELECT count(*) FROM objectlink.payload;
SELECT * FROM objectlink.problems;
SELECT * FROM objectlink.discard_dead_letters();
-- the content's digest stays: what lies under the key is not taken for ours by its name alone
SELECT key, sha256 = sha256('content') AS known FROM objectlink.object WHERE key = 'content';
-- what fails again is a dead letter again
INSERT INTO document VALUES (4, 's3://docs/link');
SELECT daemon.apply();
SELECT daemon.settle('link', 'failed', '{"counted": true, "message": "no"}');
SELECT key, operation FROM objectlink.dead_letters;
-- a deletion that was discarded can still be released
SELECT objectlink.release_deletions('docs', held_reason => 'dead letter discarded');
SELECT key, state, due_at IS NOT NULL AS due, held_reason FROM objectlink.object WHERE key = 'locked';

-- A hold on a dead letter is a hold; its release tries again
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('locked', 'failed', '{"counted": true, "message": "no"}');
SELECT held FROM objectlink.hold_deletions('docs', key => 'locked', reason => 'wait');
SELECT key FROM objectlink.dead_letters;
SELECT objectlink.release_deletions('docs', held_reason => 'wait');
SELECT key, due_at IS NOT NULL AS due FROM objectlink.object WHERE key = 'locked';
-- What waits, or is kept, is none
SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{locked}', 60000, 'open transactions: 4/17') FROM daemon.condemn();
SELECT key FROM objectlink.dead_letters;
-- A result of an attempt that is over ends nothing
SELECT objectlink.settle(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
  '[{"key": "locked", "state": "deleting", "attempts": 0, "outcome": "failed", "cause": "delete"}]');
SELECT key, state FROM objectlink.object WHERE key = 'locked';

-- Refused
SELECT daemon.refused($$SELECT objectlink.retry_dead_letters(key => 'link')$$);
SELECT daemon.refused($$SELECT objectlink.retry_dead_letters(operation => 'copy')$$);
SELECT daemon.refused($$SELECT objectlink.retry_dead_letters('nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.discard_dead_letters('docs', at_most => 0)$$);
SELECT daemon.refused($$SELECT objectlink.discard_dead_letters('docs', reason => repeat('x', 201))$$);
-- at most so many at once
INSERT INTO document SELECT n, objectlink.storage_ref('docs', 'n' || n) FROM generate_series(10, 14) n;
SELECT daemon.apply();
SELECT sum(daemon.settle('n' || n, 'failed', '{"counted": true, "message": "no"}')) FROM generate_series(10, 14) n;
SELECT objectlink.retry_dead_letters(at_most => 2), (SELECT count(*) FROM objectlink.dead_letters);
SELECT count(*) FROM objectlink.dead_letters;

-- Who sees and decides
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_anybody;
RESET client_min_messages;
CREATE ROLE objectlink_test_anybody;
GRANT USAGE ON SCHEMA daemon TO objectlink_test_anybody;
SET ROLE objectlink_test_anybody;
SELECT daemon.refused('SELECT objectlink.retry_dead_letters()');
SELECT daemon.refused('SELECT objectlink.discard_dead_letters()');
SELECT daemon.refused('SELECT * FROM objectlink.dead_letter');
SELECT count(*) FROM objectlink.dead_letters;
SELECT count(*) FROM objectlink.failures_by_cause;
RESET ROLE;
GRANT SELECT ON document TO objectlink_test_anybody;
SET ROLE objectlink_test_anybody;
SELECT count(*) FROM objectlink.dead_letters;
SELECT sum(count) FROM objectlink.failures_by_cause;
RESET ROLE;
SELECT objectlink.grant_admin('objectlink_test_anybody');
SET ROLE objectlink_test_anybody;
SELECT objectlink.retry_dead_letters();
RESET ROLE;

SET client_min_messages = warning;
DROP OWNED BY objectlink_test_anybody;
DROP ROLE objectlink_test_anybody;
DROP TABLE document;
CALL daemon.finish();
