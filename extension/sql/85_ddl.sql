-- Event triggers keep the triggers of attached tables right when tables change, and notice what is dropped.

-- A drop takes rows away without a trigger of theirs being fired, by any command that cascades. What they linked is found by
-- a walk over the objects of the attachment, and held: a dropped table may be a mistake, a deleted object is final.
CREATE FUNCTION objectlink.on_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_by text := format('was dropped by %s at %s UTC', session_user, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'));
  v_at record;
  v_trigger record;
BEGIN
  IF NOT EXISTS (SELECT FROM pg_event_trigger_dropped_objects() d WHERE d.object_type IN ('table', 'table column')) THEN
    RETURN;
  END IF;
  -- By the state of things, not by the list: whatever was missed before is found as well.
  FOR v_at IN
    SELECT a.id, a.column_name, a.relation, NOT EXISTS (SELECT FROM pg_class t WHERE t.oid = a.relation) AS is_table, concat_ws(' ', coalesce(
      (SELECT format('%s %s', CASE d.object_type WHEN 'table column' THEN 'column' ELSE d.object_type END, d.object_identity)
       FROM pg_event_trigger_dropped_objects() d
       WHERE d.classid = 'pg_class'::regclass AND d.objid = a.relation::oid AND d.objsubid IN (0, a.attnum) ORDER BY d.objsubid LIMIT 1),
      format('the table of column %I', a.column_name)), v_by) AS reason
    FROM objectlink.attachment a
    WHERE a.detached_at IS NULL
      AND NOT EXISTS (SELECT FROM pg_class t JOIN pg_attribute c ON c.attrelid = t.oid
                      WHERE t.oid = a.relation AND (c.attname = a.column_name OR c.attnum = a.attnum) AND NOT c.attisdropped)
    ORDER BY a.id
  LOOP
    UPDATE objectlink.attachment SET detached_at = now(), dropped = v_at.reason WHERE id = v_at.id;
    PERFORM objectlink.hold_dropped(v_at.id, v_at.reason, CASE WHEN v_at.is_table THEN ARRAY[v_at.relation::oid] END);
    -- TRUNCATE triggers name no column, so they outlived it. Those of a child that keeps the column show whose it was.
    FOR v_trigger IN
      SELECT g.tgname, g.tgrelid::regclass AS relation FROM pg_trigger g
      WHERE g.tgname = format('objectlink_truncate_%s', v_at.id)
        AND NOT EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = g.tgrelid AND c.attname = v_at.column_name AND NOT c.attisdropped)
    LOOP
      BEGIN
        EXECUTE format('DROP TRIGGER %I ON %s', v_trigger.tgname, v_trigger.relation);
      EXCEPTION WHEN object_in_use THEN
        NULL;  -- It stays, and what it says of a dropped column is ignored.
      END;
    END LOOP;
  END LOOP;
  FOR v_at IN
    SELECT a.id FROM objectlink.attachment a
    WHERE a.detached_at IS NULL AND a.soft_delete_type IS NOT NULL
      AND NOT EXISTS (SELECT FROM pg_attribute c WHERE c.attrelid = a.relation AND c.attname = a.soft_delete_column AND NOT c.attisdropped)
    ORDER BY a.id
  LOOP
    PERFORM objectlink.end_soft_delete(v_at.id, v_by);
  END LOOP;
  -- Its number means nothing any more; in a dump it would come to mean another table.
  UPDATE objectlink.attachment a SET relation = 0::oid
    WHERE a.relation <> 0::oid AND NOT EXISTS (SELECT FROM pg_class t WHERE t.oid = a.relation);
  PERFORM objectlink.forget_dropped_related();
  -- Partitions and children: their triggers, which went with them, say of which attachment they were.
  FOR v_at IN
    SELECT a.id, string_agg(DISTINCT d.object_identity, ', ') AS parts, array_agg(DISTINCT d.objid) AS relids,
           CASE c.relkind WHEN 'p' THEN 'partition' ELSE 'child table' END AS kind, a.relation
    FROM pg_event_trigger_dropped_objects() g
    JOIN pg_event_trigger_dropped_objects() d ON d.object_type = 'table' AND d.address_names[1:2] = g.address_names[1:2]
    -- As text: a trigger of the user's own may have any name.
    JOIN objectlink.attachment a ON a.id::text = substring(g.address_names[3] FROM '^objectlink_(?:insert|truncate)_(\d+)$')
    JOIN pg_class c ON c.oid = a.relation
    WHERE g.object_type = 'trigger' AND a.detached_at IS NULL
    GROUP BY a.id, c.relkind ORDER BY a.id
  LOOP
    PERFORM objectlink.hold_dropped(v_at.id,
      CASE WHEN cardinality(v_at.relids) = 1 THEN format('%s %s of %s %s', v_at.kind, v_at.parts, v_at.relation, v_by)
      ELSE format('one of %s parts of %s %s: %s', cardinality(v_at.relids), v_at.relation, v_by, left(v_at.parts, 200)) END, v_at.relids);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.on_drop() IS 'event trigger: ends attachments whose table or column is dropped, and has the objects of dropped rows held';

