-- Ownership of a place in a bucket: the marker object says which database owns it. Here is this database's side: who it is,
-- what it last wrote there, whether it may delete now, and whether a store is fenced. The daemon reads and writes the marker
-- itself (sidecar/ownership.cpp) and decides what it means (sidecar/marker.cpp).

-- Not dumped: a restored dump is another installation.
CREATE TABLE objectlink.install (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  id     uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO objectlink.install DEFAULT VALUES;
COMMENT ON TABLE objectlink.install IS 'one row: the number that CREATE EXTENSION gave this database';

-- Dumped, so that a copy knows that it is one.
CREATE TABLE objectlink.marker (
  store_id     int PRIMARY KEY,
  place        text COLLATE "C",
  recorded     jsonb NOT NULL,
  epoch        bigint NOT NULL DEFAULT 0,
  nonces       text[] NOT NULL DEFAULT '{}',
  begun_at     timestamptz,
  confirmed_at timestamptz,
  etag         text,
  conditional  boolean,
  lease_owner  bigint,
  lease_until  timestamptz,
  fence        text CHECK (fence IN ('copy', 'moved', 'behind', 'overtaken', 'foreign', 'replaced', 'missing', 'unreadable', 'overlap', 'altered')),
  fenced_at    timestamptz,
  theirs       jsonb,
  accepted     text,
  last_error   text,
  CONSTRAINT marker_fence CHECK ((fence IS NULL) = (fenced_at IS NULL)),
  -- Whoever is fenced holds no lease.
  CONSTRAINT marker_lease CHECK (fence IS NULL OR lease_until IS NULL)
);
COMMENT ON TABLE objectlink.marker IS 'what this database knows of the marker that says who owns a store''s place in the bucket';
COMMENT ON COLUMN objectlink.marker.place IS 'endpoint, bucket and prefix to which all of this refers; NULL: not complete yet';
COMMENT ON COLUMN objectlink.marker.recorded IS 'identity of the database when it last used the place: a copy has another one';
COMMENT ON COLUMN objectlink.marker.epoch IS 'grows with each write of the marker, and is committed before it: an older state of the database shows a smaller one';
COMMENT ON COLUMN objectlink.marker.nonces IS 'of the last writes, newest last: by them the daemon knows its own, lost replies included';
COMMENT ON COLUMN objectlink.marker.begun_at IS 'when the last write began';
COMMENT ON COLUMN objectlink.marker.confirmed_at IS 'when the marker was last seen to be ours; NULL: never at this place';
COMMENT ON COLUMN objectlink.marker.conditional IS 'whether the store refuses a write whose condition fails; false: ownership is weaker there; NULL: not known yet';
COMMENT ON COLUMN objectlink.marker.lease_owner IS 'epoch of the store''s owner that holds the lease';
COMMENT ON COLUMN objectlink.marker.lease_until IS 'until then that owner may delete; NULL: nobody may';
COMMENT ON COLUMN objectlink.marker.fence IS 'why nothing is deleted or uploaded until somebody decides; NULL: it is not fenced';
COMMENT ON COLUMN objectlink.marker.theirs IS 'the marker that was found in the bucket when the store was fenced';
COMMENT ON COLUMN objectlink.marker.accepted IS 'which of these adopt_store() said to take over';
COMMENT ON COLUMN objectlink.marker.last_error IS 'why the marker could not be read or written the last time';

CREATE FUNCTION objectlink.marker_lease() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '60 seconds' $$;
COMMENT ON FUNCTION objectlink.marker_lease() IS 'how long a written marker lets its owner delete';
CREATE FUNCTION objectlink.marker_nonces_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 20 $$;
COMMENT ON FUNCTION objectlink.marker_nonces_max() IS 'how many of its own writes of a marker a database remembers';

-- A file of the server's host, or NULL: without it ownership is decided by the rest.
CREATE FUNCTION objectlink.host_file(p_path text) RETURNS text
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN nullif(btrim(pg_read_file(p_path), E' \n'), '');
EXCEPTION WHEN OTHERS THEN
  RETURN NULL;
END $$;
COMMENT ON FUNCTION objectlink.host_file(text) IS 'a small text file of the server''s host, NULL if it can''t be read';

-- Who is this database? install, system and database tell copies apart, the timeline tells promotions, and host, port and
-- directory (the seat) tell clones that kept all of these. It is the server's host, wherever the daemon runs.
CREATE FUNCTION objectlink.identity() RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN jsonb_build_object(
    'install', (SELECT i.id FROM objectlink.install i),
    'system', (SELECT c.system_identifier::text FROM pg_control_system() c),
    'database', (SELECT d.oid::bigint FROM pg_database d WHERE d.datname = current_database()),
    'name', current_database(),
    -- Of the log that is written now: the control file learns of a promotion only with the next checkpoint.
    'timeline', ('x' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8))::bit(32)::int,
    'host', coalesce(objectlink.host_file('/proc/sys/kernel/hostname'), objectlink.host_file('/etc/hostname')),
    'port', current_setting('port')::int,
    'directory', current_setting('data_directory'),
    'boot', objectlink.host_file('/proc/sys/kernel/random/boot_id'));
