from typing import Any

import pytest

from resolvers.rules.approvals import Asked, Person
from resolvers.rules.gates import Incumbent, Promotion, assess
from resolvers.rules.policies import Policy
from storage.vocabulary import Stage

REVIEWER = Person(id="prin_a", email="ana", kind="USER", role="REVIEWER")
POLICY: Policy = {
    "required_approvals": 1, "allow_self_approval": False, "allow_requester_approval": False,
    "require_complete_card": False, "block_invalid_data": True,
    "semver": "WARN", "tags": "WARN", "min_metrics": [], "max_regression": 0.1,
    "retention_days": 90, "approval_valid_days": 30, "loosening_hours": 24,
    "protected_aliases": [],
}  # fmt: skip
PROMOTION = Promotion(
    stage="STAGING", position=2, author="bo", number=[1, 1, 0], policy=POLICY, card={},
    reviewed={"cardRevision": 0, "data": {}}, people=[REVIEWER], requester=None, reviewer_left=False, loosened_alone=[],
    request=None,
    reviews=[], experiment=None, metrics={"auc": 0.9}, incumbent=None, parent=None,
    child={"model": "model_a", "number": [1, 1, 0], "facts": {}}, invalid_data=[],
)  # fmt: skip
ALL = ["transition", "approvals", "card", "metrics", "data", "experiment", "bump", "incumbent"]


def closed(promotion: Promotion, target: Stage = Stage.PRODUCTION) -> list[str]:
    found = assess(promotion, target, Asked(REVIEWER))
    assert all(gate.reason.endswith(".") for gate in found.gates)
    assert found.allowed is not bool(found.failed)
    return [gate.name for gate in found.failed]


def test_into_production_all_gates_count_and_elsewhere_the_stage_machine() -> None:
    assert [gate.name for gate in assess(PROMOTION, Stage.PRODUCTION, Asked(REVIEWER)).gates] == ALL
    assert [gate.name for gate in assess(PROMOTION, Stage.ARCHIVED, Asked(REVIEWER)).gates] == ["transition"]
    assert closed(PROMOTION) == []


@pytest.mark.parametrize(("stage", "target"), [("DEVELOPMENT", Stage.PRODUCTION), ("ARCHIVED", Stage.DEVELOPMENT)])
def test_the_stage_machine_is_a_gate(stage: str, target: Stage) -> None:
    assert closed(PROMOTION._replace(stage=stage), target) == ["transition"]


def policy(**changes: Any) -> dict[str, Any]:
    return POLICY | changes


def compared(major: int, algorithm: str) -> dict[str, Any]:
    return {"model": "m", "number": [major, 0, 0], "facts": {"algorithm": algorithm}}


@pytest.mark.parametrize(
    ("changes", "gates"),
    [
        ({"policy": policy(required_approvals=2)}, ["approvals"]),
        ({"author": "ana"}, ["approvals"]),
        ({"policy": policy(require_complete_card=True)}, ["card"]),
        ({"policy": policy(min_metrics=[{"name": "auc", "min": 0.91, "max": None}])}, ["metrics"]),
        ({"policy": policy(min_metrics=[{"name": "auc", "min": None, "max": 0.89}])}, ["metrics"]),
        ({"policy": policy(min_metrics=[{"name": "f1", "min": 0.0, "max": None}])}, ["metrics"]),
        ({"invalid_data": ["b"]}, ["data"]),
        ({"experiment": "FAILED"}, ["experiment"]),
        ({"parent": compared(1, "xgboost"), "child": {"model": "m", "number": [1, 1, 0], "facts": {"algorithm": "mlp"}},
          "policy": policy(semver="ENFORCE")}, ["bump"]),
        ({"incumbent": {"number": [1, 0, 0], "metrics": {"auc": 1.01}}}, ["incumbent"]),
    ],
)  # fmt: skip
def test_each_gate_closes_by_itself(changes: Any, gates: list[str]) -> None:
    assert closed(PROMOTION._replace(**changes)) == gates


@pytest.mark.parametrize(
    "changes",
    [
        {"policy": policy(min_metrics=[{"name": "auc", "min": 0.9, "max": 0.9}])},
        {"invalid_data": ["b"], "policy": policy(block_invalid_data=False)},
        {"experiment": "COMPLETED"},
        {"parent": compared(1, "xgboost"), "child": {"model": "m", "number": [1, 1, 0], "facts": {"algorithm": "mlp"}}},
        {"parent": compared(1, "xgboost"), "child": compared(2, "mlp"), "policy": policy(semver="ENFORCE")},
        {"incumbent": {"number": [1, 0, 0], "metrics": {"auc": 0.99}}},
        {"incumbent": {"number": [1, 0, 0], "metrics": {"auc": 9.0}}, "policy": policy(max_regression=None)},
        {"incumbent": {"number": [1, 0, 0], "metrics": {"mystery": 9.0, "f1": 1.0}}},
        {"incumbent": {"number": [1, 0, 0], "metrics": {"auc": 0.0}}},
    ],
)
def test_what_the_policy_allows_goes_through(changes: Any) -> None:
    assert closed(PROMOTION._replace(**changes)) == []


def test_lower_is_worse_only_where_higher_is_better() -> None:
    incumbent: Incumbent = {"number": [1, 0, 0], "metrics": {"log_loss": 0.3}}
    assert closed(PROMOTION._replace(incumbent=incumbent, metrics={"log_loss": 0.2})) == []
    assert closed(PROMOTION._replace(incumbent=incumbent, metrics={"log_loss": 0.34})) == ["incumbent"]
