"""The owner of an API key and its rights, for the keyring, which looks them up at most every few seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


@dataclass(frozen=True)
class Owner:
    """A principal with the projects that it is a member of."""

    principal_id: str
    email: str
    kind: str
    administers: bool
    projects: Sequence[str]


@dataclass(frozen=True)
class OwnedKey(Owner):
    """A valid key with its owner. `seconds_left` is null for a key that does not expire. `is_use_news` is true if its
    last use was recorded more than a minute ago."""

    secret_hash: bytes
    key_id: str
    project_id: str | None
    may_attest: bool
    seconds_left: float | None
    is_use_news: bool


OWNER = """p.id AS principal_id, p.email, p.kind, p.administers,
    (SELECT coalesce(array_agg(m.project_id ORDER BY m.project_id), '{}') FROM members m WHERE m.principal_id = p.id)
    AS projects"""
# The seconds left by the database's clock, as ours may differ.
VALID_KEYS = text(f"""
SELECT {OWNER}, k.secret_hash, k.id AS key_id, k.project_id, k.may_attest,
    extract(epoch FROM k.expires_at - clock_timestamp())::float8 AS seconds_left,
    coalesce(k.last_used_at < clock_timestamp() - interval '1 minute', true) AS is_use_news
FROM api_keys k JOIN principals p ON p.id = k.principal_id
WHERE k.secret_hash = ANY (:hashes) AND k.revoked_at IS NULL AND coalesce(k.expires_at > clock_timestamp(), true)
""")
EXPIRED_KEYS = text("""
SELECT secret_hash, expires_at FROM api_keys
WHERE secret_hash = ANY (:hashes) AND revoked_at IS NULL AND expires_at <= clock_timestamp()
""")
PRINCIPAL = text(f"SELECT {OWNER} FROM principals p WHERE email = :email")
NOTE_USE = text("UPDATE api_keys SET last_used_at = clock_timestamp() WHERE id = ANY (:ids)")


async def valid_keys(session: AsyncSession, hashes: Sequence[bytes]) -> list[OwnedKey]:
    """The keys with these hashes that are neither revoked nor expired."""
    rows = await session.execute(VALID_KEYS, {"hashes": list(hashes)})
    return [OwnedKey(**row) for row in rows.mappings()]


async def expiries(session: AsyncSession, hashes: Sequence[bytes]) -> dict[bytes, datetime]:
    """The times of expiry of the expired keys with these hashes, without revoked ones."""
    rows = await session.execute(EXPIRED_KEYS, {"hashes": list(hashes)})
    return {bytes(row.secret_hash): row.expires_at for row in rows}


async def owner_with_email(session: AsyncSession, email: str) -> Owner | None:
    row = (await session.execute(PRINCIPAL, {"email": email})).mappings().one_or_none()
    return None if row is None else Owner(**row)


async def note_use(session: AsyncSession, key_ids: Sequence[str]) -> None:
    await session.execute(NOTE_USE, {"ids": list(key_ids)})
