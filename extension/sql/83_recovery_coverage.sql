-- Whether the database can be restored to a point in time without rows that lack their objects.

-- When in doubt, no: an object counts as linked at that point if the transaction that unlinked it may have ended later.
CREATE FUNCTION objectlink.recovery_coverage(restore_point timestamptz)
RETURNS TABLE (store text, covered boolean, covered_until timestamptz, retention interval, gone bigint, gone_bytes numeric,
               waiting bigint, waiting_bytes numeric, reason text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_column
BEGIN
  IF restore_point IS NULL THEN
    RAISE EXCEPTION 'restore_point must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF restore_point > clock_timestamp() THEN
    RAISE EXCEPTION 'restore point % lies in the future', restore_point USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'What will be deleted until then is not known.';
  END IF;
  RETURN QUERY
    WITH per_store AS (
      SELECT s.name::text AS name,
             -- Of the store, or of an attachment that has one of its own: the shortest.
             least(coalesce((SELECT (v.options ->> 'retention')::interval FROM objectlink.server v WHERE v.name = s.name), interval '0'),
                   (SELECT min(a.retention) FROM objectlink.attachment a
                    WHERE a.detached_at IS NULL AND coalesce(a.store, s.name) = s.name)) AS retention,
             p.before > restore_point AS purged, g.*, w.*
      FROM objectlink.store s
      LEFT JOIN objectlink.erasure_purged p ON p.store_id = s.id
      CROSS JOIN LATERAL (SELECT count(*) AS gone, coalesce(sum(e.size), 0) AS gone_bytes FROM objectlink.erasure e
                          WHERE e.store_id = s.id AND e.at >= restore_point AND e.found_at >= restore_point
                            AND e.act IS DISTINCT FROM 'never linked') g
      -- Those being deleted may be gone already.
      CROSS JOIN LATERAL (SELECT count(*) FILTER (WHERE o.state = 'unlinked') AS waiting,
                                 coalesce(sum(o.size) FILTER (WHERE o.state = 'unlinked'), 0) AS waiting_bytes,
                                 min(o.due_at) FILTER (WHERE o.state = 'unlinked') AS due_at,
                                 count(*) FILTER (WHERE o.state = 'deleting') AS deleting
                          FROM objectlink.object o
                          WHERE o.store_id = s.id AND o.state IN ('unlinked', 'deleting') AND o.wanted_since >= restore_point
                            AND o.unlinked_act IS DISTINCT FROM 'never linked') w
    ), judged AS (
      SELECT p.*, least(restore_point + p.retention, p.due_at) AS until,
             CASE WHEN p.gone > 0 THEN 'objects that a row may have linked then are deleted'
                  WHEN p.deleting > 0 THEN 'objects that a row may have linked then are being deleted'
                  WHEN p.purged THEN 'erasure records since then were purged'
                  WHEN restore_point + p.retention <= clock_timestamp() THEN 'the retention is shorter than the time since then'
                  WHEN p.due_at <= clock_timestamp() THEN 'objects that a row may have linked then are due to be deleted' END AS why_not
      FROM per_store p
    )
    SELECT j.name, j.why_not IS NULL, CASE WHEN j.why_not IS NULL THEN j.until END, j.retention, j.gone, j.gone_bytes,
           j.waiting, j.waiting_bytes, j.why_not
    FROM judged j ORDER BY j.name;
END $$;
COMMENT ON FUNCTION objectlink.recovery_coverage(timestamptz) IS 'for each store: whether the present retention covers a restore of the database to this point, and until when; and what of then is already deleted';
