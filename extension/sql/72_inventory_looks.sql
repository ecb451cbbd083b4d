-- An inventory is hours or days old, and may lack what was written shortly before it, or have what was deleted. So of a run that compares
-- one nothing becomes a finding by its word alone: the object itself is looked at, and then it is asked once more what it is. That a
-- row links what nobody knows, or nobody links what is known, is no word of it.

CREATE FUNCTION objectlink.look_first(p_verdicts objectlink.verdict[]) RETURNS objectlink.verdict[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT ARRAY(SELECT (v.pair, v.kind,
                       coalesce(v.look, CASE WHEN v.kind IN ('orphan', 'undeleted') THEN v.kind
                                             WHEN v.kind = 'missing' THEN 'absent' WHEN v.kind = 'corrupt' THEN 'changed' END),
                       v.undecided, v.attachment_id, v.erasure, v.survived)::objectlink.verdict
               FROM unnest(p_verdicts) WITH ORDINALITY AS v ORDER BY v.ordinality)
$$;
COMMENT ON FUNCTION objectlink.look_first(objectlink.verdict[]) IS 'for the comparison with an inventory: what would be a finding by its word becomes a look at the object';

-- What looks at objects that the registry does not know have shown, judged as a listing of this moment. What is another object by
-- now, or could not be looked at, is undecided. NULL: the run was paused.
CREATE FUNCTION objectlink.note_unknown_objects(p_run objectlink.run, p_looks objectlink.sighted[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_pairs objectlink.compared[];
  v_verdicts objectlink.verdict[];
  v_found objectlink.difference[];
  v_undecided text[];
BEGIN
  v_pairs := ARRAY(SELECT (l.key, true, l.size, l.etag, l.age_ms * interval '1 ms', NULL::objectlink.known, false, NULL)::objectlink.compared
                   FROM unnest(p_looks) l WHERE l.state IS NULL AND l.sighting = 'same' ORDER BY l.key COLLATE "C");
  IF cardinality(v_pairs) > 0 THEN
    v_verdicts := ARRAY(SELECT v FROM objectlink.judge_page(p_run, v_pairs, objectlink.ask_page(p_run.store_id, v_pairs), p_run.inventory_at) v);
  END IF;
  v_found := ARRAY(SELECT (((v).pair).key, (v).kind, (v).attachment_id,
                           objectlink.evidence_of(p_run, v) || jsonb_build_object('inventory_at', p_run.inventory_at, 'look', jsonb_strip_nulls(jsonb_build_object(
                             'sighting', l.sighting, 'version_id', l.version_id, 'request_id', l.request_id, 'at', clock_timestamp()))), NULL)::objectlink.difference
                   FROM unnest(v_verdicts) v JOIN unnest(p_looks) l ON l.key = ((v).pair).key WHERE (v).kind IS NOT NULL);
  v_undecided := ARRAY(SELECT ((v).pair).key FROM unnest(v_verdicts) v WHERE (v).undecided
                       UNION SELECT l.key FROM unnest(p_looks) l WHERE l.state IS NULL AND l.sighting = 'other');
  PERFORM objectlink.note_findings(p_run.store_id, p_run.id, v_found);
  IF NOT objectlink.repair_page(p_run, v_found) THEN
    RETURN NULL;
  END IF;
  UPDATE objectlink.finding f
  SET status = 'resolved', resolved_at = clock_timestamp(), delete_at = NULL, resolution = format('no longer seen by run %s', p_run.id)
  FROM (SELECT p_run.store_id AS store_id, l.key FROM unnest(p_looks) l
        WHERE l.state IS NULL AND l.sighting <> 'unknown' AND NOT l.key = ANY (v_undecided) OFFSET 0) w
  WHERE f.store_id = w.store_id AND f.key = w.key COLLATE "C" AND f.status <> 'resolved' AND f.kind = ANY (objectlink.compared_kinds())
    AND NOT EXISTS (SELECT FROM unnest(v_found) d WHERE d.key COLLATE "C" = f.key AND d.kind = f.kind);
  RETURN cardinality(v_undecided);
END $$;
COMMENT ON FUNCTION objectlink.note_unknown_objects(objectlink.run, objectlink.sighted[]) IS 'for the comparison with an inventory: makes findings of objects that it shows, that nobody knows, and that a look has shown to be there; returns how many are undecided';
