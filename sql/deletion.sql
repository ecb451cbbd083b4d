-- Goal: a key is handed out for deletion only when no row links it; results that came too late, or make no sense, are dropped.
-- Method: one session plays user and daemon; races between sessions are in test/isolation. First what goes right, then the rest.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set objects 'SELECT key, state, due FROM daemon.objects ORDER BY key;'
\set events 'SELECT key, from_state, to_state, cause, detail FROM objectlink.event ORDER BY key COLLATE "C", id; DELETE FROM objectlink.event;'
\set condemned 'SELECT ref, CASE WHEN release_after IS NULL THEN ''no end'' WHEN release_after > clock_timestamp() THEN ''later'' ELSE ''now'' END FROM objectlink.condemned ORDER BY ref;'
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
\set store 'daemon.store_id(''docs''), daemon.epoch(daemon.store_id(''docs''))'
-- Rows that were stored and are deleted, up to the state unlinked
CREATE PROCEDURE daemon.unlink(p_keys text[]) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO document SELECT 1000 + row_number() OVER (), objectlink.storage_ref('docs', k) FROM unnest(p_keys) k;
  PERFORM daemon.apply();
  PERFORM daemon.settle(k, 'stored', '{"size": 1}') FROM unnest(p_keys) k;
  DELETE FROM document WHERE id > 1000;
  PERFORM daemon.apply();
  DELETE FROM objectlink.event;
END $$;

-- The whole way
CALL daemon.unlink('{a,b}');
SELECT daemon.condemn();
:condemned
:objects
SELECT daemon.issue();
SELECT key, issued_at IS NOT NULL, issued_epoch = daemon.epoch(store_id) FROM objectlink.object ORDER BY key;
SELECT daemon.issue();
SELECT daemon.settle('a', 'gone', '{"request_id": "R1"}'), daemon.settle('b', 'gone');
:condemned
:objects
SELECT key, from_state, to_state, cause, request_id FROM objectlink.event ORDER BY key, id;
DELETE FROM objectlink.event;
-- and the key is free again
INSERT INTO document VALUES (1, 's3://docs/a');
SELECT daemon.apply();
:objects
DELETE FROM document;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event;

