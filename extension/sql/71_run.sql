-- Runs of reconciling: who asked for which store to be compared with the registry and the rows, and how far that is. The
-- owner of the store does it, page by page; each page's progress is committed with what the page showed (71_run_range.sql),
-- so that a run survives every daemon.

CREATE TABLE objectlink.run (
  id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  call_id       bigint,
  store_id      int NOT NULL,
  mode          text NOT NULL CHECK (mode IN ('report', 'repair', 'quarantine', 'inventory')),
  prefix        text COLLATE "C" NOT NULL,
  place         text NOT NULL,
  page_size     int NOT NULL CHECK (page_size BETWEEN 1 AND 1000),
  state         text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'paused', 'done', 'failed', 'cancelled')),
  requested_by  name NOT NULL DEFAULT session_user,
  queued_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
  started_at    timestamptz,
  ended_at      timestamptz,
  progress_at   timestamptz,
  listing       text NOT NULL DEFAULT 'ordered' CHECK (listing IN ('ordered', 'collecting', 'collected')),
  pages         bigint NOT NULL DEFAULT 0,
  listed        bigint NOT NULL DEFAULT 0,
  bytes         bigint NOT NULL DEFAULT 0,
  compared      bigint NOT NULL DEFAULT 0,
  inventory     text,
  inventory_at  timestamptz,
  list_requests bigint NOT NULL DEFAULT 0,
  looks         bigint NOT NULL DEFAULT 0,
  undecided     bigint NOT NULL DEFAULT 0,
  time_budget   interval,
  sample        numeric CHECK (sample > 0 AND sample < 100),
  begun_at      timestamptz,
  compared_before bigint NOT NULL DEFAULT 0,
  estimated     bigint,
  out_of_time   boolean NOT NULL DEFAULT false,
  repair_limit  int NOT NULL DEFAULT 1000 CHECK (repair_limit >= 0),
  repair_limit_share int NOT NULL DEFAULT 10 CHECK (repair_limit_share BETWEEN 1 AND 100),
  repaired      bigint NOT NULL DEFAULT 0,
  marked        bigint NOT NULL DEFAULT 0,
  braked_at     timestamptz,
  brake_released boolean NOT NULL DEFAULT false,
  found         jsonb,
  pause_reason  text,
  aside         text CHECK (aside IN ('uploads', 'versions')),
  aside_found   bigint NOT NULL DEFAULT 0,
  notes         text,
  error_class   text,
  error_code    text,
  error_message text
);
-- One at a time: two would take each other's differences for their own.
CREATE UNIQUE INDEX run_active ON objectlink.run (store_id) WHERE state IN ('queued', 'running', 'paused');
CREATE INDEX run_of_store ON objectlink.run (store_id, id);
COMMENT ON TABLE objectlink.run IS 'runs of reconcile_storage(): what was asked for, how far it is, how it ended';
COMMENT ON COLUMN objectlink.run.call_id IS 'the first run of the call that queued it: a call for all stores queues one for each';
COMMENT ON COLUMN objectlink.run.prefix IS 'only keys that begin with this; never less than the store''s own prefix';
COMMENT ON COLUMN objectlink.run.place IS 'host, bucket and prefix of the store when it was queued: of another place it would prove nothing';
COMMENT ON COLUMN objectlink.run.listing IS 'ordered: as the store lists it, range by range; of a store that lists in another order than that of bytes, or of an inventory, all keys are collected first, and compared when they are complete';
COMMENT ON COLUMN objectlink.run.inventory IS 'key of the manifest of an S3 Inventory, whose files are compared instead of a listing; NULL: the store is listed';
COMMENT ON COLUMN objectlink.run.inventory_at IS 'when that inventory was begun, as its manifest says';
COMMENT ON COLUMN objectlink.run.listed IS 'keys that the store listed; bytes: what they hold; compared: these, and those of the registry';
COMMENT ON COLUMN objectlink.run.list_requests IS 'pages of listings asked for, of uploads and versions too, repeated ones included; the files of an inventory are got, not listed, and do not count';
COMMENT ON COLUMN objectlink.run.looks IS 'objects that were looked at one by one (HEAD), because the listing differed';
COMMENT ON COLUMN objectlink.run.undecided IS 'differences of which nothing could be said: in motion, a table that could not be asked, a look that was not answered';
COMMENT ON COLUMN objectlink.run.time_budget IS 'it is paused after so long, counted from begun_at: when it was begun, or let go on';
COMMENT ON COLUMN objectlink.run.compared_before IS 'what it had compared by begun_at: only what came since then tells how fast it is';
COMMENT ON COLUMN objectlink.run.estimated IS 'about how many objects its store had in the registry when it was begun; NULL: not known, or it compares only a part';
COMMENT ON COLUMN objectlink.run.sample IS 'percent of the ranges of keys that are compared, drawn by lot; NULL: all of them';
COMMENT ON COLUMN objectlink.run.out_of_time IS 'paused for that; the next call for the same keys lets it go on';
COMMENT ON COLUMN objectlink.run.repaired IS 'mode repair: findings that something was done about, and objects found missing or corrupt';
COMMENT ON COLUMN objectlink.run.marked IS 'mode report: objects that were brought to missing or corrupt';
COMMENT ON COLUMN objectlink.run.braked_at IS 'paused because it would repair too much, until somebody lets it go on; brake_released: somebody has';
COMMENT ON COLUMN objectlink.run.aside IS 'what is listed before the keys are, see 72_compare_aside.sql: uploads that nobody has ended, then versions that are not current, range by range; NULL: neither, or no more';
COMMENT ON COLUMN objectlink.run.aside_found IS 'how many of them are not as they should be, in the listing under way';
COMMENT ON COLUMN objectlink.run.notes IS 'what could not be looked at, or not be told of each';
COMMENT ON COLUMN objectlink.run.found IS 'ended: how many findings of each kind it saw';

