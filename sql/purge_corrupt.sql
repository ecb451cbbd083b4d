-- Goal: rows go whose objects are lost for long enough and were seen to be so lately, by their owner's word only, and none besides; what cannot go keeps no other one.
-- Method: one session plays user and daemon; findings are written down as runs leave them, and made older by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
SET client_min_messages = error;
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE named (id int PRIMARY KEY, file text NOT NULL COLLATE "C", deleted_at timestamptz);
CREATE INDEX ON named (file);
SELECT daemon.start(), objectlink.attach('document', 'file') > 0, objectlink.attach('named', 'file', store => 'docs', soft_delete_column => 'deleted_at') > 0, daemon.walk();
INSERT INTO document SELECT n, objectlink.storage_ref('docs', 'k' || n) FROM generate_series(1, 9) n;
INSERT INTO document VALUES (11, 's3://docs/k1');
INSERT INTO named VALUES (1, 'n1', NULL), (2, 'n2', now()), (3, 'k2', NULL);
SELECT daemon.apply();
SELECT sum(daemon.settle(key, 'stored', '{"size": 7, "etag": "e"}')) FROM objectlink.object;
-- Lost for 40 days, and seen by a run today, but: k5 stored; k6 only since yesterday; k7 last seen a week ago; k8 somebody knows; k9 is held
CREATE FUNCTION daemon.lose(p_key text, p_state text, p_since interval DEFAULT '40 days', p_seen interval DEFAULT '1 hour', p_status text DEFAULT 'open') RETURNS void LANGUAGE sql AS $$
  UPDATE objectlink.object SET state = p_state, since = now() - p_since WHERE key = p_key;
  INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, last_seen_at, evidence) VALUES (daemon.store_id('docs'), p_key, p_state, p_status, 1, 1, now() - p_seen, '{"proved_size": 7}') $$;
SELECT daemon.lose(k, CASE k WHEN 'k3' THEN 'corrupt' ELSE 'missing' END) FROM unnest('{k1,k2,k3,k4,n1}'::text[]) k;
SELECT daemon.lose('k5', 'missing'), daemon.lose('k6', 'missing', '1 day'), daemon.lose('k7', 'missing', p_seen => '7 days'), daemon.lose('k8', 'missing', p_status => 'acknowledged'), daemon.lose('k9', 'missing');
UPDATE objectlink.object SET state = 'stored' WHERE key = 'k5';
UPDATE objectlink.object SET admin_hold = 'case 1' WHERE key = 'k9';
\set purge 'SELECT * FROM objectlink.purge_corrupt'
-- The daemon's part: what it looks at, and what it has seen of all of these
CREATE FUNCTION daemon.looked(p_sighting text) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(d.key, ' ' ORDER BY d.key) || ': ' || objectlink.confirm_deletions(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
    json_agg(json_build_object('id', d.id, 'sighting', p_sighting, 'error_code', 'AccessDenied')))
  FROM objectlink.deletions_to_confirm(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) d $$;
