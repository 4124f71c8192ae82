"""How an audit event spells what was changed: in camelCase, as the API does.

Events of earlier versions name columns in snake_case. They stay as they were hashed, and are shown like that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

# What holds names of ours itself. Everywhere else users chose the names: of parameters, metrics, data.
OURS = {"artifact", "datasets", "policy"}


def spelled(change: Any) -> Any:
    """What was so before or after an event, by the names that the API has for it."""
    if not isinstance(change, Mapping):
        return change
    return {to_camel(name): _spelled_part(name, value) for name, value in change.items()}


def _spelled_part(name: str, value: Any) -> Any:
    if name not in OURS:
        return value
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return [spelled(each) for each in value] if is_list else spelled(value)
