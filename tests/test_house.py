"""The house's conventions, each with its check."""

import ast
import inspect
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from graphql import GraphQLEnumType, GraphQLInputObjectType, GraphQLNamedType, build_schema, find_breaking_changes
from graphql.type import is_list_type, is_non_null_type, is_object_type
from strawberry.types.base import get_object_definition

import schema as schema_package
import storage
from resolvers.errors import BadUserInput
from resolvers.mutations import Write
from resolvers.reads.cleaning import cleaner_of
from resolvers.reads.compilation import binding_of
from resolvers.reads.declarations import DEFINITION
from resolvers.reads.types import Types
from resolvers.rules.stages import TRANSITIONS
from resolvers.transaction import Transaction
from schema import schema
from schema.access import access_table
from storage.engine import short_engine
from storage.tables import metadata
from storage.versions import LEGAL_STEPS
from storage.vocabulary import Stage
from tests.conftest import Cluster
from tests.support.sources import FLOORS, ROOT, imports_of, sources

# The pure rooms, with what each may use of ours.
SHARED = {"resolvers.errors", "resolvers.rules", "storage.vocabulary"}
PURE = {"resolvers/rules": SHARED, "resolvers/renderings": SHARED | {"resolvers.renderings"}}
NO_IO = {"asyncio", "asyncpg", "sqlalchemy", "sqlmodel", "time", "random", "os", "pathlib", "socket"}
# The one way of a server process to its database, and what has a connection of its own: commands, set-up, the server.
DOOR = {f"storage/{name}.py" for name in ("connections", "engine", "outages", "reads")}
ON_THEIR_OWN = {
    *(
        "server/ops/key_commands.py",
        "server/audit/verify.py",
        "server/ops/demo.py",
        "server/audit/exports.py",
        "server/ops/bootstrap.py",
    ),
    "server/ops/sealed_secrets.py",
    *("storage/embedded.py", "storage/migrate.py"),
}
WAYS = {"connect", "create_pool", "create_async_engine", "create_engine", "make_engine", "short_engine", "AsyncSession"}
INSIDE = {"pool", "engine", "_engine", "_reads", "reads", "sessions"}
SCHEMA = schema._schema
TYPES = Types(SCHEMA)


def of_ours() -> list[GraphQLNamedType]:
    return [each for name, each in SCHEMA.type_map.items() if not name.startswith("__")]


def upward(floor: str, source: str) -> set[str]:
    """The modules of higher floors that a module of this one imports."""
    above = set(FLOORS[FLOORS.index(floor) + 1 :])
    return {name for name in imports_of(source) if name.split(".")[0] in above}


@pytest.mark.parametrize("floor", FLOORS)
def test_imports_point_down_only(floor: str) -> None:
    assert not {str(file): names for file in sources(floor) if (names := upward(floor, file.read_text()))}


@pytest.mark.parametrize(
    ("floor", "planted"),
    [
        ("storage", "from resolvers.errors import Refusal"),
        ("resolvers", "if TYPE_CHECKING:\n    from schema.models import Model"),
        ("schema", "def later():\n    import server.settings"),
    ],
)
def test_an_import_that_points_up_is_found(floor: str, planted: str) -> None:
    assert upward(floor, planted)


def impurities(source: str, pure: set[str]) -> set[str]:
    """What a pure module must not import or ask: other rooms, I/O, the clock. Moments are passed to it."""
    used = imports_of(source)
    strangers = {
        name
        for name in used
        if name.split(".")[0] in FLOORS and not any(name == room or name.startswith(f"{room}.") for room in pure)
    }
    asked = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    return strangers | ({name.split(".")[0] for name in used} & NO_IO) | (asked & {"now", "utcnow", "today"})


@pytest.mark.parametrize("folder", PURE)
def test_rules_and_renderings_are_pure(folder: str) -> None:
    assert not {str(file): wrong for file in sources(folder) if (wrong := impurities(file.read_text(), PURE[folder]))}


@pytest.mark.parametrize("folder", PURE)
@pytest.mark.parametrize(
    "planted",
    [
        "from storage.engine import Database",
        "from resolvers.transaction import Transaction",
        "import asyncio",
        "from pathlib import Path",
        "moment = datetime.now(UTC)",
    ],
)
def test_an_impure_module_is_found(folder: str, planted: str) -> None:
    assert impurities(planted, PURE[folder])


def test_a_rule_that_renders_is_found() -> None:
    assert impurities("from resolvers.renderings.svg import sheet", PURE["resolvers/rules"])


