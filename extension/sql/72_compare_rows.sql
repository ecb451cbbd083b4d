-- Which keys do rows hold in a range of keys? Of a row that came in while triggers were off nobody may know: neither the registry nor,
-- if nobody has uploaded its object, the listing. Only the rows themselves name it, read in the order of keys.

CREATE FUNCTION objectlink.read_column(p_column objectlink.asked_column, p_store name, p_from text, p_from_itself boolean, p_to text, p_limit int) RETURNS text[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashagg = off AS $$
DECLARE
  v_text boolean := p_column.store IS NOT NULL;
  v_before text := CASE WHEN v_text THEN '' ELSE left(objectlink.storage_ref(p_store::text, 'k')::text, -1) END;
BEGIN
  RETURN ARRAY(
    SELECT substr(v, length(v_before) + 1)
    FROM unnest(objectlink.ask_as_owner(p_column.relid,
      objectlink.reading_query(p_column.relid, p_column.column_name, v_text, v_before || p_from, p_from_itself, v_before || p_to, p_column.live, p_limit),
      ARRAY[]::text[])) WITH ORDINALITY AS r (v, n)
    ORDER BY n);
END $$;
COMMENT ON FUNCTION objectlink.read_column(objectlink.asked_column, name, text, boolean, text, int) IS 'for the comparison: the keys that one column holds in a range, rising, at most so many. Raises what asking the rows may raise';

-- Of attached columns: of the others objectlink has promised to know nothing. A column without index is left out, since every page would cost a
-- pass over its table. reached: as given, or less, if there are more keys than one comparison covers.
CREATE FUNCTION objectlink.keys_of_rows(p_run objectlink.run, p_after text, INOUT reached text, OUT keys text[], OUT columns text[], OUT unread int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_limit int := objectlink.compare_rows_max();
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_run.store_id);
  v_from text := greatest(p_after COLLATE "C", p_run.prefix COLLATE "C", chr(1) COLLATE "C");
  v_last text := objectlink.last_key(p_run.prefix);
  v_column objectlink.asked_column;
  v_held text[];
BEGIN
  keys := '{}';
  columns := '{}';
  unread := 0;
  FOR v_column IN
    SELECT * FROM objectlink.asked_column c WHERE c.attachment_id IS NOT NULL AND c.indexed AND coalesce(c.store, v_store) = v_store
  LOOP
    BEGIN
      v_held := objectlink.read_column(v_column, v_store, v_from, v_from > p_after COLLATE "C", coalesce(reached, v_last), v_limit);
    EXCEPTION WHEN OTHERS THEN
      unread := unread + 1;
      CONTINUE;
    END;
    IF cardinality(v_held) = v_limit THEN
      reached := least(reached COLLATE "C", v_held[v_limit] COLLATE "C");
    END IF;
    keys := keys || v_held;
    columns := columns || array_fill(format('%s.%I', v_column.relid::regclass, v_column.column_name), ARRAY[cardinality(v_held)]);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.keys_of_rows(objectlink.run, text, text) IS 'for the comparison: the keys that rows of attached columns hold in a range, each with the column; unread: columns that could not be read';
