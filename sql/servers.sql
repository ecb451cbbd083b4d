-- Goal: no change of a server, and no second database, makes objectlink work at a place that is not its own.
-- Method: servers that overlap, move, are renamed and dropped, with and without objects; the marker's functions by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;

-- Overlapping: the same bucket, and one prefix within the other, however it is written
SELECT daemon.refused($$CREATE SERVER twin FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'docs')$$);
SELECT daemon.refused($$CREATE SERVER twin FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:01', bucket 'docs', prefix 'in')$$);
CREATE SERVER a FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://S3.example.com', bucket 'bbb', prefix 'a');
SELECT daemon.refused($$CREATE SERVER twin FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://s3.Example.com:80', bucket 'bbb', prefix 'a/')$$);
SELECT daemon.refused($$CREATE SERVER twin FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'https://s3.example.com:443', bucket 'bbb', prefix 'a/b')$$);
SELECT daemon.refused($$CREATE SERVER twin FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'https://s3.example.com', bucket 'bbb')$$);
CREATE SERVER ab FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://s3.example.com', bucket 'bbb', prefix 'ab');
CREATE SERVER port FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://s3.example.com:8080', bucket 'bbb', prefix 'a');
SELECT daemon.refused($$ALTER SERVER ab OPTIONS (SET prefix 'a/c')$$);
SELECT daemon.refused($$ALTER SERVER ab OPTIONS (DROP prefix)$$);
CREATE SERVER half FOREIGN DATA WRAPPER objectlink OPTIONS (bucket 'docs');
SELECT daemon.refused($$ALTER SERVER half OPTIONS (ADD endpoint 'http://127.0.0.1:1')$$);
DROP SERVER a, ab, port, half;

-- Renamed and dropped: only while nothing refers to it
CREATE SERVER free FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'free');
ALTER SERVER free RENAME TO still_free;
ALTER SERVER still_free RENAME TO free;
CREATE TABLE unattached (file objectlink.storage_ref);
INSERT INTO unattached VALUES (NULL), ('s3://free/a');
SELECT daemon.refused('DROP SERVER free');
SELECT daemon.refused('ALTER SERVER free RENAME TO other');
TRUNCATE unattached;
CREATE TABLE legacy (path text);
SELECT objectlink.attach('legacy', 'path', store => 'free', create_index => true) > 0;
SELECT daemon.refused('DROP SERVER free CASCADE');
SELECT objectlink.detach('legacy', 'path');
INSERT INTO document VALUES (1, 's3://free/a');
SELECT daemon.refused('DROP SERVER free');
DELETE FROM document;
SELECT daemon.start() IS NOT NULL;
SELECT daemon.apply();
SELECT daemon.refused('DROP SERVER free') LIKE '2BP01%' LIMIT 1;
SELECT daemon.condemn('free');
SELECT daemon.issue('free');
SELECT daemon.settle('a', 'gone', '{}', 'free');
DROP SERVER free;
BEGIN;
INSERT INTO document VALUES (2, 's3://docs/kept');
SET LOCAL client_min_messages = warning;
DROP EXTENSION objectlink CASCADE;
SELECT count(*) FROM pg_foreign_server WHERE srvname = 'docs';
ROLLBACK;

