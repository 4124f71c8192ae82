"""Version numbers: MAJOR.MINOR.PATCH, compared as numbers (semver.org, clauses 2 and 11)."""

import re
from typing import Any, NamedTuple

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import quoted
from storage.vocabulary import Bump

NUMBER = re.compile(r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})", re.ASCII)


class Number(NamedTuple):
    major: int
    minor: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"


FIRST = Number(1, 0, 0)
LARGEST = 999_999_999


def parse(value: Any) -> Number:
    match = NUMBER.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise BadUserInput(
            "version",
            f"is {quoted(value)}; versions are MAJOR.MINOR.PATCH without a prefix, such as 1.0.0. Each part is a whole"
            f" number up to {LARGEST} without leading zeros.",
        )
    return Number(*map(int, match.groups()))


def declared_bump(parent: Number, child: Number) -> Bump:
    """The part of the number that was raised."""
    if child.major != parent.major:
        return Bump.MAJOR
    return Bump.MINOR if child.minor != parent.minor else Bump.PATCH


def beside(parent: Number | None, bump: Bump) -> tuple[Number, Number]:
    """The range in which the next number must be the highest: from the first number up to below the second."""
    if parent is None or bump is Bump.MAJOR:
        return Number(0, 0, 0), Number(LARGEST + 1, 0, 0)
    if bump is Bump.MINOR:
        return Number(parent.major, 0, 0), Number(parent.major + 1, 0, 0)
    return Number(parent.major, parent.minor, 0), Number(parent.major, parent.minor + 1, 0)


def next_number(parent: Number | None, bump: Bump, highest: Number | None) -> Number:
    """The parent's number with this part raised, above the highest number in use in the same range.

    Two lines of work from one parent thus get different numbers, each declaring at least what it changed.
    """
    if parent is None and highest is None:
        return FIRST
    known = [number for number in (parent, highest) if number is not None]
    major, minor, patch = max(known)
    raised = {
        Bump.MAJOR: Number(major + 1, 0, 0),
        Bump.MINOR: Number(major, minor + 1, 0),
        Bump.PATCH: Number(major, minor, patch + 1),
    }[bump if parent is not None else Bump.MAJOR]
    if max(raised) > LARGEST:
        raise BadUserInput("input.bump", f"would result in {raised}; no part may be above {LARGEST}.")
    return raised
