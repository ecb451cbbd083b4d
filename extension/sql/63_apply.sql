-- Apply: outbox -> registry, in one transaction. Nothing is computed from the sequence of events, which
-- is not the order of commits: an event says which key to look at, the rows say whether it is linked.

CREATE TYPE objectlink.touched AS (ref objectlink.storage_ref, link boolean, unlink boolean, put boolean, attachment_id int, role oid,
                                   unlink_at timestamptz, put_at timestamptz, touched_by int[]);
COMMENT ON TYPE objectlink.touched IS 'what a batch of the outbox says of one ref';

-- What a key should be, given what it is and what the rows say. NULL as the old state: not known yet.
-- (Parsed once, here, so it needs no search_path of its own and can be inlined.)
CREATE FUNCTION objectlink.next_state(p_state text, p_linked boolean, p_touched objectlink.touched, p_proved boolean)
RETURNS text LANGUAGE sql IMMUTABLE
  RETURN CASE
    WHEN p_linked THEN CASE
      WHEN p_state IS NULL OR p_state = 'reserved' THEN 'pending'
      WHEN p_state = 'unlinked' THEN CASE WHEN p_proved THEN 'stored' ELSE 'pending' END
      -- A new link (or new content) is a reason to look again at what was given up.
      WHEN p_state IN ('failed', 'missing', 'corrupt') AND ((p_touched).link OR (p_touched).put) THEN 'pending'
      ELSE p_state END
    WHEN p_state IS NULL THEN CASE WHEN (p_touched).put AND NOT (p_touched).unlink THEN 'reserved' ELSE 'unlinked' END
    WHEN p_state = 'reserved' AND NOT (p_touched).unlink THEN 'reserved'
    WHEN p_state = 'deleting' THEN 'deleting'
    ELSE 'unlinked' END;
COMMENT ON FUNCTION objectlink.next_state(text, boolean, objectlink.touched, boolean) IS 'the state of a touched key, from its old state and whether a row links it';

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
      RETURNING o.ctid AS tid, o.op, o.attachment_id, o.ref, o.role, o.at
  ), per_ref AS (
    SELECT (g.ref, bool_or(g.op = 'L'), bool_or(g.op = 'U'), bool_or(g.op = 'P'), max(g.attachment_id), max(g.role),
            max(g.at) FILTER (WHERE g.op = 'U'), max(g.at) FILTER (WHERE g.op = 'P'),
            -- All of them: each has a policy of its own, and the most conservative wins.
            array_agg(DISTINCT g.attachment_id) FILTER (WHERE g.op = 'U' OR g.op = 'L' AND g.attachment_id IS NOT NULL))::objectlink.touched AS t
    FROM gone g WHERE g.ref IS NOT NULL GROUP BY g.ref
  )
  SELECT count(*), max(g.tid),
         array_agg(DISTINCT g.attachment_id) FILTER (WHERE g.op = 'T'),
         -- In order, here and below: neighbours in an index are then looked up, and written, together.
         (SELECT array_agg(t ORDER BY (t).ref) FROM per_ref)
    INTO taken, high, v_truncated, v_touched FROM gone g;
  IF v_truncated IS NOT NULL THEN
    INSERT INTO objectlink.scan (attachment_id, kind) SELECT a, 'unlink' FROM unnest(v_truncated) a;
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
  v_store record;
  v_now timestamptz;
