-- Goal: the views tell people and scripts what is: objects before and after they are applied, counts, backlog, workers, history.
-- Method: take objects through every state and read the views after each; who may see what is in privileges.sql.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE legacy (path text);
-- Nothing yet
SELECT count(*) FROM objectlink.objects;
SELECT count(*) FROM objectlink.events;
SELECT count(*) FROM objectlink.outbox_backlog;
SELECT count(*) FROM objectlink.workers;
SELECT count(*) FROM objectlink.attachments;
SELECT name, owner = current_user::regrole, options FROM objectlink.server;

SELECT daemon.start();
SELECT name, version, pid = pg_backend_pid(), stores, drainer FROM objectlink.workers;
INSERT INTO legacy VALUES ('old/1'), ('old/2');
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('legacy', 'path', store => 'docs') > 0;
SELECT relation, column_name, store, attached_by = session_user, linking_existing_rows, existing_rows_linked FROM objectlink.attachments ORDER BY relation::text;

-- Committed, not applied: already visible as pending, but not what was unlinked too, and not what is known
INSERT INTO document VALUES (1, 's3://docs/1'), (2, 's3://docs/brief');
DELETE FROM document WHERE id = 2;
SELECT store, key, ref, state, size, attempts, due_at IS NOT NULL AS due FROM objectlink.objects ORDER BY key;
SELECT relation, column_name, rows, oldest >= interval '0' FROM objectlink.outbox_backlog;
BEGIN;
INSERT INTO document VALUES (3, 's3://docs/uncommitted');
SELECT key, state FROM objectlink.objects ORDER BY key;
ROLLBACK;
SELECT daemon.walk(1);
SELECT relation, existing_rows_linked FROM objectlink.attachments ORDER BY relation::text;
SELECT daemon.apply();
SELECT key, state FROM objectlink.objects ORDER BY key;
SELECT count(*) FROM objectlink.outbox_backlog;
-- linked once more: once in the view
INSERT INTO document VALUES (4, 's3://docs/1');
SELECT key, state FROM objectlink.objects WHERE key = '1';
SELECT daemon.apply();

-- What a store can do is unknown until it was probed; the view shows the endpoint and bucket of now
SELECT * FROM objectlink.store_capabilities;

-- One of each state; last the deleted one, which leaves
INSERT INTO document SELECT 10 + row_number() OVER (), objectlink.storage_ref('docs', k) FROM unnest('{stored,failed,missing,corrupt,unlinked,deleting,gone}'::text[]) k;
SELECT objectlink.put('docs', 'x', key => 'reserved');
SELECT daemon.apply();
SELECT daemon.settle(k, 'stored', '{"size": 100, "etag": "\"e\"", "content_type": "text/plain", "version_id": "v1", "sha256": "00ff"}') FROM unnest('{stored,missing,corrupt,unlinked,deleting,gone}'::text[]) k;
SELECT daemon.settle('failed', 'failed', '{"error_class": "object", "error_code": "AccessDenied", "message": "not allowed", "request_id": "R1"}');
UPDATE objectlink.object SET state = key WHERE key IN ('missing', 'corrupt');
DELETE FROM document WHERE objectlink.key(file) IN ('deleting', 'gone');
SELECT daemon.apply();
SELECT daemon.claim();
SELECT count(*) FROM objectlink.condemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{deleting,gone}');
SELECT daemon.issue();
SELECT daemon.settle('gone', 'gone', '{"request_id": "R2"}');
DELETE FROM document WHERE objectlink.key(file) = 'unlinked';
SELECT daemon.apply();
SELECT store, key, state, size, sha256, etag, version_id, content_type, verified_at IS NOT NULL AS verified, tenant, attempts FROM objectlink.objects ORDER BY key;
SELECT key, last_error, error_class, error_code, request_id FROM objectlink.objects WHERE last_error IS NOT NULL;
SELECT count(*) FROM objectlink.objects WHERE key = 'gone';
SELECT store, from_state, to_state, cause, actor = session_user, attempt, request_id FROM objectlink.events WHERE key = 'gone' ORDER BY id;
SELECT key, from_state, to_state, cause, detail FROM objectlink.events WHERE key = 'failed' ORDER BY id;
\x on
SELECT store, stored, pending, reserved, unlinked, deleting, failed, missing, corrupt, stored_bytes, oldest_unsettled > interval '0' AS old, status, error_code, open_findings, reconciled_at FROM objectlink.consistency;
\x off
-- When all of it was last compared: by a run that ended well, of all keys, and of the store as it is
INSERT INTO objectlink.run (store_id, mode, prefix, place, page_size, state, sample, ended_at)
SELECT daemon.store_id('docs'), m, p, '', 1000, s, n, e FROM (VALUES
  ('repair', '', 'done', NULL, '2026-01-01 00:00Z'::timestamptz), ('report', '', 'failed', NULL, '2026-01-02 00:00Z'), ('report', 'part/', 'done', NULL, '2026-01-03 00:00Z'),
  ('inventory', '', 'done', NULL, '2026-01-04 00:00Z'), ('report', '', 'done', 10, '2026-01-05 00:00Z'), ('report', '', 'running', NULL, NULL)) v (m, p, s, n, e);
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence)
SELECT daemon.store_id('docs'), k, 'orphan', s, 1, 1, '{}' FROM (VALUES ('x', 'open'), ('y', 'open'), ('z', 'suspected'), ('a', 'acknowledged')) v (k, s);
SELECT reconciled_at AT TIME ZONE 'UTC', open_findings FROM objectlink.consistency;
BEGIN;
ALTER SERVER docs OPTIONS (ADD prefix 'part');
SELECT reconciled_at AT TIME ZONE 'UTC' FROM objectlink.consistency;
ROLLBACK;

