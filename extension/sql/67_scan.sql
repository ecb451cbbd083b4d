-- Walks in small steps: rows that existed before attach are linked, objects of a table that was truncated or dropped are
-- asked about. A step appends to the outbox, and apply does the rest; only after a drop it asks itself, as there is no row
-- that the outbox could name. A third kind has rows show the state of their objects otherwise than before.

-- Follows the order of the column's own index, not the table's pages: a row that moves while the walk is
-- under way stays where it is in this order.
CREATE FUNCTION objectlink.scan_link_step(p_scan objectlink.scan, p_limit int, OUT taken int, OUT last text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET row_security = off SET enable_seqscan = off SET lock_timeout = '250ms' AS $$
DECLARE
  v_at objectlink.attachment;
  v_relation regclass;
  v_column text;
  v_after text;
  v_values text[];
  v_value text;
  v_live text;
  v_refs objectlink.storage_ref[];
BEGIN
  taken := 0;
  SELECT * INTO v_at FROM objectlink.attachment WHERE id = p_scan.attachment_id;
  v_relation := coalesce(p_scan.relid, v_at.relation);
  IF v_at.detached_at IS NOT NULL
     OR NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = v_relation AND a.attname = v_at.column_name AND NOT a.attisdropped) THEN
    RETURN;
  END IF;
  v_column := format(CASE WHEN v_at.store IS NULL THEN 't.%I' ELSE 't.%I COLLATE "C"' END, v_at.column_name);
  -- The empty text is no key and comes before every other. $1 is mentioned in any case, so that its type is known.
  v_after := CASE WHEN v_at.store IS NOT NULL THEN 'OPERATOR(pg_catalog.>) ($1)[1]'
                  WHEN p_scan.after_value = '' THEN 'IS NOT NULL AND $1 IS NOT NULL'
                  ELSE 'OPERATOR(pg_catalog.>) ($1)[1]::objectlink.storage_ref' END;
  v_values := objectlink.ask_as_owner(v_relation,
    format('SELECT array_agg(DISTINCT x.v::text COLLATE "C" ORDER BY x.v::text COLLATE "C")
            FROM (SELECT %1$s AS v FROM %2$s AS t WHERE %1$s %3$s ORDER BY %1$s LIMIT %4$s) x',
           v_column, v_relation, v_after, p_limit),
    ARRAY[p_scan.after_value]);
  IF v_values IS NULL THEN
    RETURN;
  END IF;
  taken := cardinality(v_values);
  last := v_values[taken];
  -- Of a value that a page ends with, another row may be the one that links: so it is the question that is put, as everywhere.
  v_live := objectlink.live_row(v_at.id, 't');
  IF v_live IS NOT NULL THEN
    v_live := objectlink.asking_query(v_relation, v_at.column_name, objectlink.tree_is_indexed(v_relation, v_at.column_name, v_at.store IS NOT NULL),
                                      v_at.store IS NOT NULL, v_live);
    v_values := coalesce(CASE WHEN v_at.store IS NOT NULL THEN objectlink.ask_as_owner(v_relation, v_live, v_values)
                              ELSE objectlink.ask_as_owner(v_relation, v_live, v_values::objectlink.storage_ref[])::text[] END, '{}');
  END IF;
  BEGIN
    v_refs := ARRAY(SELECT objectlink.value_ref(v_at.store, v) FROM unnest(v_values) v);
  EXCEPTION WHEN invalid_parameter_value THEN
    -- A text that can't be a key must not hold up the others: it is recorded, and the row stays as it is.
    FOREACH v_value IN ARRAY v_values LOOP
      BEGIN
        v_refs := v_refs || objectlink.value_ref(v_at.store, v_value);
      EXCEPTION WHEN invalid_parameter_value THEN
        INSERT INTO objectlink.event (cause, attachment_id, detail)
        VALUES ('not a key', v_at.id, jsonb_build_object('value', v_value, 'message', SQLERRM));
      END;
    END LOOP;
  END;
  WITH placed AS MATERIALIZED (
    SELECT r AS ref, objectlink.key_is_ours(s.prefix, objectlink.key(r)) AS ours
    FROM unnest(v_refs) r
    JOIN (SELECT d.name, objectlink.store_prefix(d.name) AS prefix
          FROM (SELECT DISTINCT objectlink.store(r) AS name FROM unnest(v_refs) r) d) s ON s.name = objectlink.store(r)
  ), refused AS (
    INSERT INTO objectlink.event (cause, attachment_id, detail)
    SELECT 'not a key', v_at.id, jsonb_build_object('value', p.ref::text, 'message', 'not below the prefix of its store, or reserved')
    FROM placed p WHERE NOT p.ours
  )
  INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at, image)
  SELECT 'L', v_at.id, p.ref, pg_current_xact_id(), now(), p_scan.image FROM placed p WHERE p.ours;
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
DECLARE
  -- What was a partition may still be known by the attachment of the tree it left.
  v_ids int[] := ARRAY(WITH RECURSIVE origin (id) AS (
    SELECT p_scan.attachment_id
    UNION SELECT a.split_from FROM origin o JOIN objectlink.attachment a ON a.id = o.id WHERE a.split_from IS NOT NULL
  ) SELECT o.id FROM origin o);
  v_touched objectlink.touched[];
