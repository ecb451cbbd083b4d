-- Apply: outbox -> registry, in one transaction. Nothing is computed from the sequence of events, which
-- is not the order of commits: an event says which key to look at, the rows say whether it is linked.

CREATE TYPE objectlink.touched AS (ref objectlink.storage_ref, link boolean, unlink boolean, put boolean, attachment_id int, role oid,
                                   unlink_at timestamptz, put_at timestamptz, attachment_ids int[], relids oid[], by_walk boolean, hold text);
COMMENT ON TYPE objectlink.touched IS 'what a batch of the outbox, or a walk, says of one ref';
COMMENT ON COLUMN objectlink.touched.relids IS 'the tables whose rows linked or unlinked it';
COMMENT ON COLUMN objectlink.touched.by_walk IS 'a walk after a TRUNCATE said that it may be unlinked, no row did';
COMMENT ON COLUMN objectlink.touched.hold IS 'a walk after a drop: the reason to hold it for, if no row links it';

-- A link that vanished although no row said so. If a row did, what it said may only be read later.
CREATE FUNCTION objectlink.vanished_reason() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 'its last row vanished without a word: triggers were switched off, or an unlogged table was reset' $$;
COMMENT ON FUNCTION objectlink.vanished_reason() IS 'why an object is held that was linked, is not any more, and of which no DELETE, UPDATE or TRUNCATE has told';

-- Who said it is not there any more, so nobody can be asked whether another of its rows held the key.
CREATE FUNCTION objectlink.speaker_is_lost(p_touched objectlink.touched, p_dropped int[], p_gone oid[], p_walked int[]) RETURNS boolean
LANGUAGE sql IMMUTABLE
  RETURN coalesce((p_touched).attachment_ids && p_dropped, false) OR coalesce((p_touched).relids && p_gone, false)
         OR coalesce((p_touched).by_walk AND (p_touched).attachment_ids && p_walked, false);
COMMENT ON FUNCTION objectlink.speaker_is_lost(objectlink.touched, int[], oid[], int[]) IS 'whether a ref was touched by a dropped column, by a dropped table, or by a walk over objects of which some were dropped meanwhile';

-- What a key should be, given what it is and what the rows say. NULL as the old state: not known yet.
-- (Parsed once, here, so it needs no search_path of its own and can be inlined.)
CREATE FUNCTION objectlink.next_state(p_state text, p_linked boolean, p_touched objectlink.touched, p_proved boolean, p_held boolean)
RETURNS text LANGUAGE sql IMMUTABLE
  RETURN CASE
    WHEN p_linked THEN CASE
      WHEN p_state IS NULL OR p_state = 'reserved' THEN 'pending'
      WHEN p_state = 'unlinked' THEN CASE WHEN p_proved THEN 'stored' ELSE 'pending' END
      -- A new link (or new content) is a reason to look again at what was given up.
      WHEN p_state IN ('failed', 'missing', 'corrupt') AND ((p_touched).link OR (p_touched).put) THEN 'pending'
      ELSE p_state END
    WHEN p_held AND p_state IS DISTINCT FROM 'deleting' THEN 'unlinked'
    WHEN p_state IS NULL THEN CASE WHEN (p_touched).put AND NOT (p_touched).unlink THEN 'reserved' ELSE 'unlinked' END
    WHEN p_state = 'reserved' AND NOT (p_touched).unlink THEN 'reserved'
    WHEN p_state = 'deleting' THEN 'deleting'
    ELSE 'unlinked' END;
COMMENT ON FUNCTION objectlink.next_state(text, boolean, objectlink.touched, boolean, boolean) IS 'the state of a touched key, from its old state and whether a row links it';

