"""Generated ids: the type's prefix and a UUIDv7 in base32, so that they sort by their time of creation."""

import base64

import uuid_utils


def new_id(prefix: str) -> str:
    digits = base64.b32hexencode(uuid_utils.uuid7().bytes).decode().rstrip("=").lower()
    return f"{prefix}_{digits}"
