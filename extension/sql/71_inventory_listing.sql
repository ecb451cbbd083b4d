-- Runs that compare an inventory instead of a listing: for buckets so large that listing them is dear. The files that S3 Inventory
-- delivers are read by the daemon into the same place as a listing that is collected (71_collection.sql), file by file, and compared when
-- all of them are there. What has happened since the inventory was begun is explained by that; see 72_inventory_looks.sql.

-- How old is what it shows? p_created_ms: by the store's own clock; p_since_ms: how long ago that is.
CREATE FUNCTION objectlink.begin_inventory(p_store int, p_epoch bigint, p_run bigint, p_manifest_md5 text, p_files int, p_created_ms bigint, p_since_ms bigint,
                                           OUT state text, OUT files_read int)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_collection objectlink.collection := objectlink.collection_of(p_run);
BEGIN
  IF v_run.listing IS DISTINCT FROM 'collecting' OR v_run.inventory IS NULL OR v_collection.id IS NULL THEN
    state := 'stopped';
    RETURN;
  ELSIF v_collection.manifest_md5 <> p_manifest_md5 THEN
    state := 'changed';
    RETURN;
  ELSIF v_collection.manifest_md5 IS NULL THEN
    UPDATE objectlink.collection c
    SET manifest_md5 = p_manifest_md5, files = p_files, begun_at = clock_timestamp() - p_since_ms * interval '1 ms', store_time_ms = p_created_ms
    WHERE c.id = v_collection.id RETURNING * INTO v_collection;
    UPDATE objectlink.run r
    SET inventory_at = v_collection.begun_at, progress_at = clock_timestamp(), listing = CASE WHEN p_files = 0 THEN 'collected' ELSE r.listing END
    WHERE r.id = p_run;
  END IF;
  files_read := v_collection.files_read;
  state := (SELECT r.listing FROM objectlink.run r WHERE r.id = p_run);
END $$;
COMMENT ON FUNCTION objectlink.begin_inventory(int, bigint, bigint, text, int, bigint, bigint) IS 'for the owner of a store: the manifest of the inventory that a run compares is read; returns how many of its files are read already, or changed: it is not the manifest that they belong to';

-- Some keys of a file. p_whole: they are its last, and it was as the manifest says. A file that is begun anew enters the same keys again.
CREATE FUNCTION objectlink.collect_inventory(p_store int, p_epoch bigint, p_run bigint, p_file int, p_whole boolean,
                                             p_keys text[], p_sizes bigint[], p_etags text[], p_ages bigint[]) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET lock_timeout = '250ms' SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_run objectlink.run := objectlink.run_under_way(p_store, p_epoch, p_run);
  v_collection objectlink.collection := objectlink.collection_of(p_run);
BEGIN
  IF v_run.listing IS DISTINCT FROM 'collecting' OR v_collection.files_read IS DISTINCT FROM p_file OR v_collection.manifest_md5 IS NULL THEN
    RETURN 'stopped';
  END IF;
  PERFORM objectlink.enter_collected(v_collection.id, p_keys, p_sizes, p_etags, p_ages);
  IF p_whole THEN
    UPDATE objectlink.collection c SET files_read = c.files_read + 1 WHERE c.id = v_collection.id;
  END IF;
  RETURN objectlink.go_on_collecting(p_run, 0, p_whole AND v_collection.files_read + 1 = v_collection.files);
END $$;
COMMENT ON FUNCTION objectlink.collect_inventory(int, bigint, bigint, int, boolean, text[], bigint[], text[], bigint[]) IS 'for the owner of a store: keys of one file of the inventory that a run compares; returns collecting, collected, or stopped';
