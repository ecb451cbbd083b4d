-- Which changes of servers are refused, and which fence a store? All that would make objectlink look for objects, or delete
-- them, at a place that is not theirs.

-- The names before the command: afterwards nobody knows what a renamed server was called. A setting of the transaction holds
-- them, because an event trigger has no other memory.
CREATE FUNCTION objectlink.before_server_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM set_config('objectlink_ddl.servers', (SELECT coalesce(jsonb_object_agg(s.oid, s.name), '{}')::text FROM objectlink.server s), true);
END $$;
COMMENT ON FUNCTION objectlink.before_server_change() IS 'event trigger: remembers the names of servers before one is altered';

CREATE FUNCTION objectlink.refuse_rename(p_server oid, p_name name) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_was name := nullif(current_setting('objectlink_ddl.servers', true), '')::jsonb ->> p_server::text;
  v_use text;
BEGIN
  IF v_was IS NULL OR v_was = p_name THEN
    RETURN;
  END IF;
  v_use := objectlink.store_use(v_was);
  IF v_use IS NOT NULL THEN
    RAISE EXCEPTION 'store "%" cannot be renamed', v_was USING ERRCODE = 'dependent_objects_still_exist',
      DETAIL = v_use, HINT = 'References hold the name of their store, so it stays as long as there are any.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.refuse_rename(oid, name) IS 'refuses a server''s new name while something refers to it by the old one';

CREATE FUNCTION objectlink.refuse_overlap(p_name name) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_other name;
BEGIN
  SELECT o.name INTO v_other
  FROM objectlink.server s, objectlink.store_place(s.options) p, objectlink.server o, objectlink.store_place(o.options) q
  WHERE s.name = p_name AND o.name <> p_name AND p.site = q.site AND (starts_with(p.prefix, q.prefix) OR starts_with(q.prefix, p.prefix))
  ORDER BY o.name LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'stores "%" and "%" would overlap', p_name, v_other USING ERRCODE = 'object_in_use',
      DETAIL = 'They name the same bucket, and the prefix of one lies within that of the other: each would delete the other''s objects.',
      HINT = 'Give them different buckets, or prefixes neither of which begins with the other.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.refuse_overlap(name) IS 'refuses a server whose objects would lie among those of another one';

CREATE FUNCTION objectlink.on_server_change() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_server record;
BEGIN
  FOR v_server IN
    SELECT s.oid, s.name FROM pg_event_trigger_ddl_commands() c JOIN objectlink.server s ON s.oid = c.objid
    WHERE c.classid = 'pg_foreign_server'::regclass
  LOOP
    IF v_server.name ~ '[/[:cntrl:]]' THEN
      RAISE EXCEPTION 'invalid name of a store: "%"', v_server.name USING ERRCODE = 'invalid_name',
        DETAIL = 'In a reference s3://<store>/<key> the name ends at the first slash, and it holds no control characters.';
    END IF;
    IF tg_tag = 'ALTER SERVER' THEN
      PERFORM objectlink.refuse_rename(v_server.oid, v_server.name);
    END IF;
    PERFORM objectlink.refuse_overlap(v_server.name);
    PERFORM objectlink.follow_place(t.id) FROM objectlink.store t WHERE t.name = v_server.name;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.on_server_change() IS 'event trigger: refuses servers that no reference could name, that overlap, or that are renamed in use; fences those that were moved';

CREATE FUNCTION objectlink.on_server_drop() RETURNS event_trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_name name;
  v_use text;
BEGIN
  FOR v_name IN SELECT d.object_name FROM pg_event_trigger_dropped_objects() d WHERE d.object_type = 'server'
  LOOP
    v_use := objectlink.store_use(v_name);
    IF v_use IS NOT NULL THEN
      RAISE EXCEPTION 'store "%" cannot be dropped', v_name USING ERRCODE = 'dependent_objects_still_exist',
        DETAIL = v_use, HINT = 'Delete the rows, detach the columns, and wait until the objects are gone.';
    END IF;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.on_server_drop() IS 'event trigger: refuses to drop a server while something refers to its objects';

CREATE EVENT TRIGGER objectlink_server_before ON ddl_command_start
  WHEN TAG IN ('ALTER SERVER') EXECUTE FUNCTION objectlink.before_server_change();
COMMENT ON EVENT TRIGGER objectlink_server_before IS 'remembers the names of servers before one is altered';

CREATE EVENT TRIGGER objectlink_server_change ON ddl_command_end
  WHEN TAG IN ('CREATE SERVER', 'ALTER SERVER') EXECUTE FUNCTION objectlink.on_server_change();
COMMENT ON EVENT TRIGGER objectlink_server_change IS 'refuses dangerous changes of servers, and fences stores whose server was moved';

-- Not for DROP EXTENSION, which takes everything with it.
CREATE EVENT TRIGGER objectlink_server_drop ON sql_drop
  WHEN TAG IN ('DROP SERVER', 'DROP OWNED') EXECUTE FUNCTION objectlink.on_server_drop();
COMMENT ON EVENT TRIGGER objectlink_server_drop IS 'refuses to drop a server while something refers to its objects';
