"""Bearer tokens of an OpenID Connect issuer: whose a token is, if it can be trusted."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt
from cachetools import LRUCache

from resolvers.errors import BadUserInput
from resolvers.rules.limits import EMAIL
from server.issuer import IssuerKeys
from server.settings import Settings

MAX_LENGTH = 8_192
# How far the issuer's clock and ours may be apart.
LEEWAY_SECONDS = 30.0
# How long a verified token is trusted without looking at its signature and key again.
REMEMBERED_SECONDS = 60.0
# Headers by which a token brings or points to its own key, or asks for what we do not know.
REFUSED_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})
# The largest whole number that is exact as a float; years that nobody means.
LATEST = 2**53


@dataclass(frozen=True)
class Verified:
    """Whose a token is, and in how many seconds it expires; 0 if only the allowance for clocks still holds it."""

    email: str
    expires_in: float


@dataclass(frozen=True)
class _Known:
    email: str
    expires: float
    until: float


class Tokens:
    """Whose tokens are. Every promise is the issuer's signature's: nothing that a token says of its key is believed."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic):
        self.settings, self.algorithms, self.clock = settings, settings.algorithms, clock
        self.keys = IssuerKeys(settings, clock)
        self._known: LRUCache[bytes, _Known] = LRUCache(10_000)

    async def email(self, token: str) -> Verified | None:
        """The owner; None for a token that is not to be trusted; KeysUnavailable if that cannot be told now."""
        if len(token) > MAX_LENGTH or not token.isascii():
            return None
        digest = hashlib.sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is None or known.until <= self.clock():
            known = await self._verify(token)
            if known is None:
                return None
            self._known[digest] = known
        return Verified(known.email, max(0.0, known.expires - self.clock()))

    async def _verify(self, token: str) -> _Known | None:
        key = await self._key(token)
        claims = None if key is None else self._claims(token, key)
        email = None if claims is None else email_of(claims)
        if claims is None or email is None:
            return None
        now, expires_in = self.clock(), min(int(claims["exp"]), LATEST) - time.time()
        return _Known(email, now + expires_in, now + min(expires_in, REMEMBERED_SECONDS))

    async def _key(self, token: str) -> jwt.PyJWK | None:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            return None
        algorithm = header.get("alg")
        if algorithm not in self.algorithms or REFUSED_HEADERS & header.keys():
            return None
        return await self.keys.find(header.get("kid"), algorithm)

    def _claims(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any] | None:
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
        except jwt.PyJWTError:
            return None


def email_of(claims: Mapping[str, Any]) -> str | None:
    """The address as the history keeps it; None if there is none, or if the issuer says that it did not verify it."""
    given = claims.get("email")
    # Beyond ASCII some letters become plain ones in lower case (the Kelvin sign a k): that would be somebody else.
    if claims.get("email_verified", True) is not True or not isinstance(given, str) or not given.isascii():
        return None
    try:
        return EMAIL.clean("email", given)
    except BadUserInput:
        return None
