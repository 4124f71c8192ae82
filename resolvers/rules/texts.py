"""Numbers and JSON as text, independent of the source of a value: the database writes 1.0 as 1, and -0.0 as -0."""

import json
from typing import Any


def plain(value: float) -> float:
    """The value as a float, with zero unsigned."""
    return float(value) + 0.0


def number(value: float) -> str:
    """The shortest text that reads as the same double: 0.912, 12400, 1e+22."""
    return repr(plain(value)).removesuffix(".0")


def text(value: str | float) -> str:
    return number(value) if isinstance(value, float) else str(value)


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
