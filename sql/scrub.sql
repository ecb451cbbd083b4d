-- Goal: every object is given out once a round, in order; what is proved moves verified_at and nothing else, what differs ends as reconciling ends it, what is unknown changes nothing.
-- Method: one session plays user and daemon; looks are written down.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
\set progress 'SELECT phase, round, looked, read, read_bytes, undecided, last_error, share_done, last_round_looked, last_round_undecided, objects, proved_share FROM objectlink.scrub_progress;'
\set findings 'SELECT key, kind, status, run_id, resolution FROM objectlink.findings ORDER BY id;'
SELECT daemon.start(), daemon.walk();
INSERT INTO document (file) SELECT objectlink.storage_ref('docs', k) FROM unnest('{a,b,c,d,e,f}'::text[]) k;
SELECT daemon.apply();
SELECT daemon.settle(key, 'stored', jsonb_build_object('size', 1, 'etag', format('"%s"', upper(key)))) FROM objectlink.object WHERE key <> 'f';
UPDATE objectlink.object SET verified_at = verified_at - interval '10 days' WHERE verified_at IS NOT NULL;
-- The next objects, and what looks show of them: all the same but those that are named
CREATE FUNCTION daemon.prove(p_seen jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  n record;
BEGIN
  SELECT * INTO n FROM objectlink.next_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
  IF n.round IS NULL THEN
    RETURN 'waits ' || CASE WHEN n.wait_ms IS NULL THEN 'for a change' ELSE 'for the next round' END;
  END IF;
  RETURN format('round %s after "%s" to %s: %s: %s', n.round, n.after_key, coalesce(n.reached, 'the end'),
    (SELECT string_agg(concat_ws(' ', o ->> 'key', o ->> 'state', CASE WHEN (o ->> 'read')::boolean THEN 'read' END), ', ') FROM json_array_elements(n.objects) o),
    objectlink.conclude_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), n.round, n.after_key, n.reached,
      (SELECT json_agg(o::jsonb - 'sha256' || jsonb_build_object('sighting', 'same', 'request_id', 'req', 'read_bytes', 0)
                       || CASE WHEN (o ->> 'read')::boolean THEN jsonb_build_object('sha256', repeat('ab', 32), 'read_bytes', 1) ELSE '{}' END
                       || coalesce(p_seen -> (o ->> 'key'), '{}')) FROM json_array_elements(n.objects) o)));
END $$;
CREATE FUNCTION daemon.rest_is_over() RETURNS void LANGUAGE sql AS $$ UPDATE objectlink.scrub SET done_begun_at = done_begun_at - interval '31 days' $$;

