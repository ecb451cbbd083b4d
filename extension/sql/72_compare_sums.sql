-- Pages of a listing of which nothing has to be said: the store, the registry and the rows have the same keys there, and all is as it
-- should be. That is told by sums over blocks of keys (core/key_digest.hpp), each made by the side that has the keys. Only blocks
-- whose sums differ are compared key by key (72_compare.sql).

-- The greatest that 1024 bytes of UTF-8 can hold.
CREATE FUNCTION objectlink.last_key(p_prefix text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT p_prefix || repeat(chr(1114111), (1024 - octet_length(p_prefix)) / 4)
                  || CASE (1024 - octet_length(p_prefix)) % 4 WHEN 3 THEN chr(65535) WHEN 2 THEN chr(2047) WHEN 1 THEN chr(127) ELSE '' END
$$;
COMMENT ON FUNCTION objectlink.last_key(text) IS 'no key below a prefix is greater';

-- What the registry has in some blocks of keys. A block that a finding lies in has no sum.
CREATE FUNCTION objectlink.sum_registry(p_store int, p_from text, p_from_itself boolean, p_blocks text[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_last text := p_blocks[cardinality(p_blocks)];
  v_sums text[];
  v_findings text[];
BEGIN
  SELECT objectlink.sum_objects(p_blocks, o.key, o.state, o.size, o.etag) INTO v_sums
    FROM (SELECT * FROM objectlink.object i WHERE i.store_id = p_store AND i.key >= p_from AND (i.key > p_from OR p_from_itself) AND i.key <= v_last ORDER BY i.key) o;
  SELECT objectlink.sum_objects(p_blocks, f.key, 'missing', NULL, NULL) INTO v_findings
    FROM (SELECT * FROM objectlink.finding i WHERE i.store_id = p_store AND i.key >= p_from AND (i.key > p_from OR p_from_itself) AND i.key <= v_last AND i.status <> 'resolved'
            AND i.kind = ANY (objectlink.compared_kinds())) f;
  v_sums := coalesce(v_sums, array_fill('0'::text, ARRAY[cardinality(p_blocks) - 2]));
  IF v_findings IS NOT NULL THEN
    v_sums := ARRAY(SELECT CASE WHEN f IS NOT NULL THEN s END FROM unnest(v_sums, v_findings) WITH ORDINALITY AS b (s, f, n) ORDER BY n);
  END IF;
  RETURN v_sums;
END $$;
COMMENT ON FUNCTION objectlink.sum_registry(int, text, boolean, text[]) IS 'for the comparison: the sums of what the registry has stored in blocks of keys';

-- What one column has in them. Raises what asking the rows may raise.
CREATE FUNCTION objectlink.sum_column(p_column objectlink.asked_column, p_store name, p_from text, p_from_itself boolean, p_blocks text[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_seqscan = off SET enable_bitmapscan = off AS $$
DECLARE
  v_text boolean := p_column.store IS NOT NULL;
  v_before text := CASE WHEN v_text THEN '' ELSE objectlink.storage_ref(p_store::text, 'k')::text END;
  v_to text := p_blocks[cardinality(p_blocks)];
BEGIN
  v_before := left(v_before, -1);
  RETURN coalesce(
    objectlink.ask_as_owner(p_column.relid, objectlink.summing_query(p_column.relid, p_column.column_name, v_text, v_before || p_from, p_from_itself, v_before || v_to, p_column.live),
                            ARRAY[p_blocks[1], octet_length(v_before)::text] || p_blocks[3:]),
    array_fill('0'::text, ARRAY[cardinality(p_blocks) - 2]));
END $$;
COMMENT ON FUNCTION objectlink.sum_column(objectlink.asked_column, name, text, boolean, text[]) IS 'for the comparison: the sums of the keys that one column holds in blocks of keys';

-- The pages of several ranges of a run. p_blocks: how many blocks each page has; then of each block its last key (NULL: there is no end), and the sums of the
-- keys and of the objects listed in it. A page all of which agrees is done with. Returns a digit for each block of a page, 1: it agrees;
-- '': the range is not where the page begins; NULL instead of all: the run has to stop, or is done.
CREATE FUNCTION objectlink.compare_sums(p_store int, p_epoch bigint, p_run bigint, p_requests int, p_seed bigint, p_ranges int[], p_after text[],
                                        p_listed int[], p_bytes bigint[], p_blocks int[], p_bounds text[], p_keys bigint[], p_contents bigint[]) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_last text := objectlink.last_key(v_run.prefix);
  v_bounds text[] := ARRAY(SELECT coalesce(b, v_last) FROM unnest(p_bounds) WITH ORDINALITY AS p (b, n) ORDER BY n);
  -- Where each page begins; behind its range's key, unless that is none of the run's. No key is smaller than the first.
  v_from text[] := ARRAY(SELECT greatest(a COLLATE "C", v_run.prefix COLLATE "C", chr(1) COLLATE "C") FROM unnest(p_after) WITH ORDINALITY AS p (a, n) ORDER BY n);
  v_column objectlink.asked_column;
  v_known text[] := '{}';  -- of all blocks of all pages
  v_linked bigint[] := '{}';
  v_sums text[];
  v_blocks text[];
  -- An inventory compares with one column alone.
  v_doubt boolean := coalesce(v_run.mode = 'inventory', false);
  v_first int;
  v_agree text[] := '{}';
BEGIN
  IF v_run.id IS NULL THEN
    RETURN NULL;
  END IF;
  UPDATE objectlink.run r SET list_requests = r.list_requests + p_requests WHERE r.id = p_run;
  -- As everywhere: the listing, the registry, the rows, each later than the one before.
  v_first := 1;
  FOR i IN 1 .. cardinality(p_ranges) LOOP
    v_blocks := ARRAY[p_seed::text, '0'] || v_bounds[v_first : v_first + p_blocks[i] - 1];
    v_known := v_known || objectlink.sum_registry(p_store, v_from[i], v_from[i] > p_after[i] COLLATE "C", v_blocks);
    v_first := v_first + p_blocks[i];
  END LOOP;
  v_linked := array_fill(0::bigint, ARRAY[cardinality(p_bounds)]);
  FOR v_column IN SELECT * FROM objectlink.asked_column c WHERE coalesce(c.store, v_store) = v_store LOOP
    EXIT WHEN v_doubt;
    -- One pass over the table for each page would cost more than it saves.
    IF NOT v_column.indexed THEN
      v_doubt := true;
      EXIT;
    END IF;
    BEGIN
      v_sums := '{}';
      v_first := 1;
      FOR i IN 1 .. cardinality(p_ranges) LOOP
        v_blocks := ARRAY[p_seed::text, '0'] || v_bounds[v_first : v_first + p_blocks[i] - 1];
        v_sums := v_sums || objectlink.sum_column(v_column, v_store, v_from[i], v_from[i] > p_after[i] COLLATE "C", v_blocks);
        v_first := v_first + p_blocks[i];
      END LOOP;
      v_linked := ARRAY(SELECT b.known # b.sum::bigint FROM unnest(v_linked, v_sums) WITH ORDINALITY AS b (known, sum, n) ORDER BY b.n);
    EXCEPTION WHEN OTHERS THEN
      v_doubt := true;
    END;
  END LOOP;
  v_first := 1;
  FOR i IN 1 .. cardinality(p_ranges) LOOP
    IF NOT objectlink.range_is_at(p_run, p_ranges[i], p_after[i]) THEN
      v_agree := v_agree || ''::text;
    ELSE
      v_agree := v_agree || (
        SELECT string_agg(CASE WHEN NOT v_doubt AND v_known[n] = p_contents[n]::text AND v_linked[n] = p_keys[n] THEN '1' ELSE '0' END, '' ORDER BY n)
        FROM generate_series(v_first, v_first + p_blocks[i] - 1) n);
      IF strpos(v_agree[i], '0') = 0 THEN
        PERFORM objectlink.advance_range(p_run, p_ranges[i], p_bounds[v_first + p_blocks[i] - 1], 1, p_listed[i], p_bytes[i], p_listed[i], 0, 0);
      END IF;
    END IF;
    v_first := v_first + p_blocks[i];
  END LOOP;
  RETURN CASE WHEN EXISTS (SELECT FROM objectlink.run r WHERE r.id = p_run AND r.state = 'running') THEN v_agree END;
END $$;
COMMENT ON FUNCTION objectlink.compare_sums(int, bigint, bigint, int, bigint, int[], text[], int[], bigint[], int[], text[], bigint[], bigint[]) IS 'for the owner of a store: compares pages of its listing with the registry and the rows by sums over blocks of keys; says which blocks agree';

-- Blocks that agreed, between others that did not.
CREATE FUNCTION objectlink.pass_blocks(p_store int, p_epoch bigint, p_run bigint, p_range int, p_after text, p_reached text, p_listed bigint, p_bytes bigint) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF (objectlink.run_under_way(p_store, p_epoch, p_run)).id IS NULL OR NOT objectlink.range_is_at(p_run, p_range, p_after) THEN
    RETURN 'stopped';
  END IF;
  PERFORM objectlink.advance_range(p_run, p_range, p_reached, 0, p_listed, p_bytes, p_listed, 0, 0);
  RETURN (SELECT r.state FROM objectlink.run r WHERE r.id = p_run);
END $$;
COMMENT ON FUNCTION objectlink.pass_blocks(int, bigint, bigint, int, text, text, bigint, bigint) IS 'for the owner of a store: a range is compared up to a key, as compare_sums() has said';
