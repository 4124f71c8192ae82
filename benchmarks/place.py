"""Where the benchmark's database lives: an embedded PostgreSQL in a folder that is kept, or the server that
LINEAL_DATABASE_URL names, in a database of our own."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from sqlalchemy import make_url

from benchmarks.load import load
from storage.embedded import EmbeddedPostgres
from storage.migrate import migrate

ROOT = Path(__file__).parent.parent
COPY = "lineal_bench_copy"


@dataclass(frozen=True)
class Place:
    """A loaded database. The superuser may make and drop databases, the owner owns the tables, the app uses them."""

    superuser_url: str
    owner_url: str
    app_url: str
    is_local: bool

    def database(self, name: str) -> "Place":
        def within(url: str) -> str:
            return make_url(url).set(database=name).render_as_string(hide_password=False)

        return Place(within(self.superuser_url), within(self.owner_url), within(self.app_url), self.is_local)


@contextmanager
def loaded_database(data_dir: Path | None, models: int, versions: int) -> Iterator[Place]:
    name = f"lineal_bench_{models}x{versions}_{_form()}"
    with _server(data_dir or default_folder(), name) as place:
        asyncio.run(_fill(place, models, versions))
        yield place


def default_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"lineal-bench-{os.getuid()}"


def _form() -> str:
    """Changes with the tables and with the rows, so that no run meets an older run's form of them."""
    files = sorted((ROOT / "storage" / "migrations" / "versions").glob("*.*"))
    files += [ROOT / "storage" / "grants.sql", ROOT / "benchmarks" / "data.py", ROOT / "benchmarks" / "load.py"]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:8]


@contextmanager
def _server(folder: Path, name: str) -> Iterator[Place]:
    if external := os.environ.get("LINEAL_DATABASE_URL"):
        asyncio.run(_make_database(external, name))
        yield Place(external, external, external, is_local=False).database(name)
        return
    with EmbeddedPostgres(folder / name) as postgres:
        place = Place(postgres.superuser_url, postgres.owner_url, postgres.app_url, is_local=True)
        yield place.database(make_url(postgres.app_url).database or "")


async def _make_database(url: str, name: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", name):
            await connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    finally:
        await connection.close()


async def _fill(place: Place, models: int, versions: int) -> None:
    await migrate(place.owner_url, place.app_url)
    await load(place.owner_url, models, versions)


@asynccontextmanager
async def copied(place: Place) -> AsyncIterator[Place]:
    """A copy of the database to write in, gone afterwards."""
    source = make_url(place.app_url).database
    server = await asyncpg.connect(place.database("postgres").superuser_url)
    try:
        await server.execute(f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")
        await server.execute(f"CREATE DATABASE {COPY} TEMPLATE {source} STRATEGY FILE_COPY")
        yield place.database(COPY)
        await server.execute(f"DROP DATABASE {COPY} WITH (FORCE)")
    finally:
        await server.close()