\set purged 'SELECT key, kind, status, delete_at, purge, resolution ~ ''^purged by'' AS purged, regexp_replace(resolution, ''purged by .*'', ''purged by'') AS resolution FROM objectlink.finding WHERE decided_by IS NOT NULL ORDER BY key;'
-- Refused
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'id', '30 days', 'delete_row')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt(NULL, 'file', '30 days', 'delete_row')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'all')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('named', 'file', '30 days', 'set_null')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', NULL, 'delete_row')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '-1 day', 'delete_row')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', states => '{stored}')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', states => '{}')$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', at_most => 0)$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', at_most_share => 101)$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', dry_run => NULL)$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', reason => repeat('x', 201))$$);
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', store => 'nowhere')$$);
-- A dry run is the default
:purge('document', 'file', '30 days', 'delete_row');
:purge('named', 'file', '30 days', 'delete_row');
:purge('document', 'file', '30 days', 'delete_row', states => '{corrupt}');
:purge('document', 'file', '30 days', 'delete_row', prefix => 'k1');
:purge('document', 'file', '50 days', 'delete_row');
:purge('document', 'file', '30 days', 'delete_row', max_age => '10 days');
SELECT count(*) FROM document;
-- Too many at once; fenced
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', at_most => 3, dry_run => false)$$);
BEGIN;
INSERT INTO objectlink.object (store_id, key, state, since, attachment_id) SELECT daemon.store_id('docs'), 'x' || n, 'missing', now() - interval '40 days', 1 FROM generate_series(1, 100) n;
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, evidence) SELECT daemon.store_id('docs'), 'x' || n, 'missing', 'open', 1, '{}' FROM generate_series(1, 100) n;
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row', dry_run => false)$$);
:purge('document', 'file', '30 days', 'delete_row');
:purge('document', 'file', '30 days', 'delete_row', at_most => 3);
:purge('document', 'file', '30 days', 'delete_row', at_most_share => 100);
ROLLBACK;
BEGIN;
SELECT daemon.claim();
UPDATE objectlink.marker SET fence = 'missing', fenced_at = now(), lease_owner = NULL, lease_until = NULL;
:purge('document', 'file', '30 days', 'delete_row', dry_run => false);
SELECT count(*) FROM document;
ROLLBACK;
-- Only its owner says what becomes of its rows
DROP ROLE IF EXISTS objectlink_test_keeper;
CREATE ROLE objectlink_test_keeper;
SELECT objectlink.grant_admin('objectlink_test_keeper');
GRANT ALL ON document TO objectlink_test_keeper;
GRANT USAGE ON SCHEMA daemon TO objectlink_test_keeper;
SET SESSION AUTHORIZATION objectlink_test_keeper;
SELECT daemon.refused($$SELECT objectlink.purge_corrupt('document', 'file', '30 days', 'delete_row')$$);
RESET SESSION AUTHORIZATION;
-- Nothing goes before the daemon has looked; what was put back since a run has seen it lost stays, as does what has changed, or may not be looked at
:purge('document', 'file', '30 days', 'delete_row', reason => 'case 4711', dry_run => false);
SELECT count(*) FROM document;
SELECT what, key FROM objectlink.unsettled('1', clock_timestamp()) WHERE what = 'deletion of a finding' ORDER BY 2;
:purge('document', 'file', '30 days', 'delete_row');
BEGIN;
SELECT daemon.looked('same');
:purged
ROLLBACK;
SELECT daemon.looked('other');
:purged
:purge('document', 'file', '30 days', 'delete_row', prefix => 'k4', dry_run => false);
SELECT daemon.looked('unknown');
UPDATE objectlink.finding SET look_after = NULL, looks_refused = 7 WHERE key = 'k4';
SELECT daemon.looked('unknown');
-- Taken back; detached meanwhile
:purge('document', 'file', '30 days', 'delete_row', prefix => 'k1', dry_run => false);
SELECT objectlink.acknowledge(id, 'no') FROM objectlink.findings WHERE key = 'k1';
SELECT daemon.looked('absent');
:purged
UPDATE objectlink.finding SET status = 'open' WHERE key = 'k1';
BEGIN;
:purge('document', 'file', '30 days', 'delete_row', prefix => 'k1', dry_run => false);
UPDATE objectlink.attachment SET detached_at = now() WHERE relation = 'document'::regclass;
SELECT daemon.looked('absent');
SELECT resolution FROM objectlink.finding WHERE key = 'k1';
ROLLBACK;
SELECT id FROM document ORDER BY id;
SELECT key, cause, actor = session_user AS actor, detail - '{finding,since,older_than}'::text[] AS detail FROM objectlink.events WHERE cause LIKE '%purge%' ORDER BY id;
-- Rows go, those of others stay; one that cannot go keeps no other one; what is in motion is left alone
CREATE TABLE part (document int REFERENCES document);
INSERT INTO part VALUES (4);
SELECT objectlink.append_outbox('L', 's3://docs/k3', NULL);
:purge('document', 'file', '30 days', 'delete_row', reason => 'case 4711', dry_run => false);
SELECT daemon.looked('absent');
SELECT id FROM document ORDER BY id;
SELECT id FROM named ORDER BY id;
SELECT key, status, resolution, decided_by = session_user AS decided, reason FROM objectlink.findings WHERE resolution !~ '^purged by' ORDER BY key;
:purged
SELECT key, actor = session_user AS actor, detail - '{finding,since,older_than}'::text[] AS detail FROM objectlink.events WHERE cause = 'purged' ORDER BY id;
-- ... their objects as every one that has lost its row, and one that another table links stays
SELECT daemon.apply() > 0;
SELECT key, state FROM daemon.objects WHERE key IN ('k1', 'k2', 'k3', 'k4') ORDER BY key;
-- A link that is set NULL; a row that a trigger keeps without a word
:purge('document', 'file', '30 days', 'set_null', dry_run => false);
SELECT daemon.looked('absent');
SELECT id FROM document WHERE file IS NULL;
CREATE FUNCTION daemon.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER keep BEFORE DELETE ON named FOR EACH ROW EXECUTE FUNCTION daemon.keep();
:purge('named', 'file', '30 days', 'delete_row', dry_run => false);
SELECT daemon.looked('absent');
SELECT resolution FROM objectlink.finding WHERE status <> 'resolved' AND resolution LIKE '%still links%';
-- A trigger that takes its time keeps nobody else, and is not waited for
CREATE OR REPLACE FUNCTION daemon.keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN OLD; END $$;
:purge('named', 'file', '30 days', 'delete_row', dry_run => false);
SELECT daemon.looked('absent');
SELECT key, status, delete_at IS NOT NULL AS waits, resolution FROM objectlink.finding WHERE key IN ('k2', 'n1') ORDER BY key;
DROP TRIGGER keep ON named;
:purge('named', 'file', '30 days', 'delete_row', dry_run => false);
SELECT daemon.looked('absent');
SELECT id FROM named ORDER BY id;
SELECT daemon.apply() > 0;
SELECT key, state FROM daemon.objects ORDER BY key;
DROP OWNED BY objectlink_test_keeper;
DROP ROLE objectlink_test_keeper;
DROP TABLE part, document, named;
CALL daemon.finish();
