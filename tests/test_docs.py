"""README and docs/: requests answer what is printed, links lead somewhere, and the settings are those of the code.

REWRITE_DOCS=1 writes the table of settings and the sentences in answers as they are now.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from graphql import parse, validate

from schema import schema
from server.ops.bootstrap import ADMIN
from server.ops.demo import fill
from server.settings import Settings
from tests.conftest import make_key
from tests.support.docs import (
    PAGES,
    ROOT,
    TABLE,
    anchors,
    block_of,
    correct_settings,
    correct_texts,
    examples,
    is_dead,
    links,
    missing_files,
    settings_rows,
)
from tests.support.live import Live, lineal

REWRITE = bool(os.environ.get("REWRITE_DOCS"))
README, OPERATIONS = ROOT / "README.md", ROOT / "docs" / "operations.md"
ADDRESS = "http://127.0.0.1:8000"


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if examples(page)], ids=named)
async def test_requests_answer_what_is_printed(
    page: Path, make_database: Callable[[], Any], make_registry: Callable[..., Any]
) -> None:
    database = await make_database()
    await fill(Settings(database_url=database.app_url))
    registry = await make_registry(database)
    # The first key's principal, who made the sample's project.
    registry = registry.with_key(await make_key(database.app_url, ADMIN))
    for example in examples(page):
        answer = (await registry.send(example.request)).json()
        # What is refused as a whole costs nothing that could be reported.
        assert answer.pop("extensions", {"cost": True})["cost"]
        if REWRITE:
            correct_texts(example, answer)
        else:
            assert answer == json.loads(example.printed), example.request


def test_the_readme_and_the_tour_show_requests() -> None:
    assert len(examples(README)) >= 3
    assert len(examples(ROOT / "docs" / "tour.md")) >= 10


def test_every_request_is_valid() -> None:
    for page in PAGES:
        for request in re.findall(r"```graphql\n(.*?)```", page.read_text(), re.DOTALL):
            assert not validate(schema._schema, parse(request)), (page, request)


def test_the_readme_is_short() -> None:
    assert README.read_text().count("\n") <= 250


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    assert not [link for link in links(page) if is_dead(page, link)]


def test_dead_links_are_found() -> None:
    assert is_dead(README, "docs/none.md")
    assert is_dead(README, "docs/tour.md#none")
    assert is_dead(README, "#none")
    assert not is_dead(README, "docs/tour.md#pictures")
    assert {"start", "an-empty-registrys-first-ten-minutes"} <= anchors(README)


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=named)
def test_files_that_are_named_exist(page: Path) -> None:
    assert not missing_files(page)


def sources() -> Iterator[Path]:
    for folder in ("server", "schema", "resolvers", "storage", "scripts"):
        yield from (file for file in (ROOT / folder).rglob("*") if file.suffix in (".py", ".sql", ".html", ".js", ""))


def test_pages_that_the_code_names_exist() -> None:
    for file in sources():
        if file.is_file() and "graphiql_assets" not in str(file):
            for page in re.findall(r"docs/[\w/-]+\.md", file.read_text()):
                assert (ROOT / page).exists(), (file, page)


def test_every_page_is_reached_from_the_readme() -> None:
    reached, border = {README}, [README]
    while border:
        page = border.pop()
        local = [link.partition("#")[0] for link in links(page) if not link.startswith("http")]
        found = {(page.parent / path).resolve() for path in local if path.endswith(".md")} - reached
        reached |= found
        border += found
    assert set(PAGES) <= reached


def test_the_table_of_settings_is_current() -> None:
    if REWRITE:
        correct_settings(OPERATIONS)
    table = TABLE.search(OPERATIONS.read_text())
    assert table
    assert table[2] == settings_rows(), "run REWRITE_DOCS=1 scripts/test tests/test_docs.py"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def empty() -> AsyncIterator[Live]:
    """An empty registry, as `scripts/serve` starts one."""
    async with lineal(size=1) as live:
        yield live


async def run(live: Live, *command: str) -> str:
    """What a command prints in a folder where the server's data lie in `data`."""
    with tempfile.TemporaryDirectory(prefix="lineal-docs-") as folder:
        (Path(folder) / "data").symlink_to(live.data_dir)
        adjusted = [part.replace(ADDRESS, live.url) for part in command]
        environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        ended = await asyncio.to_thread(
            subprocess.run, adjusted, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_the_first_ten_minutes_lead_to_a_version_in_production(empty: Live) -> None:
    program = block_of(README, "python", "import httpx")
    assert await run(empty, sys.executable, "-c", program) == block_of(README, "text")
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here (Debian: apt-get install curl)")
    answer = json.loads(await run(empty, "sh", "-c", block_of(README, "sh", "curl")))
    assert answer.pop("extensions")["cost"]
    assert answer == json.loads(block_of(README, "json"))
