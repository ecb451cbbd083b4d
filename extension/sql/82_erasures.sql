-- Reading, checking and purging erasure records.

-- Each record for itself, and each link to the one before: whatever was changed, put in another place or taken out shows at
-- the first record that does not fit. The end is compared with erasure_chain; who distrusts that too keeps a hash elsewhere.
CREATE FUNCTION objectlink.verify_erasures(store name DEFAULT NULL, OUT store_name text, OUT records bigint, OUT first_id bigint,
  OUT last_id bigint, OUT intact boolean, OUT first_broken_id bigint, OUT head_hash bytea)
RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH checked AS (
    SELECT e.store_id, e.id, e.hash,
           e.id = lag(e.id, 1, coalesce(p.id, 0)) OVER chain + 1
             AND e.prev_hash = lag(e.hash, 1, coalesce(p.hash, decode(repeat('00', 32), 'hex'))) OVER chain
             AND e.hash = sha256(e.prev_hash || convert_to(objectlink.erasure_text(e), 'UTF8')) AS fits
    FROM objectlink.erasure e LEFT JOIN objectlink.erasure_purged p USING (store_id)
    WINDOW chain AS (PARTITION BY e.store_id ORDER BY e.id)
  ), found AS (
    SELECT k.store_id, count(*) AS records, min(k.id) AS first_id, max(k.id) AS last_id,
           min(k.id) FILTER (WHERE k.fits IS NOT TRUE) AS broken_id
    FROM checked k GROUP BY k.store_id
  ), compared AS (
    SELECT s.name, f.records, f.first_id, f.last_id, c.last_hash,
           -- Cut short, or with records that the chain's end knows nothing of.
           coalesce(f.broken_id, CASE
             WHEN coalesce(f.last_id, p.id, 0) < coalesce(c.last_id, 0) THEN coalesce(f.last_id, p.id, 0) + 1
             WHEN coalesce(f.last_id, p.id) > coalesce(c.last_id, 0) THEN coalesce(c.last_id, 0) + 1
             WHEN c.last_hash <> coalesce((SELECT e.hash FROM objectlink.erasure e WHERE e.store_id = s.id AND e.id = f.last_id), p.hash)
               THEN c.last_id END) AS broken_id
    FROM objectlink.store s
    LEFT JOIN found f ON f.store_id = s.id
    LEFT JOIN objectlink.erasure_chain c ON c.store_id = s.id
    LEFT JOIN objectlink.erasure_purged p ON p.store_id = s.id
    WHERE s.name = verify_erasures.store OR verify_erasures.store IS NULL
  )
  SELECT k.name::text, coalesce(k.records, 0), k.first_id, k.last_id, k.broken_id IS NULL, k.broken_id, k.last_hash
  FROM compared k ORDER BY k.name
$$;
COMMENT ON FUNCTION objectlink.verify_erasures(name) IS 'checks the chain of erasure records of each store; the hash at its end is worth noting elsewhere';

