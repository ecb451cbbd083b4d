-- Views for people and scripts. A user sees the objects of the tables that he may read; who may read the
-- registry itself (grant_reader) sees all.

CREATE VIEW objectlink.visible_attachment AS
SELECT a.id FROM objectlink.attachment a
LEFT JOIN pg_catalog.pg_attribute c ON c.attrelid = a.relation AND c.attname = a.column_name AND NOT c.attisdropped
WHERE has_table_privilege(a.relation, 'SELECT') OR has_column_privilege(a.relation, c.attnum, 'SELECT');
COMMENT ON VIEW objectlink.visible_attachment IS 'attachments of tables that the current user may read';

CREATE VIEW objectlink.live_worker AS
SELECT w.id, w.name, w.version, w.pid, w.started_at
FROM objectlink.worker w
JOIN pg_catalog.pg_locks l ON l.locktype = 'advisory' AND l.classid = objectlink.worker_lock_class()::oid
  AND l.objid = w.id::oid AND l.objsubid = objectlink.own_lock_kind() AND l.granted
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database d WHERE d.datname = pg_catalog.current_database());
COMMENT ON VIEW objectlink.live_worker IS 'daemons whose session lives';

CREATE VIEW objectlink.workers WITH (security_barrier) AS
SELECT w.id, w.name, w.version, w.pid, w.started_at,
       ARRAY(SELECT s.name FROM objectlink.owner o JOIN objectlink.store s ON s.id = o.resource
             WHERE o.worker_id = w.id AND o.released_at IS NULL ORDER BY s.name) AS stores,
       EXISTS (SELECT FROM objectlink.owner o WHERE o.worker_id = w.id AND o.resource = 0 AND o.released_at IS NULL) AS drainer
FROM objectlink.live_worker w;
COMMENT ON VIEW objectlink.workers IS 'daemons that are connected now, and what they own';

CREATE VIEW objectlink.attachments WITH (security_barrier) AS
SELECT a.id, a.relation, a.column_name, a.store, a.on_unlink, a.retention, a.max_attempts, a.attached_at, a.attached_by,
       p.status_column, p.status_map, a.soft_delete_column, coalesce(p.on_upload_failure, 'mark') AS on_upload_failure, coalesce(p.on_delete_failure, 'dead_letter') AS on_delete_failure,
       ARRAY(SELECT r.relation FROM objectlink.related_table r WHERE r.attachment_id = a.id ORDER BY r.depth, r.relation) AS related,
       EXISTS (SELECT FROM objectlink.scan s WHERE s.attachment_id = a.id AND s.kind = 'link') AS linking_existing_rows,
       (SELECT sum(s.done) FROM objectlink.scan s WHERE s.attachment_id = a.id AND s.kind = 'link') AS existing_rows_linked,
       (SELECT min(s.last_error) FROM objectlink.scan s WHERE s.attachment_id = a.id) AS last_error
FROM objectlink.attachment a LEFT JOIN objectlink.row_policy p ON p.attachment_id = a.id
WHERE a.detached_at IS NULL
  AND (has_table_privilege('objectlink.object', 'SELECT') OR a.id IN (SELECT v.id FROM objectlink.visible_attachment v));
COMMENT ON VIEW objectlink.attachments IS 'columns that are attached';

-- Two views, each a barrier of its own: a UNION ALL is none, its branches are planned with the conditions of the caller.
CREATE VIEW objectlink.applied_object WITH (security_barrier) AS
SELECT s.name AS store, o.key, objectlink.storage_ref(s.name::text, o.key) AS ref, o.state, o.since, o.size, o.sha256,
       o.tenant, o.due_at, o.attempts, o.last_error, o.etag, o.version_id, o.content_type, o.verified_at,
       o.error_class, o.error_code, o.request_id, o.attachment_id
FROM objectlink.object o JOIN objectlink.store s ON s.id = o.store_id
WHERE has_table_privilege('objectlink.object', 'SELECT')
   OR o.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v);
COMMENT ON VIEW objectlink.applied_object IS 'objects of the registry that the current user may see';

CREATE VIEW objectlink.announced_object WITH (security_barrier) AS
SELECT objectlink.store(b.ref) AS store, objectlink.key(b.ref) AS key, b.ref, min(b.at) AS since, max(b.attachment_id) AS attachment_id
FROM objectlink.outbox b
WHERE b.op IN ('L', 'U')
  AND (has_table_privilege('objectlink.object', 'SELECT')
       OR b.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v))
  AND NOT EXISTS (SELECT FROM objectlink.object o JOIN objectlink.store s ON s.id = o.store_id
                  WHERE s.name = objectlink.store(b.ref) AND o.key = objectlink.key(b.ref))
GROUP BY b.ref HAVING bool_and(b.op = 'L');
COMMENT ON VIEW objectlink.announced_object IS 'objects that were linked a moment ago and are not in the registry yet';

CREATE VIEW objectlink.objects WITH (security_barrier) AS
SELECT * FROM objectlink.applied_object
UNION ALL
SELECT a.store, a.key, a.ref, 'pending', a.since, NULL, NULL, NULL, a.since, 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, a.attachment_id
FROM objectlink.announced_object a;
COMMENT ON VIEW objectlink.objects IS 'every known object: its state, since when, what was proved of it, what is due';

