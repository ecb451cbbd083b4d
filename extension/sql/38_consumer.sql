-- Who reads the events as a stream, and how long they are kept.

CREATE TABLE objectlink.consumer (
  name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9_-]{1,63}$'),
  created_at  timestamptz NOT NULL DEFAULT now(),
  created_by  name NOT NULL,
  readers     name[] NOT NULL,
  notify      boolean NOT NULL,
  install     uuid NOT NULL,
  round_from  xid8 NOT NULL,
  round_until xid8,
  read_id     bigint NOT NULL,
  given_id    bigint NOT NULL,
  floor_id    bigint NOT NULL,
  next_xid    xid8,
  next_floor  bigint,
  read_at     timestamptz,
  acked_at    timestamptz
);
COMMENT ON TABLE objectlink.consumer IS 'readers of the event stream, and how far each has come';
COMMENT ON COLUMN objectlink.consumer.readers IS 'the roles that may read it, by name, so that a dump keeps them: whoever made it, and whom it was granted to';
COMMENT ON COLUMN objectlink.consumer.notify IS 'the daemon sends NOTIFY objectlink_events when it has written events';
COMMENT ON COLUMN objectlink.consumer.install IS 'the installation whose transactions are meant by the numbers here; in a restored database they mean nothing, and reading goes on behind floor_id';
COMMENT ON COLUMN objectlink.consumer.round_from IS 'events of older transactions are all acknowledged';
COMMENT ON COLUMN objectlink.consumer.round_until IS 'events of older transactions are being read now, in the order of their ids; NULL: none are';
COMMENT ON COLUMN objectlink.consumer.read_id IS 'of those, acknowledged up to this id';
COMMENT ON COLUMN objectlink.consumer.given_id IS 'and read up to this one: nothing behind it can be acknowledged';
COMMENT ON COLUMN objectlink.consumer.floor_id IS 'no event of round_from or a later transaction has an id up to this one, so it is where to begin to look';
COMMENT ON COLUMN objectlink.consumer.next_xid IS 'and of this or a later transaction none up to next_floor';
COMMENT ON COLUMN objectlink.consumer.read_at IS 'when it last read, to the minute';

CREATE TABLE objectlink.event_policy (
  only_one  boolean PRIMARY KEY DEFAULT true CHECK (only_one),
  retention interval CHECK (retention BETWEEN '1 hour' AND '3650 days')
);
COMMENT ON TABLE objectlink.event_policy IS 'at most one row: how long events are kept; none: 400 days';
COMMENT ON COLUMN objectlink.event_policy.retention IS 'NULL: until somebody calls purge_events()';

CREATE FUNCTION objectlink.event_retention() RETURNS interval
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_retention interval := interval '400 days';
BEGIN
  -- Not inserted with the extension: a restore would insert it a second time.
  SELECT p.retention INTO v_retention FROM objectlink.event_policy p
  UNION ALL SELECT v_retention WHERE NOT EXISTS (SELECT FROM objectlink.event_policy);
  RETURN v_retention;
END $$;
COMMENT ON FUNCTION objectlink.event_retention() IS 'how long events are kept; NULL: until purge_events() is called';

CREATE FUNCTION objectlink.consumer_late_after() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '1 day' $$;
COMMENT ON FUNCTION objectlink.consumer_late_after() IS 'a consumer that has not acknowledged an event for longer than this is in view problems';
CREATE FUNCTION objectlink.idle_floor_lag_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION objectlink.idle_floor_lag_max() IS 'ids that a consumer which finds nothing looks through again each time, before it writes down that there is nothing';
CREATE FUNCTION objectlink.event_lock_class() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1869376622 $$;
COMMENT ON FUNCTION objectlink.event_lock_class() IS 'first key of the advisory lock that keeps events from being purged while a consumer is made';
