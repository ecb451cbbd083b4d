-- Goal: an object is kept as long as the most careful of those that unlinked it wants, whatever the order of events, and is never kept by mistake.
-- Method: one session plays user and daemon; times are read as "now", "kept" or days, by the registry's own clock. First the rules, then what could break them.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
CREATE TABLE brief (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE long (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE archive (id int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE plain (id int PRIMARY KEY, file objectlink.storage_ref);
SELECT daemon.start();
SELECT objectlink.attach('brief', 'file', retention => '0') > 0, objectlink.attach('long', 'file', on_unlink => 'delete', retention => '30 days') > 0,
       objectlink.attach('archive', 'file', on_unlink => 'keep') > 0, objectlink.attach('plain', 'file') > 0, daemon.walk();
SELECT relation, on_unlink, retention, max_attempts FROM objectlink.attachments ORDER BY id;
CREATE FUNCTION daemon.days(p_at timestamptz) RETURNS text LANGUAGE sql AS $$
  SELECT CASE WHEN p_at = 'infinity' THEN 'for ever' WHEN p_at = '-infinity' THEN 'decided' WHEN p_at <= clock_timestamp() THEN 'now'
              ELSE round(extract(epoch FROM p_at - clock_timestamp()) / 86400)::int || ' days' END $$;
CREATE VIEW daemon.kept AS
SELECT o.key, o.state, daemon.days(o.due_at) AS due, daemon.days(o.keep_until) AS keep_until, o.held_reason, o.admin_hold, a.relation
FROM objectlink.object o LEFT JOIN objectlink.attachment a ON a.id = o.attachment_id;
\set kept 'SELECT * FROM daemon.kept ORDER BY key;'
-- Keys that are stored and linked by all these tables
CREATE FUNCTION daemon.link(p_tables text[], p_keys text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  v_table text;
BEGIN
  FOREACH v_table IN ARRAY p_tables LOOP
    EXECUTE format('INSERT INTO %I SELECT (SELECT coalesce(max(id), 0) FROM %1$I) + row_number() OVER (), objectlink.storage_ref(''docs'', k) FROM unnest($1) k', v_table) USING p_keys;
  END LOOP;
  PERFORM daemon.apply();
  PERFORM daemon.settle(key, 'stored', '{"size": 10}') FROM objectlink.object WHERE state = 'pending';
END $$;
CREATE PROCEDURE daemon.forget() LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM brief; DELETE FROM long; DELETE FROM archive; DELETE FROM plain;
  TRUNCATE objectlink.object, objectlink.outbox, objectlink.event, objectlink.condemned;
END $$;

-- Each policy by itself
SELECT daemon.link('{brief}', '{a-brief}'), daemon.link('{long}', '{b-long}'), daemon.link('{archive}', '{c-archive}'), daemon.link('{plain}', '{d-plain}');
DELETE FROM brief; DELETE FROM long; DELETE FROM archive; DELETE FROM plain;
SELECT daemon.apply();
:kept
SELECT daemon.condemn();
-- the store's retention counts where the attachment says none, and only there
CALL daemon.forget();
ALTER SERVER docs OPTIONS (ADD retention '7 days');
SELECT daemon.link('{brief}', '{a-brief}'), daemon.link('{long}', '{b-long}'), daemon.link('{archive}', '{c-archive}'), daemon.link('{plain}', '{d-plain}');
DELETE FROM brief; DELETE FROM long; DELETE FROM archive; DELETE FROM plain;
SELECT daemon.apply();
:kept
SELECT daemon.condemn();
-- Linked again: the deletion is cancelled, nothing was sent, and it is stored without another look
INSERT INTO plain VALUES (1, 's3://docs/b-long'), (2, 's3://docs/c-archive'), (3, 's3://docs/d-plain');
SELECT daemon.apply();
:kept
SELECT key, from_state, to_state, cause FROM objectlink.event WHERE to_state = 'stored' AND cause = 'link' ORDER BY key;
-- what the others promised still counts when this one goes
DELETE FROM plain;
SELECT daemon.apply();
:kept
ALTER SERVER docs OPTIONS (DROP retention);

-- Shared: the most careful wins, whoever goes first
CALL daemon.forget();
SELECT daemon.link('{brief,long}', '{long-first,brief-first,together}'), daemon.link('{brief,archive}', '{kept-first,kept-last}');
:kept
DELETE FROM long WHERE file = 's3://docs/long-first';
DELETE FROM brief WHERE file = 's3://docs/brief-first';
DELETE FROM archive WHERE file = 's3://docs/kept-first';
DELETE FROM brief WHERE file = 's3://docs/kept-last';
SELECT daemon.apply();
:kept
DELETE FROM brief; DELETE FROM long; DELETE FROM archive;
SELECT daemon.apply();
:kept
SELECT daemon.condemn();
-- in one batch the greatest id says nothing: it is the plain one
CALL daemon.forget();
SELECT daemon.link('{brief,long,plain}', '{x}'), daemon.link('{archive,plain}', '{y}');
DELETE FROM long; DELETE FROM archive; DELETE FROM plain; DELETE FROM brief;
SELECT daemon.apply();
:kept
-- unlinked by one after the other, in batches of their own
CALL daemon.forget();
SELECT daemon.link('{brief,long}', '{x}');
DELETE FROM brief;
DELETE FROM long;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
:kept
-- the policy of the one that is recorded is asked again before the mark
SELECT daemon.condemn();
:kept
SELECT daemon.apply();
:kept
-- the one that is recorded says nothing, because the other became careful only later
CALL daemon.forget();
SELECT objectlink.alter_attachment('long', 'file', retention => '0') > 0;
SELECT daemon.link('{plain,long}', '{x}');
:kept
SELECT objectlink.alter_attachment('long', 'file', retention => '30 days') > 0;
DELETE FROM plain;
DELETE FROM long;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
SELECT daemon.condemn();
-- the other unlink is applied between the mark and the question to the rows
SELECT daemon.apply();
:kept
SELECT daemon.issue();
:kept
SELECT count(*) FROM objectlink.condemned;
SELECT from_state, to_state, cause, detail FROM objectlink.event ORDER BY id DESC LIMIT 1;
-- it waits for a policy, not because a try has to be repeated
CALL objectlink.wait_for_sync('1 second');
-- what was promised is kept, whatever its policy says by now, when the mark was taken back for another reason
CALL daemon.forget();
SELECT objectlink.alter_attachment('long', 'file', retention => '0') > 0;
SELECT daemon.link('{plain,long}', '{x}');
SELECT objectlink.alter_attachment('long', 'file', retention => '30 days') > 0;
DELETE FROM plain;
DELETE FROM long;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
SELECT daemon.condemn();
SELECT daemon.apply();
SELECT objectlink.alter_attachment('long', 'file', retention => '0') > 0;
SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{x}', 0, 'blocked');
SELECT daemon.condemn();
:kept
SELECT objectlink.alter_attachment('long', 'file', retention => '30 days') > 0;
-- or keeps it for ever, and says so: else nobody would ever look at it again, nor know why
CALL daemon.forget();
SELECT objectlink.alter_attachment('archive', 'file', on_unlink => 'delete') > 0;
SELECT daemon.link('{archive,plain}', '{x}');
SELECT objectlink.alter_attachment('archive', 'file', on_unlink => 'keep') > 0;
DELETE FROM plain;
DELETE FROM archive;
SELECT taken FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1);
SELECT daemon.condemn();
SELECT daemon.apply();
SELECT daemon.issue();
:kept
-- a hold that was released has decided nothing about what is linked: what another row's policy promised still counts
CALL daemon.forget();
SELECT daemon.link('{long,plain}', '{x}');
DELETE FROM long;
SELECT daemon.apply();
SELECT held FROM objectlink.hold_deletions('docs', key => 'x');
SELECT released FROM objectlink.release_deletions('docs', key => 'x');
DELETE FROM plain;
SELECT daemon.apply();
:kept
-- TRUNCATE knows the keys only from the registry, which records all that link them
CALL daemon.forget();
SELECT daemon.link('{long,plain}', '{x}'), daemon.link('{archive,plain}', '{y}');
:kept
TRUNCATE long, archive;
SELECT daemon.apply(), daemon.walk(), daemon.apply();
:kept
TRUNCATE plain;
SELECT daemon.apply(), daemon.walk(), daemon.apply();
:kept
-- whichever of them is careful by then
CALL daemon.forget();
SELECT objectlink.alter_attachment('long', 'file', retention => '0') > 0;
SELECT daemon.link('{long,plain}', '{x}');
:kept
SELECT objectlink.alter_attachment('long', 'file', retention => '30 days') > 0;
TRUNCATE long;
SELECT daemon.apply(), daemon.walk(), daemon.apply();
DELETE FROM plain;
SELECT daemon.apply();
:kept
-- also one that linked the key a moment ago, so that its link is not applied when it is truncated
CALL daemon.forget();
SELECT daemon.link('{plain}', '{x}');
INSERT INTO archive VALUES (1, 's3://docs/x');
TRUNCATE archive;
SELECT daemon.apply(), daemon.walk(), daemon.apply();
DELETE FROM plain;
SELECT daemon.apply();
:kept
-- and one that could not be asked when the key was touched last
CALL daemon.forget();
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE parts (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE TABLE parts_near PARTITION OF parts FOR VALUES IN (1);
SELECT objectlink.attach('parts', 'file', retention => '40 days') > 0, daemon.walk();
SELECT daemon.link('{parts,plain}', '{x}');
CREATE FOREIGN TABLE parts_far PARTITION OF parts FOR VALUES IN (2) SERVER dummy;
INSERT INTO plain VALUES (9, 's3://docs/x');
SELECT daemon.apply();
ALTER TABLE parts DETACH PARTITION parts_far;
TRUNCATE parts;
SELECT daemon.apply(), daemon.walk(), daemon.apply();
DELETE FROM plain;
SELECT daemon.apply();
:kept
SET client_min_messages = warning;
DROP TABLE parts;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
RESET client_min_messages;
-- but not one that still links it: another row, or the same one elsewhere
CALL daemon.forget();
SELECT daemon.link('{archive,archive,long}', '{x}');
DELETE FROM archive WHERE id = 1;
UPDATE long SET file = 's3://docs/y';
UPDATE long SET file = 's3://docs/x';
SELECT daemon.apply();
:kept
-- a question that has to be put again forgets no policy
CALL daemon.forget();
SELECT daemon.link('{long,plain}', '{x}');
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER dummy FOREIGN DATA WRAPPER dummy;
CREATE TABLE mixed (id int, file objectlink.storage_ref) PARTITION BY LIST (id);
CREATE FOREIGN TABLE mixed_far PARTITION OF mixed FOR VALUES IN (1) SERVER dummy;
DELETE FROM long; DELETE FROM plain;
SELECT taken, postponed FROM objectlink.apply_outbox(daemon.epoch(0), '(0,0)', 1000);
SELECT op, attached FROM daemon.outbox ORDER BY attached;
DROP TABLE mixed;
SELECT daemon.apply();
:kept
SET client_min_messages = warning;
DROP FOREIGN DATA WRAPPER dummy CASCADE;
RESET client_min_messages;

-- Not by a row at all: a put that nobody linked, a link and unlink in one transaction
CALL daemon.forget();
ALTER SERVER docs OPTIONS (ADD retention '7 days');
SELECT objectlink.append_outbox('P', 's3://docs/never', NULL);
BEGIN;
INSERT INTO archive VALUES (1, 's3://docs/withdrawn');
DELETE FROM archive;
COMMIT;
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = now() WHERE state = 'reserved';
SELECT objectlink.expire_reserved(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{never}');
:kept
SELECT daemon.condemn();
ALTER SERVER docs OPTIONS (DROP retention);

-- A longer retention protects what waits already; a shorter one hastens nothing
CALL daemon.forget();
SELECT daemon.link('{plain}', '{longer,shorter}'), daemon.link('{long}', '{policy,shortened}'), daemon.link('{brief}', '{keep}');
DELETE FROM plain; DELETE FROM long; DELETE FROM brief;
SELECT daemon.apply();
UPDATE objectlink.object SET wanted_since = wanted_since - interval '40 days', keep_until = keep_until - interval '40 days', due_at = due_at - interval '40 days';
ALTER SERVER docs OPTIONS (ADD retention '60 days');
SELECT objectlink.alter_attachment('brief', 'file', on_unlink => 'keep') > 0, objectlink.alter_attachment('long', 'file', retention => '70 days') > 0;
SELECT daemon.condemn();
:kept
ALTER SERVER docs OPTIONS (SET retention '50 days');
SELECT objectlink.alter_attachment('long', 'file', retention => '1 hour') > 0;
SELECT daemon.condemn();
:kept
ALTER SERVER docs OPTIONS (DROP retention);
-- it counts from when a row was last seen to link it: who goes back to yesterday finds that row, and must find its object
CALL daemon.forget();
SELECT daemon.link('{plain}', '{x}');
DELETE FROM plain;
SELECT daemon.apply();
UPDATE objectlink.object SET wanted_since = wanted_since - interval '40 days', keep_until = keep_until - interval '40 days', due_at = due_at - interval '40 days';
INSERT INTO plain VALUES (1, 's3://docs/x');
DELETE FROM plain;
SELECT daemon.apply();
ALTER SERVER docs OPTIONS (ADD retention '30 days');
SELECT daemon.condemn();
:kept
ALTER SERVER docs OPTIONS (DROP retention);

-- A deletion was tried, and blocked; then another row's unlink is read, and its policy keeps the object: nothing is repeated any
-- more, so nothing is reported, and nobody waits for it
CALL daemon.forget();
SELECT objectlink.alter_attachment('brief', 'file', on_unlink => 'delete') > 0, objectlink.alter_attachment('long', 'file', retention => '0') > 0,
       objectlink.alter_attachment('archive', 'file', on_unlink => 'delete') > 0;
SELECT daemon.link('{brief,plain}', '{at-once}'), daemon.link('{long,plain}', '{days}'), daemon.link('{archive,plain}', '{for-ever}');
SELECT objectlink.alter_attachment('long', 'file', retention => '30 days') > 0, objectlink.alter_attachment('archive', 'file', on_unlink => 'keep') > 0;
DELETE FROM brief; DELETE FROM long; DELETE FROM archive;
CREATE TEMP TABLE read_later AS SELECT * FROM objectlink.outbox;
TRUNCATE objectlink.outbox;
DELETE FROM plain;
SELECT daemon.apply();
SELECT daemon.condemn();
SELECT objectlink.uncondemn(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), '{at-once,days,for-ever}', 60000, 'blocked');
INSERT INTO objectlink.outbox SELECT * FROM read_later;
SELECT daemon.apply();
SELECT o.last_error, k.* FROM daemon.kept k JOIN objectlink.object o USING (key) ORDER BY key;
SELECT what, detail FROM objectlink.problems WHERE what = 'deletions wait';
SELECT what, key FROM objectlink.unsettled(pg_snapshot_xmax(pg_current_snapshot()), clock_timestamp()) WHERE key IS NOT NULL;
DROP TABLE read_later;

-- Detached: of its own policy and the store's the more careful; unknown: the store's
CALL daemon.forget();
SELECT objectlink.alter_attachment('brief', 'file', on_unlink => 'delete') > 0, objectlink.alter_attachment('long', 'file', retention => '30 days') > 0;
SELECT daemon.link('{brief}', '{a}'), daemon.link('{long}', '{b}');
DELETE FROM brief; DELETE FROM long;
SELECT objectlink.detach('brief', 'file'), objectlink.detach('long', 'file');
ALTER SERVER docs OPTIONS (ADD retention '7 days');
SELECT objectlink.append_outbox('U', 's3://docs/c', NULL), objectlink.append_outbox('U', 's3://docs/d', 4711);
SELECT daemon.apply();
:kept
-- also when the store's becomes longer while they wait
UPDATE objectlink.object SET wanted_since = wanted_since - interval '40 days', keep_until = keep_until - interval '40 days', due_at = due_at - interval '40 days';
ALTER SERVER docs OPTIONS (SET retention '60 days');
SELECT daemon.condemn();
:kept
ALTER SERVER docs OPTIONS (DROP retention);
CALL daemon.forget();

-- Policies: what is not given stays
SELECT on_unlink, retention, max_attempts FROM objectlink.attachments WHERE relation = 'archive'::regclass;
SELECT objectlink.alter_attachment('archive', 'file', max_attempts => 3) > 0;
SELECT objectlink.alter_attachment('archive', 'file', retention => '1 month') > 0;
SELECT on_unlink, retention, max_attempts FROM objectlink.attachments WHERE relation = 'archive'::regclass;
SELECT objectlink.alter_attachment('archive', 'file', reset => '{retention,max_attempts}') > 0;
SELECT on_unlink, retention, max_attempts FROM objectlink.attachments WHERE relation = 'archive'::regclass;
SELECT cause, actor = session_user, detail FROM objectlink.event ORDER BY id;
-- nor is another column of the table meant
CREATE TABLE two_columns (file objectlink.storage_ref, thumb objectlink.storage_ref);
SELECT objectlink.attach('two_columns', 'file', on_unlink => 'keep') > 0, objectlink.attach('two_columns', 'thumb') > 0;
SELECT objectlink.alter_attachment('two_columns', 'thumb', retention => '0') > 0;
SELECT column_name, on_unlink, retention FROM objectlink.attachments WHERE relation = 'two_columns'::regclass ORDER BY column_name;
DROP TABLE two_columns;
-- and what is refused
SELECT daemon.refused($$SELECT objectlink.attach('brief', 'file', on_unlink => 'forget')$$);
SELECT daemon.refused($$SELECT objectlink.attach('brief', 'file', on_unlink => NULL)$$);
SELECT daemon.refused($$SELECT objectlink.attach('brief', 'file', retention => '-1 second')$$);
SELECT daemon.refused($$SELECT objectlink.attach('brief', 'file', retention => '3651 days')$$);
SELECT daemon.refused($$SELECT objectlink.attach('brief', 'file', max_attempts => 0)$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('archive', 'file', on_unlink => '')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('archive', 'file', retention => '-1 day')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('archive', 'file', max_attempts => 1001)$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('archive', 'file', reset => '{store}')$$);
SELECT daemon.refused($$SELECT objectlink.alter_attachment('brief', 'file', retention => '1 day')$$);
SELECT daemon.refused($$UPDATE objectlink.attachment SET retention = '3651 days'$$);
SELECT daemon.refused($$UPDATE objectlink.attachment SET on_unlink = 'forget'$$);

SET client_min_messages = warning;
DROP TABLE brief, long, archive, plain;
CALL daemon.finish();
