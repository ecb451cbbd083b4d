-- Restoring: the rows of an object whose deletion was given up, as they were, with what hung on them.
-- An object that is still there and that no row names would be forgotten; and a row that was deleted only together with its
-- object was not to go without it.

-- Called by the trigger. A trigger may be made by hand, so what it says of itself is looked up: or rows of any table could be
-- said to be those of somebody else's.
CREATE FUNCTION objectlink.keep_row(p_attachment_id int, p_relation oid, p_column text, p_store text, p_ref objectlink.storage_ref, p_image jsonb, p_marked boolean)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_at objectlink.attachment;
BEGIN
  SELECT * INTO v_at FROM objectlink.attachment a WHERE a.id = p_attachment_id;
  IF NOT FOUND AND current_setting('transaction_isolation') <> 'read committed' THEN
    -- Attached since this transaction looked first.
    RAISE EXCEPTION 'could not serialize access due to concurrent attach' USING ERRCODE = 'serialization_failure', HINT = 'Try the transaction again.';
  ELSIF v_at.detached_at IS NOT NULL
        OR FOUND AND NOT EXISTS (SELECT FROM objectlink.row_policy p WHERE p.attachment_id = v_at.id AND p.on_delete_failure = 'restore_row') THEN
    -- It has ended, so nothing is restored.
    RETURN;
  END IF;
  IF (WITH RECURSIVE up (relid) AS (SELECT p_relation UNION SELECT i.inhparent FROM up u JOIN pg_inherits i ON i.inhrelid = u.relid)
      SELECT NOT EXISTS (SELECT FROM up u WHERE u.relid = v_at.relation AND p_column = v_at.column_name AND p_store IS NOT DISTINCT FROM v_at.store)
             AND NOT EXISTS (SELECT FROM up u JOIN objectlink.related_table r ON r.attachment_id = v_at.id AND r.relation = u.relid WHERE p_column IS NULL)) THEN
    RAISE EXCEPTION 'attachment % is not of table %', p_attachment_id, p_relation::regclass USING ERRCODE = 'trigger_protocol_violated',
      DETAIL = 'A trigger of the table keeps deleted rows for an attachment of another table, or column.',
      HINT = 'Drop the trigger; attach columns with objectlink.attach() only.';
  END IF;
  INSERT INTO objectlink.deleted_row (xid, at, attachment_id, relation, ref, image, marked)
  VALUES (pg_current_xact_id(), statement_timestamp(), p_attachment_id, p_relation, p_ref, p_image, p_marked);
END $$;
COMMENT ON FUNCTION objectlink.keep_row(int, oid, text, text, objectlink.storage_ref, jsonb, boolean) IS 'for keep_row_trigger(): keeps a row that is deleted, or marked as deleted';

-- For the owner of a store, in the transaction in which it gives up a deletion. The object is unlinked by then, and not due.
CREATE FUNCTION objectlink.deletion_failed_for_good(p_store int, p_key text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM objectlink.deleted_row) THEN
    RETURN;
  END IF;
  INSERT INTO objectlink.row_work AS w (store_id, key, attachment_id, restore)
  SELECT p_store, p_key, d.attachment_id, true FROM objectlink.last_deleted(p_store, p_key) d
  GROUP BY d.attachment_id ORDER BY d.attachment_id
  ON CONFLICT ON CONSTRAINT row_work_pkey DO UPDATE
    SET restore = true, generation = w.generation + 1, queued_at = clock_timestamp(), due_at = clock_timestamp(), attempts = 0, alone = false,
        failed_at = NULL, compensation = NULL, error_code = NULL, last_error = NULL;
END $$;
COMMENT ON FUNCTION objectlink.deletion_failed_for_good(int, text) IS 'for settle(): a deletion was given up; has the rows restored that the last unlink deleted, where their attachment asks for it';

