-- Compensation: what becomes of rows whose object was given up, where the table's owner wants more than to see it.

-- Of the rows that were deleted, or lost their link, an event names so many.
CREATE FUNCTION objectlink.compensated_rows_max() RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 100 $$;
COMMENT ON FUNCTION objectlink.compensated_rows_max() IS 'an event about compensated rows names the keys of so many of them';

-- An upload (or the look for an object that somebody else uploaded) was given up. Within the savepoint of the caller: if one
-- of the rows cannot be compensated, none is.
CREATE FUNCTION objectlink.compensate_upload(p_at objectlink.attachment, p_policy objectlink.row_policy, p_work objectlink.row_work, p_link text)
RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_object objectlink.object;
  v_ref objectlink.storage_ref;
  v_keys name[] := objectlink.key_columns(p_at.relation);
  v_answer text[];
  v_rows jsonb;
BEGIN
  -- The registry first, as everywhere. From here until the end of this transaction nothing becomes of the object.
  SELECT * INTO v_object FROM objectlink.object o WHERE o.store_id = p_work.store_id AND o.key = p_work.key FOR UPDATE;
  IF NOT FOUND OR v_object.state <> 'failed' THEN
    RETURN false;
  END IF;
  -- Linked anew, or handed over again, and not applied yet: that is a reason to try once more. Apply comes back to it.
  v_ref := objectlink.storage_ref((SELECT s.name::text FROM objectlink.store s WHERE s.id = p_work.store_id), p_work.key);
  IF EXISTS (SELECT FROM objectlink.outbox b WHERE b.ref OPERATOR(pg_catalog.=) v_ref AND b.op IN ('L', 'P')) THEN
    RETURN false;
  END IF;
  v_answer := objectlink.write_as_owner(p_at.relation,
    format('WITH written AS (%s RETURNING %s AS row) SELECT ARRAY[count(*)::text, (jsonb_agg(w.row) FILTER (WHERE w.n <= %s))::text] FROM (SELECT x.row, row_number() OVER () AS n FROM written x) w',
           format(CASE p_policy.on_upload_failure WHEN 'delete_row' THEN 'DELETE FROM %1$s AS t WHERE %3$s' ELSE 'UPDATE %1$s AS t SET %2$I = NULL WHERE %3$s' END,
                  p_at.relation, p_at.column_name, objectlink.linking_rows(p_at)),
           CASE WHEN v_keys IS NULL THEN 'NULL::jsonb'
                ELSE format('jsonb_build_object(%s)', (SELECT string_agg(format('%L, t.%I', k, k), ', ') FROM unnest(v_keys) k)) END,
           objectlink.compensated_rows_max()),
    ARRAY[p_link], objectlink.row_write_ms());
  -- A trigger may have left a row out without a word, and it would be forgotten.
  IF (objectlink.ask_as_owner(p_at.relation, format('SELECT ARRAY[(EXISTS (SELECT FROM %s AS t WHERE %s))::text]', p_at.relation, objectlink.linking_rows(p_at)),
                              ARRAY[p_link]))[1]::boolean THEN
    RAISE EXCEPTION 'a row of % still links the object', p_at.relation USING ERRCODE = 'triggered_data_change_violation';
  END IF;
  IF v_answer[1] <> '0' THEN
    v_rows := v_answer[2]::jsonb;
    INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
    VALUES (p_work.store_id, p_work.key, 'rows compensated', p_at.id, jsonb_strip_nulls(jsonb_build_object(
      'policy', p_policy.on_upload_failure, 'relation', p_at.relation::text, 'count', v_answer[1]::bigint,
      'rows', CASE WHEN v_keys IS NOT NULL THEN v_rows END,
      'class', v_object.error_class, 'code', v_object.error_code, 'message', v_object.last_error)));
    PERFORM objectlink.notify_consumers();
  END IF;
  RETURN true;
END $$;
COMMENT ON FUNCTION objectlink.compensate_upload(objectlink.attachment, objectlink.row_policy, objectlink.row_work, text) IS 'deletes the rows that link an object which was given up, or sets their links NULL, as their attachment asks; false: it is not given up any more';
