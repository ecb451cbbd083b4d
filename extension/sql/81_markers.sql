-- Whose is the place of each store, side by side: this database, and what its daemon found in the bucket.

CREATE VIEW objectlink.markers WITH (security_barrier) AS
SELECT s.name AS store, m.place, m.fence, m.fenced_at, objectlink.fence_text(m.fence) AS message, objectlink.fence_advice(m.fence) AS hint,
       m.recorded AS ours, m.theirs, m.epoch, m.confirmed_at, m.lease_until,
       CASE WHEN m.conditional THEN 'strong' WHEN NOT m.conditional THEN 'weak' END AS protection,
       m.last_error
FROM objectlink.marker m JOIN objectlink.store s ON s.id = m.store_id
WHERE has_table_privilege('objectlink.object', 'SELECT');
COMMENT ON VIEW objectlink.markers IS 'who owns the place of each store in its bucket: this database''s side, what was found there if it is fenced, and what to do';
COMMENT ON COLUMN objectlink.markers.ours IS 'who this database was when it last owned the place';
COMMENT ON COLUMN objectlink.markers.protection IS 'strong: the store refuses a write of the marker that comes too late; weak: it does not, so the daemon waits and reads back';
