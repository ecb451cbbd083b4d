-- What of quarantine needs a person.

CREATE VIEW objectlink.problem_quarantine AS
SELECT 'warning' AS severity, s.name AS store, 'quarantine' AS what,
       format('%s objects %s; one of them: %s: %s', q.count, q.state, q.key, q.last_error) AS detail, q.since,
       'see objectlink.quarantined; the daemon tries again what is not held' AS remedy
FROM (SELECT i.store_id, i.state, count(*), min(i.since) AS since, min(i.key) AS key, (array_agg(i.last_error ORDER BY i.key))[1] AS last_error
      FROM objectlink.quarantine i WHERE i.last_error IS NOT NULL GROUP BY 1, 2) q
JOIN objectlink.store s ON s.id = q.store_id;
COMMENT ON VIEW objectlink.problem_quarantine IS 'problems: objects that do not get into quarantine, or out of it';
