-- How much of its time may a run take? All of it while nobody else is at work, a share beside others: a comparison of millions of
-- keys keeps a core of the database busy, which users would notice in every statement.

CREATE FUNCTION objectlink.reconcile_share() RETURNS double precision
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(nullif(current_setting('objectlink.reconcile_share', true), '')::double precision, 0.1)
$$;
COMMENT ON FUNCTION objectlink.reconcile_share() IS 'setting objectlink.reconcile_share: the share of its time, up to 1, that a run works beside other sessions';

-- Who waits for a lock, for a client, or for a run (which is asleep between its looks) takes nothing from anybody; nor do
-- daemons count, which work for the same stores.
CREATE FUNCTION objectlink.others_at_work() RETURNS boolean
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT EXISTS (
    SELECT FROM pg_stat_get_activity(NULL) a
    WHERE a.backend_type = 'client backend' AND a.state = 'active' AND a.pid <> pg_backend_pid()
      AND coalesce(a.wait_event_type, '') NOT IN ('Lock', 'Client', 'Timeout', 'Activity', 'Extension')
      AND a.usesysid <> (SELECT r.oid FROM pg_roles r WHERE r.rolname = session_user))
$$;
COMMENT ON FUNCTION objectlink.others_at_work() IS 'whether a session of another role executes something at this moment, in any database of the cluster';

CREATE FUNCTION objectlink.run_share() RETURNS double precision
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN objectlink.others_at_work() THEN least(greatest(objectlink.reconcile_share(), 0.01), 1) ELSE 1 END
$$;
COMMENT ON FUNCTION objectlink.run_share() IS 'for the owner of a store: the share of its time that a run may work now, from 0.01 to 1';
