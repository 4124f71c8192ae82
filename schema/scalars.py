"""The custom scalars."""

from datetime import UTC, datetime
from typing import Any, NewType

from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition, scalar

from resolvers.errors import BadUserInput
from resolvers.rules import semver
from resolvers.rules.cleaning import quoted

SemVer = NewType("SemVer", str)
BigInt = NewType("BigInt", int)


# RFC 3339 with microseconds and an offset takes 32.
LONGEST_MOMENT = 64


def parse_moment(value: Any) -> datetime:
    """RFC 3339, or a date for the start of that day in UTC."""
    try:
        moment = datetime.fromisoformat(value if len(value) <= LONGEST_MOMENT else "")
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        sentence = f"is {quoted(value)}; use RFC 3339, such as 2026-11-25 or 2026-11-25T09:00:00Z."
        raise BadUserInput("DateTime", sentence) from None


def parse_big(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not -(2**63) <= value < 2**63:
        raise BadUserInput("BigInt", f"is {quoted(value)}; it must be a whole number of 64 bits.")
    return value


SCALARS: dict[object, ScalarDefinition] = {
    datetime: scalar(
        name="DateTime",
        description="A time in RFC 3339 format, returned in UTC. A date"
        " without a time means the start of that day in UTC.",
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
