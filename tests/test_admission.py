"""Who is taken on while somebody floods: the flood is refused, and the places of the others stay free."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resolvers.errors import RateLimited, Unavailable
from server.http.admission import Places, Turns
from server.http.operations import POINTS_PER_SECOND
from tests.conftest import Cluster, Registry, make_key, make_project
from tests.support.asgi import app_of, asked, call, locked_projects
from tests.support.slow import READ, SLOW


def test_one_principal_takes_its_own_share_and_no_more() -> None:
    places = Places("requests in progress", most=3, each=2, retry_after=1)
    places.take("flood")
    places.take("flood")
    with pytest.raises(RateLimited, match="flood has reached the limit of 2 requests in progress"):
        places.take("flood")
    places.take("innocent")
    with pytest.raises(Unavailable, match="This process has reached its limit of 3 requests in progress"):
        places.take("another")
    places.leave("flood")
    places.take("another")


def test_whoever_has_left_is_forgotten() -> None:
    places = Places("requests in progress", most=3, each=2, retry_after=1)
    with pytest.raises(ZeroDivisionError), places.place("someone"):
        raise ZeroDivisionError
    assert (places.taken, dict(places._by)) == (0, {})


async def test_turns_are_taken_in_order_and_each_principal_has_its_own() -> None:
    turns = Turns(2)
    began: list[str] = []
    ends = {name: asyncio.Event() for name in ("a1", "a2", "a3", "a4", "b1")}

    async def work(name: str) -> None:
        async with turns.turn(name[0], 10):
            began.append(name)
            await ends[name].wait()

    tasks = {name: asyncio.create_task(work(name)) for name in ends}
    await asyncio.sleep(0)
    assert began == ["a1", "a2", "b1"]
    tasks["a3"].cancel()
    ends["a1"].set()
    await asyncio.sleep(0.01)
    assert began == ["a1", "a2", "b1", "a4"]
    for end in ends.values():
        end.set()
    await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert (turns.taken, turns.waiting) == ({}, {})


async def test_a_turn_that_does_not_come_in_time_is_refused() -> None:
    turns = Turns(1)
    async with turns.turn("a", 10) as left:
        assert left == 10
        with pytest.raises(Unavailable, match="Your other requests are using your whole share"):
            async with turns.turn("a", 0.05):
                pytest.fail("It was not its turn.")
    assert (turns.taken, turns.waiting) == ({}, {})


async def test_slow_statements_of_one_principal_leave_connections_to_others(
    database: Cluster, make_registry: Callable[..., Any]
) -> None:
    flood = await make_registry(database, pool_size=4)
    project = await make_project(flood)
    innocent = flood.with_key(await make_key(database.app_url, "light@example.com", project=project, role="VIEWER"))
    await innocent.ask("{ viewer { kind } }")
    async with locked_projects(database):
        waiting = [asyncio.create_task(call(flood, asked(SLOW))) for _ in range(20)]
        await asyncio.sleep(0.1)
        # With all connections waiting for the lock, this would wait as well.
        answer = await asyncio.wait_for(innocent.ask("{ viewer { kind } }"), 5)
        assert answer["viewer"]["kind"] == "USER"
    assert {reply.status for reply in await asyncio.gather(*waiting)} == {200}


async def test_the_time_of_slow_statements_is_taken_from_their_principals_bucket(
    database: Cluster, make_registry: Callable[..., Any]
) -> None:
    registry = await make_registry(database, rate_per_second=0.001, rate_burst=500_000)
    await registry.ask(SLOW)
    before = (await registry.send(READ)).json()["extensions"]["cost"]["left"]
    async with locked_projects(database):
        waiting = asyncio.create_task(registry.send(SLOW))
        await asyncio.sleep(0.4)
    assert (await waiting).status_code == 200
    after = (await registry.send(READ)).json()["extensions"]["cost"]["left"]
    assert before - after > 0.25 * POINTS_PER_SECOND


async def test_the_payload_of_a_mutation_is_charged_as_a_query_is_and_a_dear_one_waits_for_its_turn(
    database: Cluster, make_registry: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = await make_registry(database, rate_per_second=0.001, rate_burst=500_000)
    project = await make_project(registry)
    monkeypatch.setattr("server.http.operations.FREE_SECONDS", 0.0)
    bucket = app_of(registry).endpoint.operations.buckets
    spent: list[int] = []
    monkeypatch.setattr(bucket, "spend", lambda who, cost: spent.append(cost))
    page = "models(first: 100) { nodes { versions(first: 10) { nodes { id } } } }"
    mutation = f"""mutation {{ defineTag(input: {{projectId: "{project}", name: "t"}}) {{ project {{ {page} }} }} }}"""
    asked_for: list[int] = []
    admission = app_of(registry).admission
    heavily = admission._heavily

    def counted(*arguments: Any) -> Any:
        asked_for.append(1)
        return heavily(*arguments)

    monkeypatch.setattr(admission, "_heavily", counted)
    await registry.ask(mutation)
    assert len(spent) == 1
    assert spent[0] > 0
    assert asked_for == [1]


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
