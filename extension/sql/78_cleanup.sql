-- Cleaning up in one call: what the last run has found and certain findings say, each by the way of resolve(), so nothing here is a
-- second way to delete. By default it only says what it would do.

CREATE FUNCTION objectlink.cleanup(store name DEFAULT NULL, dry_run boolean DEFAULT true, kinds text[] DEFAULT NULL, prefix text DEFAULT NULL,
                                   orphans text DEFAULT 'delete', max_age interval DEFAULT '1 day', at_most int DEFAULT 1000, at_most_share int DEFAULT 10,
                                   reason text DEFAULT NULL)
RETURNS TABLE (store_name name, kind text, action text, open bigint, acted bigint, left_out bigint, bytes bigint, example_key text, note text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_column
DECLARE
  v_kinds text[] := ARRAY(SELECT k.kind FROM objectlink.finding_kinds() k);
  v_store record;
  v_kind record;
  v_run objectlink.run;
  v_stale text;
  v_findings bigint[];
  v_planned bigint[];
  v_count bigint;
  v_known bigint;
  v_too_many text;  -- why a call that acts would stop
BEGIN
  IF cleanup.store IS NOT NULL THEN
    PERFORM objectlink.decide_about(cleanup.store, NULL, NULL, reason, at_most);
  ELSIF prefix IS NOT NULL THEN
    RAISE EXCEPTION 'prefix needs a store' USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'Keys below it mean something in one store only.';
  END IF;
  IF dry_run IS NULL OR max_age IS NULL OR at_most IS NULL OR at_most_share IS NULL OR orphans IS NULL THEN
    RAISE EXCEPTION 'dry_run, orphans, max_age, at_most and at_most_share must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF NOT kinds <@ v_kinds THEN
    RAISE EXCEPTION 'invalid kinds: %', kinds USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Valid kinds are %s.', array_to_string(v_kinds, ', '));
  ELSIF orphans NOT IN ('delete', 'quarantine', 'leave') THEN
    RAISE EXCEPTION 'invalid value for orphans: "%"', orphans USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Valid values are delete, quarantine, leave.';
  ELSIF at_most NOT BETWEEN 1 AND 1000000 OR at_most_share NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION 'invalid at_most or at_most_share: %, %', at_most, at_most_share USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'at_most must be between 1 and 1000000, at_most_share between 1 and 100 percent.';
  END IF;
  FOR v_store IN
    SELECT t.name, t.id FROM objectlink.store t JOIN objectlink.server v ON v.name = t.name
    WHERE t.name = coalesce(cleanup.store, t.name) ORDER BY t.name
  LOOP
    v_run := objectlink.last_comparison(v_store.id);
    v_stale := CASE WHEN v_run.id IS NULL THEN 'nobody has compared this store as a whole yet'
                    WHEN clock_timestamp() - v_run.ended_at > max_age THEN format('the last comparison of this store ended at %s', v_run.ended_at) END;
    IF v_stale IS NOT NULL AND cleanup.store IS NOT NULL AND NOT dry_run THEN
      RAISE EXCEPTION 'the findings of store "%" are too old', v_store.name USING ERRCODE = 'object_not_in_prerequisite_state',
        DETAIL = v_stale || '.', HINT = format('SELECT objectlink.reconcile_storage(%L), then again; or raise max_age.', v_store.name);
    END IF;
    v_planned := '{}';
    v_too_many := NULL;
    FOR v_kind IN
      SELECT k.kind, CASE WHEN k.kind <> 'orphan' THEN k.cleanup WHEN orphans <> 'leave' THEN orphans END AS action
      FROM objectlink.finding_kinds() k WHERE kinds IS NULL OR k.kind = ANY (kinds)
    LOOP
      v_findings := ARRAY(
        SELECT f.id FROM objectlink.finding f
        WHERE f.store_id = v_store.id AND f.status = 'open' AND f.kind = v_kind.kind AND starts_with(f.key, coalesce(prefix, ''))
          AND v_kind.action IS NOT NULL AND v_stale IS NULL AND f.delete_at IS NULL
          AND (v_kind.action <> 'quarantine' OR objectlink.can_be_quarantined(f) AND NOT EXISTS (
                 SELECT FROM objectlink.quarantine q WHERE q.finding_id = f.id AND q.state IN ('copying', 'copied')))
          AND (v_kind.action IN ('repair', 'abort') OR coalesce(f.evidence ->> 'etag', '') <> '')
          -- What somebody has brought back is decided about one by one.
          AND (f.kind <> 'undeleted' OR (f.evidence ->> 'survived')::boolean)
        ORDER BY f.key LIMIT at_most::bigint + 1);
      SELECT count(*) FILTER (WHERE f.status = 'open'), count(*), min(f.key), sum(coalesce((f.evidence ->> 'size')::bigint, 0))::bigint
        INTO open, v_count, example_key, bytes
        FROM objectlink.finding f
        WHERE f.store_id = v_store.id AND f.kind = v_kind.kind AND f.status <> 'resolved' AND starts_with(f.key, coalesce(prefix, ''));
      CONTINUE WHEN v_count = 0;
      v_planned := v_planned || v_findings;
      IF cardinality(v_planned) > at_most THEN
        v_too_many := format('more than at_most (%s) findings of this store', at_most);
      ELSIF cardinality(v_planned) >= objectlink.repair_share_from() AND at_most_share < 100 THEN
        SELECT count(*) INTO v_known FROM (SELECT FROM objectlink.object o WHERE o.store_id = v_store.id
                                           LIMIT cardinality(v_planned)::bigint * 100 / at_most_share + 1) x;
        IF cardinality(v_planned)::bigint * 100 > v_known * at_most_share THEN
          v_too_many := format('at least %s findings of a store of %s objects are more than at_most_share (%s percent)', cardinality(v_planned), v_known, at_most_share);
        END IF;
      END IF;
      IF v_too_many IS NOT NULL AND NOT dry_run THEN
        RAISE EXCEPTION 'too many findings to clean up in store "%"', v_store.name USING ERRCODE = 'program_limit_exceeded', DETAIL = upper(left(v_too_many, 1)) || substr(v_too_many, 2) || '.',
          HINT = 'Look at objectlink.findings; narrow kinds or prefix, or raise the limit if all of them are meant.';
      END IF;
      IF NOT dry_run THEN
        PERFORM objectlink.resolve(f, v_kind.action, coalesce(reason, 'cleanup()')) FROM unnest(v_findings) f;
      END IF;
      store_name := v_store.name;
      kind := v_kind.kind;
      action := v_kind.action;
      acted := cardinality(v_findings);
      left_out := v_count - acted;
      note := concat_ws('; ',
        CASE WHEN dry_run THEN 'a dry run: nothing was done' WHEN acted > 0 THEN 'the daemon looks at each once more before it does it' END, v_stale,
        'too many to be done: ' || v_too_many,
        CASE WHEN v_kind.kind IN ('missing', 'corrupt') THEN 'only a person can put it back'
             WHEN v_kind.kind IN ('stray_version', 'stray_marker') THEN 'they go only by resolve(), or by resolve_all() with a filter that you name'
             WHEN v_kind.action IS NULL THEN 'left as asked for'
             WHEN v_count > acted AND v_stale IS NULL AND v_kind.kind = 'undeleted' THEN 'left out is what was written after its deletion, or is not certain: resolve() it'
             WHEN v_count > acted AND v_stale IS NULL THEN 'left out is what is only suspected, acknowledged, decided about already, or has no ETag' END);
      RETURN NEXT;
    END LOOP;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.cleanup(name, boolean, text[], text, text, interval, int, int, text) IS 'does away with the open findings of a store (NULL: of each), or only says what it would do, which is the default: orphans (or moved to quarantine) and undeleted objects are deleted, unregistered, unreferenced and stuck ones repaired, stale uploads aborted, each as by resolve()';
