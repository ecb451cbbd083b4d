-- Changing what an attachment asks for, without detaching: what is not given stays, what `reset` names goes back to its default.
-- It counts for what happens from then on. What was unlinked before keeps what it was promised: its retention is looked at
-- once more and can only grow, and rows that were kept to be restored are.

CREATE FUNCTION objectlink.policy_of(p_attachment_id int) RETURNS jsonb
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT jsonb_build_object('on_unlink', a.on_unlink, 'retention', a.retention, 'max_attempts', a.max_attempts,
    'status_column', p.status_column, 'status_map', p.status_map, 'on_upload_failure', coalesce(p.on_upload_failure, 'mark'),
    'on_delete_failure', coalesce(p.on_delete_failure, 'dead_letter'), 'soft_delete_column', a.soft_delete_column,
    'related', (SELECT jsonb_agg(r.relation::text ORDER BY r.depth, r.relation) FROM objectlink.related_table r WHERE r.attachment_id = a.id))
  FROM objectlink.attachment a LEFT JOIN objectlink.row_policy p ON p.attachment_id = a.id WHERE a.id = p_attachment_id
$$;
COMMENT ON FUNCTION objectlink.policy_of(int) IS 'all that an attachment asks for';

-- Which rows are marked is asked of them from now on otherwise. Those that link by that are linked by a walk, as at attach; what nobody
-- links any more by that is held, as after a drop: nobody has deleted these rows now. No trigger has told of either, so the protocol of
-- deletion is kept here: whoever condemns a key after this look waits for the lock of the table, which ends with this transaction.
CREATE FUNCTION objectlink.change_mark(p_attachment_id int, p_column name) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_was objectlink.attachment;
  v_answer record;
