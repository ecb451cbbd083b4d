-- Scrub: everything that the registry says is stored is looked at again, in rounds, and of some of it the content is read. A
-- round is a walk in the order of keys with a durable position: no index is needed, none has to be kept by those who
-- settle, and after the first round the order of keys is the order of proofs.

CREATE TABLE objectlink.scrub (
  store_id     int PRIMARY KEY,
  round        bigint NOT NULL DEFAULT 0,
  place        text,
  begun_at     timestamptz,
  after_key    text COLLATE "C" NOT NULL DEFAULT '',
  progress_at  timestamptz,
  looked       bigint NOT NULL DEFAULT 0,
  read         bigint NOT NULL DEFAULT 0,
  read_bytes   bigint NOT NULL DEFAULT 0,
  undecided    bigint NOT NULL DEFAULT 0,
  last_error   text,
  done_begun_at timestamptz,
  done_at      timestamptz,
  done_looked  bigint,
  done_read    bigint,
  done_read_bytes bigint,
  done_undecided bigint,
  done_error   text
);
COMMENT ON TABLE objectlink.scrub IS 'how far the objects of each store are proved again: the round under way, and the last whole one';
COMMENT ON COLUMN objectlink.scrub.place IS 'host, bucket and prefix of the store when the round began: what was proved in another place proves nothing';
COMMENT ON COLUMN objectlink.scrub.begun_at IS 'when the round under way began; NULL: it rests until the next one';
COMMENT ON COLUMN objectlink.scrub.after_key IS 'everything up to this key was looked at in this round; whoever owns the store next goes on behind it';
COMMENT ON COLUMN objectlink.scrub.undecided IS 'objects of which nothing was proved: refused, not answered, or seen differently from one look to the next';
COMMENT ON COLUMN objectlink.scrub.last_error IS 'why, of the last of them';
COMMENT ON COLUMN objectlink.scrub.done_begun_at IS 'when the last whole round began; this and the next ones are NULL before there was one';

CREATE FUNCTION objectlink.scrub_batch_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100 $$;
COMMENT ON FUNCTION objectlink.scrub_batch_max() IS 'objects that are proved again before the progress is written down';
CREATE FUNCTION objectlink.scrub_rows_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 2000 $$;
COMMENT ON FUNCTION objectlink.scrub_rows_max() IS 'rows of the registry that are read for a batch: there may be many in between that are not to be looked at';
CREATE FUNCTION objectlink.scrub_batch_bytes() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 256 * 1024 * 1024::bigint $$;
COMMENT ON FUNCTION objectlink.scrub_batch_bytes() IS 'content that is read in a batch, unless it is a single object''s: what a kill makes be read again';

CREATE FUNCTION objectlink.scrub_interval(p_store name) RETURNS interval
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT nullif(objectlink.store_option(p_store, 'scrub_interval')::interval, interval '0')
$$;
COMMENT ON FUNCTION objectlink.scrub_interval(name) IS 'how often everything in a store is proved again; NULL: never by itself';

-- Each round reads the next share of a circle on which every key has its place by hash: so of a share of a tenth
-- everything is read in ten rounds, where a sample by chance would leave out every third object.
CREATE FUNCTION objectlink.scrub_reads(p_key text, p_round bigint, p_share double precision) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT p_share > 0 AND x.place - x.start + CASE WHEN x.place < x.start THEN 1 ELSE 0 END < p_share
  FROM (SELECT (hashtextextended(p_key COLLATE "C", 0) & 1048575) / 1048576.0::double precision AS place,
               p_round * p_share - floor(p_round * p_share) AS start) x
$$;
COMMENT ON FUNCTION objectlink.scrub_reads(text, bigint, double precision) IS 'whether a round reads the content of this object: it takes 1 / share rounds until that of every one was read';

