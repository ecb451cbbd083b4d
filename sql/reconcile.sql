-- Goal: a run is queued once a store, finds differences and only those, believes no listing that what happened since explains as well, and goes on where it was.
-- Method: one session plays user and daemon; pages of listings are written down.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE document (id serial PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0;
\set runs 'SELECT id, store, mode, state, prefix, compared, undecided, found, error_code FROM objectlink.runs ORDER BY id;'
\set findings 'SELECT key, kind, status, run_id, first_run_id, resolution FROM objectlink.findings ORDER BY key, kind, id;'
-- Refused
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('nowhere')$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', 'mend')$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', page_size => 0)$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', page_size => 1001)$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', page_size => NULL)$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', repair_limit => -1)$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', repair_limit_share => 0)$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', time_budget => '0')$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage(prefix => 'a')$$);
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('docs', prefix => '.objectlink/owner')$$);
CREATE SERVER bare FOREIGN DATA WRAPPER objectlink OPTIONS (bucket 'bare');
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('bare')$$);
CREATE SERVER images FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'pictures', prefix 'images');
SELECT daemon.refused($$SELECT objectlink.reconcile_storage('images', prefix => 'images2/')$$);
SELECT daemon.refused($$SELECT objectlink.cancel_run(4711)$$);
SELECT daemon.refused($$SELECT objectlink.cancel_run(NULL)$$);
SELECT daemon.refused($$CALL objectlink.wait_for_run(4711, '1 s')$$);
SELECT daemon.refused($$CALL objectlink.wait_for_run(NULL)$$);
:runs
-- No daemon: a warning, and it waits; one a store at a time
SELECT objectlink.reconcile_storage('docs');
SELECT regexp_replace(r, 'since .*', 'since ...') FROM daemon.refused($$SELECT objectlink.reconcile_storage('docs', 'repair')$$) r;
SELECT daemon.refused($$CALL objectlink.wait_for_run(1, '0')$$);
SELECT daemon.refused($$CALL objectlink.wait_for_run(1, '-1 s')$$);
SELECT phase, state, share_done FROM objectlink.reconcile_progress;
SELECT objectlink.pause_run(1);
SELECT regexp_replace(r, 'since .*', 'since ...') FROM daemon.refused($$SELECT objectlink.reconcile_storage('docs')$$) r;
SELECT daemon.refused($$SELECT objectlink.pause_run(1)$$);
SELECT objectlink.resume_run(1), objectlink.cancel_run(1);
SELECT daemon.refused($$SELECT objectlink.cancel_run(1)$$);
SELECT daemon.refused($$SELECT objectlink.pause_run(1)$$);
:runs
-- Cancelled: it may go on after all, until there is another one
SELECT objectlink.resume_run(1);
:runs
SELECT objectlink.cancel_run(1);
-- All stores: one call, the first one's number; busy ones are left out
SELECT objectlink.reconcile_storage('images');
SELECT objectlink.reconcile_storage();
SELECT daemon.refused($$SELECT objectlink.reconcile_storage()$$) LIMIT 1;
SELECT daemon.refused($$SELECT objectlink.resume_run(1)$$);
:runs
SELECT objectlink.cancel_run(id) FROM (SELECT id FROM objectlink.runs WHERE state = 'queued' ORDER BY id OFFSET 0) r;

SELECT daemon.start(), daemon.walk();
\set ECHO none
\set include :abs_srcdir '/sql/include/run.sql'
\i :include
\set ECHO all
INSERT INTO document (file) SELECT objectlink.storage_ref('docs', k) FROM unnest('{a,b,c,d,e,f}'::text[]) k;
SELECT daemon.apply();
SELECT daemon.settle(key, 'stored', jsonb_build_object('size', 1, 'etag', format('"%s"', upper(key)))) FROM objectlink.object;

