-- Stores are foreign servers of the wrapper objectlink.

CREATE FUNCTION objectlink.server_options_validator(text[], oid) RETURNS void
    LANGUAGE C STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_server_options_validator';
COMMENT ON FUNCTION objectlink.server_options_validator(text[], oid) IS 'checks the options of CREATE SERVER and ALTER SERVER';

CREATE FOREIGN DATA WRAPPER objectlink NO HANDLER VALIDATOR objectlink.server_options_validator;
COMMENT ON FOREIGN DATA WRAPPER objectlink IS 'a server is a store: one bucket (and prefix) behind one S3 endpoint';
