"""Prepares the database: running, migrated, and with a first key."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import structlog
from sqlalchemy import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.callers import Caller
from resolvers.keys import create_api_key
from resolvers.principals import set_administrator
from resolvers.rules.access import Need
from resolvers.transaction import Transaction
from server.ops.sealed_secrets import seal_at_start
from server.settings import Settings, sealing_of
from storage import first_start
from storage.data_folder import make_private
from storage.embedded import EmbeddedPostgres, FolderInUse, urls_of_running
from storage.engine import short_engine
from storage.migrate import migrate, newest_revision, revision
from storage.vocabulary import PrincipalKind

log = structlog.get_logger("lineal")

ADMIN = "admin@localhost"
# In addition to the workers' pools: commands, migrations and PostgreSQL's own reserve.
SPARE_CONNECTIONS = 20


@contextmanager
def running_database(settings: Settings) -> Iterator[Settings]:
    """The settings with a running database: an external one, else the embedded one while the block runs."""
    if settings.database_url:
        yield settings.model_copy(update={"owner_url": settings.owner_url or settings.database_url})
        return
    # For each worker: reads, writes, the feed, and test connections to a database that did not respond.
    connections = settings.workers * (2 * settings.pool_size + 4) + SPARE_CONNECTIONS
    with EmbeddedPostgres(settings.data_dir, pg_bin=settings.pg_bin, max_connections=connections) as postgres:
        yield settings.model_copy(update={"database_url": postgres.app_url, "owner_url": postgres.owner_url})


@contextmanager
def reachable_database(settings: Settings) -> Iterator[Settings]:
    """For commands: the database of the server that runs in the data folder, or else the one that a server would
    use."""
    try:
        with running_database(settings) as ready:
            yield ready
    except FolderInUse:
        owner_url, app_url = urls_of_running(settings.data_dir)
        yield settings.model_copy(update={"database_url": app_url, "owner_url": owner_url})


@contextmanager
def existing_database(settings: Settings) -> Iterator[Settings]:
    """For commands on an existing database. Raises DatabaseUnusable if there is none."""
    if not settings.database_url and not (settings.data_dir / "postgres").exists():
        raise DatabaseUnusable(
            f"There is no database in {settings.data_dir.absolute()}. Name its folder with --data-dir, or its address"
            " with --database-url."
        )
    with reachable_database(settings) as ready:
        yield ready


class DatabaseUnusable(Exception):
    """The database cannot be reached, or not with this role."""


async def prepare(settings: Settings, *, serves: bool = False) -> Path | None:
    """Migrate, and create the first key if there is none. Returns the file with the first key if it exists."""
    with _usable(settings):
        await migrate(settings.owner_url, settings.database_url)
        async with short_engine(settings.database_url) as engine, AsyncSession(engine) as session, session.begin():
            await _first_key(session, settings.data_dir)
        if serves:  # a command may run on another machine than the data folder with the key
            await seal_at_start(settings.database_url, settings.owner_url, sealing_of(settings))
        make_private(settings.data_dir)
    file = key_file(settings.data_dir)
    return file if file.exists() else None


async def require_current(settings: Settings) -> None:
    """For commands that only read and do not migrate. Raises DatabaseUnusable if this code cannot read the database."""
    with _usable(settings):
        async with short_engine(settings.database_url) as engine:
            at = await revision(engine)
    where = make_url(settings.database_url).render_as_string()
    if at is None:
        raise DatabaseUnusable(f"The database {where} holds no registry. Name another one, or run lineal migrate.")
    if at != newest_revision():
        raise DatabaseUnusable(
            f"The database {where} has schema revision {at}; this command needs {newest_revision()}. Run lineal"
            " migrate, or the version of Lineal that migrated the database."
        )


@contextmanager
def _usable(settings: Settings) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, asyncpg.PostgresError, OSError) as error:
        where = make_url(settings.database_url).render_as_string()
        raise DatabaseUnusable(f"The database {where} cannot be used: {error.__cause__ or error}") from error


OWNER_SERVES = """The role of LINEAL_DATABASE_URL owns the tables, so an attacker in a server process can rewrite the \
history. Set LINEAL_OWNER_URL to the role that owns them, and LINEAL_DATABASE_URL to another role."""


async def warn_of_owner(settings: Settings) -> None:
    """Log a warning if requests run with the rights of the tables' owner, whom no trigger stops."""
    async with short_engine(settings.database_url) as engine, engine.connect() as connection:
        if await first_start.owns_tables(connection):
            log.warning(OWNER_SERVES)


def key_file(data_dir: Path) -> Path:
    return data_dir / "admin-key"


async def _first_key(session: AsyncSession, data_dir: Path) -> None:
    """Create the first principal, which administers the instance: it can create projects, principals and keys, and
    grant roles."""
    if await first_start.has_keys(session):
        return
    tx = Transaction(session, Caller("lineal", None, "first start"), Need.INSTANCE)
    made = await create_api_key(tx, name="first key", email=ADMIN, kind=PrincipalKind.USER)
    await set_administrator(tx, email=ADMIN, administers=True)
    # Written before the commit: a key that was never written to the file would lock out every user.
    write_secret(key_file(data_dir), made["secret"])


def write_secret(file: Path, secret: str) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(secret + "\n")
