-- What would attach() find? A column of keys, or of references to one store, is compared with the listing of a bucket, as a run of its own mode: nothing is linked, and
-- nothing changes but the counts. What is missing is told by the listing alone: attach() looks at each object itself.

CREATE TABLE objectlink.inventory (
  run_id      bigint PRIMARY KEY,
  relation    regclass NOT NULL,
  column_name name NOT NULL,
  samples_max int NOT NULL,
  rows        bigint NOT NULL DEFAULT 0,
  keys        bigint NOT NULL DEFAULT 0,
  matched     bigint NOT NULL DEFAULT 0,
  matched_bytes numeric NOT NULL DEFAULT 0,
  missing     bigint NOT NULL DEFAULT 0,
  invalid     bigint NOT NULL DEFAULT 0,
  linked      bigint NOT NULL DEFAULT 0,
  orphans     bigint NOT NULL DEFAULT 0,
  orphan_bytes numeric NOT NULL DEFAULT 0,
  undecided   bigint NOT NULL DEFAULT 0,
  samples     jsonb NOT NULL DEFAULT '{"missing": [], "invalid": [], "linked": [], "orphan": []}'
);
COMMENT ON TABLE objectlink.inventory IS 'what runs of inventory_column() have counted up to now';
COMMENT ON COLUMN objectlink.inventory.samples IS 'the first of each kind: keys, and of what would be refused the reason';

CREATE FUNCTION objectlink.holds_references(p_relation regclass, p_column name) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p_relation AND a.attname = p_column AND NOT a.attisdropped
                 AND objectlink.base_type(a.atttypid) = 'objectlink.storage_ref'::regtype)
$$;
COMMENT ON FUNCTION objectlink.holds_references(regclass, name) IS 'whether the values of a column are references, and no bare keys';

CREATE FUNCTION objectlink.inventory_column(relation regclass, column_name name, store name, samples int DEFAULT 10) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_id bigint;
  v_member regclass;
  v_refs boolean := objectlink.holds_references(relation, column_name);
BEGIN
  IF store IS NULL OR samples IS NULL OR samples NOT BETWEEN 0 AND 1000 THEN
    RAISE EXCEPTION 'store must be given, and samples must be between 0 and 1000' USING ERRCODE = 'invalid_parameter_value';
  END IF;
  -- A reference names its store itself: those to other stores are left out.
  PERFORM objectlink.check_attachable(relation, column_name, CASE WHEN NOT v_refs THEN store END);
  PERFORM objectlink.check_store(store);
  IF NOT has_column_privilege(session_user, relation, column_name, 'SELECT') OR NOT has_server_privilege(session_user, store, 'USAGE') THEN
    RAISE EXCEPTION 'permission denied for column "%" of %, or for foreign server %', column_name, relation, store USING ERRCODE = 'insufficient_privilege';
  ELSIF EXISTS (SELECT FROM objectlink.attachment a WHERE a.relation = relation AND a.column_name = column_name AND a.detached_at IS NULL) THEN
    RAISE EXCEPTION 'column "%" of % is already attached', column_name, relation USING ERRCODE = 'duplicate_object',
      HINT = format('Compare its store: SELECT objectlink.reconcile_storage(%L).', store);
  END IF;
  PERFORM objectlink.check_run(store, 'report', NULL, objectlink.run_page_size_max(), 1, 1, NULL);
  -- Each page of the listing asks the column once; without an index that is a pass over the table.
  FOR v_member IN SELECT u FROM objectlink.unindexed(relation, column_name, NOT v_refs) u ORDER BY u LOOP
    IF coalesce((SELECT sum(pg_relation_size(t.relid)) FROM pg_partition_tree(v_member) t), pg_relation_size(v_member)) > objectlink.index_at_once_bytes() THEN
      RAISE EXCEPTION 'column "%" of % has no index by which it can be asked', column_name, v_member USING ERRCODE = 'object_not_in_prerequisite_state',
        HINT = format('Create it, attach() needs it too: CREATE INDEX CONCURRENTLY ON %s (%I%s).', v_member, column_name, CASE WHEN NOT v_refs THEN ' COLLATE "C"' END);
    END IF;
  END LOOP;
  v_id := objectlink.queue_run(store, 'inventory', NULL, objectlink.run_page_size_max(), 1, 1, NULL, NULL);
  IF v_id IS NULL THEN
    RAISE EXCEPTION 'store "%" is being reconciled already', store USING ERRCODE = 'object_in_use', HINT = 'See view objectlink.runs: wait for its run, or cancel it.';
  END IF;
  INSERT INTO objectlink.inventory (run_id, relation, column_name, samples_max) VALUES (v_id, relation, column_name, samples);
  IF NOT EXISTS (SELECT FROM objectlink.live_worker) THEN
    RAISE WARNING 'no objectlinkd is connected to this database' USING DETAIL = 'The run waits until one is.', HINT = 'Start objectlinkd.';
  END IF;
  PERFORM objectlink.ring_daemon();
  RETURN v_id;
