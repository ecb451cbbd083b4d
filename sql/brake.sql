-- Goal: more deletions together than a store's limits, and none begins, however slowly they come; who releases the brake lets go what waited and no more.
-- Method: one session plays user and daemon; the hour is moved by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
\set brake 'SELECT braked_at IS NOT NULL AS braked, brake_reason, window_begun, window_allowed, window_known FROM objectlink.store WHERE name = ''docs'';'
CREATE PROCEDURE daemon.stored(p_prefix text, p_count int) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO objectlink.object (store_id, key, state, since, verified_at, size)
    SELECT daemon.store_id('docs'), p_prefix || lpad(n::text, 6, '0'), 'stored', now(), now(), 1 FROM generate_series(1, p_count) n;
END $$;
-- Unlinks so many of them, as applied
CREATE PROCEDURE daemon.unlink(p_prefix text, p_count int) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM objectlink.append_outbox('U', objectlink.storage_ref('docs', o.key), NULL)
    FROM (SELECT key FROM objectlink.object WHERE key ^@ p_prefix AND state = 'stored' ORDER BY key LIMIT p_count) o;
  PERFORM daemon.apply();
END $$;
-- Condemns at most so many: how many were
CREATE FUNCTION daemon.begin_deleting(p_count int DEFAULT 1000) RETURNS bigint LANGUAGE sql AS $$
  SELECT daemon.claim();
  SELECT count(*) FROM objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
    ARRAY(SELECT w.key FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 5000) w WHERE w.state = 'unlinked' LIMIT p_count))
$$;
CREATE PROCEDURE daemon.forget() LANGUAGE plpgsql AS $$
BEGIN
  TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;
  UPDATE objectlink.store SET braked_at = NULL, brake_reason = NULL, window_at = NULL, window_begun = 0, window_allowed = 0, window_known = NULL, due_counted_at = NULL;
END $$;

-- The absolute limit: all at once
ALTER SERVER docs OPTIONS (ADD delete_limit '50');
CALL daemon.stored('a', 200);
CALL daemon.unlink('a', 50);
SELECT daemon.begin_deleting();
:brake
CALL daemon.unlink('a', 1);
SELECT daemon.begin_deleting();
:brake
SELECT cause, key, detail - 'begun' FROM objectlink.event WHERE cause = 'braked';
-- braked: nothing is handed out, nothing begins; what was begun goes on
SELECT count(*) FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 1000) w WHERE w.state = 'unlinked';
SELECT count(*) FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 1000) w WHERE w.state = 'deleting';
SELECT daemon.begin_deleting();
SELECT count(*) FROM daemon.issue();
SELECT braked, reason IS NOT NULL FROM objectlink.brake_of(daemon.store_id('docs'));
SELECT store, status, error_message FROM objectlink.consistency;
SELECT daemon.settle(key, 'gone') IS NULL FROM objectlink.object WHERE state = 'deleting' LIMIT 1;
-- not settled: nobody has decided
SELECT daemon.refused($$CALL objectlink.wait_for_sync('0')$$);
-- more comes to it while it is braked, of other work too
CALL daemon.unlink('a', 60);
SELECT daemon.begin_deleting();
-- released: exactly what waited
SELECT * FROM objectlink.release_brake('docs', dry_run => true);
:brake
SELECT * FROM objectlink.release_brake('docs', reason => 'meant so');
:brake
SELECT daemon.begin_deleting(40), daemon.begin_deleting();
:brake
-- and the limit on top of it, no more
CALL daemon.unlink('a', 50);
SELECT daemon.begin_deleting();
CALL daemon.unlink('a', 1);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting();
:brake
SELECT * FROM objectlink.release_brake('docs');
SELECT * FROM objectlink.release_brake('docs');
SELECT cause, detail FROM objectlink.event WHERE cause = 'brake released' ORDER BY id;

