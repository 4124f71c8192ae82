"""How every text comes in: bounded first, then in Unicode's form NFC, trimmed, without control characters.

What a refusal says of a value is cut short: it may be as large as a request.
"""

import json
import re
import unicodedata
from collections.abc import Mapping, Sized
from typing import Any

from resolvers.errors import BadUserInput

# Each character of a text in form NFC stands for at most four of a text that is not (Unicode UAX #15).
DECOMPOSED = 4
# The Stream-Safe limit of UAX #15. Normalisation orders the marks of a run, in time that is quadratic in its length.
MOST_MARKS = 30
QUOTED = 60
# Cc: controls, Cs: lone surrogates, Zl and Zp: line and paragraph separators.
REFUSED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
REFUSED_IN_LINES = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# Marks in all but name: each is of class 0, as letters are, and falls apart into two marks.
TWO_MARKS = "\u0f73\u0f75\u0f81"
CHUNK = 500
# Marks, format characters and separators: they show nothing on their own.
INKLESS = {"Cf", "Mn", "Me", "Zs", "Cn"}


# Characters that change the direction of the text around them, so that it shows another order than it has.
OVERRIDES = re.compile("[\u202d\u202e]")
# In a name also those that begin such a run, and those of no width or no ink: two names that look alike would differ.
UNSEEN = re.compile("[\u202a-\u202e\u2066-\u2069\u200b\u2060-\u2064\ufeff\u180e\u115f\u1160\u3164\uffa0\u2800]")


def check_visible(field: str, text: str, *, lines: bool) -> None:
    """BadUserInput for text that a reader would not see as it is."""
    if text.isascii():
        return
    if not UNSEEN.sub("", text).strip() or all(unicodedata.category(each) in INKLESS for each in text):
        raise BadUserInput(field, "has no visible character; use at least one, or omit it.")
    hidden = (OVERRIDES if lines else UNSEEN).search(text)
    if hidden:
        raise BadUserInput(field, f"contains the invisible character U+{ord(hidden[0]):04X}; remove it.")


def clean_text(field: str, value: Any, longest: int, *, lines: bool = False) -> str:
    """The text as it is kept or looked for; it may be empty. BadUserInput, naming the field, where it cannot be."""
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
    """BadUserInput for a list or an object with too many entries."""
    if len(value) > most:
        raise BadUserInput(field, f"has {len(value)} entries; at most {most} are allowed.")


def check_count_between(field: str, value: Sized, fewest: int, most: int, what: str) -> None:
    """BadUserInput for a list with too few or too many entries; `what` is what they are, such as "stages"."""
    if not fewest <= len(value) <= most:
        raise BadUserInput(field, f"has {len(value)} entries; {fewest} to {most} {what} are allowed.")


def _check_marks(field: str, text: str) -> None:
    for two in TWO_MARKS:
        text = text.replace(two, "\u0301\u0301")
    # In parts that overlap: what begins with too many is refused without a look at the rest.
    for start in range(0, len(text), CHUNK):
        classes = bytes(map(unicodedata.combining, text[start : start + CHUNK + MOST_MARKS]))
        if max(map(len, classes.split(b"\0"))) > MOST_MARKS:
            raise BadUserInput(field, f"has more than {MOST_MARKS} combining marks in a row; remove some.")


def quoted(value: Any) -> str:
    """A value as a refusal quotes it: as JSON, cut short."""
    if isinstance(value, str):
        shown = cut(value)
        # What cannot be shown is escaped; an answer in UTF-8 could not even hold half a surrogate pair.
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
    """The path of what an object holds under a name, or a list at a place."""
    return f"{field}[{name}]" if isinstance(name, int) else f"{field}.{cut(name)}"


def cut(text: str, longest: int = QUOTED) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