-- Of the transaction that unlinked it last, and only if the last word was a row's that went by DELETE. That rows are kept says that
-- their attachment asked for it when they were deleted; what it asks for now is for those that come.
CREATE FUNCTION objectlink.last_deleted(p_store int, p_key text) RETURNS SETOF objectlink.deleted_row
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_ref objectlink.storage_ref := objectlink.storage_ref((SELECT s.name::text FROM objectlink.store s WHERE s.id = p_store), p_key);
  v_unlinked_at timestamptz := (SELECT o.unlinked_at FROM objectlink.object o WHERE o.store_id = p_store AND o.key = p_key);
  v_last objectlink.deleted_row;
BEGIN
  SELECT * INTO v_last FROM objectlink.deleted_row d WHERE d.ref OPERATOR(pg_catalog.=) v_ref ORDER BY d.at DESC, d.id DESC LIMIT 1;
  IF FOUND AND v_last.at >= v_unlinked_at THEN
    RETURN QUERY SELECT d.* FROM objectlink.deleted_row d
      JOIN objectlink.attachment a ON a.id = d.attachment_id AND a.detached_at IS NULL
      WHERE d.ref OPERATOR(pg_catalog.=) v_ref AND d.xid = v_last.xid;
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.last_deleted(int, text) IS 'the rows that linked an object and were deleted by the transaction that unlinked it last';

-- Their keys and no more: events are read by many who may not read the table. See view kept_rows.
CREATE FUNCTION objectlink.rows_to_restore(p_work objectlink.row_work) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_relation regclass := (SELECT a.relation FROM objectlink.attachment a WHERE a.id = p_work.attachment_id);
  v_keys name[] := objectlink.key_columns(v_relation);
BEGIN
  RETURN (SELECT jsonb_build_object('relation', v_relation::text, 'count', count(*),
                                    'rows', jsonb_agg((SELECT jsonb_object_agg(k, d.image -> k::text) FROM unnest(v_keys) k) ORDER BY d.id)
                                              FILTER (WHERE v_keys IS NOT NULL AND d.n <= objectlink.compensated_rows_max()))
          FROM (SELECT l.id, l.image, row_number() OVER (ORDER BY l.id) AS n FROM objectlink.last_deleted(p_work.store_id, p_work.key) l
                WHERE l.attachment_id = p_work.attachment_id) d);
END $$;
COMMENT ON FUNCTION objectlink.rows_to_restore(objectlink.row_work) IS 'for an event: which rows of an attached table could not be restored, by their primary keys';

-- A partition may be another one by now, or none: the row belongs into the tree.
CREATE FUNCTION objectlink.kept_in(p_relation oid) RETURNS oid
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT pg_partition_root(c.oid)::oid FROM pg_class c WHERE c.oid = p_relation AND c.relispartition), p_relation)
$$;
COMMENT ON FUNCTION objectlink.kept_in(oid) IS 'the table into which a row of a relation is restored: of a partition, its root';

CREATE FUNCTION objectlink.insert_kept(p_relation oid, p_images jsonb, p_without_dropped boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
-- As they were when the image was made; see keep_row.cpp.
SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET lc_monetary = 'C' SET xmloption = 'content' AS $$
DECLARE
  v_columns text;
  v_values text;
  v_lost text;
  v_answer text[];
BEGIN
  SELECT string_agg(DISTINCT quote_ident(k), ', ') INTO v_lost
    FROM jsonb_array_elements(p_images) i, jsonb_object_keys(i) k
    WHERE i -> k <> 'null' AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = p_relation AND a.attname = k AND a.attnum > 0 AND NOT a.attisdropped);
  IF v_lost IS NOT NULL AND NOT p_without_dropped THEN
    RAISE EXCEPTION 'columns of % were dropped since: %', p_relation::regclass, v_lost USING ERRCODE = 'undefined_column',
      HINT = 'Restore the row without them: SELECT objectlink.restore_rows(..., without_dropped => true).';
  END IF;
  -- A generated column follows the others; one that is newer than the row has its default.
  -- Values that JSON would change are kept as text, see keep_row.cpp. Whatever reads JSON would take that for a JSON string.
  SELECT string_agg(format('%I', a.attname), ', ' ORDER BY a.attnum),
         string_agg(format(CASE WHEN objectlink.base_type(a.atttypid) = 'json'::regtype THEN '(%I #>> ''{}'')::json' ELSE '%I' END, a.attname), ', ' ORDER BY a.attnum)
    INTO v_columns, v_values
    FROM pg_attribute a WHERE a.attrelid = p_relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND (p_images -> 0) ? a.attname;
  v_answer := objectlink.write_as_owner(p_relation,
    format('WITH written AS (INSERT INTO %1$s (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM jsonb_populate_recordset(NULL::%1$s, ($1)[1]::jsonb) RETURNING 1) SELECT ARRAY[count(*)::text] FROM written',
           p_relation::regclass, v_columns, v_values), ARRAY[p_images::text], objectlink.row_write_ms());
  IF v_answer[1]::int <> jsonb_array_length(p_images) THEN
    RAISE EXCEPTION 'only % of % rows of % could be restored', v_answer[1], jsonb_array_length(p_images), p_relation::regclass
      USING ERRCODE = 'triggered_data_change_violation';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.insert_kept(oid, jsonb, boolean) IS 'inserts rows of a table as they were, as the table''s owner';

