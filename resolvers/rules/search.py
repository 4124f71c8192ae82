"""Free text as people type it: words, "quoted phrases", and a last word that may be unfinished.

Words are compared whole and in lower case, without punctuation: q4-retrain is the phrase "q4 retrain". All must occur.
"""

import re

from resolvers.errors import BadUserInput

LONGEST, MOST_WORDS = 500, 20
# The same characters part words where versions' texts are kept (words_of in the migrations).
PUNCTUATION = re.compile(r"[\s!-/:-@\[-`{-~]+")


def tsquery(query: str, field: str) -> str:
    """The query for PostgreSQL's to_tsquery; BadUserInput where there is nothing to search for, or too much."""
    if len(query) > LONGEST:
        raise BadUserInput(field, f"has {len(query)} characters; at most {LONGEST} are allowed.")
    phrases = [words for part in _parts(query) if (words := _words(part))]
    count = sum(map(len, phrases))
    if not phrases:
        raise BadUserInput(field, "holds no word to search for; leave it out to search without text.")
    if count > MOST_WORDS:
        raise BadUserInput(field, f"has {count} words; at most {MOST_WORDS} are allowed.")
    unfinished = "" if query.rstrip().endswith('"') else ":*"
    return " & ".join(" <-> ".join(f"'{word}'" for word in words) for words in phrases) + unfinished


def _parts(query: str) -> list[str]:
    """What stands in quotes as one part, and every other word; a quote that is not closed ends with the text."""
    return [part for place, text in enumerate(query.split('"')) for part in ([text] if place % 2 else text.split())]


def _words(part: str) -> list[str]:
    return [word for word in PUNCTUATION.split(part) if word]
