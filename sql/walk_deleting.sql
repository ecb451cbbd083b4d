-- Goal: a TRUNCATE says nothing of an object whose deletion is issued: what comes to lie under its key later is somebody else's.
-- Method: the walk over a truncated relation meets an object at each step of its deletion.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('document', 'file') > 0, daemon.walk();
CREATE PROCEDURE daemon.unlink(p_key text) LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO document VALUES (1, objectlink.storage_ref('docs', p_key));
  PERFORM daemon.apply();
  PERFORM daemon.settle(p_key, 'stored', '{"size": 1}');
  DELETE FROM document;
  PERFORM daemon.apply();
END $$;

-- Issued: the walk passes it by, so that nothing is left to be applied when it is gone
CALL daemon.unlink('k');
SELECT daemon.condemn();
SELECT daemon.issue();
TRUNCATE document;
SELECT daemon.apply(), daemon.walk();
SELECT daemon.settle('k', 'gone');
SELECT daemon.apply();
SELECT key, state FROM objectlink.object;
SELECT from_state, to_state, cause FROM objectlink.event WHERE key = 'k' ORDER BY id;

-- Condemned only: it may still go back, so it is looked at again
CALL daemon.unlink('k2');
SELECT daemon.condemn();
TRUNCATE document;
SELECT daemon.apply(), daemon.walk();
SELECT * FROM daemon.issue();
SELECT daemon.apply();
SELECT key, state, last_error FROM objectlink.object;

-- A TRUNCATE that is read before the link it took away: the walk waits for the link, and then finds the object
INSERT INTO document VALUES (3, 's3://docs/a');
SELECT max(ctid) AS link FROM objectlink.outbox \gset
TRUNCATE document;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), :'link', 100);
SELECT objectlink.scan_step(daemon.epoch(0), 100) AS waits;
SELECT daemon.apply(), daemon.walk();
SELECT daemon.apply();
SELECT key, state, held_reason FROM objectlink.object WHERE key = 'a';

-- A link that issue() saw before it was applied, and whose row a TRUNCATE took: the walk finds the object by the table that linked it last
CREATE TABLE annex (file objectlink.storage_ref);
SELECT objectlink.attach('annex', 'file') AS annex, daemon.walk() \gset
CALL daemon.unlink('b');
SELECT daemon.condemn();
ALTER TABLE annex DISABLE TRIGGER USER;
INSERT INTO annex VALUES ('s3://docs/b');
ALTER TABLE annex ENABLE TRIGGER USER;
SELECT * FROM daemon.issue();
INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at) VALUES ('L', :annex, 's3://docs/b', pg_current_xact_id(), now());
TRUNCATE annex;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
SELECT key, state, held_reason FROM objectlink.object WHERE key = 'b';
SELECT daemon.apply(), daemon.walk() > 0;
SELECT daemon.apply();
SELECT key, state, held_reason, due_at <= now() AS due FROM objectlink.object WHERE key = 'b';

SET client_min_messages = warning;
DROP TABLE document, annex;
CALL daemon.finish();