-- Off, as it is unless somebody asks for it
SELECT daemon.prove();
:progress
ALTER SERVER docs OPTIONS (ADD scrub_interval '30 days');
:progress
-- All is well: a round, no event, and a rest
SELECT count(*) AS events FROM objectlink.event \gset
SELECT daemon.prove();
:progress
SELECT key, state, verified_at > clock_timestamp() - interval '1 minute' AS proved, attempts, sha256 FROM objectlink.object ORDER BY key;
SELECT count(*) - :events AS new_events FROM objectlink.event;
SELECT daemon.prove();
-- Gone, another one, unknown: an event each for what changed, and a finding
SELECT daemon.rest_is_over();
SELECT daemon.prove('{"b": {"sighting": "absent"}, "c": {"sighting": "other", "size": 7, "etag": "\"other\""}, "d": {"sighting": "unknown", "error_code": "AccessDenied", "message": "no"}}');
SELECT key, state, error_code, last_error FROM objectlink.object WHERE state <> 'stored' ORDER BY key;
SELECT key, from_state, to_state, cause, request_id, detail #- '{seen,at}' AS detail FROM objectlink.events WHERE cause = 'scrub' ORDER BY id;
:findings
SELECT evidence #- '{look,at}' #- '{proved_at}' AS evidence FROM objectlink.findings WHERE key = 'c';
:progress
SELECT severity, what, detail FROM objectlink.problems WHERE what = 'objects not proved';
-- Mended: as it was before, and the findings close
SELECT daemon.rest_is_over();
SELECT daemon.prove();
SELECT key, state FROM objectlink.object WHERE key IN ('b', 'c');
:findings
SELECT count(*) FROM objectlink.problems WHERE what = 'objects not proved';
-- A look that came too late, of a round that is over, or of an object that has changed since: nothing
SELECT daemon.rest_is_over();
SELECT round, after_key, objects FROM objectlink.next_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) \gset
SELECT objectlink.conclude_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :round - 1, '', NULL, '[]');
SELECT objectlink.conclude_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :round, 'b', NULL, '[]');
DELETE FROM document WHERE file IN ('s3://docs/a', 's3://docs/b');
SELECT daemon.apply();
INSERT INTO document (file) VALUES ('s3://docs/a'), ('s3://docs/b');
SELECT daemon.apply();
SELECT objectlink.conclude_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :round, '', NULL,
  (SELECT json_agg(o::jsonb || '{"etag": "of before"}' || CASE o ->> 'key' WHEN 'a' THEN '{"sighting": "absent"}' ELSE '{"sighting": "same"}' END::jsonb)
   FROM json_array_elements(:'objects') o WHERE o ->> 'key' IN ('a', 'b')));
SELECT key, state, etag FROM objectlink.object WHERE key IN ('a', 'b') ORDER BY key;
SELECT daemon.refused($$SELECT objectlink.next_scrub(daemon.store_id('docs'), 4711)$$);
SELECT daemon.refused($$SELECT objectlink.conclude_scrub(daemon.store_id('docs'), 4711, 1, '', NULL, '[]')$$);
-- Content: read in turn, by shares of all; what is read first is written down, what differs later is corrupt
ALTER SERVER docs OPTIONS (ADD scrub_content_share '1');
SELECT daemon.rest_is_over();
SELECT daemon.prove();
SELECT key, encode(sha256, 'hex') = repeat('ab', 32) AS recorded FROM objectlink.object WHERE state = 'stored' ORDER BY key;
:progress
SELECT daemon.rest_is_over();
SELECT daemon.prove(jsonb_build_object('e', jsonb_build_object('sighting', 'other', 'content_differs', true, 'sha256', repeat('cd', 32))));
SELECT key, state, error_code, last_error, encode(sha256, 'hex') = repeat('ab', 32) AS kept FROM objectlink.object WHERE key = 'e';
-- A look alone does not mend that, neither of the scrub nor of a run; reading it does, and it is read whatever the share
ALTER SERVER docs OPTIONS (SET scrub_content_share '0');
SELECT daemon.rest_is_over();
SELECT daemon.prove('{"e": {"sha256": null}}');
SELECT objectlink.note_sightings(daemon.store_id('docs'), 1, ARRAY[('e', 'back', 'corrupt', o.since, 'same', 1, '"E"', '', 'req', NULL, NULL, '{}', NULL)::objectlink.sighted])
FROM objectlink.object o WHERE key = 'e';
SELECT key, state FROM objectlink.object WHERE key = 'e';
SELECT daemon.rest_is_over();
SELECT daemon.prove();
SELECT key, state, error_code FROM objectlink.object WHERE key = 'e';
-- Of a share of a third everything is read in three rounds, and about a third in each
SELECT share, count(*) FILTER (WHERE times > 0) AS read_at_all, max(times) AS at_most, max(times) FILTER (WHERE share = 0) AS never,
       bool_and(each BETWEEN 1000 * share - 100 AND 1000 * share + 100) AS fair
