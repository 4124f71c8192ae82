"""The public keys of an OpenID Connect issuer: fetched on demand, kept while the issuer is unavailable."""

import asyncio
import math
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx
import orjson
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from jwt import PyJWK, PyJWTError

from resolvers.rules.cleaning import quoted
from server.settings import Settings, is_safe, is_this_machine

# How long a key set counts as current. A key that the issuer withdraws stops working within this time.
FRESH_SECONDS = 300.0
# How long it is used while the issuer cannot be reached.
STALE_SECONDS = 86_400.0
# The interval at which tokens with unknown keys, or failures, can trigger another fetch.
REFETCH_SECONDS = 30.0
# The same while there is no key set at all, so that a late issuer does not block all callers for long.
RETRY_SECONDS = 5.0
FETCH_SECONDS = 5.0
MAX_BYTES = 250_000

log = structlog.get_logger("lineal.issuer")


class KeysUnavailable(Exception):
    """No token can be verified now: the issuer's keys cannot be fetched, and none are cached."""


class Unusable(Exception):
    """The issuer published something that cannot be used."""


@dataclass(frozen=True)
class IssuerKey:
    """One key, prepared for each algorithm that it may be used with."""

    kid: str | None
    ready: Mapping[str, PyJWK]


@dataclass(frozen=True)
class KeySet:
    keys: Sequence[IssuerKey]

    def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The key with this id. For a token that names none, the only key, if there is just one."""
        if kid is None:
            named = self.keys if len(self.keys) == 1 else ()
        else:
            named = [key for key in self.keys if key.kid == kid]
        return next((key.ready[algorithm] for key in named if algorithm in key.ready), None)


class IssuerKeys:
    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic):
        self.settings, self.clock = settings, clock
        self._keys: KeySet | None = None
        self._fetched = self._tried = -math.inf
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None, algorithm: str) -> PyJWK | None:
        """The issuer's key with this id for this algorithm. Raises KeysUnavailable if there are no keys."""
        key = (await self._current(FRESH_SECONDS)).find(kid, algorithm)
        if key is None:
            # An unknown key may be new at the issuer.
            key = (await self._current(REFETCH_SECONDS)).find(kid, algorithm)
        return key

    async def _current(self, seconds: float) -> KeySet:
        """The key set, fetched again if it is older than this and there was no other fetch just before."""
        if self.clock() - self._fetched >= seconds and (self._fetching or self._may_ask()):
            await self._fetch()
        held = self._held()
        if held is None:
            raise KeysUnavailable("The keys of the token issuer cannot be fetched. Try again in a few seconds.")
        return held

    def _held(self) -> KeySet | None:
        return self._keys if self.clock() - self._fetched < STALE_SECONDS else None

    def _may_ask(self) -> bool:
        return self.clock() - self._tried >= (RETRY_SECONDS if self._held() is None else REFETCH_SECONDS)

    async def _fetch(self) -> None:
        """Wait for the running fetch, or start one. A caller who leaves does not cancel it for the others."""
        if self._fetching is None:
            self._tried = self.clock()
            self._fetching = asyncio.create_task(self._replace(self._tried))
        # The thread's limits apply to each network step. This one applies to all of them together, whenever a caller
        # joins.
        await asyncio.wait({self._fetching}, timeout=max(0.0, self._tried + FETCH_SECONDS - self.clock()))

    async def _replace(self, began: float) -> None:
        try:
            self._keys = await asyncio.to_thread(fetch, self.settings)
            self._fetched = began
        except Exception as error:  # noqa: BLE001 - whatever it was, the keys in hand serve on
            log.warning("the issuer's keys cannot be fetched", issuer=self.settings.oidc_issuer, reason=str(error))
        finally:
            self._fetching = None


