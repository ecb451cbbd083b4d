-- The events as a stream: each consumer gets every event once it is committed, none twice after it has acknowledged it, and those of
-- one object in the order in which they happened.
--
-- Ids are given before the commit, so "id greater than the last" loses what commits late. A consumer therefore reads in rounds: all
-- events of transactions that are older than any still under way, in the order of ids; then those of the transactions that have
-- ended since. A transaction that waited for another's lock ends after it, and is in no earlier round. A transaction that stays
-- open delays what comes after it, and loses nothing.
--
-- Transactions are numbered by the cluster. So event.xid is not dumped: what is restored is as if the restoring transaction had
-- written it. What a consumer has kept of such numbers counts only in the installation where it was written down.

-- The role whose rights count, as SECURITY DEFINER hides it.
CREATE FUNCTION objectlink.acting_role() RETURNS name
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN current_setting('role') = 'none' THEN session_user ELSE current_setting('role')::name END
$$;
COMMENT ON FUNCTION objectlink.acting_role() IS 'the role that a session acts as: of SET ROLE, or of its login';

CREATE FUNCTION objectlink.may_use(p objectlink.consumer) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT has_function_privilege(objectlink.acting_role(), 'objectlink.purge_events(timestamptz, int)', 'EXECUTE')
      OR EXISTS (SELECT FROM unnest(p.readers) AS t (reader) JOIN pg_roles r ON r.rolname = t.reader
                 WHERE pg_has_role(objectlink.acting_role(), r.oid, 'USAGE'))
$$;
COMMENT ON FUNCTION objectlink.may_use(objectlink.consumer) IS 'whether the acting role may read a consumer: its own, one granted to it, or any as an admin';

-- Nobody else may use it before this transaction ends.
CREATE FUNCTION objectlink.lock_consumer(p_consumer text) RETURNS objectlink.consumer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v objectlink.consumer;
  v_install uuid := (SELECT i.id FROM objectlink.install i);
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'reading events needs isolation level read committed' USING ERRCODE = 'invalid_transaction_state',
      DETAIL = 'An older snapshot does not show which transactions have ended.';
  END IF;
  -- Asked before it is locked: who may not read it must not hold it up either.
  SELECT * INTO v FROM objectlink.consumer c WHERE c.name = p_consumer;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'consumer "%" does not exist', p_consumer USING ERRCODE = 'undefined_object',
      HINT = 'objectlink.create_consumer() makes one.';
  ELSIF NOT objectlink.may_use(v) THEN
    RAISE EXCEPTION 'permission denied for consumer "%"', p_consumer USING ERRCODE = 'insufficient_privilege',
      DETAIL = format('It belongs to %s.', v.created_by), HINT = format('grant_consumer(%L, ...) lets another role read it.', p_consumer);
  END IF;
  SELECT * INTO v FROM objectlink.consumer c WHERE c.name = p_consumer FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'consumer "%" does not exist', p_consumer USING ERRCODE = 'undefined_object', DETAIL = 'It was dropped just now.';
  END IF;
  IF v.install <> v_install THEN
    UPDATE objectlink.consumer c
      SET install = v_install, round_from = '0', round_until = NULL, read_id = c.floor_id, given_id = c.floor_id, next_xid = NULL, next_floor = NULL
      WHERE c.name = p_consumer RETURNING c.* INTO v;
  END IF;
  RETURN v;
END $$;
COMMENT ON FUNCTION objectlink.lock_consumer(text) IS 'a consumer for this transaction alone, if the acting role may use it';

