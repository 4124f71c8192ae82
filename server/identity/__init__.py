"""The identity of callers: API keys and tokens of OpenID Connect issuers."""
