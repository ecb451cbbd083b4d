"""Goal: what the documents say is so.
Method: their SQL is run in order by psql against a real database, store and daemon; what can be asked of the catalogue
or of the sources (functions, views, options, error states, limits, files) is looked for in the text.

Blocks are marked in the documents themselves:
    ```sql                runs; must not fail
    ```sql error=42883    its last statement must fail, with this SQLSTATE
    ```text output        what psql printed for the block before
    ```sh                 a line "objectlinkd --dsn ..." starts the daemon, "aws s3 cp FILE s3://bucket/key" puts an object
"""
import collections
import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

import psycopg2.errorcodes
import pytest

from conftest import fresh_database
from harness.sandbox import ROOT
from harness.store import Bucket

RUNNABLE = ["README.md", "docs/guide.md", "docs/sql-reference.md"]
WITH_EXTENSION = ["docs/operations.md"]  # for readers who have it installed
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])
ENDPOINT = "http://127.0.0.1:9000"  # as the documents write it


class Block(NamedTuple):
    line: int
    language: str
    mark: str
    text: str


def read(document):
    return (ROOT / document).read_text(encoding="utf-8")


def blocks(text):
    found = re.finditer(r"^```(\w*) *([^\n]*)\n(.*?)^```$", text, re.M | re.S)
    return [Block(text.count("\n", 0, block.start()) + 1, *block.groups()) for block in found]


def prose(text):
    """The text without its blocks, which hold no links and no headings."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


# SQL

@pytest.fixture
def database(make_cluster, request):
    yield from fresh_database(make_cluster(max_prepared_transactions=10), request)


@pytest.fixture
def roles(database):
    """Collects roles that a document creates: they belong to the cluster and must not meet the next document."""
    created = set()
    yield created
    for role in created:
        if database.run("SELECT 1 FROM pg_roles WHERE rolname = %s", role):
            database.run(f"DROP OWNED BY {role} CASCADE")
            database.run(f"DROP ROLE {role}")


def psql(database, text):
    program = Path(subprocess.check_output([os.environ.get("PG_CONFIG", "pg_config"), "--bindir"], text=True).strip())
    return subprocess.run(
        [program / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "VERBOSITY=verbose", "-d",
         database.dsn(database.cluster.superuser)], input=text, capture_output=True, text=True, check=False, timeout=90)


def sqlstate(output):
    states = re.findall(r"ERROR: +([0-9A-Z]{5}):", output)
    return states[-1] if states else None


def lines(text):
    return [line.rstrip() for line in text.strip("\n").split("\n")]


class Reader:
    """Does what a document says, as somebody would who copies it block by block."""

    def __init__(self, database, s3_server, make_daemon, roles):
        self.database = database
        self.endpoint = s3_server.endpoint
        self.buckets = collections.defaultdict(lambda: Bucket(s3_server))
        self.make_daemon = make_daemon
        self.roles = roles
        self.printed = ""

    def follow(self, document):
        for block in blocks(read(document)):
            place = f"{document}:{block.line}"
            if block.language == "sql":
                self.run(block, place)
            elif block.language == "sh":
                self.do(block.text)
            elif block.language == "text" and block.mark == "output":
                assert lines(self.printed) == lines(block.text), f"{place}: psql printed\n{self.printed}"

    def run(self, block, place):
        self.roles.update(re.findall(r"CREATE ROLE (\w+)", block.text))
        text = block.text.replace(ENDPOINT, self.endpoint)
        text = re.sub(r"bucket '([\w-]+)'", lambda name: f"bucket '{self.buckets[name[1]].name}'", text)
        done = psql(self.database, text)
        self.printed = done.stdout
        expected = re.match(r"error=(\w+)", block.mark)
        assert sqlstate(done.stderr) == (expected and expected[1]), f"{place}:\n{done.stderr}"
        assert (done.returncode == 0) == (expected is None), f"{place}: psql ended with {done.returncode}\n{done.stderr}"

    def do(self, text):
        for line in text.splitlines():
            if line.startswith("objectlinkd --dsn"):
                user = re.search(r"user=(\w+)", line)[1]
                self.make_daemon(name="daemon", dsn=self.database.dsn(user))
            elif copied := re.match(r"aws s3 cp \S+ s3://([\w-]+)/(\S+)", line):
                self.buckets[copied[1]].put(copied[2], b"some content")


@pytest.mark.parametrize("document", RUNNABLE)
def test_sql_runs_as_written(document, database, s3_server, roles, make_daemon):
    Reader(database, s3_server, make_daemon, roles).follow(document)


@pytest.mark.parametrize("document", WITH_EXTENSION)
def test_sql_for_operators_runs(document, database, s3_server, roles, make_daemon):
    database.create_extension()
    Reader(database, s3_server, make_daemon, roles).follow(document)


# Links

def slug(heading):
    """The anchor that GitHub gives a heading."""
    text = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).strip().lower())
    return text.replace(" ", "-")


def anchors(path):
    return {slug(heading) for heading in re.findall(r"^#+ +(.*)$", prose(path.read_text(encoding="utf-8")), re.M)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(read(document))):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = ROOT / document if not name else (ROOT / document).parent / name
        assert path.exists(), f"{document} links to {target}, which is not there"
        assert not anchor or anchor in anchors(path), f"{document} links to {target}, which has no such heading"


# Completeness

# What a user may call: what PUBLIC may execute, and what manages attachments and roles. Without what stands behind
# the type, its operators and the wrapper.
PUBLIC_FUNCTIONS = """
    SELECT DISTINCT p.proname FROM pg_proc p
    WHERE p.pronamespace = 'objectlink'::regnamespace
      AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0)
           OR p.proname IN ('attach', 'detach', 'alter_attachment', 'hold_deletions', 'release_deletions', 'expedite_deletions',
                            'release_brake', 'grant_daemon', 'grant_admin', 'grant_reader'))
      AND p.proname !~ '^(storage_ref_\\w+|server_options_validator)$'
    ORDER BY 1"""
PUBLIC_VIEWS = """
    SELECT c.relname, array_agg(a.attname ORDER BY a.attnum) AS columns
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
    WHERE c.relnamespace = 'objectlink'::regnamespace AND c.relkind = 'v'
      AND (EXISTS (SELECT FROM aclexplode(c.relacl) l WHERE l.grantee = 0) OR c.relname = 'problems')
    GROUP BY c.relname ORDER BY 1"""


def section(text, heading):
    """What stands below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#+ |\Z)", text, re.M | re.S)
    return found[1] if found else ""