CREATE FUNCTION objectlink.create_consumer(consumer text, from_beginning boolean DEFAULT false, notify boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_last bigint := (SELECT s.last_value FROM objectlink.event_id_seq s);
BEGIN
  IF consumer IS NULL OR consumer !~ '^[a-z0-9_-]{1,63}$' THEN
    RAISE EXCEPTION 'invalid consumer: %', CASE WHEN consumer IS NULL THEN 'NULL' ELSE format('"%s"', consumer) END USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'A name is 1 to 63 of a to z, 0 to 9, _ and -.';
  ELSIF from_beginning IS NULL OR notify IS NULL THEN
    RAISE EXCEPTION '% must not be NULL', CASE WHEN notify IS NULL THEN 'notify' ELSE 'from_beginning' END USING ERRCODE = 'null_value_not_allowed';
  END IF;
  -- A purge does not see it before this transaction has committed, and would take what it is promised.
  PERFORM objectlink.take_lock(objectlink.event_lock_class(), 0, shared => true, for_session => false, at_once => false);
  -- What is under way now is read, committed or not: it may commit after this. read_id serves views until it has read something.
  INSERT INTO objectlink.consumer (name, created_by, readers, notify, install, round_from, read_id, given_id, floor_id)
  SELECT consumer, objectlink.acting_role(), ARRAY[objectlink.acting_role()], notify, i.id,
         CASE WHEN from_beginning THEN '0'::xid8 ELSE pg_snapshot_xmin(pg_current_snapshot()) END, CASE WHEN from_beginning THEN 0 ELSE v_last END, 0, 0
  FROM objectlink.install i;
EXCEPTION WHEN unique_violation THEN
  RAISE EXCEPTION 'consumer "%" exists already', consumer USING ERRCODE = 'duplicate_object';
END $$;
COMMENT ON FUNCTION objectlink.create_consumer(text, boolean, boolean) IS 'a new reader of the event stream: from now on, or from the oldest event';

CREATE FUNCTION objectlink.drop_consumer(consumer text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
BEGIN
  DELETE FROM objectlink.consumer c WHERE c.name = v.name;
END $$;
COMMENT ON FUNCTION objectlink.drop_consumer(text) IS 'ends a consumer; its events are no longer kept for it';

CREATE FUNCTION objectlink.grant_consumer(consumer text, role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
BEGIN
  UPDATE objectlink.consumer c SET readers = c.readers || r.rolname
  FROM pg_roles r WHERE r.oid = role AND c.name = v.name AND NOT r.rolname = ANY (c.readers);
END $$;
COMMENT ON FUNCTION objectlink.grant_consumer(text, regrole) IS 'lets another role read and acknowledge a consumer''s events, and drop it';

CREATE FUNCTION objectlink.revoke_consumer(consumer text, role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
BEGIN
  UPDATE objectlink.consumer c SET readers = array_remove(c.readers, r.rolname) FROM pg_roles r WHERE r.oid = role AND c.name = v.name;
END $$;
COMMENT ON FUNCTION objectlink.revoke_consumer(text, regrole) IS 'takes that back; also from the role that made it';

CREATE FUNCTION objectlink.set_consumer_notify(consumer text, notify boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
BEGIN
  IF notify IS NULL THEN
    RAISE EXCEPTION 'notify must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  UPDATE objectlink.consumer c SET notify = notify WHERE c.name = v.name;
END $$;
COMMENT ON FUNCTION objectlink.set_consumer_notify(text, boolean) IS 'whether the daemon sends NOTIFY objectlink_events for a consumer';

-- A doorbell, as the events of others may be under way: who was rung reads, and reads from time to time anyway.
CREATE FUNCTION objectlink.notify_consumers() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- One notification, however many ask for it: what is equal PostgreSQL sends once a transaction.
  IF EXISTS (SELECT FROM objectlink.consumer c WHERE c.notify) THEN
    PERFORM pg_notify('objectlink_events', '');
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.notify_consumers() IS 'for the daemon, where it has written events: rings for the consumers that asked for it, at most once a transaction';

CREATE FUNCTION objectlink.read_events(consumer text, max_events int DEFAULT 1000)
RETURNS TABLE (id bigint, at timestamptz, store name, key text, from_state text, to_state text, cause text, detail jsonb, actor name,
               attempt int, request_id text, attachment_id int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
#variable_conflict use_column
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
  v_was objectlink.consumer := v;
  -- First this, then the snapshot: what gets its number after the snapshot gets larger ids, as the number comes before the id.
  v_last bigint := (SELECT s.last_value FROM objectlink.event_id_seq s);
  v_snapshot pg_snapshot := pg_current_snapshot();
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
    v.given_id := v.floor_id;
    IF NOT EXISTS (SELECT FROM objectlink.event e WHERE e.id > v.read_id AND e.xid >= v.round_from AND e.xid < v.round_until) THEN
      v.round_from := v.round_until;
      v.round_until := NULL;
      -- Nothing is written for a round without events, unless it saves looking there again and again.
      IF v_last - v_was.floor_id > objectlink.idle_floor_lag_max() AND (v.floor_id, v.next_xid) IS DISTINCT FROM (v_was.floor_id, v_was.next_xid)
         OR v.read_at IS NULL OR v.read_at < clock_timestamp() - interval '1 minute' THEN
        UPDATE objectlink.consumer c
        SET round_from = v.round_from, round_until = NULL, read_id = v.read_id, given_id = v.given_id, floor_id = v.floor_id, next_xid = v.next_xid,
            next_floor = v.next_floor, read_at = clock_timestamp()
        WHERE c.name = v.name;
      END IF;
      RETURN;
    END IF;
  END IF;
  FOR id, at, store, key, from_state, to_state, cause, detail, actor, attempt, request_id, attachment_id IN
    SELECT e.id, e.at, s.name, e.key, e.from_state, e.to_state, e.cause, e.detail, e.actor, e.attempt, e.request_id, e.attachment_id
    FROM (SELECT * FROM objectlink.event i
          WHERE i.id > v.read_id AND i.xid >= v.round_from AND i.xid < v.round_until ORDER BY i.id LIMIT max_events) e
    LEFT JOIN objectlink.store s ON s.id = e.store_id ORDER BY e.id
  LOOP
    v.given_id := greatest(v.given_id, id);
    RETURN NEXT;
  END LOOP;
  UPDATE objectlink.consumer c
  SET round_from = v.round_from, round_until = v.round_until, read_id = v.read_id, given_id = v.given_id, floor_id = v.floor_id,
      next_xid = v.next_xid, next_floor = v.next_floor, read_at = clock_timestamp()
  WHERE c.name = v.name;
END $$;
COMMENT ON FUNCTION objectlink.read_events(text, int) IS 'the next events for a consumer, which nobody else can read before this transaction ends; the same again until they are acknowledged';

CREATE FUNCTION objectlink.ack_events(consumer text, up_to bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v objectlink.consumer := objectlink.lock_consumer(consumer);
  v_xid xid8 := (SELECT e.xid FROM objectlink.event e WHERE e.id = up_to);
  v_count bigint;
BEGIN
  IF up_to IS NULL OR up_to <= v.read_id OR v_xid < v.round_from THEN
    RETURN 0;  -- nothing was read; or once more, after a reply that was lost, or by another session that had read the same
  END IF;
  IF v_xid IS NULL OR v.round_until IS NULL OR v_xid >= v.round_until OR up_to > v.given_id THEN
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

-- The oldest first, by the index of ids: what is to go lies together. The caller holds the lock, so it sees every consumer.
CREATE FUNCTION objectlink.delete_read_events(p_before timestamptz, p_at_most int) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_install uuid := (SELECT i.id FROM objectlink.install i);
  v_count bigint;
BEGIN
  DELETE FROM objectlink.event e
  WHERE e.id IN (SELECT i.id FROM (SELECT o.id, o.at, o.xid FROM objectlink.event o ORDER BY o.id LIMIT p_at_most) i
                 WHERE i.at < p_before
                   AND NOT EXISTS (SELECT FROM objectlink.consumer c
                                   WHERE i.id > c.floor_id AND (i.xid >= c.round_from OR c.install <> v_install)));
  GET DIAGNOSTICS v_count = ROW_COUNT;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.delete_read_events(timestamptz, int) IS 'deletes the oldest events that are older than this, and that every consumer has acknowledged';

CREATE FUNCTION objectlink.purge_events(before timestamptz, at_most int DEFAULT 1000000) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF before IS NULL THEN
    RAISE EXCEPTION 'before must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF at_most IS NULL OR at_most < 1 THEN
    RAISE EXCEPTION 'invalid at_most: %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value';
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'purging events needs isolation level read committed' USING ERRCODE = 'invalid_transaction_state',
      DETAIL = 'An older snapshot does not show every consumer.';
  END IF;
  PERFORM objectlink.take_lock(objectlink.event_lock_class(), 0, shared => false, for_session => false, at_once => false);
  RETURN objectlink.delete_read_events(before, at_most);
END $$;
COMMENT ON FUNCTION objectlink.purge_events(timestamptz, int) IS 'deletes the oldest events that are older than this, and that every consumer has acknowledged; says how many';

CREATE FUNCTION objectlink.expired_at_once() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 20000 $$;
COMMENT ON FUNCTION objectlink.expired_at_once() IS 'events that a daemon deletes at once when their retention is over';

CREATE FUNCTION objectlink.expire_events(p_before timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Somebody purges, or makes a consumer, in a transaction that may stay open: the daemon waits for nobody.
  IF NOT objectlink.take_lock(objectlink.event_lock_class(), 0, shared => false, for_session => false, at_once => true) THEN
    RETURN 0;
  END IF;
  RETURN objectlink.delete_read_events(p_before, objectlink.expired_at_once());
END $$;
COMMENT ON FUNCTION objectlink.expire_events(timestamptz) IS 'for look_after(): purges some events, unless it would have to wait';
