-- wait_for_run: returns when a run has ended, and tells meanwhile how far it is.

-- The full number of a row's transaction is the nearest one that ends in its 32 bits.
CREATE FUNCTION objectlink.is_own_row(p_xmin xid) RETURNS boolean
LANGUAGE sql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_xact_status((n.near - ((n.near - p_xmin::text::bigint) & 4294967295))::text::xid8) = 'in progress'
  FROM (SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint + 2147483648 AS near) n
$$;
COMMENT ON FUNCTION objectlink.is_own_row(xid) IS 'whether a row that is seen was written by this very transaction: nobody else sees one that is not committed';

CREATE PROCEDURE objectlink.wait_for_run(run_id bigint, timeout interval DEFAULT '1 minute')
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_until timestamptz := clock_timestamp() + timeout;
  v_told_at timestamptz := clock_timestamp();
  v_told text := '';
  v_progress text;
  v_run record;
  v_sleep_s double precision := 0.01;
BEGIN
  IF current_setting('transaction_isolation') <> 'read committed' THEN
    RAISE EXCEPTION 'wait_for_run() needs isolation level read committed' USING ERRCODE = 'invalid_transaction_state',
      DETAIL = 'This transaction''s snapshot would never show the progress.';
  ELSIF run_id IS NULL THEN
    RAISE EXCEPTION 'run_id must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF timeout IS NULL OR timeout < interval '0' THEN
    RAISE EXCEPTION 'invalid timeout: %', coalesce(timeout::text, 'NULL') USING ERRCODE = 'invalid_parameter_value';
  ELSIF NOT EXISTS (SELECT FROM objectlink.run r WHERE r.id = run_id) THEN
    RAISE EXCEPTION 'run % does not exist', run_id USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.runs.';
  ELSIF (SELECT objectlink.is_own_row(r.xmin) FROM objectlink.run r WHERE r.id = run_id) THEN
    RAISE EXCEPTION 'run % was queued by this transaction', run_id USING ERRCODE = 'invalid_transaction_state',
      DETAIL = 'No daemon sees it before the commit.', HINT = 'Commit, and call wait_for_run() after that.';
  END IF;
  -- Shared and its own: nobody is waited for, and nobody waits for it. See oldest_transaction().
  PERFORM objectlink.take_lock(objectlink.wait_lock_class(), pg_backend_pid(), shared => true, for_session => false, at_once => false);
  LOOP
    -- The first run of a call stands for all of them.
    SELECT count(*) FILTER (WHERE r.state IN ('queued', 'running', 'paused') AND r.braked_at IS NULL AND NOT r.out_of_time) AS open, sum(r.compared) AS compared,
           min(r.state) FILTER (WHERE r.state IN ('queued', 'running', 'paused')) AS state, count(*) AS count
      INTO v_run FROM objectlink.run r WHERE r.id = run_id OR r.call_id = run_id;
    v_progress := format('%s keys compared', v_run.compared)
      || coalesce((SELECT format(' of about %s', p.expected) FROM objectlink.reconcile_progress p WHERE p.run_id = wait_for_run.run_id AND v_run.count = 1 AND p.expected > 0), '');
    EXIT WHEN v_run.open = 0;
    IF v_progress <> v_told AND clock_timestamp() >= v_told_at + interval '1 second' THEN
      RAISE NOTICE 'run %: %, %', run_id, v_run.state, v_progress;
      v_told := v_progress;
      v_told_at := clock_timestamp();
    END IF;
    IF clock_timestamp() >= v_until THEN
      RAISE EXCEPTION 'run % has not ended after %', run_id, timeout USING ERRCODE = 'query_canceled',
        DETAIL = format('It is %s; %s.', v_run.state, v_progress),
        HINT = CASE WHEN v_run.state = 'paused' THEN format('Let it go on: SELECT objectlink.resume_run(%s).', run_id)
                    WHEN NOT EXISTS (SELECT FROM objectlink.live_worker) THEN 'No objectlinkd is connected to this database.'
                    ELSE 'See views objectlink.reconcile_progress and objectlink.problems.' END;
    END IF;
    PERFORM pg_sleep(v_sleep_s);
    v_sleep_s := least(v_sleep_s * 1.5, 0.25);
  END LOOP;
  FOR v_run IN SELECT r.*, s.name FROM objectlink.run r JOIN objectlink.store s ON s.id = r.store_id WHERE r.id = run_id OR r.call_id = run_id ORDER BY r.id LOOP
    IF v_run.state = 'failed' THEN
      RAISE WARNING 'run % of store "%" has failed: %', v_run.id, v_run.name, concat_ws(': ', v_run.error_code, v_run.error_message);
    ELSIF v_run.state = 'paused' AND v_run.braked_at IS NOT NULL THEN
      RAISE WARNING 'run % of store "%" is paused: %', v_run.id, v_run.name, v_run.pause_reason
        USING HINT = format('Look at objectlink.findings. If all that is to be done: SELECT objectlink.resume_run(%s).', v_run.id);
    ELSIF v_run.state = 'paused' THEN
      RAISE WARNING 'run % of store "%" is paused: %', v_run.id, v_run.name, v_run.pause_reason
        USING DETAIL = format('%s keys are compared.', v_run.compared),
        HINT = format('The next call for the same keys lets it go on, and so does SELECT objectlink.resume_run(%s).', v_run.id);
    ELSE
      RAISE NOTICE 'run % of store "%" is %: % keys compared, found %', v_run.id, v_run.name, v_run.state, v_run.compared, v_run.found;
    END IF;
  END LOOP;
END $$;
COMMENT ON PROCEDURE objectlink.wait_for_run(bigint, interval) IS 'returns when a run (of a call for all stores: each of them) has ended; SQLSTATE 57014 when that takes longer than timeout';
