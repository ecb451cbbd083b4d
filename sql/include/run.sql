-- Lets a test play the daemon that compares: after include/daemon.sql.
-- What the daemon does with a page: keys, each with its size and age; differences that need a look come back
CREATE FUNCTION daemon.page(p_keys text[], p_up_to text DEFAULT NULL, p_size bigint DEFAULT 1, p_age_s int DEFAULT 100000, p_since_ms int DEFAULT 0) RETURNS json LANGUAGE plpgsql AS $$
DECLARE
  v_run record;
BEGIN
  SELECT r.*, g.after_key INTO v_run FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) r,
    objectlink.run_ranges(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), r.id) g;
  RETURN objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), v_run.id, 0, v_run.after_key, p_up_to, p_keys,
    ARRAY(SELECT p_size FROM unnest(p_keys)), ARRAY(SELECT format('"%s"', k) FROM unnest(p_keys) k), ARRAY(SELECT p_age_s * 1000::bigint FROM unnest(p_keys)), p_since_ms, 1);
END $$;
-- ... and what the looks show, the same for each
CREATE FUNCTION daemon.looked(p_page json, p_sighting text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  v_run objectlink.run;
BEGIN
  SELECT * INTO v_run FROM objectlink.run WHERE state = 'running';
  RETURN objectlink.conclude_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), v_run.id, 0,
    (SELECT after_key FROM objectlink.run_range WHERE run_id = v_run.id), p_page ->> 'reached',
    (p_page ->> 'listed')::bigint, (p_page ->> 'bytes')::bigint, (p_page ->> 'compared')::bigint, (p_page ->> 'undecided')::bigint,
    (SELECT json_agg(l::jsonb || jsonb_build_object('sighting', p_sighting, 'request_id', 'req')
                     || CASE p_sighting WHEN 'other' THEN '{"size": 2, "etag": "\"seen\""}'::jsonb WHEN 'absent' THEN '{"size": null, "etag": null}' ELSE '{}' END) FROM json_array_elements(p_page -> 'looks') l));
END $$;
CREATE FUNCTION daemon.looks(p_page json) RETURNS SETOF text LANGUAGE sql AS $$ SELECT concat_ws(' ', l ->> 'key', l ->> 'reason', l ->> 'state') FROM json_array_elements(p_page -> 'looks') l ORDER BY l ->> 'key' COLLATE "C" $$;
