"""All settings. Each is an option of `lineal serve` and a `LINEAL_*` environment variable of the same name."""

from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from resolvers.settings import MutationSettings
from storage.sealing import Sealing, key_file

LOOPBACK = ("localhost", "127.0.0.1", "::1")
# Verified with a public key. With a shared secret (HS256 and similar), every verifier could forge a token.
ASYMMETRIC = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="LINEAL_", env_ignore_empty=True)

    host: str = Field("127.0.0.1", description="The IP address or host name to listen on.")
    port: int = Field(8000, ge=0, le=65535, description="The port to listen on. 0 chooses a free port.")
    workers: int = Field(1, ge=1, le=64, description="Number of server processes.")
    data_dir: Path = Field(
        Path("data"),
        description="The folder of the embedded database, the first admin key, the signing key, the secrets key and the"
        " checkpoints.",
    )
    database_url: str = Field(
        "", description="The URL of an external PostgreSQL 15 or newer. Default: the embedded PostgreSQL."
    )
    owner_url: str = Field(
        "",
        description="The URL of the same database for the role that owns the tables and migrates them. Default:"
        " database-url.",
    )
    pg_bin: Path | None = Field(
        None, description="The bin folder of another PostgreSQL installation to run as the embedded database."
    )
    pool_size: int = Field(
        10, ge=1, le=200, description="Database connections of a process for reads. It has as many again for writes."
    )
    statement_timeout: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="Maximum seconds for the database's part of a request: the wait for a connection, all statements"
        " and the commit. PostgreSQL cancels a statement after 90 % of this time.",
    )
    request_timeout: float = Field(30.0, gt=0, allow_inf_nan=False, description="Maximum seconds for a request.")
    header_timeout: float = Field(
        10.0,
        ge=1,
        allow_inf_nan=False,
        description="Maximum seconds for a connection to send the headers of a request, or to stay idle.",
    )
    body_timeout: float = Field(
        10.0,
        gt=0,
        allow_inf_nan=False,
        description="Maximum seconds for a client to pause while it sends a body or reads a response.",
    )
    max_body_bytes: int = Field(1_000_000, ge=1_000, description="Maximum size of a request body, in bytes.")
    max_answer_bytes: int = Field(32_000_000, ge=100_000, description="Maximum size of a response, in bytes.")
    max_connections: int = Field(
        5_000,
        ge=10,
        description="Maximum client connections of a process. One more closes the connection that has been idle"
        " longest.",
    )
    max_in_flight: int = Field(500, ge=1, description="Maximum requests in progress in a process. More get 503.")
    max_in_flight_per_principal: int = Field(
        100, ge=1, description="Maximum requests in progress for one principal. More get 429. Ignored with --open."
    )
    max_streams: int = Field(
        2_000, ge=0, description="Maximum open subscriptions, and maximum open WebSockets, in a process. More get 503."
    )
    max_streams_per_principal: int = Field(
        500,
        ge=0,
        description="Maximum open subscriptions, and maximum open WebSockets, for one principal. More get 429. Ignored"
        " with --open.",
    )
    webhook_private: bool = Field(
        False, description="Also send to webhooks at private, loopback and link-local addresses."
    )
    webhooks_per_project: int = Field(20, ge=0, le=1_000, description="Maximum webhooks of a project.")
    webhook_dead_days: float = Field(
        5.0,
        gt=0,
        allow_inf_nan=False,
        description="Days after which a webhook is disabled if all its deliveries fail.",
    )
    secrets_key: str = Field(
        "",
        description="Keys that encrypt webhook secrets, comma-separated, newest first, each 32 bytes in base64."
        " Default: the file secrets-key in data-dir.",
    )
    keep_answer_hours: int = Field(24, ge=1, description="Hours for which the response to an Idempotency-Key is kept.")
    keep_delivery_days: float = Field(
        30.0,
        ge=1,
        allow_inf_nan=False,
        description="Days for which deliveries are kept after their last attempt. Pending ones are not deleted.",
    )
    keep_feed_days: float = Field(
        90.0,
        ge=1,
        allow_inf_nan=False,
        description="Days for which a subscription can resume after an event. The audit log is kept permanently.",
    )
    keep_health_days: float = Field(
        90.0,
        ge=1,
        allow_inf_nan=False,
        description="Days for which health reports are kept. Reports that a rollout depends on are not deleted.",
    )
    rate_per_second: float = Field(
        50_000.0,
        ge=0,
        allow_inf_nan=False,
        description="Points that a principal regains each second, in each process. 0: no limit.",
    )
    rate_burst: float = Field(
        500_000.0,
        ge=20_100,
        allow_inf_nan=False,
        description="Maximum points that a principal can have and spend at once.",
    )
    checkpoint_seconds: float = Field(
        300.0, gt=0, allow_inf_nan=False, description="Seconds between signed checkpoints of the audit log."
    )
    allowed_hosts: str = Field(
        "", description="Further host names, comma-separated, that the Host header of a request may have."
    )
    allowed_origins: str = Field(
        "",
        description="Origins of other sites, comma-separated, whose pages may call the API, such as https://ml.example.com.",
    )
    oidc_issuer: str = Field(
        "",
        description="An OpenID Connect issuer whose tokens are accepted alongside API keys, spelled exactly as in its"
        " tokens.",
    )
    oidc_audience: str = Field("", description="The audience that a token must have. Required with oidc-issuer.")
    oidc_algorithms: str = Field(
        "RS256,ES256",
        description="Algorithms, comma-separated, that tokens may be signed with. Only algorithms with public keys.",
    )
    oidc_jwks_url: str = Field(
        "", description="The address of the issuer's keys. Default: the jwks_uri of its discovery document."
    )
    oidc_email_claim: str = Field(
        "email",
        min_length=1,
        description="The token's claim with the email address. Entra ID uses preferred_username or upn.",
    )
    oidc_email_trusted_issuers: str = Field(
        "",
        description="Issuers, comma-separated, whose email addresses are trusted when a token has no email_verified.",
    )
    open: bool = Field(False, description="Serve without API keys. Allowed on a loopback address only.")
    demo: bool = Field(False, description="Fill an empty registry with the sample data of the product description.")
    log_level: str = Field("info", description="Log level: debug, info, warning or error.")
    log_format: str = Field("text", description="Log format: text or json.")

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

    @field_validator("database_url", "owner_url")
    @classmethod
    def _of_postgresql(cls, value: str) -> str:
        if value and not urlsplit(value).scheme.startswith("postgres"):
            raise ValueError("must be a URL such as postgresql://user:password@host/database")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _host_names(cls, value: str) -> str:
        if any("/" in name or "@" in name or " " in name for name in _listed(value)):
            raise ValueError("must be host names such as registry.example.com, without a scheme or a path")
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        for origin in _listed(value):
            parts = urlsplit(origin)
            if parts.scheme not in ("http", "https") or f"{parts.scheme}://{parts.netloc}".lower() != origin.lower():
                raise ValueError("must be origins such as https://ml.example.com, without a path")
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
            raise ValueError("must have no query and no fragment")
        return value

    @field_validator("oidc_audience")
    @classmethod
    def _meant_for_us(cls, value: str, info: ValidationInfo) -> str:
        if info.data.get("oidc_issuer") and not value:
            raise ValueError("is required with oidc-issuer; without it, tokens for other services would be accepted")
        return value

    @field_validator("oidc_algorithms")
    @classmethod
    def _public_keys_only(cls, value: str) -> str:
        listed = _listed(value)
        bad = [name for name in listed if name not in ASYMMETRIC]
        if bad or not listed:
            raise ValueError(f"must be a list of {', '.join(ASYMMETRIC)}")
        return value

    @field_validator("oidc_email_trusted_issuers")
    @classmethod
    def _vouches_for_other_claims(cls, value: str, info: ValidationInfo) -> str:
        # email_verified applies to the claim email only, and users can often change their other names.
        issuer = info.data.get("oidc_issuer")
        if issuer and info.data.get("oidc_email_claim") != "email" and issuer not in _listed(value):
            raise ValueError(
                "must contain oidc-issuer if oidc-email-claim is not email, because email_verified is about email only"
            )
        return value

    @property
    def email_trusted_issuers(self) -> tuple[str, ...]:
        """The issuers whose tokens need no email_verified."""
        return _listed(self.oidc_email_trusted_issuers)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithms that a token may be signed with."""
        return _listed(self.oidc_algorithms)

    @property
    def is_loopback(self) -> bool:
        return self.host in LOOPBACK or self.host.startswith("127.")

    @property
    def hosts(self) -> frozenset[str]:
        """The names that a Host header may have. If the server listens on all addresses, any name, unless some are
        listed."""
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
    """Whether data fetched from the address cannot be changed in transit: https, or http on this machine."""
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
