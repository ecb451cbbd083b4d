-- What will be deleted, when, how many bytes, and what does not go because it is held.

CREATE VIEW objectlink.deletions WITH (security_barrier) AS
SELECT s.name AS store, o.key, objectlink.storage_ref(s.name::text, o.key) AS ref, o.state, o.size, o.due_at, o.since,
       coalesce(o.admin_hold, o.held_reason, s.hold_reason, CASE WHEN s.braked_at IS NOT NULL THEN 'braked: ' || s.brake_reason END,
                CASE WHEN o.state = 'unlinked' AND o.due_at IS NULL THEN 'given up: ' || o.error_code END) AS held_reason,
       o.last_error, o.attachment_id, a.relation, a.column_name
FROM objectlink.object o
JOIN objectlink.store s ON s.id = o.store_id
LEFT JOIN objectlink.attachment a ON a.id = o.attachment_id
WHERE (o.state = 'unlinked' OR o.state = 'deleting' AND o.due_at IS NOT NULL)
  AND (has_table_privilege('objectlink.object', 'SELECT') OR o.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v));
COMMENT ON VIEW objectlink.deletions IS 'every object that no row links: when it is deleted, or why it is not';

CREATE VIEW objectlink.deletions_by_store WITH (security_barrier) AS
SELECT s.name AS store,
       CASE WHEN s.held_at IS NOT NULL THEN 'held' WHEN s.braked_at IS NOT NULL THEN 'braked' END AS stopped,
       coalesce(s.held_at, s.braked_at) AS stopped_since,
       coalesce(s.hold_reason, s.brake_reason) AS stopped_reason,
       d.due, d.due_bytes, d.within_a_day, d.within_a_day_bytes, d.later, d.later_bytes, d.held, d.held_bytes, d.next_due_at, d.last_due_at
FROM objectlink.store s
CROSS JOIN LATERAL (
  SELECT count(*) FILTER (WHERE o.due_at <= now()) AS due,
         coalesce(sum(o.size) FILTER (WHERE o.due_at <= now()), 0) AS due_bytes,
         count(*) FILTER (WHERE o.due_at > now() AND o.due_at <= now() + interval '1 day') AS within_a_day,
         coalesce(sum(o.size) FILTER (WHERE o.due_at > now() AND o.due_at <= now() + interval '1 day'), 0) AS within_a_day_bytes,
         count(*) FILTER (WHERE o.due_at > now() + interval '1 day') AS later,
         coalesce(sum(o.size) FILTER (WHERE o.due_at > now() + interval '1 day'), 0) AS later_bytes,
         count(*) FILTER (WHERE o.due_at IS NULL) AS held,
         coalesce(sum(o.size) FILTER (WHERE o.due_at IS NULL), 0) AS held_bytes,
         min(o.due_at) AS next_due_at, max(o.due_at) AS last_due_at
  FROM objectlink.object o WHERE o.store_id = s.id AND o.state = 'unlinked') d
WHERE has_table_privilege('objectlink.object', 'SELECT') OR has_server_privilege(
  (SELECT v.oid FROM objectlink.server v WHERE v.name = s.name), 'USAGE');
COMMENT ON VIEW objectlink.deletions_by_store IS 'one line a store: how many objects and bytes are deleted now, within a day, later, or not at all because they are held';
