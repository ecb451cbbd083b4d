-- Is a store consistent with its rows, as far as anybody has looked? One call that says it from what the last finished run
-- has found, and how old that is. What nobody has compared is unknown, not zero.

CREATE FUNCTION objectlink.finding_kinds(OUT kind text, OUT meaning text, OUT cleanup text) RETURNS SETOF record
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  VALUES ('missing', 'a row links it, and the store does not have it', NULL),
         ('corrupt', 'a row links it, and the store has something else', NULL),
         ('orphan', 'the store has it, and no row links it', 'delete'),
         ('undeleted', 'it was deleted, and is there', 'delete'),
         ('unreferenced', 'known and stored, and no row links it any more', 'repair'),
         ('unregistered', 'a row links an object that is not known', 'repair'),
         ('stale_upload', 'an upload in parts that nobody has ended', 'abort'),
         ('stray_version', 'a version that is not current, and not the one that is recorded', NULL),
         ('stray_marker', 'a delete marker that hides nothing', NULL),
         ('stuck', 'it is on its way for longer than it should be', 'repair')
$$;
COMMENT ON FUNCTION objectlink.finding_kinds() IS 'the kinds of findings, what each means, and the action by which cleanup() does away with it; NULL: only a person can';

-- The last comparison of a whole store that came to its end.
CREATE FUNCTION objectlink.last_comparison(p_store int) RETURNS objectlink.run
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT r FROM objectlink.run r JOIN objectlink.store s ON s.id = r.store_id
  WHERE r.store_id = p_store AND r.state = 'done' AND r.mode <> 'inventory' AND r.sample IS NULL AND r.prefix = objectlink.store_prefix(s.name)
  ORDER BY r.id DESC LIMIT 1
$$;
COMMENT ON FUNCTION objectlink.last_comparison(int) IS 'the last run that has compared all of a store; NULL: none has';

CREATE FUNCTION objectlink.verify_data_consistency(store name DEFAULT NULL, max_age interval DEFAULT NULL)
RETURNS TABLE (store_name name, kind text, meaning text, open bigint, suspected bigint, acknowledged bigint, bytes bigint, oldest timestamptz,
               example_key text, run_id bigint, compared_at timestamptz, age interval, undecided bigint, queued_run bigint, note text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
  v_store record;
  v_run objectlink.run;
  v_latest objectlink.run;
BEGIN
  IF verify_data_consistency.store IS NOT NULL AND NOT EXISTS (SELECT FROM objectlink.server s WHERE s.name = verify_data_consistency.store) THEN
    RAISE EXCEPTION 'store "%" does not exist', verify_data_consistency.store USING ERRCODE = 'undefined_object',
      HINT = 'See view objectlink.server.';
  ELSIF max_age < interval '0' THEN
    RAISE EXCEPTION 'invalid max_age: %', max_age USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must not be negative.';
  END IF;
  FOR v_store IN
    SELECT v.name, t.id FROM objectlink.server v LEFT JOIN objectlink.store t ON t.name = v.name
    WHERE v.name = coalesce(verify_data_consistency.store, v.name) AND objectlink.place_of(v.name) IS NOT NULL ORDER BY v.name
  LOOP
    v_run := objectlink.last_comparison(v_store.id);
    SELECT r.* INTO v_latest FROM objectlink.run r WHERE r.store_id = v_store.id AND r.mode <> 'inventory' ORDER BY r.id DESC LIMIT 1;
    queued_run := CASE WHEN v_latest.state IN ('queued', 'running', 'paused') THEN v_latest.id END;
    IF max_age IS NOT NULL AND queued_run IS NULL AND (v_run.id IS NULL OR clock_timestamp() - coalesce(v_run.inventory_at, v_run.ended_at) > max_age) THEN
      queued_run := objectlink.reconcile_storage(v_store.name);
    END IF;
    store_name := v_store.name;
    run_id := v_run.id;
    -- An inventory tells of the moment when it was begun.
    compared_at := coalesce(v_run.inventory_at, v_run.ended_at);
    age := clock_timestamp() - compared_at;
    undecided := v_run.undecided;
    note := nullif(concat_ws('; ',
      CASE WHEN v_run.id IS NULL THEN 'nobody has compared this store as a whole yet' END,
      CASE WHEN v_latest.state = 'failed' THEN format('run %s has failed since: %s', v_latest.id, v_latest.error_message) END,
      CASE WHEN v_run.undecided > 0 THEN format('of %s keys nothing could be said', v_run.undecided) END,
      (SELECT format('without an index, rows of %s whose object is neither known nor there are not found', string_agg(format('%s.%I', c.relid::regclass, c.column_name), ', ' ORDER BY c.relid, c.attnum))
       FROM objectlink.asked_column c WHERE c.attachment_id IS NOT NULL AND NOT c.indexed AND coalesce(c.store, v_store.name) = v_store.name HAVING count(*) > 0)), '');
    RETURN QUERY
      SELECT store_name, k.kind, k.meaning,
             -- What has not been compared is not known to be well.
             CASE WHEN v_run.id IS NOT NULL OR f.open > 0 THEN coalesce(f.open, 0) END, CASE WHEN v_run.id IS NOT NULL OR f.suspected > 0 THEN coalesce(f.suspected, 0) END,
             CASE WHEN v_run.id IS NOT NULL OR f.acknowledged > 0 THEN coalesce(f.acknowledged, 0) END,
             f.bytes, f.oldest, f.example_key, run_id, compared_at, age, undecided, queued_run, note
      FROM objectlink.finding_kinds() WITH ORDINALITY AS k (kind, meaning, cleanup, n)
      LEFT JOIN (SELECT i.kind, count(*) FILTER (WHERE i.status = 'open') AS open, count(*) FILTER (WHERE i.status = 'suspected') AS suspected,
                        count(*) FILTER (WHERE i.status = 'acknowledged') AS acknowledged,
                        sum(coalesce((i.evidence ->> 'size')::bigint, (i.evidence ->> 'proved_size')::bigint))::bigint AS bytes,
                        min(i.first_seen_at) AS oldest, min(i.key) AS example_key
                 FROM objectlink.finding i WHERE i.store_id = v_store.id AND i.status <> 'resolved' GROUP BY i.kind) f ON f.kind = k.kind
      ORDER BY k.n;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.verify_data_consistency(name, interval) IS 'one line for each store and kind of finding: how many there are, from what the last finished run of the whole store has found, and how old that is. Compares nothing by itself; with max_age it queues a run where the last one is older';
