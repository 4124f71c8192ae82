"""Subscriptions as server-sent events: GraphQL over SSE in its distinct connections mode.

Each result is an event `next` whose id is the position in the feed. A browser that reconnects sends it as
Last-Event-ID, and the stream resumes after it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from resolvers.rules.cleaning import quoted
from server.events.subscriptions import Message, Subscribed, Subscriptions, TooSlow, patiently
from server.http.endpoint import JSON as MEDIA
from server.http.endpoint import GraphQLEndpoint, HTTPRefusal, busy, respond
from server.http.kinds import EVENTS
from server.http.operations import refused_answer
from server.identity.callers import Standing

# Often enough that no proxy considers the connection dead.
BEAT_SECONDS = 15.0
BEAT = b":\n\n"


@dataclass(frozen=True)
class Streams:
    """Serves a subscription that is sent like any operation, by POST or GET, with Accept: text/event-stream."""

    endpoint: GraphQLEndpoint
    subscriptions: Subscriptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        standing: Standing = scope["state"]["standing"]
        caller = standing.caller
        after = position_in(scope["state"]["headers"].get(b"last-event-id"))
        try:
            request = await self.endpoint.request(scope, receive)
            caller = await standing.require()
            with self.endpoint.admission.requests.place(caller.actor):
                async with asyncio.timeout(self.endpoint.timeout):
                    subscribed = await self.subscriptions.begin(request, caller)
        except HTTPRefusal:
            raise  # the gate turns it into a response
        except TimeoutError:
            raise busy(
                f"The request took longer than {self.endpoint.timeout:g} seconds and was cancelled.", 5
            ) from None
        except Exception as error:  # noqa: BLE001 - refusals are reported, and defects are masked
            answer = refused_answer(error, caller)
            more = [(b"retry-after", b"%d" % answer.retry_after)] if answer.retry_after else ()
            await respond(send, answer.status, answer.body, MEDIA, more)
            return
        with self.endpoint.admission.streams.place(caller.actor):
            await self._stream(subscribed, standing, after, receive, send)

    async def _stream(
        self, subscribed: Subscribed, standing: Standing, after: int | None, receive: Receive, send: Send
    ) -> None:
        headers = [
            (b"content-type", b"%b; charset=utf-8" % EVENTS),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would buffer the stream
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(subscribed, standing, after, send))
        watching = asyncio.create_task(subscribed.watch(standing))
        tasks = [sending, watching, asyncio.create_task(disconnected(receive))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in (watching, sending):
            error = None if task.cancelled() else task.exception()
            if isinstance(error, Exception):
                await self._end(error, standing, send)
                break

    async def _send(self, subscribed: Subscribed, standing: Standing, after: int | None, send: Send) -> None:
        async def write(body: bytes) -> None:
            await patiently(send({"type": "http.response.body", "body": body, "more_body": True}))

        await write(BEAT)
        async with aclosing(self.subscriptions.messages(subscribed, standing, after)) as messages:
            async for message in beating(messages, lambda: write(BEAT)):
                await write(b"id: %d\nevent: next\ndata: %b\n\n" % (message.position, message.body))

    async def _end(self, error: Exception, standing: Standing, send: Send) -> None:
        """Send the reason before the stream ends, unless the client does not read."""
        if isinstance(error, TooSlow):
            return
        body = b"event: next\ndata: %b\n\n" % refused_answer(error, standing.caller).body
        with suppress(TimeoutError):
            async with asyncio.timeout(1):
                await send({"type": "http.response.body", "body": body, "more_body": True})
                await send({"type": "http.response.body", "body": b"event: complete\ndata:\n\n"})


async def beating(
    messages: AsyncIterator[Message], beat: Callable[[], Awaitable[None]], seconds: float = BEAT_SECONDS
) -> AsyncIterator[Message]:
    """Yields the messages, and sends a beat whenever none comes for some time."""
    coming: asyncio.Future[Message] | None = None
    try:
        while True:
            # Not while the last message is still being sent: rights are checked when a message is created.
            coming = coming or asyncio.ensure_future(anext(messages))
            done, _ = await asyncio.wait({coming}, timeout=seconds)
            if not done:
                await beat()
                continue
            try:
                message = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield message
    finally:
        if coming:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def position_in(last: bytes | None) -> int | None:
    """The position to resume after. A browser that has received no event yet sends an empty header."""
    if not last:
        return None
    if not last.isdigit() or len(last) > 18:
        shown = quoted(last.decode("latin-1"))
        raise HTTPRefusal(400, f"Last-Event-ID is {shown}; it must be the id of an event, which is a whole number.")
    return int(last)
