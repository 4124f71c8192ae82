"""The sealed secrets of webhooks: the keys that sealed them, and the secrets to seal again."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

from storage.engine import Database


@dataclass(frozen=True)
class WebhookSecrets:
    """A webhook's secrets as they are stored: sealed, or in clear text by an earlier version."""

    webhook_id: str
    secret: str
    previous_secret: str | None


LOCK = text("SELECT pg_advisory_xact_lock(hashtext('lineal secrets'))")
KEYS_IN_USE = """
SELECT array_agg(DISTINCT split_part(sealed, '.', 2))
FROM webhooks w CROSS JOIN unnest(ARRAY[w.secret, w.previous_secret]) sealed WHERE sealed LIKE 'v1.%'
"""
NOT_SEALED_BY = text("""
SELECT id AS webhook_id, secret, previous_secret FROM webhooks
WHERE NOT starts_with(secret, :prefix) OR NOT starts_with(previous_secret, :prefix) ORDER BY id FOR UPDATE
""")
SEAL = text("UPDATE webhooks SET secret = :secret, previous_secret = :previous_secret WHERE id = :webhook_id")


async def lock(session: AsyncSession) -> None:
    """Take the lock for sealing secrets, until the transaction ends."""
    await session.execute(LOCK)


async def keys_in_use(session: AsyncSession) -> Sequence[str]:
    """The ids of the keys that sealed any secret."""
    return await session.scalar(text(KEYS_IN_USE)) or ()


async def keys_in_use_within(database: Database, seconds: float) -> Sequence[str]:
    return await database.fetchval(KEYS_IN_USE, within=seconds) or ()


async def not_sealed_by(session: AsyncSession, prefix: str) -> list[WebhookSecrets]:
    """The webhooks with a secret that does not begin with this prefix, locked."""
    rows = await session.execute(NOT_SEALED_BY, {"prefix": prefix})
    return [WebhookSecrets(**row) for row in rows.mappings()]


async def keep_sealed(session: AsyncSession, secrets: WebhookSecrets) -> None:
    values = {"secret": secrets.secret, "previous_secret": secrets.previous_secret}
    await session.execute(SEAL, values | {"webhook_id": secrets.webhook_id})


async def overwrite(connection: AsyncConnection) -> None:
    """Rewrite the table, as its owner: its file contains the old rows until then."""
    alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
    await alone.execute(text("SET lock_timeout = '5s'"))
    await alone.execute(text("VACUUM (FULL) webhooks"))
