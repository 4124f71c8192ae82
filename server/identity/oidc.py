"""Bearer tokens of an OpenID Connect issuer: verification, and the owner's email address."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
from cachetools import LRUCache

from resolvers.errors import BadUserInput
from resolvers.rules.limits import EMAIL
from server.identity.issuer import IssuerKeys
from server.identity.rejections import Reason, Rejected
from server.settings import Settings

MAX_LENGTH = 8_192
# The most by which the issuer's clock and ours may differ.
LEEWAY_SECONDS = 30.0
# How long a verified token is trusted before its signature and key are checked again.
REMEMBERED_SECONDS = 60.0
# Headers with which a token contains or references its own key, or requires extensions that we do not support.
REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})
# The largest whole number that is exact as a float; later times are not meaningful.
LATEST = 2**53


@dataclass(frozen=True)
class Verified:
    """The owner of a token, and in how many seconds it expires. 0 if it is valid only because of the leeway for
    clocks."""

    email: str
    expires_in: float


@dataclass(frozen=True)
class _Known:
    email: str
    expires: float
    until: float


class Tokens:
    """Finds the owners of tokens. Only the issuer's signature is trusted, not what a token says about its key."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic):
        self.settings, self.algorithms, self.clock = settings, settings.algorithms, clock
        self.keys = IssuerKeys(settings, clock)
        self._known: LRUCache[bytes, _Known] = LRUCache(10_000)

    async def email(self, token: str) -> Verified:
        """The owner. Raises Rejected for a token that is not trusted, and KeysUnavailable if that cannot be determined
        now."""
        if len(token) > MAX_LENGTH:
            raise Rejected(Reason.TOKEN_TOO_LONG)
        if not token.isascii():
            raise Rejected(Reason.TOKEN_MALFORMED)
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or known.until <= self.clock():
            known = self._known[digest] = await self._verify(token)
        return Verified(known.email, max(0.0, known.expires - self.clock()))

    async def _verify(self, token: str) -> _Known:
        claims = self._claims(token, await self._key(token))
        email = email_in(claims, self.settings)
        now, expires_in = self.clock(), min(int(claims["exp"]), LATEST) - time.time()
        return _Known(email, now + expires_in, now + min(expires_in, REMEMBERED_SECONDS))

    async def _key(self, token: str) -> jwt.PyJWK:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise Rejected(Reason.TOKEN_MALFORMED) from None
        algorithm = header.get("alg")
        if algorithm not in self.algorithms:
            raise Rejected(Reason.TOKEN_ALGORITHM)
        if REFUSED_HEADERS & header.keys():
            raise Rejected(Reason.TOKEN_HEADER_REFUSED)
        key = await self.keys.find(header.get("kid"), algorithm)
        if key is None:
            raise Rejected(Reason.TOKEN_KEY_UNKNOWN)
        return key

    def _claims(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=self.algorithms,
                issuer=self.settings.oidc_issuer,
                audience=self.settings.oidc_audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except jwt.PyJWTError as error:
            raise Rejected(cause_of(error)) from None


# The first match counts: some are subclasses of others.
CAUSES: Sequence[tuple[type[jwt.PyJWTError], Reason]] = (
    (jwt.InvalidSignatureError, Reason.TOKEN_SIGNATURE),
    (jwt.ExpiredSignatureError, Reason.TOKEN_EXPIRED),
    (jwt.ImmatureSignatureError, Reason.TOKEN_NOT_YET_VALID),
    (jwt.InvalidAudienceError, Reason.TOKEN_AUDIENCE),
    (jwt.InvalidIssuerError, Reason.TOKEN_ISSUER),
    (jwt.InvalidAlgorithmError, Reason.TOKEN_ALGORITHM),
)


def cause_of(error: jwt.PyJWTError) -> Reason:
    return next((reason for kind, reason in CAUSES if isinstance(error, kind)), Reason.TOKEN_CLAIMS)


def email_in(claims: Mapping[str, Any], settings: Settings) -> str:
    """The address as the history records it. Raises Rejected if it is missing, not verified by the issuer, or
    reserved."""
    claim = claims.get(settings.oidc_email_claim)
    if claim is None:
        raise Rejected(Reason.ADDRESS_MISSING)
    # Some non-ASCII letters become ASCII in lower case (the Kelvin sign becomes k): that could be another person's
    # address.
    if not isinstance(claim, str) or not claim.isascii():
        raise Rejected(Reason.ADDRESS_MALFORMED)
    try:
        email = EMAIL.clean("email", claim)
    except BadUserInput:
        raise Rejected(Reason.ADDRESS_MALFORMED) from None
    if not is_verified(claims, settings):
        raise Rejected(Reason.ADDRESS_NOT_VERIFIED)
    if is_reserved(email):
        raise Rejected(Reason.ADDRESS_RESERVED)
    return email


def is_verified(claims: Mapping[str, Any], settings: Settings) -> bool:
    """Whether the issuer verified the address. Some issuers write the claim as a string, and some omit it."""
    stated = claims.get("email_verified")
    if stated is None:
        return "email_verified" not in claims and settings.oidc_issuer in settings.email_trusted_issuers
    return stated is True or stated == "true"


def is_reserved(email: str) -> bool:
    """Whether an address is at localhost, like those that Lineal uses itself (admin@localhost)."""
    domain = email.rpartition("@")[2].rstrip(".")
    return domain == "localhost" or domain.endswith(".localhost")
