-- What is stuck is a finding of a run as well: told with its evidence beside everything else that is not as it should be. It needs no
-- listing: the registry says it, by the indexes of its work. One step of a run, made when it begins.

-- Objects that wait for the daemon for longer than stuck_after(), oldest first. What is held on purpose does not wait.
CREATE FUNCTION objectlink.stuck_objects(p_store int, p_prefix text, p_limit int) RETURNS SETOF objectlink.object
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_before timestamptz := clock_timestamp() - objectlink.stuck_after();
BEGIN
  RETURN QUERY
    SELECT o.* FROM objectlink.object o
    JOIN ((SELECT i.key, i.since FROM objectlink.object i
           WHERE i.store_id = p_store AND i.state IN ('pending', 'deleting') AND i.since < v_before AND starts_with(i.key, p_prefix)
           ORDER BY i.since LIMIT p_limit)
          UNION ALL
          (SELECT i.key, i.since FROM objectlink.object i
           WHERE i.store_id = p_store AND i.due_at < v_before AND i.state <> 'unlinked' AND i.state = 'reserved' AND i.since < v_before AND starts_with(i.key, p_prefix)
           ORDER BY i.due_at LIMIT p_limit)
          UNION ALL
          (SELECT i.key, i.since FROM objectlink.object i
           WHERE i.store_id = p_store AND i.state = 'unlinked' AND i.due_at < v_before AND i.since < v_before AND starts_with(i.key, p_prefix)
             AND NOT objectlink.deletions_stopped(p_store)
           ORDER BY i.due_at LIMIT p_limit)
          UNION ALL
          (SELECT i.key, i.since FROM objectlink.object i
           WHERE i.store_id = p_store AND i.due_at IS NULL AND i.state IN ('pending', 'deleting', 'reserved') AND i.state = 'reserved' AND i.since < v_before AND starts_with(i.key, p_prefix)
           LIMIT p_limit)) w ON o.store_id = p_store AND o.key = w.key
    ORDER BY w.since, o.key LIMIT p_limit;
END $$;
COMMENT ON FUNCTION objectlink.stuck_objects(int, text, int) IS 'objects below a prefix that wait for the daemon for longer than stuck_after()';

CREATE FUNCTION objectlink.is_stuck(p_object objectlink.object) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(objectlink.waiting_since((p_object).state, (p_object).since, (p_object).due_at) < clock_timestamp() - objectlink.stuck_after(), false)
           AND NOT ((p_object).state = 'unlinked' AND objectlink.deletions_stopped((p_object).store_id))
         OR (p_object).state = 'reserved' AND (p_object).due_at IS NULL AND (p_object).since < clock_timestamp() - objectlink.stuck_after()
$$;
COMMENT ON FUNCTION objectlink.is_stuck(objectlink.object) IS 'whether an object waits for the daemon for longer than stuck_after()';

-- Of a fenced store deletions and uploads wait on purpose: nothing is said of it, and nothing closed.
CREATE FUNCTION objectlink.find_stuck(p_run objectlink.run) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_status text := (SELECT s.status FROM objectlink.store s WHERE s.id = p_run.store_id);
  v_found objectlink.difference[];
  v_repaired int;
BEGIN
  IF p_run.mode = 'inventory' OR objectlink.is_fenced(p_run.store_id) THEN
    RETURN;
  END IF;
  v_found := ARRAY(
    SELECT (o.key, 'stuck', o.attachment_id, jsonb_strip_nulls(jsonb_build_object(
              'run', p_run.id, 'state', o.state, 'since', o.since, 'due_at', o.due_at, 'attempts', o.attempts, 'size', o.size,
              'error_class', o.error_class, 'error_code', o.error_code, 'last_error', o.last_error, 'request_id', o.request_id,
              'store', nullif(v_status, 'ok'))), NULL)::objectlink.difference
    FROM objectlink.stuck_objects(p_run.store_id, p_run.prefix, objectlink.compare_rows_max()) o);
  PERFORM objectlink.note_findings(p_run.store_id, p_run.id, v_found);
  UPDATE objectlink.finding f SET status = 'resolved', resolved_at = clock_timestamp(), resolution = format('no longer seen by run %s', p_run.id)
  WHERE f.store_id = p_run.store_id AND f.key >= p_run.prefix AND starts_with(f.key, p_run.prefix) AND f.kind = 'stuck' AND f.status <> 'resolved'
    AND NOT EXISTS (SELECT FROM objectlink.object o WHERE o.store_id = p_run.store_id AND o.key = f.key AND objectlink.is_stuck(o));
  IF p_run.mode = 'repair' THEN
    v_repaired := objectlink.requeue_findings(ARRAY(
      SELECT f FROM unnest(v_found) d JOIN objectlink.finding f ON f.store_id = p_run.store_id AND f.key = d.key COLLATE "C" AND f.kind = 'stuck' AND f.status = 'open'));
    UPDATE objectlink.run r SET repaired = r.repaired + v_repaired WHERE r.id = p_run.id;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.find_stuck(objectlink.run) IS 'for next_run(): enters what is stuck as findings, closes those that are over, and has them tried again in mode repair';

-- To be tried at once is no danger to anything, so it needs no limit beside that of what one run finds.
CREATE FUNCTION objectlink.requeue_findings(p_findings objectlink.finding[]) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_store record;
  v_count int := 0;
BEGIN
  FOR v_store IN SELECT (f).store_id AS id, array_agg((f).key) AS keys, max((f).run_id) AS run FROM unnest(p_findings) f GROUP BY 1 LOOP
    v_count := v_count + objectlink.requeue(v_store.id, v_store.keys, clock_timestamp(), jsonb_build_object('run', v_store.run));
    UPDATE objectlink.finding f SET repair_run_id = v_store.run WHERE f.id = ANY (ARRAY(SELECT (p).id FROM unnest(p_findings) p WHERE (p).store_id = v_store.id));
  END LOOP;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.requeue_findings(objectlink.finding[]) IS 'has stuck objects tried again at once; says how many were not due already';
