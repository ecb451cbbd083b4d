-- Goal: each erasure leaves a record of who, when, which row and which proof; nobody changes, moves or removes one unseen.
-- Method: one session plays user and daemon; then a superuser with the triggers off does what he likes to the records.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
\set store 'daemon.store_id(''docs''), daemon.epoch(daemon.store_id(''docs''))'
\set records 'SELECT id, key, relation, column_name, row_key, act, unlinked_by = current_user::text AS me FROM objectlink.erasures ORDER BY store, id;'
\set verify 'SELECT store_name, records, first_id, last_id, intact, first_broken_id FROM objectlink.verify_erasures();'
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

-- Nothing erased: nothing recorded, and nothing wrong
:verify

-- What a record says
CALL daemon.store('{a}');
BEGIN;
DELETE FROM document;
SELECT now() AS began, current_user AS me \gset
COMMIT;
SELECT daemon.erase();
\x on
SELECT id, at > unlinked_at AND at <= clock_timestamp() AS at, store, bucket, key, version_id, size, sha256, etag,
       stored_at BETWEEN :'began'::timestamptz - interval '1 minute' AND :'began' AS stored, relation, column_name, row_key, act,
       unlinked_by = :'me' AS me, unlinked_at >= :'began' AS began, found_at BETWEEN unlinked_at AND requested_at AS found,
       requested_at BETWEEN unlinked_at AND at AS requested, request_id, proof, worker, epoch = daemon.epoch(daemon.store_id('docs')) AS epoch,
       prev_hash, length(hash), attached_relation
FROM objectlink.erasures;
\x off
-- the hash, by the rule of the documents
SELECT hash = sha256(prev_hash || convert_to(objectlink.erasure_text(e), 'UTF8')) FROM objectlink.erasure e;
SELECT regexp_replace(objectlink.erasure_text(e), '\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z', '(time)', 'g') = format(
  '{"id" : "1", "at" : "(time)", "store" : "docs", "bucket" : "docs", "key" : "a", "version_id" : "v1", "size" : "10", "sha256" : "00ff", "etag" : "\"e\"", '
  '"stored_at" : "(time)", "attachment_id" : "1", "relation" : "public.document", "column_name" : "file", "row_key" : "{\"id\": 1}", "act" : "delete", "unlinked_by" : "%s", '
  '"unlinked_at" : "(time)", "found_at" : "(time)", "requested_at" : "(time)", "request_id" : "R1", "proof" : "HEAD 404", "worker" : "test", "epoch" : "1"}', :'me')
FROM objectlink.erasure e;
:verify
-- the same text whatever the session's settings are
BEGIN;
SET LOCAL timezone = 'Pacific/Apia'; SET LOCAL datestyle = 'German'; SET LOCAL bytea_output = escape; SET LOCAL intervalstyle = sql_standard;
:verify
COMMIT;

-- Several at once are one chain; a result that no longer applies, or comes twice, records nothing
CALL daemon.store('{b1,b2,b3}');
DELETE FROM document;
SELECT daemon.erase();
SELECT objectlink.settle(:store, '[{"key": "b2", "state": "deleting", "attempts": 0, "outcome": "gone", "cause": "delete"}]');
:records
:verify
-- unknown, and repeated: one
CALL daemon.store('{unknown}');
DELETE FROM document;
SELECT daemon.apply(), daemon.condemn(), daemon.issue();
SELECT daemon.settle('unknown', 'unknown', '{"retry_ms": 0}');
SELECT daemon.settle('unknown', 'unknown', '{"retry_ms": 0}');
SELECT count(*) FROM objectlink.erasure WHERE key = 'unknown';
SELECT daemon.settle('unknown', 'gone');
SELECT objectlink.settle(:store, '[{"key": "unknown", "state": "deleting", "attempts": 0, "outcome": "gone", "cause": "delete"}]');
SELECT count(*) FROM objectlink.erasure WHERE key = 'unknown';
-- a transaction that is rolled back took nothing away and recorded nothing
CALL daemon.store('{rolled-back}');
DELETE FROM document;
SELECT daemon.apply(), daemon.condemn(), daemon.issue();
BEGIN;
SELECT daemon.settle('rolled-back', 'gone');
ROLLBACK;
SELECT count(*) FROM objectlink.erasure WHERE key = 'rolled-back';
:verify
SELECT daemon.settle('rolled-back', 'gone');
:verify
-- an owner of yesterday records nothing
CALL daemon.store('{late}');
DELETE FROM document;
SELECT daemon.apply(), daemon.condemn(), daemon.issue();
UPDATE objectlink.owner SET epoch = epoch + 1 WHERE resource = daemon.store_id('docs');
SELECT daemon.refused($$SELECT objectlink.settle(daemon.store_id('docs'), 1, '[{"key": "late", "state": "deleting", "attempts": 0, "outcome": "gone", "cause": "x"}]')$$);
SELECT count(*) FROM objectlink.erasure WHERE key = 'late';
SELECT daemon.settle('late', 'gone');
SELECT epoch FROM objectlink.erasures WHERE key = 'late';
-- what others stored under the key was not erased
CALL daemon.store('{foreign}');
DELETE FROM document;
SELECT daemon.erase('{"error_class": "object", "error_code": "ObjectExists", "message": "other content"}');
SELECT count(*) FROM objectlink.erasure WHERE key = 'foreign';

