"""The feed of events in one process: delivers committed events, whichever process wrote them, to its listeners.

PostgreSQL notifies the process of new events (LISTEN), which it then reads from the audit log's feeds. Notifications
can fail to arrive, for example through a pooler that separates sessions, so the process also polls every second.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import structlog

from resolvers.errors import BadUserInput
from resolvers.refusals import DRIVER_ERRORS, driver_errors_as_refusals
from storage import feed
from storage.engine import Database
from storage.feed import Event
from storage.outages import DatabaseAway

log = structlog.get_logger("lineal")

LOOK_SECONDS = 1.0
# The pause between two attempts while the database is unavailable.
AWAY_SECONDS = 0.3
# The most events queued in this process for one listener.
QUEUE = 500


@dataclass(eq=False)
class Listener:
    """A subscriber to a project, from a position on. Events that do not fit into its queue stay in the database and are
    read again once there is room, so a slow reader costs no memory."""

    project_id: str
    position: int
    queue: asyncio.Queue[Event] = field(default_factory=lambda: asyncio.Queue(QUEUE))
    is_behind: bool = False

    def take(self, events: Sequence[Event]) -> None:
        fitting = events[: QUEUE - self.queue.qsize()]
        for event in fitting:
            self.queue.put_nowait(event)
            self.position = event.position
        self.is_behind = len(fitting) < len(events) or len(events) == feed.BATCH


class Feed:
    """Runs only while there are listeners, with one connection of its own."""

    def __init__(self, database: Database):
        self.database = database
        self._listeners: dict[str, set[Listener]] = defaultdict(set)
        self._news = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def listening(self, project_id: str, after: int | None) -> AsyncIterator[Listener]:
        """Listen to a project's events after a position, or from now on."""
        if after is None:
            with driver_errors_as_refusals():
                await self._give_places()
                after = await feed.head(self.database, project_id)
        else:
            await self._require_kept(project_id, after)
        listener = Listener(project_id, after)
        self._listeners[project_id].add(listener)
        self._news.set()
        if self._working is None:
            self._working = asyncio.create_task(self._work())
        try:
            yield listener
        finally:
            self._listeners[project_id].discard(listener)
            if not self._listeners[project_id]:
                del self._listeners[project_id]
            if not self._listeners and self._working:
                self._working.cancel()
                self._working = None

    async def _require_kept(self, project_id: str, after: int) -> None:
        """Refuse to resume if some of the following events have been deleted from the feed: they would be skipped
        silently."""
        with driver_errors_as_refusals():
            first = await feed.first(self.database, project_id)
        if after < first - 1:
            raise BadUserInput(
                "after",
                f"is {after}; the feed of {project_id} begins at position {first}. Read earlier events"
                f" with the query auditEvents, and resume after {first - 1}.",
                first=first,
            )

    async def _work(self) -> None:
        """Read and deliver new events, until cancelled."""
        listening = asyncio.create_task(self._listen())
        try:
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_SECONDS):
                        await self._news.wait()
                self._news.clear()
                try:
                    await self._hand_on()
                except DatabaseAway:
                    await asyncio.sleep(AWAY_SECONDS)
                except Exception:
                    log.exception("feed failed")
                    await asyncio.sleep(LOOK_SECONDS)
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)

    async def _listen(self) -> None:
        """Receive notifications on a connection of its own, which is reopened when it ends."""
        while True:
            with suppress(*DRIVER_ERRORS):
                await self.database.listen(feed.CHANNELS, self._news.set)
            await asyncio.sleep(AWAY_SECONDS)

    async def _give_places(self) -> None:
        async with self.database.transaction() as session:
            await feed.give_places(session)

    async def _hand_on(self) -> None:
        await self._give_places()
        for project_id in list(self._listeners):
            await self._hand_on_to(project_id)

    async def _hand_on_to(self, project_id: str) -> None:
        """Read a project's next events for all its listeners, once for those at the same position."""
        places: dict[int, list[Listener]] = defaultdict(list)
        for listener in self._listeners.get(project_id, ()):
            places[listener.position].append(listener)
        for position, listeners in places.items():
            events = await feed.read(self.database, project_id, position)
            for listener in listeners:
                listener.take(events)

    def refill(self, listener: Listener) -> None:
        """Give more events at once to a listener that took some from its queue and is behind."""
        if listener.is_behind and listener.queue.qsize() <= QUEUE // 2:
            listener.is_behind = False
            self._news.set()
