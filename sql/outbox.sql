-- Goal: the outbox holds what a transaction did if and only if it committed, through savepoints and two-phase commit.
-- Method: end transactions in every way, at several depths, with few rows and with more than are collected at a time.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE PROCEDURE daemon.forget() LANGUAGE sql AS 'DELETE FROM objectlink.outbox';
\set show 'SELECT op, ref FROM daemon.outbox ORDER BY ref, op; CALL daemon.forget();'
\set count 'SELECT op, count(*), count(DISTINCT ref) FROM daemon.outbox GROUP BY op ORDER BY op; CALL daemon.forget();'
CREATE TABLE document (id int, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
CREATE PROCEDURE many(p_word text, p_count int) LANGUAGE sql AS
$$ INSERT INTO document SELECT i, objectlink.storage_ref('docs', p_word || '/' || i) FROM generate_series(1, p_count) i $$;

-- What a row says: the transaction, when the statement began, nothing else
BEGIN;
INSERT INTO document VALUES (1, 's3://docs/1');
SELECT op, attachment_id = (SELECT max(id) FROM objectlink.attachment), ref, relid, xid = pg_current_xact_id(), at BETWEEN now() AND statement_timestamp(), image
FROM objectlink.outbox;
COMMIT;
CALL daemon.forget();

-- Rolled back: nothing
BEGIN;
INSERT INTO document VALUES (2, 's3://docs/2');
DELETE FROM document;
TRUNCATE document;
SELECT count(*) FROM objectlink.outbox;
ROLLBACK;
:show
BEGIN;
CALL many('rolled-back', 5000);
ROLLBACK;
:show
-- Failed at commit
CREATE TABLE checked (id int UNIQUE DEFERRABLE INITIALLY DEFERRED, file objectlink.storage_ref);
SELECT objectlink.attach('checked', 'file') > 0;
BEGIN;
INSERT INTO checked VALUES (1, 's3://docs/c1'), (1, 's3://docs/c2');
COMMIT;
:show

-- Savepoints: each level for itself
BEGIN;
INSERT INTO document VALUES (1, 's3://docs/outer');
SAVEPOINT a;
INSERT INTO document VALUES (2, 's3://docs/a-rolled-back');
SAVEPOINT b;
INSERT INTO document VALUES (3, 's3://docs/b-rolled-back');
RELEASE b;
ROLLBACK TO a;
INSERT INTO document VALUES (4, 's3://docs/a-kept');
SAVEPOINT c;
INSERT INTO document VALUES (5, 's3://docs/c-kept');
RELEASE c;
SAVEPOINT d;
UPDATE document SET file = NULL;
ROLLBACK TO d;
RELEASE a;
INSERT INTO document VALUES (6, 's3://docs/outer-again');
COMMIT;
:show
-- with many rows, so that levels are written apart
BEGIN;
CALL many('outer', 700);
SAVEPOINT a;
CALL many('lost', 1500);
ROLLBACK TO a;
CALL many('kept', 900);
SAVEPOINT b;
CALL many('kept-too', 3);
RELEASE a;
COMMIT;
SELECT split_part(objectlink.key(ref), '/', 1) AS word, count(*), count(DISTINCT ref) FROM daemon.outbox GROUP BY 1 ORDER BY 1;
CALL daemon.forget();
-- COPY between savepoints is not written by the end of a query
BEGIN;
COPY document FROM stdin;
1	s3://docs/copied-outer
\.
SAVEPOINT a;
COPY document FROM stdin;
2	s3://docs/copied-lost
\.
ROLLBACK TO a;
COPY document FROM stdin;
3	s3://docs/copied-kept
\.
COMMIT;
:show
-- a failed statement, then on in the same transaction
BEGIN;
INSERT INTO document VALUES (1, 's3://docs/before');
SAVEPOINT a;
INSERT INTO document VALUES (2, 's3://docs/failing'), (3, 's3://nowhere/key');
ROLLBACK TO a;
INSERT INTO document VALUES (4, 's3://docs/after');
COMMIT;
:show
-- the first write, and with it the lock on the outbox, inside a savepoint that is rolled back
BEGIN;
SAVEPOINT a;
INSERT INTO document VALUES (1, 's3://docs/lost');
ROLLBACK TO a;
SELECT count(*) FROM pg_locks WHERE relation = 'objectlink.outbox'::regclass AND mode = 'RowExclusiveLock' AND pid = pg_backend_pid();
INSERT INTO document VALUES (2, 's3://docs/kept');
SELECT count(*) FROM pg_locks WHERE relation = 'objectlink.outbox'::regclass AND mode = 'RowExclusiveLock' AND pid = pg_backend_pid();
COMMIT;
:show

-- PL/pgSQL: a block with an exception handler is a savepoint
DO $$
BEGIN
  INSERT INTO document VALUES (1, 's3://docs/outer');
  BEGIN
    INSERT INTO document VALUES (2, 's3://docs/inner-lost');
    RAISE division_by_zero;
  EXCEPTION WHEN division_by_zero THEN
    INSERT INTO document VALUES (3, 's3://docs/handler');
  END;
  BEGIN
    INSERT INTO document VALUES (4, 's3://docs/inner-kept');
  EXCEPTION WHEN OTHERS THEN NULL;
  END;
END $$;
:show
-- a loop of them
DO $$
BEGIN
  FOR i IN 1 .. 2000 LOOP
    BEGIN
      INSERT INTO document VALUES (i, objectlink.storage_ref('docs', CASE WHEN i % 2 = 0 THEN 'even/' ELSE 'odd/' END || i));
      IF i % 2 = 1 THEN RAISE division_by_zero; END IF;
    EXCEPTION WHEN division_by_zero THEN NULL;
    END;
  END LOOP;
END $$;
:count
-- a statement whose rows are written by functions that fail for some of them
CREATE FUNCTION try(p_id int) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO document VALUES (p_id, objectlink.storage_ref('docs', 'try/' || p_id));
  PERFORM 1 / (p_id % 3);
  RETURN true;
EXCEPTION WHEN division_by_zero THEN RETURN false;
END $$;
SELECT count(*) FILTER (WHERE try(i)) FROM generate_series(1, 900) i;
:count
-- a procedure that commits as it goes
CREATE PROCEDURE in_parts() LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO document VALUES (1, 's3://docs/committed');
  COMMIT;
  INSERT INTO document VALUES (2, 's3://docs/rolled-back');
  ROLLBACK;
  INSERT INTO document VALUES (3, 's3://docs/committed-too');
END $$;
CALL in_parts();
SELECT ref, count(*) OVER () AS rows, count(xid) FROM objectlink.outbox GROUP BY ref, xid ORDER BY ref;
CALL daemon.forget();
-- a cursor that fires triggers while another statement runs
BEGIN;
DECLARE writing CURSOR FOR SELECT try(i) FROM generate_series(1, 6) i;
FETCH 2 FROM writing;
SAVEPOINT a;
FETCH 2 FROM writing;
ROLLBACK TO a;
COMMIT;
:show

-- Two-phase commit
BEGIN;
INSERT INTO document VALUES (1, 's3://docs/prepared');
PREPARE TRANSACTION 'objectlink one';
BEGIN;
INSERT INTO document VALUES (2, 's3://docs/prepared-lost');
SAVEPOINT a;
CALL many('prepared-lost', 2000);
PREPARE TRANSACTION 'objectlink two';
:show
-- the session that prepared it goes on by itself
INSERT INTO document VALUES (3, 's3://docs/meanwhile');
:show
ROLLBACK PREPARED 'objectlink two';
:show
COMMIT PREPARED 'objectlink one';
:show
-- The doorbell would forbid it; where prepared transactions are possible it is not rung unless told to
INSERT INTO objectlink.doorbell VALUES (true);
SHOW objectlink.notify;
BEGIN;
INSERT INTO document VALUES (1, 's3://docs/quiet');
PREPARE TRANSACTION 'objectlink quiet';
ROLLBACK PREPARED 'objectlink quiet';
SET objectlink.notify = always;
BEGIN;
INSERT INTO document VALUES (1, 's3://docs/loud');
PREPARE TRANSACTION 'objectlink loud';
SET objectlink.notify = never;
BEGIN;
INSERT INTO document VALUES (1, 's3://docs/quiet');
PREPARE TRANSACTION 'objectlink quiet';
ROLLBACK PREPARED 'objectlink quiet';
RESET objectlink.notify;
SELECT daemon.refused('SET objectlink.notify = sometimes');
SELECT daemon.refused('SET objectlink.no_such_setting = 1');
:show

-- A read-only transaction stays one
BEGIN READ ONLY;
INSERT INTO document VALUES (1, 's3://docs/read-only');
ROLLBACK;
:show

-- The outbox must stay what it is
BEGIN;
CREATE INDEX ON objectlink.outbox (xid);
SELECT daemon.refused($$INSERT INTO document VALUES (1, 's3://docs/indexed')$$);
ROLLBACK;
INSERT INTO document VALUES (1, 's3://docs/not-indexed');
:show
BEGIN;
ALTER TABLE objectlink.outbox RENAME COLUMN xid TO other;
SELECT daemon.refused($$INSERT INTO document VALUES (1, 's3://docs/renamed')$$);
ROLLBACK;
INSERT INTO document VALUES (1, 's3://docs/not-renamed');
:show
-- rewritten under a session that has cached it
VACUUM FULL objectlink.outbox;
INSERT INTO document VALUES (1, 's3://docs/vacuumed');
TRUNCATE objectlink.outbox;
INSERT INTO document VALUES (1, 's3://docs/truncated');
:show

-- append_outbox() is the trigger's door for functions
SELECT daemon.refused($$SELECT objectlink.append_outbox('X', 's3://docs/x', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox('T', 's3://docs/x', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox('L', NULL, NULL)$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox(NULL, 's3://docs/x', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox('L', 's3://nowhere/x', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox('P', 's3://docs/.objectlink/x', NULL)$$);
INSERT INTO objectlink.condemned VALUES ('s3://docs/doomed');
SELECT daemon.refused($$SELECT objectlink.append_outbox('L', 's3://docs/doomed', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox('P', 's3://docs/doomed', NULL)$$);
SELECT objectlink.append_outbox('U', 's3://docs/doomed', 7);
SELECT objectlink.append_outbox(op, 's3://docs/fine', 7) FROM unnest('{L,U,P}'::"char"[]) op;
SELECT op, ref, attachment_id FROM objectlink.outbox ORDER BY ref, op;

SET client_min_messages = warning;
DROP TABLE document, checked;
DROP FUNCTION try(int);
DROP PROCEDURE many(text, int), in_parts();
CALL daemon.finish();
