"""Wrong keys and tokens are limited for each network address, and right ones are not."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from resolvers.errors import RateLimited
from server.identity import attempts
from server.identity.attempts import Attempts, network_of
from storage.secrets import new_secret
from tests.conftest import Cluster, Registry

READ = "{ viewer { email } }"


def test_failures_are_limited_by_address_and_regained_with_time() -> None:
    clock = [0.0]
    counted = Attempts(lambda: clock[0])
    for _ in range(attempts.AT_ONCE):
        counted.failed("192.0.2.1")
    with pytest.raises(RateLimited, match="Your address sent too many invalid keys or tokens") as limited:
        counted.failed("192.0.2.1")
    assert limited.value.retry_after == 2
    counted.failed("192.0.2.2")
    clock[0] += 2
    counted.failed("192.0.2.1")
    with pytest.raises(RateLimited):
        counted.failed("192.0.2.1")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("", ""),
        ("a socket", "a socket"),
    ],
)
def test_an_attacker_holds_an_ipv4_address_or_a_network_of_ipv6(address: str, network: str) -> None:
    assert network_of(address) == network


async def test_wrong_keys_are_answered_429_and_the_right_one_behind_the_same_address_is_served(
    database: Cluster, make_registry: Callable[..., Any]
) -> None:
    registry: Registry = await make_registry(database)
    wrong = [
        registry.with_key(secret) for secret in ["lnl_wrong", *(new_secret() for _ in range(attempts.AT_ONCE + 20))]
    ]
    answers = await asyncio.gather(*(each.send(READ) for each in wrong))
    assert [answer.status_code for answer in answers].count(401) == attempts.AT_ONCE
    refused = next(answer for answer in answers if answer.status_code == 429)
    error = refused.json()["errors"][0]
    assert error["extensions"]["code"] == "RATE_LIMITED"
    assert int(refused.headers["retry-after"]) == error["extensions"]["retryAfter"] == 2
    assert (await registry.send(READ)).status_code == 200
    # No key at all is no attempt.
    assert (await registry.client.post("/graphql", json={"query": READ})).status_code == 401


async def test_the_gate_says_why_a_key_is_refused_and_does_not_repeat_it(
    database: Cluster, make_registry: Callable[..., Any]
) -> None:
    registry: Registry = await make_registry(database)
    secret = new_secret()
    for sent, reason in ((secret, "KEY_UNKNOWN"), (secret[:-1], "KEY_MALFORMED"), ("eyJhbGciOi", "KEY_MALFORMED")):
        answer = await registry.with_key(sent).send(READ)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["extensions"]) == (401, {"code": "UNAUTHENTICATED", "reason": reason})
        assert sent not in answer.text
