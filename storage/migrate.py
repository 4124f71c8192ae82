"""Migrates a database to this code's schema. It runs once, however many processes start together."""

import asyncio
from pathlib import Path

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from storage.engine import Database, short_engine
from storage.sql import load_sql

LOCK = 0x4C494E45414C  # "LINEAL" in ASCII
OUTSIDE = load_sql("outside")


class SchemaTooNew(Exception):
    """The database was migrated by a newer Lineal; start that one, or restore an older backup."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def newest_revision() -> str:
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def revision(engine: AsyncEngine) -> str | None:
    """The schema revision of the database. None if it is empty."""
    async with engine.connect() as connection:
        return await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())


async def revision_seen(database: Database, within: float) -> str | None:
    """The schema revision of the database, as the server's role sees it. None if nothing was migrated for it."""
    try:
        revision: str | None = await database.fetchval("SELECT version_num FROM alembic_version", within=within)
    except (asyncpg.UndefinedTableError, asyncpg.InsufficientPrivilegeError):
        return None
    return revision


async def _is_current(connection: AsyncConnection) -> bool:
    current = await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())
    known = {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}
    if current is not None and current not in known:
        raise SchemaTooNew(
            f"{SchemaTooNew.__doc__} (schema revision {current}, this code knows up to {newest_revision()})"
        )
    return current == newest_revision()


async def migrate(owner_url: str, app_url: str | None = None) -> bool:
    """Migrate as the owner and grant the app's role its rights. Returns True if there was something to do."""
    async with short_engine(owner_url) as engine, engine.connect() as connection:
        if await _is_current(connection):
            return False
        await connection.rollback()
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):
            await connection.rollback()
            await asyncio.sleep(0.2)
        try:
            await connection.commit()
            return await _migrate_locked(connection, app_url)
        finally:
            await connection.rollback()
            await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})


async def _migrate_locked(connection: AsyncConnection, app_url: str | None) -> bool:
    if await _is_current(connection):
        return False
    await connection.rollback()
    async with connection.begin():
        await connection.run_sync(lambda c: command.upgrade(_config(c), "head"))
        await connection.run_sync(_grant, make_url(app_url).username if app_url else None)
    return True


def _grant(connection: Connection, role: str | None) -> None:
    if role and role != connection.scalar(text("SELECT current_user")):
        quoted: str = connection.scalar(text("SELECT quote_ident(:role)"), {"role": role})
        run_script(connection, load_sql("grants", app=quoted))
        run_script(connection, OUTSIDE)


def run_script(connection: Connection, script: str) -> None:
    """Run several statements at once, in the connection's transaction. A prepared statement can contain only one."""
    connection.connection.dbapi_connection.run_async(lambda driver: driver.execute(script))  # type: ignore[union-attr]
