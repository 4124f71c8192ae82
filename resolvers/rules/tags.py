"""Tags by a project's shared vocabulary (product description, "Standardize tags across teams").

OFF     tags are accepted as they are
WARN    aliases turn into the shared name; unknown and deprecated tags are accepted, with a warning
ENFORCE aliases turn into the shared name; unknown and deprecated tags are refused

A project without a vocabulary has nothing to warn of. `keep` is always known: it keeps a version from retention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import nlargest

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import quoted
from storage.vocabulary import PolicyMode

REMEDY = "Use a tag of the vocabulary, or define this one with defineTag."
KEEP = "keep"
# How alike two names must be (difflib's ratio) to be suggested for each other.
ALIKE = 0.6
# Comparing two names takes time by the product of their lengths: so many tags get a suggestion, each out of so many
# names.
SUGGESTIONS, COMPARED = 5, 50
# Of a large vocabulary, those that begin alike.
BEGINNINGS = range(1, 17)


@dataclass(frozen=True)
class Vocabulary:
    """The defined tags, whether each is deprecated, and the other names that stand for them."""

    mode: PolicyMode
    deprecated: Mapping[str, bool]
    aliases: Mapping[str, str]


def shared_tags(tags: Sequence[str], vocabulary: Vocabulary, field: str) -> tuple[list[str], list[str]]:
    """The tags by their shared names, each once, and what will be warned of; BadUserInput where one is refused."""
    warnings = [
        f"The tag {quoted(tag)} has a comma. If it is several tags, send several." for tag in tags if "," in tag
    ]
    if vocabulary.mode is PolicyMode.OFF or not vocabulary.deprecated:
        return list(tags), warnings
    shared = [vocabulary.aliases.get(tag, tag) for tag in tags]
    for place, tag in enumerate(shared):
        wrong = _wrong(tag, vocabulary, suggest=len(warnings) < SUGGESTIONS)
        if wrong and vocabulary.mode is PolicyMode.ENFORCE:
            raise BadUserInput(f"{field}[{place}]", f"is {quoted(tag)}, which {wrong}. {REMEDY}")
        warnings += [f"The tag {quoted(tag)} {wrong}."] if wrong else []
    return list(dict.fromkeys(shared)), warnings


def _wrong(tag: str, vocabulary: Vocabulary, *, suggest: bool) -> str | None:
    if tag == KEEP:
        return None
    if tag in vocabulary.deprecated:
        return "is deprecated in this project" if vocabulary.deprecated[tag] else None
    nearest = _nearest(tag, vocabulary) if suggest else None
    suggestion = f"; the nearest tag is {quoted(nearest)}" if nearest else ""
    return f"is not in the project's vocabulary{suggestion}"


def _nearest(tag: str, vocabulary: Vocabulary) -> str | None:
    known = [name for name, deprecated in vocabulary.deprecated.items() if not deprecated]
    names = [*known, *vocabulary.aliases]
    if len(names) > COMPARED:
        names = nlargest(COMPARED, names, key=lambda name: sum(name.startswith(tag[:n]) for n in BEGINNINGS))
    nearest = get_close_matches(tag, names, 1, ALIKE)
    return vocabulary.aliases.get(nearest[0], nearest[0]) if nearest else None
