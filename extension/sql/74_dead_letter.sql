-- Dead letters: work that was given up, because the object's own trouble cannot pass by itself or its tries are spent. They are
-- rows of the registry, not copies of them: an upload or check is 'failed'; a deletion is 'unlinked' again, not due and held by
-- nobody. So whatever changes the object (a new link, an unlink, a hold) ends its dead letter by itself.

CREATE FUNCTION objectlink.discarded_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 'dead letter discarded' $$;
COMMENT ON FUNCTION objectlink.discarded_text() IS 'held_reason of an object whose deletion was given up and then discarded';

CREATE VIEW objectlink.dead_letter AS
SELECT o.store_id, s.name AS store, o.key,
       CASE WHEN o.state = 'unlinked' THEN 'delete' WHEN p.ref IS NULL THEN 'verify' ELSE 'upload' END AS operation,
       o.error_class, o.error_code, o.last_error AS message, o.attempts, o.request_id,
       least(o.failing_since, o.since) AS first_failed_at, o.since AS last_failed_at,
       o.state, o.size, o.attachment_id, p.size AS content_bytes
FROM objectlink.object o
JOIN objectlink.store s ON s.id = o.store_id
LEFT JOIN objectlink.payload p ON o.state = 'failed' AND p.ref OPERATOR(pg_catalog.=) objectlink.storage_ref(s.name::text, o.key)
-- As the index object_trouble has it.
WHERE (o.state = 'failed' OR o.state = 'unlinked' AND o.last_error IS NOT NULL)
  AND CASE WHEN o.state = 'failed' THEN o.discarded_at IS NULL OR o.discarded_at < o.since
           ELSE o.due_at IS NULL AND o.held_reason IS NULL AND o.admin_hold IS NULL END;
COMMENT ON VIEW objectlink.dead_letter IS 'work that was given up, of all stores';

CREATE TYPE objectlink.picked_letter AS (store_id int, store name, key text, operation text, error_code text, content_bytes bigint);
COMMENT ON TYPE objectlink.picked_letter IS 'a dead letter that a person decides about';

-- What a decision is about, locked: the stores first, then the objects in the order of keys, as everybody does it.
CREATE FUNCTION objectlink.pick_dead_letters(store name, key text, operation text, error_class text, error_code text, reason text, at_most int)
RETURNS objectlink.picked_letter[]
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
  v_name name;
  v_store int;
  v_keys text[];
  v_picked objectlink.picked_letter[] := '{}';
BEGIN
  IF key IS NOT NULL AND store IS NULL THEN
    RAISE EXCEPTION 'key needs a store' USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'The same key may exist in several stores.';
  ELSIF operation NOT IN ('upload', 'verify', 'delete') THEN
    RAISE EXCEPTION 'invalid operation: "%"', operation USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be ''upload'', ''verify'' or ''delete''.';
  END IF;
  FOR v_name IN
    SELECT store WHERE store IS NOT NULL
    UNION ALL SELECT n.name FROM (SELECT s.name FROM objectlink.store s
                                  WHERE store IS NULL AND EXISTS (SELECT FROM objectlink.dead_letter d WHERE d.store_id = s.id)
                                  ORDER BY s.id) n
  LOOP
    v_store := objectlink.decide_about(v_name, key, NULL, reason, at_most);
    v_keys := ARRAY(SELECT d.key FROM objectlink.dead_letter d
                    WHERE d.store_id = v_store AND (key IS NULL OR d.key = key) AND (operation IS NULL OR d.operation = operation)
                      AND (error_class IS NULL OR d.error_class = error_class) AND (error_code IS NULL OR d.error_code = error_code)
                    ORDER BY d.key LIMIT at_most - cardinality(v_picked));
    PERFORM FROM unnest(v_keys) AS w (key)
      CROSS JOIN LATERAL (SELECT FROM objectlink.object o WHERE o.store_id = v_store AND o.key = w.key FOR UPDATE) AS locked;
    -- Only now, in a statement of its own, is it seen what the locks were waited for.
    v_picked := v_picked || ARRAY(
      SELECT (d.store_id, d.store, d.key, d.operation, d.error_code, d.content_bytes)::objectlink.picked_letter
      FROM unnest(v_keys) AS w (key)
      CROSS JOIN LATERAL (SELECT i.* FROM objectlink.dead_letter i WHERE i.store_id = v_store AND i.key = w.key OFFSET 0) AS d);
  END LOOP;
  RETURN v_picked;
END $$;
COMMENT ON FUNCTION objectlink.pick_dead_letters(name, text, text, text, text, text, int) IS 'checks the arguments that retrying and discarding share, and locks the dead letters they are about';

