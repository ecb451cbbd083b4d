-- How long is an object kept after a row that linked it went? The policies of attachments; how they are changed is in 61_alter_attachment.sql.

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
