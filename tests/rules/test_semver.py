import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import BadUserInput
from resolvers.rules.semver import FIRST, LARGEST, Number, beside, declared_bump, next_number, parse
from storage.vocabulary import Bump

parts = st.integers(0, LARGEST)
numbers = st.builds(Number, parts, parts, parts)
small = st.builds(Number, st.integers(0, 4), st.integers(0, 4), st.integers(0, 4))


@given(numbers)
def test_a_number_is_read_as_it_is_written(number: Number) -> None:
    assert parse(str(number)) == number


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.0", "1.0.0.0", "01.0.0", "1.00.0", "v1.0.0", "1.0.0-rc1", " 1.0.0", "1.0.0\n", "-1.0.0", "1.0.x",
     "1000000000.0.0", "1٠.0.0", None, 1, 1.0, ["1.0.0"]],
)  # fmt: skip
def test_anything_else_is_refused_with_the_rule(text: object) -> None:
    with pytest.raises(BadUserInput, match=r"versions are MAJOR\.MINOR\.PATCH"):
        parse(text)


def test_numbers_are_ordered_as_numbers() -> None:
    assert parse("2.10.0") > parse("2.9.9")
    assert parse("10.0.0") > parse("9.99.99")


@given(st.sets(small), small, st.sampled_from(Bump))
def test_the_next_number_is_free_above_its_parent_and_declares_the_bump(
    taken: set[Number], parent: Number, bump: Bump
) -> None:
    taken = taken | {parent}
    low, high = beside(parent, bump)
    highest = max((number for number in taken if low <= number < high), default=None)
    made = next_number(parent, bump, highest)
    assert made not in taken
    assert made > parent
    assert declared_bump(parent, made) is bump


@given(st.sets(small), st.sampled_from(Bump))
def test_without_a_parent_a_new_line_begins_above_all_others(taken: set[Number], bump: Bump) -> None:
    highest = max(taken, default=None)
    made = next_number(None, bump, highest)
    assert made == FIRST if highest is None else made == Number(highest.major + 1, 0, 0)


def test_a_number_beyond_the_largest_is_refused() -> None:
    with pytest.raises(BadUserInput, match="no part may be above"):
        next_number(Number(LARGEST, 0, 0), Bump.MAJOR, None)