-- A store that is paused, its server dropped
SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'paused', 'store', 'AccessDenied', 'all requests are refused');
SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'paused', 'store', 'NoSuchBucket', 'still');
SELECT store, status, error_code, error_message FROM objectlink.consistency;
SELECT store, key, cause, detail FROM objectlink.events WHERE cause LIKE 'store %' ORDER BY id;
SELECT daemon.refused($$SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'broken', '', '', '')$$);
SELECT objectlink.set_store_status(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'ok', NULL, NULL, NULL);
SELECT store, status, error_code FROM objectlink.consistency;
BEGIN;
CALL daemon.drop_server('docs');
SELECT store, status, stored FROM objectlink.consistency;
SELECT count(*) > 5 FROM objectlink.objects WHERE store = 'docs';
ROLLBACK;

-- A daemon whose session ended is no worker any more; one that released nothing still shows as the last owner
SELECT pg_advisory_unlock_all();
SELECT count(*) FROM objectlink.workers;
SELECT count(*) > 0 FROM objectlink.owner WHERE released_at IS NULL;
SELECT daemon.start();
SELECT count(*), count(*) FILTER (WHERE drainer) FROM objectlink.workers;
-- those that never owned anything are forgotten
SELECT objectlink.register_worker('idle', '0', 'p') > 0;
SELECT pg_advisory_unlock_all();
SELECT daemon.start();
SELECT name, count(*) FROM objectlink.worker GROUP BY name ORDER BY name;

-- All views and columns that scripts may rely on, and every object of the extension has a comment
SELECT table_name, string_agg(column_name, ', ' ORDER BY ordinal_position) FROM information_schema.columns
WHERE table_schema = 'objectlink' AND table_name IN (SELECT viewname FROM pg_views WHERE schemaname = 'objectlink') GROUP BY 1 ORDER BY 1;
SELECT pg_describe_object(d.classid, d.objid, 0) FROM pg_depend d
WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'objectlink') AND d.deptype = 'e'
  AND obj_description(d.objid, d.classid::regclass::text) IS NULL
  AND NOT EXISTS (SELECT FROM pg_class c WHERE d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind = 'S')
  AND d.classid IN ('pg_class'::regclass, 'pg_proc'::regclass, 'pg_type'::regclass, 'pg_operator'::regclass, 'pg_cast'::regclass, 'pg_event_trigger'::regclass)
  AND NOT EXISTS (SELECT FROM pg_type t WHERE d.classid = 'pg_type'::regclass AND t.oid = d.objid AND (t.typrelid <> 0 OR t.typelem <> 0))
ORDER BY 1;

-- No view is so dear, in a small database that nobody has analyzed, that PostgreSQL would compile it: that takes seconds
SET jit = on;
CREATE FUNCTION daemon.cost(p_view name) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
  v_plan json;
BEGIN
  EXECUTE format('EXPLAIN (FORMAT json) SELECT * FROM objectlink.%I', p_view) INTO v_plan;
  RETURN v_plan #>> '{0,Plan,Total Cost}';
END $$;
SELECT viewname, daemon.cost(viewname) FROM (SELECT viewname FROM pg_views WHERE schemaname = 'objectlink' OFFSET 0) v WHERE daemon.cost(viewname) > current_setting('jit_above_cost')::numeric;

SET client_min_messages = warning;
DROP TABLE document, legacy;
CALL daemon.finish();