END $$;
COMMENT ON FUNCTION objectlink.identity() IS 'who this database is: what a marker says of its owner';

-- The same place has the same text: host in lower case, no default port, no slash at the end. http and https of one host are
-- one place.
CREATE FUNCTION objectlink.store_place(p_options jsonb, OUT site text, OUT prefix text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT regexp_replace(regexp_replace(regexp_replace(lower(p_options ->> 'endpoint'), ':0+([1-9])', ':\1'), '^(http://.*[^:]):80/*$|^(https://.*[^:]):443/*$', '\1\2'), '^https?://|/+$', '', 'g')
         || '/' || (p_options ->> 'bucket'),
         CASE WHEN coalesce(p_options ->> 'prefix', '') IN ('', '/') THEN ''
              ELSE regexp_replace(p_options ->> 'prefix', '([^/])$', '\1/') END
$$;
COMMENT ON FUNCTION objectlink.store_place(jsonb) IS 'where a server''s objects are: host and bucket, and the prefix there; NULL while endpoint or bucket lack';

CREATE FUNCTION objectlink.place_of(p_store name) RETURNS text
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN (SELECT p.site || '/' || p.prefix FROM objectlink.server s, objectlink.store_place(s.options) p WHERE s.name = p_store);
END $$;
COMMENT ON FUNCTION objectlink.place_of(name) IS 'where a store''s objects are, NULL while its server lacks endpoint or bucket, or is not there';

-- Does this database refer to objects of the store? Asked in the order of what is cheap and likely.
CREATE FUNCTION objectlink.store_use(p_store name) RETURNS text
LANGUAGE plpgsql VOLATILE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET lock_timeout = '5s' AS $$
DECLARE
  v_key text;
  v_column record;
BEGIN
  SELECT o.key INTO v_key FROM objectlink.store s JOIN objectlink.object o ON o.store_id = s.id WHERE s.name = p_store LIMIT 1;
  IF FOUND THEN
    RETURN format('It has objects, among them "%s".', v_key);
  END IF;
  SELECT q.key INTO v_key FROM objectlink.store s JOIN objectlink.quarantine q ON q.store_id = s.id WHERE s.name = p_store LIMIT 1;
  IF FOUND THEN
    RETURN format('It has objects in quarantine, among them "%s".', v_key);
  END IF;
  SELECT a.relation, a.column_name INTO v_column FROM objectlink.attachment a WHERE a.store = p_store AND a.detached_at IS NULL LIMIT 1;
  IF FOUND THEN
    RETURN format('Column "%s" of table %s is attached to it.', v_column.column_name, v_column.relation);
  END IF;
  PERFORM FROM objectlink.outbox b WHERE b.ref IS NOT NULL AND objectlink.store(b.ref) = p_store LIMIT 1;
  IF FOUND THEN
    RETURN 'Links to its objects were committed and are not applied yet.';
  END IF;
  -- Rows of columns that are not attached are in no registry.
  FOR v_column IN SELECT c.relid, c.column_name FROM objectlink.asked_column c WHERE c.store IS NULL LOOP
    IF cardinality(objectlink.ask_as_owner(v_column.relid,
         format('SELECT array_agg(x.found) FROM (SELECT ''x''::text AS found FROM %s t WHERE objectlink.store(t.%I::objectlink.storage_ref)::text OPERATOR(pg_catalog.=) ($1)[1] LIMIT 1) x',
                v_column.relid::regclass, v_column.column_name), ARRAY[p_store::text])) > 0 THEN
      RETURN format('Rows of table %s refer to its objects.', v_column.relid::regclass);
    END IF;
  END LOOP;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION objectlink.store_use(name) IS 'by what this database refers to objects of a store, as a sentence; NULL: by nothing';

CREATE FUNCTION objectlink.is_fenced(p_store int) RETURNS boolean
LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = p_store AND m.fence IS NOT NULL);
END $$;
COMMENT ON FUNCTION objectlink.is_fenced(int) IS 'whether nothing may be deleted from a store, or uploaded to it, until somebody decides';

