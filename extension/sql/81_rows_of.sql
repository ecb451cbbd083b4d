-- Which rows is it about? For people who have an object before them, of a dead letter or a finding, and want to see whose it is.

-- No proof that nothing links it: that takes locks and one snapshot, see linked().
CREATE FUNCTION objectlink.rows_of(store name, key text, at_most int DEFAULT 100)
RETURNS TABLE (relation regclass, column_name name, row_key jsonb, links boolean, note text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '250ms' SET enable_seqscan = off SET jit = off AS $$
#variable_conflict use_variable
DECLARE
  v_ref objectlink.storage_ref := objectlink.storage_ref(store::text, key);
  v_column objectlink.asked_column;
  v_keys name[];
BEGIN
  IF at_most IS NULL OR at_most NOT BETWEEN 1 AND 10000 THEN
    RAISE EXCEPTION 'invalid at_most: %', coalesce(at_most::text, 'NULL') USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must be between 1 and 10000.';
  ELSIF v_ref IS NULL THEN
    RAISE EXCEPTION 'store and key must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF NOT EXISTS (SELECT FROM objectlink.store s WHERE s.name = store) AND NOT EXISTS (SELECT FROM objectlink.server s WHERE s.name = store) THEN
    RAISE EXCEPTION 'store "%" does not exist', store USING ERRCODE = 'undefined_object';
  END IF;
  FOR v_column IN
    SELECT c.* FROM objectlink.asked_column c WHERE c.store IS NULL OR c.store = store ORDER BY c.relid::regclass::text COLLATE "C", c.column_name
  LOOP
    relation := v_column.relid;
    column_name := v_column.column_name;
    v_keys := objectlink.key_columns(v_column.relid);
    BEGIN
      FOR row_key, links IN
        SELECT nullif((a.answer::jsonb) -> 'row', 'null'), ((a.answer::jsonb) ->> 'links')::boolean
        FROM unnest(objectlink.ask_as_owner(v_column.relid,
          format('SELECT array_agg(jsonb_build_object(''row'', %s, ''links'', %s)::text) FROM (SELECT * FROM %s AS t WHERE %s LIMIT %s) AS t',
                 CASE WHEN v_keys IS NULL THEN 'NULL' ELSE format('jsonb_build_object(%s)', (SELECT string_agg(format('%L, t.%I', k, k), ', ') FROM unnest(v_keys) k)) END,
                 coalesce(v_column.live, 'true'), relation,
                 format(CASE WHEN v_column.store IS NULL THEN 't.%I OPERATOR(pg_catalog.=) ANY ($1::objectlink.storage_ref[])'
                             ELSE 't.%I COLLATE "C" OPERATOR(pg_catalog.=) ANY ($1)' END, column_name), at_most),
          ARRAY[CASE WHEN v_column.store IS NULL THEN v_ref::text ELSE key END])) AS a (answer)
      LOOP
        note := CASE WHEN NOT links THEN 'marked as deleted' WHEN v_keys IS NULL THEN 'the table has no primary key' END;
        RETURN NEXT;
        at_most := at_most - 1;
      END LOOP;
    EXCEPTION WHEN OTHERS THEN
      row_key := NULL;
      links := NULL;
      note := format('could not be asked: %s (SQLSTATE %s)', SQLERRM, SQLSTATE);
      RETURN NEXT;
    END;
    EXIT WHEN at_most = 0;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.rows_of(name, text, int) IS 'the rows that hold a reference to an object, by their primary keys, whoever may read the tables; links: whether it counts';
