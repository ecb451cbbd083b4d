-- What a repair does about findings, and what a person decides about them. A repair has the rows asked again, or has deleted
-- again what was erased; what nobody links goes only because a person says so, and then by the way of every deletion.

CREATE FUNCTION objectlink.repair_share_from() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100 $$;
COMMENT ON FUNCTION objectlink.repair_share_from() IS 'with fewer repairs of a run than this only the absolute limit counts';

CREATE FUNCTION objectlink.too_many_repairs(p_run objectlink.run, p_more bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_count bigint := p_run.repaired + p_more;
  v_known bigint;
BEGIN
  IF p_more = 0 OR p_run.brake_released THEN
    RETURN NULL;
  ELSIF v_count > p_run.repair_limit THEN
    RETURN format('at least %s repairs; repair_limit is %s', v_count, p_run.repair_limit);
  ELSIF v_count >= objectlink.repair_share_from() AND p_run.repair_limit_share < 100 THEN
    -- Counted no further than it matters.
    SELECT count(*) INTO v_known FROM (SELECT FROM objectlink.object o WHERE o.store_id = p_run.store_id
                                       LIMIT v_count * 100 / p_run.repair_limit_share + 1) x;
    IF v_count * 100 > v_known * p_run.repair_limit_share THEN
      RETURN format('at least %s repairs in a store of %s objects; repair_limit_share is %s%%', v_count, v_known, p_run.repair_limit_share);
    END IF;
  END IF;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION objectlink.too_many_repairs(objectlink.run, bigint) IS 'which limit of a run so many more repairs would exceed; NULL: none';

-- Before a page's repairs are made: may so many more be? If not, the run is paused, and nothing of the page is written but
-- what was found.
CREATE FUNCTION objectlink.repair_lets_pass(p_run objectlink.run, p_more bigint) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_reason text := objectlink.too_many_repairs(p_run, p_more);
BEGIN
  IF v_reason IS NOT NULL THEN
    UPDATE objectlink.run r SET state = 'paused', pause_reason = v_reason, braked_at = clock_timestamp() WHERE r.id = p_run.id;
    INSERT INTO objectlink.event (store_id, cause, detail)
    VALUES (p_run.store_id, 'repair braked', jsonb_build_object('run', p_run.id, 'reason', v_reason));
    RETURN false;
  END IF;
  UPDATE objectlink.run r SET repaired = r.repaired + p_more WHERE r.id = p_run.id;
  RETURN true;
END $$;
COMMENT ON FUNCTION objectlink.repair_lets_pass(objectlink.run, bigint) IS 'counts repairs that are about to be made; false: that would be too many, and the run is paused';

-- Whatever the registry believes of these keys: the rows are asked, and it is brought to what they say. What no row links
-- and nobody has unlinked is held, see vanished_reason().
CREATE FUNCTION objectlink.ask_again(p_findings objectlink.finding[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at)
  SELECT 'L', (f).attachment_id, objectlink.storage_ref(s.name::text, (f).key), pg_current_xact_id(), now()
  FROM unnest(p_findings) f JOIN objectlink.store s ON s.id = (f).store_id;
END $$;
COMMENT ON FUNCTION objectlink.ask_again(objectlink.finding[]) IS 'has the rows asked about the keys of findings, as after a link';

CREATE FUNCTION objectlink.mark_for_deletion(p_finding objectlink.finding, p_by name, p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE objectlink.finding f SET delete_at = clock_timestamp(), looks_refused = 0, look_after = NULL, decided_by = p_by, reason = p_reason WHERE f.id = p_finding.id;
  INSERT INTO objectlink.event (store_id, key, cause, actor, attachment_id, detail)
  VALUES (p_finding.store_id, p_finding.key, 'deletion of a finding', p_by, p_finding.attachment_id,
          jsonb_strip_nulls(jsonb_build_object('finding', p_finding.id, 'kind', p_finding.kind, 'reason', p_reason)));
END $$;
COMMENT ON FUNCTION objectlink.mark_for_deletion(objectlink.finding, name, text) IS 'the daemon looks at the object, and has it deleted if it is still the one that was found';

-- Within the comparison of a page. False: the run was paused.
CREATE FUNCTION objectlink.repair_page(p_run objectlink.run, p_found objectlink.difference[]) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_findings objectlink.finding[];
BEGIN
  IF p_run.mode = 'report' THEN
    RETURN true;
  END IF;
  v_findings := ARRAY(
    SELECT f FROM unnest(p_found) d
    JOIN objectlink.finding f ON f.store_id = p_run.store_id AND f.key = d.key COLLATE "C" AND f.kind = d.kind AND f.status = 'open'
    WHERE f.delete_at IS NULL
      AND CASE p_run.mode WHEN 'repair' THEN d.kind IN ('unregistered', 'unreferenced', 'undeleted') ELSE objectlink.can_be_quarantined(f) END
      -- What somebody has brought back stays until a person says otherwise.
      AND (d.kind <> 'undeleted' OR (f.evidence ->> 'survived')::boolean)
      AND f.repair_run_id IS DISTINCT FROM p_run.id);  -- the page may have been repeated
  IF NOT objectlink.repair_lets_pass(p_run, cardinality(v_findings)) THEN
    RETURN false;
  END IF;
  PERFORM objectlink.ask_again(ARRAY(SELECT f FROM unnest(v_findings) f WHERE (f).kind IN ('unregistered', 'unreferenced')));
  PERFORM objectlink.quarantine_finding(f, p_run.requested_by, format('run %s', p_run.id)) FROM unnest(v_findings) f WHERE (f).kind = 'orphan';
  PERFORM objectlink.mark_for_deletion(f, p_run.requested_by, format('repair by run %s', p_run.id)) FROM unnest(v_findings) f WHERE (f).kind = 'undeleted';
  UPDATE objectlink.finding f SET repair_run_id = p_run.id WHERE f.id = ANY (ARRAY(SELECT (r).id FROM unnest(v_findings) r));
  RETURN true;
END $$;
COMMENT ON FUNCTION objectlink.repair_page(objectlink.run, objectlink.difference[]) IS 'for the comparison, in modes repair and quarantine: what is done about the open findings of a page; false: too many, and the run is paused';

-- A person's decision

CREATE FUNCTION objectlink.resolve(finding_id bigint, action text, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_finding objectlink.finding;
  v_valid text[];
  v_entry bigint;
BEGIN
  -- By then it is resolved.
  IF action = 'restore' AND finding_id IS NOT NULL THEN
    SELECT q.id INTO v_entry FROM objectlink.quarantine q WHERE q.finding_id = finding_id ORDER BY q.id DESC LIMIT 1;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'finding % has nothing in quarantine', finding_id USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.quarantined.';
    END IF;
    PERFORM objectlink.release_quarantine(v_entry, reason);
    RETURN;
  END IF;
  v_finding := objectlink.decide_about_finding(finding_id, reason);
  v_valid := objectlink.actions_of(v_finding.kind);
  IF action IS NULL OR NOT action = ANY (v_valid) THEN
    RAISE EXCEPTION 'invalid action for a finding of kind %: %', v_finding.kind, CASE WHEN action IS NULL THEN 'NULL' ELSE format('"%s"', action) END USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Valid actions are %s.', array_to_string(v_valid, ', '));
  ELSIF action = 'acknowledge' THEN
    PERFORM objectlink.acknowledge(finding_id, reason);
    RETURN;
  ELSIF v_finding.status = 'suspected' THEN
    RAISE EXCEPTION 'finding % is only suspected', finding_id USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'One run has seen it; it may still explain itself.',
      HINT = format('Let another run see it: SELECT objectlink.reconcile_storage(%L, prefix => %L).', (SELECT s.name FROM objectlink.store s WHERE s.id = v_finding.store_id), v_finding.key);
  ELSIF action IN ('delete', 'quarantine') AND v_finding.kind IN ('orphan', 'undeleted') AND coalesce(v_finding.evidence ->> 'etag', '') = '' THEN
    RAISE EXCEPTION 'finding % has no ETag', finding_id USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'Without one nobody can tell whether the object is still the one that was found.';
  ELSIF action = 'delete' AND v_finding.item = 'null' THEN
    RAISE EXCEPTION 'the version of finding % has the id "null"', finding_id USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'While versioning is suspended, whoever stores under its key takes its place: a request to delete it might hit that.';
  ELSIF action IN ('delete', 'abort') THEN
    PERFORM objectlink.mark_for_deletion(v_finding, session_user, reason);
  ELSIF action = 'quarantine' AND NOT objectlink.can_be_quarantined(v_finding) THEN
    RAISE EXCEPTION 'the object of finding % cannot be moved', finding_id USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = CASE WHEN v_finding.delete_at IS NOT NULL THEN 'It is being deleted.'
                    ELSE format('It has %s bytes; S3 copies %s at once, at most.', v_finding.evidence ->> 'size', objectlink.quarantine_bytes_max()) END;
  ELSIF action = 'quarantine' THEN
    PERFORM objectlink.quarantine_finding(v_finding, session_user, reason);
  ELSE
    PERFORM CASE v_finding.kind WHEN 'stuck' THEN objectlink.requeue_findings(ARRAY[v_finding]) END;
    PERFORM objectlink.ask_again(ARRAY(SELECT v_finding WHERE v_finding.kind <> 'stuck'));
    UPDATE objectlink.finding f SET decided_by = session_user, reason = reason WHERE f.id = finding_id;
  END IF;
  PERFORM objectlink.ring_daemon();
END $$;
COMMENT ON FUNCTION objectlink.resolve(bigint, text, text) IS 'decides about a finding: delete (orphan, undeleted): the object goes, if it is still the one that was found and no row links it, (stray_version, stray_marker): that one goes; abort (stale_upload); quarantine (orphan): it is moved aside, and back by restore; repair (unregistered, unreferenced): the rows are asked again, (stuck): it is tried again at once; acknowledge';

CREATE FUNCTION objectlink.actions_of(p_kind text) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN p_kind = 'orphan' THEN ARRAY['delete', 'quarantine', 'acknowledge']
              WHEN p_kind IN ('undeleted', 'stray_version', 'stray_marker') THEN ARRAY['delete', 'acknowledge']
              WHEN p_kind = 'stale_upload' THEN ARRAY['abort', 'acknowledge']
              WHEN p_kind IN ('unregistered', 'unreferenced', 'stuck') THEN ARRAY['repair', 'acknowledge']
              ELSE ARRAY['acknowledge'] END;
COMMENT ON FUNCTION objectlink.actions_of(text) IS 'what may be decided about findings of a kind';

CREATE FUNCTION objectlink.resolve_all(action text, store name, kind text DEFAULT NULL, prefix text DEFAULT NULL, reason text DEFAULT NULL,
                                       at_most int DEFAULT 1000, dry_run boolean DEFAULT true) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
  v_store int := objectlink.decide_about(store, NULL, NULL, reason, at_most);
  v_findings bigint[];
BEGIN
  IF action IS NULL OR action NOT IN ('delete', 'abort', 'quarantine', 'repair', 'acknowledge') THEN
    RAISE EXCEPTION 'invalid action: %', CASE WHEN action IS NULL THEN 'NULL' ELSE format('"%s"', action) END USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Valid actions are delete, abort, quarantine, repair, acknowledge.';
  ELSIF kind IS NULL AND coalesce(prefix, '') = '' THEN
    RAISE EXCEPTION 'kind or prefix must be given' USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'What is decided about has to be said; every key begins with nothing.';
  ELSIF kind IS NOT NULL AND NOT EXISTS (SELECT FROM objectlink.finding_kinds() k WHERE k.kind = resolve_all.kind) THEN
    RAISE EXCEPTION 'invalid kind: "%"', kind USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Valid kinds are %s.', (SELECT string_agg(k.kind, ', ') FROM objectlink.finding_kinds() k));
  ELSIF dry_run IS NULL THEN
    RAISE EXCEPTION 'dry_run must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF kind IS NOT NULL AND NOT action = ANY (objectlink.actions_of(kind)) THEN
    RAISE EXCEPTION 'invalid action for findings of kind %: "%"', kind, action USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Valid actions are %s.', array_to_string(objectlink.actions_of(kind), ', '));
  END IF;
  v_findings := ARRAY(
    SELECT f.id FROM objectlink.finding f
    WHERE f.store_id = v_store AND f.status = 'open' AND f.kind = coalesce(kind, f.kind) AND starts_with(f.key, coalesce(prefix, ''))
      AND action = ANY (objectlink.actions_of(f.kind)) AND (f.delete_at IS NULL OR action = 'acknowledge')
      AND (action <> 'delete' OR f.item <> 'null' AND (f.kind NOT IN ('orphan', 'undeleted') OR coalesce(f.evidence ->> 'etag', '') <> '')) AND (action <> 'quarantine' OR objectlink.can_be_quarantined(f))
    ORDER BY f.key LIMIT CASE WHEN NOT dry_run THEN at_most::bigint + 1 END);
  IF NOT dry_run AND cardinality(v_findings) > at_most THEN
    RAISE EXCEPTION 'more than % findings', at_most USING ERRCODE = 'program_limit_exceeded',
      HINT = 'Narrow kind or prefix, or raise at_most if all of them are meant.';
  END IF;
  IF NOT dry_run THEN
    PERFORM objectlink.resolve(f, action, reason) FROM unnest(v_findings) f;
  END IF;
  RETURN cardinality(v_findings);
END $$;
COMMENT ON FUNCTION objectlink.resolve_all(text, name, text, text, text, int, boolean) IS 'decides about all open findings of a store of a kind, or below a prefix; says how many. Only says so unless dry_run => false';

-- The owner's part: looks at the objects first, since the finding may be of yesterday.

CREATE FUNCTION objectlink.deletions_to_confirm_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100 $$;
COMMENT ON FUNCTION objectlink.deletions_to_confirm_max() IS 'objects of findings that the daemon looks at together before they are deleted';

CREATE FUNCTION objectlink.deletions_to_confirm(p_store int, p_epoch bigint) RETURNS TABLE (id bigint, key text, size bigint, etag text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  RETURN QUERY SELECT f.id, f.key, (f.evidence ->> 'size')::bigint, f.evidence ->> 'etag' FROM objectlink.finding f
    WHERE f.store_id = p_store AND f.delete_at IS NOT NULL AND f.status <> 'resolved' AND f.kind = ANY (objectlink.compared_kinds())
      AND NOT EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = p_store AND m.fence IS NOT NULL)
      AND coalesce(f.look_after <= clock_timestamp(), true)
    ORDER BY coalesce(f.look_after, f.delete_at) LIMIT objectlink.deletions_to_confirm_max();
END $$;
COMMENT ON FUNCTION objectlink.deletions_to_confirm(int, bigint) IS 'for the owner of a store: findings whose objects are to be deleted, once a look shows that they are still the same';

CREATE FUNCTION objectlink.refused_looks_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 8 $$;
COMMENT ON FUNCTION objectlink.refused_looks_max() IS 'so often a store may refuse to show an object that is to be deleted; then it stays, and a person decides anew';

CREATE FUNCTION objectlink.refused_look_pause(p_refused int) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT least(interval '5 s' * 2 ^ (p_refused - 1), interval '1 minute') $$;
COMMENT ON FUNCTION objectlink.refused_look_pause(int) IS 'after so many refused looks, how long others come first';

-- Whether the object is still the same nobody could tell. Others must not wait for it, and it not for ever.
CREATE FUNCTION objectlink.note_refused_look(p_finding objectlink.finding, p_code text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_refused int := p_finding.looks_refused + 1;
  v_given_up boolean := v_refused >= objectlink.refused_looks_max();
BEGIN
  UPDATE objectlink.finding f
  SET looks_refused = v_refused, look_after = CASE WHEN NOT v_given_up THEN clock_timestamp() + objectlink.refused_look_pause(v_refused) END,
      delete_at = CASE WHEN NOT v_given_up THEN f.delete_at END,
      purge = CASE WHEN NOT v_given_up THEN f.purge END,
      resolution = CASE WHEN v_given_up THEN format('%s: the store has refused %s looks at it (%s)', CASE WHEN f.purge IS NULL THEN 'not deleted' ELSE 'not purged' END, v_refused, p_code) END
  WHERE f.id = p_finding.id;
  IF v_given_up THEN
    INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
    VALUES (p_finding.store_id, p_finding.key, CASE WHEN p_finding.purge IS NULL THEN p_finding.kind || ' not deleted' ELSE 'not purged' END, p_finding.attachment_id,
            jsonb_build_object('finding', p_finding.id, 'refused', v_refused, 'code', p_code));
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.note_refused_look(objectlink.finding, text) IS 'for confirm_deletions(): the store refused to show an object; it is looked at later, and given up in the end';

-- From here on it is an unlinked object like every other one: the rows are asked twice more before it goes.
CREATE FUNCTION objectlink.confirm_deletions(p_store int, p_epoch bigint, p_looks json) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_look record;
  v_finding objectlink.finding;
  v_taken boolean;
  v_act text;
  v_begun timestamptz := clock_timestamp();
  v_count int := 0;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  FOR v_look IN
    SELECT * FROM json_to_recordset(p_looks) AS l (id bigint, sighting text, size bigint, etag text, version_id text, request_id text, error_code text) ORDER BY l.id
  LOOP
    SELECT * INTO v_finding FROM objectlink.finding f WHERE f.id = v_look.id AND f.delete_at IS NOT NULL AND f.status <> 'resolved' FOR UPDATE;
    CONTINUE WHEN NOT FOUND;
    IF v_look.sighting = 'unknown' THEN
      PERFORM objectlink.note_refused_look(v_finding, v_look.error_code);
      CONTINUE;
    END IF;
    IF v_finding.purge IS NOT NULL THEN
      -- Users' rows may take their time; what is left is looked at again.
      IF clock_timestamp() < v_begun + objectlink.row_write_ms() * interval '1 ms' THEN
        v_count := v_count + objectlink.conclude_purge(v_finding, v_look.sighting)::int;
      END IF;
      CONTINUE;
    END IF;
    v_taken := false;
    v_act := CASE WHEN EXISTS (SELECT FROM objectlink.quarantine q WHERE q.finding_id = v_finding.id AND q.state = 'copied') THEN 'quarantine' ELSE v_finding.kind END;
    IF v_look.sighting = 'same' AND NOT EXISTS (SELECT FROM objectlink.condemned c WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, v_finding.key)) THEN
      INSERT INTO objectlink.object (store_id, key, state, since, wanted_since, size, etag, version_id, verified_at, request_id,
                                     unlinked_at, unlinked_by, unlinked_act, keep_until, due_at)
      VALUES (p_store, v_finding.key, 'unlinked', clock_timestamp(), v_finding.delete_at, v_look.size, v_look.etag, nullif(v_look.version_id, ''),
              clock_timestamp(), v_look.request_id, v_finding.delete_at, v_finding.decided_by, v_act, '-infinity', v_finding.delete_at)
      ON CONFLICT ON CONSTRAINT object_pkey DO NOTHING;
      v_taken := FOUND;
    END IF;
    IF v_taken THEN
      v_count := v_count + 1;
      INSERT INTO objectlink.event (store_id, key, to_state, cause, actor, request_id, detail)
      VALUES (p_store, v_finding.key, 'unlinked', v_act || ' confirmed', v_finding.decided_by, v_look.request_id,
              jsonb_strip_nulls(jsonb_build_object('finding', v_finding.id, 'reason', v_finding.reason)));
    END IF;
    UPDATE objectlink.finding f
    SET delete_at = NULL,
        status = CASE WHEN v_taken OR v_look.sighting = 'absent' THEN 'resolved' WHEN v_look.sighting = 'other' THEN 'suspected' ELSE f.status END,
        resolved_at = CASE WHEN v_taken OR v_look.sighting = 'absent' THEN clock_timestamp() END,
        resolution = CASE WHEN v_taken THEN format(CASE v_act WHEN 'quarantine' THEN 'moved to quarantine by %s' ELSE 'deletion confirmed by %s' END, f.decided_by)
                          WHEN v_look.sighting = 'absent' THEN 'the store no longer had it'
                          WHEN v_look.sighting = 'other' THEN 'not deleted: the store has something else under the key by now'
                          ELSE 'not deleted: the key is known, or being deleted, by now' END
    WHERE f.id = v_finding.id;
  END LOOP;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.confirm_deletions(int, bigint, json) IS 'for the owner of a store: what looks at the objects of findings showed; those that are still the same are unlinked, and so deleted in the way of all others';
