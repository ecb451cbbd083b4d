-- What pg_dump keeps: configuration, registry, events and pending work. Not kept: which daemons live.

DO $$
DECLARE
  v_relation regclass;
BEGIN
  -- One statement each: every call updates the same row of pg_extension.
  FOREACH v_relation IN ARRAY ARRAY['objectlink.store', 'objectlink.attachment', 'objectlink.scan', 'objectlink.outbox',
    'objectlink.condemned', 'objectlink.object', 'objectlink.payload', 'objectlink.event', 'objectlink.owner',
    'objectlink.erasure', 'objectlink.erasure_chain', 'objectlink.erasure_purged', 'objectlink.capability', 'objectlink.marker',
     'objectlink.run', 'objectlink.run_range', 'objectlink.collection', 'objectlink.scrub', 'objectlink.inventory', 'objectlink.finding', 'objectlink.quarantine', 'objectlink.row_policy', 'objectlink.related_table', 'objectlink.row_work', 'objectlink.deleted_row',
     'objectlink.consumer', 'objectlink.event_policy']::regclass[]
  LOOP
    PERFORM pg_catalog.pg_extension_config_dump(v_relation, '');
  END LOOP;
  FOREACH v_relation IN ARRAY ARRAY[pg_get_serial_sequence('objectlink.store', 'id'), pg_get_serial_sequence('objectlink.attachment', 'id'),
    pg_get_serial_sequence('objectlink.scan', 'id'), pg_get_serial_sequence('objectlink.event', 'id'),
    pg_get_serial_sequence('objectlink.worker', 'id'), pg_get_serial_sequence('objectlink.run', 'id'), pg_get_serial_sequence('objectlink.collection', 'id'),
    pg_get_serial_sequence('objectlink.finding', 'id'), pg_get_serial_sequence('objectlink.quarantine', 'id')]::regclass[]
  LOOP
    PERFORM pg_catalog.pg_extension_config_dump(v_relation, '');
  END LOOP;
END $$;