# What the server's rooms are, and what stands beside them.
WINGS = {"http", "identity", "events", "audit", "ops"}
BESIDE = {"__init__.py", "app.py", "settings.py", "logs.py"}


def misplaced(entries: Collection[str]) -> set[str]:
    """What of the entries of server/ has no place there."""
    return {name for name in entries if name not in WINGS | BESIDE and not name.startswith("__pycache__")}


def test_the_server_has_its_wings() -> None:
    entries = {path.name for path in (ROOT / "server").iterdir()}
    assert not misplaced(entries)
    assert entries >= WINGS
    assert all((ROOT / "server" / wing / "__init__.py").read_text().startswith('"""') for wing in WINGS)


@pytest.mark.parametrize("planted", ["webhooks.py", "console.html", "misc"])
def test_a_file_beside_the_wings_is_found(planted: str) -> None:
    assert misplaced([planted, "app.py", "http"]) == {planted}


SQL_KEYWORDS = re.compile(
    r"\b(SELECT|INSERT INTO|DELETE FROM|UPDATE \w+ SET|WHERE|ORDER BY|GROUP BY|JOIN|ANY \(|EXISTS \()"
)


def sql_in(source: str) -> list[str]:
    """The texts of a module that hold SQL, its docstrings and comments aside."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    openings = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    docstrings = {id(opening.value) for opening in openings if isinstance(opening, ast.Expr)}
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    texts = [node.value for node in constants if isinstance(node.value, str)]
    return [text for text in texts if SQL_KEYWORDS.search(text)]


def test_rules_hold_no_sql() -> None:
    assert not {file.name: sql for file in sources("resolvers/rules") if (sql := sql_in(file.read_text()))}


@pytest.mark.parametrize(
    "planted",
    [
        '"{row}.id = ANY ({projects})"',
        '"SELECT 1"',
        'f"... FROM {table} {row} WHERE {row}.id = {id_}"',
        '["UPDATE models SET name = name"]',
    ],
)
def test_sql_in_a_rule_is_found(planted: str) -> None:
    assert sql_in(f'def rule():\n    """Select where it is joined."""\n    return {planted}\n')


# The types of the schema name each other by design, through this file alone.
LINKS = "schema.links"


def modules(root: Path) -> dict[str, Path]:
    files = [
        file for floor in FLOORS for file in sorted((root / floor).rglob("*.py")) if "migrations" not in file.parts
    ]
    named = [(".".join(file.relative_to(root).with_suffix("").parts), file) for file in files]
    return {name.removesuffix(".__init__"): file for name, file in named}


def module_imports(root: Path) -> dict[str, set[str]]:
    """The modules that each imports anywhere, also where only a type checker reads it."""
    known = modules(root)
    return {name: _imported(file, known.keys()) - {name} for name, file in known.items()}


def _imported(file: Path, known: Collection[str]) -> set[str]:
    imported = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            imported |= parts if parts <= set(known) else parts | {node.module}
    return imported & set(known)


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """The groups of modules that each reach all others of the group."""
    reached = {start: _reached(graph, start) for start in graph}
    return {
        frozenset(other for other in there if start in reached[other])
        for start, there in reached.items()
        if start in there
    }


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    seen: set[str] = set()
    border = set(graph[start])
    while border:
        seen |= border
        border = {after for name in border for after in graph[name]} - seen
    return seen


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = module_imports(ROOT)
    assert not circles({name: used - {LINKS} for name, used in graph.items()})
    assert all(name.startswith("schema.") for circle in circles(graph) for name in circle)


@pytest.mark.parametrize(
    "planted",
    [
        "from resolvers.reads import bindings",
        "import resolvers.reads.bindings",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from resolvers.reads.bindings import Column",
        "def later():\n    from resolvers.reads.bindings import Column",
    ],
)
def test_a_circle_of_modules_is_found(tmp_path: Path, planted: str) -> None:
    contents = {
        "bindings": "from resolvers.reads.compilation import Compilation",
        "compilation": "from resolvers.reads.types import Types",
        "types": planted,
        "alone": "from resolvers.reads import types",
    }
    folder = tmp_path / "resolvers" / "reads"
    folder.mkdir(parents=True)
    for name, source in contents.items():
        (folder / f"{name}.py").write_text(source)
    found = circles(module_imports(tmp_path))
    assert found == {frozenset(f"resolvers.reads.{name}" for name in ("bindings", "compilation", "types"))}


def ways_to_a_database(source: str) -> set[str]:
    """What a module calls or imports that opens a connection, or reaches into the object that holds them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            called = node.func
            found |= {called.id} if isinstance(called, ast.Name) else set()
            found |= {called.attr} if isinstance(called, ast.Attribute) else set()
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.name for alias in node.names if alias.name != "AsyncSession"}
        elif isinstance(node, ast.Attribute) and ast.unparse(node.value).endswith("database"):
            found |= {node.attr} & INSIDE
    return found & (WAYS | INSIDE)


