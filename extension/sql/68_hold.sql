-- Holding, releasing and hastening deletions: what policies say, and what an admin decides about single objects, those
-- below a prefix, or a whole store. Each decision is an event.

CREATE FUNCTION objectlink.deletions_stopped(p_store int) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN EXISTS (SELECT FROM objectlink.store s WHERE s.id = p_store AND (s.held_at IS NOT NULL OR s.braked_at IS NOT NULL));
END $$;
COMMENT ON FUNCTION objectlink.deletions_stopped(int) IS 'whether no deletion of a store may begin, because an admin or the brake holds them';

-- For condemn(): locks what is unlinked and due, and asks the policy as it is now: who makes a retention longer protects
-- what waits already. Returns the keys that may go; the others get their new time.
CREATE FUNCTION objectlink.lock_due(p_store int, p_keys text[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_retention interval := coalesce(objectlink.store_option((SELECT s.name FROM objectlink.store s WHERE s.id = p_store), 'retention')::interval, interval '0');
  v_keys text[];
BEGIN
  WITH due AS MATERIALIZED (
    SELECT o.* FROM (SELECT k FROM unnest(p_keys) k ORDER BY k COLLATE "C") AS w (key)
    -- By the key alone: with the state as a condition, the index of what is unlinked could be read from end to end for each key.
    CROSS JOIN LATERAL (SELECT i.key, i.attachment_id, i.keep_until, i.unlinked_at, i.wanted_since, i.state, i.due_at FROM objectlink.object i
                        WHERE i.store_id = p_store AND i.key = w.key OFFSET 0 FOR UPDATE) AS o
    WHERE o.state = 'unlinked' AND o.due_at <= clock_timestamp()
  ), judged AS MATERIALIZED (
    SELECT p_store AS store_id, d.key,
           CASE WHEN d.keep_until = '-infinity' OR d.unlinked_at IS NULL THEN d.keep_until
                ELSE greatest(d.keep_until, objectlink.kept_until(a.on_unlink, a.retention, a.detached_at IS NOT NULL, v_retention, d.wanted_since)) END AS keep_until
    FROM due d LEFT JOIN objectlink.attachment a ON a.id = d.attachment_id
  ), postponed AS (
    UPDATE objectlink.object o
    SET keep_until = j.keep_until, due_at = nullif(j.keep_until, 'infinity'), last_error = NULL,
        held_reason = CASE WHEN j.keep_until = 'infinity' THEN objectlink.keep_text() END
    FROM judged j
    WHERE o.store_id = j.store_id AND o.key = j.key AND j.keep_until > clock_timestamp()
    RETURNING o.key
  )
  SELECT array_agg(j.key ORDER BY j.key COLLATE "C") INTO v_keys FROM judged j
    WHERE NOT EXISTS (SELECT FROM postponed p WHERE p.key = j.key);
  RETURN coalesce(v_keys, '{}');
END $$;
COMMENT ON FUNCTION objectlink.lock_due(int, text[]) IS 'locks the keys that are unlinked and due; those that a policy keeps longer by now get their new time, the others are returned';

-- Marked for deletion, and no request issued: that is taken back, and kept as hold and policy say.
CREATE FUNCTION objectlink.take_back_kept(p_store int, p_keys text[], p_cause text, p_reason text) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_count int;
BEGIN
  WITH changed AS (
    UPDATE objectlink.object o
    SET state = 'unlinked', since = clock_timestamp(), last_error = NULL,
        -- Also what was found of it after the mark: its link was dropped.
        held_reason = CASE WHEN o.keep_until = 'infinity' THEN objectlink.keep_text() ELSE o.held_reason END,
        due_at = CASE WHEN o.admin_hold IS NULL AND o.held_reason IS NULL THEN nullif(greatest(o.keep_until, clock_timestamp()), 'infinity') END
    FROM (SELECT p_store AS store_id, k AS key FROM unnest(p_keys) k OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key AND o.state = 'deleting' AND o.issued_at IS NULL
    RETURNING o.key, o.attachment_id
  ), unmarked AS (
    DELETE FROM objectlink.condemned c USING changed d
    WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, d.key) AND c.release_after IS NULL
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, detail)
    SELECT p_store, d.key, 'deleting', 'unlinked', p_cause, d.attachment_id, jsonb_build_object('reason', p_reason)
    FROM changed d RETURNING 1
  )
  SELECT count(*) INTO v_count FROM logged;
  PERFORM objectlink.uncount_deletions(p_store, v_count);
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.take_back_kept(int, text[], text, text) IS 'takes the mark of keys back, of which no request is issued, and keeps them as hold and policy say';

-- The store that a decision is about, locked: decisions come one after the other, and not between condemn() and its commit.
CREATE FUNCTION objectlink.decide_about(store name, key text, prefix text, reason text, at_most int) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_id int;
BEGIN
  IF store IS NULL THEN
    RAISE EXCEPTION 'store must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF key IS NOT NULL AND prefix IS NOT NULL THEN
    RAISE EXCEPTION 'key and prefix must not both be given' USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'key means one object, prefix all whose keys begin with it, neither the whole store.';
  ELSIF length(reason) > 200 THEN
    RAISE EXCEPTION 'reason is too long' USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must have at most 200 characters.';
  ELSIF at_most IS NULL OR at_most NOT BETWEEN 1 AND 1000000 THEN
    RAISE EXCEPTION 'invalid at_most: %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be between 1 and 1000000.';
  END IF;
  SELECT s.id INTO v_id FROM objectlink.store s WHERE s.name = store;
  IF NOT FOUND THEN
    -- It may have a server and never have been used.
    IF NOT EXISTS (SELECT FROM objectlink.server s WHERE s.name = store) THEN
      RAISE EXCEPTION 'store "%" does not exist', store USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.server.';
    END IF;
    v_id := objectlink.store_id(store);
  END IF;
  PERFORM FROM objectlink.store s WHERE s.id = v_id FOR NO KEY UPDATE;
  RETURN v_id;
END $$;
COMMENT ON FUNCTION objectlink.decide_about(name, text, text, text, int) IS 'checks the arguments that holding, releasing and expediting share, locks the store and returns its number';

CREATE FUNCTION objectlink.hold_deletions(store name, key text DEFAULT NULL, prefix text DEFAULT NULL, reason text DEFAULT NULL,
                                          at_most int DEFAULT 100000, dry_run boolean DEFAULT false, OUT held bigint, OUT too_late bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
  v_store int := objectlink.decide_about(store, key, prefix, reason, at_most);
  v_reason text := coalesce(reason, format('held by %s', session_user));
  v_keys text[];
  v_marked text[];
BEGIN
  IF key IS NULL AND prefix IS NULL THEN
    -- The whole store: a flag, which covers what is unlinked later as well. Nothing is written to the objects.
    SELECT count(*) FILTER (WHERE o.due_at IS NOT NULL) INTO held FROM objectlink.object o WHERE o.store_id = v_store AND o.state = 'unlinked';
    SELECT array_agg(o.key ORDER BY o.key) FILTER (WHERE o.issued_at IS NULL), count(*) FILTER (WHERE o.issued_at IS NOT NULL)
      INTO v_marked, too_late
      FROM objectlink.object o WHERE o.store_id = v_store AND o.state = 'deleting' AND o.due_at IS NOT NULL;
    held := held + coalesce(cardinality(v_marked), 0);
    IF NOT dry_run THEN
      UPDATE objectlink.store s SET held_at = coalesce(s.held_at, clock_timestamp()), hold_reason = v_reason WHERE s.id = v_store;
      PERFORM objectlink.take_back_kept(v_store, v_marked, 'hold', v_reason);
    END IF;
  ELSE
    -- Linked ones too: they are not deleted when their rows go. Locked in the order of keys, as everywhere.
    v_keys := ARRAY(SELECT o.key FROM objectlink.object o
                    WHERE o.store_id = v_store AND (key IS NULL OR o.key = key) AND (prefix IS NULL OR o.key ^@ prefix) AND o.admin_hold IS NULL
                    ORDER BY o.key LIMIT at_most FOR UPDATE);
    -- Only now, in a statement of its own, is it seen what the locks were waited for.
    SELECT count(*) FILTER (WHERE o.issued_at IS NULL), count(*) FILTER (WHERE o.issued_at IS NOT NULL),
           array_agg(o.key) FILTER (WHERE o.state = 'deleting' AND o.issued_at IS NULL)
      INTO held, too_late, v_marked
      FROM unnest(v_keys) AS w (key)
      CROSS JOIN LATERAL (SELECT i.key, i.state, i.issued_at FROM objectlink.object i WHERE i.store_id = v_store AND i.key = w.key OFFSET 0) AS o;
    IF NOT dry_run THEN
      UPDATE objectlink.object o
      SET admin_hold = v_reason,
          due_at = CASE WHEN o.state <> 'unlinked' THEN o.due_at END,
          last_error = CASE WHEN o.state <> 'unlinked' THEN o.last_error END
      FROM (SELECT v_store AS store_id, k AS key FROM unnest(v_keys) k OFFSET 0) w
      WHERE o.store_id = w.store_id AND o.key = w.key AND o.issued_at IS NULL;
      PERFORM objectlink.take_back_kept(v_store, v_marked, 'hold', v_reason);
    END IF;
  END IF;
  IF NOT dry_run THEN
    INSERT INTO objectlink.event (store_id, key, cause, detail)
    VALUES (v_store, key, 'hold deletions', jsonb_strip_nulls(jsonb_build_object('prefix', prefix, 'reason', v_reason, 'held', held, 'too_late', too_late)));
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.hold_deletions(name, text, text, text, int, boolean) IS 'nothing of a store is deleted, or not one object, or not those below a prefix, until release_deletions(); says how many, and for how many it is too late';

CREATE FUNCTION objectlink.release_deletions(store name, key text DEFAULT NULL, prefix text DEFAULT NULL, held_reason text DEFAULT NULL,
                                             reason text DEFAULT NULL, at_most int DEFAULT 100000, dry_run boolean DEFAULT false, OUT released bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
  v_store int := objectlink.decide_about(store, key, prefix, reason, at_most);
  v_retention interval := coalesce(objectlink.store_option(store, 'retention')::interval, interval '0');
  v_keys text[];
BEGIN
  IF key IS NULL AND prefix IS NULL AND held_reason IS NULL THEN
    -- The hold of the store only. What is held for a reason of its own is released by name, or not at all.
    SELECT count(*) INTO released FROM objectlink.object o
      WHERE o.store_id = v_store AND o.state = 'unlinked' AND o.due_at IS NOT NULL
        AND (SELECT s.held_at IS NOT NULL FROM objectlink.store s WHERE s.id = v_store);
    IF NOT dry_run THEN
      UPDATE objectlink.store s SET held_at = NULL, hold_reason = NULL WHERE s.id = v_store AND s.held_at IS NOT NULL;
    END IF;
  ELSE
    -- Below a prefix are also those that a policy keeps: they are meant only where that is said.
    v_keys := ARRAY(SELECT o.key FROM objectlink.object o
                    WHERE o.store_id = v_store AND (o.held_reason IS NOT NULL OR o.admin_hold IS NOT NULL)
                      AND (key IS NULL OR o.key = key) AND (prefix IS NULL OR o.key ^@ prefix)
                      AND CASE WHEN held_reason IS NOT NULL THEN held_reason IN (o.held_reason, o.admin_hold)
                               ELSE key IS NOT NULL OR o.admin_hold IS NOT NULL OR o.held_reason <> objectlink.keep_text() END
                    ORDER BY o.key LIMIT at_most FOR UPDATE);
    released := cardinality(v_keys);
    IF NOT dry_run THEN
      -- One reason at a time: behind an admin's hold, what a policy keeps or a drop has left is still held.
      WITH judged AS MATERIALIZED (
        SELECT v_store AS store_id, i.key, r.admin_hold, r.own_reason,
               greatest(nullif(i.keep_until, 'infinity'), clock_timestamp(),
                        objectlink.kept_until('delete', a.retention, a.detached_at IS NOT NULL, v_retention, i.wanted_since)) AS due_at
        FROM unnest(v_keys) AS w (key)
        CROSS JOIN LATERAL (SELECT * FROM objectlink.object j WHERE j.store_id = v_store AND j.key = w.key OFFSET 0) AS i
        LEFT JOIN objectlink.attachment a ON a.id = i.attachment_id
        CROSS JOIN LATERAL (SELECT CASE WHEN held_reason IS NOT NULL THEN nullif(i.admin_hold, held_reason) END AS admin_hold,
                                   CASE WHEN held_reason IS NOT NULL THEN nullif(i.held_reason, held_reason)
                                        WHEN i.admin_hold IS NOT NULL THEN i.held_reason END AS own_reason) r
      )
      UPDATE objectlink.object o
      SET admin_hold = j.admin_hold,
          held_reason = j.own_reason,
          -- As long as another reason holds it, nobody has decided yet about what its policies say.
          keep_until = CASE WHEN o.state = 'unlinked' AND j.admin_hold IS NULL AND j.own_reason IS NULL THEN '-infinity' ELSE o.keep_until END,
          due_at = CASE WHEN o.state <> 'unlinked' THEN o.due_at WHEN j.admin_hold IS NULL AND j.own_reason IS NULL THEN j.due_at END
      FROM judged j WHERE o.store_id = j.store_id AND o.key = j.key;
    END IF;
  END IF;
  IF NOT dry_run THEN
    INSERT INTO objectlink.event (store_id, key, cause, detail)
    VALUES (v_store, key, 'release deletions', jsonb_strip_nulls(jsonb_build_object(
      'prefix', prefix, 'held_reason', held_reason, 'reason', reason, 'released', released)));
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.release_deletions(name, text, text, text, text, int, boolean) IS 'ends the hold of a store, of one object, of those below a prefix, or of those held for a reason; their retention counts again. Says how many';

CREATE FUNCTION objectlink.expedite_deletions(store name, key text DEFAULT NULL, prefix text DEFAULT NULL, reason text DEFAULT NULL,
                                              at_most int DEFAULT 100000, dry_run boolean DEFAULT false, OUT expedited bigint, OUT held bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
  v_store int := objectlink.decide_about(store, key, prefix, reason, at_most);
  v_keys text[];
BEGIN
  v_keys := ARRAY(SELECT o.key FROM objectlink.object o
                  -- Also what is due: a policy that was changed since could still keep it.
                  WHERE o.store_id = v_store AND o.state = 'unlinked' AND o.due_at IS NOT NULL
                    AND (o.due_at > clock_timestamp() OR o.keep_until IS DISTINCT FROM '-infinity')
                    AND (key IS NULL OR o.key = key) AND (prefix IS NULL OR o.key ^@ prefix)
                  ORDER BY o.key LIMIT at_most FOR UPDATE);
  expedited := cardinality(v_keys);
  SELECT count(*) INTO held FROM objectlink.object o
    WHERE o.store_id = v_store AND o.state = 'unlinked' AND o.due_at IS NULL
      AND (key IS NULL OR o.key = key) AND (prefix IS NULL OR o.key ^@ prefix);
  IF dry_run THEN
    RETURN;
  END IF;
  UPDATE objectlink.object o SET keep_until = '-infinity', due_at = clock_timestamp()
    FROM (SELECT v_store AS store_id, k AS key FROM unnest(v_keys) k OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key;
  INSERT INTO objectlink.event (store_id, key, cause, detail)
  VALUES (v_store, key, 'expedite deletions', jsonb_strip_nulls(jsonb_build_object('prefix', prefix, 'reason', reason, 'expedited', expedited)));
END $$;
COMMENT ON FUNCTION objectlink.expedite_deletions(name, text, text, text, int, boolean) IS 'what waits for its retention is deleted now: one object, those below a prefix, or all of a store. Says how many, and how many stay because they are held';
