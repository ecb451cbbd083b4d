-- Apply: outbox -> registry, in one transaction. Nothing is computed from the sequence of events, which
-- is not the order of commits: an event says which key to look at, the rows say whether it is linked.

-- Small batches are the ones somebody waits for, and planning them would cost more than running them.
CREATE FUNCTION objectlink.planned_once_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100 $$;
COMMENT ON FUNCTION objectlink.planned_once_max() IS 'batches of up to so many refs, or results, are run by plans that are kept; larger ones are planned for their size';

CREATE FUNCTION objectlink.plan_for(p_count int) RETURNS text
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT set_config('plan_cache_mode', CASE WHEN p_count <= objectlink.planned_once_max() THEN 'force_generic_plan' ELSE 'force_custom_plan' END, true)
$$;
COMMENT ON FUNCTION objectlink.plan_for(int) IS 'chooses how the statements of a batch are planned, until the function ends that sets plan_cache_mode';

CREATE FUNCTION objectlink.apply_outbox(p_epoch bigint, p_low tid, p_limit int, OUT taken int, OUT high tid, OUT postponed int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_touched objectlink.touched[];
BEGIN
  PERFORM objectlink.assert_owner(0, p_epoch);
  postponed := 0;
  WITH gone AS MATERIALIZED (
    DELETE FROM objectlink.outbox o
      WHERE o.ctid = ANY (ARRAY(SELECT i.ctid FROM objectlink.outbox i WHERE i.ctid > p_low LIMIT p_limit))
      RETURNING o.ctid AS tid, o.op, o.attachment_id, o.ref, o.relid, o.role, o.at, o.image
  ), last_unlink AS MATERIALIZED (
    SELECT DISTINCT ON (g.ref) g.ref, g.role, g.attachment_id, g.image
    FROM gone g WHERE g.op = 'U' AND g.ref IS NOT NULL ORDER BY g.ref, g.at DESC, g.image IS NULL, g.tid DESC
  ), per_ref AS (
    SELECT (s.ref, s.link, s.unlink, s.put, s.attachment_id, s.role, s.unlink_at, s.put_at, s.touched_by, s.relids, s.by_walk, NULL,
            u.role, u.attachment_id, u.image, NULL, s.unmarked)::objectlink.touched AS t
    FROM (SELECT g.ref, bool_or(g.op = 'L') AS link, bool_or(g.op = 'U') AS unlink, bool_or(g.op = 'P') AS put,
                 max(g.attachment_id) AS attachment_id, max(g.role) AS role,
                 max(g.at) FILTER (WHERE g.op = 'U') AS unlink_at, max(g.at) FILTER (WHERE g.op = 'P') AS put_at,
                 array_agg(DISTINCT g.attachment_id) FILTER (WHERE g.op = 'U' OR g.op = 'L' AND g.attachment_id IS NOT NULL) AS touched_by,
                 array_agg(DISTINCT g.relid::oid) FILTER (WHERE g.relid IS NOT NULL) AS relids,
                 bool_or(g.op = 'U' AND g.relid IS NULL) AS by_walk, bool_or(g.op = 'L' AND g.image ->> 'act' = 'unmark') AS unmarked
          FROM gone g WHERE g.ref IS NOT NULL GROUP BY g.ref) s
    LEFT JOIN last_unlink u ON u.ref OPERATOR(pg_catalog.=) s.ref
  ), walked AS (
    -- What the relation lost was committed before the TRUNCATE, and so before this snapshot.
    INSERT INTO objectlink.scan (attachment_id, kind, role, at, image, links_before)
    SELECT DISTINCT ON (g.attachment_id) g.attachment_id, 'unlink', g.role, g.at, g.image, pg_snapshot_xmax(pg_current_snapshot())
    FROM gone g WHERE g.op = 'T'
    ORDER BY g.attachment_id, g.at DESC, g.tid DESC
  )
  SELECT count(*), max(g.tid),
         -- In order, here and below: neighbours in an index are then looked up, and written, together.
         (SELECT array_agg(t ORDER BY (t).ref) FROM per_ref)
    INTO taken, high, v_touched FROM gone g;
  IF v_touched IS NOT NULL THEN
    PERFORM objectlink.plan_for(cardinality(v_touched));
    postponed := objectlink.apply_touched(v_touched);
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.apply_outbox(bigint, tid, int) IS 'for the drainer: consumes rows of the outbox behind position p_low and brings the registry up to date; says how many, how far, and how many it had to put back';

CREATE FUNCTION objectlink.apply_touched(p_touched objectlink.touched[]) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_answer objectlink.answer := objectlink.ask_rows(p_touched);
  v_postponed int := 0;
  v_store record;
BEGIN
  IF v_answer.doubt THEN
    v_postponed := objectlink.put_back(p_touched, v_answer);
  END IF;
  FOR v_store IN
    SELECT objectlink.store_id(s.name) AS id, s.name, array_agg(s.key ORDER BY s.key) AS keys
    FROM (SELECT objectlink.store((t).ref) AS name, objectlink.key((t).ref) COLLATE "C" AS key FROM unnest(p_touched) t) s
    GROUP BY s.name ORDER BY s.name
  LOOP
    -- Locked first and in the order of keys, then changed by a second statement, which sees what the lock waited for.
    PERFORM 1 FROM unnest(v_store.keys) AS k (key)
      CROSS JOIN LATERAL (SELECT FROM objectlink.object o WHERE o.store_id = v_store.id AND o.key = k.key FOR UPDATE) AS locked;
    PERFORM objectlink.write_changes(v_store.id, ARRAY(SELECT c FROM objectlink.judge(v_store.id, v_store.name, v_store.keys, p_touched, v_answer) c));
    PERFORM objectlink.queue_row_work(v_store.id, v_store.keys);
  END LOOP;
  RETURN v_postponed;
END $$;
COMMENT ON FUNCTION objectlink.apply_touched(objectlink.touched[]) IS 'asks the rows about these keys and moves the registry accordingly; returns how many rows it put back into the outbox, because a table could not be asked';

CREATE FUNCTION objectlink.write_changes(p_store int, p_changes objectlink.change[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  WITH change AS MATERIALIZED (
    SELECT p_store AS store_id, c.* FROM unnest(p_changes) c
  ), inserted AS (
    INSERT INTO objectlink.object (store_id, key, state, since, attachment_id, linked_by, unlinked_at, unlinked_by, unlinked_via,
                                   unlinked_relation, unlinked_act, unlinked_row, unmarked, keep_until, held_reason, due_at)
    SELECT c.store_id, c.key, c.to_state, clock_timestamp(), c.attachment_id, c.linked_by, c.unlink_at, c.unlinked_by, c.unlinked_via,
           c.unlinked_relation, c.unlinked_act, c.unlinked_row, c.unmarked, c.kept_until, c.held_reason,
           CASE WHEN c.held THEN NULL
                WHEN c.to_state = 'unlinked' THEN greatest(c.kept_until, clock_timestamp() + c.reservation)
                WHEN c.to_state = 'reserved' THEN clock_timestamp() + objectlink.reservation_time()
                ELSE clock_timestamp() END
    FROM change c WHERE c.from_state IS NULL
  ), updated AS (
    UPDATE objectlink.object o
    SET state = c.to_state, since = clock_timestamp(), wanted_since = clock_timestamp(), attachment_id = c.attachment_id, attempts = 0,
        error_class = NULL, error_code = NULL, last_error = NULL,
        unlinked_at = greatest(o.unlinked_at, c.unlink_at), unlinked_by = c.unlinked_by, unlinked_via = c.unlinked_via,
        unlinked_relation = c.unlinked_relation, unlinked_act = c.unlinked_act, unlinked_row = c.unlinked_row,
        unmarked = CASE WHEN 'unlinked' IN (c.from_state, c.to_state) THEN c.unmarked ELSE o.unmarked END,
        keep_until = c.kept_until, held_reason = c.held_reason, linked_by = c.linked_by,
        due_at = CASE WHEN c.held THEN NULL
                      WHEN c.to_state = 'unlinked' THEN greatest(c.kept_until, clock_timestamp() + c.reservation)
                      WHEN c.to_state = 'pending' THEN clock_timestamp() END
    FROM change c
    WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state <> c.to_state
  ), moved AS (
    UPDATE objectlink.object o
    SET attachment_id = c.attachment_id, linked_by = c.linked_by, keep_until = c.kept_until, held_reason = c.held_reason,
        wanted_since = CASE WHEN c.vanished AND c.to_state = 'unlinked' THEN clock_timestamp() ELSE o.wanted_since END,
        unlinked_at = greatest(o.unlinked_at, c.unlink_at),
        unlinked_by = CASE WHEN c.later THEN c.unlinked_by ELSE o.unlinked_by END,
        unlinked_via = CASE WHEN c.later THEN c.unlinked_via ELSE o.unlinked_via END,
        unlinked_relation = CASE WHEN c.later THEN c.unlinked_relation ELSE o.unlinked_relation END,
        unlinked_act = CASE WHEN c.later THEN c.unlinked_act ELSE o.unlinked_act END,
        unlinked_row = CASE WHEN c.later THEN c.unlinked_row ELSE o.unlinked_row END,
        due_at = CASE WHEN c.put AND c.to_state = 'pending' THEN clock_timestamp()
                      WHEN c.to_state <> 'unlinked' THEN o.due_at
                      WHEN c.held THEN NULL
                      ELSE greatest(o.due_at, c.kept_until, CASE WHEN c.told OR c.reservation > interval '0' THEN clock_timestamp() + c.reservation END) END,
        -- Held now for a reason, and no longer because a try has to be repeated.
        last_error = CASE WHEN c.to_state = 'unlinked' AND (c.reservation > interval '0' OR c.held OR c.kept_until > clock_timestamp())
                          THEN NULL ELSE o.last_error END
    FROM change c
    WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state = c.to_state
      -- That an unlink is later is no reason by itself: a walk after a TRUNCATE also asks about what had lost its row before, and
      -- who let that go is known already.
      AND (c.attachment_id IS DISTINCT FROM c.was_attachment_id OR c.linked_by IS DISTINCT FROM c.was_linked_by
           OR c.held_reason IS DISTINCT FROM o.held_reason
           OR (c.put AND c.to_state IN ('pending', 'unlinked')) OR (c.vanished AND c.to_state = 'unlinked')
           -- Still linked by another row: what this one's policy has promised counts when that one goes.
           OR (c.kept_until > clock_timestamp() AND c.kept_until > coalesce(o.keep_until, '-infinity')))
  )
  INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, actor, detail)
  SELECT p_store, c.key, c.from_state, c.to_state, c.cause, c.attachment_id,
         CASE WHEN c.role IS NULL THEN session_user ELSE pg_get_userbyid(c.role) END,
         CASE WHEN c.hold IS NOT NULL THEN jsonb_build_object('held', c.hold) END
  FROM change c WHERE c.from_state IS DISTINCT FROM c.to_state;
  IF FOUND THEN
    PERFORM objectlink.notify_consumers();
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.write_changes(int, objectlink.change[]) IS 'writes what was judged of the keys of one store to registry and events';
