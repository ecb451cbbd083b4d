-- What should a touched key be? What a batch of the outbox says of it, what the rows answer, and what follows from both.
-- Nothing here writes the registry; 63_apply.sql does.

CREATE TYPE objectlink.touched AS (
  ref objectlink.storage_ref, link boolean, unlink boolean, put boolean, attachment_id int, role oid, unlink_at timestamptz, put_at timestamptz,
  touched_by int[], relids oid[], by_walk boolean, hold text, unlink_by oid, unlink_via int, unlink_image jsonb, hold_cause text, unmarked boolean);
COMMENT ON TYPE objectlink.touched IS 'what a batch of the outbox, or a walk, says of one ref';
COMMENT ON COLUMN objectlink.touched.touched_by IS 'the attachments whose rows linked or unlinked it: each has a policy of its own; NULL in it: an unlink that names none';
COMMENT ON COLUMN objectlink.touched.relids IS 'the tables whose rows linked or unlinked it';
COMMENT ON COLUMN objectlink.touched.by_walk IS 'a walk after a TRUNCATE said that it may be unlinked, no row did';
COMMENT ON COLUMN objectlink.touched.hold IS 'a walk after a drop, or a change of policy: the reason to hold it for, if no row links it';
COMMENT ON COLUMN objectlink.touched.hold_cause IS 'which of both';
COMMENT ON COLUMN objectlink.touched.unmarked IS 'a row links it because its mark was taken away, or counts no more';
COMMENT ON COLUMN objectlink.touched.unlink_image IS 'from which row, and how, the latest unlink went';

CREATE TYPE objectlink.answer AS (linked objectlink.storage_ref[], links int[], doubt boolean, dropped int[], gone oid[], walked int[],
                                  busy objectlink.storage_ref[]);
COMMENT ON TYPE objectlink.answer IS 'what the rows say of the refs of a batch';
COMMENT ON COLUMN objectlink.answer.linked IS 'refs that rows link, once for each attachment, which is in links';
COMMENT ON COLUMN objectlink.answer.doubt IS 'a column could not be asked: what is not linked may be linked there';
COMMENT ON COLUMN objectlink.answer.dropped IS 'attachments that a drop ended; gone: tables that were dropped; walked: attachments whose dropped parts are still being walked';
COMMENT ON COLUMN objectlink.answer.busy IS 'for a walk after a drop: refs of which the outbox will tell more';

CREATE TYPE objectlink.change AS (
  key text, from_state text, to_state text, held_reason text, held boolean, kept_until timestamptz, linked_by int[], was_linked_by int[],
  attachment_id int, was_attachment_id int, put boolean, role oid, unlink_at timestamptz, reservation interval, cause text,
  hold text, told boolean, vanished boolean, later boolean,
  unlinked_by text, unlinked_via int, unlinked_relation text, unlinked_act text, unlinked_row jsonb, unmarked boolean);
COMMENT ON TYPE objectlink.change IS 'what becomes of one key in the registry';
COMMENT ON COLUMN objectlink.change.held IS 'for that reason, or by an admin: it does not fall due';
COMMENT ON COLUMN objectlink.change.hold IS 'why it is to be held from now on: its link was dropped, or vanished';
COMMENT ON COLUMN objectlink.change.told IS 'held because its link had vanished without a word, and now a row''s word came after all';
COMMENT ON COLUMN objectlink.change.vanished IS 'a row linked it since it was found unlinked, and is gone again';
COMMENT ON COLUMN objectlink.change.later IS 'this unlink is later than the one known before';

-- A link that vanished although no row said so. If a row did, what it said may only be read later.
CREATE FUNCTION objectlink.vanished_reason() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 'its last row vanished without a word: triggers were switched off, or an unlogged table was reset' $$;
COMMENT ON FUNCTION objectlink.vanished_reason() IS 'why an object is held that was linked, is not any more, and of which no DELETE, UPDATE or TRUNCATE has told';

