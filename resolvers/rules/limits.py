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
    lowest: int = 0

    @property
    def describe(self) -> str:
        return f"{self.lowest} or more." if self.highest >= 2**31 - 1 else f"{self.lowest} to {self.highest}."

    def clean(self, field: str, value: Any) -> int:
        if not self.lowest <= value <= self.highest:
            raise BadUserInput(field, f"is {value}; it must be {self.lowest} to {self.highest}.")
        return int(value)


@dataclass(frozen=True)
class Share:
    @property
    def describe(self) -> str:
        return "A share from 0 to 1."

    def clean(self, field: str, value: Any) -> float:
        if not 0 <= value <= 1:
            raise BadUserInput(field, f"is {value}; it must be a share from 0 to 1.")
        return float(value)


@dataclass(frozen=True)
class Email:
    """An address, in lower case: it is who somebody is."""

    longest: int = 254

    @property
    def describe(self) -> str:
        return f"An email address in ASCII, at most {self.longest} characters; upper and lower case are the same."

    def clean(self, field: str, value: Any) -> str:
        kept = Text(self.longest).clean(field, value).lower()
        # As it was given: some letters are plain ones in form NFC (the Kelvin sign a K), and so somebody else's.
        if not value.isascii() or not re.fullmatch(r"[^\s@]+@[^\s@]+", kept):
            raise BadUserInput(field, f"is {_short(value)}; it must be an email address such as ana@example.com.")
        return kept


@dataclass(frozen=True)
class Name:
    """Who somebody is, or claims to be: compared as addresses are."""

    longest: int = 254

    @property
    def describe(self) -> str:
        return f"1 to {self.longest} characters; upper and lower case are the same."

    def clean(self, field: str, value: Any) -> str:
        return Text(self.longest).clean(field, value).lower()


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
class Minutes:
    least: float
    most: float = 30 * 24 * 60.0

    @property
    def describe(self) -> str:
        return f"In minutes, {self.least:g} to {self.most:g}."

    def clean(self, field: str, value: Any) -> float:
        if not self.least <= value <= self.most:
            raise BadUserInput(field, f"is {value:g}; it must be {self.least:g} to {self.most:g} minutes.")
        return float(value)


@dataclass(frozen=True)
class Form:
    """Text of one form."""

    form: str
    describe: str
    longest: int

    def clean(self, field: str, value: Any) -> str:
        kept = Text(self.longest).clean(field, value)
        if not re.fullmatch(self.form, kept, re.ASCII):
            raise BadUserInput(field, f"is {_short(kept)}; it must be {self.describe}")
        return kept


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
class Thresholds:
    """Ranges of metrics, each with a bound at least."""

    most: int = 50

    @property
    def describe(self) -> str:
        return f"At most {self.most}, each with a least or a greatest value; the given list replaces the one before."

    def clean(self, field: str, value: Any) -> list[dict[str, Any]]:
        if len(value) > self.most:
            raise BadUserInput(field, f"has {len(value)} entries; at most {self.most} are allowed.")
        kept = [self._threshold(f"{field}[{place}]", each) for place, each in enumerate(value)]
        if len({each["name"] for each in kept}) < len(kept):
            raise BadUserInput(field, "names a metric twice; give it one range.")
        return kept

    def _threshold(self, field: str, value: Mapping[str, Any]) -> dict[str, Any]:
        low, high = value.get("min"), value.get("max")
        for name, bound in (("min", low), ("max", high)):
            if bound is not None and not math.isfinite(bound):
                raise BadUserInput(f"{field}.{name}", f"is {bound}; it must be a finite number.")
        if low is None and high is None:
            raise BadUserInput(field, "has no bound; give it min, max or both.")
        if low is not None and high is not None and low > high:
            raise BadUserInput(field, f"has min {low:g} above max {high:g}; exchange them.")
        return {"name": Text(100).clean(f"{field}.name", value["name"]), "min": low, "max": high}


# They are kept as doubles.
MOST_SAMPLES = 2**53 - 1


@dataclass(frozen=True)
class Segments:
    """Metrics by segment; `samples` among them says how many samples the segment has."""

    most: int = 100

    @property
    def describe(self) -> str:
        return (
            'An object of metrics by segment, such as {"enterprise": {"auc": 0.89, "samples": 12400}}; at most'
            f" {self.most} segments."
        )

    def clean(self, field: str, value: Any) -> dict[str, dict[str, float]]:
        if not isinstance(value, Mapping):
            raise BadUserInput(field, f"is {_short(value)}; it must be an object of metrics by segment.")
        if len(value) > self.most:
            raise BadUserInput(field, f"has {len(value)} segments; at most {self.most} are allowed.")
        name = Text(100)
        kept = {name.clean(f"{field} name", each): self._segment(f"{field}.{each}", m) for each, m in value.items()}
        if len(kept) < len(value):
            raise BadUserInput(field, "has two segments that are the same after trimming; keep one.")
        return kept

    def _segment(self, field: str, value: Any) -> dict[str, float]:
        kept = Metrics().clean(field, value)
        samples = kept.get("samples")
        if samples is not None and not (0 <= samples <= MOST_SAMPLES and samples == int(samples)):
            raise BadUserInput(f"{field}.samples", f"is {samples:g}; it must be a whole number, 0 to {MOST_SAMPLES}.")
        return kept


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
EMAIL = Email()
HTTP = Form(
    r"https?://[^\s/?#@]+([/?#]\S*)?",
    "an http or https address with a host, such as https://example.com/events.",
    2_000,
)
ENVIRONMENT = Form(
    r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "1 to 50 of a-z 0-9 -, beginning and ending with a letter or digit.", 50
)
FEATURES = ListOf(Text(200), 5_000)
TAGS = ListOf(TAG, 50)
