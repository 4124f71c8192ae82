"""Names that a reader cannot see, or would see as another."""

import re

import pytest

from resolvers.errors import BadUserInput
from resolvers.rules.limits import NAME, NOTES, TAG

INVISIBLE = ["\u200b", "\u3164", "\u2800", "\u200d\u200c", "\ufeff\ufeff", "\u115f\u1160", "\u0301", "\U000e0067"]
HIDDEN = ["churn\u200b", "ch\u202eurn", "\u2066churn\u2069", "churn\ufeffmodel", "chu\u2060rn", "a\u3164b"]
FINE = [
    "churn",
    "été",
    "नमस्ते",
    "می\u200cخواهم",
    "👩\u200d💻",
    "中文",
    "e\u0301te",
    "שלום\u200f",
    "🏴\U000e0067\U000e0062\U000e007f",
]


@pytest.mark.parametrize("text", INVISIBLE)
@pytest.mark.parametrize("limit", [NAME, TAG, NOTES])
def test_text_without_a_visible_character_is_refused(limit: object, text: str) -> None:
    with pytest.raises(BadUserInput, match=r"name (has no visible character|is empty); use at least one"):
        limit.clean("name", text)  # type: ignore[attr-defined]


@pytest.mark.parametrize("text", HIDDEN)
def test_a_name_with_a_hidden_character_is_refused_by_its_code(text: str) -> None:
    with pytest.raises(BadUserInput, match=r"name contains the invisible character U\+[0-9A-F]{4}; remove it"):
        NAME.clean("name", text)


@pytest.mark.parametrize("text", FINE)
def test_text_of_every_script_is_kept(text: str) -> None:
    assert NAME.clean("name", text) == NOTES.clean("notes", text)


def test_notes_may_hold_directions_but_no_overrides() -> None:
    assert NOTES.clean("notes", "\u2066abc\u2069 שלום") == "\u2066abc\u2069 שלום"
    with pytest.raises(BadUserInput, match=re.escape("notes contains the invisible character U+202E; remove it.")):
        NOTES.clean("notes", "abc \u202e def")
