"""API keys: `lnl_`, 32 random base62 characters and a checksum of 6. Only the SHA-256 is kept."""

import asyncio
import hashlib
import secrets
import string
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from cachetools import LRUCache
from sqlalchemy import text

from storage.engine import Database
from storage.ids import new_id

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "lnl_"
RANDOM = 32
CHECKSUM = 6
# How long a process trusts what it knows of a key: a revoked one stops within this time.
TRUSTED_SECONDS = 3.0
LOOKUP_SECONDS = 5.0


def new_secret() -> str:
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    return PREFIX + random + _checksum(random)


def _checksum(random: str) -> str:
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(CHECKSUM):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def is_well_formed(secret: str) -> bool:
    """Whether it can be a key at all; a mistyped one is refused without asking the database."""
    random = secret[len(PREFIX) : -CHECKSUM]
    whole = secret.startswith(PREFIX) and secret.isascii() and len(random) == RANDOM
    return whole and secret[-CHECKSUM:] == _checksum(random)


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


@dataclass(frozen=True)
class Principal:
    """The owner of a key, and the projects that the key reaches; None: all."""

    email: str
    visible: Sequence[str] | None


@dataclass(frozen=True)
class _Known:
    principal: Principal | None
    until: float


# The seconds left by the database's own clock: ours may differ.
FIND_KEY = text("""
SELECT email, project_id, extract(epoch FROM expires_at - clock_timestamp())::float8 AS seconds_left FROM api_keys
WHERE secret_hash = :hash AND revoked_at IS NULL AND coalesce(expires_at > clock_timestamp(), true)
""")


class Keyring:
    """Who a key belongs to, asked of the database at most once in a few seconds."""

    def __init__(self, database: Database):
        self.database = database
        self._known: LRUCache[str, _Known] = LRUCache(10_000)

    async def principal(self, secret: str) -> Principal | None:
        """The owner; None for an unknown, revoked or expired key."""
        known = self._known.get(secret)
        if known is None or known.until <= time.monotonic():
            if not is_well_formed(secret):
                return None
            known = self._known[secret] = await self._find(hash_of(secret))
        return known.principal

    async def _find(self, digest: bytes) -> _Known:
        asked = time.monotonic()
        # The way of writes, which leads to the primary: a replica may not know yet that a key was revoked.
        async with asyncio.timeout(LOOKUP_SECONDS), self.database.sessions() as session:
            row = (await session.execute(FIND_KEY, {"hash": digest})).one_or_none()
        if row is None:
            return _Known(None, asked + TRUSTED_SECONDS)
        trusted = TRUSTED_SECONDS if row.seconds_left is None else min(TRUSTED_SECONDS, row.seconds_left)
        visible = None if row.project_id is None else (row.project_id,)
        return _Known(Principal(row.email, visible), asked + trusted)


def new_key_row(name: str, email: str, secret: str, created_by: str) -> dict[str, object]:
    return {"id": new_id("key"), "name": name, "email": email, "secret_hash": hash_of(secret), "created_by": created_by}
