-- Findings: what a run saw that is not as it should be, with the evidence. A finding is one difference of one key; runs that
-- see it again add to it, and one that sees it gone closes it.

CREATE TABLE objectlink.finding (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store_id      int NOT NULL,
  key           text COLLATE "C" NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('missing', 'corrupt', 'orphan', 'unreferenced', 'unregistered', 'undeleted', 'stuck', 'stale_upload', 'stray_version', 'stray_marker')),
  item          text COLLATE "C" NOT NULL DEFAULT '',
  status        text NOT NULL CHECK (status IN ('suspected', 'open', 'resolved', 'acknowledged')),
  run_id        bigint,
  first_run_id  bigint,
  first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  last_seen_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  resolved_at   timestamptz,
  resolution    text,
  decided_by    name,
  reason        text,
  delete_at     timestamptz,
  purge         jsonb,
  looks_refused int NOT NULL DEFAULT 0,
  look_after    timestamptz,
  repair_run_id bigint,
  attachment_id int,
  evidence      jsonb NOT NULL,
  -- A request that names no version would be about the object itself.
  CONSTRAINT finding_item CHECK ((item <> '') = (kind IN ('stale_upload', 'stray_version', 'stray_marker'))),
  CONSTRAINT finding_resolved CHECK ((status = 'resolved') = (resolved_at IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE UNIQUE INDEX finding_unresolved ON objectlink.finding (store_id, key, kind, item) WHERE status <> 'resolved';
CREATE INDEX finding_to_delete ON objectlink.finding (store_id, delete_at) WHERE delete_at IS NOT NULL;
CREATE INDEX finding_run ON objectlink.finding (run_id);
COMMENT ON TABLE objectlink.finding IS 'differences between store, registry and rows, as runs found them; resolved ones stay as history';
COMMENT ON COLUMN objectlink.finding.item IS 'of several things under one key, which one: the id of an upload, or of a version; empty: the object itself';
COMMENT ON COLUMN objectlink.finding.run_id IS 'the last run that saw it; first_run_id: the first one. NULL: the scrub did';
COMMENT ON COLUMN objectlink.finding.status IS 'suspected: seen by one run, and it may still explain itself; open: certain; acknowledged: a person knows and leaves it; resolved: no more';
COMMENT ON COLUMN objectlink.finding.resolution IS 'resolved: what a run saw instead, or what a person decided';
COMMENT ON COLUMN objectlink.finding.decided_by IS 'who acknowledged or resolved it';
COMMENT ON COLUMN objectlink.finding.reason IS 'why, in his words';
COMMENT ON COLUMN objectlink.finding.delete_at IS 'since when its object is to be deleted; the daemon looks first whether it is still the same';
COMMENT ON COLUMN objectlink.finding.purge IS 'what becomes then of the rows that link it, since it is lost: attachment, rows, older_than; see purge_corrupt()';
COMMENT ON COLUMN objectlink.finding.looks_refused IS 'how often the store has refused to show that object since; look_after: it is not looked at again before, so that others come first';
COMMENT ON COLUMN objectlink.finding.repair_run_id IS 'the run that did something about it; one that sees it gone resolves it';
COMMENT ON COLUMN objectlink.finding.evidence IS 'what was seen: run and page, listing, reply to a look, what the registry had proved, ages';

-- One look at two things that are written at different times may show a difference that is none; two runs may not. What a
-- look at the object itself has proved (missing, corrupt) needs no second one, nor does a row that links what nobody knows, nor what the registry alone says.
CREATE FUNCTION objectlink.is_certain(p_kind text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT p_kind IN ('missing', 'corrupt', 'unregistered', 'stuck') $$;
COMMENT ON FUNCTION objectlink.is_certain(text) IS 'whether findings of this kind are open at once; others are suspected until a second run sees them';

-- Those that comparing keys page by page finds, and closes. The others have a step of their own in a run.
CREATE FUNCTION objectlink.compared_kinds() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT '{missing,corrupt,orphan,unreferenced,unregistered,undeleted}'::text[] $$;
COMMENT ON FUNCTION objectlink.compared_kinds() IS 'kinds of findings that come from comparing keys, page by page';

CREATE TYPE objectlink.difference AS (key text, kind text, attachment_id int, evidence jsonb, item text);
COMMENT ON TYPE objectlink.difference IS 'what a page shows of one key that is not as it should be';

CREATE FUNCTION objectlink.note_findings(p_store int, p_run bigint, p_found objectlink.difference[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  INSERT INTO objectlink.finding AS f (store_id, key, kind, item, status, run_id, first_run_id, attachment_id, evidence)
  SELECT p_store, d.key, d.kind, coalesce(d.item, ''), CASE WHEN objectlink.is_certain(d.kind) THEN 'open' ELSE 'suspected' END, p_run, p_run, d.attachment_id, d.evidence
  FROM unnest(p_found) d ORDER BY d.key COLLATE "C", d.kind, d.item
  ON CONFLICT (store_id, key, kind, item) WHERE status <> 'resolved' DO UPDATE
  SET run_id = coalesce(p_run, f.run_id), last_seen_at = clock_timestamp(), resolution = NULL,
      -- What was decided about was what was seen then.
      evidence = CASE WHEN f.delete_at IS NULL THEN excluded.evidence ELSE f.evidence END,
      attachment_id = coalesce(excluded.attachment_id, f.attachment_id),
      status = CASE WHEN f.status = 'acknowledged' OR f.delete_at IS NOT NULL OR objectlink.is_certain(f.kind) THEN f.status
                    -- Another object under the same key begins anew.
                    WHEN lower(btrim(f.evidence ->> 'etag', '"')) IS DISTINCT FROM lower(btrim(excluded.evidence ->> 'etag', '"')) THEN 'suspected'
                    WHEN f.run_id = p_run THEN f.status ELSE 'open' END;
END $$;
COMMENT ON FUNCTION objectlink.note_findings(int, bigint, objectlink.difference[]) IS 'for the comparison: enters differences, or adds to the findings that are there';

-- What the page covers and does not show any more. p_decided names the keys of which it could say nothing, or has said it.
CREATE FUNCTION objectlink.close_findings(p_store int, p_run bigint, p_after text, p_reached text, p_prefix text,
                                          p_found objectlink.difference[], p_undecided text[]) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_count int;
BEGIN
  UPDATE objectlink.finding f
  SET status = 'resolved', resolved_at = clock_timestamp(), delete_at = NULL, resolution = format('no longer seen by run %s', p_run)
  WHERE f.store_id = p_store AND f.key > p_after AND f.key >= p_prefix AND starts_with(f.key, p_prefix)
    AND (p_reached IS NULL OR f.key <= p_reached) AND f.status <> 'resolved'
    AND f.kind = ANY (objectlink.compared_kinds()) AND NOT f.key = ANY (p_undecided)
    AND NOT EXISTS (SELECT FROM unnest(p_found) d WHERE d.key COLLATE "C" = f.key AND d.kind = f.kind);
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.close_findings(int, bigint, text, text, text, objectlink.difference[], text[]) IS 'for the comparison: resolves the findings of a range of keys that were not seen again; undecided ones stay as they are';

-- The finding that a decision is about, locked.
CREATE FUNCTION objectlink.decide_about_finding(p_finding bigint, p_reason text) RETURNS objectlink.finding
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_finding objectlink.finding;
BEGIN
  IF p_finding IS NULL THEN
    RAISE EXCEPTION 'finding_id must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF length(p_reason) > 200 THEN
    RAISE EXCEPTION 'reason is too long' USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must have at most 200 characters.';
  END IF;
  SELECT * INTO v_finding FROM objectlink.finding f WHERE f.id = p_finding FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'finding % does not exist', p_finding USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.findings.';
  ELSIF v_finding.status = 'resolved' THEN
    RAISE EXCEPTION 'finding % is resolved', p_finding USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = format('Since %s: %s.', v_finding.resolved_at, v_finding.resolution);
  END IF;
  RETURN v_finding;
END $$;
COMMENT ON FUNCTION objectlink.decide_about_finding(bigint, text) IS 'locks a finding that is not resolved yet';

CREATE FUNCTION objectlink.acknowledge(finding_id bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_finding objectlink.finding := objectlink.decide_about_finding(finding_id, reason);
BEGIN
  -- Whoever leaves it takes back what was decided before, as long as the daemon has not begun with it.
  UPDATE objectlink.finding f SET status = 'acknowledged', delete_at = NULL, purge = NULL, look_after = NULL, decided_by = session_user, reason = reason WHERE f.id = finding_id;
  INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
  VALUES (v_finding.store_id, v_finding.key, 'finding acknowledged', v_finding.attachment_id,
          jsonb_strip_nulls(jsonb_build_object('finding', finding_id, 'kind', v_finding.kind, 'reason', reason,
            'withdrawn', CASE WHEN v_finding.delete_at IS NOT NULL THEN true END)));
END $$;
COMMENT ON FUNCTION objectlink.acknowledge(bigint, text) IS 'a person knows of a finding and leaves it: it is neither mended nor reported as a problem, and closes when the difference is gone. Takes back a deletion that was decided about it and has not begun';
