-- put(): content handed over inside the user's transaction, uploaded after its commit.

-- A chosen key may be known: the same content again is success, other content never overwrites. What was lost
-- is not there any more: its content is handed over again.
CREATE FUNCTION objectlink.proved_content(p_store name, p_key text, p_content bytea) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_known objectlink.object;
BEGIN
  SELECT o.* INTO v_known FROM objectlink.object o JOIN objectlink.store s ON s.id = o.store_id
    WHERE s.name = p_store AND o.key = p_key AND o.verified_at IS NOT NULL;
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  IF v_known.sha256 IS DISTINCT FROM sha256(p_content) OR v_known.size IS DISTINCT FROM length(p_content) THEN
    RAISE EXCEPTION 'object "%" in store "%" exists with other content', p_key, p_store
      USING ERRCODE = 'unique_violation',
            DETAIL = format('It has %s bytes, in state %s; an object is never overwritten.', v_known.size, v_known.state),
            HINT = 'Leave key out, so that a fresh key is made.';
  END IF;
  RETURN v_known.state NOT IN ('missing', 'corrupt', 'failed');
END $$;
COMMENT ON FUNCTION objectlink.proved_content(name, text, bytea) IS 'whether a store was proved to hold this content under this key, as the snapshot shows; an error when it holds other content';

CREATE FUNCTION objectlink.is_proved(p_store name, p_key text, p_content bytea) RETURNS boolean
LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'objectlink_is_proved';
COMMENT ON FUNCTION objectlink.is_proved(name, text, bytea) IS 'for put(): proved_content() as of now, whatever the transaction''s snapshot shows';

-- What put() does, as the owner of the tables.
CREATE FUNCTION objectlink.hand_over(store name, content bytea, name text, key text, content_type text) RETURNS objectlink.storage_ref
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
DECLARE
  v_key text := key;
  v_ref objectlink.storage_ref;
  v_waiting bytea;
BEGIN
  IF store IS NULL OR content IS NULL THEN
    RAISE EXCEPTION '% must not be NULL', CASE WHEN store IS NULL THEN 'store' ELSE 'content' END
      USING ERRCODE = 'null_value_not_allowed';
  END IF;
  IF key IS NOT NULL AND name IS NOT NULL THEN
    RAISE EXCEPTION 'name and key must not both be given' USING ERRCODE = 'invalid_parameter_value',
      HINT = 'Give name to get a fresh key that ends in it, or key to choose the whole key.';
  END IF;
  IF name IN ('', '.', '..') OR name LIKE '%/%' THEN
    RAISE EXCEPTION 'invalid file name: "%"', name USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'A name is the last part of a key: not empty, not "." or "..", and without "/".',
      HINT = 'Give key to choose the whole key.';
  END IF;
  IF content_type ~ '[^\x20-\x7e]' OR length(content_type) > 255 THEN
    RAISE EXCEPTION 'invalid content type: "%"', content_type USING ERRCODE = 'invalid_parameter_value',
      DETAIL = 'A content type is at most 255 printable ASCII characters.';
  END IF;
  IF v_key IS NULL THEN
    v_key := concat(objectlink.store_prefix(store), to_char(now() AT TIME ZONE 'UTC', 'YYYY/MM/'),
                    gen_random_uuid(), '/' || name);
  END IF;
  v_ref := objectlink.storage_ref(store::text, v_key);
  -- Checks store, privilege, prefix and condemned keys of the caller before anything is kept.
  PERFORM objectlink.append_outbox('P', v_ref, NULL);

  IF key IS NOT NULL AND objectlink.is_proved(store, v_key, content) THEN
    RETURN v_ref;
  END IF;
  BEGIN
    INSERT INTO objectlink.payload (ref, size, sha256, md5, content_type, chosen_key, content)
      VALUES (v_ref, length(content), sha256(content), decode(md5(content), 'hex'), content_type, key IS NOT NULL, content);
  EXCEPTION WHEN unique_violation THEN
    SELECT p.sha256 INTO v_waiting FROM objectlink.payload p WHERE p.ref OPERATOR(pg_catalog.=) v_ref;
    IF NOT FOUND THEN
      RAISE EXCEPTION 'could not serialize access due to concurrent put of object "%" in store "%"', v_key, store
        USING ERRCODE = 'serialization_failure', HINT = 'The transaction might succeed if retried.';
    ELSIF v_waiting <> sha256(content) THEN
      RAISE EXCEPTION 'other content for object "%" in store "%" waits to be uploaded', v_key, store
        USING ERRCODE = 'unique_violation', HINT = 'Leave key out, so that a fresh key is made.';
    END IF;
  END;
  -- Once more: what was there may have been proved, and its payload freed, while the row above waited for that.
  IF key IS NOT NULL AND objectlink.is_proved(store, v_key, content) THEN
    DELETE FROM objectlink.payload p WHERE p.ref OPERATOR(pg_catalog.=) v_ref;
  END IF;
  RETURN v_ref;
END $$;
COMMENT ON FUNCTION objectlink.hand_over(name, bytea, text, text, text) IS 'for put(): checks the arguments and keeps the content';

CREATE FUNCTION objectlink.put(store name, content bytea, name text DEFAULT NULL, key text DEFAULT NULL,
                               content_type text DEFAULT NULL) RETURNS objectlink.storage_ref
    LANGUAGE C VOLATILE AS 'MODULE_PATHNAME', 'objectlink_put';
COMMENT ON FUNCTION objectlink.put(name, bytea, text, text, text) IS 'hands over content to be uploaded after commit; returns the ref to store in a row';
