-- Goal: an admin's hold keeps an object until he releases it, whatever happens to its rows; each decision is an event; a dry run decides nothing.
-- Method: one session plays user, admin and daemon at every step of a deletion; races are in test/isolation.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE archive (file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('archive', 'file', on_unlink => 'keep') > 0, daemon.walk();
CREATE VIEW daemon.waits AS
SELECT key, state, CASE WHEN due_at IS NULL THEN 'no' WHEN due_at <= clock_timestamp() THEN 'now' ELSE round(extract(epoch FROM due_at - clock_timestamp()) / 86400) || ' days' END AS due,
       held_reason, admin_hold FROM objectlink.object;
\set waits 'SELECT * FROM daemon.waits ORDER BY key;'
\set decisions 'SELECT key, from_state, to_state, cause, actor = session_user, detail FROM objectlink.event WHERE cause IN (''hold'', ''hold deletions'', ''release deletions'', ''expedite deletions'') ORDER BY id; DELETE FROM objectlink.event;'
CREATE FUNCTION daemon.link(p_keys text[], p_table text DEFAULT 'document') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE format('INSERT INTO %I (file) SELECT objectlink.storage_ref(''docs'', k) FROM unnest($1) k', p_table) USING p_keys;
  PERFORM daemon.apply();
  PERFORM daemon.settle(key, 'stored', '{"size": 10}') FROM objectlink.object WHERE state = 'pending';
END $$;
CREATE PROCEDURE daemon.forget() LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM document; DELETE FROM archive;
  TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;
END $$;

-- One object, linked: it is not deleted when its row goes
SELECT daemon.link('{a/1,a/2,b/1,b/2}');
SELECT * FROM objectlink.hold_deletions('docs', key => 'a/1', reason => 'case 4711');
:waits
DELETE FROM document;
SELECT daemon.apply();
:waits
SELECT daemon.condemn();
-- and a hold survives that it is linked again
SELECT daemon.link('{a/1}');
:waits
DELETE FROM document;
SELECT daemon.apply();
:waits
SELECT * FROM objectlink.release_deletions('docs', key => 'a/1');
:waits
:decisions
-- A hold while the deletion is under way: taken back before the request, too late after it
SELECT daemon.condemn();
SELECT * FROM objectlink.hold_deletions('docs', key => 'a/1');
SELECT * FROM objectlink.hold_deletions('docs', key => 'a/1');
SELECT ref FROM objectlink.condemned ORDER BY ref;
INSERT INTO document (file) VALUES ('s3://docs/a/1');
SELECT daemon.issue();
SELECT daemon.apply();
:waits
CALL daemon.forget();
SELECT daemon.link('{a/1,a/2}');
DELETE FROM document;
SELECT daemon.apply(), daemon.condemn();
SELECT daemon.issue() LIMIT 1;
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'a/');
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'b/');
SELECT * FROM objectlink.hold_deletions('docs', key => 'unheard-of');
SELECT daemon.settle('a/1', 'gone'), daemon.settle('a/2', 'gone');
:waits
:decisions

-- Below a prefix: exactly those; a dry run decides nothing
SELECT daemon.link('{a,a/1,a/2,a0,"a%","a_/x","A/1"}');
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'a/', dry_run => true);
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'a%', dry_run => true);
SELECT * FROM objectlink.hold_deletions('docs', prefix => '', dry_run => true);
:waits
SELECT count(*) FROM objectlink.event WHERE cause LIKE '%deletions';
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'a/', reason => 'audit', at_most => 1);
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'a/', reason => 'audit', at_most => 10);
SELECT * FROM objectlink.hold_deletions('docs', prefix => 'a/', reason => 'audit');
DELETE FROM document;
SELECT daemon.apply();
:waits
SELECT * FROM objectlink.release_deletions('docs', held_reason => 'audit', dry_run => true);
SELECT * FROM objectlink.release_deletions('docs', held_reason => 'other');
SELECT * FROM objectlink.release_deletions('docs', held_reason => 'audit', prefix => 'b');
SELECT * FROM objectlink.release_deletions('docs');
SELECT count(*) FROM objectlink.object WHERE admin_hold IS NOT NULL;
SELECT * FROM objectlink.release_deletions('docs', held_reason => 'audit', at_most => 1);
SELECT * FROM objectlink.release_deletions('docs', held_reason => 'audit', reason => 'audit is over');
:waits
:decisions

