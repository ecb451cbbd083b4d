-- Deleting safely: condemn, barrier, ask again, issue. The request itself goes out only after all four.

-- Longer than any statement of the drainer takes.
CREATE FUNCTION objectlink.remark_time() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '1 minute' $$;
COMMENT ON FUNCTION objectlink.remark_time() IS 'how long the mark of a key stays at least that was marked before and is marked again';

-- Step 2: the mark. From its commit on the trigger refuses to link these keys.
CREATE FUNCTION objectlink.condemn(p_store int, p_epoch bigint, p_keys text[]) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name;
  v_keys text[];
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  PERFORM objectlink.assert_may_delete(p_store, p_epoch);
  -- The store first, then its objects in the order of keys: so does everybody who holds or releases.
  SELECT s.name INTO v_store FROM objectlink.store s WHERE s.id = p_store FOR NO KEY UPDATE;
  IF objectlink.deletions_stopped(p_store) THEN
    RETURN;
  END IF;
  v_keys := objectlink.lock_due(p_store, p_keys);
  IF NOT objectlink.brake_lets_pass(p_store, cardinality(v_keys)) THEN
    RETURN;
  END IF;
  RETURN QUERY
    WITH due AS MATERIALIZED (
      -- Key by key, here and below: for "of this store, and any of these keys" a planner with old statistics reads the whole store.
      SELECT p_store AS store_id, o.* FROM unnest(v_keys) AS w (key)
      CROSS JOIN LATERAL (SELECT i.key, i.attachment_id FROM objectlink.object i WHERE i.store_id = p_store AND i.key = w.key OFFSET 0) AS o
    ), changed AS (
      UPDATE objectlink.object o
      SET state = 'deleting', since = clock_timestamp(), attempts = 0, due_at = clock_timestamp(), last_error = NULL
      FROM due d WHERE o.store_id = d.store_id AND o.key = d.key
    ), marked AS (
      INSERT INTO objectlink.condemned AS c (ref) SELECT objectlink.storage_ref(v_store::text, d.key) FROM due d
      -- Still marked from an earlier deletion: written anew, because the drainer may just be taking the mark off, and have looked at the
      -- object before. It looks at a mark that has changed once more, and then finds that its time has not come.
      ON CONFLICT ON CONSTRAINT condemned_pkey DO UPDATE
      SET condemned_at = clock_timestamp(),
          release_after = CASE WHEN c.release_after IS NOT NULL THEN greatest(c.release_after, clock_timestamp() + objectlink.remark_time()) END
    ), logged AS (
      INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id)
      SELECT p_store, d.key, 'unlinked', 'deleting', 'due', d.attachment_id FROM due d
    )
    SELECT d.key FROM due d;
END $$;
COMMENT ON FUNCTION objectlink.condemn(int, bigint, text[]) IS 'for the owner of a store: marks due keys as being deleted, returns those it marked';

-- Step 3: everybody who may have written a row, or looked for the mark, before the mark was committed:
-- all holders, prepared ones included, of a writer's lock on the outbox or on a table that is asked; and of the
-- locks of DDL on any lasting table, or on one that can't be seen yet: it may become one that is asked.
-- VACUUM's lock is another one and delays nothing.
CREATE FUNCTION objectlink.writers() RETURNS SETOF text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE asked (relid) AS (
    SELECT 'objectlink.outbox'::regclass::oid
    UNION SELECT c.relid FROM objectlink.asked_column c
    UNION SELECT i.inhrelid FROM asked a JOIN pg_inherits i ON i.inhparent = a.relid
  )
  SELECT DISTINCT l.virtualtransaction
  FROM pg_locks l LEFT JOIN pg_class c ON c.oid = l.relation
  WHERE l.locktype = 'relation' AND l.granted
    AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
    AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND (l.mode IN ('RowExclusiveLock', 'ExclusiveLock') AND l.relation IN (SELECT a.relid FROM asked a)
         OR l.mode IN ('ShareRowExclusiveLock', 'AccessExclusiveLock')
            AND (c.oid IS NULL OR c.relkind IN ('r', 'p') AND c.relpersistence <> 't'))
$$;
COMMENT ON FUNCTION objectlink.writers() IS 'for the barrier: virtual transactions that hold a writer''s lock on the outbox or an asked table; those of transactions prepared before a restart begin with -1/';

