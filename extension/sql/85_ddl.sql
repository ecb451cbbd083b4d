-- Event triggers keep the triggers of attached tables right when tables change.

CREATE FUNCTION objectlink.on_table_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_at record;
BEGIN
  -- A renamed column: its triggers name it.
  FOR v_at IN
    SELECT a.id, c.attname FROM objectlink.attachment a
    JOIN pg_attribute c ON c.attrelid = a.relation AND c.attnum = a.attnum AND NOT c.attisdropped
    WHERE a.detached_at IS NULL AND c.attname <> a.column_name
  LOOP
    PERFORM objectlink.drop_triggers(v_at.id);
    UPDATE objectlink.attachment SET column_name = v_at.attname WHERE id = v_at.id;
    PERFORM objectlink.create_triggers(v_at.id);
  END LOOP;
  -- New partitions and children.
  FOR v_at IN
    WITH RECURSIVE tree (id, relid) AS (
      SELECT a.id, a.relation::oid FROM objectlink.attachment a
        WHERE a.detached_at IS NULL AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhparent = a.relation)
      UNION SELECT t.id, i.inhrelid FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid
    )
    SELECT DISTINCT t.id FROM tree t JOIN pg_class c ON c.oid = t.relid AND c.relkind IN ('r', 'p')
    WHERE NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relid AND g.tgname = format('objectlink_truncate_%s', t.id))
       OR EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = t.relid AND g.tgname LIKE format('objectlink\_%%\_%s', t.id) AND g.tgenabled <> 'A')
  LOOP
    PERFORM objectlink.complete_triggers(v_at.id);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.on_table_change() IS 'event trigger: completes the triggers of attached tables after CREATE TABLE and ALTER TABLE';

CREATE EVENT TRIGGER objectlink_table_change ON ddl_command_end
  WHEN TAG IN ('CREATE TABLE', 'ALTER TABLE')
  EXECUTE FUNCTION objectlink.on_table_change();
COMMENT ON EVENT TRIGGER objectlink_table_change IS 'keeps the triggers of attached tables right when tables change';