-- Holding, releasing and hastening mean deletions: the work of what is linked goes on, or its upload would be forgotten
CALL daemon.forget();
SELECT daemon.link('{w/stored}');
INSERT INTO document (file) VALUES ('s3://docs/w/pending');
SELECT daemon.apply();
SELECT held FROM objectlink.hold_deletions('docs', prefix => 'w/');
:waits
SELECT released FROM objectlink.release_deletions('docs', prefix => 'w/');
:waits
SELECT * FROM objectlink.expedite_deletions('docs', prefix => 'w/');
:waits
-- What is taken back from a deletion is due again when the hold of the store ends, also what no policy speaks of
CALL daemon.forget();
SELECT daemon.link('{t/expedited}');
DELETE FROM document;
SELECT objectlink.append_outbox('P', 's3://docs/t/never-linked', NULL);
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = now() WHERE state = 'reserved';
SELECT objectlink.expire_reserved(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{t/never-linked}');
SELECT * FROM objectlink.expedite_deletions('docs', key => 't/expedited');
SELECT daemon.condemn();
SELECT * FROM objectlink.hold_deletions('docs');
:waits
SELECT * FROM objectlink.release_deletions('docs');
SELECT daemon.condemn();

-- A hold hides no other one: what a drop has left stays held when the admin's hold ends, whichever came first, or came after the mark
CALL daemon.forget();
CREATE TABLE annex (file objectlink.storage_ref);
SELECT objectlink.attach('annex', 'file') > 0, daemon.walk();
SELECT daemon.link('{h/before,h/marked}', 'annex');
SELECT * FROM objectlink.hold_deletions('docs', key => 'h/before', reason => 'audit');
DELETE FROM annex WHERE file = 's3://docs/h/marked';
SELECT daemon.apply();
SELECT daemon.condemn();
INSERT INTO document (file) VALUES ('s3://docs/h/other');
DROP TABLE annex;
SELECT daemon.apply(), daemon.walk() > 0;
-- as if what the drop and another policy say of it had been applied after the mark
UPDATE objectlink.object SET held_reason = 'table annex was dropped', keep_until = now() + interval '1 day' WHERE key = 'h/marked';
SELECT daemon.issue();
CREATE VIEW daemon.reasons AS SELECT key, state, due, regexp_replace(held_reason, ' by .*', '') AS held_reason, admin_hold FROM daemon.waits WHERE key <> 'h/other';
SELECT * FROM daemon.reasons ORDER BY key;
SELECT held FROM objectlink.hold_deletions('docs', key => 'h/marked', reason => 'audit');
SELECT * FROM objectlink.release_deletions('docs', held_reason => 'audit');
SELECT * FROM daemon.reasons ORDER BY key;
SELECT daemon.condemn();
-- one reason at a time, in either order
SELECT held FROM objectlink.hold_deletions('docs', prefix => 'h/', reason => 'audit');
SELECT objectlink.release_deletions('docs', held_reason => held_reason) FROM objectlink.object WHERE key = 'h/before';
SELECT * FROM daemon.reasons ORDER BY key;
SELECT * FROM objectlink.release_deletions('docs', prefix => 'h/');
SELECT * FROM daemon.reasons ORDER BY key;
SELECT * FROM objectlink.release_deletions('docs', prefix => 'h/');
SELECT * FROM daemon.reasons ORDER BY key;

-- What a policy keeps is released by its key or in so many words, not along with a prefix
CALL daemon.forget();
SELECT daemon.link('{k/1,k/2,k/3}', 'archive'), daemon.link('{k/4}');
SELECT * FROM objectlink.hold_deletions('docs', key => 'k/1', reason => 'case');
SELECT * FROM objectlink.hold_deletions('docs', key => 'k/4', reason => 'case');
DELETE FROM archive; DELETE FROM document;
SELECT daemon.apply();
:waits
SELECT * FROM objectlink.release_deletions('docs', prefix => 'k/');
:waits
SELECT * FROM objectlink.release_deletions('docs', key => 'k/1');
SELECT * FROM objectlink.release_deletions('docs', held_reason => 'on_unlink => keep');
:waits
-- and no policy takes it back; a new unlink does
SELECT daemon.condemn();
INSERT INTO archive VALUES ('s3://docs/other');
SELECT daemon.issue();
CALL daemon.forget();
SELECT daemon.link('{again}', 'archive');
DELETE FROM archive;
SELECT daemon.apply();
SELECT * FROM objectlink.release_deletions('docs', key => 'again');
INSERT INTO archive VALUES ('s3://docs/again');
SELECT daemon.apply();
DELETE FROM archive;
SELECT daemon.apply();
:waits
-- a release gives the retention back, and no more
CALL daemon.forget();
ALTER SERVER docs OPTIONS (ADD retention '7 days');
SELECT daemon.link('{r}');
DELETE FROM document;
SELECT daemon.apply();
SELECT * FROM objectlink.hold_deletions('docs', key => 'r');
SELECT * FROM objectlink.release_deletions('docs', key => 'r');
:waits

-- that of its attachment, if it has one; of one that was detached, whichever is longer
CALL daemon.forget();
CREATE TABLE dossier (file objectlink.storage_ref);
CREATE TABLE note (file objectlink.storage_ref);
SELECT objectlink.attach('dossier', 'file', retention => '30 days') > 0, objectlink.attach('note', 'file', retention => '1 day') > 0, daemon.walk();
SELECT daemon.link('{r/30}', 'dossier'), daemon.link('{r/1,r/gone}', 'note');
DELETE FROM dossier; DELETE FROM note;
SELECT daemon.apply();
SELECT held FROM objectlink.hold_deletions('docs', prefix => 'r/');
SELECT released FROM objectlink.release_deletions('docs', key => 'r/1');
SELECT objectlink.detach('note', 'file');
SELECT released FROM objectlink.release_deletions('docs', prefix => 'r/');
:waits
-- A hold counts once, and leaves nothing of what was tried before: it is settled until a person releases it
CALL daemon.forget();
ALTER SERVER docs OPTIONS (DROP retention);
SELECT daemon.link('{t}');
DELETE FROM document;
SELECT daemon.apply(), daemon.condemn();
SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{t}', 60000, 'blocked');
SELECT last_error FROM objectlink.object;
SELECT held FROM objectlink.hold_deletions('docs', key => 't', reason => 'first');
SELECT held FROM objectlink.hold_deletions('docs', prefix => 't', reason => 'second');
SELECT admin_hold, last_error FROM objectlink.object;
CALL objectlink.wait_for_sync('1 second');

-- Expedite: what waits goes at once, however long the policy; what is held does not
CALL daemon.forget();
ALTER SERVER docs OPTIONS (ADD retention '7 days');
SELECT daemon.link('{e/1,e/2,e/3,f/1}'), daemon.link('{e/kept}', 'archive');
SELECT * FROM objectlink.hold_deletions('docs', key => 'e/3');
DELETE FROM document; DELETE FROM archive;
SELECT daemon.apply();
SELECT * FROM objectlink.expedite_deletions('docs', prefix => 'e/', dry_run => true);
SELECT * FROM objectlink.expedite_deletions('docs', key => 'e/1', reason => 'asked for by its owner');
SELECT * FROM objectlink.expedite_deletions('docs', key => 'e/1');
SELECT daemon.condemn();
SELECT * FROM objectlink.expedite_deletions('docs', prefix => 'e/');
SELECT * FROM objectlink.expedite_deletions('docs', key => 'e/3');
SELECT daemon.condemn();
SELECT * FROM objectlink.expedite_deletions('docs');
SELECT daemon.condemn();
:waits
:decisions
ALTER SERVER docs OPTIONS (DROP retention);

-- The whole store: a flag, for what is unlinked later as well; what was marked and not sent comes back
CALL daemon.forget();
SELECT daemon.link('{s/1,s/2}');
DELETE FROM document WHERE file = 's3://docs/s/1';
SELECT daemon.apply(), daemon.condemn();
SELECT * FROM objectlink.hold_deletions('docs', dry_run => true);
SELECT * FROM objectlink.hold_deletions('docs', reason => 'moving house');
:waits
SELECT daemon.issue();
DELETE FROM document;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{s/1,s/2}');
SELECT count(*) FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 100);
SELECT outbox, due_in_ms FROM objectlink.look(ARRAY[daemon.store_id('docs')], '(0,0)');
-- held by decision is settled; links and uploads go on
CALL objectlink.wait_for_sync('1 second');
INSERT INTO document (file) VALUES ('s3://docs/new');
SELECT daemon.apply();
SELECT key FROM objectlink.due_work(daemon.store_id('docs'), '-infinity', 100);
SELECT outbox, due_in_ms FROM objectlink.look(ARRAY[daemon.store_id('docs')], '(0,0)');
SELECT store, status FROM objectlink.consistency;
SELECT store, stopped, stopped_reason, due, due_bytes, held FROM objectlink.deletions_by_store;
SELECT key, state, held_reason FROM objectlink.deletions ORDER BY key;
SELECT * FROM objectlink.release_deletions('docs', reason => 'done');
SELECT * FROM objectlink.release_deletions('docs');
SELECT daemon.condemn();
:decisions

