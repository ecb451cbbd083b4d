-- What of runs and findings needs a person. Missing and corrupt objects are a problem already, by their state.

CREATE VIEW objectlink.problem_finding AS
SELECT CASE f.kind WHEN 'undeleted' THEN 'error' WHEN 'orphan' THEN 'note' ELSE 'warning' END AS severity, s.name AS store, f.kind || ' objects' AS what,
       format('%s objects; one of them: %s', f.count, f.key) AS detail, f.since,
       format(CASE WHEN f.kind = 'orphan' OR f.kind = 'undeleted' AND NOT f.survived
                     THEN 'look at objectlink.findings; if they may go: SELECT objectlink.resolve_all(''delete'', %L, kind => %L, dry_run => false)'
                   ELSE 'SELECT objectlink.reconcile_storage(%L, ''repair'')' END, s.name, f.kind) AS remedy
FROM (SELECT i.store_id, i.kind, bool_or(coalesce((i.evidence ->> 'survived')::boolean, false)) AS survived, count(*), min(i.first_seen_at) AS since, min(i.key) AS key FROM objectlink.finding i
      WHERE i.status = 'open' AND i.kind IN ('orphan', 'undeleted', 'unreferenced', 'unregistered') GROUP BY 1, 2) f
JOIN objectlink.store s ON s.id = f.store_id;
COMMENT ON VIEW objectlink.problem_finding IS 'problems: open findings that no state of an object shows';

-- The last run of a store has failed, or one waits for a decision.
CREATE VIEW objectlink.problem_run AS
SELECT 'error' AS severity, s.name AS store, CASE r.state WHEN 'failed' THEN 'reconciling failed' ELSE 'repair braked' END AS what,
       CASE r.state WHEN 'failed' THEN concat_ws(': ', r.error_code, r.error_message) ELSE r.pause_reason END AS detail,
       coalesce(r.ended_at, r.braked_at) AS since,
       CASE r.state WHEN 'failed' THEN format('mend the cause; SELECT objectlink.reconcile_storage(%L)', s.name)
                    ELSE format('look at objectlink.findings; if all of it is to be mended: SELECT objectlink.resume_run(%s), else cancel_run(%1$s)', r.id) END AS remedy
FROM objectlink.store s
CROSS JOIN LATERAL (SELECT * FROM objectlink.run i WHERE i.store_id = s.id AND i.state NOT IN ('queued', 'cancelled') AND i.mode <> 'inventory' ORDER BY i.id DESC LIMIT 1) r
WHERE r.state = 'failed' OR r.braked_at IS NOT NULL;
COMMENT ON VIEW objectlink.problem_run IS 'problems: runs that have failed, or wait for a person because they would repair too much';
