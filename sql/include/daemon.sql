-- Lets a test play the daemon: functions that call objectlink's own in the order that objectlinkd does.
-- Also the store that most tests use. Everything made here goes again with `CALL daemon.finish()`.
SET client_min_messages = warning;
-- As the daemon's sessions do.
SET jit = off;
CREATE SCHEMA daemon;
CREATE SERVER docs FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'docs');

CREATE FUNCTION daemon.store_id(p_store text) RETURNS int LANGUAGE sql AS
$$ SELECT store_id FROM objectlink.store_settings() WHERE store = p_store $$;

CREATE FUNCTION daemon.epoch(p_resource int) RETURNS bigint LANGUAGE sql AS
$$ SELECT epoch FROM objectlink.owner WHERE resource = p_resource $$;

-- Holds the lease of the ownership marker, as after it was written and read back.
CREATE FUNCTION daemon.claim(p_store text DEFAULT 'docs') RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_store int := daemon.store_id(p_store);
  v_epoch bigint := daemon.epoch(v_store);
BEGIN
  IF EXISTS (SELECT FROM objectlink.marker WHERE store_id = v_store AND lease_owner = v_epoch AND lease_until > clock_timestamp()) THEN
    RETURN;
  END IF;
  PERFORM objectlink.marker_state(v_store, v_epoch);
  PERFORM objectlink.confirm_marker(v_store, v_epoch, objectlink.begin_marker(v_store, v_epoch) ->> 'nonce', 'etag', true);
END $$;

-- Takes a server away although there are objects, which objectlink refuses.
CREATE PROCEDURE daemon.drop_server(p_store text) LANGUAGE plpgsql AS $$
BEGIN
  ALTER EVENT TRIGGER objectlink_server_drop DISABLE;
  EXECUTE format('DROP SERVER %I', p_store);
  ALTER EVENT TRIGGER objectlink_server_drop ENABLE;
END $$;

-- Registers and owns the outbox and every store.
CREATE FUNCTION daemon.start() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_worker bigint := objectlink.register_worker('test', '0', 'test');
BEGIN
  PERFORM objectlink.acquire(0, v_worker);
  PERFORM objectlink.acquire(store_id, v_worker) FROM objectlink.store_settings();
END $$;

-- Applies the outbox until it is empty, or until what is left waits for a column that can't be asked.
CREATE FUNCTION daemon.apply() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_taken bigint := 0;
  v_batch int;
BEGIN
  FOR i IN 1 .. 3 LOOP
    SELECT taken INTO v_batch FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 10000);
    EXIT WHEN v_batch = 0;
    v_taken := v_taken + v_batch;
  END LOOP;
  RETURN v_taken;
END $$;

-- Makes the walks to their end: how many values were seen.
CREATE FUNCTION daemon.walk(p_step int DEFAULT 1000) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_seen bigint := 0;
  v_step int;
BEGIN
  FOR i IN 1 .. 1000 LOOP
    v_step := objectlink.scan_step(daemon.epoch(0), p_step);
    EXIT WHEN v_step = -1 OR v_step = 0 AND EXISTS (SELECT FROM objectlink.scan WHERE last_error IS NOT NULL);
    v_seen := v_seen + v_step;
  END LOOP;
  RETURN v_seen;
END $$;

-- Brings users' rows in line until nothing is due: how many objects' rows were written.
CREATE FUNCTION daemon.work_on_rows(p_limit int DEFAULT 100) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  v_done bigint := 0;
BEGIN
  FOR i IN 1 .. 100 LOOP
    v_done := v_done + (objectlink.work_on_rows(daemon.epoch(0), p_limit, true)).done;
    EXIT WHEN NOT EXISTS (SELECT FROM objectlink.row_work WHERE due_at <= clock_timestamp());
  END LOOP;
  RETURN v_done;
END $$;

-- What a store answered about one object, in the state and attempt that the registry has now.
CREATE FUNCTION daemon.settle(p_key text, p_outcome text, p_more jsonb DEFAULT '{}', p_store text DEFAULT 'docs')
RETURNS int LANGUAGE plpgsql AS $$
DECLARE
  v_store int := daemon.store_id(p_store);
  v_result jsonb;
