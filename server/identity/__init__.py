"""Who sends a request: API keys and tokens of OpenID Connect issuers."""
