-- Goal: a key is not forgotten while an upload of it may still arrive: it is looked at once more when that is over.
-- Method: one session plays user and daemon, and moves the times in the tables.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set late 'SELECT key, put_unknown_until > clock_timestamp() + interval ''15 minutes'' AS late FROM objectlink.object ORDER BY key;'
\set marks 'SELECT ref, release_after > clock_timestamp() + interval ''15 minutes'' AS later, watched, sha256 IS NOT NULL AS digest, attachment_id IS NOT NULL AS attached FROM objectlink.condemned ORDER BY ref;'
\set gone 'SELECT key, detail ->> ''proof'', detail ->> ''versions_left'', detail ? ''watched_until'' FROM objectlink.event WHERE to_state = ''gone'' ORDER BY id; DELETE FROM objectlink.event;'
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
-- Deletes a stored object up to the request
CREATE PROCEDURE daemon.delete_all() LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM document;
  PERFORM daemon.apply();
  PERFORM daemon.condemn();
  PERFORM daemon.issue();
END $$;

-- No upload is unknown: the key is free at once
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'known'));
SELECT daemon.apply(), daemon.settle('known', 'stored', '{"size": 7, "sha256": "00ff"}');
:late
CALL daemon.delete_all();
SELECT daemon.settle('known', 'gone', '{"proof": "HEAD 404", "versions_left": 0}');
:marks
:gone

-- An upload whose outcome is unknown; another that succeeds does not make it known
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'late'));
SELECT daemon.apply(), daemon.settle('late', 'retry', '{"put_unknown": true, "error_code": "Timeout", "retry_ms": 0}');
:late
SELECT daemon.settle('late', 'stored', '{"size": 7, "sha256": "00ff"}');
:late
CALL daemon.delete_all();
SELECT daemon.settle('late', 'gone', '{"proof": "listing", "versions_left": 3}');
:marks
:gone
-- deleted; the key is refused meanwhile, and wait_for_sync() does not wait for it
SELECT count(*) FROM objectlink.objects;
CALL objectlink.wait_for_sync('1 second');
SELECT daemon.refused($$INSERT INTO document VALUES (2, 's3://docs/late')$$);
SELECT objectlink.release_condemned(daemon.epoch(0));
:marks
-- its time is over: it goes once more the way of an unlinked object, with the digest of what may have come
UPDATE objectlink.condemned SET release_after = now();
SELECT objectlink.release_condemned(daemon.epoch(0));
:marks
SELECT key, from_state, to_state, cause, attachment_id IS NOT NULL FROM objectlink.event; DELETE FROM objectlink.event;
SELECT key, state, payload_size, encode(sha256, 'hex'), verified FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10);
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('late', 'gone', '{"proof": "HEAD 404"}');
:marks
:gone

-- Linked again in the moment in which the mark has gone: it stays
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'late'));
SELECT daemon.apply(), daemon.settle('late', 'retry', '{"put_unknown": true}'), daemon.settle('late', 'stored', '{"sha256": "00ff"}');
CALL daemon.delete_all();
SELECT daemon.settle('late', 'gone');
UPDATE objectlink.condemned SET release_after = now();
SELECT objectlink.release_condemned(daemon.epoch(0));
INSERT INTO document VALUES (1, 's3://docs/late');
SELECT daemon.apply();
SELECT key, state FROM objectlink.object;
SELECT daemon.condemn();
DELETE FROM document;
TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.payload;

-- The outcome comes when the object is unlinked already: its result is dropped, that it is unknown is not
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'late'));
SELECT daemon.apply();
SELECT state AS state_of_result FROM objectlink.object \gset
DELETE FROM document;
SELECT daemon.apply();
SELECT daemon.settle('late', 'retry', jsonb_build_object('state', :'state_of_result', 'put_unknown', true));
:late
CALL daemon.delete_all();
SELECT daemon.settle('late', 'gone');
:marks
SELECT encode(sha256, 'hex') = encode(sha256('content'), 'hex') FROM objectlink.condemned;
SELECT count(*) FROM objectlink.payload;
TRUNCATE objectlink.condemned, objectlink.event;

