"""The caller of a request: the owner of its API key or token with current rights, or the reason why there is none."""

import time
from dataclasses import dataclass, field

from starlette.types import Message, Send

from resolvers.callers import Caller
from resolvers.errors import Refusal, Unavailable
from resolvers.refusals import driver_errors_as_refusals
from server.http.endpoint import HTTPRefusal, busy, defect, send_refusal
from server.identity.attempts import Attempts
from server.identity.issuer import KeysUnavailable
from server.identity.keyring import Keyring
from server.identity.oidc import Tokens
from server.identity.rejections import Reason, Rejected
from storage.secrets import PREFIX

EVERYBODY = Caller("open@localhost", None)
# How old the knowledge of a caller's rights may be when a response is sent. Older knowledge is refreshed, from a cache
# that may be TRUSTED_SECONDS old itself. Together they stay below the 5 seconds after which a lost right has its
# effect.
CHECK_SECONDS = 1.0
CHALLENGE = ((b"www-authenticate", b'Bearer realm="lineal"'),)
# It must not say that nothing was saved: the work may have been done.
AWAY = (
    "The database became unavailable before your access was rechecked. If this was a mutation, check whether it was"
    " applied."
)
ENDED = "Your key or role ended during this request. If it was a mutation, check whether it was applied."


@dataclass(slots=True)
class Standing:
    """A caller and its rights, which are refreshed when they are too old."""

    sender: "Sender"
    authorization: str
    caller: Caller
    looked_at: float = field(default_factory=time.monotonic)

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.looked_at > CHECK_SECONDS

    async def now(self) -> Caller | None:
        """The caller with current rights, or None if its key or token is no longer valid."""
        return await self.look_again() if self.is_old else self.caller

    async def look_again(self) -> Caller | None:
        began = time.monotonic()
        caller = await self.sender.recheck(self.authorization)
        if caller is not None:
            self.caller, self.looked_at = caller, began
        return caller

    async def require(self) -> Caller:
        """The caller with current rights. Raises HTTPRefusal if its key or token is no longer valid."""
        caller = await self.look_again() if self.is_old else self.caller
        if caller is None:
            raise HTTPRefusal(401, ENDED, "UNAUTHENTICATED", CHALLENGE, reason=Reason.KEY_UNKNOWN.name)
        return caller


@dataclass(slots=True)
class AsAllowed:
    """Sends a response. After long work, it is sent only if the caller still has the rights that it was produced
    with."""

    send: Send
    standing: Standing
    _is_refused: bool = False

    async def __call__(self, message: Message) -> None:
        # Refusals contain no data of any project, and must not wait for a database that is unavailable.
        is_answer = message["type"] == "http.response.start" and message["status"] < 400
        if is_answer and self.standing.is_old and (refusal := await self._refusal()):
            self._is_refused = True
            await send_refusal(self.send, refusal)
        if not self._is_refused:
            await self.send(message)

    async def _refusal(self) -> HTTPRefusal | None:
        before = self.standing.caller
        try:
            now = await self.standing.require()
        except HTTPRefusal as refusal:
            return refusal
        except Unavailable:
            return HTTPRefusal(503, AWAY, "UNAVAILABLE")
        return None if sees_all_of(now, before) else HTTPRefusal(403, ENDED, "FORBIDDEN")


def sees_all_of(now: Caller, before: Caller) -> bool:
    if now.visible is None or before.visible is None:
        return now.visible is None
    return set(before.visible).issubset(now.visible)


@dataclass
class Callers:
    keyring: Keyring
    tokens: Tokens | None = None
    # Whether every request is allowed, without a key.
    open: bool = False
    attempts: Attempts = field(default_factory=Attempts)

    def sender(self, address: str, request_id: str) -> "Sender":
        return Sender(self, address, request_id)

    async def caller(self, authorization: str) -> Caller:
        """The current owner of an Authorization header. Raises Rejected, or a driver's error."""
        if self.open:
            return EVERYBODY
        scheme, _, secret = authorization.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            bare = authorization.startswith(PREFIX)
            raise Rejected(Reason.BEARER_MISSING if bare else Reason.CREDENTIALS_MISSING)
        if self.tokens is None or secret.startswith(PREFIX):
            return await self.keyring.by_key(secret)
        return await self.keyring.by_email((await self.tokens.email(secret)).email)


@dataclass(slots=True)
class Sender:
    """The sender of one request or socket, at the other end of its connection."""

    callers: Callers
    address: str
    request_id: str

    async def identify(self, authorization: str) -> Caller:
        """The caller. Raises HTTPRefusal with 401, or with 503 if it cannot be determined now, and RateLimited after
        too many failures."""
        try:
            return await self._caller(authorization)
        except Rejected as rejected:
            if rejected.reason not in (Reason.CREDENTIALS_MISSING.name, Reason.BEARER_MISSING.name):
                self.callers.attempts.failed(self.address)
            raise unauthenticated(rejected) from None

    async def standing(self, authorization: str) -> Standing:
        """The caller with a way to refresh its rights. Refuses like `identify`."""
        return Standing(self, authorization, await self.identify(authorization))

    async def recheck(self, authorization: str) -> Caller | None:
        """The caller with current rights, or None if its key or token is no longer valid. Not counted as a failed
        attempt: the key was valid before."""
        try:
            return await self._caller(authorization)
        except Rejected:
            return None
        except HTTPRefusal as refusal:
            raise Unavailable(str(refusal)) from None

    async def _caller(self, authorization: str) -> Caller:
        try:
            with driver_errors_as_refusals():
                return (await self.callers.caller(authorization))._replace(request_id=self.request_id)
        except Rejected:
            raise
        except Refusal as refusal:
            raise busy(str(refusal), 1) from refusal
        except KeysUnavailable as away:
            raise busy(str(away), 5) from away
        except Exception as error:  # noqa: BLE001 - before the app, which masks its own
            raise defect(error, self.request_id) from None


def unauthenticated(rejected: Rejected) -> HTTPRefusal:
    return HTTPRefusal(401, str(rejected), "UNAUTHENTICATED", CHALLENGE, reason=rejected.reason)
