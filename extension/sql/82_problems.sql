-- Everything that needs a person, worst first, each with what mends it. One view a kind of problem, so that another kind is
-- one more view and one more line below. What they read is as large as what is wrong: partial indexes, locks, catalogs.

-- Stores whose deletions stand still. A brake asks for a decision, a hold was one and only has to be remembered.
CREATE VIEW objectlink.problem_stopped AS
SELECT CASE WHEN s.braked_at IS NOT NULL THEN 'error' ELSE 'note' END AS severity, s.name AS store,
       CASE WHEN s.braked_at IS NOT NULL THEN 'deletions braked' ELSE 'deletions held' END AS what,
       coalesce(s.brake_reason, s.hold_reason) AS detail, coalesce(s.braked_at, s.held_at) AS since,
       format(CASE WHEN s.braked_at IS NOT NULL THEN 'look at objectlink.deletions; if all that may go: SELECT objectlink.release_brake(%L)'
                   ELSE 'SELECT objectlink.release_deletions(%L)' END, s.name) AS remedy
FROM objectlink.store s WHERE s.braked_at IS NOT NULL OR s.held_at IS NOT NULL;

CREATE VIEW objectlink.problem_paused AS
SELECT 'error' AS severity, s.name AS store, 'store paused' AS what,
       concat_ws(': ', s.error_code, s.error_message) AS detail, s.status_since AS since,
       'mend the store or its options; the daemon asks it again by itself, ALTER SERVER at once' AS remedy
FROM objectlink.store s JOIN objectlink.server v ON v.name = s.name WHERE s.status = 'paused';

CREATE VIEW objectlink.problem_server AS
SELECT 'error' AS severity, s.name AS store, CASE WHEN v.name IS NULL THEN 'no server' ELSE 'server incomplete' END AS what,
       CASE WHEN v.name IS NULL THEN 'objects are known of a store whose foreign server was dropped' ELSE 'endpoint or bucket is not set' END AS detail,
       NULL::timestamptz AS since,
       format(CASE WHEN v.name IS NULL THEN 'CREATE SERVER %I FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint ''...'', bucket ''...'')'
                   ELSE 'ALTER SERVER %I OPTIONS (ADD endpoint ''...'', ADD bucket ''...'')' END, s.name) AS remedy
FROM objectlink.store s LEFT JOIN objectlink.server v ON v.name = s.name
WHERE CASE WHEN v.name IS NULL THEN EXISTS (SELECT FROM objectlink.object o WHERE o.store_id = s.id) ELSE NOT v.options ?& ARRAY['endpoint', 'bucket'] END;

CREATE VIEW objectlink.problem_fenced AS
SELECT 'error' AS severity, m.store, 'store fenced' AS what, m.message AS detail, m.fenced_at AS since,
       concat_ws(' ', m.hint, format('See what was found: SELECT * FROM objectlink.adopt_store(%L, dry_run => true)', m.store)) AS remedy
FROM objectlink.markers m WHERE m.fence IS NOT NULL;

CREATE VIEW objectlink.problem_trigger AS
SELECT 'warning' AS severity, a.store, 'trigger switched off' AS what,
       format('%s: trigger %s is %s, so what its rows link and unlink is not seen', t.relation, t.trigger, t.status) AS detail,
       NULL::timestamptz AS since,
       CASE t.status WHEN 'missing' THEN format('SELECT objectlink.complete_triggers(%s)', t.attachment_id)
            ELSE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', t.relation, t.trigger) END AS remedy
FROM objectlink.switched_off_trigger t JOIN objectlink.attachment a ON a.id = t.attachment_id;

-- Held for a reason of its own: by an admin, or because its rows were dropped. What a policy keeps is not a problem.
CREATE VIEW objectlink.problem_held AS
SELECT 'note' AS severity, s.name AS store, 'objects held' AS what,
       format('%s objects: %s', h.count, h.reason) AS detail, NULL::timestamptz AS since,
       format('if they may go: SELECT objectlink.release_deletions(%L, held_reason => %L)', s.name, h.reason) AS remedy
FROM (SELECT o.store_id, o.held_reason AS reason, count(*) FROM objectlink.object o
      WHERE o.held_reason IS NOT NULL AND o.held_reason <> objectlink.keep_text() AND o.held_reason <> objectlink.discarded_text() GROUP BY 1, 2
      UNION ALL SELECT o.store_id, o.admin_hold, count(*) FROM objectlink.object o
      WHERE o.admin_hold IS NOT NULL AND o.state = 'unlinked' GROUP BY 1, 2) h
JOIN objectlink.store s ON s.id = h.store_id;

