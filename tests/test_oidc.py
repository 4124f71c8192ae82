"""Tokens of an OpenID Connect issuer: which are trusted, which are not, and how often the issuer is asked."""

import asyncio
import base64
import gzip
import hashlib
import hmac
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import Mock

import httpx
import jwt
import pytest
import pytest_asyncio
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from jwt.algorithms import get_default_algorithms
from pydantic import ValidationError

from server.identity import issuer, oidc
from server.identity.issuer import KeysUnavailable
from server.identity.oidc import Tokens, Verified
from server.identity.rejections import Reason, Rejected
from server.settings import ASYMMETRIC, Settings
from storage.vocabulary import PrincipalKind
from tests.conftest import Cluster, Registry, make_key, make_project

EMAIL = "ana@example.com"
AUDIENCE = "lineal"
ALGORITHMS = get_default_algorithms()
RSA = rsa.generate_private_key(65537, 2048)
STRANGER = rsa.generate_private_key(65537, 2048)
SMALL = rsa.generate_private_key(65537, 1024)  # noqa: S505 - to be refused
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
PRIVATE: dict[str, Any] = {
    **dict.fromkeys([name for name in ASYMMETRIC if name[0] in "RP"], RSA),
    **{name: ec.generate_private_key(curve) for name, curve in CURVES.items()},
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
Claims = dict[str, Any]


# ---------------------------------------------------------------- an issuer, a clock, tokens


@dataclass
class Site:
    """A site on this machine that answers what it is told to, and remembers what it was asked."""

    answers: dict[str, Any] = field(default_factory=dict)
    status: int = 200
    delay: float = 0.0
    asked: list[str] = field(default_factory=list)
    address: str = ""

    def reply(self, request: BaseHTTPRequestHandler) -> None:
        self.asked.append(request.path)
        time.sleep(self.delay)
        body = self.answers.get(request.path)
        location = body if isinstance(body, str) else None
        sent = body if isinstance(body, bytes) else json.dumps(body).encode()
        request.send_response(302 if location else 404 if body is None else self.status)
        request.send_header("Content-Length", str(len(sent)))
        if location:
            request.send_header("Location", location)
        request.end_headers()
        request.wfile.write(sent)

    def publish(self, *keys: dict[str, Any]) -> None:
        self.answers["/keys"] = {"keys": list(keys)}

    @property
    def fetches(self) -> int:
        return self.asked.count("/keys")


def serving(site: Site) -> Iterator[Site]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            # A client that gave up before the answer is what some tests are about.
            with suppress(ConnectionError):
                site.reply(self)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.address = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield site
        server.shutdown()
        thread.join(10)


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


def public(name: str, private: Any = None, **more: Any) -> dict[str, Any]:
    """The key of an algorithm as an issuer publishes it."""
    jwk = ALGORITHMS[name].to_jwk((private or PRIVATE[name]).public_key(), as_dict=True)
    return {**jwk, "kid": name, **more}


@pytest.fixture
def site() -> Iterator[Site]:
    for served in serving(Site()):
        served.answers["/.well-known/openid-configuration"] = {
            "issuer": served.address,
            "jwks_uri": f"{served.address}/keys",
        }
        served.publish(public("RS256"), public("ES256"))
        yield served


@pytest.fixture
def attacker() -> Iterator[Site]:
    for served in serving(Site()):
        served.publish(public("RS256", STRANGER), public("ES256"))
        yield served


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tokens(site: Site, clock: Clock) -> Tokens:
    return tokens_of(site, clock)


def tokens_of(site: Site, clock: Callable[[], float] = time.monotonic, **more: Any) -> Tokens:
    return Tokens(Settings(**{"oidc_issuer": site.address, "oidc_audience": AUDIENCE, **more}), clock)


def part(value: object) -> str:
    sent = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(sent).decode().rstrip("=")


def claims_of(site: Site, **more: Any) -> Claims:
    """Good claims, changed by what is given; None takes one away."""
    now = int(time.time())
    address = {"email": EMAIL, "email_verified": True}
    claims = {"iss": site.address, "aud": AUDIENCE, "sub": "7", "iat": now, "exp": now + 300, **address, **more}
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims: object, name: str = "RS256", *, private: Any = None, sign_as: str = "", **headers: Any) -> str:
    """A token written by hand, so that nothing keeps a bad one from being made."""
    header = {"alg": name, "typ": "JWT", "kid": name, **headers}
    text = f"{part({key: value for key, value in header.items() if value is not None})}.{part(claims)}"
    how = sign_as or name
    return f"{text}.{part(ALGORITHMS[how].sign(text.encode(), private or PRIVATE[how]))}"


def shared_secret(claims: Claims, secret: bytes, **headers: Any) -> str:
    text = f"{part({'alg': 'HS256', 'typ': 'JWT', **headers})}.{part(claims)}"
    return f"{text}.{part(hmac.digest(secret, text.encode(), 'sha256'))}"


async def why_not(tokens: Tokens, token: str) -> str | None:
    """Why a token is not accepted; None where it is."""
    try:
        await tokens.email(token)
    except Rejected as rejected:
        return rejected.reason
    return None


async def is_trusted(tokens: Tokens, token: str) -> bool:
    return await why_not(tokens, token) is None


async def assert_refused(tokens: Tokens, site: Site, token: str, reason: str | None = None) -> None:
    """Refused for what is bad in it: a good token is trusted before and after."""
    assert await is_trusted(tokens, signed(claims_of(site)))
    for _ in range(2):
        told = await why_not(tokens, token)
        assert told is not None and told == (reason or told)
    assert await is_trusted(tokens, signed(claims_of(site, jti="another")))


