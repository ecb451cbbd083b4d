-- Goal: put() keeps content until a store has proved it, under a key of its own or a chosen one, and overwrites nothing.
-- Method: call it in every way, apply, settle; then what is refused; then content that nobody came to link.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set objects 'SELECT key, state, due FROM daemon.objects ORDER BY key;'
\set payloads 'SELECT ref, size, content_type, chosen_key, content FROM objectlink.payload ORDER BY ref;'
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE SERVER images FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'images', prefix 'img');
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
CREATE FUNCTION shape(p_ref objectlink.storage_ref) RETURNS text LANGUAGE sql AS
$$ SELECT regexp_replace(regexp_replace(p_ref::text, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<uuid>'), '\d{4}/\d{2}/', '<yyyy>/<mm>/') $$;

-- A fresh key, with and without a name, below the prefix of the store
SELECT shape(objectlink.put('docs', 'content')), shape(objectlink.put('docs', 'content', 'report.pdf')), shape(objectlink.put('images', '', name => 'ä b.png'));
SELECT count(*), count(DISTINCT ref) FROM objectlink.payload;
SELECT shape(ref), size, sha256 = sha256(content), md5 = decode(md5(content), 'hex'), content_type, chosen_key FROM objectlink.payload ORDER BY length(shape(ref));
SELECT op, shape(ref), attachment_id FROM objectlink.outbox ORDER BY length(shape(ref));
TRUNCATE objectlink.outbox, objectlink.payload;

-- A chosen key: put and linked in one statement, in one transaction, put without a row, linked without content
INSERT INTO document VALUES (1, objectlink.put('docs', 'one', key => 'chosen/1', content_type => 'text/plain; charset=utf-8'));
BEGIN;
SELECT objectlink.put('docs', 'two', key => 'chosen/2');
INSERT INTO document VALUES (2, 's3://docs/chosen/2');
COMMIT;
SELECT objectlink.put('docs', 'three', key => 'chosen/3');
INSERT INTO document VALUES (4, 's3://docs/chosen/4');
BEGIN;
SELECT objectlink.put('docs', 'five', key => 'chosen/5');
ROLLBACK;
:payloads
SELECT daemon.apply();
:objects
SELECT key, state, payload_size, chosen_key, content_type, content FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) ORDER BY key;
SELECT key, to_state, cause FROM objectlink.event ORDER BY key;
-- in pieces, as content that is not handed over with the work
SELECT objectlink.read_payload(daemon.store_id('docs'), 'chosen/1', 0, 2), objectlink.read_payload(daemon.store_id('docs'), 'chosen/1', 2, 100);
SELECT objectlink.read_payload(daemon.store_id('docs'), 'chosen/1', 3, 100), objectlink.read_payload(daemon.store_id('docs'), 'chosen/4', 0, 2);
SELECT length(objectlink.put('docs', decode(repeat('ab', objectlink.inline_content_bytes() + 1), 'hex'), key => 'large')::text);
INSERT INTO document VALUES (6, 's3://docs/large');
SELECT daemon.apply();
SELECT key, payload_size, content IS NULL FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) WHERE key = 'large';
-- the reserved one is linked now
INSERT INTO document VALUES (3, 's3://docs/chosen/3');
SELECT daemon.apply();
-- proved: the content is freed; what failed keeps it
SELECT daemon.settle('chosen/1', 'stored', jsonb_build_object('size', 3, 'sha256', encode(sha256('one'), 'hex')));
SELECT daemon.settle('chosen/2', 'retry', '{"retry_ms": 0, "error_code": "SlowDown"}');
SELECT daemon.settle('chosen/3', 'failed', '{"error_code": "AccessDenied"}');
SELECT ref FROM objectlink.payload ORDER BY ref;
:objects

