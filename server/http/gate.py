"""The gate in front of everything: checks the address, the origin, the number of requests and the caller."""

import secrets
from dataclasses import dataclass
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolvers.errors import Refusal
from server.http.admission import Admission
from server.http.endpoint import (
    JSON,
    PIECE_BYTES,
    Headers,
    HTTPRefusal,
    http_refusal,
    respond,
    send_in_pieces,
    send_refusal,
)
from server.http.kinds import API, Kind, kind_of
from server.identity.callers import AsAllowed, Callers
from server.settings import Settings

# In bytes. Longer requests are sent by POST, where their size is limited too.
LONGEST_QUERY_STRING = 65_536
# What a browser may send from a listed origin, and what its page may read of the response.
PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key"),
    (b"access-control-max-age", b"600"),
]
READABLE = (b"access-control-expose-headers", b"retry-after, x-request-id")
# A request's id consists of the process and a number in it.
PROCESS, REQUESTS = f"{secrets.token_hex(5)}-", count(1)


@dataclass
class Gate:
    """Lets a request through with its kind and its caller, or responds to it itself.

    Operations and streams bypass the app's router and middleware: nearly all requests are of these kinds.
    """

    endpoint: ASGIApp
    streams: ASGIApp
    explorer: ASGIApp
    app: ASGIApp
    sockets: ASGIApp
    settings: Settings
    callers: Callers
    admission: Admission

    def __post_init__(self) -> None:
        self.hosts, self.origins = self.settings.hosts, self.settings.origins
        self._handlers = {
            Kind.OPERATION: self.endpoint,
            Kind.STREAM: self.streams,
            Kind.EXPLORER: self.explorer,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection to the API through. Before it is accepted, a close is a 403."""
        headers = dict(scope["headers"])
        request_id = f"{PROCESS}{next(REQUESTS):x}"
        try:
            if scope["path"] != API:
                raise HTTPRefusal(404, "WebSockets are available at /graphql only.", "NOT_FOUND")
            self._check_address(scope, headers)
        except HTTPRefusal:
            await send({"type": "websocket.close", "code": 1008})
            return
        state = scope.setdefault("state", {})
        state |= {"headers": headers, "sender": self.callers.sender(address_of(scope), request_id)}
        await self.sockets(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = f"{PROCESS}{next(REQUESTS):x}"
        more = [(b"x-request-id", request_id.encode())]

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            elif len(message.get("body", b"")) > PIECE_BYTES:
                await send_in_pieces(send, message)
                return
            await send(message)

        answer: Send = send_named
        try:
            if len(scope["query_string"]) > LONGEST_QUERY_STRING:
                sentence = f"The query string is longer than {LONGEST_QUERY_STRING} bytes. Send the request with POST."
                raise HTTPRefusal(414, sentence)
            kind = kind_of(scope, headers)
            if kind is not Kind.PROBE:
                more += self._check_address(scope, headers)
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await respond(send_named, 200, b"", JSON, PREFLIGHT)
                return
            state = scope.setdefault("state", {})
            state |= {"headers": headers, "request_id": request_id}
            if not kind.is_open:
                authorization = headers.get(b"authorization", b"").decode("latin-1")
                sender = self.callers.sender(address_of(scope), request_id)
                state["standing"] = standing = await sender.standing(authorization)
                state["caller"] = standing.caller
                answer = AsAllowed(send_named, standing)
            if kind is Kind.RESOURCE:
                with self.admission.requests.place(state["caller"].actor):
                    await self.app(scope, receive, answer)
            else:
                await self._handlers.get(kind, self.app)(scope, receive, answer)
        except HTTPRefusal as refusal:
            await send_refusal(send_named, refusal)
        except Refusal as refusal:
            await send_refusal(send_named, http_refusal(refusal))

    def _check_address(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers:
        """Refuse a request for another host, or from a page of an origin that is neither ours nor listed."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if len(headers) < len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise HTTPRefusal(400, "The request has several Host headers. Send one.")
        if not host or (self.hosts and _name(host) not in self.hosts):
            sentence = (
                "The Host header names a host that is not allowed. The operator of the server can add it to"
                " LINEAL_ALLOWED_HOSTS."
            )
            raise HTTPRefusal(400, sentence)
        origin = headers.get(b"origin")
        return () if origin is None else self._check_origin(origin, host)

    def _check_origin(self, origin: bytes, host: str) -> Headers:
        page = origin.decode("latin-1").lower()
        # Without the scheme: behind a proxy that terminates TLS, ours is not the one that the browser sees.
        if page.partition("://")[2] == host:
            return ()
        if page not in self.origins:
            sentence = (
                "Pages of this origin cannot call the API. The operator of the server can add it to"
                " LINEAL_ALLOWED_ORIGINS."
            )
            raise HTTPRefusal(403, sentence, "FORBIDDEN")
        return ((b"access-control-allow-origin", origin), (b"vary", b"origin"), READABLE)


def address_of(scope: Scope) -> str:
    """The address of the connection's other end. Empty if it has none, as over a Unix socket."""
    return scope["client"][0] if scope.get("client") else ""


def _name(host: str) -> str:
    """The host without its port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
