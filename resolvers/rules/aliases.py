"""The names of aliases: in lower case, and none that already means something else."""

import re
from dataclasses import dataclass

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import quoted
from resolvers.rules.limits import Sought, Text
from storage.vocabulary import Stage

# How many aliases a model can have.
MOST_ALIASES = 100
LONGEST = 100
FORM = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
RESERVED = {"latest", *(stage.lower() for stage in Stage)}
# 7, v7, 2.1, 2.1.0, v2.1.0-rc1
NUMBER = re.compile(r"v?[0-9._-]*[0-9][0-9._-]*|v?[0-9]+\.[0-9]+\.[0-9]+([-+_.].*)?", re.ASCII)
RULE = "`latest`, the names of stages and anything that reads as a number are reserved."


def is_reserved_alias(name: str) -> bool:
    return name in RESERVED or NUMBER.fullmatch(name) is not None or _is_literal(name.removeprefix("v"))


def _is_literal(text: str) -> bool:
    """Whether a program reads it as a number: 1e5, inf, nan, 0x1f."""
    for read in (float, lambda written: int(written, 0)):
        try:
            read(text)
        except ValueError:
            continue
        return True
    return False


@dataclass(frozen=True)
class Alias:
    """The name of an alias, in lower case: `Champion` and `champion` would be mistaken for each other."""

    @property
    def describe(self) -> str:
        return (
            f"1 to {LONGEST} of the characters `a-z0-9._-`, starting with a letter or a digit. Not case-sensitive."
            f" BAD_USER_INPUT if it is reserved: {RULE}"
        )

    def clean(self, field: str, value: object) -> str:
        name = Text(LONGEST).clean(field, value).lower()
        if not FORM.fullmatch(name):
            raise BadUserInput(
                field,
                f"is {quoted(value)}; an alias consists of a-z, 0-9, dots, underscores and hyphens, and starts with a"
                " letter or a digit, such as champion.",
            )
        if is_reserved_alias(name):
            raise BadUserInput(field, f"is {quoted(value)}; {RULE.replace('`', '')} Use a name such as champion.")
        return name


@dataclass(frozen=True)
class SoughtAlias(Sought):
    """An alias to look for, in lower case as it is stored."""

    def clean(self, field: str, value: object) -> str:
        return super().clean(field, value).lower()
