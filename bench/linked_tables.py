"""Which tables do the trigger benchmarks write to? Three of one shape, with the same column type and the same index:

    bare       nothing attached: the limit
    attached   objectlink.attach(): the product
    plpgsql    a row trigger in PL/pgSQL that inserts the same row into a table like the outbox: the peer
"""

NAMES = ["bare", "attached", "plpgsql"]


def create_linked_tables(pg, definition, options=""):
    """definition: columns besides "file objectlink.storage_ref"; options: as WITH (...) takes them."""
    # Nobody drains here, so nothing is ever sent to it.
    pg.create_server("docs", "http://127.0.0.1:9", "bench")
    for name in NAMES:
        pg.run(f"CREATE TABLE {name} ({definition}, file objectlink.storage_ref) {options}")
        pg.run(f"CREATE INDEX ON {name} (file)")
    pg.run("SELECT objectlink.attach('attached', 'file')")
    pg.run("CREATE TABLE plpgsql_outbox (LIKE objectlink.outbox)")
    pg.run("""
        CREATE FUNCTION plpgsql_link() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          INSERT INTO plpgsql_outbox (op, attachment_id, ref, xid, at)
          VALUES ('L', 1, NEW.file, pg_current_xact_id(), now());
          RETURN NULL;
        END $$""")
    pg.run("CREATE TRIGGER link AFTER INSERT ON plpgsql FOR EACH ROW WHEN (NEW.file IS NOT NULL) EXECUTE FUNCTION plpgsql_link()")
    pg.run("""CREATE TRIGGER relink AFTER UPDATE ON plpgsql FOR EACH ROW
              WHEN ((OLD.file)::text COLLATE "C" IS DISTINCT FROM (NEW.file)::text COLLATE "C") EXECUTE FUNCTION plpgsql_link()""")


def empty_outboxes(pg):
    pg.run("TRUNCATE objectlink.outbox, plpgsql_outbox")
    pg.run("CHECKPOINT")


def empty(pg, name):
    pg.run(f"TRUNCATE {name}")
    empty_outboxes(pg)
