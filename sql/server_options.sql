-- Goal: CREATE and ALTER SERVER take exactly the options a store can use, and every refusal says what, where and how.
-- Method: each option with wrong values, errors as rows; then the valid forms. The units of values are in the unit tests.
SET client_min_messages = warning;
SET search_path = public;

CREATE FUNCTION refusal(statement text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
  EXECUTE statement;
  message := 'no error';
EXCEPTION WHEN OTHERS THEN
  GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
END $$;
CREATE FUNCTION refused_option(name text, value text, OUT state text, OUT message text, OUT detail text, OUT hint text) LANGUAGE sql AS $$
  SELECT * FROM refusal(format('CREATE SERVER bad FOREIGN DATA WRAPPER objectlink OPTIONS (%I %L)', name, value))
$$;

-- No option is known by these names
SELECT * FROM refused_option('endpoin', 'http://h') \gx
SELECT * FROM refused_option('Bucket', 'docs') \gx
SELECT * FROM refused_option('host', 'h') \gx
-- Secrets are no options
SELECT * FROM refused_option('secret_access_key', 'hunter2') \gx
SELECT name, state, message, hint ~ 'credentials' AS sends_to_profile
FROM unnest(ARRAY['password', 'access_key', 'access_key_id', 'session_token', 'SECRET']) name, refused_option(name, 'hunter2');

-- Every option with every kind of wrong value: what and where
SELECT name, left(value, 24) AS value, r.state, r.message, r.detail FROM (VALUES
  ('endpoint', ''), ('endpoint', 's3.example.com'), ('endpoint', 'ftp://h'), ('endpoint', 'http://'), ('endpoint', 'http://:80'),
  ('endpoint', 'http://h:0'), ('endpoint', 'http://h:65536'), ('endpoint', 'http://h:80x'), ('endpoint', 'http://h/'),
  ('endpoint', 'http://h/b'), ('endpoint', 'http://h?x'), ('endpoint', 'http://h#x'), ('endpoint', 'http://a b'),
  ('endpoint', 'http://[::1'), ('endpoint', 'http://[h]'), ('endpoint', 'http://-h'), ('endpoint', 'http://a..b'),
  ('bucket', ''), ('bucket', 'ab'), ('bucket', repeat('b', 64)), ('bucket', 'Docs'), ('bucket', 'do_cs'), ('bucket', '-docs'),
  ('bucket', 'docs.'), ('bucket', 'do..cs'), ('bucket', '10.0.0.1'), ('inventory_bucket', 'Docs'),
  ('prefix', '/a'), ('prefix', '.objectlink'), ('prefix', '.objectlink/a/'), ('prefix', repeat('p', 1023)),
  ('region', ''), ('region', 'eu central'), ('region', repeat('r', 65)),
  ('path_style', ''), ('path_style', 'perhaps'), ('path_style', 't'),
  ('credentials', ''), ('credentials', '../x'), ('credentials', repeat('c', 65)),
  ('connect_timeout', ''), ('connect_timeout', '5'), ('connect_timeout', '5 parsecs'), ('connect_timeout', '1.5s'),
  ('connect_timeout', '-5s'), ('connect_timeout', '99ms'), ('connect_timeout', '61s'),
  ('request_timeout', '999ms'), ('request_timeout', '16min'), ('request_timeout', '1 month'),
  ('concurrency', ''), ('concurrency', '0'), ('concurrency', '257'), ('concurrency', '1.5'), ('concurrency', '-1'),
  ('part_size', '8'), ('part_size', '8MiB'), ('part_size', '4MB'), ('part_size', '65MB'),
  ('multipart_threshold', 'MB'), ('multipart_threshold', '1kB'),
  ('retention', '7'), ('retention', '3651 days'), ('retention', '1 year'), ('retention', 'forever'),
  ('orphan_grace', 'one day'), ('orphan_grace', '99999999999999999999 days'), ('upload_grace', 'a week'),
  ('delete_limit', '0'), ('delete_limit', '-1'), ('delete_limit', '1000000001'), ('delete_limit', 'many'),
  ('delete_limit_share', '0'), ('delete_limit_share', '101'), ('delete_limit_share', '50%'),
  ('scrub_interval', 'monthly'), ('scrub_content_share', '1.5'), ('scrub_content_share', '10%'), ('scrub_rate', '0'), ('scrub_rate', '1.5'),
  ('max_attempts', '0'), ('max_attempts', '1001'), ('max_attempts', 'ten'),
  ('delete_versions', ''), ('delete_versions', 'All'), ('delete_versions', 'true'),
  ('ca_file', 'ca.pem'), ('ca_file', E'/a\nb')) v(name, value), refused_option(name, value) r;
-- The hint shows the form, once an option
SELECT name, hint FROM unnest(ARRAY['endpoint', 'bucket', 'prefix', 'region', 'path_style', 'credentials', 'connect_timeout',
  'request_timeout', 'concurrency', 'part_size', 'multipart_threshold', 'retention', 'orphan_grace', 'upload_grace', 'max_attempts', 'delete_versions', 'ca_file',
  'delete_limit', 'delete_limit_share', 'scrub_interval', 'scrub_content_share', 'scrub_rate']) name,
  refused_option(name, E'/\n');
-- What stands before the @ may be a secret: it is not repeated
SELECT message, detail FROM refused_option('endpoint', 'http://AKIA:hunter2@h');
-- A long value in an unknown name is cut at a character
SELECT octet_length(message) < 256 AS short, message ~ '^invalid option "€€' AS valid FROM refused_option(repeat('€', 20), 'x');

-- Only servers take options
SELECT * FROM refusal($$ALTER FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://h')$$) \gx
CREATE SERVER docs FOREIGN DATA WRAPPER objectlink;
SELECT * FROM refusal($$CREATE USER MAPPING FOR CURRENT_USER SERVER docs OPTIONS (password 'hunter2')$$) \gx
SELECT * FROM refusal($$CREATE FOREIGN TABLE t (a int) SERVER docs OPTIONS (bucket 'docs')$$) \gx

-- All options at once, then changed one by one
ALTER SERVER docs OPTIONS (endpoint 'https://s3.example.com:9000', bucket 'docs-2024', prefix 'a/b', region 'eu-central-1',
  path_style 'off', credentials 'my.profile_1-x', connect_timeout '500ms', request_timeout '2min', concurrency '256',
  part_size '5MB', multipart_threshold '64 MB', retention '7 days', orphan_grace '1 day 12 hours', upload_grace '30 days', max_attempts '1000',
  ca_file '/etc/ssl/ca.pem', delete_limit '1000000000', delete_limit_share '100', delete_versions 'all',
  scrub_interval '30 days', scrub_content_share '0.1', scrub_rate '50');
ALTER SERVER docs OPTIONS (SET endpoint 'http://[::1]:1', SET retention '0', DROP prefix);
SELECT * FROM refusal($$ALTER SERVER docs OPTIONS (SET concurrency '0')$$) \gx
SELECT * FROM refusal($$ALTER SERVER docs OPTIONS (ADD bucket 'docs')$$) \gx
SELECT option_name, option_value FROM pg_foreign_server, pg_options_to_table(srvoptions) WHERE srvname = 'docs' ORDER BY 1;

DROP SERVER docs;
DROP FUNCTION refused_option, refusal;
