-- Stores that do not list in the order of bytes: some go by UTF-16, some by nothing that can be told. Of such a listing no part says
-- that a key is not there. So a run collects all of it, behind continuation tokens, and only when it is complete compares it, from
-- here, in the order of bytes. So does one that compares an inventory (71_inventory_listing.sql).

CREATE TABLE objectlink.collection (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  run_id     bigint NOT NULL,
  ended      boolean NOT NULL DEFAULT false,
  begun_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
  store_time_ms bigint,
  token      text NOT NULL DEFAULT '',
  pages      bigint NOT NULL DEFAULT 0,
  keys       bigint NOT NULL DEFAULT 0,
  manifest_md5 text,
  files      int,
  files_read int NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX collection_of_run ON objectlink.collection (run_id) WHERE NOT ended;
COMMENT ON TABLE objectlink.collection IS 'runs that collect a listing before they compare it: how far that is';
COMMENT ON COLUMN objectlink.collection.ended IS 'nobody needs it any more: its keys are removed, some at a time';
COMMENT ON COLUMN objectlink.collection.begun_at IS 'when its first page was asked for, or the inventory begun: what was proved since may rightly be missing from it';
COMMENT ON COLUMN objectlink.collection.store_time_ms IS 'the same, by the store''s own clock';
COMMENT ON COLUMN objectlink.collection.token IS 'where the listing goes on';
COMMENT ON COLUMN objectlink.collection.manifest_md5 IS 'of the manifest of the inventory that is read instead; NULL: none, or not yet';
COMMENT ON COLUMN objectlink.collection.files IS 'how many files the inventory has; files_read: how many of them are here as a whole';

-- Not logged: it can be had again. A crash of the server empties it, which the number of pages in the row of the empty key shows.
CREATE UNLOGGED TABLE objectlink.collected_key (
  collection_id bigint NOT NULL,
  key           text COLLATE "C" NOT NULL,
  size          bigint NOT NULL,
  etag          text NOT NULL,
  age_ms        bigint,
  CONSTRAINT collected_key_pkey PRIMARY KEY (collection_id, key)
);
COMMENT ON TABLE objectlink.collected_key IS 'the listing that a run collects; the row of the empty key says of how many pages';

CREATE FUNCTION objectlink.collection_of(p_run bigint) RETURNS objectlink.collection
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$ SELECT c FROM objectlink.collection c WHERE c.run_id = p_run AND NOT c.ended $$;
COMMENT ON FUNCTION objectlink.collection_of(bigint) IS 'the listing that a run collects, or has collected; NULL: none';

CREATE FUNCTION objectlink.collected_removed_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 50000 $$;
COMMENT ON FUNCTION objectlink.collected_removed_max() IS 'collected keys that are removed at once when nobody needs them any more';

CREATE FUNCTION objectlink.remove_collected() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_id bigint := (SELECT min(c.id) FROM objectlink.collection c WHERE c.ended);
BEGIN
  IF v_id IS NULL THEN
    RETURN;
  END IF;
  DELETE FROM objectlink.collected_key k USING (SELECT i.key FROM objectlink.collected_key i WHERE i.collection_id = v_id ORDER BY i.key LIMIT objectlink.collected_removed_max()) g
    WHERE k.collection_id = v_id AND k.key = g.key;
  IF NOT EXISTS (SELECT FROM objectlink.collected_key k WHERE k.collection_id = v_id) THEN
    DELETE FROM objectlink.collection c WHERE c.id = v_id;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.remove_collected() IS 'for look_after(): removes some keys of listings that nobody needs any more';

-- From the beginning, whatever was compared before.
CREATE FUNCTION objectlink.collect_run(p_store int, p_epoch bigint, p_run bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_id bigint;
BEGIN
  IF (objectlink.run_under_way(p_store, p_epoch, p_run)).id IS NULL THEN
    RETURN false;
  END IF;
  UPDATE objectlink.collection c SET ended = true WHERE c.run_id = p_run AND NOT c.ended;
  INSERT INTO objectlink.collection (run_id) VALUES (p_run) RETURNING id INTO v_id;
  INSERT INTO objectlink.collected_key (collection_id, key, size, etag) VALUES (v_id, '', 0, '');
  DELETE FROM objectlink.run_range g WHERE g.run_id = p_run;
  INSERT INTO objectlink.run_range (run_id) VALUES (p_run);
  UPDATE objectlink.run r SET listing = 'collecting', pages = 0, listed = 0, compared = 0, undecided = 0 WHERE r.id = p_run;
  RETURN true;
END $$;
COMMENT ON FUNCTION objectlink.collect_run(int, bigint, bigint) IS 'for the owner of a store: the store lists in another order, so the run begins anew and collects the listing first';

CREATE FUNCTION objectlink.check_collection(p_store int, p_epoch bigint, p_run bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM objectlink.run r LEFT JOIN objectlink.collection c ON c.run_id = r.id AND NOT c.ended
             WHERE r.id = p_run AND r.listing <> 'ordered'
               AND (c.id IS NULL OR c.pages IS DISTINCT FROM (SELECT k.size FROM objectlink.collected_key k WHERE k.collection_id = c.id AND k.key = ''))) THEN
    PERFORM objectlink.collect_run(p_store, p_epoch, p_run);
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_collection(int, bigint, bigint) IS 'for next_run(): a listing of which a crash of the server has left nothing is collected anew';

CREATE FUNCTION objectlink.collection_token(p_store int, p_epoch bigint, p_run bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.run_under_way(p_store, p_epoch, p_run);
  RETURN (objectlink.collection_of(p_run)).token;
END $$;
COMMENT ON FUNCTION objectlink.collection_token(int, bigint, bigint) IS 'for the owner of a store: where the listing goes on that a run collects';

-- Keys of it, of which some may be here already: changed meanwhile, or the pages overlap. How many are not.
CREATE FUNCTION objectlink.enter_collected(p_collection bigint, p_keys text[], p_sizes bigint[], p_etags text[], p_ages bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_new bigint;
BEGIN
  WITH entered AS (
    INSERT INTO objectlink.collected_key AS k (collection_id, key, size, etag, age_ms)
    SELECT DISTINCT ON (p.key) p_collection, p.key, p.size, p.etag, p.age_ms FROM unnest(p_keys, p_sizes, p_etags, p_ages) AS p (key, size, etag, age_ms) ORDER BY p.key
    ON CONFLICT (collection_id, key) DO UPDATE SET size = excluded.size, etag = excluded.etag, age_ms = excluded.age_ms
    RETURNING k.xmax = 0 AS fresh
  )
  SELECT count(*) FILTER (WHERE e.fresh) INTO v_new FROM entered e;
  UPDATE objectlink.collection c SET pages = c.pages + 1, keys = c.keys + v_new WHERE c.id = p_collection;
  UPDATE objectlink.collected_key k SET size = k.size + 1 WHERE k.collection_id = p_collection AND k.key = '';
  RETURN v_new;
END $$;
COMMENT ON FUNCTION objectlink.enter_collected(bigint, text[], bigint[], text[], bigint[]) IS 'for the collection of a listing: enters keys of it; returns how many were not there';

-- Within the transaction that has entered keys. p_complete: they were the last.
CREATE FUNCTION objectlink.go_on_collecting(p_run bigint, p_requests int, p_complete boolean) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE objectlink.run r SET list_requests = r.list_requests + p_requests, progress_at = clock_timestamp(),
      listing = CASE WHEN p_complete THEN 'collected' ELSE r.listing END,
      out_of_time = coalesce(clock_timestamp() > r.begun_at + r.time_budget, false)
  WHERE r.id = p_run;
  UPDATE objectlink.run r SET state = 'paused', pause_reason = format('its time budget of %s is spent', r.time_budget) WHERE r.id = p_run AND r.out_of_time;
  RETURN CASE WHEN EXISTS (SELECT FROM objectlink.run r WHERE r.id = p_run AND r.state <> 'running') THEN 'stopped' WHEN p_complete THEN 'collected' ELSE 'collecting' END;
END $$;
COMMENT ON FUNCTION objectlink.go_on_collecting(bigint, int, boolean) IS 'for the collection of a listing: writes the run''s progress; returns collecting, collected, or stopped';

-- A page of it. p_next: the token behind it; NULL: it was the last. Returns collecting, collected, stalled (it shows nothing new, and goes on), or stopped.
CREATE FUNCTION objectlink.collect_page(p_store int, p_epoch bigint, p_run bigint, p_token text, p_next text, p_store_time_ms bigint, p_since_ms bigint,
                                        p_keys text[], p_sizes bigint[], p_etags text[], p_ages bigint[]) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_collection objectlink.collection := objectlink.collection_of(p_run);
  v_new bigint;
BEGIN
  IF v_run.listing IS DISTINCT FROM 'collecting' OR v_collection.token IS DISTINCT FROM p_token THEN
    RETURN 'stopped';
  END IF;
  v_new := objectlink.enter_collected(v_collection.id, p_keys, p_sizes, p_etags, p_ages);
  IF p_next IS NOT NULL AND v_new = 0 THEN
    RETURN 'stalled';
  END IF;
  UPDATE objectlink.collection c
  SET token = coalesce(p_next, c.token),
      begun_at = CASE WHEN p_token = '' THEN clock_timestamp() - p_since_ms * interval '1 ms' ELSE c.begun_at END,
      store_time_ms = CASE WHEN p_token = '' THEN p_store_time_ms - p_since_ms ELSE c.store_time_ms END
  WHERE c.id = v_collection.id;
  RETURN objectlink.go_on_collecting(p_run, 1, p_next IS NULL);
END $$;
COMMENT ON FUNCTION objectlink.collect_page(int, bigint, bigint, text, text, bigint, bigint, text[], bigint[], text[], bigint[]) IS 'for the owner of a store: a page of a listing that is collected before it is compared';

-- As if the store listed it in order.
CREATE FUNCTION objectlink.collected_page(p_store int, p_epoch bigint, p_run bigint, p_after text, p_limit int)
RETURNS TABLE (key text, size bigint, etag text, age_ms bigint, since_ms bigint, store_time_ms bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_collection objectlink.collection := objectlink.collection_of(p_run);
BEGIN
  PERFORM objectlink.run_under_way(p_store, p_epoch, p_run);
  -- The first row tells the times, whether or not there is a key.
  RETURN QUERY
    SELECT NULL::text, NULL::bigint, NULL::text, NULL::bigint, ceil(extract(epoch FROM clock_timestamp() - v_collection.begun_at) * 1000)::bigint, v_collection.store_time_ms
    UNION ALL
    (SELECT k.key, k.size, k.etag, k.age_ms, NULL, NULL FROM objectlink.collected_key k
     WHERE k.collection_id = v_collection.id AND k.key > p_after ORDER BY k.key LIMIT p_limit);
END $$;
COMMENT ON FUNCTION objectlink.collected_page(int, bigint, bigint, text, int) IS 'for the owner of a store: the next keys of a listing that was collected; the first row says how long ago it was begun, NULL: it is gone, as the run was ended';
