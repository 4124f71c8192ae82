"""The benchmarks' own arithmetic, which no benchmark shows to be wrong."""

import time
from typing import Any

import pytest

from benchmarks.servers import FLOOR, LINEAL, Server
from benchmarks.writes import COMPARED, EVENTS_PER_VERSION, Client, Written, first_difference
from benchmarks.writes import _turn as turn


def history(versions: int, *, odd: int | None = None) -> list[tuple[Any, ...]]:
    """The rows of a model with so many versions, the last of which is still in production."""
    numbers = [[1, minor, 0] for minor in range(versions)]
    rows: list[tuple[Any, ...]] = [("version", {"stage": "ARCHIVED"}, None, number) for number in numbers]
    # The last one's successor has not archived it yet.
    rows[-1] = ("version", {"stage": "PRODUCTION"}, None, numbers[-1])
    events = EVENTS_PER_VERSION * (versions - 1) - 1
    return rows + [("event", "odd" if seq == odd else seq, None, [seq]) for seq in range(1, events + 1)]


@pytest.mark.parametrize("slow", range(1, 8))
def test_a_twin_that_a_slow_turn_left_behind_is_compared_as_far_as_it_got(slow: int) -> None:
    assert first_difference(history(slow), history(120)) is None
    assert first_difference(history(120), history(slow)) is None


def test_rows_that_differ_are_found() -> None:
    assert first_difference(history(9, odd=7), history(8)) == (("event", "odd", None, [7]), ("event", 7, None, [7]))


async def test_a_client_writes_whole_histories_however_slow_its_turn_is(monkeypatch: pytest.MonkeyPatch) -> None:
    cycles = []

    class Silent:
        transport = type("Transport", (), {"close": lambda self: None})()

    async def connect(port: int) -> Silent:
        return Silent()

    async def cycle(self: Client, written: Written) -> None:
        cycles.append(time.perf_counter())

    monkeypatch.setattr("benchmarks.writes.connect", connect)
    monkeypatch.setattr(Client, "cycle", cycle)
    teams = [[Client(Server(name, 0, 0), "model_x", {})] for name in (FLOOR, LINEAL)]
    for team in teams:
        await turn(team, 0.0, COMPARED)
    assert len(cycles) == COMPARED * len(teams)
