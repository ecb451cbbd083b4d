-- Goal: what a store was proved to be able to do is remembered for its endpoint and bucket, and for no other.
-- Method: one session plays the daemon. Refusals first; then a probe, a part of one, one that came to nothing, and an altered server.
\getenv abs_srcdir PG_ABS_SRCDIR
\set ECHO none
\set include :abs_srcdir '/sql/include/daemon.sql'
\i :include
\set ECHO all
SELECT daemon.start();
\set owner 'daemon.store_id(''docs''), daemon.epoch(daemon.store_id(''docs''))'
\set known 'SELECT probed, versioning_age_ms IS NULL, conditional_put, conditional_delete, conditional_multi_delete, checksums, multi_delete, list_order, versioning, bare_etag FROM objectlink.known_capabilities(' :owner ', ''http://h'', ''docs'');'
\set view 'SELECT store, conditional_put, conditional_delete, versioning, checksums, multi_delete, list_order, probed_at IS NOT NULL, last_error FROM objectlink.store_capabilities;'
ALTER SERVER docs OPTIONS (SET endpoint 'http://h');
-- Not by an owner that was replaced
SELECT daemon.refused($$SELECT objectlink.known_capabilities(daemon.store_id('docs'), 0, 'http://h', 'docs')$$);
SELECT daemon.refused($$SELECT objectlink.record_capabilities(daemon.store_id('docs'), 0, 'http://h', 'docs', '{}', NULL)$$);
-- Nothing is known, and asking makes nothing known; but it names the probe, the same each time
:view
:known
:view
SELECT count(DISTINCT probe_id) FROM (SELECT probe_id FROM objectlink.known_capabilities(:owner, 'http://h', 'docs') UNION ALL SELECT probe_id FROM objectlink.known_capabilities(:owner, 'http://h', 'docs')) p;
-- A probe that was not answered decides nothing, and says why
SELECT objectlink.record_capabilities(:owner, 'http://h', 'docs', NULL, 'PUT of a probe: transient Timeout');
:known
:view
-- One that was
SELECT objectlink.record_capabilities(:owner, 'http://h', 'docs', '{"conditional_put": true, "conditional_delete": false, "conditional_multi_delete": null, "checksums": null, "multi_delete": true, "list_order": true, "versioning": "off", "bare_etag": true}', 'checksums: AccessDenied');
:known
:view
-- The bucket asked again: still not versioned
SELECT objectlink.record_capabilities(:owner, 'http://h', 'docs', '{"versioning": "off"}', NULL);
:known
-- It has become versioned: all else has to be found out again, and holds until then
SELECT objectlink.record_capabilities(:owner, 'http://h', 'docs', '{"versioning": "enabled"}', NULL);
:known
-- Suspended is versioned as well
SELECT objectlink.record_capabilities(:owner, 'http://h', 'docs', '{"conditional_put": false, "conditional_delete": false, "conditional_multi_delete": null, "checksums": false, "multi_delete": true, "list_order": true, "versioning": "enabled", "bare_etag": false}', NULL);
SELECT objectlink.record_capabilities(:owner, 'http://h', 'docs', '{"versioning": "suspended"}', NULL);
:known
:view
-- A probe that was not allowed to ask for versioning forgets nothing
SELECT objectlink.record_capabilities(:owner, 'http://h', 'docs', '{"conditional_put": false, "conditional_delete": false, "conditional_multi_delete": null, "checksums": false, "multi_delete": true, "list_order": true, "versioning": null, "bare_etag": false}', NULL);
:known
-- An altered server is another store
ALTER SERVER docs OPTIONS (SET bucket 'other');
:view
SELECT probed, multi_delete FROM objectlink.known_capabilities(:owner, 'http://h', 'other');
SELECT count(DISTINCT probe_id) FROM objectlink.capability;
ALTER SERVER docs OPTIONS (SET bucket 'docs');
:view
-- Forgotten on purpose: what was known holds until the next probe
SELECT objectlink.forget_capabilities('docs');
:known
SELECT daemon.refused($$SELECT objectlink.forget_capabilities('nosuch')$$);
SELECT daemon.refused($$SELECT objectlink.forget_capabilities(NULL)$$);
-- Nonsense is refused
SELECT daemon.refused($$SELECT objectlink.record_capabilities(daemon.store_id('docs'), daemon.epoch(daemon.store_id('docs')), 'http://h', 'docs', '{"versioning": "perhaps"}', NULL)$$);
CALL daemon.finish();
