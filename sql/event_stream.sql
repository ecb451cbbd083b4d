-- Goal: a consumer gets each event once it is committed, in order, again until it has acknowledged it, and not after; old ones go.
-- Method: one session; what concurrent commits do to it is in test/e2e/test_event_stream.py.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
DELETE FROM objectlink.event;
INSERT INTO objectlink.event (cause) VALUES ('before');
SELECT objectlink.create_consumer('from-now'), objectlink.create_consumer('all', from_beginning => true);
SELECT cause FROM objectlink.read_events('from-now');
SELECT cause FROM objectlink.read_events('all');
INSERT INTO objectlink.event (cause, key) SELECT 'e' || n, 'k' FROM generate_series(1, 5) n;
SELECT cause FROM objectlink.read_events('from-now', 2);
-- the same until they are acknowledged
SELECT cause FROM objectlink.read_events('from-now', 3);
SELECT objectlink.ack_events('from-now', (SELECT id FROM objectlink.event WHERE cause = 'e2'));
SELECT objectlink.ack_events('from-now', (SELECT id FROM objectlink.event WHERE cause = 'e1'));
SELECT cause, key FROM objectlink.read_events('from-now');
-- what a transaction acknowledges and does not commit is read again
BEGIN;
SELECT objectlink.ack_events('from-now', max(id)) FROM objectlink.read_events('from-now');
SELECT cause FROM objectlink.read_events('from-now');
ROLLBACK;
SELECT cause FROM objectlink.read_events('from-now');
SELECT objectlink.ack_events('from-now', max(id)) FROM objectlink.read_events('from-now');
SELECT cause FROM objectlink.read_events('from-now');
-- another one is not touched by that
SELECT objectlink.ack_events('all', min(id)) FROM objectlink.read_events('all');
SELECT cause FROM objectlink.read_events('all');
SELECT name, unread, oldest_unread IS NOT NULL AS waits FROM objectlink.consumers ORDER BY name;
-- its own uncommitted events are not there yet
BEGIN;
INSERT INTO objectlink.event (cause) VALUES ('mine');
SELECT cause FROM objectlink.read_events('from-now');
COMMIT;
SELECT cause FROM objectlink.read_events('from-now');

-- Only what every consumer has read is purged
SELECT objectlink.purge_events(now() + interval '1 hour');
SELECT cause FROM objectlink.event ORDER BY id;
SELECT objectlink.ack_events('all', max(id)) FROM objectlink.read_events('all');
SELECT objectlink.ack_events('from-now', max(id)) FROM objectlink.read_events('from-now');
SELECT objectlink.ack_events('all', max(id)) FROM objectlink.read_events('all');
SELECT objectlink.purge_events(now() + interval '1 hour', at_most => 2);
SELECT objectlink.purge_events(now() - interval '1 hour');
SELECT objectlink.purge_events(now() + interval '1 hour');
SELECT count(*) FROM objectlink.event;
-- and with it their retention
SELECT objectlink.event_retention();
SELECT objectlink.set_event_retention('1 day');
SELECT objectlink.event_retention();
SELECT daemon.start();
INSERT INTO objectlink.event (cause, at) VALUES ('old', now() - interval '2 days'), ('new', now());
SELECT objectlink.ack_events('all', max(id)) FROM objectlink.read_events('all');
SELECT objectlink.ack_events('from-now', max(id)) FROM objectlink.read_events('from-now');
SELECT objectlink.ack_events('from-now', max(id)) FROM objectlink.read_events('from-now');
UPDATE objectlink.event SET at = now() - interval '2 days' WHERE cause = 'event retention';
SELECT count(*) > 0 FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT cause FROM objectlink.event WHERE cause IN ('old', 'new', 'event retention');
SELECT objectlink.set_event_retention(NULL);
SELECT objectlink.event_retention();

-- A consumer that does not get on, and what it keeps from being deleted
SELECT objectlink.ack_events(c, max(id)) > 0 FROM (VALUES ('all'), ('from-now')) t (c), generate_series(1, 3), objectlink.read_events(c) GROUP BY c;
SELECT * FROM objectlink.problem_consumer;
INSERT INTO objectlink.event (cause, at) VALUES ('long ago', '2020-01-01 00:00Z');
UPDATE objectlink.consumer SET read_at = now() - interval '1 day';
SELECT severity, what, detail, remedy FROM objectlink.problems WHERE what LIKE 'event consumer%' ORDER BY detail;
SELECT objectlink.set_event_retention('1 day');
SELECT severity, what, detail, remedy FROM objectlink.problems WHERE what LIKE 'event consumer%' ORDER BY detail;
-- it has read, and been given nothing: not its fault
UPDATE objectlink.consumer SET read_at = now() WHERE name = 'all';
SELECT severity, what, remedy FROM objectlink.problems WHERE what = 'event consumer held up';
SELECT objectlink.set_event_retention(NULL);

