"""`lineal keys`: uses the same functions as the API, for a user with access to the database."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.callers import Caller
from resolvers.keys import create_api_key, revoke_api_key, rotate_api_key
from resolvers.principals import set_administrator, set_member
from resolvers.rules import limits
from resolvers.rules.access import Need
from resolvers.transaction import Transaction
from storage import keys
from storage.engine import short_engine
from storage.keys import ListedKey
from storage.rows import now
from storage.vocabulary import PrincipalKind, Role

COMMAND = Caller("lineal keys", None, "command")


async def run(url: str, write: Callable[..., Any], **arguments: Any) -> dict[str, Any]:
    """Make one change in its own transaction."""
    async with short_engine(url) as engine, AsyncSession(engine) as session, session.begin():
        done: dict[str, Any] = await write(Transaction(session, COMMAND, Need.INSTANCE), **arguments)
    return done


async def make_key(
    url: str,
    name: str,
    email: str,
    *,
    kind: PrincipalKind = PrincipalKind.SERVICE,
    project: str | None = None,
    role: Role | None = None,
    days: int | None = None,
    may_attest: bool = False,
    administers: bool = False,
) -> str:
    """Create a key, grant its owner the role or right, and return the key's secret."""

    async def write(tx: Transaction) -> dict[str, Any]:
        expires_at = await now(tx.session) + timedelta(days=days) if days else None
        facts = {"name": limits.NAME.clean("name", name), "email": limits.EMAIL.clean("email", email), "kind": kind}
        made = await create_api_key(tx, **facts, project_id=project, may_attest=may_attest, expires_at=expires_at)  # type: ignore[arg-type]
        if project and role:
            await set_member(tx, project_id=project, email=str(facts["email"]), role=role)
        if administers:
            await set_administrator(tx, email=str(facts["email"]), administers=True)
        return made

    secret: str = (await run(url, write))["secret"]
    return secret


async def all_keys(url: str) -> Sequence[ListedKey]:
    async with short_engine(url) as engine, engine.connect() as connection:
        return await keys.all_keys(connection)


async def end_key(url: str, id_: str) -> None:
    """Revoke a key. Raises NotFound or Conflict if there is no valid key with this id."""
    await run(url, revoke_api_key, id=id_)


async def replace_key(url: str, id_: str, grace_seconds: int) -> str:
    secret: str = (await run(url, rotate_api_key, id=id_, grace_seconds=grace_seconds))["secret"]
    return secret
