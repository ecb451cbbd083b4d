-- attach and detach. They run with the caller's own rights on the table: who may not create a trigger or
-- an index there gets PostgreSQL's own error.

-- The triggers of one attachment, on every relation of its tree that lacks them. PostgreSQL clones row triggers
-- to partitions; it clones neither TRUNCATE triggers nor, to inheritance children, any. DISABLE TRIGGER is left as
-- it is; a plain ENABLE, as after a restore, is made ALWAYS again.
CREATE FUNCTION objectlink.complete_triggers(p_attachment_id int) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_at objectlink.attachment;
  v_link_call text;
  v_link text;
  v_relid oid;
  v_event text;
  v_rest text;
  v_name text;
  v_enabled "char";
BEGIN
  SELECT * INTO STRICT v_at FROM objectlink.attachment WHERE id = p_attachment_id;
  v_link_call := format('EXECUTE FUNCTION objectlink.link_trigger(%s)', objectlink.link_arguments(v_at));
  -- Texts are compared in the "C" collation: a case-insensitive one would miss a change of key. A ref has no collation,
  -- and the shorter condition is worth having: every UPDATE of one row reads it anew.
  v_link := CASE WHEN v_at.store IS NULL THEN '%s' ELSE '(%s)::text COLLATE "C"' END;
  -- The root first: its triggers are cloned to partitions.
  FOR v_relid IN
    SELECT r.relid FROM objectlink.attached_relation r WHERE r.attachment_id = p_attachment_id ORDER BY r.depth, r.relid
  LOOP
    FOR v_event, v_rest IN VALUES
      ('INSERT', format('FOR EACH ROW WHEN (%s IS NOT NULL) %s', objectlink.row_link(v_at, 'NEW'), v_link_call)),
      ('DELETE', format('FOR EACH ROW WHEN (%s IS NOT NULL) %s', objectlink.row_link(v_at, 'OLD'), v_link_call)),
      ('UPDATE', format('FOR EACH ROW WHEN (%s IS DISTINCT FROM %s) %s', format(v_link, objectlink.row_link(v_at, 'OLD')),
                        format(v_link, objectlink.row_link(v_at, 'NEW')), v_link_call)),
      ('TRUNCATE', format('FOR EACH STATEMENT EXECUTE FUNCTION objectlink.truncate_trigger(%L)', v_at.id))
    LOOP
      v_name := format('objectlink_%s_%s', lower(v_event), v_at.id);
      SELECT t.tgenabled INTO v_enabled FROM pg_trigger t WHERE t.tgrelid = v_relid AND t.tgname = v_name;
      IF NOT FOUND THEN
        EXECUTE format('CREATE TRIGGER %I AFTER %s ON %s %s', v_name, v_event, v_relid::regclass, v_rest);
        v_enabled := 'O';
      END IF;
      IF v_enabled IN ('O', 'R') THEN
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER %I', v_relid::regclass, v_name);
      END IF;
    END LOOP;
  END LOOP;
  PERFORM objectlink.complete_keep_triggers(p_attachment_id);
END $$;
COMMENT ON FUNCTION objectlink.complete_triggers(int) IS 'gives an attached table, its partitions and children the triggers they lack';

CREATE FUNCTION objectlink.row_link(p_at objectlink.attachment, p_row text) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce('(CASE WHEN ' || objectlink.soft_deleted(p_at.id, p_row) || ' THEN NULL ELSE ' || v.link || ' END)', v.link)
  FROM (SELECT format('%s.%I', p_row, p_at.column_name)) AS v (link)
$$;
COMMENT ON FUNCTION objectlink.row_link(objectlink.attachment, text) IS 'what a row links, as an expression: nothing if it is marked as deleted';

CREATE FUNCTION objectlink.link_arguments(p_at objectlink.attachment) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(', ', quote_literal(p_at.id), quote_literal(p_at.column_name),
    CASE WHEN objectlink.soft_deleted(p_at.id, '') IS NOT NULL THEN format('%L, %L', coalesce(p_at.store, ''), p_at.soft_delete_column)
         ELSE quote_literal(p_at.store) END)
$$;
COMMENT ON FUNCTION objectlink.link_arguments(objectlink.attachment) IS 'the arguments of the triggers that read links: attachment id, column[, store, or an empty text[, soft-delete column]]';

CREATE FUNCTION objectlink.drop_triggers(p_attachment_id int) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_trigger record;
BEGIN
  -- Clones of a partition go with the trigger of the root.
  FOR v_trigger IN
    SELECT t.tgrelid::regclass AS relation, t.tgname FROM pg_trigger t
    JOIN pg_proc p ON p.oid = t.tgfoid AND p.pronamespace = 'objectlink'::regnamespace
    WHERE t.tgparentid = 0 AND t.tgname LIKE format('objectlink\_%%\_%s', p_attachment_id)
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', v_trigger.tgname, v_trigger.relation);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.drop_triggers(int) IS 'drops the triggers of an attachment wherever they are';

