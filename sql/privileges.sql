-- Goal: nobody can do more than he was granted: users, readers, daemon and admin each see and call exactly theirs.
-- Method: one role of each kind tries everything; a list of what PUBLIC may call, so that a new function has to be thought about.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
GRANT USAGE ON SCHEMA daemon TO PUBLIC;
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_daemon, objectlink_test_admin, objectlink_test_reader, objectlink_test_user, objectlink_test_stranger;
RESET client_min_messages;
CREATE ROLE objectlink_test_daemon;
CREATE ROLE objectlink_test_admin;
CREATE ROLE objectlink_test_reader;
CREATE ROLE objectlink_test_user;
CREATE ROLE objectlink_test_stranger;
SELECT objectlink.grant_daemon('objectlink_test_daemon'), objectlink.grant_admin('objectlink_test_admin'), objectlink.grant_reader('objectlink_test_reader');
CREATE TABLE document (id int PRIMARY KEY, title text, file objectlink.storage_ref);
CREATE TABLE hidden (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT objectlink.attach('document', 'file') > 0, objectlink.attach('hidden', 'file') > 0;
GRANT SELECT, INSERT, UPDATE, DELETE ON document TO objectlink_test_user, objectlink_test_stranger;
GRANT INSERT (id), SELECT (id) ON hidden TO objectlink_test_stranger;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_user;
CREATE SERVER other FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'other');
INSERT INTO hidden VALUES (1, 's3://docs/hidden'), (2, 's3://docs/shared');

-- What everybody may call: no more than this
SELECT p.oid::regprocedure::text COLLATE "C" FROM pg_proc p WHERE p.pronamespace = 'objectlink'::regnamespace
  AND has_function_privilege('objectlink_test_stranger', p.oid, 'EXECUTE')
  AND p.proname NOT LIKE 'storage\_ref%' ORDER BY 1;
SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'objectlink'::regnamespace AND c.relkind IN ('r', 'v', 'S')
  AND has_table_privilege('objectlink_test_stranger', c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE') ORDER BY 1;
-- The daemon: its functions, and no table
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.pronamespace = 'objectlink'::regnamespace
  AND has_function_privilege('objectlink_test_daemon', p.oid, 'EXECUTE') AND NOT has_function_privilege('objectlink_test_stranger', p.oid, 'EXECUTE');
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.pronamespace = 'objectlink'::regnamespace
  AND has_function_privilege('objectlink_test_admin', p.oid, 'EXECUTE') AND NOT has_function_privilege('objectlink_test_stranger', p.oid, 'EXECUTE');
SELECT string_agg(p.proname, ' ' ORDER BY p.proname) FROM pg_proc p WHERE p.pronamespace = 'objectlink'::regnamespace
  AND has_function_privilege('objectlink_test_reader', p.oid, 'EXECUTE') AND NOT has_function_privilege('objectlink_test_stranger', p.oid, 'EXECUTE');
SELECT r, string_agg(c.relname, ' ' ORDER BY c.relname) FROM pg_class c, unnest('{daemon,admin,reader}'::text[]) r
WHERE c.relnamespace = 'objectlink'::regnamespace AND c.relkind IN ('r', 'v')
  AND has_table_privilege('objectlink_test_' || r, c.oid, 'SELECT,INSERT,UPDATE,DELETE,TRUNCATE')
  AND NOT has_table_privilege('objectlink_test_stranger', c.oid, 'SELECT') GROUP BY 1 ORDER BY 1;
SELECT r, c.relname FROM pg_class c, unnest('{daemon,admin,reader,user,stranger}'::text[]) r
WHERE c.relnamespace = 'objectlink'::regnamespace AND c.relkind IN ('r', 'v', 'S')
  AND has_table_privilege('objectlink_test_' || r, c.oid, 'INSERT,UPDATE,DELETE,TRUNCATE') ORDER BY 1, 2;
-- Every function that runs with its owner's rights has a search_path of its own
SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'objectlink'::regnamespace AND p.prosecdef
  AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false);

