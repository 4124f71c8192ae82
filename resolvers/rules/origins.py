"""Where a model or a version was before it was imported, as stated by the caller. It is never part of the registry's
own history."""

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
