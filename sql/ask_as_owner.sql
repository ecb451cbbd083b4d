-- Goal: asking a table runs its owner's functions with its owner's rights, never with those of the extension's owner.
-- Method: an index predicate whose function says who runs it, and one that tries to become more.
\set VERBOSITY terse
\pset format unaligned
\pset tuples_only on
SET client_min_messages = warning;
DROP ROLE IF EXISTS olx_mallory;
CREATE ROLE olx_mallory;
CREATE SCHEMA mallory AUTHORIZATION olx_mallory;
CREATE SERVER asked FOREIGN DATA WRAPPER objectlink OPTIONS (endpoint 'http://127.0.0.1:1', bucket 'asked');

SET ROLE olx_mallory;
CREATE TABLE mallory.document (file objectlink.storage_ref);
INSERT INTO mallory.document VALUES ('s3://asked/a');
CREATE FUNCTION mallory.who() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  RAISE WARNING 'runs as %', current_user;
  RETURN true;
END $$;
CREATE INDEX ON mallory.document (file) WHERE mallory.who();
RESET ROLE;

SELECT * FROM objectlink.linked('{s3://asked/a,s3://asked/b}');

-- What it may not do stays undone, and makes the column one that could not be asked.
SET ROLE olx_mallory;
CREATE FUNCTION mallory.become() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  ALTER ROLE olx_mallory SUPERUSER;
END $$;
CREATE OR REPLACE FUNCTION mallory.who() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  PERFORM mallory.become();
  RETURN true;
END $$;
RESET ROLE;
SELECT ref, attachment_id, unknown FROM objectlink.linked('{s3://asked/a}');
SELECT rolsuper FROM pg_roles WHERE rolname = 'olx_mallory';

-- Nor may it change who it is.
SET ROLE olx_mallory;
CREATE OR REPLACE FUNCTION mallory.become() RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
  RESET ROLE;
  RESET SESSION AUTHORIZATION;
END $$;
RESET ROLE;
SELECT unknown FROM objectlink.linked('{s3://asked/a}');
SELECT current_user = session_user, current_setting('search_path');

-- A row that row security hides from its own owner links its object all the same.
DROP TABLE mallory.document;
SET ROLE olx_mallory;
CREATE TABLE mallory.hidden (file objectlink.storage_ref);
INSERT INTO mallory.hidden VALUES ('s3://asked/a');
ALTER TABLE mallory.hidden ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
SELECT count(*) FROM mallory.hidden;
RESET ROLE;
SELECT ref, unknown FROM objectlink.linked('{s3://asked/a,s3://asked/b}');

-- The door itself is closed.
SET ROLE olx_mallory;
SELECT objectlink.ask_as_owner('pg_class', 'SELECT $1', ARRAY['x']);
SELECT * FROM objectlink.linked('{s3://asked/a}');
RESET ROLE;
-- And asks only what it is made for.
SELECT objectlink.ask_as_owner('mallory.hidden', 'DELETE FROM mallory.hidden', ARRAY['x']);
SELECT objectlink.ask_as_owner('mallory.hidden', 'SELECT 1', ARRAY['x']);
SELECT objectlink.ask_as_owner('mallory.hidden', 'SELECT $1 WHERE false', ARRAY['x']) IS NULL;
SELECT objectlink.ask_as_owner(0::oid::regclass, 'SELECT $1', ARRAY['x']);

DROP SCHEMA mallory CASCADE;
DROP SERVER asked;
DROP ROLE olx_mallory;