END $$;
COMMENT ON FUNCTION objectlink.inventory_column(regclass, name, name, int) IS 'queues a dry run of attach() for a column of keys, or of references to a store: what is there, missing, refused, linked already, or nobody''s. Returns the number of the run; view inventories has the result';

CREATE FUNCTION objectlink.first_samples(p_samples jsonb, p_kind text, p_more jsonb, p_max int) RETURNS jsonb
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_set(p_samples, ARRAY[p_kind], (SELECT coalesce(jsonb_agg(s.v ORDER BY s.n), '[]') FROM jsonb_array_elements((p_samples -> p_kind) || coalesce(p_more, '[]')) WITH ORDINALITY AS s (v, n)
                                              WHERE s.n <= p_max))
$$;
COMMENT ON FUNCTION objectlink.first_samples(jsonb, text, jsonb, int) IS 'samples of one kind, with more of them, as far as there is room';

-- Within compare_page(), which has locked the run. $1: behind which value, up to which. An unattached column of references is asked like all
-- others whether it holds a key (60_asked.sql): only what an attachment says of its keys is another one's word.
CREATE FUNCTION objectlink.inventory_page(p_run objectlink.run, p_range int, p_after text, p_up_to text, p_keys text[], p_sizes bigint[]) RETURNS json
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '250ms' SET enable_seqscan = off AS $$
DECLARE
  v objectlink.inventory;
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_run.store_id);
  v_prefix text := objectlink.store_prefix(v_store);
  v_refs boolean;
  v_before text := '';  -- what stands before the key
  v_column text;
  v_type text;
  v_bounds text[];
  v_values text[];
  v_reached text := p_up_to;
  v_page record;