-- Rows that are there, and marked as deleted. p_at: of the attached table, which must still link what it did; NULL: of a related one.
-- What is not marked any more needs nothing, what is not there any more is in the way.
CREATE FUNCTION objectlink.unmark_kept(p_relation oid, p_images jsonb, p_column name, p_type oid, p_at objectlink.attachment) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET lc_monetary = 'C' SET xmloption = 'content' AS $$
DECLARE
  v_mark pg_attribute;
  v_table text := (SELECT CASE c.relkind WHEN 'r' THEN 'ONLY ' ELSE '' END || p_relation::regclass FROM pg_class c WHERE c.oid = p_relation);
  v_same text := objectlink.has_same_key(p_relation, 't', 'k');
  v_marked text := objectlink.marked_deleted('t', p_column, p_type);
  v_answer text[];
BEGIN
  SELECT * INTO v_mark FROM pg_attribute a WHERE a.attrelid = p_relation AND a.attname = p_column AND a.atttypid = p_type AND NOT a.attisdropped;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the soft-delete column of % was dropped, or has another type', p_relation::regclass USING ERRCODE = 'undefined_column';
  ELSIF v_same IS NULL THEN
    RAISE EXCEPTION 'table % has no primary key', p_relation::regclass USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  v_same := v_same || CASE WHEN p_at.id IS NULL THEN '' WHEN p_at.store IS NULL THEN format(' AND t.%1$I OPERATOR(pg_catalog.=) k.%1$I', p_at.column_name)
                           ELSE format(' AND t.%1$I COLLATE "C" = k.%1$I COLLATE "C"', p_at.column_name) END;
  PERFORM objectlink.write_as_owner(p_relation,
    format('WITH written AS (UPDATE %1$s AS t SET %2$I = %3$s FROM jsonb_populate_recordset(NULL::%4$s, ($1)[1]::jsonb) AS k WHERE %5$s AND %6$s RETURNING 1) SELECT ARRAY[count(*)::text] FROM written',
           v_table, p_column, CASE WHEN objectlink.is_not_null(v_mark) THEN format('coalesce(k.%I, false)', p_column) ELSE format('k.%I', p_column) END,
           p_relation::regclass, v_same, v_marked), ARRAY[p_images::text], objectlink.row_write_ms());
  v_answer := objectlink.ask_as_owner(p_relation,
    format('SELECT ARRAY[count(*)::text] FROM %1$s AS t, jsonb_populate_recordset(NULL::%2$s, ($1)[1]::jsonb) AS k WHERE %3$s AND (%4$s) IS NOT TRUE',
           v_table, p_relation::regclass, v_same, v_marked), ARRAY[p_images::text]);
  IF v_answer[1]::int <> jsonb_array_length(p_images) THEN
    RAISE EXCEPTION 'only % of % rows of % could be restored', v_answer[1], jsonb_array_length(p_images), p_relation::regclass
      USING ERRCODE = 'triggered_data_change_violation',
            DETAIL = 'The others were marked as deleted, and have been deleted since, have another key or link, or were left marked by a trigger.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.unmark_kept(oid, jsonb, name, oid, objectlink.attachment) IS 'takes the marks of rows back, as the table''s owner: the column is again what it was';

