-- How far consumers have come.

CREATE VIEW objectlink.consumers AS
SELECT c.name, c.created_at, c.created_by, c.acked_at,
       (SELECT count(*) FROM (SELECT FROM objectlink.event e
                              WHERE e.id > CASE WHEN c.round_until IS NULL THEN c.floor_id ELSE c.read_id END AND e.xid >= c.round_from LIMIT 100000) u) AS unread,
       (SELECT min(e.at) FROM objectlink.event e
        WHERE e.id > CASE WHEN c.round_until IS NULL THEN c.floor_id ELSE c.read_id END AND e.xid >= c.round_from) AS oldest_unread
FROM objectlink.consumer c;
COMMENT ON VIEW objectlink.consumers IS 'readers of the event stream: how many events each has not acknowledged (counted up to 100,000), and since when';