-- The same content again is success, before and after it was proved
SELECT objectlink.put('docs', 'two', key => 'chosen/2');
SELECT objectlink.put('docs', 'one', key => 'chosen/1');
SELECT count(*) FROM objectlink.payload WHERE objectlink.key(ref) LIKE 'chosen/%';
SELECT daemon.apply();
:objects
-- for what was given up it is another try
SELECT objectlink.put('docs', 'three', key => 'chosen/3');
SELECT daemon.apply();
:objects
-- for what was lost too: the content is handed over again
UPDATE objectlink.object SET state = 'missing' WHERE key = 'chosen/1';
SELECT objectlink.put('docs', 'one', key => 'chosen/1');
SELECT daemon.apply();
SELECT key, state, content FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) WHERE key = 'chosen/1';
SELECT daemon.settle('chosen/1', 'stored');
-- Other content is a conflict: proved, waiting, lost, or without a digest to compare
SELECT daemon.refused($$SELECT objectlink.put('docs', 'ONE', key => 'chosen/1')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'TWO', key => 'chosen/2')$$);
UPDATE objectlink.object SET state = 'missing' WHERE key = 'chosen/1';
SELECT daemon.refused($$SELECT objectlink.put('docs', 'ONE', key => 'chosen/1')$$);
SELECT daemon.settle('chosen/4', 'stored', '{"size": 4}');
SELECT daemon.refused($$SELECT objectlink.put('docs', 'four', key => 'chosen/4')$$);
-- also in one transaction, and while it waits to be forgotten
BEGIN;
SELECT objectlink.put('docs', 'x', key => 'once');
SELECT daemon.refused($$SELECT objectlink.put('docs', 'y', key => 'once')$$);
SELECT objectlink.put('docs', 'x', key => 'once');
ROLLBACK;
DELETE FROM document WHERE id = 1;
SELECT daemon.apply();
SELECT daemon.refused($$SELECT objectlink.put('docs', 'ONE', key => 'chosen/1')$$);
-- nothing of what was refused is left
SELECT ref, size FROM objectlink.payload ORDER BY ref;
SELECT count(*) FROM objectlink.outbox;

-- Refused
SELECT daemon.refused($$SELECT objectlink.put(NULL, 'x')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', name => 'a', key => 'a')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', name => '')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', name => '.')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', name => '..')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', name => 'a/b')$$);
SELECT left(daemon.refused($$SELECT objectlink.put('docs', 'x', name => repeat('n', 1024))$$), 18) LIMIT 1;
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', key => '')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', key => repeat('k', 1025))$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', key => '.objectlink/owner')$$);
SELECT daemon.refused($$SELECT objectlink.put('images', 'x', key => 'images/x')$$);
SELECT daemon.refused($$SELECT objectlink.put('images', 'x', key => 'img')$$);
SELECT daemon.refused($$SELECT objectlink.put('no_such_store', 'x')$$);
SELECT daemon.refused($$SELECT objectlink.put('a/b', 'x')$$);
SELECT daemon.refused($$SELECT objectlink.put('', 'x')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', content_type => E'text/plain\r\nx-amz-acl: public-read')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', content_type => 'text/plän')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', content_type => repeat('t', 256))$$);
INSERT INTO objectlink.condemned VALUES ('s3://docs/doomed');
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', key => 'doomed')$$);
SELECT count(*) FROM objectlink.payload WHERE content = 'x';
SELECT count(*) FROM objectlink.outbox;
-- names that are odd but fine
SELECT shape(objectlink.put('docs', '', name => '...')), shape(objectlink.put('docs', '', name => '%2e%2e')), shape(objectlink.put('docs', '', name => E'a\\b "c"'' #?&+'));
TRUNCATE objectlink.outbox, objectlink.payload, objectlink.object, objectlink.condemned, objectlink.event;
DELETE FROM document;
TRUNCATE objectlink.outbox;

