"""What takes too long is given up in time, and nothing else is."""

import asyncio

import pytest

from server.http.deadlines import Deadlines


async def test_what_takes_too_long_is_given_up_and_the_task_goes_on() -> None:
    deadlines = Deadlines(0.1)
    began = asyncio.get_running_loop().time()
    for _ in range(2):
        with pytest.raises(TimeoutError):
            await deadlines.within(asyncio.sleep(10))
        await asyncio.sleep(0.01)  # no cancellation is left over
    assert 0.2 <= asyncio.get_running_loop().time() - began < 2
    assert await deadlines.within(asyncio.sleep(0, "done")) == "done"
    assert (deadlines._ends, deadlines._late) == ({}, set())


async def test_a_cancellation_from_elsewhere_stays_one() -> None:
    deadlines = Deadlines(0.1)
    task = asyncio.create_task(deadlines.within(asyncio.sleep(10)))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_each_has_its_own_time() -> None:
    deadlines = Deadlines(0.3)

    async def begin(after: float, lasts: float) -> str:
        await asyncio.sleep(after)
        try:
            return await deadlines.within(asyncio.sleep(lasts, "done"))
        except TimeoutError:
            return "late"

    begun = [begin(0, 5), begin(0.1, 0.2), begin(0.2, 5), begin(0, 0.1)]
    assert await asyncio.wait_for(asyncio.gather(*begun), 2) == ["late", "done", "late", "done"]
    await asyncio.sleep(0.05)
    assert not deadlines._sweeps


async def test_what_fails_by_itself_fails_so() -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Deadlines(1).within(fail())
