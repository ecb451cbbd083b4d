-- Daemons and what they own: one advisory lock per store, and lock 0 for the drainer of this database.
-- The lock says who owns now; the row says since when, and whether the one before let go cleanly.

CREATE TABLE objectlink.worker (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name       text NOT NULL,
  version    text NOT NULL,
  process    text NOT NULL,
  pid        int NOT NULL DEFAULT pg_backend_pid(),
  started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
COMMENT ON TABLE objectlink.worker IS 'daemons that connected; which of them live shows in view workers';
COMMENT ON COLUMN objectlink.worker.process IS 'boot, process namespace, process and its start: by it a daemon on the same host sees that another one is dead';
COMMENT ON COLUMN objectlink.worker.pid IS 'process id of its session in this server';

CREATE TABLE objectlink.owner (
  resource    int PRIMARY KEY,
  epoch       bigint NOT NULL,
  worker_id   bigint NOT NULL,
  acquired_at timestamptz NOT NULL,
  released_at timestamptz,
  unclean_at  timestamptz
);
COMMENT ON TABLE objectlink.owner IS 'who owns (or last owned) a store, or (resource 0) the outbox';
COMMENT ON COLUMN objectlink.owner.epoch IS 'grows with each owner; work of an older epoch is refused';
COMMENT ON COLUMN objectlink.owner.unclean_at IS 'when it was last taken over from an owner that had not released it: what that one sent may still arrive';
COMMENT ON COLUMN objectlink.owner.released_at IS 'set by a clean release; NULL when the last owner vanished or still lives';

-- Locks of objectlink's own kind, which only these functions take: any role may take pg_advisory_lock(), and hold up whoever relies on it.
CREATE FUNCTION objectlink.own_lock_kind() RETURNS int
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_own_lock_kind';
COMMENT ON FUNCTION objectlink.own_lock_kind() IS 'objsubid, in pg_locks, of the advisory locks that only objectlink takes';
CREATE FUNCTION objectlink.take_lock(class int, id int, shared boolean, for_session boolean, at_once boolean) RETURNS boolean
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'objectlink_take_lock';
COMMENT ON FUNCTION objectlink.take_lock(int, int, boolean, boolean, boolean) IS 'takes an advisory lock of objectlink''s own, for the session or the transaction; false: it would have had to wait and was not to';
CREATE FUNCTION objectlink.give_lock_back(class int, id int) RETURNS boolean
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'objectlink_give_lock_back';
COMMENT ON FUNCTION objectlink.give_lock_back(int, int) IS 'gives back one that the session holds alone';

-- Named limits of the protocol; the daemon asks for them, so that both sides agree.
CREATE FUNCTION objectlink.lock_class() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1869376619 $$;
COMMENT ON FUNCTION objectlink.lock_class() IS 'first key of the advisory locks that owners hold; the second is the resource';
CREATE FUNCTION objectlink.worker_lock_class() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1869376620 $$;
COMMENT ON FUNCTION objectlink.worker_lock_class() IS 'first key of the advisory lock by which a worker shows that it lives';
CREATE FUNCTION objectlink.lease() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '10 seconds' $$;
COMMENT ON FUNCTION objectlink.lease() IS 'a daemon starts a request only within this time of the start of its last good round trip';
CREATE FUNCTION objectlink.signature_window() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '16 minutes' $$;
COMMENT ON FUNCTION objectlink.signature_window() IS 'how long after its signing a store may still accept a request (15 minutes, and one for the clocks)';
CREATE FUNCTION objectlink.reservation_time() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '24 hours' $$;
COMMENT ON FUNCTION objectlink.reservation_time() IS 'how long the content of put() waits for a row to link it';

CREATE FUNCTION objectlink.register_worker(p_name text, p_version text, p_process text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_id bigint;
BEGIN
  DELETE FROM objectlink.worker w
    WHERE w.id NOT IN (SELECT worker_id FROM objectlink.owner)
      AND NOT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = objectlink.own_lock_kind()
                      AND l.classid = objectlink.worker_lock_class()::oid AND l.objid = w.id::oid
                      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()));
  INSERT INTO objectlink.worker (name, version, process) VALUES (p_name, p_version, p_process) RETURNING id INTO v_id;
  PERFORM objectlink.take_lock(objectlink.worker_lock_class(), v_id::int, shared => false, for_session => true, at_once => false);
  RETURN v_id;
END $$;
COMMENT ON FUNCTION objectlink.register_worker(text, text, text) IS 'for the daemon: enters itself; its session holds a lock from then on';

CREATE FUNCTION objectlink.acquire(p_resource int, p_worker bigint, OUT epoch bigint, OUT wait_ms bigint, OUT last_process text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_last objectlink.owner;
  v_request_time interval := coalesce((SELECT objectlink.store_option(name, 'request_timeout')::interval
                                       FROM objectlink.store WHERE id = p_resource), interval '60 seconds');
BEGIN
  IF NOT objectlink.take_lock(objectlink.lock_class(), p_resource, shared => false, for_session => true, at_once => true) THEN
    RETURN;  -- somebody lives and owns it: epoch stays NULL
  END IF;
  SELECT * INTO v_last FROM objectlink.owner WHERE resource = p_resource;
  SELECT w.process INTO last_process FROM objectlink.worker w WHERE w.id = v_last.worker_id;
  -- The outbox needs no wait: its work is all inside the database.
  wait_ms := CASE WHEN p_resource = 0 OR v_last IS NULL OR v_last.released_at IS NOT NULL THEN 0
             ELSE extract(epoch FROM objectlink.lease() + v_request_time) * 1000 END;
  INSERT INTO objectlink.owner AS o (resource, epoch, worker_id, acquired_at)
    VALUES (p_resource, 1, p_worker, clock_timestamp())
    ON CONFLICT (resource) DO UPDATE
    SET epoch = o.epoch + 1, worker_id = p_worker, acquired_at = clock_timestamp(), released_at = NULL,
        unclean_at = CASE WHEN o.released_at IS NULL THEN clock_timestamp() ELSE o.unclean_at END
    RETURNING o.epoch INTO acquire.epoch;
END $$;
COMMENT ON FUNCTION objectlink.acquire(int, bigint) IS 'for the daemon: tries to own a store (or 0, the outbox); says how long to wait for what the owner before may still have under way (not at all when its process is known to be dead)';

CREATE FUNCTION objectlink.release(p_resource int, p_epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UPDATE objectlink.owner SET released_at = clock_timestamp() WHERE resource = p_resource AND epoch = p_epoch;
END $$;
COMMENT ON FUNCTION objectlink.release(int, bigint) IS 'for the daemon: says that nothing of it is under way any more; the lock goes with unlock or the session';

CREATE FUNCTION objectlink.unlock(p_resource int) RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT objectlink.give_lock_back(objectlink.lock_class(), p_resource)
$$;
COMMENT ON FUNCTION objectlink.unlock(int) IS 'for the daemon: gives up the lock of a resource it released';

CREATE FUNCTION objectlink.assert_owner(p_resource int, p_epoch bigint) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM objectlink.owner WHERE resource = p_resource AND epoch = p_epoch AND released_at IS NULL) THEN
    RAISE EXCEPTION 'epoch % of resource % is over', p_epoch, p_resource
      USING ERRCODE = 'object_not_in_prerequisite_state',
            DETAIL = 'Another daemon has taken it over, or it was released.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.assert_owner(int, bigint) IS 'refuses work of an owner that was replaced';
