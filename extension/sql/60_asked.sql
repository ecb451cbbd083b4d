-- Asking the rows: whether a key is linked is never counted, it is asked of the user's tables themselves.

-- Every column that may hold a link: of type storage_ref (through domains, attached or not), and attached
-- text columns, also after detach(), which keeps the objects of their rows. Found through pg_depend, which is indexed by type. A temporary
-- table holds no links.
-- A partition or child is asked through its parent, if that one is asked: it may be a foreign table, or have a text column that nobody has attached. The
-- rows of a partition whose DETACH CONCURRENTLY is under way are not the parent's any more. One that is attached answers for its attachment, unless one
-- above says of all its rows that they link.
CREATE VIEW objectlink.asked_column AS
WITH RECURSIVE ref_type (oid) AS (
  SELECT 'objectlink.storage_ref'::pg_catalog.regtype::oid
  UNION
  SELECT t.oid
  FROM ref_type r
  -- OFFSET 0: looked up by the type, however the planner sees it; the other way reads what every column of the database depends on.
  CROSS JOIN LATERAL (SELECT i.objid FROM pg_catalog.pg_depend i
                      WHERE i.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND i.refobjid = r.oid
                        AND i.classid = 'pg_catalog.pg_type'::pg_catalog.regclass OFFSET 0) AS d
  JOIN pg_catalog.pg_type t ON t.oid = d.objid AND t.typtype = 'd'
), text_column (relid, column_name, attachment_id, store) AS (
  SELECT a.relation, a.column_name, a.id, a.store
  FROM objectlink.attachment a WHERE a.store IS NOT NULL AND a.detached_at IS NULL
  UNION ALL
  -- Unless it has become something else since, which holds no keys and could not be asked.
  SELECT a.relation, a.column_name, NULL, a.store
  FROM objectlink.attachment a
  JOIN pg_catalog.pg_attribute c ON c.attrelid = a.relation AND c.attname = a.column_name
  JOIN pg_catalog.pg_type t ON t.oid = c.atttypid AND t.typcategory = 'S' AND t.typcollation <> 0
  WHERE a.store IS NOT NULL AND a.detached_at IS NOT NULL
    AND NOT EXISTS (SELECT FROM objectlink.attachment l WHERE l.relation = a.relation AND l.column_name = a.column_name
                    AND l.store = a.store AND l.detached_at IS NULL)
  GROUP BY a.relation, a.column_name, a.store
), candidate (relid, column_name, attachment_id, store) AS (
  SELECT d.objid, c.attname, a.id, NULL::name
  FROM ref_type r
  CROSS JOIN LATERAL (SELECT i.objid, i.objsubid FROM pg_catalog.pg_depend i
                      WHERE i.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND i.refobjid = r.oid
                        AND i.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND i.objsubid > 0 OFFSET 0) AS d
  JOIN pg_catalog.pg_attribute c ON c.attrelid = d.objid AND c.attnum = d.objsubid
  LEFT JOIN objectlink.attachment a ON a.relation = d.objid AND a.column_name = c.attname AND a.detached_at IS NULL
  UNION ALL
  SELECT t.relid, t.column_name, t.attachment_id, t.store FROM text_column t
  UNION ALL
  SELECT i.inhrelid, t.column_name, t.attachment_id, t.store
  FROM text_column t JOIN pg_catalog.pg_inherits i ON i.inhdetachpending
  WHERE t.relid IN (SELECT p.relid FROM pg_catalog.pg_partition_ancestors(i.inhparent) p)
), askable AS MATERIALIZED (
  SELECT c.relid, c.column_name, a.attnum, c.attachment_id, c.store, a.attinhcount > 0 AS inherited
  FROM candidate c
  JOIN pg_catalog.pg_class r ON r.oid = c.relid
  JOIN pg_catalog.pg_attribute a ON a.attrelid = c.relid AND a.attname = c.column_name
  WHERE r.relkind IN ('r', 'p') AND r.relpersistence <> 't' AND r.relnamespace <> 'objectlink'::pg_catalog.regnamespace
    AND NOT a.attisdropped
), part AS MATERIALIZED (
  SELECT i.inhrelid AS relid, p.column_name, coalesce(p.store, '') AS store,
         p.attachment_id IS NOT NULL AND s.soft_delete_column IS NULL AS attached
  FROM askable p JOIN pg_catalog.pg_inherits i ON i.inhparent = p.relid
  LEFT JOIN objectlink.attachment s ON s.id = p.attachment_id
  WHERE NOT i.inhdetachpending
)
SELECT c.relid, c.column_name, c.attnum, c.attachment_id, c.store,
       objectlink.tree_is_indexed(c.relid, c.column_name, c.store IS NOT NULL) AS indexed,
       CASE WHEN s.soft_delete_column IS NOT NULL THEN objectlink.live_row(c.attachment_id, 't') END AS live