CREATE VIEW objectlink.problem_object AS
SELECT CASE o.kind WHEN 'deletions wait' THEN 'warning' ELSE 'error' END AS severity, s.name AS store, o.kind AS what,
       format('%s objects; one of them: %s: %s', o.count, o.key, o.reason) AS detail, o.since,
       CASE o.kind WHEN 'deletions wait' THEN 'end the transactions that block them; the daemon tries again by itself'
                   WHEN 'deletions refused' THEN 'see objectlink.deletions; mend the rights in the store, the daemon tries again by itself'
                   ELSE format('bring them back under their keys, the next run sees it, or give them up by objectlink.purge_corrupt(); whose they are: SELECT * FROM objectlink.rows_of(%L, %L)', s.name, o.key) END AS remedy
FROM (SELECT i.store_id,
             CASE i.state WHEN 'unlinked' THEN 'deletions wait' WHEN 'deleting' THEN 'deletions refused' ELSE 'objects ' || i.state END AS kind,
             count(*), min(i.since) AS since, min(i.key) AS key, (array_agg(i.last_error ORDER BY i.key))[1] AS reason
      FROM objectlink.object i
      -- What somebody knows of and leaves is no problem.
      WHERE i.state IN ('missing', 'corrupt') AND NOT EXISTS (SELECT FROM objectlink.finding f WHERE f.store_id = i.store_id AND f.key = i.key AND f.kind = i.state AND f.status = 'acknowledged') OR i.state = 'unlinked' AND i.last_error IS NOT NULL AND i.due_at IS NOT NULL OR i.state = 'deleting' AND i.attempts > 0
      GROUP BY 1, 2) o
JOIN objectlink.store s ON s.id = o.store_id;

-- Read from the registry's own index of trouble, as all of these.
CREATE VIEW objectlink.problem_dead_letter AS
SELECT 'error' AS severity, d.store, 'dead letters' AS what,
       format('%s of operation %s; one of them: %s: %s', d.count, d.operation, d.example_key, d.example_message) AS detail, d.oldest AS since,
       format('see objectlink.dead_letters; once the cause is gone: SELECT objectlink.retry_dead_letters(%L, operation => %L, error_code => %L), or discard_dead_letters',
              d.store, d.operation, d.error_code) AS remedy
FROM (SELECT l.store, l.operation, l.error_code, count(*), min(l.first_failed_at) AS oldest, min(l.key) AS example_key,
             (array_agg(l.message ORDER BY l.key))[1] AS example_message
      FROM objectlink.dead_letter l GROUP BY 1, 2, 3) d;

-- Of stores that are well: of the others it is known why.
CREATE VIEW objectlink.problem_stuck AS
SELECT 'warning' AS severity, s.name AS store, 'work stuck' AS what,
       format('%s objects %s; the oldest: %s', w.count, w.state, w.example_key) AS detail, w.since,
       'see objectlink.stuck; the daemon looks at it by itself' AS remedy
FROM objectlink.stuck w JOIN objectlink.store s ON s.name = w.store
WHERE w.reason IS NULL AND NOT objectlink.is_fenced(s.id) AND w.last_error IS NULL;

CREATE VIEW objectlink.problem_column AS
SELECT CASE WHEN f.far IS NULL THEN 'warning' ELSE 'error' END AS severity, c.store,
       CASE WHEN f.far IS NULL THEN 'column without index' ELSE 'column cannot be asked' END AS what,
       CASE WHEN f.far IS NULL THEN format('%s.%I is read as a whole for each batch', c.relid::regclass, c.column_name)
            ELSE format('%s.%I: %s is a foreign table, so nothing is deleted', c.relid::regclass, c.column_name, f.far::regclass) END AS detail,
       NULL::timestamptz AS since,
       CASE WHEN f.far IS NULL THEN format('CREATE INDEX CONCURRENTLY ON %s (%I%s)', c.relid::regclass, c.column_name,
                                           CASE WHEN c.store IS NULL THEN '' ELSE ' COLLATE "C"' END)
            ELSE format('ALTER TABLE ... DETACH PARTITION %s', f.far::regclass) END AS remedy
FROM objectlink.asked_column c
CROSS JOIN LATERAL (SELECT min(t.relid::oid) AS far FROM pg_catalog.pg_partition_tree(c.relid) t
                    JOIN pg_catalog.pg_class k ON k.oid = t.relid AND k.relkind = 'f') f
WHERE NOT c.indexed OR f.far IS NOT NULL;

