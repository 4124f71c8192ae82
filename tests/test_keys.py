"""API keys: their form, how long they are trusted, and whom the server asks."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest
import pytest_asyncio

from resolvers.errors import Unavailable
from server.identity import keyring as keys
from server.identity.keyring import Keyring
from server.identity.rejections import Rejected
from server.ops.key_commands import all_keys, end_key
from storage.engine import Database
from storage.secrets import hash_of, is_well_formed, new_secret
from storage.vocabulary import PrincipalKind, Role
from tests.conftest import Cluster, Registry, connect, make_key

EMAIL = "keys@example.com"


@pytest_asyncio.fixture
async def keyring(database: Cluster) -> AsyncIterator[Keyring]:
    opened = Database(database.app_url)
    await opened.open()
    yield Keyring(opened)
    await opened.close()


async def key_for(database: Cluster, seconds: float) -> str:
    """A key that expires after some seconds."""
    secret = await make_key(database.app_url, EMAIL)
    # As the owner: the app's role may not without an event.
    connection = await connect(database.owner_url)
    await connection.execute(
        "UPDATE api_keys SET expires_at = clock_timestamp() + $2 WHERE secret_hash = $1",
        hash_of(secret),
        timedelta(seconds=seconds),
    )
    await connection.close()
    return secret


async def owner(keyring: Keyring, secret: str) -> tuple[str, Any]:
    """Whose a key is, and what it reaches."""
    caller = await keyring.by_key(secret)
    return (caller.actor, caller.visible)


async def why_not(keyring: Keyring, secret: str) -> str:
    """Why a key is not accepted."""
    with pytest.raises(Rejected) as rejected:
        await keyring.by_key(secret)
    return rejected.value.reason


ALL = (EMAIL, None)


async def revoke(database: Cluster, secret: str) -> None:
    connection = await connect(database.app_url)
    id_ = await connection.fetchval("SELECT id FROM api_keys WHERE secret_hash = $1", hash_of(secret))
    await connection.close()
    await end_key(database.app_url, id_)


# ---------------------------------------------------------------- their form


def test_a_new_key_is_well_formed_and_unlike_any_other() -> None:
    made = {new_secret() for _ in range(100)}
    assert len(made) == 100
    assert all(is_well_formed(secret) and len(secret) == 42 for secret in made)


def test_a_key_with_any_character_mistyped_is_not_well_formed() -> None:
    secret = new_secret()
    assert is_well_formed(secret)
    for place in range(len(secret)):
        for other in "x7":
            mistyped = secret[:place] + other + secret[place + 1 :]
            assert mistyped == secret or not is_well_formed(mistyped)


def test_a_key_with_two_characters_swapped_is_not_well_formed() -> None:
    secret = new_secret()
    for place in range(4, len(secret) - 1):
        swapped = secret[:place] + secret[place + 1] + secret[place] + secret[place + 2 :]
        assert swapped == secret or not is_well_formed(swapped)


@pytest.mark.parametrize(
    "secret", ["", "lnl_", "lnl_1", "x" * 42, "lnl_" + "é" * 38, "lnl_" + "0" * 100_000, "\0" * 42]
)
def test_what_is_no_key_is_not_well_formed(secret: str) -> None:
    assert not is_well_formed(secret)


# ---------------------------------------------------------------- how long they are trusted


async def test_a_key_that_is_not_well_formed_never_reaches_the_database(keyring: Keyring) -> None:
    secret = new_secret()
    keyring.database = None  # type: ignore[assignment]
    assert await why_not(keyring, secret[:-1] + ("0" if secret[-1] != "0" else "1")) == "KEY_MALFORMED"
    with pytest.raises(AttributeError):
        await keyring.by_key(secret)


async def test_a_key_is_looked_up_once_while_it_is_trusted(database: Cluster, keyring: Keyring) -> None:
    secret, unknown = await make_key(database.app_url, EMAIL), new_secret()
    assert await owner(keyring, secret) == ALL
    assert await why_not(keyring, unknown) == "KEY_UNKNOWN"
    keyring.database = None  # type: ignore[assignment]
    assert await owner(keyring, secret) == ALL
    assert await why_not(keyring, unknown) == "KEY_UNKNOWN"


async def test_a_key_bound_to_a_project_reaches_it_alone(database: Cluster, keyring: Keyring, project: str) -> None:
    assert await owner(keyring, await make_key(database.app_url, EMAIL, project=project)) == (EMAIL, (project,))


async def test_a_key_reaches_the_projects_of_its_owner(database: Cluster, keyring: Keyring, project: str) -> None:
    member = "member@example.com"
    bound = await make_key(database.app_url, member, project=project, role=Role.VIEWER)
    assert await owner(keyring, bound) == (member, (project,))
    assert await owner(keyring, await make_key(database.app_url, member, administers=False)) == (member, (project,))
    stranger = await make_key(database.app_url, "stranger@example.com", administers=False)
    assert await owner(keyring, stranger) == ("stranger@example.com", ())


async def test_keys_are_asked_of_the_primary(database: Cluster, keyring: Keyring) -> None:
    # Reads may go to a replica, which may not know yet that a key was revoked.
    secret = await make_key(database.app_url, EMAIL)
    del keyring.database._reads
    assert await owner(keyring, secret) == ALL


async def test_a_revoked_key_stops_when_it_is_no_longer_trusted(
    database: Cluster, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = await make_key(database.app_url, EMAIL)
    monkeypatch.setattr(keys, "TRUSTED_SECONDS", 0.2)
    assert await owner(keyring, secret) == ALL
    await revoke(database, secret)
    assert await owner(keyring, secret) == ALL
    await asyncio.sleep(0.25)
    assert await why_not(keyring, secret) == "KEY_UNKNOWN"


async def test_a_revoked_key_stops_within_five_seconds(database: Cluster, registry: Registry) -> None:
    registry = registry.with_key(await make_key(database.app_url, EMAIL))
    assert (await registry.send("{ __typename }")).status_code == 200
    await revoke(database, registry.key)
    began = time.monotonic()
    while (await registry.send("{ __typename }")).status_code == 200:
        assert time.monotonic() - began < 5
        await asyncio.sleep(0.1)


async def test_a_key_stops_at_its_expiry_even_while_it_is_trusted(database: Cluster, keyring: Keyring) -> None:
    secret = await key_for(database, 0.5)
    began = time.monotonic()
    assert await owner(keyring, secret) == ALL
    await asyncio.sleep(0.52)
    assert await why_not(keyring, secret) == "KEY_EXPIRED"
    assert time.monotonic() - began < keys.TRUSTED_SECONDS


class Counted:
    """A database whose sessions are counted: how many were opened, and how many were open at once."""

    def __init__(self, database: Database):
        self.database, self.opened, self.now, self.most = database, 0, 0, 0

    @asynccontextmanager
    async def session(self, within: float | None = None) -> AsyncIterator[Any]:
        self.opened, self.now = self.opened + 1, self.now + 1
        self.most = max(self.most, self.now)
        try:
            async with self.database.session(within) as session:
                yield session
        finally:
            self.now -= 1


@pytest.fixture
def counted(keyring: Keyring) -> Counted:
    keyring.database = Counted(keyring.database)  # type: ignore[assignment]
    return keyring.database  # type: ignore[return-value]


async def test_requests_that_need_the_same_key_share_one_look_up(
    database: Cluster, keyring: Keyring, counted: Counted
) -> None:
    secret = await make_key(database.app_url, EMAIL)
    assert await asyncio.gather(*(owner(keyring, secret) for _ in range(50))) == [ALL] * 50
    assert counted.opened == 1


async def test_a_request_that_is_given_up_does_not_end_the_look_up_for_the_others(
    database: Cluster, keyring: Keyring
) -> None:
    secret = await make_key(database.app_url, EMAIL)
    first, second = (asyncio.create_task(owner(keyring, secret)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == ALL


async def test_a_look_up_that_hangs_keeps_nobody_for_longer_than_its_time(
    database: Cluster, keyring: Keyring, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "LOOKUP_SECONDS", 0.2)
    secret, released = await make_key(database.app_url, EMAIL), asyncio.Event()
    session_of = counted.session

    @asynccontextmanager
    async def hanging(within: float | None = None) -> AsyncIterator[Any]:
        async with session_of(within) as session:
            try:
                yield session
            finally:
                # As when a connection is given back to a frozen server: no time limit ends it.
                while not released.is_set():
                    with suppress(asyncio.CancelledError):
                        await released.wait()

    monkeypatch.setattr(counted, "session", hanging)
    asked = (owner(keyring, secret) for _ in range(3))
    outcomes = await asyncio.wait_for(asyncio.gather(*asked, return_exceptions=True), 2)
    assert [type(outcome) for outcome in outcomes] == [TimeoutError] * 3
    monkeypatch.setattr(counted, "session", session_of)
    assert await owner(keyring, secret) == ALL
    released.set()


async def test_a_flood_of_wrong_keys_uses_few_connections_and_a_known_key_does_not_wait_for_it(
    database: Cluster, keyring: Keyring, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "TRUSTED_SECONDS", 0.0)
    secret = await make_key(database.app_url, EMAIL)
    assert await owner(keyring, secret) == ALL
    flood = [asyncio.create_task(why_not(keyring, new_secret())) for _ in range(300)]
    await asyncio.sleep(0)
    before = counted.opened
    assert await owner(keyring, secret) == ALL
    # Looked up again, before most of the flood.
    assert counted.opened - before < 100
    assert set(await asyncio.gather(*flood)) == {"KEY_UNKNOWN"}
    assert counted.most <= keys.STRANGERS + 1
    assert await owner(keyring, await make_key(database.app_url, EMAIL)) == ALL


async def test_only_so_many_unknown_keys_wait_to_be_looked_up(
    database: Cluster, keyring: Keyring, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "STRANGERS_WAITING", 10)
    secret = await make_key(database.app_url, EMAIL)
    assert await owner(keyring, secret) == ALL
    flood = [asyncio.create_task(why_not(keyring, new_secret())) for _ in range(30)]
    await asyncio.sleep(0)
    keyring._keys._right[secret] = keys._Known(None, 0)  # trusted no longer
    assert await owner(keyring, secret) == ALL
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert [type(answer) for answer in answers] == [str] * 10 + [Unavailable] * 20
    assert await why_not(keyring, new_secret()) == "KEY_UNKNOWN"


async def test_wrong_keys_do_not_push_right_ones_out_of_the_memory(
    database: Cluster, monkeypatch: pytest.MonkeyPatch, counted: Counted
) -> None:
    monkeypatch.setattr(keys, "REMEMBERED", 5)
    keyring = Keyring(counted)  # type: ignore[arg-type]
    secret = await make_key(database.app_url, EMAIL)
    assert await owner(keyring, secret) == ALL
    for _ in range(20):
        assert await why_not(keyring, new_secret()) == "KEY_UNKNOWN"
    before = counted.opened
    assert await owner(keyring, secret) == ALL
    assert counted.opened == before


async def test_the_address_of_a_service_is_nobody_for_an_issuers_token(database: Cluster, keyring: Keyring) -> None:
    await make_key(database.app_url, "pipeline@example.com", kind=PrincipalKind.SERVICE, administers=False)
    with pytest.raises(Rejected, match="belongs to a service; services use API keys") as rejected:
        await keyring.by_email("pipeline@example.com")
    assert rejected.value.reason == "ADDRESS_OF_SERVICE"


async def test_an_expired_key_is_refused_as_expired(database: Cluster, keyring: Keyring) -> None:
    assert await why_not(keyring, await key_for(database, -1)) == "KEY_EXPIRED"
    assert await owner(keyring, await key_for(database, 3600)) == ALL


async def test_secrets_are_not_kept(database: Cluster) -> None:
    secret = await make_key(database.app_url, EMAIL)
    assert not any(secret in str(row) or secret[4:36] in str(row) for row in await all_keys(database.app_url))
    connection = await connect(database.app_url)
    kept = await connection.fetchval("SELECT string_agg(k::text, ' ') FROM api_keys k")
    await connection.close()
    assert hash_of(secret).hex() in kept
    assert secret[4:36] not in kept
