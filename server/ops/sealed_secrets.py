"""Webhook secrets of a database and the keys of this server: what is sealed, and whether it can be opened."""

from collections.abc import Sequence
from contextlib import suppress

import structlog
from sqlalchemy import RowMapping, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.webhooks import bound_to
from storage.engine import Database, short_engine
from storage.sealing import NO_KEY, VERSION, Sealing, SealingUnusable, id_in

log = structlog.get_logger("lineal")

LOCK = text("SELECT pg_advisory_xact_lock(hashtext('lineal secrets'))")
KEYS_IN_USE = """
SELECT array_agg(DISTINCT split_part(sealed, '.', 2))
FROM webhooks w CROSS JOIN unnest(ARRAY[w.secret, w.previous_secret]) sealed WHERE sealed LIKE 'v1.%'
"""
NOT_SEALED_BY = """
SELECT id AS webhook_id, secret, previous_secret FROM webhooks
WHERE NOT starts_with(secret, :prefix) OR NOT starts_with(previous_secret, :prefix) ORDER BY id FOR UPDATE
"""
CLEAR = text(NOT_SEALED_BY.replace(":prefix", f"'{VERSION}.'"))
OF_OTHER_KEYS = text(NOT_SEALED_BY)
SEAL = text("UPDATE webhooks SET secret = :secret, previous_secret = :previous_secret WHERE id = :webhook_id")


async def seal_at_start(app_url: str, owner_url: str, sealing: Sealing) -> None:
    """Seal what is in clear text; a key that cannot be used is reported, and keeps nothing but webhooks waiting."""
    sealed = 0
    async with short_engine(app_url) as engine, AsyncSession(engine) as session:
        with suppress(SealingUnusable, OSError):
            async with session.begin():
                sealed = await seal_clear_secrets(session, sealing)
        if problem := problem_with(sealing, await session.scalar(text(KEYS_IN_USE))):
            log.error(problem)
    if sealed:
        log.info("webhook secrets encrypted", webhooks=sealed)
        await _overwrite(owner_url)


async def _overwrite(owner_url: str) -> None:
    """Write the table anew: rows that were updated stay in its file until then."""
    async with short_engine(owner_url) as engine, engine.connect() as connection:
        alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
        try:
            await alone.execute(text("SET lock_timeout = '5s'"))
            await alone.execute(text("VACUUM (FULL) webhooks"))
        except DBAPIError:
            log.warning("Old rows of webhooks may still hold secrets in clear text; run VACUUM FULL webhooks.")


async def seal_clear_secrets(session: AsyncSession, sealing: Sealing) -> int:
    """Seal the secrets that an earlier version kept in clear text: how many webhooks had one. The key is made where
    there is none yet, unless another server's key is in use. Any number of processes may call it at once."""
    await session.execute(LOCK)
    if not sealing.keys and not await session.scalar(text(KEYS_IN_USE)):
        sealing.make_key()
    if not sealing.keys:
        return 0
    return await _seal(session, sealing, (await session.execute(CLEAR)).mappings().all())


async def reencrypt(url: str, sealing: Sealing) -> int:
    """For a command: seal all secrets with the newest key."""
    async with short_engine(url) as engine, AsyncSession(engine) as session, session.begin():
        return await seal_anew(session, sealing)


async def seal_anew(session: AsyncSession, sealing: Sealing) -> int:
    """Seal with the newest key what another one sealed: how many webhooks had such a secret."""
    await session.execute(LOCK)
    newest = next(iter(sealing.keys), None)
    if newest is None:
        raise SealingUnusable(NO_KEY)
    rows = await session.execute(OF_OTHER_KEYS, {"prefix": f"{VERSION}.{newest}."})
    return await _seal(session, sealing, rows.mappings().all())


async def _seal(session: AsyncSession, sealing: Sealing, rows: Sequence[RowMapping]) -> int:
    sealed = 0
    for row in rows:
        bound = bound_to(row["webhook_id"])
        try:
            both = {name: row[name] and sealing.seal(_text(sealing, row[name], bound), bound) for name in COLUMNS}
        except SealingUnusable as error:
            log.warning(f"The secret of {row['webhook_id']} was not encrypted with the newest key. {error}")
            continue
        await session.execute(SEAL, both | {"webhook_id": row["webhook_id"]})
        sealed += 1
    return sealed


COLUMNS = ("secret", "previous_secret")


def _text(sealing: Sealing, kept: str, bound: str) -> str:
    return sealing.open(kept, bound) if id_in(kept) else kept


def problem_with(sealing: Sealing, in_use: Sequence[str] | None) -> str | None:
    """What keeps this server from signing events, in a sentence for who runs it."""
    try:
        keys = sealing.keys
    except (SealingUnusable, OSError) as error:
        said = getattr(error, "strerror", None) or error
        return f"This server does not send to webhooks, because its secrets key cannot be used: {said}"
    missing = sorted(set(in_use or ()) - set(keys))
    if not missing:
        return None if keys else f"This server cannot create webhooks. {NO_KEY}"
    return (
        "This server does not send to some webhooks, because it does not have the key that encrypted their secrets"
        f" ({', '.join(missing)}). Copy the file secrets-key from the data folder of the server that created them, or"
        " from its backup, into this server's data folder, or add its keys to LINEAL_SECRETS_KEY."
    )


async def problem_now(database: Database, sealing: Sealing, within: float) -> str | None:
    return problem_with(sealing, await database.fetchval(KEYS_IN_USE, within=within))