CREATE VIEW objectlink.problem_walk AS
SELECT 'error' AS severity, NULL::name AS store, s.kind || ' walk stands still' AS what,
       format('%s.%I: %s', a.relation, a.column_name, s.last_error) AS detail, s.failed_at AS since,
       'make the table readable again (a lock, a changed column); the daemon tries again by itself' AS remedy
FROM objectlink.scan s JOIN objectlink.attachment a ON a.id = s.attachment_id WHERE s.last_error IS NOT NULL;

CREATE VIEW objectlink.problem_soft_delete_column AS
SELECT 'error' AS severity, a.store, 'soft-delete column unusable' AS what,
       format('%s.%I, which marked rows as deleted, %s: all rows of the table link the objects of column %I', a.relation, a.soft_delete_column,
              CASE WHEN c.attnum IS NULL OR a.soft_delete_type IS NULL THEN 'was dropped' ELSE 'has another type' END, a.column_name) AS detail,
       NULL::timestamptz AS since,
       format('SELECT objectlink.alter_attachment(%1$L, %2$L, soft_delete_column => ...), or none: SELECT objectlink.alter_attachment(%1$L, %2$L, reset => ''{soft_delete_column}'')',
              a.relation::text, a.column_name) AS remedy
FROM objectlink.attachment a
LEFT JOIN pg_catalog.pg_attribute c ON c.attrelid = a.relation AND c.attname = a.soft_delete_column AND NOT c.attisdropped
WHERE a.detached_at IS NULL AND a.soft_delete_column IS NOT NULL
  AND (a.soft_delete_type IS NULL OR c.atttypid IS DISTINCT FROM a.soft_delete_type::oid);

-- Whoever has the daemon's rights can take them by hand, and keep every daemon out.
CREATE VIEW objectlink.problem_lock AS
SELECT 'error' AS severity, s.name AS store, CASE WHEN l.objid = 0 THEN 'outbox locked' ELSE 'store locked' END AS what,
       format('%s holds the advisory lock of %s and is no objectlinkd', coalesce('session ' || l.pid, 'a prepared transaction'),
              CASE WHEN l.objid = 0 THEN 'the outbox' ELSE 'the store' END) AS detail,
       NULL::timestamptz AS since, coalesce('SELECT pg_terminate_backend(' || l.pid || ')', 'end it; see pg_prepared_xacts') AS remedy
FROM pg_catalog.pg_locks l LEFT JOIN objectlink.store s ON s.id = l.objid::int
WHERE l.locktype = 'advisory' AND l.objsubid = objectlink.own_lock_kind() AND l.granted AND l.classid = objectlink.lock_class()::oid
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database())
  AND NOT EXISTS (SELECT FROM objectlink.live_worker w WHERE w.pid = l.pid);

CREATE VIEW objectlink.problem_no_daemon AS
SELECT 'error' AS severity, NULL::name AS store, 'no daemon' AS what, w.what || ', and no objectlinkd is connected to this database' AS detail,
       (SELECT max(o.released_at) FROM objectlink.owner o) AS since, 'start objectlinkd' AS remedy
FROM (SELECT CASE WHEN EXISTS (SELECT FROM objectlink.outbox) OR EXISTS (SELECT FROM objectlink.scan) THEN 'changed rows wait'
                  WHEN EXISTS (SELECT FROM objectlink.store s CROSS JOIN LATERAL (
                         (SELECT FROM objectlink.object o WHERE o.store_id = s.id AND o.due_at <= now() AND o.state <> 'unlinked' LIMIT 1)
                         UNION ALL
                         (SELECT FROM objectlink.object o WHERE o.store_id = s.id AND o.due_at <= now() AND o.state = 'unlinked'
                            AND s.held_at IS NULL AND s.braked_at IS NULL LIMIT 1)) d) THEN 'objects wait'
                  WHEN EXISTS (SELECT FROM objectlink.run r WHERE r.state IN ('queued', 'running')) THEN 'runs of reconcile_storage() wait'
                  WHEN EXISTS (SELECT FROM objectlink.finding f WHERE f.delete_at IS NOT NULL) OR EXISTS (SELECT FROM objectlink.quarantine q WHERE q.due_at <= now())
                    THEN 'decisions about findings wait' END AS what) w
WHERE w.what IS NOT NULL AND NOT EXISTS (SELECT FROM objectlink.live_worker);

