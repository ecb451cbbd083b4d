-- Who may do what. Public: the type, put() (it checks USAGE on the server), waiting and the views.
-- Everything else is granted to roles by the three functions below.

CREATE FUNCTION objectlink.functions_of(p_kind text) RETURNS regprocedure[]
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT array_agg(p.oid::regprocedure ORDER BY p.oid)
  FROM pg_proc p
  WHERE p.pronamespace = 'objectlink'::regnamespace AND p.proname = ANY (CASE p_kind
    WHEN 'daemon' THEN ARRAY['run_share', 'store_settings', 'store_status', 'look_after', 'set_store_status', 'set_asleep', 'lease', 'signature_window', 'register_worker', 'acquire',
      'release', 'unlock', 'assert_owner', 'apply_outbox', 'look', 'due_work', 'read_payload', 'expire_reserved',
      'settle', 'condemn', 'writers', 'writers_left', 'uncondemn', 'issue', 'release_condemned', 'scan_step',
      'brake_of', 'known_capabilities', 'record_capabilities', 'marker_state', 'begin_marker', 'confirm_marker',
      'fail_marker', 'fence_store', 'next_run', 'run_ranges', 'sample_keys', 'split_range', 'keep_sample', 'compare_sums', 'pass_blocks',
      'collect_run', 'collection_token', 'collect_page', 'collected_page', 'begin_inventory', 'collect_inventory',
      'compare_page', 'conclude_page', 'fail_run', 'work_on_rows',
      'next_scrub', 'conclude_scrub',
      'note_uploads', 'note_versions', 'skip_aside', 'strays_to_remove', 'issue_strays', 'settle_strays', 'deletions_to_confirm', 'confirm_deletions', 'quarantine_work', 'issue_copies', 'settle_quarantine']
    WHEN 'admin' THEN ARRAY[
      'inventory_column',
      'check_soft_delete', 'check_soft_delete_column', 'create_keep_trigger', 'is_not_null', 'decides_partition', 'row_link', 'link_arguments', 'key_columns',
      'attach', 'detach', 'complete_triggers', 'drop_triggers', 'check_attachable', 'check_store', 'require_index',
      'index_at_once_bytes', 'asking_query', 'check_policy', 'alter_attachment', 'policy_of', 'change_policy', 'change_mark', 'drop_keep_triggers', 'hold_deletions',
      'release_deletions', 'expedite_deletions', 'release_brake', 'create_index', 'purge_erasures',
      'forget_capabilities', 'adopt_store', 'reconcile_storage', 'cancel_run', 'pause_run', 'resume_run', 'acknowledge',
      'check_row_policy', 'check_status_column', 'check_status_map', 'shown_states', 'status_word', 'set_row_policy',
      'resolve', 'resolve_all', 'verify_data_consistency', 'cleanup', 'release_quarantine', 'purge_quarantine', 'purge_corrupt',
      'complete_keep_triggers', 'restore_rows',
      'retry_dead_letters', 'discard_dead_letters', 'set_event_retention', 'purge_events']
    WHEN 'internal' THEN ARRAY['take_lock', 'give_lock_back', 'store_id', 'store_option', 'store_prefix', 'key_is_ours', 'is_proved', 'hand_over', 'apply_touched',
      'next_state', 'append_outbox', 'scan_link_step', 'scan_unlink_step', 'scan_show_step', 'value_ref', 'inline_content_bytes', 'remark_time',
      'reservation_time', 'unsettled', 'on_table_change', 'renamed_columns', 'on_server_change', 'functions_of', 'grant_daemon',
      'grant_admin', 'grant_reader', 'link_trigger', 'truncate_trigger', 'check_transition', 'ask_as_owner', 'ask_by_snapshot', 'lock_to_ask', 'ask_column', 'linked',
      'kept_until', 'end_soft_delete', 'unmark_image', 'deletions_stopped', 'lock_due', 'take_back_kept', 'decide_about', 'brake_window',
      'brake_count_interval', 'brake_due_max', 'brake_known_max', 'brake_share_from', 'brake_lets_pass',
      'uncount_deletions', 'scan_join_holds', 'vanished_reason', 'speaker_is_lost', 'on_drop', 'hold_dropped',
      'ask_rows', 'put_back', 'drop_reason', 'judge', 'write_changes', 'planned_once_max', 'plan_for',
      'record_erasures', 'went_with_a_mark', 'refuse_erasure_change', 'note_late_uploads', 'configuration_digest', 'proved_content',
      'marker_lease', 'marker_nonces_max', 'host_file', 'identity', 'store_place', 'place_of', 'store_use',
      'assert_may_delete', 'follow_place', 'before_server_change', 'refuse_rename', 'refuse_overlap', 'on_server_drop',
      'run_page_size_max', 'reconcile_share', 'others_at_work', 'check_run', 'queue_run', 'estimated_objects', 'decide_about_run', 'end_run', 'advance_range', 'reach_in_range', 'range_is_at', 'run_under_way', 'check_collection', 'collection_of', 'collected_removed_max', 'remove_collected', 'enter_collected', 'go_on_collecting', 'look_first', 'note_unknown_objects',
      'ranges_max', 'sample_pages_max', 'sample_keys_max', 'last_key', 'sum_registry', 'sum_column', 'sum_keys_step', 'sum_objects', 'sum_objects_step', 'sum_end', 'summing_query', 'is_certain', 'note_findings',
      'close_findings', 'decide_about_finding', 'state_after_sighting', 'evidence_of_look', 'note_sightings', 'compare_rows_max', 'same_content',
      'oldest_transaction', 'wait_lock_class', 'last_erasure', 'reading_query', 'read_column', 'keys_of_rows', 'pair_page', 'ask_page', 'judge_page', 'evidence_of',
      'write_as_owner', 'parent_of', 'qualified_type', 'compared', 'foreign_key_columns', 'parent_values', 'hangs_on', 'has_same_key', 'kept_that_hang', 'follow_row_policies', 'forget_dropped_related', 'inherit_row_policy', 'row_write_ms', 'row_work_ms',
      'row_retry_max', 'row_lock_retry_max', 'queue_row_work', 'linking_rows', 'parents_of_related', 'hanging_rows', 'write_status',
      'bring_rows_in_line', 'end_row_work', 'compensated_rows_max', 'compensate_upload', 'note_row_failure',
      'ring_daemon', 'repair_share_from', 'too_many_repairs', 'repair_lets_pass', 'marks_of', 'mark_within_limits', 'ask_again', 'mark_for_deletion', 'repair_page', 'actions_of',
      'deletions_to_confirm_max', 'refused_looks_max', 'refused_look_pause', 'note_refused_look', 'is_own_row', 'finding_kinds', 'last_comparison', 'survived_erasure',
      'quarantine_bytes_max', 'quarantine_attempts_max', 'quarantine_steps_max', 'quarantine_finding', 'can_be_quarantined', 'note_quarantine',
      'end_quarantine', 'follow_original', 'release_waits', 'settle_copying', 'settle_releasing', 'settle_ending',
      'keep_row_trigger', 'keep_row', 'rows_to_restore', 'unmark_kept', 'deletion_failed_for_good', 'last_deleted', 'kept_in', 'insert_kept', 'restore_deleted', 'restore_all',
      'awaits_its_rows', 'forget_deleted', 'kept_rows_looked_at', 'forget_unneeded',
      'first_samples', 'inventory_page', 'holds_references',
      'scrub_batch_max', 'scrub_rows_max', 'scrub_batch_bytes', 'scrub_reads',
      'pick_dead_letters', 'requeued_max', 'watch', 'watched_max', 'requeue', 'purgeable', 'purge_rows', 'conclude_purge', 'check_purge', 'aside_findings_max', 'run_aside', 'end_aside', 'advance_aside', 'note_aside', 'upload_is_live', 'upload_grace', 'version_is_recorded', 'strays_at_once_max', 'stray_stays', 'keep_stray', 'compared_kinds', 'stuck_objects', 'is_stuck', 'find_stuck', 'requeue_findings', 'lock_consumer', 'expired_at_once', 'idle_floor_lag_max', 'event_lock_class', 'writing_transaction', 'acting_role', 'may_use', 'notify_consumers',
      'delete_read_events', 'expire_events']
    WHEN 'reader' THEN ARRAY[
      'base_type', 'marked_deleted', 'soft_deleted', 'live_row',
      'scrub_interval',
      'asking_index', 'keep_text', 'unindexed', 'tree_is_indexed', 'wait_for_run',
      'rows_of', 'discarded_text', 'event_retention', 'consumer_late_after', 'create_consumer', 'drop_consumer', 'grant_consumer', 'revoke_consumer', 'set_consumer_notify', 'read_events', 'ack_events']
    END)