def test_reference_has_every_function(pg):
    text = read("docs/sql-reference.md")
    missing = [row.proname for row in pg.run(PUBLIC_FUNCTIONS) if not re.search(rf"\b{row.proname}\(", text)]
    assert not missing, "docs/sql-reference.md lacks them; or they are not for users and belong into functions_of()"


def test_reference_has_every_view_with_its_columns(pg):
    text = read("docs/sql-reference.md")
    views = pg.run(PUBLIC_VIEWS)
    assert views
    for view in views:
        part = section(text, f"`{view.relname}`")
        missing = [column for column in view.columns if f"`{column}`" not in part]
        assert not missing, f"docs/sql-reference.md, view {view.relname}"


def test_reference_has_every_operator_and_cast(pg):
    text = read("docs/sql-reference.md")
    operators = pg.run("SELECT oprname FROM pg_operator WHERE oprleft = 'objectlink.storage_ref'::regtype")
    assert operators
    assert not [row.oprname for row in operators if f"`{row.oprname}`" not in text]
    casts = pg.run("""SELECT format_type(castsource, NULL) AS source, format_type(casttarget, NULL) AS target FROM pg_cast
                      WHERE 'objectlink.storage_ref'::regtype IN (castsource, casttarget)""")
    for row in casts:
        other = row.target if "storage_ref" in row.source else row.source
        assert f"`{other}`" in text, f"cast from {row.source} to {row.target}"


def test_reference_has_every_setting(pg):
    pg.run("LOAD 'objectlink'")
    settings = pg.run("SELECT name FROM pg_settings WHERE name LIKE 'objectlink.%%'")
    assert settings
    text = read("docs/sql-reference.md")
    assert not [row.name for row in settings if f"`{row.name}`" not in text]


def test_reference_has_every_server_option(pg):
    pg.run("CREATE SERVER probe FOREIGN DATA WRAPPER objectlink")
    with pytest.raises(psycopg2.Error) as refused:
        pg.run("ALTER SERVER probe OPTIONS (ADD nonsense '1')")
    options = re.search(r"are: (.*)\.", refused.value.diag.message_hint)[1].split(", ")
    part = section(read("docs/sql-reference.md"), "Server options")
    assert len(options) > 10
    assert not [option for option in options if f"| `{option}` |" not in part]


def test_every_object_of_the_extension_has_a_comment(pg):
    # The sequence of an identity column is part of its table.
    bare = pg.run("""
        SELECT pg_describe_object(d.classid, d.objid, 0) AS object
        FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
        WHERE e.extname = 'objectlink' AND d.deptype = 'e'
          AND NOT EXISTS (SELECT FROM pg_depend i WHERE i.classid = d.classid AND i.objid = d.objid AND i.deptype = 'i')
          AND obj_description(d.objid, (SELECT relname FROM pg_class WHERE oid = d.classid)) IS NULL""")
    assert not [row.object for row in bare]
    assert pg.run("SELECT obj_description(oid) AS it FROM pg_extension WHERE extname = 'objectlink'")[0].it


# Errors

# psycopg2 knows a condition that two classes share by the state of the later one.
AMBIGUOUS = {"NULL_VALUE_NOT_ALLOWED": "22004"}


def raised_states():
    """{SQLSTATE: a file that raises it}. RAISE names conditions, C++ has macros; psycopg2 knows both under one name."""
    states = {}
    for path in [*ROOT.glob("extension/sql/*.sql"), *ROOT.glob("extension/*.cpp")]:
        pattern = r"ERRCODE = '(\w+)'" if path.suffix == ".sql" else r"\bERRCODE_(\w+)"
        for name in re.findall(pattern, path.read_text(encoding="utf-8")):
            name = name.upper().removeprefix("E_R_I_E_")
            states.setdefault(AMBIGUOUS.get(name) or getattr(psycopg2.errorcodes, name), path.name)
    return states


def test_every_sqlstate_is_explained():
    text = read("docs/errors.md")
    states = raised_states()
    assert len(states) > 10
    assert not {state: file for state, file in states.items() if f"`{state}`" not in text}


# Architecture

def test_files_named_by_the_architecture_exist():
    named = set(re.findall(r"`((?:extension|sidecar|test|demo|bench|docs|tools)/[\w./*-]*)`", read("docs/architecture.md")))
    assert len(named) > 20
    assert not sorted(name for name in named if not list(ROOT.glob(name.rstrip("/"))))


def test_limits_named_by_the_architecture_are_in_their_files():
    rows = re.findall(r"^\| [^|]* \| [^|]* \| `(\w+)`, `([\w./]+)` \|$", read("docs/architecture.md"), re.M)
    assert len(rows) > 20
    for name, file in rows:
        assert re.search(rf"\b{name}\b", (ROOT / file).read_text(encoding="utf-8")), f"{name} is not in {file}"