SELECT objectlink.set_consumer_notify('all', true);
SELECT name, notify FROM objectlink.consumers ORDER BY name;

-- A consumer belongs to the role that made it, and to whom it was granted
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_indexer, objectlink_test_other, objectlink_test_admin;
RESET client_min_messages;
CREATE ROLE objectlink_test_indexer;
CREATE ROLE objectlink_test_other;
CREATE ROLE objectlink_test_admin;
GRANT USAGE ON SCHEMA daemon TO PUBLIC;
SELECT objectlink.grant_reader('objectlink_test_indexer'), objectlink.grant_reader('objectlink_test_other'), objectlink.grant_admin('objectlink_test_admin');
SET ROLE objectlink_test_indexer;
SELECT objectlink.create_consumer('own');
SELECT daemon.refused($$SELECT * FROM objectlink.read_events('all')$$);
SELECT daemon.refused($$SELECT objectlink.purge_events(now())$$);
SET ROLE objectlink_test_other;
SELECT daemon.refused($$SELECT * FROM objectlink.read_events('own')$$);
SELECT daemon.refused($$SELECT objectlink.ack_events('own', 1)$$);
SELECT daemon.refused($$SELECT objectlink.drop_consumer('own')$$);
SELECT daemon.refused($$SELECT objectlink.grant_consumer('own', 'objectlink_test_other')$$);
SELECT daemon.refused($$SELECT objectlink.revoke_consumer('own', 'objectlink_test_indexer')$$);
SELECT daemon.refused($$SELECT objectlink.set_consumer_notify('own', true)$$);
SET ROLE objectlink_test_indexer;
SELECT objectlink.grant_consumer('own', 'objectlink_test_other'), objectlink.grant_consumer('own', 'objectlink_test_other');
SET ROLE objectlink_test_other;
SELECT count(*) FROM objectlink.read_events('own');
SET ROLE objectlink_test_admin;
SELECT name, created_by, readers FROM objectlink.consumers WHERE name = 'own';
SELECT objectlink.revoke_consumer('own', 'objectlink_test_other');
SELECT count(*) FROM objectlink.read_events('own');
SET ROLE objectlink_test_other;
SELECT daemon.refused($$SELECT * FROM objectlink.read_events('own')$$);
RESET ROLE;
-- also for a session that does nothing but log in as it
SET SESSION AUTHORIZATION objectlink_test_other;
SELECT daemon.refused($$SELECT * FROM objectlink.read_events('own')$$);
SET SESSION AUTHORIZATION objectlink_test_indexer;
SELECT count(*) FROM objectlink.read_events('own');
SELECT objectlink.drop_consumer('own');
RESET SESSION AUTHORIZATION;
DROP OWNED BY objectlink_test_indexer, objectlink_test_other, objectlink_test_admin;
DROP ROLE objectlink_test_indexer, objectlink_test_other, objectlink_test_admin;

-- Refused
SELECT daemon.refused($$SELECT objectlink.create_consumer('all')$$);
SELECT daemon.refused($$SELECT objectlink.create_consumer('Not A Name')$$);
SELECT daemon.refused($$SELECT objectlink.create_consumer(NULL)$$);
SELECT daemon.refused($$SELECT * FROM objectlink.read_events('nobody')$$);
SELECT daemon.refused($$SELECT * FROM objectlink.read_events('all', 0)$$);
SELECT daemon.refused($$SELECT objectlink.ack_events('nobody', 1)$$);
SELECT regexp_replace(daemon.refused($$SELECT objectlink.ack_events('all', 9223372036854775807)$$), '\d{9,}', 'N');
SELECT daemon.refused($$SELECT objectlink.ack_events('all', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.drop_consumer('nobody')$$);
SELECT daemon.refused($$SELECT objectlink.set_event_retention('1 minute')$$);
SELECT daemon.refused($$SELECT objectlink.purge_events(NULL)$$);
SELECT daemon.refused($$SELECT objectlink.purge_events(now(), 0)$$);
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT daemon.refused($$SELECT * FROM objectlink.read_events('all')$$);
SELECT daemon.refused($$SELECT objectlink.purge_events(now())$$);
ROLLBACK;
SELECT daemon.refused($$SELECT objectlink.create_consumer('x', notify => NULL)$$);
SELECT daemon.refused($$SELECT objectlink.set_consumer_notify('all', NULL)$$);
SELECT objectlink.drop_consumer('all'), objectlink.drop_consumer('from-now');
SELECT count(*) FROM objectlink.consumers;
DELETE FROM objectlink.event_policy;
CALL daemon.finish();
