-- Apply: outbox -> registry, in one transaction. Nothing is computed from the sequence of events, which
-- is not the order of commits: an event says which key to look at, the rows say whether it is linked.

CREATE TYPE objectlink.touched AS (ref objectlink.storage_ref, link boolean, unlink boolean, put boolean, attachment_id int, role oid,
                                   unlink_at timestamptz, put_at timestamptz, unlink_by oid, unlink_via int, unlink_image jsonb);
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
BEGIN
  PERFORM objectlink.assert_owner(0, p_epoch);
  postponed := 0;
  WITH gone AS MATERIALIZED (
    DELETE FROM objectlink.outbox o
      WHERE o.ctid = ANY (ARRAY(SELECT i.ctid FROM objectlink.outbox i WHERE i.ctid > p_low LIMIT p_limit))
      RETURNING o.ctid AS tid, o.op, o.attachment_id, o.ref, o.role, o.at, o.image
  ), last_unlink AS MATERIALIZED (
    SELECT DISTINCT ON (g.ref) g.ref, g.role, g.attachment_id, g.image
    FROM gone g WHERE g.op = 'U' AND g.ref IS NOT NULL ORDER BY g.ref, g.at DESC, g.tid DESC
  ), per_ref AS (
    SELECT (s.ref, s.link, s.unlink, s.put, s.attachment_id, s.role, s.unlink_at, s.put_at,
            u.role, u.attachment_id, u.image)::objectlink.touched AS t
    FROM (SELECT g.ref, bool_or(g.op = 'L') AS link, bool_or(g.op = 'U') AS unlink, bool_or(g.op = 'P') AS put,
                 max(g.attachment_id) AS attachment_id, max(g.role) AS role,
                 max(g.at) FILTER (WHERE g.op = 'U') AS unlink_at, max(g.at) FILTER (WHERE g.op = 'P') AS put_at
          FROM gone g WHERE g.ref IS NOT NULL GROUP BY g.ref) s
    LEFT JOIN last_unlink u ON u.ref OPERATOR(pg_catalog.=) s.ref
  ), walked AS (
    INSERT INTO objectlink.scan (attachment_id, kind, role, at, image)
    SELECT DISTINCT ON (g.attachment_id) g.attachment_id, 'unlink', g.role, g.at, g.image
    FROM gone g WHERE g.op = 'T' ORDER BY g.attachment_id, g.at DESC, g.tid DESC
  )
  SELECT count(*), max(g.tid),
         -- In order, here and below: neighbours in an index are then looked up, and written, together.
         (SELECT array_agg(t ORDER BY (t).ref) FROM per_ref)
    INTO taken, high, v_touched FROM gone g;
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
BEGIN
  SELECT array_agg((t).ref) INTO v_refs FROM unnest(p_touched) t;
  SELECT array_agg(l.ref), array_agg(l.attachment_id) FILTER (WHERE l.ref IS NOT NULL), coalesce(bool_or(l.ref IS NULL), false)
    INTO v_linked_refs, v_links, v_doubt
    FROM (SELECT q.ref, max(q.attachment_id) AS attachment_id FROM objectlink.linked(v_refs) q GROUP BY q.ref) l;
  v_linked_refs := array_remove(v_linked_refs, NULL);
  IF v_doubt THEN
    -- Unlinked, or only not to be seen now: looked at again by a later batch.
    INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at, role, image)
    SELECT o.op, o.attachment_id, (t).ref, pg_current_xact_id(), o.at, o.role, o.image
    FROM unnest(p_touched) t
    CROSS JOIN LATERAL (VALUES ('U'::"char", (t).unlink, (t).unlink_at, (t).unlink_via, (t).unlink_by, (t).unlink_image),
                               ('L', (t).link, now(), (t).attachment_id, (t).role, NULL),
                               ('P', (t).put, (t).put_at, (t).attachment_id, (t).role, NULL)) AS o (op, said, at, attachment_id, role, image)
    WHERE o.said AND ((t).unlink OR NOT (t).link) AND NOT (t).ref OPERATOR(pg_catalog.=) ANY (coalesce(v_linked_refs, '{}'));
    GET DIAGNOSTICS v_postponed = ROW_COUNT;
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
             l.ref IS NOT NULL OR (v_doubt AND (t).link) AS linked
      FROM unnest(p_touched) t LEFT JOIN link l ON l.ref OPERATOR(pg_catalog.=) (t).ref
      WHERE objectlink.store((t).ref) = v_store.name AND NOT (v_doubt AND l.ref IS NULL AND ((t).unlink OR NOT (t).link))
    ), was AS MATERIALIZED (
      SELECT o.* FROM unnest(v_keys) AS k (key)
      CROSS JOIN LATERAL (SELECT i.key, i.state, i.verified_at, i.attachment_id, i.unlinked_at FROM objectlink.object i
                          WHERE i.store_id = v_store.id AND i.key = k.key OFFSET 0) AS o
    ), outcome AS (
      SELECT v_store.id AS store_id, w.key, b.state AS from_state,
             objectlink.next_state(b.state, w.linked, w.touched, b.verified_at IS NOT NULL) AS to_state,
             coalesce(w.attachment_id, CASE WHEN w.linked THEN NULL ELSE b.attachment_id END, (w.touched).attachment_id) AS attachment_id,
             b.attachment_id AS was_attachment_id, (w.touched).put AS put,
             CASE WHEN (w.touched).unlink AND NOT w.linked THEN (w.touched).unlink_by ELSE (w.touched).role END AS role,
             (w.touched).unlink_at, (w.touched).unlink_via, (w.touched).unlink_image,
             -- A row linked it since it was found unlinked, and is gone again. A walk only asks.
             (w.touched).link OR (w.touched).unlink_image ->> 'act' IN ('delete', 'update') AS vanished, b.unlinked_at AS was_unlinked_at,
             -- Handed over again while it waits to be deleted: a row has as long to come and link it as for a new key. Not if it
             -- was unlinked since: what is said of a put may be read later than what became of it.
             CASE WHEN (w.touched).put_at > coalesce(greatest((w.touched).unlink_at, b.unlinked_at), '-infinity')
                  THEN objectlink.reservation_time() ELSE interval '0' END AS reservation,
             CASE WHEN w.linked THEN CASE WHEN (w.touched).put THEN 'put' ELSE 'link' END
                  WHEN (w.touched).unlink THEN 'unlink' WHEN (w.touched).put THEN 'put' ELSE 'link withdrawn' END AS cause
      FROM want w LEFT JOIN was b USING (key)
      -- What an old row says of a key that is not ours is not taken over, and so never deleted.
      WHERE b.key IS NOT NULL OR objectlink.key_is_ours(v_store.prefix, w.key)
      ORDER BY w.key COLLATE "C"
    ), change AS MATERIALIZED (
      SELECT c.*, c.to_state = 'unlinked' AND c.unlink_at > coalesce(c.was_unlinked_at, '-infinity') AS later,
             -- Who left it without a row, and from which row it went: for the record of its erasure.
             u.*
      FROM outcome c
      LEFT JOIN LATERAL (SELECT coalesce(pg_get_userbyid(c.role), session_user)::text AS by, c.unlink_via AS via,
                                c.unlink_image ->> 'relation' AS relation, coalesce(c.unlink_image ->> 'act', c.cause) AS act,
                                c.unlink_image -> 'row' AS row_key) AS u ON c.to_state IN ('reserved', 'unlinked')
    ), inserted AS (
      INSERT INTO objectlink.object (store_id, key, state, since, attachment_id, unlinked_at, unlinked_by, unlinked_via,
                                     unlinked_relation, unlinked_act, unlinked_row, due_at)
      SELECT v_store.id, c.key, c.to_state, clock_timestamp(), c.attachment_id, c.unlink_at, c.by, c.via, c.relation, c.act, c.row_key,
             clock_timestamp() + CASE c.to_state WHEN 'unlinked' THEN greatest(v_store.retention, c.reservation)
                                                 WHEN 'reserved' THEN objectlink.reservation_time()
                                                 ELSE interval '0' END
      FROM change c WHERE c.from_state IS NULL
    ), updated AS (
      UPDATE objectlink.object o
      SET state = c.to_state, since = clock_timestamp(), wanted_since = clock_timestamp(), attachment_id = c.attachment_id, attempts = 0,
          unlinked_at = greatest(o.unlinked_at, c.unlink_at), error_class = NULL, error_code = NULL, last_error = NULL,
          unlinked_by = c.by, unlinked_via = c.via, unlinked_relation = c.relation, unlinked_act = c.act, unlinked_row = c.row_key,
          due_at = CASE c.to_state WHEN 'unlinked' THEN clock_timestamp() + greatest(v_store.retention, c.reservation)
                                   WHEN 'pending' THEN clock_timestamp() END
      FROM change c
      WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state <> c.to_state
    ), moved AS (
      UPDATE objectlink.object o
      SET attachment_id = c.attachment_id, unlinked_at = greatest(o.unlinked_at, c.unlink_at),
          wanted_since = CASE WHEN c.vanished AND c.to_state = 'unlinked' THEN clock_timestamp() ELSE o.wanted_since END,
          unlinked_by = CASE WHEN c.later THEN c.by ELSE o.unlinked_by END,
          unlinked_via = CASE WHEN c.later THEN c.via ELSE o.unlinked_via END,
          unlinked_relation = CASE WHEN c.later THEN c.relation ELSE o.unlinked_relation END,
          unlinked_act = CASE WHEN c.later THEN c.act ELSE o.unlinked_act END,
          unlinked_row = CASE WHEN c.later THEN c.row_key ELSE o.unlinked_row END,
          due_at = CASE WHEN c.put AND c.to_state = 'pending' THEN clock_timestamp()
                        -- A restore to the time before the row vanished brings it back: its object stays as long as after a first unlink.
                        WHEN (c.reservation > interval '0' OR c.vanished) AND c.to_state = 'unlinked' AND o.due_at IS NOT NULL
                          THEN greatest(o.due_at, clock_timestamp() + greatest(c.reservation, CASE WHEN c.vanished THEN v_store.retention END))
                        ELSE o.due_at END,
          -- Held now for a reason, and no longer because a try has to be repeated.
          last_error = CASE WHEN c.reservation > interval '0' AND c.to_state = 'unlinked' THEN NULL ELSE o.last_error END
      FROM change c
      WHERE o.store_id = c.store_id AND o.key = c.key AND c.from_state = c.to_state
        AND (c.attachment_id IS DISTINCT FROM c.was_attachment_id OR ((c.put OR c.vanished) AND c.to_state = 'unlinked') OR (c.put AND c.to_state = 'pending')
             OR c.later)
    )
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, actor)
    SELECT v_store.id, c.key, c.from_state, c.to_state, c.cause, c.attachment_id,
           CASE WHEN c.role IS NULL THEN session_user ELSE pg_get_userbyid(c.role) END
    FROM change c WHERE c.from_state IS DISTINCT FROM c.to_state;
  END LOOP;
  RETURN v_postponed;
END $$;
COMMENT ON FUNCTION objectlink.apply_touched(objectlink.touched[]) IS 'asks the rows about these keys and moves the registry accordingly; returns how many rows it put back into the outbox, because a table could not be asked';
