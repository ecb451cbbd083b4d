-- The type of a reference to an object: s3://<store>/<key>.

DO $$
BEGIN
    IF pg_catalog.getdatabaseencoding() OPERATOR(pg_catalog.<>) 'UTF8' THEN
        RAISE EXCEPTION USING
            ERRCODE = 'feature_not_supported',
            MESSAGE = 'objectlink needs a database with encoding UTF8',
            DETAIL = pg_catalog.format('The encoding of this database is %s, but object keys are UTF-8.', pg_catalog.getdatabaseencoding()),
            HINT = 'Create a database with: CREATE DATABASE ... ENCODING ''UTF8'' TEMPLATE template0.';
    END IF;
END
$$;

CREATE TYPE objectlink.storage_ref;

CREATE FUNCTION objectlink.storage_ref_in(cstring) RETURNS objectlink.storage_ref
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_in';
COMMENT ON FUNCTION objectlink.storage_ref_in(cstring) IS 'input of storage_ref: checks the text form';
CREATE FUNCTION objectlink.storage_ref_out(objectlink.storage_ref) RETURNS cstring
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_out';
COMMENT ON FUNCTION objectlink.storage_ref_out(objectlink.storage_ref) IS 'output of storage_ref';
CREATE FUNCTION objectlink.storage_ref_recv(internal) RETURNS objectlink.storage_ref
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_recv';
COMMENT ON FUNCTION objectlink.storage_ref_recv(internal) IS 'binary input of storage_ref: checks the text form';
CREATE FUNCTION objectlink.storage_ref_send(objectlink.storage_ref) RETURNS bytea
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_send';
COMMENT ON FUNCTION objectlink.storage_ref_send(objectlink.storage_ref) IS 'binary output of storage_ref';

CREATE TYPE objectlink.storage_ref (
    INPUT = objectlink.storage_ref_in,
    OUTPUT = objectlink.storage_ref_out,
    RECEIVE = objectlink.storage_ref_recv,
    SEND = objectlink.storage_ref_send,
    INTERNALLENGTH = VARIABLE,
    ALIGNMENT = int4,
    STORAGE = extended,
    CATEGORY = 'U',
    COLLATABLE = false
);
COMMENT ON TYPE objectlink.storage_ref IS 'reference to an object in a store: s3://<store>/<key>';

-- Construction and parts

CREATE FUNCTION objectlink.storage_ref(text) RETURNS objectlink.storage_ref
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_from_text';
COMMENT ON FUNCTION objectlink.storage_ref(text) IS 'the reference with this text form';
CREATE FUNCTION objectlink.storage_ref(store text, key text) RETURNS objectlink.storage_ref
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_from_parts';
COMMENT ON FUNCTION objectlink.storage_ref(text, text) IS 'the reference to a key in a store';
CREATE FUNCTION objectlink.store(ref objectlink.storage_ref) RETURNS name
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_store';
COMMENT ON FUNCTION objectlink.store(objectlink.storage_ref) IS 'name of the store a reference points into';
CREATE FUNCTION objectlink.key(ref objectlink.storage_ref) RETURNS text
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_key';
COMMENT ON FUNCTION objectlink.key(objectlink.storage_ref) IS 'full object key in the bucket, including the prefix of the store';

-- Implicit, so that text functions and LIKE take a storage_ref as it stands.
CREATE CAST (objectlink.storage_ref AS text) WITHOUT FUNCTION AS IMPLICIT;
COMMENT ON CAST (objectlink.storage_ref AS text) IS 'the text form';
CREATE CAST (text AS objectlink.storage_ref) WITH FUNCTION objectlink.storage_ref(text) AS ASSIGNMENT;
COMMENT ON CAST (text AS objectlink.storage_ref) IS 'checks the text form';
CREATE CAST (varchar AS objectlink.storage_ref) WITH FUNCTION objectlink.storage_ref(text) AS ASSIGNMENT;
COMMENT ON CAST (varchar AS objectlink.storage_ref) IS 'checks the text form';

-- Comparison, bytewise

