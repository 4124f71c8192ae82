"""API keys: `lnl_`, 32 random base62 characters and a checksum of 6. Only the SHA-256 is stored."""

import base64
import hashlib
import secrets
import string
import zlib

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
PREFIX = "lnl_"
RANDOM = 32
CHECKSUM = 6


def new_secret() -> str:
    random = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    return PREFIX + random + _checksum(random)


def _checksum(random: str) -> str:
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(CHECKSUM):
        rest, digit = divmod(rest, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits


def is_well_formed(secret: str) -> bool:
    """Whether a text can be a key at all. A mistyped one is refused without a query."""
    random = secret[len(PREFIX) : -CHECKSUM]
    whole = secret.startswith(PREFIX) and secret.isascii() and len(random) == RANDOM
    return whole and secret[-CHECKSUM:] == _checksum(random)


def hash_of(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def new_signing_secret() -> str:
    """A new secret for a webhook, in the form of Standard Webhooks."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
