-- The steps of quarantine: copy, prove, delete the original, rest; and back. The store is asked by the daemon
-- (sidecar/quarantine.cpp), outside of any transaction; each step's outcome is written before the next one is begun.

CREATE FUNCTION objectlink.quarantine_finding(p_finding objectlink.finding, p_by name, p_reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_place text := format('.objectlink/quarantine/%s', gen_random_uuid());
  v_id bigint;
BEGIN
  INSERT INTO objectlink.quarantine (store_id, key, copy_key, finding_id, size, etag, requested_by, reason)
  VALUES (p_finding.store_id, p_finding.key,
          -- The key is kept where there is room: who lists the bucket sees what is what.
          CASE WHEN octet_length(p_finding.key) + octet_length(v_place) < 1024 THEN v_place || '/' || p_finding.key ELSE v_place END,
          p_finding.id, (p_finding.evidence ->> 'size')::bigint, p_finding.evidence ->> 'etag', p_by, p_reason)
  ON CONFLICT (finding_id) WHERE state IN ('copying', 'copied') DO NOTHING
  RETURNING id INTO v_id;
  IF v_id IS NOT NULL THEN
    UPDATE objectlink.finding f SET decided_by = p_by, reason = p_reason WHERE f.id = p_finding.id;
    INSERT INTO objectlink.event (store_id, key, cause, actor, detail)
    VALUES (p_finding.store_id, p_finding.key, 'quarantine of a finding', p_by,
            jsonb_strip_nulls(jsonb_build_object('quarantine', v_id, 'finding', p_finding.id, 'reason', p_reason)));
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.quarantine_finding(objectlink.finding, name, text) IS 'has the object of a finding moved aside';

CREATE FUNCTION objectlink.can_be_quarantined(p_finding objectlink.finding) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN (p_finding).kind = 'orphan' AND coalesce((p_finding).evidence ->> 'etag', '') <> '' AND (p_finding).delete_at IS NULL
         AND coalesce(((p_finding).evidence ->> 'size')::bigint <= objectlink.quarantine_bytes_max(), false);
COMMENT ON FUNCTION objectlink.can_be_quarantined(objectlink.finding) IS 'whether its object is an orphan that one request can copy, and is not being deleted';

CREATE FUNCTION objectlink.note_quarantine(p_entry objectlink.quarantine, p_cause text, p_detail jsonb DEFAULT '{}') RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO objectlink.event (store_id, key, cause, actor, detail)
  VALUES (p_entry.store_id, p_entry.key, p_cause, p_entry.requested_by,
          jsonb_strip_nulls(jsonb_build_object('quarantine', p_entry.id, 'copy', p_entry.copy_key, 'reason', p_entry.reason) || p_detail))
$$;
COMMENT ON FUNCTION objectlink.note_quarantine(objectlink.quarantine, text, jsonb) IS 'an event that says what became of an object in quarantine';

CREATE FUNCTION objectlink.end_quarantine(p_entry bigint, p_why text, p_error text DEFAULT NULL) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  UPDATE objectlink.quarantine q
  SET state = 'ending', ending = p_why, since = clock_timestamp(), attempts = 0, last_error = p_error,
      -- A copy back that arrives late finds nothing to copy: so that copy goes at once.
      due_at = CASE p_why WHEN 'not needed' THEN greatest(clock_timestamp(), q.unknown_until) ELSE clock_timestamp() END
  WHERE q.id = p_entry
$$;
COMMENT ON FUNCTION objectlink.end_quarantine(bigint, text, text) IS 'the copy of an entry goes, not before it can no longer arrive late';

-- What has become of the original, once its copy was proved? Asked again and again, until it is gone or stays.
CREATE FUNCTION objectlink.follow_original(p_entry objectlink.quarantine) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_finding objectlink.finding;
  v_object objectlink.object;
  v_waits text;
BEGIN
  SELECT * INTO v_finding FROM objectlink.finding f WHERE f.id = p_entry.finding_id;
  SELECT * INTO v_object FROM objectlink.object o WHERE o.store_id = p_entry.store_id AND o.key = p_entry.key;
  IF v_finding.delete_at IS NOT NULL OR v_object.state IN ('unlinked', 'deleting') THEN
    v_waits := CASE WHEN objectlink.deletions_stopped(p_entry.store_id) THEN 'its original waits: deletions of the store are stopped'
                    WHEN v_object.state = 'unlinked' AND v_object.due_at IS NULL THEN 'its original waits: ' || coalesce(v_object.admin_hold, v_object.held_reason, v_object.last_error, 'it is held') END;
    -- The longer it takes the rarer.
    UPDATE objectlink.quarantine q SET last_error = v_waits,
        due_at = clock_timestamp() + least(interval '10 minutes', greatest(interval '200 ms', (clock_timestamp() - q.since) / 10))
    WHERE q.id = p_entry.id;
  -- Before all else: what a row that links the key since then is shown, or not, says nothing of what was deleted.
  ELSIF EXISTS (SELECT FROM objectlink.erasure x WHERE x.at >= p_entry.since AND x.store_id = p_entry.store_id AND x.key = p_entry.key AND x.act = 'quarantine') THEN
    UPDATE objectlink.quarantine q SET state = 'held', since = clock_timestamp(), due_at = NULL, last_error = NULL WHERE q.id = p_entry.id;
    PERFORM objectlink.note_quarantine(p_entry, 'quarantined');
  ELSIF v_object.state = 'stored' THEN
    -- Linked meanwhile, and proved to be there: it stays where it is.
    PERFORM objectlink.end_quarantine(p_entry.id, 'not needed');
  ELSIF v_object.state IN ('reserved', 'pending') THEN
    UPDATE objectlink.quarantine q SET last_error = 'a row links it, and it is not proved yet that it is there',
        due_at = clock_timestamp() + least(interval '10 minutes', greatest(interval '200 ms', (clock_timestamp() - q.since) / 10))
    WHERE q.id = p_entry.id;
  ELSIF v_finding.status IN ('open', 'acknowledged') AND v_object.state IS NULL THEN
    -- Its deletion was not confirmed (the key was known, or condemned), or a person has taken it back.
    PERFORM objectlink.end_quarantine(p_entry.id, 'not needed');
  ELSE
    -- Gone or replaced without our doing: then this may be the only copy of what was found.
    UPDATE objectlink.quarantine q SET state = 'held', since = clock_timestamp(), due_at = NULL,
        last_error = coalesce('the original was not deleted by objectlink: ' || v_finding.resolution, 'nobody knows what became of the original')
    WHERE q.id = p_entry.id;
    PERFORM objectlink.note_quarantine(p_entry, 'quarantined', jsonb_build_object('original', v_finding.resolution));
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.follow_original(objectlink.quarantine) IS 'for an entry whose copy is proved: is the original gone, does it stay, or has it to be waited for?';

-- A key that is about to be deleted, or whose last request may still arrive, is not copied back to.
CREATE FUNCTION objectlink.release_waits(p_entry objectlink.quarantine, OUT reason text, OUT again_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_entry.store_id);
BEGIN
  SELECT 'a request to delete or to write its key may still arrive', coalesce(c.release_after, clock_timestamp() + interval '1 s') INTO reason, again_at
    FROM objectlink.condemned c WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, p_entry.key);
  IF reason IS NULL AND EXISTS (SELECT FROM objectlink.object o WHERE o.store_id = p_entry.store_id AND o.key = p_entry.key
                                AND o.state IN ('reserved', 'unlinked', 'deleting')) THEN
    reason := 'an object of this key is being deleted, or waits for a row';
    again_at := clock_timestamp() + interval '5 s';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.release_waits(objectlink.quarantine) IS 'why an object cannot be copied back now, and when to look again; NULL: it can';

