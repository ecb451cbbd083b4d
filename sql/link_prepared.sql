-- Goal: links survive PREPARE TRANSACTION, and go with ROLLBACK PREPARED. Where prepared transactions are possible,
-- objectlink.notify = auto never rings: NOTIFY would forbid them.
-- Method: the server has max_prepared_transactions > 0; link_prepared_1.out is for servers that have not.
SET client_min_messages = warning;
SET search_path = public;
CREATE SERVER docs FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'docs');
CREATE TABLE document (id int, file objectlink.storage_ref);
CREATE TRIGGER links AFTER INSERT ON document FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger(1, 'file');
DELETE FROM objectlink.doorbell;
INSERT INTO objectlink.doorbell VALUES (true);

BEGIN;
INSERT INTO document VALUES (1, 's3://docs/prepared');
COPY document FROM stdin;
2	s3://docs/copied and prepared
\.
PREPARE TRANSACTION 'objectlink_one';
BEGIN;
INSERT INTO document VALUES (3, 's3://docs/rolled back');
PREPARE TRANSACTION 'objectlink_two';
-- The delete path finds the holders of this lock, though no process has them any more
SELECT count(*) FROM pg_locks WHERE relation = 'objectlink.outbox'::regclass AND mode = 'RowExclusiveLock' AND pid IS NULL;
-- The session starts afresh
INSERT INTO document VALUES (4, 's3://docs/plain');
COMMIT PREPARED 'objectlink_one';
ROLLBACK PREPARED 'objectlink_two';
WITH taken AS (DELETE FROM objectlink.outbox RETURNING op, ref) SELECT * FROM taken ORDER BY ref::text COLLATE "C";

SET objectlink.notify = always;
BEGIN;
INSERT INTO document VALUES (5, 's3://docs/rung');
PREPARE TRANSACTION 'objectlink_three';
WITH taken AS (DELETE FROM objectlink.outbox RETURNING op, ref) SELECT * FROM taken ORDER BY ref::text COLLATE "C";

DELETE FROM objectlink.doorbell;
DROP TABLE document;
DROP SERVER docs;