CREATE FUNCTION objectlink.run_page_size_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION objectlink.run_page_size_max() IS 'keys of a page of a listing, at most: the limit of S3';

CREATE FUNCTION objectlink.check_run(store name, mode text, prefix text, page_size int, repair_limit int, repair_limit_share int, time_budget interval,
                                     inventory text DEFAULT NULL, sample numeric DEFAULT NULL) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  IF mode IS NULL OR mode NOT IN ('report', 'repair', 'quarantine') THEN
    RAISE EXCEPTION 'invalid mode: %', CASE WHEN mode IS NULL THEN 'NULL' ELSE format('"%s"', mode) END USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Valid modes are report, repair and quarantine.';
  ELSIF page_size IS NULL OR page_size NOT BETWEEN 1 AND objectlink.run_page_size_max() THEN
    RAISE EXCEPTION 'invalid page_size: %', coalesce(page_size::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = format('It must be between 1 and %s.', objectlink.run_page_size_max());
  ELSIF repair_limit IS NULL OR repair_limit < 0 THEN
    RAISE EXCEPTION 'invalid repair_limit: %', coalesce(repair_limit::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must not be negative.';
  ELSIF repair_limit_share IS NULL OR repair_limit_share NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION 'invalid repair_limit_share: %', coalesce(repair_limit_share::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be between 1 and 100 percent.';
  ELSIF time_budget <= interval '0' THEN
    RAISE EXCEPTION 'invalid time_budget: %', time_budget USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be positive.';
  ELSIF sample <= 0 OR sample > 100 THEN
    RAISE EXCEPTION 'invalid sample: %', sample USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be above 0, and at most 100 percent.';
  ELSIF store IS NULL AND prefix IS NOT NULL THEN
    RAISE EXCEPTION 'prefix needs a store' USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'Keys below it mean something in one store only.';
  ELSIF store IS NULL AND inventory IS NOT NULL THEN
    RAISE EXCEPTION 'inventory needs a store' USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'An inventory lists one bucket.';
  ELSIF inventory NOT LIKE '%manifest.json' OR octet_length(inventory) > 1024 THEN
    RAISE EXCEPTION 'invalid inventory: "%"', left(inventory, 100) USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be the key of a manifest, which ends in manifest.json.',
      HINT = 'S3 Inventory delivers it as <prefix>/<bucket>/<id>/<date>/manifest.json; the bucket, where it is another one, is server option inventory_bucket.';
  ELSIF store IS NOT NULL AND NOT EXISTS (SELECT FROM objectlink.server s WHERE s.name = store) THEN
    RAISE EXCEPTION 'store "%" does not exist', store USING ERRCODE = 'undefined_object',
      HINT = 'See view objectlink.server.';
  ELSIF store IS NOT NULL AND objectlink.place_of(store) IS NULL THEN
    RAISE EXCEPTION 'store "%" has no endpoint or no bucket', store USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = format('ALTER SERVER %I OPTIONS (ADD endpoint ''...'', ADD bucket ''...'')', store);
  ELSIF prefix IS NOT NULL AND NOT starts_with(prefix, objectlink.store_prefix(store)) THEN
    RAISE EXCEPTION 'prefix "%" is not below the prefix of store "%"', prefix, store USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It is compared with whole keys, which begin with the prefix of the store.',
      HINT = format('Let it begin with "%s", or leave it out.', objectlink.store_prefix(store));
  ELSIF starts_with(prefix, '.objectlink/') THEN
    RAISE EXCEPTION 'prefix "%" is reserved', prefix USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'What lies there belongs to objectlink itself and is never compared.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_run(name, text, text, int, int, int, interval, text, numeric) IS 'raises an error that says why a run cannot be queued';

-- NULL: another one of this store is under way.
CREATE FUNCTION objectlink.queue_run(p_store name, p_mode text, p_prefix text, p_page_size int, p_limit int, p_share int, p_budget interval, p_call bigint,
                                     p_inventory text DEFAULT NULL, p_sample numeric DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_id bigint;
  v_sample numeric := CASE WHEN p_sample < 100 THEN p_sample END;
BEGIN
  -- One that had no more time is what a schedule calls for again.
  UPDATE objectlink.run r SET state = 'queued', out_of_time = false, pause_reason = NULL, time_budget = p_budget, begun_at = NULL, call_id = coalesce(p_call, r.id)
  WHERE r.store_id = objectlink.store_id(p_store) AND r.state = 'paused' AND r.out_of_time AND r.mode = p_mode
    AND r.prefix = coalesce(p_prefix, objectlink.store_prefix(p_store)) AND r.inventory IS NOT DISTINCT FROM p_inventory
    AND r.sample IS NOT DISTINCT FROM v_sample
  RETURNING r.id INTO v_id;
  IF FOUND THEN
    RETURN v_id;
  ELSIF EXISTS (SELECT FROM objectlink.run r WHERE r.store_id = objectlink.store_id(p_store) AND r.state IN ('queued', 'running', 'paused')) THEN
    RETURN NULL;
  END IF;
  -- One that was cancelled could go on until now.
  DELETE FROM objectlink.run_range g USING objectlink.run r WHERE r.id = g.run_id AND r.store_id = objectlink.store_id(p_store) AND r.state = 'cancelled';
  INSERT INTO objectlink.run (call_id, store_id, mode, prefix, place, page_size, repair_limit, repair_limit_share, time_budget, inventory, listing, sample, aside)
  VALUES (p_call, objectlink.store_id(p_store), p_mode, coalesce(p_prefix, objectlink.store_prefix(p_store)), objectlink.place_of(p_store), p_page_size,
          p_limit, p_share, p_budget, p_inventory, CASE WHEN p_inventory IS NULL THEN 'ordered' ELSE 'collecting' END, v_sample,
          -- Who compares an inventory, or a sample, wants its bucket not listed.
          CASE WHEN p_mode IN ('report', 'repair') AND p_inventory IS NULL AND v_sample IS NULL THEN 'uploads' END)
  ON CONFLICT (store_id) WHERE state IN ('queued', 'running', 'paused') DO NOTHING
  RETURNING id INTO v_id;
  UPDATE objectlink.run SET call_id = v_id WHERE id = v_id AND call_id IS NULL;
  RETURN v_id;
END $$;
COMMENT ON FUNCTION objectlink.queue_run(name, text, text, int, int, int, interval, bigint, text, numeric) IS 'for reconcile_storage(): queues the run of one store; NULL: there is one already';

CREATE FUNCTION objectlink.reconcile_storage(store name DEFAULT NULL, mode text DEFAULT 'report', prefix text DEFAULT NULL,
                                             page_size int DEFAULT 1000, repair_limit int DEFAULT 1000, repair_limit_share int DEFAULT 10,
                                             time_budget interval DEFAULT NULL, inventory text DEFAULT NULL, sample numeric DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_store name;
  v_id bigint;
  v_call bigint;
  v_busy name[] := '{}';
  v_run objectlink.run;
BEGIN
  PERFORM objectlink.check_run(store, mode, prefix, page_size, repair_limit, repair_limit_share, time_budget, inventory, sample);
  FOR v_store IN
    SELECT s.name FROM objectlink.server s WHERE s.name = coalesce(store, s.name) AND objectlink.place_of(s.name) IS NOT NULL ORDER BY s.name
  LOOP
    v_id := objectlink.queue_run(v_store, mode, prefix, page_size, repair_limit, repair_limit_share, time_budget, v_call, inventory, sample);
    IF v_id IS NULL THEN
      v_busy := v_busy || v_store;
    END IF;
    v_call := coalesce(v_call, v_id);
  END LOOP;
  IF v_call IS NULL AND v_busy = '{}' THEN
    RAISE WARNING 'there is no store to reconcile' USING HINT = 'CREATE SERVER ... FOREIGN DATA WRAPPER objectlink';
    RETURN NULL;
  ELSIF v_call IS NULL THEN
    SELECT r.* INTO v_run FROM objectlink.run r JOIN objectlink.store s ON s.id = r.store_id
      WHERE s.name = v_busy[1] AND r.state IN ('queued', 'running', 'paused');
    RAISE EXCEPTION 'store "%" is being reconciled already', v_busy[1] USING ERRCODE = 'object_in_use',
      DETAIL = format('Run %s of mode %s is %s since %s.', v_run.id, v_run.mode, v_run.state, coalesce(v_run.started_at, v_run.queued_at)),
      HINT = format(CASE v_run.state WHEN 'paused' THEN 'Let it go on: SELECT objectlink.resume_run(%1$s); or end it: SELECT objectlink.cancel_run(%1$s).'
                    ELSE 'Wait for it: CALL objectlink.wait_for_run(%1$s, ''10 minutes''); or end it: SELECT objectlink.cancel_run(%1$s).' END, v_run.id);
  END IF;
  FOREACH v_store IN ARRAY v_busy LOOP
    RAISE NOTICE 'store "%" is being reconciled already and is left out', v_store;
  END LOOP;
  IF NOT EXISTS (SELECT FROM objectlink.live_worker) THEN
    RAISE WARNING 'no objectlinkd is connected to this database'
      USING DETAIL = 'The run waits until one is.', HINT = 'Start objectlinkd.';
  END IF;
  PERFORM objectlink.ring_daemon();
  RETURN v_call;
END $$;
COMMENT ON FUNCTION objectlink.reconcile_storage(name, text, text, int, int, int, interval, text, numeric) IS 'queues a comparison of a store (NULL: of each), or of the inventory that this manifest describes, with registry and rows; returns its number at once, of several the first one''s';

-- As the triggers ring: only a sleeper, and never where it would forbid PREPARE TRANSACTION. A lost ring costs one poll interval.
CREATE FUNCTION objectlink.ring_daemon() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF current_setting('max_prepared_transactions') = '0' AND EXISTS (SELECT FROM objectlink.doorbell d WHERE d.asleep) THEN
    PERFORM pg_notify('objectlink', '');
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.ring_daemon() IS 'wakes the daemon, if it sleeps';

-- The run that a decision is about, locked. It must be in one of these states.
CREATE FUNCTION objectlink.decide_about_run(p_run bigint, p_states text[]) RETURNS objectlink.run
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run;
BEGIN
  IF p_run IS NULL THEN
    RAISE EXCEPTION 'run_id must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  END IF;
  SELECT * INTO v_run FROM objectlink.run r WHERE r.id = p_run FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'run % does not exist', p_run USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.runs.';
  ELSIF NOT v_run.state = ANY (p_states) THEN
    RAISE EXCEPTION 'run % is %', p_run, v_run.state USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = format('It would have to be %s.', array_to_string(p_states, ' or '));
  END IF;
  RETURN v_run;
END $$;
COMMENT ON FUNCTION objectlink.decide_about_run(bigint, text[]) IS 'locks a run and checks that it is in one of these states';

CREATE FUNCTION objectlink.cancel_run(run_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.decide_about_run(run_id, ARRAY['queued', 'running', 'paused']);
  PERFORM objectlink.end_run(run_id, 'cancelled');
END $$;
COMMENT ON FUNCTION objectlink.cancel_run(bigint) IS 'ends a run; what it found stays, and what it did not reach is as it was. resume_run() lets it go on after all, until another one of its store is queued';

CREATE FUNCTION objectlink.pause_run(run_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.decide_about_run(run_id, ARRAY['queued', 'running']);
  UPDATE objectlink.run r SET state = 'paused', pause_reason = format('paused by %s', session_user) WHERE r.id = run_id;
END $$;
COMMENT ON FUNCTION objectlink.pause_run(bigint) IS 'lets a run rest after the page it is at; no other one of its store begins meanwhile';

CREATE FUNCTION objectlink.resume_run(run_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.decide_about_run(run_id, ARRAY['paused', 'cancelled']);
  v_later bigint := (SELECT max(r.id) FROM objectlink.run r WHERE r.store_id = v_run.store_id);
BEGIN
  IF v_run.state = 'cancelled' AND v_later > run_id THEN
    RAISE EXCEPTION 'run % is cancelled, and run % of its store was queued since', run_id, v_later USING ERRCODE = 'object_not_in_prerequisite_state',
      DETAIL = 'Up to where it had compared is not kept beyond that.', HINT = 'Begin anew: SELECT objectlink.reconcile_storage(...).';
  END IF;
  -- Who lets a run go on that was braked has seen why.
  UPDATE objectlink.run r SET state = 'queued', pause_reason = NULL, brake_released = r.brake_released OR r.braked_at IS NOT NULL, braked_at = NULL,
      out_of_time = false, begun_at = NULL, ended_at = NULL, found = NULL
  WHERE r.id = run_id;
  PERFORM objectlink.ring_daemon();
EXCEPTION WHEN unique_violation THEN
  RAISE EXCEPTION 'another run of the store of run % has been queued at this moment', run_id USING ERRCODE = 'object_in_use', HINT = 'See view objectlink.runs.';
END $$;
COMMENT ON FUNCTION objectlink.resume_run(bigint) IS 'lets a paused run go on behind the last page it compared, or a cancelled one, if no other one of its store was queued since';

CREATE FUNCTION objectlink.end_run(p_run bigint, p_state text, p_class text DEFAULT NULL, p_code text DEFAULT NULL, p_message text DEFAULT NULL)
RETURNS void LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run;
BEGIN
  UPDATE objectlink.run r
  SET state = p_state, ended_at = clock_timestamp(), pause_reason = NULL, error_class = p_class, error_code = p_code, error_message = p_message,
      found = (SELECT coalesce(jsonb_object_agg(k.kind, k.count), '{}')
               FROM (SELECT f.kind, count(*) FROM objectlink.finding f WHERE f.run_id = p_run AND f.status <> 'resolved' GROUP BY f.kind) k)
  WHERE r.id = p_run RETURNING r.* INTO v_run;
  -- A cancelled one may be let go on after all.
  DELETE FROM objectlink.run_range g WHERE g.run_id = p_run AND p_state <> 'cancelled';
  UPDATE objectlink.collection c SET ended = true WHERE c.run_id = p_run AND NOT c.ended;
  INSERT INTO objectlink.event (store_id, cause, detail)
  VALUES (v_run.store_id, 'reconciling ' || p_state,
          jsonb_strip_nulls(jsonb_build_object('run', p_run, 'mode', v_run.mode, 'prefix', v_run.prefix, 'listed', v_run.listed, 'compared', v_run.compared,
            'found', v_run.found, 'class', p_class, 'code', p_code, 'message', p_message)));
END $$;
COMMENT ON FUNCTION objectlink.end_run(bigint, text, text, text, text) IS 'ends a run, with what it found; the event tells the same';

-- Without counting: for how long its first run may take, no more. What ANALYZE has not seen yet is not known.
CREATE FUNCTION objectlink.estimated_objects(p_store int) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT nullif(round(c.reltuples * v.share), 0)::bigint
  FROM pg_class c JOIN pg_stats s ON s.schemaname = 'objectlink' AND s.tablename = 'object' AND s.attname = 'store_id'
  CROSS JOIN LATERAL unnest(s.most_common_vals::text::int[], s.most_common_freqs) AS v (store, share)
  WHERE c.oid = 'objectlink.object'::regclass AND c.reltuples > 0 AND v.store = p_store
$$;
COMMENT ON FUNCTION objectlink.estimated_objects(int) IS 'about how many objects of a store the registry has, by the statistics of its table; NULL: not known';

-- For the owner of a store: what to go on with, and where.
CREATE FUNCTION objectlink.next_run(p_store int, p_epoch bigint, OUT id bigint, OUT prefix text, OUT store_prefix text, OUT page_size int, OUT listing text, OUT inventory text, OUT sampled boolean,
                                    OUT aside text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  SELECT * INTO v_run FROM objectlink.run r WHERE r.store_id = p_store AND r.state IN ('queued', 'running') FOR UPDATE;
  -- Of another place's objects nothing can be proved, see due_work().
  IF NOT FOUND OR EXISTS (SELECT FROM objectlink.marker m WHERE m.store_id = p_store AND m.fence = 'altered') THEN
    RETURN;
  ELSIF v_run.place IS DISTINCT FROM objectlink.place_of((SELECT s.name FROM objectlink.store s WHERE s.id = p_store)) THEN
    PERFORM objectlink.end_run(v_run.id, 'failed', 'store', 'StoreMoved', 'endpoint, bucket or prefix of the store were changed after the run was queued');
    RETURN;
  END IF;
  IF v_run.started_at IS NULL THEN
    PERFORM objectlink.find_stuck(v_run);
  END IF;
  UPDATE objectlink.run r SET state = 'running', started_at = coalesce(r.started_at, clock_timestamp()), begun_at = coalesce(r.begun_at, clock_timestamp()),
      compared_before = CASE WHEN r.begun_at IS NULL THEN r.compared ELSE r.compared_before END,
      estimated = CASE WHEN r.started_at IS NOT NULL THEN r.estimated
                       WHEN r.mode <> 'inventory' AND r.prefix = objectlink.store_prefix((SELECT s.name FROM objectlink.store s WHERE s.id = p_store)) THEN objectlink.estimated_objects(p_store) END
  WHERE r.id = v_run.id AND r.state <> 'running';
  INSERT INTO objectlink.run_range (run_id) SELECT v_run.id WHERE NOT EXISTS (SELECT FROM objectlink.run_range g WHERE g.run_id = v_run.id);
  id := v_run.id;
  prefix := v_run.prefix;
  store_prefix := objectlink.store_prefix((SELECT s.name FROM objectlink.store s WHERE s.id = p_store));
  page_size := v_run.page_size;
  inventory := v_run.inventory;
  sampled := v_run.sample IS NOT NULL;
  aside := v_run.aside;
  PERFORM objectlink.check_collection(p_store, p_epoch, v_run.id);
  listing := (SELECT r.listing FROM objectlink.run r WHERE r.id = v_run.id);
END $$;
COMMENT ON FUNCTION objectlink.next_run(int, bigint) IS 'for the owner of a store: the run to begin or to go on with; NULL: none';

CREATE FUNCTION objectlink.fail_run(p_store int, p_epoch bigint, p_run bigint, p_class text, p_code text, p_message text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  PERFORM FROM objectlink.run r WHERE r.id = p_run AND r.store_id = p_store AND r.state = 'running' FOR UPDATE;
  IF FOUND THEN
    PERFORM objectlink.end_run(p_run, 'failed', p_class, p_code, p_message);
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.fail_run(int, bigint, bigint, text, text, text) IS 'for the owner of a store: its listing cannot be believed or had; what was not reached is as it was';
