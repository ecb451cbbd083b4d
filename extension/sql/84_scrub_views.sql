-- How much of each store was proved again lately?

CREATE VIEW objectlink.scrub_progress WITH (security_barrier) AS
SELECT s.name AS store, i.interval AS scrub_interval,
       CASE WHEN i.interval IS NULL THEN 'off'
            WHEN objectlink.is_fenced(s.id) THEN 'fenced'
            WHEN NOT EXISTS (SELECT FROM objectlink.live_worker) THEN 'waiting for a daemon'
            WHEN s.status = 'paused' THEN 'waiting for the store'
            WHEN c.begun_at IS NULL AND c.done_begun_at IS NOT NULL THEN 'resting' ELSE 'proving' END AS phase,
       c.round, c.begun_at, c.progress_at, c.looked, c.read, c.read_bytes, c.undecided, c.last_error,
       -- The walk follows the order of keys, and so may this.
       CASE WHEN c.begun_at IS NOT NULL AND n.known > 0 THEN round(n.passed / n.known::numeric, 3) END AS share_done,
       c.done_begun_at AS last_round_begun_at, c.done_at AS last_round_ended_at, c.done_looked AS last_round_looked, c.done_read AS last_round_read,
       c.done_undecided AS last_round_undecided,
       n.known AS objects, CASE WHEN i.interval IS NOT NULL AND n.known > 0 THEN round(n.proved / n.known::numeric, 3) END AS proved_share, n.oldest_proof
FROM objectlink.store s
LEFT JOIN objectlink.scrub c ON c.store_id = s.id
CROSS JOIN LATERAL (SELECT nullif((SELECT v.options ->> 'scrub_interval' FROM objectlink.server v WHERE v.name = s.name)::interval, interval '0') AS interval) i
CROSS JOIN LATERAL (SELECT count(*) AS known, count(*) FILTER (WHERE o.verified_at >= clock_timestamp() - i.interval) AS proved,
                           min(o.verified_at) AS oldest_proof, count(*) FILTER (WHERE o.key <= c.after_key) AS passed
                    FROM objectlink.object o WHERE o.store_id = s.id AND o.state IN ('stored', 'missing', 'corrupt')) n
WHERE has_table_privilege('objectlink.object', 'SELECT')
   OR has_server_privilege((SELECT v.oid FROM objectlink.server v WHERE v.name = s.name), 'USAGE');
COMMENT ON VIEW objectlink.scrub_progress IS 'one line a store: how often its objects are proved again, how far the round is, which share was proved within the interval, and the oldest proof';