CREATE FUNCTION objectlink.purge_erasures(before timestamptz, store name DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_store record;
  v_last objectlink.erasure;
  v_count bigint;
  v_total bigint := 0;
BEGIN
  IF before IS NULL THEN
    RAISE EXCEPTION 'before must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  -- One purge at a time; who appends records is not held up.
  LOCK TABLE objectlink.erasure_purged IN SHARE ROW EXCLUSIVE MODE;
  FOR v_store IN SELECT s.id FROM objectlink.store s WHERE s.name = store OR store IS NULL ORDER BY s.id LOOP
    -- Only from the beginning: the rest stays one chain.
    SELECT * INTO v_last FROM objectlink.erasure e
      WHERE e.store_id = v_store.id
        AND e.id < coalesce((SELECT min(i.id) FROM objectlink.erasure i WHERE i.store_id = v_store.id AND i.at >= before), 'infinity'::float8)
      ORDER BY e.id DESC LIMIT 1;
    CONTINUE WHEN NOT FOUND;
    INSERT INTO objectlink.erasure_purged AS p VALUES (v_store.id, v_last.id, v_last.hash, least(before, clock_timestamp()))
      ON CONFLICT (store_id) DO UPDATE SET id = excluded.id, hash = excluded.hash, before = greatest(p.before, excluded.before);
    DELETE FROM objectlink.erasure e WHERE e.store_id = v_store.id AND e.id <= v_last.id;
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_total := v_total + v_count;
    INSERT INTO objectlink.event (store_id, cause, detail)
      VALUES (v_store.id, 'erasures purged',
              jsonb_build_object('records', v_count, 'last_id', v_last.id, 'last_hash', encode(v_last.hash, 'hex'), 'before', before));
  END LOOP;
  RETURN v_total;
END $$;
COMMENT ON FUNCTION objectlink.purge_erasures(timestamptz, name) IS 'removes the erasure records from before a point in time, says so in an event, and returns how many; what is left can still be verified';

-- A user sees the erasures of the tables that he may read; who may read the records themselves (grant_reader) sees all.
CREATE VIEW objectlink.erasures WITH (security_barrier) AS
SELECT e.id, e.at, e.store, e.bucket, e.key, e.version_id, e.size, e.sha256, e.etag, e.stored_at,
       e.relation, e.column_name, e.row_key, e.act, e.unlinked_by, e.unlinked_at, e.found_at,
       e.requested_at, e.request_id, e.proof, e.worker, e.epoch, e.prev_hash, e.hash,
       a.relation AS attached_relation,
       (left(objectlink.erasure_text(e), -1) || format(', "prev_hash" : "%s", "hash" : "%s"}', encode(e.prev_hash, 'hex'), encode(e.hash, 'hex')))::json AS record
FROM objectlink.erasure e LEFT JOIN objectlink.attachment a ON a.id = e.attachment_id
WHERE has_table_privilege('objectlink.erasure', 'SELECT') OR e.attachment_id IN (SELECT v.id FROM objectlink.visible_attachment v);
COMMENT ON VIEW objectlink.erasures IS 'erased objects: what, when, by whom, from which row, and how it was proved; column record is the line for an export';

CREATE FUNCTION objectlink.erasure_report(relation regclass DEFAULT NULL, row_key jsonb DEFAULT NULL, store name DEFAULT NULL,
  key text DEFAULT NULL, unlinked_by name DEFAULT NULL, since timestamptz DEFAULT NULL, until timestamptz DEFAULT NULL,
  former_relation text DEFAULT NULL)
RETURNS SETOF json
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
DECLARE
  -- Of a partition the records name the root.
  v_relation regclass := coalesce(pg_partition_root(erasure_report.relation), erasure_report.relation);
  v_name text := (SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = v_relation);
BEGIN
  RETURN QUERY
    SELECT e.record FROM objectlink.erasures e
    WHERE (v_relation IS NULL OR e.relation = v_name OR e.attached_relation = v_relation)
      AND (erasure_report.former_relation IS NULL OR e.relation = erasure_report.former_relation)
      AND (erasure_report.row_key IS NULL OR e.row_key @> erasure_report.row_key)
      AND (erasure_report.store IS NULL OR e.store = erasure_report.store)
      AND (erasure_report.key IS NULL OR e.key = erasure_report.key COLLATE "C")
      AND (erasure_report.unlinked_by IS NULL OR e.unlinked_by = erasure_report.unlinked_by)
      AND (erasure_report.since IS NULL OR e.at >= erasure_report.since)
      AND (erasure_report.until IS NULL OR e.at < erasure_report.until)
    ORDER BY e.store, e.id;
END $$;
COMMENT ON FUNCTION objectlink.erasure_report(regclass, jsonb, name, text, name, timestamptz, timestamptz, text) IS 'the erasure records that fit, one JSON object a line, for a data-protection request';
