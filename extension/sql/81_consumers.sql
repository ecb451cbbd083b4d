-- How far consumers have come.

-- Where its unread events begin, as far as it knows. One that has not read yet does not look at what was there before it.
CREATE VIEW objectlink.consumers AS
SELECT c.name, c.created_at, c.created_by, c.readers, c.notify, c.read_at, c.acked_at, c.round_until IS NOT NULL AS reading,
       (SELECT count(*) FROM (SELECT FROM objectlink.event e WHERE e.id > f.id AND (e.xid >= c.round_from OR f.restored) LIMIT 100000) u) AS unread,
       -- The first one, to stop there.
       (SELECT e.at FROM objectlink.event e WHERE e.id > f.id AND (e.xid >= c.round_from OR f.restored) ORDER BY e.id LIMIT 1) AS oldest_unread
FROM objectlink.consumer c
CROSS JOIN LATERAL (SELECT r.restored, CASE WHEN r.restored OR c.round_until IS NULL AND c.next_xid IS NOT NULL THEN c.floor_id ELSE c.read_id END AS id
                    -- One row; as a join it would be estimated as many, and views over this one as so dear that they are compiled.
                    FROM (SELECT c.install <> (SELECT i.id FROM objectlink.install i) AS restored) r) f;
COMMENT ON VIEW objectlink.consumers IS 'readers of the event stream: how many events each has not acknowledged (counted up to 100,000), and since when';
