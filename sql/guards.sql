-- Goal: each step of the daemon looks for itself. Keys, results and marks that were right a moment ago do no harm when they are not any more.
-- Method: each function is given keys of every state, as a daemon would that was overtaken; then marks that outlive a deletion.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
\set store 'daemon.store_id(''docs''), daemon.epoch(daemon.store_id(''docs''))'
\set all_keys 'ARRAY(SELECT key::text FROM objectlink.object)'
\set objects 'SELECT key, state, due, admin_hold, last_error FROM daemon.objects JOIN objectlink.object USING (key, state) ORDER BY key;'
\set marks 'SELECT ref, CASE WHEN release_after IS NULL THEN ''no end'' WHEN release_after > clock_timestamp() THEN ''later'' ELSE ''over'' END FROM objectlink.condemned ORDER BY ref;'

-- One object of each state. What is linked is never unlinked by such a key, what is held never deleted
INSERT INTO document VALUES (1, 's3://docs/stored'), (2, 's3://docs/held'), (3, 's3://docs/due');
SELECT daemon.apply();
SELECT daemon.settle(k, 'stored', '{"size": 7, "etag": "e", "version_id": "v", "sha256": "00ff"}') FROM unnest('{stored,held,due}'::text[]) k;
INSERT INTO document VALUES (4, 's3://docs/pending');
DELETE FROM document WHERE id IN (2, 3);
SELECT objectlink.append_outbox('P', 's3://docs/reserved', NULL);
SELECT daemon.apply();
SELECT held FROM objectlink.hold_deletions('docs', key => 'held', reason => 'case');
SELECT daemon.claim();
:objects
SELECT objectlink.expire_reserved(:store, :all_keys);
SELECT objectlink.uncondemn(:store, :all_keys, 60000, 'blocked');
SELECT objectlink.issue(:store, :all_keys, 60000);
:objects
SELECT objectlink.condemn(:store, :all_keys);
SELECT key FROM objectlink.issue(:store, :all_keys, 60000);
SELECT objectlink.uncondemn(:store, :all_keys, 60000, 'blocked');
:objects
-- content that was handed over and is held: when nobody came to link it, it waits for the release
SELECT held FROM objectlink.hold_deletions('docs', key => 'reserved', reason => 'case');
UPDATE objectlink.object SET due_at = clock_timestamp() WHERE key = 'reserved';
SELECT objectlink.expire_reserved(:store, :all_keys);
SELECT key, state, due FROM daemon.objects WHERE key = 'reserved';

-- A request to delete is repeated: while one may be under way nobody may link the key, or his object would be destroyed; what is
-- known of the object stays known
SELECT daemon.settle('due', 'retry', '{"attempts": 7, "retry_ms": 0}');
SELECT daemon.settle('due', 'retry', '{"retry_ms": 0, "error_code": "SlowDown", "counted": true}');
:marks
SELECT daemon.refused($$INSERT INTO document VALUES (9, 's3://docs/due')$$);
SELECT state, attempts, size, etag, version_id, verified FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) WHERE key = 'due';
SELECT daemon.settle('due', 'gone');
:marks
-- tries of an upload that succeeded do not count for what comes later
SELECT daemon.settle('pending', 'retry', '{"retry_ms": 0, "counted": true}'), daemon.settle('pending', 'retry', '{"retry_ms": 0, "counted": true}');
SELECT daemon.settle('pending', 'stored', '{"size": 7}');
SELECT state, attempts, due_at FROM objectlink.object WHERE key = 'pending';

-- The mark of an earlier request, which may still arrive, outlives whatever becomes of the next deletion: its barrier was not
-- passed, an admin holds it, a row links it
INSERT INTO objectlink.condemned VALUES ('s3://docs/stored', now(), now() + interval '10 minutes');
DELETE FROM document WHERE id = 1;
SELECT daemon.apply();
SELECT objectlink.condemn(:store, '{stored}'), objectlink.uncondemn(:store, '{stored}', 0, 'blocked');
:marks
SELECT objectlink.condemn(:store, '{stored}');
SELECT held FROM objectlink.hold_deletions('docs', key => 'stored');
SELECT objectlink.release_deletions('docs', key => 'stored');
:marks
SELECT objectlink.condemn(:store, '{stored}');
ALTER TABLE document DISABLE TRIGGER USER;
INSERT INTO document VALUES (1, 's3://docs/stored');
ALTER TABLE document ENABLE TRIGGER USER;
SELECT objectlink.issue(:store, '{stored}', 0);
SELECT state FROM objectlink.object WHERE key = 'stored';
:marks
-- its end frees the key, although there is an object: else nobody could link it as long as that waits
UPDATE objectlink.condemned SET release_after = now();
SELECT objectlink.release_condemned(daemon.epoch(0));
:marks
-- only what an upload may have brought is looked for, and only by its digest: else it would be somebody else's that is deleted
INSERT INTO objectlink.condemned (ref, release_after, watched, sha256) VALUES
  ('s3://docs/no-upload', now(), false, '\x00ff'), ('s3://docs/no-digest', now(), true, NULL), ('s3://docs/upload', now(), true, '\x00ff');
SELECT objectlink.release_condemned(daemon.epoch(0));
SELECT key, state FROM objectlink.object WHERE key IN ('no-upload', 'no-digest', 'upload') ORDER BY key;

-- What is handed out: what is due, the oldest first, behind a point in time, as much as was asked for; so the daemon that takes it
-- in pieces leaves nothing out. With it how often it may be tried, and content of which no proof came yet
SELECT objectlink.release_deletions('docs', prefix => ''), objectlink.detach('document', 'file');
TRUNCATE objectlink.object, objectlink.outbox, objectlink.condemned;
DELETE FROM document;
SELECT objectlink.attach('document', 'file', max_attempts => 3) > 0;
INSERT INTO document SELECT i, objectlink.put('docs', 'x', key => 'p' || i) FROM generate_series(1, 3) i;
INSERT INTO document SELECT i, objectlink.put('docs', 'x', key => 'u' || i) FROM generate_series(4, 5) i;
SELECT daemon.apply() > 0;
UPDATE objectlink.object SET verified_at = now() WHERE key = 'u5';
DELETE FROM document WHERE id > 3;
SELECT daemon.apply();
UPDATE objectlink.object o SET due_at = now() + v.due FROM (VALUES ('p1', interval '-1 minute'), ('p2', '-3 minutes'), ('p3', '1 day'), ('u4', '-2 minutes'), ('u5', '0')) v (key, due) WHERE o.key = v.key;
INSERT INTO objectlink.object (store_id, key, state, since, due_at) VALUES (daemon.store_id('docs'), 'u6', 'unlinked', now(), now() + interval '1 day');
\set due 'SELECT string_agg(key, '' '') FROM objectlink.due_work'
:due(daemon.store_id('docs'), '-infinity', 100);
:due(daemon.store_id('docs'), '-infinity', 2);
:due(daemon.store_id('docs'), (SELECT due_at FROM objectlink.object WHERE key = 'u4'), 1);
:due(daemon.store_id('docs'), (SELECT due_at FROM objectlink.object WHERE key = 'p1'), 100);
SELECT key, max_attempts, payload_size, content FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 100) ORDER BY key;
ALTER SERVER docs OPTIONS (ADD max_attempts '7');
SELECT objectlink.alter_attachment('document', 'file', reset => '{max_attempts}') > 0;
UPDATE objectlink.object SET attachment_id = NULL WHERE key = 'p1';
SELECT key, max_attempts FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 100) WHERE state = 'pending' ORDER BY key;

SET client_min_messages = warning;
DROP TABLE document;
CALL daemon.finish();