CREATE FUNCTION objectlink.hold_dropped(p_attachment_id int, p_reason text, p_relids oid[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO objectlink.scan (attachment_id, kind, hold) VALUES (p_attachment_id, 'unlink', p_reason);
  INSERT INTO objectlink.dropped_relation (relid, reason) SELECT r, p_reason FROM unnest(p_relids) r
    ON CONFLICT (relid) DO UPDATE SET reason = excluded.reason;
  INSERT INTO objectlink.event (cause, attachment_id, detail) VALUES ('drop', p_attachment_id, jsonb_build_object('message', p_reason));
END $$;
COMMENT ON FUNCTION objectlink.hold_dropped(int, text, oid[]) IS 'queues a walk that holds the objects of an attachment that no row links any more';

CREATE EVENT TRIGGER objectlink_drop ON sql_drop EXECUTE FUNCTION objectlink.on_drop();
COMMENT ON EVENT TRIGGER objectlink_drop IS 'notices when an attached table, a part of it or its column is dropped, by whatever command';

-- By what its triggers depend on: in a copy the numbers of columns may be others, and a column that happens to have an old
-- number is not the one that was meant. Only where the triggers are missing the number is all there is.
CREATE FUNCTION objectlink.renamed_columns(OUT id int, OUT column_name name, OUT soft_delete_column name) RETURNS SETOF record
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT a.id, coalesce(n.link, a.column_name), coalesce(n.soft_delete, a.soft_delete_column)
  FROM objectlink.attachment a
  CROSS JOIN LATERAL (
    SELECT array_agg(c.attname) AS names
    FROM pg_trigger g
    JOIN pg_depend d ON d.classid = 'pg_trigger'::regclass AND d.objid = g.oid AND d.refclassid = 'pg_class'::regclass AND d.refobjid = g.tgrelid
    JOIN pg_attribute c ON c.attrelid = d.refobjid AND c.attnum = d.refobjsubid
    WHERE g.tgrelid = a.relation AND g.tgname = format('objectlink_insert_%s', a.id)
  ) t
  CROSS JOIN LATERAL (
    SELECT CASE WHEN t.names IS NULL THEN (SELECT c.attname FROM pg_attribute c WHERE c.attrelid = a.relation AND c.attnum = a.attnum AND NOT c.attisdropped
                                           AND c.attname <> a.column_name)
                WHEN NOT a.column_name = ANY (t.names) AND (a.soft_delete_type IS NULL OR a.soft_delete_column = ANY (t.names)) THEN (SELECT x FROM unnest(t.names) x WHERE x IS DISTINCT FROM a.soft_delete_column LIMIT 1) END AS link,
           CASE WHEN a.column_name = ANY (t.names) AND a.soft_delete_type IS NOT NULL AND NOT a.soft_delete_column = ANY (t.names)
                THEN (SELECT x FROM unnest(t.names) x WHERE x <> a.column_name LIMIT 1) END AS soft_delete
  ) n
  WHERE a.detached_at IS NULL AND (n.link IS NOT NULL OR n.soft_delete IS NOT NULL)
$$;
COMMENT ON FUNCTION objectlink.renamed_columns() IS 'attachments whose linked, or soft-delete, column has another name by now, with these names';

CREATE FUNCTION objectlink.on_table_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_context text;
  v_at record;
  v_id int;
  v_trigger name;
BEGIN
  -- A dump brings all triggers itself, and can't create those that are there already. Every restore sets this, and hardly
  -- anybody else; whatever is missing afterwards is completed at the next change of a table.
  IF NOT current_setting('check_function_bodies')::boolean THEN
    RETURN;
  END IF;
  -- complete_triggers() alters tables itself, as many as a tree has: not a reason to call it once more.
  GET DIAGNOSTICS v_context = PG_CONTEXT;
  IF v_context LIKE '%objectlink.complete_triggers(integer)%' THEN
    RETURN;
  END IF;
  -- A dump does not keep the numbers of columns where some were dropped.
  UPDATE objectlink.attachment a SET attnum = c.attnum FROM pg_attribute c
    WHERE a.detached_at IS NULL AND c.attrelid = a.relation AND c.attname = a.column_name AND NOT c.attisdropped AND c.attnum <> a.attnum;
  -- A renamed column: its triggers name it.
  FOR v_at IN SELECT * FROM objectlink.renamed_columns()
  LOOP
    PERFORM objectlink.drop_triggers(v_at.id);
    UPDATE objectlink.attachment SET column_name = v_at.column_name, soft_delete_column = v_at.soft_delete_column WHERE id = v_at.id;
    PERFORM objectlink.complete_triggers(v_at.id);
  END LOOP;
  PERFORM objectlink.follow_row_policies();
  -- A detached text column protects the objects of its rows under its new name too.
  UPDATE objectlink.attachment a SET column_name = c.attname FROM pg_attribute c
    WHERE a.detached_at IS NOT NULL AND a.store IS NOT NULL AND c.attrelid = a.relation AND c.attnum = a.attnum AND NOT c.attisdropped
      AND c.attname <> a.column_name;
  -- A partition that was detached, a child that no longer inherits or has outlived its parent's column: its rows link as before, so it gets an attachment
  -- of its own. Its parts, if it has any, only lose the triggers of the old one.
  FOR v_at IN
    SELECT t.id, t.relid, a.column_name, a.store, a.on_unlink, a.retention, a.max_attempts, c.attnum, c.attinhcount = 0 AS stands_alone,
           a.soft_delete_column, a.soft_delete_type
    FROM (SELECT x.id, g.tgrelid AS relid FROM objectlink.attachment x
          JOIN pg_trigger g ON g.tgname = format('objectlink_truncate_%s', x.id) AND g.tgfoid = 'objectlink.truncate_trigger'::regproc
          WHERE x.detached_at IS NULL OR x.dropped IS NOT NULL
          EXCEPT SELECT r.attachment_id, r.relid FROM objectlink.attached_relation r) t
    JOIN objectlink.attachment a ON a.id = t.id
    JOIN pg_attribute c ON c.attrelid = t.relid AND c.attname = a.column_name AND NOT c.attisdropped
    ORDER BY c.attinhcount, t.relid
  LOOP
    FOR v_trigger IN
      SELECT g.tgname FROM pg_trigger g
      WHERE g.tgrelid = v_at.relid AND g.tgparentid = 0 AND g.tgname LIKE format('objectlink\_%%\_%s', v_at.id)
    LOOP
      EXECUTE format('DROP TRIGGER %I ON %s', v_trigger, v_at.relid::regclass);
    END LOOP;
    IF v_at.stands_alone THEN
      INSERT INTO objectlink.attachment (relation, column_name, attnum, store, on_unlink, retention, max_attempts, split_from,
                                         soft_delete_column, soft_delete_type)
        VALUES (v_at.relid, v_at.column_name, v_at.attnum, v_at.store, v_at.on_unlink, v_at.retention, v_at.max_attempts, v_at.id,
                v_at.soft_delete_column, v_at.soft_delete_type)
        ON CONFLICT (relation, column_name) WHERE detached_at IS NULL DO NOTHING RETURNING id INTO v_id;
      IF FOUND THEN
        PERFORM objectlink.inherit_row_policy(v_at.id, v_id);
        PERFORM objectlink.complete_triggers(v_id);
        INSERT INTO objectlink.scan (attachment_id, kind) VALUES (v_id, 'link');
      END IF;
    END IF;
  END LOOP;
  -- A table that came with rows: they are linked in the background, like those that are there at attach.
  IF tg_tag = 'ALTER TABLE' THEN
    INSERT INTO objectlink.scan (attachment_id, kind, relid)
    SELECT r.attachment_id, 'link', r.relid FROM objectlink.attached_relation r
    JOIN pg_class c ON c.oid = r.relid AND c.relkind = 'r'
    WHERE pg_relation_size(r.relid) > 0
      AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = r.relid AND g.tgname = format('objectlink_truncate_%s', r.attachment_id));
  END IF;
  -- New partitions and children, and triggers that were enabled without ALWAYS.
  FOR v_at IN
    SELECT DISTINCT r.attachment_id AS id FROM objectlink.attached_relation r
    WHERE (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = r.relid AND g.tgenabled IN ('A', 'D') AND g.tgname IN
           (format('objectlink_insert_%s', r.attachment_id), format('objectlink_delete_%s', r.attachment_id),
            format('objectlink_update_%s', r.attachment_id), format('objectlink_truncate_%s', r.attachment_id))) < 4
  LOOP
    PERFORM objectlink.complete_triggers(v_at.id);
  END LOOP;
  -- PostgreSQL gives partitions the index of their root, but children nothing. Only those of this command: another one may be in use.
  FOR v_at IN
    WITH RECURSIVE changed (relid) AS (
      SELECT d.objid FROM pg_event_trigger_ddl_commands() d WHERE d.object_type = 'table'
      UNION SELECT i.inhrelid FROM changed t JOIN pg_inherits i ON i.inhparent = t.relid
    )
    SELECT DISTINCT t.relid, a.column_name, a.store IS NOT NULL AS is_text
    FROM changed t
    JOIN objectlink.attached_relation r ON r.relid = t.relid AND r.depth > 0
    JOIN objectlink.attachment a ON a.id = r.attachment_id
    JOIN pg_class c ON c.oid = t.relid AND c.relkind = 'r' AND NOT c.relispartition
    WHERE t.relid IN (SELECT objectlink.unindexed(t.relid, a.column_name, a.store IS NOT NULL))
      AND pg_relation_size(t.relid) <= objectlink.index_at_once_bytes()
    ORDER BY t.relid
  LOOP
    PERFORM objectlink.create_index(v_at.relid, v_at.column_name, v_at.is_text);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.on_table_change() IS 'event trigger: completes the triggers of attached tables after commands that make or change tables';

CREATE EVENT TRIGGER objectlink_table_change ON ddl_command_end
  -- ALTER TYPE and the others rename columns of ordinary tables as well; what CREATE SCHEMA contains has no tag of its own.
  WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA', 'ALTER TYPE', 'ALTER VIEW', 'ALTER MATERIALIZED VIEW', 'ALTER FOREIGN TABLE')
  EXECUTE FUNCTION objectlink.on_table_change();
COMMENT ON EVENT TRIGGER objectlink_table_change IS 'keeps the triggers of attached tables right when tables change';
