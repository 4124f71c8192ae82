"""JSON exactly as it was written: whole numbers of any length are read and written as they are, never rounded.

orjson does the work. It reads a whole number beyond 64 bits as a float or not at all, and refuses to write one, so that
texts and values with such numbers take a slower way.
"""

import json
from typing import Any

import orjson

MOST_DIGITS = 1_000
SMALLEST, LARGEST = -(2**63), 2**64 - 1
# Replaces every digit by a zero, so that a long run of digits is found at the speed of memory.
NOUGHTS = bytes.maketrans(b"123456789", b"0" * 9)
RUN = b"0" * 19


def loads(text: bytes | str) -> Any:
    """The value of a JSON text. Raises ValueError for any other text.

    NaN, Infinity and -Infinity are not JSON, but are read, so that a refusal can name the field that has them.
    """
    raw = text.encode() if isinstance(text, str) else text
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        value = _read(raw, error)
        try:
            dumps(value)
        except (TypeError, RecursionError):
            # Python's parser also reads half a surrogate pair, which cannot be written again.
            raise error from None
        return value
    return _read(raw) if holds_long_number(raw) else value


def _read(raw: bytes, error: ValueError | None = None) -> Any:
    """Parse with Python's parser: numbers of any length, including those that are not finite floats."""
    try:
        return json.loads(raw.decode(), parse_int=_whole)
    except json.JSONDecodeError:
        raise (error or ValueError("it is not JSON")) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def holds_long_number(raw: bytes) -> bool:
    """Whether a JSON text can contain a whole number beyond 64 bits."""
    return RUN in raw.translate(NOUGHTS)


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number has {len(digits)} digits; at most {MOST_DIGITS} are allowed")
    return int(digits)


def dumps(value: Any) -> bytes:
    """The value as JSON. Raises TypeError or RecursionError if it cannot be represented. NaN becomes null."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return orjson.dumps(_with_long_numbers(value))


def _with_long_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _with_long_numbers(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_with_long_numbers(each) for each in value]
    is_long = isinstance(value, int) and not SMALLEST <= value <= LARGEST
    return orjson.Fragment(str(value)) if is_long else value
