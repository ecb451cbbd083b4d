-- The registry: one row per known object. It says what should be and what was last proved;
-- the daemon closes the difference. Only the functions of this extension write it.

CREATE TABLE objectlink.object (
  store_id      int NOT NULL,
  key           text COLLATE "C" NOT NULL,
  state         text COLLATE "C" NOT NULL
                CHECK (state IN ('reserved', 'pending', 'stored', 'missing', 'corrupt', 'failed', 'unlinked', 'deleting')),
  since         timestamptz NOT NULL,
  wanted_since  timestamptz NOT NULL DEFAULT clock_timestamp(),
  attachment_id int,
  unlinked_at   timestamptz,
  attempts      int NOT NULL DEFAULT 0,
  due_at        timestamptz,
  size          bigint,
  verified_at   timestamptz,
  issued_at     timestamptz,
  issued_epoch  bigint,
  put_unknown_until timestamptz,
  sha256        bytea,
  etag          text,
  version_id    text,
  content_type  text,
  tenant        text,
  error_class   text,
  error_code    text,
  last_error    text,
  request_id    text,
  -- No foreign key to store: its row check would cost as much as the insert, and stores are never removed.
  CONSTRAINT object_pkey PRIMARY KEY (store_id, key),
  -- A request to delete it may be on its way: it will never again be said to be there.
  CONSTRAINT object_issued CHECK (issued_at IS NULL OR state = 'deleting')
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
CREATE INDEX object_due ON objectlink.object (store_id, due_at) WHERE due_at IS NOT NULL;
COMMENT ON TABLE objectlink.object IS 'the registry: what each object should be and what was last proved of it';
COMMENT ON COLUMN objectlink.object.since IS 'when the object entered its state';
COMMENT ON COLUMN objectlink.object.wanted_since IS 'when it was last found to be linked, or unlinked';
COMMENT ON COLUMN objectlink.object.unlinked_at IS 'start of the latest transaction known to have unlinked it';
COMMENT ON COLUMN objectlink.object.attachment_id IS 'an attachment by which a row links it (or last did)';
COMMENT ON COLUMN objectlink.object.attempts IS 'tries in this state that failed for a reason of the object itself';
COMMENT ON COLUMN objectlink.object.due_at IS 'when the daemon looks at it next; NULL: nothing to do';
COMMENT ON COLUMN objectlink.object.verified_at IS 'last proof that the store has it';
COMMENT ON COLUMN objectlink.object.issued_at IS 'deleting: from here on a request to delete it may be on its way';
COMMENT ON COLUMN objectlink.object.issued_epoch IS 'deleting: the owner that issued it; another one must treat its outcome as unknown';
COMMENT ON COLUMN objectlink.object.put_unknown_until IS 'until then an upload whose outcome nobody knows may still arrive, even if another one succeeded';
COMMENT ON COLUMN objectlink.object.last_error IS 'what the last failed try said';

-- Content handed to put(), kept until the store has proved that it holds it.
CREATE TABLE objectlink.payload (
  ref          objectlink.storage_ref NOT NULL,
  size         bigint NOT NULL,
  sha256       bytea NOT NULL,
  md5          bytea NOT NULL,
  content_type text,
  chosen_key   boolean NOT NULL,
  created_at   timestamptz NOT NULL DEFAULT now(),
  content      bytea NOT NULL,
  CONSTRAINT payload_pkey PRIMARY KEY (ref)
);
-- Uncompressed, so that a piece can be read without reading what is before it.
ALTER TABLE objectlink.payload ALTER COLUMN content SET STORAGE EXTERNAL;
COMMENT ON TABLE objectlink.payload IS 'content of put() that is not yet proved to be in its store';
COMMENT ON COLUMN objectlink.payload.chosen_key IS 'the caller chose the key, so something else may be there: the daemon looks before it uploads';

CREATE TABLE objectlink.event (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  at            timestamptz NOT NULL DEFAULT clock_timestamp(),
  store_id      int,
  key           text COLLATE "C",
  from_state    text COLLATE "C",
  to_state      text COLLATE "C",
  cause         text NOT NULL,
  attachment_id int,
  actor         name NOT NULL DEFAULT session_user,
  attempt       int,
  request_id    text,
  detail        jsonb
);
CREATE INDEX event_key ON objectlink.event (store_id, key, id);
COMMENT ON TABLE objectlink.event IS 'every change of an object''s state: what, why, who, and the store''s request id';
COMMENT ON COLUMN objectlink.event.cause IS 'why: link, unlink, put, upload, verify, delete...';
COMMENT ON COLUMN objectlink.event.actor IS 'who caused it: the role whose transaction touched the row, or the daemon''s own';
