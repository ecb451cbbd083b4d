-- Event triggers keep the triggers of attached tables right when tables change.

CREATE FUNCTION objectlink.on_table_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_context text;
  v_at record;
BEGIN
  -- complete_triggers() alters tables itself, as many as a tree has: not a reason to call it once more.
  GET DIAGNOSTICS v_context = PG_CONTEXT;
  IF v_context LIKE '%objectlink.complete_triggers(integer)%' THEN
    RETURN;
  END IF;
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
  -- New partitions and children, and triggers that were enabled without ALWAYS.
  FOR v_at IN
    WITH RECURSIVE tree (id, relid) AS (
      SELECT a.id, a.relation::oid FROM objectlink.attachment a
        JOIN pg_attribute c ON c.attrelid = a.relation AND c.attnum = a.attnum AND NOT c.attisdropped
        WHERE a.detached_at IS NULL
      UNION SELECT t.id, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid
    )
    SELECT DISTINCT t.id FROM tree t
    JOIN pg_class c ON c.oid = t.relid AND c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
    WHERE (SELECT count(*) FROM pg_trigger g WHERE g.tgrelid = t.relid AND g.tgenabled IN ('A', 'D') AND g.tgname IN
           (format('objectlink_insert_%s', t.id), format('objectlink_delete_%s', t.id),
            format('objectlink_update_%s', t.id), format('objectlink_truncate_%s', t.id))) < 4
  LOOP
    PERFORM objectlink.complete_triggers(v_at.id);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.on_table_change() IS 'event trigger: completes the triggers of attached tables after CREATE TABLE and ALTER TABLE';

CREATE EVENT TRIGGER objectlink_table_change ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE')
  EXECUTE FUNCTION objectlink.on_table_change();
COMMENT ON EVENT TRIGGER objectlink_table_change IS 'keeps the triggers of attached tables right when tables change';

CREATE FUNCTION objectlink.on_server_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_name name;
BEGIN
  SELECT s.name INTO v_name FROM objectlink.server s WHERE s.name ~ '[/[:cntrl:]]' LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'invalid name of a store: "%"', v_name USING ERRCODE = 'invalid_name',
      DETAIL = 'In a reference s3://<store>/<key> the name ends at the first slash, and it holds no control characters.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.on_server_change() IS 'event trigger: refuses names of servers that no reference could name';

CREATE EVENT TRIGGER objectlink_server_change ON ddl_command_end
  WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER')
  EXECUTE FUNCTION objectlink.on_server_change();
COMMENT ON EVENT TRIGGER objectlink_server_change IS 'refuses names of servers that no reference could name';
