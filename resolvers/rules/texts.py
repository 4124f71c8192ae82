"""Numbers and JSON as text, the same wherever a value comes from: the database writes 1.0 as 1, and -0.0 as -0."""

import json
from typing import Any


def plain(value: float) -> float:
    """As a float, and zero without a sign."""
    return float(value) + 0.0


def number(value: float) -> str:
    """The shortest text that reads as the same double: 0.912, 12400, 1e+22."""
    return repr(plain(value)).removesuffix(".0")


def text(value: str | float) -> str:
    return number(value) if isinstance(value, float) else str(value)


def json_text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