def fetch(settings: Settings) -> KeySet:
    """The keys that the issuer publishes now. This blocks."""
    deadline = time.monotonic() + FETCH_SECONDS
    address = settings.oidc_jwks_url or _discover(settings.oidc_issuer, deadline)
    published = _read(address, deadline).get("keys")
    if not isinstance(published, list):
        raise Unusable(f"{address} returned no list of keys.")
    keys = [key for jwk in published if (key := _usable(jwk, settings.algorithms)).ready]
    if not keys:
        # Accepted: an issuer that withdraws its keys does so on purpose.
        log.warning(
            "the issuer publishes no key for the configured algorithms", address=address, algorithms=settings.algorithms
        )
    return KeySet(keys)


def _discover(issuer: str, deadline: float) -> str:
    """OpenID Connect Discovery 1.0, section 4."""
    address = f"{issuer.removesuffix('/')}/.well-known/openid-configuration"
    document = _read(address, deadline)
    if document.get("issuer") != issuer:
        raise Unusable(
            f"{address} names the issuer {quoted(document.get('issuer'))}; LINEAL_OIDC_ISSUER is {quoted(issuer)}."
        )
    keys_url = document.get("jwks_uri")
    weaker = isinstance(keys_url, str) and urlsplit(keys_url).scheme not in ("https", urlsplit(issuer).scheme)
    if not isinstance(keys_url, str) or weaker or not is_safe(keys_url):
        raise Unusable(f"{address} names the key address {quoted(keys_url)}; it must be an https address.")
    return keys_url


def _read(address: str, deadline: float) -> dict[str, Any]:
    body = bytearray()
    with _client(address, max(0.1, deadline - time.monotonic())) as client, client.stream("GET", address) as response:
        if response.status_code != 200:
            raise Unusable(f"{address} returned the status {response.status_code}; it must be 200.")
        # Raw bytes: a small response that decompresses into a large one is not decompressed.
        for chunk in response.iter_raw():
            body += chunk
            if len(body) > MAX_BYTES:
                raise Unusable(f"{address} returned more than {MAX_BYTES} bytes.")
            if time.monotonic() > deadline:
                raise TimeoutError(f"{address} took longer than {FETCH_SECONDS:g} seconds.")
    document = orjson.loads(body)
    if not isinstance(document, dict):
        raise Unusable(f"{address} did not return a JSON object.")
    return document


def _client(address: str, seconds: float) -> httpx.Client:
    """Follows no redirects, trusts the system's certificates, and uses the proxy of the environment if the issuer is
    not on this machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    proxy = None if is_this_machine(host) or proxy_bypass(host) else getproxies().get(parts.scheme)
    return httpx.Client(
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "lineal"},
        timeout=seconds,
        follow_redirects=False,
        trust_env=False,
        proxy=proxy,
        verify=ssl.create_default_context(),
    )


def _usable(jwk: object, algorithms: Sequence[str]) -> IssuerKey:
    """The key, prepared for each of our algorithms that it is meant for and that fits its type. None if it is not for
    signing."""
    if not isinstance(jwk, dict) or not _is_for_verifying(jwk):
        return IssuerKey(None, {})
    meant = [name for name in algorithms if (jwk.get("alg") or name) == name]
    ready = {name: key for name in meant if (key := _ready(jwk, name))}
    return IssuerKey(jwk.get("kid"), ready)


def _is_for_verifying(jwk: Mapping[str, Any]) -> bool:
    operations = jwk.get("key_ops") or ["verify"]
    is_named = isinstance(operations, list) and "verify" in operations
    # If the private part is published, anyone can sign with the key.
    return is_named and (jwk.get("use") or "sig") == "sig" and "d" not in jwk


def _ready(jwk: dict[str, Any], algorithm: str) -> PyJWK | None:
    try:
        key = PyJWK(jwk, algorithm)
        # Checks the curve too, which the line before does not.
        prepared = key.Algorithm.prepare_key(key.key)
    except (PyJWTError, UnsupportedAlgorithm, ValueError, TypeError):
        return None
    return None if key.Algorithm.check_key_length(prepared) else key