CREATE FUNCTION objectlink.storage_ref_eq(objectlink.storage_ref, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_eq';
COMMENT ON FUNCTION objectlink.storage_ref_eq(objectlink.storage_ref, objectlink.storage_ref) IS 'implementation of = operator';
CREATE FUNCTION objectlink.storage_ref_ne(objectlink.storage_ref, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_ne';
COMMENT ON FUNCTION objectlink.storage_ref_ne(objectlink.storage_ref, objectlink.storage_ref) IS 'implementation of <> operator';
CREATE FUNCTION objectlink.storage_ref_lt(objectlink.storage_ref, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_lt';
COMMENT ON FUNCTION objectlink.storage_ref_lt(objectlink.storage_ref, objectlink.storage_ref) IS 'implementation of < operator';
CREATE FUNCTION objectlink.storage_ref_le(objectlink.storage_ref, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_le';
COMMENT ON FUNCTION objectlink.storage_ref_le(objectlink.storage_ref, objectlink.storage_ref) IS 'implementation of <= operator';
CREATE FUNCTION objectlink.storage_ref_gt(objectlink.storage_ref, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_gt';
COMMENT ON FUNCTION objectlink.storage_ref_gt(objectlink.storage_ref, objectlink.storage_ref) IS 'implementation of > operator';
CREATE FUNCTION objectlink.storage_ref_ge(objectlink.storage_ref, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_ge';
COMMENT ON FUNCTION objectlink.storage_ref_ge(objectlink.storage_ref, objectlink.storage_ref) IS 'implementation of >= operator';
CREATE FUNCTION objectlink.storage_ref_cmp(objectlink.storage_ref, objectlink.storage_ref) RETURNS integer
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_cmp';
COMMENT ON FUNCTION objectlink.storage_ref_cmp(objectlink.storage_ref, objectlink.storage_ref) IS 'less-equal-greater, for btree';
CREATE FUNCTION objectlink.storage_ref_sortsupport(internal) RETURNS void
    LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_sortsupport';
COMMENT ON FUNCTION objectlink.storage_ref_sortsupport(internal) IS 'sort support, for btree';
CREATE FUNCTION objectlink.storage_ref_hash(objectlink.storage_ref) RETURNS integer
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_hash';
COMMENT ON FUNCTION objectlink.storage_ref_hash(objectlink.storage_ref) IS 'hash';
CREATE FUNCTION objectlink.storage_ref_hash_extended(objectlink.storage_ref, bigint) RETURNS bigint
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_hash_extended';
COMMENT ON FUNCTION objectlink.storage_ref_hash_extended(objectlink.storage_ref, bigint) IS 'hash with a seed';

-- In pg_catalog, so that WHERE file = 's3://...' works, and uses an index, whatever the search_path is.
CREATE OPERATOR pg_catalog.= (
    FUNCTION = objectlink.storage_ref_eq, LEFTARG = objectlink.storage_ref, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>),
    RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR pg_catalog.= (objectlink.storage_ref, objectlink.storage_ref) IS 'equal, bytewise';
CREATE OPERATOR pg_catalog.<> (
    FUNCTION = objectlink.storage_ref_ne, LEFTARG = objectlink.storage_ref, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=),
    RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (objectlink.storage_ref, objectlink.storage_ref) IS 'not equal, bytewise';
CREATE OPERATOR pg_catalog.< (
    FUNCTION = objectlink.storage_ref_lt, LEFTARG = objectlink.storage_ref, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.>), NEGATOR = OPERATOR(pg_catalog.>=),
    RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR pg_catalog.< (objectlink.storage_ref, objectlink.storage_ref) IS 'less than, bytewise';
CREATE OPERATOR pg_catalog.<= (
    FUNCTION = objectlink.storage_ref_le, LEFTARG = objectlink.storage_ref, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.>=), NEGATOR = OPERATOR(pg_catalog.>),
    RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR pg_catalog.<= (objectlink.storage_ref, objectlink.storage_ref) IS 'less than or equal, bytewise';
CREATE OPERATOR pg_catalog.> (
    FUNCTION = objectlink.storage_ref_gt, LEFTARG = objectlink.storage_ref, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.<), NEGATOR = OPERATOR(pg_catalog.<=),
    RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR pg_catalog.> (objectlink.storage_ref, objectlink.storage_ref) IS 'greater than, bytewise';
CREATE OPERATOR pg_catalog.>= (
    FUNCTION = objectlink.storage_ref_ge, LEFTARG = objectlink.storage_ref, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.<=), NEGATOR = OPERATOR(pg_catalog.<),
    RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR pg_catalog.>= (objectlink.storage_ref, objectlink.storage_ref) IS 'greater than or equal, bytewise';

CREATE OPERATOR FAMILY objectlink.storage_ref_ops USING btree;
COMMENT ON OPERATOR FAMILY objectlink.storage_ref_ops USING btree IS 'order of storage_ref, bytewise';
CREATE OPERATOR CLASS objectlink.storage_ref_ops DEFAULT FOR TYPE objectlink.storage_ref USING btree
    FAMILY objectlink.storage_ref_ops AS
    OPERATOR 1 pg_catalog.<,
    OPERATOR 2 pg_catalog.<=,
    OPERATOR 3 pg_catalog.=,
    OPERATOR 4 pg_catalog.>=,
    OPERATOR 5 pg_catalog.>,
    FUNCTION 1 objectlink.storage_ref_cmp(objectlink.storage_ref, objectlink.storage_ref),
    FUNCTION 2 objectlink.storage_ref_sortsupport(internal),
    FUNCTION 4 pg_catalog.btequalimage(oid);
COMMENT ON OPERATOR CLASS objectlink.storage_ref_ops USING btree IS 'order of storage_ref, bytewise';

CREATE OPERATOR FAMILY objectlink.storage_ref_ops USING hash;
COMMENT ON OPERATOR FAMILY objectlink.storage_ref_ops USING hash IS 'equality of storage_ref';
CREATE OPERATOR CLASS objectlink.storage_ref_ops DEFAULT FOR TYPE objectlink.storage_ref USING hash
    FAMILY objectlink.storage_ref_ops AS
    OPERATOR 1 pg_catalog.=,
    FUNCTION 1 objectlink.storage_ref_hash(objectlink.storage_ref),
    FUNCTION 2 objectlink.storage_ref_hash_extended(objectlink.storage_ref, bigint);
COMMENT ON OPERATOR CLASS objectlink.storage_ref_ops USING hash IS 'equality of storage_ref';

-- Parameters often come as text or varchar (JDBC sends them so): without an operator of their own, the column would be
-- cast to text and its index be of no use.
CREATE FUNCTION objectlink.storage_ref_eq(objectlink.storage_ref, text) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_eq';
COMMENT ON FUNCTION objectlink.storage_ref_eq(objectlink.storage_ref, text) IS 'implementation of = operator';
CREATE FUNCTION objectlink.storage_ref_eq(text, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_eq';
COMMENT ON FUNCTION objectlink.storage_ref_eq(text, objectlink.storage_ref) IS 'implementation of = operator';
CREATE FUNCTION objectlink.storage_ref_ne(objectlink.storage_ref, text) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_ne';
COMMENT ON FUNCTION objectlink.storage_ref_ne(objectlink.storage_ref, text) IS 'implementation of <> operator';
CREATE FUNCTION objectlink.storage_ref_ne(text, objectlink.storage_ref) RETURNS boolean
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_ne';
COMMENT ON FUNCTION objectlink.storage_ref_ne(text, objectlink.storage_ref) IS 'implementation of <> operator';
CREATE FUNCTION objectlink.storage_ref_cmp(objectlink.storage_ref, text) RETURNS integer
    LANGUAGE C IMMUTABLE STRICT LEAKPROOF PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_storage_ref_cmp';
COMMENT ON FUNCTION objectlink.storage_ref_cmp(objectlink.storage_ref, text) IS 'less-equal-greater, for btree';

CREATE OPERATOR pg_catalog.= (
    FUNCTION = objectlink.storage_ref_eq, LEFTARG = objectlink.storage_ref, RIGHTARG = text,
    COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel
);
COMMENT ON OPERATOR pg_catalog.= (objectlink.storage_ref, text) IS 'equal, bytewise';
CREATE OPERATOR pg_catalog.= (
    FUNCTION = objectlink.storage_ref_eq, LEFTARG = text, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.=), NEGATOR = OPERATOR(pg_catalog.<>), RESTRICT = eqsel, JOIN = eqjoinsel
);
COMMENT ON OPERATOR pg_catalog.= (text, objectlink.storage_ref) IS 'equal, bytewise';
CREATE OPERATOR pg_catalog.<> (
    FUNCTION = objectlink.storage_ref_ne, LEFTARG = objectlink.storage_ref, RIGHTARG = text,
    COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (objectlink.storage_ref, text) IS 'not equal, bytewise';
CREATE OPERATOR pg_catalog.<> (
    FUNCTION = objectlink.storage_ref_ne, LEFTARG = text, RIGHTARG = objectlink.storage_ref,
    COMMUTATOR = OPERATOR(pg_catalog.<>), NEGATOR = OPERATOR(pg_catalog.=), RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR pg_catalog.<> (text, objectlink.storage_ref) IS 'not equal, bytewise';

ALTER OPERATOR FAMILY objectlink.storage_ref_ops USING btree ADD
    OPERATOR 3 pg_catalog.= (objectlink.storage_ref, text),
    FUNCTION 1 (objectlink.storage_ref, text) objectlink.storage_ref_cmp(objectlink.storage_ref, text);