-- Without USAGE on the store: no link, no put, but what needs no store works
SET ROLE objectlink_test_stranger;
INSERT INTO document VALUES (1, 'no file', NULL);
SELECT daemon.refused($$INSERT INTO document VALUES (2, '', 's3://docs/2')$$);
SELECT daemon.refused($$UPDATE document SET file = 's3://docs/2'$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x')$$);
SELECT daemon.refused($$INSERT INTO document VALUES (3, '', objectlink.put('docs', 'x', key => 'k'))$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.detach('document', 'file')$$);
SELECT daemon.refused($$SELECT * FROM objectlink.object$$);
SELECT daemon.refused($$SELECT * FROM objectlink.payload$$);
SELECT daemon.refused($$SELECT * FROM objectlink.outbox$$);
SELECT daemon.refused($$INSERT INTO objectlink.outbox (op, ref, xid, at) VALUES ('U', 's3://docs/x', '1', now())$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox('U', 's3://docs/x', NULL)$$);
SELECT daemon.refused($$SELECT objectlink.linked('{s3://docs/hidden}')$$);
SELECT daemon.refused($$SELECT objectlink.register_worker('x', '0', 'x')$$);
SELECT daemon.refused($$SELECT objectlink.acquire(0, 1)$$);
SELECT daemon.refused($$SELECT objectlink.settle(1, 1, '[]')$$);
SELECT daemon.refused($$SELECT objectlink.condemn(1, 1, '{x}')$$);
SELECT daemon.refused($$SELECT objectlink.is_proved('docs', 'hidden', 'x')$$);
SELECT daemon.refused($$SELECT objectlink.hold_deletions('docs')$$);
SELECT daemon.refused($$SELECT objectlink.release_deletions('docs')$$);
SELECT daemon.refused($$SELECT objectlink.expedite_deletions('docs')$$);
SELECT daemon.refused($$SELECT objectlink.release_brake('docs')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('document', 'file', on_unlink => 'delete')$$);
SELECT daemon.refused($$SELECT objectlink.take_back_kept(1, '{x}', '', '')$$);
SELECT daemon.refused($$SELECT objectlink.grant_admin('objectlink_test_stranger')$$);
SELECT daemon.refused($$SELECT objectlink.grant_execute('objectlink_test_stranger', '{objectlink.unlock(int)}')$$);
SELECT daemon.refused($$ALTER SERVER docs OPTIONS (SET bucket 'mine')$$);
SELECT daemon.refused($$CREATE SERVER mine FOREIGN DATA WRAPPER objectlink$$);
SELECT daemon.refused($$CREATE TRIGGER t AFTER INSERT ON document FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger('1', 'file')$$);
RESET ROLE;
-- a table of his own does not help
GRANT CREATE ON SCHEMA public TO objectlink_test_stranger;
SET ROLE objectlink_test_stranger;
CREATE TABLE own (id int, file objectlink.storage_ref);
SELECT daemon.refused($$CREATE TRIGGER t AFTER INSERT ON own FOR EACH ROW EXECUTE FUNCTION objectlink.link_trigger('1', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.attach('own', 'file')$$);
INSERT INTO own VALUES (1, 's3://docs/hidden');
RESET ROLE;

-- With USAGE: link, unlink, put
SET ROLE objectlink_test_user;
INSERT INTO document VALUES (10, '', 's3://docs/10'), (11, '', objectlink.put('docs', 'content', key => '11'));
SELECT daemon.refused($$INSERT INTO document VALUES (12, '', 's3://other/12')$$);
SELECT daemon.refused($$SELECT objectlink.put('other', 'x')$$);
RESET ROLE;
BEGIN;
-- in a SECURITY DEFINER function, its owner's right counts: for who may use the store, and against who may not
CREATE FUNCTION hand_in(content bytea) RETURNS objectlink.storage_ref LANGUAGE sql SECURITY DEFINER AS
$$ INSERT INTO document VALUES (20, '', objectlink.put('docs', content, key => '20')) RETURNING file $$;
ALTER FUNCTION hand_in OWNER TO objectlink_test_user;
CREATE FUNCTION sneak_in(content bytea) RETURNS objectlink.storage_ref LANGUAGE sql SECURITY DEFINER AS
$$ SELECT objectlink.put('docs', content, key => '21') $$;
ALTER FUNCTION sneak_in OWNER TO objectlink_test_stranger;
SET ROLE objectlink_test_stranger;
SELECT hand_in('x');
SELECT daemon.refused($$SELECT sneak_in('x')$$);
RESET ROLE;
SELECT daemon.refused($$SELECT sneak_in('x')$$);
SET ROLE objectlink_test_user;
SELECT daemon.refused($$SELECT sneak_in('x')$$);
-- what failed in between changes nothing
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x', key => '.objectlink/x')$$);
SELECT objectlink.put('docs', 'x', key => '22');
ROLLBACK;
-- unlinking needs no right on the store
SET ROLE objectlink_test_stranger;
UPDATE document SET file = NULL WHERE id = 10;
RESET ROLE;
-- a right that is taken away counts in the next transaction, and inside a session that had used it
SET ROLE objectlink_test_user;
BEGIN;
INSERT INTO document VALUES (13, '', 's3://docs/13');
COMMIT;
RESET ROLE;
REVOKE USAGE ON FOREIGN SERVER docs FROM objectlink_test_user;
SET ROLE objectlink_test_user;
SELECT daemon.refused($$INSERT INTO document VALUES (14, '', 's3://docs/14')$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_user;
-- it is the one who writes that counts: also inside a transaction that changes roles, and in a function of another's
BEGIN;
INSERT INTO document VALUES (15, '', 's3://docs/15');
SET LOCAL ROLE objectlink_test_stranger;
SELECT daemon.refused($$INSERT INTO document VALUES (16, '', 's3://docs/16')$$);
COMMIT;
CREATE FUNCTION link_for_me(p_id int) RETURNS void LANGUAGE sql SECURITY DEFINER AS
$$ INSERT INTO document VALUES (p_id, '', objectlink.storage_ref('docs', p_id::text)) $$;
SET ROLE objectlink_test_stranger;
SELECT link_for_me(17);
RESET ROLE;
SELECT op, ref FROM daemon.outbox WHERE attached = 'document.file' ORDER BY ref, op;

-- Attaching: who owns the table; a text column needs USAGE on its store as well
SET ROLE objectlink_test_admin;
SELECT daemon.refused($$SELECT objectlink.attach('hidden', 'file')$$);
SELECT daemon.refused($$SELECT objectlink.detach('hidden', 'file')$$);
RESET ROLE;
GRANT CREATE ON SCHEMA public TO objectlink_test_admin;
SET ROLE objectlink_test_admin;
CREATE TABLE mine (id int, file objectlink.storage_ref, path text);
SELECT objectlink.attach('mine', 'file') > 0;
SELECT daemon.refused($$SELECT objectlink.attach('mine', 'path', store => 'docs')$$);
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER docs TO objectlink_test_admin;
SET ROLE objectlink_test_admin;
SELECT objectlink.attach('mine', 'path', store => 'docs') > 0;
INSERT INTO mine VALUES (1, 's3://docs/mine', 'mine/path');
SELECT objectlink.detach('mine', 'path');
ALTER TABLE mine RENAME COLUMN file TO renamed;
CREATE TABLE mine_child () INHERITS (mine);
INSERT INTO mine_child VALUES (2, 's3://docs/child', NULL);
SELECT relation, column_name, attached_by FROM objectlink.attachments WHERE relation = 'mine'::regclass;
-- deletions: he decides about all of them; policies only of tables that he owns, whatever role he has set
SELECT objectlink.hold_deletions('docs', key => 'mine'), objectlink.release_deletions('docs', key => 'mine'), objectlink.expedite_deletions('docs', key => 'mine'), objectlink.release_brake('docs');
RESET ROLE;
SET SESSION AUTHORIZATION objectlink_test_admin;
SELECT objectlink.alter_attachment('mine', 'renamed', retention => '1 day') > 0;
SELECT daemon.refused($$SELECT objectlink.alter_attachment('hidden', 'file', on_unlink => 'delete')$$);
SELECT daemon.refused($$SELECT objectlink.uncount_deletions(1, 1000)$$);
SELECT count(*) >= 0 FROM objectlink.problems;
RESET SESSION AUTHORIZATION;
SET ROLE objectlink_test_admin;
SELECT daemon.refused($$SELECT * FROM objectlink.payload$$);
SELECT daemon.refused($$DELETE FROM objectlink.object$$);
SELECT daemon.refused($$DELETE FROM objectlink.condemned$$);
SELECT daemon.refused($$SELECT objectlink.settle(1, 1, '[]')$$);
RESET ROLE;

-- The daemon's role: it can do its work, and nothing else
CREATE TEMP TABLE epoch (drainer bigint, store int, owner bigint);
GRANT ALL ON epoch TO objectlink_test_daemon;
SET ROLE objectlink_test_daemon;
INSERT INTO epoch (store) SELECT store_id FROM objectlink.store_settings() WHERE store = 'docs';
WITH w AS MATERIALIZED (SELECT objectlink.register_worker('test', '0', 'test') AS id)
UPDATE epoch SET drainer = (SELECT a.epoch FROM w, objectlink.acquire(0, w.id) a), owner = (SELECT a.epoch FROM w, objectlink.acquire(store, w.id) a);
SELECT taken > 5 FROM epoch, objectlink.apply_outbox(drainer, '(0,0)', 1000);
SELECT objectlink.scan_step(drainer, 100) > 0 FROM epoch;
SELECT taken > 0 FROM epoch, objectlink.apply_outbox(drainer, '(0,0)', 1000);
SELECT w.key, w.state, w.content FROM epoch, objectlink.due_work(store, '-infinity', 100) w ORDER BY w.key;
SELECT objectlink.settle(store, owner, '[{"key": "11", "state": "pending", "attempts": 0, "outcome": "stored", "cause": "upload"}]') FROM epoch;
SELECT objectlink.marker_state(store, owner) ->> 'fence' FROM epoch;
SELECT objectlink.confirm_marker(store, owner, objectlink.begin_marker(store, owner) ->> 'nonce', 'etag', true) FROM epoch;
SELECT c FROM epoch, objectlink.condemn(store, owner, '{10,11,hidden,shared}') c;
SELECT count(*) FROM objectlink.writers();
SELECT i.key FROM epoch, objectlink.issue(store, owner, '{10}', 1000) i;
SELECT objectlink.settle(store, owner, '[{"key": "10", "state": "deleting", "attempts": 0, "outcome": "gone", "cause": "delete"}]') FROM epoch;
SELECT objectlink.release_condemned(drainer) FROM epoch;
SELECT objectlink.set_asleep(true);
SELECT daemon.refused($$SELECT * FROM document$$);
SELECT daemon.refused($$SELECT * FROM objectlink.object$$);
SELECT daemon.refused($$SELECT * FROM objectlink.payload$$);
SELECT daemon.refused($$UPDATE objectlink.object SET state = 'stored'$$);
SELECT daemon.refused($$SELECT objectlink.release_brake('docs')$$);
SELECT daemon.refused($$SELECT objectlink.expedite_deletions('docs')$$);
SELECT braked FROM epoch, objectlink.brake_of(store);
SELECT daemon.refused($$INSERT INTO document VALUES (20, '', 's3://docs/20')$$);
SELECT daemon.refused($$SELECT objectlink.attach('document', 'title', store => 'docs')$$);
SELECT daemon.refused($$SELECT objectlink.put('docs', 'x')$$);
SELECT daemon.refused($$SELECT objectlink.append_outbox('U', 's3://docs/11', NULL)$$);
SELECT count(*) FROM objectlink.objects;
RESET ROLE;

-- The views: each sees the objects of the tables that he may read
SELECT count(*) FROM objectlink.objects;
SET ROLE objectlink_test_user;
SELECT key FROM objectlink.objects ORDER BY key COLLATE "C";
SELECT DISTINCT key FROM objectlink.events ORDER BY key;
SELECT store FROM objectlink.consistency ORDER BY store;
SET ROLE objectlink_test_stranger;
SELECT key FROM objectlink.objects ORDER BY key COLLATE "C";
SELECT count(*) FROM objectlink.consistency;
SELECT name FROM objectlink.server ORDER BY name;
SET ROLE objectlink_test_reader;
SELECT count(*) >= 0 FROM objectlink.unindexed_relation;
SELECT count(*) FROM objectlink.switched_off_trigger;
SELECT count(*) FROM objectlink.objects;
SELECT store FROM objectlink.consistency ORDER BY store;
SELECT daemon.refused($$SELECT * FROM objectlink.payload$$);
SELECT daemon.refused($$INSERT INTO document VALUES (21, '', NULL)$$);
SELECT count(*) > 0 FROM objectlink.problems;
SELECT count(*) FROM objectlink.deletions;
SELECT daemon.refused($$SELECT objectlink.hold_deletions('docs')$$);
SET ROLE objectlink_test_daemon;
SELECT count(*) FROM objectlink.objects;
SELECT daemon.refused($$SELECT * FROM objectlink.problems$$);
SELECT count(*) FROM objectlink.deletions;
SELECT count(*) FROM objectlink.deletions_by_store;
-- not through a function in WHERE either, which would be run on rows that he may not see
SET ROLE objectlink_test_stranger;
CREATE FUNCTION pg_temp.tell(text) RETURNS boolean LANGUAGE plpgsql COST 0.0000001 AS $$ BEGIN RAISE NOTICE 'seen: %', $1; RETURN true; END $$;
SELECT count(*) FROM objectlink.objects WHERE pg_temp.tell(key) AND key = 'shared';
SELECT count(*) FROM objectlink.objects WHERE pg_temp.tell(key) AND state = 'nothing';
SELECT count(*) FROM objectlink.outbox_backlog WHERE pg_temp.tell(relation::text) AND rows < 0;
SELECT count(*) FROM objectlink.events WHERE pg_temp.tell(key) AND key = 'shared';
SELECT count(*) FROM objectlink.deletions WHERE pg_temp.tell(key) AND key = 'shared';
-- nor before they are applied, nor as unapplied links
RESET ROLE;
INSERT INTO hidden VALUES (3, 's3://docs/hidden-too');
SET ROLE objectlink_test_user;
SELECT key FROM objectlink.objects WHERE key LIKE 'hidden%';
SELECT relation, rows FROM objectlink.outbox_backlog;
SET ROLE objectlink_test_stranger;
SELECT key FROM objectlink.objects WHERE key LIKE 'hidden%';
SELECT relation, rows FROM objectlink.outbox_backlog;
RESET ROLE;
-- wait_for_sync() is for everybody
SET ROLE objectlink_test_user;
SELECT left(r, 5) FROM daemon.refused($$CALL objectlink.wait_for_sync('0')$$) r LIMIT 1;
RESET ROLE;

SET client_min_messages = warning;
DROP TABLE document, hidden, own, mine, mine_child, epoch;
DROP FUNCTION link_for_me(int), pg_temp.tell(text);
CALL daemon.drop_server('other');
DROP OWNED BY objectlink_test_daemon, objectlink_test_admin, objectlink_test_reader, objectlink_test_user, objectlink_test_stranger;
DROP ROLE objectlink_test_daemon, objectlink_test_admin, objectlink_test_reader, objectlink_test_user, objectlink_test_stranger;
CALL daemon.finish();
