-- Erasures: what was deleted, when, by whom and from which row, and how the store showed that it is gone. A record outlives
-- its object. Each carries the hash of the one before, so that a record cannot be changed or taken out unnoticed.

CREATE TABLE objectlink.erasure (
  store_id      int NOT NULL,
  id            bigint NOT NULL,
  at            timestamptz NOT NULL,
  store         text NOT NULL,
  bucket        text,
  key           text COLLATE "C" NOT NULL,
  version_id    text,
  size          bigint,
  sha256        bytea,
  etag          text,
  stored_at     timestamptz,
  attachment_id int,
  relation      text,
  column_name   text,
  row_key       jsonb,
  act           text,
  unlinked_by   text,
  unlinked_at   timestamptz,
  found_at      timestamptz NOT NULL,
  requested_at  timestamptz,
  request_id    text,
  proof         text,
  worker        text,
  epoch         bigint,
  prev_hash     bytea NOT NULL,
  hash          bytea NOT NULL,
  CONSTRAINT erasure_pkey PRIMARY KEY (store_id, id)
);
-- In the order of time, so a summary of blocks is enough; a B-tree would cost every deletion.
CREATE INDEX erasure_at ON objectlink.erasure USING brin (at) WITH (autosummarize = true);
COMMENT ON TABLE objectlink.erasure IS 'one record for each object that was erased; each store''s records are a chain of hashes';
COMMENT ON COLUMN objectlink.erasure.id IS 'counts from 1 in each store, without gaps';
COMMENT ON COLUMN objectlink.erasure.at IS 'when the erasure was proved and recorded';
COMMENT ON COLUMN objectlink.erasure.store IS 'the store''s name, and below its bucket, at that time';
COMMENT ON COLUMN objectlink.erasure.stored_at IS 'last proof that the store had it; NULL: it was never proved to be there';
COMMENT ON COLUMN objectlink.erasure.attachment_id IS 'the attachment whose row unlinked it last';
COMMENT ON COLUMN objectlink.erasure.relation IS 'the table of the row that unlinked it last, by its name at that time';
COMMENT ON COLUMN objectlink.erasure.row_key IS 'the primary key of that row; NULL: no single row, or it had no key';
COMMENT ON COLUMN objectlink.erasure.act IS 'what took the link away: delete, update, soft delete, truncate; or: never linked';
COMMENT ON COLUMN objectlink.erasure.unlinked_by IS 'the role that did it; of an object that was never linked, the role that handed it over';
COMMENT ON COLUMN objectlink.erasure.unlinked_at IS 'when the transaction that unlinked it began';
COMMENT ON COLUMN objectlink.erasure.found_at IS 'when objectlink found it unlinked: that transaction had ended by then';
COMMENT ON COLUMN objectlink.erasure.requested_at IS 'when the deletion was committed to; the request went out after it';
COMMENT ON COLUMN objectlink.erasure.request_id IS 'the store''s id of the request';
COMMENT ON COLUMN objectlink.erasure.proof IS 'how the store showed that it does not have the object';
COMMENT ON COLUMN objectlink.erasure.prev_hash IS 'the hash of the record before; of the first one, 32 bytes of zero';
COMMENT ON COLUMN objectlink.erasure.hash IS 'SHA-256 of prev_hash and of the record''s text, see erasure_text()';

-- The end of each chain, so that one cut short shows.
CREATE TABLE objectlink.erasure_chain (
  store_id  int PRIMARY KEY,
  last_id   bigint NOT NULL DEFAULT 0,
  last_hash bytea NOT NULL DEFAULT decode(repeat('00', 32), 'hex')
) WITH (fillfactor = 50);
COMMENT ON TABLE objectlink.erasure_chain IS 'where each store''s chain of erasure records ends';
COMMENT ON COLUMN objectlink.erasure_chain.last_id IS 'the latest record; 0: there was none';