# ---------------------------------------------------------------- what is trusted


@pytest.mark.parametrize("name", ["RS256", "ES256"])
async def test_a_good_token_names_its_owner_and_when_it_expires(tokens: Tokens, site: Site, name: str) -> None:
    verified = await tokens.email(signed(claims_of(site), name))
    assert isinstance(verified, Verified)
    assert verified.email == EMAIL
    assert 295 < verified.expires_in <= 300


@pytest.mark.parametrize("name", ASYMMETRIC)
async def test_each_algorithm_that_may_be_listed_works(site: Site, name: str) -> None:
    site.publish(*(public(each) for each in ASYMMETRIC))
    assert await is_trusted(tokens_of(site, oidc_algorithms=f"ES256, {name}"), signed(claims_of(site), name))


async def test_keys_may_have_an_address_of_their_own(site: Site) -> None:
    direct = tokens_of(site, oidc_jwks_url=f"{site.address}/keys")
    assert await is_trusted(direct, signed(claims_of(site)))
    assert site.asked == ["/keys"]


async def test_an_issuer_may_end_in_a_slash(site: Site) -> None:
    name = f"{site.address}/tenant/"
    document = {"issuer": name, "jwks_uri": f"{site.address}/keys"}
    site.answers["/tenant/.well-known/openid-configuration"] = document
    tenant = tokens_of(site, oidc_issuer=name)
    assert await is_trusted(tenant, signed(claims_of(site, iss=name)))
    assert not await is_trusted(tenant, signed(claims_of(site, iss=name.rstrip("/"))))


async def test_a_token_may_be_meant_for_others_too(tokens: Tokens, site: Site) -> None:
    assert await is_trusted(tokens, signed(claims_of(site, aud=["others", AUDIENCE])))


async def test_clocks_may_be_half_a_minute_apart(tokens: Tokens, site: Site) -> None:
    now = time.time()
    assert await is_trusted(tokens, signed(claims_of(site, iat=now + 20, nbf=now + 20)))
    late = await tokens.email(signed(claims_of(site, exp=now - 20)))
    assert late.expires_in == 0


async def test_an_expiry_may_be_beyond_any_calendar(tokens: Tokens, site: Site) -> None:
    assert await is_trusted(tokens, signed(claims_of(site, exp=10**400)))


@pytest.mark.parametrize(
    ("given_as", "kept_as"),
    [
        ("Ana@Example.COM", EMAIL),
        ("ana@example.com", EMAIL),
        (" Ana.Maria+ml@Example.com ", "ana.maria+ml@example.com"),
    ],
)
async def test_an_address_is_kept_in_one_form(tokens: Tokens, site: Site, given_as: str, kept_as: str) -> None:
    verified = await tokens.email(signed(claims_of(site, email=given_as, email_verified=True)))
    assert verified.email == kept_as


async def test_a_token_that_names_no_key_is_tried_with_the_only_one(site: Site) -> None:
    token = signed(claims_of(site), kid=None)
    assert not await is_trusted(tokens_of(site), token)
    site.publish(
        public("RS256"),
        public("ES384"),
        {"kty": "oct", "k": "AAAA"},
        public("RS256", SMALL),
        public("RS256", use="enc"),
    )
    assert await is_trusted(tokens_of(site), token)


