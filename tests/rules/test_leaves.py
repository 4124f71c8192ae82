"""Facts among hyper-parameters that no training depends on."""

from resolvers.rules.bumps import TrainingFacts, required_change
from resolvers.rules.leaves import misplaced
from storage.vocabulary import Bump


def test_facts_that_are_no_hyper_parameters_are_pointed_out_by_their_paths() -> None:
    parameters = {"lr": 0.1, "git_commit": "3f2a9c", "meta": {"run_id": "r1", "depth": 6}, "License": "MIT", "url": "x"}
    (warning,) = misplaced(parameters)
    assert warning == (
        "parameters has git_commit, meta.run_id, License and 1 more, which no training depends on. Send such facts as"
        " properties: a change of parameters requires a MINOR bump."
    )


def test_hyper_parameters_alone_are_not_pointed_out() -> None:
    assert misplaced({"lr": 0.1, "model": {"depth": 6, "committee": 3}, "seed": 42}) == []
    assert misplaced({}) == []


def test_properties_are_no_training_facts() -> None:
    assert required_change(TrainingFacts(), TrainingFacts()).required is Bump.PATCH
    assert "properties" not in TrainingFacts.__dataclass_fields__