-- Slowly: it adds up within an hour, and begins anew after it
CALL daemon.forget();
CALL daemon.stored('b', 200);
CALL daemon.unlink('b', 20);
SELECT daemon.begin_deleting();
CALL daemon.unlink('b', 20);
SELECT daemon.begin_deleting();
CALL daemon.unlink('b', 11);
SELECT daemon.begin_deleting();
:brake
CALL daemon.forget();
CALL daemon.stored('b', 200);
CALL daemon.unlink('b', 40);
SELECT daemon.begin_deleting();
UPDATE objectlink.store SET window_at = window_at - interval '59 minutes';
CALL daemon.unlink('b', 40);
SELECT daemon.begin_deleting();
:brake
SELECT * FROM objectlink.release_brake('docs');
SELECT daemon.begin_deleting(30);
UPDATE objectlink.store SET window_at = window_at - interval '61 minutes';
SELECT daemon.begin_deleting();
:brake
CALL daemon.unlink('b', 40);
SELECT daemon.begin_deleting();
:brake
-- what a person has allowed is still allowed an hour later
CALL daemon.forget();
CALL daemon.stored('c', 200);
CALL daemon.unlink('c', 150);
SELECT daemon.begin_deleting(), (SELECT released FROM objectlink.release_brake('docs'));
SELECT daemon.begin_deleting(30);
UPDATE objectlink.store SET window_at = window_at - interval '61 minutes';
SELECT daemon.begin_deleting();
:brake

-- Taken back is not begun
CALL daemon.forget();
CALL daemon.stored('d', 100);
CALL daemon.unlink('d', 40);
CREATE FUNCTION daemon.take_back(p_retry_ms int) RETURNS int LANGUAGE sql AS $$
  SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), array_agg(key), p_retry_ms, 'blocked') FROM objectlink.object WHERE state = 'deleting' $$;
SELECT daemon.begin_deleting(), daemon.take_back(0);
SELECT daemon.begin_deleting(), daemon.take_back(0);
SELECT daemon.begin_deleting();
:brake
-- nor is what a hold takes back, or what was found to be linked
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'd00001');
:brake
ALTER TABLE document DISABLE TRIGGER USER;
INSERT INTO document (file) VALUES ('s3://docs/d000001'), ('s3://docs/d000002');
ALTER TABLE document ENABLE TRIGGER USER;
SELECT count(*) FROM daemon.issue();
:brake
DELETE FROM document;

-- The share: not of small stores (here below 1000), and of what was there when the hour began
CREATE OR REPLACE FUNCTION objectlink.brake_share_from() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 1000';
CALL daemon.forget();
ALTER SERVER docs OPTIONS (DROP delete_limit);
CALL daemon.stored('e', 1001);
CALL daemon.unlink('e', 999);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(2000);
CALL daemon.unlink('e', 1);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting();
:brake
CALL daemon.forget();
CALL daemon.stored('f', 2000);
CALL daemon.unlink('f', 1000);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(2000);
CALL daemon.unlink('f', 1);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting();
:brake
CALL daemon.forget();
ALTER SERVER docs OPTIONS (ADD delete_limit_share '100');
CALL daemon.stored('g', 1500);
CALL daemon.unlink('g', 1500);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(2000);
:brake
-- nor where objects come and go, however many: nothing is lost
CALL daemon.forget();
ALTER SERVER docs OPTIONS (SET delete_limit_share '50');
CALL daemon.stored('i', 600);
CALL daemon.unlink('i', 500);
SELECT daemon.begin_deleting(2000);
CALL daemon.stored('j', 600);
CALL daemon.unlink('j', 500);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(2000);
CALL daemon.stored('k', 600);
CALL daemon.unlink('k', 500);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(2000);
:brake
CALL daemon.forget();
ALTER SERVER docs OPTIONS (SET delete_limit_share '1');
CALL daemon.stored('h', 1500);
CALL daemon.unlink('h', 500);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(2000);
CALL daemon.unlink('h', 500);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(2000);
:brake