BEGIN
  SELECT * INTO v FROM objectlink.inventory i WHERE i.run_id = p_run.id FOR UPDATE;
  v_refs := objectlink.holds_references(v.relation, v.column_name);
  v_column := format(CASE WHEN v_refs THEN 't.%I' ELSE 't.%I COLLATE "C"' END, v.column_name);
  v_type := CASE WHEN v_refs THEN 'objectlink.storage_ref' ELSE 'text' END;
  v_bounds := ARRAY[p_after, p_up_to];
  IF v_refs THEN
    v_before := left(objectlink.storage_ref(v_store::text, 'k')::text, -1);
    -- No key is smaller than the first of these, or greater than the last.
    v_bounds := ARRAY[v_before || coalesce(nullif(p_after, ''), chr(1)), v_before || coalesce(p_up_to, objectlink.last_key(''))];
  END IF;
  BEGIN
    v_values := objectlink.ask_as_owner(v.relation,
      format('SELECT array_agg(x.n || '':'' || x.v ORDER BY x.v COLLATE "C") FROM (SELECT substr((%1$s)::text, %5$s) COLLATE "C" AS v, count(*) AS n FROM %2$s AS t
              WHERE %1$s OPERATOR(pg_catalog.%7$s) ($1)[1]::%6$s%3$s GROUP BY %1$s ORDER BY %1$s LIMIT %4$s) x',
             v_column, v.relation, CASE WHEN v_bounds[2] IS NOT NULL THEN format(' AND %s OPERATOR(pg_catalog.<=) ($1)[2]::%s', v_column, v_type) ELSE '' END, objectlink.compare_rows_max(),
             length(v_before) + 1, v_type, CASE WHEN v_refs AND p_after = '' THEN '>=' ELSE '>' END),
      v_bounds);
  EXCEPTION WHEN lock_not_available OR query_canceled THEN
    RAISE;
  WHEN OTHERS THEN
    PERFORM objectlink.end_run(p_run.id, 'failed', 'object', 'ColumnNotReadable', SQLERRM);
    RETURN json_build_object('state', 'stopped');
  END;
  IF cardinality(v_values) = objectlink.compare_rows_max() THEN
    v_reached := substr(v_values[cardinality(v_values)], strpos(v_values[cardinality(v_values)], ':') + 1);
  END IF;
  WITH held AS MATERIALIZED (
    SELECT substr(x, strpos(x, ':') + 1) COLLATE "C" AS key, split_part(x, ':', 1)::bigint AS n FROM unnest(v_values) x
  ), judged AS MATERIALIZED (
    SELECT h.*, CASE WHEN octet_length(h.key) > 1024 THEN 'longer than 1024 bytes'
                     WHEN NOT objectlink.key_is_ours(v_prefix, h.key) THEN 'not below the prefix of its store, or reserved' END AS refused
    FROM held h
  ), listed AS MATERIALIZED (
    SELECT p.key COLLATE "C" AS key, p.size FROM unnest(p_keys, p_sizes) AS p (key, size)
    WHERE objectlink.key_is_ours(v_prefix, p.key) AND (v_reached IS NULL OR p.key COLLATE "C" <= v_reached)
  ), pair AS MATERIALIZED (
    SELECT coalesce(j.key, l.key) AS key, j.n, j.refused, l.key IS NOT NULL AS listed, coalesce(l.size, 0) AS size FROM judged j FULL JOIN listed l ON l.key = j.key
  ), word AS MATERIALIZED (
    SELECT objectlink.key(w.ref) AS key, w.ref IS NULL AS doubt, NOT v_refs OR w.attachment_id IS NOT NULL AS elsewhere
    FROM objectlink.linked(ARRAY(SELECT objectlink.storage_ref(v_store::text, p.key) FROM pair p WHERE p.refused IS NULL)) w
  ), fact AS (
    SELECT p.*, p.key IN (SELECT w.key FROM word w WHERE NOT w.doubt AND (w.elsewhere OR p.n IS NULL)) AS linked, EXISTS (SELECT FROM word w WHERE w.doubt) AS doubt,
           EXISTS (SELECT FROM objectlink.object o WHERE o.store_id = p_run.store_id AND o.key = p.key) AS known
    FROM pair p
  )
  SELECT coalesce(sum(f.n), 0) AS rows, count(*) FILTER (WHERE f.n IS NOT NULL AND f.refused IS NULL) AS keys,
         count(*) FILTER (WHERE f.n IS NOT NULL AND f.refused IS NULL AND f.listed) AS matched,
         coalesce(sum(f.size) FILTER (WHERE f.n IS NOT NULL AND f.refused IS NULL AND f.listed), 0) AS matched_bytes,
         count(*) FILTER (WHERE f.n IS NOT NULL AND f.refused IS NULL AND NOT f.listed) AS missing,
         jsonb_agg(jsonb_build_object('key', f.key, 'rows', f.n) ORDER BY f.key) FILTER (WHERE f.n IS NOT NULL AND f.refused IS NULL AND NOT f.listed) AS missing_samples,
         count(*) FILTER (WHERE f.refused IS NOT NULL) AS invalid,
         jsonb_agg(jsonb_build_object('key', left(f.key, 1024), 'rows', f.n, 'reason', f.refused) ORDER BY f.key) FILTER (WHERE f.refused IS NOT NULL) AS invalid_samples,
         count(*) FILTER (WHERE f.n IS NOT NULL AND f.linked) AS linked,
         jsonb_agg(jsonb_build_object('key', f.key) ORDER BY f.key) FILTER (WHERE f.n IS NOT NULL AND f.linked) AS linked_samples,
         count(*) FILTER (WHERE f.n IS NULL AND NOT f.linked AND NOT f.known AND NOT f.doubt) AS orphans,
         coalesce(sum(f.size) FILTER (WHERE f.n IS NULL AND NOT f.linked AND NOT f.known AND NOT f.doubt), 0) AS orphan_bytes,
         jsonb_agg(jsonb_build_object('key', f.key, 'size', f.size) ORDER BY f.key) FILTER (WHERE f.n IS NULL AND NOT f.linked AND NOT f.known AND NOT f.doubt) AS orphan_samples,
         count(*) FILTER (WHERE f.n IS NULL AND NOT f.linked AND NOT f.known AND f.doubt) AS undecided, count(*) FILTER (WHERE f.listed) AS listed, coalesce(sum(f.size) FILTER (WHERE f.listed), 0) AS bytes, count(*) AS compared
    INTO v_page FROM fact f;
  UPDATE objectlink.inventory i
  SET rows = i.rows + v_page.rows, keys = i.keys + v_page.keys, matched = i.matched + v_page.matched, matched_bytes = i.matched_bytes + v_page.matched_bytes,
      missing = i.missing + v_page.missing, invalid = i.invalid + v_page.invalid, linked = i.linked + v_page.linked, orphans = i.orphans + v_page.orphans,
      orphan_bytes = i.orphan_bytes + v_page.orphan_bytes, undecided = i.undecided + v_page.undecided,
      samples = objectlink.first_samples(objectlink.first_samples(objectlink.first_samples(objectlink.first_samples(i.samples,
        'missing', v_page.missing_samples, i.samples_max), 'invalid', v_page.invalid_samples, i.samples_max), 'linked', v_page.linked_samples, i.samples_max), 'orphan', v_page.orphan_samples, i.samples_max)
  WHERE i.run_id = p_run.id;
  PERFORM objectlink.advance_range(p_run.id, p_range, v_reached, 1, v_page.listed, v_page.bytes::bigint, v_page.compared, 0, v_page.undecided);
  RETURN json_build_object('state', (SELECT r.state FROM objectlink.run r WHERE r.id = p_run.id), 'reached', v_reached, 'listed', v_page.listed,
    'compared', v_page.compared, 'undecided', v_page.undecided, 'looks', '[]'::json);
END $$;
COMMENT ON FUNCTION objectlink.inventory_page(objectlink.run, int, text, text, text[], bigint[]) IS 'for the comparison, in mode inventory: counts what a column and a page of the listing have in common and not';
