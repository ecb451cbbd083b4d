-- What of scrubbing needs a person. What it found is a problem already, by the state of the objects.

CREATE VIEW objectlink.problem_scrub AS
SELECT 'warning' AS severity, s.name AS store, 'proofs overdue' AS what,
       format('round %s has been under way since %s, longer than scrub_interval (%s)', c.round, c.begun_at, i.interval) AS detail,
       c.begun_at + i.interval AS since,
       format('a higher rate: ALTER SERVER %I OPTIONS (SET scrub_rate ''...''), or a longer scrub_interval; it rests while the store has other work', s.name) AS remedy
FROM objectlink.scrub c JOIN objectlink.store s ON s.id = c.store_id
CROSS JOIN LATERAL (SELECT objectlink.scrub_interval(s.name) AS interval) i
WHERE c.begun_at + i.interval < clock_timestamp()
UNION ALL
SELECT 'warning', s.name, 'objects not proved', format('%s of %s objects; one of them: %s', c.done_undecided, c.done_looked, c.done_error),
       c.done_at, 'mend the rights in the store; the next round looks again'
FROM objectlink.scrub c JOIN objectlink.store s ON s.id = c.store_id
WHERE c.done_undecided > 0 AND objectlink.scrub_interval(s.name) IS NOT NULL;
COMMENT ON VIEW objectlink.problem_scrub IS 'problems: stores whose objects are not proved again in time, or not at all';