BEGIN
  taken := 0;
  -- Dropped after it was truncated, or before that was even applied: the walk that holds its objects sees to all of them.
  IF p_scan.hold IS NULL AND EXISTS (SELECT FROM objectlink.attachment a WHERE a.id = p_scan.attachment_id AND a.dropped IS NOT NULL) THEN
    RETURN;
  END IF;
  WITH page AS MATERIALIZED (
    SELECT o.store_id, o.key, o.attachment_id = ANY (v_ids) OR o.linked_by && v_ids AS linked, o.state, o.issued_at FROM objectlink.object o
    WHERE (o.store_id, o.key) > (p_scan.after_store, p_scan.after_value)
    -- Locked, so that issue() waits and then sees what is appended here.
    ORDER BY o.store_id, o.key LIMIT p_limit FOR NO KEY UPDATE
  ), asked AS MATERIALIZED (
    SELECT objectlink.storage_ref(s.name::text, p.key) AS ref, p.state FROM page p JOIN objectlink.store s ON s.id = p.store_id
    -- Issued: only its end is possible. Applied after that, an unlink would delete whatever lies under the key by then.
    WHERE p.linked AND p.issued_at IS NULL
  ), appended AS (
    INSERT INTO objectlink.outbox (op, attachment_id, ref, xid, at, role, image)
    SELECT 'U', p_scan.attachment_id, a.ref, pg_current_xact_id(), coalesce(p_scan.at, now()), p_scan.role, p_scan.image
    FROM asked a WHERE p_scan.hold IS NULL
  )
  SELECT count(*), (array_agg(p.store_id ORDER BY p.store_id DESC, p.key DESC))[1],
         (array_agg(p.key ORDER BY p.store_id DESC, p.key DESC))[1],
         (SELECT array_agg((a.ref, false, false, false, p_scan.attachment_id, NULL, NULL, NULL, NULL, NULL, false, p_scan.hold, NULL, NULL, NULL, p_scan.cause, false)::objectlink.touched)
          FROM asked a WHERE p_scan.hold IS NOT NULL AND a.state NOT IN ('unlinked', 'deleting'))
    INTO taken, last_store, last, v_touched FROM page p;
  IF v_touched IS NOT NULL AND objectlink.apply_touched(v_touched) > 0 THEN
    RAISE EXCEPTION 'a table that may link these objects cannot be asked now' USING ERRCODE = 'object_not_in_prerequisite_state';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.scan_unlink_step(objectlink.scan, int) IS 'the next objects of a relation that was truncated (appended to the outbox) or dropped (asked about, and held)';

