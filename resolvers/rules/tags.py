"""Tags by a project's shared vocabulary (product description, "Standardize tags across teams").

OFF     tags are accepted unchanged
WARN    aliases turn into the shared name; unknown and deprecated tags are accepted, with a warning
ENFORCE aliases turn into the shared name; unknown and deprecated tags are refused

A project without a vocabulary gets no warnings. `keep` is always known: it excludes a version from retention.
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
# The similarity (difflib's ratio) from which on a name is suggested for another.
ALIKE = 0.6
# Comparing two names takes time proportional to the product of their lengths, so only this many tags get a suggestion,
# each out of this many names.
SUGGESTIONS, COMPARED = 5, 50
# In a large vocabulary, only names with the same beginning are compared.
BEGINNINGS = range(1, 17)


@dataclass(frozen=True)
class Vocabulary:
    """The defined tags, whether each is deprecated, and the other names that stand for them."""

    mode: PolicyMode
    deprecated: Mapping[str, bool]
    aliases: Mapping[str, str]


def shared_tags(tags: Sequence[str], vocabulary: Vocabulary, field: str) -> tuple[list[str], list[str]]:
    """The tags by their shared names, each once, and the warnings. Raises BadUserInput if a tag is refused."""
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
