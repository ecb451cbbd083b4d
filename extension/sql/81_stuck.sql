-- How many objects are in which state for longer than how long, by store, table and tenant?

CREATE VIEW objectlink.waiting WITH (security_barrier) AS
SELECT o.store, o.key, o.state, w.since, clock_timestamp() - w.since AS age, o.tenant, o.attachment_id, a.relation, a.column_name,
       o.due_at, o.attempts, o.last_error
FROM objectlink.applied_object o
CROSS JOIN LATERAL (SELECT objectlink.waiting_since(o.state, o.since, o.due_at) AS since) w
LEFT JOIN objectlink.attachment a ON a.id = o.attachment_id
WHERE o.state IN ('pending', 'deleting', 'unlinked', 'reserved') AND w.since <= clock_timestamp()
  -- What is held on purpose does not wait for the daemon.
  AND (o.state <> 'unlinked' OR NOT EXISTS (SELECT FROM objectlink.store s WHERE s.name = o.store AND (s.held_at IS NOT NULL OR s.braked_at IS NOT NULL)));
COMMENT ON VIEW objectlink.waiting IS 'objects that are on their way, and since when';

CREATE VIEW objectlink.stuck WITH (security_barrier) AS
SELECT w.store, w.state, w.tenant, w.attachment_id, a.relation, a.column_name, count(*) AS count, min(w.since) AS since,
       max(w.attempts) AS attempts, (array_agg(w.key ORDER BY w.since, w.key))[1] AS example_key,
       (array_agg(w.last_error ORDER BY w.since, w.key))[1] AS last_error,
       CASE WHEN NOT EXISTS (SELECT FROM objectlink.workers) THEN 'no daemon is connected'
            ELSE (SELECT 'the store is ' || s.status FROM objectlink.store s WHERE s.name = w.store AND s.status <> 'ok') END AS reason
-- As waiting, but by indexes: whoever waits for so long has been in his state as long. Each branch reads a view that is a barrier.
FROM (SELECT o.store, o.key, o.state, o.since, o.tenant, o.attachment_id, o.attempts, o.last_error FROM objectlink.applied_object o
      WHERE o.state IN ('pending', 'deleting') AND o.since < statement_timestamp() - objectlink.stuck_after()
      UNION ALL
      SELECT o.store, o.key, o.state, greatest(o.since, o.due_at), o.tenant, o.attachment_id, o.attempts, o.last_error FROM objectlink.applied_object o
      WHERE o.state <> 'unlinked' AND o.state = 'reserved' AND o.due_at < statement_timestamp() - objectlink.stuck_after() AND o.since < statement_timestamp() - objectlink.stuck_after()
      UNION ALL
      SELECT o.store, o.key, o.state, greatest(o.since, o.due_at), o.tenant, o.attachment_id, o.attempts, o.last_error FROM objectlink.applied_object o
      WHERE o.state = 'unlinked' AND o.due_at < statement_timestamp() - objectlink.stuck_after() AND o.since < statement_timestamp() - objectlink.stuck_after()
        AND NOT EXISTS (SELECT FROM objectlink.store s WHERE s.name = o.store AND (s.held_at IS NOT NULL OR s.braked_at IS NOT NULL))) w
LEFT JOIN objectlink.attachment a ON a.id = w.attachment_id
GROUP BY w.store, w.state, w.tenant, w.attachment_id, a.relation, a.column_name;
COMMENT ON VIEW objectlink.stuck IS 'objects that are on their way for longer than stuck_after(), by store, state and table';
