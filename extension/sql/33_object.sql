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
  held_reason   text,
  keep_until    timestamptz,
  admin_hold    text,
  linked_by     int[],
  unlinked_by   text,
  unlinked_via  int,
  unlinked_relation text,
  unlinked_act  text,
  unlinked_row  jsonb,
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
  failing_since timestamptz,
  discarded_at  timestamptz,
  unmarked      boolean NOT NULL DEFAULT false,
  -- No foreign key to store: its row check would cost as much as the insert, and stores are never removed.
  CONSTRAINT object_pkey PRIMARY KEY (store_id, key),
  -- A request to delete it may be on its way: it will never again be said to be there.
  CONSTRAINT object_issued CHECK (issued_at IS NULL OR state = 'deleting'),
  -- What is held is not due. While it is 'deleting' it was found to be held after it was condemned, and goes back.
  CONSTRAINT object_held CHECK (held_reason IS NULL OR state = 'unlinked' AND due_at IS NULL OR state = 'deleting' AND issued_at IS NULL),
  CONSTRAINT object_admin_hold CHECK (admin_hold IS NULL OR state <> 'unlinked' OR due_at IS NULL)
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_analyze_scale_factor = 0.05);
-- What waits to be deleted has an index of its own: while a store's deletions are held or braked there may be millions
-- of them, due and not to be touched, and all other work must be found without reading through them.
CREATE INDEX object_due ON objectlink.object (store_id, due_at) WHERE due_at IS NOT NULL AND state <> 'unlinked';
CREATE INDEX object_unlinked ON objectlink.object (store_id, due_at) WHERE state = 'unlinked';
CREATE INDEX object_held ON objectlink.object (store_id, held_reason) WHERE held_reason IS NOT NULL;
CREATE INDEX object_admin_hold ON objectlink.object (store_id, admin_hold) WHERE admin_hold IS NOT NULL;
CREATE INDEX object_trouble ON objectlink.object (store_id, state)
  WHERE state IN ('failed', 'missing', 'corrupt') OR state = 'unlinked' AND last_error IS NOT NULL OR state = 'deleting' AND attempts > 0;
COMMENT ON TABLE objectlink.object IS 'the registry: what each object should be and what was last proved of it';
COMMENT ON COLUMN objectlink.object.since IS 'when the object entered its state';
COMMENT ON COLUMN objectlink.object.wanted_since IS 'when it was last found to be linked, or unlinked';
COMMENT ON COLUMN objectlink.object.unlinked_at IS 'start of the latest statement known to have unlinked it';
COMMENT ON COLUMN objectlink.object.unmarked IS 'it was unlinked, or not known any more, and a row links it whose mark was taken away: what was there once, and is not, is missing';
COMMENT ON COLUMN objectlink.object.held_reason IS 'unlinked: why it is not deleted until somebody releases it, for a reason of its own: its policy, or a drop. An admin''s hold is another one, and neither ends with the other';
COMMENT ON COLUMN objectlink.object.keep_until IS 'not deleted before, as the policies of all attachments say that linked it and no longer do; infinity: kept; -infinity: a person has decided, and no policy is asked again';
COMMENT ON COLUMN objectlink.object.admin_hold IS 'why an admin holds it, linked or not, until it is released';
COMMENT ON COLUMN objectlink.object.linked_by IS 'the attachments by which rows link it, if there are several; NULL: at most attachment_id does';
COMMENT ON COLUMN objectlink.object.unlinked_by IS 'the role of that statement; of what was never linked, the role that handed it over. This and the next ones are NULL while a row links it';
COMMENT ON COLUMN objectlink.object.unlinked_via IS 'the attachment of the row that unlinked it';
COMMENT ON COLUMN objectlink.object.unlinked_relation IS 'the table of that row, by its name at that time';
COMMENT ON COLUMN objectlink.object.unlinked_act IS 'what took the link away: delete, update, truncate...';
COMMENT ON COLUMN objectlink.object.unlinked_row IS 'the primary key of that row';
COMMENT ON COLUMN objectlink.object.attachment_id IS 'an attachment by which a row links it (or last did): of several, the one that keeps it longest';
COMMENT ON COLUMN objectlink.object.attempts IS 'tries in this state that failed for a reason of the object itself';
COMMENT ON COLUMN objectlink.object.due_at IS 'when the daemon looks at it next; NULL: nothing to do';
COMMENT ON COLUMN objectlink.object.verified_at IS 'last proof that the store has it';
COMMENT ON COLUMN objectlink.object.issued_at IS 'deleting: from here on a request to delete it may be on its way';
COMMENT ON COLUMN objectlink.object.issued_epoch IS 'deleting: the owner that issued it; another one must treat its outcome as unknown';
COMMENT ON COLUMN objectlink.object.put_unknown_until IS 'until then an upload whose outcome nobody knows may still arrive, even if another one succeeded';
COMMENT ON COLUMN objectlink.object.last_error IS 'what the last failed try said';
COMMENT ON COLUMN objectlink.object.failing_since IS 'when the first of the tries failed that count in attempts; unlinked: a deletion was given up since it was last proved to be there, so a new link has to look';
COMMENT ON COLUMN objectlink.object.discarded_at IS 'failed: when a person discarded its dead letter; if it failed again since, that counts anew';

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

CREATE SEQUENCE objectlink.event_id_seq;
-- Declared as what it is not, since a generated column asks for it. It is computed once for each statement, when that begins.
CREATE FUNCTION objectlink.writing_transaction() RETURNS xid8
LANGUAGE internal IMMUTABLE PARALLEL UNSAFE AS 'pg_current_xact_id';
COMMENT ON FUNCTION objectlink.writing_transaction() IS 'the transaction that inserts a row';

CREATE TABLE objectlink.event (
  -- The transaction gets its number before the event gets its id: by that consumers know where not to look any more.
  id            bigint PRIMARY KEY DEFAULT CASE WHEN pg_current_xact_id() IS NOT NULL THEN nextval('objectlink.event_id_seq') END,
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
  detail        jsonb,
  -- Generated, so that a dump leaves it out: the numbers of another cluster would mean nothing.
  xid           xid8 NOT NULL GENERATED ALWAYS AS (objectlink.writing_transaction()) STORED
);
ALTER SEQUENCE objectlink.event_id_seq OWNED BY objectlink.event.id;
COMMENT ON SEQUENCE objectlink.event_id_seq IS 'ids of events, given in the order in which they are written';
CREATE INDEX event_key ON objectlink.event (store_id, key, id);
COMMENT ON TABLE objectlink.event IS 'every change of an object''s state: what, why, who, and the store''s request id';
COMMENT ON COLUMN objectlink.event.cause IS 'why: link, unlink, put, upload, verify, delete...';
COMMENT ON COLUMN objectlink.event.xid IS 'the transaction that wrote it (or restored it): by it consumers see what has ended';
COMMENT ON COLUMN objectlink.event.actor IS 'who caused it: the role whose transaction touched the row, or the daemon''s own';
