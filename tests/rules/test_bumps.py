from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.algorithms import family
from resolvers.rules.bumps import TrainingFacts, declared, is_sufficient, required_change
from resolvers.rules.semver import Number
from storage.vocabulary import Bump

BASE = TrainingFacts(
    algorithm="xgboost",
    target="churned",
    dataset="ds_a",
    dataset_version="dsv_1",
    features=tuple(f"f{n}" for n in range(10)),
    parameters={"algorithm": "xgboost", "max_depth": 6},
    artifact_uri="s3://a",
    artifact_digest="sha256:a",
)


@pytest.mark.parametrize(
    ("changed", "bump"),
    [
        ({"algorithm": "mlp"}, Bump.MAJOR),
        ({"algorithm": "LightGBM"}, Bump.MINOR),
        ({"target": "spend"}, Bump.MAJOR),
        ({"dataset": "ds_b", "dataset_version": "dsv_9"}, Bump.MAJOR),
        ({"dataset_version": "dsv_2"}, Bump.MINOR),
        ({"features": BASE.features[1:]}, Bump.MAJOR),
        ({"features": (*BASE.features, "a", "b")}, Bump.MINOR),
        ({"features": (*BASE.features, "a", "b", "c")}, Bump.MAJOR),
        ({"features": tuple(reversed(BASE.features))}, Bump.PATCH),
        ({"parameters": {"algorithm": "xgboost", "max_depth": 7}}, Bump.MINOR),
        ({"parameters": {"algorithm": "xgboost"}}, Bump.MINOR),
        ({"artifact_digest": "sha256:b"}, Bump.MINOR),
        ({"artifact_uri": "s3://moved"}, Bump.PATCH),
        ({"artifact_uri": "s3://b", "artifact_digest": None}, Bump.MINOR),
        ({}, Bump.PATCH),
    ],
)
def test_each_change_requires_its_bump(changed: dict[str, Any], bump: Bump) -> None:
    change = required_change(BASE, replace(BASE, **changed))
    assert change.required is bump
    assert change.reasons


@given(st.sets(st.sampled_from(sorted(TrainingFacts.__dataclass_fields__))))
def test_facts_that_one_side_does_not_state_are_not_compared(unstated: set[str]) -> None:
    unknown: dict[str, Any] = {name: {"features": (), "parameters": {}}.get(name) for name in unstated}
    assert required_change(BASE, replace(BASE, **unknown)).required is Bump.PATCH
    assert required_change(replace(BASE, **unknown), BASE).required is Bump.PATCH


def test_all_reasons_are_given_the_weightiest_first() -> None:
    other = replace(BASE, target="spend", dataset_version="dsv_2", parameters={"algorithm": "xgboost", "max_depth": 7})
    assert required_change(BASE, other).reasons == [
        "The target changed from churned to spend.",
        "The version of the data set changed from dsv_1 to dsv_2.",
        "Hyper-parameters changed: max_depth.",
    ]


def test_a_bump_suffices_for_itself_and_for_lighter_ones() -> None:
    assert is_sufficient(Bump.MAJOR, Bump.MINOR)
    assert is_sufficient(Bump.MINOR, Bump.MINOR)
    assert not is_sufficient(Bump.PATCH, Bump.MINOR)


def test_a_version_of_another_model_declares_a_major_change() -> None:
    assert declared(Number(3, 2, 1), Number(3, 2, 2), same_model=False) is Bump.MAJOR
    assert declared(Number(3, 2, 1), Number(3, 2, 2), same_model=True) is Bump.PATCH


@pytest.mark.parametrize(
    ("one", "other"), [("XGBoost", "Light-GBM"), ("Random Forest", "extra-trees"), ("LSTM", "mlp")]
)
def test_algorithms_of_one_family_are_known_in_any_spelling(one: str, other: str) -> None:
    assert family(one) == family(other)


def test_an_unknown_algorithm_requires_nothing_and_the_reason_says_so() -> None:
    change = required_change(replace(BASE, algorithm="xgboost"), replace(BASE, algorithm="our own"))
    unknown = "whether that is another family of algorithms is not known."
    assert change == (Bump.PATCH, [f"The algorithm changed from xgboost to our own; {unknown}"])


def test_spellings_of_one_algorithm_are_no_change() -> None:
    change = required_change(replace(BASE, algorithm="XGBoost"), replace(BASE, algorithm="xgb"))
    assert change == (Bump.PATCH, ["No training fact changed."])


def test_a_reason_names_the_leaf_that_changed() -> None:
    before = {"model": {"optimizer": {"lr": 0.1, "name": "adam"}, "depth": 6}}
    after = {"model": {"optimizer": {"lr": 0.2, "name": "adam"}, "depth": 6}}
    change = required_change(replace(BASE, parameters=before), replace(BASE, parameters=after))
    assert change.reasons == ["Hyper-parameters changed: model.optimizer.lr."]


def test_a_reason_does_not_repeat_a_long_name() -> None:
    (reason,) = required_change(BASE, replace(BASE, parameters={**BASE.parameters, "k" * 60_000: 1})).reasons
    assert reason == f"Hyper-parameters changed: {'k' * 197}...."
