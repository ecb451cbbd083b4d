-- What lies in a bucket beside its keys, costs as much, and shows in no listing of them: uploads in parts that nobody has ended, versions
-- that are not current, delete markers that hide nothing. A run lists these before it compares keys, page by page: uploads in one
-- range, versions in several; each page's progress is committed with what it showed (71_run_range.sql). With the last range of a listing its
-- ranges go, and the next one begins. A listing that the store refuses fails no run: it is noted, and nothing is said.

CREATE FUNCTION objectlink.aside_findings_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 10000 $$;
COMMENT ON FUNCTION objectlink.aside_findings_max() IS 'findings of a run about versions, and about uploads: beyond that they are only counted';

-- For the owner of a store: the run, if it is at this place of this listing.
CREATE FUNCTION objectlink.run_aside(p_store int, p_epoch bigint, p_run bigint, p_aside text, p_range int, p_after text, p_item text DEFAULT '') RETURNS objectlink.run
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
BEGIN
  RETURN CASE WHEN v_run.aside = p_aside AND objectlink.range_is_at(p_run, p_range, p_after, p_item) THEN v_run END;
END $$;
COMMENT ON FUNCTION objectlink.run_aside(int, bigint, bigint, text, int, text, text) IS 'for the owner of a store: the run, locked, if it lists this, and a range of it up to here; NULL: it has to stop';

