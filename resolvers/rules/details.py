"""The spelling of changes in audit events: camelCase, like the API.

Events of earlier versions of Lineal name columns in snake_case. They stay as they were hashed, and are shown unchanged.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.alias_generators import to_camel

# Objects whose keys are our names. In all other objects users chose the names: of parameters, metrics, data.
OURS = {"artifact", "datasets", "policy"}


def spelled(change: Any) -> Any:
    """The state before or after an event, with the API's names."""
    if not isinstance(change, Mapping):
        return change
    return {to_camel(name): _spelled_part(name, value) for name, value in change.items()}


def _spelled_part(name: str, value: Any) -> Any:
    if name not in OURS:
        return value
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    return [spelled(each) for each in value] if is_list else spelled(value)
