-- Who reads the events as a stream, and how long they are kept.

CREATE TABLE objectlink.consumer (
  name        text PRIMARY KEY CHECK (name ~ '^[a-z0-9_-]{1,63}$'),
  created_at  timestamptz NOT NULL DEFAULT now(),
  created_by  name NOT NULL DEFAULT session_user,
  round_from  xid8 NOT NULL,
  round_until xid8,
  read_id     bigint NOT NULL,
  floor_id    bigint NOT NULL,
  next_xid    xid8,
  next_floor  bigint,
  acked_at    timestamptz
);
COMMENT ON TABLE objectlink.consumer IS 'readers of the event stream, and how far each has come';
COMMENT ON COLUMN objectlink.consumer.round_from IS 'events of older transactions are all acknowledged';
COMMENT ON COLUMN objectlink.consumer.round_until IS 'events of older transactions are being read now, in the order of their ids; NULL: none are';
COMMENT ON COLUMN objectlink.consumer.read_id IS 'of those, acknowledged up to this id';
COMMENT ON COLUMN objectlink.consumer.floor_id IS 'no event of round_from or a later transaction has an id up to this one, so it is where to begin to look';
COMMENT ON COLUMN objectlink.consumer.next_xid IS 'and of this or a later transaction none up to next_floor';

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
