-- Stores: one bucket (and prefix) behind one endpoint. The settings are the foreign server's options;
-- this table only gives each name a small lasting number and holds what the daemon found about it.

CREATE TABLE objectlink.store (
  id            int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name          name NOT NULL UNIQUE,
  status        text NOT NULL DEFAULT 'ok' CHECK (status IN ('ok', 'paused')),
  status_since  timestamptz NOT NULL DEFAULT now(),
  half_open_since timestamptz,
  error_class   text,
  error_code    text,
  error_message text,
  held_at        timestamptz,
  hold_reason    text,
  braked_at      timestamptz,
  brake_reason   text,
  window_at      timestamptz,
  window_begun   bigint NOT NULL DEFAULT 0,
  window_allowed bigint NOT NULL DEFAULT 0,
  window_known   bigint,
  due_counted_at timestamptz
);
COMMENT ON TABLE objectlink.store IS 'every store that was ever referred to: its lasting number, and whether the daemon finds it usable';
COMMENT ON COLUMN objectlink.store.id IS 'lasting number; also the advisory lock key of the store''s owner';
COMMENT ON COLUMN objectlink.store.name IS 'name of the foreign server that holds the settings';
COMMENT ON COLUMN objectlink.store.status IS 'ok, or paused: the daemon waits before it asks this store again';
COMMENT ON COLUMN objectlink.store.half_open_since IS 'paused: since when one request finds out whether that is over; NULL: nothing is sent';
COMMENT ON COLUMN objectlink.store.error_message IS 'why the store is paused';
COMMENT ON COLUMN objectlink.store.held_at IS 'since when an admin holds all deletions of this store; NULL: not held';
COMMENT ON COLUMN objectlink.store.hold_reason IS 'why they are held';
COMMENT ON COLUMN objectlink.store.braked_at IS 'since when the brake holds all deletions of this store; NULL: not braked';
COMMENT ON COLUMN objectlink.store.brake_reason IS 'which limit was passed, and by how much';
COMMENT ON COLUMN objectlink.store.window_at IS 'brake: when the time began in which deletions are counted';
COMMENT ON COLUMN objectlink.store.window_begun IS 'brake: deletions begun since then, less those taken back';
COMMENT ON COLUMN objectlink.store.window_allowed IS 'brake: how many more than the limits a person has allowed';
COMMENT ON COLUMN objectlink.store.window_known IS 'brake: the most objects the store had since then, as far as they were counted';
COMMENT ON COLUMN objectlink.store.due_counted_at IS 'brake: when it was last counted how many objects are due';

-- The servers of this wrapper, with their options as jsonb.
CREATE VIEW objectlink.server AS
SELECT s.oid, s.srvname AS name, s.srvowner AS owner,
       coalesce((SELECT jsonb_object_agg(o.option_name, o.option_value)
                 FROM pg_catalog.pg_options_to_table(s.srvoptions) o), '{}') AS options
FROM pg_catalog.pg_foreign_server s
JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
WHERE w.fdwname = 'objectlink';
COMMENT ON VIEW objectlink.server IS 'foreign servers of wrapper objectlink, options as jsonb (never a secret)';

-- Small look-ups like the following are in PL/pgSQL and keep one plan: in SQL they would be planned at every call, and
-- under a caller's plan_cache_mode too, which costs several times what they do.
CREATE FUNCTION objectlink.store_id(p_name name) RETURNS int
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_id int;
BEGIN
  SELECT id INTO v_id FROM objectlink.store WHERE name = p_name;
  IF NOT FOUND THEN
    INSERT INTO objectlink.store (name) VALUES (p_name) ON CONFLICT (name) DO NOTHING;
    SELECT id INTO v_id FROM objectlink.store WHERE name = p_name;
  END IF;
  RETURN v_id;
END $$;
COMMENT ON FUNCTION objectlink.store_id(name) IS 'lasting number of a store, given at first use';

CREATE FUNCTION objectlink.store_option(p_store name, p_option text) RETURNS text
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN (SELECT s.options ->> p_option FROM objectlink.server s WHERE s.name = p_store);
END $$;
COMMENT ON FUNCTION objectlink.store_option(name, text) IS 'one option of a store as written, NULL if not set';

-- A prefix always ends in a slash: 'images' must never swallow 'images2'.
CREATE FUNCTION objectlink.store_prefix(p_store name) RETURNS text
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_prefix text := coalesce(objectlink.store_option(p_store, 'prefix'), '');
BEGIN
  RETURN CASE WHEN v_prefix = '' OR right(v_prefix, 1) = '/' THEN v_prefix ELSE v_prefix || '/' END;
END $$;
COMMENT ON FUNCTION objectlink.store_prefix(name) IS 'key prefix of a store: empty, or ending in a slash';

-- Whatever a row says: a key elsewhere in the bucket belongs to somebody else and is not to be touched.
CREATE FUNCTION objectlink.key_is_ours(p_prefix text, p_key text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN starts_with(p_key, p_prefix) AND length(p_key) > length(p_prefix) AND NOT starts_with(p_key, '.objectlink/');
COMMENT ON FUNCTION objectlink.key_is_ours(text, text) IS 'whether a key lies below its store''s prefix and not among objectlink''s own';

CREATE FUNCTION objectlink.store_settings() RETURNS TABLE (store_id int, store name, options jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.store_id(s.name) FROM objectlink.server s
    WHERE NOT EXISTS (SELECT FROM objectlink.store t WHERE t.name = s.name);
  RETURN QUERY SELECT t.id, t.name, s.options FROM objectlink.store t JOIN objectlink.server s USING (name) ORDER BY t.id;
END $$;
COMMENT ON FUNCTION objectlink.store_settings() IS 'for the daemon: every store that has a foreign server, with its options';

CREATE FUNCTION objectlink.store_status(p_store int, OUT status text, OUT error_class text, OUT error_code text, OUT error_message text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  SELECT s.status, s.error_class, s.error_code, s.error_message INTO status, error_class, error_code, error_message
    FROM objectlink.store s WHERE s.id = p_store;
END $$;
COMMENT ON FUNCTION objectlink.store_status(int) IS 'for the owner of a store: whether the one before has left it paused, and why';

CREATE FUNCTION objectlink.set_store_status(p_store int, p_epoch bigint, p_status text,
  p_class text, p_code text, p_message text, p_half_open boolean DEFAULT false) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_was objectlink.store;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  SELECT * INTO v_was FROM objectlink.store WHERE id = p_store FOR UPDATE;
  UPDATE objectlink.store
    SET status = p_status, error_class = p_class, error_code = p_code, error_message = p_message,
        status_since = CASE WHEN status = p_status THEN status_since ELSE clock_timestamp() END,
        half_open_since = CASE WHEN p_half_open THEN coalesce(half_open_since, clock_timestamp()) END
    WHERE id = p_store;
  IF (v_was.status, v_was.error_code) IS DISTINCT FROM (p_status, p_code) THEN
    INSERT INTO objectlink.event (store_id, cause, detail)
    VALUES (p_store, 'store ' || p_status,
            jsonb_strip_nulls(jsonb_build_object('class', p_class, 'code', p_code, 'message', p_message)));
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.set_store_status(int, bigint, text, text, text, text, boolean) IS 'for the daemon: records that a store is paused (and why, and whether a probe is under way) or usable again';