-- Refuses what the daemon should not have asked for: it looks at its own clock first.
CREATE FUNCTION objectlink.assert_may_delete(p_store int, p_epoch bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
BEGIN
  -- FOR SHARE: nobody fences it between this look and the commit.
  PERFORM FROM objectlink.marker m
    WHERE m.store_id = p_store AND m.fence IS NULL AND m.lease_owner = p_epoch AND m.lease_until > clock_timestamp() FOR SHARE;
  IF FOUND THEN
    RETURN;
  END IF;
  IF objectlink.is_fenced(p_store) THEN
    RAISE EXCEPTION 'store "%" is fenced', v_store USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = (SELECT objectlink.fence_text(m.fence) FROM objectlink.marker m WHERE m.store_id = p_store),
      HINT = 'See view objectlink.markers.';
  END IF;
  RAISE EXCEPTION 'nothing may be deleted from store "%" now', v_store USING ERRCODE = 'object_not_in_prerequisite_state',
    DETAIL = 'The daemon does not hold the lease of its ownership marker.';
END $$;
COMMENT ON FUNCTION objectlink.assert_may_delete(int, bigint) IS 'refuses deletions from a store that is fenced, or whose marker''s lease this owner does not hold';

CREATE FUNCTION objectlink.fence_text(p_fence text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE p_fence
    WHEN 'copy' THEN 'This database is a copy of the one that owns the place (or was moved to another cluster by a dump or pg_upgrade).'
    WHEN 'moved' THEN 'This database runs at another place (host, port or data directory) than the one that owned it, without having been promoted: it may be a clone.'
    WHEN 'behind' THEN 'The marker is ahead of this database: it was restored to an earlier state, a failover lost transactions, or a clone has taken over.'
    WHEN 'overtaken' THEN 'A clone of this database, or another branch of its history, has taken over.'
    WHEN 'foreign' THEN 'The place belongs to another database, or to another store of this one.'
    WHEN 'replaced' THEN 'Another database has taken over the place, or somebody has overwritten the marker.'
    WHEN 'missing' THEN 'The marker is gone: somebody has removed it, or emptied the bucket.'
    WHEN 'unreadable' THEN 'The marker can''t be read: somebody has overwritten it, or a later version of objectlink wrote it.'
    WHEN 'overlap' THEN 'A place above or below this one in the same bucket belongs to another database, or to another store of this one.'
    WHEN 'altered' THEN 'Endpoint, bucket or prefix of the server were changed while it had objects.'
  END
$$;
COMMENT ON FUNCTION objectlink.fence_text(text) IS 'what has happened to a fenced store, as a sentence';

CREATE FUNCTION objectlink.fence_advice(p_fence text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN p_fence = 'altered' THEN 'Change the server back; or, if the objects are at the new place, call objectlink.adopt_store().'
    WHEN p_fence IN ('foreign', 'overlap') THEN 'Give the server another bucket or prefix; or, if the other database is gone for good, call objectlink.adopt_store().'
    WHEN p_fence IN ('copy', 'moved') THEN 'If this is a copy for tests, give the server another bucket. If the original is gone for good, call objectlink.adopt_store().'
    WHEN p_fence IS NOT NULL THEN 'Make sure that no other database works with this bucket, then call objectlink.adopt_store().'
  END
$$;
COMMENT ON FUNCTION objectlink.fence_advice(text) IS 'what to do about a fenced store, as a sentence';

-- One place for what follows from a change of a server, by whichever way it is noticed.
CREATE FUNCTION objectlink.follow_place(p_store int) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_place text := objectlink.place_of(v_store);
  v_marker objectlink.marker;
BEGIN
  SELECT * INTO v_marker FROM objectlink.marker m WHERE m.store_id = p_store FOR UPDATE;
  IF NOT FOUND OR v_place IS NULL THEN
    RETURN;
  END IF;
  IF v_place = v_marker.place THEN
    IF v_marker.fence = 'altered' THEN
      UPDATE objectlink.marker SET fence = NULL, fenced_at = NULL, theirs = NULL WHERE store_id = p_store;
      INSERT INTO objectlink.event (store_id, cause, detail) VALUES (p_store, 'store not fenced', jsonb_build_object('reason', 'changed back'));
    END IF;
  ELSIF v_marker.place IS NULL OR objectlink.store_use(v_store) IS NULL
        OR v_marker.confirmed_at IS NULL
           AND NOT EXISTS (SELECT FROM objectlink.object o WHERE o.store_id = p_store AND o.verified_at IS NOT NULL) THEN
    -- Nothing refers to the old place, or nothing was ever there, as after a slip of the pen: a fresh start. The marker there stays.
    UPDATE objectlink.marker
      SET place = v_place, recorded = objectlink.identity(), confirmed_at = NULL, etag = NULL, conditional = NULL,
          lease_until = NULL, fence = NULL, fenced_at = NULL, theirs = NULL, accepted = NULL, last_error = NULL
      WHERE store_id = p_store;
  ELSIF v_marker.fence IS DISTINCT FROM 'altered' THEN
    UPDATE objectlink.marker
      SET fence = 'altered', fenced_at = clock_timestamp(), theirs = NULL, accepted = NULL, lease_until = NULL WHERE store_id = p_store;
    INSERT INTO objectlink.event (store_id, cause, detail)
    VALUES (p_store, 'store fenced', jsonb_build_object('reason', 'altered', 'message', objectlink.fence_text('altered'),
            'was', v_marker.place, 'is', v_place));
  ELSE
    UPDATE objectlink.marker SET theirs = NULL WHERE store_id = p_store;  -- of yet another place
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.follow_place(int) IS 'fences a store whose server was changed to another place while it has objects, and lifts that when it is changed back';

CREATE FUNCTION objectlink.marker_state(p_store int, p_epoch bigint) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_marker objectlink.marker;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  INSERT INTO objectlink.marker (store_id, place, recorded)
    SELECT p_store, objectlink.place_of(v_store), objectlink.identity()
    WHERE NOT EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = p_store)
    ON CONFLICT (store_id) DO NOTHING;
  PERFORM objectlink.follow_place(p_store);
  SELECT * INTO v_marker FROM objectlink.marker m WHERE m.store_id = p_store;
  RETURN jsonb_build_object(
    'ours', objectlink.identity() || jsonb_build_object('store', v_store),
    'recorded', v_marker.recorded, 'epoch', v_marker.epoch, 'confirmed', v_marker.confirmed_at IS NOT NULL,
    -- What a store wrote whose server is gone, and which had the same place: its successor may go on there.
    'nonces', to_jsonb(v_marker.nonces || coalesce((
      SELECT array_agg(n) FROM objectlink.marker m JOIN objectlink.store s ON s.id = m.store_id, unnest(m.nonces) n
      WHERE m.place = v_marker.place AND m.store_id <> p_store
        AND NOT EXISTS (SELECT FROM objectlink.server v WHERE v.name = s.name)), '{}')),
    'accepted', coalesce(v_marker.accepted, ''), 'fence', coalesce(v_marker.fence, ''), 'looked', v_marker.theirs IS NOT NULL);
END $$;
COMMENT ON FUNCTION objectlink.marker_state(int, bigint) IS 'for the owner of a store: who this database is, and what it knows of the store''s marker';

-- The epoch must be durable before the marker says it: then every earlier state of this database has a smaller one.
CREATE FUNCTION objectlink.begin_marker(p_store int, p_epoch bigint, p_release boolean DEFAULT false) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_nonce text := gen_random_uuid();
  v_marker objectlink.marker;
BEGIN
  IF current_setting('synchronous_commit') IN ('off', 'local', 'remote_write') THEN
    RAISE EXCEPTION 'begin_marker() needs synchronous_commit at least on' USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  UPDATE objectlink.marker m
    SET epoch = m.epoch + 1, nonces = (m.nonces || v_nonce)[greatest(1, cardinality(m.nonces) + 2 - objectlink.marker_nonces_max()):],
        begun_at = clock_timestamp(), lease_until = CASE WHEN NOT p_release THEN m.lease_until END
    WHERE m.store_id = p_store AND m.fence IS NULL
    RETURNING * INTO v_marker;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'store "%" is fenced', v_store USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
  RETURN objectlink.identity() || jsonb_build_object(
    'format', 1, 'store', v_store, 'place', v_marker.place, 'epoch', v_marker.epoch, 'nonce', v_nonce, 'written_at', v_marker.begun_at,
    'lease_ms', CASE WHEN p_release THEN 0 ELSE (extract(epoch FROM objectlink.marker_lease()) * 1000)::bigint END,
    -- After the lease nothing is begun, but what was begun may take this long.
    'request_ms', (extract(epoch FROM coalesce(objectlink.store_option(v_store, 'request_timeout')::interval, '60 seconds')) * 1000)::bigint);
END $$;
COMMENT ON FUNCTION objectlink.begin_marker(int, bigint, boolean) IS 'for the owner of a store: counts the epoch up and returns the marker to write; release: it says that nothing is being deleted any more';

CREATE FUNCTION objectlink.confirm_marker(p_store int, p_epoch bigint, p_nonce text, p_etag text, p_conditional boolean) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  UPDATE objectlink.marker m
    SET confirmed_at = clock_timestamp(), recorded = objectlink.identity(), etag = p_etag, conditional = p_conditional,
        lease_owner = p_epoch, lease_until = m.begun_at + objectlink.marker_lease(), theirs = NULL, accepted = NULL, last_error = NULL
    WHERE m.store_id = p_store AND m.fence IS NULL AND m.nonces[cardinality(m.nonces)] = p_nonce;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'the marker of store % is no longer this one', p_store USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'It was fenced, or written again, meanwhile.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.confirm_marker(int, bigint, text, text, boolean) IS 'for the owner of a store: the marker was read back as it was written, so deletions may begin';

CREATE FUNCTION objectlink.fail_marker(p_store int, p_epoch bigint, p_message text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  UPDATE objectlink.marker SET last_error = p_message WHERE store_id = p_store AND last_error IS DISTINCT FROM p_message;
END $$;
COMMENT ON FUNCTION objectlink.fail_marker(int, bigint, text) IS 'for the owner of a store: why its marker could not be read or written';

CREATE FUNCTION objectlink.fence_store(p_store int, p_epoch bigint, p_fence text, p_theirs jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_was objectlink.marker;
  v_text text := concat_ws(' ', objectlink.fence_text(p_fence), objectlink.fence_advice(p_fence));
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  SELECT * INTO STRICT v_was FROM objectlink.marker m WHERE m.store_id = p_store FOR UPDATE;
  UPDATE objectlink.marker
    SET fence = p_fence, fenced_at = CASE WHEN fence = p_fence THEN fenced_at ELSE clock_timestamp() END,
        theirs = coalesce(p_theirs, theirs), accepted = NULL, lease_until = NULL
    WHERE store_id = p_store;
  IF v_was.fence IS DISTINCT FROM p_fence THEN
    INSERT INTO objectlink.event (store_id, cause, detail)
    VALUES (p_store, 'store fenced', jsonb_strip_nulls(jsonb_build_object('reason', p_fence, 'message', objectlink.fence_text(p_fence),
            'ours', objectlink.identity() || jsonb_build_object('epoch', v_was.epoch), 'theirs', p_theirs)));
  END IF;
  RETURN v_text;
END $$;
COMMENT ON FUNCTION objectlink.fence_store(int, bigint, text, jsonb) IS 'for the owner of a store: stops deletions and uploads until somebody decides; returns what to tell him';

CREATE FUNCTION objectlink.adopt_store(store name, dry_run boolean DEFAULT false,
  OUT reason text, OUT ours jsonb, OUT theirs jsonb, OUT adopted boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_id int := (SELECT s.id FROM objectlink.store s WHERE s.name = adopt_store.store);
  v_marker objectlink.marker;
BEGIN
  IF store IS NULL THEN
    RAISE EXCEPTION 'store must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF objectlink.place_of(store) IS NULL THEN
    RAISE EXCEPTION 'store "%" does not exist', store USING ERRCODE = 'undefined_object',
      HINT = 'It is a foreign server of the wrapper objectlink, with endpoint and bucket.';
  END IF;
  SELECT * INTO v_marker FROM objectlink.marker m WHERE m.store_id = v_id FOR UPDATE;
  IF NOT FOUND OR v_marker.fence IS NULL THEN
    RAISE EXCEPTION 'store "%" is not fenced', store USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'There is nothing to take over.';
  END IF;
  IF v_marker.theirs IS NULL THEN
    -- Nobody may take over what he has not been shown.
    RAISE EXCEPTION 'the marker of store "%" has not been read yet', store USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = coalesce('The last try said: ' || v_marker.last_error, 'A daemon reads it.'),
      HINT = 'Start objectlinkd for this database, wait until objectlink.markers shows what it found, and try again.';
  END IF;
  reason := v_marker.fence;
  ours := objectlink.identity() || jsonb_build_object('store', store, 'epoch', v_marker.epoch, 'place', objectlink.place_of(store));
  theirs := v_marker.theirs;
  RAISE NOTICE 'store "%": %', store, objectlink.fence_text(reason)
    USING DETAIL = format(E'This database: %s\nFound in the bucket: %s', ours, theirs);
  adopted := NOT dry_run;
  IF dry_run THEN
    RETURN;
  END IF;
  UPDATE objectlink.marker m
    SET fence = NULL, fenced_at = NULL, accepted = v_marker.theirs ->> 'fingerprint', recorded = objectlink.identity(),
        place = objectlink.place_of(adopt_store.store), lease_until = NULL, last_error = NULL,
        epoch = greatest(m.epoch, coalesce((v_marker.theirs ->> 'epoch')::bigint, 0))
    WHERE m.store_id = v_id;
  INSERT INTO objectlink.event (store_id, cause, detail)
  VALUES (v_id, 'store adopted', jsonb_build_object('reason', reason, 'ours', ours, 'theirs', theirs));
END $$;
COMMENT ON FUNCTION objectlink.adopt_store(name, boolean) IS 'takes a fenced store over, and shows both identities before; dry_run => true only shows them';
