-- The events as a stream: each consumer gets every event once it is committed, none twice after it has acknowledged it, and those of
-- one object in the order in which they happened.
--
-- Ids are given before the commit, so "id greater than the last" loses what commits late. A consumer therefore reads in rounds: all
-- events of transactions that are older than any still under way, in the order of ids; then those of the transactions that have
-- ended since. A transaction that waited for another's lock ends after it, and is in no earlier round. A transaction that stays
-- open delays what comes after it, and loses nothing.

CREATE FUNCTION objectlink.create_consumer(consumer text, from_beginning boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF consumer IS NULL OR consumer !~ '^[a-z0-9_-]{1,63}$' THEN
    RAISE EXCEPTION 'invalid consumer: %', CASE WHEN consumer IS NULL THEN 'NULL' ELSE format('"%s"', consumer) END USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'A name is 1 to 63 of a to z, 0 to 9, _ and -.';
  END IF;
  -- What is under way now is read, committed or not: it may commit after this.
  INSERT INTO objectlink.consumer (name, round_from, read_id, floor_id)
  VALUES (consumer, CASE WHEN from_beginning THEN '0'::xid8 ELSE pg_snapshot_xmin(pg_current_snapshot()) END, 0, 0);
EXCEPTION WHEN unique_violation THEN
  RAISE EXCEPTION 'consumer "%" exists already', consumer USING ERRCODE = 'duplicate_object';
END $$;
COMMENT ON FUNCTION objectlink.create_consumer(text, boolean) IS 'a new reader of the event stream: from now on, or from the oldest event';

CREATE FUNCTION objectlink.drop_consumer(consumer text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  DELETE FROM objectlink.consumer c WHERE c.name = consumer;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'consumer "%" does not exist', consumer USING ERRCODE = 'undefined_object';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.drop_consumer(text) IS 'ends a consumer; its events are no longer kept for it';

CREATE FUNCTION objectlink.lock_consumer(p_consumer text) RETURNS objectlink.consumer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v objectlink.consumer;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'reading events needs isolation level read committed' USING ERRCODE = 'invalid_transaction_state',
      DETAIL = 'An older snapshot does not show which transactions have ended.';
  END IF;
  SELECT * INTO v FROM objectlink.consumer c WHERE c.name = p_consumer FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'consumer "%" does not exist', p_consumer USING ERRCODE = 'undefined_object',
      HINT = 'objectlink.create_consumer() makes one.';
  END IF;
  RETURN v;
END $$;
COMMENT ON FUNCTION objectlink.lock_consumer(text) IS 'a consumer for this transaction alone';

CREATE FUNCTION objectlink.read_events(consumer text, max_events int DEFAULT 1000)
RETURNS TABLE (id bigint, at timestamptz, store name, key text, from_state text, to_state text, cause text, detail jsonb, actor name,
               attempt int, request_id text, attachment_id int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
  -- First this, then the snapshot: what gets its number after the snapshot gets larger ids.
  v_last bigint := (SELECT s.last_value FROM objectlink.event_id_seq s);
  v_snapshot pg_snapshot;
BEGIN
  IF max_events IS NULL OR max_events NOT BETWEEN 1 AND 100000 THEN
    RAISE EXCEPTION 'invalid max_events: %', coalesce(max_events::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be between 1 and 100000.';
  END IF;
  IF v.round_until IS NOT NULL
     AND NOT EXISTS (SELECT FROM objectlink.event e WHERE e.id > v.read_id AND e.xid >= v.round_from AND e.xid < v.round_until) THEN
    v.round_from := v.round_until;  -- somebody has deleted what was left of it
    v.round_until := NULL;
  END IF;
  IF v.round_until IS NULL THEN
    v_snapshot := pg_current_snapshot();
    IF v.round_from > pg_snapshot_xmax(v_snapshot) THEN
      -- Restored into another cluster, whose transactions have other numbers: what was restored is committed.
      UPDATE objectlink.event e SET xid = '0' WHERE e.xid > pg_snapshot_xmax(v_snapshot);
      v.round_from := '0';
      v.next_xid := NULL;
    END IF;
    IF v.round_from >= v.next_xid THEN
      v.floor_id := v.next_floor;
      v.next_xid := NULL;
    END IF;
    IF v.next_xid IS NULL THEN
      v.next_xid := pg_snapshot_xmax(v_snapshot);
      v.next_floor := v_last;
    END IF;
    v.round_until := pg_snapshot_xmin(v_snapshot);
    v.read_id := v.floor_id;
    -- A round without events is none: nothing is written for it.
    IF NOT EXISTS (SELECT FROM objectlink.event e WHERE e.id > v.read_id AND e.xid >= v.round_from AND e.xid < v.round_until) THEN
      RETURN;
    END IF;
    UPDATE objectlink.consumer c
    SET round_from = v.round_from, round_until = v.round_until, read_id = v.read_id, floor_id = v.floor_id, next_xid = v.next_xid, next_floor = v.next_floor
    WHERE c.name = v.name;
  END IF;
  RETURN QUERY
    SELECT e.id, e.at, s.name, e.key, e.from_state, e.to_state, e.cause, e.detail, e.actor, e.attempt, e.request_id, e.attachment_id
    FROM (SELECT * FROM objectlink.event i
          WHERE i.id > v.read_id AND i.xid >= v.round_from AND i.xid < v.round_until ORDER BY i.id LIMIT max_events) e
    LEFT JOIN objectlink.store s ON s.id = e.store_id ORDER BY e.id;
END $$;
COMMENT ON FUNCTION objectlink.read_events(text, int) IS 'the next events for a consumer, which nobody else can read before this transaction ends; the same again until they are acknowledged';

CREATE FUNCTION objectlink.ack_events(consumer text, up_to bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
  v_count bigint;
BEGIN
  IF up_to IS NULL OR up_to <= v.read_id THEN
    RETURN 0;  -- nothing was read; or once more, after a reply that was lost
  END IF;
  IF v.round_until IS NULL OR NOT EXISTS (SELECT FROM objectlink.event e WHERE e.id = up_to AND e.xid >= v.round_from AND e.xid < v.round_until) THEN
    RAISE EXCEPTION 'event % was not read by consumer "%"', up_to, consumer USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'Acknowledged is the id of the last event that read_events() gave and that was dealt with.';
  END IF;
  SELECT count(*) INTO v_count FROM objectlink.event e
    WHERE e.id > v.read_id AND e.id <= up_to AND e.xid >= v.round_from AND e.xid < v.round_until;
  IF EXISTS (SELECT FROM objectlink.event e WHERE e.id > up_to AND e.xid >= v.round_from AND e.xid < v.round_until) THEN
    UPDATE objectlink.consumer c SET read_id = up_to, acked_at = clock_timestamp() WHERE c.name = v.name;
  ELSE
    UPDATE objectlink.consumer c SET round_from = v.round_until, round_until = NULL, read_id = up_to, acked_at = clock_timestamp() WHERE c.name = v.name;
  END IF;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.ack_events(text, bigint) IS 'a consumer has dealt with the events it read, up to this one; says how many that are. With the transaction it may roll back, and they are read again';

CREATE FUNCTION objectlink.set_event_retention(retention interval) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  IF retention NOT BETWEEN interval '1 hour' AND interval '3650 days' THEN
    RAISE EXCEPTION 'invalid retention: %', retention USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be between 1 hour and 3650 days, or NULL: events are kept until purge_events() is called.';
  END IF;
  INSERT INTO objectlink.event (cause, detail)
    VALUES ('event retention', jsonb_build_object('from', objectlink.event_retention(), 'to', retention));
  INSERT INTO objectlink.event_policy AS p (retention) VALUES (retention)
    ON CONFLICT ON CONSTRAINT event_policy_pkey DO UPDATE SET retention = EXCLUDED.retention;
END $$;
COMMENT ON FUNCTION objectlink.set_event_retention(interval) IS 'how long events are kept; NULL: until purge_events() is called';

-- The oldest first, by the index of ids: what is to go lies together, and a look at one row says that there is nothing.
CREATE FUNCTION objectlink.purge_events(before timestamptz, at_most int DEFAULT 1000000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_unread xid8 := (SELECT min(c.round_from::text::numeric)::text::xid8 FROM objectlink.consumer c);
  v_count bigint;
BEGIN
  IF before IS NULL THEN
    RAISE EXCEPTION 'before must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF at_most IS NULL OR at_most < 1 THEN
    RAISE EXCEPTION 'invalid at_most: %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value';
  END IF;
  DELETE FROM objectlink.event e
  WHERE e.id IN (SELECT i.id FROM (SELECT o.id, o.at, o.xid FROM objectlink.event o ORDER BY o.id LIMIT at_most) i
                 WHERE i.at < before AND (v_unread IS NULL OR i.xid < v_unread));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.purge_events(timestamptz, int) IS 'deletes the oldest events that are older than this, and that every consumer has read; says how many';

CREATE FUNCTION objectlink.expired_at_once() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 20000 $$;
COMMENT ON FUNCTION objectlink.expired_at_once() IS 'events that a daemon deletes at once when their retention is over';
