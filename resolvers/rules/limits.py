"""The limits of inputs. A limit describes itself in the schema, and cleans a value or refuses it by name."""

import math
import re
from dataclasses import dataclass
from typing import Any, Protocol

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import check_count, check_visible, clean_text, quoted
from resolvers.rules.ids import RESERVED
from resolvers.rules.locations import hidden_credential_in

# The key under which a field or an argument of the schema holds its limit.
LIMIT = "limit"


class Limit(Protocol):
    @property
    def describe(self) -> str: ...

    def clean(self, field: str, value: Any) -> Any:
        """The value as it is stored. Raises BadUserInput with the field if it is not acceptable."""


@dataclass(frozen=True)
class Text:
    """Unicode in form NFC, trimmed, without control characters; line breaks and tabs only where lines are allowed."""

    longest: int
    lines: bool = False

    @property
    def describe(self) -> str:
        lines = "; line breaks are allowed" if self.lines else " on one line"
        return f"1 to {self.longest:,} characters{lines}. Surrounding whitespace is removed."

    def clean(self, field: str, value: Any) -> str:
        kept = clean_text(field, value, self.longest, lines=self.lines)
        if not kept:
            raise BadUserInput(field, "is empty; use at least one character, or omit it.")
        check_visible(field, kept, lines=self.lines)
        return kept


@dataclass(frozen=True)
class Location(Text):
    """A URI without credentials."""

    @property
    def describe(self) -> str:
        return f"{super().describe} BAD_USER_INPUT if it contains a password, a token or a signature."

    def clean(self, field: str, value: Any) -> str:
        kept = super().clean(field, value)
        if part := hidden_credential_in(kept):
            raise BadUserInput(
                field,
                f"holds a credential: {part}. Credentials are never stored, as every reader could use them. Register"
                " the address without it; readers of the file use credentials of their own.",
            )
        return kept


@dataclass(frozen=True)
class Sought:
    """Text to search for, cleaned as stored text is, so that it can match."""

    longest: int = 500
    lines: bool = False

    @property
    def describe(self) -> str:
        return f"At most {self.longest:,} characters."

    def clean(self, field: str, value: Any) -> str:
        return clean_text(field, value, self.longest, lines=self.lines)


@dataclass(frozen=True)
class Id:
    """A readable id: its type's prefix, then 1 to 100 of A-Z a-z 0-9 . _ -"""

    prefix: str

    @property
    def describe(self) -> str:
        return f"Format: {self.form}"

    @property
    def form(self) -> str:
        return f"`{self.prefix}_` followed by 1 to 100 of the characters `A-Za-z0-9._-`."

    def clean(self, field: str, value: Any) -> str:
        if not re.fullmatch(rf"{self.prefix}_[A-Za-z0-9._-]{{1,100}}", str(value), re.ASCII):
            raise BadUserInput(field, f"is {quoted(value)}; it must be {self.form} For example: {self.prefix}_abc123.")
        return str(value)


@dataclass(frozen=True)
class NewId(Id):
    """The id of a new object. A reserved one is refused when it is stored, like one in use that the caller cannot
    see."""

    @property
    def describe(self) -> str:
        return (
            f"{super().describe} BAD_USER_INPUT if it begins with `{self.prefix}_{RESERVED}`, which is reserved, or if"
            " it is in use in a project that the caller cannot see."
        )

    def clean(self, field: str, value: Any) -> str:
        return Id(self.prefix).clean(field, value)


@dataclass(frozen=True)
class Whole:
    """A whole number that is not negative."""

    highest: int = 2**63 - 1
    lowest: int = 0

    @property
    def describe(self) -> str:
        bounded = self.highest < 2**31 - 1
        return f"Range: {self.lowest:,} to {self.highest:,}." if bounded else f"Minimum: {self.lowest:,}."

    def clean(self, field: str, value: Any) -> int:
        if not self.lowest <= value <= self.highest:
            raise BadUserInput(field, f"is {value}; it must be {self.lowest} to {self.highest}.")
        return int(value)


