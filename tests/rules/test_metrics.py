import pytest

from resolvers.rules.metrics import HIGHER_IS_BETTER, LOWER_IS_BETTER, higher_is_better


@pytest.mark.parametrize(
    ("name", "better"),
    [("auc", True), ("ROC AUC", True), ("val_accuracy", True), ("log_loss", False), ("test-RMSE", False),
     ("revenue", None), ("validation", None), ("", None)],
)  # fmt: skip
def test_the_direction_of_a_metric_is_known_or_unknown_never_guessed(name: str, better: bool | None) -> None:
    assert higher_is_better(name) is better


def test_no_metric_is_better_both_ways() -> None:
    assert not HIGHER_IS_BETTER & LOWER_IS_BETTER
