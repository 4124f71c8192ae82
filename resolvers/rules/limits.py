"""What each input may hold. A limit describes itself in the schema, and cleans a value or refuses it by name."""

import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from resolvers.errors import BadUserInput


class Limit(Protocol):
    @property
    def describe(self) -> str: ...

    def clean(self, field: str, value: Any) -> Any:
        """The value as it is kept; BadUserInput, naming the field, where it cannot be."""


@dataclass(frozen=True)
class Text:
    """Unicode in form NFC, trimmed, without control characters; line breaks and tabs only where lines are allowed."""

    longest: int
    lines: bool = False

    @property
    def describe(self) -> str:
        return f"1 to {self.longest} characters{'' if self.lines else ' on one line'}, trimmed."

    def clean(self, field: str, value: Any) -> str:
        if not isinstance(value, str):
            raise BadUserInput(field, f"is {value!r}; it must be text.")
        kept = unicodedata.normalize("NFC", value).strip()
        if not kept:
            raise BadUserInput(field, "is empty; give it at least one character or leave it out.")
        if len(kept) > self.longest:
            raise BadUserInput(field, f"has {len(kept)} characters; at most {self.longest} are allowed.")
        for character in kept:
            if self._is_refused(character):
                raise BadUserInput(field, f"holds the control character U+{ord(character):04X}; remove it.")
        return kept

    def _is_refused(self, character: str) -> bool:
        if self.lines and character in "\n\t\r":
            return False
        # Cc: controls, Cs: lone surrogates, Zl and Zp: line and paragraph separators.
        return unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")


@dataclass(frozen=True)
class Id:
    """A readable id: its type's prefix, then 1 to 100 of A-Z a-z 0-9 . _ -"""

    prefix: str

    @property
    def describe(self) -> str:
        return f"`{self.prefix}_` and 1 to 100 of A-Z a-z 0-9 . _ -"

    def clean(self, field: str, value: Any) -> str:
        if not re.fullmatch(rf"{self.prefix}_[A-Za-z0-9._-]{{1,100}}", str(value), re.ASCII):
            raise BadUserInput(field, f"is {str(value)[:120]!r}; it must be {self.describe}")
        return str(value)


@dataclass(frozen=True)
class Whole:
    """A whole number that is not negative."""

    highest: int = 2**63 - 1

    @property
    def describe(self) -> str:
        return "0 or more."

    def clean(self, field: str, value: Any) -> int:
        if not 0 <= value <= self.highest:
            raise BadUserInput(field, f"is {value}; it must be 0 to {self.highest}.")
        return int(value)


@dataclass(frozen=True)
class Seconds:
    @property
    def describe(self) -> str:
        return "In seconds, 0 or more."

    def clean(self, field: str, value: Any) -> float:
        if not math.isfinite(value) or value < 0:
            raise BadUserInput(field, f"is {value}; it must be a finite number of seconds, 0 or more.")
        return float(value)


@dataclass(frozen=True)
class ListOf:
    """Distinct entries, in the order given."""

    each: Limit
    most: int

    @property
    def describe(self) -> str:
        return f"At most {self.most} different entries, each {self.each.describe}"

    def clean(self, field: str, value: Any) -> list[Any]:
        if len(value) > self.most:
            raise BadUserInput(field, f"has {len(value)} entries; at most {self.most} are allowed.")
        kept = [self.each.clean(f"{field}[{place}]", entry) for place, entry in enumerate(value)]
        return list(dict.fromkeys(kept))


@dataclass(frozen=True)
class Metrics:
    """An object of finite numbers by name."""

    most: int = 200
    name: Text = Text(100)

    @property
    def describe(self) -> str:
        return f'An object of finite numbers by name, such as {{"auc": 0.912}}; at most {self.most}.'

    def clean(self, field: str, value: Any) -> dict[str, float]:
        if not isinstance(value, Mapping):
            raise BadUserInput(field, f"is {_short(value)}; it must be an object of numbers by name.")
        if len(value) > self.most:
            raise BadUserInput(field, f"has {len(value)} entries; at most {self.most} are allowed.")
        kept = {self.name.clean(f"{field} name", name): self._number(f"{field}.{name}", n) for name, n in value.items()}
        if len(kept) < len(value):
            raise BadUserInput(field, "has two names that are the same after trimming; keep one.")
        return kept

    def _number(self, field: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise BadUserInput(field, f"is {_short(value)}; a metric must be a number.")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            raise BadUserInput(field, f"is {_short(value)}; a metric must be a finite number.")
        return number


@dataclass(frozen=True)
class JsonObject:
    """A JSON object, bounded in size and depth."""

    most_bytes: int = 65_536
    deepest: int = 10

    @property
    def describe(self) -> str:
        return f"An object of at most {self.most_bytes} bytes, nested at most {self.deepest} deep."

    def clean(self, field: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise BadUserInput(field, f"is {_short(value)}; it must be an object.")
        self._walk(field, value, 1)
        try:
            size = len(orjson.dumps(value))
        except (TypeError, ValueError) as error:
            raise BadUserInput(field, f"cannot be written as JSON ({error}).") from None
        if size > self.most_bytes:
            raise BadUserInput(field, f"takes {size} bytes as JSON; at most {self.most_bytes} are allowed.")
        return dict(value)

    def _walk(self, field: str, value: Any, depth: int) -> None:
        if depth > self.deepest:
            raise BadUserInput(field, f"is nested more than {self.deepest} deep.")
        if isinstance(value, Mapping):
            for name, inner in value.items():
                self._walk(f"{field}.{_plain(field, name)}", inner, depth + 1)
        elif isinstance(value, list):
            for place, inner in enumerate(value):
                self._walk(f"{field}[{place}]", inner, depth + 1)
        elif isinstance(value, str):
            _plain(field, value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise BadUserInput(field, "is not a finite number.")


def _plain(field: str, text: str) -> str:
    # PostgreSQL cannot keep NUL in text, and lone surrogates are not Unicode.
    if "\0" in text or any(unicodedata.category(c) == "Cs" for c in text if ord(c) > 0xD7FF):
        raise BadUserInput(field, "holds a NUL character or half a surrogate pair; remove it.")
    return text


def _short(value: Any) -> str:
    written = repr(value)
    return written if len(written) <= 60 else f"{written[:57]}..."


NAME = Text(200)
TAG = Text(64)
NOTES = Text(10_000, lines=True)
URI = Text(2_000)
DIGEST = Text(200)
EMAIL = Text(254)
FEATURES = ListOf(Text(200), 5_000)
TAGS = ListOf(TAG, 50)
