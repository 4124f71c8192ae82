"""Webhook secrets in a database and the keys of this server: encryption, and checks whether they can be decrypted."""

from collections.abc import Sequence
from contextlib import suppress

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.webhooks import bound_to
from storage import webhook_secrets
from storage.engine import Database, short_engine
from storage.sealing import NO_KEY, VERSION, Sealing, SealingUnusable, id_in
from storage.webhook_secrets import WebhookSecrets

log = structlog.get_logger("lineal")


async def seal_at_start(app_url: str, owner_url: str, sealing: Sealing) -> None:
    """Seal secrets in clear text. A key that cannot be used is reported, and delays only webhooks."""
    sealed = 0
    async with short_engine(app_url) as engine, AsyncSession(engine) as session:
        with suppress(SealingUnusable, OSError):
            async with session.begin():
                sealed = await seal_clear_secrets(session, sealing)
        if problem := problem_with(sealing, await webhook_secrets.keys_in_use(session)):
            log.error(problem)
    if sealed:
        log.info("webhook secrets encrypted", webhooks=sealed)
        await _overwrite(owner_url)


async def _overwrite(owner_url: str) -> None:
    """Rewrite the table: its file contains the old rows until then."""
    async with short_engine(owner_url) as engine, engine.connect() as connection:
        try:
            await webhook_secrets.overwrite(connection)
        except DBAPIError:
            log.warning("Old rows of webhooks may still hold secrets in clear text; run VACUUM FULL webhooks.")


async def seal_clear_secrets(session: AsyncSession, sealing: Sealing) -> int:
    """Seal the secrets that an earlier version stored in clear text, and return the number of their webhooks. Creates
    the key if there is none, unless another server's key is in use. Any number of processes may call it at once."""
    await webhook_secrets.lock(session)
    if not sealing.keys and not await webhook_secrets.keys_in_use(session):
        sealing.make_key()
    if not sealing.keys:
        return 0
    return await _seal(session, sealing, await webhook_secrets.not_sealed_by(session, f"{VERSION}."))


async def reencrypt(url: str, sealing: Sealing) -> int:
    """For a command: seal all secrets with the newest key."""
    async with short_engine(url) as engine, AsyncSession(engine) as session, session.begin():
        return await seal_anew(session, sealing)


async def seal_anew(session: AsyncSession, sealing: Sealing) -> int:
    """Seal secrets again with the newest key if another one sealed them, and return the number of their webhooks."""
    await webhook_secrets.lock(session)
    newest = next(iter(sealing.keys), None)
    if newest is None:
        raise SealingUnusable(NO_KEY)
    return await _seal(session, sealing, await webhook_secrets.not_sealed_by(session, f"{VERSION}.{newest}."))


async def _seal(session: AsyncSession, sealing: Sealing, rows: Sequence[WebhookSecrets]) -> int:
    sealed = 0
    for row in rows:
        bound = bound_to(row.webhook_id)
        try:
            secret = sealing.seal(_text(sealing, row.secret, bound), bound)
            previous = row.previous_secret and sealing.seal(_text(sealing, row.previous_secret, bound), bound)
        except SealingUnusable as error:
            log.warning(f"The secret of {row.webhook_id} was not encrypted with the newest key. {error}")
            continue
        await webhook_secrets.keep_sealed(session, WebhookSecrets(row.webhook_id, secret, previous))
        sealed += 1
    return sealed


def _text(sealing: Sealing, kept: str, bound: str) -> str:
    return sealing.open(kept, bound) if id_in(kept) else kept


def problem_with(sealing: Sealing, in_use: Sequence[str]) -> str | None:
    """A sentence for the operator about what prevents this server from signing events."""
    try:
        keys = sealing.keys
    except (SealingUnusable, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        return f"This server does not send to webhooks, because its secrets key cannot be used: {reason}"
    missing = sorted(set(in_use) - set(keys))
    if not missing:
        return None if keys else f"This server cannot create webhooks. {NO_KEY}"
    return (
        "This server does not send to some webhooks, because it does not have the key that encrypted their secrets"
        f" ({', '.join(missing)}). Copy the file secrets-key from the data folder of the server that created them, or"
        " from its backup, into this server's data folder, or add its keys to LINEAL_SECRETS_KEY."
    )


async def problem_now(database: Database, sealing: Sealing, within: float) -> str | None:
    return problem_with(sealing, await webhook_secrets.keys_in_use_within(database, within))
