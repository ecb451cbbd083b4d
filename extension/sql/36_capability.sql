-- What a store was proved to be able to do. Found by the daemon with throwaway objects before its first request that changes
-- something, once for each endpoint and bucket; NULL is unknown, and then the weakest is assumed.

CREATE TABLE objectlink.capability (
  store_id                 int NOT NULL,
  configuration            text NOT NULL,
  probe_id                 uuid NOT NULL DEFAULT gen_random_uuid(),
  probed_at                timestamptz,
  versioning_at            timestamptz,
  conditional_put          boolean,
  conditional_delete       boolean,
  conditional_multi_delete boolean,
  checksums                boolean,
  multi_delete             boolean,
  list_order               boolean,
  versioning               text CHECK (versioning IN ('off', 'enabled', 'suspended')),
  bare_etag                boolean,
  last_error               text,
  CONSTRAINT capability_pkey PRIMARY KEY (store_id, configuration)
);
COMMENT ON TABLE objectlink.capability IS 'what each store was proved to be able to do; NULL: unknown';
COMMENT ON COLUMN objectlink.capability.configuration IS 'digest of endpoint and bucket: an altered server is another store, and is probed again';
COMMENT ON COLUMN objectlink.capability.probe_id IS 'its throwaway objects lie below .objectlink/probe/<probe_id>/, and what a killed daemon left there is found by it';
COMMENT ON COLUMN objectlink.capability.probed_at IS 'when the last probe came to its end; NULL: none did';
COMMENT ON COLUMN objectlink.capability.versioning_at IS 'when the bucket was last asked whether it is versioned, which can change at any time';
COMMENT ON COLUMN objectlink.capability.bare_etag IS 'If-Match takes an ETag only without its quotes';
COMMENT ON COLUMN objectlink.capability.last_error IS 'why the last probe, or a part of it, came to nothing';

CREATE FUNCTION objectlink.configuration_digest(p_endpoint text, p_bucket text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT md5(concat_ws(' ', p_endpoint, p_bucket)) $$;
COMMENT ON FUNCTION objectlink.configuration_digest(text, text) IS 'by which a store''s capabilities are remembered';

CREATE FUNCTION objectlink.known_capabilities(p_store int, p_epoch bigint, p_endpoint text, p_bucket text)
RETURNS TABLE (probe_id text, probed boolean, versioning_age_ms bigint, conditional_put boolean, conditional_delete boolean,
               conditional_multi_delete boolean, checksums boolean, multi_delete boolean, list_order boolean,
               versioning text, bare_etag boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_configuration text := objectlink.configuration_digest(p_endpoint, p_bucket);
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  -- The row comes before the first probe: it holds the name under which a killed one is tidied up.
  INSERT INTO objectlink.capability (store_id, configuration) SELECT p_store, v_configuration
    WHERE NOT EXISTS (SELECT FROM objectlink.capability c WHERE c.store_id = p_store AND c.configuration = v_configuration)
    ON CONFLICT ON CONSTRAINT capability_pkey DO NOTHING;
  RETURN QUERY
    SELECT c.probe_id::text, c.probed_at IS NOT NULL, (extract(epoch FROM clock_timestamp() - c.versioning_at) * 1000)::bigint,
           c.conditional_put, c.conditional_delete, c.conditional_multi_delete, c.checksums, c.multi_delete, c.list_order,
           c.versioning, c.bare_etag
    FROM objectlink.capability c WHERE c.store_id = p_store AND c.configuration = v_configuration;
END $$;
COMMENT ON FUNCTION objectlink.known_capabilities(int, bigint, text, text) IS 'for the owner of a store: what was recorded of it, and under which name it is probed';

-- p_found: all columns of a finished probe; or only versioning, as it was asked for or noticed by itself. NULL: nothing was found.
CREATE FUNCTION objectlink.record_capabilities(p_store int, p_epoch bigint, p_endpoint text, p_bucket text, p_found json, p_error text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_full boolean := (p_found -> 'multi_delete') IS NOT NULL;
BEGIN
  PERFORM objectlink.assert_owner(p_store, p_epoch);
  UPDATE objectlink.capability c
  SET probed_at = CASE WHEN v_full THEN clock_timestamp()
                       -- Some stores honour conditions only where nothing is versioned: all of it is found out again.
                       WHEN (c.versioning = 'off') <> (f.versioning = 'off') THEN NULL
                       ELSE c.probed_at END,
      versioning_at = CASE WHEN p_found IS NOT NULL THEN clock_timestamp() ELSE c.versioning_at END,
      conditional_put = CASE WHEN v_full THEN f.conditional_put ELSE c.conditional_put END,
      conditional_delete = CASE WHEN v_full THEN f.conditional_delete ELSE c.conditional_delete END,
      conditional_multi_delete = CASE WHEN v_full THEN f.conditional_multi_delete ELSE c.conditional_multi_delete END,
      checksums = CASE WHEN v_full THEN f.checksums ELSE c.checksums END,
      multi_delete = CASE WHEN v_full THEN f.multi_delete ELSE c.multi_delete END,
      list_order = CASE WHEN v_full THEN f.list_order ELSE c.list_order END,
      versioning = coalesce(f.versioning, c.versioning),
      bare_etag = CASE WHEN v_full THEN f.bare_etag ELSE c.bare_etag END,
      last_error = CASE WHEN v_full OR p_error IS NOT NULL THEN p_error ELSE c.last_error END
  FROM json_to_record(coalesce(p_found, '{}')) AS f (conditional_put boolean, conditional_delete boolean, conditional_multi_delete boolean,
    checksums boolean, multi_delete boolean, list_order boolean, versioning text, bare_etag boolean)
  WHERE c.store_id = p_store AND c.configuration = objectlink.configuration_digest(p_endpoint, p_bucket);
END $$;
COMMENT ON FUNCTION objectlink.record_capabilities(int, bigint, text, text, json, text) IS 'for the owner of a store: writes down what a probe has shown';

CREATE FUNCTION objectlink.forget_capabilities(store name) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
#variable_conflict use_variable
BEGIN
  -- What was known stays known until the next probe has ended; only that there was one is forgotten.
  UPDATE objectlink.capability c SET probed_at = NULL, last_error = NULL
  WHERE c.store_id = (SELECT s.id FROM objectlink.store s WHERE s.name = store);
  IF NOT FOUND AND NOT EXISTS (SELECT FROM objectlink.server v WHERE v.name = store) THEN
    RAISE EXCEPTION 'store "%" does not exist', coalesce(store::text, 'NULL') USING ERRCODE = 'undefined_object';
  END IF;
END $$;
COMMENT ON FUNCTION objectlink.forget_capabilities(name) IS 'lets the daemon find out again what a store can do, before it next changes something there';