BEGIN
  SELECT array_agg((t).ref) INTO v_refs FROM unnest(p_touched) t;
  SELECT array_agg(l.ref) FILTER (WHERE l.ref IS NOT NULL), array_agg(l.attachment_id) FILTER (WHERE l.ref IS NOT NULL),
         coalesce(bool_or(l.ref IS NULL), false)
    INTO v_linked_refs, v_links, v_doubt FROM objectlink.linked(v_refs) l;
  IF v_doubt THEN
    -- Unlinked, or only not to be seen now: looked at again by a later batch.
    INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at, role)
    SELECT o.op, o.attachment_id, (t).ref, pg_current_xact_id(), o.at, (t).role
    FROM unnest(p_touched) t
    CROSS JOIN LATERAL (SELECT 'U'::"char", u, (t).unlink_at FROM unnest((t).touched_by) u WHERE (t).unlink
                        UNION ALL SELECT 'L', (t).attachment_id, now() WHERE (t).link
                        UNION ALL SELECT 'P', (t).attachment_id, (t).put_at WHERE (t).put) AS o (op, attachment_id, at)
    WHERE ((t).unlink OR NOT (t).link) AND NOT (t).ref OPERATOR(pg_catalog.=) ANY (coalesce(v_linked_refs, '{}'));
    GET DIAGNOSTICS v_postponed = ROW_COUNT;
  END IF;

  FOR v_store IN
    SELECT s.name, objectlink.store_id(s.name) AS id,
           coalesce(objectlink.store_option(s.name, 'retention')::interval, interval '0') AS retention,
           objectlink.store_prefix(s.name) AS prefix
    FROM (SELECT DISTINCT objectlink.store(r) AS name FROM unnest(v_refs) r) s ORDER BY 1
  LOOP
    -- Not the time of each row: a function whose argument is volatile is not inlined, but called.
    v_now := clock_timestamp();
    -- Locked first and in the order of keys, then changed by a second statement, which sees what the lock waited for.
    -- Key by key: for "of this store, and any of these keys" a planner with old statistics reads the whole store.
    SELECT array_agg(objectlink.key(r) ORDER BY objectlink.key(r) COLLATE "C") INTO v_keys
      FROM unnest(v_refs) r WHERE objectlink.store(r) = v_store.name;
    PERFORM 1 FROM unnest(v_keys) AS k (key)
      CROSS JOIN LATERAL (SELECT FROM objectlink.object o WHERE o.store_id = v_store.id AND o.key = k.key FOR UPDATE) AS locked;

    WITH link AS MATERIALIZED (
      -- Of several attachments the one that keeps it longest; all of them, so that one that is truncated finds it.
      SELECT l.ref,
             (array_agg(l.attachment_id ORDER BY l.attachment_id IS NULL,
                        objectlink.kept_until(a.on_unlink, a.retention, false, v_store.retention, v_now) DESC, l.attachment_id DESC))[1] AS attachment_id,
             array_agg(l.attachment_id ORDER BY l.attachment_id) FILTER (WHERE l.attachment_id IS NOT NULL) AS linked_by
      FROM unnest(v_linked_refs, v_links) AS l (ref, attachment_id)
      LEFT JOIN objectlink.attachment a ON a.id = l.attachment_id
      WHERE objectlink.store(l.ref) = v_store.name
      GROUP BY l.ref
    ), promise AS MATERIALIZED (
      -- How long those that touched it, and do not link it any more, want it kept: from now, not from when their transactions
      -- began. Who goes back to just before the commit must find it for as long. Also those of which only a link is known:
      -- what they did then is still to come, and if it was a TRUNCATE it will not name the key.
      SELECT (t).ref, max(objectlink.kept_until(a.on_unlink, a.retention, a.detached_at IS NOT NULL, v_store.retention, v_now)) AS keep_until
      FROM unnest(p_touched) t CROSS JOIN LATERAL unnest((t).touched_by) AS u (id)
      LEFT JOIN link k ON k.ref OPERATOR(pg_catalog.=) (t).ref LEFT JOIN objectlink.attachment a ON a.id = u.id
      WHERE objectlink.store((t).ref) = v_store.name AND (u.id = ANY (k.linked_by)) IS NOT TRUE
      GROUP BY (t).ref
    ), want AS MATERIALIZED (
      SELECT objectlink.key((t).ref) AS key, t AS touched, l.attachment_id,
             -- A column that could not be asked may hold the key: without an unlink, believe the link.
             l.ref IS NOT NULL OR (v_doubt AND (t).link) AS linked, p.keep_until, l.linked_by
      FROM unnest(p_touched) t LEFT JOIN link l ON l.ref OPERATOR(pg_catalog.=) (t).ref
      LEFT JOIN promise p ON p.ref OPERATOR(pg_catalog.=) (t).ref
      WHERE objectlink.store((t).ref) = v_store.name AND NOT (v_doubt AND l.ref IS NULL AND ((t).unlink OR NOT (t).link))
    ), was AS MATERIALIZED (
      SELECT o.* FROM unnest(v_keys) AS k (key)
      CROSS JOIN LATERAL (SELECT i.key, i.state, i.verified_at, i.attachment_id, i.unlinked_at, i.keep_until, i.admin_hold, i.held_reason, i.linked_by FROM objectlink.object i
                          WHERE i.store_id = v_store.id AND i.key = k.key OFFSET 0) AS o
    ), next AS MATERIALIZED (
      SELECT w.*, b.key IS NOT NULL AS known, b.state AS from_state, b.attachment_id AS was_attachment_id, b.unlinked_at, b.admin_hold, b.held_reason,
             b.linked_by AS was_linked_by, s.to_state,
             -- One that could not be asked may still link it, as before.
             CASE WHEN v_doubt THEN ARRAY(SELECT DISTINCT x FROM unnest(w.linked_by || b.linked_by || b.attachment_id) x WHERE x IS NOT NULL ORDER BY x)
                  ELSE w.linked_by END AS links,
             -- Unlinked, and nobody said so yet: the unlink itself is still to come, and knows better.
             greatest(b.keep_until, coalesce(w.keep_until, CASE WHEN s.to_state = 'unlinked' AND b.state IS DISTINCT FROM 'unlinked'
                                                                THEN clock_timestamp() + v_store.retention END)) AS kept_until
      FROM want w LEFT JOIN was b USING (key)
      CROSS JOIN LATERAL (SELECT objectlink.next_state(b.state, w.linked, w.touched, b.verified_at IS NOT NULL) AS to_state) s
    ), change AS MATERIALIZED (
      SELECT v_store.id AS store_id, w.key, w.from_state, w.to_state, w.kept_until, w.was_linked_by,
             CASE WHEN cardinality(w.links) > 1 THEN w.links END AS linked_by,
             CASE WHEN w.to_state = 'unlinked'
                  THEN coalesce(w.admin_hold, CASE WHEN w.kept_until = 'infinity' THEN objectlink.keep_text() END,
                                CASE WHEN w.from_state = 'unlinked' THEN w.held_reason END) END AS held_reason,
             coalesce(w.attachment_id, CASE WHEN w.linked THEN NULL ELSE w.was_attachment_id END, (w.touched).attachment_id) AS attachment_id,
             w.was_attachment_id, (w.touched).put AS put, (w.touched).role AS role,
             (w.touched).unlink_at,
             -- Handed over again while it waits to be deleted: a row has as long to come and link it as for a new key. Not if it
             -- was unlinked since: what is said of a put may be read later than what became of it.
             CASE WHEN (w.touched).put_at > coalesce(greatest((w.touched).unlink_at, w.unlinked_at), '-infinity')
                  THEN objectlink.reservation_time() ELSE interval '0' END AS reservation,
             CASE WHEN w.linked THEN CASE WHEN (w.touched).put THEN 'put' ELSE 'link' END
                  WHEN (w.touched).unlink THEN 'unlink' WHEN (w.touched).put THEN 'put' ELSE 'link withdrawn' END AS cause
      FROM next w
      -- What an old row says of a key that is not ours is not taken over, and so never deleted.
      WHERE w.known OR objectlink.key_is_ours(v_store.prefix, w.key)
      ORDER BY w.key COLLATE "C"
    ), inserted AS (
      INSERT INTO objectlink.object (store_id, key, state, since, attachment_id, linked_by, unlinked_at, keep_until, held_reason, due_at)
      SELECT v_store.id, c.key, c.to_state, clock_timestamp(), c.attachment_id, c.linked_by, c.unlink_at, c.kept_until, c.held_reason,
             CASE WHEN c.held_reason IS NOT NULL THEN NULL
                  WHEN c.to_state = 'unlinked' THEN greatest(c.kept_until, clock_timestamp() + c.reservation)
                  WHEN c.to_state = 'reserved' THEN clock_timestamp() + objectlink.reservation_time()
                  ELSE clock_timestamp() END
      FROM change c WHERE c.from_state IS NULL
    ), updated AS (
      UPDATE objectlink.object o
      SET state = c.to_state, since = clock_timestamp(), wanted_since = clock_timestamp(), attachment_id = c.attachment_id, attempts = 0,
          unlinked_at = greatest(o.unlinked_at, c.unlink_at), error_class = NULL, error_code = NULL, last_error = NULL,
          keep_until = c.kept_until, held_reason = c.held_reason, linked_by = c.linked_by,
          due_at = CASE WHEN c.held_reason IS NOT NULL THEN NULL
                        WHEN c.to_state = 'unlinked' THEN greatest(c.kept_until, clock_timestamp() + c.reservation)
                        WHEN c.to_state = 'pending' THEN clock_timestamp() END
      FROM change c
      WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state <> c.to_state
    ), moved AS (
      UPDATE objectlink.object o
      SET attachment_id = c.attachment_id, unlinked_at = greatest(o.unlinked_at, c.unlink_at), keep_until = c.kept_until, held_reason = c.held_reason,
          linked_by = c.linked_by,
          due_at = CASE WHEN c.put AND c.to_state = 'pending' THEN clock_timestamp()
                        WHEN c.to_state <> 'unlinked' THEN o.due_at
                        WHEN c.held_reason IS NOT NULL THEN NULL
                        ELSE greatest(o.due_at, c.kept_until, CASE WHEN c.reservation > interval '0' THEN clock_timestamp() + c.reservation END) END,
          -- Held now for a reason, and no longer because a try has to be repeated.
          last_error = CASE WHEN c.to_state = 'unlinked' AND (c.reservation > interval '0' OR c.held_reason IS NOT NULL OR c.kept_until > clock_timestamp())
                            THEN NULL ELSE o.last_error END
      FROM change c
      WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state = c.to_state
        AND (c.attachment_id IS DISTINCT FROM c.was_attachment_id OR c.linked_by IS DISTINCT FROM c.was_linked_by OR (c.put AND c.to_state IN ('pending', 'unlinked'))
             OR (c.to_state = 'unlinked' AND c.unlink_at > coalesce(o.unlinked_at, '-infinity'))
             -- Still linked by another row: what this one's policy has promised counts when that one goes.
             OR (c.kept_until > clock_timestamp() AND c.kept_until > coalesce(o.keep_until, '-infinity')))
    )
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, actor)
    SELECT v_store.id, c.key, c.from_state, c.to_state, c.cause, c.attachment_id,
           CASE WHEN c.role IS NULL THEN session_user ELSE pg_get_userbyid(c.role) END
    FROM change c WHERE c.from_state IS DISTINCT FROM c.to_state;
  END LOOP;
  RETURN v_postponed;
END $$;
COMMENT ON FUNCTION objectlink.apply_touched(objectlink.touched[]) IS 'asks the rows about these keys and moves the registry accordingly; returns how many rows it put back into the outbox, because a table could not be asked';
