-- What may an attachment ask for its rows? Checked when it is asked for, kept right when tables change.

-- The states in which rows link an object, and so the words of a status_map.
CREATE FUNCTION objectlink.shown_states() RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT '{pending,stored,missing,corrupt,failed}'::text[] $$;
COMMENT ON FUNCTION objectlink.shown_states() IS 'the states of an object that its rows may show';

CREATE FUNCTION objectlink.status_word(p_map jsonb, p_state text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN p_map ? p_state THEN p_map ->> p_state ELSE p_state END;
COMMENT ON FUNCTION objectlink.status_word(jsonb, text) IS 'the user''s word for a state; NULL: the state is not to be written';

-- Asked of PostgreSQL itself, with the caller's rights: it knows which columns can be written, and which words they take.
CREATE FUNCTION objectlink.check_status_column(relation regclass, status_column name, status_map jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_column pg_attribute;
  v_word text;
  v_message text;
BEGIN
  SELECT * INTO v_column FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = status_column AND a.attnum > 0 AND NOT a.attisdropped;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'column "%" of relation % does not exist', status_column, relation USING ERRCODE = 'undefined_column';
  END IF;
  IF EXISTS (SELECT FROM objectlink.asked_column c WHERE c.relid = relation AND c.column_name = status_column) THEN
    RAISE EXCEPTION 'column "%" of % cannot be a status column', status_column, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It holds links.';
  ELSIF EXISTS (SELECT FROM objectlink.attachment t WHERE t.relation = relation AND t.soft_delete_column = status_column AND t.detached_at IS NULL) THEN
    RAISE EXCEPTION 'column "%" of % cannot be a status column', status_column, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It marks rows as deleted.';
  ELSIF EXISTS (SELECT FROM pg_index i WHERE i.indrelid = relation AND i.indisprimary AND v_column.attnum = ANY (i.indkey)) THEN
    RAISE EXCEPTION 'column "%" of % cannot be a status column', status_column, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It belongs to the primary key.';
  -- A row that moves to another partition is deleted and inserted: that would be an unlink and a link.
  ELSIF objectlink.decides_partition(relation, status_column) THEN
    RAISE EXCEPTION 'column "%" of % cannot be a status column', status_column, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It decides in which partition a row is.';
  END IF;
  FOR v_word IN SELECT DISTINCT w FROM unnest(objectlink.shown_states()) s, objectlink.status_word(status_map, s) w WHERE w IS NOT NULL ORDER BY w LOOP
    BEGIN
      EXECUTE format('SELECT %L::%s', v_word, format_type(v_column.atttypid, NULL));
      EXECUTE format('EXPLAIN UPDATE %s AS t SET %I = %L WHERE t.%I IS DISTINCT FROM %L', relation, status_column, v_word, status_column, v_word);
    EXCEPTION WHEN OTHERS THEN
      GET STACKED DIAGNOSTICS v_message = PG_EXCEPTION_DETAIL;
      RAISE EXCEPTION 'cannot write "%" into column "%" of %', v_word, status_column, relation USING ERRCODE = SQLSTATE,
        DETAIL = concat(upper(left(SQLERRM, 1)), substr(SQLERRM, 2), '.', ' ' || nullif(v_message, '')),
        HINT = 'Give each state a word that the column takes, or null to leave it out: status_map => ''{"stored": "...", "pending": null}''.';
    END;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.check_status_column(regclass, name, jsonb) IS 'raises an error that says why the states of objects cannot be written into a column';

CREATE FUNCTION objectlink.check_status_map(status_map jsonb) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_wrong text;
BEGIN
  IF jsonb_typeof(status_map) <> 'object' THEN
    RAISE EXCEPTION 'invalid status_map: %', left(status_map::text, 200) USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be an object of words by state.', HINT = 'Example: {"stored": "available", "missing": "ERROR", "pending": null}.';
  END IF;
  SELECT min(k) INTO v_wrong FROM jsonb_object_keys(status_map) k WHERE NOT k = ANY (objectlink.shown_states());
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION 'invalid state in status_map: "%"', v_wrong USING ERRCODE = 'invalid_parameter_value',
      HINT = format('Rows can show: %s.', array_to_string(objectlink.shown_states(), ', '));
  END IF;
  SELECT min(e.key) INTO v_wrong FROM jsonb_each(status_map) e WHERE jsonb_typeof(e.value) IN ('object', 'array');
  IF v_wrong IS NOT NULL THEN
    RAISE EXCEPTION 'invalid word for state "%" in status_map', v_wrong USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be a string, a number, a boolean, or null for a state that is not to be written.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_status_map(jsonb) IS 'raises an error that says what is wrong with a status_map';

-- With the rights of objectlink, because nobody else may say what is written into a table: its owner, and nobody else.
CREATE FUNCTION objectlink.set_row_policy(p_attachment_id int, p_status_column name, p_status_map jsonb, p_related regclass[], p_on_upload_failure text,
                                          p_on_delete_failure text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_root regclass := (SELECT a.relation FROM objectlink.attachment a WHERE a.id = p_attachment_id);
  v_left regclass[] := coalesce(p_related, '{}');
  v_relation regclass;
  v_depth int;
  v_found boolean := true;
  v_stuck boolean := false;
  v_awaited regclass[];
  -- A related table marks its rows by a column of the same name.
  v_mark name := (SELECT a.soft_delete_column FROM objectlink.attachment a WHERE a.id = p_attachment_id);
BEGIN
  FOREACH v_relation IN ARRAY v_root || v_left LOOP
    IF pg_has_role(session_user, (SELECT c.relowner FROM pg_class c WHERE c.oid = v_relation), 'MEMBER') IS NOT TRUE THEN
      RAISE EXCEPTION 'must be owner of table %', v_relation USING ERRCODE = 'insufficient_privilege';
    END IF;
  END LOOP;
  IF p_status_column IS NULL AND p_on_upload_failure = 'mark' AND p_on_delete_failure = 'dead_letter' AND cardinality(v_left) = 0 THEN
    RETURN;
  END IF;
  INSERT INTO objectlink.row_policy (attachment_id, status_column, status_attnum, status_map, on_upload_failure, on_delete_failure)
  SELECT p_attachment_id, p_status_column,
         (SELECT c.attnum FROM pg_attribute c WHERE c.attrelid = v_root AND c.attname = p_status_column AND NOT c.attisdropped), p_status_map, p_on_upload_failure, p_on_delete_failure;
  -- Whatever a table refers to comes before it: so its rows are restored after those. Of tables that refer to one another one has to be first.
  LOOP
    v_stuck := NOT v_found;
    v_found := false;
    FOREACH v_relation IN ARRAY v_left LOOP
      SELECT max(CASE WHEN c.confrelid = v_root THEN 0 ELSE r.depth END) + 1 INTO v_depth
        FROM pg_constraint c LEFT JOIN objectlink.related_table r ON r.attachment_id = p_attachment_id AND r.relation = c.confrelid
        WHERE c.contype = 'f' AND c.conrelid = v_relation AND c.conparentid = 0;
      CONTINUE WHEN v_depth IS NULL;
      v_awaited := ARRAY(
        WITH RECURSIVE up (relid) AS (
          SELECT v_relation::oid
          UNION SELECT c.confrelid FROM up u JOIN pg_constraint c ON c.contype = 'f' AND c.conrelid = u.relid
          WHERE c.confrelid::regclass = ANY (v_left) AND c.confrelid <> c.conrelid
        ) SELECT c.confrelid FROM up u JOIN pg_constraint c ON c.contype = 'f' AND c.conrelid = u.relid
        WHERE c.confrelid::regclass = ANY (v_left) AND c.confrelid <> c.conrelid);
      CONTINUE WHEN v_awaited <> '{}' AND NOT (v_stuck AND v_relation = ANY (v_awaited));
      v_stuck := false;
      INSERT INTO objectlink.related_table (attachment_id, relation, depth, status_column, status_attnum, soft_delete_column, soft_delete_type)
      SELECT p_attachment_id, v_relation, v_depth, c.attname, c.attnum, m.attname, m.atttypid
      FROM (SELECT) one LEFT JOIN pg_attribute c ON c.attrelid = v_relation AND c.attname = p_status_column AND c.attnum > 0 AND NOT c.attisdropped
      LEFT JOIN pg_attribute m ON m.attrelid = v_relation AND m.attname = v_mark AND m.attnum > 0 AND NOT m.attisdropped
      ON CONFLICT DO NOTHING;
      v_left := array_remove(v_left, v_relation);
      v_found := true;
    END LOOP;
    EXIT WHEN NOT v_found AND v_stuck;
  END LOOP;
  IF cardinality(v_left) > 0 THEN
    RAISE EXCEPTION 'table % is not related to %', v_left[1], v_root USING ERRCODE = 'invalid_foreign_key',
      DETAIL = 'No foreign key of it refers to the attached table, or to another related one.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.set_row_policy(int, name, jsonb, regclass[], text, text) IS 'for attach(): records what may be done to the rows of an attachment';

CREATE FUNCTION objectlink.check_row_policy(relation regclass, column_name name, status_column name, status_map jsonb, related regclass[], on_upload_failure text,
                                            on_delete_failure text)
RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_table regclass;
  v_other name;
BEGIN
  IF on_upload_failure IS NULL OR on_upload_failure NOT IN ('mark', 'delete_row', 'set_null') THEN
    RAISE EXCEPTION 'invalid on_upload_failure: %', coalesce('"' || on_upload_failure || '"', 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be ''mark'', ''delete_row'' or ''set_null''.';
  ELSIF on_delete_failure IS NULL OR on_delete_failure NOT IN ('dead_letter', 'restore_row') THEN
    RAISE EXCEPTION 'invalid on_delete_failure: %', coalesce('"' || on_delete_failure || '"', 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be ''dead_letter'' or ''restore_row''.';
  ELSIF on_upload_failure = 'set_null' AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = column_name AND (a.attnotnull OR a.attgenerated <> '')) THEN
    RAISE EXCEPTION 'column "%" of % cannot be set NULL', column_name, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It is NOT NULL, or generated.', HINT = 'Choose on_upload_failure => ''delete_row'', or ''mark''.';
  END IF;
  FOREACH v_table IN ARRAY coalesce(related, '{}') LOOP
    IF v_table IS NULL THEN
      RAISE EXCEPTION 'related must not contain NULL' USING ERRCODE = 'null_value_not_allowed';
    ELSIF v_table = relation THEN
      RAISE EXCEPTION 'table % is not related to itself', relation USING ERRCODE = 'invalid_parameter_value';
    ELSIF NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = v_table AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND NOT c.relispartition
                      AND c.relnamespace NOT IN ('objectlink'::regnamespace, 'pg_catalog'::regnamespace)) THEN
      RAISE EXCEPTION '% cannot be a related table', v_table USING ERRCODE = 'wrong_object_type',
        DETAIL = 'It must be an ordinary or partitioned table: no view, no foreign or temporary table, no partition.';
    END IF;
  END LOOP;
  IF status_map IS NOT NULL THEN
    IF status_column IS NULL THEN
      RAISE EXCEPTION 'status_map needs a status_column' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM objectlink.check_status_map(status_map);
  END IF;
  IF status_column IS NULL THEN
    RETURN;
  ELSIF status_column = column_name THEN
    RAISE EXCEPTION 'column "%" of % cannot be a status column', status_column, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It holds links.';
  END IF;
  PERFORM objectlink.check_status_column(relation, status_column, status_map);
  SELECT a.column_name INTO v_other FROM objectlink.row_policy p JOIN objectlink.attachment a ON a.id = p.attachment_id
    WHERE a.relation = relation AND p.status_column = status_column AND a.column_name <> column_name AND a.detached_at IS NULL;
  IF FOUND THEN
    RAISE EXCEPTION 'column "%" of % shows the state of another object', status_column, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = format('It is the status column of column "%s".', v_other);
  END IF;
  FOREACH v_table IN ARRAY coalesce(related, '{}') LOOP
    IF EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = v_table AND c.attname = status_column AND c.attnum > 0 AND NOT c.attisdropped) THEN
      PERFORM objectlink.check_status_column(v_table, status_column, status_map);
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.check_row_policy(regclass, name, name, jsonb, regclass[], text, text) IS 'raises an error that says what of a policy for rows cannot be done';

-- For the event triggers: what was renamed keeps its meaning; and a dump does not keep the numbers of columns.
CREATE FUNCTION objectlink.follow_row_policies() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_renamed record;
BEGIN
  UPDATE objectlink.row_policy p SET status_attnum = c.attnum FROM objectlink.attachment a JOIN pg_attribute c ON c.attrelid = a.relation
    WHERE a.id = p.attachment_id AND c.attname = p.status_column AND NOT c.attisdropped AND c.attnum <> p.status_attnum;
  UPDATE objectlink.row_policy p SET status_column = c.attname FROM objectlink.attachment a JOIN pg_attribute c ON c.attrelid = a.relation
    WHERE a.id = p.attachment_id AND c.attnum = p.status_attnum AND NOT c.attisdropped AND c.attname <> p.status_column;
  UPDATE objectlink.related_table r SET status_attnum = c.attnum FROM pg_attribute c
    WHERE c.attrelid = r.relation AND c.attname = r.status_column AND NOT c.attisdropped AND c.attnum <> r.status_attnum;
  UPDATE objectlink.related_table r SET status_column = c.attname FROM pg_attribute c
    WHERE c.attrelid = r.relation AND c.attnum = r.status_attnum AND NOT c.attisdropped AND c.attname <> r.status_column;
  -- By what the trigger depends on, as with the attached table's own.
  FOR v_renamed IN
    SELECT r.attachment_id, r.relation, g.tgname, c.attname FROM objectlink.related_table r
    JOIN pg_trigger g ON g.tgrelid = r.relation AND g.tgname = format('objectlink_keep_mark_%s', r.attachment_id)
    JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = g.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = g.tgrelid
    JOIN pg_attribute c ON c.attrelid = d.refobjid AND c.attnum = d.refobjsubid
    WHERE c.attname <> r.soft_delete_column
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', v_renamed.tgname, v_renamed.relation);
    UPDATE objectlink.related_table r SET soft_delete_column = v_renamed.attname WHERE r.attachment_id = v_renamed.attachment_id AND r.relation = v_renamed.relation;
    PERFORM objectlink.complete_keep_triggers(v_renamed.attachment_id);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.follow_row_policies() IS 'after a change of tables: finds renamed status columns, and soft-delete columns of related tables, again';

CREATE FUNCTION objectlink.forget_dropped_related() RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- Its number would come to mean another table in a dump.
  DELETE FROM objectlink.related_table r WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = r.relation);
  DELETE FROM objectlink.deleted_row d WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = d.relation);
END $$;
COMMENT ON FUNCTION objectlink.forget_dropped_related() IS 'after a drop: a related table that is gone is related no more, and rows of a table that is gone are not restored';

-- A partition or child that left its tree has the columns of its parent, under numbers of its own; what hung on the parent does not hang on it.
CREATE FUNCTION objectlink.inherit_row_policy(p_from int, p_to int) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO objectlink.row_policy (attachment_id, status_column, status_attnum, status_map, on_upload_failure, on_delete_failure)
  SELECT p_to, p.status_column, c.attnum, p.status_map, p.on_upload_failure, p.on_delete_failure
  FROM objectlink.row_policy p JOIN objectlink.attachment a ON a.id = p_to
  LEFT JOIN pg_attribute c ON c.attrelid = a.relation AND c.attname = p.status_column AND NOT c.attisdropped
  WHERE p.attachment_id = p_from;
END $$;
COMMENT ON FUNCTION objectlink.inherit_row_policy(int, int) IS 'gives the attachment of a part that left its tree the policy for rows that it had there';