BEGIN
  SELECT * INTO STRICT v_was FROM objectlink.attachment a WHERE a.id = p_attachment_id;
  IF pg_has_role(objectlink.acting_role(), (SELECT c.relowner FROM pg_class c WHERE c.oid = v_was.relation), 'MEMBER') IS NOT TRUE THEN
    RAISE EXCEPTION 'must be owner of table %', v_was.relation USING ERRCODE = 'insufficient_privilege';
  ELSIF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'changing the soft-delete column needs isolation level read committed' USING ERRCODE = 'invalid_transaction_state',
      DETAIL = 'An older snapshot does not show what is being deleted.';
  ELSIF EXISTS (SELECT FROM objectlink.deleted_row d WHERE d.attachment_id = p_attachment_id AND d.marked) THEN
    RAISE EXCEPTION 'rows that column "%" marks as deleted may have to be restored', v_was.soft_delete_column USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'They are kept until their objects are gone; if these cannot be deleted, their marks are taken back.',
      HINT = 'Say on_delete_failure => ''dead_letter'' first; no others are kept from then on. View objectlink.kept_rows shows those that are.';
  END IF;
  EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', v_was.relation);
  UPDATE objectlink.attachment a SET soft_delete_column = p_column,
    soft_delete_type = (SELECT c.atttypid FROM pg_attribute c WHERE c.attrelid = a.relation AND c.attname = p_column AND c.attnum > 0 AND NOT c.attisdropped)
    WHERE a.id = p_attachment_id;
  FOR v_answer IN SELECT l.* FROM objectlink.linked(ARRAY(SELECT c.ref FROM objectlink.condemned c)) l WHERE l.attachment_id = p_attachment_id LOOP
    IF v_answer.ref IS NULL THEN
      RAISE EXCEPTION 'the rows of % cannot be asked now', v_was.relation USING ERRCODE = 'object_in_use', DETAIL = v_answer.unknown;
    END IF;
    RAISE EXCEPTION 'object "%" in store "%" is being deleted', objectlink.key(v_answer.ref), objectlink.store(v_answer.ref) USING ERRCODE = 'object_in_use',
      DETAIL = 'A row that is not marked as deleted any more would link it.', HINT = 'Try again; or hold the deletions first: objectlink.hold_deletions().';
  END LOOP;
  INSERT INTO objectlink.scan (attachment_id, kind, image) VALUES (p_attachment_id, 'link', objectlink.unmark_image());
  IF p_column IS NOT NULL THEN
    INSERT INTO objectlink.scan (attachment_id, kind, cause, hold)
    VALUES (p_attachment_id, 'unlink', 'policy changed', format('rows of %s are marked as deleted by column %I since %s said so at %s UTC', v_was.relation, p_column,
                                              objectlink.acting_role(), to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')));
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.change_mark(int, name) IS 'for alter_attachment(): says by which column rows are marked as deleted from now on; NULL: by none';

-- With the rights of objectlink, because it writes an event; the owner of the table is who may do it. What may be asked for was
-- checked before, with the caller's own rights: a cast to the type of a user's column is the user's code.
CREATE FUNCTION objectlink.change_policy(p_attachment_id int, p_on_unlink text, p_retention interval, p_max_attempts int, p_status_column name,
                                         p_status_map jsonb, p_related regclass[], p_on_upload_failure text, p_on_delete_failure text, p_was_marked_by name)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c_always CONSTANT text[] := '{on_unlink,retention,max_attempts}';
  v_at objectlink.attachment;
  v_was jsonb := objectlink.policy_of(p_attachment_id) || jsonb_build_object('soft_delete_column', p_was_marked_by);
  v_is jsonb;
  v_kept regclass;
  v_related objectlink.related_table[] := ARRAY(SELECT r FROM objectlink.related_table r WHERE r.attachment_id = p_attachment_id);
BEGIN
  SELECT * INTO STRICT v_at FROM objectlink.attachment a WHERE a.id = p_attachment_id;
  IF pg_has_role(objectlink.acting_role(), (SELECT c.relowner FROM pg_class c WHERE c.oid = v_at.relation), 'MEMBER') IS NOT TRUE THEN
    RAISE EXCEPTION 'must be owner of table %', v_at.relation USING ERRCODE = 'insufficient_privilege';
  END IF;
  PERFORM objectlink.check_policy(p_on_unlink, p_retention, p_max_attempts);
  SELECT r.relation INTO v_kept FROM objectlink.related_table r
    WHERE r.attachment_id = p_attachment_id AND NOT r.relation = ANY (coalesce(p_related, '{}'))
      AND EXISTS (SELECT FROM objectlink.deleted_row d WHERE d.attachment_id = p_attachment_id AND objectlink.kept_in(d.relation) = r.relation)
    ORDER BY r.relation LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'table % is still related to %', v_kept, v_at.relation USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'Deleted rows of it are kept, to be restored if their objects cannot be deleted.',
      HINT = 'Say on_delete_failure => ''dead_letter'' first; no others are kept from then on.';
  END IF;
  UPDATE objectlink.attachment a SET on_unlink = p_on_unlink, retention = p_retention, max_attempts = p_max_attempts WHERE a.id = p_attachment_id;
  DELETE FROM objectlink.related_table r WHERE r.attachment_id = p_attachment_id;
  DELETE FROM objectlink.row_policy p WHERE p.attachment_id = p_attachment_id;
  PERFORM objectlink.set_row_policy(p_attachment_id, p_status_column, p_status_map, p_related, p_on_upload_failure, p_on_delete_failure);
  -- One that was renamed since is not found by its name.
  UPDATE objectlink.related_table r SET soft_delete_column = o.soft_delete_column, soft_delete_type = o.soft_delete_type
    FROM unnest(v_related) o WHERE r.attachment_id = p_attachment_id AND r.relation = o.relation AND r.soft_delete_column IS NULL AND v_at.soft_delete_column = p_was_marked_by;
  v_is := objectlink.policy_of(p_attachment_id);
  IF (v_was -> 'status_column', v_was -> 'status_map', v_was -> 'related') IS DISTINCT FROM (v_is -> 'status_column', v_is -> 'status_map', v_is -> 'related')
     AND p_status_column IS NOT NULL THEN
    INSERT INTO objectlink.scan (attachment_id, kind) VALUES (p_attachment_id, 'show');
  END IF;
  INSERT INTO objectlink.event (cause, attachment_id, detail)
  SELECT 'policy changed', p_attachment_id, jsonb_build_object('relation', v_at.relation::text, 'column', v_at.column_name,
    'from', jsonb_object_agg(w.key, w.value), 'to', jsonb_object_agg(w.key, v_is -> w.key))
  FROM jsonb_each(v_was) w WHERE w.key = ANY (c_always) OR w.value IS DISTINCT FROM v_is -> w.key;
END $$;
COMMENT ON FUNCTION objectlink.change_policy(int, text, interval, int, name, jsonb, regclass[], text, text, name) IS 'for alter_attachment(): records what an attachment asks for from now on, as an event';

CREATE FUNCTION objectlink.drop_keep_triggers(p_attachment_id int) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_restores boolean := EXISTS (SELECT FROM objectlink.row_policy p WHERE p.attachment_id = p_attachment_id AND p.on_delete_failure = 'restore_row');
  v_trigger record;
BEGIN
  FOR v_trigger IN
    SELECT t.tgrelid::regclass AS relation, t.tgname FROM pg_trigger t
    WHERE t.tgparentid = 0 AND t.tgname IN (format('objectlink_keep_%s', p_attachment_id), format('objectlink_keep_mark_%s', p_attachment_id))
      AND NOT (v_restores AND (EXISTS (SELECT FROM objectlink.attached_relation r WHERE r.attachment_id = p_attachment_id AND r.relid = t.tgrelid)
                               OR EXISTS (SELECT FROM objectlink.related_table r WHERE r.attachment_id = p_attachment_id AND r.relation = t.tgrelid)))
    ORDER BY t.tgrelid, t.tgname
  LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', v_trigger.tgname, v_trigger.relation);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.drop_keep_triggers(int) IS 'drops the triggers that keep deleted rows, where these are not to be restored any more';

CREATE FUNCTION objectlink.alter_attachment(relation regclass, column_name name, on_unlink text DEFAULT NULL, retention interval DEFAULT NULL,
                                            max_attempts int DEFAULT NULL, reset name[] DEFAULT '{}', status_column name DEFAULT NULL,
                                            status_map jsonb DEFAULT NULL, related regclass[] DEFAULT NULL, on_upload_failure text DEFAULT NULL,
                                            on_delete_failure text DEFAULT NULL, soft_delete_column name DEFAULT NULL) RETURNS int
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  c_settings CONSTANT name[] := '{on_unlink,retention,max_attempts,status_column,status_map,related,on_upload_failure,on_delete_failure,soft_delete_column}';
  v_at objectlink.attachment;
  v_rows objectlink.row_policy;
  v_marked_otherwise boolean;
BEGIN
  IF relation IS NULL OR column_name IS NULL THEN
    RAISE EXCEPTION 'relation and column_name must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF num_nonnulls(status_column, status_map, related, on_upload_failure, on_delete_failure, soft_delete_column) > 0 OR reset && c_settings[4:] THEN
    -- As attach and detach do, and before anything else is locked: triggers may come or go.
    EXECUTE format('LOCK TABLE %s IN SHARE ROW EXCLUSIVE MODE', relation);
  END IF;
  SELECT * INTO v_at FROM objectlink.attachment a
    WHERE a.relation = relation AND a.column_name = column_name AND a.detached_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'column "%" of % is not attached', column_name, relation USING ERRCODE = 'undefined_object',
      HINT = 'See view objectlink.attachments.';
  ELSIF NOT pg_has_role((SELECT c.relowner FROM pg_class c WHERE c.oid = relation), 'MEMBER') THEN
    RAISE EXCEPTION 'must be owner of table %', relation USING ERRCODE = 'insufficient_privilege';
  ELSIF reset IS NULL OR NOT reset <@ c_settings THEN
    RAISE EXCEPTION 'invalid reset: %', coalesce(reset::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = format('Its elements must be of %s.', array_to_string(c_settings, ', '));
  END IF;
  SELECT * INTO v_rows FROM objectlink.row_policy p WHERE p.attachment_id = v_at.id;
  on_unlink := coalesce(on_unlink, CASE WHEN 'on_unlink' = ANY (reset) THEN 'delete' ELSE v_at.on_unlink END);
  retention := coalesce(retention, CASE WHEN 'retention' = ANY (reset) THEN NULL ELSE v_at.retention END);
  max_attempts := coalesce(max_attempts, CASE WHEN 'max_attempts' = ANY (reset) THEN NULL ELSE v_at.max_attempts END);
  status_column := coalesce(status_column, CASE WHEN 'status_column' = ANY (reset) THEN NULL ELSE v_rows.status_column END);
  -- The words were for that column.
  status_map := coalesce(status_map, CASE WHEN reset && '{status_map,status_column}' THEN NULL ELSE v_rows.status_map END);
  related := coalesce(related, CASE WHEN NOT 'related' = ANY (reset) THEN
    ARRAY(SELECT r.relation FROM objectlink.related_table r WHERE r.attachment_id = v_at.id ORDER BY r.depth, r.relation) END);
  on_upload_failure := coalesce(on_upload_failure, CASE WHEN NOT 'on_upload_failure' = ANY (reset) THEN v_rows.on_upload_failure END, 'mark');
  on_delete_failure := coalesce(on_delete_failure, CASE WHEN NOT 'on_delete_failure' = ANY (reset) THEN v_rows.on_delete_failure END, 'dead_letter');
  PERFORM objectlink.check_policy(on_unlink, retention, max_attempts);
  PERFORM objectlink.check_row_policy(relation, column_name, status_column, status_map, related, on_upload_failure, on_delete_failure);
  v_marked_otherwise := CASE WHEN soft_delete_column IS NULL THEN 'soft_delete_column' = ANY (reset) AND v_at.soft_delete_column IS NOT NULL
    -- Of the same name it may be another one by now.
    ELSE (soft_delete_column, (SELECT c.atttypid::regtype FROM pg_attribute c WHERE c.attrelid = relation AND c.attname = soft_delete_column AND NOT c.attisdropped))
         IS DISTINCT FROM (v_at.soft_delete_column, v_at.soft_delete_type) END;
  IF NOT v_marked_otherwise AND v_at.soft_delete_type IS NOT NULL THEN
    soft_delete_column := v_at.soft_delete_column;
  END IF;
  IF soft_delete_column IS NOT NULL THEN
    PERFORM objectlink.check_soft_delete(relation, column_name, soft_delete_column, status_column, related, on_delete_failure);
  END IF;
  IF v_marked_otherwise THEN
    PERFORM objectlink.change_mark(v_at.id, soft_delete_column);
  END IF;
  PERFORM objectlink.change_policy(v_at.id, on_unlink, retention, max_attempts, status_column, status_map, related, on_upload_failure, on_delete_failure,
                                   v_at.soft_delete_column);
  IF v_marked_otherwise THEN
    -- Their conditions name the column.
    PERFORM objectlink.drop_triggers(v_at.id);
    PERFORM objectlink.complete_triggers(v_at.id);
  ELSE
    PERFORM objectlink.drop_keep_triggers(v_at.id);
    PERFORM objectlink.complete_keep_triggers(v_at.id);
  END IF;
  RETURN v_at.id;
END $$;
COMMENT ON FUNCTION objectlink.alter_attachment(regclass, name, text, interval, int, name[], name, jsonb, regclass[], text, text, name) IS 'changes what an attachment asks for: what is given; reset => names go back to their defaults. Returns the attachment''s id';
