-- Write-back: the state of an object -> the rows that link it, in the user's own words.
-- A user's trigger may raise, a row may be locked; neither may undo a proof. So this is work of its own, after it.
-- The registry stays what is true; a row only shows it.

CREATE FUNCTION objectlink.row_write_ms() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 1000 $$;
COMMENT ON FUNCTION objectlink.row_write_ms() IS 'a statement that writes a user''s rows, triggers included, is cancelled after so long';
CREATE FUNCTION objectlink.row_work_ms() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100 $$;
COMMENT ON FUNCTION objectlink.row_work_ms() IS 'after so long a transaction that writes users'' rows begins no other write: what it has locked is waited for';
CREATE FUNCTION objectlink.row_retry_max() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '10 minutes' $$;
COMMENT ON FUNCTION objectlink.row_retry_max() IS 'the longest pause between two tries to write rows';
CREATE FUNCTION objectlink.row_lock_retry_max() RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT interval '10 seconds' $$;
COMMENT ON FUNCTION objectlink.row_lock_retry_max() IS 'the longest pause before rows that were locked are tried again';

-- Called in the transaction that changed a state, or found a new link.
CREATE FUNCTION objectlink.queue_row_work(p_store int, p_keys text[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  IF p_keys IS NULL OR NOT EXISTS (SELECT FROM objectlink.row_policy) THEN
    RETURN;
  END IF;
  INSERT INTO objectlink.row_work AS w (store_id, key, attachment_id)
  SELECT DISTINCT p_store, o.key, p.attachment_id
  FROM unnest(p_keys) AS k (key)
  CROSS JOIN LATERAL (SELECT i.key, i.state, i.attachment_id, i.linked_by FROM objectlink.object i WHERE i.store_id = p_store AND i.key = k.key OFFSET 0) AS o
  CROSS JOIN LATERAL unnest(coalesce(o.linked_by, ARRAY[o.attachment_id])) AS a (id)
  JOIN objectlink.row_policy p ON p.attachment_id = a.id
  WHERE o.state = ANY (objectlink.shown_states()) AND (p.status_column IS NOT NULL OR p.on_upload_failure <> 'mark' AND o.state = 'failed')
  ORDER BY o.key, p.attachment_id
  ON CONFLICT ON CONSTRAINT row_work_pkey DO UPDATE
    SET generation = w.generation + 1, queued_at = clock_timestamp(), due_at = clock_timestamp(), attempts = 0, alone = false, restore = false, failed_at = NULL, compensation = NULL, error_code = NULL, last_error = NULL;
END $$;
COMMENT ON FUNCTION objectlink.queue_row_work(int, text[]) IS 'has the rows looked at that link these objects, where an attachment asks for it';

-- In one of the user's statements, the rows of the attached table that link one of $1.
CREATE FUNCTION objectlink.linking_rows(p_at objectlink.attachment) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format(CASE WHEN p_at.store IS NULL THEN 't.%I OPERATOR(pg_catalog.=) ANY ($1::objectlink.storage_ref[])'
                     ELSE 't.%I COLLATE "C" OPERATOR(pg_catalog.=) ANY ($1)' END, p_at.column_name)
         || coalesce(' AND ' || objectlink.live_row(p_at.id, 't'), '')
$$;
COMMENT ON FUNCTION objectlink.linking_rows(objectlink.attachment) IS 'the condition for rows that link one of some objects';

-- Each table is read and written as its own owner: so what hangs on a row is found step by step, and not by a join. What was found is
-- handed on as texts that the types themselves give and read.
CREATE FUNCTION objectlink.parents_of_related(p_at objectlink.attachment, p_relation oid, p_links text[]) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET extra_float_digits = 3 AS $$
DECLARE
  v_step record;
  v_question text;
  v_parents text;
BEGIN
  SELECT * INTO v_step FROM objectlink.parent_of(p_at.id, p_at.relation, p_relation);
  IF v_step.parent IS NULL THEN
    RETURN NULL;
  END IF;
  v_question := (SELECT format('SELECT ARRAY[jsonb_agg(DISTINCT jsonb_build_object(%s))::text] FROM %s AS t', string_agg(format(
                   CASE c.parent_type WHEN 'jsonb'::regtype THEN '%L, t.%I::jsonb' ELSE '%L, CASE WHEN t.%I IS DISTINCT FROM NULL THEN format(''%%s'', t.%2$I) END' END,
                   'p' || c.n, c.parent_name), ', '), v_step.parent::regclass)
                 FROM objectlink.foreign_key_columns(v_step.foreign_key) c);
  IF v_step.parent = p_at.relation THEN
    RETURN (objectlink.ask_as_owner(v_step.parent, v_question || ' WHERE ' || objectlink.linking_rows(p_at), p_links))[1];
  END IF;
  v_parents := objectlink.parents_of_related(p_at, v_step.parent, p_links);
  RETURN CASE WHEN v_parents IS NOT NULL THEN
    (objectlink.ask_as_owner(v_step.parent, v_question || ', ' || objectlink.hanging_rows(p_at, v_step.parent), ARRAY[v_parents]))[1] END;
END $$;
COMMENT ON FUNCTION objectlink.parents_of_related(objectlink.attachment, oid, text[]) IS 'on what rows of a related table hang, if it hangs on rows that link some objects: the values that their foreign key refers to, a JSON array; NULL: nothing';

CREATE FUNCTION objectlink.hanging_rows(p_at objectlink.attachment, p_relation oid) RETURNS text
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('jsonb_to_recordset(($1)[1]::jsonb) AS %s WHERE %s', objectlink.parent_values(p.foreign_key), objectlink.hangs_on(p.foreign_key, 't'))
  FROM objectlink.parent_of(p_at.id, p_at.relation, p_relation) p
$$;
COMMENT ON FUNCTION objectlink.hanging_rows(objectlink.attachment, oid) IS 'the end of a statement about the rows of a related table that hang on what parents_of_related() has found';

CREATE FUNCTION objectlink.write_status(p_at objectlink.attachment, p_status_column name, p_links text[], p_word text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_related record;
  v_parents text;
BEGIN
  IF p_status_column IS NOT NULL THEN
    PERFORM objectlink.write_as_owner(p_at.relation,
      format('WITH written AS (UPDATE %1$s AS t SET %2$I = %3$L WHERE %4$s AND t.%2$I IS DISTINCT FROM %3$L RETURNING 1) SELECT ARRAY[count(*)::text] FROM written',
             p_at.relation, p_status_column, p_word, objectlink.linking_rows(p_at)), p_links, objectlink.row_write_ms());
  END IF;
  FOR v_related IN
    SELECT r.relation, r.status_column FROM objectlink.related_table r
    JOIN pg_attribute c ON c.attrelid = r.relation AND c.attname = r.status_column AND NOT c.attisdropped
    WHERE r.attachment_id = p_at.id ORDER BY r.depth, r.relation
  LOOP
    v_parents := objectlink.parents_of_related(p_at, v_related.relation, p_links);
    CONTINUE WHEN v_parents IS NULL;
    PERFORM objectlink.write_as_owner(v_related.relation,
      format('WITH written AS (UPDATE %1$s AS t SET %2$I = %3$L FROM %4$s AND t.%2$I IS DISTINCT FROM %3$L RETURNING 1) SELECT ARRAY[count(*)::text] FROM written',
             v_related.relation, v_related.status_column, p_word, objectlink.hanging_rows(p_at, v_related.relation)), ARRAY[v_parents], objectlink.row_write_ms());
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.write_status(objectlink.attachment, name, text[], text) IS 'writes a word into the status columns of the rows that link some objects, and of those that hang on them';

-- What there was a reason to look at again meanwhile stays.
CREATE FUNCTION objectlink.end_row_work(p_work objectlink.row_work[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
BEGIN
  DELETE FROM objectlink.row_work d USING unnest(p_work) w
    WHERE d.store_id = (w).store_id AND d.key = (w).key AND d.attachment_id = (w).attachment_id AND d.generation = (w).generation;
END $$;
COMMENT ON FUNCTION objectlink.end_row_work(objectlink.row_work[]) IS 'takes objects off the list whose rows are as they should be';

-- Objects of one attachment that are in one state. Several at once, because it is as good as always possible; if it is not,
-- the caller takes them one by one.
CREATE FUNCTION objectlink.bring_rows_in_line(p_at objectlink.attachment, p_state text, p_work objectlink.row_work[]) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_policy objectlink.row_policy;
  v_column name;
  v_word text;
  v_links text[];
BEGIN
  SELECT * INTO v_policy FROM objectlink.row_policy p WHERE p.attachment_id = p_at.id;
  -- Dropped: nothing to write to. View problem_status_column says so.
  SELECT c.attname INTO v_column FROM pg_attribute c WHERE c.attrelid = p_at.relation AND c.attname = v_policy.status_column AND NOT c.attisdropped;
  v_word := CASE WHEN v_policy.status_column IS NOT NULL THEN objectlink.status_word(v_policy.status_map, p_state) END;
  v_links := ARRAY(SELECT CASE WHEN p_at.store IS NULL THEN objectlink.storage_ref(s.name::text, (w).key)::text ELSE (w).key END
                   FROM unnest(p_work) w JOIN objectlink.store s ON s.id = (w).store_id
                   WHERE p_at.store IS NULL OR p_at.store = s.name);
  IF v_word IS NOT NULL THEN
    PERFORM objectlink.write_status(p_at, v_column, v_links, v_word);
  END IF;
  IF p_state = 'failed' AND v_policy.on_upload_failure <> 'mark' AND cardinality(v_links) > 0 THEN
    BEGIN
      PERFORM objectlink.compensate_upload(p_at, v_policy, p_work[1], v_links[1]);
    EXCEPTION WHEN OTHERS OR query_canceled THEN
      -- What was given up stays to be seen in the row, if its owner wants that.
      PERFORM objectlink.note_row_failure(p_work[1], SQLSTATE, SQLERRM, v_policy.on_upload_failure);
      RETURN SQLSTATE;
    END;
  END IF;
  PERFORM objectlink.end_row_work(p_work);
  RETURN NULL;
END $$;
COMMENT ON FUNCTION objectlink.bring_rows_in_line(objectlink.attachment, text, objectlink.row_work[]) IS 'writes the state of some objects into the rows that link them, compensates those of one that was given up, and takes them off the list; returns the SQLSTATE of a compensation that failed';

CREATE FUNCTION objectlink.note_row_failure(p_work objectlink.row_work, p_code text, p_message text, p_compensation text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  -- The last one: a request to delete the object may still arrive, so no row may link it now.
  c_locked CONSTANT text[] := '{55P03,40P01,40001,55006}';
BEGIN
  UPDATE objectlink.row_work w
  SET attempts = w.attempts + 1, failed_at = coalesce(w.failed_at, clock_timestamp()), error_code = p_code, last_error = p_message,
      compensation = p_compensation,
      due_at = clock_timestamp() + CASE WHEN p_code = ANY (c_locked) THEN least(interval '250 ms' * 2 ^ least(w.attempts, 20), objectlink.row_lock_retry_max())
                                        ELSE least(interval '1 s' * 2 ^ least(w.attempts, 20), objectlink.row_retry_max()) END
  WHERE w.store_id = p_work.store_id AND w.key = p_work.key AND w.attachment_id = p_work.attachment_id AND w.generation = p_work.generation;
  IF p_work.error_code IS DISTINCT FROM p_code AND NOT p_code = ANY (c_locked) THEN
    INSERT INTO objectlink.event (store_id, key, cause, attachment_id, attempt, detail)
    VALUES (p_work.store_id, p_work.key, CASE WHEN p_compensation IS NULL THEN 'row not written' ELSE 'rows not compensated' END,
            p_work.attachment_id, p_work.attempts + 1,
            jsonb_strip_nulls(jsonb_build_object('severity', CASE WHEN p_compensation IS NOT NULL THEN 'critical' END, 'policy', p_compensation,
                                                 'code', p_code, 'message', p_message)
                              || CASE p_compensation WHEN 'restore_row' THEN objectlink.rows_to_restore(p_work) ELSE '{}' END));
    PERFORM objectlink.notify_consumers();
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.note_row_failure(objectlink.row_work, text, text, text) IS 'rows that could not be written: why, and when they are tried again';

CREATE FUNCTION objectlink.work_on_rows(p_epoch bigint, p_limit int, p_again boolean, OUT done int, OUT due_in_ms bigint, OUT again_in_ms bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET enable_seqscan = off SET lock_timeout = '250ms' AS $$
DECLARE
  v_until timestamptz := clock_timestamp() + objectlink.row_work_ms() * interval '1 ms';
  v_first objectlink.row_work;
  v_work objectlink.row_work[];
  v_state text;
  v_failed text;
  v_at objectlink.attachment;
BEGIN
  PERFORM objectlink.assert_owner(0, p_epoch);
  done := 0;
  IF NOT EXISTS (SELECT FROM objectlink.row_work) THEN
    RETURN;
  END IF;
  -- What a trigger defers would run at the end of this transaction, as somebody else than the table's owner: PostgreSQL
  -- refuses that. So it runs at once.
  SET CONSTRAINTS ALL IMMEDIATE;
  WHILE clock_timestamp() < v_until LOOP
    SELECT * INTO v_first FROM objectlink.row_work w WHERE w.failed_at IS NULL AND w.due_at <= clock_timestamp() ORDER BY w.due_at LIMIT 1;
    IF NOT FOUND AND p_again THEN
      SELECT * INTO v_first FROM objectlink.row_work w WHERE w.failed_at IS NOT NULL AND w.due_at <= clock_timestamp() ORDER BY w.due_at LIMIT 1;
    END IF;
    EXIT WHEN NOT FOUND;
    -- The state as it is now, and not as it was when there was a reason to look.
    v_state := (SELECT o.state FROM objectlink.object o WHERE o.store_id = v_first.store_id AND o.key = v_first.key);
    v_work := ARRAY[v_first];
    -- What is given up may have to be compensated: one by one.
    IF NOT v_first.alone AND NOT v_first.restore AND v_first.failed_at IS NULL AND v_state IS DISTINCT FROM 'failed' THEN
      v_work := ARRAY(SELECT w FROM objectlink.row_work w LEFT JOIN objectlink.object o ON o.store_id = w.store_id AND o.key = w.key
                      WHERE w.failed_at IS NULL AND w.due_at <= clock_timestamp() AND NOT w.alone AND NOT w.restore AND w.attachment_id = v_first.attachment_id
                        AND o.state IS NOT DISTINCT FROM v_state
                      ORDER BY w.due_at LIMIT p_limit);
      CONTINUE WHEN v_work = '{}';
    END IF;
    SELECT * INTO v_at FROM objectlink.attachment a WHERE a.id = v_first.attachment_id AND a.detached_at IS NULL;
    BEGIN
      v_failed := NULL;
      IF v_at.id IS NOT NULL AND v_first.restore AND objectlink.awaits_its_rows(v_first.store_id, v_first.key) THEN
        PERFORM objectlink.restore_all(v_first.store_id, v_first.key, false);
        PERFORM objectlink.notify_consumers();
        done := done + 1;
      ELSIF v_at.id IS NULL OR v_state IS NULL OR NOT v_state = ANY (objectlink.shown_states()) THEN
        PERFORM objectlink.end_row_work(v_work);
      ELSE
        v_failed := objectlink.bring_rows_in_line(v_at, v_state, v_work);
        EXIT WHEN v_failed IN ('55P03', '40P01', '57014');
        done := done + cardinality(v_work);
      END IF;
    -- A statement that took too long is cancelled, which OTHERS does not mean.
    EXCEPTION WHEN OTHERS OR query_canceled THEN
      IF cardinality(v_work) > 1 THEN
        -- One of them is to blame.
        UPDATE objectlink.row_work w SET alone = true FROM unnest(v_work) b
          WHERE w.store_id = (b).store_id AND w.key = (b).key AND w.attachment_id = (b).attachment_id;
      ELSE
        PERFORM objectlink.note_row_failure(v_first, SQLSTATE, SQLERRM, CASE WHEN v_first.restore THEN 'restore_row' END);
      END IF;
      -- Somebody may be waiting for what was written so far.
      EXIT WHEN SQLSTATE IN ('55P03', '40P01', '57014');
    END;
  END LOOP;
  SELECT greatest(0, ceil(extract(epoch FROM min(w.due_at) - clock_timestamp()) * 1000)) INTO due_in_ms FROM objectlink.row_work w WHERE w.failed_at IS NULL;
  SELECT greatest(0, ceil(extract(epoch FROM min(w.due_at) - clock_timestamp()) * 1000)) INTO again_in_ms FROM objectlink.row_work w WHERE w.failed_at IS NOT NULL;
END $$;
COMMENT ON FUNCTION objectlink.work_on_rows(bigint, int, boolean) IS 'for the drainer: brings users'' rows in line with the state of their objects, a few at a time, also what has failed before if p_again; says how many, and when there is more to do, for the first time or again (NULL: nothing waits)';

CREATE VIEW objectlink.problem_row AS
SELECT 'error' AS severity, s.name AS store, CASE WHEN w.compensation IS NULL THEN 'rows not written' ELSE 'rows not compensated' END AS what,
       concat(a.relation, ': ' || w.compensation, format(': rows of %s objects; one of them: %s: %s (SQLSTATE %s)', w.count, w.key, w.error, w.code)) AS detail, w.since,
       concat('mend what keeps the rows as they are (a trigger, a constraint, a lock, a right); the daemon tries again by itself',
              CASE w.compensation WHEN 'restore_row' THEN format(', or at once: SELECT objectlink.restore_rows(%L, %L). The rows are in objectlink.kept_rows', s.name, w.key) END) AS remedy
FROM (SELECT i.attachment_id, i.store_id, i.compensation, count(*), min(i.failed_at) AS since, min(i.key) AS key,
             (array_agg(i.last_error ORDER BY i.key))[1] AS error, i.error_code AS code
      FROM objectlink.row_work i WHERE i.failed_at IS NOT NULL GROUP BY i.attachment_id, i.store_id, i.compensation, i.error_code) w
JOIN objectlink.attachment a ON a.id = w.attachment_id JOIN objectlink.store s ON s.id = w.store_id;
COMMENT ON VIEW objectlink.problem_row IS 'problems: rows that cannot be brought in line with their objects';

CREATE VIEW objectlink.problem_status_column AS
SELECT 'error' AS severity, a.store, 'status column dropped' AS what,
       format('%s.%I, which showed the state of the objects of column %I, does not exist any more', a.relation, p.status_column, a.column_name) AS detail,
       NULL::timestamptz AS since,
       format('ALTER TABLE %s ADD %I ...; or attach the column anew, without it', a.relation, p.status_column) AS remedy
FROM objectlink.row_policy p JOIN objectlink.attachment a ON a.id = p.attachment_id
WHERE a.detached_at IS NULL AND p.status_column IS NOT NULL
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_attribute c WHERE c.attrelid = a.relation AND c.attname = p.status_column AND NOT c.attisdropped);
COMMENT ON VIEW objectlink.problem_status_column IS 'problems: status columns that were dropped';