CREATE VIEW objectlink.consistency WITH (security_barrier) AS
SELECT s.name AS store,
       count(o.key) FILTER (WHERE o.state = 'stored') AS stored,
       count(o.key) FILTER (WHERE o.state = 'pending') AS pending,
       count(o.key) FILTER (WHERE o.state = 'reserved') AS reserved,
       count(o.key) FILTER (WHERE o.state = 'unlinked') AS unlinked,
       count(o.key) FILTER (WHERE o.state = 'deleting') AS deleting,
       count(o.key) FILTER (WHERE o.state = 'failed') AS failed,
       count(o.key) FILTER (WHERE o.state = 'missing') AS missing,
       count(o.key) FILTER (WHERE o.state = 'corrupt') AS corrupt,
       sum(o.size) FILTER (WHERE o.state = 'stored') AS stored_bytes,
       clock_timestamp() - min(o.since) FILTER (WHERE o.state IN ('pending', 'deleting')) AS oldest_unsettled,
       CASE WHEN NOT EXISTS (SELECT FROM objectlink.server v WHERE v.name = s.name) THEN 'no server'
            WHEN EXISTS (SELECT FROM objectlink.server v WHERE v.name = s.name AND NOT v.options ?& ARRAY['endpoint', 'bucket']) THEN 'incomplete'
            WHEN objectlink.is_fenced(s.id) THEN 'fenced'
            WHEN s.braked_at IS NOT NULL THEN 'braked'
            ELSE s.status END AS status,
       coalesce((SELECT m.fenced_at FROM objectlink.marker m WHERE m.store_id = s.id), s.braked_at, s.status_since) AS status_since,
       coalesce((SELECT m.fence FROM objectlink.marker m WHERE m.store_id = s.id), s.error_code) AS error_code,
       coalesce((SELECT objectlink.fence_text(m.fence) || ' ' || objectlink.fence_advice(m.fence) FROM objectlink.marker m WHERE m.store_id = s.id),
                s.brake_reason, s.error_message) AS error_message,
       CASE WHEN s.status = 'ok' THEN 'closed' WHEN s.half_open_since IS NULL THEN 'open' ELSE 'half_open' END AS breaker,
       coalesce(s.half_open_since, s.status_since) AS breaker_since,
       (SELECT count(*) FROM objectlink.dead_letter d WHERE d.store_id = s.id) AS dead_letters,
       (SELECT count(*) FROM objectlink.finding f WHERE f.store_id = s.id AND f.status = 'open') AS open_findings,
       -- As last_comparison() and store_prefix(), which those who look may not call.
       (SELECT r.ended_at FROM objectlink.run r JOIN objectlink.server v ON v.name = s.name
        WHERE r.store_id = s.id AND r.state = 'done' AND r.mode <> 'inventory' AND r.sample IS NULL
          AND r.prefix = regexp_replace(coalesce(v.options ->> 'prefix', ''), '([^/])$', '\1/')
        ORDER BY r.id DESC LIMIT 1) AS reconciled_at
FROM objectlink.store s LEFT JOIN objectlink.object o ON o.store_id = s.id
WHERE has_table_privilege('objectlink.object', 'SELECT') OR has_server_privilege(
  (SELECT v.oid FROM objectlink.server v WHERE v.name = s.name), 'USAGE')
GROUP BY s.id;
COMMENT ON VIEW objectlink.consistency IS 'one line a store: objects by state, oldest unsettled age, whether the store is usable and why not (fenced: see markers), and when all of it was last compared';

CREATE VIEW objectlink.outbox_backlog WITH (security_barrier) AS
SELECT b.attachment_id, a.relation, a.column_name, count(*) AS rows, clock_timestamp() - min(b.at) AS oldest
FROM objectlink.outbox b LEFT JOIN objectlink.attachment a ON a.id = b.attachment_id
WHERE has_table_privilege('objectlink.object', 'SELECT') OR b.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v)
GROUP BY 1, 2, 3;
COMMENT ON VIEW objectlink.outbox_backlog IS 'what was committed and is not applied yet, by attachment';

CREATE VIEW objectlink.events WITH (security_barrier) AS
SELECT e.id, e.at, s.name AS store, e.key, e.from_state, e.to_state, e.cause, e.detail,
       e.actor, e.attempt, e.request_id, e.attachment_id
FROM objectlink.event e LEFT JOIN objectlink.store s ON s.id = e.store_id
WHERE has_table_privilege('objectlink.object', 'SELECT') OR e.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v);
COMMENT ON VIEW objectlink.events IS 'every change of an object''s state: what, why, who, and the store''s request id';

CREATE VIEW objectlink.store_capabilities WITH (security_barrier) AS
SELECT v.name AS store, c.conditional_put, c.conditional_delete, c.versioning, c.checksums, c.multi_delete, c.list_order,
       c.probed_at, c.last_error
FROM objectlink.server v
LEFT JOIN objectlink.store s ON s.name = v.name
LEFT JOIN objectlink.capability c ON c.store_id = s.id
  -- As configuration_digest() makes it, which those who look may not call.
  AND c.configuration = md5(concat_ws(' ', v.options ->> 'endpoint', v.options ->> 'bucket'))
WHERE has_table_privilege('objectlink.object', 'SELECT') OR has_server_privilege(v.oid, 'USAGE');
COMMENT ON VIEW objectlink.store_capabilities IS 'what each store was proved to be able to do; NULL: unknown, so that the weakest is assumed';
