-- The brake: more deletions at once than a store's limits, and none begins until a person says so.
-- What comes due together may come slowly, a thousand rows at a time: so what was begun within an hour counts with what
-- is due now. All of it costs a bounded number of index entries.

CREATE FUNCTION objectlink.brake_window() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '1 hour' $$;
COMMENT ON FUNCTION objectlink.brake_window() IS 'deletions within this time count as coming together';
CREATE FUNCTION objectlink.brake_count_interval() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '5 seconds' $$;
COMMENT ON FUNCTION objectlink.brake_count_interval() IS 'what is due is counted at most this often';
CREATE FUNCTION objectlink.brake_due_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100001 $$;
COMMENT ON FUNCTION objectlink.brake_due_max() IS 'what is due is counted up to here; beyond it only what was begun can still reach a limit';
CREATE FUNCTION objectlink.brake_known_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000000 $$;
COMMENT ON FUNCTION objectlink.brake_known_max() IS 'a store''s objects are counted up to here: its share is taken of no more';
CREATE FUNCTION objectlink.brake_share_from() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 10000 $$;
COMMENT ON FUNCTION objectlink.brake_share_from() IS 'with fewer deletions than this only the absolute limit counts';

-- Within condemn(), which has locked the store: may so many more begin? Counts them, or brakes.
CREATE FUNCTION objectlink.brake_lets_pass(p_store int, p_more int) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
-- What is due is counted by the index that is in its order, whatever the statistics say of the others.
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_sort = off SET enable_bitmapscan = off AS $$
DECLARE
  v objectlink.store;
  v_limit bigint;
  v_share int;
  v_ahead bigint := p_more;  -- what is to be deleted, as far as it is known now
  v_total bigint;
  v_live bigint;  -- what the store still has that is not to be deleted, if it was counted now
  v_lost bigint;
  v_reason text;
BEGIN
  IF p_more = 0 THEN
    RETURN true;
  END IF;
  SELECT * INTO v FROM objectlink.store s WHERE s.id = p_store;
  v_limit := coalesce(objectlink.store_option(v.name, 'delete_limit')::bigint, 100000);
  v_share := coalesce(objectlink.store_option(v.name, 'delete_limit_share')::int, 50);
  IF v.window_at IS NULL OR clock_timestamp() >= v.window_at + objectlink.brake_window() THEN
    -- What a person has allowed and was not begun yet is still allowed.
    v.window_allowed := greatest(0, v.window_allowed - v.window_begun);
    v.window_begun := 0;
    v.window_at := clock_timestamp();
    v.window_known := NULL;
    v.due_counted_at := NULL;
  END IF;
  IF v.due_counted_at IS NULL OR clock_timestamp() >= v.due_counted_at + objectlink.brake_count_interval() THEN
    SELECT count(*) INTO v_ahead FROM (
      SELECT FROM objectlink.object o WHERE o.store_id = p_store AND o.state = 'unlinked' AND o.due_at <= clock_timestamp()
      ORDER BY o.due_at LIMIT objectlink.brake_due_max()) x;
    SELECT count(*) INTO v_live FROM (
      SELECT FROM objectlink.object o WHERE o.store_id = p_store AND o.state <> 'unlinked' AND o.state <> 'deleting'
      LIMIT least(objectlink.brake_known_max(), v_limit * 100 / v_share + 1)) x;
    -- The most it had within this time. A store whose objects come and go loses nothing by that; one that is emptied does.
    v.window_known := greatest(v.window_known, v_live + v_ahead);
    -- What waits for its retention is no longer live either, and not deleted yet: so no more than is begun or due.
    v_lost := least(v.window_begun + v_ahead - v.window_allowed, v.window_known - v_live);
    v.due_counted_at := clock_timestamp();
  END IF;
  v_total := v.window_begun + v_ahead - v.window_allowed;
  IF v_total > v_limit THEN
    v_reason := format('at least %s deletions within an hour, %s of them begun; delete_limit is %s', v.window_begun + v_ahead, v.window_begun, v_limit);
  ELSIF v_lost >= objectlink.brake_share_from() AND v_lost * 100 > v.window_known * v_share THEN
    v_reason := format('%s of %s objects are lost to deletions within an hour; delete_limit_share is %s%%', v_lost, v.window_known, v_share);
  END IF;
  UPDATE objectlink.store s
  SET window_at = v.window_at, window_known = v.window_known, window_allowed = v.window_allowed, due_counted_at = v.due_counted_at,
      window_begun = v.window_begun + CASE WHEN v_reason IS NULL THEN p_more ELSE 0 END,
      braked_at = CASE WHEN v_reason IS NOT NULL THEN clock_timestamp() END, brake_reason = v_reason
  WHERE s.id = p_store;
  IF v_reason IS NOT NULL THEN
    INSERT INTO objectlink.event (store_id, cause, detail)
    VALUES (p_store, 'braked', jsonb_build_object('reason', v_reason, 'begun', v.window_begun, 'due', v_ahead, 'known', v.window_known,
                                                  'delete_limit', v_limit, 'delete_limit_share', v_share));
  END IF;
  RETURN v_reason IS NULL;
END $$;
COMMENT ON FUNCTION objectlink.brake_lets_pass(int, int) IS 'counts deletions that are about to begin; false: that would be too many, and the store is braked';

CREATE FUNCTION objectlink.uncount_deletions(p_store int, p_count int) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  IF p_count > 0 THEN
    UPDATE objectlink.store s SET window_begun = greatest(0, s.window_begun - p_count) WHERE s.id = p_store;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.uncount_deletions(int, int) IS 'deletions that were begun and taken back: they do not count for the brake';

CREATE FUNCTION objectlink.brake_of(p_store int, OUT braked boolean, OUT reason text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT s.braked_at IS NOT NULL, s.brake_reason INTO braked, reason FROM objectlink.store s WHERE s.id = p_store;
END $$;
COMMENT ON FUNCTION objectlink.brake_of(int) IS 'for the owner of a store: whether its deletions are braked, and why';

CREATE FUNCTION objectlink.release_brake(store name, reason text DEFAULT NULL, dry_run boolean DEFAULT false, OUT released bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
  v_store int := objectlink.decide_about(store, NULL, NULL, reason, 1);
BEGIN
  IF EXISTS (SELECT FROM objectlink.store s WHERE s.id = v_store AND s.braked_at IS NULL) THEN
    released := 0;
    RETURN;
  END IF;
  SELECT count(*) INTO released FROM objectlink.object o
    WHERE o.store_id = v_store AND o.state = 'unlinked' AND o.due_at <= clock_timestamp();
  IF dry_run THEN
    RETURN;
  END IF;
  -- What waits now may go; what comes on top of it is counted against the limits anew.
  UPDATE objectlink.store s
  SET braked_at = NULL, brake_reason = NULL, window_at = clock_timestamp(), window_begun = 0, window_allowed = released,
      window_known = NULL, due_counted_at = NULL
  WHERE s.id = v_store;
  INSERT INTO objectlink.event (store_id, cause, detail)
  VALUES (v_store, 'brake released', jsonb_strip_nulls(jsonb_build_object('reason', reason, 'released', released)));
END $$;
COMMENT ON FUNCTION objectlink.release_brake(name, text, boolean) IS 'lets the deletions go that the brake of a store holds; says how many';
