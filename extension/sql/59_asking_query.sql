-- How one column is asked: by which index, and with which query.

-- A usable index: valid, on the column first, complete (or leaving out NULLs only), and for text in the
-- "C" collation, since an index in a libc collation can be corrupt after an upgrade of libc.
CREATE FUNCTION objectlink.asking_index(p_relid oid, p_attnum smallint, p_text boolean) RETURNS oid
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN (
    SELECT i.indexrelid
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    JOIN pg_am m ON m.oid = c.relam
    WHERE i.indrelid = p_relid AND i.indisvalid AND i.indkey[0] = p_attnum AND m.amname = 'btree'
      AND (i.indpred IS NULL OR pg_get_expr(i.indpred, i.indrelid) ~ '^\([^() ]+ IS NOT NULL\)$')
      AND (NOT p_text OR i.indcollation[0] = 'pg_catalog."C"'::regcollation)
    ORDER BY i.indexrelid LIMIT 1);
END $$;
COMMENT ON FUNCTION objectlink.asking_index(oid, smallint, boolean) IS 'the index by which a column can be asked whether it holds a key; NULL: none';

-- Of the tables that are asked through one: those that lack such an index. An index of a partitioned table counts for its
-- partitions; inheritance children each need their own, or each key would cost a pass over them.
CREATE FUNCTION objectlink.unindexed(p_relid oid, p_column name, p_text boolean) RETURNS SETOF oid
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN QUERY
    WITH RECURSIVE tree (relid) AS (
      SELECT p_relid
      UNION SELECT i.inhrelid FROM tree t JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'r' AND c.relhassubclass
      JOIN pg_inherits i ON i.inhparent = t.relid
    )
    SELECT t.relid FROM tree t
    JOIN pg_class c ON c.oid = t.relid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    JOIN pg_attribute a ON a.attrelid = t.relid AND a.attname = p_column AND NOT a.attisdropped
    WHERE objectlink.asking_index(t.relid, a.attnum, p_text) IS NULL;
END $$;
COMMENT ON FUNCTION objectlink.unindexed(oid, name, boolean) IS 'a table and its inheritance children, as far as they lack the index by which the column can be asked';

CREATE FUNCTION objectlink.tree_is_indexed(p_relid oid, p_column name, p_text boolean) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT NOT EXISTS (SELECT FROM objectlink.unindexed(p_relid, p_column, p_text))
$$;
COMMENT ON FUNCTION objectlink.tree_is_indexed(oid, name, boolean) IS 'whether a table and all its inheritance children can be asked by index';

-- $1 the refs, or the keys of a text column; the answer: those of them that the column holds in a row that links.
-- p_live: the condition for such rows, see live_row(); NULL: all.
-- With an index: one look per key that stops at the first row, however many rows share the key.
-- Without: one pass over the table for the whole batch.
CREATE FUNCTION objectlink.asking_query(p_relid oid, p_column name, p_indexed boolean, p_text boolean, p_live text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(
    CASE WHEN p_indexed
      THEN 'SELECT array_agg(w.v) FROM unnest($1) AS w (v) CROSS JOIN LATERAL (SELECT 1 FROM %1$s AS t WHERE %2$s OPERATOR(pg_catalog.=) w.v%4$s LIMIT 1) AS hit'
      ELSE 'SELECT array_agg(DISTINCT (%2$s)::%3$s) FROM %1$s AS t WHERE %2$s OPERATOR(pg_catalog.=) ANY ($1)%4$s'
    END,
    p_relid::regclass,
    CASE WHEN p_text THEN format('t.%I COLLATE "C"', p_column) ELSE format('t.%I', p_column) END,
    CASE WHEN p_text THEN 'text' ELSE 'objectlink.storage_ref' END,
    coalesce(' AND ' || p_live, ''))
$$;
COMMENT ON FUNCTION objectlink.asking_query(oid, name, boolean, boolean, text) IS 'the query that asks one column which of some refs it holds';

-- The sums of all keys between two values of the column, by index: see core/key_digest.hpp. $1 the blocks of keys.
CREATE FUNCTION objectlink.summing_query(p_relid oid, p_column name, p_text boolean, p_from text, p_from_itself boolean, p_to text, p_live text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(
    'SELECT objectlink.sum_keys($1, t.v::text) FROM (SELECT %2$s AS v FROM %1$s AS t WHERE %2$s OPERATOR(pg_catalog.%6$s) %4$L::%3$s AND %2$s OPERATOR(pg_catalog.<=) %5$L::%3$s%7$s ORDER BY %2$s) AS t',
    p_relid::regclass,
    CASE WHEN p_text THEN format('t.%I COLLATE "C"', p_column) ELSE format('t.%I', p_column) END,
    CASE WHEN p_text THEN 'text' ELSE 'objectlink.storage_ref' END,
    p_from, p_to, CASE WHEN p_from_itself THEN '>=' ELSE '>' END, coalesce(' AND ' || p_live, ''))
$$;
COMMENT ON FUNCTION objectlink.summing_query(oid, name, boolean, text, boolean, text, text) IS 'the query that sums up the keys that one column holds between two values';

-- Each key between two values of the column once, by index, and no more than so many: however many rows share one, the limit is of keys.
CREATE FUNCTION objectlink.reading_query(p_relid oid, p_column name, p_text boolean, p_from text, p_from_itself boolean, p_to text, p_live text, p_limit int) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(
    'SELECT array_agg(k.v::text ORDER BY k.v) FROM (SELECT %2$s AS v FROM %1$s AS t WHERE %2$s OPERATOR(pg_catalog.%6$s) %4$L::%3$s AND %2$s OPERATOR(pg_catalog.<=) %5$L::%3$s%7$s GROUP BY %2$s ORDER BY %2$s LIMIT %8$s) AS k',
    p_relid::regclass,
    CASE WHEN p_text THEN format('t.%I COLLATE "C"', p_column) ELSE format('t.%I', p_column) END,
    CASE WHEN p_text THEN 'text' ELSE 'objectlink.storage_ref' END,
    p_from, p_to, CASE WHEN p_from_itself THEN '>=' ELSE '>' END, coalesce(' AND ' || p_live, ''), p_limit)
$$;
COMMENT ON FUNCTION objectlink.reading_query(oid, name, boolean, text, boolean, text, text, int) IS 'the query that reads the keys that one column holds between two values, in their order';
