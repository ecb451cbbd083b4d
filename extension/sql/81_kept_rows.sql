-- Which deleted rows could come back, and how did they look? Only their owners may know, whoever else sees objects and events.

CREATE VIEW objectlink.kept_rows WITH (security_barrier) AS
SELECT objectlink.store(d.ref)::name AS store, objectlink.key(d.ref) AS key, d.relation, d.image AS "row", d.marked, d.at AS deleted_at, d.attachment_id,
       d.xid AS deleted_in
FROM objectlink.deleted_row d JOIN pg_catalog.pg_class c ON c.oid = d.relation
WHERE pg_has_role(c.relowner, 'USAGE');
COMMENT ON VIEW objectlink.kept_rows IS 'deleted rows, as they were, that come back if their object cannot be deleted: those of tables that the current user owns';