CREATE FUNCTION objectlink.end_aside(p_run objectlink.run, p_note text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM objectlink.run_range g WHERE g.run_id = p_run.id;
  UPDATE objectlink.run r
  SET aside = CASE WHEN r.aside = 'uploads' THEN 'versions' END, aside_found = 0, notes = nullif(concat_ws('; ', r.notes, p_note), '')
  WHERE r.id = p_run.id;
END $$;
COMMENT ON FUNCTION objectlink.end_aside(objectlink.run, text) IS 'a listing beside the keys is over, or cannot be had: what is listed next begins';

-- p_reached NULL: the range has come to its end. With the last one, what the listing did not show any more is over, unless there was
-- more than it could tell of.
CREATE FUNCTION objectlink.advance_aside(p_run objectlink.run, p_kinds text[], p_range int, p_reached text, p_item text, p_requests int, p_found bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_all bigint := p_run.aside_found + p_found;
  v_left boolean := objectlink.reach_in_range(p_run.id, p_range, p_reached, p_item);
BEGIN
  UPDATE objectlink.run r
  SET aside_found = v_all, list_requests = r.list_requests + p_requests, progress_at = clock_timestamp(),
      -- Not at its end: however short the time, each call gets as far as a page of keys.
      out_of_time = r.out_of_time OR v_left AND coalesce(clock_timestamp() > r.begun_at + r.time_budget, false)
  WHERE r.id = p_run.id;
  UPDATE objectlink.run r SET state = 'paused', pause_reason = format('its time budget of %s is spent', r.time_budget) WHERE r.id = p_run.id AND r.out_of_time;
  IF v_left THEN
    RETURN (SELECT CASE WHEN r.state = 'running' THEN 'listing' ELSE 'over' END FROM objectlink.run r WHERE r.id = p_run.id);
  END IF;
  IF v_all <= objectlink.aside_findings_max() THEN
    UPDATE objectlink.finding f
    SET status = 'resolved', resolved_at = clock_timestamp(), delete_at = NULL, resolution = format('no longer seen by run %s', p_run.id)
    WHERE f.store_id = p_run.store_id AND f.key >= p_run.prefix AND starts_with(f.key, p_run.prefix) AND f.kind = ANY (p_kinds)
      AND f.status <> 'resolved' AND f.run_id <> p_run.id;
  END IF;
  PERFORM objectlink.end_aside(p_run, CASE WHEN v_all > objectlink.aside_findings_max()
                                           THEN format('of %s %s only %s are told one by one', v_all, p_run.aside, objectlink.aside_findings_max()) END);
  RETURN 'over';
END $$;
COMMENT ON FUNCTION objectlink.advance_aside(objectlink.run, text[], int, text, text, int, bigint) IS 'a range of a listing beside the keys has come so far; NULL: to its end. The last one closes the findings that the listing did not show';

CREATE FUNCTION objectlink.skip_aside(p_store int, p_epoch bigint, p_run bigint, p_aside text, p_requests int, p_note text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
BEGIN
  IF v_run.aside = p_aside THEN
    UPDATE objectlink.run r SET list_requests = r.list_requests + p_requests WHERE r.id = p_run;
    PERFORM objectlink.end_aside(v_run, p_note);
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.skip_aside(int, bigint, bigint, text, int, text) IS 'for the owner of a store: a listing beside the keys cannot be had, or is not needed; nothing follows from it';

-- Enters them as far as there is room, and has the open ones seen to by a repair. False: the run was paused.
CREATE FUNCTION objectlink.note_aside(p_run objectlink.run, p_found objectlink.difference[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_findings objectlink.finding[];
BEGIN
  PERFORM objectlink.note_findings(p_run.store_id, p_run.id, p_found[:greatest(0, objectlink.aside_findings_max() - p_run.aside_found)::int]);
  IF p_run.mode <> 'repair' THEN
    RETURN true;
  END IF;
  v_findings := ARRAY(
    SELECT f FROM unnest(p_found) d
    JOIN objectlink.finding f ON f.store_id = p_run.store_id AND f.key = d.key COLLATE "C" AND f.kind = d.kind AND f.item = d.item COLLATE "C" AND f.status = 'open'
    WHERE f.kind = 'stale_upload' AND f.delete_at IS NULL AND f.repair_run_id IS DISTINCT FROM p_run.id);
  IF NOT objectlink.repair_lets_pass(p_run, cardinality(v_findings)) THEN
    RETURN false;
  END IF;
  PERFORM objectlink.mark_for_deletion(f, p_run.requested_by, format('repair by run %s', p_run.id)) FROM unnest(v_findings) f;
  UPDATE objectlink.finding f SET repair_run_id = p_run.id WHERE f.id = ANY (ARRAY(SELECT (r).id FROM unnest(v_findings) r));
  RETURN true;
END $$;
COMMENT ON FUNCTION objectlink.note_aside(objectlink.run, objectlink.difference[]) IS 'for the listings beside the keys: enters what a page showed; mode repair: stale uploads are aborted. False: too many, and the run is paused';

-- Why an upload under this key may be alive; NULL: nobody knows of it. An upload of ours has its content here until it is proved; a link
-- that waits for its object may wait for somebody else's upload.
CREATE FUNCTION objectlink.upload_is_live(p_store int, p_key text) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
  IF EXISTS (SELECT FROM objectlink.payload p JOIN objectlink.store s ON s.id = p_store
             WHERE p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(s.name::text, p_key)) THEN
    RETURN 'its content waits to be uploaded';
  END IF;
  RETURN (SELECT format('its key is %s', o.state) FROM objectlink.object o WHERE o.store_id = p_store AND o.key = p_key AND o.state IN ('pending', 'reserved'));
END $$;
COMMENT ON FUNCTION objectlink.upload_is_live(int, text) IS 'why an upload under a key may be under way; NULL: no work of ours is about it';

CREATE FUNCTION objectlink.upload_grace(p_store int) RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(objectlink.store_option(s.name, 'upload_grace')::interval, interval '7 days') FROM objectlink.store s WHERE s.id = p_store
$$;
COMMENT ON FUNCTION objectlink.upload_grace(int) IS 'how old an upload in parts has to be before it may count as stale';

-- A page of ListMultipartUploads. p_ages_ms: since it was begun, by the store's own clock; NULL: unknown.
CREATE FUNCTION objectlink.note_uploads(p_store int, p_epoch bigint, p_run bigint, p_range int, p_after text, p_item text, p_reached text, p_next_item text, p_requests int,
                                        p_keys text[], p_ids text[], p_initiated_ms bigint[], p_ages_ms bigint[]) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_run objectlink.run := objectlink.run_aside(p_store, p_epoch, p_run, 'uploads', p_range, p_after, p_item);
  v_prefix text := objectlink.store_prefix((SELECT s.name FROM objectlink.store s WHERE s.id = p_store));
  v_found objectlink.difference[];
BEGIN
  IF v_run.id IS NULL THEN
    RETURN 'over';
  END IF;
  v_found := ARRAY(
    SELECT (u.key, 'stale_upload', (SELECT o.attachment_id FROM objectlink.object o WHERE o.store_id = p_store AND o.key = u.key COLLATE "C"),
            jsonb_build_object('run', p_run, 'upload_id', u.id, 'initiated', to_timestamp(u.initiated_ms / 1000.0), 'initiated_ms', u.initiated_ms, 'age_s', u.age_ms / 1000), u.id)::objectlink.difference
    FROM unnest(p_keys, p_ids, p_initiated_ms, p_ages_ms) AS u (key, id, initiated_ms, age_ms)
    WHERE objectlink.key_is_ours(v_prefix, u.key) AND starts_with(u.key, v_run.prefix) AND u.age_ms * interval '1 ms' >= objectlink.upload_grace(p_store)
      AND objectlink.upload_is_live(p_store, u.key) IS NULL);
  IF NOT objectlink.note_aside(v_run, v_found) THEN
    RETURN 'over';
  END IF;
  RETURN objectlink.advance_aside(v_run, '{stale_upload}', p_range, p_reached, p_next_item, p_requests, cardinality(v_found));
END $$;
COMMENT ON FUNCTION objectlink.note_uploads(int, bigint, bigint, int, text, text, text, text, int, text[], text[], bigint[], bigint[]) IS 'for the owner of a store: a page of the uploads that nobody has ended; says whether it goes on (listing) or not (over)';

-- Candidates of a page of ListObjectVersions: what is not current, and markers that hide nothing. Of a key in motion nothing is said.
-- p_reached is the last key of which all versions were shown: the page may go on within another one, and whoever goes on without
-- having seen it begins before that.
CREATE FUNCTION objectlink.note_versions(p_store int, p_epoch bigint, p_run bigint, p_range int, p_after text, p_reached text, p_requests int,
                                         p_keys text[], p_ids text[], p_markers boolean[], p_sizes bigint[], p_etags text[], p_ages_ms bigint[]) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_run objectlink.run := objectlink.run_aside(p_store, p_epoch, p_run, 'versions', p_range, p_after);
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_prefix text := objectlink.store_prefix(v_store);
  v_grace interval := coalesce(objectlink.store_option(v_store, 'orphan_grace')::interval, interval '24 hours');
  v_found objectlink.difference[];
BEGIN
  IF v_run.id IS NULL THEN
    RETURN 'over';
  END IF;
  v_found := ARRAY(
    SELECT (v.key, CASE WHEN v.marker THEN 'stray_marker' ELSE 'stray_version' END, o.attachment_id,
            jsonb_strip_nulls(jsonb_build_object('run', p_run, 'version_id', v.id, 'size', CASE WHEN NOT v.marker THEN v.size END, 'etag', CASE WHEN NOT v.marker THEN v.etag END,
              'age_s', v.age_ms / 1000, 'state', o.state, 'recorded_version', o.version_id)), v.id)::objectlink.difference
    FROM unnest(p_keys, p_ids, p_markers, p_sizes, p_etags, p_ages_ms) AS v (key, id, marker, size, etag, age_ms)
    LEFT JOIN LATERAL (SELECT i.* FROM objectlink.object i WHERE i.store_id = p_store AND i.key = v.key COLLATE "C" OFFSET 0) o ON true
    WHERE objectlink.key_is_ours(v_prefix, v.key) AND starts_with(v.key, v_run.prefix) AND v.age_ms * interval '1 ms' >= v_grace
      AND (o.state IS NULL OR o.state IN ('stored', 'missing', 'corrupt', 'failed'))
      AND NOT EXISTS (SELECT FROM objectlink.condemned c WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, v.key))
      AND NOT objectlink.version_is_recorded(o, v.id, v.marker, v.size, v.etag));
  IF NOT objectlink.note_aside(v_run, v_found) THEN
    RETURN 'over';
  END IF;
  RETURN objectlink.advance_aside(v_run, '{stray_version,stray_marker}', p_range, p_reached, '', p_requests, cardinality(v_found));
END $$;
COMMENT ON FUNCTION objectlink.note_versions(int, bigint, bigint, int, text, text, int, text[], text[], boolean[], bigint[], text[], bigint[]) IS 'for the owner of a store: what a page of its versions showed that is not current; says whether it goes on (listing) or not (over)';

-- Without a recorded id, from before the bucket was versioned, whatever has the content that was proved may be what the registry means.
CREATE FUNCTION objectlink.version_is_recorded(p_object objectlink.object, p_version text, p_marker boolean, p_size bigint, p_etag text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN (p_object).key IS NULL THEN false
              WHEN coalesce((p_object).version_id, '') <> '' THEN (p_object).version_id = p_version
              ELSE NOT p_marker AND objectlink.same_content(p_size, p_etag, (p_object).size, (p_object).etag) END;
COMMENT ON FUNCTION objectlink.version_is_recorded(objectlink.object, text, boolean, bigint, text) IS 'whether a version is the one that the registry has, or may be';
