-- Goal: a report marks as many objects missing or corrupt as its limits allow, in all of its pages together; what it may not mark it finds, and what is well again it heals.
-- Method: one session plays the daemon and says what it has seen, page by page.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
SET client_min_messages = error;
CREATE TABLE document (file objectlink.storage_ref);
SELECT daemon.start(), objectlink.attach('document', 'file') > 0, daemon.walk();
INSERT INTO document SELECT objectlink.storage_ref('docs', k) FROM unnest('{a,b,c,d,e}'::text[]) k;
SELECT daemon.apply();
SELECT sum(daemon.settle(key, 'stored', '{"size": 1}')) FROM objectlink.object;
UPDATE objectlink.object SET state = 'missing' WHERE key = 'e';
SELECT objectlink.reconcile_storage('docs', repair_limit => 2) AS run \gset
SELECT id = :run FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
CREATE FUNCTION daemon.may_note(p_seen text[]) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT concat_ws(' ', n.key, n.sighting) FROM unnest(objectlink.mark_within_limits((SELECT r FROM objectlink.run r WHERE r.state = 'running'),
    ARRAY(SELECT json_populate_record(NULL::objectlink.sighted, json_build_object('key', o.key, 'state', o.state, 'since', o.since, 'sighting', split_part(s, ' ', 2), 'evidence', '{}'::json))
          FROM unnest(p_seen) s JOIN objectlink.object o ON o.key = split_part(s, ' ', 1)))) n ORDER BY 1 $$;
SELECT daemon.may_note('{a absent}');
SELECT daemon.may_note('{b other}');
SELECT daemon.may_note('{c absent,d other,e same}');
SELECT daemon.may_note('{c unknown,e same}');
SELECT key, kind, status FROM objectlink.findings ORDER BY key;
SELECT key, state FROM objectlink.object WHERE state <> 'stored';
SELECT marked, notes FROM objectlink.run WHERE id = :run;
SELECT objectlink.cancel_run(:run);
DROP TABLE document;
SELECT daemon.apply() >= 0;
CALL daemon.finish();