-- Who said it is not there any more, so nobody can be asked whether another of its rows held the key.
CREATE FUNCTION objectlink.speaker_is_lost(p_touched objectlink.touched, p_answer objectlink.answer) RETURNS boolean
LANGUAGE sql IMMUTABLE
  RETURN coalesce((p_touched).touched_by && (p_answer).dropped, false) OR coalesce((p_touched).relids && (p_answer).gone, false)
         OR coalesce((p_touched).by_walk AND (p_touched).touched_by && (p_answer).walked, false);
COMMENT ON FUNCTION objectlink.speaker_is_lost(objectlink.touched, objectlink.answer) IS 'whether a ref was touched by a dropped column, by a dropped table, or by a walk over objects of which some were dropped meanwhile';

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

CREATE FUNCTION objectlink.ask_rows(p_touched objectlink.touched[]) RETURNS objectlink.answer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_refs objectlink.storage_ref[] := ARRAY(SELECT (t).ref FROM unnest(p_touched) t);
  v_answer objectlink.answer;
BEGIN
  SELECT array_agg(l.ref) FILTER (WHERE l.ref IS NOT NULL), array_agg(l.attachment_id) FILTER (WHERE l.ref IS NOT NULL),
         coalesce(bool_or(l.ref IS NULL), false)
    INTO v_answer.linked, v_answer.links, v_answer.doubt FROM objectlink.linked(v_refs) l;
  v_answer.linked := coalesce(v_answer.linked, '{}');
  -- After the question: a drop that its answer shows is seen here too.
  SELECT array_agg(a.id) INTO v_answer.dropped FROM objectlink.attachment a WHERE a.dropped IS NOT NULL;
  SELECT array_agg(s.attachment_id) INTO v_answer.walked FROM objectlink.scan s WHERE s.hold IS NOT NULL;
  SELECT array_agg(r.relid) INTO v_answer.gone
    FROM (SELECT DISTINCT i.relid FROM unnest(p_touched) t, unnest((t).relids) AS i (relid)) r
    WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.relid);
  IF (p_touched[1]).hold IS NOT NULL THEN
    -- A walk after a drop, which knows only that no row is left. Of these the outbox will tell more.
    v_answer.busy := ARRAY(SELECT b.ref FROM objectlink.outbox b WHERE b.ref OPERATOR(pg_catalog.=) ANY (v_refs));
  END IF;
  RETURN v_answer;
END $$;
COMMENT ON FUNCTION objectlink.ask_rows(objectlink.touched[]) IS 'asks the rows, and what was dropped meanwhile, about the refs of a batch';

-- Unlinked, or only not to be seen now: looked at again by a later batch.
CREATE FUNCTION objectlink.put_back(p_touched objectlink.touched[], p_answer objectlink.answer) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_postponed int;
BEGIN
  INSERT INTO objectlink.outbox (op, attachment_id, ref, relid, xid, at, role, image)
  SELECT o.op, o.attachment_id, (t).ref,
         coalesce((SELECT max(r) FROM unnest((t).relids) r WHERE r = ANY ((p_answer).gone)), (t).relids[1]),
         pg_current_xact_id(), o.at, o.role, o.image
  FROM unnest(p_touched) t
  CROSS JOIN LATERAL (
    SELECT 'U'::"char", u, (t).unlink_at, (t).unlink_by, CASE WHEN u IS NOT DISTINCT FROM (t).unlink_via THEN (t).unlink_image END
      FROM unnest((t).touched_by) u WHERE (t).unlink
    UNION ALL SELECT 'L', coalesce((SELECT max(i) FROM unnest((t).touched_by) i WHERE i = ANY ((p_answer).dropped)), (t).attachment_id),
                     now(), (t).role, CASE WHEN (t).unmarked THEN objectlink.unmark_image() END WHERE (t).link
    UNION ALL SELECT 'P', (t).attachment_id, (t).put_at, (t).role, NULL WHERE (t).put) AS o (op, attachment_id, at, role, image)
  WHERE ((t).unlink OR NOT (t).link OR objectlink.speaker_is_lost(t, p_answer))
    AND NOT (t).ref OPERATOR(pg_catalog.=) ANY ((p_answer).linked);
  GET DIAGNOSTICS v_postponed = ROW_COUNT;
  -- A walk after a drop puts nothing back: it is the one to come again.
  RETURN v_postponed + (SELECT count(*) FROM unnest(p_touched) t
    WHERE (t).hold IS NOT NULL AND NOT (t).ref OPERATOR(pg_catalog.=) ANY ((p_answer).linked));