CREATE FUNCTION objectlink.next_scrub(p_store int, p_epoch bigint, OUT round bigint, OUT after_key text, OUT reached text, OUT wait_ms bigint,
                                      OUT objects json, OUT proved_since double precision)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_interval interval := objectlink.scrub_interval(v_store);
  v_share double precision := coalesce(objectlink.store_option(v_store, 'scrub_content_share')::double precision, 0);
  v_place text := objectlink.place_of(v_store);
  v objectlink.scrub;
  v_batch record;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  -- Of a place that is perhaps another's nothing would be proved.
  IF v_interval IS NULL OR EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = p_store AND m.fence IS NOT NULL) THEN
    RETURN;
  END IF;
  INSERT INTO objectlink.scrub (store_id) VALUES (p_store) ON CONFLICT ON CONSTRAINT scrub_pkey DO NOTHING;
  SELECT * INTO v FROM objectlink.scrub s WHERE s.store_id = p_store FOR UPDATE;
  proved_since := extract(epoch FROM v.done_begun_at);
  IF v.begun_at IS NULL AND v.done_begun_at + v_interval > clock_timestamp() THEN
    wait_ms := ceil(extract(epoch FROM v.done_begun_at + v_interval - clock_timestamp()) * 1000);
    RETURN;
  ELSIF v.begun_at IS NULL OR v.place IS DISTINCT FROM v_place THEN
    UPDATE objectlink.scrub s
    SET round = s.round + 1, place = v_place, begun_at = clock_timestamp(), after_key = '', progress_at = NULL,
        looked = 0, read = 0, read_bytes = 0, undecided = 0, last_error = NULL
    WHERE s.store_id = p_store RETURNING * INTO v;
  END IF;
  round := v.round;
  after_key := v.after_key;
  WITH page AS MATERIALIZED (
    SELECT o.* FROM objectlink.object o WHERE o.store_id = p_store AND o.key > v.after_key ORDER BY o.key LIMIT objectlink.scrub_rows_max()
  ), wanted AS (
    -- What was found to have other content behind the same ETag is only known to be mended when it was read.
    SELECT p.key, p.state, p.since, p.size, p.etag, p.sha256,
           objectlink.scrub_reads(p.key, v.round, v_share) OR p.state = 'corrupt' AND p.error_code = 'ContentDiffers' AS read
    FROM page p WHERE p.state IN ('stored', 'missing', 'corrupt')
  ), counted AS (
    SELECT w.*, row_number() OVER (ORDER BY w.key) AS number,
           coalesce(sum(w.size) FILTER (WHERE w.read) OVER (ORDER BY w.key ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS read_before,
           CASE WHEN w.read THEN coalesce(w.size, 0) ELSE 0 END AS read_here
    FROM wanted w
  ), batch AS (
    SELECT c.* FROM counted c
    WHERE c.number <= objectlink.scrub_batch_max() AND (c.read_before = 0 OR c.read_before + c.read_here <= objectlink.scrub_batch_bytes())
  )
  SELECT coalesce(json_agg(json_build_object('key', b.key, 'state', b.state, 'since', b.since, 'size', b.size, 'etag', b.etag,
                                             'sha256', encode(b.sha256, 'hex'), 'read', b.read) ORDER BY b.key), '[]') AS objects,
         CASE WHEN count(*) < (SELECT count(*) FROM wanted) THEN max(b.key)
              WHEN (SELECT count(*) FROM page) = objectlink.scrub_rows_max() THEN (SELECT max(p.key) FROM page p) END AS reached
    INTO v_batch FROM batch b;
  objects := v_batch.objects;
  reached := v_batch.reached;
END $$;
COMMENT ON FUNCTION objectlink.next_scrub(int, bigint) IS 'for the owner of a store: the next objects to be proved again, and up to which key they go (NULL: to the end); round NULL: not now, but after wait_ms';

-- What the looks showed. Each counts only if the registry still says what it said when the look was asked for.
CREATE FUNCTION objectlink.conclude_scrub(p_store int, p_epoch bigint, p_round bigint, p_after text, p_reached text, p_looks json) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v objectlink.scrub;
  v_sighted objectlink.sighted[];
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  SELECT * INTO v FROM objectlink.scrub s WHERE s.store_id = p_store FOR UPDATE;
  IF v.begun_at IS NULL OR (v.round, v.after_key) IS DISTINCT FROM (p_round, p_after COLLATE "C")
     OR EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = p_store AND m.fence IS NOT NULL) THEN
    RETURN false;
  END IF;
  -- In the order of keys, as everybody locks them.
  PERFORM FROM (SELECT l.key COLLATE "C" AS key FROM json_to_recordset(p_looks) AS l (key text) ORDER BY 1) w
    CROSS JOIN LATERAL (SELECT FROM objectlink.object o WHERE o.store_id = p_store AND o.key = w.key FOR UPDATE) AS locked;
  -- Nearly all of them: as they were. No event, and of what is indexed nothing changes.
  UPDATE objectlink.object o
  SET verified_at = clock_timestamp(), sha256 = coalesce(o.sha256, decode(l.sha256, 'hex')), size = coalesce(o.size, l.size),
      etag = coalesce(nullif(l.etag, ''), o.etag)
  FROM (SELECT p_store AS store_id, x.* FROM json_to_recordset(p_looks) AS x (key text, state text, since timestamptz, sighting text, size bigint, etag text, sha256 text)
        WHERE x.sighting = 'same' AND x.state = 'stored' OFFSET 0) l
  WHERE o.store_id = l.store_id AND o.key = l.key COLLATE "C" AND o.state = 'stored' AND o.since = l.since;
  SELECT array_agg((l.key, 'scrub', l.state, l.since, l.sighting, l.size, l.etag, l.version_id, l.request_id,
                    CASE WHEN l.content_differs THEN 'ContentDiffers' END,
                    CASE WHEN l.content_differs THEN format('size and ETag are those that were proved, but the SHA-256 of its content is %s', l.sha256) END,
                    jsonb_strip_nulls(jsonb_build_object('scrub_round', v.round, 'state', o.state, 'proved_size', o.size, 'proved_etag', o.etag,
                      'proved_at', o.verified_at, 'proved_sha256', encode(o.sha256, 'hex'), 'sha256', l.sha256)), NULL)::objectlink.sighted
                   ORDER BY l.key COLLATE "C")
    INTO v_sighted
    FROM json_to_recordset(p_looks) AS l (key text, state text, since timestamptz, sighting text, size bigint, etag text, version_id text,
                                          request_id text, sha256 text, content_differs boolean)
    JOIN objectlink.object o ON o.store_id = p_store AND o.key = l.key COLLATE "C"
    WHERE l.sighting <> 'unknown' AND NOT (l.sighting = 'same' AND l.state = 'stored');
  IF v_sighted IS NOT NULL THEN
    PERFORM objectlink.note_sightings(p_store, NULL, v_sighted);
  END IF;
  UPDATE objectlink.scrub s
  SET after_key = coalesce(p_reached, s.after_key), progress_at = clock_timestamp(), looked = s.looked + n.looked, read = s.read + n.read,
      read_bytes = s.read_bytes + n.read_bytes, undecided = s.undecided + n.undecided, last_error = coalesce(n.error, s.last_error)
  FROM (SELECT count(*) AS looked, count(*) FILTER (WHERE l.sha256 IS NOT NULL) AS read, coalesce(sum(l.read_bytes), 0) AS read_bytes,
               count(*) FILTER (WHERE l.sighting = 'unknown') AS undecided,
               max(concat_ws(': ', l.key, coalesce(l.error_code, 'seen differently from one look to the next'), l.message)) FILTER (WHERE l.sighting = 'unknown') AS error
        FROM json_to_recordset(p_looks) AS l (key text, sighting text, sha256 text, read_bytes bigint, error_code text, message text)) n
  WHERE s.store_id = p_store;
  IF p_reached IS NULL THEN
    UPDATE objectlink.scrub s
    SET done_begun_at = s.begun_at, done_at = clock_timestamp(), done_looked = s.looked, done_read = s.read, done_read_bytes = s.read_bytes,
        done_undecided = s.undecided, done_error = s.last_error, begun_at = NULL, after_key = ''
    WHERE s.store_id = p_store;
  END IF;
  RETURN true;
END $$;
COMMENT ON FUNCTION objectlink.conclude_scrub(int, bigint, bigint, text, text, json) IS 'for the owner of a store: writes what looks at objects have proved again, and with it the round''s progress; false: it is no longer at this place';
