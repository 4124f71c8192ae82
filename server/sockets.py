"""GraphQL over WebSockets by the protocol graphql-transport-ws (github.com/enisdenjo/graphql-ws): subscriptions
alone. What is answered once is sent by POST, where it is counted, limited in time and may be repeated.

The caller is named by an Authorization header or, as browsers cannot send one, in the payload of connection_init:
{"authorization": "Bearer lnl_..."}. Close codes are the protocol's own; a reader that does not read is closed with
1013 (try again later), and may resume with `after`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from resolvers.errors import RateLimited, Unavailable
from resolvers.transaction import Caller
from server.admission import Admission
from server.http import Refused, requested
from server.operations import refused_answer, report
from server.subscriptions import Subscriptions, TooSlow, patiently

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 3.0
# Subscriptions on one connection.
MOST_OPERATIONS = 20
INVALID, UNAUTHORIZED, FORBIDDEN, NO_PROTOCOL, NO_INIT, TAKEN, AGAIN = 4400, 4401, 4403, 4406, 4408, 4409, 4429
TRY_AGAIN_LATER = 1013

# Who sends this Authorization, now; None where that is nobody.
Identify = Callable[[str], Awaitable[Caller | None]]


class Closed(Exception):
    """The connection is to be closed with a code and a reason."""

    def __init__(self, code: int, reason: str):
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True)
class Sockets:
    subscriptions: Subscriptions
    admission: Admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        identify: Identify = scope["state"]["identify"]
        assert (await receive())["type"] == "websocket.connect"
        if PROTOCOL not in scope.get("subprotocols", ()):
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": NO_PROTOCOL, "reason": f"Speak {PROTOCOL}."})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        header = scope["state"]["headers"].get(b"authorization", b"").decode("latin-1")
        known = scope["state"].get("known", lambda: None)
        await Conversation(self, identify, header, receive, send, known).hold()


@dataclass
class Conversation:
    """One connection: one caller, and the operations that are under way by the ids that the client gave them."""

    sockets: Sockets
    identify: Identify
    authorization: str
    receive: Receive
    send: Send
    # Tells the server that it must no longer close the connection to make room for another.
    known: Callable[[], None]
    caller: Caller | None = None
    under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    places: ExitStack = field(default_factory=ExitStack)
    _closing: asyncio.Future[Closed] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def hold(self) -> None:
        """Listen to the client until either side leaves."""
        listening = asyncio.create_task(self._listen())
        try:
            either: set[asyncio.Future[Any]] = {listening, self._closing}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if self._closing.done():
                closed = self._closing.result()
                # Who does not read does not let us say good-bye either.
                with suppress(TimeoutError):
                    async with asyncio.timeout(1):
                        await self.send({"type": "websocket.close", "code": closed.code, "reason": str(closed)})
        finally:
            self.places.close()
            tasks = [listening, *self.under_way.values()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def close(self, code: int, reason: str) -> None:
        if not self._closing.done():
            self._closing.set_result(Closed(code, reason))

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(INIT_SECONDS) as patience:
                while (message := await self._next()) is not None:
                    await self._take(message)
                    if self.caller is not None:
                        patience.reschedule(None)
        except TimeoutError:
            self.close(NO_INIT, "connection_init did not come in time.")
        except Closed as closed:
            self.close(closed.code, str(closed))
        except (RateLimited, Unavailable) as full:
            self.close(TRY_AGAIN_LATER, str(full))
        except Exception as error:  # noqa: BLE001 - nothing else masks what goes wrong here
            self.close(1011, report(error, self.caller.request_id if self.caller else ""))

    async def _next(self) -> Mapping[str, Any] | None:
        """The client's next message; None when it has left."""
        received = await self.receive()
        if received["type"] == "websocket.disconnect":
            return None
        try:
            message = orjson.loads(received.get("text") or received.get("bytes") or b"")
        except orjson.JSONDecodeError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closed(INVALID, "A message must be a JSON object with a type.")
        return message

    async def _take(self, message: Mapping[str, Any]) -> None:
        kind, id_ = message["type"], message.get("id")
        if kind == "connection_init":
            await self._init(message.get("payload"))
        elif kind == "ping":
            await self.tell({"type": "pong"})
        elif kind == "pong":
            pass
        elif self.caller is None:
            raise Closed(UNAUTHORIZED, "Unauthorized: connection_init comes first.")
        elif kind == "subscribe" and isinstance(id_, str) and id_ and isinstance(message.get("payload"), dict):
            self._subscribe(id_, message["payload"])
        elif kind == "complete" and isinstance(id_, str):
            if task := self.under_way.pop(id_, None):
                task.cancel()
        else:
            raise Closed(INVALID, f"There is no message {kind[:40]!r} of this form.")

    async def _init(self, payload: Any) -> None:
        if self.caller is not None:
            raise Closed(AGAIN, "Too many initialisation requests.")
        given = {name.lower(): value for name, value in payload.items()} if isinstance(payload, dict) else {}
        if isinstance(given.get("authorization"), str):
            self.authorization = given["authorization"]
        self.caller = await self.identify(self.authorization)
        if self.caller is None:
            raise Closed(FORBIDDEN, "Forbidden: the API key is missing, unknown, revoked or expired.")
        # Only now: a connection of which nobody is known takes nobody's place.
        self.places.enter_context(self.sockets.admission.streams.place(self.caller.actor))
        self.known()
        await self.tell({"type": "connection_ack"})

    def _subscribe(self, id_: str, payload: Mapping[str, Any]) -> None:
        if id_ in self.under_way:
            raise Closed(TAKEN, f"Subscriber for {id_[:40]} already exists.")
        if len(self.under_way) >= MOST_OPERATIONS:
            raise Closed(INVALID, f"At most {MOST_OPERATIONS} subscriptions may share a connection.")
        self.under_way[id_] = asyncio.create_task(self._run(id_, payload))

    async def _run(self, id_: str, payload: Mapping[str, Any]) -> None:
        assert self.caller is not None
        of = self.sockets.subscriptions
        try:
            subscribed = await of.begin(requested(payload), self.caller)
            async with aclosing(of.messages(subscribed, self.caller, self._recheck)) as messages:
                async for message in messages:
                    await self._pass_on(id_, message.body)
        except TooSlow as slow:
            self.close(TRY_AGAIN_LATER, str(slow))
        except Refused as refusal:
            await self._refuse(id_, refusal.body())
        except Exception as error:  # noqa: BLE001 - what is refused is told, and defects are masked
            await self._refuse(id_, refused_answer(error, self.caller).body)
        finally:
            self.under_way.pop(id_, None)

    async def _recheck(self) -> Caller | None:
        return await self.identify(self.authorization)

    async def tell(self, message: Mapping[str, Any]) -> None:
        await self.send({"type": "websocket.send", "text": orjson.dumps(message).decode()})

    async def _pass_on(self, id_: str, body: bytes) -> None:
        text = b'{"type":"next","id":%b,"payload":%b}' % (orjson.dumps(id_), body)
        await patiently(self.send({"type": "websocket.send", "text": text.decode()}))

    async def _refuse(self, id_: str, answer: bytes) -> None:
        await self.tell({"type": "error", "id": id_, "payload": orjson.loads(answer)["errors"]})
