-- What objectlink may do to the rows of an attachment, and what it has still to do. An attachment that asks for nothing of
-- the kind has no row here, and pays nothing.

CREATE TABLE objectlink.row_policy (
  attachment_id     int PRIMARY KEY,
  status_column     name,
  status_attnum     smallint,
  status_map        jsonb,
  on_upload_failure text NOT NULL DEFAULT 'mark' CHECK (on_upload_failure IN ('mark', 'delete_row', 'set_null')),
  on_delete_failure text NOT NULL DEFAULT 'dead_letter' CHECK (on_delete_failure IN ('dead_letter', 'restore_row'))
);
COMMENT ON TABLE objectlink.row_policy IS 'what is written into the rows of an attachment, and what becomes of them when their object fails';
COMMENT ON COLUMN objectlink.row_policy.status_column IS 'the column that shows the state of the row''s object; NULL: none';
COMMENT ON COLUMN objectlink.row_policy.status_attnum IS 'that column''s number in the relation, by which a rename is noticed';
COMMENT ON COLUMN objectlink.row_policy.status_map IS 'the user''s own words by state; a state that is not in it is written as it is called, one that is null there is not written';
COMMENT ON COLUMN objectlink.row_policy.on_upload_failure IS 'what becomes of a row whose object was given up: mark, delete_row, set_null';

COMMENT ON COLUMN objectlink.row_policy.on_delete_failure IS 'what becomes of a deleted row whose object cannot be deleted: dead_letter (nothing), restore_row';

-- Tables whose rows hang on those of the attached table by foreign keys, directly or through one another.
CREATE TABLE objectlink.related_table (
  attachment_id int NOT NULL,
  relation      regclass NOT NULL,
  depth         int NOT NULL,
  status_column name,
  status_attnum smallint,
  soft_delete_column name,
  soft_delete_type   regtype,
  PRIMARY KEY (attachment_id, relation)
);
COMMENT ON TABLE objectlink.related_table IS 'tables whose rows go with the rows of an attached table';
COMMENT ON COLUMN objectlink.related_table.depth IS 'how many foreign keys away: parents have less than their children';
COMMENT ON COLUMN objectlink.related_table.status_column IS 'its column for the state of the object; NULL: it has none';

-- Level-triggered: an entry says that rows have to be looked at, never what is to be written. That is decided when they are.
CREATE TABLE objectlink.row_work (
  store_id      int NOT NULL,
  key           text COLLATE "C" NOT NULL,
  attachment_id int NOT NULL,
  generation    bigint NOT NULL DEFAULT 0,
  queued_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  due_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
  attempts      int NOT NULL DEFAULT 0,
  alone         boolean NOT NULL DEFAULT false,
  restore       boolean NOT NULL DEFAULT false,
  failed_at     timestamptz,
  compensation  text,
  error_code    text,
  last_error    text,
  CONSTRAINT row_work_pkey PRIMARY KEY (store_id, key, attachment_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
-- What has failed waits in an index of its own: others must not be found behind it.
CREATE INDEX row_work_due ON objectlink.row_work (due_at) WHERE failed_at IS NULL;
CREATE INDEX row_work_failed ON objectlink.row_work (due_at) WHERE failed_at IS NOT NULL;
COMMENT ON TABLE objectlink.row_work IS 'rows that have to be brought in line with the state of their object';
COMMENT ON COLUMN objectlink.row_work.generation IS 'grows whenever there is a reason to look again, so that one that comes meanwhile is not lost';
COMMENT ON COLUMN objectlink.row_work.compensation IS 'the policy that could not be carried out; NULL: it was the status that could not be written';
COMMENT ON COLUMN objectlink.row_work.alone IS 'several were written by one statement, which failed: so each has one of its own';
COMMENT ON COLUMN objectlink.row_work.restore IS 'its deletion was given up, and its rows are to come back';
COMMENT ON COLUMN objectlink.row_work.failed_at IS 'since when tries have failed';

-- Only of attachments that say restore_row. A row that links an object, or one that hung on such a row.
CREATE TABLE objectlink.deleted_row (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid           xid8 NOT NULL,
  at            timestamptz NOT NULL,
  attachment_id int NOT NULL,
  relation      regclass NOT NULL,
  ref           objectlink.storage_ref,
  image         jsonb NOT NULL,
  marked        boolean NOT NULL DEFAULT false
);
CREATE INDEX deleted_row_ref ON objectlink.deleted_row (ref) WHERE ref IS NOT NULL;
CREATE INDEX deleted_row_xid ON objectlink.deleted_row (xid, attachment_id);
COMMENT ON COLUMN objectlink.related_table.soft_delete_column IS 'its column that marks rows as deleted, called as that of the attached table; NULL: it has none';
COMMENT ON COLUMN objectlink.related_table.soft_delete_type IS 'that column''s type when it was attached';
COMMENT ON TABLE objectlink.deleted_row IS 'rows as they were when they were deleted, or marked as deleted, to be restored if their object cannot be deleted; nobody but objectlink may read it';
COMMENT ON COLUMN objectlink.deleted_row.xid IS 'the transaction that deleted it';
COMMENT ON COLUMN objectlink.deleted_row.at IS 'when the statement began that did';
COMMENT ON COLUMN objectlink.deleted_row.marked IS 'it was only marked as deleted: the row is there';
COMMENT ON COLUMN objectlink.deleted_row.ref IS 'the object that it linked; NULL: a row of a related table';