-- All is well, in two pages; quotes and case of an ETag mean nothing
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c}', 'c');
SELECT daemon.page('{d,e,f}');
:runs
:findings
-- One is gone, one is another, one is nobody's; what objectlink itself keeps there is no finding
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{.objectlink/owner/root.json,a,b,bb}', 'bb') AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.page('{d,e,f}', NULL, 7) AS stale \gset
SELECT daemon.looked(:'page', 'same');
SELECT daemon.page('{d}', 'd', 7) AS page \gset
SELECT daemon.looks(:'page');
SELECT g.after_key, r.compared FROM objectlink.run r JOIN objectlink.run_range g ON g.run_id = r.id WHERE r.state = 'running';
SELECT daemon.looked(json_build_object('reached', 'd', 'listed', 1, 'bytes', 1, 'compared', 2, 'undecided', 0, 'looks', (SELECT json_agg(l) FROM json_array_elements(:'page'::json -> 'looks') l WHERE l ->> 'key' = 'c')), 'absent');
SELECT daemon.page('{e,f}');
:runs
:findings
SELECT key, state, error_code, last_error FROM objectlink.object WHERE state <> 'stored';
SELECT key, from_state, to_state, cause, request_id, detail #- '{seen,at}' AS detail FROM objectlink.events WHERE cause LIKE 'reconcil%' ORDER BY id;
SELECT (evidence #- '{look,at}') - 'proved_at'::text AS evidence FROM objectlink.findings WHERE kind = 'missing';
-- Seen again, changed, mended
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,bb,d}', 'd', 7) AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'other');
SELECT daemon.page('{e,f}');
:findings
SELECT objectlink.acknowledge(id, 'known') FROM objectlink.findings WHERE key = 'bb';
SELECT daemon.refused($$SELECT objectlink.acknowledge(4711)$$);
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,bb,c,d,e,f}') AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'same');
:findings
SELECT key, state FROM objectlink.object ORDER BY key;
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c,d,e,f}') AS page \gset
SELECT daemon.looks(:'page');
SELECT daemon.looked(:'page', 'same') WHERE json_array_length(:'page'::json -> 'looks') > 0;
:runs
SELECT daemon.refused(format('SELECT objectlink.acknowledge(%s)', id)) IS NOT NULL FROM objectlink.finding WHERE key = 'bb';
TRUNCATE objectlink.finding;

-- What has happened since the listing began explains more than the listing. Listed ten seconds ago: all of these were proved after that
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b}', NULL, 7, 100000, 3600000);
:findings
UPDATE objectlink.object SET verified_at = '2020-01-01', since = '2020-01-01';
-- unlinked, and not applied yet
SELECT objectlink.reconcile_storage('docs');
DELETE FROM document WHERE file = 's3://docs/a';
SELECT daemon.page('{a,b,c,d,e,f}');
-- applied, condemned, issued, gone since: listed nevertheless
SELECT daemon.apply();
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c,d,e,f}');
SELECT daemon.condemn();
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c,d,e,f}');
SELECT daemon.issue();
SELECT daemon.settle('a', 'gone');
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c,d,e,f}', p_since_ms => 3600000);
:findings
-- and long after that: it was said to be gone. The same if it comes back with the content it had; not if it is another
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c,d,e,f}');
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c,d,e,f}');
SELECT key, kind, status, evidence -> 'survived' AS survived FROM objectlink.findings;
-- A repair deletes it again: it is from before. Not if somebody has adopted the store since, as after a restore; nor what was written since
\set undeleted 'SELECT key, status, evidence -> ''survived'' AS survived, delete_at IS NOT NULL AS goes FROM objectlink.findings WHERE kind = ''undeleted'''
SELECT objectlink.reconcile_storage('docs', 'repair');
SELECT daemon.page('{a,b,c,d,e,f}');
:undeleted;
UPDATE objectlink.finding SET delete_at = NULL, decided_by = NULL, reason = NULL, repair_run_id = NULL;
INSERT INTO objectlink.event (store_id, cause) VALUES (daemon.store_id('docs'), 'store adopted');
SELECT objectlink.reconcile_storage('docs', 'repair');
SELECT daemon.page('{a,b,c,d,e,f}');
:undeleted;
DELETE FROM objectlink.event WHERE cause = 'store adopted';
ALTER SERVER docs OPTIONS (ADD orphan_grace '0');
SELECT objectlink.reconcile_storage('docs', 'repair');
SELECT daemon.page('{a,b,c,d,e,f}', p_age_s => 0);
:undeleted;
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{a,b,c,d,e,f}', p_age_s => 0);
SELECT objectlink.reconcile_storage('docs');
SELECT objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id, 0, '', 'a', '{a}', '{1}', '{"\"new\""}', '{0}', 0, 1) ->> 'state'
  FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT daemon.page('{b,c,d,e,f}');
