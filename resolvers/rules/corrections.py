"""What a correction changes, compared with the values in the database."""

from collections.abc import Mapping
from typing import Any

from resolvers.rules.same import same


def corrected(now: object, asked: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that change, with their new values. None leaves a field as it is, and an empty text clears it."""
    new = {name: None if value == "" else value for name, value in asked.items() if value is not None}
    return {name: value for name, value in new.items() if not same(value, getattr(now, name))}


def before_and_after(now: object, changed: Mapping[str, Any]) -> dict[str, Any]:
    """What an event says of a correction."""
    return {"before": {name: getattr(now, name) for name in changed}, "after": dict(changed)}
