-- What somebody has decided to take out of a store beside its objects: an upload that nobody has ended, a version that is not current, a
-- marker that hides nothing. Each has an id that the store never uses twice, so a request for it can hit nothing else, however late it
-- arrives; only the version "null" has none, and is never deleted here. The daemon looks first, asks here whether it may, and
-- believes only a look that it is gone.

CREATE FUNCTION objectlink.strays_at_once_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 50 $$;
COMMENT ON FUNCTION objectlink.strays_at_once_max() IS 'stale uploads and stray versions that the daemon takes away together';

CREATE FUNCTION objectlink.strays_to_remove(p_store int, p_epoch bigint) RETURNS TABLE (id bigint, kind text, key text, item text, initiated_ms bigint, size bigint, etag text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  RETURN QUERY SELECT f.id, f.kind, f.key, f.item, (f.evidence ->> 'initiated_ms')::bigint, (f.evidence ->> 'size')::bigint, f.evidence ->> 'etag' FROM objectlink.finding f
    WHERE f.store_id = p_store AND f.delete_at IS NOT NULL AND f.status <> 'resolved' AND f.kind IN ('stale_upload', 'stray_version', 'stray_marker')
      AND NOT objectlink.is_fenced(p_store) AND NOT objectlink.deletions_stopped(p_store)
      AND coalesce(f.look_after <= clock_timestamp(), true)
    ORDER BY coalesce(f.look_after, f.delete_at) LIMIT objectlink.strays_at_once_max();
END $$;
COMMENT ON FUNCTION objectlink.strays_to_remove(int, bigint) IS 'for the owner of a store: uploads, versions and markers that are to be taken away, once a look shows that they are still the same';

-- Why this one has to stay; NULL: it may go. Its object, if there is one, is locked.
CREATE FUNCTION objectlink.stray_stays(p_finding objectlink.finding, p_part_age_ms bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_finding.store_id);
  v_ref objectlink.storage_ref := objectlink.storage_ref(v_store::text, p_finding.key);
  v_object objectlink.object;
BEGIN
  SELECT * INTO v_object FROM objectlink.object o WHERE o.store_id = p_finding.store_id AND o.key = p_finding.key FOR UPDATE;
  IF p_finding.kind = 'stale_upload' THEN
    RETURN coalesce(objectlink.upload_is_live(p_finding.store_id, p_finding.key),
                    CASE WHEN p_part_age_ms * interval '1 ms' < objectlink.upload_grace(p_finding.store_id) THEN 'a part of it came in lately' END);
  ELSIF p_finding.item = 'null' THEN
    RETURN 'its version id is "null", which another one may have by now';
  ELSIF EXISTS (SELECT FROM objectlink.condemned c WHERE c.ref OPERATOR(pg_catalog.=) v_ref) THEN
    RETURN 'its key is being deleted';
  ELSIF v_object.key IS NULL THEN
    -- Nobody may know of the row, and its object be this version.
    RETURN (SELECT max(coalesce(l.unknown, 'a row links its key, which is not known')) FROM objectlink.linked(ARRAY[v_ref]) l);
  ELSIF v_object.state <> 'stored' THEN
    -- What is missing may be put back from it.
    RETURN format('its object is %s', v_object.state);
  ELSIF objectlink.version_is_recorded(v_object, p_finding.item, p_finding.kind = 'stray_marker', (p_finding.evidence ->> 'size')::bigint, p_finding.evidence ->> 'etag') THEN
    RETURN 'it is the version that is recorded';
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION objectlink.stray_stays(objectlink.finding, bigint) IS 'why an upload, version or marker may not be taken away now; NULL: it may';

CREATE FUNCTION objectlink.keep_stray(p_finding bigint, p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_finding objectlink.finding;
BEGIN
  UPDATE objectlink.finding f SET delete_at = NULL, look_after = NULL, status = 'suspected', resolution = 'not deleted: ' || p_reason
  WHERE f.id = p_finding RETURNING f.* INTO v_finding;
  INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
  VALUES (v_finding.store_id, v_finding.key, v_finding.kind || ' not deleted', v_finding.attachment_id,
          jsonb_build_object('finding', p_finding, 'item', v_finding.item, 'reason', p_reason));
END $$;
COMMENT ON FUNCTION objectlink.keep_stray(bigint, text) IS 'what was to be taken away stays, and its finding has to be seen anew';

-- Committed before any request, as issue() does. p_part_ages_ms: of uploads, since their youngest part came in; NULL: they have none.
CREATE FUNCTION objectlink.issue_strays(p_store int, p_epoch bigint, p_ids bigint[], p_part_ages_ms bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_stray record;
  v_finding objectlink.finding;
  v_reason text;
  v_issued bigint[] := '{}';
  v_versions int := 0;  -- an upload is no object: it does not count for the brake
BEGIN
  IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
    RAISE EXCEPTION 'issue_strays() needs synchronous_commit at least on' USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  PERFORM objectlink.assert_may_delete(p_store, p_epoch);
  PERFORM FROM objectlink.store s WHERE s.id = p_store FOR NO KEY UPDATE;
  IF objectlink.deletions_stopped(p_store) THEN
    RETURN;
  END IF;
  FOR v_stray IN SELECT * FROM unnest(p_ids, p_part_ages_ms) AS s (id, part_age_ms) ORDER BY s.id LOOP
    SELECT * INTO v_finding FROM objectlink.finding f WHERE f.id = v_stray.id AND f.store_id = p_store AND f.delete_at IS NOT NULL AND f.status <> 'resolved' FOR UPDATE;
    CONTINUE WHEN NOT FOUND;
    v_reason := objectlink.stray_stays(v_finding, v_stray.part_age_ms);
    IF v_reason IS NULL THEN
      v_issued := v_issued || v_finding.id;
      v_versions := v_versions + (v_finding.kind <> 'stale_upload')::int;
    ELSE
      PERFORM objectlink.keep_stray(v_finding.id, v_reason);
    END IF;
  END LOOP;
  IF v_versions = 0 OR objectlink.brake_lets_pass(p_store, v_versions) THEN
    RETURN QUERY SELECT unnest(v_issued);
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.issue_strays(int, bigint, bigint[], bigint[]) IS 'for the owner of a store: which uploads, versions and markers may be taken away now';

-- Outcomes: gone: a look has shown that it is not there; other: not the one that was found; refused: the store does not do it; retry: nobody knows.
CREATE FUNCTION objectlink.settle_strays(p_store int, p_epoch bigint, p_results json) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_result record;
  v_finding objectlink.finding;
  v_count int := 0;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  FOR v_result IN
    SELECT * FROM json_to_recordset(p_results) AS r (id bigint, outcome text, deleted boolean, request_id text, message text) ORDER BY r.id
  LOOP
    -- What is gone is said, though a person may have taken the decision back while the request was under way.
    SELECT * INTO v_finding FROM objectlink.finding f
      WHERE f.id = v_result.id AND f.store_id = p_store AND (f.delete_at IS NOT NULL OR v_result.outcome = 'gone' AND f.status = 'acknowledged') AND f.status <> 'resolved' FOR UPDATE;
    CONTINUE WHEN NOT FOUND;
    CASE v_result.outcome
      WHEN 'gone' THEN
        v_count := v_count + 1;
        UPDATE objectlink.finding f
        SET status = 'resolved', resolved_at = clock_timestamp(), delete_at = NULL,
            resolution = CASE WHEN v_result.deleted THEN format('deletion confirmed by %s', f.decided_by) ELSE 'the store no longer had it' END
        WHERE f.id = v_finding.id;
        INSERT INTO objectlink.event (store_id, key, cause, actor, attachment_id, request_id, detail)
        VALUES (p_store, v_finding.key, v_finding.kind || CASE WHEN v_result.deleted THEN ' deleted' ELSE ' gone' END, v_finding.decided_by, v_finding.attachment_id, v_result.request_id,
                jsonb_strip_nulls(jsonb_build_object('finding', v_finding.id, 'item', v_finding.item, 'size', v_finding.evidence -> 'size', 'etag', v_finding.evidence -> 'etag',
                  'initiated', v_finding.evidence -> 'initiated', 'proof', 'listing', 'reason', v_finding.reason)));
      WHEN 'other' THEN
        PERFORM objectlink.keep_stray(v_finding.id, v_result.message);
      WHEN 'refused' THEN
        PERFORM objectlink.note_refused_look(v_finding, v_result.message);
      ELSE
        UPDATE objectlink.finding f SET look_after = clock_timestamp() + objectlink.refused_look_pause(1) WHERE f.id = v_finding.id;
    END CASE;
  END LOOP;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.settle_strays(int, bigint, json) IS 'for the owner of a store: what became of uploads, versions and markers that were to be taken away; says how many are gone';
