"""Search text as people type it: words, "quoted phrases", and a last word that may be incomplete.

Words are compared whole and in lower case, without punctuation: q4-retrain is the phrase "q4 retrain". All must occur.
"""

import re

from resolvers.errors import BadUserInput
from resolvers.rules.cleaning import clean_text

LONGEST, MOST_WORDS = 500, 20
# The same characters separate words in the stored texts of versions (words_of in the migrations): all of ASCII but
# letters and digits, and spaces and punctuation beyond it.
PUNCTUATION = re.compile(
    r"[\x01-/:-@\[-`{-\xa1\xa7\xab\xb6\xb7\xbb\xbf\u1680\u2000-\u206f\u3000-\u3003\u3008-\u3011\u3014-\u301f"
    r"\uff01-\uff0f\uff1a-\uff20]+"
)


def tsquery(query: str, field: str) -> str:
    """The query for PostgreSQL's to_tsquery. Raises BadUserInput if there are no words, or too many."""
    query = clean_text(field, query, LONGEST, lines=True)
    phrases = [(words, is_whole) for part, is_whole in _parts(query) if (words := _words(part))]
    count = sum(len(words) for words, _ in phrases)
    if not phrases:
        raise BadUserInput(field, "contains no word to search for; omit it to search without text.")
    if count > MOST_WORDS:
        raise BadUserInput(field, f"has {count} words; at most {MOST_WORDS} are allowed.")
    _, is_whole = phrases[-1]
    parts = [" <-> ".join(f"'{word}'" for word in words) for words, _ in phrases]
    return " & ".join(parts) + ("" if is_whole else ":*")


def _parts(query: str) -> list[tuple[str, bool]]:
    """Each word, and each quoted phrase as a whole. A quote that is not closed ends with the text, because it may still
    be being typed."""
    texts = query.split('"')
    return [
        (part, is_quoted and place < len(texts) - 1)
        for place, text in enumerate(texts)
        for is_quoted in [place % 2 == 1]
        for part in ([text] if is_quoted else text.split())
    ]


def _words(part: str) -> list[str]:
    return [word for word in PUNCTUATION.split(part) if word]
