-- How far is a run? It compares several ranges of keys at once; each has its own progress, committed with what its pages showed.
-- Together the ranges of a run cover all keys, and none twice. One that turns out long is split. What lies beside the keys is listed
-- before them (72_compare_aside.sql), each of these listings in ranges of its own.

CREATE TABLE objectlink.run_range (
  run_id    bigint NOT NULL,
  number    int NOT NULL DEFAULT 0,
  after_key text COLLATE "C" NOT NULL DEFAULT '',
  after_item text NOT NULL DEFAULT '',
  up_to     text COLLATE "C",
  done      boolean NOT NULL DEFAULT false,
  CONSTRAINT run_range_pkey PRIMARY KEY (run_id, number),
  CONSTRAINT run_range_rising CHECK (after_key <= up_to)
);
COMMENT ON TABLE objectlink.run_range IS 'ranges of keys of runs under way, in the listing that they are at: how far each of them is';
COMMENT ON COLUMN objectlink.run_range.after_key IS 'everything of the range up to this key is compared; a run that was interrupted goes on behind it';
COMMENT ON COLUMN objectlink.run_range.after_item IS 'uploads: the id of that one under this key up to which they are listed; of versions all below after_key are';
COMMENT ON COLUMN objectlink.run_range.up_to IS 'the last key that can belong to the range; NULL: there is no end';

CREATE FUNCTION objectlink.ranges_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION objectlink.ranges_max() IS 'ranges of keys of one run, at most';

CREATE FUNCTION objectlink.sample_pages_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 200 $$;
COMMENT ON FUNCTION objectlink.sample_pages_max() IS 'pages of the registry''s table that are read to see how its keys are spread';

CREATE FUNCTION objectlink.sample_keys_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION objectlink.sample_keys_max() IS 'keys that stand for the spread of all keys of a store';

-- For the owner of a store: the run it is at, locked; NULL: it is over, paused, or of a place that is another one by now.
CREATE FUNCTION objectlink.run_under_way(p_store int, p_epoch bigint, p_run bigint) RETURNS objectlink.run
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  SELECT * INTO v_run FROM objectlink.run r WHERE r.id = p_run AND r.store_id = p_store AND r.state = 'running' FOR UPDATE;
  IF FOUND AND NOT EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = p_store AND m.fence = 'altered') THEN
    RETURN v_run;
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION objectlink.run_under_way(int, bigint, bigint) IS 'for the comparison: the run that the owner of a store is at, locked; NULL: it has to stop';