-- One that reads, and yet gets nothing, waits for a transaction; any other one does not read, or not fast enough.
CREATE VIEW objectlink.problem_consumer AS
SELECT CASE WHEN l.keeps THEN 'error' ELSE 'warning' END AS severity, NULL::name AS store,
       CASE WHEN l.waits THEN 'event consumer held up' ELSE 'event consumer behind' END AS what,
       format('consumer %s has not acknowledged all events since %s%s', l.name, to_char(l.oldest_unread AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'),
              CASE WHEN l.keeps THEN '; events whose retention is over are kept for it' END) AS detail,
       l.oldest_unread AS since,
       CASE WHEN l.waits THEN 'end the transactions that are open since then; see pg_stat_activity and pg_prepared_xacts'
            ELSE format('let it read; if nobody needs it any more: SELECT objectlink.drop_consumer(%L)', l.name) END AS remedy
FROM (SELECT c.name, c.oldest_unread, coalesce(c.read_at > clock_timestamp() - interval '1 hour' AND NOT c.reading, false) AS waits,
             coalesce(c.oldest_unread < clock_timestamp() - objectlink.event_retention(), false) AS keeps
      FROM objectlink.consumers c) l
WHERE l.oldest_unread < clock_timestamp() - least(objectlink.consumer_late_after(), objectlink.event_retention());

-- Its details name keys and tables: it is for those who may see all, and not granted to PUBLIC.
CREATE VIEW objectlink.problems AS
SELECT p.severity, p.store, p.what, p.detail, p.since, p.remedy
FROM (SELECT * FROM objectlink.problem_no_daemon
      UNION ALL SELECT * FROM objectlink.problem_fenced
      UNION ALL SELECT * FROM objectlink.problem_stopped
      UNION ALL SELECT * FROM objectlink.problem_lock
      UNION ALL SELECT * FROM objectlink.problem_server
      UNION ALL SELECT * FROM objectlink.problem_paused
      UNION ALL SELECT * FROM objectlink.problem_column
      UNION ALL SELECT * FROM objectlink.problem_trigger
      UNION ALL SELECT * FROM objectlink.problem_walk
      UNION ALL SELECT * FROM objectlink.problem_row
      UNION ALL SELECT * FROM objectlink.problem_status_column
      UNION ALL SELECT * FROM objectlink.problem_soft_delete_column
      UNION ALL SELECT * FROM objectlink.problem_finding
      UNION ALL SELECT * FROM objectlink.problem_run
      UNION ALL SELECT * FROM objectlink.problem_scrub
      UNION ALL SELECT * FROM objectlink.problem_quarantine
      UNION ALL SELECT * FROM objectlink.problem_dead_letter
      UNION ALL SELECT * FROM objectlink.problem_object
      UNION ALL SELECT * FROM objectlink.problem_stuck
      UNION ALL SELECT * FROM objectlink.problem_consumer
      UNION ALL SELECT * FROM objectlink.problem_held) p
ORDER BY array_position('{error,warning,note}'::text[], p.severity), p.store, p.what, p.detail;
COMMENT ON VIEW objectlink.problems IS 'everything that needs a person, worst first, each with what mends it; shown to readers and admins';
COMMENT ON VIEW objectlink.problem_fenced IS 'problems: stores whose place in the bucket is perhaps not this database''s';
COMMENT ON VIEW objectlink.problem_trigger IS 'problems: triggers of attached tables that do not fire';
COMMENT ON VIEW objectlink.problem_stopped IS 'problems: stores whose deletions are held or braked';
COMMENT ON VIEW objectlink.problem_paused IS 'problems: stores that the daemon does not ask for the time being';
COMMENT ON VIEW objectlink.problem_server IS 'problems: stores without a server, or with one that lacks an option';
COMMENT ON VIEW objectlink.problem_held IS 'problems: objects that wait for somebody to release them';
COMMENT ON VIEW objectlink.problem_object IS 'problems: objects that are not as they should be, and deletions that do not get on';
COMMENT ON VIEW objectlink.problem_dead_letter IS 'problems: work that was given up, by cause';
COMMENT ON VIEW objectlink.problem_stuck IS 'problems: work that does not get on, and nobody has said why';
COMMENT ON VIEW objectlink.problem_consumer IS 'problems: consumers of the event stream that do not get on, or for which old events are kept';
COMMENT ON VIEW objectlink.problem_column IS 'problems: columns that can''t be asked, or only by reading the whole table';
COMMENT ON VIEW objectlink.problem_soft_delete_column IS 'problems: columns that marked rows as deleted and cannot any more';
COMMENT ON VIEW objectlink.problem_walk IS 'problems: walks over rows or objects that do not get on';
COMMENT ON VIEW objectlink.problem_lock IS 'problems: advisory locks of daemons that somebody else holds';
COMMENT ON VIEW objectlink.problem_no_daemon IS 'problems: work waits and nobody does it';