async def test_the_longest_token_is_taken_and_a_longer_one_not(tokens: Tokens, site: Site) -> None:
    def of_length(length: int) -> str:
        bare = len(signed(claims_of(site, padding="")))
        return signed(claims_of(site, padding="x" * ((length - bare) * 3 // 4)))

    longest = of_length(oidc.MAX_LENGTH)
    assert oidc.MAX_LENGTH - 4 < len(longest) <= oidc.MAX_LENGTH
    assert await is_trusted(tokens, longest)
    await assert_refused(tokens, site, of_length(oidc.MAX_LENGTH + 4))


# ---------------------------------------------------------------- what is refused

PUBLIC_PEM = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
NOW = int(time.time())
BAD_CLAIMS: dict[str, tuple[str, Claims]] = {
    "another audience": ("TOKEN_AUDIENCE", {"aud": "others"}),
    "an audience that ours begins": ("TOKEN_AUDIENCE", {"aud": f"{AUDIENCE}-2"}),
    "several audiences, ours not among them": ("TOKEN_AUDIENCE", {"aud": ["others", "more"]}),
    "no audience": ("TOKEN_CLAIMS", {"aud": None}),
    "an empty audience": ("TOKEN_CLAIMS", {"aud": ""}),
    "another issuer": ("TOKEN_ISSUER", {"iss": "https://issuer.example"}),
    "no issuer": ("TOKEN_CLAIMS", {"iss": None}),
    "an issuer among several": ("TOKEN_ISSUER", {"iss": ["x"]}),
    "expired": ("TOKEN_EXPIRED", {"exp": NOW - 60}),
    "no expiry": ("TOKEN_CLAIMS", {"exp": None}),
    "an expiry that is no number": ("TOKEN_CLAIMS", {"exp": "tomorrow"}),
    "an endless expiry": ("TOKEN_CLAIMS", {"exp": float("inf")}),
    "not yet valid": ("TOKEN_NOT_YET_VALID", {"nbf": NOW + 3600}),
    "issued in the future": ("TOKEN_NOT_YET_VALID", {"iat": NOW + 3600}),
    "an address that is not verified": ("ADDRESS_NOT_VERIFIED", {"email_verified": False}),
    "an address that is not verified, in a word": ("ADDRESS_NOT_VERIFIED", {"email_verified": "false"}),
    "an address of which nothing is said": ("ADDRESS_NOT_VERIFIED", {"email_verified": None}),
    "an address verified by a number": ("ADDRESS_NOT_VERIFIED", {"email_verified": 1}),
    "an address verified by another word": ("ADDRESS_NOT_VERIFIED", {"email_verified": "yes"}),
    "an address verified by a word in capitals": ("ADDRESS_NOT_VERIFIED", {"email_verified": "TRUE"}),
    "the first administrator's address": ("ADDRESS_RESERVED", {"email": "admin@localhost"}),
    "the address of an open server": ("ADDRESS_RESERVED", {"email": "Open@LOCALHOST"}),
    "an address at localhost with a dot": ("ADDRESS_RESERVED", {"email": "admin@localhost."}),
    "an address below localhost": ("ADDRESS_RESERVED", {"email": "admin@x.localhost"}),
    "no address": ("ADDRESS_MISSING", {"email": None}),
    "an empty address": ("ADDRESS_MALFORMED", {"email": ""}),
    "several addresses": ("ADDRESS_MALFORMED", {"email": [EMAIL]}),
    "a name instead of an address": ("ADDRESS_MALFORMED", {"email": "ana"}),
    "an address on two lines": ("ADDRESS_MALFORMED", {"email": f"{EMAIL}\nx"}),
    "an address with a hidden character": ("ADDRESS_MALFORMED", {"email": f"\u200b{EMAIL}"}),
    "an address beside another": ("ADDRESS_MALFORMED", {"email": f"x {EMAIL}"}),
    "an address that becomes another's": ("ADDRESS_MALFORMED", {"email": "an\u212a@example.com"}),
    "an address that becomes plain": ("ADDRESS_MALFORMED", {"email": "ana\u1fef@example.com"}),
    "an address too long to be kept": ("ADDRESS_MALFORMED", {"email": f"{'a' * 250}@example.com"}),
}


@pytest.mark.parametrize(("reason", "bad"), BAD_CLAIMS.values(), ids=BAD_CLAIMS.keys())
async def test_a_well_signed_token_with_bad_claims_is_refused_with_the_true_reason(
    tokens: Tokens, site: Site, reason: str, bad: Claims
) -> None:
    await assert_refused(tokens, site, signed(claims_of(site, **bad)), reason)


async def test_an_email_verified_of_null_is_refused_of_a_trusted_issuer_too(site: Site) -> None:
    trusting = tokens_of(site, oidc_email_trusted_issuers=site.address)
    assert await why_not(trusting, signed(claims_of(site) | {"email_verified": None})) == "ADDRESS_NOT_VERIFIED"


async def test_the_word_true_is_true(tokens: Tokens, site: Site) -> None:
    assert await is_trusted(tokens, signed(claims_of(site, email_verified="true")))


@pytest.mark.parametrize("stated", [False, "false", "yes", 0, [], {}])
async def test_an_issuer_that_leaves_email_verified_out_is_trusted_where_a_setting_names_it(
    site: Site, stated: Any
) -> None:
    for listed, trusted in (
        ("", False),
        ("https://issuer.example", False),
        (f"https://x.example, {site.address}", True),
    ):
        named = tokens_of(site, oidc_email_trusted_issuers=listed)
        assert await is_trusted(named, signed(claims_of(site, email_verified=None))) is trusted
        assert await why_not(named, signed(claims_of(site, email_verified=stated))) == "ADDRESS_NOT_VERIFIED"


async def test_a_setting_names_the_claim_that_holds_the_address(site: Site) -> None:
    entra = tokens_of(site, oidc_email_claim="preferred_username", oidc_email_trusted_issuers=site.address)
    claims = claims_of(site, email=None, email_verified=None, preferred_username="Bo@Example.com")
    assert (await entra.email(signed(claims))).email == "bo@example.com"
    assert await why_not(entra, signed(claims_of(site, email_verified=None))) == "ADDRESS_MISSING"
    assert await why_not(entra, signed(claims | {"preferred_username": "admin@localhost"})) == "ADDRESS_RESERVED"


def test_another_claim_than_email_needs_an_issuer_that_is_trusted_for_it() -> None:
    # email_verified is about email: it does not make a name that users choose themselves an address.
    told = refusal(oidc_email_claim="preferred_username")
    assert told == (
        "oidc_email_trusted_issuers must contain oidc-issuer if oidc-email-claim is not email,"
        " because email_verified is about email only"
    )


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "", None])
@pytest.mark.parametrize("signature", ["", part(b"x" * 256)])
async def test_an_unsigned_token_is_refused(tokens: Tokens, site: Site, spelling: str | None, signature: str) -> None:
    for kid in ({"kid": "RS256"}, {}):
        token = f"{part({'alg': spelling, 'typ': 'JWT', **kid})}.{part(claims_of(site))}.{signature}"
        await assert_refused(tokens, site, token)


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(tokens: Tokens, site: Site) -> None:
    published = json.dumps(site.answers["/keys"]).encode()
    jwk = json.dumps(public("RS256")).encode()
    for secret in (PUBLIC_PEM, PUBLIC_PEM.strip(), published, jwk, b"", PUBLIC_PEM[:64]):
        for kid in ({"kid": "RS256"}, {"kid": "ES256"}, {}):
            await assert_refused(tokens, site, shared_secret(claims_of(site), secret, **kid))


async def test_a_shared_secret_among_the_keys_is_never_used(site: Site) -> None:
    secret = b"s" * 32
    oct_key = {"kty": "oct", "kid": "shared", "k": part(secret)}
    site.publish(public("RS256"), oct_key, {**oct_key, "kid": "other", "alg": "RS256"})
    for kid in ("shared", "other"):
        await assert_refused(tokens_of(site), site, shared_secret(claims_of(site), secret, kid=kid))


async def test_a_token_that_points_to_keys_elsewhere_is_refused(tokens: Tokens, site: Site, attacker: Site) -> None:
    for name in ("jku", "x5u"):
        for private in (STRANGER, RSA):
            elsewhere = {name: f"{attacker.address}/keys"}
            await assert_refused(tokens, site, signed(claims_of(site), private=private, **elsewhere))
    assert attacker.asked == []


@pytest.mark.parametrize("private", [STRANGER, RSA], ids=["its own key", "the issuer's key"])
@pytest.mark.parametrize(
    "header",
    [
        {"jwk": public("RS256", STRANGER)},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"], "exp": 1},
        {"crit": ["b64"], "b64": True},
    ],
    ids=lambda header: next(iter(header)),
)
async def test_a_token_that_brings_its_key_or_demands_is_refused(
    tokens: Tokens, site: Site, private: Any, header: dict[str, Any]
) -> None:
    await assert_refused(tokens, site, signed(claims_of(site), private=private, **header))


async def test_a_thumbprint_in_the_header_is_no_harm(tokens: Tokens, site: Site) -> None:
    assert await is_trusted(tokens, signed(claims_of(site), x5t="c2hhLTE"))


async def test_a_token_of_a_stranger_under_the_issuers_key_id_is_refused(tokens: Tokens, site: Site) -> None:
    await assert_refused(tokens, site, signed(claims_of(site), private=STRANGER))


async def test_an_algorithm_that_does_not_fit_the_key_is_refused(tokens: Tokens, site: Site) -> None:
    await assert_refused(tokens, site, signed(claims_of(site), "RS256", kid="ES256"))
    await assert_refused(tokens, site, signed(claims_of(site), "ES256", kid="RS256"))
    await assert_refused(tokens, site, signed(claims_of(site), "RS256", sign_as="ES256", kid="ES256"))
    await assert_refused(tokens, site, signed(claims_of(site), "ES256", sign_as="RS256", kid="RS256"))


async def test_a_curve_that_does_not_fit_the_algorithm_is_refused(site: Site) -> None:
    site.publish(public("RS256"), public("ES384", kid="ES256"), public("ES384", kid="said", alg="ES256"))
    for kid in ("ES256", "said"):
        token = signed(claims_of(site), "ES256", private=PRIVATE["ES384"], kid=kid)
        await assert_refused(tokens_of(site), site, token)


@pytest.mark.parametrize("name", ["RS512", "RS384", "PS256"])
async def test_an_algorithm_that_is_not_listed_is_refused_though_the_key_is_good(
    tokens: Tokens, site: Site, name: str
) -> None:
    await assert_refused(tokens, site, signed(claims_of(site), name, kid="RS256"))


async def test_a_key_meant_for_one_algorithm_serves_no_other(site: Site) -> None:
    site.publish(public("RS256"), public("PS256", alg="PS256"))
    both = tokens_of(site, oidc_algorithms="RS256,PS256")
    assert await is_trusted(both, signed(claims_of(site), "PS256"))
    await assert_refused(both, site, signed(claims_of(site), "RS256", kid="PS256"))


UNFIT: dict[str, dict[str, Any]] = {
    "for encryption": public("RS256", STRANGER, kid="unfit", use="enc"),
    "for signing only": public("RS256", STRANGER, kid="unfit", key_ops=["sign"]),
    "too short": public("RS256", SMALL, kid="unfit"),
    "with its private part": {**ALGORITHMS["RS256"].to_jwk(STRANGER, as_dict=True), "kid": "unfit", "key_ops": None},
    "broken": public("RS256", STRANGER, kid="unfit", n=7),
    "without a type": {"kid": "unfit"},
    "of an algorithm that nobody knows": public("RS256", STRANGER, kid="unfit", alg=["RS256"]),
    "with uses that are no list": public("RS256", STRANGER, kid="unfit", key_ops=7),
}


@pytest.mark.parametrize("jwk", UNFIT.values(), ids=UNFIT.keys())
async def test_a_key_that_is_not_fit_for_signatures_is_passed_over(site: Site, jwk: dict[str, Any]) -> None:
    site.publish(jwk, public("RS256"))
    for private in (STRANGER, SMALL):
        await assert_refused(tokens_of(site), site, signed(claims_of(site), private=private, kid="unfit"))


async def test_a_token_with_anything_changed_is_refused(tokens: Tokens, site: Site) -> None:
    head, body, signature = signed(claims_of(site)).split(".")
    changed = part(claims_of(site, email="eve@example.com"))
    assert await is_trusted(tokens, f"{head}.{body}.{signature}")
    for token in (
        f"{head}.{changed}.{signature}",
        f"{part({'alg': 'RS256', 'kid': 'RS256'})}.{body}.{signature}",
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}.{signature[:40]}",
        f"{head}.{body}.",
        f"{head}.{body}.{signature}.",
        f"{head}.{body}.{signature} ",
        f" {head}.{body}.{signature}",
    ):
        await assert_refused(tokens, site, token)