CREATE FUNCTION objectlink.writers_left(p_writers text[]) RETURNS SETOF text
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT DISTINCT l.virtualtransaction FROM pg_locks l WHERE l.virtualtransaction = ANY (p_writers)
$$;
COMMENT ON FUNCTION objectlink.writers_left(text[]) IS 'for the barrier: which of these virtual transactions are still under way';

-- Taken back: the barrier was not passed, or nothing may be decided now.
CREATE FUNCTION objectlink.uncondemn(p_store int, p_epoch bigint, p_keys text[], p_retry_ms bigint, p_reason text) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_count int;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  PERFORM FROM objectlink.store s WHERE s.id = p_store FOR NO KEY UPDATE;
  WITH changed AS (
    UPDATE objectlink.object o
    SET state = 'unlinked', since = clock_timestamp(), last_error = CASE WHEN o.held_reason IS NULL AND o.admin_hold IS NULL THEN p_reason END,
        due_at = CASE WHEN o.held_reason IS NULL AND o.admin_hold IS NULL THEN clock_timestamp() + p_retry_ms * interval '1 ms' END
    FROM (SELECT p_store AS store_id, k AS key FROM unnest(p_keys) k OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key AND o.state = 'deleting' AND o.issued_at IS NULL
    RETURNING o.key, o.attachment_id, o.held_reason
  ), unmarked AS (
    DELETE FROM objectlink.condemned c USING changed d
    WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, d.key) AND c.release_after IS NULL
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, detail)
    SELECT p_store, d.key, 'deleting', 'unlinked', 'not now', d.attachment_id, jsonb_strip_nulls(jsonb_build_object('reason', p_reason, 'held', d.held_reason))
    FROM changed d RETURNING 1
  )
  SELECT count(*) INTO v_count FROM logged;
  PERFORM objectlink.uncount_deletions(p_store, v_count);
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.uncondemn(int, bigint, text[], bigint, text) IS 'for the owner of a store: takes the mark of keys back and tries later';

