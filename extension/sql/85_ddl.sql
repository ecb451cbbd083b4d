-- Event triggers keep the triggers of attached tables right when tables change.

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
  FOR v_at IN
    SELECT a.id, c.attname FROM objectlink.attachment a
    JOIN pg_attribute c ON c.attrelid = a.relation AND c.attnum = a.attnum AND NOT c.attisdropped
    WHERE a.detached_at IS NULL AND c.attname <> a.column_name
  LOOP
    PERFORM objectlink.drop_triggers(v_at.id);
    UPDATE objectlink.attachment SET column_name = v_at.attname WHERE id = v_at.id;
    PERFORM objectlink.complete_triggers(v_at.id);
  END LOOP;
  -- A partition that was detached, a child that no longer inherits: its rows link as before, so it gets an attachment
  -- of its own. Its parts, if it has any, only lose the triggers of the old one.
  FOR v_at IN
    SELECT t.id, t.relid, a.column_name, a.store, a.max_attempts, c.attnum, c.attinhcount = 0 AS stands_alone
    FROM (SELECT x.id, g.tgrelid AS relid FROM objectlink.attachment x
          JOIN pg_trigger g ON g.tgname = format('objectlink_truncate_%s', x.id) AND g.tgfoid = 'objectlink.truncate_trigger'::regproc
          WHERE x.detached_at IS NULL
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
      INSERT INTO objectlink.attachment (relation, column_name, attnum, store, max_attempts)
        VALUES (v_at.relid, v_at.column_name, v_at.attnum, v_at.store, v_at.max_attempts)
        ON CONFLICT (relation, column_name) WHERE detached_at IS NULL DO NOTHING RETURNING id INTO v_id;
      IF FOUND THEN
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
END $$;
COMMENT ON FUNCTION objectlink.on_table_change() IS 'event trigger: completes the triggers of attached tables after CREATE TABLE and ALTER TABLE';

CREATE EVENT TRIGGER objectlink_table_change ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE')
  EXECUTE FUNCTION objectlink.on_table_change();
COMMENT ON EVENT TRIGGER objectlink_table_change IS 'keeps the triggers of attached tables right when tables change';