-- Its beginning after a purge. A table of its own: a long purge must not hold up those who append.
CREATE TABLE objectlink.erasure_purged (
  store_id int PRIMARY KEY,
  id       bigint NOT NULL,
  hash     bytea NOT NULL,
  before   timestamptz NOT NULL
);
COMMENT ON TABLE objectlink.erasure_purged IS 'up to where each store''s erasure records were purged';
COMMENT ON COLUMN objectlink.erasure_purged.id IS 'the last record that was purged';
COMMENT ON COLUMN objectlink.erasure_purged.hash IS 'its hash, to which the first record that is left refers';
COMMENT ON COLUMN objectlink.erasure_purged.before IS 'what was purged is from before this point in time';

-- The one text of a point in time, whatever the session's settings.
CREATE FUNCTION objectlink.utc_text(p_at timestamptz) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
  RETURN to_char(p_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
COMMENT ON FUNCTION objectlink.utc_text(timestamptz) IS 'a point in time as text in UTC, with microseconds';

-- What is hashed, and exported. Every value a string or null, so that nobody's idea of numbers matters.
CREATE FUNCTION objectlink.erasure_text(p_record objectlink.erasure) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
  RETURN json_object(ARRAY[
    'id', (p_record).id::text, 'at', objectlink.utc_text((p_record).at), 'store', (p_record).store, 'bucket', (p_record).bucket,
    'key', (p_record).key, 'version_id', (p_record).version_id, 'size', (p_record).size::text,
    'sha256', encode((p_record).sha256, 'hex'), 'etag', (p_record).etag, 'stored_at', objectlink.utc_text((p_record).stored_at),
    'attachment_id', (p_record).attachment_id::text, 'relation', (p_record).relation, 'column_name', (p_record).column_name, 'row_key', (p_record).row_key::text,
    'act', (p_record).act, 'unlinked_by', (p_record).unlinked_by, 'unlinked_at', objectlink.utc_text((p_record).unlinked_at),
    'found_at', objectlink.utc_text((p_record).found_at), 'requested_at', objectlink.utc_text((p_record).requested_at),
    'request_id', (p_record).request_id, 'proof', (p_record).proof, 'worker', (p_record).worker, 'epoch', (p_record).epoch::text])::text;
COMMENT ON FUNCTION objectlink.erasure_text(objectlink.erasure) IS 'the text of a record that is hashed after prev_hash: a JSON object of strings and nulls, names and order fixed';

-- Called by settle() in the transaction that removes the registry rows: either both are there or neither.
CREATE TYPE objectlink.erased AS (was objectlink.object, request_id text, proof text);
COMMENT ON TYPE objectlink.erased IS 'an object that is gone, as the registry knew it, and what the store said';

CREATE FUNCTION objectlink.record_erasures(p_store int, p_epoch bigint, p_erased objectlink.erased[]) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan SET enable_seqscan = off AS $$
DECLARE
  v_now timestamptz := clock_timestamp();
  v_store name := (SELECT s.name FROM objectlink.store s WHERE s.id = p_store);
  v_bucket text := objectlink.store_option(v_store, 'bucket');
  v_worker text := (SELECT w.name FROM objectlink.owner o JOIN objectlink.worker w ON w.id = o.worker_id WHERE o.resource = p_store);
  v_chain objectlink.erasure_chain;
  v_records objectlink.erasure[];
  v_text text;
  v_hash bytea;
  v_prev_hashes bytea[] := '{}';
  v_hashes bytea[] := '{}';
BEGIN
  -- One writer at a time, whoever believes that he owns the store.
  SELECT * INTO v_chain FROM objectlink.erasure_chain c WHERE c.store_id = p_store FOR UPDATE;
  IF NOT FOUND THEN
    INSERT INTO objectlink.erasure_chain (store_id) VALUES (p_store) ON CONFLICT (store_id) DO NOTHING;
    SELECT * INTO v_chain FROM objectlink.erasure_chain c WHERE c.store_id = p_store FOR UPDATE;
  END IF;
  v_records := ARRAY(
    SELECT ROW(p_store, v_chain.last_id + row_number() OVER (), v_now, v_store, v_bucket, (e.was).key, (e.was).version_id, (e.was).size,
               (e.was).sha256, (e.was).etag, (e.was).verified_at, coalesce((e.was).unlinked_via, (e.was).attachment_id),
               (e.was).unlinked_relation, a.column_name, (e.was).unlinked_row, (e.was).unlinked_act, (e.was).unlinked_by,
               (e.was).unlinked_at, (e.was).wanted_since, (e.was).issued_at, e.request_id, e.proof, v_worker, p_epoch, NULL, NULL
              )::objectlink.erasure
    FROM unnest(p_erased) AS e
    LEFT JOIN objectlink.attachment a ON a.id = coalesce((e.was).unlinked_via, (e.was).attachment_id));
  v_hash := v_chain.last_hash;
  FOREACH v_text IN ARRAY ARRAY(SELECT objectlink.erasure_text(r) FROM unnest(v_records) r) LOOP
    v_prev_hashes := v_prev_hashes || v_hash;
    v_hash := sha256(v_hash || convert_to(v_text, 'UTF8'));
    v_hashes := v_hashes || v_hash;
  END LOOP;
  INSERT INTO objectlink.erasure
    SELECT r.store_id, r.id, r.at, r.store, r.bucket, r.key, r.version_id, r.size, r.sha256, r.etag, r.stored_at, r.attachment_id,
           r.relation, r.column_name, r.row_key, r.act, r.unlinked_by, r.unlinked_at, r.found_at, r.requested_at, r.request_id, r.proof,
           r.worker, r.epoch, h.prev_hash, h.hash
    FROM unnest(v_records) r
    JOIN unnest(v_prev_hashes, v_hashes) WITH ORDINALITY AS h (prev_hash, hash, n) ON r.id = v_chain.last_id + h.n;
  UPDATE objectlink.erasure_chain c SET last_id = v_chain.last_id + cardinality(v_records), last_hash = v_hash WHERE c.store_id = p_store;
END $$;
COMMENT ON FUNCTION objectlink.record_erasures(int, bigint, objectlink.erased[]) IS 'for settle(): appends the records of objects that are gone to their store''s chain';

-- Nobody changes a record, by accident or in passing. Who means to, switches this off, and verify_erasures() finds it.
CREATE FUNCTION objectlink.refuse_erasure_change() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- purge_erasures() says first where the chain begins from now on.
  IF tg_op = 'DELETE' THEN
    IF EXISTS (SELECT FROM objectlink.erasure_purged p WHERE p.store_id = OLD.store_id AND OLD.id <= p.id) THEN
      RETURN OLD;
    END IF;
  END IF;
  RAISE EXCEPTION 'erasure records cannot be changed' USING ERRCODE = 'object_not_in_prerequisite_state',
    DETAIL = 'Each carries the hash of the one before; without one, the others prove nothing.',
    HINT = 'Old ones are removed by objectlink.purge_erasures().';
END $$;
COMMENT ON FUNCTION objectlink.refuse_erasure_change() IS 'trigger: refuses UPDATE, DELETE and TRUNCATE of erasure records';
CREATE TRIGGER erasure_stays BEFORE UPDATE OR DELETE ON objectlink.erasure
  FOR EACH ROW EXECUTE FUNCTION objectlink.refuse_erasure_change();
CREATE TRIGGER erasure_stays_whole BEFORE TRUNCATE ON objectlink.erasure
  FOR EACH STATEMENT EXECUTE FUNCTION objectlink.refuse_erasure_change();
ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays;
ALTER TABLE objectlink.erasure ENABLE ALWAYS TRIGGER erasure_stays_whole;
