-- Purging: objects that are lost for good, and were long enough for everybody to put them back. What a row is worth without its object
-- only its table's owner knows, so he says what becomes of it. The daemon looks at each once more, or what somebody has put back since the
-- last run would go with its row; the object follows by the way of every other one.

-- Lost, for so long, and seen to be so by a run lately. Acknowledged: somebody wants it so.
CREATE FUNCTION objectlink.purgeable(p_store int, p_attachment int, p_states text[], p_older_than interval, p_max_age interval, p_prefix text, p_limit bigint)
RETURNS SETOF objectlink.finding
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
BEGIN
  RETURN QUERY
    SELECT f.* FROM objectlink.finding f JOIN objectlink.object o ON o.store_id = f.store_id AND o.key = f.key
    WHERE f.store_id = p_store AND f.status = 'open' AND f.kind IN ('missing', 'corrupt') AND f.kind = ANY (p_states) AND f.delete_at IS NULL
      AND f.last_seen_at >= clock_timestamp() - p_max_age AND starts_with(f.key, p_prefix)
      AND o.state = f.kind AND o.since <= clock_timestamp() - p_older_than AND o.admin_hold IS NULL
      AND p_attachment = ANY (coalesce(o.linked_by, ARRAY[o.attachment_id]))
    ORDER BY f.key LIMIT p_limit;
END $$;
COMMENT ON FUNCTION objectlink.purgeable(int, int, text[], interval, interval, text, bigint) IS 'open findings of objects that are missing or corrupt for so long, and that rows of an attachment link';

-- Within the savepoint of the caller. NULL: it is not lost any more, or something is in motion.
CREATE FUNCTION objectlink.purge_rows(p_finding objectlink.finding, p_at objectlink.attachment, p_rows text, p_detail jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off AS $$
DECLARE
  v_object objectlink.object;
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_finding.store_id);
  v_ref objectlink.storage_ref := objectlink.storage_ref(v_store::text, p_finding.key);
  v_link text := CASE WHEN p_at.store IS NULL THEN v_ref::text ELSE p_finding.key END;
  v_keys name[] := objectlink.key_columns(p_at.relation);
  v_answer text[];
BEGIN
  -- The registry first, as everywhere.
  SELECT * INTO v_object FROM objectlink.object o WHERE o.store_id = p_finding.store_id AND o.key = p_finding.key FOR UPDATE;
  IF v_object.state IS DISTINCT FROM p_finding.kind OR EXISTS (SELECT FROM objectlink.outbox b WHERE b.ref OPERATOR(pg_catalog.=) v_ref) THEN
    RETURN NULL;
  END IF;
  v_answer := objectlink.write_as_owner(p_at.relation,
    format('WITH written AS (%s RETURNING %s AS row) SELECT ARRAY[count(*)::text, (jsonb_agg(w.row) FILTER (WHERE w.n <= %s))::text] FROM (SELECT x.row, row_number() OVER () AS n FROM written x) w',
           format(CASE p_rows WHEN 'delete_row' THEN 'DELETE FROM %1$s AS t WHERE %3$s' ELSE 'UPDATE %1$s AS t SET %2$I = NULL WHERE %3$s' END,
                  p_at.relation, p_at.column_name, objectlink.linking_rows(p_at)),
           CASE WHEN v_keys IS NULL THEN 'NULL::jsonb'
                ELSE format('jsonb_build_object(%s)', (SELECT string_agg(format('%L, t.%I', k, k), ', ') FROM unnest(v_keys) k)) END,
           objectlink.compensated_rows_max()),
    ARRAY[v_link], objectlink.row_write_ms());
  -- A trigger may have left a row out without a word, and it would be forgotten.
  IF (objectlink.ask_as_owner(p_at.relation, format('SELECT ARRAY[(EXISTS (SELECT FROM %s AS t WHERE %s))::text]', p_at.relation, objectlink.linking_rows(p_at)),
                              ARRAY[v_link]))[1]::boolean THEN
    RAISE EXCEPTION 'a row of % still links the object', p_at.relation USING ERRCODE = 'triggered_data_change_violation';
  END IF;
  INSERT INTO objectlink.event (store_id, key, cause, actor, attachment_id, detail)
  VALUES (p_finding.store_id, p_finding.key, 'purged', p_finding.decided_by, p_at.id, p_detail || jsonb_strip_nulls(jsonb_build_object(
    'finding', p_finding.id, 'state', v_object.state, 'since', v_object.since, 'rows', p_rows, 'relation', p_at.relation::text, 'count', v_answer[1]::bigint,
    'keys', CASE WHEN v_keys IS NOT NULL THEN v_answer[2]::jsonb END, 'size', v_object.size, 'etag', v_object.etag, 'sha256', encode(v_object.sha256, 'hex'))));
  -- Where other rows link it, it is still lost.
  UPDATE objectlink.finding f
  SET status = 'resolved', resolved_at = clock_timestamp(), resolution = format('purged by %s', f.decided_by)
  WHERE f.id = p_finding.id AND NOT EXISTS (SELECT FROM objectlink.linked(ARRAY[v_ref]));
  RETURN v_answer[1]::bigint;
