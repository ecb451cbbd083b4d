-- Quarantine: objects that nobody links, moved aside within their store. Each has a row before anything is copied, so no copy is
-- ever forgotten; the original goes by the only path that deletes, and only when its copy is proved.

CREATE TABLE objectlink.quarantine (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  store_id      int NOT NULL,
  key           text COLLATE "C" NOT NULL,
  copy_key      text COLLATE "C" NOT NULL,
  finding_id    bigint NOT NULL,
  state         text NOT NULL DEFAULT 'copying' CHECK (state IN ('copying', 'copied', 'held', 'releasing', 'ending')),
  since         timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at        timestamptz DEFAULT clock_timestamp(),
  attempts      int NOT NULL DEFAULT 0,
  size          bigint NOT NULL,
  etag          text NOT NULL,
  copy_etag     text,
  copy_version  text,
  requested_by  name NOT NULL,
  reason        text,
  ending        text CHECK (ending IN ('not needed', 'released', 'purged')),
  unknown_until timestamptz,
  issued_at     timestamptz,
  issued_epoch  bigint,
  last_error    text,
  CONSTRAINT quarantine_ending CHECK ((ending IS NOT NULL) = (state = 'ending')),
  CONSTRAINT quarantine_at_rest CHECK ((due_at IS NULL) = (state = 'held'))
);
CREATE UNIQUE INDEX quarantine_moving ON objectlink.quarantine (finding_id) WHERE state IN ('copying', 'copied');
CREATE INDEX quarantine_due ON objectlink.quarantine (store_id, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX quarantine_key ON objectlink.quarantine (store_id, key);
COMMENT ON TABLE objectlink.quarantine IS 'objects that were moved aside, are being moved, or come back; a row goes with its copy';
COMMENT ON COLUMN objectlink.quarantine.copy_key IS 'where its copy lies, below .objectlink/quarantine/; a key that is used once';
COMMENT ON COLUMN objectlink.quarantine.state IS 'copying: a copy may be there; copied: it is proved, and the original goes; held: the copy is all there is; releasing: it is copied back; ending: the copy goes';
COMMENT ON COLUMN objectlink.quarantine.due_at IS 'when the daemon takes the next step; NULL: it rests';
COMMENT ON COLUMN objectlink.quarantine.size IS 'of the object as it was found, and below its ETag; copy_etag, copy_version: of the copy as it was proved';
COMMENT ON COLUMN objectlink.quarantine.ending IS 'why the copy goes: the original stayed, or is back, or somebody said so';
COMMENT ON COLUMN objectlink.quarantine.unknown_until IS 'copying: until then a copy whose reply was lost may still arrive, and the row does not go';
COMMENT ON COLUMN objectlink.quarantine.issued_epoch IS 'copying: the owner that was told to copy; what one that vanished has sent may still arrive';
COMMENT ON COLUMN objectlink.quarantine.issued_at IS 'ending: from here on a request to delete the copy may be on its way';

CREATE FUNCTION objectlink.quarantine_bytes_max() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 5368709120 $$;
COMMENT ON FUNCTION objectlink.quarantine_bytes_max() IS 'the largest object that S3 copies in one request';
CREATE FUNCTION objectlink.quarantine_attempts_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 10 $$;
COMMENT ON FUNCTION objectlink.quarantine_attempts_max() IS 'tries to copy an object that the store refuses, before it is left where it is';
CREATE FUNCTION objectlink.quarantine_steps_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 50 $$;
COMMENT ON FUNCTION objectlink.quarantine_steps_max() IS 'objects that the daemon moves together';
