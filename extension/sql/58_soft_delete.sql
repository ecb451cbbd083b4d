-- Which rows of an attached table are marked as deleted, so that they link nothing? Everybody who asks the rows, and the
-- triggers, take the answer from here. In any doubt a row links.

CREATE FUNCTION objectlink.base_type(p_type oid) RETURNS oid
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN (WITH RECURSIVE base (oid, parent) AS (
    SELECT t.oid, t.typbasetype FROM pg_type t WHERE t.oid = p_type
    UNION ALL SELECT t.oid, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.parent
  ) SELECT b.oid FROM base b WHERE b.parent = 0);
END $$;
COMMENT ON FUNCTION objectlink.base_type(oid) IS 'the type below a domain, and the domains below it';

-- IS DISTINCT FROM NULL, since IS NOT NULL asks the fields of a composite value.
CREATE FUNCTION objectlink.marked_deleted(p_row text, p_column name, p_type oid) RETURNS text
LANGUAGE sql STABLE STRICT SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(CASE WHEN objectlink.base_type(p_type) = 'boolean'::regtype THEN '%s.%I IS TRUE' ELSE '%s.%I IS DISTINCT FROM NULL' END, p_row, p_column)
$$;
COMMENT ON FUNCTION objectlink.marked_deleted(text, name, oid) IS 'the condition that a row is marked as deleted by a column';

-- None, and every row links, if the column is not what it was when it was attached.
CREATE FUNCTION objectlink.soft_deleted(p_attachment_id int, p_row text) RETURNS text
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN (SELECT objectlink.marked_deleted(p_row, c.attname, c.atttypid)
          FROM objectlink.attachment a JOIN pg_attribute c ON c.attrelid = a.relation AND c.attname = a.soft_delete_column AND c.atttypid = a.soft_delete_type
          WHERE a.id = p_attachment_id AND a.detached_at IS NULL AND NOT c.attisdropped);
END $$;
COMMENT ON FUNCTION objectlink.soft_deleted(int, text) IS 'the condition that a row of an attachment is marked as deleted; NULL: no row is';

-- A CASE, because no index serves it: the question is put by the index of the linked column, and not by one of this column.
CREATE FUNCTION objectlink.live_row(p_attachment_id int, p_row text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'CASE WHEN ' || objectlink.soft_deleted(p_attachment_id, p_row) || ' THEN false ELSE true END'
$$;
COMMENT ON FUNCTION objectlink.live_row(int, text) IS 'the condition that a row of an attachment is not marked as deleted; NULL: no row is';

CREATE FUNCTION objectlink.decides_partition(p_relation oid, p_column name) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (SELECT FROM pg_partition_tree(p_relation) t JOIN pg_partitioned_table p ON p.partrelid = t.relid
                 JOIN pg_attribute a ON a.attrelid = t.relid AND a.attname = p_column
                 WHERE a.attnum = ANY (p.partattrs)
                    -- Of a key that is an expression its columns are known by this.
                    OR EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = t.relid AND d.objsubid = a.attnum
                               AND d.refclassid = 'pg_class'::regclass AND d.refobjid = t.relid AND d.refobjsubid = 0 AND d.deptype = 'i'))
$$;
COMMENT ON FUNCTION objectlink.decides_partition(oid, name) IS 'whether a column decides in which partition a row is';

