-- wait_for_sync: returns when everything committed before the call is settled.

CREATE FUNCTION objectlink.unsettled(p_before xid8, p_since timestamptz)
RETURNS TABLE (what text, store name, key text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET jit = off AS $$
BEGIN
  RETURN QUERY
    SELECT 'outbox', objectlink.store(b.ref), objectlink.key(b.ref) FROM objectlink.outbox b WHERE b.xid < p_before
    UNION ALL
    SELECT s.kind || ' walk', NULL, NULL FROM objectlink.scan s WHERE s.queued_at <= p_since
    UNION ALL
    -- By the age of the link, not of the entry: a proof that comes while somebody waits leads to a new one.
    SELECT 'rows to be written', t.name, w.key FROM objectlink.row_work w JOIN objectlink.store t ON t.id = w.store_id
    WHERE NOT EXISTS (SELECT FROM objectlink.object r WHERE r.store_id = w.store_id AND r.key = w.key AND r.wanted_since > p_since)
    UNION ALL
    SELECT r.state, t.name, r.key FROM objectlink.object r JOIN objectlink.store t ON t.id = r.store_id
    WHERE r.due_at IS NOT NULL AND r.state <> 'unlinked' AND r.wanted_since <= p_since AND r.state IN ('pending', 'deleting')
    UNION ALL
    SELECT CASE WHEN t.braked_at IS NULL THEN r.state ELSE 'unlinked (deletions are braked)' END, t.name, r.key
    FROM objectlink.object r JOIN objectlink.store t ON t.id = r.store_id
    -- Unlinked and due only later is settled when a policy holds it, not when a try has to be repeated. What an admin
    -- holds is settled; what the brake holds is not: nobody has decided about it.
    WHERE r.state = 'unlinked' AND r.due_at IS NOT NULL AND r.wanted_since <= p_since AND t.held_at IS NULL
      AND (r.due_at <= p_since OR r.last_error IS NOT NULL)
    UNION ALL
    SELECT 'deletion of a finding', t.name, f.key FROM objectlink.finding f JOIN objectlink.store t ON t.id = f.store_id
    -- An object goes on to be unlinked, and what an admin holds then is settled.
    WHERE f.delete_at <= p_since AND (t.held_at IS NULL OR f.kind = ANY (objectlink.compared_kinds()))
    UNION ALL
    SELECT 'quarantine', t.name, q.key FROM objectlink.quarantine q JOIN objectlink.store t ON t.id = q.store_id
    WHERE q.last_error IS NULL AND (q.state IN ('copying', 'copied', 'releasing') OR q.due_at <= p_since);
END $$;
COMMENT ON FUNCTION objectlink.unsettled(xid8, timestamptz) IS 'what was committed before a moment and is not settled yet';

CREATE PROCEDURE objectlink.wait_for_sync(timeout interval DEFAULT '1 minute')
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_called timestamptz := clock_timestamp();
  v_until timestamptz := v_called + timeout;
  v_before xid8;
  v_queued timestamptz := v_called;
  v_round int := 1;
  v_since timestamptz;
  v_sleep_s double precision := 0.005;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'wait_for_sync() needs isolation level read committed' USING ERRCODE = 'invalid_transaction_state',
      DETAIL = 'This transaction''s snapshot would never show the progress.';
  END IF;
  IF timeout IS NULL OR timeout < interval '0' THEN
    RAISE EXCEPTION 'invalid timeout: %', coalesce(timeout::text, 'NULL') USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- Older than every transaction still to come; the rows of this transaction itself can't be waited for.
  v_before := coalesce(pg_current_xact_id_if_assigned(), pg_snapshot_xmax(pg_current_snapshot()));
  LOOP
    -- Applying the outbox may begin a walk, and a walk appends to the outbox again, perhaps to a page that the drainer
    -- has passed already. So three rounds: the outbox; the walks it has begun; what they have appended. After that, all of it
    -- has entered the state it led to.
    IF v_since IS NULL AND NOT EXISTS (SELECT FROM objectlink.outbox b WHERE b.xid < v_before)
       AND NOT EXISTS (SELECT FROM objectlink.scan s WHERE s.queued_at <= v_queued) THEN
      IF v_round = 3 THEN
        v_since := clock_timestamp();
      ELSE
        v_queued := CASE v_round WHEN 1 THEN clock_timestamp() ELSE v_queued END;
        v_round := v_round + 1;
        v_before := pg_snapshot_xmax(pg_current_snapshot());
        CONTINUE;
      END IF;
    END IF;
    EXIT WHEN v_since IS NOT NULL AND NOT EXISTS (SELECT FROM objectlink.unsettled(v_before, v_since) LIMIT 1);
    IF clock_timestamp() >= v_until THEN
      RAISE EXCEPTION 'not in sync after %', timeout USING ERRCODE = 'query_canceled',
        DETAIL = (SELECT format('%s still to be settled; among them: %s.', count(*), min(concat_ws(' in store ', u.what, u.store)))
                  FROM objectlink.unsettled(v_before, coalesce(v_since, clock_timestamp())) u),
        HINT = CASE WHEN NOT EXISTS (SELECT FROM objectlink.live_worker) THEN 'No objectlinkd is connected to this database.'
                    WHEN EXISTS (SELECT FROM objectlink.store s WHERE s.braked_at IS NOT NULL) THEN
                      'Deletions are braked; see views objectlink.problems and objectlink.deletions.'
                    ELSE 'See views objectlink.consistency and objectlink.objects.' END;
    END IF;
    PERFORM pg_sleep(v_sleep_s);
    v_sleep_s := least(v_sleep_s * 1.5, 0.25);
  END LOOP;
END $$;
COMMENT ON PROCEDURE objectlink.wait_for_sync(interval) IS 'returns when everything committed before is settled; SQLSTATE 57014 when that takes longer than timeout';
