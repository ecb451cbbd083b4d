-- One page of a listing against the registry and the rows. What was listed is of a moment that is over when it is compared:
-- so nothing is believed that what has happened since would explain as well.

CREATE FUNCTION objectlink.compare_rows_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 2000 $$;
COMMENT ON FUNCTION objectlink.compare_rows_max() IS 'rows of the registry, and findings, that one comparison covers: a page may lie over millions that the store no longer has';

CREATE TYPE objectlink.known AS (key text, state text, since timestamptz, verified_at timestamptz, size bigint, etag text, attachment_id int,
                                 error_class text);
COMMENT ON TYPE objectlink.known IS 'what the registry has of one key';

CREATE TYPE objectlink.compared AS (key text, listed boolean, size bigint, etag text, age interval, was objectlink.known, changed boolean, held_in text);
COMMENT ON TYPE objectlink.compared IS 'one key as the listing and the registry have it';
COMMENT ON COLUMN objectlink.compared.age IS 'since it was written, by the store''s own clock; NULL: unknown';
COMMENT ON COLUMN objectlink.compared.changed IS 'what is listed is not what was proved';
COMMENT ON COLUMN objectlink.compared.held_in IS 'a column whose rows hold it, as far as they were read';

-- Quotes and the case of digits mean nothing.
CREATE FUNCTION objectlink.same_content(p_size bigint, p_etag text, p_known_size bigint, p_known_etag text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN coalesce(p_size = p_known_size, true)
         AND coalesce(lower(btrim(p_etag, '"')) = lower(btrim(p_known_etag, '"')) OR p_etag = '' OR p_known_etag = '', true);
COMMENT ON FUNCTION objectlink.same_content(bigint, text, bigint, text) IS 'whether size and ETag are those that were proved; what is not known differs from nothing';

CREATE FUNCTION objectlink.wait_lock_class() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1869376621 $$;
COMMENT ON FUNCTION objectlink.wait_lock_class() IS 'first key of the advisory lock by which a session shows that it waits for a run';

-- What nobody links may be linked by a transaction that has begun before. When one was begun that is prepared by now
-- nobody can tell: it gets the grace time once more. Who waits for a run and has written nothing yet is not meant: or no
-- object could be told from one to come until the wait for it is over.
CREATE FUNCTION objectlink.oldest_transaction(p_grace interval) RETURNS timestamptz
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT least((SELECT min(a.xact_start) FROM pg_stat_activity a
                WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type <> 'autovacuum worker'
                  AND NOT (a.backend_xid IS NULL AND EXISTS (
                    SELECT FROM pg_locks l WHERE l.pid = a.pid AND l.locktype = 'advisory' AND l.classid = objectlink.wait_lock_class()::oid
                      AND l.objsubid = objectlink.own_lock_kind()))),
               (SELECT min(p.prepared) - p_grace FROM pg_prepared_xacts p WHERE p.database = current_database()))
$$;
COMMENT ON FUNCTION objectlink.oldest_transaction(interval) IS 'when the oldest transaction under way began; NULL: there is none';

-- The record of a key's erasure, if the last that is known of it is that it went.
CREATE FUNCTION objectlink.last_erasure(p_store int, p_key text) RETURNS objectlink.erasure
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_event objectlink.event;
  v_erasure objectlink.erasure;
BEGIN
  -- Events are found by key; erasures by time, which both share but for the length of a transaction.
  SELECT e.* INTO v_event FROM objectlink.event e
    WHERE e.store_id = p_store AND e.key = p_key AND e.to_state IS NOT NULL ORDER BY e.id DESC LIMIT 1;
  IF v_event.to_state = 'gone' THEN
    SELECT x.* INTO v_erasure FROM objectlink.erasure x
      WHERE x.at BETWEEN v_event.at - interval '1 minute' AND v_event.at + interval '1 minute' AND x.store_id = p_store AND x.key = p_key
      ORDER BY x.id DESC LIMIT 1;
  END IF;
  -- That was moved aside, and may be back.
  IF v_erasure.act = 'quarantine' THEN
    RETURN NULL;
  END IF;
  RETURN v_erasure;
END $$;
COMMENT ON FUNCTION objectlink.last_erasure(int, text) IS 'the erasure record of a key that has not been known since; NULL: none';

-- An object that was deleted and is there may have been brought back on purpose: from a backup, by whoever needs it, together
-- with an older state of the database. Then it was written after its erasure, or somebody has adopted the store since.
CREATE FUNCTION objectlink.survived_erasure(p_store int, p_erased_at timestamptz) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT NOT EXISTS (SELECT FROM objectlink.event e WHERE e.store_id = p_store AND e.key IS NULL AND e.cause = 'store adopted' AND e.at >= p_erased_at)
$$;
COMMENT ON FUNCTION objectlink.survived_erasure(int, timestamptz) IS 'whether nothing has happened to a store since an erasure by which its objects may have been brought back';

-- What the registry, the listing and the rows have of the same range of keys, as far as one comparison goes. reached: up to where;
-- NULL: to the end. Also what was found to be unregistered: a column that cannot be read any more does not mend it.
CREATE FUNCTION objectlink.pair_page(p_run objectlink.run, p_after text, p_up_to text, p_keys text[], p_sizes bigint[], p_etags text[], p_ages bigint[],
                                     OUT pairs objectlink.compared[], OUT reached text, OUT unread int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_limit int := objectlink.compare_rows_max();
  v_prefix text := objectlink.store_prefix((SELECT s.name FROM objectlink.store s WHERE s.id = p_run.store_id));
  v_known objectlink.known[];
  v_cut text;
  v_finding text;
  v_held_keys text[];
  v_held_in text[];
BEGIN
  SELECT array_agg((k.key, k.state, k.since, k.verified_at, k.size, k.etag, k.attachment_id, k.error_class)::objectlink.known ORDER BY k.key) INTO v_known
    FROM (SELECT * FROM objectlink.object o WHERE o.store_id = p_run.store_id AND o.key > p_after AND o.key >= p_run.prefix
          ORDER BY o.key LIMIT v_limit) k;
  IF cardinality(v_known) = v_limit AND starts_with((v_known[v_limit]).key, p_run.prefix) THEN
    v_cut := (v_known[v_limit]).key;
  END IF;
  SELECT f.key INTO v_finding FROM objectlink.finding f
    WHERE f.store_id = p_run.store_id AND f.key > p_after AND f.key >= p_run.prefix AND f.status <> 'resolved' AND f.kind = ANY (objectlink.compared_kinds())
    ORDER BY f.key OFFSET v_limit - 1 LIMIT 1;
  IF NOT starts_with(v_finding, p_run.prefix) THEN
    v_finding := NULL;
  END IF;
  reached := least(p_up_to COLLATE "C", v_cut COLLATE "C", v_finding COLLATE "C");
  SELECT r.reached, r.keys, r.columns, r.unread INTO reached, v_held_keys, v_held_in, unread FROM objectlink.keys_of_rows(p_run, p_after, reached) r;
  SELECT array_agg((coalesce(k.key, l.key, h.key), l.key IS NOT NULL, l.size, l.etag, l.age_ms * interval '1 ms', k.was,
                    l.key IS NOT NULL AND NOT objectlink.same_content(l.size, l.etag, (k.was).size, (k.was).etag), h.held_in)::objectlink.compared
                   ORDER BY coalesce(k.key, l.key, h.key) COLLATE "C")
    INTO pairs
    FROM (SELECT w.key COLLATE "C" AS key, w::objectlink.known AS was FROM unnest(v_known) w
          WHERE starts_with(w.key, p_run.prefix) AND (pair_page.reached IS NULL OR w.key COLLATE "C" <= pair_page.reached)) k
    FULL JOIN (SELECT p.key COLLATE "C" AS key, p.size, p.etag, p.age_ms FROM unnest(p_keys, p_sizes, p_etags, p_ages) AS p (key, size, etag, age_ms)
               WHERE objectlink.key_is_ours(v_prefix, p.key) AND (pair_page.reached IS NULL OR p.key COLLATE "C" <= pair_page.reached)) l
      ON l.key = k.key
    FULL JOIN (SELECT r.key COLLATE "C" AS key, min(r.held_in) AS held_in
               FROM (SELECT * FROM unnest(v_held_keys, v_held_in) AS w (key, held_in)
                     UNION ALL
                     SELECT f.key, NULL FROM objectlink.finding f
                     WHERE f.store_id = p_run.store_id AND f.key > p_after AND f.key >= p_run.prefix AND starts_with(f.key, p_run.prefix)
                       AND f.kind = 'unregistered' AND f.status <> 'resolved') r
               -- What no reference can name is nobody's link.
               WHERE octet_length(r.key) <= 1024 AND objectlink.key_is_ours(v_prefix, r.key) AND (pair_page.reached IS NULL OR r.key COLLATE "C" <= pair_page.reached)
               GROUP BY r.key COLLATE "C") h
      ON h.key = coalesce(k.key, l.key);
  pairs := coalesce(pairs, '{}');
END $$;
COMMENT ON FUNCTION objectlink.pair_page(objectlink.run, text, text, text[], bigint[], text[], bigint[]) IS 'for the comparison: each key that the listing, the registry or a row has, with what they say of it; unread: columns whose rows could not be read';

-- What the rows say of these keys, and what is in motion: asked after the listing and the registry were read, so that what
-- has changed since shows. A key in motion is not decided about.
CREATE TYPE objectlink.rows_word AS (linked text[], links int[], doubt boolean, moving text[], walks boolean, linking boolean);
COMMENT ON TYPE objectlink.rows_word IS 'what rows, outbox and registry say of the keys of a page';
COMMENT ON COLUMN objectlink.rows_word.linked IS 'keys that rows link, with the attachment in links';
COMMENT ON COLUMN objectlink.rows_word.doubt IS 'a table could not be asked, so what is not linked may be';
COMMENT ON COLUMN objectlink.rows_word.moving IS 'keys that a transaction, or the daemon, has touched meanwhile';
COMMENT ON COLUMN objectlink.rows_word.walks IS 'a TRUNCATE or a drop is still being followed: what is not linked may be about to be unlinked';
COMMENT ON COLUMN objectlink.rows_word.linking IS 'rows from before an attach are still being linked';

CREATE FUNCTION objectlink.ask_page(p_store int, p_pairs objectlink.compared[]) RETURNS objectlink.rows_word
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_word objectlink.rows_word;
  v_doubtful objectlink.compared[];  -- what the rows do not bear out
  v_refs objectlink.storage_ref[];
BEGIN
  SELECT array_agg(objectlink.key(l.ref)) FILTER (WHERE l.ref IS NOT NULL), array_agg(l.attachment_id) FILTER (WHERE l.ref IS NOT NULL),
         coalesce(bool_or(l.ref IS NULL), false)
    INTO v_word.linked, v_word.links, v_word.doubt
    FROM objectlink.linked(ARRAY(SELECT objectlink.storage_ref(v_store::text, p.key) FROM unnest(p_pairs) p
                                 WHERE (p.was).state IS NULL OR (p.was).state IN ('stored', 'missing', 'corrupt', 'failed'))) l;
  v_word.linked := coalesce(v_word.linked, '{}');
  v_doubtful := ARRAY(SELECT p FROM unnest(p_pairs) p LEFT JOIN (SELECT DISTINCT k FROM unnest(v_word.linked) k) l ON l.k = p.key
                      WHERE (p.was).state IS NULL OR (p.was).state IN ('stored', 'missing', 'corrupt') AND l.k IS NULL);
  IF cardinality(v_doubtful) > 0 THEN
    v_refs := ARRAY(SELECT objectlink.storage_ref(v_store::text, p.key) FROM unnest(v_doubtful) p);
    v_word.moving := ARRAY(SELECT DISTINCT objectlink.key(b.ref) FROM objectlink.outbox b WHERE b.ref OPERATOR(pg_catalog.=) ANY (v_refs));
    v_word.walks := EXISTS (SELECT FROM objectlink.outbox b WHERE b.op = 'T') OR EXISTS (SELECT FROM objectlink.scan s WHERE s.kind = 'unlink');
    v_word.linking := EXISTS (SELECT FROM objectlink.scan s WHERE s.kind = 'link');
    -- Last, and in a statement of its own: what was applied before the outbox was read shows here.
    v_word.moving := v_word.moving || ARRAY(
      SELECT p.key FROM unnest(v_doubtful) p
      LEFT JOIN LATERAL (SELECT o.state, o.since FROM objectlink.object o WHERE o.store_id = p_store AND o.key = p.key COLLATE "C" OFFSET 0) n ON true
      WHERE n.state IS DISTINCT FROM (p.was).state OR n.since IS DISTINCT FROM (p.was).since
         OR EXISTS (SELECT FROM objectlink.condemned c WHERE c.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(v_store::text, p.key)));
  END IF;
  v_word.moving := coalesce(v_word.moving, '{}');
  RETURN v_word;
END $$;
COMMENT ON FUNCTION objectlink.ask_page(int, objectlink.compared[]) IS 'for the comparison: asks the rows about the keys of a page, and which of them are in motion';

-- What becomes of each pair: a finding of a kind, a look at the object itself, undecided, or nothing (NULL).
CREATE TYPE objectlink.verdict AS (pair objectlink.compared, kind text, look text, undecided boolean, attachment_id int, erasure objectlink.erasure, survived boolean);
COMMENT ON TYPE objectlink.verdict IS 'what a page says of one key';
COMMENT ON COLUMN objectlink.verdict.survived IS 'undeleted: it is the very object that was deleted, and nobody can have brought it back; see survived_erasure()';
COMMENT ON COLUMN objectlink.verdict.look IS 'why the object itself has to be looked at: absent, changed, back';

CREATE FUNCTION objectlink.judge_page(p_run objectlink.run, p_pairs objectlink.compared[], p_word objectlink.rows_word, p_listed_from timestamptz)
RETURNS SETOF objectlink.verdict
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_grace interval := coalesce(objectlink.store_option((SELECT s.name FROM objectlink.store s WHERE s.id = p_run.store_id), 'orphan_grace')::interval,
                               interval '24 hours');
  v_oldest timestamptz := objectlink.oldest_transaction(v_grace);
BEGIN
  RETURN QUERY
    WITH link AS (
      SELECT l.key, min(l.attachment_id) AS attachment_id FROM unnest((p_word).linked, (p_word).links) AS l (key, attachment_id) GROUP BY l.key
    ), fact AS MATERIALIZED (
      SELECT p AS pair, (p.was).state AS state, l.key IS NOT NULL AS linked, l.key IS NOT NULL OR (p_word).doubt AS maybe_linked,
             coalesce((p.was).attachment_id, l.attachment_id) AS attachment_id,
             p.key = ANY ((p_word).moving) AS moving,
             -- Older than what may still come to link it.
             coalesce(p.age >= v_grace AND v_now - p.age < coalesce(v_oldest, 'infinity'), false) AS ripe,
             -- What was proved after the listing had begun may rightly be missing from it, or differ.
             coalesce((p.was).verified_at, (p.was).since) < p_listed_from AND (p.was).since < p_listed_from AS settled,
             CASE WHEN (p.was).state IS NULL AND l.key IS NULL AND p.listed THEN objectlink.last_erasure(p_run.store_id, p.key) END AS erasure
      FROM unnest(p_pairs) p LEFT JOIN link l ON l.key = p.key
    ), judged AS (
      SELECT f.*,
             (f.erasure).at IS NOT NULL AS erased,
             (f.erasure).at >= p_listed_from AS just_erased,
             -- The very object that was erased: it was written before, or has its content.
             coalesce(v_now - (f.pair).age < (f.erasure).at, false) AS from_before,
             coalesce((f.erasure).size = (f.pair).size AND (f.erasure).etag <> '' AND objectlink.same_content(NULL, (f.erasure).etag, NULL, (f.pair).etag), false) AS same_again
      FROM fact f
    )
    SELECT j.pair,
           CASE WHEN j.moving THEN NULL
                WHEN j.state IS NULL AND j.linked THEN CASE WHEN NOT coalesce((p_word).linking, false) THEN 'unregistered' END
                WHEN j.state IS NULL AND (j.maybe_linked OR coalesce(j.just_erased, false)) THEN NULL
                WHEN j.state IS NULL AND j.erased AND (j.from_before OR j.same_again AND j.ripe) THEN 'undeleted'
                WHEN j.state IS NULL AND j.ripe THEN 'orphan'
                WHEN j.state IN ('stored', 'missing', 'corrupt') AND NOT j.maybe_linked THEN CASE WHEN NOT coalesce((p_word).walks, false) AND j.settled THEN 'unreferenced' END
                WHEN j.state = 'missing' AND NOT (j.pair).listed THEN 'missing'
                WHEN j.state = 'corrupt' AND (j.pair).changed THEN 'corrupt' END,
           CASE WHEN NOT j.maybe_linked THEN NULL
                WHEN j.state = 'stored' AND j.settled THEN CASE WHEN NOT (j.pair).listed THEN 'absent' WHEN (j.pair).changed THEN 'changed' END
                WHEN j.state = 'corrupt' AND NOT (j.pair).listed THEN 'absent'
                WHEN j.state = 'corrupt' AND NOT (j.pair).changed THEN 'back'
                WHEN j.state = 'missing' AND (j.pair).listed THEN 'back'
                -- Given up because it was not there.
                WHEN j.state = 'failed' AND (j.pair).listed AND ((j.pair).was).error_class = 'not_found' THEN 'back' END,
           j.moving OR (p_word).doubt AND NOT j.linked
             OR j.state IS NULL AND j.linked AND coalesce((p_word).linking, false)
             OR j.state IS NULL AND NOT j.linked AND (j.pair).listed AND (coalesce(j.just_erased, false) OR NOT j.ripe)
             OR j.state IN ('stored', 'missing', 'corrupt') AND NOT j.linked AND (coalesce((p_word).walks, false) OR NOT j.settled),
           j.attachment_id, j.erasure, j.from_before AND j.same_again AND objectlink.survived_erasure(p_run.store_id, (j.erasure).at)
    FROM judged j;
END $$;
COMMENT ON FUNCTION objectlink.judge_page(objectlink.run, objectlink.compared[], objectlink.rows_word, timestamptz) IS 'for the comparison: what each key of a page is: as it should be, a finding, to be looked at, or undecided';

CREATE FUNCTION objectlink.evidence_of(p_run objectlink.run, p_verdict objectlink.verdict) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_strip_nulls(jsonb_build_object(
    'run', p_run.id, 'page', p_run.pages + 1, 'listed', ((p_verdict).pair).listed, 'size', ((p_verdict).pair).size, 'etag', ((p_verdict).pair).etag,
    'age_s', floor(extract(epoch FROM ((p_verdict).pair).age)),
    'state', (((p_verdict).pair).was).state, 'proved_size', (((p_verdict).pair).was).size, 'proved_etag', (((p_verdict).pair).was).etag,
    'proved_at', (((p_verdict).pair).was).verified_at, 'erased_at', ((p_verdict).erasure).at, 'erased_etag', ((p_verdict).erasure).etag,
    'survived', CASE WHEN (p_verdict).kind = 'undeleted' THEN (p_verdict).survived END,
    'column', CASE WHEN (p_verdict).kind = 'unregistered' THEN ((p_verdict).pair).held_in END))
$$;
COMMENT ON FUNCTION objectlink.evidence_of(objectlink.run, objectlink.verdict) IS 'what a finding says of what was seen';

CREATE FUNCTION objectlink.compare_page(p_store int, p_epoch bigint, p_run bigint, p_range int, p_after text, p_up_to text, p_keys text[], p_sizes bigint[],
                                        p_etags text[], p_ages bigint[], p_since_ms bigint, p_requests int) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_listed_from timestamptz := clock_timestamp() - p_since_ms * interval '1 ms';
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_page record;
  v_word objectlink.rows_word;
  v_verdicts objectlink.verdict[];
  v_found objectlink.difference[];
  v_looks json;
  v_reserved text[];  -- keys that are not to be closed
  v_undecided bigint;
  v_listed bigint;
  v_bytes bigint;
BEGIN
  IF v_run.id IS NULL OR NOT objectlink.range_is_at(p_run, p_range, p_after) THEN
    RETURN json_build_object('state', 'stopped');
  END IF;
  UPDATE objectlink.run r SET list_requests = r.list_requests + p_requests WHERE r.id = p_run;
  IF v_run.mode = 'inventory' THEN
    RETURN objectlink.inventory_page(v_run, p_range, p_after, p_up_to, p_keys, p_sizes);
  END IF;
  SELECT * INTO v_page FROM objectlink.pair_page(v_run, p_after, p_up_to, p_keys, p_sizes, p_etags, p_ages);
  v_word := objectlink.ask_page(p_store, v_page.pairs);
  v_verdicts := ARRAY(SELECT v FROM objectlink.judge_page(v_run, v_page.pairs, v_word, v_listed_from) v);
  IF v_run.inventory IS NOT NULL THEN
    v_verdicts := objectlink.look_first(v_verdicts);
  END IF;
  v_found := ARRAY(SELECT (((v).pair).key, v.kind, v.attachment_id, objectlink.evidence_of(v_run, v), NULL)::objectlink.difference
                   FROM unnest(v_verdicts) v WHERE v.kind IS NOT NULL AND v.look IS NULL);
  PERFORM objectlink.note_findings(p_store, p_run, v_found);
  IF NOT objectlink.repair_page(v_run, v_found) THEN
    RETURN json_build_object('state', 'stopped');
  END IF;
  v_reserved := ARRAY(SELECT ((v).pair).key FROM unnest(v_verdicts) v WHERE v.undecided OR v.look IS NOT NULL);
  v_undecided := (SELECT count(*) FROM unnest(v_verdicts) v WHERE v.undecided) + v_page.unread;
  PERFORM objectlink.close_findings(p_store, p_run, p_after, v_page.reached, v_run.prefix, v_found, v_reserved);
  SELECT json_agg(json_build_object('key', ((v).pair).key, 'reason', v.look, 'state', (((v).pair).was).state, 'since', (((v).pair).was).since,
                                    'size', CASE WHEN ((v).pair).was IS NULL THEN ((v).pair).size ELSE o.size END,
                                    'etag', CASE WHEN ((v).pair).was IS NULL THEN ((v).pair).etag ELSE o.etag END, 'sha256', encode(o.sha256, 'hex'), 'evidence', objectlink.evidence_of(v_run, v)))
    INTO v_looks
    FROM unnest(v_verdicts) v LEFT JOIN objectlink.object o ON o.store_id = p_store AND o.key = ((v).pair).key COLLATE "C" AND (((v).pair).was).state IS NOT NULL
    WHERE v.look IS NOT NULL;
  SELECT count(*), coalesce(sum(p.size), 0) INTO v_listed, v_bytes FROM unnest(v_page.pairs) p WHERE p.listed;
  -- With something left to look at, the page is not done: what the looks show is committed with its progress.
  IF v_looks IS NULL THEN
    PERFORM objectlink.advance_range(p_run, p_range, v_page.reached, 1, v_listed, v_bytes, cardinality(v_page.pairs), 0, v_undecided);
  END IF;
  RETURN json_build_object('state', (SELECT r.state FROM objectlink.run r WHERE r.id = p_run), 'reached', v_page.reached,
    'listed', v_listed, 'bytes', v_bytes, 'compared', cardinality(v_page.pairs),
    'undecided', v_undecided, 'looks', coalesce(v_looks, '[]'));
END $$;
COMMENT ON FUNCTION objectlink.compare_page(int, bigint, bigint, int, text, text, text[], bigint[], text[], bigint[], bigint, int) IS 'for the owner of a store: compares a page of its listing with the registry and the rows; returns up to where, and which objects have to be looked at before more can be said';

CREATE FUNCTION objectlink.marks_of(p_looks objectlink.sighted[]) RETURNS objectlink.sighted[]
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(array_agg(l), '{}') FROM unnest(p_looks) l, LATERAL objectlink.state_after_sighting(l.state, l.sighting) s
  WHERE s IN ('missing', 'corrupt') AND s <> l.state
$$;
COMMENT ON FUNCTION objectlink.marks_of(objectlink.sighted[]) IS 'those looks at objects that make them missing or corrupt';

-- A report repairs nothing, but what it has proved to be missing or corrupt shows in states and status columns. Not where it is so much that somebody has to
-- look first, as in a bucket that was emptied: then it is found, and no more. Returns what may be noted as seen.
CREATE FUNCTION objectlink.mark_within_limits(p_run objectlink.run, p_looks objectlink.sighted[]) RETURNS objectlink.sighted[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_marks objectlink.sighted[] := objectlink.marks_of(p_looks);
  v_reason text := CASE WHEN cardinality(v_marks) > 0 THEN objectlink.too_many_repairs(p_run, p_run.marked + cardinality(v_marks)) END;
BEGIN
  IF v_reason IS NULL THEN
    UPDATE objectlink.run r SET marked = r.marked + cardinality(v_marks) WHERE r.id = p_run.id AND cardinality(v_marks) > 0;
    RETURN p_looks;
  END IF;
  PERFORM objectlink.note_findings(p_run.store_id, p_run.id, ARRAY(
    SELECT (l.key, objectlink.state_after_sighting(l.state, l.sighting), o.attachment_id, objectlink.evidence_of_look(l), NULL)::objectlink.difference
    FROM unnest(v_marks) l JOIN objectlink.object o ON o.store_id = p_run.store_id AND o.key = l.key COLLATE "C" AND o.state = l.state AND o.since = l.since));
  UPDATE objectlink.run r SET notes = concat_ws('; ', r.notes, 'not all that is missing or corrupt is shown by states and status columns: ' || v_reason)
    WHERE r.id = p_run.id AND coalesce(r.notes, '') NOT LIKE '%not all that is missing or corrupt%';
  RETURN ARRAY(SELECT l FROM unnest(p_looks) l WHERE NOT EXISTS (SELECT FROM unnest(v_marks) m WHERE m.key = l.key));
END $$;
COMMENT ON FUNCTION objectlink.mark_within_limits(objectlink.run, objectlink.sighted[]) IS 'for a report: of looks at objects those that may be noted; those that would make too many objects missing or corrupt become findings only';

-- What the looks showed. Each counts only if the registry still says what it said when the look was asked for.
CREATE FUNCTION objectlink.conclude_page(p_store int, p_epoch bigint, p_run bigint, p_range int, p_after text, p_reached text, p_listed bigint, p_bytes bigint, p_compared bigint,
                                         p_undecided bigint, p_looks json) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_looks objectlink.sighted[];
  v_undecided bigint := 0;
BEGIN
  IF v_run.id IS NULL OR NOT objectlink.range_is_at(p_run, p_range, p_after) THEN
    RETURN 'stopped';
  END IF;
  v_looks := ARRAY(SELECT l FROM json_populate_recordset(NULL::objectlink.sighted, p_looks) l ORDER BY l.key COLLATE "C");
  IF v_run.mode = 'report' THEN
    v_looks := objectlink.mark_within_limits(v_run, v_looks);
  ELSIF v_run.mode = 'repair' AND NOT objectlink.repair_lets_pass(v_run, cardinality(objectlink.marks_of(v_looks))) THEN
    RETURN 'stopped';
  END IF;
  IF v_run.inventory IS NOT NULL THEN
    v_undecided := objectlink.note_unknown_objects(objectlink.run_under_way(p_store, p_epoch, p_run), v_looks);
    IF v_undecided IS NULL THEN
      RETURN 'stopped';
    END IF;
  END IF;
  PERFORM objectlink.note_sightings(p_store, p_run, v_looks);
  PERFORM objectlink.advance_range(p_run, p_range, p_reached, 1, p_listed, p_bytes, p_compared, cardinality(v_looks),
                                 p_undecided + v_undecided + (SELECT count(*) FROM unnest(v_looks) l WHERE l.sighting = 'unknown'));
  RETURN (SELECT r.state FROM objectlink.run r WHERE r.id = p_run);
END $$;
COMMENT ON FUNCTION objectlink.conclude_page(int, bigint, bigint, int, text, text, bigint, bigint, bigint, bigint, json) IS 'for the owner of a store: writes what the looks at the objects of a page showed, and with it the page''s progress';
