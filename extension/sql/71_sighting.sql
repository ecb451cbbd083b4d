-- What does a look at an object itself mean for the registry? It is proved to be as it was, to be another one, or not to be
-- there. Nothing is deleted or unlinked by it.

CREATE TYPE objectlink.sighted AS (key text, reason text, state text, since timestamptz, sighting text, size bigint, etag text, version_id text,
                                   request_id text, error_code text, message text, evidence jsonb, age_ms bigint);
COMMENT ON TYPE objectlink.sighted IS 'what a look at one object showed';
COMMENT ON COLUMN objectlink.sighted.age_ms IS 'since it was written, by the store''s own clock; NULL: unknown';
COMMENT ON COLUMN objectlink.sighted.state IS 'of the registry when the look was asked for; the look counts only while it is still in it, since then';
COMMENT ON COLUMN objectlink.sighted.sighting IS 'same: what was proved before; other: something else; absent: the store does not have it; unknown: nothing was proved';

CREATE FUNCTION objectlink.state_after_sighting(p_state text, p_sighting text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN p_sighting = 'absent' AND p_state IN ('stored', 'corrupt') THEN 'missing'
              WHEN p_sighting = 'other' AND p_state IN ('stored', 'missing') THEN 'corrupt'
              WHEN p_sighting = 'same' AND p_state IN ('missing', 'corrupt', 'failed') THEN 'stored'
              ELSE p_state END;
COMMENT ON FUNCTION objectlink.state_after_sighting(text, text) IS 'the state of an object after it was looked at';

CREATE FUNCTION objectlink.evidence_of_look(p_look objectlink.sighted) RETURNS jsonb
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (p_look).evidence || jsonb_strip_nulls(jsonb_build_object('look', jsonb_build_object('sighting', (p_look).sighting, 'size', (p_look).size, 'etag', (p_look).etag,
    'version_id', (p_look).version_id, 'request_id', (p_look).request_id, 'error_code', (p_look).error_code, 'at', clock_timestamp())))
$$;
COMMENT ON FUNCTION objectlink.evidence_of_look(objectlink.sighted) IS 'the evidence of a finding: what the page showed, and what the look at the object itself did';

CREATE FUNCTION objectlink.note_sightings(p_store int, p_run bigint, p_looks objectlink.sighted[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_found objectlink.difference[];
  v_healed text[];
  v_changed text[];
BEGIN
  PERFORM FROM unnest(p_looks) l
    CROSS JOIN LATERAL (SELECT FROM objectlink.object o WHERE o.store_id = p_store AND o.key = l.key COLLATE "C" FOR UPDATE) AS locked;
  WITH seen AS MATERIALIZED (
    SELECT l.*, p_store AS store_id, objectlink.state_after_sighting(l.state, l.sighting) AS to_state,
           objectlink.evidence_of_look(l) AS shown
    FROM unnest(p_looks) l WHERE l.sighting <> 'unknown'
  ), changed AS (
    UPDATE objectlink.object o
    SET state = s.to_state, since = CASE WHEN s.to_state = o.state THEN o.since ELSE clock_timestamp() END, attempts = 0, due_at = NULL,
        verified_at = CASE WHEN s.sighting = 'same' THEN clock_timestamp() ELSE o.verified_at END,
        -- What is known of content that was proved once stays: by it is told whether it is back.
        size = CASE WHEN s.sighting = 'same' THEN coalesce(s.size, o.size) ELSE o.size END,
        etag = CASE WHEN s.sighting = 'same' THEN coalesce(nullif(s.etag, ''), o.etag) ELSE o.etag END,
        version_id = CASE WHEN s.sighting = 'same' AND s.to_state <> o.state THEN nullif(s.version_id, '') ELSE o.version_id END,
        request_id = s.request_id,
        error_class = CASE s.sighting WHEN 'absent' THEN 'not_found' WHEN 'other' THEN 'object' END,
        error_code = CASE s.sighting WHEN 'absent' THEN 'NoSuchKey' WHEN 'other' THEN coalesce(s.error_code, 'ObjectReplaced') END,
        last_error = CASE s.sighting WHEN 'absent' THEN 'the store no longer has it'
                                     WHEN 'other' THEN coalesce(s.message, format('the store has something else under its key: %s bytes, ETag %s', s.size, s.etag)) END
    FROM seen s
    WHERE o.store_id = s.store_id AND o.key = s.key COLLATE "C" AND o.state = s.state AND o.since = s.since
      -- Other bytes behind the same ETag: only who has read them knows.
      AND NOT (s.sighting = 'same' AND o.state = 'corrupt' AND o.error_code = 'ContentDiffers' AND s.evidence ->> 'sha256' IS NULL)
      -- An upload of it may be under way.
      AND NOT (o.state = 'failed' AND EXISTS (SELECT FROM objectlink.payload p JOIN objectlink.store t ON t.id = p_store
               WHERE p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(t.name::text, s.key)))
    RETURNING o.key, s.state AS from_state, o.state AS to_state, o.attachment_id, s.request_id, s.shown, s.sighting
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, request_id, detail)
    SELECT p_store, c.key, c.from_state, c.to_state, CASE WHEN p_run IS NULL THEN 'scrub' ELSE 'reconcile' END, c.attachment_id, c.request_id,
           jsonb_strip_nulls(jsonb_build_object('run', p_run, 'scrub_round', c.shown -> 'scrub_round', 'seen', c.shown -> 'look'))
    FROM changed c WHERE c.to_state <> c.from_state
  )
  SELECT array_agg((c.key, c.to_state, c.attachment_id, c.shown, NULL)::objectlink.difference) FILTER (WHERE c.to_state IN ('missing', 'corrupt')),
         array_agg(c.key), array_agg(c.key) FILTER (WHERE c.to_state <> c.from_state)
    INTO v_found, v_healed, v_changed FROM changed c;
  PERFORM objectlink.queue_row_work(p_store, v_changed);
  PERFORM objectlink.note_findings(p_store, p_run, v_found);
  -- What it was before is over, and so is everything else that was found of it.
  UPDATE objectlink.finding f
  SET status = 'resolved', resolved_at = clock_timestamp(), delete_at = NULL, resolution = CASE WHEN p_run IS NULL THEN 'seen otherwise by the scrub' ELSE format('seen otherwise by run %s', p_run) END
  FROM (SELECT p_store AS store_id, k AS key FROM unnest(v_healed) k OFFSET 0) w
  WHERE f.store_id = w.store_id AND f.key = w.key COLLATE "C" AND f.status <> 'resolved' AND f.kind = ANY (objectlink.compared_kinds())
    AND NOT EXISTS (SELECT FROM unnest(v_found) d WHERE d.key COLLATE "C" = f.key AND d.kind = f.kind);
END $$;
COMMENT ON FUNCTION objectlink.note_sightings(int, bigint, objectlink.sighted[]) IS 'for the comparison, and for the scrub (p_run NULL): brings the registry to what looks at objects have proved, with events and findings';