$$;
COMMENT ON FUNCTION objectlink.functions_of(text) IS 'the functions meant for daemons, for admins, for readers, or for objectlink itself';

CREATE FUNCTION objectlink.grant_execute(p_role regrole, p_functions regprocedure[]) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  v_function regprocedure;
BEGIN
  FOREACH v_function IN ARRAY p_functions LOOP
    EXECUTE format('GRANT EXECUTE ON ROUTINE %s TO %s', v_function, p_role);
  END LOOP;
END $$;
COMMENT ON FUNCTION objectlink.grant_execute(regrole, regprocedure[]) IS 'grants EXECUTE on several functions';

CREATE FUNCTION objectlink.grant_daemon(role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA objectlink TO %s', role);
  PERFORM objectlink.grant_execute(role, objectlink.functions_of('daemon'));
END $$;
COMMENT ON FUNCTION objectlink.grant_daemon(regrole) IS 'lets a role run objectlinkd; it needs no superuser and no right on any table';

CREATE FUNCTION objectlink.grant_reader(role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('GRANT USAGE ON SCHEMA objectlink TO %s', role);
  EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA objectlink TO %s', role);
  EXECUTE format('REVOKE SELECT ON objectlink.payload, objectlink.deleted_row FROM %s', role);
  PERFORM objectlink.grant_execute(role, objectlink.functions_of('reader'));
END $$;
COMMENT ON FUNCTION objectlink.grant_reader(regrole) IS 'lets a role see all objects and events, whatever tables it may read';

CREATE FUNCTION objectlink.grant_admin(role regrole) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM objectlink.grant_reader(role);
  EXECUTE format('GRANT INSERT, UPDATE ON objectlink.attachment TO %s', role);
  EXECUTE format('GRANT INSERT, DELETE ON objectlink.scan TO %s', role);
  PERFORM objectlink.grant_execute(role, objectlink.functions_of('admin'));
  EXECUTE format('GRANT EXECUTE ON FUNCTION objectlink.link_trigger(), objectlink.truncate_trigger(), objectlink.keep_row_trigger() TO %s', role);
END $$;
COMMENT ON FUNCTION objectlink.grant_admin(regrole) IS 'lets a role attach and detach columns of tables it owns, and see everything';

DO $$
DECLARE
  v_function regprocedure;
BEGIN
  FOR v_function IN
    SELECT unnest(objectlink.functions_of('daemon') || objectlink.functions_of('admin') || objectlink.functions_of('reader') || objectlink.functions_of('internal'))
    UNION SELECT 'objectlink.grant_execute(regrole, regprocedure[])'::regprocedure
  LOOP
    EXECUTE format('REVOKE ALL ON ROUTINE %s FROM PUBLIC', v_function);
  END LOOP;
END $$;

GRANT USAGE ON SCHEMA objectlink TO PUBLIC;
GRANT SELECT ON objectlink.objects, objectlink.consistency, objectlink.outbox_backlog, objectlink.events,
  objectlink.workers, objectlink.attachments, objectlink.server, objectlink.erasures, objectlink.store_capabilities, objectlink.markers,
  objectlink.deletions, objectlink.deletions_by_store, objectlink.runs, objectlink.reconcile_progress, objectlink.scrub_progress, objectlink.inventories, objectlink.findings,
  objectlink.dead_letters, objectlink.kept_rows, objectlink.failures_by_cause, objectlink.waiting, objectlink.stuck, objectlink.quarantined TO PUBLIC;
