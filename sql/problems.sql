-- Goal: whatever needs a person is one line with what mends it, and nothing else is.
-- Method: make each problem, read the view, mend it as the view says, read again.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set problems 'SELECT severity, store, what, regexp_replace(detail, ''session \\d+'', ''session N'') AS detail, since IS NOT NULL AS since, regexp_replace(remedy, ''\\(\\d+\\)'', ''(N)'') AS remedy FROM objectlink.problems;'
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
-- Work waits and nobody does it
:problems
SELECT daemon.start(), daemon.walk();
:problems
INSERT INTO document (file) VALUES ('s3://docs/a'), ('s3://docs/b'), ('s3://docs/c'), ('s3://docs/d');
SELECT daemon.apply();
:problems
-- Given up, and deletions that do not get on
SELECT daemon.settle('a', 'failed', '{"message": "no such object", "error_code": "NoSuchKey"}'), daemon.settle('b', 'stored'), daemon.settle('c', 'stored'), daemon.settle('d', 'stored');
DELETE FROM document WHERE file IN ('s3://docs/b', 's3://docs/c');
SELECT daemon.apply(), daemon.condemn();
SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{b}', 60000, 'open transactions: 4/17');
SELECT daemon.issue();
SELECT daemon.settle('c', 'retry', '{"counted": true, "retry_ms": 60000, "message": "AccessDenied"}');
UPDATE objectlink.object SET state = 'missing' WHERE key = 'd';
:problems
DELETE FROM document;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.condemned;
-- Paused, braked, held
SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'paused', 'store', 'ConnectFailed', 'connection refused');
:problems
SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'ok', NULL, NULL, NULL);
ALTER SERVER docs OPTIONS (ADD delete_limit '1');
SELECT objectlink.append_outbox('U', 's3://docs/x', NULL), objectlink.append_outbox('U', 's3://docs/y', NULL);
SELECT daemon.apply(), daemon.condemn();
SELECT held FROM objectlink.hold_deletions('docs', key => 'x', reason => 'case 4711');
:problems
SELECT objectlink.release_brake('docs');
SELECT objectlink.release_deletions('docs', held_reason => 'case 4711');
SELECT held FROM objectlink.hold_deletions('docs', reason => 'moving house');
:problems
SELECT objectlink.release_deletions('docs');
:problems
-- Columns
CREATE TABLE unindexed (id int, file objectlink.storage_ref);
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE mixed (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE INDEX ON mixed (file);
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER dummy;
:problems
CREATE INDEX ON unindexed (file);
ALTER TABLE mixed DETACH PARTITION mixed_far;
:problems
SET client_min_messages = warning;
DROP TABLE unindexed, mixed;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
RESET client_min_messages;
-- Servers
CREATE SERVER bare FOREIGN DATA WRAPPER objectlink OPTIONS (bucket 'bare');
SELECT objectlink.store_id('bare') > 0;
:problems
ALTER SERVER bare OPTIONS (ADD endpoint 'http://127.0.0.1:1');
:problems
INSERT INTO objectlink.object (store_id, key, state, since) VALUES (objectlink.store_id('bare'), 'k', 'stored', now());
CALL daemon.drop_server('bare');
:problems
CREATE SERVER bare FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'bare');
:problems
SET client_min_messages = warning;
CALL daemon.drop_server('bare');
ALTER TABLE objectlink.object DISABLE TRIGGER USER;
DELETE FROM objectlink.object WHERE key = 'k';
ALTER TABLE objectlink.object ENABLE TRIGGER USER;
RESET client_min_messages;
-- Triggers that do not fire
ALTER TABLE document DISABLE TRIGGER USER;
:problems
ALTER TABLE document ENABLE TRIGGER USER;
-- A walk that does not get on
INSERT INTO objectlink.scan (attachment_id, kind) SELECT id, 'link' FROM objectlink.attachment;
ALTER TABLE document RENAME TO renamed;
CREATE TABLE document (file objectlink.storage_ref);
UPDATE objectlink.scan SET failed_at = now(), last_error = 'canceling statement due to lock timeout';
:problems
DROP TABLE document;
ALTER TABLE renamed RENAME TO document;
SELECT daemon.walk();
:problems
-- Somebody else holds the lock of the outbox: no worker of this session
DELETE FROM objectlink.worker;
:problems
SELECT objectlink.unlock(0);
:problems
-- Only for those who may see all
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_anybody;
RESET client_min_messages;
CREATE ROLE objectlink_test_anybody;
GRANT USAGE ON SCHEMA daemon TO objectlink_test_anybody;
SET ROLE objectlink_test_anybody;
SELECT daemon.refused('SELECT * FROM objectlink.problems');
SELECT * FROM objectlink.deletions;
SELECT * FROM objectlink.deletions_by_store;
RESET ROLE;
SELECT objectlink.grant_reader('objectlink_test_anybody');
SET ROLE objectlink_test_anybody;
SELECT count(*) > 0 FROM objectlink.problems;
SELECT count(*) > 0 FROM objectlink.deletions;
RESET ROLE;

SET client_min_messages = warning;
DROP OWNED BY objectlink_test_anybody;
DROP ROLE objectlink_test_anybody;
DROP TABLE document;
CALL daemon.finish();