END $$;
COMMENT ON FUNCTION objectlink.purge_rows(objectlink.finding, objectlink.attachment, text, jsonb) IS 'deletes the rows of one attachment that link a lost object, or sets their links NULL, as their owner; says how many. NULL: it is not lost, or in motion';

-- What a look has shown of an object that is to be purged. False: its rows stay, at least for now.
CREATE FUNCTION objectlink.conclude_purge(p_finding objectlink.finding, p_sighting text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_at objectlink.attachment;
  v_reason text;
BEGIN
  SELECT * INTO v_at FROM objectlink.attachment a WHERE a.id = (p_finding.purge ->> 'attachment')::int AND a.detached_at IS NULL;
  IF v_at.id IS NULL THEN
    v_reason := 'the column is not attached any more';
  ELSIF p_finding.kind = 'missing' AND p_sighting <> 'absent' THEN
    v_reason := 'the store has it again';
  ELSIF p_sighting = 'other' THEN
    v_reason := 'the store has something else under its key than what was found';
  ELSE
    BEGIN
      IF objectlink.purge_rows(p_finding, v_at, p_finding.purge ->> 'rows', jsonb_strip_nulls(jsonb_build_object('reason', p_finding.reason, 'older_than', p_finding.purge -> 'older_than'))) IS NULL THEN
        v_reason := 'it is in motion';
      END IF;
    EXCEPTION
      WHEN lock_not_available OR deadlock_detected THEN
        -- Others come first.
        UPDATE objectlink.finding f SET look_after = clock_timestamp() + objectlink.refused_look_pause(1) WHERE f.id = p_finding.id;
        RETURN false;
      WHEN OTHERS OR query_canceled THEN
        -- One row that cannot go keeps no other one.
        v_reason := SQLERRM;
    END;
  END IF;
  UPDATE objectlink.finding f
  SET delete_at = NULL, purge = NULL, look_after = NULL, resolution = CASE WHEN v_reason IS NOT NULL THEN 'not purged: ' || v_reason WHEN f.status = 'resolved' THEN f.resolution END
  WHERE f.id = p_finding.id;
  IF v_reason IS NOT NULL THEN
    INSERT INTO objectlink.event (store_id, key, cause, actor, attachment_id, detail)
    VALUES (p_finding.store_id, p_finding.key, 'not purged', p_finding.decided_by, p_finding.attachment_id, jsonb_build_object('finding', p_finding.id, 'reason', v_reason));
  END IF;
  RETURN v_reason IS NULL;
END $$;
COMMENT ON FUNCTION objectlink.conclude_purge(objectlink.finding, text) IS 'for confirm_deletions(): purges the rows of a lost object that a look has shown to be lost still; says whether';

CREATE FUNCTION objectlink.check_purge(p_at objectlink.attachment, p_relation regclass, p_column name, p_rows text, p_states text[]) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF p_at.id IS NULL THEN
    RAISE EXCEPTION 'column % of % is not attached', coalesce(quote_ident(p_column), 'NULL'), coalesce(p_relation::text, 'NULL') USING ERRCODE = 'undefined_object',
      HINT = 'See view objectlink.attachments.';
  ELSIF NOT pg_has_role(session_user, (SELECT c.relowner FROM pg_class c WHERE c.oid = p_relation), 'USAGE') THEN
    RAISE EXCEPTION 'must be owner of table %', p_relation USING ERRCODE = 'insufficient_privilege',
      DETAIL = 'What becomes of its rows is for its owner to say.';
  ELSIF p_rows IS NULL OR p_rows NOT IN ('delete_row', 'set_null') THEN
    RAISE EXCEPTION 'invalid value for rows: %', CASE WHEN p_rows IS NULL THEN 'NULL' ELSE format('"%s"', p_rows) END USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Valid values are delete_row and set_null.';
  ELSIF p_rows = 'set_null' AND (SELECT a.attnotnull FROM pg_attribute a WHERE a.attrelid = p_relation AND a.attname = p_column) THEN
    RAISE EXCEPTION 'column % of % must not be NULL', quote_ident(p_column), p_relation USING ERRCODE = 'object_not_in_prerequisite_state',
      HINT = 'Say rows => ''delete_row'', or drop the constraint.';
  ELSIF p_states IS NULL OR cardinality(p_states) = 0 OR NOT p_states <@ '{missing,corrupt}' THEN
    RAISE EXCEPTION 'invalid states: %', coalesce(p_states::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Valid states are missing and corrupt.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_purge(objectlink.attachment, regclass, name, text, text[]) IS 'raises an error that says why rows cannot be purged';

CREATE FUNCTION objectlink.purge_corrupt(relation regclass, column_name name, older_than interval, rows text, states text[] DEFAULT '{missing,corrupt}',
                                         store name DEFAULT NULL, prefix text DEFAULT NULL, max_age interval DEFAULT '1 day', at_most int DEFAULT 1000,
                                         at_most_share int DEFAULT 10, reason text DEFAULT NULL, dry_run boolean DEFAULT true)
RETURNS TABLE (store_name name, objects bigint, bytes bigint, example_key text, note text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
#variable_conflict use_variable
DECLARE
  v_at objectlink.attachment;
  v_store record;
  v_findings objectlink.finding[];
  v_known bigint;
  v_too_many text;  -- why a call that acts would stop
BEGIN
  SELECT * INTO v_at FROM objectlink.attachment a WHERE a.relation = purge_corrupt.relation AND a.column_name = purge_corrupt.column_name AND a.detached_at IS NULL;
  PERFORM objectlink.check_purge(v_at, relation, column_name, rows, states);
  IF older_than IS NULL OR older_than < interval '0' OR max_age IS NULL OR max_age < interval '0' THEN
    RAISE EXCEPTION 'invalid older_than or max_age: %, %', coalesce(older_than::text, 'NULL'), coalesce(max_age::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'They must be given, and not negative.';
  ELSIF at_most IS NULL OR at_most NOT BETWEEN 1 AND 100000 OR at_most_share IS NULL OR at_most_share NOT BETWEEN 1 AND 100 THEN
    RAISE EXCEPTION 'invalid at_most or at_most_share: %, %', coalesce(at_most::text, 'NULL'), coalesce(at_most_share::text, 'NULL') USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'at_most must be between 1 and 100000, at_most_share between 1 and 100 percent.';
  ELSIF dry_run IS NULL THEN
    RAISE EXCEPTION 'dry_run must not be NULL' USING ERRCODE = 'null_value_not_allowed';
  ELSIF length(reason) > 200 THEN
    RAISE EXCEPTION 'reason is too long' USING ERRCODE = 'invalid_parameter_value', DETAIL = 'It must have at most 200 characters.';
  ELSIF store IS NOT NULL AND NOT EXISTS (SELECT FROM objectlink.server s WHERE s.name = store) THEN
    RAISE EXCEPTION 'store "%" does not exist', store USING ERRCODE = 'undefined_object', HINT = 'See view objectlink.server.';
  END IF;
  FOR v_store IN
    SELECT t.id, t.name FROM objectlink.store t JOIN objectlink.server v ON v.name = t.name
    WHERE t.name = coalesce(store, v_at.store, t.name) AND t.name = coalesce(v_at.store, t.name) ORDER BY t.name
  LOOP
    v_findings := ARRAY(SELECT f FROM objectlink.purgeable(v_store.id, v_at.id, states, older_than, max_age, coalesce(prefix, ''), at_most::bigint + 1) f);
    CONTINUE WHEN cardinality(v_findings) = 0;
    v_too_many := NULL;
    IF cardinality(v_findings) > at_most THEN
      v_too_many := format('more than at_most (%s) objects of this store', at_most);
    ELSIF cardinality(v_findings) >= objectlink.repair_share_from() AND at_most_share < 100 THEN
      SELECT count(*) INTO v_known FROM (SELECT FROM objectlink.object o WHERE o.store_id = v_store.id LIMIT cardinality(v_findings)::bigint * 100 / at_most_share + 1) x;
      IF cardinality(v_findings)::bigint * 100 > v_known * at_most_share THEN
        v_too_many := format('at least %s objects of a store of %s are more than at_most_share (%s percent)', cardinality(v_findings), v_known, at_most_share);
      END IF;
    END IF;
    IF v_too_many IS NOT NULL AND NOT dry_run THEN
      RAISE EXCEPTION 'too many objects to purge in store "%"', v_store.name USING ERRCODE = 'program_limit_exceeded', DETAIL = upper(left(v_too_many, 1)) || substr(v_too_many, 2) || '.',
        HINT = 'Look at objectlink.findings: so many may mean that something else is wrong. Narrow prefix or states, or raise the limit if all of them are meant.';
    END IF;
    store_name := v_store.name;
    objects := cardinality(v_findings);
    bytes := (SELECT sum(coalesce((f.evidence ->> 'proved_size')::bigint, 0)) FROM unnest(v_findings) f);
    example_key := v_findings[1].key;
    note := CASE WHEN objectlink.is_fenced(v_store.id) THEN 'the store is fenced: what it lacks may be elsewhere; nothing was done'
                 WHEN dry_run THEN concat_ws('; ', 'a dry run: nothing was done', 'too many to be done: ' || v_too_many)
                 ELSE 'the daemon looks at each once more before it does it' END;
    IF NOT dry_run AND NOT objectlink.is_fenced(v_store.id) THEN
      UPDATE objectlink.finding f
      SET delete_at = clock_timestamp(), looks_refused = 0, look_after = NULL, resolution = NULL, decided_by = session_user, reason = reason,
          purge = jsonb_build_object('attachment', v_at.id, 'rows', rows, 'older_than', older_than)
      WHERE f.id = ANY (ARRAY(SELECT (p).id FROM unnest(v_findings) p)) AND f.status = 'open' AND f.delete_at IS NULL;
      INSERT INTO objectlink.event (store_id, key, cause, attachment_id, detail)
      SELECT v_store.id, (p).key, 'purge of a finding', v_at.id, jsonb_strip_nulls(jsonb_build_object('finding', (p).id, 'kind', (p).kind, 'rows', rows, 'reason', reason))
      FROM unnest(v_findings) p;
      PERFORM objectlink.ring_daemon();
    END IF;
    RETURN NEXT;
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.purge_corrupt(regclass, name, interval, text, text[], name, text, interval, int, int, text, boolean) IS 'deletes the rows of a table whose objects are missing or corrupt for so long (delete_row), or sets their links NULL (set_null), as its owner, once the daemon has looked that each is lost still; the objects go by the way of every other. Only says what it would do unless dry_run => false';
