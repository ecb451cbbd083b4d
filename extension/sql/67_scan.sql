-- Walks in small steps: rows that existed before attach are linked, objects of a truncated table are asked
-- about. A step only appends to the outbox; apply does the rest.

-- Follows the order of the column's own index, not the table's pages: a row that moves while the walk is
-- under way stays where it is in this order.
CREATE FUNCTION objectlink.scan_link_step(p_scan objectlink.scan, p_limit int, OUT taken int, OUT last text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_seqscan = off SET lock_timeout = '250ms' AS $$
DECLARE
  v_at objectlink.attachment;
  v_column text;
  v_after text;
  v_values text[];
  v_value text;
BEGIN
  taken := 0;
  SELECT * INTO v_at FROM objectlink.attachment WHERE id = p_scan.attachment_id;
  IF v_at.detached_at IS NOT NULL OR NOT EXISTS (SELECT FROM pg_class WHERE oid = v_at.relation) THEN
    RETURN;
  END IF;
  v_column := format(CASE WHEN v_at.store IS NULL THEN 't.%I' ELSE 't.%I COLLATE "C"' END, v_at.column_name);
  v_after := CASE WHEN p_scan.after_value = '' THEN 'IS NOT NULL'
                  WHEN v_at.store IS NULL THEN 'OPERATOR(objectlink.>) $1::objectlink.storage_ref'
                  ELSE 'OPERATOR(pg_catalog.>) $1' END;
  -- $1 is mentioned in any case, so that the query always takes the same parameters.
  EXECUTE format('SELECT array_agg(DISTINCT x.v::text COLLATE "C" ORDER BY x.v::text COLLATE "C")
                  FROM (SELECT %1$s AS v FROM %2$s AS t WHERE %1$s %3$s AND $1 IS NOT NULL ORDER BY %1$s LIMIT $2) x
                  WHERE x.v::text <> ''''',
                 v_column, v_at.relation, v_after)
    INTO v_values USING p_scan.after_value, p_limit;
  IF v_values IS NULL THEN
    RETURN;
  END IF;
  taken := cardinality(v_values);
  last := v_values[taken];
  BEGIN
    INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at)
    SELECT 'L', v_at.id, objectlink.value_ref(v_at.store, v), pg_current_xact_id(), now() FROM unnest(v_values) v;
  EXCEPTION WHEN invalid_parameter_value THEN
    -- A text that can't be a key must not hold up the others: it is recorded, and the row stays as it is.
    FOREACH v_value IN ARRAY v_values LOOP
      BEGIN
        INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at)
        VALUES ('L', v_at.id, objectlink.value_ref(v_at.store, v_value), pg_current_xact_id(), now());
      EXCEPTION WHEN invalid_parameter_value THEN
        INSERT INTO objectlink.event (cause, attachment_id, detail)
        VALUES ('not a key', v_at.id, jsonb_build_object('value', v_value, 'message', SQLERRM));
      END;
    END LOOP;
  END;
END $$;
COMMENT ON FUNCTION objectlink.scan_link_step(objectlink.scan, int) IS 'appends the next values of a column to the outbox';

CREATE FUNCTION objectlink.value_ref(p_store name, p_value text) RETURNS objectlink.storage_ref
LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN p_store IS NULL THEN p_value::objectlink.storage_ref ELSE objectlink.storage_ref(p_store::text, p_value) END
$$;
COMMENT ON FUNCTION objectlink.value_ref(name, text) IS 'the ref that a value of an attached column stands for';

CREATE FUNCTION objectlink.scan_unlink_step(p_scan objectlink.scan, p_limit int, OUT taken int, OUT last_store int, OUT last text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  WITH page AS MATERIALIZED (
    SELECT o.store_id, o.key, o.attachment_id FROM objectlink.object o
    WHERE (o.store_id, o.key) > (p_scan.after_store, p_scan.after_value)
    ORDER BY o.store_id, o.key LIMIT p_limit
  ), appended AS (
    INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at)
    SELECT 'U', p.attachment_id, objectlink.storage_ref(s.name::text, p.key), pg_current_xact_id(), now()
    FROM page p JOIN objectlink.store s ON s.id = p.store_id WHERE p.attachment_id = p_scan.attachment_id
  )
  SELECT count(*), (array_agg(p.store_id ORDER BY p.store_id DESC, p.key DESC))[1],
         (array_agg(p.key ORDER BY p.store_id DESC, p.key DESC))[1]
    INTO taken, last_store, last FROM page p;
END $$;
COMMENT ON FUNCTION objectlink.scan_unlink_step(objectlink.scan, int) IS 'appends the next objects of a truncated relation to the outbox';

CREATE FUNCTION objectlink.scan_step(p_epoch bigint, p_limit int) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_scan objectlink.scan;
  v_step record;
BEGIN
  PERFORM objectlink.assert_owner(0, p_epoch);
  SELECT * INTO v_scan FROM objectlink.scan ORDER BY last_error IS NOT NULL, id LIMIT 1;
  IF NOT FOUND THEN
    RETURN -1;
  END IF;
  BEGIN
    IF v_scan.kind = 'link' THEN
      SELECT s.taken, v_scan.after_store AS last_store, s.last INTO v_step FROM objectlink.scan_link_step(v_scan, p_limit) s;
    ELSE
      SELECT * INTO v_step FROM objectlink.scan_unlink_step(v_scan, p_limit);
    END IF;
  EXCEPTION WHEN OTHERS THEN
    -- The column can't be read now (locked, or changed): the walk waits and is tried again.
    UPDATE objectlink.scan SET last_error = SQLERRM WHERE id = v_scan.id;
    RETURN 0;
  END;
  IF v_step.taken = 0 THEN
    DELETE FROM objectlink.scan WHERE id = v_scan.id;
  ELSE
    UPDATE objectlink.scan
      SET after_store = v_step.last_store, after_value = v_step.last, done = done + v_step.taken, last_error = NULL
      WHERE id = v_scan.id;
  END IF;
  RETURN v_step.taken;
END $$;
COMMENT ON FUNCTION objectlink.scan_step(bigint, int) IS 'for the drainer: the next step of a walk; -1: none is waiting';
