-- Goal: a row that is kept to be restored is kept exactly, whatever the settings of the session that deletes it and of the one
-- that restores it; and nobody keeps rows in the name of an attachment that is not of their table.
-- Method: a value of each type whose text depends on settings, deleted under one set of them, restored under another; triggers made by hand.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
SET client_min_messages = warning;
DROP ROLE IF EXISTS objectlink_test_forger;
RESET client_min_messages;
SELECT daemon.start();
CREATE SCHEMA aside;
CREATE TABLE aside.place (id int);
CREATE TABLE place (id int);
CREATE DOMAIN said AS json;
CREATE TYPE pair AS (says json, number int);
CREATE DOMAIN paired AS pair;
CREATE FUNCTION of_pair(pair) RETURNS json LANGUAGE plpgsql AS $$ BEGIN RAISE WARNING 'this is the code of somebody else'; RETURN '"x"'; END $$;
CREATE CAST (pair AS json) WITH FUNCTION of_pair;
CREATE TYPE mood AS ENUM ('so-so');
CREATE TYPE odds AS RANGE (subtype = float8);
CREATE DOMAIN document_key AS bigint;
CREATE TABLE document (id int PRIMARY KEY, file objectlink.storage_ref, exact float8, short float4, exacts float8[], spot point, price money, raw bytea, markup xml, part xml,
                       lasts interval, made date, spans tstzrange[], at timestamp, hour timetz, about regclass, near regclass, calls regproc, said json, more said, none json, deleted_at timestamptz);
ALTER TABLE document ADD lists json[], ADD pair pair, ADD pairs pair[], ADD paired paired, ADD begins int[], ADD grid text[][], ADD zero float8, ADD half float4, ADD mood mood, ADD odds odds, ADD marks jsonb[],
                     ADD cost numeric, ADD none_of numeric, ADD ides date, ADD always timestamptz, ADD fixed char(5), ADD bits bit varying, ADD yes boolean, ADD whole document_key, ADD empty int[];
SELECT objectlink.attach('document', 'file', on_delete_failure => 'restore_row', soft_delete_column => 'deleted_at') > 0, daemon.walk();
INSERT INTO document VALUES (1, 's3://docs/a', 0.1::float8 + 0.2, 1.0::float4 / 3, ARRAY[1e-20, 0.1::float8 + 0.7, 'NaN'], point(0.1::float8 + 0.2, 1e15 / 7), -1234567.89, '\x005c00ff27', '<a b="c">d</a>', 'e <f/> g',
  '-1 years 2 mons -3 days 04:05:06.789', '1999-02-03', ARRAY[tstzrange('2024-03-04 05:06:07.891+00', '2024-12-01')], '1999-02-03 04:05:06.7', '01:02:03-04',
  'aside.place', 'place', 'pg_catalog.now', '{"b" : 1,  "a": "\u0000", "b": 1.50}', '"a \\ string"', NULL, NULL);
UPDATE document SET lists = ARRAY['{"b" : 1,  "a": "\u0000", "b": 1.50}', NULL, '[ ]']::json[], pair = ROW('{"x":  1, "x": 2}', 3), pairs = ARRAY[ROW('" \" "', NULL)::pair, NULL],
  paired = ROW('{ }', 4)::pair, begins = '[3:4]={7,8}', grid = '{{a,"b c"},{NULL,"d\"e"}}', zero = '-0', half = '-0', mood = 'so-so', odds = '[-0,0.30000000000000004)', marks = ARRAY['{"k": 1.50}'::jsonb, 'null'],
  cost = 1.500, none_of = 'NaN', ides = '0044-03-15 BC', always = '-infinity', fixed = 'a', bits = B'0101', yes = false, whole = 9223372036854775807, empty = '{}';
CREATE TABLE before AS SELECT d::text AS whole, (SELECT to_jsonb(e) FROM (SELECT d.exact::text, d.short::text, d.exacts::text, d.spot, d.made, d.spans::text, d.near) e) AS image FROM document d;
SELECT daemon.apply();
SELECT daemon.settle('a', 'stored', '{"size": 1}');
-- Deleted by a session that likes it otherwise
SET datestyle = 'SQL, DMY'; SET intervalstyle = sql_standard; SET extra_float_digits = -15; SET bytea_output = escape; SET xmlbinary = hex;
SET timezone = 'Asia/Kolkata'; SET lc_monetary = 'POSIX'; SET search_path = aside, public; SET xmloption = document; SET quote_all_identifiers = on;
DELETE FROM document;
RESET search_path; RESET datestyle; RESET intervalstyle; RESET extra_float_digits; RESET bytea_output; RESET xmlbinary; RESET lc_monetary; RESET quote_all_identifiers;
SELECT daemon.apply();
UPDATE objectlink.object SET due_at = NULL;
-- and restored by another one
SET datestyle = 'German'; SET intervalstyle = iso_8601; SET timezone = 'America/St_Johns'; SET search_path = aside, public, daemon;
SELECT objectlink.restore_rows('docs', 'a');
RESET datestyle; RESET intervalstyle; RESET timezone; RESET search_path; RESET xmloption;
SELECT count(*) FROM document d, before b WHERE d::text = b.whole;
SELECT said, more, none FROM document;
SELECT lists, pair, pairs, paired, begins, zero, half, odds FROM document;
SELECT d.about, d.near, d.price, d.spot FROM document d;
-- as is a mark
SELECT daemon.apply();
SET extra_float_digits = -15; SET datestyle = 'SQL, DMY'; SET search_path = aside, public;
UPDATE document SET deleted_at = now();
RESET extra_float_digits; RESET datestyle; RESET search_path;
SELECT d.image -> k AS kept, b.image -> k AS was FROM objectlink.deleted_row d, before b, unnest('{exact,short,exacts,spot,made,spans,near}'::text[]) k;
DELETE FROM objectlink.deleted_row;