FROM askable c
LEFT JOIN objectlink.attachment s ON s.id = c.attachment_id
WHERE NOT c.inherited
   -- NOT IN: hashed, however many partitions there are.
   OR (c.relid, c.column_name, coalesce(c.store, '')) NOT IN (SELECT p.relid, p.column_name, p.store FROM part p)
   OR c.attachment_id IS NOT NULL AND (c.relid, c.column_name, coalesce(c.store, '')) NOT IN
        (SELECT p.relid, p.column_name, p.store FROM part p WHERE p.attached);
COMMENT ON VIEW objectlink.asked_column IS 'every column that is asked whether a key is still linked';

-- One question, to one column. STABLE: it sees what the statement sees that calls it.
CREATE FUNCTION objectlink.ask_column(p_column objectlink.asked_column, p_refs objectlink.storage_ref[], p_unlocked text)
RETURNS TABLE (ref objectlink.storage_ref, unknown text)
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_question text;
BEGIN
  IF p_unlocked IS NULL THEN
    v_question := objectlink.asking_query(p_column.relid, p_column.column_name, p_column.indexed, p_column.store IS NOT NULL, p_column.live);
    IF p_column.store IS NULL THEN
      RETURN QUERY SELECT r, NULL::text FROM unnest(objectlink.ask_by_snapshot(p_column.relid, v_question, p_refs)) r;
    ELSE
      RETURN QUERY SELECT objectlink.storage_ref(p_column.store::text, k), NULL::text
        FROM unnest(objectlink.ask_by_snapshot(p_column.relid, v_question,
               ARRAY(SELECT objectlink.key(r) FROM unnest(p_refs) r WHERE objectlink.store(r) = p_column.store))) k;
    END IF;
    RETURN;
  END IF;
  RETURN QUERY SELECT NULL::objectlink.storage_ref, format('%s.%I: %s', p_column.relid::regclass, p_column.column_name, p_unlocked);
EXCEPTION WHEN OTHERS THEN
  RETURN QUERY SELECT NULL::objectlink.storage_ref,
    format('%s.%I: %s (SQLSTATE %s)', p_column.relid::regclass, p_column.column_name, SQLERRM, SQLSTATE);
END $$;
COMMENT ON FUNCTION objectlink.ask_column(objectlink.asked_column, objectlink.storage_ref[], text) IS 'asks one column which of these refs it holds; a row with ref NULL: it could not be asked. p_unlocked: why it was not locked; NULL: it was';

-- Whether a key is linked. The question is put with the rights of each table's owner (see ask_as_owner). One row per ref and attachment that links it; a column that could not be asked
-- gives a row with ref NULL, and then no absence may be concluded.
-- All columns are asked with one snapshot: with one for each, a row that moves from a table not asked yet to one that was would be in neither, and so would
-- a partition that leaves its table between the list and the question. A snapshot tells nothing of a TRUNCATE that it does not
-- see, so the tables are locked before it is taken.
CREATE FUNCTION objectlink.linked(p_refs objectlink.storage_ref[])
RETURNS TABLE (ref objectlink.storage_ref, attachment_id int, unknown text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '250ms'
-- The index must be used even where statistics are missing; a table without one is still scanned, at a price that would have it compiled.
SET enable_seqscan = off SET jit = off AS $$
DECLARE
  v_relids oid[] := ARRAY(SELECT DISTINCT c.relid FROM objectlink.asked_column c ORDER BY c.relid);
  v_failures text[] := '{}';  -- NULL: it is locked
  v_relid oid;
BEGIN
  FOREACH v_relid IN ARRAY v_relids LOOP
    BEGIN
      PERFORM objectlink.lock_to_ask(v_relid);
      v_failures := v_failures || NULL::text;
    EXCEPTION WHEN OTHERS THEN
      v_failures := v_failures || format('%s (SQLSTATE %s)', SQLERRM, SQLSTATE);
    END;
  END LOOP;
  RETURN QUERY
    SELECT a.ref, (c.asked).attachment_id, a.unknown
    FROM (SELECT x AS asked FROM objectlink.asked_column x ORDER BY x.attachment_id NULLS LAST, x.relid, x.attnum) c
    LEFT JOIN unnest(v_relids, v_failures) AS l (relid, failure) ON l.relid = (c.asked).relid
    CROSS JOIN LATERAL objectlink.ask_column(c.asked, p_refs, CASE WHEN l.relid IS NULL THEN 'it has come while others were locked' ELSE l.failure END) a;
END $$;
COMMENT ON FUNCTION objectlink.linked(objectlink.storage_ref[]) IS 'asks the rows which of these refs they link; a row with ref NULL says that a column could not be asked';
