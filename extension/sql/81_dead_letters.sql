-- What was given up, for those who may see it, and by cause.

CREATE VIEW objectlink.dead_letters WITH (security_barrier) AS
SELECT d.store, d.key, d.operation, d.error_class, d.error_code, d.message, d.attempts, d.request_id, d.first_failed_at, d.last_failed_at,
       objectlink.storage_ref(d.store::text, d.key) AS ref, d.state, coalesce(d.content_bytes, d.size) AS size,
       d.attachment_id, a.relation, a.column_name,
       CASE WHEN d.operation = 'delete' THEN
         (SELECT count(*) FROM objectlink.deleted_row k WHERE k.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(d.store::text, d.key)) END AS rows_kept
FROM objectlink.dead_letter d LEFT JOIN objectlink.attachment a ON a.id = d.attachment_id
WHERE has_table_privilege('objectlink.object', 'SELECT') OR d.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v);
COMMENT ON VIEW objectlink.dead_letters IS 'work on objects that was given up: what, why, after how many tries, and to which table it belongs';

CREATE VIEW objectlink.failures_by_cause WITH (security_barrier) AS
SELECT d.store, d.operation, d.error_class, d.error_code, count(*) AS count, min(d.first_failed_at) AS oldest, max(d.last_failed_at) AS newest,
       min(d.key) AS example_key, (array_agg(d.message ORDER BY d.key))[1] AS example_message
FROM objectlink.dead_letters d
GROUP BY d.store, d.operation, d.error_class, d.error_code;
COMMENT ON VIEW objectlink.failures_by_cause IS 'dead letters by store, operation and error: how many, since when, and one of them';
