from difflib import get_close_matches

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import BadUserInput
from resolvers.rules import tags as rules
from resolvers.rules.tags import KEEP, Vocabulary, shared_tags
from storage.vocabulary import PolicyMode

KNOWN = {"production-ready": False, "candidate": False, "old": True}
ALIASES = {"prod-ready": "production-ready", "approved": "production-ready"}
WORDS = [*KNOWN, *ALIASES, KEEP, "producton-ready", "zzz"]


def vocabulary(mode: PolicyMode) -> Vocabulary:
    return Vocabulary(mode, KNOWN, ALIASES)


@given(st.lists(st.sampled_from(WORDS)))
def test_warnings_name_just_what_an_enforced_vocabulary_refuses(tags: list[str]) -> None:
    kept, warnings = shared_tags(tags, vocabulary(PolicyMode.WARN), "tags")
    assert not set(kept) & set(ALIASES)
    assert len(kept) == len(set(kept))
    wrong = [tag for tag in tags if tag in ("old", "producton-ready", "zzz")]
    assert len(warnings) == len(wrong)
    if wrong:
        with pytest.raises(BadUserInput):
            shared_tags(tags, vocabulary(PolicyMode.ENFORCE), "tags")
    else:
        assert shared_tags(tags, vocabulary(PolicyMode.ENFORCE), "tags") == (kept, [])


@given(st.lists(st.sampled_from(WORDS)))
def test_nobody_looks_where_it_is_off_or_empty(tags: list[str]) -> None:
    assert shared_tags(tags, vocabulary(PolicyMode.OFF), "tags") == (tags, [])
    assert shared_tags(tags, Vocabulary(PolicyMode.ENFORCE, {}, {}), "tags") == (tags, [])


def test_however_large_the_vocabulary_few_names_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []

    def counted(tag: str, names: list[str], most: int, alike: float) -> list[str]:
        compared.extend(names)
        return get_close_matches(tag, names, most, alike)

    monkeypatch.setattr(rules, "get_close_matches", counted)
    known = {f"production-{place:04}": False for place in range(2_000)}
    tags = ["production-100", *(f"prodution-{place}" for place in range(40))]
    kept, warnings = shared_tags(tags, Vocabulary(PolicyMode.WARN, known, {}), "tags")
    assert (kept, len(warnings)) == (tags, 41)
    assert 'the nearest tag is "production-10' in warnings[0]
    assert len(compared) <= 300
