"""A new column-backed field takes one line of the schema, a column and a migration: tried on a copy of the tree."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from storage.migrate import newest_revision

ROOT = Path(__file__).parent.parent
COPIED = ("storage", "resolvers", "schema", "server")

COLUMN = ("storage/models.py", "    description: str | None = None\n", "    purpose: str | None = None\n")
LINE = (
    "schema/models.py",
    "    created_at: datetime =",
    '    purpose: str | None = column("What the model is for.")\n',
)
MIGRATION = f'''"""What models are for"""

import sqlalchemy as sa
from alembic import op

revision = "9999"
down_revision = "{newest_revision()}"


def upgrade() -> None:
    op.add_column("models", sa.Column("purpose", sa.String(), nullable=True))
'''
# What the copy is asked, and what the suite itself holds of tables, migrations and generated files.
ASKED = """
from pathlib import Path

import schema as schema_package
from tests.conftest import Cluster, Registry, connect


async def test_the_new_field_is_read(registry: Registry, database: Cluster, project: str) -> None:
    assert Path(schema_package.__file__).is_relative_to(Path(__file__).parent.parent)
    made = "mutation($new: CreateModelInput!) { createModel(input: $new) { model { id purpose } } }"
    new = {"id": "model_new", "projectId": project, "name": "New"}
    assert (await registry.ask(made, new=new))["createModel"]["model"] == {"id": "model_new", "purpose": None}
    connection = await connect(database.owner_url)
    await connection.execute("UPDATE models SET purpose = 'trying' WHERE id = 'model_new'")
    await connection.close()
    assert await registry.ask('{ model(id: "model_new") { purpose } }') == {"model": {"purpose": "trying"}}
"""
HELD = [
    "tests/test_purpose.py",
    "tests/test_house.py::test_migrations_make_what_the_tables_say",
    "tests/test_house.py::test_the_checked_in_schema_is_current",
    "tests/test_house.py::test_the_checked_in_table_of_needs_sizes_and_weights_is_current",
    "tests/test_house.py::test_every_field_is_bound",
]


def insert(root: Path, file: str, before_or_after: str, line: str) -> None:
    """A line before the one that begins so, or after it where the text is a whole line."""
    source = (root / file).read_text()
    assert source.count(before_or_after) == 1, file
    placed = before_or_after + line if before_or_after.endswith("\n") else line + before_or_after
    (root / file).write_text(source.replace(before_or_after, placed))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the tree that PostgreSQL's user need not read."""
    for folder in COPIED:
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "tests" / "support", tmp_path / "tests" / "support")
    for file in ("tests/__init__.py", "tests/conftest.py", "tests/test_house.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / file, tmp_path / file)
    return tmp_path


def generate(tree: Path) -> None:
    """What `scripts/check fix` writes."""
    for file, options in (("schema.graphql", []), ("schema-access.txt", ["--access"])):
        printed = run(tree, "-m", "server.ops.cli", "schema", *options)
        assert printed.returncode == 0, printed.stderr
        (tree / file).write_text(printed.stdout)


def run(tree: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, *arguments], cwd=tree, capture_output=True, text=True)


def test_a_column_backed_field_is_one_line_a_column_and_a_migration(tree: Path) -> None:
    insert(tree, *COLUMN)
    insert(tree, *LINE)
    (tree / "storage" / "migrations" / "versions" / "9999_purpose.py").write_text(MIGRATION)
    generate(tree)
    (tree / "tests" / "test_purpose.py").write_text(ASKED)
    outcome = run(tree, "-m", "pytest", "-p", "no:cacheprovider", *HELD)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    assert f"{len(HELD)} passed" in outcome.stdout or "." * len(HELD) in outcome.stdout
    table = (tree / "schema-access.txt").read_text()
    (line,) = [line.split() for line in table.splitlines() if line.startswith("Model.purpose ")]
    assert line == ["Model.purpose", "VIEWER", "1", "0"]


def test_a_field_without_a_role_cannot_be_merged(tree: Path) -> None:
    root = '    nothing: str | None = bound("Nothing.", Column())\n'
    insert(tree, "schema/query.py", "    project: Project | None =", root)
    source = (tree / "schema" / "query.py").read_text()
    (tree / "schema" / "query.py").write_text(source.replace("import FromQuery\n", "import Column, FromQuery\n"))
    printed = run(tree, "-m", "server.ops.cli", "schema")
    assert printed.returncode != 0
    assert "Undeclared: Query.nothing declares no role." in printed.stderr
