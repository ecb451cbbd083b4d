-- Goal: a listing in no order counts only when it is complete and all of it is there; pages that show nothing new, or came too late, are none.
-- Method: one session plays user and daemon; pages of listings are written down.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
SELECT daemon.start();
SELECT objectlink.reconcile_storage('docs');
CREATE FUNCTION daemon.collect(p_token text, p_next text, p_keys text[]) RETURNS text LANGUAGE sql AS $$
  SELECT objectlink.collect_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), (SELECT max(id) FROM objectlink.run), p_token, p_next, 1000000, 500,
    p_keys, ARRAY(SELECT 1::bigint FROM unnest(p_keys)), p_keys, ARRAY(SELECT NULL::bigint FROM unnest(p_keys)))
$$;
CREATE FUNCTION daemon.next() RETURNS text LANGUAGE sql AS $$ SELECT listing FROM objectlink.next_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs'))) $$;
CREATE FUNCTION daemon.collected(p_after text, p_limit int) RETURNS TABLE (key text, size bigint, etag text, age_ms bigint, since boolean, store_time_ms bigint) LANGUAGE sql AS $$
  SELECT key, size, etag, age_ms, since_ms >= 500, store_time_ms FROM objectlink.collected_page(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), (SELECT max(id) FROM objectlink.run), p_after, p_limit)
$$;
SELECT daemon.next();
SELECT daemon.collect('', 't1', '{b}');
SELECT objectlink.collect_run(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id), daemon.next() FROM objectlink.run;
SELECT objectlink.collection_token(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), id) = '' FROM objectlink.run;
-- In any order, some twice
SELECT daemon.collect('', 't1', '{d,b,b}');
SELECT daemon.collect('', 't1', '{d,b}');
SELECT daemon.collect('t1', 't2', '{d,b}');
SELECT daemon.collect('t1', 't2', '{}');
SELECT daemon.collect('t1', 't2', '{c,d}');
SELECT daemon.next();
SELECT daemon.collect('t2', NULL, '{a}');
SELECT daemon.next();
SELECT daemon.collect('t2', NULL, '{e}');
SELECT * FROM daemon.collected('', 2);
SELECT * FROM daemon.collected('b', 9);
UPDATE objectlink.run SET aside = NULL;
SELECT phase, list_requests FROM objectlink.reconcile_progress;
-- A crash has emptied what is not logged
DELETE FROM objectlink.collected_key;
SELECT daemon.next();
SELECT daemon.collect('', NULL, '{}');
SELECT daemon.next();
SELECT * FROM daemon.collected('', 2);
UPDATE objectlink.collected_key SET size = 7 WHERE key = '';
SELECT daemon.next();
-- Over: what was collected goes, in pieces
SELECT daemon.collect('', 't', '{x,y}');
SELECT objectlink.cancel_run(id) FROM objectlink.run;
SELECT daemon.collect('t', NULL, '{z}');
SELECT count(*) FROM objectlink.collection;
SELECT objectlink.remove_collected() FROM generate_series(1, 4);
SELECT count(*) FROM objectlink.collection;
SELECT count(*) FROM objectlink.collected_key;
CALL daemon.finish();
