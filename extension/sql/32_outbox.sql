-- The outbox: append-only and unindexed, written by the triggers in the user's transaction,
-- consumed by physical position. A row says that a key was touched, never what follows from it.

CREATE TABLE objectlink.outbox (
  op            "char" NOT NULL,
  attachment_id int,
  ref           objectlink.storage_ref,
  relid         regclass,
  xid           xid8 NOT NULL,
  at            timestamptz NOT NULL,
  role          oid,
  image         jsonb
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 50000,
        autovacuum_vacuum_insert_threshold = -1, autovacuum_analyze_threshold = 100000);
-- Without an index, a publication FOR ALL TABLES would otherwise make the consuming DELETE fail.
ALTER TABLE objectlink.outbox REPLICA IDENTITY FULL;
COMMENT ON TABLE objectlink.outbox IS 'keys touched by committed transactions and not yet applied to the registry';
COMMENT ON COLUMN objectlink.outbox.op IS 'L link, U unlink, P put, T truncate';
COMMENT ON COLUMN objectlink.outbox.relid IS 'the table of the row, or the one that was truncated; NULL: said by put() or by a walk';
COMMENT ON COLUMN objectlink.outbox.xid IS 'the transaction that touched the key';
COMMENT ON COLUMN objectlink.outbox.at IS 'when the statement began that touched it';
COMMENT ON COLUMN objectlink.outbox.role IS 'the role whose session touched it';
COMMENT ON COLUMN objectlink.outbox.image IS 'unlink and truncate: by which act, from which relation and, if it has a primary key, from which row';

-- Keys whose deletion is under way: the trigger refuses to link them.
CREATE TABLE objectlink.condemned (
  ref           objectlink.storage_ref NOT NULL,
  condemned_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
  release_after timestamptz,
  watched       boolean NOT NULL DEFAULT false,
  sha256        bytea,
  attachment_id int,
  CONSTRAINT condemned_pkey PRIMARY KEY (ref)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE objectlink.condemned IS 'keys that may not be linked now, because a request to delete them may still reach the store';
COMMENT ON COLUMN objectlink.condemned.release_after IS 'the object is gone; the mark stays until its last request can no longer arrive';
COMMENT ON COLUMN objectlink.condemned.watched IS 'that request may be an upload: its key is looked at once more when the mark goes';
COMMENT ON COLUMN objectlink.condemned.sha256 IS 'watched: digest of what that upload would bring; anything else is somebody else''s';

-- One row that says whether the drainer sleeps. Unlogged: after a crash it is empty, which means awake.
CREATE UNLOGGED TABLE objectlink.doorbell (
  asleep boolean NOT NULL
) WITH (fillfactor = 10);
COMMENT ON TABLE objectlink.doorbell IS 'at most one row: whether the drainer sleeps and wants to be notified';

CREATE FUNCTION objectlink.set_asleep(p_asleep boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE objectlink.doorbell SET asleep = p_asleep;
  IF NOT FOUND THEN
    INSERT INTO objectlink.doorbell VALUES (p_asleep);
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.set_asleep(boolean) IS 'for the drainer: asks the triggers to notify, or not to';