CREATE FUNCTION objectlink.apply_outbox(p_epoch bigint, p_low tid, p_limit int, OUT taken int, OUT high tid, OUT postponed int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_touched objectlink.touched[];
  v_truncated int[];
BEGIN
  PERFORM objectlink.assert_owner(0, p_epoch);
  postponed := 0;
  WITH gone AS MATERIALIZED (
    DELETE FROM objectlink.outbox o
      WHERE o.ctid = ANY (ARRAY(SELECT i.ctid FROM objectlink.outbox i WHERE i.ctid > p_low LIMIT p_limit))
      RETURNING o.ctid AS tid, o.op, o.attachment_id, o.ref, o.role, o.at, o.relid
  ), per_ref AS (
    SELECT (g.ref, bool_or(g.op = 'L'), bool_or(g.op = 'U'), bool_or(g.op = 'P'), max(g.attachment_id), max(g.role),
            max(g.at) FILTER (WHERE g.op = 'U'), max(g.at) FILTER (WHERE g.op = 'P'),
            array_agg(g.attachment_id) FILTER (WHERE g.attachment_id IS NOT NULL), array_agg(g.relid::oid) FILTER (WHERE g.relid IS NOT NULL),
            bool_or(g.op = 'U' AND g.relid IS NULL), NULL)::objectlink.touched AS t
    FROM gone g WHERE g.ref IS NOT NULL GROUP BY g.ref
  )
  SELECT count(*), max(g.tid),
         array_agg(DISTINCT g.attachment_id) FILTER (WHERE g.op = 'T'),
         -- In order, here and below: neighbours in an index are then looked up, and written, together.
         (SELECT array_agg(t ORDER BY (t).ref) FROM per_ref)
    INTO taken, high, v_truncated, v_touched FROM gone g;
  IF v_truncated IS NOT NULL THEN
    -- Not for what was dropped after that: a walk that holds its objects sees to all of them.
    INSERT INTO objectlink.scan (attachment_id, kind) SELECT a, 'unlink' FROM unnest(v_truncated) a
      WHERE NOT EXISTS (SELECT FROM objectlink.attachment d WHERE d.id = a AND d.dropped IS NOT NULL);
  END IF;
  IF v_touched IS NOT NULL THEN
    postponed := objectlink.apply_touched(v_touched);
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.apply_outbox(bigint, tid, int) IS 'for the drainer: consumes rows of the outbox behind position p_low and brings the registry up to date; says how many, how far, and how many it had to put back';

CREATE FUNCTION objectlink.apply_touched(p_touched objectlink.touched[]) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_refs objectlink.storage_ref[];
  v_keys text[];
  v_links int[];
  v_linked_refs objectlink.storage_ref[];
  v_doubt boolean;
  v_postponed int := 0;
  v_dropped int[];
  v_gone oid[];
  v_walked int[];
  v_busy objectlink.storage_ref[];
  v_store record;
BEGIN
  SELECT array_agg((t).ref) INTO v_refs FROM unnest(p_touched) t;
  SELECT array_agg(l.ref), array_agg(l.attachment_id) FILTER (WHERE l.ref IS NOT NULL), coalesce(bool_or(l.ref IS NULL), false)
    INTO v_linked_refs, v_links, v_doubt
    FROM (SELECT q.ref, max(q.attachment_id) AS attachment_id FROM objectlink.linked(v_refs) q GROUP BY q.ref) l;
  v_linked_refs := array_remove(v_linked_refs, NULL);
  -- After the question: a drop that its answer shows is seen here too.
  SELECT array_agg(a.id) INTO v_dropped FROM objectlink.attachment a WHERE a.dropped IS NOT NULL;
  SELECT array_agg(s.attachment_id) INTO v_walked FROM objectlink.scan s WHERE s.hold IS NOT NULL;
  SELECT array_agg(r.relid) INTO v_gone FROM (SELECT DISTINCT i.relid FROM unnest(p_touched) t, unnest((t).relids) AS i (relid)) r
    WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.relid);
  IF (p_touched[1]).hold IS NOT NULL THEN
    -- A walk after a drop, which knows only that no row is left. Of these the outbox will tell more.
    v_busy := ARRAY(SELECT b.ref FROM objectlink.outbox b WHERE b.ref OPERATOR(pg_catalog.=) ANY (v_refs));
  END IF;
  IF v_doubt THEN
    -- Unlinked, or only not to be seen now: looked at again by a later batch.
    INSERT INTO objectlink.outbox (op, attachment_id, ref, relid, xid, at, role)
    SELECT o.op, coalesce((SELECT max(i) FROM unnest((t).attachment_ids) i WHERE i = ANY (v_dropped)), (t).attachment_id), (t).ref,
           coalesce((SELECT max(r) FROM unnest((t).relids) r WHERE r = ANY (v_gone)), (t).relids[1]),
           pg_current_xact_id(), o.at, (t).role
    FROM unnest(p_touched) t
    CROSS JOIN LATERAL (VALUES ('U'::"char", (t).unlink, (t).unlink_at), ('L', (t).link, now()), ('P', (t).put, (t).put_at)) AS o (op, said, at)
    WHERE o.said AND ((t).unlink OR NOT (t).link OR objectlink.speaker_is_lost(t, v_dropped, v_gone, v_walked))
      AND NOT (t).ref OPERATOR(pg_catalog.=) ANY (coalesce(v_linked_refs, '{}'));
    GET DIAGNOSTICS v_postponed = ROW_COUNT;
    -- A walk after a drop puts nothing back: it is the one to come again.
    v_postponed := v_postponed + (SELECT count(*) FROM unnest(p_touched) t
      WHERE (t).hold IS NOT NULL AND NOT (t).ref OPERATOR(pg_catalog.=) ANY (coalesce(v_linked_refs, '{}')));
  END IF;

  FOR v_store IN
    SELECT s.name, objectlink.store_id(s.name) AS id,
           coalesce(objectlink.store_option(s.name, 'retention')::interval, interval '0') AS retention,
           objectlink.store_prefix(s.name) AS prefix
    FROM (SELECT DISTINCT objectlink.store(r) AS name FROM unnest(v_refs) r) s ORDER BY 1
  LOOP
    -- Locked first and in the order of keys, then changed by a second statement, which sees what the lock waited for.
    -- Key by key: for "of this store, and any of these keys" a planner with old statistics reads the whole store.
    SELECT array_agg(objectlink.key(r) ORDER BY objectlink.key(r) COLLATE "C") INTO v_keys
      FROM unnest(v_refs) r WHERE objectlink.store(r) = v_store.name;
    PERFORM 1 FROM unnest(v_keys) AS k (key)
      CROSS JOIN LATERAL (SELECT FROM objectlink.object o WHERE o.store_id = v_store.id AND o.key = k.key FOR UPDATE) AS locked;

    WITH link AS MATERIALIZED (
      SELECT * FROM unnest(v_linked_refs, v_links) AS l (ref, attachment_id)
    ), want AS MATERIALIZED (
      SELECT objectlink.key((t).ref) AS key, t AS touched, l.attachment_id,
             -- A column that could not be asked may hold the key: without an unlink, believe the link.
             l.ref IS NOT NULL OR (v_doubt AND (t).link) AS linked,
             l.ref IS NULL AND objectlink.speaker_is_lost(t, v_dropped, v_gone, v_walked) AS lost
      FROM unnest(p_touched) t LEFT JOIN link l ON l.ref OPERATOR(pg_catalog.=) (t).ref
      WHERE objectlink.store((t).ref) = v_store.name
        AND NOT (v_doubt AND l.ref IS NULL
                 AND ((t).unlink OR NOT (t).link OR objectlink.speaker_is_lost(t, v_dropped, v_gone, v_walked)))
        AND NOT ((t).hold IS NOT NULL AND (t).ref OPERATOR(pg_catalog.=) ANY (coalesce(v_busy, '{}')))
    ), was AS MATERIALIZED (
      SELECT o.* FROM unnest(v_keys) AS k (key)
      CROSS JOIN LATERAL (SELECT i.key, i.state, i.verified_at, i.attachment_id, i.unlinked_at, i.held_reason FROM objectlink.object i
                          WHERE i.store_id = v_store.id AND i.key = k.key OFFSET 0) AS o
    ), change AS MATERIALIZED (
      SELECT v_store.id AS store_id, w.key, b.state AS from_state,
             objectlink.next_state(b.state, w.linked, w.touched, b.verified_at IS NOT NULL, h.hold IS NOT NULL) AS to_state, h.hold,
             coalesce(w.attachment_id, CASE WHEN w.linked THEN NULL ELSE b.attachment_id END, (w.touched).attachment_id) AS attachment_id,
             b.attachment_id AS was_attachment_id, (w.touched).put AS put, (w.touched).role AS role,
             (w.touched).unlink_at,
             -- Handed over again while it waits to be deleted: a row has as long to come and link it as for a new key. Not if it
             -- was unlinked since: what is said of a put may be read later than what became of it.
             CASE WHEN (w.touched).put_at > coalesce(greatest((w.touched).unlink_at, b.unlinked_at), '-infinity')
                  THEN objectlink.reservation_time() ELSE interval '0' END AS reservation,
             CASE WHEN w.linked THEN CASE WHEN (w.touched).put THEN 'put' ELSE 'link' END
                  WHEN w.lost OR (w.touched).hold IS NOT NULL THEN 'drop' WHEN (w.touched).unlink THEN 'unlink'
                  WHEN h.hold IS NOT NULL OR NOT (w.touched).put THEN 'link withdrawn' ELSE 'put' END AS cause,
             -- A row's word came after all.
             b.state = 'unlinked' AND (w.touched).unlink AND h.hold IS NULL AND b.held_reason = objectlink.vanished_reason() AS told
      FROM want w LEFT JOIN was b USING (key)
      -- Due for deletion is only what a row has unlinked. What is so already was unlinked by a row before the drop.
      CROSS JOIN LATERAL (SELECT CASE
        WHEN w.linked THEN NULL
        WHEN w.lost THEN coalesce((SELECT min(d.reason) FROM objectlink.dropped_relation d WHERE d.relid = ANY ((w.touched).relids)),
                                  (SELECT min(a.dropped) FROM objectlink.attachment a WHERE a.id = ANY ((w.touched).attachment_ids)),
                                  (SELECT min(s.hold) FROM objectlink.scan s WHERE s.attachment_id = ANY ((w.touched).attachment_ids)),
                                  'the table of a row that linked it was dropped')
        WHEN b.state IN ('unlinked', 'deleting') THEN NULL
        WHEN (w.touched).hold IS NOT NULL THEN (w.touched).hold
        WHEN NOT (w.touched).unlink AND ((w.touched).link OR b.state <> 'reserved') THEN objectlink.vanished_reason()
        END AS hold OFFSET 0) AS h
      -- What an old row says of a key that is not ours is not taken over, and so never deleted.
      WHERE b.key IS NOT NULL OR objectlink.key_is_ours(v_store.prefix, w.key)
      ORDER BY w.key COLLATE "C"
    ), inserted AS (
      INSERT INTO objectlink.object (store_id, key, state, since, attachment_id, unlinked_at, held_reason, due_at)
      SELECT v_store.id, c.key, c.to_state, clock_timestamp(), c.attachment_id, c.unlink_at, c.hold,
             CASE WHEN c.hold IS NULL THEN
             clock_timestamp() + CASE c.to_state WHEN 'unlinked' THEN greatest(v_store.retention, c.reservation)
                                                 WHEN 'reserved' THEN objectlink.reservation_time()
                                                 ELSE interval '0' END END
      FROM change c WHERE c.from_state IS NULL
    ), updated AS (
      UPDATE objectlink.object o
      SET state = c.to_state, since = clock_timestamp(), wanted_since = clock_timestamp(), attachment_id = c.attachment_id, attempts = 0,
          unlinked_at = greatest(o.unlinked_at, c.unlink_at), error_class = NULL, error_code = NULL, last_error = NULL,
          held_reason = c.hold,
          due_at = CASE WHEN c.hold IS NOT NULL THEN NULL
                        WHEN c.to_state = 'unlinked' THEN clock_timestamp() + greatest(v_store.retention, c.reservation)
                        WHEN c.to_state = 'pending' THEN clock_timestamp() END
      FROM change c
      WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state <> c.to_state
    ), moved AS (
      UPDATE objectlink.object o
      SET attachment_id = c.attachment_id, unlinked_at = greatest(o.unlinked_at, c.unlink_at),
          held_reason = CASE WHEN c.told THEN NULL WHEN o.issued_at IS NULL THEN coalesce(o.held_reason, c.hold) END,
          due_at = CASE WHEN c.told THEN clock_timestamp() + greatest(v_store.retention, c.reservation)
                        WHEN c.to_state = 'unlinked' AND coalesce(o.held_reason, c.hold) IS NOT NULL THEN NULL
                        WHEN c.put AND c.to_state = 'pending' THEN clock_timestamp()
                        WHEN c.reservation > interval '0' AND c.to_state = 'unlinked' THEN greatest(o.due_at, clock_timestamp() + c.reservation)
                        ELSE o.due_at END,
          -- Held now for a reason, and no longer because a try has to be repeated.
          last_error = CASE WHEN c.reservation > interval '0' AND c.to_state = 'unlinked' THEN NULL ELSE o.last_error END
      FROM change c
      WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state = c.to_state
        AND (c.attachment_id IS DISTINCT FROM c.was_attachment_id OR c.told OR (c.hold IS NOT NULL AND o.held_reason IS NULL) OR (c.put AND c.to_state IN ('pending', 'unlinked'))
             OR (c.to_state = 'unlinked' AND c.unlink_at > coalesce(o.unlinked_at, '-infinity')))
    )
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, actor, detail)
    SELECT v_store.id, c.key, c.from_state, c.to_state, c.cause, c.attachment_id,
           CASE WHEN c.role IS NULL THEN session_user ELSE pg_get_userbyid(c.role) END,
           CASE WHEN c.hold IS NOT NULL THEN jsonb_build_object('held', c.hold) END
    FROM change c WHERE c.from_state IS DISTINCT FROM c.to_state;
  END LOOP;
  RETURN v_postponed;
END $$;
COMMENT ON FUNCTION objectlink.apply_touched(objectlink.touched[]) IS 'asks the rows about these keys and moves the registry accordingly; returns how many rows it put back into the outbox, because a table could not be asked';
