from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import CheckConstraint, DateTime, Index, LargeBinary, UniqueConstraint, text, update
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession
from sqlmodel import Field, col

from storage.base import Recorded, readable_id
from storage.rows import at_most_one, columns
from storage.visibility import ADMINISTERS, Viewer


class ApiKey(Recorded, table=True):
    """A principal's key. Only the SHA-256 of its secret is stored. A key with a project can access only that
    project."""

    __tablename__ = "api_keys"
    __table_args__ = (
        readable_id("key"),
        UniqueConstraint("secret_hash", name="secret_hash"),
        CheckConstraint("octet_length(secret_hash) = 32", name="secret_hash"),
        Index("api_keys_newest", "created_at", "id"),
        Index("api_keys_of_principal", "principal_id", "created_at", "id"),
    )

    id: str = Field(primary_key=True)
    name: str
    principal_id: str = Field(foreign_key="principals.id")
    project_id: str | None = Field(default=None, foreign_key="projects.id")
    may_attest: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    secret_hash: bytes = Field(sa_type=LargeBinary)
    expires_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    revoked_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))
    last_used_at: datetime | None = Field(default=None, sa_type=DateTime(timezone=True))


@dataclass(frozen=True)
class LockedKey:
    """A key with its owner. `now` is the database's clock, which decides `is_expired`."""

    id: str
    name: str
    principal_id: str
    project_id: str | None
    may_attest: bool
    expires_at: datetime | None
    revoked_at: datetime | None
    email: str
    now: datetime
    is_expired: bool


LOCK_KEY = f"""
SELECT {columns(LockedKey, "k", "email", "now", "is_expired")}, p.email, clock_timestamp() AS now,
    coalesce(k.expires_at <= clock_timestamp(), false) AS is_expired
FROM api_keys k JOIN principals p ON p.id = k.principal_id
WHERE k.id = :id AND ({ADMINISTERS} OR k.principal_id = CAST(:me AS text)
    AND (CAST(:only AS text) IS NULL OR k.project_id = CAST(:only AS text))) FOR NO KEY UPDATE OF k
"""


async def lock_key(session: AsyncSession, id_: str, viewer: Viewer) -> LockedKey | None:
    """A key that the caller may revoke or rotate. Administrators may do so with any key, others with their own. A
    caller whose key is bound to a project may do so only with keys that are bound to the same one."""
    return await at_most_one(session, LockedKey, LOCK_KEY, id=id_, **viewer.parameters)


@dataclass(frozen=True)
class ListedKey:
    """A key as `lineal keys list` shows it, with its owner. `project_id` is the only project that it can access."""

    id: str
    name: str
    email: str
    kind: str
    administers: bool
    project_id: str | None
    may_attest: bool
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None
    expired: bool


ALL_KEYS = text("""
SELECT k.id, k.name, p.email, p.kind, p.administers, k.project_id, k.may_attest, k.created_at, k.last_used_at,
    k.revoked_at, coalesce(k.expires_at <= clock_timestamp(), false) AS expired
FROM api_keys k JOIN principals p ON p.id = k.principal_id ORDER BY k.created_at, k.id
""")


async def all_keys(connection: AsyncConnection) -> list[ListedKey]:
    return [ListedKey(**row) for row in (await connection.execute(ALL_KEYS)).mappings()]


async def revoke(session: AsyncSession, id_: str, at: datetime) -> None:
    await session.execute(update(ApiKey).where(col(ApiKey.id) == id_).values(revoked_at=at))


async def expire(session: AsyncSession, id_: str, at: datetime) -> None:
    await session.execute(update(ApiKey).where(col(ApiKey.id) == id_).values(expires_at=at))