-- Rows of what had failed by then were treated as it was asked for at that time: where more than the status is asked for now, they
-- stay as they are.
CREATE FUNCTION objectlink.scan_show_step(p_scan objectlink.scan, p_limit int, OUT taken int, OUT last_store int, OUT last text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_compensates boolean := EXISTS (SELECT FROM objectlink.row_policy p WHERE p.attachment_id = p_scan.attachment_id AND p.on_upload_failure <> 'mark');
  v_store record;
BEGIN
  taken := 0;
  FOR v_store IN
    WITH page AS MATERIALIZED (
      SELECT o.store_id, o.key, o.state, o.attachment_id, o.linked_by FROM objectlink.object o
      WHERE (o.store_id, o.key) > (p_scan.after_store, p_scan.after_value) ORDER BY o.store_id, o.key LIMIT p_limit
    )
    SELECT p.store_id, count(*) AS count, max(p.key COLLATE "C") AS last,
           array_agg(p.key) FILTER (WHERE (p.attachment_id = p_scan.attachment_id OR p_scan.attachment_id = ANY (p.linked_by))
                                      AND NOT (v_compensates AND p.state = 'failed')) AS keys
    FROM page p GROUP BY p.store_id ORDER BY p.store_id
  LOOP
    PERFORM objectlink.queue_row_work(v_store.store_id, v_store.keys);
    taken := taken + v_store.count;
    last_store := v_store.store_id;
    last := v_store.last;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.scan_show_step(objectlink.scan, int) IS 'has the rows of the next objects of an attachment looked at';

-- Many partitions are often dropped one after the other: one walk serves all whose drop is committed when it begins. Of a drop and
-- another soft-delete column nobody can say which has left an object without a row: it is held for both.
CREATE FUNCTION objectlink.scan_join_holds(p_scan objectlink.scan) RETURNS objectlink.scan
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  c_named_max CONSTANT int := 5;
  v_holds text[];
BEGIN
  WITH others AS (
    DELETE FROM objectlink.scan s WHERE s.attachment_id = p_scan.attachment_id AND s.kind = 'unlink' AND s.hold IS NOT NULL AND s.done = 0
    AND s.id <> p_scan.id RETURNING s.id, s.hold, s.cause
  ) SELECT array_agg(o.hold ORDER BY o.id), CASE WHEN bool_or(o.cause = 'drop') THEN 'drop' ELSE p_scan.cause END INTO v_holds, p_scan.cause FROM others o;
  IF v_holds IS NOT NULL THEN
    v_holds := p_scan.hold || v_holds;
    p_scan.hold := array_to_string(v_holds[:c_named_max], '; ')
                   || CASE WHEN cardinality(v_holds) > c_named_max THEN format('; and %s more', cardinality(v_holds) - c_named_max) ELSE '' END;
    UPDATE objectlink.scan SET hold = p_scan.hold, cause = p_scan.cause WHERE id = p_scan.id;
  END IF;
  RETURN p_scan;
END $$;
COMMENT ON FUNCTION objectlink.scan_join_holds(objectlink.scan) IS 'takes other walks after drops of the same tree, that have not begun yet, into this one';

CREATE FUNCTION objectlink.scan_step(p_epoch bigint, p_limit int) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_scan objectlink.scan;
  v_step record;
BEGIN
  PERFORM objectlink.assert_owner(0, p_epoch);
  -- Those that failed come last, in turn: one that can't go on must not hold up the others.
  -- The outbox is not read in the order of commits: a link that is applied behind the walk after its TRUNCATE would find its row
  -- gone and no unlink, and be held for ever.
  SELECT * INTO v_scan FROM objectlink.scan s
    WHERE s.links_before IS NULL OR s.done > 0 OR NOT EXISTS (SELECT FROM objectlink.outbox o WHERE o.xid < s.links_before)
    ORDER BY s.failed_at NULLS FIRST, s.id LIMIT 1;
  IF NOT FOUND THEN
    RETURN CASE WHEN EXISTS (SELECT FROM objectlink.scan) THEN 0 ELSE -1 END;
  END IF;
  BEGIN
    IF v_scan.kind = 'link' THEN
      SELECT s.taken, v_scan.after_store AS last_store, s.last INTO v_step FROM objectlink.scan_link_step(v_scan, p_limit) s;
    ELSIF v_scan.kind = 'show' THEN
      SELECT * INTO v_step FROM objectlink.scan_show_step(v_scan, p_limit);
    ELSE
      IF v_scan.hold IS NOT NULL AND v_scan.done = 0 THEN
        v_scan := objectlink.scan_join_holds(v_scan);
      END IF;
      SELECT * INTO v_step FROM objectlink.scan_unlink_step(v_scan, p_limit);
    END IF;
  EXCEPTION WHEN OTHERS THEN
    -- The column can't be read now (locked, or changed): the walk waits and is tried again.
    UPDATE objectlink.scan SET last_error = SQLERRM, failed_at = clock_timestamp() WHERE id = v_scan.id;
    RETURN 0;
  END;
  IF v_step.taken = 0 THEN
    DELETE FROM objectlink.scan WHERE id = v_scan.id;
  ELSE
    UPDATE objectlink.scan
      SET after_store = v_step.last_store, after_value = v_step.last, done = done + v_step.taken,
          last_error = NULL, failed_at = NULL
      WHERE id = v_scan.id;
  END IF;
  RETURN v_step.taken;
END $$;
COMMENT ON FUNCTION objectlink.scan_step(bigint, int) IS 'for the drainer: the next step of a walk; -1: none is waiting';
