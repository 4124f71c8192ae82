import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.errors import Conflict, IllegalTransition
from resolvers.rules.stages import TRANSITIONS, Step, allowed, transition
from storage.vocabulary import Stage

stages = st.sampled_from(Stage)


@given(stages, stages, st.none() | st.just("ver_other"))
def test_only_steps_of_the_machine_are_taken(current: Stage, target: Stage, in_production: str | None) -> None:
    if target in TRANSITIONS[current]:
        steps = transition("ver_a", current, target, expected=None, in_production=in_production)
        assert steps[-1] == Step("ver_a", target, automatic=False)
    else:
        with pytest.raises(IllegalTransition) as refusal:
            transition("ver_a", current, target, expected=None, in_production=in_production)
        assert refusal.value.extensions["allowed"] == allowed(current)


def test_a_promotion_first_archives_the_version_that_it_replaces() -> None:
    steps = transition("ver_b", Stage.STAGING, Stage.PRODUCTION, expected=None, in_production="ver_a")
    assert steps == [Step("ver_a", Stage.ARCHIVED, automatic=True), Step("ver_b", Stage.PRODUCTION, automatic=False)]


def test_no_other_step_touches_the_production_version() -> None:
    for current, ways in TRANSITIONS.items():
        for target in ways:
            if target is not Stage.PRODUCTION:
                assert len(transition("ver_b", current, target, expected=None, in_production="ver_a")) == 1


@given(stages, stages, stages)
def test_a_caller_with_an_older_picture_is_refused_before_anything_else(
    current: Stage, target: Stage, expected: Stage
) -> None:
    if expected is not current:
        with pytest.raises(Conflict) as refusal:
            transition("ver_a", current, target, expected=expected, in_production=None)
        assert refusal.value.extensions["current"] == current


def test_every_stage_can_be_left_and_the_archived_only_through_staging() -> None:
    assert all(TRANSITIONS[stage] for stage in Stage)
    assert allowed("ARCHIVED") == ["STAGING"]
