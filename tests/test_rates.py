"""How much a principal may ask for."""

from collections.abc import Callable
from typing import Any

import pytest

from resolvers.errors import RateLimited
from server.http.rates import Buckets
from tests.conftest import Cluster, make_key

ALL = "{ projects(first: 50) { nodes { models(first: 100) { nodes { id } } } } }"


def test_a_bucket_empties_and_fills_again() -> None:
    clock = [0.0]
    buckets = Buckets(10, 100, lambda: clock[0])
    assert [buckets.take("ana", 60), buckets.take("bo", 1)] == [40, 99]
    with pytest.raises(RateLimited) as refusal:
        buckets.take("ana", 60)
    assert (refusal.value.retry_after, refusal.value.facts["left"]) == (2, 40)
    clock[0] = 2.0
    assert buckets.take("ana", 60) == 0
    clock[0] = 1_000.0
    assert buckets.take("ana", 0) == 100


def test_without_a_rate_nothing_is_limited() -> None:
    buckets = Buckets(0, 50)
    assert [buckets.take("ana", 10**9) for _ in range(3)] == [50, 50, 50]


async def test_who_has_spent_all_is_told_when_to_come_again(
    database: Cluster, make_registry: Callable[..., Any]
) -> None:
    registry = await make_registry(database, rate_per_second=1_000, rate_burst=25_000)
    first = await registry.send(ALL)
    cost = first.json()["extensions"]["cost"]
    assert cost == {"requested": 10_100, "left": 14_900}
    assert (await registry.send(ALL)).status_code == 200
    third = await registry.send(ALL)
    assert third.status_code == 429
    error = third.json()["errors"][0]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert int(third.headers["retry-after"]) == error["extensions"]["retryAfter"] == 6
    assert "The request costs 10100 points; you have 4" in error["message"]
    other = registry.with_key(await make_key(database.app_url, "other@example.com"))
    assert (await other.send(ALL)).status_code == 200
    write = 'mutation { createProject(input: {name: "Still cheap"}) { project { id } } }'
    assert (await registry.send(write)).json()["extensions"]["cost"]["requested"] == 2