@dataclass(frozen=True)
class CheckedLater(Whole):
    """A whole number whose range a rule checks, and its field describes."""

    @property
    def describe(self) -> str:
        return ""


@dataclass(frozen=True)
class Share:
    @property
    def describe(self) -> str:
        return "Range: 0 to 1."

    def clean(self, field: str, value: Any) -> float:
        if not 0 <= value <= 1:
            raise BadUserInput(field, f"is {value}; it must be a share from 0 to 1.")
        return float(value)


@dataclass(frozen=True)
class Hours:
    most: float

    @property
    def describe(self) -> str:
        return f"Range: 0 to {self.most:,g} hours, including fractions."

    def clean(self, field: str, value: Any) -> float:
        if not 0 <= value <= self.most:
            raise BadUserInput(field, f"is {value}; it must be 0 to {self.most:,g} hours.")
        return float(value)


@dataclass(frozen=True)
class Email:
    """An email address in lower case, which identifies a principal."""

    longest: int = 254

    @property
    def describe(self) -> str:
        return f"ASCII, at most {self.longest} characters. Not case-sensitive."

    def clean(self, field: str, value: Any) -> str:
        kept = Text(self.longest).clean(field, value).lower()
        # The original text: some letters become ASCII in form NFC (the Kelvin sign becomes K), which could be another
        # person's address.
        if not value.isascii() or not re.fullmatch(r"[^\s@]+@[^\s@]+", kept):
            raise BadUserInput(field, f"is {quoted(value)}; it must be an email address such as ana@example.com.")
        return kept


@dataclass(frozen=True)
class Name:
    """The name of a principal, or a claimed one. Compared like addresses."""

    longest: int = 254

    @property
    def describe(self) -> str:
        return f"1 to {self.longest} characters. Not case-sensitive."

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
        return f"In minutes, {self.least:g} to {self.most:,g}."

    def clean(self, field: str, value: Any) -> float:
        if not self.least <= value <= self.most:
            raise BadUserInput(field, f"is {value:g}; it must be {self.least:g} to {self.most:g} minutes.")
        return float(value)


@dataclass(frozen=True)
class Form:
    """Text of one form."""

    form: str
    rule: str
    longest: int

    @property
    def describe(self) -> str:
        return f"Must be {self.rule}"

    def clean(self, field: str, value: Any) -> str:
        kept = Text(self.longest).clean(field, value)
        if not re.fullmatch(self.form, kept, re.ASCII):
            raise BadUserInput(field, f"is {quoted(kept)}; it must be {self.rule}")
        return kept


@dataclass(frozen=True)
class ListOf:
    """Distinct entries, in their order."""

    each: Limit
    most: int

    @property
    def describe(self) -> str:
        each = self.each.form if isinstance(self.each, Id) else self.each.describe
        return f"At most {self.most:,} entries. Duplicates are removed. Each entry: {each}"

    def clean(self, field: str, value: Any) -> list[Any]:
        check_count(field, value, self.most)
        kept = [self.each.clean(f"{field}[{place}]", entry) for place, entry in enumerate(value)]
        return list(dict.fromkeys(kept))


@dataclass(frozen=True)
class Several:
    """A list of values to search for, which may contain duplicates."""

    most: int

    @property
    def describe(self) -> str:
        return f"At most {self.most} entries."

    def clean(self, field: str, value: Any) -> Any:
        check_count(field, value, self.most)
        return value


NAME = Text(200)
TAG = Text(64)
NOTES = Text(10_000, lines=True)
URI = Location(2_000)
DIGEST = Text(200)
EMAIL = Email()
HTTP = Form(
    r"https?://[^\s/?#@]+([/?#]\S*)?",
    "an http or https address with a host, such as https://example.com/events.",
    2_000,
)
ENVIRONMENT = Form(
    r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", "1 to 50 of the characters `a-z0-9-`, with a letter or digit at both ends.", 50
)
# In the description of a field that contains such an address.
CREDENTIALS_CUT = "Credentials that were stored before they were refused are shown as `***`."
FEATURES = ListOf(Text(200), 5_000)
TAGS = ListOf(TAG, 50)
