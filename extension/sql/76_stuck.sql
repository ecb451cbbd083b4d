-- Stuck work: objects that are on their way for longer than they should. Whoever owns a store looks after it, so there is no one
-- rescuer whose absence nobody would notice; and whoever has no owner is taken over by any daemon.

CREATE FUNCTION objectlink.stuck_after() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '10 minutes' $$;
COMMENT ON FUNCTION objectlink.stuck_after() IS 'objects that are on their way for longer than this are in view stuck';
CREATE FUNCTION objectlink.requeued_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION objectlink.requeued_max() IS 'stuck objects that one look makes due again';

-- Since when an object waits for the daemon; NULL: it does not. What its retention keeps does not wait before that is over.
CREATE FUNCTION objectlink.waiting_since(p_state text, p_since timestamptz, p_due_at timestamptz) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN p_state IN ('pending', 'deleting') THEN p_since
              WHEN p_state IN ('unlinked', 'reserved') AND p_due_at IS NOT NULL THEN greatest(p_since, p_due_at) END;
COMMENT ON FUNCTION objectlink.waiting_since(text, timestamptz, timestamptz) IS 'since when an object in this state waits for the daemon; NULL: it does not';

-- What is on its way has a due time, and not a far one: the longest pause between two tries is 10 minutes. Without one nobody
-- would ever look at it again. Nothing here makes such rows; a defect, a hand in the tables, or a clock that was set could.
CREATE INDEX object_stranded ON objectlink.object (store_id) WHERE due_at IS NULL AND state IN ('pending', 'deleting', 'reserved');

-- What entered these states long ago, whatever its due time: of a million objects that were just linked only those few are read.
-- Only who asks for a time may be served by it: whoever asks for keys in these states is served by the keys.
CREATE INDEX object_waiting ON objectlink.object (store_id, since) WHERE state IN ('pending', 'deleting') AND since IS NOT NULL;

-- Makes them due, in the order of keys: those that have no due time, or one after p_due_after. A reservation may be due only tomorrow.
CREATE FUNCTION objectlink.requeue(p_store int, p_keys text[], p_due_after timestamptz, p_detail jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_count int;
BEGIN
  PERFORM FROM (SELECT k FROM unnest(p_keys) k ORDER BY k COLLATE "C") AS w (key)
    CROSS JOIN LATERAL (SELECT FROM objectlink.object o WHERE o.store_id = p_store AND o.key = w.key FOR UPDATE) AS locked;
  WITH changed AS (
    UPDATE objectlink.object o SET due_at = clock_timestamp()
    FROM (SELECT p_store AS store_id, k AS key FROM unnest(p_keys) k OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key AND o.state IN ('pending', 'deleting', 'reserved')
      AND (o.due_at IS NULL OR o.due_at > p_due_after AND o.state <> 'reserved')
    RETURNING o.key, o.state, o.attachment_id
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
    SELECT p_store, c.key, 'stuck', c.attachment_id, jsonb_build_object('state', c.state, 'done', 'made due again') || p_detail FROM changed c RETURNING 1
  )
  SELECT count(*) INTO v_count FROM logged;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.requeue(int, text[], timestamptz, jsonb) IS 'makes objects due that are on their way and have no due time, or one after a point in time; says how many, with an event each';

CREATE FUNCTION objectlink.look_after(p_store int, p_epoch bigint)
RETURNS TABLE (what text, label text, number double precision)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_keys text[];
  v_requeued int := 0;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  v_keys := ARRAY(SELECT k.key FROM (
      (SELECT o.key FROM objectlink.object o
       WHERE o.store_id = p_store AND o.due_at IS NULL AND o.state IN ('pending', 'deleting', 'reserved') AND o.since < v_now - objectlink.stuck_after()
       LIMIT objectlink.requeued_max())
      UNION ALL
      -- A reservation may be due only tomorrow.
      (SELECT o.key FROM objectlink.object o
       WHERE o.store_id = p_store AND o.due_at > v_now + 2 * objectlink.stuck_after() AND o.state IN ('pending', 'deleting')
       LIMIT objectlink.requeued_max())) AS k
    ORDER BY k.key COLLATE "C" LIMIT objectlink.requeued_max());
  IF cardinality(v_keys) > 0 THEN
    v_requeued := objectlink.requeue(p_store, v_keys, v_now + 2 * objectlink.stuck_after(), '{}');
  END IF;
  IF objectlink.event_retention() IS NOT NULL THEN
    PERFORM objectlink.expire_events(v_now - objectlink.event_retention());
  END IF;
  PERFORM objectlink.remove_collected();
  RETURN QUERY SELECT 'requeued', NULL, v_requeued::double precision;
  RETURN QUERY
    SELECT 'stuck', s.state, (SELECT count(*)::double precision FROM (
                                SELECT FROM objectlink.object o
                                WHERE o.store_id = p_store AND o.state IN ('pending', 'deleting') AND o.state = s.state AND o.since < v_now - objectlink.stuck_after()
                                LIMIT objectlink.watched_max()) c)
    FROM unnest('{pending,deleting}'::text[]) AS s (state)
    UNION ALL
    SELECT 'stuck', 'reserved', (SELECT count(*) FROM (
                                   SELECT FROM objectlink.object o
                                   WHERE o.store_id = p_store AND o.due_at < v_now - objectlink.stuck_after() AND o.state <> 'unlinked' AND o.state = 'reserved'
                                     AND o.since < v_now - objectlink.stuck_after()
                                   LIMIT objectlink.watched_max()) c)
    UNION ALL
    SELECT 'stuck', 'unlinked', (SELECT count(*) FROM (
                                   SELECT FROM objectlink.object o
                                   WHERE o.store_id = p_store AND o.state = 'unlinked' AND o.due_at < v_now - objectlink.stuck_after()
                                     AND NOT objectlink.deletions_stopped(p_store)
                                   LIMIT objectlink.watched_max()) c)
    UNION ALL
    SELECT 'oldest', NULL, coalesce(extract(epoch FROM v_now - (SELECT o.since FROM objectlink.object o
                                                                WHERE o.store_id = p_store AND o.state IN ('pending', 'deleting') AND o.since < 'infinity' ORDER BY o.since LIMIT 1)), 0)
    UNION ALL
    SELECT 'dead', p.operation, (SELECT count(*) FROM objectlink.dead_letter d WHERE d.store_id = p_store AND d.operation = p.operation)
    FROM unnest('{upload,verify,delete}'::text[]) AS p (operation)
    UNION ALL
    -- Not of a store that is not scrubbed.
    SELECT 'overdue', NULL, coalesce(greatest(0, extract(epoch FROM v_now - coalesce(c.begun_at, c.done_begun_at) - i.interval)), 0)
    FROM objectlink.scrub c JOIN objectlink.store s ON s.id = c.store_id CROSS JOIN LATERAL (SELECT objectlink.scrub_interval(s.name) AS interval) i
    WHERE c.store_id = p_store AND i.interval IS NOT NULL
    UNION ALL
    SELECT 'trouble', s.state, (SELECT count(*) FROM objectlink.object o
                                WHERE o.store_id = p_store AND o.state = s.state AND o.state IN ('missing', 'corrupt'))  -- as its index has it
    FROM unnest('{missing,corrupt}'::text[]) AS s (state);
  RETURN QUERY SELECT w.what, w.label, w.number FROM objectlink.watch(p_store) w;
END $$;
COMMENT ON FUNCTION objectlink.look_after(int, bigint) IS 'for the owner of a store: makes due again what is stuck without a due time, deletes events whose retention is over and listings that nobody needs, and counts what waits, what was given up, what is wrong and how late its proofs are';