END $$;
COMMENT ON FUNCTION objectlink.put_back(objectlink.touched[], objectlink.answer) IS 'when a column could not be asked: puts back into the outbox what can''t be decided now, and says how much';

CREATE FUNCTION objectlink.drop_reason(p_touched objectlink.touched) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN coalesce((SELECT min(d.reason) FROM objectlink.dropped_relation d WHERE d.relid = ANY ((p_touched).relids)),
                  (SELECT min(a.dropped) FROM objectlink.attachment a WHERE a.id = ANY ((p_touched).touched_by)),
                  (SELECT min(s.hold) FROM objectlink.scan s WHERE s.attachment_id = ANY ((p_touched).touched_by)),
                  'the table of a row that linked it was dropped');
END $$;
COMMENT ON FUNCTION objectlink.drop_reason(objectlink.touched) IS 'of a ref whose speaker is lost: what was dropped';

-- p_keys: those of this store, locked by the caller.
CREATE FUNCTION objectlink.judge(p_store int, p_name name, p_keys text[], p_touched objectlink.touched[], p_answer objectlink.answer)
RETURNS SETOF objectlink.change
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_retention interval := coalesce(objectlink.store_option(p_name, 'retention')::interval, interval '0');
  v_prefix text := objectlink.store_prefix(p_name);
  -- Not the time of each row: a function whose argument is volatile is not inlined, but called.
  v_now timestamptz := clock_timestamp();
