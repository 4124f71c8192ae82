"""The custom scalars."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NewType

from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition, scalar

from resolvers.errors import BadUserInput
from resolvers.rules import semver
from resolvers.rules.cleaning import quoted

SemVer = NewType("SemVer", str)
BigInt = NewType("BigInt", int)


DATE = r"\d{4}-\d{2}-\d{2}"
# Seconds may be left out, which RFC 3339 does not allow and many programs do. Second 60 is a leap second.
TIME = r"(?P<minute>\d{2}:\d{2})(?::(?P<second>\d{2})(?P<fraction>\.\d{1,30})?)?"
MOMENT = re.compile(rf"(?P<date>{DATE})(?:[Tt ]{TIME}(?P<zone>[Zz]|[+-]\d{{2}}:\d{{2}})?)?", re.ASCII)


def parse_moment(value: Any) -> datetime:
    """RFC 3339, or a date for the start of that day in UTC."""
    match = MOMENT.fullmatch(value) if isinstance(value, str) else None
    if match and match["minute"] and not match["zone"]:
        sentence = f"is {quoted(value)}, which has no time zone; add Z for UTC, or an offset such as +01:00."
        raise BadUserInput("DateTime", sentence)
    try:
        if match is None:
            raise ValueError
        second = match["second"] or "00"
        leap = timedelta(seconds=second == "60")
        time = f"{match['minute'] or '00:00'}:{'59' if leap else second}{(match['fraction'] or '')[:7]}"
        zone = "+00:00" if match["zone"] in (None, "Z", "z") else match["zone"]
        return (datetime.fromisoformat(f"{match['date']}T{time}{zone}") + leap).astimezone(UTC)
    except (ValueError, OverflowError):
        sentence = f"is {quoted(value)}; use RFC 3339, such as 2026-11-25 or 2026-11-25T09:00:00Z."
        raise BadUserInput("DateTime", sentence) from None


def parse_big(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise BadUserInput("BigInt", f"is {quoted(value)}; it must be a whole number of 64 bits.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: scalar(
        name="DateTime",
        description="A time in RFC 3339 format with its time zone, such as 2026-11-25T09:00:00Z, returned in UTC. A"
        " date without a time means the start of that day in UTC.",
        parse_value=parse_moment,
    ),
    SemVer: scalar(
        name="SemVer",
        description="A version number MAJOR.MINOR.PATCH. Each part is a whole number from 0"
        " to 999999999 without leading zeros.",
        parse_value=semver.parse,
    ),
    BigInt: scalar(name="BigInt", description="A 64-bit integer, as a JSON number.", parse_value=parse_big),
    JSON: scalar(name="JSON", description="Any JSON value."),
}
