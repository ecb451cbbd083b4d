-- The functions in C++ that guard and feed the tables.

CREATE FUNCTION objectlink.link_trigger() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'objectlink_link_trigger';
COMMENT ON FUNCTION objectlink.link_trigger() IS
    'row trigger of an attached column: appends links and unlinks to the outbox; arguments: attachment id, column[, store, or an empty text[, soft-delete column]]';

CREATE FUNCTION objectlink.truncate_trigger() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'objectlink_truncate_trigger';
COMMENT ON FUNCTION objectlink.truncate_trigger() IS
    'TRUNCATE trigger of an attached relation: appends one row to the outbox; argument: attachment id';

CREATE FUNCTION objectlink.check_transition() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'objectlink_check_transition';
COMMENT ON FUNCTION objectlink.check_transition() IS
    'row trigger of the registry: refuses a change of state that legal_transitions() does not list';

CREATE FUNCTION objectlink.legal_transitions(OUT from_state text, OUT to_state text) RETURNS SETOF record
    LANGUAGE C IMMUTABLE PARALLEL SAFE ROWS 30 AS 'MODULE_PATHNAME', 'objectlink_legal_transitions';
COMMENT ON FUNCTION objectlink.legal_transitions() IS
    'the legal changes of an object''s state; from NULL is a new object, to ''gone'' its removal';

CREATE FUNCTION objectlink.append_outbox(op "char", ref objectlink.storage_ref, attachment_id integer) RETURNS void
    LANGUAGE C AS 'MODULE_PATHNAME', 'objectlink_append_outbox';
COMMENT ON FUNCTION objectlink.append_outbox("char", objectlink.storage_ref, integer) IS
    'appends to the outbox with the checks of the link trigger; operations: L link, U unlink, P put';

CREATE FUNCTION objectlink.ask_as_owner(relation regclass, question text, argument anyarray) RETURNS anyarray
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'objectlink_ask_as_owner';
COMMENT ON FUNCTION objectlink.ask_as_owner(regclass, text, anyarray) IS
    'runs a query about a table as the table''s owner, security-restricted, and returns its one value';

CREATE FUNCTION objectlink.ask_by_snapshot(relation regclass, question text, argument anyarray) RETURNS anyarray
    LANGUAGE C STABLE STRICT AS 'MODULE_PATHNAME', 'objectlink_ask_by_snapshot';
COMMENT ON FUNCTION objectlink.ask_by_snapshot(regclass, text, anyarray) IS
    'as ask_as_owner, and sees what the statement sees that calls it; lock_to_ask comes before';

CREATE FUNCTION objectlink.lock_to_ask(relation regclass) RETURNS void
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'objectlink_lock_to_ask';
COMMENT ON FUNCTION objectlink.lock_to_ask(regclass) IS
    'locks a table and all its parts as a query would, so that what a later snapshot shows of them is all there is';

CREATE FUNCTION objectlink.write_as_owner(relation regclass, statement text, argument anyarray, limit_ms integer) RETURNS anyarray
    LANGUAGE C VOLATILE STRICT AS 'MODULE_PATHNAME', 'objectlink_write_as_owner';
COMMENT ON FUNCTION objectlink.write_as_owner(regclass, text, anyarray, integer) IS
    'runs a statement that writes a table as the table''s owner, security-restricted and within a limit of time, and returns its one value';

CREATE FUNCTION objectlink.keep_row_trigger() RETURNS trigger
    LANGUAGE C AS 'MODULE_PATHNAME', 'objectlink_keep_row_trigger';
COMMENT ON FUNCTION objectlink.keep_row_trigger() IS
    'row trigger of tables whose deleted rows, or marked ones, are to be restored if their object cannot be deleted; arguments as of link_trigger(), of a related table without column and store';

CREATE FUNCTION objectlink.sum_keys_step(internal, blocks text[], value text) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_sum_keys_step';
COMMENT ON FUNCTION objectlink.sum_keys_step(internal, text[], text) IS 'step of sum_keys';
CREATE FUNCTION objectlink.sum_objects_step(internal, blocks text[], key text, state text, size bigint, etag text) RETURNS internal
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_sum_objects_step';
COMMENT ON FUNCTION objectlink.sum_objects_step(internal, text[], text, text, bigint, text) IS 'step of sum_objects';
CREATE FUNCTION objectlink.sum_end(internal) RETURNS text[]
    LANGUAGE C IMMUTABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'objectlink_sum_end';
COMMENT ON FUNCTION objectlink.sum_end(internal) IS 'end of sum_keys and sum_objects';
CREATE AGGREGATE objectlink.sum_keys(blocks text[], value text) (SFUNC = objectlink.sum_keys_step, STYPE = internal, FINALFUNC = objectlink.sum_end);
COMMENT ON AGGREGATE objectlink.sum_keys(text[], text) IS
    'sums of the hashes of keys, one for each block; NULL: there was no key. Blocks: a seed, how many bytes stand before each key, the last key of each block';
CREATE AGGREGATE objectlink.sum_objects(blocks text[], key text, state text, size bigint, etag text) (
    SFUNC = objectlink.sum_objects_step, STYPE = internal, FINALFUNC = objectlink.sum_end);
COMMENT ON AGGREGATE objectlink.sum_objects(text[], text, text, bigint, text) IS
    'sums of the hashes of stored objects, one for each block; a sum is NULL where something is not as it should be, or not known';
