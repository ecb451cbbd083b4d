-- What runs have found, and which rows cannot be written, in numbers: for alerts. What objects wait for is counted in 76_stuck.sql.

CREATE INDEX finding_open ON objectlink.finding (store_id, kind) WHERE status = 'open';

CREATE FUNCTION objectlink.watched_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100000 $$;
COMMENT ON FUNCTION objectlink.watched_max() IS 'findings, rows and stuck objects are counted up to so many each time';

CREATE FUNCTION objectlink.watch(p_store int) RETURNS TABLE (what text, label text, number double precision)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY
    SELECT 'finding', k.kind, (SELECT count(*)::double precision FROM (SELECT FROM objectlink.finding f
                               WHERE f.store_id = p_store AND f.kind = k.kind AND f.status = 'open' LIMIT objectlink.watched_max()) c)
    FROM objectlink.finding_kinds() k
    UNION ALL
    SELECT 'to_delete', NULL, (SELECT count(*) FROM (SELECT FROM objectlink.finding f
                               WHERE f.store_id = p_store AND f.delete_at IS NOT NULL LIMIT objectlink.watched_max()) c)
    UNION ALL
    SELECT 'rows', k.kind, (SELECT count(*) FROM (SELECT FROM objectlink.row_work w WHERE w.failed_at IS NOT NULL AND w.store_id = p_store
                            AND (w.compensation IS NULL) = (k.kind = 'status') LIMIT objectlink.watched_max()) c)
    FROM unnest('{status,compensation}'::text[]) AS k (kind)
    UNION ALL
    SELECT 'run', s.state, CASE WHEN s.state = r.state THEN 1 ELSE 0 END
    FROM (SELECT l.state FROM objectlink.run l WHERE l.store_id = p_store AND l.mode <> 'inventory' ORDER BY l.id DESC LIMIT 1) r,
         unnest('{queued,running,paused,done,failed,cancelled}'::text[]) AS s (state);
END $$;
COMMENT ON FUNCTION objectlink.watch(int) IS 'for look_after(): open findings by kind, how many of them are to be deleted, rows that could not be written, and the state of the last run';
