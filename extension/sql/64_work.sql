-- Work: what the owner of a store finds due, and the payload it uploads.

-- Content up to this size comes with the work row itself.
CREATE FUNCTION objectlink.inline_content_bytes() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 32768 $$;
COMMENT ON FUNCTION objectlink.inline_content_bytes() IS 'content up to this size is handed to the daemon together with the work';

CREATE FUNCTION objectlink.due_work(p_store int, p_after timestamptz, p_limit int)
RETURNS TABLE (key text, state text, due_at timestamptz, attempts int, max_attempts int, size bigint, etag text,
               version_id text, issued_at timestamptz, issued_epoch bigint,
               payload_size bigint, payload_sha256 bytea, payload_md5 bytea, content_type text, chosen_key boolean, content bytea,
               sha256 bytea, verified boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
-- In the order of the index, which ends at the limit: a bitmap would read all that is due, and sort it.
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_stopped boolean := objectlink.deletions_stopped(p_store);
  v_max_attempts int := coalesce(objectlink.store_option(v_store, 'max_attempts')::int, 10);
  v_fence text := (SELECT m.fence FROM objectlink.marker m WHERE m.store_id = p_store);
BEGIN
  -- Of another place's objects nothing can be proved, so not even looking is due there.
  IF v_fence = 'altered' THEN
    RETURN;
  END IF;
  RETURN QUERY
    SELECT o.key, o.state, o.due_at, o.attempts,
           coalesce((SELECT a.max_attempts FROM objectlink.attachment a WHERE a.id = o.attachment_id), v_max_attempts),
           o.size, o.etag, o.version_id, o.issued_at, o.issued_epoch,
           p.size, p.sha256, p.md5, coalesce(p.content_type, o.content_type), p.chosen_key,
           CASE WHEN p.size <= objectlink.inline_content_bytes() AND o.state = 'pending' THEN p.content END,
           o.sha256, o.verified_at IS NOT NULL
    FROM (SELECT * FROM (
            (SELECT * FROM objectlink.object i
             WHERE i.store_id = p_store AND i.due_at > p_after AND i.due_at <= v_now AND i.state <> 'unlinked'
               -- A fenced store is only looked at: deletions and uploads stay due until somebody decides.
               AND (v_fence IS NULL OR i.state <> 'deleting' AND (i.state <> 'pending' OR NOT EXISTS (
                    SELECT FROM objectlink.payload w WHERE w.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, i.key))))
             ORDER BY i.due_at LIMIT p_limit)
            UNION ALL
            (SELECT * FROM objectlink.object i
             WHERE i.store_id = p_store AND i.due_at > p_after AND i.due_at <= v_now AND i.state = 'unlinked' AND NOT v_stopped AND v_fence IS NULL
             ORDER BY i.due_at LIMIT p_limit)) AS both_kinds
          ORDER BY both_kinds.due_at LIMIT p_limit) o
    -- Of content that was never proved to be in the store, a deletion has to know what it would be.
    LEFT JOIN objectlink.payload p ON (o.state = 'pending' OR o.state IN ('unlinked', 'deleting') AND o.verified_at IS NULL)
      AND p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, o.key)
    ORDER BY o.due_at;
END $$;
COMMENT ON FUNCTION objectlink.due_work(int, timestamptz, int) IS 'for the owner of a store: objects that are due, oldest first, after a point in time';

CREATE FUNCTION objectlink.read_payload(p_store int, p_key text, p_offset bigint, p_length int) RETURNS bytea
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT substring(p.content FROM p_offset::int + 1 FOR p_length)
  FROM objectlink.payload p
  WHERE p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref((SELECT s.name::text FROM objectlink.store s WHERE s.id = p_store), p_key)
$$;
COMMENT ON FUNCTION objectlink.read_payload(int, text, bigint, int) IS 'for the owner of a store: a piece of the content that waits to be uploaded; NULL when it is gone';

CREATE FUNCTION objectlink.expire_reserved(p_store int, p_epoch bigint, p_keys text[]) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_count int;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  -- Not deleted here: it goes the way of every unlinked object, which asks the rows once more.
  WITH expired AS (
    UPDATE objectlink.object o
    SET state = 'unlinked', since = clock_timestamp(), due_at = CASE WHEN o.admin_hold IS NULL THEN clock_timestamp() END, unlinked_act = 'never linked'
    FROM (SELECT p_store AS store_id, k AS key FROM unnest(p_keys) k OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key AND o.state = 'reserved'
      AND coalesce(o.due_at, 'infinity') <= clock_timestamp()  -- see condemn()
    RETURNING o.key, o.attachment_id
  ), logged AS (
    INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id)
    SELECT p_store, e.key, 'reserved', 'unlinked', 'never linked', e.attachment_id FROM expired e RETURNING 1
  )
  SELECT count(*) INTO v_count FROM logged;
  RETURN v_count;
END $$;
COMMENT ON FUNCTION objectlink.expire_reserved(int, bigint, text[]) IS 'for the owner of a store: content that no row came to link is unlinked';

-- One look for an idle daemon: is there anything to apply, when is the next object due, have settings changed, does a run
-- wait?
CREATE FUNCTION objectlink.look(p_stores int[], p_low tid, OUT outbox boolean, OUT due_in_ms bigint, OUT settings text, OUT runs boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  outbox := EXISTS (SELECT FROM objectlink.outbox o WHERE o.ctid > p_low) OR EXISTS (SELECT FROM objectlink.scan);
  -- greatest() would make 0 of NULL.
  SELECT CASE WHEN count(*) > 0 THEN greatest(0, ceil(extract(epoch FROM min(d.due_at) - clock_timestamp()) * 1000)) END INTO due_in_ms
    FROM unnest(p_stores) AS s (id)
    CROSS JOIN LATERAL (
      (SELECT o.due_at FROM objectlink.object o
       WHERE o.store_id = s.id AND o.due_at IS NOT NULL AND o.state <> 'unlinked' ORDER BY o.due_at LIMIT 1)
      UNION ALL
      (SELECT o.due_at FROM objectlink.object o
       WHERE o.store_id = s.id AND o.due_at IS NOT NULL AND o.state = 'unlinked' AND NOT objectlink.deletions_stopped(s.id) ORDER BY o.due_at LIMIT 1)) d;
  SELECT md5(string_agg(concat_ws(' ', v.name, v.options), E'\n' ORDER BY v.name)
             || coalesce((SELECT string_agg(concat_ws(' ', m.store_id, m.place, m.fence, m.accepted), E'\n' ORDER BY m.store_id) FROM objectlink.marker m), ''))
    INTO settings FROM objectlink.server v;
  runs := EXISTS (SELECT FROM objectlink.run r WHERE r.store_id = ANY (p_stores) AND r.state IN ('queued', 'running'))
    OR EXISTS (SELECT FROM objectlink.finding f WHERE f.store_id = ANY (p_stores) AND f.delete_at IS NOT NULL AND coalesce(f.look_after <= clock_timestamp(), true))
    OR EXISTS (SELECT FROM objectlink.quarantine q WHERE q.store_id = ANY (p_stores) AND q.due_at <= clock_timestamp());
END $$;
COMMENT ON FUNCTION objectlink.look(int[], tid) IS 'for an idle daemon: whether the outbox has rows behind a position, when the next object is due, a digest of the stores'' settings and fences, whether a run waits';
