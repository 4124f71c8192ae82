"""The time limit of requests, enforced by one timer for all: a timer for each request would cost it several
microseconds."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
# How late a request may be cancelled, as a share of its time limit.
SLACK = 1 / 40


class Deadlines:
    def __init__(self, seconds: float):
        self.seconds = seconds
        # When each task is cancelled, the earliest first; and the tasks that were cancelled.
        self._ends: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._sweeps = False

    async def within(self, work: Awaitable[T]) -> T:
        """Do the work of the current task. Raises TimeoutError if it takes too long."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._ends[task] = loop.time() + self.seconds
        if not self._sweeps:
            self._sweeps = True
            loop.call_later(SLACK * self.seconds, self._sweep, loop)
        try:
            return await work
        except asyncio.CancelledError:
            if task in self._late and not task.uncancel():
                raise TimeoutError from None
            raise
        finally:
            del self._ends[task]
            self._late.discard(task)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        for task, end in self._ends.items():
            if end > now:
                break
            if task not in self._late:
                self._late.add(task)
                task.cancel()
        self._sweeps = bool(self._ends)
        if self._sweeps:
            loop.call_later(SLACK * self.seconds, self._sweep, loop)