-- Reserved: content that nobody came to link goes the way of every unlinked object, once its time is over
SELECT objectlink.put('docs', k::bytea, key => k) FROM unnest('{expired,early,linked,silent}'::text[]) k;
SELECT daemon.apply();
SELECT key, due_at - since = objectlink.reservation_time() OR due_at - since BETWEEN interval '23:59:59' AND interval '24:00:01' AS a_day FROM objectlink.object ORDER BY key;
SELECT objectlink.expire_reserved(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{expired}');
UPDATE objectlink.object SET due_at = clock_timestamp() WHERE key <> 'early';
INSERT INTO document VALUES (1, 's3://docs/linked');
CREATE TABLE unattached (file objectlink.storage_ref);
INSERT INTO unattached VALUES ('s3://docs/silent');
SELECT key, state FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) ORDER BY key;
SELECT objectlink.expire_reserved(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{expired,early,linked,silent,unheard-of}');
:objects
-- of those the rows have the last word
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT daemon.issue();
SELECT daemon.settle('expired', 'gone');
:objects
SELECT ref FROM objectlink.payload ORDER BY ref;
-- Put again while it waits to be deleted: a row has its time to come and link it, whether the bytes are there or wait
INSERT INTO document VALUES (4, 's3://docs/there'), (5, 's3://docs/waits'), (6, 's3://docs/there'), (7, 's3://docs/waits');
SELECT daemon.apply();
SELECT daemon.settle('there', 'stored', jsonb_build_object('size', 5, 'sha256', encode(sha256('there'), 'hex')));
DELETE FROM document WHERE id > 5;
CREATE TEMP TABLE read_later AS SELECT * FROM objectlink.outbox;
TRUNCATE objectlink.outbox;
DELETE FROM document WHERE id > 3;
SELECT daemon.apply();
SELECT key, state, due FROM daemon.objects WHERE key IN ('there', 'waits') ORDER BY key;
-- the deletion of the one was tried before, and blocked
SELECT daemon.claim();
SELECT objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{there}');
SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{there}', 0, 'blocked');
SELECT objectlink.put('docs', k::bytea, key => k) FROM unnest('{there,waits}'::text[]) k;
SELECT daemon.apply();
SELECT key, state, due FROM daemon.objects WHERE key IN ('there', 'waits') ORDER BY key;
SELECT key, last_error FROM objectlink.object WHERE key IN ('there', 'waits') ORDER BY key;
-- who hands it over is not who unlinked it; and another row's unlink, read only now, takes nothing of that time away, or the
-- object would be gone when the row comes
SELECT key, unlinked_act FROM objectlink.object WHERE key IN ('there', 'waits') ORDER BY key;
INSERT INTO objectlink.outbox SELECT * FROM read_later;
SELECT daemon.apply();
SELECT key, state, due FROM daemon.objects WHERE key IN ('there', 'waits') ORDER BY key;
DROP TABLE read_later;
SELECT daemon.condemn();
INSERT INTO document VALUES (4, 's3://docs/there'), (5, 's3://docs/waits');
SELECT daemon.apply();
SELECT key, state, due FROM daemon.objects WHERE key IN ('there', 'waits') ORDER BY key;
SELECT ref FROM objectlink.payload WHERE objectlink.key(ref) IN ('there', 'waits');
-- put, linked and unlinked before anybody looked: there may be an object, so it is deleted
BEGIN;
INSERT INTO document VALUES (2, objectlink.put('docs', 'brief', key => 'brief'));
DELETE FROM document WHERE id = 2;
COMMIT;
SELECT daemon.apply();
SELECT key, state FROM objectlink.object WHERE key = 'brief';
-- the row goes while the content waits: linked again, it is uploaded after all
INSERT INTO document VALUES (3, 's3://docs/brief');
SELECT daemon.apply();
SELECT key, state, content FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 10) WHERE key = 'brief';

SET client_min_messages = warning;
CALL daemon.drop_server('images');
DROP TABLE document, unattached;
DROP FUNCTION shape(objectlink.storage_ref);
CALL daemon.finish();