-- Moved while it has objects: fenced, until it is changed back or adopted
INSERT INTO document VALUES (1, 's3://docs/a'), (2, 's3://docs/b');
SELECT daemon.apply();
SELECT daemon.settle('a', 'stored');
DELETE FROM document WHERE id = 1;
SELECT daemon.apply();
SELECT daemon.claim();
ALTER SERVER docs OPTIONS (SET bucket 'elsewhere');
SELECT store, status, error_code, error_message FROM objectlink.consistency WHERE store = 'docs';
SELECT count(*) FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10);
SELECT daemon.refused($$SELECT objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{a}')$$);
SELECT daemon.refused($$SELECT objectlink.issue(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{a}', 0)$$);
SELECT daemon.refused($$SELECT objectlink.begin_marker(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')))$$);
SELECT daemon.refused($$SELECT objectlink.adopt_store('docs')$$);
ALTER SERVER docs OPTIONS (SET bucket 'docs');
SELECT store, status FROM objectlink.consistency WHERE store = 'docs';
SELECT daemon.refused($$SELECT objectlink.adopt_store('docs')$$);
SELECT daemon.refused($$SELECT objectlink.adopt_store('nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.adopt_store(NULL)$$);
-- Other options move nothing
ALTER SERVER docs OPTIONS (ADD concurrency '7', SET endpoint 'http://127.0.0.1:0001');
SELECT store, status FROM objectlink.consistency WHERE store = 'docs';

-- Fenced by the daemon: looks go on, deletions and uploads stay due. Also one whose request was sent and not answered: sent once
-- more it could destroy what is another database's by now
INSERT INTO document VALUES (4, 's3://docs/sent');
SELECT daemon.apply(), daemon.settle('sent', 'stored');
DELETE FROM document WHERE id = 4;
SELECT daemon.apply(), daemon.claim();
SELECT objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{sent}');
SELECT daemon.issue(), daemon.settle('sent', 'unknown', '{"retry_ms": 0}');
INSERT INTO document VALUES (3, objectlink.put('docs', 'x', key => 'waits'));
SELECT daemon.apply();
SELECT objectlink.fence_store(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'foreign', NULL) LIKE 'The place belongs to another database%';
SELECT key, state FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10);
SELECT daemon.refused($$SELECT objectlink.adopt_store('docs')$$);
SELECT objectlink.fence_store(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'foreign',
  '{"state": "marker", "fingerprint": "nonce n", "epoch": 41, "name": "theirs"}') IS NOT NULL;
SELECT store, fence, theirs ->> 'name' FROM objectlink.markers ORDER BY store;
SELECT severity, store, what, detail FROM objectlink.problems WHERE what = 'store fenced';
SET client_min_messages = error;
SELECT reason, ours ->> 'store' AS ours, theirs ->> 'name' AS theirs, adopted FROM objectlink.adopt_store('docs', dry_run => true);
SELECT store, fence FROM objectlink.markers WHERE store = 'docs';
SELECT reason, ours ->> 'name' = current_database() AS ours, theirs ->> 'name' AS theirs, adopted FROM objectlink.adopt_store('docs');
RESET client_min_messages;
SELECT fence, epoch >= 41 AS ahead, accepted FROM objectlink.marker WHERE store_id = daemon.store_id('docs');
SELECT key, state FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) ORDER BY key;
SELECT cause, detail ->> 'reason' AS reason, actor = session_user AS by_me FROM objectlink.events
  WHERE store = 'docs' AND cause LIKE 'store %' ORDER BY id;
SELECT (objectlink.begin_marker(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) ->> 'epoch')::int > 41;

-- No lease, no deletion: not without a marker, not with another owner's, not when it has run out
UPDATE objectlink.marker SET lease_until = NULL;
SELECT daemon.refused($$SELECT objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{a}')$$);
SELECT daemon.claim();
SELECT objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{a}');
UPDATE objectlink.marker SET lease_until = clock_timestamp();
SELECT daemon.refused($$SELECT objectlink.issue(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{a}', 0)$$);
UPDATE objectlink.marker SET lease_until = clock_timestamp() + interval '1 minute', lease_owner = lease_owner - 1;
SELECT daemon.refused($$SELECT objectlink.issue(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{a}', 0)$$);
-- A marker of an earlier write confirms nothing; only so many of our own are remembered
SELECT daemon.refused($$SELECT objectlink.confirm_marker(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'old', 'e', true)$$) LIKE '55000%' LIMIT 1;
SELECT count(objectlink.begin_marker(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')))) FROM generate_series(1, 30);
SELECT cardinality(nonces) FROM objectlink.marker WHERE store_id = daemon.store_id('docs');
SELECT string_agg(k, ' ' ORDER BY k) FROM jsonb_object_keys(objectlink.identity()) k;

SET client_min_messages = warning;
DROP TABLE document, unattached, legacy;
CALL daemon.finish();
