"""Subscriptions as server-sent events: GraphQL over SSE in its distinct connections mode.

Each answer is an event `next` whose id is the position in the feed: a browser that reconnects sends it as
Last-Event-ID, and the stream goes on after it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from resolvers.transaction import Caller
from server.http import JSON as MEDIA
from server.http import GraphQLEndpoint, Refused, busy, respond
from server.operations import refused_answer
from server.subscriptions import Message, Recheck, Subscribed, Subscriptions, TooSlow, patiently

EVENTS = "text/event-stream"
# Often enough that no proxy takes the connection for dead.
BEAT_SECONDS = 15.0
BEAT = b":\n\n"


def wants_events(accept: bytes) -> bool:
    return EVENTS.encode() in accept


@dataclass(frozen=True)
class Streams:
    """Answers a subscription that is sent like any operation, by POST or GET, with Accept: text/event-stream."""

    endpoint: GraphQLEndpoint
    subscriptions: Subscriptions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller: Caller = scope["state"]["caller"]
        recheck: Recheck = scope["state"]["recheck"]
        after = position_in(scope["state"]["headers"].get(b"last-event-id"))
        try:
            request = await self.endpoint.request(scope, receive)
            with self.endpoint.admission.requests.place(caller.actor):
                async with asyncio.timeout(self.endpoint.timeout):
                    subscribed = await self.subscriptions.begin(request, caller)
        except Refused:
            raise  # the gate answers it
        except TimeoutError:
            raise busy(f"The request took longer than {self.endpoint.timeout:g} seconds and was given up.", 5) from None
        except Exception as error:  # noqa: BLE001 - what is refused is told, and defects are masked
            answer = refused_answer(error, caller)
            more = [(b"retry-after", b"%d" % answer.retry_after)] if answer.retry_after else ()
            await respond(send, answer.status, answer.body, MEDIA, more)
            return
        with self.endpoint.admission.streams.place(caller.actor):
            await self._stream(subscribed, caller, recheck, after, receive, send)

    async def _stream(
        self, subscribed: Subscribed, caller: Caller, recheck: Recheck, after: int | None, receive: Receive, send: Send
    ) -> None:
        headers = [
            (b"content-type", f"{EVENTS}; charset=utf-8".encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # nginx would keep what it should pass on
            (b"x-content-type-options", b"nosniff"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        sending = asyncio.create_task(self._send(subscribed, caller, recheck, after, send))
        leaving = asyncio.create_task(disconnected(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(
        self, subscribed: Subscribed, caller: Caller, recheck: Recheck, after: int | None, send: Send
    ) -> None:
        async def write(body: bytes, more: bool = True) -> None:
            await patiently(send({"type": "http.response.body", "body": body, "more_body": more}))

        await write(BEAT)
        try:
            async with aclosing(self.subscriptions.messages(subscribed, caller, recheck, after)) as messages:
                async for message in beating(messages, lambda: write(BEAT)):
                    await write(b"id: %d\nevent: next\ndata: %b\n\n" % (message.position, message.body))
        except TooSlow:
            return
        except Exception as error:  # noqa: BLE001 - the end of the stream says why
            await write(b"event: next\ndata: %b\n\n" % refused_answer(error, caller).body)
        await write(b"event: complete\ndata:\n\n", more=False)


async def beating(
    messages: AsyncIterator[Message], beat: Callable[[], Awaitable[None]], seconds: float = BEAT_SECONDS
) -> AsyncIterator[Message]:
    """The messages, and a beat whenever none comes for some time."""
    coming = asyncio.ensure_future(anext(messages))
    try:
        while True:
            done, _ = await asyncio.wait({coming}, timeout=seconds)
            if not done:
                await beat()
                continue
            try:
                message = coming.result()
            except StopAsyncIteration:
                return
            coming = asyncio.ensure_future(anext(messages))
            yield message
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def position_in(last: bytes | None) -> int | None:
    return int(last) if last and last.isdigit() and len(last) < 19 else None