-- By hand: for another table, another column, another store; for an attachment that does not restore, that there is not, that has ended
CREATE ROLE objectlink_test_forger;
SELECT objectlink.grant_admin('objectlink_test_forger');
CREATE TABLE paper (file objectlink.storage_ref, other objectlink.storage_ref, path text);
CREATE TABLE hanger (document int PRIMARY KEY, file objectlink.storage_ref);
CREATE TABLE hung (hanger int REFERENCES hanger, file objectlink.storage_ref);
CREATE TABLE quiet (file objectlink.storage_ref, status text);
SELECT objectlink.attach('paper', 'file', on_delete_failure => 'restore_row') AS paper,
       objectlink.attach('paper', 'path', store => 'docs', on_delete_failure => 'restore_row') AS path, objectlink.attach('quiet', 'file', status_column => 'status') AS quiet,
       objectlink.attach('hanger', 'file', on_delete_failure => 'restore_row', related => '{hung}') AS hanger \gset
SELECT id AS document FROM objectlink.attachments WHERE relation = 'document'::regclass \gset
CREATE TABLE mine (file objectlink.storage_ref, path text, deleted_at timestamptz);
GRANT USAGE ON SCHEMA daemon, public TO objectlink_test_forger; GRANT SELECT ON objectlink.deleted_row TO objectlink_test_forger;
ALTER TABLE mine OWNER TO objectlink_test_forger;
INSERT INTO mine VALUES ('s3://docs/a', 'a'); INSERT INTO paper VALUES ('s3://docs/a', 's3://docs/b', 'c'); INSERT INTO hung VALUES (NULL, 's3://docs/a'); INSERT INTO quiet VALUES ('s3://docs/a');
CREATE PROCEDURE daemon.forge(p_table regclass, VARIADIC p_arguments text[]) LANGUAGE plpgsql AS $$
DECLARE
  v_refusal text;
BEGIN
  EXECUTE format('CREATE TRIGGER forged AFTER DELETE ON %s FOR EACH ROW EXECUTE FUNCTION objectlink.keep_row_trigger(%s)', p_table,
                 (SELECT string_agg(quote_literal(a), ', ') FROM unnest(p_arguments) a));
  BEGIN
    EXECUTE format('DELETE FROM %s', p_table);
    RAISE INFO 'kept %', (SELECT count(*) FROM objectlink.deleted_row);
    RAISE EXCEPTION 'taken back' USING ERRCODE = 'PT000';
  EXCEPTION WHEN SQLSTATE 'PT000' THEN
    NULL;
  WHEN OTHERS THEN
    RAISE INFO '% %', SQLSTATE, regexp_replace(SQLERRM, '\d+', 'N');
  END;
  EXECUTE format('DROP TRIGGER forged ON %s', p_table);
END $$;
SET SESSION AUTHORIZATION objectlink_test_forger;
CALL daemon.forge('mine', :'document', 'file');
CALL daemon.forge('mine', :'document', 'file', '', 'deleted_at');
CALL daemon.forge('mine', :'path', 'path', 'docs');
CALL daemon.forge('mine', :'document');
CALL daemon.forge('mine', :'document', '', '', 'deleted_at');
RESET SESSION AUTHORIZATION;
CALL daemon.forge('paper', :'paper', 'other');
CALL daemon.forge('paper', :'path', 'path', 'elsewhere');
CALL daemon.forge('hung', :'document');
CALL daemon.forge('mine', :'hanger');
CALL daemon.forge('hung', :'hanger', 'file');
CALL daemon.forge('mine', '2147483647', 'file');
CALL daemon.forge('quiet', :'quiet', 'file');
-- a transaction that does not see the attachment yet has to be tried again
BEGIN ISOLATION LEVEL REPEATABLE READ;
CALL daemon.forge('mine', '2147483647', 'file');
ROLLBACK;
-- its own, by hand once more
CALL daemon.forge('paper', :'paper', 'file');
SELECT objectlink.detach('paper', 'file');
CALL daemon.forge('paper', :'paper', 'file');
CREATE TRIGGER forged BEFORE DELETE ON mine FOR EACH ROW EXECUTE FUNCTION objectlink.keep_row_trigger('1');
SELECT daemon.refused('DELETE FROM mine');
SET client_min_messages = warning;
DROP DOMAIN said, paired CASCADE;
DROP TYPE pair CASCADE;
DROP TABLE document, before, paper, hung, hanger, quiet, mine, place;
DROP DOMAIN document_key;
DROP TYPE mood, odds;
DROP SCHEMA aside CASCADE;
DROP OWNED BY objectlink_test_forger;
DROP ROLE objectlink_test_forger;
CALL daemon.finish();
