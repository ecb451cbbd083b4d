CREATE VIEW objectlink.inventories WITH (security_barrier) AS
SELECT i.run_id, s.name AS store, r.state, i.relation, i.column_name, i.rows, i.keys, i.matched, i.matched_bytes, i.missing, i.invalid, i.linked,
       i.orphans, i.orphan_bytes, i.undecided, i.samples
FROM objectlink.inventory i JOIN objectlink.run r ON r.id = i.run_id JOIN objectlink.store s ON s.id = r.store_id
WHERE has_table_privilege('objectlink.object', 'SELECT') OR has_table_privilege(i.relation, 'SELECT');
COMMENT ON VIEW objectlink.inventories IS 'what inventory_column() has counted: rows and keys of a column, those whose object is there or missing, and what nobody names';