BEGIN
  SELECT jsonb_build_object('key', key, 'state', state, 'attempts', attempts, 'outcome', p_outcome, 'cause', 'test') || p_more
    INTO v_result FROM objectlink.object WHERE store_id = v_store AND key = p_key;
  RETURN objectlink.settle(v_store, daemon.epoch(v_store), json_build_array(v_result));
END $$;

-- The whole way of a deletion up to the request: which keys may be deleted now.
CREATE FUNCTION daemon.condemn(p_store text DEFAULT 'docs') RETURNS SETOF text LANGUAGE sql AS $$
  SELECT daemon.claim(p_store);
  SELECT c FROM objectlink.condemn(daemon.store_id(p_store), daemon.epoch(daemon.store_id(p_store)),
    ARRAY(SELECT w.key FROM objectlink.due_work(daemon.store_id(p_store), '-infinity', 1000) w WHERE w.state = 'unlinked')) c
  ORDER BY c COLLATE "C"
$$;
CREATE FUNCTION daemon.issue(p_store text DEFAULT 'docs') RETURNS SETOF text LANGUAGE sql AS $$
  SELECT daemon.claim(p_store);
  SELECT i.key FROM objectlink.issue(daemon.store_id(p_store), daemon.epoch(daemon.store_id(p_store)),
    ARRAY(SELECT key FROM objectlink.object WHERE store_id = daemon.store_id(p_store) AND state = 'deleting'), 60000) i
  ORDER BY i.key COLLATE "C"
$$;

-- How a statement fails: SQLSTATE and message, detail and hint on lines of their own.
CREATE FUNCTION daemon.refused(p_statement text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  v_part text;
BEGIN
  BEGIN
    EXECUTE p_statement;
    RETURN NEXT 'not refused';
  EXCEPTION WHEN OTHERS OR query_canceled THEN
    RETURN NEXT SQLSTATE || ' ' || SQLERRM;
    GET STACKED DIAGNOSTICS v_part = PG_EXCEPTION_DETAIL;
    -- The detail of a constraint shows the whole row, times and all.
    IF v_part <> '' AND v_part NOT LIKE 'Failing row%' THEN RETURN NEXT '  ' || v_part; END IF;
    GET STACKED DIAGNOSTICS v_part = PG_EXCEPTION_HINT;
    IF v_part <> '' THEN RETURN NEXT '  ' || v_part; END IF;
  END;
END $$;

CREATE VIEW daemon.outbox AS
SELECT op, coalesce(a.relation::regclass::text || '.' || a.column_name, '') AS attached, ref, CASE WHEN op = 'T' THEN relid END AS relation
FROM objectlink.outbox o LEFT JOIN objectlink.attachment a ON a.id = o.attachment_id;

CREATE VIEW daemon.objects AS
SELECT s.name AS store, o.key, o.state, coalesce(a.relation::regclass::text || '.' || a.column_name, '') AS attached,
       CASE WHEN o.due_at IS NULL THEN 'no' WHEN o.due_at <= clock_timestamp() THEN 'now' ELSE 'later' END AS due
FROM objectlink.object o JOIN objectlink.store s ON s.id = o.store_id LEFT JOIN objectlink.attachment a ON a.id = o.attachment_id;

CREATE PROCEDURE daemon.finish() LANGUAGE plpgsql AS $$
BEGIN
  SET client_min_messages = warning;
  PERFORM pg_advisory_unlock_all();
  PERFORM objectlink.purge_erasures('infinity');
  TRUNCATE objectlink.outbox, objectlink.object, objectlink.payload, objectlink.condemned, objectlink.event,
           objectlink.scan, objectlink.attachment, objectlink.owner, objectlink.worker, objectlink.store, objectlink.doorbell, objectlink.dropped_relation, objectlink.erasure_chain, objectlink.erasure_purged,
           objectlink.capability, objectlink.marker, objectlink.run, objectlink.scrub, objectlink.inventory, objectlink.finding, objectlink.quarantine, objectlink.collection, objectlink.collected_key, objectlink.run_range, objectlink.row_policy, objectlink.related_table, objectlink.row_work, objectlink.deleted_row RESTART IDENTITY;
  DROP SERVER docs CASCADE;
  DROP SCHEMA daemon CASCADE;
END $$;
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
\pset null NULL
\set SHOW_CONTEXT never
