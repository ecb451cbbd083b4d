-- Settle: what the store answered -> registry and events, in one transaction, guarded by the state, the
-- attempt and the owner's epoch that the daemon acted on. A result that came too late is dropped.

-- Outcomes that the daemon reports:
--   stored    the store's reply showed the object (size, and digest where it gives one)
--   retry     look again at retry_ms from now; counted: it was the object's own fault
--   failed    given up
--   gone      the store confirmed that it does not have the object
--   unknown   a request to delete went out and no reply came back: it may still arrive
CREATE FUNCTION objectlink.settle(p_store int, p_epoch bigint, p_results json) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_settled int;
  v_gone text[];
  v_erased objectlink.erased[];
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  -- The store comes with each result: a planner that is told one store, and has old statistics, reads all of it.
  WITH result AS MATERIALIZED (
    SELECT p_store AS store_id, r.* FROM json_to_recordset(p_results) AS r (
      key text, state text, attempts int, outcome text, cause text, size bigint, etag text, version_id text, sha256 text,
      content_type text, request_id text, proof text, error_class text, error_code text, message text, retry_ms bigint, counted boolean)
    -- In order: neighbours in the index are then looked up, and written, together.
    ORDER BY r.key COLLATE "C"
  ), removed AS (
    DELETE FROM objectlink.object o USING result r
    WHERE r.outcome = 'gone' AND o.store_id = r.store_id AND o.key = r.key COLLATE "C"
      AND o.state = r.state AND o.attempts = r.attempts
    RETURNING o.attachment_id, o.issued_epoch, r.*, 'gone' AS to_state, o AS was
  ), updated AS (
    UPDATE objectlink.object o
    SET state = CASE WHEN r.outcome IN ('stored', 'failed') THEN r.outcome ELSE o.state END,
        since = CASE WHEN r.outcome IN ('stored', 'failed') THEN clock_timestamp() ELSE o.since END,
        attempts = CASE WHEN r.outcome = 'stored' THEN 0 WHEN r.counted THEN o.attempts + 1 ELSE o.attempts END,
        due_at = CASE WHEN r.outcome IN ('retry', 'unknown') THEN clock_timestamp() + r.retry_ms * interval '1 ms' END,
        verified_at = CASE WHEN r.outcome = 'stored' THEN clock_timestamp() ELSE o.verified_at END,
        size = coalesce(r.size, o.size), etag = coalesce(r.etag, o.etag), version_id = coalesce(r.version_id, o.version_id),
        sha256 = coalesce(decode(r.sha256, 'hex'), o.sha256), content_type = coalesce(r.content_type, o.content_type),
        request_id = r.request_id, error_class = r.error_class, error_code = r.error_code, last_error = r.message
    FROM result r
    WHERE r.outcome <> 'gone' AND o.store_id = r.store_id AND o.key = r.key COLLATE "C"
      AND o.state = r.state AND o.attempts = r.attempts
    RETURNING o.attachment_id, o.issued_epoch, r.*, o.state AS to_state, NULL::objectlink.object AS was
  ), acted AS MATERIALIZED (
    SELECT * FROM removed UNION ALL SELECT * FROM updated
  ), freed AS (
    DELETE FROM objectlink.payload p USING acted a
    WHERE p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, a.key) AND a.outcome IN ('stored', 'gone')
  ), unmarked AS (
    DELETE FROM objectlink.condemned c USING acted a
    WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, a.key)
      AND a.outcome = 'gone' AND a.issued_epoch = p_epoch AND c.release_after IS NULL
  ), marked AS (
    -- A request whose reply nobody saw may still arrive: its key stays refused until it can't any more,
    -- or it would destroy a successor of the same name.
    UPDATE objectlink.condemned c SET release_after = clock_timestamp() + objectlink.signature_window()
    FROM acted a
    WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, a.key)
      AND (a.outcome = 'unknown' OR (a.outcome = 'gone' AND a.issued_epoch IS DISTINCT FROM p_epoch AND c.release_after IS NULL))
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, attempt, request_id, detail)
    SELECT p_store, a.key, a.state, a.to_state, a.cause, a.attachment_id, a.attempts + 1, a.request_id,
           CASE WHEN a.error_code IS NOT NULL
                THEN jsonb_build_object('class', a.error_class, 'code', a.error_code, 'message', a.message) END
    FROM acted a WHERE a.to_state <> a.state
  )
  -- What somebody else stored under the key was not erased.
  SELECT count(*), array_agg(a.key) FILTER (WHERE a.outcome = 'gone'),
         array_agg((a.was, a.request_id, a.proof)::objectlink.erased ORDER BY a.key COLLATE "C")
           FILTER (WHERE a.outcome = 'gone' AND a.error_code IS DISTINCT FROM 'ObjectExists')
    INTO v_settled, v_gone, v_erased FROM acted a;
  IF v_erased IS NOT NULL THEN
    PERFORM objectlink.record_erasures(p_store, p_epoch, v_erased);
  END IF;

  -- A row that came in with triggers off after the delete was committed to: it lost its object and must show.
  IF v_gone IS NOT NULL THEN
    INSERT INTO objectlink.outbox (op, ref, xid, at)
    SELECT DISTINCT 'L'::"char", l.ref, pg_current_xact_id(), now()
    FROM objectlink.linked(ARRAY(SELECT objectlink.storage_ref(v_store::text, k) FROM unnest(v_gone) k)) l
    WHERE l.ref IS NOT NULL;
  END IF;
  RETURN v_settled;
END $$;
COMMENT ON FUNCTION objectlink.settle(int, bigint, json) IS 'for the owner of a store: writes what the store answered to registry and events; returns how many results still applied';
