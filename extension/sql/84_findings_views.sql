-- Runs and findings for people and scripts: a run as far as one may know of its store, a finding as its object in view objects.

CREATE VIEW objectlink.runs WITH (security_barrier) AS
SELECT r.id, s.name AS store, r.mode, r.state, r.prefix, r.requested_by, r.queued_at, r.started_at, r.ended_at,
       r.listed, r.compared, r.undecided, r.repaired, r.found, r.error_class, r.error_code, r.error_message, r.pause_reason, r.call_id,
       r.inventory, r.inventory_at, r.sample, r.notes, r.bytes
FROM objectlink.run r JOIN objectlink.store s ON s.id = r.store_id
WHERE has_table_privilege('objectlink.object', 'SELECT')
   OR has_server_privilege((SELECT v.oid FROM objectlink.server v WHERE v.name = s.name), 'USAGE');
COMMENT ON VIEW objectlink.runs IS 'runs of reconcile_storage(): state, what was compared, what was found';

CREATE VIEW objectlink.reconcile_progress WITH (security_barrier) AS
SELECT r.id AS run_id, s.name AS store, r.mode, r.state,
       CASE WHEN r.state = 'queued' AND NOT EXISTS (SELECT FROM objectlink.live_worker) THEN 'waiting for a daemon'
            WHEN r.state <> 'paused' AND EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = r.store_id AND m.fence = 'altered') THEN 'fenced'
            WHEN r.state IN ('queued', 'paused') THEN r.state
            WHEN s.status = 'paused' THEN 'waiting for the store' WHEN r.aside IS NOT NULL THEN 'listing ' || r.aside WHEN r.listing = 'collecting' THEN 'collecting' ELSE 'comparing' END AS phase,
       r.pages, r.listed, r.compared, r.list_requests, r.looks,
       (SELECT min(g.after_key) FROM objectlink.run_range g WHERE g.run_id = r.id AND NOT g.done) AS after_key,
       (SELECT count(*) FROM objectlink.run_range g WHERE g.run_id = r.id AND NOT g.done) AS ranges_left,
       (SELECT jsonb_object_agg(k.kind, k.count) FROM (SELECT f.kind, count(*) FROM objectlink.finding f
                                                      WHERE f.run_id = r.id AND f.status <> 'resolved' GROUP BY f.kind) k) AS found,
       r.started_at, r.progress_at, round(v.speed, 1) AS keys_per_second,
       -- As many as the last run of the same keys compared, else as the statistics of the registry tell. There may be more by now: it is not over before it is.
       e.expected, CASE WHEN e.expected > 0 THEN least(0.999, round(r.compared / e.expected::numeric, 3)) END AS share_done,
       r.inventory, c.files, c.files_read, r.sample,
       CASE WHEN r.state = 'running' AND r.listing <> 'collecting' AND r.compared < e.expected AND v.speed > 0
            THEN date_trunc('second', clock_timestamp() + least((e.expected - r.compared) / v.speed, 1e9) * interval '1 second') + interval '1 second' END AS expected_end,
       r.bytes
FROM objectlink.run r JOIN objectlink.store s ON s.id = r.store_id
LEFT JOIN objectlink.collection c ON c.run_id = r.id AND NOT c.ended AND c.manifest_md5 IS NOT NULL
CROSS JOIN LATERAL (SELECT ceil(coalesce(
                      (SELECT d.compared FROM objectlink.run d WHERE d.store_id = r.store_id AND d.prefix = r.prefix AND d.state = 'done' AND d.sample IS NULL ORDER BY d.id DESC LIMIT 1),
                      r.estimated) * coalesce(r.sample, 100) / 100)::bigint AS expected) e
-- Since it was begun, or let go on: what it has rested before says nothing of its speed. One that stands still gets slower.
CROSS JOIN LATERAL (SELECT (CASE WHEN r.compared >= r.compared_before THEN r.compared - r.compared_before ELSE r.compared END
                            / nullif(extract(epoch FROM CASE WHEN r.state = 'running' THEN clock_timestamp() ELSE r.progress_at END - r.begun_at), 0))::numeric AS speed) v
WHERE r.state IN ('queued', 'running', 'paused')
  AND (has_table_privilege('objectlink.object', 'SELECT')
       OR has_server_privilege((SELECT v.oid FROM objectlink.server v WHERE v.name = s.name), 'USAGE'));
COMMENT ON VIEW objectlink.reconcile_progress IS 'runs under way: how far, how fast, what was found up to now';

CREATE VIEW objectlink.findings WITH (security_barrier) AS
SELECT f.id, f.run_id, s.name AS store, f.key, f.kind, f.status, f.evidence, f.first_run_id, f.first_seen_at, f.last_seen_at,
       f.delete_at, f.resolved_at, f.resolution, f.decided_by, f.reason, f.attachment_id, f.item, a.relation, a.column_name
FROM objectlink.finding f JOIN objectlink.store s ON s.id = f.store_id LEFT JOIN objectlink.attachment a ON a.id = f.attachment_id
WHERE has_table_privilege('objectlink.object', 'SELECT')
   OR f.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v);
COMMENT ON VIEW objectlink.findings IS 'differences between stores, registry and rows, with the evidence: see the guide for what each kind means';