def test_every_way_to_the_database_goes_through_one_door() -> None:
    for folder in FLOORS:
        for file in sources(folder):
            if str(file.relative_to(ROOT)) not in DOOR | ON_THEIR_OWN:
                assert not ways_to_a_database(file.read_text()), file


@pytest.mark.parametrize(
    "bypass",
    [
        "self.database.reads.pool.fetch(ROUTES)",
        "await asyncpg.connect(url)",
        "async with asyncpg.create_pool(url) as pool: ...",
        "from asyncpg import connect as dial",
        "async with AsyncSession(database._engine) as session: ...",
        "engine = create_async_engine(url)",
        "from storage.engine import short_engine as brief",
        "rows = database.sessions",
    ],
)
def test_a_way_around_the_door_is_found(bypass: str) -> None:
    assert ways_to_a_database(f"async def work():\n    {bypass}\n")


def test_our_own_packages_are_the_ones_imported() -> None:
    # Packages named `schema` and `storage` exist elsewhere.
    assert Path(inspect.getfile(schema_package)).parent == ROOT / "schema"
    assert Path(inspect.getfile(storage)).parent == ROOT / "storage"


def test_the_checked_in_schema_is_current() -> None:
    assert (ROOT / "schema.graphql").read_text() == f"{schema}\n", "run scripts/check fix"


def test_the_checked_in_table_of_needs_sizes_and_weights_is_current() -> None:
    assert (ROOT / "schema-access.txt").read_text() == f"{access_table()}\n", "run scripts/check fix"


def test_everything_in_the_schema_is_described() -> None:
    silent = []
    for each in of_ours():
        if each.name in ("Boolean", "Float", "ID", "Int", "String"):
            continue
        silent += [each.name] if not each.description else []
        parts = each.values if isinstance(each, GraphQLEnumType) else getattr(each, "fields", {})
        for name, part in parts.items():
            silent += [f"{each.name}.{name}"] if not part.description else []
            for argument, definition in getattr(part, "args", {}).items():
                silent += [f"{each.name}.{name}({argument})"] if not definition.description else []
    assert not silent


def test_every_field_is_bound() -> None:
    for each in of_ours():
        if is_object_type(each):
            for field in each.fields:
                assert binding_of(TYPES[each.name], field) is not None


def test_every_mutation_takes_what_its_input_offers() -> None:
    for name, field in SCHEMA.mutation_type.fields.items():  # type: ignore[union-attr]
        write = binding_of(TYPES["Mutation"], name)
        assert isinstance(write, Write)
        given = get_object_definition(field.args["input"].extensions[DEFINITION].type, strict=True)
        parameters = inspect.signature(write.function).parameters.values()
        if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            taken = set(inspect.get_annotations(write.function)["new"].__args__[0].__annotations__)
        else:
            taken = {p.name for p in parameters if p.annotation is not Transaction}
        assert {field.python_name for field in given.fields} == taken, name


def undeclared_secrets(has_secret: dict[str, bool]) -> set[str]:
    """The mutations that return a secret, by their payloads, and do not declare it."""
    fields: dict[str, Any] = SCHEMA.mutation_type.fields  # type: ignore[union-attr]
    payloads: dict[str, Any] = {name: TYPES.of(field) for name, field in fields.items()}
    return {name for name, payload in payloads.items() if ("secret" in payload.fields) is not has_secret[name]}


def test_mutations_that_return_a_secret_declare_it() -> None:
    writes = {name: binding_of(TYPES["Mutation"], name) for name in SCHEMA.mutation_type.fields}  # type: ignore[union-attr]
    declared = {name: write.has_secret for name, write in writes.items() if isinstance(write, Write)}
    assert not undeclared_secrets(declared)
    # One that is not declared, and one that is declared for nothing, are found.
    assert undeclared_secrets(declared | {"createApiKey": False, "createModel": True}) == {
        "createApiKey",
        "createModel",
    }


def test_text_and_lists_in_inputs_have_limits() -> None:
    free = []
    for each in of_ours():
        if isinstance(each, GraphQLInputObjectType) and each.name not in FILTERS:
            for field in get_object_definition(each.extensions[DEFINITION].origin, strict=True).fields:
                shown = str(each.fields[_camel(field.python_name)].type)
                bounded = field.metadata.get("limit") or not re.search(r"String|ID|JSON|BigInt|Float|Int\b", shown)
                free += [] if bounded else [f"{each.name}.{field.python_name}"]
    assert not free


