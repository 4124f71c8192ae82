"""Where something was before it came into the registry, as its caller states it: kept apart from the registry's own
history, and never part of it."""

from collections.abc import Mapping
from datetime import datetime
from typing import NotRequired, TypedDict

from pydantic.alias_generators import to_camel


class NewOrigin(TypedDict):
    """An origin as it is stated."""

    system: str
    id: str
    created_at: NotRequired[datetime]
    created_by: NotRequired[str]
    url: NotRequired[str]


def kept_origin(origin: NewOrigin | None) -> Mapping[str, str] | None:
    """The JSON object that is stored and recorded."""
    if origin is None:
        return None
    return {to_camel(name): _written(value) for name, value in origin.items()}


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