-- Refuses what can't be asked, and says why.
CREATE FUNCTION objectlink.check_attachable(relation regclass, column_name name, store name) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_class pg_class;
  v_column pg_attribute;
  v_base oid;
  v_parent regclass;
BEGIN
  IF relation IS NULL OR column_name IS NULL THEN
    RAISE EXCEPTION 'relation and column_name must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  SELECT * INTO v_class FROM pg_class c WHERE c.oid = relation;
  IF v_class.relkind NOT IN ('r', 'p') THEN
    RAISE EXCEPTION 'cannot attach %', relation USING ERRCODE = 'wrong_object_type',
      DETAIL = format('It is %s; only ordinary and partitioned tables link objects.',
        CASE v_class.relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'f' THEN 'a foreign table'
             WHEN 'S' THEN 'a sequence' WHEN 'i' THEN 'an index' ELSE format('a relation of kind "%s"', v_class.relkind) END);
  ELSIF v_class.relpersistence = 't' THEN
    RAISE EXCEPTION 'cannot attach temporary table %', relation USING ERRCODE = 'wrong_object_type',
      DETAIL = 'The daemon cannot see the rows of another session''s temporary table.';
  ELSIF v_class.relnamespace IN ('objectlink'::regnamespace, 'pg_catalog'::regnamespace) THEN
    RAISE EXCEPTION 'cannot attach %', relation USING ERRCODE = 'wrong_object_type',
      DETAIL = 'It belongs to the system or to objectlink itself.';
  END IF;
  SELECT * INTO v_column FROM pg_attribute a
    WHERE a.attrelid = relation AND a.attname = column_name AND a.attnum > 0 AND NOT a.attisdropped;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'column "%" of relation % does not exist', column_name, relation USING ERRCODE = 'undefined_column';
  END IF;
  IF v_column.attinhcount > 0 THEN
    SELECT i.inhparent INTO v_parent FROM pg_inherits i WHERE i.inhrelid = relation ORDER BY i.inhseqno LIMIT 1;
    RAISE EXCEPTION 'cannot attach column "%" of %: it is inherited', column_name, relation USING ERRCODE = 'wrong_object_type',
      HINT = format('Attach %s: its partitions and children are attached with it.', v_parent);
  END IF;
  v_base := objectlink.base_type(v_column.atttypid);
  IF v_base = 'objectlink.storage_ref'::regtype THEN
    IF store IS NOT NULL THEN
      RAISE EXCEPTION 'a store cannot be given for column "%" of type storage_ref', column_name USING ERRCODE = 'invalid_parameter_value',
        DETAIL = 'Each of its values names its store itself.';
    END IF;
  ELSIF v_base IN ('text'::regtype, 'varchar'::regtype) THEN
    IF store IS NULL THEN
      RAISE EXCEPTION 'column "%" of type % needs a store', column_name, format_type(v_column.atttypid, NULL) USING ERRCODE = 'invalid_parameter_value',
        HINT = format('Say which: objectlink.attach(%L, %L, store => ''...'').', relation::text, column_name);
    END IF;
    PERFORM objectlink.check_store(store);
  ELSE
    RAISE EXCEPTION 'cannot attach column "%" of type %', column_name, format_type(v_column.atttypid, v_column.atttypmod) USING ERRCODE = 'datatype_mismatch',
      DETAIL = CASE WHEN EXISTS (SELECT FROM pg_type t WHERE t.oid = v_base AND t.typcategory = 'A')
               THEN 'An array cannot be asked for one key by index.' ELSE 'A value of this type is no key.' END,
      HINT = 'Use a column of type objectlink.storage_ref, or of type text with store => ''...''.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_attachable(regclass, name, name) IS 'raises an error that says why a column cannot be attached';

CREATE FUNCTION objectlink.check_store(store name) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  IF NOT EXISTS (SELECT FROM objectlink.server s WHERE s.name = store) THEN
    RAISE EXCEPTION 'store "%" does not exist', store USING ERRCODE = 'undefined_object',
      HINT = format('Create it: CREATE SERVER %I FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint ''https://...'', bucket ''...'').', store);
  ELSIF NOT has_server_privilege(store, 'USAGE') THEN
    RAISE EXCEPTION 'permission denied for foreign server %', store USING ERRCODE = 'insufficient_privilege';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_store(name) IS 'raises an error when a store does not exist or the caller may not use it';

-- An index is made at once on a table up to this size; on a larger one its owner decides.
CREATE FUNCTION objectlink.index_at_once_bytes() RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 128 * 1024 * 1024::bigint $$;
COMMENT ON FUNCTION objectlink.index_at_once_bytes() IS 'attach creates a missing index by itself on tables up to this size';