-- Who, and which row: the last one that let it go
SELECT objectlink.purge_erasures('infinity') > 0;
CALL daemon.store('{shared}');
INSERT INTO document SELECT i, 'another', 's3://docs/shared' FROM generate_series(2, 5) i;
SELECT daemon.apply();
DELETE FROM document WHERE id = 4;
DELETE FROM document WHERE id IN (1, 2);
SELECT daemon.apply();
SELECT state, unlinked_row FROM objectlink.object;
UPDATE document SET file = NULL WHERE id = 5;
BEGIN;
DELETE FROM document WHERE id = 3;
COMMIT;
SELECT daemon.apply();
SELECT state, unlinked_act, unlinked_row FROM objectlink.object;
-- linked again, nothing is left of it
INSERT INTO document VALUES (6, 'again', 's3://docs/shared');
SELECT daemon.apply();
SELECT state, unlinked_by, unlinked_via, unlinked_relation, unlinked_act, unlinked_row, unlinked_at IS NOT NULL FROM objectlink.object;
UPDATE document SET id = 7, file = NULL WHERE id = 6;
SELECT daemon.erase();
DELETE FROM document;
:records
-- by another role, through a function of the owner; and by a role that is no more
CREATE ROLE objectlink_test_user;
CREATE ROLE objectlink_test_leaver;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_user;
CREATE FUNCTION drop_document(int) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'DELETE FROM document WHERE id = $1';
CALL daemon.store('{by-user,by-leaver}');
SET ROLE objectlink_test_user;
SELECT drop_document(1);
SET ROLE objectlink_test_leaver;
SELECT drop_document(2);
RESET ROLE;
SELECT oid AS leaver FROM pg_roles WHERE rolname = 'objectlink_test_leaver' \gset
DROP ROLE objectlink_test_leaver;
SELECT daemon.erase();
SELECT key, row_key, replace(unlinked_by, :'leaver', '(number)') FROM objectlink.erasures WHERE key LIKE 'by-%' ORDER BY id;
-- TRUNCATE: the table, the role and the time
CALL daemon.store('{t1,t2}');
GRANT TRUNCATE ON document TO objectlink_test_user;
SET ROLE objectlink_test_user;
BEGIN;
TRUNCATE document;
SELECT now() AS began \gset
COMMIT;
SELECT clock_timestamp() AS ended \gset
RESET ROLE;
SELECT daemon.apply(), daemon.walk();
SELECT daemon.erase();
SELECT key, relation, column_name, row_key, act, unlinked_by, unlinked_at BETWEEN :'began' AND :'ended' AS then FROM objectlink.erasures WHERE act = 'truncate' ORDER BY id;
-- what a row had unlinked before keeps that row: a TRUNCATE after it has taken nothing from it
CALL daemon.store('{before}');
SET ROLE objectlink_test_user;
SELECT drop_document(1);
RESET ROLE;
SELECT daemon.apply();
TRUNCATE document;
SELECT daemon.apply(), daemon.walk();
SELECT daemon.erase();
SELECT key, row_key, act, unlinked_by FROM objectlink.erasures WHERE key = 'before';
-- handed over and never linked; linked for a moment
SELECT objectlink.put('docs', 'x', key => 'never');
BEGIN;
INSERT INTO document VALUES (1, 'a moment', objectlink.put('docs', 'x', key => 'moment'));
DELETE FROM document;
COMMIT;
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = clock_timestamp() WHERE key = 'never';
SELECT objectlink.expire_reserved(:store, '{never}'), daemon.erase();
SELECT key, size, stored_at, relation, row_key, act, unlinked_by = current_user::text, unlinked_at IS NOT NULL FROM objectlink.erasures
WHERE key IN ('never', 'moment') ORDER BY key;
-- two columns for one object: the row that let it go, and its column
CREATE TABLE other (code text PRIMARY KEY, thumb objectlink.storage_ref);
SELECT objectlink.attach('other', 'thumb') > 0, daemon.walk();
CALL daemon.store('{two}');
INSERT INTO other VALUES ('x', 's3://docs/two');
SELECT daemon.apply();
DELETE FROM document;
SELECT daemon.apply();
DELETE FROM other;
SELECT daemon.erase();
CALL daemon.store('{two-again}');
INSERT INTO other VALUES ('x', 's3://docs/two-again');
SELECT daemon.apply();
DELETE FROM other;
SELECT daemon.apply();
DELETE FROM document;
SELECT daemon.erase();
SELECT key, relation, column_name, row_key FROM objectlink.erasures WHERE key LIKE 'two%' ORDER BY id;
-- Two rows let it go, and what is read first is not what came first: the later one is named, or the record would blame the wrong
\set let_go 'CALL daemon.store(''{order}''); INSERT INTO other VALUES (''x'', ''s3://docs/order''); SELECT daemon.apply(); SET ROLE objectlink_test_user; SELECT drop_document(1); RESET ROLE; UPDATE other SET thumb = NULL; DROP TABLE IF EXISTS said; CREATE TEMP TABLE said AS SELECT max(at) AS last FROM objectlink.outbox;'
\set blamed 'SELECT unlinked_by = current_user::text AS me, unlinked_at = last AS last, a.column_name, unlinked_relation, unlinked_act, unlinked_row FROM objectlink.object JOIN objectlink.attachment a ON a.id = unlinked_via, said WHERE key = ''order'';'
SET client_min_messages = warning;
:let_go
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
:blamed
SELECT daemon.apply();
:blamed
SELECT daemon.erase();
DELETE FROM other;
:let_go
CREATE TEMP TABLE read_later AS SELECT * FROM objectlink.outbox WHERE image ->> 'act' = 'delete';
DELETE FROM objectlink.outbox WHERE image ->> 'act' = 'delete';
SELECT daemon.apply();
:blamed
INSERT INTO objectlink.outbox SELECT * FROM read_later;
SELECT daemon.apply();
:blamed
SELECT daemon.erase();
DELETE FROM other;
DROP TABLE read_later, said;
RESET client_min_messages;
-- a column that can't be asked: the row is remembered until it can
CALL daemon.store('{doubt}');
DELETE FROM document;
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE mixed (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER dummy;
SELECT taken, postponed FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 100);
SELECT op, ref, image, pg_get_userbyid(role) = current_user, attachment_id IS NOT NULL FROM objectlink.outbox;
DROP TABLE mixed;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
SELECT daemon.erase();
SELECT key, relation, column_name, row_key, act FROM objectlink.erasures WHERE key = 'doubt';
-- the table may be gone
CALL daemon.store('{table-gone}');
CREATE TABLE gone_soon (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('gone_soon', 'file') > 0, daemon.walk();
INSERT INTO gone_soon VALUES (1, 's3://docs/table-gone');
DELETE FROM document;
SELECT daemon.apply();
DELETE FROM gone_soon;
SELECT daemon.apply();
DROP TABLE gone_soon;
SELECT daemon.erase();
SELECT key, relation, column_name, row_key, act FROM objectlink.erasures WHERE key = 'table-gone';
:verify

-- The export
CREATE SCHEMA elsewhere;
CREATE TABLE elsewhere.document (id int, tenant int, file objectlink.storage_ref, PRIMARY KEY (tenant, id));
SELECT objectlink.attach('elsewhere.document', 'file') > 0, daemon.walk();
INSERT INTO elsewhere.document VALUES (1, 7, 's3://docs/else/1'), (2, 7, E's3://docs/\\"\u00e9\n');
SELECT daemon.apply();
DELETE FROM elsewhere.document;
SELECT daemon.erase();
\set found 'SELECT string_agg(r ->> ''key'', '' '' ORDER BY r ->> ''key'') FROM objectlink.erasure_report'
:found(relation => 'document') r;
:found(relation => 'elsewhere.document') r;
:found(relation => 'elsewhere.document', row_key => '{"id": 1}') r;
:found(row_key => '{"tenant": 7, "id": 1.0}') r;
:found(row_key => '{"id": "1"}') r;
:found(relation => 'document', row_key => '{"id": 6}') r;
:found(unlinked_by => 'objectlink_test_user') r;
:found(store => 'docs', key => 'shared') r;
:found(store => 'nowhere') r;
:found(former_relation => 'public.gone_soon') r;
:found(since => clock_timestamp()) r;
:found(until => '2001-01-01') r;
:found(since => '2001-01-01', until => clock_timestamp(), key => 'never') r;
SELECT count(*) = (SELECT count(*) FROM objectlink.erasure) FROM objectlink.erasure_report();
SELECT daemon.refused($$SELECT objectlink.erasure_report(relation => 'gone_soon')$$);
-- under its name of now, and under the one before
ALTER TABLE elsewhere.document RENAME TO paper;
:found(relation => 'elsewhere.paper', row_key => '{"id": 1}') r;
:found(former_relation => 'elsewhere.document', row_key => '{"id": 1}') r;
-- a line holds all that is needed to check it
SELECT r ->> 'key', encode(sha256(decode(r ->> 'prev_hash', 'hex') || convert_to(regexp_replace(r::text, ', "prev_hash" : .*', '}'), 'UTF8')), 'hex') = r ->> 'hash'
FROM objectlink.erasure_report(former_relation => 'elsewhere.document') r;

-- Who sees what: the records of the tables that one may read; a reader all
:found() r WHERE r ->> 'key' = 'by-user';
GRANT SELECT ON elsewhere.paper TO objectlink_test_user;
SET ROLE objectlink_test_user;
SELECT key FROM objectlink.erasures ORDER BY id;
:found() r;
SELECT count(*) FROM objectlink.erasure;
SELECT count(*) FROM objectlink.verify_erasures();
SELECT objectlink.purge_erasures('infinity');
SELECT objectlink.record_erasures(1, 1, '{}');
RESET ROLE;
SELECT objectlink.grant_reader('objectlink_test_user');
SET ROLE objectlink_test_user;
SELECT count(*) > 9 FROM objectlink.erasures;
SELECT intact FROM objectlink.verify_erasures();
INSERT INTO objectlink.erasure SELECT * FROM objectlink.erasure;
UPDATE objectlink.erasure SET key = 'x';
DELETE FROM objectlink.erasure_chain;
RESET ROLE;

-- Nobody changes one in passing, not even a superuser, nor one who calls himself a replica
SELECT daemon.refused($$UPDATE objectlink.erasure SET key = 'x'$$);
SELECT daemon.refused($$DELETE FROM objectlink.erasure$$);
SELECT daemon.refused($$TRUNCATE objectlink.erasure$$);
SET session_replication_role = replica;
SELECT daemon.refused($$UPDATE objectlink.erasure SET key = 'x'$$);
SELECT daemon.refused($$DELETE FROM objectlink.erasure$$);
SELECT daemon.refused($$TRUNCATE objectlink.erasure$$);
RESET session_replication_role;
:verify

-- And one who switches that off is found out, whatever he does
SELECT objectlink.purge_erasures('infinity') > 0;
CALL daemon.store('{1,2,3,4,5,6}');
DELETE FROM document;
SELECT daemon.erase();
:verify
SELECT min(id) + 2 AS third, max(id) AS last FROM objectlink.erasure \gset
CREATE FUNCTION daemon.tampered(p_statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  v_before bigint := (SELECT min(id) - 1 FROM objectlink.erasure);
BEGIN
  ALTER TABLE objectlink.erasure DISABLE TRIGGER USER;
  EXECUTE p_statement;
  RETURN QUERY SELECT concat_ws(' ', v.records, v.intact, v.first_broken_id - v_before) FROM objectlink.verify_erasures() v;
  -- Undone again, in every case.
  RAISE EXCEPTION 'undone' USING ERRCODE = 'P0099';
EXCEPTION WHEN SQLSTATE 'P0099' THEN NULL;
END $$;
-- every column that means something, one at a time
SELECT a.attname, daemon.tampered(format('UPDATE objectlink.erasure SET %I = %s WHERE id = %s', a.attname,
  CASE a.atttypid::regtype::text WHEN 'text' THEN '''forged''' WHEN 'jsonb' THEN '''{"id": 99}''' WHEN 'bytea' THEN '''\xabcd'''
  WHEN 'timestamp with time zone' THEN '''2001-01-01''' ELSE '12345' END, :third))
FROM pg_attribute a WHERE a.attrelid = 'objectlink.erasure'::regclass AND a.attnum > 0 AND a.attname <> 'store_id' ORDER BY a.attnum;
SELECT a.attname, daemon.tampered(format('UPDATE objectlink.erasure SET %I = NULL WHERE id = %s', a.attname, :third))
FROM pg_attribute a WHERE a.attrelid = 'objectlink.erasure'::regclass AND a.attnum > 0 AND a.attname <> 'store_id'
  AND NOT a.attnotnull ORDER BY a.attnum;
-- changed, with a hash that fits: then the next one does not
SELECT daemon.tampered(format($$WITH forged AS (SELECT e.id, e.store_id, e.prev_hash, jsonb_populate_record(e, '{"unlinked_by": "nobody"}') AS f
    FROM objectlink.erasure e WHERE id = %s)
  UPDATE objectlink.erasure e SET unlinked_by = 'nobody', hash = sha256(f.prev_hash || convert_to(objectlink.erasure_text(f.f), 'UTF8'))
  FROM forged f WHERE e.id = f.id$$, :third));
-- taken out: the first, one in the middle, the last, all
SELECT n, daemon.tampered(format('DELETE FROM objectlink.erasure WHERE id = %s', :third - 3 + n)) FROM generate_series(1, 6) n;
SELECT daemon.tampered('DELETE FROM objectlink.erasure WHERE id > ' || :third);
SELECT daemon.tampered('DELETE FROM objectlink.erasure');
SELECT daemon.tampered('TRUNCATE objectlink.erasure');
-- taken out, and those after it renumbered
SELECT daemon.tampered(format('DELETE FROM objectlink.erasure WHERE id = %1$s; UPDATE objectlink.erasure SET id = -id WHERE id > %1$s;
  UPDATE objectlink.erasure SET id = -id - 1 WHERE id < 0', :third));
-- two exchanged
SELECT daemon.tampered(format('UPDATE objectlink.erasure SET id = -1 WHERE id = %1$s; UPDATE objectlink.erasure SET id = %1$s WHERE id = %1$s + 1;
  UPDATE objectlink.erasure SET id = %1$s + 1 WHERE id = -1', :third));
-- one put in, at the end and twice
SELECT daemon.tampered(format('INSERT INTO objectlink.erasure SELECT (jsonb_populate_record(e, ''{"id": %s}'')).* FROM objectlink.erasure e WHERE id = %s', :last + 1, :last));
-- the end of the chain forgotten, or said to be elsewhere
SELECT daemon.tampered('UPDATE objectlink.erasure_chain SET last_id = last_id + 1');
SELECT daemon.tampered($$UPDATE objectlink.erasure_chain SET last_hash = '\x00'$$);
SELECT daemon.tampered('DELETE FROM objectlink.erasure_purged');
SELECT daemon.tampered($$UPDATE objectlink.erasure_purged SET hash = '\x00'$$);
SELECT daemon.tampered('UPDATE objectlink.erasure_purged SET id = id + 1');
SELECT daemon.tampered('UPDATE objectlink.erasure_purged SET id = id + 1; DELETE FROM objectlink.erasure WHERE id = (SELECT id FROM objectlink.erasure_purged)');
SELECT daemon.tampered('UPDATE objectlink.erasure_purged SET id = id + 10, hash = (SELECT last_hash FROM objectlink.erasure_chain); DELETE FROM objectlink.erasure');
SELECT daemon.tampered('UPDATE objectlink.erasure_chain SET last_id = last_id - 1');
BEGIN;
DELETE FROM objectlink.erasure_chain;
:verify
ROLLBACK;
:verify
-- two stores: each its own chain, and a record of the one is none of the other
CREATE SERVER attic FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'attic');
SELECT epoch FROM objectlink.acquire(daemon.store_id('attic'), (SELECT max(id) FROM objectlink.worker));
INSERT INTO document VALUES (1, '', 's3://attic/x');
SELECT daemon.apply(), daemon.settle('x', 'stored', '{}', 'attic');
DELETE FROM document;
SELECT daemon.apply(), daemon.condemn('attic'), daemon.issue('attic');
SELECT daemon.settle('x', 'gone', '{}', 'attic');
:verify
SELECT store_name, intact FROM objectlink.verify_erasures('attic');
ALTER TABLE objectlink.erasure DISABLE TRIGGER USER;
BEGIN;
UPDATE objectlink.erasure SET store_id = daemon.store_id('attic'), id = 2 WHERE id = :last;
:verify
ROLLBACK;
ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays;
ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays_whole;

-- Purged from the beginning only, and said in an event; what is left holds together, and goes on
CALL daemon.store('{7,8}');
DELETE FROM document;
SELECT daemon.erase();
SELECT at AS cut FROM objectlink.erasure WHERE id = :last + 1 AND store_id = daemon.store_id('docs') \gset
TRUNCATE objectlink.event;
SELECT objectlink.purge_erasures('2001-01-01');
SELECT objectlink.purge_erasures(:'cut', store => 'attic');
SELECT objectlink.purge_erasures(:'cut', store => 'docs');
SELECT objectlink.purge_erasures(:'cut', store => 'docs');
:verify
SELECT s.name, cause, actor = current_user, detail ->> 'records', (detail ->> 'last_id')::bigint = :last, detail ->> 'last_hash' = encode(p.hash, 'hex'), (detail ->> 'before')::timestamptz = :'cut'
FROM objectlink.event e JOIN objectlink.store s ON s.id = e.store_id JOIN objectlink.erasure_purged p USING (store_id) ORDER BY e.id;
SELECT daemon.refused($$DELETE FROM objectlink.erasure$$);
CALL daemon.store('{9}');
DELETE FROM document;
SELECT daemon.erase();
SELECT objectlink.purge_erasures('infinity', store => 'docs');
:verify
CALL daemon.store('{10}');
DELETE FROM document;
SELECT daemon.erase();
:verify
SELECT daemon.refused('SELECT objectlink.purge_erasures(NULL)');
-- an older record that says it is younger than the point in time keeps those after it
ALTER TABLE objectlink.erasure DISABLE TRIGGER USER;
BEGIN;
CALL daemon.store('{11}');
DELETE FROM document;
SELECT daemon.erase();
UPDATE objectlink.erasure e SET at = '2100-01-01' FROM objectlink.erasure_chain c WHERE c.store_id = e.store_id AND e.id = c.last_id - 1 AND e.store = 'docs';
SELECT objectlink.purge_erasures(clock_timestamp(), store => 'docs');
ROLLBACK;
ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays;
ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays_whole;

DROP SERVER attic;
SET client_min_messages = warning;
DROP TABLE document, other, elsewhere.paper;
DROP SCHEMA elsewhere;
DROP FUNCTION drop_document(int);
DROP OWNED BY objectlink_test_user;
DROP ROLE objectlink_test_user;
\set ECHO none
CALL daemon.finish();