:findings
ALTER SERVER docs OPTIONS (SET orphan_grace '1 day');
TRUNCATE objectlink.finding;
-- linked and not applied; young; older than it has to be, but not than a transaction; a table that cannot be asked
SELECT objectlink.reconcile_storage('docs');
INSERT INTO document (file) VALUES ('s3://docs/new');
SELECT daemon.page('{b,c,d,e,f,new}');
SELECT daemon.apply(), daemon.settle('new', 'stored', '{"size": 1}');
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{b,c,d,e,f,new,young}', p_age_s => 86399);
:findings
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE mixed (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE INDEX ON mixed (file);
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER dummy;
ALTER TABLE document DISABLE TRIGGER USER;
DELETE FROM document WHERE file = 's3://docs/b';
INSERT INTO document (file) VALUES ('s3://docs/rowonly');
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{b,c,d,e,f,new,rowonly,strange}');
:findings
DROP TABLE mixed;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{b,c,d,e,f,new,rowonly,strange}');
:findings
INSERT INTO document (file) VALUES ('s3://docs/b');
ALTER TABLE document ENABLE TRIGGER USER;
-- A walk after TRUNCATE may be about to unlink
TRUNCATE document;
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{b,c,d,e,f,new,rowonly,strange}');
:findings
SELECT daemon.apply();
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{b,c,d,e,f,new,rowonly,strange}');
SELECT daemon.walk(), daemon.apply();

-- A request to delete it, or an upload of it, may still arrive: nobody knows yet what it is
INSERT INTO objectlink.condemned (ref, release_after) VALUES ('s3://docs/late', now() + interval '1 hour');
SELECT objectlink.reconcile_storage('docs', prefix => 'late');
SELECT daemon.page('{late}') ->> 'undecided';
DELETE FROM objectlink.condemned WHERE ref = 's3://docs/late';
SELECT count(*) FROM objectlink.findings WHERE key = 'late';
-- A look counts only if nothing has changed since it was asked for: here its row went, there it was put anew
INSERT INTO document (file) VALUES ('s3://docs/p'), ('s3://docs/q'), ('s3://docs/r');
SELECT daemon.apply();
SELECT daemon.settle(k, 'stored', '{"size": 1}') FROM unnest('{p,q,r}'::text[]) k;
SELECT objectlink.reconcile_storage('docs', prefix => 'p');
SELECT objectlink.cancel_run(max(id)) FROM objectlink.runs;
SELECT objectlink.reconcile_storage('docs');
SELECT daemon.page('{b,c,d,e,f,new,rowonly,strange}') AS page \gset
SELECT daemon.looks(:'page');
DELETE FROM document WHERE file = 's3://docs/p';
SELECT daemon.apply();
UPDATE objectlink.object SET since = clock_timestamp(), verified_at = clock_timestamp() WHERE key = 'q';
SELECT daemon.looked(:'page', 'absent');
SELECT key, state FROM objectlink.object WHERE key IN ('p', 'q', 'r') ORDER BY key;
SELECT key, kind FROM objectlink.findings WHERE key IN ('p', 'q', 'r');
DELETE FROM document;
SELECT daemon.apply();
TRUNCATE objectlink.finding;

-- A page that came too late: its run is over, or another owner went on with it
SELECT objectlink.reconcile_storage('docs');
SELECT id AS run FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) \gset
SELECT objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :run, 0, 'x', NULL, '{}', '{}', '{}', '{}', 0, 1);
SELECT objectlink.pause_run(:run);
SELECT objectlink.compare_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), :run, 0, '', NULL, '{}', '{}', '{}', '{}', 0, 1);
SELECT * FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT daemon.refused(format('SELECT objectlink.compare_page(%s, %s, %s, 0, '''', NULL, ''{}'', ''{}'', ''{}'', ''{}'', 0, 1)', daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')) - 1, :run));
SELECT objectlink.resume_run(:run);
SELECT objectlink.fail_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id, 'store', 'AccessDenied', 'no right to list') FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
SELECT state, error_class, error_code, error_message FROM objectlink.runs WHERE id = :run;
SET client_min_messages = error;
CALL objectlink.wait_for_run(:run, '1 s');
RESET client_min_messages;

-- A person decides
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence)
  SELECT daemon.store_id('docs'), k, v, s, 1, 1, e::jsonb FROM (VALUES ('x', 'orphan', 'open', '{"etag": "\"x\"", "size": 1}'), ('y', 'orphan', 'open', '{}'),
    ('z', 'orphan', 'suspected', '{"etag": "\"x\""}'), ('m', 'missing', 'open', '{}'), ('u', 'unregistered', 'open', '{}')) AS f (k, v, s, e);
CREATE FUNCTION daemon.finding(p_key text) RETURNS bigint LANGUAGE sql AS $$ SELECT id FROM objectlink.finding WHERE key = p_key AND status <> 'resolved' $$;
CREATE FUNCTION daemon.refused_resolve(p_key text, p_action text) RETURNS SETOF text LANGUAGE sql AS
$$ SELECT regexp_replace(r, 'finding \d+', 'finding N') FROM daemon.refused(format('SELECT objectlink.resolve(%s, %L)', daemon.finding(p_key), p_action)) r $$;
SELECT daemon.refused('SELECT objectlink.resolve(NULL, ''delete'')');
SELECT daemon.refused_resolve('x', 'destroy');
SELECT daemon.refused_resolve('x', NULL);
SELECT daemon.refused_resolve('x', 'repair');
SELECT daemon.refused_resolve('y', 'delete');
SELECT daemon.refused_resolve('z', 'delete');
SELECT daemon.refused_resolve('m', 'delete');
SELECT daemon.refused_resolve('u', 'delete');
SELECT daemon.refused(format('SELECT objectlink.acknowledge(%s, %L)', daemon.finding('x'), repeat('x', 201)));
SELECT severity, store, what, detail, remedy FROM objectlink.problems WHERE what LIKE '%objects' OR what LIKE 'rec%';
SELECT objectlink.resolve(daemon.finding('u'), 'repair');
SELECT op, ref FROM objectlink.outbox;
SELECT objectlink.resolve(daemon.finding('x'), 'delete', 'case 4711');
SELECT what, store, key FROM objectlink.unsettled('1', clock_timestamp()) WHERE key = 'x';
SELECT key, size, etag FROM objectlink.deletions_to_confirm(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
CREATE FUNCTION daemon.confirm(p_key text, p_sighting text) RETURNS int LANGUAGE sql AS $$
  SELECT objectlink.confirm_deletions(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')),
    json_build_array(json_build_object('id', daemon.finding(p_key), 'sighting', p_sighting, 'size', 1, 'etag', '"x"', 'version_id', '', 'request_id', 'req')))
$$;
-- not what was found; known by now; the same
SELECT daemon.confirm('x', 'other');
SELECT status, resolution FROM objectlink.finding WHERE key = 'x';
UPDATE objectlink.finding SET status = 'open' WHERE key = 'x';
SELECT objectlink.resolve(daemon.finding('x'), 'delete', 'case 4711');
INSERT INTO objectlink.object (store_id, key, state, since) VALUES (daemon.store_id('docs'), 'x', 'pending', now());
SELECT daemon.confirm('x', 'same');
SELECT status, resolution FROM objectlink.finding WHERE key = 'x';
ALTER TABLE objectlink.object DISABLE TRIGGER USER;
DELETE FROM objectlink.object WHERE key = 'x';
ALTER TABLE objectlink.object ENABLE TRIGGER USER;
SELECT objectlink.resolve(daemon.finding('x'), 'delete', 'case 4711');
SELECT daemon.confirm('x', 'same');
SELECT status, resolution, decided_by = session_user, reason FROM objectlink.finding WHERE key = 'x';
SELECT key, state, unlinked_act, unlinked_by = session_user AS by, keep_until, due_at <= clock_timestamp() AS due, etag FROM objectlink.object WHERE key = 'x';
-- Taken back before the daemon has begun: it stays, for one and for all of a kind
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence)
  SELECT daemon.store_id('docs'), k, 'orphan', 'open', 1, 1, '{"etag": "\"x\"", "size": 1}' FROM unnest('{w1,w2,w3}'::text[]) k;
SELECT objectlink.resolve_all('delete', 'docs', prefix => 'w', at_most => 2);
SELECT daemon.refused($$SELECT objectlink.resolve_all('delete', 'docs', prefix => 'w', at_most => 2, dry_run => false)$$);
SELECT objectlink.resolve_all('delete', 'docs', prefix => 'w', dry_run => false);
SELECT objectlink.acknowledge(daemon.finding('w1'), 'no, it stays');
SELECT daemon.confirm('w1', 'same');
SELECT key FROM objectlink.deletions_to_confirm(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) ORDER BY key;
SELECT objectlink.resolve_all('acknowledge', 'docs', prefix => 'w', dry_run => false);
SELECT key, status, delete_at, reason FROM objectlink.findings WHERE key LIKE 'w_' ORDER BY key;
SELECT key, detail -> 'withdrawn' AS withdrawn FROM objectlink.events WHERE cause = 'finding acknowledged' AND key LIKE 'w_' ORDER BY key;
SELECT state FROM objectlink.object WHERE key LIKE 'w_';
DELETE FROM objectlink.finding WHERE key LIKE 'w_';
-- What is decided about has to be said
SELECT daemon.refused($$SELECT objectlink.resolve_all('acknowledge', 'docs', kind => 'orphans')$$);
SELECT daemon.refused($$SELECT objectlink.resolve_all('delete', 'docs', kind => 'orphan', dry_run => NULL)$$);
SELECT daemon.refused($$SELECT objectlink.resolve_all('delete', 'nowhere', kind => 'orphan')$$);
SELECT daemon.refused($$SELECT objectlink.resolve_all('delete', 'docs', prefix => '', dry_run => false)$$);
SELECT daemon.refused('SELECT objectlink.resolve(NULL, ''restore'')');
-- Another object under a key has to be seen twice like every other one; how its ETag is written means nothing. Acknowledged or decided about: as it was
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, delete_at, evidence)
  SELECT daemon.store_id('docs'), k, 'orphan', s, 1, 1, d, '{"etag": "\"x\""}'
  FROM (VALUES ('v1', 'suspected', NULL), ('v2', 'open', NULL), ('v3', 'open', NULL), ('v4', 'acknowledged', NULL), ('v5', 'open', now())) AS f (k, s, d);
CREATE FUNCTION daemon.seen(p_run bigint) RETURNS void LANGUAGE sql AS $$
  SELECT objectlink.note_findings(daemon.store_id('docs'), p_run, ARRAY(
    SELECT (k, 'orphan', NULL, jsonb_build_object('etag', e), NULL)::objectlink.difference
    FROM (VALUES ('v1', 'other'), ('v2', 'X'), ('v3', 'other'), ('v4', 'other'), ('v5', 'other')) AS f (k, e))) $$;
\set seen 'SELECT key, status, evidence ->> ''etag'' AS etag FROM objectlink.findings WHERE key LIKE ''v_'' ORDER BY key;'
SELECT daemon.seen(2);
:seen
SELECT daemon.seen(2);
:seen
SELECT daemon.seen(3);
:seen
DELETE FROM objectlink.finding WHERE key LIKE 'v_';
-- refused for ever: others come first, and in the end it stays
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence, delete_at)
  SELECT daemon.store_id('docs'), 'r' || n, 'orphan', 'open', 1, 1, '{"etag": "\"x\""}', now() - interval '1 day' FROM generate_series(1, 100) n;
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, evidence, delete_at) VALUES (daemon.store_id('docs'), 's', 'orphan', 'open', 1, 1, '{"etag": "\"x\""}', now());
SELECT sum(daemon.confirm('r' || n, 'unknown')) FROM generate_series(1, 100) n;
SELECT key FROM objectlink.deletions_to_confirm(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')));
DELETE FROM objectlink.finding WHERE key LIKE 'r%' AND key <> 'r1' OR key = 's';
SELECT objectlink.refused_look_pause(n) FROM generate_series(1, 6) n;
SELECT runs FROM objectlink.look(ARRAY[daemon.store_id('docs')], '(0,0)');
UPDATE objectlink.finding SET look_after = now() WHERE key = 'r1';
SELECT runs FROM objectlink.look(ARRAY[daemon.store_id('docs')], '(0,0)');
SELECT sum(daemon.confirm('r1', 'unknown')) FROM generate_series(1, 7) n;
SELECT status, delete_at, look_after, looks_refused, resolution FROM objectlink.finding WHERE key = 'r1';
SELECT cause, detail - 'finding'::text FROM objectlink.events WHERE key = 'r1';
SELECT objectlink.resolve(daemon.finding('r1'), 'delete');
SELECT looks_refused, delete_at IS NOT NULL FROM objectlink.finding WHERE key = 'r1';
SELECT daemon.confirm('r1', 'absent');
-- a row links it before it is deleted
INSERT INTO document (file) VALUES ('s3://docs/x');
SELECT daemon.apply();
SELECT key, state FROM objectlink.object WHERE key = 'x';
SELECT daemon.confirm('x', 'same');

-- Who may what
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_anybody;
RESET client_min_messages;
-- One statement would wait for what nobody sees before it ends
SET client_min_messages = error;
SELECT regexp_replace(daemon.refused($$CALL objectlink.wait_for_run(objectlink.reconcile_storage('docs'))$$), 'run \d+', 'run N');
RESET client_min_messages;
CREATE ROLE objectlink_test_anybody;
GRANT USAGE ON SCHEMA daemon TO objectlink_test_anybody;
SET ROLE objectlink_test_anybody;
SELECT daemon.refused('SELECT objectlink.reconcile_storage()');
SELECT daemon.refused('SELECT objectlink.cancel_run(1)');
SELECT daemon.refused('SELECT objectlink.acknowledge(1)');
SELECT daemon.refused('CALL objectlink.wait_for_run(1)');
SELECT count(*) FROM objectlink.runs;
SELECT count(*) FROM objectlink.findings;
RESET ROLE;
INSERT INTO objectlink.finding (store_id, key, kind, status, run_id, first_run_id, attachment_id, evidence)
  SELECT daemon.store_id('docs'), k, 'missing', 'open', 1, 1, CASE k WHEN 'mine' THEN (SELECT id FROM objectlink.attachment) END, '{}' FROM unnest('{mine,theirs}'::text[]) k;
GRANT SELECT ON document TO objectlink_test_anybody;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_anybody;
SET ROLE objectlink_test_anybody;
SELECT key FROM objectlink.findings WHERE kind = 'missing';
SELECT count(*) > 0, bool_and(store = 'docs') FROM objectlink.runs;
RESET ROLE;
SELECT objectlink.grant_admin('objectlink_test_anybody');
SET ROLE objectlink_test_anybody;
SELECT count(*) FROM objectlink.findings WHERE kind = 'missing';
SELECT objectlink.reconcile_storage('docs') > 0;
RESET ROLE;
SELECT requested_by = session_user FROM objectlink.runs ORDER BY id DESC LIMIT 1;

SET client_min_messages = warning;
DROP OWNED BY objectlink_test_anybody;
DROP ROLE objectlink_test_anybody;
CALL daemon.drop_server('images');
CALL daemon.drop_server('bare');
DROP TABLE document;
CALL daemon.finish();