-- condemn(): only what is unlinked and due
INSERT INTO document SELECT row_number() OVER (), objectlink.storage_ref('docs', k) FROM unnest('{pending,stored}'::text[]) k;
SELECT daemon.apply(), daemon.settle('stored', 'stored');
CALL daemon.unlink('{due,not-yet,withdrawn}');
UPDATE objectlink.object SET due_at = 'infinity' WHERE key = 'not-yet';
SELECT objectlink.append_outbox('P', 's3://docs/reserved', NULL);
SELECT daemon.apply();
INSERT INTO document VALUES (9, 's3://docs/withdrawn');
SELECT daemon.apply();
SELECT objectlink.condemn(:store, '{pending,stored,due,not-yet,withdrawn,reserved,unheard-of}');
SELECT objectlink.condemn(:store, '{due}');
SELECT objectlink.condemn(:store, '{}');
SELECT objectlink.condemn(:store, NULL);
:condemned
-- the trigger refuses the mark, and that is all it refuses
SELECT daemon.refused($$INSERT INTO document VALUES (10, 's3://docs/due')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', key => 'due')$$);
INSERT INTO document VALUES (11, 's3://docs/not-yet');
-- uncommitted work of others is asked for by writers(), not here: issue() sees what is committed
SELECT daemon.issue();
DELETE FROM document;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;

-- issue(): a row that came in with triggers off saves the object
CALL daemon.unlink('{linked,unlinked}');
SELECT daemon.condemn();
ALTER TABLE document DISABLE TRIGGER USER;
INSERT INTO document VALUES (1, 's3://docs/linked');
ALTER TABLE document ENABLE TRIGGER USER;
SELECT daemon.issue();
:objects
:condemned
:events
DELETE FROM document;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;
-- not proved to be there: back to pending, due now
SELECT objectlink.append_outbox('U', 's3://docs/unproved', NULL);
SELECT daemon.apply();
CREATE TABLE unattached (id int, file objectlink.storage_ref);
SELECT daemon.condemn();
INSERT INTO unattached VALUES (1, 's3://docs/unproved');
SELECT daemon.issue();
:objects
:events
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;
-- by any column that is asked: forced row security, domain, text, generated
CREATE DOMAIN picture AS objectlink.storage_ref;
CREATE TABLE secret (file picture);
ALTER TABLE secret ENABLE ROW LEVEL SECURITY;
ALTER TABLE secret FORCE ROW LEVEL SECURITY;
CREATE TABLE legacy (path text);
CREATE TABLE generated (id text, file objectlink.storage_ref GENERATED ALWAYS AS (objectlink.storage_ref('docs', id)) STORED);
SELECT objectlink.attach('legacy', 'path', store => 'docs') > 0, daemon.walk();
CALL daemon.unlink('{by-domain,by-text,by-generated,by-unattached,by-none}');
SELECT daemon.condemn();
INSERT INTO secret VALUES ('s3://docs/by-domain');
UPDATE unattached SET file = 's3://docs/by-unattached';
INSERT INTO generated VALUES ('by-generated');
ALTER TABLE legacy DISABLE TRIGGER USER;
INSERT INTO legacy VALUES ('by-text');
ALTER TABLE legacy ENABLE TRIGGER USER;
SELECT daemon.issue();
:objects
DROP TABLE secret, legacy, generated, unattached;
DROP DOMAIN picture;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;
-- an unapplied outbox row: not now
CALL daemon.unlink('{busy,idle}');
SELECT daemon.condemn();
SELECT objectlink.append_outbox('U', 's3://docs/busy', NULL);
SELECT daemon.issue();
:objects
:condemned
:events
SELECT last_error FROM objectlink.object WHERE key = 'busy';
TRUNCATE objectlink.object, objectlink.outbox, objectlink.condemned;
-- a column that can't be asked: nothing is deleted at all, what is seen to be linked goes back
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE mixed (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CALL daemon.unlink('{in-doubt,seen}');
SELECT daemon.condemn();
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER dummy;
CREATE TABLE near (file objectlink.storage_ref);
INSERT INTO near VALUES ('s3://docs/seen');
SELECT daemon.issue();
:objects
:condemned
:events
SET client_min_messages = warning;
DROP TABLE mixed, near;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
RESET client_min_messages;
TRUNCATE objectlink.object, objectlink.outbox;
-- without a durable commit: refused
CALL daemon.unlink('{durable}');
SELECT daemon.condemn();
SET synchronous_commit = off;
SELECT daemon.refused('SELECT daemon.issue()');
SET synchronous_commit = local;
SELECT daemon.refused('SELECT daemon.issue()');
SET synchronous_commit = remote_write;
SELECT daemon.refused('SELECT daemon.issue()');
SET synchronous_commit = remote_apply;
SELECT daemon.issue();
RESET synchronous_commit;

-- uncondemn(): only what was not issued
CALL daemon.unlink('{back}');
SELECT daemon.condemn();
SELECT objectlink.uncondemn(:store, '{durable,back,unheard-of}', 60000, 'blocked by 4/17');
:objects
:condemned
:events
-- nor does issue() ask again about what was issued
INSERT INTO document VALUES (1, 's3://docs/other');
ALTER TABLE document DISABLE TRIGGER USER;
UPDATE document SET file = 's3://docs/durable';
ALTER TABLE document ENABLE TRIGGER USER;
SELECT daemon.issue();
SELECT daemon.apply();
:objects
-- that row lost its object, and it shows: it is linked, looked for, and not found
SELECT daemon.settle('durable', 'gone');
SELECT op, ref FROM daemon.outbox;
SELECT daemon.apply();
:objects
:events
DELETE FROM document;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.condemned;

-- An unknown outcome: the mark stays until the request can't arrive any more, even when a repeat succeeded
CALL daemon.unlink('{late}');
SELECT daemon.condemn(), daemon.issue();
SELECT daemon.settle('late', 'unknown', '{"retry_ms": 1000, "error_code": "timeout", "message": "no reply", "counted": true}');
:objects
:condemned
SELECT key, attempts, last_error FROM objectlink.object;
SELECT daemon.settle('late', 'gone');
:objects
:condemned
SELECT daemon.refused($$INSERT INTO document VALUES (1, 's3://docs/late')$$);
SELECT objectlink.release_condemned(daemon.epoch(0));
UPDATE objectlink.condemned SET release_after = clock_timestamp();
SELECT objectlink.release_condemned(daemon.epoch(0));
INSERT INTO document VALUES (1, 's3://docs/late');
DELETE FROM document;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event;
-- a mark that is due is not freed while its object is deleted once more
CALL daemon.unlink('{twice}');
INSERT INTO objectlink.condemned VALUES ('s3://docs/twice', now(), now());
SELECT daemon.condemn();
:condemned
UPDATE objectlink.condemned SET release_after = clock_timestamp();
SELECT objectlink.release_condemned(daemon.epoch(0));
SELECT daemon.issue();
SELECT daemon.settle('twice', 'gone');
:condemned
SELECT objectlink.release_condemned(daemon.epoch(0));
TRUNCATE objectlink.event;
-- Issued by one owner, gone for the next: it can't know what the first one still has under way
CALL daemon.unlink('{inherited}');
SELECT daemon.condemn(), daemon.issue();
SELECT objectlink.unlock(daemon.store_id('docs'));
SELECT epoch > 1, wait_ms, last_process FROM objectlink.acquire(daemon.store_id('docs'), (SELECT max(id) FROM objectlink.worker));
SELECT daemon.settle('inherited', 'gone');
:condemned
TRUNCATE objectlink.condemned, objectlink.event;
-- a clean release needs no wait
SELECT objectlink.release(:store);
SELECT objectlink.unlock(daemon.store_id('docs'));
SELECT wait_ms FROM objectlink.acquire(daemon.store_id('docs'), (SELECT max(id) FROM objectlink.worker));

-- Stale: everything that was decided in another epoch, state or attempt
CALL daemon.unlink('{stale}');
SELECT daemon.refused($$SELECT objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')) - 1, '{stale}')$$);
SELECT daemon.condemn();
SELECT daemon.refused($$SELECT objectlink.issue(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')) - 1, '{stale}', 1)$$);
SELECT daemon.refused($$SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')) - 1, '{stale}', 1, '')$$);
SELECT daemon.refused($$SELECT objectlink.settle(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')) - 1, '[]')$$);
SELECT daemon.refused($$SELECT objectlink.expire_reserved(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')) - 1, '{stale}')$$);
SELECT daemon.refused($$SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')) - 1, 'paused', '', '', '')$$);
SELECT daemon.settle('stale', 'gone', '{"attempts": 1}'), daemon.settle('stale', 'gone', '{"attempts": -1}');
SELECT daemon.settle('stale', 'gone', '{"state": "stored"}'), daemon.settle('stale', 'gone', '{"state": null}');
SELECT daemon.settle('stale', 'stored', '{"state": "pending"}');
SELECT objectlink.settle(:store, '[{"key": "unheard-of", "state": "deleting", "attempts": 0, "outcome": "gone", "cause": "test"}]');
SELECT objectlink.settle(:store, '[]');
-- no longer owned at all
SELECT objectlink.release(:store);
SELECT daemon.refused($$SELECT daemon.settle('stale', 'gone')$$);
SELECT daemon.refused($$SELECT daemon.issue()$$);
SELECT objectlink.unlock(daemon.store_id('docs')), objectlink.unlock(daemon.store_id('docs'));
SELECT epoch > 2 FROM objectlink.acquire(daemon.store_id('docs'), (SELECT max(id) FROM objectlink.worker));
:objects

-- Illegal: the database refuses it, whoever asks
SELECT daemon.settle('stale', 'retry', '{"retry_ms": 0, "counted": true}');
SELECT daemon.refused($$SELECT daemon.settle('stale', 'failed')$$);
SELECT daemon.issue();
SELECT daemon.refused($$UPDATE objectlink.object SET state = 'reserved'$$);
SELECT daemon.refused($$UPDATE objectlink.object SET state = 'missing'$$);
SELECT daemon.refused($$UPDATE objectlink.object SET state = 'gone'$$);
SELECT daemon.refused($$UPDATE objectlink.object SET state = NULL$$);
-- once issued it is only ever gone: a late proof of its presence does not bring it back
SELECT daemon.refused($$SELECT daemon.settle('stale', 'stored')$$);
SELECT daemon.refused($$UPDATE objectlink.object SET state = 'unlinked'$$);
SELECT daemon.settle('stale', 'gone');
-- an object vanishes from the registry only from the state deleting
CALL daemon.unlink('{present}');
SELECT daemon.refused($$SELECT daemon.settle('present', 'gone')$$);
SELECT daemon.refused($$DELETE FROM objectlink.object$$);
:objects
-- every pair of states, tried on a row
SELECT string_agg(coalesce(from_state, '(new)') || '>' || to_state, ' ' ORDER BY from_state COLLATE "C" NULLS FIRST, to_state COLLATE "C") FROM objectlink.legal_transitions();
CREATE FUNCTION daemon.goes(p_from text, p_to text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO objectlink.object (store_id, key, state, since) VALUES (1, 'pair', p_from, now());
  IF p_to = 'gone' THEN DELETE FROM objectlink.object WHERE key = 'pair'; ELSE UPDATE objectlink.object SET state = p_to WHERE key = 'pair'; END IF;
  RAISE 'done';
EXCEPTION WHEN check_violation THEN RETURN false; WHEN raise_exception THEN RETURN true;
END $$;
WITH state (s) AS (SELECT unnest('{reserved,pending,stored,missing,corrupt,failed,unlinked,deleting}'::text[])), pair AS MATERIALIZED (
  SELECT daemon.goes(a.s, b.s) AS goes,
         a.s = b.s OR EXISTS (SELECT FROM objectlink.legal_transitions() l WHERE l.from_state = a.s AND l.to_state = b.s) AS legal
  FROM state a, (SELECT s FROM state UNION SELECT 'gone') b
) SELECT count(*), count(*) FILTER (WHERE goes) AS goes, count(*) FILTER (WHERE goes <> legal) AS wrong FROM pair;

SET client_min_messages = warning;
DROP TABLE document;
CALL daemon.finish();
