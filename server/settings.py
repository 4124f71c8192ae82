"""Every setting, once: an option of `lineal serve` and a `LINEAL_*` variable of the same name."""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from resolvers.settings import MutationSettings
from storage.sealing import Sealing, key_file

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Verified with a public key. With a shared secret (HS256 and its like) whoever can verify a token could forge one.
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LINEAL_", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on; 0 takes a free one.")
    workers: int = Field(1, ge=1, le=64, description="How many server processes.")
    data_dir: Path = Field(
        Path("data"),
        description="Where the embedded database, the first admin key, the signing key, the key for secrets and the"
        " checkpoints are kept.",
    )
    database_url: str = Field("", description="An external PostgreSQL 15 or newer instead of the embedded one.")
    owner_url: str = Field(
        "", description="The same database as the role that migrates and owns the tables; absent: as in database-url."
    )
    pg_bin: Path | None = Field(None, description="The bin folder of another PostgreSQL for the embedded database.")
    pool_size: int = Field(
        10, ge=1, le=200, description="Connections a process keeps for reads, and as many for writes."
    )
    statement_timeout: float = Field(
        10.0,
        gt=0,
        description="Seconds that the database's part of a request may take: waiting for a connection, all statements"
        " and the end of the transaction. PostgreSQL cancels a statement after 90 % of this time.",
    )
    request_timeout: float = Field(30.0, gt=0, description="Seconds after which a request is given up.")
    header_timeout: float = Field(
        10.0, ge=1, description="Seconds that a connection may take to send a request's headers, or stay idle."
    )
    body_timeout: float = Field(
        10.0, gt=0, description="Seconds that a client may pause while it sends a body or reads a response."
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Maximum size of a request body, in bytes.")
    max_answer_bytes: int = Field(32_000_000, ge=100_000, description="Maximum size of an answer, in bytes.")
    max_connections: int = Field(
        5_000,
        ge=10,
        description="Maximum connections of a process. Beyond that, the connection that has been idle longest is"
        " closed.",
    )
    max_in_flight: int = Field(500, ge=1, description="Maximum requests in progress in a process; more get 503.")
    max_in_flight_per_principal: int = Field(
        100, ge=1, description="Maximum requests in progress for one principal; more get 429. Ignored with --open."
    )
    max_streams: int = Field(
        2_000, ge=0, description="Maximum open subscriptions, and open WebSockets, in a process; more get 503."
    )
    max_streams_per_principal: int = Field(
        500,
        ge=0,
        description="Maximum open subscriptions, and open WebSockets, for one principal; more get 429. Ignored with"
        " --open.",
    )
    webhook_private: bool = Field(
        False, description="Send to webhooks at private, loopback and link-local addresses too."
    )
    webhooks_per_project: int = Field(20, ge=0, le=1_000, description="Maximum webhooks of a project.")
    webhook_dead_days: float = Field(
        5.0, gt=0, description="Days without a success after which a receiver that keeps failing is switched off."
    )
    secrets_key: str = Field(
        "",
        description="Keys that encrypt webhook secrets, comma-separated, newest first, each 32 bytes in base64;"
        " default: the file secrets-key in data-dir.",
    )
    keep_answer_hours: int = Field(24, ge=1, description="Hours that the answer to an Idempotency-Key is kept.")
    keep_delivery_days: float = Field(
        30.0, ge=1, description="Days that deliveries are kept after their last attempt; pending ones are not deleted."
    )
    keep_feed_days: float = Field(
        90.0, ge=1, description="Days for which a subscription can resume after an event; the audit log is kept."
    )
    keep_health_days: float = Field(
        90.0, ge=1, description="Days that health reports are kept; those that a rollout decides on are not deleted."
    )
    rate_per_second: float = Field(
        50_000.0,
        ge=0,
        allow_inf_nan=False,
        description="Cost that a principal gains back each second, in each process; 0: no limit.",
    )
    rate_burst: float = Field(
        500_000.0,
        ge=20_100,
        allow_inf_nan=False,
        description="Cost that a principal may spend at once, in objects its operations may answer.",
    )
    checkpoint_seconds: float = Field(
        300.0, gt=0, description="How often a signed checkpoint of the audit log is written, in seconds."
    )
    allowed_hosts: str = Field("", description="Further names, by commas, that requests may be addressed to.")
    allowed_origins: str = Field("", description="Origins of other sites, by commas, whose pages may call the API.")
    oidc_issuer: str = Field(
        "", description="An OpenID Connect issuer whose tokens are taken beside API keys, exactly as it names itself."
    )
    oidc_audience: str = Field("", description="The audience that a token must be meant for; needed with oidc-issuer.")
    oidc_algorithms: str = Field(
        "RS256,ES256", description="By which algorithms, by commas, tokens may be signed; only ones with public keys."
    )
    oidc_jwks_url: str = Field(
        "", description="Where the issuer publishes its keys; absent: where its discovery document says."
    )
    oidc_email_claim: str = Field(
        "email",
        min_length=1,
        description="The token's claim that holds the email address; Entra ID uses preferred_username or upn.",
    )
    oidc_email_trusted_issuers: str = Field(
        "",
        description="Issuers, comma-separated, whose email addresses are trusted when a token has no email_verified.",
    )
    open: bool = Field(False, description="Serve without API keys. Only on a loopback address.")
    demo: bool = Field(False, description="Fill an empty registry with the sample of the product description.")
    log_level: str = Field("info", description="debug, info, warning or error.")
    log_format: str = Field("text", description="text for people or json for machines.")

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.lower() not in ("debug", "info", "warning", "error"):
            raise ValueError("must be debug, info, warning or error")
        return value.lower()

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in ("text", "json"):
            raise ValueError("must be text or json")
        return value

    @field_validator("oidc_issuer", "oidc_jwks_url")
    @classmethod
    def _safe_to_fetch(cls, value: str) -> str:
        if value and not is_safe(value):
            raise ValueError("must be an https address, or an http address of this machine, without a user name")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _can_have_a_discovery_document(cls, value: str) -> str:
        if "?" in value or "#" in value:
            raise ValueError("must have no query and no fragment; an issuer's name has none")
        return value

    @field_validator("oidc_audience")
    @classmethod
    def _meant_for_us(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("oidc_issuer") and not value:
            raise ValueError(
                "is needed with oidc-issuer: without it, tokens meant for any other service would be taken"
            )
        return value

    @field_validator("oidc_algorithms")
    @classmethod
    def _public_keys_only(cls, value: str) -> str:
        listed = _listed(value)
        bad = [name for name in listed if name not in ASYMMETRIC]
        if bad or not listed:
            raise ValueError(f"holds {', '.join(bad) or 'nothing'}; it may hold {', '.join(ASYMMETRIC)}")
        return value

    @field_validator("oidc_email_trusted_issuers")
    @classmethod
    def _vouches_for_other_claims(cls, value: str, info: ValidationInfo) -> str:
        # email_verified is about the claim email alone, and users may often change their other names.
        issuer = info.data.get("oidc_issuer")
        if issuer and info.data.get("oidc_email_claim") != "email" and issuer not in _listed(value):
            raise ValueError(
                "must list oidc-issuer if oidc-email-claim is not email; email_verified is about email only"
            )
        return value

    @property
    def email_trusted_issuers(self) -> tuple[str, ...]:
        """The issuers whose tokens need no email_verified."""
        return _listed(self.oidc_email_trusted_issuers)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """By which algorithms a token may be signed."""
        return _listed(self.oidc_algorithms)

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK or self.host.startswith("127.")

    @property
    def hosts(self) -> frozenset[str]:
        """The names that a Host header may carry; an address open to all takes any name unless some are listed."""
        listed = {name.strip().lower() for name in self.allowed_hosts.split(",") if name.strip()}
        if not listed and not self.is_loopback:
            return frozenset()
        return frozenset({*LOOPBACK, self.host.lower(), *listed})

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(origin.strip().lower() for origin in self.allowed_origins.split(",") if origin.strip())


def is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_safe(address: str) -> bool:
    """Whether nobody on the way can change what is fetched from there: https, or http that stays on this machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    if not host or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and is_this_machine(host))


def _listed(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())


def sealing_of(settings: Settings) -> Sealing:
    return Sealing(settings.secrets_key, key_file(settings.data_dir))


def mutation_settings_of(settings: Settings) -> MutationSettings:
    return MutationSettings(
        sealing=sealing_of(settings),
        webhooks_per_project=settings.webhooks_per_project,
        private_webhooks=settings.webhook_private,
        keep_answer_hours=settings.keep_answer_hours,
    )