CREATE FUNCTION objectlink.retry_dead_letters(store name DEFAULT NULL, key text DEFAULT NULL, operation text DEFAULT NULL,
                                              error_code text DEFAULT NULL, error_class text DEFAULT NULL, reason text DEFAULT NULL,
                                              at_most int DEFAULT 100000, dry_run boolean DEFAULT false, OUT retried bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
  v_picked objectlink.picked_letter[] := objectlink.pick_dead_letters(store, key, operation, error_class, error_code, reason, at_most);
BEGIN
  retried := cardinality(v_picked);
  IF dry_run THEN
    RETURN;
  END IF;
  -- A deletion goes the whole way once more, from the question whether a row links it by now. That it was given up is not
  -- forgotten before it is proved what became of it: see failing_since.
  WITH changed AS (
    UPDATE objectlink.object o
    SET state = CASE WHEN o.state = 'failed' THEN 'pending' ELSE o.state END,
        since = CASE WHEN o.state = 'failed' THEN clock_timestamp() ELSE o.since END,
        attempts = 0, due_at = clock_timestamp(), error_class = NULL, error_code = NULL, last_error = NULL
    FROM (SELECT w.store_id, w.key, w.operation, w.error_code FROM unnest(v_picked) w OFFSET 0) w
    WHERE o.store_id = w.store_id AND o.key = w.key
    RETURNING o.store_id, o.key, o.state, o.attachment_id, w.operation, w.error_code
  )
  INSERT INTO objectlink.event (store_id, key, from_state, to_state, cause, attachment_id, detail)
  SELECT c.store_id, c.key, CASE WHEN c.state = 'pending' THEN 'failed' END, CASE WHEN c.state = 'pending' THEN 'pending' END,
         'retry dead letter', c.attachment_id,
         jsonb_strip_nulls(jsonb_build_object('operation', c.operation, 'code', c.error_code, 'reason', reason))
  FROM changed c;
  PERFORM objectlink.queue_row_work(l.store_id, l.keys)
    FROM (SELECT w.store_id, array_agg(w.key) AS keys FROM unnest(v_picked) w WHERE w.operation <> 'delete' GROUP BY w.store_id) l;
END $$;
COMMENT ON FUNCTION objectlink.retry_dead_letters(name, text, text, text, text, text, int, boolean) IS 'tries again what was given up: one object, those of a store, an operation, an error, or all. Says how many';

CREATE FUNCTION objectlink.discard_dead_letters(store name DEFAULT NULL, key text DEFAULT NULL, operation text DEFAULT NULL,
                                                error_code text DEFAULT NULL, error_class text DEFAULT NULL, reason text DEFAULT NULL,
                                                at_most int DEFAULT 100000, dry_run boolean DEFAULT false,
                                                OUT discarded bigint, OUT objects_left bigint, OUT rows_left bigint,
                                                OUT contents_dropped bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
#variable_conflict use_variable
DECLARE
  v_picked objectlink.picked_letter[] := objectlink.pick_dead_letters(store, key, operation, error_class, error_code, reason, at_most);
BEGIN
  SELECT count(*), count(*) FILTER (WHERE w.operation = 'delete'), count(*) FILTER (WHERE w.operation <> 'delete'), count(w.content_bytes)
    INTO discarded, objects_left, rows_left, contents_dropped FROM unnest(v_picked) w;
  IF dry_run THEN
    RETURN;
  END IF;
  WITH letter AS MATERIALIZED (
    SELECT w.store_id, w.key, w.operation, w.error_code, objectlink.storage_ref(w.store::text, w.key) AS ref FROM unnest(v_picked) w
  ), dropped AS (
    DELETE FROM objectlink.payload p USING letter l WHERE p.ref OPERATOR(pg_catalog.=) l.ref RETURNING p.ref, p.sha256
  ), changed AS (
    UPDATE objectlink.object o
    SET discarded_at = CASE WHEN l.operation <> 'delete' THEN clock_timestamp() END,
        held_reason = CASE WHEN l.operation = 'delete' THEN objectlink.discarded_text() END,
        -- Without it, a later deletion could not tell what lies under the key from our content.
        sha256 = CASE WHEN o.verified_at IS NULL THEN coalesce(d.sha256, o.sha256) ELSE o.sha256 END
    FROM letter l LEFT JOIN dropped d ON d.ref OPERATOR(pg_catalog.=) l.ref
    WHERE o.store_id = l.store_id AND o.key = l.key
    RETURNING o.store_id, o.key, o.attachment_id, l.operation, l.error_code
  )
  INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
  SELECT c.store_id, c.key, 'discard dead letter', c.attachment_id,
         jsonb_strip_nulls(jsonb_build_object('operation', c.operation, 'code', c.error_code, 'reason', reason,
           'left', CASE WHEN c.operation = 'delete' THEN 'the object stays in the store' ELSE 'the row has no object' END))
  FROM changed c;
END $$;
COMMENT ON FUNCTION objectlink.discard_dead_letters(name, text, text, text, text, text, int, boolean) IS 'lets be what was given up. Says how many; how many objects stay in their store; how many rows have no object; how many contents of put() are dropped for good';
