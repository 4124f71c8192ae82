"""The owner of a key or token and its rights, looked up in the database at most once in a few seconds."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from cachetools import LRUCache

from resolvers.callers import Caller
from resolvers.errors import Unavailable
from server.identity.rejections import Reason, Rejected
from storage import key_owners
from storage.engine import Database
from storage.key_owners import Owner
from storage.secrets import hash_of, is_well_formed
from storage.vocabulary import PrincipalKind

# How long a process trusts its knowledge of a key: a revoked one stops working within this time. Streams add the second
# after which they check again (CHECK_SECONDS). The documented limit is 5 seconds.
TRUSTED_SECONDS = 3.0
LOOKUP_SECONDS = 5.0
# The most concurrent look-ups of tokens' addresses that this process does not know. A flood of them leaves connections
# for the others.
STRANGERS = 3
# The most waiting for that: each occupies a connection that others may need.
STRANGERS_WAITING = 2_000
REMEMBERED = 10_000


@dataclass(frozen=True)
class _Known:
    caller: Caller | None
    until: float
    # The time of expiry, if the key has expired.
    expired_at: datetime | None = None

    @property
    def is_fresh(self) -> bool:
        return time.monotonic() < self.until


class _Memory:
    """Results by text. Each is looked up once for all who wait for it, and trusted for some seconds."""

    def __init__(self, at_once: int):
        self._strangers = asyncio.Semaphore(at_once)
        self._right: LRUCache[str, _Known] = LRUCache(REMEMBERED)
        # Separate, so that many invalid entries cannot displace the valid ones.
        self._wrong: LRUCache[str, _Known] = LRUCache(REMEMBERED)
        # Each with the time after which no caller joins it.
        self._coming: dict[str, tuple[asyncio.Task[_Known], float]] = {}

    def fresh(self, name: str) -> _Known | None:
        known = self._right.get(name) or self._wrong.get(name)
        return known if known and known.is_fresh else None

    async def ask(self, name: str, ask: Callable[[], Awaitable[_Known]]) -> _Known:
        asking, ends = self._coming.get(name, (None, 0.0))
        if asking is None or ends <= time.monotonic():
            if len(self._coming) >= STRANGERS_WAITING and name not in self._right:
                raise Unavailable("Too many unknown keys and tokens are being looked up. Try again in a second.")
            asking = asyncio.create_task(self._ask(name, ask))
            asking.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._coming[name] = asking, time.monotonic() + LOOKUP_SECONDS
        # A cancelled request does not cancel the look-up for the others. A look-up that hangs, for example while its
        # connection is returned to a frozen server, blocks no caller for longer than its time limit.
        async with asyncio.timeout(LOOKUP_SECONDS):
            return await asyncio.shield(asking)

    async def _ask(self, name: str, ask: Callable[[], Awaitable[_Known]]) -> _Known:
        try:
            async with asyncio.timeout(LOOKUP_SECONDS), nullcontext() if name in self._right else self._strangers:
                known = await ask()
        finally:
            if self._coming.get(name, (None,))[0] is asyncio.current_task():
                del self._coming[name]
        self._right.pop(name, None)
        self._wrong.pop(name, None)
        (self._wrong if known.caller is None else self._right)[name] = known
        return known


class Keyring:
    """Finds the owner of a key. Entries expire after some seconds, so that every process notices a change."""

    def __init__(self, database: Database):
        self.database = database
        # By address, and separate: a caller who sends an address as a key must not be identified as its owner.
        self._keys, self._people = _Memory(STRANGERS_WAITING), _Memory(STRANGERS)
        self._asked: dict[bytes, asyncio.Future[_Known]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._looks_until = 0.0

    async def by_key(self, secret: str) -> Caller:
        """The owner of a key. Raises Rejected for a malformed, unknown, revoked or expired one."""
        known = self._keys.fresh(secret)
        if known is None:
            if not is_well_formed(secret):
                raise Rejected(Reason.KEY_MALFORMED)
            known = await self._keys.ask(secret, lambda: self._find(hash_of(secret)))
        if known.caller is None:
            if known.expired_at is not None:
                raise Rejected(Reason.KEY_EXPIRED, at=f"{known.expired_at:%Y-%m-%dT%H:%M:%SZ}")
            raise Rejected(Reason.KEY_UNKNOWN)
        return known.caller

    async def by_email(self, email: str) -> Caller:
        """The owner of an issuer's token, by its email address. It has no role unless one was granted. Raises Rejected
        for the address of a service."""
        known = self._people.fresh(email) or await self._people.ask(email, lambda: self._find_person(email))
        assert known.caller is not None
        if known.caller.kind is PrincipalKind.SERVICE:
            raise Rejected(Reason.ADDRESS_OF_SERVICE)
        return known.caller

    async def _find_person(self, email: str) -> _Known:
        asked = time.monotonic()
        async with self.database.session(LOOKUP_SECONDS) as session:
            owner = await key_owners.owner_with_email(session, email)
        caller = Caller(email, ()) if owner is None else _caller(owner)
        return _Known(caller, asked + TRUSTED_SECONDS)

    async def _find(self, digest: bytes) -> _Known:
        """The owner of a key. Concurrent look-ups share one statement, so that a valid key does not wait behind a flood
        of invalid ones."""
        answer = self._asked.get(digest)
        if answer is None:
            answer = self._asked[digest] = asyncio.get_running_loop().create_future()
        # A look-up that hangs, for example while its connection is returned to a frozen server, must not block the
        # next.
        if self._looking is None or self._looking.done() or time.monotonic() > self._looks_until:
            self._looks_until = time.monotonic() + LOOKUP_SECONDS
            self._looking = asyncio.create_task(self._look_up())
        return await asyncio.shield(answer)

    async def _look_up(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, {}
            self._looks_until = time.monotonic() + LOOKUP_SECONDS
            try:
                known = await self._find_all(list(asked))
            except Exception as error:  # noqa: BLE001 - every waiting request gets the error
                for future in asked.values():
                    future.set_exception(error)
                    future.exception()  # the caller may have left in the meantime
            else:
                for digest, future in asked.items():
                    future.set_result(known[digest])

    async def _find_all(self, digests: Sequence[bytes]) -> dict[bytes, _Known]:
        began = time.monotonic()
        # On the primary, like writes: a replica may not know yet that a key was revoked.
        async with self.database.session(LOOKUP_SECONDS) as session:
            keys = await key_owners.valid_keys(session, digests)
            if used := [key.key_id for key in keys if key.is_use_news]:
                await key_owners.note_use(session, used)
                await session.commit()
            others = set(digests) - {bytes(key.secret_hash) for key in keys}
            expired = await key_owners.expiries(session, sorted(others)) if others else {}
        known = {digest: _Known(None, began + TRUSTED_SECONDS, expired.get(digest)) for digest in digests}
        for key in keys:
            trusted = TRUSTED_SECONDS if key.seconds_left is None else min(TRUSTED_SECONDS, key.seconds_left)
            known[bytes(key.secret_hash)] = _Known(_caller(key, key.project_id, key.may_attest), began + trusted)
        return known


def _caller(owner: Owner, only: str | None = None, may_attest: bool = False) -> Caller:
    return Caller(
        actor=owner.email,
        visible=_visible(owner, only),
        principal_id=owner.principal_id,
        kind=PrincipalKind(owner.kind),
        may_attest=may_attest,
        only=only,
    )


def _visible(owner: Owner, only: str | None) -> Sequence[str] | None:
    """An administrator of the instance sees all projects. A key that is bound to a project can access no other."""
    if owner.administers:
        return None if only is None else (only,)
    return tuple(project for project in owner.projects if only in (None, project))