BEGIN
  RETURN QUERY
    WITH link AS MATERIALIZED (
      -- Of several attachments the one that keeps it longest; all of them, so that one that is truncated finds it.
      SELECT l.ref,
             (array_agg(l.attachment_id ORDER BY l.attachment_id IS NULL,
                        objectlink.kept_until(a.on_unlink, a.retention, false, v_retention, v_now) DESC, l.attachment_id DESC))[1] AS attachment_id,
             array_agg(l.attachment_id ORDER BY l.attachment_id) FILTER (WHERE l.attachment_id IS NOT NULL) AS linked_by
      FROM unnest((p_answer).linked, (p_answer).links) AS l (ref, attachment_id)
      LEFT JOIN objectlink.attachment a ON a.id = l.attachment_id
      WHERE objectlink.store(l.ref) = p_name
      GROUP BY l.ref
    ), promise AS MATERIALIZED (
      -- How long those that touched it, and do not link it any more, want it kept: from now, not from when their transactions
      -- began. Who goes back to just before the commit must find it for as long. Also those of which only a link is known:
      -- what they did then is still to come, and if it was a TRUNCATE it will not name the key.
      SELECT (t).ref, max(objectlink.kept_until(a.on_unlink, a.retention, a.detached_at IS NOT NULL, v_retention, v_now)) AS keep_until
      FROM unnest(p_touched) t CROSS JOIN LATERAL unnest((t).touched_by) AS u (id)
      LEFT JOIN link k ON k.ref OPERATOR(pg_catalog.=) (t).ref LEFT JOIN objectlink.attachment a ON a.id = u.id
      WHERE objectlink.store((t).ref) = p_name AND (u.id = ANY (k.linked_by)) IS NOT TRUE
      GROUP BY (t).ref
    ), heard AS MATERIALIZED (
      SELECT objectlink.key((t).ref) AS key, t AS touched, l.ref IS NOT NULL AS seen, l.attachment_id, p.keep_until, l.linked_by,
             objectlink.speaker_is_lost(t, p_answer) AS lost,
             (t).by_walk AND (t).relids IS NULL AND NOT (t).link AS asked_only
      FROM unnest(p_touched) t LEFT JOIN link l ON l.ref OPERATOR(pg_catalog.=) (t).ref
      LEFT JOIN promise p ON p.ref OPERATOR(pg_catalog.=) (t).ref
      WHERE objectlink.store((t).ref) = p_name
        AND NOT ((t).hold IS NOT NULL AND (t).ref OPERATOR(pg_catalog.=) ANY (coalesce((p_answer).busy, '{}')))
    ), was AS MATERIALIZED (
      -- Key by key: for "of this store, and any of these keys" a planner with old statistics reads the whole store.
      SELECT o.* FROM unnest(p_keys) AS k (key)
      CROSS JOIN LATERAL (SELECT i.key, i.state, i.verified_at, i.attachment_id, i.unlinked_at, i.keep_until, i.admin_hold, i.held_reason,
                                 i.linked_by, i.issued_at, i.failing_since
                          FROM objectlink.object i WHERE i.store_id = p_store AND i.key = k.key OFFSET 0) AS o
    ), held AS MATERIALIZED (
      SELECT h.*, b.key IS NOT NULL AS known, b.state AS from_state, b.verified_at, b.attachment_id AS was_attachment_id, b.unlinked_at,
             b.keep_until AS was_keep_until, b.admin_hold, b.held_reason AS was_held_reason, b.linked_by AS was_linked_by, b.issued_at, b.failing_since,
             -- A column that could not be asked may hold the key: without an unlink, believe the link.
             w.linked,
             -- Due for deletion is only what a row has unlinked. What is unlinked already was so before the drop.
             CASE WHEN w.linked THEN NULL
                  WHEN h.lost THEN objectlink.drop_reason(h.touched)
                  WHEN b.state IN ('unlinked', 'deleting') THEN NULL
                  WHEN (h.touched).hold IS NOT NULL THEN (h.touched).hold
                  WHEN NOT (h.touched).unlink AND ((h.touched).link OR b.state <> 'reserved') THEN objectlink.vanished_reason() END AS hold
      FROM heard h LEFT JOIN was b USING (key)
      CROSS JOIN LATERAL (SELECT h.seen OR ((p_answer).doubt AND (h.touched).link) AS linked) w
      WHERE NOT ((p_answer).doubt AND NOT h.seen AND ((h.touched).unlink OR NOT (h.touched).link OR h.lost))
    ), next AS MATERIALIZED (
      SELECT h.*, s.to_state,
             -- One that could not be asked may still link it, as before.
             CASE WHEN (p_answer).doubt
                  THEN ARRAY(SELECT DISTINCT x FROM unnest(h.linked_by || h.was_linked_by || h.was_attachment_id) x WHERE x IS NOT NULL ORDER BY x)
                  -- Its unlink is still to come, and a TRUNCATE finds the object only by who linked it.
                  WHEN h.hold IS NOT NULL AND (h.touched).link
                  THEN ARRAY(SELECT DISTINCT x FROM unnest(h.was_linked_by || h.was_attachment_id || (h.touched).touched_by) x WHERE x IS NOT NULL ORDER BY x)
                  ELSE h.linked_by END AS links,
             -- Unlinked, and nobody said so yet: the unlink itself is still to come, and knows better.
             -- What waits already is not kept longer because a walk asks about it: no row has gone since.
             CASE WHEN h.from_state = 'unlinked' AND h.asked_only THEN h.was_keep_until
                  ELSE greatest(h.was_keep_until, coalesce(h.keep_until, CASE WHEN s.to_state = 'unlinked' AND h.from_state IS DISTINCT FROM 'unlinked'
                                                                              THEN v_now + v_retention END)) END AS kept_until,
             -- A row's word came after all.
             coalesce(h.from_state = 'unlinked' AND (h.touched).unlink AND h.hold IS NULL
                      AND h.was_held_reason = objectlink.vanished_reason(), false) AS told
      FROM held h
      CROSS JOIN LATERAL (SELECT objectlink.next_state(h.from_state, h.linked, h.touched, h.verified_at IS NOT NULL AND h.failing_since IS NULL, h.hold IS NOT NULL) AS to_state) s
    ), outcome AS (
      SELECT n.*,
             CASE WHEN n.to_state = 'unlinked'
                  THEN coalesce(CASE WHEN n.kept_until = 'infinity' THEN objectlink.keep_text() END,
                                CASE WHEN n.from_state = 'unlinked' AND NOT n.told THEN n.was_held_reason END, n.hold)
                  -- Found after it was condemned; no request is issued for it then.
                  WHEN n.to_state = 'deleting' AND n.issued_at IS NULL THEN coalesce(n.was_held_reason, n.hold) END AS held_reason,
             CASE WHEN (n.touched).unlink AND NOT n.linked THEN (n.touched).unlink_by ELSE (n.touched).role END AS role,
             -- Handed over again while it waits to be deleted: a row has as long to come and link it as for a new key. Not if it
             -- was unlinked since: what is said of a put may be read later than what became of it.
             CASE WHEN (n.touched).put_at > coalesce(greatest((n.touched).unlink_at, n.unlinked_at), '-infinity')
                  THEN objectlink.reservation_time() ELSE interval '0' END AS reservation,
             CASE WHEN n.linked THEN CASE WHEN (n.touched).put THEN 'put' ELSE 'link' END
                  WHEN n.lost THEN 'drop'
                  WHEN (n.touched).hold IS NOT NULL THEN (n.touched).hold_cause
                  WHEN (n.touched).unlink THEN 'unlink'
                  WHEN n.hold IS NOT NULL OR NOT (n.touched).put THEN 'link withdrawn' ELSE 'put' END AS cause
      FROM next n
      -- What an old row says of a key that is not ours is not taken over, and so never deleted.
      WHERE n.known OR objectlink.key_is_ours(v_prefix, n.key)
    )
    SELECT o.key, o.from_state, o.to_state, o.held_reason, o.held_reason IS NOT NULL OR o.admin_hold IS NOT NULL, o.kept_until, CASE WHEN cardinality(o.links) > 1 THEN o.links END, o.was_linked_by,
           coalesce(o.attachment_id, CASE WHEN o.linked THEN NULL ELSE o.was_attachment_id END, (o.touched).attachment_id), o.was_attachment_id,
           (o.touched).put, o.role, (o.touched).unlink_at, o.reservation, o.cause, o.hold, o.told,
           (o.touched).unlink AND NOT o.asked_only OR (o.touched).link,
           o.to_state = 'unlinked' AND coalesce((o.touched).unlink_at > coalesce(o.unlinked_at, '-infinity'), false),
           -- Who left it without a row, and from which row it went: for the record of its erasure.
           u.by, u.via, u.relation, u.act, u.row_key, o.linked AND (o.touched).unmarked IS TRUE
    FROM outcome o
    LEFT JOIN LATERAL (SELECT coalesce(pg_get_userbyid(o.role), session_user)::text AS by, (o.touched).unlink_via AS via,
                              (o.touched).unlink_image ->> 'relation' AS relation, coalesce((o.touched).unlink_image ->> 'act', o.cause) AS act,
                              (o.touched).unlink_image -> 'row' AS row_key) AS u ON o.to_state IN ('reserved', 'unlinked')
    ORDER BY o.key COLLATE "C";
END $$;
COMMENT ON FUNCTION objectlink.judge(int, name, text[], objectlink.touched[], objectlink.answer) IS 'what becomes of the touched keys of one store, in the order of keys';
