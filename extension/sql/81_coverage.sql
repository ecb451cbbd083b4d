-- What may go unnoticed in attached tables: triggers that do not fire, tables that are slow to ask.

CREATE VIEW objectlink.switched_off_trigger AS
SELECT r.attachment_id, r.relid::pg_catalog.regclass AS relation, n.name AS trigger,
       CASE t.tgenabled WHEN 'D' THEN 'disabled' ELSE CASE WHEN t.oid IS NULL THEN 'missing' ELSE 'not always' END END AS status
FROM objectlink.attached_relation r
CROSS JOIN LATERAL (SELECT format('objectlink_%s_%s', e.event, r.attachment_id) AS name
                    FROM unnest('{insert,delete,update,truncate}'::text[]) AS e (event)) AS n
LEFT JOIN pg_catalog.pg_trigger t ON t.tgrelid = r.relid AND t.tgname = n.name
WHERE t.tgenabled IS DISTINCT FROM 'A';
COMMENT ON VIEW objectlink.switched_off_trigger IS 'triggers of attached tables that do not fire: disabled, dropped by hand, or enabled without ALWAYS; what such a table changes is not noticed';

CREATE VIEW objectlink.unindexed_relation AS
SELECT u.relid::pg_catalog.regclass AS relation, c.column_name, c.attachment_id, pg_catalog.pg_relation_size(u.relid) AS bytes
FROM objectlink.asked_column c CROSS JOIN LATERAL objectlink.unindexed(c.relid, c.column_name, c.store IS NOT NULL) AS u (relid)
WHERE NOT c.indexed;
COMMENT ON VIEW objectlink.unindexed_relation IS 'tables that hold links, attached or not, and can be asked about them only by reading them as a whole';