-- Of rows that are kept, those that hang on others. What compares them may be somebody's code, so it runs as the owner of the table, as
-- it does on a cascade; and their domains, whose code would run as well, have nothing to say. With whole sets at once: PostgreSQL hashes them.
CREATE FUNCTION objectlink.kept_that_hang(p_relation oid, p_key oid, p_kept bigint[], p_parents jsonb, p_without_dropped boolean) RETURNS bigint[]
LANGUAGE plpgsql STABLE SECURITY DEFINER
-- As they were when the image was made; see keep_row.cpp.
SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' SET intervalstyle = 'postgres' SET lc_monetary = 'C' SET enable_seqscan = off AS $$
DECLARE
  v_names name[];
  v_parent_names name[];
  v_types text;
  v_unknown text;
  v_answer text[];
BEGIN
  SELECT array_agg(c.name ORDER BY c.n), array_agg(c.parent_name ORDER BY c.n), string_agg(format('%I %s', c.name, objectlink.qualified_type(c.type)), ', ' ORDER BY c.n)
    INTO v_names, v_parent_names, v_types FROM objectlink.foreign_key_columns(p_key) c;
  SELECT string_agg(DISTINCT quote_ident(u.name), ', ') INTO v_unknown FROM (
    SELECT n AS name FROM objectlink.deleted_row d, unnest(v_names) n WHERE d.id = ANY (p_kept) AND NOT d.image ? n::text
    UNION ALL SELECT n FROM jsonb_array_elements(p_parents) i, unnest(v_parent_names) n WHERE NOT i ? n::text) u;
  IF v_unknown IS NOT NULL AND NOT p_without_dropped THEN
    RAISE EXCEPTION 'rows of % were kept before columns of its foreign key were called %', p_relation::regclass, v_unknown USING ERRCODE = 'undefined_column',
      DETAIL = 'It is not known on which rows they hang.',
      HINT = 'Give the columns their former names; or leave these rows out: SELECT objectlink.restore_rows(..., without_dropped => true).';
  END IF;
  v_answer := objectlink.ask_as_owner(p_relation,
    format('SELECT ARRAY(SELECT e.n::text FROM jsonb_array_elements(($1)[1]::jsonb) WITH ORDINALITY AS e (image, n), jsonb_to_record(e.image) AS d (%s) WHERE EXISTS (SELECT FROM jsonb_to_recordset(($1)[2]::jsonb) AS %s WHERE %s) ORDER BY e.n)',
           v_types, objectlink.parent_values(p_key), objectlink.hangs_on(p_key, 'd')),
    ARRAY[(SELECT jsonb_agg((SELECT jsonb_object_agg(n, d.image -> n::text) FROM unnest(v_names) n) ORDER BY k.n)
           FROM unnest(p_kept) WITH ORDINALITY AS k (id, n) JOIN objectlink.deleted_row d ON d.id = k.id)::text,
          (SELECT jsonb_agg((SELECT jsonb_object_agg('p' || n.n, i -> n.name::text) FROM unnest(v_parent_names) WITH ORDINALITY AS n (name, n)))
           FROM jsonb_array_elements(p_parents) i)::text]);
  RETURN ARRAY(SELECT p_kept[n::int] FROM unnest(v_answer) n);
END $$;
COMMENT ON FUNCTION objectlink.kept_that_hang(oid, oid, bigint[], jsonb, boolean) IS 'which of some deleted rows of a table hang by a foreign key on rows that are given by their images';

