-- What lies in quarantine, or is on its way to or from it: for who may see all objects.

CREATE VIEW objectlink.quarantined WITH (security_barrier) AS
SELECT q.id, s.name AS store, q.key, q.copy_key, q.state, q.since, q.size AS bytes, q.etag, q.requested_by, q.reason, q.finding_id, q.ending, q.last_error
FROM objectlink.quarantine q JOIN objectlink.store s ON s.id = q.store_id
WHERE has_table_privilege('objectlink.object', 'SELECT');
COMMENT ON VIEW objectlink.quarantined IS 'objects that were moved aside: where their copies lie, since when, how many bytes';
