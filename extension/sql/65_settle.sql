-- Settle: what the store answered -> registry and events, in one transaction, guarded by the state, the
-- attempt and the owner's epoch that the daemon acted on. A result that came too late is dropped.

-- Outcomes that the daemon reports:
--   stored    the store's reply showed the object (size, and digest where it gives one)
--   retry     look again at retry_ms from now; counted: it was the object's own fault
--   failed    given up: a dead letter. An object that was to be deleted is unlinked again, and not due. One that is not there,
--             because its row was marked as deleted, is missing: no try will bring it, and its upload has not failed
--   gone      the store confirmed that it does not have the object
--   unknown   a request to delete went out and no reply came back: it may still arrive
CREATE FUNCTION objectlink.note_late_uploads(p_store int, p_results json, p_unclean_at timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  -- Whatever became of the object meanwhile. What was found out later clears nothing: the first of two uploads may
  -- arrive after the second has succeeded and been deleted.
  IF (p_results::text) LIKE '%"put_unknown"%' THEN
    UPDATE objectlink.object o SET put_unknown_until = clock_timestamp() + objectlink.signature_window()
    FROM (SELECT p_store AS store_id, r.key FROM json_to_recordset(p_results) AS r (key text, put_unknown boolean)
          WHERE r.put_unknown OFFSET 0) r
    WHERE o.store_id = r.store_id AND o.key = r.key COLLATE "C";
  END IF;
  -- An owner that vanished may have been uploading any content that waited then and had not been proved. It may have sent
  -- until its lease ran out.
  IF p_unclean_at + objectlink.lease() + objectlink.signature_window() > clock_timestamp() THEN
    UPDATE objectlink.object o
    SET put_unknown_until = greatest(o.put_unknown_until, p_unclean_at + objectlink.lease() + objectlink.signature_window())
    FROM (SELECT p_store AS store_id, s.name, r.key FROM json_to_recordset(p_results) AS r (key text)
          JOIN objectlink.store s ON s.id = p_store OFFSET 0) r
    JOIN objectlink.payload p ON p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(r.name::text, r.key)
    WHERE o.store_id = r.store_id AND o.key = r.key COLLATE "C" AND p.created_at <= p_unclean_at;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.note_late_uploads(int, json, timestamptz) IS 'for settle(): remembers of which objects an upload may still arrive';

-- Its row has outlived it: whoever takes the mark away wants the row, not what becomes of rows whose upload has failed. What the link says
-- is known as long as it is wanted; where no mark was taken away (a row that moved to another partition by it, a table that was attached anew)
-- the records of its end tell, as long as they are kept.
CREATE FUNCTION objectlink.went_with_a_mark(p_store int, p_key text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_gone_at timestamptz := (SELECT e.at FROM objectlink.event e WHERE e.store_id = p_store AND e.key = p_key AND e.to_state = 'gone' ORDER BY e.id DESC LIMIT 1);
BEGIN
  IF EXISTS (SELECT FROM objectlink.object o WHERE o.store_id = p_store AND o.key = p_key AND o.unmarked) THEN
    RETURN true;
  END IF;
  -- Events are found by key; erasures by time, which both share but for the length of a transaction.
  RETURN coalesce((SELECT x.act = 'soft delete' FROM objectlink.erasure x
                   WHERE x.at BETWEEN v_gone_at - interval '1 minute' AND v_gone_at + interval '1 minute' AND x.store_id = p_store AND x.key = p_key
                   ORDER BY x.id DESC LIMIT 1), false);
END $$;
COMMENT ON FUNCTION objectlink.went_with_a_mark(int, text) IS 'whether a row that links a key was marked as deleted, when its object went';

CREATE FUNCTION objectlink.settle(p_store int, p_epoch bigint, p_results json) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_settled int;
  v_gone text[];
  v_changed text[];
  v_given_up text[];
  v_erased objectlink.erased[];
  v_unclean_at timestamptz := (SELECT w.unclean_at FROM objectlink.owner w WHERE w.resource = p_store);
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  PERFORM objectlink.note_late_uploads(p_store, p_results, v_unclean_at);
  -- The store comes with each result: a planner that is told one store, and has old statistics, reads all of it.
  WITH result AS MATERIALIZED (
    SELECT p_store AS store_id, r.*,
           CASE WHEN r.outcome = 'failed' AND r.state = 'pending' AND r.error_class = 'not_found' AND objectlink.went_with_a_mark(p_store, r.key) THEN 'missing'
                WHEN r.outcome IN ('stored', 'failed') THEN r.outcome END AS ends_as
    FROM json_to_recordset(p_results) AS r (
      key text, state text, attempts int, outcome text, cause text, size bigint, etag text, version_id text, sha256 text,
      content_type text, request_id text, error_class text, error_code text, message text, retry_ms bigint, counted boolean,
      proof text, versions_left bigint, delete_unknown boolean)
    -- In order: neighbours in the index are then looked up, and written, together.
    ORDER BY r.key COLLATE "C"
  ), removed AS (
    DELETE FROM objectlink.object o USING result r
    WHERE r.outcome = 'gone' AND o.store_id = r.store_id AND o.key = r.key COLLATE "C"
      AND o.state = r.state AND o.attempts = r.attempts
    RETURNING o.attachment_id, o.issued_epoch, o.sha256 AS known_sha256, r.*, 'gone' AS to_state,
      CASE WHEN o.put_unknown_until > clock_timestamp() THEN o.put_unknown_until END AS watched_until, o AS was
  ), updated AS (
    UPDATE objectlink.object o
    SET state = CASE WHEN r.outcome = 'failed' AND r.state = 'deleting' AND o.issued_at IS NOT NULL THEN 'unlinked'
                     ELSE coalesce(r.ends_as, o.state) END,
        since = CASE WHEN r.ends_as IS NOT NULL THEN clock_timestamp() ELSE o.since END,
        attempts = CASE WHEN r.outcome = 'stored' THEN 0 WHEN r.counted THEN o.attempts + 1 ELSE o.attempts END,
        due_at = CASE WHEN r.outcome IN ('retry', 'unknown') THEN clock_timestamp() + r.retry_ms * interval '1 ms' END,
        verified_at = CASE WHEN r.outcome = 'stored' THEN clock_timestamp() ELSE o.verified_at END,
        failing_since = CASE WHEN r.outcome = 'stored' THEN NULL
                             WHEN r.counted OR r.outcome = 'failed' THEN coalesce(CASE WHEN r.attempts > 0 THEN o.failing_since END, clock_timestamp())
                             ELSE o.failing_since END,
        issued_at = CASE WHEN r.outcome = 'failed' THEN NULL ELSE o.issued_at END,
        size = coalesce(r.size, o.size), etag = coalesce(r.etag, o.etag), version_id = coalesce(r.version_id, o.version_id),
        sha256 = coalesce(decode(r.sha256, 'hex'), o.sha256), content_type = coalesce(r.content_type, o.content_type),
        request_id = r.request_id, error_class = r.error_class, error_code = r.error_code, last_error = r.message
    FROM result r
    WHERE r.outcome <> 'gone' AND o.store_id = r.store_id AND o.key = r.key COLLATE "C"
      AND o.state = r.state AND o.attempts = r.attempts
    RETURNING o.attachment_id, o.issued_epoch, o.sha256 AS known_sha256, r.*, o.state AS to_state, NULL::timestamptz, NULL::objectlink.object
  ), acted AS MATERIALIZED (
    SELECT * FROM removed UNION ALL SELECT * FROM updated
  ), freed AS (
    DELETE FROM objectlink.payload p USING acted a
    WHERE p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, a.key) AND a.outcome IN ('stored', 'gone')
  ), unmarked AS (
    DELETE FROM objectlink.condemned c USING acted a
    WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, a.key)
      AND (a.outcome = 'gone' OR a.outcome = 'failed' AND a.state = 'deleting' AND a.delete_unknown IS NOT TRUE) AND a.issued_epoch = p_epoch AND c.release_after IS NULL
      AND a.watched_until IS NULL
  ), marked AS (
    -- A request whose reply nobody saw may still arrive: its key stays refused until it can't any more,
    -- or it would destroy a successor of the same name.
    UPDATE objectlink.condemned c
    SET release_after = greatest(c.release_after, a.watched_until,
          CASE WHEN a.outcome = 'unknown' OR a.delete_unknown OR (a.issued_epoch IS DISTINCT FROM p_epoch AND (c.release_after IS NULL OR a.outcome = 'failed'))
               THEN clock_timestamp() + objectlink.signature_window() END),
        -- Or, if that request was an upload, bring the object back.
        watched = a.watched_until IS NOT NULL,
        sha256 = coalesce(a.known_sha256, (SELECT p.sha256 FROM objectlink.payload p WHERE p.ref OPERATOR(pg_catalog.=) c.ref)),
        attachment_id = a.attachment_id
    FROM acted a
    WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, a.key)
      AND (a.outcome = 'unknown' OR a.outcome = 'failed' AND a.state = 'deleting' AND (a.delete_unknown OR a.issued_epoch IS DISTINCT FROM p_epoch)
           OR (a.outcome = 'gone' AND (a.watched_until IS NOT NULL
                                                             OR a.issued_epoch IS DISTINCT FROM p_epoch AND c.release_after IS NULL)))
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, attempt, request_id, detail)
    SELECT p_store, a.key, a.state, a.to_state, CASE WHEN a.to_state = 'unlinked' THEN 'delete given up' ELSE a.cause END, a.attachment_id,
           a.attempts + 1, a.request_id,
           nullif(jsonb_strip_nulls(jsonb_build_object('class', a.error_class, 'code', a.error_code, 'message', a.message,
             'proof', a.proof, 'versions_left', nullif(a.versions_left, 0),
             'watched_until', a.watched_until)), '{}')
    FROM acted a WHERE a.to_state <> a.state
  )
  -- What somebody else stored under the key was not erased.
  SELECT count(*), array_agg(a.key) FILTER (WHERE a.outcome = 'gone'), array_agg(a.key) FILTER (WHERE a.to_state <> a.state AND a.outcome <> 'gone'),
         array_agg(a.key) FILTER (WHERE a.state = 'deleting' AND a.to_state = 'unlinked'),
         array_agg((a.was, a.request_id, a.proof)::objectlink.erased ORDER BY a.key COLLATE "C")
           FILTER (WHERE a.outcome = 'gone' AND a.error_code IS DISTINCT FROM 'ObjectExists')
    INTO v_settled, v_gone, v_changed, v_given_up, v_erased FROM acted a;
  PERFORM objectlink.queue_row_work(p_store, v_changed);
  PERFORM objectlink.forget_deleted(p_store, v_gone);
  PERFORM objectlink.deletion_failed_for_good(p_store, k) FROM unnest(v_given_up) k;
  IF v_changed IS NOT NULL OR v_gone IS NOT NULL THEN
    PERFORM objectlink.notify_consumers();
  END IF;
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