CREATE FUNCTION objectlink.create_index(relation regclass, column_name name, is_text boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  EXECUTE format('CREATE INDEX ON %s (%I%s)', relation, column_name, CASE WHEN is_text THEN ' COLLATE "C"' ELSE '' END);
END $$;
COMMENT ON FUNCTION objectlink.create_index(regclass, name, boolean) IS 'creates the index by which a column is asked';

CREATE FUNCTION objectlink.require_index(relation regclass, column_name name, is_text boolean, create_index boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_member regclass;
  v_size bigint;
BEGIN
  FOR v_member IN SELECT u FROM objectlink.unindexed(relation, column_name, is_text) u ORDER BY u LOOP
    SELECT sum(pg_relation_size(t.relid)) INTO v_size FROM pg_partition_tree(v_member) t;
    v_size := coalesce(v_size, pg_relation_size(v_member));
    IF create_index IS NOT TRUE AND (create_index IS FALSE OR v_size > objectlink.index_at_once_bytes()) THEN
      RAISE EXCEPTION 'column "%" of % has no index by which it can be asked', column_name, v_member
        USING ERRCODE = 'object_not_in_prerequisite_state',
              DETAIL = format('The table has %s; creating the index blocks its writers meanwhile.', pg_size_pretty(v_size)),
              HINT = format('Create it first: CREATE INDEX CONCURRENTLY ON %s (%I%s); or attach with create_index => true.',
                            v_member, column_name, CASE WHEN is_text THEN ' COLLATE "C"' ELSE '' END);
    END IF;
    PERFORM objectlink.create_index(v_member, column_name, is_text);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.require_index(regclass, name, boolean, boolean) IS 'sees to the index by which a column is asked: uses one, creates it, or says which to create';

CREATE FUNCTION objectlink.attach(relation regclass, column_name name, store name DEFAULT NULL, on_unlink text DEFAULT 'delete',
                                  retention interval DEFAULT NULL, max_attempts int DEFAULT NULL, create_index boolean DEFAULT NULL,
                                  status_column name DEFAULT NULL, status_map jsonb DEFAULT NULL, related regclass[] DEFAULT NULL,
                                  on_upload_failure text DEFAULT 'mark', on_delete_failure text DEFAULT 'dead_letter', soft_delete_column name DEFAULT NULL) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_id int;
  v_attnum smallint;
BEGIN
  PERFORM objectlink.check_attachable(relation, column_name, store);
  PERFORM objectlink.check_policy(on_unlink, retention, max_attempts);
  PERFORM objectlink.check_row_policy(relation, column_name, status_column, status_map, related, on_upload_failure, on_delete_failure);
  IF soft_delete_column IS NOT NULL THEN
    PERFORM objectlink.check_soft_delete(relation, column_name, soft_delete_column, status_column, related, on_delete_failure);
  END IF;
  -- No writer between the index, the triggers and the walk over the rows that are there already.
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
  IF EXISTS (SELECT FROM objectlink.attachment a WHERE a.relation = relation AND a.column_name = column_name AND a.detached_at IS NULL) THEN
    RAISE EXCEPTION 'column "%" of % is already attached', column_name, relation USING ERRCODE = 'duplicate_object',
      HINT = 'See view objectlink.attachments; objectlink.detach() ends an attachment.';
  END IF;
  SELECT a.attnum INTO v_attnum FROM pg_attribute a WHERE a.attrelid = relation AND a.attname = column_name;
  PERFORM objectlink.require_index(relation, column_name, store IS NOT NULL, create_index);
  INSERT INTO objectlink.attachment (relation, column_name, attnum, store, on_unlink, retention, max_attempts)
    VALUES (relation, column_name, v_attnum, store, on_unlink, retention, max_attempts) RETURNING id INTO v_id;
  UPDATE objectlink.attachment a SET soft_delete_column = c.attname, soft_delete_type = c.atttypid
    FROM pg_attribute c WHERE a.id = v_id AND c.attrelid = relation AND c.attname = soft_delete_column;
  PERFORM objectlink.set_row_policy(v_id, status_column, status_map, related, on_upload_failure, on_delete_failure);
  PERFORM objectlink.complete_triggers(v_id);
  INSERT INTO objectlink.scan (attachment_id, kind) VALUES (v_id, 'link');
  RETURN v_id;
END $$;
COMMENT ON FUNCTION objectlink.attach(regclass, name, name, text, interval, int, boolean, name, jsonb, regclass[], text, text, name) IS 'links a column: from now on its rows keep their objects; rows that exist already are linked in the background. Returns the attachment''s id';

CREATE FUNCTION objectlink.detach(relation regclass, column_name name) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_id int;
BEGIN
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
  UPDATE objectlink.attachment a SET detached_at = now()
    WHERE a.relation = relation AND a.column_name = column_name AND a.detached_at IS NULL RETURNING a.id INTO v_id;
  IF v_id IS NULL THEN
    RAISE EXCEPTION 'column "%" of % is not attached', column_name, relation USING ERRCODE = 'undefined_object',
      HINT = 'See view objectlink.attachments.';
  END IF;
  PERFORM objectlink.drop_triggers(v_id);
  DELETE FROM objectlink.scan s WHERE s.attachment_id = v_id AND s.kind IN ('link', 'show');
END $$;
COMMENT ON FUNCTION objectlink.detach(regclass, name) IS 'ends an attachment: rows no longer link objects; the objects stay';