FROM (SELECT share, k, sum(r::int) AS times, max(n) AS each
      FROM (SELECT share, k, r, sum(r::int) OVER (PARTITION BY share, round) AS n
            FROM (VALUES (0.0), (0.334), (0.5), (1.0)) s (share), generate_series(1, 1000) k, generate_series(7, 6 + ceil(1 / greatest(share, 0.1))::int) round,
                 objectlink.scrub_reads('key ' || k, round, share) r) x
      GROUP BY share, k) y GROUP BY share ORDER BY share;
-- Many: batches of bounded size, also where there is nothing to look at between
INSERT INTO objectlink.object (store_id, key, state, since) SELECT daemon.store_id('docs'), format('m/%s', lpad(n::text, 4, '0')), 'pending', now() FROM generate_series(1, 2500) n;
INSERT INTO objectlink.object (store_id, key, state, since) SELECT daemon.store_id('docs'), format('n/%s', lpad(n::text, 4, '0')), 'pending', now() FROM generate_series(1, 150) n;
UPDATE objectlink.object SET state = 'stored', size = CASE WHEN key = 'n/0010' THEN 1000 * 1024 * 1024 ELSE 1 END, etag = '"x"' WHERE starts_with(key, 'n/');
SELECT daemon.rest_is_over();
CREATE TABLE batches (number serial, reached text, objects int, first text);
DO $$
DECLARE
  n record;
BEGIN
  FOR i IN 1 .. 10 LOOP
    SELECT * INTO n FROM objectlink.next_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
    EXIT WHEN n.round IS NULL;
    INSERT INTO batches (reached, objects, first) VALUES (n.reached, json_array_length(n.objects), n.objects -> 0 ->> 'key');
    PERFORM daemon.prove();
  END LOOP;
END $$;
SELECT * FROM batches ORDER BY number;
-- Content of a batch is bounded in bytes as well
ALTER SERVER docs OPTIONS (SET scrub_content_share '1');
SELECT daemon.rest_is_over();
TRUNCATE batches RESTART IDENTITY;
DO $$
DECLARE
  n record;
BEGIN
  FOR i IN 1 .. 10 LOOP
    SELECT * INTO n FROM objectlink.next_scrub(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
    EXIT WHEN n.round IS NULL;
    INSERT INTO batches (reached, objects, first) VALUES (n.reached, json_array_length(n.objects), n.objects -> 0 ->> 'key');
    PERFORM daemon.prove();
  END LOOP;
END $$;
SELECT * FROM batches ORDER BY number;
-- The store is another place now: the round begins anew. Fenced: nothing
SELECT daemon.rest_is_over();
SELECT daemon.prove();
UPDATE objectlink.scrub SET place = 'elsewhere', round = 40;
SELECT daemon.prove() LIKE 'round 41 after ""%';
SELECT daemon.claim();
UPDATE objectlink.marker SET fence = 'copy', fenced_at = now(), lease_owner = NULL, lease_until = NULL;
SELECT daemon.prove();
SELECT phase FROM objectlink.scrub_progress;
UPDATE objectlink.marker SET fence = NULL, fenced_at = NULL;
-- A round that takes longer than the interval is a problem
UPDATE objectlink.scrub SET begun_at = begun_at - interval '31 days';
SELECT severity, what, remedy FROM objectlink.problems WHERE what = 'proofs overdue';
CREATE FUNCTION daemon.overdue() RETURNS text LANGUAGE sql AS $$
  SELECT round(number / 86400) || ' days' FROM objectlink.look_after(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) WHERE what = 'overdue'
$$;
SELECT daemon.overdue();
UPDATE objectlink.scrub SET begun_at = now() - interval '29 days', done_begun_at = NULL;
SELECT daemon.overdue();
-- So is one that does not begin
UPDATE objectlink.scrub SET begun_at = NULL, done_begun_at = now() - interval '33 days';
SELECT daemon.overdue();
ALTER SERVER docs OPTIONS (SET scrub_interval '0');
SELECT daemon.overdue();
DROP TABLE document, batches;
SELECT daemon.walk();
CALL daemon.finish();
