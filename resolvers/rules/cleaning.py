"""Cleans every text from callers: checks its length, converts it to Unicode's form NFC, trims it, and refuses control
characters.

A refusal quotes only the start of a value, which can be as large as a request.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sized
from typing import Any

from resolvers.errors import BadUserInput

# One character of a text in form NFC corresponds to at most four of an unnormalized text (Unicode UAX #15).
DECOMPOSED = 4
# The Stream-Safe limit of UAX #15. Normalization sorts the marks of a run, in time quadratic in its length.
MOST_MARKS = 30
QUOTED = 60
# Cc: controls, Cs: lone surrogates, Zl and Zp: line and paragraph separators.
REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
REFUSED_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Characters that act as marks: each is of class 0, like letters, and decomposes into two marks.
TWO_MARKS = "\u0f73\u0f75\u0f81"
CHUNK = 500
# Marks, format characters and separators, which are invisible on their own.
INKLESS = {"Cf", "Mn", "Me", "Zs", "Cn"}


# Characters that change the direction of the text around them, so that it is displayed in another order.
OVERRIDES = re.compile("[\u202d\u202e]")
# In names also those that begin such a run, and characters without width or ink: names could look alike and differ.
UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b\u2060-\u2064\ufeff\u180e\u115f\u1160\u3164\uffa0\u2800]")


def check_visible(field: str, text: str, *, lines: bool) -> None:
    """Raises BadUserInput for text that is displayed differently from its content."""
    if text.isascii():
        return
    if not UNSEEN.sub("", text).strip() or all(unicodedata.category(each) in INKLESS for each in text):
        raise BadUserInput(field, "has no visible character; use at least one, or omit it.")
    hidden = (OVERRIDES if lines else UNSEEN).search(text)
    if hidden:
        raise BadUserInput(field, f"contains the invisible character U+{ord(hidden[0]):04X}; remove it.")


def clean_text(field: str, value: Any, longest: int, *, lines: bool = False) -> str:
    """The text as it is stored or searched for. It may be empty. Raises BadUserInput with the field if it is not
    acceptable."""
    if not isinstance(value, str):
        raise BadUserInput(field, f"is {quoted(value)}; it must be text.")
    text = value.strip()
    if len(text) <= longest and text.isascii() and text.isprintable():
        return text
    _check_length(field, text, longest, allowance=DECOMPOSED)
    if not text.isascii():
        _check_marks(field, text)
        text = unicodedata.normalize("NFC", text)
    _check_length(field, text, longest)
    refused = (REFUSED_IN_LINES if lines else REFUSED).search(text)
    if refused:
        raise BadUserInput(field, f"contains the control character U+{ord(refused[0]):04X}; remove it.")
    return text


def _check_length(field: str, text: str, longest: int, allowance: int = 1) -> None:
    if len(text) > longest * allowance:
        raise BadUserInput(field, f"has {len(text)} characters; at most {longest} are allowed.")


def check_count(field: str, value: Sized, most: int) -> None:
    """Raises BadUserInput for a list or an object with too many entries."""
    if len(value) > most:
        raise BadUserInput(field, f"has {len(value)} entries; at most {most} are allowed.")


def check_count_between(field: str, value: Sized, fewest: int, most: int, what: str) -> None:
    """Raises BadUserInput for a list with too few or too many entries. `what` names them, such as "stages"."""
    if not fewest <= len(value) <= most:
        raise BadUserInput(field, f"has {len(value)} entries; {fewest} to {most} {what} are allowed.")


def _check_marks(field: str, text: str) -> None:
    for two in TWO_MARKS:
        text = text.replace(two, "\u0301\u0301")
    # In overlapping parts, so that a text that begins with too many marks is refused without reading the rest.
    for start in range(0, len(text), CHUNK):
        classes = bytes(map(unicodedata.combining, text[start : start + CHUNK + MOST_MARKS]))
        if max(map(len, classes.split(b"\0"))) > MOST_MARKS:
            raise BadUserInput(field, f"has more than {MOST_MARKS} combining marks in a row; remove some.")


def quoted(value: Any) -> str:
    """A value as a refusal quotes it: as JSON, shortened."""
    if isinstance(value, str):
        shown = cut(value)
        # Unprintable characters are escaped. A response in UTF-8 could not even contain half a surrogate pair.
        return json.dumps(shown, ensure_ascii=not shown.isprintable())
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None or isinstance(value, bool | float):
        return json.dumps(value)
    if isinstance(value, int) and value.bit_length() > 100:
        # Python refuses to write thousands of digits.
        return f"a number of {value.bit_length()} bits"
    return cut(repr(value))


def inside(field: str, name: str | int) -> str:
    """The path of an object's value with a name, or of a list's entry at a position."""
    return f"{field}[{name}]" if isinstance(name, int) else f"{field}.{cut(name)}"


def cut(text: str, longest: int = QUOTED) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
