"""GraphQL over WebSockets by the protocol graphql-transport-ws (github.com/enisdenjo/graphql-ws): only subscriptions.
Queries and mutations are sent by POST, where they are counted, limited in time and may be repeated.

The caller authenticates with an Authorization header or, as browsers cannot send one, in the payload of
connection_init: {"authorization": "Bearer lnl_..."}. It is identified again at every subscription and every second:
once its key or its right to a project has ended, the connection is closed with 4403. Close codes are those of the
protocol. The connection of a client that does not read is closed with 1013 (try again later), and the client may resume
with `after`.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from resolvers.callers import Caller
from resolvers.errors import RateLimited, Unavailable
from resolvers.rules import exact_json
from resolvers.rules.cleaning import quoted
from server.events.subscriptions import RightEnded, Subscribed, Subscriptions, TooSlow, patiently
from server.http.admission import Admission
from server.http.endpoint import LONGEST_NAME, HTTPRefusal, requested
from server.http.operations import refused_answer, report
from server.identity.callers import CHECK_SECONDS, Sender, Standing

PROTOCOL = "graphql-transport-ws"
INIT_SECONDS = 3.0
# The largest message before the caller is known: a token has up to 8 kB.
FIRST_BYTES = 16_384
# The most subscriptions on one connection.
MOST_OPERATIONS = 20
INVALID, UNAUTHORIZED, FORBIDDEN, NO_PROTOCOL, NO_INIT, TAKEN, AGAIN = 4400, 4401, 4403, 4406, 4408, 4409, 4429
TRY_AGAIN_LATER = 1013

# The longest reason that a close frame holds, in bytes.
LONGEST_REASON = 123


class Left(Exception):
    """The client left while something was sent to it."""


class Closed(Exception):
    """Closes the connection with a code and a reason, after a last message."""

    def __init__(self, code: int, reason: str, last: Mapping[str, Any] | None = None):
        super().__init__(reason)
        self.code, self.last = code, last

    @property
    def frame(self) -> dict[str, Any]:
        reason = str(self).encode()[:LONGEST_REASON].decode(errors="ignore")
        return {"type": "websocket.close", "code": self.code, "reason": reason}


NOBODY = Closed(FORBIDDEN, "Your API key or token was revoked or has expired.")


@dataclass(frozen=True)
class Sockets:
    subscriptions: Subscriptions
    admission: Admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sender: Sender = scope["state"]["sender"]
        assert (await receive())["type"] == "websocket.connect"
        if PROTOCOL not in scope.get("subprotocols", ()):
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": NO_PROTOCOL, "reason": f"Use the subprotocol {PROTOCOL}."})
            return
        await send({"type": "websocket.accept", "subprotocol": PROTOCOL})
        header = scope["state"]["headers"].get(b"authorization", b"").decode("latin-1")
        known = scope["state"].get("known", lambda: None)
        await Conversation(self, sender, header, receive, send, known).hold()


@dataclass
class Conversation:
    """One connection: its caller, and its running operations by the ids that the client chose."""

    sockets: Sockets
    sender: Sender
    authorization: str
    receive: Receive
    send: Send
    # Tells the server that the connection must no longer be closed to make room for another.
    known: Callable[[], None]
    standing: Standing | None = None
    under_way: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    subscribed: dict[str, Subscribed] = field(default_factory=dict)
    places: ExitStack = field(default_factory=ExitStack)
    _closing: asyncio.Future[Closed] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    async def hold(self) -> None:
        """Listen to the client until either side leaves."""
        tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch())]
        try:
            either: set[asyncio.Future[Any]] = {tasks[0], self._closing}
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.places.close()
            # First of all: a waiting message must not be sent once the right to it has ended.
            tasks += self.under_way.values()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._closing.done():
            await self._say_goodbye(self._closing.result())

    async def _say_goodbye(self, closed: Closed) -> None:
        # A client that does not read does not read a close frame either, and one that has left (an OSError too) needs
        # none.
        with suppress(OSError):
            async with asyncio.timeout(1):
                if closed.last:
                    await self.tell(closed.last)
                await self.send(closed.frame)

    def close(self, closed: Closed) -> None:
        if not self._closing.done():
            self._closing.set_result(closed)

    async def _watch(self) -> None:
        """Close the connection once its key or token is no longer valid, or the caller may no longer see what it
        subscribes to. This also works without subscriptions, and while a message waits for a client that does not
        read."""
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            # While the database is unavailable, nothing new is sent.
            with suppress(Unavailable):
                if self.standing and await self.standing.now() is None:
                    self.close(NOBODY)
                for id_, subscribed in list(self.subscribed.items()):
                    await self._watch_one(id_, subscribed)

    async def _watch_one(self, id_: str, subscribed: Subscribed) -> None:
        assert self.standing
        try:
            await subscribed.require(self.standing)
        except RightEnded as ended:
            self._end(id_, ended, self.standing.caller)

    def _end(self, id_: str, ended: RightEnded, caller: Caller) -> None:
        self.close(Closed(FORBIDDEN, str(ended), refusal_of(id_, refused_answer(ended, caller).body)))

    async def _listen(self) -> None:
        try:
            async with asyncio.timeout(INIT_SECONDS) as patience:
                while (message := await self._next()) is not None:
                    if message["type"] == "connection_init":
                        # The message came in time. Looking up its key has its own time limit.
                        patience.reschedule(None)
                    await self._take(message)
        except TimeoutError:
            self.close(Closed(NO_INIT, "connection_init was not received in time."))
        except Closed as closed:
            self.close(closed)
        except (RateLimited, Unavailable) as full:
            self.close(Closed(TRY_AGAIN_LATER, str(full)))
        except Exception as error:  # noqa: BLE001 - nothing else masks what goes wrong here
            self.close(Closed(1011, report(error, self.sender.request_id)))

    async def _next(self) -> Mapping[str, Any] | None:
        """The client's next message, or None if it has left."""
        received = await self.receive()
        if received["type"] == "websocket.disconnect":
            return None
        text = received.get("text") or received.get("bytes") or b""
        if self.standing is None and len(text) > FIRST_BYTES:
            raise Closed(INVALID, f"A message before connection_ack can have at most {FIRST_BYTES} bytes.")
        try:
            message = exact_json.loads(text)
        except ValueError:
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Closed(INVALID, "A message must be a JSON object with a type.")
        return message

    async def _take(self, message: Mapping[str, Any]) -> None:
        kind, id_ = message["type"], message.get("id")
        if isinstance(id_, str) and len(id_) > LONGEST_NAME:
            # The id is sent back with every event.
            raise Closed(INVALID, f"The id has {len(id_)} characters; at most {LONGEST_NAME} are allowed.")
        if kind == "connection_init":
            await self._init(message.get("payload"))
        elif kind == "ping":
            await self.tell({"type": "pong"})
        elif kind == "pong":
            pass
        elif self.standing is None:
            raise Closed(UNAUTHORIZED, "Unauthorized: connection_init comes first.")
        elif kind == "subscribe" and isinstance(id_, str) and id_ and isinstance(message.get("payload"), dict):
            self._subscribe(id_, message["payload"])
        elif kind == "complete" and isinstance(id_, str):
            self.subscribed.pop(id_, None)
            if task := self.under_way.pop(id_, None):
                task.cancel()
        else:
            raise Closed(INVALID, f"type is {quoted(kind[:40])}; the protocol has no such message in this form.")

    async def _init(self, payload: Any) -> None:
        if self.standing is not None:
            raise Closed(AGAIN, "Too many initialisation requests.")
        headers = {name.lower(): value for name, value in payload.items()} if isinstance(payload, dict) else {}
        authorization = headers.get("authorization", self.authorization)
        try:
            self.standing = await self.sender.standing(str(authorization))
        except HTTPRefusal as refusal:
            raise Closed(TRY_AGAIN_LATER if refusal.status == 503 else FORBIDDEN, str(refusal)) from None
        # Only now: a connection without a known caller must not use up a caller's places.
        self.places.enter_context(self.sockets.admission.sockets.place(self.standing.caller.actor))
        self.known()
        await self.tell({"type": "connection_ack"})

    def _subscribe(self, id_: str, payload: Mapping[str, Any]) -> None:
        if id_ in self.under_way:
            raise Closed(TAKEN, f"Subscriber for {id_[:40]} already exists.")
        if len(self.under_way) >= MOST_OPERATIONS:
            raise Closed(INVALID, f"At most {MOST_OPERATIONS} subscriptions can share a connection.")
        self.under_way[id_] = asyncio.create_task(self._run(id_, payload))

    async def _run(self, id_: str, payload: Mapping[str, Any]) -> None:
        assert self.standing is not None
        of, standing = self.sockets.subscriptions, self.standing
        try:
            caller = await standing.look_again()
            if caller is None:
                return self.close(NOBODY)
            with self.sockets.admission.requests.place(caller.actor):
                subscribed = self.subscribed[id_] = await of.begin(requested(payload), caller)
            with self.sockets.admission.streams.place(caller.actor):
                async with aclosing(of.messages(subscribed, standing)) as messages:
                    async for message in messages:
                        await self._pass_on(id_, message.body)
        except Left:
            pass
        except RightEnded as ended:
            self._end(id_, ended, standing.caller)
        except TooSlow as slow:
            self.close(Closed(TRY_AGAIN_LATER, str(slow)))
        except HTTPRefusal as refusal:
            await self.tell(refusal_of(id_, refusal.body()))
        except Exception as error:  # noqa: BLE001 - refusals are reported, and defects are masked
            await self.tell(refusal_of(id_, refused_answer(error, standing.caller).body))
        finally:
            # In the meantime the client may have completed this operation and reused its id.
            if self.under_way.get(id_) is asyncio.current_task():
                del self.under_way[id_]
                self.subscribed.pop(id_, None)

    async def tell(self, message: Mapping[str, Any]) -> None:
        # ASGI's send raises an OSError once the client has left; then there is nothing to do.
        with suppress(OSError):
            await self.send({"type": "websocket.send", "text": orjson.dumps(message).decode()})

    async def _pass_on(self, id_: str, body: bytes) -> None:
        text = b'{"type":"next","id":%b,"payload":%b}' % (orjson.dumps(id_), body)
        try:
            await patiently(self.send({"type": "websocket.send", "text": text.decode()}))
        except OSError:
            raise Left from None


def refusal_of(id_: str, answer: bytes) -> dict[str, Any]:
    return {"type": "error", "id": id_, "payload": orjson.loads(answer)["errors"]}
