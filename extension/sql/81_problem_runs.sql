-- What of runs and findings needs a person. Missing and corrupt objects are a problem already by their state, but where a report found so many that it
-- brought none to it.

CREATE VIEW objectlink.problem_finding AS
SELECT CASE WHEN f.kind IN ('undeleted', 'missing', 'corrupt') THEN 'error' WHEN f.kind IN ('unreferenced', 'unregistered') THEN 'warning' ELSE 'note' END AS severity, s.name AS store,
       CASE f.kind WHEN 'stale_upload' THEN 'stale uploads' WHEN 'stray_version' THEN 'stray versions' WHEN 'stray_marker' THEN 'stray markers' ELSE CASE WHEN f.kind IN ('missing', 'corrupt') THEN f.kind || ' objects, not shown' ELSE f.kind || ' objects' END END AS what,
       format('%s %s; one of them: %s', f.count, CASE f.kind WHEN 'stale_upload' THEN 'uploads' WHEN 'stray_version' THEN 'versions' WHEN 'stray_marker' THEN 'markers' ELSE 'objects' END,
              f.key) AS detail, f.since,
       format(CASE WHEN f.kind IN ('orphan', 'stray_version', 'stray_marker') OR f.kind = 'undeleted' AND NOT f.survived
                     THEN 'look at objectlink.findings; if they may go: SELECT objectlink.resolve_all(''delete'', %L, kind => %L, dry_run => false)'
                   WHEN f.kind IN ('missing', 'corrupt') THEN 'look at objectlink.findings: bring them back, or have states and rows show it: SELECT objectlink.reconcile_storage(%L, ''repair'')'
                   ELSE 'SELECT objectlink.reconcile_storage(%L, ''repair'')' END, s.name, f.kind) AS remedy
FROM (SELECT i.store_id, i.kind, bool_or(coalesce((i.evidence ->> 'survived')::boolean, false)) AS survived, count(*), min(i.first_seen_at) AS since, min(i.key) AS key FROM objectlink.finding i
      WHERE i.status = 'open' AND (i.kind IN ('orphan', 'undeleted', 'unreferenced', 'unregistered', 'stale_upload', 'stray_version', 'stray_marker')
        OR i.kind IN ('missing', 'corrupt') AND EXISTS (SELECT FROM objectlink.object o WHERE o.store_id = i.store_id AND o.key = i.key AND o.state NOT IN ('missing', 'corrupt'))) GROUP BY 1, 2) f
JOIN objectlink.store s ON s.id = f.store_id;
COMMENT ON VIEW objectlink.problem_finding IS 'problems: open findings that no state of an object shows';

-- The last run of a store has failed, or one waits for a decision. One that somebody has paused keeps every other one from beginning.
CREATE VIEW objectlink.problem_run AS
SELECT CASE WHEN r.state = 'paused' AND r.braked_at IS NULL THEN 'note' ELSE 'error' END AS severity, s.name AS store,
       CASE WHEN r.state = 'failed' THEN 'reconciling failed' WHEN r.braked_at IS NULL THEN 'reconciling paused' ELSE 'repair braked' END AS what,
       CASE r.state WHEN 'failed' THEN concat_ws(': ', r.error_code, r.error_message) ELSE r.pause_reason END AS detail,
       coalesce(r.ended_at, r.braked_at, r.progress_at) AS since,
       CASE r.state WHEN 'failed' THEN format('mend the cause; SELECT objectlink.reconcile_storage(%L)', s.name)
                    ELSE format(CASE WHEN r.braked_at IS NULL THEN 'SELECT objectlink.resume_run(%s), else cancel_run(%1$s): no other run of this store begins meanwhile'
                                     ELSE 'look at objectlink.findings; if all of it is to be mended: SELECT objectlink.resume_run(%s), else cancel_run(%1$s)' END, r.id) END AS remedy
FROM objectlink.store s
CROSS JOIN LATERAL (SELECT * FROM objectlink.run i WHERE i.store_id = s.id AND i.state NOT IN ('queued', 'cancelled') AND (i.mode <> 'inventory' OR i.state = 'paused') ORDER BY i.id DESC LIMIT 1) r
WHERE r.state = 'failed' OR r.braked_at IS NOT NULL OR r.state = 'paused' AND NOT r.out_of_time;
COMMENT ON VIEW objectlink.problem_run IS 'problems: runs that have failed, wait for a person because they would repair too much, or were paused by somebody';
