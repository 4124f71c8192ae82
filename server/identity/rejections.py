"""The reasons for rejecting a key or token: a stable code for each cause, and one sentence that never repeats the
input."""

# ruff: noqa: S105 - sentences about tokens, no secrets

from enum import StrEnum


class Reason(StrEnum):
    CREDENTIALS_MISSING = "The request has no API key. Send the header Authorization: Bearer lnl_..."
    BEARER_MISSING = "The Authorization header has a key without the word Bearer. Send Authorization: Bearer lnl_..."
    KEY_MALFORMED = (
        "This is not an API key: a key begins with lnl_, has 42 characters and ends with a checksum. Copy all of it."
    )
    # One reason for two causes: an attacker who guesses keys does not learn which ones existed.
    KEY_UNKNOWN = "The API key is unknown or revoked; ask an administrator for a new one."
    # Shown only to a caller who has the whole key.
    KEY_EXPIRED = "The API key expired at {at}; ask an administrator for a new one."
    TOKEN_TOO_LONG = "The token is too long; tokens have at most 8192 characters."
    TOKEN_MALFORMED = "This is neither an API key nor a token: tokens are JSON Web Tokens in three parts."
    TOKEN_HEADER_REFUSED = "The token's header contains or references its own key; such tokens are not accepted."
    TOKEN_ALGORITHM = "The token is signed by an algorithm that is not accepted; LINEAL_OIDC_ALGORITHMS lists them."
    TOKEN_KEY_UNKNOWN = "The token names a signing key that its issuer does not publish for this algorithm."
    TOKEN_SIGNATURE = "The token's signature is invalid. Sign in again."
    TOKEN_CLAIMS = "The token lacks one of the claims exp, iss and aud, or one of its claims has the wrong form."
    TOKEN_EXPIRED = "The token has expired; sign in again."
    TOKEN_NOT_YET_VALID = "The token is not valid yet; compare the clocks of its issuer and of this server."
    TOKEN_AUDIENCE = "The token is meant for another audience; request one for the audience in LINEAL_OIDC_AUDIENCE."
    TOKEN_ISSUER = "The token was not issued by the issuer in LINEAL_OIDC_ISSUER."
    ADDRESS_MISSING = "The token has no email address in the claim that LINEAL_OIDC_EMAIL_CLAIM names."
    ADDRESS_MALFORMED = "The token's email address is not supported; use an ASCII address."
    ADDRESS_NOT_VERIFIED = (
        "The issuer does not state that it verified the token's email address: email_verified must be true."
        " LINEAL_OIDC_EMAIL_TRUSTED_ISSUERS lists issuers that leave it out."
    )
    ADDRESS_RESERVED = "The token's email address is at localhost; these addresses are reserved for the server."
    ADDRESS_OF_SERVICE = "The token's email address belongs to a service; services use API keys."


class Rejected(Exception):
    """A key or token that is not accepted. `reason` names the cause for programs, the sentence for people."""

    def __init__(self, reason: Reason, **facts: str):
        super().__init__(reason.value.format(**facts))
        self.reason = reason.name
