"""Subscriptions: who listens to what, and what each is told. How it is sent is the transports' matter."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import structlog
from cachetools import LRUCache
from graphql import GraphQLError
from graphql.execution.values import VariableValues

from resolvers.callers import Caller
from resolvers.errors import Conflict, Forbidden, NotFound, RateLimited, Unavailable
from resolvers.reads.compilation import Selected
from resolvers.reads.plans import Plan
from resolvers.refusals import driver_errors_as_refusals
from resolvers.rules import exact_json
from server.events.feed import Feed, Listener
from server.http.documents import Prepared, RequestError
from server.http.operations import Operations, Request
from server.http.rates import Bill
from server.identity.callers import CHECK_SECONDS, Standing
from storage import feed
from storage.engine import Database
from storage.feed import Event

log = structlog.get_logger("lineal")

# Answers that listeners who asked the same share.
SHARED, LONGEST_SHARED = 2_000, 16_384

NOUNS = {"auditEvents": ("project", "projectId"), "deployment": ("deployment", "id")}

# How long a reader may take nothing of what is sent to it.
PATIENCE_SECONDS = 10.0


class TooSlow(Conflict):
    """A reader that does not read; it may resume."""


class RightEnded(Forbidden):
    """The listener's key or its right to see the project has ended."""


async def patiently(sending: Awaitable[None]) -> None:
    """Send something; TooSlow where the reader leaves no room for it."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await sending
    except TimeoutError:
        log.warning("a client that does not read was disconnected")
        raise TooSlow(
            "The client did not read the events in time and was disconnected. Subscribe again with `after`."
        ) from None


@dataclass(frozen=True)
class Message:
    """One answer, and the position in the feed after which to resume."""

    body: bytes
    position: int


@dataclass(frozen=True)
class Subscribed:
    """One subscription: what is asked for, of which project, and how its answers are made."""

    prepared: Prepared
    variables: VariableValues
    field: Selected
    project_id: str

    async def require(self, standing: Standing) -> Caller:
        """The listener as it is now; RightEnded where it may no longer see the project."""
        caller = await standing.now()
        if caller is None or not sees(caller, self.project_id):
            raise RightEnded("Your key or your access to this project has ended.", project=self.project_id)
        return caller

    async def watch(self, standing: Standing) -> None:
        """Raise RightEnded once the right has ended, also while a message waits for a reader that does not read."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            # While the database is away nothing new is answered.
            with suppress(Unavailable):
                await self.require(standing)

    def is_meant(self, event: Event) -> bool:
        asked = self.field.arguments.values
        if self.field.name == "deployment":
            return bool(event.subject_id == asked["id"])
        actions = asked.get("actions")
        return actions is None or event.action in actions

    def named(self, event: Event) -> str:
        """The id of what is answered."""
        return event.subject_id if self.field.name == "deployment" else event.id


class Subscriptions:
    def __init__(self, operations: Operations, database: Database, feed: Feed):
        self.operations, self.database, self.feed = operations, database, feed
        self._shared: LRUCache[Any, asyncio.Future[bytes | None]] = LRUCache(SHARED)

    async def begin(self, request: Request, caller: Caller) -> Subscribed:
        """What a request subscribes to; RequestError or a refusal where it may not."""
        bill = Bill(self.operations.buckets, caller.actor)
        prepared = await self.operations.prepare(request, bill)
        if not prepared.subscribes:
            error = GraphQLError(
                "Only a subscription returns a stream. Send queries and mutations with Accept: application/json.",
                extensions={"code": "BAD_USER_INPUT"},
            )
            raise RequestError([error])
        variables = self.operations.variables(prepared, request.variables)
        plan = prepared.operation.feed_plan(variables, caller)
        bill.take(max(1, plan.cost))
        (field,) = prepared.operation.compilation(variables).root()
        noun, argument = NOUNS[field.name]
        asked = field.arguments.values[argument]
        with driver_errors_as_refusals():
            project_id = await feed.project_of(self.database, noun, asked)
        if project_id is None or not sees(caller, project_id):
            raise NotFound(noun, asked, argument)
        return Subscribed(prepared, variables, field, project_id)

    async def messages(
        self, subscribed: Subscribed, standing: Standing, after: int | None = None
    ) -> AsyncGenerator[Message]:
        """What happens from now on, or after a position; a refusal ends it."""
        asked = subscribed.field.arguments.values.get("after")
        async with self.feed.listening(subscribed.project_id, after if asked is None else asked) as listener:
            while True:
                event = await self._next(listener)
                caller = await subscribed.require(standing)
                if event is not None and subscribed.is_meant(event):
                    body = await self._answer(subscribed, caller, event)
                    # Again: the answer may have had to wait.
                    await subscribed.require(standing)
                    if body is not None:
                        yield Message(body, event.position)

    async def _next(self, listener: Listener) -> Event | None:
        """The next event; None where none comes for some time."""
        self.feed.refill(listener)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await listener.queue.get()
        except TimeoutError:
            return None

    async def _answer(self, subscribed: Subscribed, caller: Caller, event: Event) -> bytes | None:
        """What is told of an event: made once for all who ask the same and see the same."""
        plan = subscribed.prepared.operation.feed_plan(subscribed.variables, caller)
        await self._afford(caller, plan.cost)
        arguments = plan.arguments(subscribed.variables, caller, {"ids": [subscribed.named(event)]})
        key = (plan.statement, repr(arguments), event.position)
        shared = self._shared.get(key)
        if shared is None:
            asking = self._ask(plan, arguments, subscribed.field.key, caller)
            shared = self._shared[key] = asyncio.ensure_future(asking)
        try:
            # Whoever leaves must not take the answer from the others.
            body = await asyncio.shield(shared)
        except Exception:
            self._shared.pop(key, None)  # who comes again is not told of an outage that is over
            raise
        if body is not None and len(body) > LONGEST_SHARED:
            self._shared.pop(key, None)  # those who wait have it; for others it would take memory
        return body

    async def _afford(self, caller: Caller, cost: int) -> None:
        """Take what an answer costs. Whoever has nothing left gets it later, as a slow reader does."""
        taken = False
        while not taken:
            try:
                self.operations.buckets.take(caller.actor, max(1, cost))
                taken = True
            except RateLimited as limited:
                await asyncio.sleep(min(limited.retry_after, CHECK_SECONDS))

    async def _ask(self, plan: Plan, arguments: list[Any], key: str, caller: Caller) -> bytes | None:
        admission = self.operations.admission
        async with admission.read(caller.actor, plan.cost) as seconds:
            with driver_errors_as_refusals():
                row = await self.database.fetchval(plan.statement, *arguments, within=seconds)
            answer = exact_json.loads(await plan.finish(row, admission.compute(caller.actor)))
        return exact_json.dumps({"data": {key: answer[key][0]}}) if answer[key] else None


def sees(caller: Caller, project_id: str) -> bool:
    return caller.visible is None or project_id in caller.visible
