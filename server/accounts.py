"""What `lineal keys` does."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlalchemy import RowMapping, func, insert, text, update
from sqlalchemy.exc import IntegrityError

from resolvers.errors import NotFound
from resolvers.rules import limits
from server.keys import new_key_row, new_secret
from storage.engine import short_engine
from storage.keys import ApiKey

ALL_KEYS = """
SELECT id, name, email, project_id, created_at, revoked_at, coalesce(expires_at <= clock_timestamp(), false) AS expired
FROM api_keys ORDER BY created_at, id
"""


async def make_key(url: str, name: str, email: str, project: str | None, days: int | None) -> str:
    """Keep a new key and answer its secret."""
    secret = new_secret()
    row: dict[str, Any] = new_key_row(
        limits.NAME.clean("name", name), limits.EMAIL.clean("email", email), secret, created_by="lineal keys"
    )
    row |= {"project_id": project, "expires_at": func.clock_timestamp() + timedelta(days=days) if days else None}
    async with short_engine(url) as engine, engine.begin() as connection:
        try:
            await connection.execute(insert(ApiKey).values(row))
        except IntegrityError:
            raise NotFound("project", str(project), "project") from None
    return secret


async def all_keys(url: str) -> Sequence[RowMapping]:
    async with short_engine(url) as engine, engine.connect() as connection:
        return (await connection.execute(text(ALL_KEYS))).mappings().all()


async def end_key(url: str, id_: str) -> bool:
    """Revoke a key; false where there is none that is still valid."""
    statement = update(ApiKey).where(ApiKey.id == id_, ApiKey.revoked_at.is_(None))  # type: ignore[arg-type, union-attr]
    async with short_engine(url) as engine, engine.begin() as connection:
        done = await connection.execute(statement.values(revoked_at=func.clock_timestamp()))
    return bool(done.rowcount)
