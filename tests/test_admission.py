"""Who is taken on while somebody floods: the flood is refused, and the places of the others stay free."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resolvers.errors import RateLimited, Unavailable
from server.admission import Places
from tests.conftest import Cluster, Registry, make_key, make_project
from tests.test_gate import READ, SLOW
from tests.test_http import app_of, asked, call, locked_projects


def test_one_principal_takes_its_own_share_and_no_more() -> None:
    places = Places("requests in progress", most=3, each=2, retry_after=1)
    places.take("flood")
    places.take("flood")
    with pytest.raises(RateLimited, match="flood already has 2 requests in progress, which is the limit"):
        places.take("flood")
    places.take("innocent")
    with pytest.raises(Unavailable, match="This process already has 3 requests in progress"):
        places.take("another")
    places.leave("flood")
    places.take("another")


def test_whoever_has_left_is_forgotten() -> None:
    places = Places("requests in progress", most=3, each=2, retry_after=1)
    with pytest.raises(ZeroDivisionError), places.place("someone"):
        raise ZeroDivisionError
    assert (places.taken, dict(places._by)) == (0, {})


@pytest.fixture(scope="module")
async def crowded(database: Cluster, make_registry: Callable[..., Any]) -> tuple[Registry, Registry]:
    """A flood and an innocent caller of a process where one principal has three places of ten."""
    flood = await make_registry(database, max_in_flight=10, max_in_flight_per_principal=3)
    project = await make_project(flood)
    innocent = flood.with_key(await make_key(database.app_url, "innocent@example.com", project=project, role="VIEWER"))
    return flood, innocent


async def test_a_principal_that_floods_gets_429_while_others_are_served(
    database: Cluster, crowded: tuple[Registry, Registry]
) -> None:
    flood, innocent = crowded
    await flood.ask(SLOW)
    async with locked_projects(database):
        working = [asyncio.create_task(call(flood, asked(SLOW))) for _ in range(3)]
        await asyncio.sleep(0.05)
        reply = await call(flood, asked(READ))
        assert (reply.status, reply.error()["code"], reply.headers["retry-after"]) == (429, "RATE_LIMITED", "1")
        assert (reply.error()["retryAfter"], reply.error()["limit"]) == (1, 3)
        # What needs no body has the same places.
        assert (await call(flood, method="GET", path="/routes/production")).status == 429
        assert (await call(innocent, asked(READ))).status == 200
    assert [reply.status for reply in await asyncio.gather(*working)] == [200, 200, 200]
    assert (await call(flood, asked(READ))).status == 200


async def test_a_body_on_its_way_takes_no_place_of_the_requests_in_progress(
    crowded: tuple[Registry, Registry],
) -> None:
    flood, innocent = crowded
    arriving = [asyncio.create_task(send_slowly(flood)) for _ in range(3)]
    await asyncio.sleep(0.05)
    assert (app_of(flood).admission.bodies.taken, app_of(flood).admission.requests.taken) == (3, 0)
    assert (await call(flood, asked(READ))).status == 429
    assert (await call(flood, method="GET", query_string=b"query={__typename}")).status == 200
    assert (await call(innocent, asked(READ))).status == 200
    for task in arriving:
        task.cancel()
    await asyncio.gather(*arriving, return_exceptions=True)
    assert app_of(flood).admission.bodies.taken == 0


async def send_slowly(registry: Registry) -> None:
    scope = {
        "type": "http", "method": "POST", "path": "/graphql", "query_string": b"", "root_path": "",
        "headers": [
            (b"host", b"localhost"), (b"content-type", b"application/json"),
            (b"authorization", f"Bearer {registry.key}".encode()),
        ],
    }  # fmt: skip

    async def receive() -> Any:
        await asyncio.sleep(60)

    async def send(message: Any) -> None:
        pytest.fail(f"It was answered: {message}")

    await app_of(registry)(scope, receive, send)
