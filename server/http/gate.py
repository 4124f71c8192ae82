"""The gate before everything: addressed to us, from our own pages, not too many at once, and by whom."""

import secrets
from dataclasses import dataclass
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolvers.errors import Refusal
from resolvers.rules.access import ROUTES, Need
from server.http.admission import Admission
from server.http.endpoint import JSON, PIECE_BYTES, Headers, Refused, over_http, refuse, respond, send_in_pieces
from server.identity.callers import AsAllowed, Callers
from server.settings import Settings

API = "/graphql"
OPEN = [path for path, need in ROUTES.items() if need is Need.OPEN]
OPEN_PATHS = frozenset(path for path in OPEN if "{" not in path)
OPEN_PREFIXES = tuple(path.partition("{")[0] for path in OPEN if "{" in path)
# In bytes. What is longer is sent by POST, where its size is limited too.
LONGEST_QUERY_STRING = 65_536
# Asked by address, of a process that may be overloaded but must not be taken for dead.
PROBES = frozenset({"/healthz", "/readyz"})
# What a browser may send from a listed origin, and what its page may read.
PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, POST"),
    (b"access-control-allow-headers", b"authorization, content-type, idempotency-key"),
    (b"access-control-max-age", b"600"),
]
READABLE = (b"access-control-expose-headers", b"retry-after, x-request-id")
# A request's id: the process, and a number in it.
PROCESS, REQUESTS = f"{secrets.token_hex(5)}-", count(1)


@dataclass
class Gate:
    """Lets a request through with its caller, or answers it itself.

    The API is looked for before the app's router and middleware: it is what nearly everybody asks for.
    """

    api: ASGIApp
    app: ASGIApp
    sockets: ASGIApp
    settings: Settings
    callers: Callers
    admission: Admission

    def __post_init__(self) -> None:
        self.hosts, self.origins = self.settings.hosts, self.settings.origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self._websocket(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a connection through that is addressed to the API; before it is accepted, a close is a 403."""
        headers = dict(scope["headers"])
        request_id = f"{PROCESS}{next(REQUESTS):x}"
        try:
            if scope["path"] != API:
                raise Refused(404, "WebSockets are available at /graphql only.", "NOT_FOUND")
            self._check_address(scope, headers)
        except Refused:
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
                raise Refused(414, sentence)
            if scope["path"] not in PROBES:
                more += self._check_address(scope, headers)
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await respond(send_named, 200, b"", JSON, PREFLIGHT)
                return
            state = scope.setdefault("state", {})
            state |= {"headers": headers, "request_id": request_id}
            if not self._is_open(scope, headers):
                authorization = headers.get(b"authorization", b"").decode("latin-1")
                sender = self.callers.sender(address_of(scope), request_id)
                state["standing"] = standing = await sender.standing(authorization)
                state["caller"] = standing.caller
                answer = AsAllowed(send_named, standing)
            if scope["path"] == API:
                await self.api(scope, receive, answer)
            elif "caller" in state:
                with self.admission.requests.place(state["caller"].actor):
                    await self.app(scope, receive, answer)
            else:
                await self.app(scope, receive, answer)
        except Refused as refusal:
            await refuse(send_named, refusal)
        except Refusal as refusal:
            await refuse(send_named, over_http(refusal))

    def _check_address(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers:
        """Whether the request is addressed to us and comes from our own pages or from listed ones."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if len(headers) < len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise Refused(400, "The request has several Host headers. Send one.")
        if not host or (self.hosts and _name(host) not in self.hosts):
            sentence = (
                "The Host header names a host that is not allowed. The operator of the server can add it to"
                " LINEAL_ALLOWED_HOSTS."
            )
            raise Refused(400, sentence)
        origin = headers.get(b"origin")
        return () if origin is None else self._check_origin(origin, host)

    def _check_origin(self, origin: bytes, host: str) -> Headers:
        given = origin.decode("latin-1").lower()
        # Without the scheme: behind a proxy that ends TLS, ours is not the one that the browser sees.
        if given.partition("://")[2] == host:
            return ()
        if given not in self.origins:
            sentence = (
                "Pages of this origin cannot call the API. The operator of the server can add it to"
                " LINEAL_ALLOWED_ORIGINS."
            )
            raise Refused(403, sentence, "FORBIDDEN")
        return ((b"access-control-allow-origin", origin), (b"vary", b"origin"), READABLE)

    def _is_open(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return True
        return path == API and wants_page(scope["method"], headers, scope["query_string"])


def address_of(scope: Scope) -> str:
    """The connection's other end; empty for one that has no address, as over a Unix socket."""
    return scope["client"][0] if scope.get("client") else ""


def wants_page(method: str, headers: dict[bytes, bytes], query_string: bytes) -> bool:
    """A browser opening the API's address wants GraphiQL."""
    return method in ("GET", "HEAD") and b"text/html" in headers.get(b"accept", b"") and b"query=" not in query_string


def _name(host: str) -> str:
    """The host without its port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
