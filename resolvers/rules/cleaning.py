"""How every text comes in: bounded first, then in Unicode's form NFC, trimmed, without control characters.

What a refusal says of a value is cut short: it may be as large as a request.
"""

import json
import re
import unicodedata
from collections.abc import Mapping
from itertools import groupby
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
# Marks in all but name: they are of class 0, and fall apart into two marks.
TWO_MARKS = "\u0f73\u0f75\u0f81"


def _mark_or_astral() -> re.Pattern[str]:
    """Runs of marks, and of whatever is beyond the Basic Multilingual Plane: one table lookup a character."""
    # Between these blocks are the ideographs and the Hangul syllables, which are no marks.
    blocks = range(0x0300, 0x3100), range(0xA600, 0xAC00), range(0xFB00, 0xFF00)
    marks = [chr(n) for block in blocks for n in block if unicodedata.combining(chr(n))]
    return re.compile(f"[{''.join(marks)}{TWO_MARKS}\U00010000-\U0010ffff]+")


MARK_OR_ASTRAL = _mark_or_astral()


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
        raise BadUserInput(field, f"holds the control character U+{ord(refused[0]):04X}; remove it.")
    return text


def _check_length(field: str, text: str, longest: int, allowance: int = 1) -> None:
    if len(text) > longest * allowance:
        raise BadUserInput(field, f"has {len(text)} characters; at most {longest} are allowed.")


def _check_marks(field: str, text: str) -> None:
    for run in MARK_OR_ASTRAL.findall(text):
        if len(run) > MOST_MARKS and _has_many_marks(run):
            raise BadUserInput(field, f"has more than {MOST_MARKS} combining marks in a row; remove some.")


def _has_many_marks(run: str) -> bool:
    return any(is_marks and len(list(marks)) > MOST_MARKS for is_marks, marks in groupby(run, _is_mark))


def _is_mark(character: str) -> bool:
    return unicodedata.combining(character) > 0 or character in TWO_MARKS


def quoted(value: Any) -> str:
    """A value as a refusal quotes it: as JSON, cut short."""
    if isinstance(value, str):
        cut = _cut(value)
        # What cannot be shown is escaped; an answer in UTF-8 could not even hold half a surrogate pair.
        return json.dumps(cut, ensure_ascii=not cut.isprintable())
    if isinstance(value, Mapping):
        return f"an object of {len(value)} entries"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)} entries"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and value.bit_length() > 100:
        # Python refuses to write thousands of digits.
        return f"a number of {value.bit_length()} bits"
    return _cut(repr(value))


def inside(field: str, name: str | int) -> str:
    """The path of what an object holds under a name, or a list at a place."""
    return f"{field}[{name}]" if isinstance(name, int) else f"{field}.{_cut(name)}"


def _cut(text: str) -> str:
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 3]}..."