-- Views: what is deleted when, and how much that is
CALL daemon.forget();
SELECT daemon.link('{v/1,v/2,v/3,v/4}'), daemon.link('{v/5}', 'archive');
DELETE FROM document WHERE file <> 's3://docs/v/4'; DELETE FROM archive;
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = now() + interval '2 hours' WHERE key = 'v/2';
UPDATE objectlink.object SET due_at = now() + interval '2 days' WHERE key = 'v/3';
SELECT key, ref, state, size, held_reason, relation, column_name FROM objectlink.deletions ORDER BY due_at, key;
SELECT store, due, due_bytes, within_a_day, within_a_day_bytes, later, later_bytes, held, held_bytes, next_due_at <= now() AS next, last_due_at > now() AS last FROM objectlink.deletions_by_store;
SELECT daemon.condemn();
SELECT key, state FROM objectlink.deletions ORDER BY key;

-- Refused
SELECT daemon.refused($$SELECT objectlink.hold_deletions('nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.hold_deletions(NULL)$$);
SELECT daemon.refused($$SELECT objectlink.hold_deletions('docs', key => 'k', prefix => 'p')$$);
SELECT daemon.refused($$SELECT objectlink.hold_deletions('docs', reason => repeat('x', 201))$$);
SELECT daemon.refused($$SELECT objectlink.release_deletions('docs', key => 'k', at_most => 0)$$);
SELECT daemon.refused($$SELECT objectlink.expedite_deletions('docs', at_most => 1000001)$$);
SELECT daemon.refused($$SELECT objectlink.expedite_deletions('docs', at_most => NULL)$$);
SELECT daemon.refused($$SELECT objectlink.release_brake('nowhere')$$);
-- A store that was never used can be held before it is
CREATE SERVER fresh FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'fresh');
SELECT * FROM objectlink.hold_deletions('fresh');
SELECT store, stopped FROM objectlink.deletions_by_store ORDER BY store;

SET client_min_messages = warning;
DROP SERVER fresh;
DROP TABLE document, archive, dossier, note;
CALL daemon.finish();