CREATE FUNCTION objectlink.quarantine_work(p_store int, p_epoch bigint)
RETURNS TABLE (id bigint, step text, key text, copy_key text, size bigint, etag text, copy_etag text, copy_version text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_entry objectlink.quarantine;
  v_waits record;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  IF objectlink.is_fenced(p_store) THEN
    RETURN;
  END IF;
  FOR v_entry IN
    SELECT * FROM objectlink.quarantine q WHERE q.store_id = p_store AND q.due_at <= clock_timestamp() ORDER BY q.due_at
    LIMIT objectlink.quarantine_steps_max() FOR UPDATE
  LOOP
    IF v_entry.state = 'copied' THEN
      PERFORM objectlink.follow_original(v_entry);
      CONTINUE;
    ELSIF v_entry.state = 'releasing' THEN
      v_waits := objectlink.release_waits(v_entry);
      IF v_waits.reason IS NOT NULL THEN
        UPDATE objectlink.quarantine q SET due_at = v_waits.again_at, last_error = v_waits.reason WHERE q.id = v_entry.id;
        CONTINUE;
      END IF;
    ELSIF v_entry.state = 'ending' AND v_entry.ending = 'purged' AND objectlink.deletions_stopped(p_store) THEN
      UPDATE objectlink.quarantine q SET due_at = clock_timestamp() + interval '5 s', last_error = 'deletions of the store are stopped' WHERE q.id = v_entry.id;
      CONTINUE;
    END IF;
    IF v_entry.state = 'copying' THEN
      UPDATE objectlink.quarantine q
      SET issued_epoch = p_epoch, unknown_until = CASE WHEN q.issued_epoch <> p_epoch THEN clock_timestamp() + objectlink.signature_window() ELSE q.unknown_until END
      WHERE q.id = v_entry.id AND q.issued_epoch IS DISTINCT FROM p_epoch;
    END IF;
    RETURN QUERY SELECT v_entry.id, CASE v_entry.state WHEN 'copying' THEN 'copy' WHEN 'releasing' THEN 'restore' ELSE 'remove' END,
      v_entry.key, v_entry.copy_key, v_entry.size, v_entry.etag, v_entry.copy_etag, v_entry.copy_version;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.quarantine_work(int, bigint) IS 'for the owner of a store: which objects are to be copied aside (copy) or back (restore), and which copies go (remove)';

-- Committed before the first request that deletes, as issue() does; but no row can link what lies below .objectlink/, so there
-- is nobody to ask.
CREATE FUNCTION objectlink.issue_copies(p_store int, p_epoch bigint, p_ids bigint[]) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  PERFORM objectlink.assert_may_delete(p_store, p_epoch);
  RETURN QUERY UPDATE objectlink.quarantine q SET issued_at = clock_timestamp()
    WHERE q.id = ANY (p_ids) AND q.store_id = p_store AND q.state = 'ending' RETURNING q.id;
END $$;
COMMENT ON FUNCTION objectlink.issue_copies(int, bigint, bigint[]) IS 'for the owner of a store: the copies of these entries may be deleted now';

CREATE FUNCTION objectlink.settle_copying(p_entry objectlink.quarantine, p_outcome text, p_etag text, p_version text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_finding objectlink.finding;
BEGIN
  SELECT * INTO v_finding FROM objectlink.finding f WHERE f.id = p_entry.finding_id FOR UPDATE;
  IF p_outcome = 'done' AND v_finding.status = 'open' AND v_finding.delete_at IS NULL
     AND (v_finding.evidence ->> 'size')::bigint = p_entry.size AND objectlink.same_content(NULL, v_finding.evidence ->> 'etag', NULL, p_entry.etag) THEN
    UPDATE objectlink.quarantine q
    SET state = 'copied', since = clock_timestamp(), due_at = clock_timestamp() + interval '200 ms', copy_etag = p_etag, copy_version = p_version,
        attempts = 0, last_error = NULL
    WHERE q.id = p_entry.id;
    PERFORM objectlink.mark_for_deletion(v_finding, p_entry.requested_by, p_entry.reason);
    RETURN;
  ELSIF p_outcome = 'absent' AND v_finding.status <> 'resolved' THEN
    UPDATE objectlink.finding f SET status = 'resolved', resolved_at = clock_timestamp(), resolution = 'the store no longer had it' WHERE f.id = v_finding.id;
  ELSIF p_outcome = 'other' AND v_finding.status <> 'resolved' THEN
    UPDATE objectlink.finding f SET status = 'suspected', resolution = 'not moved: the store has something else under the key by now' WHERE f.id = v_finding.id;
  END IF;
  PERFORM objectlink.end_quarantine(p_entry.id, 'not needed');
END $$;
COMMENT ON FUNCTION objectlink.settle_copying(objectlink.quarantine, text, text, text) IS 'a copy is proved, and the original goes if the finding still holds; or it was not worth one';

CREATE FUNCTION objectlink.settle_releasing(p_entry objectlink.quarantine, p_outcome text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_outcome = 'done' THEN
    PERFORM objectlink.note_quarantine(p_entry, 'quarantine released');
    PERFORM objectlink.end_quarantine(p_entry.id, 'released');
  ELSE
    UPDATE objectlink.quarantine q SET state = 'held', due_at = NULL, attempts = 0,
        last_error = CASE p_outcome WHEN 'other' THEN 'not released: something else lies under its key' ELSE 'the copy is not there any more, or is another one' END
    WHERE q.id = p_entry.id;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.settle_releasing(objectlink.quarantine, text) IS 'an object is back under its key, and its copy goes; or its key is taken, and it stays where it is';

CREATE FUNCTION objectlink.settle_ending(p_entry objectlink.quarantine, p_epoch bigint, p_request_id text, p_proof text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_was objectlink.object;
BEGIN
  DELETE FROM objectlink.quarantine q WHERE q.id = p_entry.id;
  IF p_entry.ending = 'purged' THEN
    v_was.store_id := p_entry.store_id;
    v_was.key := p_entry.copy_key;
    v_was.version_id := nullif(p_entry.copy_version, '');
    v_was.size := p_entry.size;
    v_was.etag := p_entry.copy_etag;
    v_was.unlinked_act := 'purge of quarantine';
    v_was.unlinked_by := p_entry.requested_by;
    v_was.unlinked_at := p_entry.since;
    v_was.wanted_since := p_entry.since;
    v_was.issued_at := p_entry.issued_at;
    PERFORM objectlink.record_erasures(p_entry.store_id, p_epoch, ARRAY[(v_was, p_request_id, p_proof)::objectlink.erased]);
  END IF;
  PERFORM objectlink.note_quarantine(p_entry, 'quarantine ended', jsonb_build_object('why', p_entry.ending, 'proof', p_proof));
END $$;
COMMENT ON FUNCTION objectlink.settle_ending(objectlink.quarantine, bigint, text, text) IS 'a copy is proved to be gone; one that was purged leaves an erasure record';

-- Outcomes: done; absent, other: what was looked at first is not there, or not what it should be; retry: nothing was proved;
-- refused: the store does not do it.
CREATE FUNCTION objectlink.settle_quarantine(p_store int, p_epoch bigint, p_results json) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_result record;
  v_entry objectlink.quarantine;
  v_count int := 0;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  FOR v_result IN
    SELECT * FROM json_to_recordset(p_results) AS r (id bigint, step text, outcome text, etag text, version_id text, request_id text, proof text,
                                                     message text, unknown boolean) ORDER BY r.id
  LOOP
    SELECT * INTO v_entry FROM objectlink.quarantine q
      WHERE q.id = v_result.id AND q.store_id = p_store
        AND q.state = CASE v_result.step WHEN 'copy' THEN 'copying' WHEN 'restore' THEN 'releasing' ELSE 'ending' END FOR UPDATE;
    CONTINUE WHEN NOT FOUND;
    v_count := v_count + 1;
    IF v_result.unknown AND v_result.step = 'copy' THEN
      UPDATE objectlink.quarantine q SET unknown_until = clock_timestamp() + objectlink.signature_window() WHERE q.id = v_entry.id;
    END IF;
    IF v_result.outcome = 'refused' AND v_entry.state = 'copying' AND v_entry.attempts + 1 >= objectlink.quarantine_attempts_max() THEN
      UPDATE objectlink.finding f SET resolution = 'not quarantined: ' || v_result.message WHERE f.id = v_entry.finding_id AND f.status <> 'resolved';
      PERFORM objectlink.end_quarantine(v_entry.id, 'not needed', v_result.message);
    ELSIF v_result.outcome IN ('retry', 'refused') THEN
      UPDATE objectlink.quarantine q
      SET attempts = q.attempts + CASE v_result.outcome WHEN 'refused' THEN 1 ELSE 0 END, last_error = v_result.message,
          due_at = clock_timestamp() + least(interval '10 minutes', interval '1 s' * 2 ^ q.attempts)
      WHERE q.id = v_entry.id;
    ELSIF v_entry.state = 'copying' THEN
      PERFORM objectlink.settle_copying(v_entry, v_result.outcome, v_result.etag, v_result.version_id);
    ELSIF v_entry.state = 'releasing' THEN
      PERFORM objectlink.settle_releasing(v_entry, v_result.outcome);
    ELSE
      PERFORM objectlink.settle_ending(v_entry, p_epoch, v_result.request_id, v_result.proof);
    END IF;
  END LOOP;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.settle_quarantine(int, bigint, json) IS 'for the owner of a store: what came of the steps that quarantine_work() gave; returns how many still applied';

-- A person's decisions

CREATE FUNCTION objectlink.release_quarantine(id bigint, reason text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_entry objectlink.quarantine;
BEGIN
  IF id IS NULL THEN
    RAISE EXCEPTION 'id must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF length(reason) > 200 THEN
    RAISE EXCEPTION 'reason is too long' USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must have at most 200 characters.';
  END IF;
  SELECT * INTO v_entry FROM objectlink.quarantine q WHERE q.id = id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'quarantine % does not exist', id USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.quarantined.';
  ELSIF v_entry.state <> 'held' THEN
    RAISE EXCEPTION 'quarantine % is %', id, v_entry.state USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'Only what is held can be released.';
  END IF;
  UPDATE objectlink.quarantine q SET state = 'releasing', since = clock_timestamp(), due_at = clock_timestamp(), attempts = 0, last_error = NULL,
      requested_by = session_user, reason = coalesce(reason, q.reason) WHERE q.id = id RETURNING q.* INTO v_entry;
  PERFORM objectlink.note_quarantine(v_entry, 'release of quarantine');
  PERFORM objectlink.ring_daemon();
END $$;
COMMENT ON FUNCTION objectlink.release_quarantine(bigint, text) IS 'has an object in quarantine copied back under its key, if that is free, and the copy removed when that is proved';

CREATE FUNCTION objectlink.purge_quarantine(older_than interval, store name DEFAULT NULL, prefix text DEFAULT NULL, dry_run boolean DEFAULT true,
                                            at_most int DEFAULT 1000, reason text DEFAULT NULL)
RETURNS TABLE (store_name name, objects bigint, bytes bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  v_ids bigint[];
BEGIN
  IF older_than IS NULL OR dry_run IS NULL THEN
    RAISE EXCEPTION 'older_than and dry_run must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF older_than < interval '0' THEN
    RAISE EXCEPTION 'invalid older_than: %', older_than USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must not be negative.';
  ELSIF length(reason) > 200 THEN
    RAISE EXCEPTION 'reason is too long' USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must have at most 200 characters.';
  ELSIF at_most IS NULL OR at_most NOT BETWEEN 1 AND 1000000 THEN
    RAISE EXCEPTION 'invalid at_most: %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be between 1 and 1000000.';
  ELSIF purge_quarantine.store IS NULL AND prefix IS NOT NULL THEN
    RAISE EXCEPTION 'prefix needs a store' USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'Keys below it mean something in one store only.';
  ELSIF purge_quarantine.store IS NOT NULL AND NOT EXISTS (SELECT FROM objectlink.server s WHERE s.name = purge_quarantine.store) THEN
    RAISE EXCEPTION 'store "%" does not exist', purge_quarantine.store USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.server.';
  END IF;
  v_ids := ARRAY(
    SELECT q.id FROM objectlink.quarantine q JOIN objectlink.store s ON s.id = q.store_id
    WHERE q.state = 'held' AND q.since <= clock_timestamp() - older_than AND s.name = coalesce(purge_quarantine.store, s.name)
      AND starts_with(q.key, coalesce(prefix, ''))
    ORDER BY q.id LIMIT CASE WHEN NOT dry_run THEN at_most::bigint + 1 END FOR UPDATE OF q);
  IF NOT dry_run AND cardinality(v_ids) > at_most THEN
    RAISE EXCEPTION 'more than % objects to purge', at_most USING ERRCODE = 'program_limit_exceeded',
      HINT = 'Narrow store, prefix or older_than, or raise at_most if all of them are meant.';
  END IF;
  RETURN QUERY
    SELECT s.name, count(*), sum(q.size)::bigint FROM objectlink.quarantine q JOIN objectlink.store s ON s.id = q.store_id
    WHERE q.id = ANY (v_ids) GROUP BY s.name ORDER BY s.name;
  IF NOT dry_run THEN
    UPDATE objectlink.quarantine q SET requested_by = session_user, reason = coalesce(purge_quarantine.reason, q.reason) WHERE q.id = ANY (v_ids);
    PERFORM objectlink.end_quarantine(i, 'purged') FROM unnest(v_ids) i;
    PERFORM objectlink.note_quarantine(q, 'purge of quarantine') FROM objectlink.quarantine q WHERE q.id = ANY (v_ids);
    PERFORM objectlink.ring_daemon();
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.purge_quarantine(interval, name, text, boolean, int, text) IS 'deletes for good what has been in quarantine for longer than that; only says what that would be unless dry_run => false';