-- All or nothing: whatever is in the way is an error, and its caller's savepoint.
CREATE FUNCTION objectlink.restore_deleted(p_at objectlink.attachment, p_store int, p_key text, p_without_dropped boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_xid xid8;
  v_ids bigint[];
  v_step record;
  v_found record;
  v_images jsonb := '{}';  -- by table, what was restored of it
  v_left jsonb := '{}';  -- by table, how many hung on none of them
  v_unmarked int := 0;
  v_kept bigint[];
  v_hanging bigint[];
  v_keys name[] := objectlink.key_columns(p_at.relation);
BEGIN
  SELECT d.xid, array_agg(d.id) INTO v_xid, v_ids FROM objectlink.last_deleted(p_store, p_key) d WHERE d.attachment_id = p_at.id GROUP BY d.xid;
  IF NOT FOUND THEN
    RETURN 0;
  END IF;
  -- Parents first. An inheritance child is a table of its own.
  FOR v_found IN
    SELECT objectlink.kept_in(d.relation) AS relid, d.marked, jsonb_agg(d.image ORDER BY d.id) AS images
    FROM objectlink.deleted_row d WHERE d.id = ANY (v_ids) GROUP BY 1, 2 ORDER BY 1, 2
  LOOP
    IF v_found.marked THEN
      PERFORM objectlink.unmark_kept(v_found.relid, v_found.images, p_at.soft_delete_column, p_at.soft_delete_type, p_at);
      v_unmarked := v_unmarked + jsonb_array_length(v_found.images);
    ELSE
      PERFORM objectlink.insert_kept(v_found.relid, v_found.images, p_without_dropped);
    END IF;
    v_images := v_images || jsonb_build_object(p_at.relation::oid::text, coalesce(v_images -> (p_at.relation::oid::text), '[]') || v_found.images);
  END LOOP;
  FOR v_step IN
    SELECT r.relation::oid AS relid, r.soft_delete_column, r.soft_delete_type, p.* FROM objectlink.related_table r, objectlink.parent_of(p_at.id, p_at.relation, r.relation) p
    WHERE r.attachment_id = p_at.id ORDER BY r.depth, r.relation
  LOOP
    v_kept := ARRAY(SELECT d.id FROM objectlink.deleted_row d
                    WHERE d.xid = v_xid AND d.attachment_id = p_at.id AND d.ref IS NULL AND objectlink.kept_in(d.relation) = v_step.relid ORDER BY d.id);
    CONTINUE WHEN v_kept = '{}';
    IF v_step.parent IS NULL THEN
      RAISE EXCEPTION 'table % is not related to % any more', v_step.relid::regclass, p_at.relation USING ERRCODE = 'invalid_foreign_key';
    END IF;
    v_hanging := CASE WHEN v_images ? v_step.parent::text
                      THEN objectlink.kept_that_hang(v_step.relid, v_step.foreign_key, v_kept, v_images -> v_step.parent::text, p_without_dropped) ELSE '{}' END;
    FOR v_found IN
      SELECT d.marked, jsonb_agg(d.image ORDER BY d.id) AS images FROM objectlink.deleted_row d WHERE d.id = ANY (v_hanging) GROUP BY d.marked ORDER BY d.marked
    LOOP
      IF v_found.marked THEN
        PERFORM objectlink.unmark_kept(v_step.relid, v_found.images, v_step.soft_delete_column, v_step.soft_delete_type, NULL);
        v_unmarked := v_unmarked + jsonb_array_length(v_found.images);
      ELSE
        PERFORM objectlink.insert_kept(v_step.relid, v_found.images, p_without_dropped);
      END IF;
      v_images := v_images || jsonb_build_object(v_step.relid::text, coalesce(v_images -> (v_step.relid::text), '[]') || v_found.images);
    END LOOP;
    v_ids := v_ids || v_hanging;
    IF cardinality(v_kept) > cardinality(v_hanging) THEN
      v_left := v_left || jsonb_build_object(v_step.relid::regclass::text, cardinality(v_kept) - cardinality(v_hanging));
    END IF;
  END LOOP;
  PERFORM objectlink.forget_deleted(v_ids);
  INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
  SELECT p_store, p_key, 'rows restored', p_at.id, jsonb_strip_nulls(jsonb_build_object(
    'policy', 'restore_row', 'relation', p_at.relation::text, 'unmarked', nullif(v_unmarked, 0), 'left', nullif(v_left, '{}'),
    'rows', (SELECT jsonb_agg((SELECT jsonb_object_agg(k, i.row -> k::text) FROM unnest(v_keys) k) ORDER BY i.n)
             FROM jsonb_array_elements(v_images -> (p_at.relation::oid::text)) WITH ORDINALITY AS i (row, n)
             WHERE v_keys IS NOT NULL AND i.n <= objectlink.compensated_rows_max()),
    'counts', (SELECT jsonb_object_agg(e.key::oid::regclass::text, jsonb_array_length(e.value)) FROM jsonb_each(v_images) e)));
  RETURN cardinality(v_ids);
END $$;
COMMENT ON FUNCTION objectlink.restore_deleted(objectlink.attachment, int, text, boolean) IS 'restores the rows that linked an object and those that hung on them; how many';

-- Of all attachments whose rows the transaction took away, at once: the first of them links the object, and whoever came after that would find
-- that somebody has decided about it.
CREATE FUNCTION objectlink.restore_all(p_store int, p_key text, p_without_dropped boolean) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_at objectlink.attachment;
  v_restored bigint := 0;
BEGIN
  FOR v_at IN SELECT a.* FROM objectlink.attachment a WHERE a.id IN (SELECT d.attachment_id FROM objectlink.last_deleted(p_store, p_key) d) ORDER BY a.id LOOP
    v_restored := v_restored + objectlink.restore_deleted(v_at, p_store, p_key, p_without_dropped);
  END LOOP;
  DELETE FROM objectlink.row_work w WHERE w.store_id = p_store AND w.key = p_key AND w.restore;
  RETURN v_restored;
END $$;
COMMENT ON FUNCTION objectlink.restore_all(int, text, boolean) IS 'restores the rows of an object whose deletion was given up, of all attachments; how many';

-- May the rows of this object be restored: it is given up, and nobody has decided otherwise meanwhile.
CREATE FUNCTION objectlink.awaits_its_rows(p_store int, p_key text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  -- Locked: what is found holds until the rows are there.
  PERFORM FROM objectlink.object o WHERE o.store_id = p_store AND o.key = p_key AND o.state = 'unlinked' AND o.due_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- Linked anew, and not applied yet: somebody has decided what its row is.
  RETURN NOT EXISTS (SELECT FROM objectlink.outbox b WHERE b.op IN ('L', 'P')
    AND b.ref OPERATOR(pg_catalog.=) objectlink.storage_ref((SELECT s.name::text FROM objectlink.store s WHERE s.id = p_store), p_key));
END $$;
COMMENT ON FUNCTION objectlink.awaits_its_rows(int, text) IS 'whether an object is unlinked and nobody is going to delete it; locks it';

CREATE FUNCTION objectlink.restore_rows(store name, key text, without_dropped boolean DEFAULT false) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_store int := (SELECT s.id FROM objectlink.store s WHERE s.name = store);
  v_relation regclass;
BEGIN
  IF NOT EXISTS (SELECT FROM objectlink.last_deleted(v_store, key)) THEN
    RAISE EXCEPTION 'no deleted rows are kept of object "%" in store "%"', key, store USING ERRCODE = 'undefined_object',
      HINT = 'Rows are kept where the attachment says on_delete_failure => ''restore_row'', until their object is gone or linked again.';
  ELSIF NOT objectlink.awaits_its_rows(v_store, key) THEN
    RAISE EXCEPTION 'object "%" in store "%" does not wait for its rows', key, store USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = format('It is %s.', coalesce((SELECT o.state || CASE WHEN o.due_at IS NULL THEN '' ELSE ', and due' END
                                             FROM objectlink.object o WHERE o.store_id = v_store AND o.key = key), 'not known'));
  END IF;
  FOR v_relation IN
    WITH involved AS (SELECT DISTINCT d.attachment_id AS id FROM objectlink.last_deleted(v_store, key) d)
    SELECT a.relation FROM involved i JOIN objectlink.attachment a ON a.id = i.id
    UNION SELECT r.relation FROM involved i JOIN objectlink.related_table r ON r.attachment_id = i.id ORDER BY 1
  LOOP
    IF pg_has_role(session_user, (SELECT c.relowner FROM pg_class c WHERE c.oid = v_relation), 'MEMBER') IS NOT TRUE THEN
      RAISE EXCEPTION 'must be owner of table %', v_relation USING ERRCODE = 'insufficient_privilege';
    END IF;
  END LOOP;
  SET CONSTRAINTS ALL IMMEDIATE;
  RETURN objectlink.restore_all(v_store, key, without_dropped);
END $$;
COMMENT ON FUNCTION objectlink.restore_rows(name, text, boolean) IS 'restores the rows of an object whose deletion was given up, by hand; says how many, or what is in the way';

CREATE FUNCTION objectlink.create_keep_trigger(p_relation oid, p_name text, p_event text, p_when text, p_arguments text) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF EXISTS (SELECT FROM pg_trigger t WHERE t.tgrelid = p_relation AND t.tgname = p_name) THEN
    RETURN;
  END IF;
  EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s FOR EACH ROW %s EXECUTE FUNCTION objectlink.keep_row_trigger(%s)',
                 p_name, p_event, p_relation::regclass, 'WHEN (' || p_when || ')', p_arguments);
  EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', p_relation::regclass, p_name);
END $$;
COMMENT ON FUNCTION objectlink.create_keep_trigger(oid, text, text, text, text) IS 'creates a trigger that keeps rows, if it is not there';

-- The rows that are kept need triggers on the attached table (its inheritance children included) and on related ones.
CREATE FUNCTION objectlink.complete_keep_triggers(p_attachment_id int) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_at objectlink.attachment;
  v_table record;
BEGIN
  IF NOT EXISTS (SELECT FROM objectlink.row_policy p WHERE p.attachment_id = p_attachment_id AND p.on_delete_failure = 'restore_row') THEN
    RETURN;
  END IF;
  SELECT * INTO STRICT v_at FROM objectlink.attachment WHERE id = p_attachment_id;
  FOR v_table IN
    SELECT r.relid, r.depth, true AS attached, NULL::text AS was_marked, NULL::text AS is_marked, NULL::name AS soft_delete_column
      FROM objectlink.attached_relation r WHERE r.attachment_id = p_attachment_id
    UNION ALL SELECT r.relation::oid, 0, false, objectlink.marked_deleted('OLD', c.attname, c.atttypid), objectlink.marked_deleted('NEW', c.attname, c.atttypid), c.attname
      FROM objectlink.related_table r
      LEFT JOIN pg_attribute c ON c.attrelid = r.relation AND c.attname = r.soft_delete_column AND c.atttypid = r.soft_delete_type AND NOT c.attisdropped
      WHERE r.attachment_id = p_attachment_id
    ORDER BY attached DESC, depth, relid
  LOOP
    PERFORM objectlink.create_keep_trigger(v_table.relid, format('objectlink_keep_%s', p_attachment_id), 'DELETE',
      CASE WHEN v_table.attached THEN objectlink.row_link(v_at, 'OLD') || ' IS NOT NULL' END,
      CASE WHEN v_table.attached THEN objectlink.link_arguments(v_at) ELSE quote_literal(p_attachment_id) END);
    -- A row that is marked, and still holds the link that it had: what an UPDATE makes of the link is not taken back.
    IF v_table.attached AND objectlink.soft_deleted(v_at.id, 'NEW') IS NOT NULL THEN
      PERFORM objectlink.create_keep_trigger(v_table.relid, format('objectlink_keep_mark_%s', p_attachment_id), 'UPDATE',
        format('%s IS NOT NULL AND %s AND ' || CASE WHEN v_at.store IS NULL THEN 'OLD.%3$I IS NOT DISTINCT FROM NEW.%3$I'
                                                    ELSE 'OLD.%3$I::text COLLATE "C" IS NOT DISTINCT FROM NEW.%3$I::text COLLATE "C"' END,
               objectlink.row_link(v_at, 'OLD'), objectlink.soft_deleted(v_at.id, 'NEW'), v_at.column_name),
        objectlink.link_arguments(v_at));
    ELSIF v_table.is_marked IS NOT NULL THEN
      PERFORM objectlink.create_keep_trigger(v_table.relid, format('objectlink_keep_mark_%s', p_attachment_id), 'UPDATE',
        format('(%s) IS NOT TRUE AND %s', v_table.was_marked, v_table.is_marked), format('%L, '''', '''', %L', p_attachment_id, v_table.soft_delete_column));
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.complete_keep_triggers(int) IS 'gives attached and related tables the triggers that keep deleted rows, where they are to be restored';

-- What is gone needs no rows any more.
CREATE FUNCTION objectlink.forget_deleted(p_store int, p_keys text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_store text;
BEGIN
  IF p_keys IS NULL OR NOT EXISTS (SELECT FROM objectlink.deleted_row) THEN
    RETURN;
  END IF;
  v_store := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  PERFORM objectlink.forget_deleted(ARRAY(SELECT d.id FROM objectlink.deleted_row d WHERE d.ref OPERATOR(pg_catalog.=) ANY (ARRAY(
    SELECT objectlink.storage_ref(v_store, k) FROM unnest(p_keys) k))));
END $$;
COMMENT ON FUNCTION objectlink.forget_deleted(int, text[]) IS 'for settle(): forgets the deleted rows of objects that are gone';

CREATE FUNCTION objectlink.forget_deleted(p_ids bigint[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_xids xid8[];
  v_attachments int[];
BEGIN
  WITH gone AS (DELETE FROM objectlink.deleted_row d WHERE d.id = ANY (p_ids) RETURNING d.xid, d.attachment_id)
  SELECT array_agg(g.xid), array_agg(g.attachment_id) INTO v_xids, v_attachments FROM (SELECT DISTINCT xid, attachment_id FROM gone) g;
  -- With the last row of a transaction that linked something goes what hung on it. Asked once for each transaction, not for each of its rows.
  WITH over AS MATERIALIZED (
    SELECT * FROM unnest(v_xids, v_attachments) AS t (xid, attachment_id)
    WHERE NOT EXISTS (SELECT FROM objectlink.deleted_row r WHERE r.xid = t.xid AND r.attachment_id = t.attachment_id AND r.ref IS NOT NULL)
  )
  DELETE FROM objectlink.deleted_row h USING over o WHERE h.xid = o.xid AND h.attachment_id = o.attachment_id AND h.ref IS NULL;
END $$;
COMMENT ON FUNCTION objectlink.forget_deleted(bigint[]) IS 'forgets deleted rows, and what hung on them';

CREATE FUNCTION objectlink.kept_rows_looked_at() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION objectlink.kept_rows_looked_at() IS 'so many of the oldest deleted rows are looked at, at once, whether they are still needed';

-- And what was linked again, or never linked anything by itself. Not before it was certainly applied.
CREATE FUNCTION objectlink.forget_unneeded() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM objectlink.deleted_row) THEN
    RETURN;
  END IF;
  PERFORM objectlink.forget_deleted(ARRAY(
    SELECT d.id FROM (SELECT * FROM objectlink.deleted_row i WHERE i.at < clock_timestamp() - interval '1 hour' ORDER BY i.id LIMIT objectlink.kept_rows_looked_at()) d
    WHERE CASE WHEN d.ref IS NULL
               THEN NOT EXISTS (SELECT FROM objectlink.deleted_row r WHERE r.xid = d.xid AND r.attachment_id = d.attachment_id AND r.ref IS NOT NULL)
               ELSE NOT EXISTS (SELECT FROM objectlink.object o JOIN objectlink.store s ON s.id = o.store_id
                                WHERE s.name = objectlink.store(d.ref) AND o.key = objectlink.key(d.ref) AND o.state IN ('unlinked', 'deleting'))
                    AND NOT EXISTS (SELECT FROM objectlink.outbox b WHERE b.ref OPERATOR(pg_catalog.=) d.ref) END));
END $$;
COMMENT ON FUNCTION objectlink.forget_unneeded() IS 'for the drainer: forgets deleted rows that nobody can want to restore';
