-- Goal: what is said of a restore to a point in time never promises too much; within the retention no object of a row is deleted.
-- Method: one session plays user and daemon, and sets back the times of what was unlinked.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set store 'daemon.store_id(''docs''), daemon.epoch(daemon.store_id(''docs''))'
CREATE TABLE document (id int PRIMARY KEY, title text, file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
CREATE PROCEDURE daemon.store(p_keys text[]) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO document SELECT n, 'row ' || n, objectlink.storage_ref('docs', k) FROM unnest(p_keys) WITH ORDINALITY AS u (k, n);
  PERFORM daemon.apply();
  PERFORM daemon.settle(k, 'stored', '{"size": 10, "etag": "\"e\"", "sha256": "00ff", "version_id": "v1"}') FROM unnest(p_keys) k;
END $$;
-- All that is due goes, in one batch
CREATE FUNCTION daemon.erase(p_more jsonb DEFAULT '{"request_id": "R1", "proof": "HEAD 404"}') RETURNS int LANGUAGE plpgsql AS $$
BEGIN
  PERFORM daemon.apply();
  PERFORM daemon.condemn();
  PERFORM daemon.issue();
  RETURN objectlink.settle(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), (
    SELECT json_agg(jsonb_build_object('key', key, 'state', state, 'attempts', attempts, 'outcome', 'gone', 'cause', 'delete') || p_more)
    FROM objectlink.object WHERE state = 'deleting'));
END $$;

\set coverage 'SELECT covered, covered_until, retention, gone, gone_bytes, waiting, waiting_bytes, reason FROM daemon.coverage'
CREATE FUNCTION daemon.coverage(p_ago interval) RETURNS TABLE (covered boolean, covered_until text, retention interval, gone bigint, gone_bytes numeric,
  waiting bigint, waiting_bytes numeric, reason text) LANGUAGE sql AS $$
  SELECT covered, round(extract(epoch FROM covered_until - clock_timestamp()) / 3600) || ' h', retention, gone, gone_bytes, waiting, waiting_bytes, reason
  FROM objectlink.recovery_coverage(clock_timestamp() - p_ago) WHERE store = 'docs'
$$;
CREATE PROCEDURE daemon.set_back(p_key text, p_ago interval) LANGUAGE sql AS $$
  UPDATE objectlink.object SET unlinked_at = unlinked_at - p_ago, wanted_since = wanted_since - p_ago, due_at = due_at - p_ago, keep_until = keep_until - p_ago WHERE key = p_key
$$;
-- no retention: nothing is promised, whatever happened
:coverage('1 hour');
ALTER SERVER docs OPTIONS (ADD retention '2 days');
:coverage('1 hour');
:coverage('47 hours');
:coverage('49 hours');
SELECT daemon.refused('SELECT objectlink.recovery_coverage(NULL)');
SELECT daemon.refused($$SELECT objectlink.recovery_coverage('infinity')$$);
-- unlinked since, and still there; not those that were unlinked before
CALL daemon.store('{young,old,reserved}');
DELETE FROM document;
SELECT objectlink.append_outbox('P', 's3://docs/never', NULL);
SELECT daemon.apply();
CALL daemon.set_back('old', '30 hours');
CALL daemon.set_back('reserved', '10 hours');
:coverage('20 hours');
:coverage('5 hours');
:coverage('40 hours');
-- begun before the point and found after it: it may have been committed after it, so it counts
UPDATE objectlink.object SET unlinked_at = unlinked_at - interval '3 days' WHERE key = 'young';
:coverage('20 hours');
-- waiting under a shorter retention than the present one: until then
UPDATE objectlink.object SET due_at = clock_timestamp() + interval '3 hours', keep_until = clock_timestamp() + interval '3 hours' WHERE key = 'young';
:coverage('20 hours');
SELECT * FROM objectlink.expedite_deletions('docs', key => 'young');
:coverage('20 hours');
SELECT daemon.condemn();
:coverage('20 hours');
SELECT daemon.erase();
:coverage('20 hours');
-- gone, but only rows from before could have linked it
:coverage('0 hours');
-- never linked by any row
UPDATE objectlink.object SET due_at = clock_timestamp() WHERE key = 'never';
SELECT objectlink.expire_reserved(:store, '{never}'), daemon.erase();
:coverage('20 hours');
-- a purge takes the knowledge away
SELECT objectlink.purge_erasures(clock_timestamp() - interval '10 hours'), objectlink.purge_erasures('infinity');
:coverage('20 hours');
:coverage('0 hours');
-- without a server nothing is promised
CREATE SERVER attic FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'attic', retention '2 days');
SELECT count(*) FROM objectlink.store_settings();
SELECT store, covered, retention, reason FROM objectlink.recovery_coverage(clock_timestamp() - interval '1 hour');
DROP SERVER attic;
SELECT store, covered, retention, reason FROM objectlink.recovery_coverage(clock_timestamp() - interval '1 hour');
TRUNCATE objectlink.object;

-- A row that comes and goes while its object waits to be deleted: after it the retention begins anew
CALL daemon.store('{anew,walk}');
DELETE FROM document;
SELECT daemon.apply();
CALL daemon.set_back('anew', '40 hours');
CALL daemon.set_back('walk', '40 hours');
INSERT INTO document VALUES (1, 'again', 's3://docs/anew');
DELETE FROM document;
SELECT daemon.apply();
\set due 'SELECT key, round(extract(epoch FROM due_at - clock_timestamp()) / 3600) AS due_in_hours, state FROM objectlink.object ORDER BY key;'
:due
-- also when the link is seen only after the unlink was
CALL daemon.set_back('anew', '40 hours');
SELECT objectlink.append_outbox('L', 's3://docs/anew', 1);
SELECT daemon.apply();
:due
-- but not because a walk asks what is waiting anyway
CALL daemon.set_back('anew', '40 hours');
TRUNCATE document;
SELECT daemon.apply(), daemon.walk(), daemon.apply();
:due

-- Readers and admins may ask
CREATE ROLE objectlink_test_user;
SET ROLE objectlink_test_user;
SELECT count(*) FROM objectlink.recovery_coverage(now() - interval '1 hour');
RESET ROLE;
SELECT objectlink.grant_reader('objectlink_test_user');
SET ROLE objectlink_test_user;
SELECT count(*) FROM objectlink.recovery_coverage(now() - interval '1 hour');
RESET ROLE;

SET client_min_messages = warning;
DROP TABLE document;
DROP OWNED BY objectlink_test_user;
DROP ROLE objectlink_test_user;
\set ECHO none
CALL daemon.finish();