@pytest.mark.parametrize(
    "garbage",
    ["", ".", "..", "...", "a.b.c", "\0", "é.é.é", "lnl_0", "[]", f"{part([])}.{part({})}.", f"{part(b'{')}.e30.e30"]
    + [f"{part(b'[' * 3_000)}.e30.e30", f"{part({'alg': ['RS256'], 'kid': 'RS256'})}.e30.e30", "\ud800.e30.e30"]
    + [f"{part({'alg': 'RS256', 'kid': kid})}.e30.e30" for kid in (None, 7, ["RS256"], {"a": 1})],
)
async def test_garbage_is_refused(tokens: Tokens, site: Site, garbage: str) -> None:
    await assert_refused(tokens, site, garbage)


async def test_what_cannot_be_a_token_makes_nobody_ask_the_issuer(tokens: Tokens, site: Site) -> None:
    header = {"alg": "RS256", "kid": "RS256", "padding": "x" * 8_192}
    for token in (f"{part(header)}.e30.e30", "garbage", shared_secret(claims_of(site), PUBLIC_PEM), "é.e30.e30"):
        assert not await is_trusted(tokens, token)
    assert site.asked == []


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "jti", "email", "email_verified"])


@examples(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(claims=st.dictionaries(NAMES, ODD, min_size=1, max_size=3), headers=st.dictionaries(st.just("kid"), ODD))
async def test_no_token_however_odd_is_more_than_refused(
    tokens: Tokens, site: Site, claims: Claims, headers: dict[str, Any]
) -> None:
    with suppress(Rejected):
        assert "@" in (await tokens.email(signed({**claims_of(site), **claims}, **headers))).email


# ---------------------------------------------------------------- how often it is verified


async def test_a_hot_token_is_verified_once_a_minute(
    tokens: Tokens, site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked = Mock(wraps=jwt.decode)
    monkeypatch.setattr(jwt, "decode", checked)
    token = signed(claims_of(site))
    first = await tokens.email(token)
    clock.now += 59
    second = await tokens.email(token)
    assert checked.call_count == 1
    assert second.expires_in == pytest.approx(first.expires_in - 59)
    clock.now += 2
    assert await is_trusted(tokens, token)
    assert checked.call_count == 2


async def test_a_remembered_token_is_looked_at_anew_from_its_expiry_on(
    tokens: Tokens, site: Site, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = signed(claims_of(site, exp=int(time.time()) + 20))
    assert await is_trusted(tokens, token)
    monkeypatch.setattr(jwt, "decode", Mock(side_effect=jwt.ExpiredSignatureError))
    clock.now += 18
    assert await is_trusted(tokens, token)
    clock.now += 2
    assert not await is_trusted(tokens, token)


async def test_a_refused_token_is_not_remembered_as_good(tokens: Tokens, site: Site) -> None:
    head, body, signature = signed(claims_of(site)).split(".")
    assert await is_trusted(tokens, f"{head}.{body}.{signature}")
    assert not await is_trusted(tokens, f"{head}.{body}.{signature[:-4]}AAAA")
    assert len(tokens._known) == 1
    assert hashlib.sha256(f"{head}.{body}.{signature}".encode()).digest() in tokens._known


# ---------------------------------------------------------------- how often the issuer is asked


async def test_keys_are_fetched_once_for_many_tokens(tokens: Tokens, site: Site, clock: Clock) -> None:
    for number in range(20):
        assert await is_trusted(tokens, signed(claims_of(site, jti=str(number))))
        clock.now += 10
    assert site.asked == ["/.well-known/openid-configuration", "/keys"]


async def test_concurrent_requests_share_one_fetch(tokens: Tokens, site: Site) -> None:
    site.delay = 0.2
    each = [signed(claims_of(site, jti=str(number)), kid=f"RS{number % 4 * 128 + 128}") for number in range(40)]
    trusted = await asyncio.gather(*(is_trusted(tokens, token) for token in each))
    assert (sum(trusted), site.fetches) == (10, 1)


async def test_one_who_leaves_does_not_end_the_fetch_for_the_others(tokens: Tokens, site: Site) -> None:
    site.delay = 0.2
    first = asyncio.create_task(tokens.email(signed(claims_of(site))))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(is_trusted(tokens, signed(claims_of(site, jti="2"))))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second
    assert site.fetches == 1


async def test_a_new_key_of_the_issuer_is_picked_up(tokens: Tokens, site: Site, clock: Clock) -> None:
    assert await is_trusted(tokens, signed(claims_of(site)))
    site.publish(public("RS256", STRANGER, kid="new"))
    clock.now += issuer.REFETCH_SECONDS
    assert await is_trusted(tokens, signed(claims_of(site), private=STRANGER, kid="new"))
    assert site.fetches == 2


async def test_a_withdrawn_key_stops_within_five_minutes(tokens: Tokens, site: Site, clock: Clock) -> None:
    token = signed(claims_of(site))
    assert await is_trusted(tokens, token)
    site.publish(public("ES256"))
    clock.now += 299
    assert await is_trusted(tokens, token)
    clock.now += 1
    assert not await is_trusted(tokens, signed(claims_of(site, jti="another")))
    clock.now += oidc.REMEMBERED_SECONDS
    assert not await is_trusted(tokens, token)


async def test_an_issuer_that_withdraws_all_keys_is_believed(tokens: Tokens, site: Site, clock: Clock) -> None:
    assert await is_trusted(tokens, signed(claims_of(site)))
    site.publish()
    clock.now += 300
    assert not await is_trusted(tokens, signed(claims_of(site, jti="another")))


async def test_unknown_keys_make_us_ask_at_most_once_in_half_a_minute(tokens: Tokens, site: Site, clock: Clock) -> None:
    assert await is_trusted(tokens, signed(claims_of(site)))
    # All of them tried, one after another and at once, from the start of the clock to two minutes.
    for second in range(120):
        clock.now += 1
        many = [signed(claims_of(site), private=STRANGER, kid=f"{second}-{number}") for number in range(3)]
        assert not any(await asyncio.gather(*(is_trusted(tokens, token) for token in many)))
    assert site.fetches == 1 + 4


async def test_unknown_keys_do_not_hammer_an_issuer_that_is_away(tokens: Tokens, site: Site, clock: Clock) -> None:
    assert await is_trusted(tokens, signed(claims_of(site)))
    site.status = 500
    for second in range(120):
        clock.now += 1
        assert not await is_trusted(tokens, signed(claims_of(site), private=STRANGER, kid=str(second)))
    assert site.asked.count("/.well-known/openid-configuration") == 1 + 4


# ---------------------------------------------------------------- an issuer that is away, slow or odd


async def test_keys_in_hand_serve_for_a_day_while_the_issuer_is_away(tokens: Tokens, site: Site, clock: Clock) -> None:
    assert await is_trusted(tokens, signed(claims_of(site)))
    site.status = 503
    for hour in range(23):
        clock.now += 3_600
        assert await is_trusted(tokens, signed(claims_of(site, jti=str(hour))))
        assert not await is_trusted(tokens, signed(claims_of(site), private=STRANGER))
    clock.now += 3_600
    with pytest.raises(KeysUnavailable):
        await tokens.email(signed(claims_of(site)))
    site.status = 200
    clock.now += issuer.RETRY_SECONDS
    assert await is_trusted(tokens, signed(claims_of(site)))


async def test_without_any_keys_nobody_can_be_told(tokens: Tokens, site: Site, clock: Clock) -> None:
    site.status = 500
    for _ in range(10):
        with pytest.raises(KeysUnavailable, match=r"cannot be fetched\. Try again"):
            await tokens.email(signed(claims_of(site)))
    assert len(site.asked) == 1
    site.status = 200
    clock.now += issuer.RETRY_SECONDS
    assert await is_trusted(tokens, signed(claims_of(site)))


async def test_an_issuer_that_refuses_connections_is_away() -> None:
    # Port 1 has no server.
    nowhere = tokens_of(Site(address="http://127.0.0.1:1"))
    with pytest.raises(KeysUnavailable):
        await nowhere.email(signed(claims_of(Site())))


async def test_the_event_loop_runs_on_while_the_issuer_is_slow(tokens: Tokens, site: Site) -> None:
    site.delay = 0.4
    asked = asyncio.create_task(is_trusted(tokens, signed(claims_of(site))))
    longest, last = 0.0, time.monotonic()
    while not asked.done():
        await asyncio.sleep(0.01)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    assert await asked
    assert longest < 0.6


async def test_a_slow_issuer_is_not_waited_for_longer_than_allowed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer, "FETCH_SECONDS", 0.3)
    site.delay = 1.0
    slow, began = tokens_of(site), time.monotonic()
    many = (slow.email(signed(claims_of(site, jti=str(number)))) for number in range(5))
    refused = await asyncio.gather(*many, return_exceptions=True)
    assert time.monotonic() - began < 0.9
    assert [type(each) for each in refused] == [KeysUnavailable] * 5
    # The thread's own limit ends the fetch too, so that the next one can begin.
    await asyncio.sleep(0.5)
    assert slow.keys._fetching is None


async def test_a_fetch_that_hangs_holds_nobody_longer_and_stays_the_only_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As when names are looked up, which knows no time limit.
    hanging = Mock(side_effect=lambda settings: time.sleep(0.8))
    monkeypatch.setattr(issuer, "fetch", hanging)
    monkeypatch.setattr(issuer, "FETCH_SECONDS", 0.2)
    monkeypatch.setattr(issuer, "RETRY_SECONDS", 0.0)
    stuck, began = tokens_of(site), time.monotonic()
    for number in range(5):
        with pytest.raises(KeysUnavailable):
            await stuck.email(signed(claims_of(site, jti=str(number))))
    assert time.monotonic() - began < 0.75
    assert hanging.call_count == 1


async def test_an_answer_that_drips_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(issuer, "FETCH_SECONDS", 0.3)

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(50):
            request.wfile.write(b" ")
            time.sleep(0.05)

    monkeypatch.setattr(site, "reply", drip)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.to_thread(issuer.fetch, tokens_of(site).settings)
    assert time.monotonic() - began < 2


ODD_ANSWERS: dict[str, Any] = {
    "no JSON": b"<html>",
    "no object": [],
    "no keys": {"key": []},
    "keys that are no list": {"keys": {"RS256": 1}},
    "too long": b" " * issuer.MAX_BYTES + json.dumps({"keys": [public("RS256")]}).encode(),
    "deeply nested": b'{"keys":' + b"[" * 100_000,
    "nothing": b"",
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS.keys())
async def test_an_answer_that_is_no_key_set_is_not_taken(tokens: Tokens, site: Site, clock: Clock, answer: Any) -> None:
    assert await is_trusted(tokens, signed(claims_of(site)))
    site.answers["/keys"] = answer
    clock.now += 300
    assert await is_trusted(tokens, signed(claims_of(site, jti="another")))
    assert site.fetches == 2
    with pytest.raises(KeysUnavailable):
        await tokens_of(site).email(signed(claims_of(site)))


async def test_redirects_are_not_followed(site: Site, attacker: Site) -> None:
    for path in ("/keys", "/.well-known/openid-configuration"):
        site.answers[path] = f"{attacker.address}/keys"
        with pytest.raises(KeysUnavailable):
            await tokens_of(site).email(signed(claims_of(site), private=STRANGER))
    assert attacker.asked == []


@pytest.mark.parametrize("named", ["https://issuer.example", "", None, 7])
async def test_a_discovery_document_of_another_issuer_is_not_believed(site: Site, named: object) -> None:
    site.answers["/.well-known/openid-configuration"]["issuer"] = named
    with pytest.raises(KeysUnavailable):
        await tokens_of(site).email(signed(claims_of(site)))
    assert site.fetches == 0


UNSAFE = [
    "http://issuer.example/keys",
    "http://127.0.0.1.issuer.example/",
    "http://localhost.issuer.example",
    "http://10.0.0.1",
    "issuer.example",
    "http://x@127.0.0.1/",
    "https://x:y@issuer.example/",
    "https://",
    "http:///keys",
    "file:///etc/passwd",
    "ftp://127.0.0.1/",
    "data:,{}",
    "/keys",
]


@pytest.mark.parametrize("address", [*UNSAFE, "http://[/", "", None, 7])
async def test_a_key_address_that_is_not_safe_is_not_fetched(
    site: Site, address: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.answers["/.well-known/openid-configuration"]["jwks_uri"] = address
    client = Mock(wraps=issuer._client)
    monkeypatch.setattr(issuer, "_client", client)
    with pytest.raises(KeysUnavailable):
        await tokens_of(site).email(signed(claims_of(site)))
    assert [call.args[0] for call in client.mock_calls] == [f"{site.address}/.well-known/openid-configuration"]


async def test_an_answer_that_expands_is_not_expanded(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def squeezed(request: BaseHTTPRequestHandler) -> None:
        assert request.headers["Accept-Encoding"] == "identity"
        body = gzip.compress(b" " * 100_000_000)
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: issuer.MAX_BYTES])

    monkeypatch.setattr(site, "reply", squeezed)
    with pytest.raises((issuer.Unusable, ValueError, httpx.HTTPError)):
        await asyncio.to_thread(issuer.fetch, tokens_of(site).settings)


@pytest.mark.parametrize(
    ("address", "proxied"),
    [("https://issuer.example/", True), ("https://inside.example/", False), ("http://127.0.0.1/", False)],
)
def test_an_issuer_elsewhere_is_asked_through_the_proxy_of_the_environment(
    address: str, proxied: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "inside.example")
    with issuer._client(address, 1.0) as client:
        assert bool(client._mounts) == proxied


def test_only_certificates_that_the_system_trusts_are_accepted() -> None:
    with issuer._client("https://issuer.example/", 1.0) as client:
        context = client._transport._pool._ssl_context  # type: ignore[attr-defined]
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.get_ca_certs() == ssl.create_default_context().get_ca_certs()


def test_an_issuer_elsewhere_cannot_send_us_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {"issuer": "https://issuer.example", "jwks_uri": "http://127.0.0.1:5432/"}
    monkeypatch.setattr(issuer, "_read", lambda address, deadline: document)
    with pytest.raises(issuer.Unusable):
        issuer._discover("https://issuer.example", 0)


async def test_a_proxy_is_not_asked_for_an_issuer_on_this_machine(
    site: Site, attacker: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", attacker.address)
    monkeypatch.delenv("no_proxy", raising=False)
    assert await is_trusted(tokens_of(site), signed(claims_of(site)))
    assert attacker.asked == []


# ---------------------------------------------------------------- settings

GOOD = {"oidc_issuer": "https://issuer.example/tenant", "oidc_audience": AUDIENCE}


def refusal(**given: str) -> str:
    with pytest.raises(ValidationError) as refused:
        Settings(**{**GOOD, **given})  # type: ignore[arg-type]
    (error,) = refused.value.errors()
    return f"{error['loc'][0]} {error['msg'].removeprefix('Value error, ')}"


def test_an_issuer_and_an_audience_suffice() -> None:
    settings = Settings(**GOOD)  # type: ignore[arg-type]
    assert settings.algorithms == ("RS256", "ES256")
    assert Settings().oidc_issuer == ""


def test_an_issuer_without_an_audience_is_refused() -> None:
    sentence = "oidc_audience is required with oidc-issuer; without it, tokens for other services would be accepted"
    assert refusal(oidc_audience="") == sentence
    with pytest.raises(ValidationError, match="is required with oidc-issuer"):
        Settings(oidc_issuer=GOOD["oidc_issuer"])


@pytest.mark.parametrize("name", ["HS256", "HS384", "HS512", "none", "None", "rs256", "ES256K", "RSA-OAEP", "*"])
def test_an_algorithm_without_public_keys_is_refused(name: str) -> None:
    sentence = f"oidc_algorithms must be a list of {', '.join(ASYMMETRIC)}"
    assert refusal(oidc_algorithms=f"RS256, {name}") == sentence


def test_no_algorithms_at_all_are_refused() -> None:
    assert refusal(oidc_algorithms=" , ").startswith("oidc_algorithms must be a list of RS256")


@pytest.mark.parametrize("setting", ["oidc_issuer", "oidc_jwks_url"])
@pytest.mark.parametrize("address", UNSAFE)
def test_an_address_that_others_could_answer_for_is_refused(setting: str, address: str) -> None:
    sentence = "must be an https address, or an http address of this machine, without a user name"
    assert refusal(**{setting: address}) == f"{setting} {sentence}"


@pytest.mark.parametrize("address", ["http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:1", "https://x.org"])
def test_plain_http_is_for_this_machine(address: str) -> None:
    assert Settings(oidc_issuer=address, oidc_audience=AUDIENCE, oidc_jwks_url=address).oidc_issuer == address


@pytest.mark.parametrize("end", ["?tenant=1", "#part"])
def test_an_issuer_has_no_query_and_no_fragment(end: str) -> None:
    sentence = "oidc_issuer must have no query and no fragment"
    assert refusal(oidc_issuer=GOOD["oidc_issuer"] + end) == sentence


def test_the_command_names_the_option_that_is_wrong() -> None:
    from click.testing import CliRunner

    from server.ops.cli import main

    told = CliRunner().invoke(main, ["serve", "--oidc-algorithms", "HS256"])
    assert told.exit_code == 2
    assert '--oidc-algorithms is "HS256"; it must be a list of RS256' in told.output


# ---------------------------------------------------------------- at the gate


@pytest_asyncio.fixture
async def asking(site: Site, database: Cluster, make_registry: Callable[..., Any], registry: Registry) -> Registry:
    """The registry as it takes the issuer's tokens."""
    made: Registry = await make_registry(database, oidc_issuer=site.address, oidc_audience=AUDIENCE)
    return made.with_key(registry.key)


VIEWER = "{ viewer { email kind administers memberships { role project { id } } } }"


async def test_a_token_asks_with_the_roles_of_its_address(asking: Registry, site: Site) -> None:
    project, email = await make_project(asking), "token@example.com"
    member = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
    await asking.ask(member, input={"projectId": project, "email": email, "role": "REVIEWER"})
    caller = asking.with_key(signed(claims_of(site, email="Token@Example.com")))
    roles = [{"role": "REVIEWER", "project": {"id": project}}]
    known = {"email": email, "kind": "USER", "administers": False, "memberships": roles}
    assert (await caller.ask(VIEWER))["viewer"] == known
    refusal = await caller.refusal(member, input={"projectId": project, "email": email, "role": "ADMIN"})
    assert (refusal["code"], refusal["role"]) == ("FORBIDDEN", "REVIEWER")
    stranger = asking.with_key(signed(claims_of(site, email="stranger@example.com")))
    assert (await stranger.ask(VIEWER))["viewer"]["memberships"] == []
    assert (await stranger.ask("query($id: ID!) { project(id: $id) { id } }", id=project))["project"] is None
    assert (await asking.ask(VIEWER))["viewer"]["email"] == EMAIL, "keys work beside tokens"


async def test_a_token_that_is_not_trusted_is_refused_at_the_gate(asking: Registry, site: Site) -> None:
    claims = claims_of(site)
    public_pem = RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forged = [
        f"{part({'alg': 'none', 'kid': 'RS256'})}.{part(claims)}.",
        shared_secret(claims, public_pem, kid="RS256"),
        signed(claims_of(site, aud="others")),
        signed(claims_of(site, exp=int(time.time()) - 3_600)),
        signed(claims, kid="unknown"),
        signed(claims, private=STRANGER, jku=f"{site.address}/keys"),
        signed(claims, private=STRANGER, jwk=public("RS256", STRANGER)),
        signed(claims, private=STRANGER),
    ]
    for token in forged:
        answer = await asking.with_key(token).send(VIEWER)
        assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (401, "UNAUTHENTICATED")
    assert (await asking.with_key(signed(claims)).send(VIEWER)).status_code == 200


async def test_the_gate_says_why_a_token_is_refused_and_does_not_repeat_it(
    asking: Registry, site: Site, database: Cluster
) -> None:
    await make_key(database.app_url, "nightly@example.com", kind=PrincipalKind.SERVICE, administers=False)
    claims = claims_of(site)
    told = {
        "a.b.c": "TOKEN_MALFORMED",
        "x" * (oidc.MAX_LENGTH + 1): "TOKEN_TOO_LONG",
        signed(claims, kid="unknown"): "TOKEN_KEY_UNKNOWN",
        signed(claims, "RS512", kid="RS256"): "TOKEN_ALGORITHM",
        signed(claims, jku=site.address): "TOKEN_HEADER_REFUSED",
        signed(claims, private=STRANGER): "TOKEN_SIGNATURE",
        signed(claims_of(site, exp=NOW - 60)): "TOKEN_EXPIRED",
        signed(claims_of(site, email_verified=None)): "ADDRESS_NOT_VERIFIED",
        signed(claims_of(site, email="admin@localhost")): "ADDRESS_RESERVED",
        signed(claims_of(site, email="Nightly@Example.com")): "ADDRESS_OF_SERVICE",
    }
    for token, reason in told.items():
        answer = await asking.with_key(token).send(VIEWER)
        (error,) = answer.json()["errors"]
        assert (answer.status_code, error["extensions"]) == (401, {"code": "UNAUTHENTICATED", "reason": reason})
        assert error["message"] == Reason[reason].value
        assert not any(len(piece) > 3 and piece in answer.text for piece in token.split("."))


def test_the_sentence_about_long_tokens_is_true() -> None:
    assert f"at most {oidc.MAX_LENGTH} characters" in Reason.TOKEN_TOO_LONG


async def test_without_an_issuer_no_token_is_taken(registry: Registry, site: Site) -> None:
    assert (await registry.with_key(signed(claims_of(site))).send(VIEWER)).status_code == 401


async def test_an_issuer_that_is_away_is_an_outage_and_no_refusal(asking: Registry, site: Site) -> None:
    site.status = 500
    answer = await asking.with_key(signed(claims_of(site))).send(VIEWER)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