# What arguments of reads hold: cleaned with them, as the next test tells. The last is an input too, cleaned as a whole.
FILTERS = {"AuditFilter", "VersionFilter", "VersionOrder", "DeploymentFilter", "MetricCondition"}
LONG, MANY = "x" * 5_001, 101


def too_large(of: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Each way in which a value of an argument's type can be too large, by the path of what is."""
    if is_non_null_type(of):
        yield from too_large(of.of_type, path)
    elif is_list_type(of):
        yield path, [None] * MANY
        yield from ((inner, [value]) for inner, value in too_large(of.of_type, f"{path}[0]"))
    elif isinstance(of, GraphQLInputObjectType):
        for name, field in of.fields.items():
            yield from ((inner, {name: value}) for inner, value in too_large(field.type, f"{path}.{name}"))
    elif of.name in ("String", "ID"):
        yield path, LONG


def test_every_text_and_list_of_arguments_is_bounded() -> None:
    tried = []
    reads: list[Any] = [each for each in of_ours() if is_object_type(each) and each is not SCHEMA.mutation_type]
    for of in reads:
        for name, field in of.fields.items():
            for argument, definition in field.args.items():
                for path, value in too_large(definition.type, argument):
                    with pytest.raises(BadUserInput) as refusal:
                        cleaner_of(TYPES, of, name, field)({argument: value})
                    assert refusal.value.extensions["field"] == path, (of, name)
                    tried.append(f"{of}.{name}({path})")
    assert len(tried) > 100
    assert "Query.searchVersions(filter.tags[0])" in tried


def test_mutations_take_inputs_alone() -> None:
    assert {tuple(field.args) for field in SCHEMA.mutation_type.fields.values()} == {("input",)}  # type: ignore[union-attr]


def _camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.title() for part in tail)


def test_the_fixed_core_of_the_api_is_unbroken() -> None:
    contract = build_schema((ROOT / "tests" / "contract.graphql").read_text())
    assert not find_breaking_changes(contract, SCHEMA)


def test_the_database_and_the_rules_have_one_stage_machine() -> None:
    legal = set()
    for line in LEGAL_STEPS.strip().splitlines():
        before = re.search(r"from_stage = '(\w+)'", line)
        after = re.findall(r"'(\w+)'", line.split("to_stage")[1])
        legal |= {(before[1], to) for to in after} if before else set()
    assert legal == {(before.value, to.value) for before, ways in TRANSITIONS.items() for to in ways}


def test_the_stage_machine_is_drawn_as_it_is() -> None:
    drawing = re.search(r"```mermaid\nstateDiagram-v2\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert drawing
    drawn = set(re.findall(r"(\w+) --> (\w+)", drawing[1]))
    assert drawn == {(before.value, to.value) for before, ways in TRANSITIONS.items() for to in ways}
    assert re.search(r"\[\*\] --> (\w+)", drawing[1])[1] == Stage.DEVELOPMENT  # type: ignore[index]


async def test_migrations_make_what_the_tables_say(database: Cluster) -> None:
    async with short_engine(database.owner_url) as engine, engine.connect() as connection:

        def differences(sync: object) -> list[object]:
            context = MigrationContext.configure(sync, opts={"compare_type": True})  # type: ignore[arg-type]
            found: list[object] = compare_metadata(context, metadata)
            return found

        assert await connection.run_sync(differences) == []


MOST_LINES = 350


def lengths_of(source: str) -> list[int]:
    """The length of each function of a module, in lines."""
    functions = [
        node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [(node.end_lineno or 0) - node.lineno + 1 for node in functions]


def test_functions_are_short() -> None:
    lengths = sorted(length for floor in FLOORS for file in sources(floor) for length in lengths_of(file.read_text()))
    assert lengths[len(lengths) // 2] <= 9
    assert lengths[int(len(lengths) * 0.9)] <= 30
    assert lengths[-1] <= 60


def test_a_long_function_is_found() -> None:
    body = "    pass\n" * 60
    assert lengths_of(f"class Long:\n  async def method(self):\n{body}  def short(self): pass\n") == [61, 1]


def long_files(root: Path) -> dict[str, int]:
    """By path, since files of one name stand in several rooms."""
    files = [file for floor in FLOORS for file in (root / floor).rglob("*.py") if "migrations" not in file.parts]
    lines = {str(file.relative_to(root)): file.read_text().count("\n") for file in files}
    return {name: count for name, count in lines.items() if count > MOST_LINES}


def test_no_file_is_long() -> None:
    assert not long_files(ROOT)


def test_a_long_file_is_found_beside_a_short_one_of_the_same_name(tmp_path: Path) -> None:
    for room, lines in (("server/events", MOST_LINES + 1), ("storage", 1)):
        (tmp_path / room).mkdir(parents=True)
        (tmp_path / room / "webhooks.py").write_text("\n" * lines)
    assert long_files(tmp_path) == {"server/events/webhooks.py": MOST_LINES + 1}


# ------------------------------------------------------------------------------------- where SQL lives

# A string is a statement, or a part of one, when it reads like this.
STATEMENT = re.compile(
    r"\b(SELECT\b[\s\S]+\bFROM\b|SELECT (pg_\w+|EXISTS|clock_timestamp)\b|INSERT INTO \w|UPDATE [a-z_]+( \w+)? SET\b"
    r"|DELETE FROM \w|WITH( RECURSIVE)? \w+ AS \(|VACUUM \(|SET (LOCAL )?lock_timeout)|^\s*(SELECT|JOIN|LATERAL)\s"
)
BUILDERS = {"text", "select", "insert", "update", "delete", "func", "literal_column"}


def statements_in(source: str) -> set[str]:
    """The SQL of a module outside its docstrings: strings that are statements, and what it imports to build them."""
    tree = ast.parse(source)
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, documented) and node.body and isinstance(node.body[0], ast.Expr)
    }
    sql = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            sql |= {node.value} if STATEMENT.search(node.value) else set()
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("sqlalchemy", "sqlmodel")):
            sql |= {alias.name for alias in node.names} & BUILDERS
    return sql


