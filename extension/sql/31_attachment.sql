-- Attachments: which column of which table links objects, and by which policy.

CREATE TABLE objectlink.attachment (
  id           int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  relation     regclass NOT NULL,
  column_name  name NOT NULL,
  attnum       smallint NOT NULL,
  store        name,
  on_unlink    text NOT NULL DEFAULT 'delete' CHECK (on_unlink IN ('delete', 'keep')),
  retention    interval CHECK (retention BETWEEN '0' AND '3650 days'),
  max_attempts int CHECK (max_attempts BETWEEN 1 AND 1000),
  attached_at  timestamptz NOT NULL DEFAULT now(),
  attached_by  name NOT NULL DEFAULT session_user,
  detached_at  timestamptz,
  dropped      text,
  split_from   int,
  soft_delete_column name,
  soft_delete_type   regtype
);
CREATE UNIQUE INDEX attachment_live ON objectlink.attachment (relation, column_name) WHERE detached_at IS NULL;
COMMENT ON TABLE objectlink.attachment IS 'columns whose values link objects; a detached one stays as history';
COMMENT ON COLUMN objectlink.attachment.attnum IS 'the column''s number in the relation, by which a rename is noticed';
COMMENT ON COLUMN objectlink.attachment.store IS 'for a text column: the store that its keys are in; NULL for storage_ref';
COMMENT ON COLUMN objectlink.attachment.on_unlink IS 'what becomes of an object that its rows no longer link: delete, or keep until somebody releases it';
COMMENT ON COLUMN objectlink.attachment.retention IS 'how long an object is kept after such a row went; NULL: as the store says';
COMMENT ON COLUMN objectlink.attachment.dropped IS 'why it ended, if its table or column was dropped: what was dropped, by whom, when; NULL: it lives, or detach() ended it';
COMMENT ON COLUMN objectlink.attachment.split_from IS 'of a partition or child that left its tree: the attachment that linked its rows before';
COMMENT ON COLUMN objectlink.attachment.soft_delete_column IS 'the column that marks rows as deleted, which then link nothing; NULL: none';
COMMENT ON COLUMN objectlink.attachment.soft_delete_type IS 'its type; if it is another one by now, all rows link; NULL: it was dropped';
COMMENT ON COLUMN objectlink.attachment.max_attempts IS 'tries that fail for a reason of the object itself before it is given up; NULL: as the store says';

-- What the outbox says of a table may be read after the table was dropped. Numbers of this database, so not for a dump.
CREATE TABLE objectlink.dropped_relation (
  relid  oid PRIMARY KEY,
  reason text NOT NULL
);
COMMENT ON TABLE objectlink.dropped_relation IS 'attached tables, and parts of them, that were dropped: what, by whom, when';

-- The relations of each attachment: the table itself, its partitions, its children, and theirs.
CREATE VIEW objectlink.attached_relation AS
WITH RECURSIVE tree (attachment_id, relid, depth) AS (
  SELECT a.id, a.relation::oid, 0 FROM objectlink.attachment a
  JOIN pg_catalog.pg_attribute c ON c.attrelid = a.relation AND c.attname = a.column_name AND NOT c.attisdropped
  WHERE a.detached_at IS NULL
  UNION SELECT t.attachment_id, i.inhrelid, t.depth + 1 FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.relid
)
SELECT t.attachment_id, t.relid, min(t.depth) AS depth
FROM tree t JOIN pg_catalog.pg_class c ON c.oid = t.relid
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
GROUP BY t.attachment_id, t.relid;
COMMENT ON VIEW objectlink.attached_relation IS 'tables whose rows link objects, by attachment';

-- Walks that the drainer makes in small steps: rows that existed before attach, objects of a table that was truncated or dropped.
CREATE TABLE objectlink.scan (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  attachment_id int NOT NULL,
  kind          text NOT NULL CHECK (kind IN ('link', 'unlink', 'show')),
  relid         regclass,
  hold          text,
  cause         text NOT NULL DEFAULT 'drop',
  after_store   int NOT NULL DEFAULT 0,
  after_value   text COLLATE "C" NOT NULL DEFAULT '',
  done          bigint NOT NULL DEFAULT 0,
  queued_at     timestamptz NOT NULL DEFAULT now(),
  role          oid,
  at            timestamptz,
  image         jsonb,
  links_before  xid8,
  failed_at     timestamptz,
  last_error    text
);
COMMENT ON TABLE objectlink.scan IS 'walks under way: link = rows that existed before attach; unlink = objects of a relation that was truncated or dropped; show = objects whose rows are to show their state otherwise';
COMMENT ON COLUMN objectlink.scan.relid IS 'link: only this part of the attached relation; NULL: all of it';
COMMENT ON COLUMN objectlink.scan.hold IS 'unlink: what was dropped, or changed; objects that no row links any more are held for this reason. NULL: a TRUNCATE, and they may go';
COMMENT ON COLUMN objectlink.scan.cause IS 'unlink, where objects are held: the cause that their events name';
COMMENT ON COLUMN objectlink.scan.role IS 'unlink: the role that truncated it, and below when that transaction began and what it did';
COMMENT ON COLUMN objectlink.scan.image IS 'link: what the outbox is to say of the rows, if they were marked as deleted before';
COMMENT ON COLUMN objectlink.scan.links_before IS 'unlink: the walk begins when the outbox holds nothing any more of transactions before this one: what a TRUNCATE took away may have been linked by a row of the outbox that is not applied yet';
COMMENT ON COLUMN objectlink.scan.failed_at IS 'when the last step failed; it is tried again';
COMMENT ON COLUMN objectlink.scan.after_value IS 'the walk goes on after this value (link: the column''s value; unlink: the key)';