CREATE FUNCTION objectlink.check_soft_delete_column(relation regclass, column_name name, soft_delete_column name, status_column name,
                                                    on_delete_failure text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_column pg_attribute;
  v_reason text;
BEGIN
  SELECT * INTO v_column FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = soft_delete_column AND a.attnum > 0 AND NOT a.attisdropped;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'column "%" of relation % does not exist', soft_delete_column, relation USING ERRCODE = 'undefined_column';
  END IF;
  v_reason := CASE
    WHEN soft_delete_column = column_name OR EXISTS (SELECT FROM objectlink.asked_column c WHERE c.relid = relation AND c.column_name = soft_delete_column)
      THEN 'It holds links.'
    WHEN soft_delete_column = status_column
         OR EXISTS (SELECT FROM objectlink.row_policy p JOIN objectlink.attachment a ON a.id = p.attachment_id
                    WHERE a.relation = relation AND p.status_column = soft_delete_column AND a.detached_at IS NULL) THEN 'It shows the state of objects.'
    WHEN v_column.attgenerated <> '' THEN 'It is generated.'
    WHEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = relation AND i.indisprimary AND v_column.attnum = ANY (i.indkey)) THEN 'It belongs to the primary key.'
    WHEN objectlink.base_type(v_column.atttypid) <> 'boolean'::regtype AND objectlink.is_not_null(v_column) THEN
      format('It is NOT NULL and of type %s, so it could never say that a row is not deleted.', format_type(v_column.atttypid, v_column.atttypmod))
    WHEN on_delete_failure = 'restore_row' AND objectlink.decides_partition(relation, soft_delete_column) THEN
      'It decides in which partition a row is, so a row that is marked is deleted and inserted; that cannot be undone by on_delete_failure => ''restore_row''.' END;
  IF v_reason IS NOT NULL THEN
    RAISE EXCEPTION 'column "%" of % cannot be a soft-delete column', soft_delete_column, relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = v_reason, HINT = 'Use a column that is NULL, or a boolean that is not true, in rows that are not deleted.';
  ELSIF on_delete_failure = 'restore_row' AND objectlink.key_columns(relation) IS NULL THEN
    RAISE EXCEPTION 'table % has no primary key', relation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'A row whose mark is to be taken back by on_delete_failure => ''restore_row'' could not be told from another one.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_soft_delete_column(regclass, name, name, name, text) IS 'raises an error that says why a column cannot mark rows as deleted';

-- Related tables mark their rows by a column of the same name, if they have one; that matters where marks are taken back.
CREATE FUNCTION objectlink.check_soft_delete(relation regclass, column_name name, soft_delete_column name, status_column name, related regclass[],
                                             on_delete_failure text) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  PERFORM objectlink.check_soft_delete_column(relation, column_name, soft_delete_column, status_column, on_delete_failure);
  IF on_delete_failure = 'restore_row' THEN
    PERFORM objectlink.check_soft_delete_column(a.attrelid, NULL, a.attname, status_column, on_delete_failure)
      FROM unnest(related) r JOIN pg_attribute a ON a.attrelid = r AND a.attname = soft_delete_column AND a.attnum > 0 AND NOT a.attisdropped;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_soft_delete(regclass, name, name, name, regclass[], text) IS 'raises an error that says why rows of an attached table, or of its related ones, cannot be marked as deleted by a column';

-- A domain may say so as well, however deep.
CREATE FUNCTION objectlink.is_not_null(p_column pg_attribute) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  WITH RECURSIVE domain (oid, not_null) AS (
    SELECT t.typbasetype, t.typnotnull FROM pg_type t WHERE t.oid = (p_column).atttypid
    UNION ALL SELECT t.typbasetype, t.typnotnull FROM domain d JOIN pg_type t ON t.oid = d.oid
  ) SELECT (p_column).attnotnull OR bool_or(d.not_null) FROM domain d
$$;
COMMENT ON FUNCTION objectlink.is_not_null(pg_attribute) IS 'whether a column takes no NULL';

-- As the link trigger says it of a row whose mark an UPDATE takes away (link_trigger.cpp).
CREATE FUNCTION objectlink.unmark_image() RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT '{"act": "unmark"}'::jsonb $$;
COMMENT ON FUNCTION objectlink.unmark_image() IS 'what the outbox says of a link that is not new: its row was marked as deleted, and is not any more';

-- Once its column is gone all rows count, so they are linked as those that are there at attach. What they linked is asked
-- about before it is deleted, and stays; what is gone already shows as an object that cannot be found.
CREATE FUNCTION objectlink.end_soft_delete(p_attachment_id int, p_by text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_at objectlink.attachment;
BEGIN
  UPDATE objectlink.attachment a SET soft_delete_type = NULL WHERE a.id = p_attachment_id RETURNING a.* INTO v_at;
  INSERT INTO objectlink.event (cause, attachment_id, detail)
  VALUES ('drop', p_attachment_id, jsonb_build_object('message', format('soft-delete column %s.%I %s', v_at.relation, v_at.soft_delete_column, p_by)));
  -- Those that named it went with it.
  PERFORM objectlink.complete_triggers(p_attachment_id);
  INSERT INTO objectlink.scan (attachment_id, kind, image) VALUES (p_attachment_id, 'link', objectlink.unmark_image());
END $$;
COMMENT ON FUNCTION objectlink.end_soft_delete(int, text) IS 'after a drop of the column that marked rows as deleted: they link their objects again';
