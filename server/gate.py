"""The gate before everything: addressed to us, from our own pages, not too many at once, and by whom."""

import secrets
from dataclasses import dataclass
from functools import partial
from itertools import count

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from resolvers.errors import Refusal, Unavailable
from resolvers.refusals import refused
from resolvers.rules.access import ROUTES, Need
from resolvers.transaction import Caller
from server.admission import Admission
from server.http import (
    JSON,
    PIECE_BYTES,
    Headers,
    Refused,
    busy,
    defect,
    over_http,
    refuse,
    respond,
    send_in_pieces,
)
from server.issuer import KeysUnavailable
from server.keyring import Keyring, Principal
from server.oidc import Tokens
from server.settings import Settings
from storage.secrets import PREFIX

API = "/graphql"
OPEN = [path for path, need in ROUTES.items() if need is Need.OPEN]
OPEN_PATHS = frozenset(path for path in OPEN if "{" not in path)
OPEN_PREFIXES = tuple(path.partition("{")[0] for path in OPEN if "{" in path)
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
EVERYBODY = Principal("open@localhost", None)


@dataclass
class Gate:
    """Lets a request through with its caller, or answers it itself.

    The API is looked for before the app's router and middleware: it is what nearly everybody asks for.
    """

    api: ASGIApp
    app: ASGIApp
    sockets: ASGIApp
    settings: Settings
    keyring: Keyring
    admission: Admission
    tokens: Tokens | None = None

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
                raise Refused(404, "There are WebSockets at /graphql alone.", "NOT_FOUND")
            self._check_address(scope, headers)
        except Refused:
            await send({"type": "websocket.close", "code": 1008})
            return
        state = scope.setdefault("state", {})
        state |= {"headers": headers, "identify": partial(self._identify, request_id)}
        await self.sockets(scope, receive, send)

    async def _identify(self, request_id: str, authorization: str) -> Caller | None:
        return await self._recheck({b"authorization": authorization.encode("latin-1", "replace")}, request_id)

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

        try:
            if scope["path"] not in PROBES:
                more += self._check_address(scope, headers)
            if scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await respond(send_named, 200, b"", JSON, PREFLIGHT)
                return
            state = scope.setdefault("state", {})
            state["headers"] = headers
            if not self._is_open(scope, headers):
                principal = await self._principal(headers, request_id)
                state["caller"] = principal.caller(request_id)
                state["recheck"] = partial(self._recheck, headers, request_id)
            if scope["path"] == API:
                await self.api(scope, receive, send_named)
            elif "caller" in state:
                with self.admission.requests.place(state["caller"].actor):
                    await self.app(scope, receive, send_named)
            else:
                await self.app(scope, receive, send_named)
        except Refused as refusal:
            await refuse(send_named, refusal)
        except Refusal as refusal:
            await refuse(send_named, over_http(refusal))

    async def _recheck(self, headers: dict[bytes, bytes], request_id: str) -> Caller | None:
        """The caller as it is now; None where its key or token is no longer valid."""
        try:
            return (await self._principal(headers, request_id)).caller(request_id)
        except Refused as refusal:
            if refusal.status == 401:
                return None
            raise Unavailable(str(refusal)) from None

    def _check_address(self, scope: Scope, headers: dict[bytes, bytes]) -> Headers:
        """Whether the request is addressed to us and comes from our own pages or from listed ones."""
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if len(headers) < len(scope["headers"]) and sum(name == b"host" for name, _ in scope["headers"]) > 1:
            raise Refused(400, "The request has several Host headers; send one.")
        if not host or (self.hosts and _name(host) not in self.hosts):
            sentence = "The Host header names another site; list it in LINEAL_ALLOWED_HOSTS if it is this one."
            raise Refused(400, sentence)
        origin = headers.get(b"origin")
        return () if origin is None else self._check_origin(origin, host)

    def _check_origin(self, origin: bytes, host: str) -> Headers:
        given = origin.decode("latin-1").lower()
        # Without the scheme: behind a proxy that ends TLS, ours is not the one that the browser sees.
        if given.partition("://")[2] == host:
            return ()
        if given not in self.origins:
            sentence = "Pages of this origin may not call the API; list it in LINEAL_ALLOWED_ORIGINS if they may."
            raise Refused(403, sentence, "FORBIDDEN")
        return ((b"access-control-allow-origin", origin), (b"vary", b"origin"), READABLE)

    def _is_open(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return True
        return path == API and wants_page(scope["method"], headers, scope["query_string"])

    async def _principal(self, headers: dict[bytes, bytes], request_id: str) -> Principal:
        if self.settings.open:
            return EVERYBODY
        scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise unauthenticated("An API key is needed: send it as the header Authorization: Bearer lnl_...")
        is_token = self.tokens is not None and not secret.startswith(PREFIX)
        principal = await self._known(secret.strip(), request_id, is_token)
        if principal is None:
            what = (
                "token is not one of the issuer's, or is over" if is_token else "API key is unknown, revoked or expired"
            )
            raise unauthenticated(f"The {what}; ask an administrator for another.")
        return principal

    async def _with_token(self, token: str) -> Principal | None:
        assert self.tokens
        verified = await self.tokens.email(token)
        return await self.keyring.with_email(verified.email) if verified else None

    async def _known(self, secret: str, request_id: str, is_token: bool) -> Principal | None:
        try:
            with refused():
                return await (self._with_token(secret) if is_token else self.keyring.principal(secret))
        except Refusal as refusal:
            raise busy(str(refusal), 1) from refusal
        except KeysUnavailable as away:
            raise busy(str(away), 5) from away
        except Exception as error:  # noqa: BLE001 - before the app, which masks its own
            raise defect(error, request_id) from None


def unauthenticated(sentence: str) -> Refused:
    return Refused(401, sentence, "UNAUTHENTICATED", [(b"www-authenticate", b'Bearer realm="lineal"')])


def wants_page(method: str, headers: dict[bytes, bytes], query_string: bytes) -> bool:
    """A browser opening the API's address wants GraphiQL."""
    return method in ("GET", "HEAD") and b"text/html" in headers.get(b"accept", b"") and b"query=" not in query_string


def _name(host: str) -> str:
    """The host without its port; an IPv6 address without its brackets."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