CREATE FUNCTION objectlink.run_ranges(p_store int, p_epoch bigint, p_run bigint) RETURNS TABLE (number int, after_key text, after_item text, up_to text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (objectlink.run_under_way(p_store, p_epoch, p_run)).id IS NOT NULL THEN
    RETURN QUERY SELECT g.number, g.after_key, g.after_item, g.up_to FROM objectlink.run_range g WHERE g.run_id = p_run AND NOT g.done ORDER BY g.after_key;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.run_ranges(int, bigint, bigint) IS 'for the owner of a store: the ranges of keys that are left to compare, or to list';

-- Without counting: some pages of the table, wherever they lie, since keys need not stand in it by their order.
CREATE FUNCTION objectlink.sample_keys(p_store int, p_epoch bigint, p_run bigint, OUT keys text[], OUT expected bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_pages bigint := pg_relation_size('objectlink.object') / current_setting('block_size')::int;
  v_percent real := least(100, 100.0 * objectlink.sample_pages_max() / greatest(v_pages, 1));
  v_all text[];
BEGIN
  v_all := ARRAY(SELECT o.key FROM objectlink.object o TABLESAMPLE SYSTEM (v_percent)
                 WHERE o.store_id = p_store AND starts_with(o.key, v_run.prefix) ORDER BY o.key COLLATE "C");
  expected := cardinality(v_all) * 100 / v_percent;
  keys := ARRAY(SELECT v_all[1 + n * cardinality(v_all) / objectlink.sample_keys_max()] FROM generate_series(0, objectlink.sample_keys_max() - 1) n
                WHERE cardinality(v_all) >= objectlink.sample_keys_max());
  IF keys = '{}' THEN
    keys := v_all;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.sample_keys(int, bigint, bigint) IS 'for the owner of a store: keys of a run as the registry spreads them, and about how many there are';

-- At keys within it, rising. Nothing happens if it is not as it is said to be.
CREATE FUNCTION objectlink.split_range(p_store int, p_epoch bigint, p_run bigint, p_range int, p_keys text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_range objectlink.run_range;
  v_next int := (SELECT max(g.number) + 1 FROM objectlink.run_range g WHERE g.run_id = p_run);
BEGIN
  IF (objectlink.run_under_way(p_store, p_epoch, p_run)).id IS NULL THEN
    RETURN;
  END IF;
  SELECT * INTO v_range FROM objectlink.run_range g WHERE g.run_id = p_run AND g.number = p_range AND NOT g.done;
  IF NOT FOUND OR cardinality(p_keys) = 0 OR v_next + cardinality(p_keys) > objectlink.ranges_max()
     OR EXISTS (SELECT FROM unnest(v_range.after_key || p_keys || v_range.up_to) WITH ORDINALITY AS a (key, n)
                JOIN unnest(p_keys || v_range.up_to) WITH ORDINALITY AS b (key, n) USING (n) WHERE a.key COLLATE "C" >= b.key COLLATE "C") THEN
    RETURN;
  END IF;
  UPDATE objectlink.run_range g SET up_to = p_keys[1] WHERE g.run_id = p_run AND g.number = p_range;
  INSERT INTO objectlink.run_range (run_id, number, after_key, up_to)
    SELECT p_run, v_next + n - 1, p_keys[n], CASE WHEN n = cardinality(p_keys) THEN v_range.up_to ELSE p_keys[n + 1] END FROM generate_series(1, cardinality(p_keys)) n;
END $$;
COMMENT ON FUNCTION objectlink.split_range(int, bigint, bigint, int, text[]) IS 'for the owner of a store: makes several ranges of one, so that they are compared at once';

-- Ranges drawn by lot stay, the others count as done. Together with what cuts the run into them: or a daemon that
-- vanished in between would leave one that is compared whole.
CREATE FUNCTION objectlink.keep_sample(p_store int, p_epoch bigint, p_run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_kept int := ceil((SELECT count(*) FROM objectlink.run_range g WHERE g.run_id = p_run) * v_run.sample / 100);
BEGIN
  IF v_run.sample IS NOT NULL THEN
    UPDATE objectlink.run_range g SET done = true
    FROM (SELECT l.number, row_number() OVER (ORDER BY random()) AS lot FROM objectlink.run_range l WHERE l.run_id = p_run) l
    WHERE g.run_id = p_run AND g.number = l.number AND l.lot > v_kept;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.keep_sample(int, bigint, bigint) IS 'for the owner of a store: of the ranges of a run that compares a sample, as many as it shall compare, at least one';

CREATE FUNCTION objectlink.reach_in_range(p_run bigint, p_range int, p_reached text, p_item text DEFAULT '') RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE objectlink.run_range g
  SET after_key = coalesce(p_reached, g.up_to, g.after_key), after_item = p_item, done = coalesce(p_reached COLLATE "C" >= g.up_to, p_reached IS NULL)
  WHERE g.run_id = p_run AND g.number = p_range;
  RETURN EXISTS (SELECT FROM objectlink.run_range g WHERE g.run_id = p_run AND NOT g.done);
END $$;
COMMENT ON FUNCTION objectlink.reach_in_range(bigint, int, text, text) IS 'a range has come so far; NULL: to its end. Whether the listing has any left';

-- Within the transaction that says what a page showed.
CREATE FUNCTION objectlink.advance_range(p_run bigint, p_range int, p_reached text, p_pages int, p_listed bigint, p_bytes bigint, p_compared bigint, p_looks bigint, p_undecided bigint)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_left boolean := objectlink.reach_in_range(p_run, p_range, p_reached);
BEGIN
  UPDATE objectlink.run r
  SET pages = r.pages + p_pages, listed = r.listed + p_listed, bytes = r.bytes + p_bytes, compared = r.compared + p_compared,
      looks = r.looks + p_looks, undecided = r.undecided + p_undecided, progress_at = clock_timestamp(),
      out_of_time = r.out_of_time OR v_left AND coalesce(clock_timestamp() > r.begun_at + r.time_budget, false)
  WHERE r.id = p_run;
  UPDATE objectlink.run r SET state = 'paused', pause_reason = format('its time budget of %s is spent', r.time_budget) WHERE r.id = p_run AND r.out_of_time AND r.state = 'running';
  IF NOT v_left THEN
    PERFORM objectlink.end_run(p_run, 'done');
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.advance_range(bigint, int, text, int, bigint, bigint, bigint, bigint, bigint) IS 'everything of a range up to a key is compared; NULL: all of it. With its last range the run is done';

-- Another owner, or a split, may have changed it since the page was asked for.
CREATE FUNCTION objectlink.range_is_at(p_run bigint, p_range int, p_after text, p_item text DEFAULT '') RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM objectlink.run_range g
                 WHERE g.run_id = p_run AND g.number = p_range AND g.after_key = p_after COLLATE "C" AND g.after_item = p_item AND NOT g.done)
$$;
COMMENT ON FUNCTION objectlink.range_is_at(bigint, int, text, text) IS 'for the comparison: whether a range is compared up to this key, and no further';