-- An upload of long ago
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'long ago'));
SELECT daemon.apply(), daemon.settle('long ago', 'retry', '{"put_unknown": true}'), daemon.settle('long ago', 'stored');
UPDATE objectlink.object SET put_unknown_until = now() - interval '1 second';
CALL daemon.delete_all();
SELECT daemon.settle('long ago', 'gone');
:marks

-- The deletion's own reply was lost as well: the later of the two times counts
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'both'));
SELECT daemon.apply(), daemon.settle('both', 'retry', '{"put_unknown": true}'), daemon.settle('both', 'stored', '{"sha256": "00ff"}');
UPDATE objectlink.object SET put_unknown_until = now() + interval '1 minute';
CALL daemon.delete_all();
SELECT daemon.settle('both', 'unknown');
SELECT daemon.settle('both', 'gone');
:marks
TRUNCATE objectlink.condemned, objectlink.event;

-- An owner that vanished: what it may have been uploading is late, what came after it or was proved before is not
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'proved before')), (2, objectlink.put('docs', 'content', key => 'waiting'));
SELECT daemon.apply(), daemon.settle('proved before', 'stored');
SELECT pg_advisory_unlock_all();
SELECT daemon.start();
INSERT INTO document VALUES (3, objectlink.put('docs', 'content', key => 'came after'));
SELECT daemon.apply(), daemon.settle('waiting', 'stored', '{"sha256": "00ff"}'), daemon.settle('came after', 'stored');
:late
CALL daemon.delete_all();
SELECT daemon.settle(k, 'gone') FROM unnest('{proved before,waiting,came after}'::text[]) k;
:marks
TRUNCATE objectlink.condemned, objectlink.event;
-- never proved at all
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'never proved'));
SELECT daemon.apply();
SELECT pg_advisory_unlock_all();
SELECT daemon.start();
CALL daemon.delete_all();
SELECT daemon.settle('never proved', 'gone');
:marks
TRUNCATE objectlink.condemned, objectlink.event;
-- long ago, or by one that let go cleanly
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'waiting'));
SELECT daemon.apply();
SELECT pg_advisory_unlock_all();
SELECT daemon.start();
UPDATE objectlink.owner SET unclean_at = unclean_at - interval '17 minutes';
SELECT objectlink.release(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT pg_advisory_unlock_all();
SELECT daemon.start();
SELECT daemon.settle('waiting', 'stored');
:late
TRUNCATE objectlink.object, objectlink.outbox, objectlink.payload;
DELETE FROM document;
TRUNCATE objectlink.outbox;
-- both are unknown, what the owner that vanished had sent and what was sent since: the later time counts, whichever it is
INSERT INTO document VALUES (1, objectlink.put('docs', 'content', key => 'sent since')), (2, objectlink.put('docs', 'content', key => 'sent before'));
SELECT daemon.apply();
UPDATE objectlink.owner SET unclean_at = now() - interval '5 minutes', released_at = NULL;
UPDATE objectlink.payload SET created_at = now() - interval '6 minutes';
UPDATE objectlink.object SET put_unknown_until = now() + interval '1 minute' WHERE key = 'sent before';
SELECT daemon.settle('sent since', 'retry', '{"put_unknown": true}'), daemon.settle('sent before', 'retry');
SELECT key, round(extract(epoch FROM put_unknown_until - clock_timestamp()) / 60) AS minutes FROM objectlink.object ORDER BY key;
-- of several results in one batch only those that say so
UPDATE objectlink.owner SET unclean_at = NULL;
UPDATE objectlink.object SET put_unknown_until = NULL;
SELECT objectlink.settle(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
  (SELECT json_agg(json_build_object('key', key, 'state', state, 'attempts', attempts, 'outcome', 'stored', 'cause', 'test', 'put_unknown', key = 'sent since')) FROM objectlink.object));
:late
DROP TABLE document;
CALL daemon.finish();