-- what a person has let go is not lost a second time; what comes on top of it is
CALL daemon.forget();
ALTER SERVER docs OPTIONS (SET delete_limit_share '50');
CALL daemon.stored('n', 2500);
CALL daemon.unlink('n', 1300);
SELECT daemon.begin_deleting();
SELECT released FROM objectlink.release_brake('docs');
SELECT daemon.begin_deleting(700);
CALL daemon.unlink('n', 1100);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(100);
CALL daemon.unlink('n', 100);
CALL daemon.stored('o', 100);
CALL daemon.unlink('o', 100);
UPDATE objectlink.store SET due_counted_at = NULL;
SELECT daemon.begin_deleting(100);
:brake
ALTER SERVER docs OPTIONS (SET delete_limit_share '1');

CREATE OR REPLACE FUNCTION objectlink.brake_share_from() RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS 'SELECT 10000';
-- Another store is not braked with it
CREATE SERVER other FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'other');
SELECT objectlink.acquire(daemon.store_id('other'), (SELECT max(id) FROM objectlink.worker)) IS NOT NULL;
SELECT objectlink.append_outbox('U', 's3://other/x', NULL);
SELECT daemon.apply();
SELECT daemon.condemn('other');
SELECT store, status FROM objectlink.consistency ORDER BY store;
-- nor released or counted with it, and nothing is allowed that was not due yet when a person looked
UPDATE objectlink.store SET braked_at = now(), brake_reason = 'too many', window_begun = 3, window_allowed = 0;
SELECT objectlink.uncount_deletions(daemon.store_id('docs'), 5);
UPDATE objectlink.object SET due_at = now() + interval '1 day' WHERE state = 'unlinked' AND store_id = daemon.store_id('docs');
SELECT * FROM objectlink.release_brake('docs');
SELECT name, braked_at IS NOT NULL AS braked, window_begun, window_allowed FROM objectlink.store ORDER BY name;
-- What is taken back after its hour is over does not make room for more
CALL daemon.forget();
SELECT objectlink.uncount_deletions(daemon.store_id('docs'), 5);
:brake
-- What falls due while the window lasts is counted, every few seconds; what is not due yet is not; and an hour is over by itself
ALTER SERVER docs OPTIONS (ADD delete_limit '50');
CALL daemon.stored('l', 200);
CALL daemon.unlink('l', 10);
SELECT daemon.begin_deleting();
CALL daemon.unlink('l', 45);
UPDATE objectlink.object SET due_at = now() + interval '1 hour' WHERE state = 'unlinked';
UPDATE objectlink.object SET due_at = now() WHERE key = (SELECT min(key) FROM objectlink.object WHERE state = 'unlinked');
UPDATE objectlink.store SET due_counted_at = due_counted_at - interval '6 seconds';
SELECT daemon.begin_deleting();
UPDATE objectlink.object SET due_at = now() WHERE state = 'unlinked';
UPDATE objectlink.store SET due_counted_at = due_counted_at - interval '6 seconds';
SELECT daemon.begin_deleting(1);
:brake
UPDATE objectlink.store SET window_at = window_at - interval '61 minutes', braked_at = NULL, brake_reason = NULL;
SELECT daemon.begin_deleting();
:brake
-- What comes right after a person has let go what waited is counted with it, at once
CALL daemon.forget();
CALL daemon.stored('m', 200);
CALL daemon.unlink('m', 60);
SELECT daemon.begin_deleting(1);
SELECT released FROM objectlink.release_brake('docs');
CALL daemon.unlink('m', 60);
SELECT daemon.begin_deleting(1);
:brake
-- An hour in which less was allowed than begun takes nothing from the next one
CALL daemon.forget();
CALL daemon.stored('p', 200);
CALL daemon.unlink('p', 45);
SELECT daemon.begin_deleting();
UPDATE objectlink.store SET window_at = window_at - interval '61 minutes';
CALL daemon.unlink('p', 45);
SELECT daemon.begin_deleting();
:brake

SET client_min_messages = warning;
CALL daemon.drop_server('other');
DROP TABLE document;
CALL daemon.finish();
