"""The checks of a first start: whether there are keys or projects already, and whether the server's role owns the
tables.

Two processes that start together take turns: each check takes a lock that lasts until the transaction ends.
"""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

LOCK = text("SELECT pg_advisory_xact_lock(hashtext(:name))")
HAS_KEYS = text("SELECT EXISTS (SELECT FROM api_keys)")
HAS_PROJECTS = text("SELECT EXISTS (SELECT FROM projects)")
OWNS_TABLES = text("SELECT pg_has_role(relowner, 'MEMBER') FROM pg_class WHERE oid = 'audit_events'::regclass")


async def has_keys(session: AsyncSession) -> bool:
    await session.execute(LOCK, {"name": "lineal first key"})
    return bool(await session.scalar(HAS_KEYS))


async def has_projects(session: AsyncSession) -> bool:
    await session.execute(LOCK, {"name": "lineal demo"})
    return bool(await session.scalar(HAS_PROJECTS))


async def owns_tables(connection: AsyncConnection) -> bool:
    """Whether this role has the rights of the tables' owner, whom no trigger stops."""
    return bool(await connection.scalar(OWNS_TABLES))