-- Step 4: asks the rows again, after the barrier. What is linked goes back; of the rest the same transaction
-- says that the request is issued. Its synchronous commit makes everything before it durable, the user's
-- own delete under synchronous_commit = off included. Returned are the keys that may be deleted now.
CREATE FUNCTION objectlink.issue(p_store int, p_epoch bigint, p_keys text[], p_retry_ms bigint)
RETURNS TABLE (key text, version_id text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_column
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_keys text[];
  v_refs objectlink.storage_ref[];
  v_linked text[];
  v_busy text[];
  v_kept text[];
  v_held text[];
  v_unknown text;
BEGIN
  IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
    RAISE EXCEPTION 'issue() needs synchronous_commit at least on' USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  PERFORM objectlink.assert_may_delete(p_store, p_epoch);
  PERFORM FROM objectlink.store s WHERE s.id = p_store FOR NO KEY UPDATE;
  v_keys := ARRAY(SELECT o.key FROM (SELECT k FROM unnest(p_keys) k ORDER BY k COLLATE "C") AS w (key)
                  CROSS JOIN LATERAL (SELECT i.key FROM objectlink.object i
                                      WHERE i.store_id = p_store AND i.key = w.key AND i.state = 'deleting' AND i.issued_at IS NULL
                                      FOR UPDATE) AS o);
  -- Another row's unlink, with a policy that keeps the object longer, may have been applied after the mark.
  SELECT array_agg(o.key) INTO v_kept FROM unnest(v_keys) AS w (key)
    CROSS JOIN LATERAL (SELECT i.key FROM objectlink.object i
                        WHERE i.store_id = p_store AND i.key = w.key AND (i.keep_until > clock_timestamp() OR i.admin_hold IS NOT NULL) OFFSET 0) AS o;
  PERFORM objectlink.take_back_kept(p_store, v_kept, 'not now', 'kept by a policy');
  v_keys := ARRAY(SELECT k FROM unnest(v_keys) k WHERE NOT k = ANY (coalesce(v_kept, '{}')));
  v_refs := ARRAY(SELECT objectlink.storage_ref(v_store::text, k) FROM unnest(v_keys) k);

  SELECT array_agg(DISTINCT objectlink.key(l.ref)) FILTER (WHERE l.ref IS NOT NULL), max(l.unknown)
    INTO v_linked, v_unknown FROM objectlink.linked(v_refs) l;
  SELECT array_agg(DISTINCT objectlink.key(b.ref)) INTO v_busy
    FROM objectlink.outbox b WHERE b.ref OPERATOR(pg_catalog.=) ANY (v_refs);
  v_linked := coalesce(v_linked, '{}');
  v_busy := coalesce(v_busy, '{}');

  WITH back AS (
    UPDATE objectlink.object o
    -- After a deletion that was given up, nobody knows whether it is still there.
    SET state = CASE WHEN o.verified_at IS NOT NULL AND o.failing_since IS NULL THEN 'stored' ELSE 'pending' END, since = clock_timestamp(), attempts = 0,
        due_at = CASE WHEN o.verified_at IS NULL OR o.failing_since IS NOT NULL THEN clock_timestamp() END, last_error = NULL, held_reason = NULL
    FROM (SELECT p_store AS store_id, k AS key FROM unnest(v_linked) k OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key
    RETURNING o.key, o.state, o.attachment_id
  ), unmarked AS (
    DELETE FROM objectlink.condemned c USING back b
    WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, b.key) AND c.release_after IS NULL
  )
  INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id)
    SELECT p_store, b.key, 'deleting', b.state, 'still linked', b.attachment_id FROM back b;
  PERFORM objectlink.uncount_deletions(p_store, cardinality(v_linked));
  PERFORM objectlink.queue_row_work(p_store, v_linked);
  v_keys := ARRAY(SELECT k FROM unnest(v_keys) k WHERE NOT k = ANY (v_linked));

  IF v_unknown IS NOT NULL THEN
    PERFORM objectlink.uncondemn(p_store, p_epoch, v_keys, p_retry_ms, v_unknown);
    RETURN;
  END IF;
  PERFORM objectlink.uncondemn(p_store, p_epoch, v_busy, p_retry_ms, 'touched again, not yet applied');
  -- Found after it was condemned: its link was dropped, not deleted.
  v_held := ARRAY(SELECT o.key FROM unnest(v_keys) AS w (key)
                  CROSS JOIN LATERAL (SELECT i.key, i.state, i.held_reason FROM objectlink.object i WHERE i.store_id = p_store AND i.key = w.key OFFSET 0) AS o
                  WHERE o.state = 'deleting' AND o.held_reason IS NOT NULL);
  PERFORM objectlink.uncondemn(p_store, p_epoch, v_held, p_retry_ms, 'held');
  RETURN QUERY
    UPDATE objectlink.object o SET issued_at = clock_timestamp(), issued_epoch = p_epoch
    FROM (SELECT p_store AS store_id, k AS key FROM unnest(v_keys) k WHERE NOT k = ANY (v_busy) OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key AND o.state = 'deleting' AND o.issued_at IS NULL
    RETURNING o.key, o.version_id;
END $$;
COMMENT ON FUNCTION objectlink.issue(int, bigint, text[], bigint) IS 'for the owner of a store: asks the rows again after the barrier and returns the keys that may be deleted now';

CREATE FUNCTION objectlink.release_condemned(p_epoch bigint) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_count int;
BEGIN
  PERFORM objectlink.assert_owner(0, p_epoch);
  PERFORM objectlink.forget_unneeded();
  WITH released AS (
    DELETE FROM objectlink.condemned c
    WHERE c.release_after <= clock_timestamp()
      AND NOT EXISTS (SELECT FROM objectlink.object o JOIN objectlink.store s ON s.id = o.store_id
                      WHERE s.name = objectlink.store(c.ref) AND o.key = objectlink.key(c.ref) AND o.state = 'deleting')
    RETURNING c.*
  ), again AS (
    -- An upload may have arrived after the deletion. It goes the way of every unlinked object.
    INSERT INTO objectlink.object (store_id, key, state, since, attachment_id, due_at, sha256)
    SELECT objectlink.store_id(objectlink.store(r.ref)), objectlink.key(r.ref), 'unlinked', clock_timestamp(), r.attachment_id,
           clock_timestamp(), r.sha256
    -- Without a digest nobody could tell it from what somebody else has stored meanwhile.
    FROM released r WHERE r.watched AND r.sha256 IS NOT NULL
    ON CONFLICT ON CONSTRAINT object_pkey DO NOTHING
    RETURNING store_id, key, attachment_id
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, to_state, cause, attachment_id)
    SELECT a.store_id, a.key, 'unlinked', 'upload may be late', a.attachment_id FROM again a
  )
  SELECT count(*) INTO v_count FROM released;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.release_condemned(bigint) IS 'for the drainer: frees keys whose last request can no longer arrive, and has those looked at once more where that may have been an upload';