def homes_of_sql(files: list[Path]) -> dict[str, set[str]]:
    return {str(file.relative_to(ROOT)): sql for file in files if (sql := statements_in(file.read_text()))}


def test_sql_lives_in_storage_and_the_compiler_of_reads() -> None:
    elsewhere = [file for file in sources("server") + sources("resolvers") if "reads" not in file.parts]
    assert not homes_of_sql(elsewhere)


@pytest.mark.parametrize(
    "breach",
    [
        'await session.execute("SELECT id FROM versions WHERE id = :id")',
        "KEYS = 'INSERT INTO api_keys (id) VALUES (1)'",
        "await session.scalar(\"SELECT pg_advisory_xact_lock(hashtext('lineal'))\")",
        "change = f\"UPDATE webhooks SET active = false WHERE id = '{id_}'\"",
        "forget = 'DELETE FROM audit_feed'",
        "walk = 'WITH RECURSIVE line AS (VALUES (1)) TABLE line'",
        "from sqlalchemy import text",
        "from sqlalchemy.dialects.postgresql import insert as upsert",
    ],
)
def test_sql_elsewhere_is_found(breach: str) -> None:
    assert statements_in(f"async def work():\n    {breach}\n")


def test_sentences_about_selecting_are_no_sql() -> None:
    assert not statements_in(
        'def work():\n    """SELECT id FROM versions, said in a docstring."""\n    return "Select a stage."\n'
    )


SQL_FILES = [*sorted((ROOT / "storage").glob("*.sql")), *sorted((ROOT / "resolvers" / "reads").glob("*.sql"))]
# Filled in by the compiler of reads from what a request tells.
OF_THE_COMPILER = {"args", "visible", "caller", "read", "payload"}


def unsaid_in(script: str) -> set[str]:
    """What the header of a SQL file lacks: the header itself, or parameters that it does not name."""
    lines = script.splitlines()
    end = next(place for place, line in enumerate(lines) if not line.startswith("--"))
    header, body = "\n".join(lines[:end]), "\n".join(lines[end:])
    if len(header) < 40:
        return {"header"}
    code = re.sub(r"--.*|'[^']*'", "", body)
    parameters = set(re.findall(r"\{(\w+)", body)) | set(re.findall(r"(?<![:\w]):([a-z_]+)", code))
    return {name for name in parameters - OF_THE_COMPILER if f"`{name}`" not in header}


@pytest.mark.parametrize("file", SQL_FILES, ids=lambda file: file.name)
def test_each_sql_file_says_what_it_returns_and_its_parameters(file: Path) -> None:
    assert not unsaid_in(file.read_text())


def test_a_sql_file_that_says_too_little_is_found() -> None:
    assert unsaid_in("SELECT 1\n") == {"header"}
    said = "-- One row for the page of keys: the key's name and its owner. `id` is the key's."
    assert unsaid_in(f"{said}\nSELECT name, {{owner}} FROM api_keys WHERE id = :id AND at > :since::date\n") == {
        "owner",
        "since",
    }
