-- Goal: storage_ref takes exactly the valid references, keeps them byte for byte, and is ordered, indexed, hashed and
-- cast as documented. Method: every refusal with its SQLSTATE and texts; the key corpus there and back.
SET client_min_messages = warning;
SET search_path = public, objectlink;

-- A helper that shows an error in one row
CREATE FUNCTION refusal(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  message := 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;

-- Input and output
SELECT 's3://docs/2024/report.pdf'::storage_ref;
SELECT storage_ref 's3://docs/ a%2Fb?x#y+z=&;"''\ ';
SELECT storage_ref('docs', 'a/b'), storage_ref(store => 'my store', key => '/x/');
SELECT storage_ref('docs'::name, 'a/b'::varchar);
SELECT store('s3://docs/a/b'), pg_typeof(store('s3://docs/a/b')), key('s3://docs//a/../b/'), pg_typeof(key('s3://docs/a'));
SELECT storage_ref(NULL, 'a') IS NULL, storage_ref('a', NULL) IS NULL, NULL::storage_ref IS NULL;

-- Refusals
SELECT * FROM refusal($$SELECT 's3://docs'::objectlink.storage_ref$$) \gx
SELECT text, r.state, r.message, r.detail FROM (VALUES
  (''), ('docs/a'), ('S3://docs/a'), (' s3://docs/a'), ('s3:/docs/a'), ('https://docs/a'), ('s3://'), ('s3:///a'), ('s3://docs'),
  ('s3://docs/'), ('s3://' || repeat('s', 64) || '/a'), (E's3://do\ncs/a'), (E's3://do\tcs/a'), (E's3://do\x7fcs/a'),
  (E's3://do\u0085cs/a')) v(text),
  refusal(format('SELECT %L::objectlink.storage_ref', text)) r;
SELECT r.state, r.message, r.detail FROM refusal($$SELECT ('s3://docs/' || repeat('k', 1025))::objectlink.storage_ref$$) r;
-- 342 characters are 1026 bytes; the message is cut between characters
SELECT r.state, r.message, r.detail FROM refusal($$SELECT ('s3://docs/' || repeat('€', 342))::objectlink.storage_ref$$) r;
SELECT arguments, r.state, r.message, r.detail FROM (VALUES
  ($$'', 'a'$$), ($$'a/b', 'c'$$), ($$repeat('s', 64), 'a'$$), ($$E'a\nb', 'c'$$), ($$'docs', ''$$), ($$'docs', repeat('k', 1025)$$)) v(arguments),
  refusal(format('SELECT objectlink.storage_ref(%s)', arguments)) r;

-- The key corpus, there and back
CREATE TABLE corpus (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text COLLATE "C" NOT NULL);
INSERT INTO corpus (key) VALUES
  ('plain'), ('a b'), (' leading'), ('trailing '), (' '), ('two  spaces'), ('"'), ('$'), ('%'), ('%2F'), ('%25'), ('%zz'),
  ('&'), ('&amp;'), (''''), ('<'), ('>'), ('<Key>'), (']]>'), ('_'), ('+'), ('a+b'), ('='), ('k=1/v=2'), (':'), ('@'), ('~'),
  ('!*()'), ('!''()*'), (','), ('^`{|}[]'), ('\'), (E'tab\there'), (E'line\nbreak'), (E'carriage\rreturn'), (E'crlf\r\nx'),
  (E'\x01'), (E'\x1f'), (E'\x7f'), (U&'\0085'), (U&'\00E9'), (U&'e\0301'), (U&'\FFFD'), (U&'\E000'), (U&'\FFFE'), (U&'\2028'),
  (U&'\+01F600'), ('?'), ('#'), ('x?versionId=1'), ('x#y'), (';'), ('soap'), ('.'), ('..'), ('./a'), ('../a'), ('a/../b'),
  ('a/../../other/x'), ('a/./b'), ('/leading'), ('//two'), ('a//b'), ('trailing/'), ('a/b/'), ('...'), ('CaSe'), ('case'),
  (repeat('a', 1024)), (repeat('€', 341) || 'x');
CREATE TABLE refs (id int PRIMARY KEY, ref storage_ref);
INSERT INTO refs SELECT id, storage_ref('docs', key) FROM corpus;
SELECT count(*) AS kept, count(DISTINCT r.ref) AS distinct_refs FROM refs r JOIN corpus c USING (id)
WHERE key(r.ref) = c.key AND store(r.ref) = 'docs' AND r.ref::text = 's3://docs/' || c.key
  AND r.ref = ('s3://docs/' || c.key)::storage_ref AND octet_length(key(r.ref)) = octet_length(c.key);
-- Text and binary COPY
CREATE TABLE refs_copied (LIKE refs);
\copy refs to 'results/storage_ref.text'
\copy refs_copied from 'results/storage_ref.text'
SELECT count(*) FROM refs r JOIN refs_copied c USING (id, ref);
TRUNCATE refs_copied;
\copy refs to 'results/storage_ref.binary' binary
\copy refs_copied from 'results/storage_ref.binary' binary
SELECT count(*) FROM refs r JOIN refs_copied c USING (id, ref);
SELECT storage_ref_send('s3://d/k'), storage_ref_send(storage_ref(U&'s3://d/\00E9'));
-- Binary input is checked too: a table of bytea has the same wire form
\copy (SELECT 's3://d'::bytea) to 'results/storage_ref.binary' binary
\copy refs_copied (ref) from 'results/storage_ref.binary' binary
\copy (SELECT '\x73333a2f2f642fe9'::bytea) to 'results/storage_ref.binary' binary
\copy refs_copied (ref) from 'results/storage_ref.binary' binary

-- Casts
CREATE TABLE texts (t text, v varchar, r storage_ref);
INSERT INTO texts (r) SELECT 's3://docs/literal';
INSERT INTO texts (r) SELECT ('s3://docs/' || 'text')::text;
INSERT INTO texts (r) SELECT ('s3://docs/' || 'varchar')::varchar;
UPDATE texts SET t = r, v = r;
SELECT * FROM texts ORDER BY r;
INSERT INTO texts (r) SELECT ('no ref')::text;
INSERT INTO texts (r) SELECT ('no ref')::varchar;
INSERT INTO texts (r) SELECT 1;
-- To text it costs nothing
EXPLAIN (VERBOSE, COSTS OFF) SELECT r::text FROM texts;
SELECT castmethod, castcontext, castsource::regtype, casttarget::regtype FROM pg_cast
WHERE 'storage_ref'::regtype IN (castsource, casttarget) ORDER BY 3, 4;
CREATE DOMAIN pdf AS storage_ref CHECK (key(VALUE) LIKE '%.pdf');
SELECT 's3://docs/a.pdf'::pdf, pg_typeof('s3://docs/a.pdf'::pdf::storage_ref);
SELECT 's3://docs/a.txt'::pdf;
SELECT 's3://docs'::pdf;
SELECT ARRAY['s3://docs/b', 's3://docs/a']::storage_ref[];
SELECT to_jsonb('s3://docs/"a"'::storage_ref), row_to_json(r) FROM (SELECT storage_ref('docs', 'k') AS ref) r;

-- Comparison, bytewise
SELECT a, b, a < b AS lt, a <= b AS le, a = b AS eq, a <> b AS ne, a >= b AS ge, a > b AS gt, sign(storage_ref_cmp(a, b)) AS cmp
FROM (VALUES ('s3://d/a'::storage_ref, 's3://d/a'::storage_ref), ('s3://d/a', 's3://d/b'), ('s3://d/ab', 's3://d/a'),
  ('s3://d/B', 's3://d/a'), ('s3://d/a', 's3://d/a '), ('s3://d/~', U&'s3://d/\00E9'), (U&'s3://d/e\0301', U&'s3://d/\00E9'),
  (U&'s3://d/\FFFD', U&'s3://d/\+01F600')) v(a, b);
-- The same order as the keys in collation "C"
SELECT array_agg(id ORDER BY ref) = array_agg(id ORDER BY key COLLATE "C") AS same_order FROM refs JOIN corpus USING (id);
SELECT ref FROM refs WHERE ref IS DISTINCT FROM 's3://docs/plain' AND ref BETWEEN 's3://docs/p' AND 's3://docs/q';

-- btree: order, uniqueness, range, sort without an index
CREATE UNIQUE INDEX refs_ref ON refs (ref);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM refs WHERE ref = 's3://docs/soap';
SELECT id FROM refs WHERE ref = 's3://docs/soap';
EXPLAIN (COSTS OFF) SELECT id FROM refs WHERE ref = ANY ('{s3://docs/soap,s3://docs/plain}');
EXPLAIN (COSTS OFF) SELECT ref FROM refs ORDER BY ref;
INSERT INTO refs VALUES (1000, 's3://docs/soap');
RESET enable_seqscan;
CREATE TABLE many AS SELECT i, storage_ref('docs', 'k' || (i * 7919 % 5000)) AS ref FROM generate_series(1, 5000) i;
SELECT count(*) FILTER (WHERE ref < before) AS out_of_order FROM (SELECT ref, lag(ref) OVER (ORDER BY ref) AS before FROM many) s;
CREATE INDEX many_ref ON many (ref);
INSERT INTO many SELECT i, ref FROM many;
SELECT opcname, amname, opcdefault FROM pg_opclass c JOIN pg_am a ON a.oid = opcmethod WHERE opcintype = 'storage_ref'::regtype ORDER BY 2;
-- The btree family has equality with text and, on purpose, no order: amvalidate() misses that, and nothing else.
SELECT amvalidate(oid) FROM pg_opclass WHERE opcintype = 'storage_ref'::regtype ORDER BY opcmethod;
SELECT 's3://docs/a'::storage_ref = 's3://docs/a'::text, 's3://docs/a'::varchar = 's3://docs/a'::storage_ref,
       's3://docs/a'::storage_ref <> 's3://docs/b'::text, 's3://docs/a'::storage_ref = ANY (ARRAY['s3://docs/b', 's3://docs/a']);
CREATE TABLE by_text (file storage_ref);
CREATE INDEX ON by_text (file);
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT * FROM by_text WHERE file = 's3://docs/a'::text;
RESET enable_seqscan;
DROP TABLE by_text;
-- Deduplication may merge equal refs
SELECT amproc FROM pg_amproc WHERE amproclefttype = 'storage_ref'::regtype ORDER BY amprocfamily, amprocnum;

-- hash: join, aggregate, index, partitions
SET enable_mergejoin = off; SET enable_nestloop = off; SET enable_sort = off;
EXPLAIN (COSTS OFF) SELECT count(*) FROM many a JOIN many b USING (ref);
SELECT count(*) FROM many a JOIN many b USING (ref);
SELECT count(*) FROM (SELECT ref FROM many GROUP BY ref) g;
RESET enable_mergejoin; RESET enable_nestloop; RESET enable_sort;
SELECT count(*) AS hashes_differ FROM many
WHERE storage_ref_hash(ref) <> hashtext(ref::text COLLATE "C") OR storage_ref_hash_extended(ref, 0)::bit(32) <> storage_ref_hash(ref)::bit(32)
   OR storage_ref_hash_extended(ref, 7) = storage_ref_hash_extended(ref, 8);
CREATE INDEX many_hash ON many USING hash (ref);
CREATE TABLE parts (ref storage_ref) PARTITION BY HASH (ref);
CREATE TABLE parts_0 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO parts SELECT ref FROM many;
SELECT count(*) FROM parts WHERE ref = 's3://docs/k77';

-- Long refs are compressed or moved out of line, and stay the same
CREATE TABLE wide (ref storage_ref, other text);
ALTER TABLE wide ALTER COLUMN ref SET STORAGE EXTERNAL;
INSERT INTO wide SELECT storage_ref('docs', left(string_agg(md5(i::text), ''), 1000) || 'x' || n), repeat(md5('y'), 200)
FROM generate_series(1, 40) i, generate_series(1, 3) n GROUP BY n;
SELECT count(*), count(DISTINCT ref), max(octet_length(key(ref))) FROM wide;
SELECT count(*) FROM wide a JOIN wide b ON a.ref = b.ref AND a.ref <= b.ref;

-- What the planner and others may rely on
SELECT proname, provolatile, proisstrict, proparallel, proleakproof FROM pg_proc
WHERE pronamespace = 'objectlink'::regnamespace AND proname ~ '^storage_ref|^store$|^key$' AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
ORDER BY proname, oid;
SELECT typlen, typalign, typstorage, typcategory, typcollation FROM pg_type WHERE oid = 'storage_ref'::regtype;
-- Everything has a comment
SELECT p.oid::regprocedure FROM pg_proc p WHERE pronamespace = 'objectlink'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
  AND prolang = (SELECT oid FROM pg_language WHERE lanname = 'c') AND proname <> 'refusal';
SELECT o.oid::regoperator FROM pg_operator o WHERE oprnamespace = 'objectlink'::regnamespace AND obj_description(o.oid, 'pg_operator') IS NULL;

DROP TABLE corpus, refs, refs_copied, texts, many, parts, wide;
DROP DOMAIN pdf;
DROP FUNCTION refusal;
