"""Subscriptions: what each listener subscribes to, and the messages that it gets. The transports send them."""

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

# Results shared by listeners with the same request.
SHARED, LONGEST_SHARED = 2_000, 16_384

NOUNS = {"auditEvents": ("project", "projectId"), "deployment": ("deployment", "id")}

# The longest time for which a client may not read what is sent to it.
PATIENCE_SECONDS = 10.0


class TooSlow(Conflict):
    """The client does not read; it may resume."""


class RightEnded(Forbidden):
    """The listener's key or its right to see the project has ended."""


async def patiently(sending: Awaitable[None]) -> None:
    """Send something. Raises TooSlow if the client does not read in time."""
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
    """One result, and the position in the feed after which to resume."""

    body: bytes
    position: int


@dataclass(frozen=True)
class Subscribed:
    """One subscription: the requested events, their project, and how its results are produced."""

    prepared: Prepared
    variables: VariableValues
    field: Selected
    project_id: str

    async def require(self, standing: Standing) -> Caller:
        """The listener with its current rights. Raises RightEnded if it may no longer see the project."""
        caller = await standing.now()
        if caller is None or not sees(caller, self.project_id):
            raise RightEnded("Your key or your access to this project has ended.", project=self.project_id)
        return caller

    async def watch(self, standing: Standing) -> None:
        """Raise RightEnded once the right has ended, even while a message waits for a client that does not read."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            # While the database is unavailable, nothing new is sent.
            with suppress(Unavailable):
                await self.require(standing)

    def is_meant(self, event: Event) -> bool:
        asked = self.field.arguments.values
        if self.field.name == "deployment":
            return bool(event.subject_id == asked["id"])
        actions = asked.get("actions")
        return actions is None or event.action in actions

    def named(self, event: Event) -> str:
        """The id of the object that the event is about."""
        return event.subject_id if self.field.name == "deployment" else event.id


class Subscriptions:
    def __init__(self, operations: Operations, database: Database, feed: Feed):
        self.operations, self.database, self.feed = operations, database, feed
        self._shared: LRUCache[Any, asyncio.Future[bytes | None]] = LRUCache(SHARED)

    async def begin(self, request: Request, caller: Caller) -> Subscribed:
        """The subscription of a request. Raises RequestError or a refusal if it is not allowed."""
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
        """The events from now on, or after a position. A refusal ends the stream."""
        asked = subscribed.field.arguments.values.get("after")
        async with self.feed.listening(subscribed.project_id, after if asked is None else asked) as listener:
            while True:
                event = await self._next(listener)
                caller = await subscribed.require(standing)
                if event is not None and subscribed.is_meant(event):
                    body = await self._answer(subscribed, caller, event)
                    # Again: producing the result may have had to wait.
                    await subscribed.require(standing)
                    if body is not None:
                        yield Message(body, event.position)

    async def _next(self, listener: Listener) -> Event | None:
        """The next event, or None if none comes for some time."""
        self.feed.refill(listener)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                return await listener.queue.get()
        except TimeoutError:
            return None

    async def _answer(self, subscribed: Subscribed, caller: Caller, event: Event) -> bytes | None:
        """The result for an event, produced once for all listeners with the same request and the same rights."""
        plan = subscribed.prepared.operation.feed_plan(subscribed.variables, caller)
        await self._afford(caller, plan.cost)
        arguments = plan.arguments(subscribed.variables, caller, {"ids": [subscribed.named(event)]})
        key = (plan.statement, repr(arguments), event.position)
        shared = self._shared.get(key)
        if shared is None:
            asking = self._ask(plan, arguments, subscribed.field.key, caller)
            shared = self._shared[key] = asyncio.ensure_future(asking)
        try:
            # A listener that leaves must not cancel the result for the others.
            body = await asyncio.shield(shared)
        except Exception:
            self._shared.pop(key, None)  # a retry must not repeat the error of an outage that has ended
            raise
        if body is not None and len(body) > LONGEST_SHARED:
            self._shared.pop(key, None)  # the waiting listeners have it; storing it for others would cost memory
        return body

    async def _afford(self, caller: Caller, cost: int) -> None:
        """Charge the cost of a result. A caller without points gets it later, like a slow reader."""
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
