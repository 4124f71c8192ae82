"""Which names an alias can have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import BadUserInput
from resolvers.rules.aliases import Alias
from storage.vocabulary import Stage

GOOD = ["champion", "challenger-2", "a", "2nd.best", "blue_green", "v", "vx", "v2-beta", "x1", "latest-1", "e5", "0xyz"]
RESERVED = [
    *("latest", "LATEST", "Production", "staging", "development", "archived"),
    *("1", "007", "v1", "V1", "2.1", "2.1.0", "v2.1.0", "1-2", "1_000", "2.1.0-rc1", "v2.1.0.beta"),
    *("1e5", "v1e5", "inf", "nan", "Infinity", "0x1f", "0b1"),
]
WRONG = ["", " ", "-1", "+1", ".5", "_a", "a b", "a/b", "a@b", "chämpion", "a\nb", "\u0661", "a" * 101]


@pytest.mark.parametrize("name", GOOD)
def test_a_name_is_accepted_in_lower_case(name: str) -> None:
    assert Alias().clean("input.alias", f" {name.upper()} ") == name


@pytest.mark.parametrize("name", [*RESERVED, *(stage.value for stage in Stage)])
def test_what_already_means_a_version_is_reserved(name: str) -> None:
    with pytest.raises(BadUserInput, match=r"^input\.alias is .*reserved") as refusal:
        Alias().clean("input.alias", name)
    assert refusal.value.extensions["field"] == "input.alias"


@pytest.mark.parametrize("name", WRONG)
def test_a_name_of_another_form_is_refused(name: str) -> None:
    with pytest.raises(BadUserInput, match=r"^input\.alias"):
        Alias().clean("input.alias", name)


@given(st.integers(0, 10**30) | st.floats(min_value=0) | st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){0,3}\Z"))
def test_no_number_is_an_alias(number: object) -> None:
    for text in (str(number), f"v{number}"):
        with pytest.raises(BadUserInput):
            Alias().clean("input.alias", text)
