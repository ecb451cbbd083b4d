-- Asking the rows: whether a key is linked is never counted, it is asked of the user's tables themselves.

-- Every column that may hold a link: of type storage_ref (through domains, attached or not), and attached
-- text columns. Found through pg_depend, which is indexed by type. Inherited columns (partitions,
-- inheritance children) are asked through their parent. A temporary table holds no links.
CREATE VIEW objectlink.asked_column AS
WITH RECURSIVE ref_type (oid) AS (
  SELECT 'objectlink.storage_ref'::pg_catalog.regtype::oid
  UNION
  SELECT t.oid
  FROM ref_type r
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid = r.oid
                             AND d.classid = 'pg_catalog.pg_type'::pg_catalog.regclass
  JOIN pg_catalog.pg_type t ON t.oid = d.objid AND t.typtype = 'd'
), candidate (relid, attnum, attachment_id, store) AS (
  SELECT d.objid, d.objsubid::smallint, a.id, NULL::name
  FROM ref_type r
  JOIN pg_catalog.pg_depend d ON d.refclassid = 'pg_catalog.pg_type'::pg_catalog.regclass AND d.refobjid = r.oid
                             AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid > 0
  LEFT JOIN objectlink.attachment a ON a.relation = d.objid AND a.attnum = d.objsubid AND a.detached_at IS NULL
  UNION ALL
  SELECT a.relation, a.attnum, a.id, a.store
  FROM objectlink.attachment a WHERE a.store IS NOT NULL AND a.detached_at IS NULL
)
SELECT c.relid, a.attname AS column_name, a.attnum, c.attachment_id, c.store,
       objectlink.asking_index(c.relid, a.attnum, c.store IS NOT NULL) IS NOT NULL AS indexed
FROM candidate c
JOIN pg_catalog.pg_class r ON r.oid = c.relid
JOIN pg_catalog.pg_attribute a ON a.attrelid = c.relid AND a.attnum = c.attnum
WHERE r.relkind IN ('r', 'p') AND r.relpersistence <> 't' AND r.relnamespace <> 'objectlink'::pg_catalog.regnamespace
  AND NOT a.attisdropped AND a.attinhcount = 0;
COMMENT ON VIEW objectlink.asked_column IS 'every column that is asked whether a key is still linked';

-- Whether a key is linked. One row per ref and attachment that links it; a column that could not be asked
-- gives a row with ref NULL, and then no absence may be concluded.
CREATE FUNCTION objectlink.linked(p_refs objectlink.storage_ref[])
RETURNS TABLE (ref objectlink.storage_ref, attachment_id int, unknown text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '250ms'
-- The index must be used even where statistics are missing; a table without one is still scanned.
SET enable_seqscan = off AS $$
DECLARE
  v_column record;
  v_keys text[];
BEGIN
  FOR v_column IN SELECT * FROM objectlink.asked_column ORDER BY attachment_id NULLS LAST, relid, attnum LOOP
    BEGIN
      IF v_column.store IS NULL THEN
        RETURN QUERY EXECUTE objectlink.asking_query(v_column.relid, v_column.column_name, v_column.indexed, false)
          USING p_refs, v_column.attachment_id, NULL::name;
      ELSE
        v_keys := ARRAY(SELECT objectlink.key(r) FROM unnest(p_refs) r WHERE objectlink.store(r) = v_column.store);
        IF cardinality(v_keys) > 0 THEN
          RETURN QUERY EXECUTE objectlink.asking_query(v_column.relid, v_column.column_name, v_column.indexed, true)
            USING v_keys, v_column.attachment_id, v_column.store;
        END IF;
      END IF;
    EXCEPTION WHEN OTHERS THEN
      RETURN QUERY SELECT NULL::objectlink.storage_ref, v_column.attachment_id,
        format('%s.%I: %s (SQLSTATE %s)', v_column.relid::regclass, v_column.column_name, SQLERRM, SQLSTATE);
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.linked(objectlink.storage_ref[]) IS 'asks the rows which of these refs they link; a row with ref NULL says that a column could not be asked';
