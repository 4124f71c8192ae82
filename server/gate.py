"""The gate before everything: addressed to us, from our own pages, not too many at once, and by whom."""

import secrets
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import structlog
from starlette.types import ASGIApp, Receive, Scope, Send

from resolvers.errors import Refusal
from resolvers.refusals import refused
from resolvers.transaction import Caller
from server.http import JSON, Refused, respond
from server.keys import Keyring, Principal
from server.settings import Settings

log = structlog.get_logger("lineal")

OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/favicon.ico"})
OPEN_PREFIX = "/graphiql/"
EVERYBODY = Principal("open@localhost", None)


@dataclass
class Gate:
    """Lets a request through to the app with its caller, or answers it itself."""

    app: ASGIApp
    settings: Settings
    keyring: Keyring
    in_flight: int = field(default=0)

    def __post_init__(self) -> None:
        self.hosts, self.origins = self.settings.hosts, self.settings.origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        request_id = secrets.token_hex(8)
        state = scope.setdefault("state", {})
        state["headers"] = headers

        async def send_named(message: dict) -> None:  # type: ignore[type-arg]
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
            await send(message)

        self.in_flight += 1
        try:
            self._check_address(headers)
            if not self._is_open(scope, headers):
                principal = await self._principal(headers)
                state["caller"] = Caller(principal.email, principal.visible, request_id)
            await self.app(scope, receive, send_named)  # type: ignore[arg-type]
        except Refused as refusal:
            await respond(send_named, refusal.status, refusal.body(), JSON, refusal.headers)  # type: ignore[arg-type]
        finally:
            self.in_flight -= 1

    def _check_address(self, headers: dict[bytes, bytes]) -> None:
        if self.in_flight > self.settings.max_in_flight:
            sentence = "Too many requests are being worked on; try again in a second."
            raise Refused(503, sentence, "UNAVAILABLE", [(b"retry-after", b"1")])
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if self.hosts and _name(host) not in self.hosts:
            sentence = "The Host header names another site; list it in LINEAL_ALLOWED_HOSTS if it is this one."
            raise Refused(400, sentence)
        origin = headers.get(b"origin")
        if origin is not None:
            self._check_origin(origin.decode("latin-1").lower(), host)

    def _check_origin(self, origin: str, host: str) -> None:
        if urlsplit(origin).netloc != host and origin not in self.origins:
            sentence = "Pages of this origin may not call the API; list it in LINEAL_ALLOWED_ORIGINS if they may."
            raise Refused(403, sentence, "FORBIDDEN")

    def _is_open(self, scope: Scope, headers: dict[bytes, bytes]) -> bool:
        path = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIX):
            return True
        return path == "/graphql" and wants_page(scope["method"], headers, scope["query_string"])

    async def _principal(self, headers: dict[bytes, bytes]) -> Principal:
        if self.settings.open:
            return EVERYBODY
        scheme, _, secret = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not secret:
            raise unauthenticated("An API key is needed: send it as the header Authorization: Bearer lnl_...")
        principal = await self._known(secret.strip())
        if principal is None:
            raise unauthenticated("The API key is unknown, revoked or expired; ask an administrator for another.")
        return principal

    async def _known(self, secret: str) -> Principal | None:
        try:
            with refused():
                return await self.keyring.principal(secret)
        except Refusal as refusal:
            raise Refused(503, str(refusal), refusal.code, [(b"retry-after", b"1")]) from refusal


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
