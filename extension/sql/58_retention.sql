-- How long is an object kept after a row that linked it went? The policies of attachments, and how they are changed.

-- 'keep' and a retention both say "not before": the most conservative of several is the latest. The columns of an
-- attachment come one by one, so that the call is inlined. One that was detached no longer speaks for its table alone.
CREATE FUNCTION objectlink.kept_until(p_on_unlink text, p_retention interval, p_detached boolean, p_store_retention interval, p_since timestamptz)
RETURNS timestamptz LANGUAGE sql STABLE
  RETURN CASE WHEN p_on_unlink = 'keep' THEN 'infinity'::timestamptz
              WHEN p_detached THEN p_since + greatest(p_retention, p_store_retention)
              ELSE p_since + coalesce(p_retention, p_store_retention) END;
COMMENT ON FUNCTION objectlink.kept_until(text, interval, boolean, interval, timestamptz) IS 'until when an attachment''s policy keeps an object that was unlinked at a time; infinity: for ever';

CREATE FUNCTION objectlink.keep_text() RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT 'on_unlink => keep' $$;
COMMENT ON FUNCTION objectlink.keep_text() IS 'held_reason of an object that a policy keeps';

CREATE FUNCTION objectlink.check_policy(on_unlink text, retention interval, max_attempts int) RETURNS void
LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF on_unlink IS NULL OR on_unlink NOT IN ('delete', 'keep') THEN
    RAISE EXCEPTION 'invalid on_unlink: %', CASE WHEN on_unlink IS NULL THEN 'NULL' ELSE format('"%s"', on_unlink) END USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be ''delete'' or ''keep''.';
  ELSIF retention NOT BETWEEN interval '0' AND interval '3650 days' THEN
    RAISE EXCEPTION 'invalid retention: %', retention USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be between 0 and 3650 days.';
  ELSIF max_attempts NOT BETWEEN 1 AND 1000 THEN
    RAISE EXCEPTION 'invalid max_attempts: %', max_attempts USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'It must be between 1 and 1000.';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.check_policy(text, interval, int) IS 'raises an error that says which part of a policy is wrong';

-- What is not given stays: who changes one thing must not lose the others. With the rights of objectlink, because it
-- writes an event; the owner of the table is who may do it.
CREATE FUNCTION objectlink.alter_attachment(relation regclass, column_name name, on_unlink text DEFAULT NULL, retention interval DEFAULT NULL,
                                            max_attempts int DEFAULT NULL, reset name[] DEFAULT '{}') RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_old objectlink.attachment;
  v_new objectlink.attachment;
BEGIN
  SELECT * INTO v_old FROM objectlink.attachment a
    WHERE a.relation = relation AND a.column_name = column_name AND a.detached_at IS NULL FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'column "%" of % is not attached', column_name, relation USING ERRCODE = 'undefined_object',
      HINT = 'See view objectlink.attachments.';
  ELSIF NOT pg_has_role(session_user, (SELECT c.relowner FROM pg_class c WHERE c.oid = relation), 'MEMBER') THEN
    RAISE EXCEPTION 'must be owner of table %', relation USING ERRCODE = 'insufficient_privilege';
  ELSIF NOT reset <@ '{on_unlink,retention,max_attempts}'::name[] THEN
    RAISE EXCEPTION 'invalid reset: %', reset USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'Its elements must be of on_unlink, retention, max_attempts.';
  END IF;
  v_new := v_old;
  v_new.on_unlink := coalesce(on_unlink, CASE WHEN 'on_unlink' = ANY (reset) THEN 'delete' ELSE v_old.on_unlink END);
  v_new.retention := coalesce(retention, CASE WHEN 'retention' = ANY (reset) THEN NULL ELSE v_old.retention END);
  v_new.max_attempts := coalesce(max_attempts, CASE WHEN 'max_attempts' = ANY (reset) THEN NULL ELSE v_old.max_attempts END);
  PERFORM objectlink.check_policy(v_new.on_unlink, v_new.retention, v_new.max_attempts);
  UPDATE objectlink.attachment a
    SET on_unlink = v_new.on_unlink, retention = v_new.retention, max_attempts = v_new.max_attempts WHERE a.id = v_old.id;
  INSERT INTO objectlink.event (cause, attachment_id, detail)
  VALUES ('policy changed', v_old.id, jsonb_build_object('relation', relation::text, 'column', column_name,
    'from', jsonb_build_object('on_unlink', v_old.on_unlink, 'retention', v_old.retention, 'max_attempts', v_old.max_attempts),
    'to', jsonb_build_object('on_unlink', v_new.on_unlink, 'retention', v_new.retention, 'max_attempts', v_new.max_attempts)));
  RETURN v_old.id;
END $$;
COMMENT ON FUNCTION objectlink.alter_attachment(regclass, name, text, interval, int, name[]) IS 'changes the policy of an attachment: what is given; reset => names go back to their defaults. Returns the attachment''s id';
