"""What a rollback may return to, under any sequence of promotions, archivings and rollbacks."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from resolvers.rules.rollbacks import Former, Left, ProductionStep, exits, was_replaced, why_not
from storage.vocabulary import Stage

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ACTIONS = st.lists(st.sampled_from(["promote", "archive", "roll back", "promote again"]), max_size=25)


class Model:
    """A model's versions in production, kept as its history, and beside it in the plainest way."""

    def __init__(self) -> None:
        self.history: list[ProductionStep] = []
        self.serving: str | None = None
        self.number = 0
        # The versions that another one replaced, the last last; and those that were left on purpose.
        self.replaced: list[str] = []
        self.left: dict[str, Left] = {}

    def step(self, entering: str | None, how: Left) -> None:
        at = BEGIN + timedelta(minutes=len(self.history))
        if self.serving is not None:
            self.history.append(ProductionStep(self.serving, enters=False, at=at))
            if how is Left.REPLACED:
                self.replaced.append(self.serving)
            else:
                self.left[self.serving] = how
        if entering is not None:
            self.history.append(ProductionStep(entering, enters=True, at=at))
            self.replaced = [each for each in self.replaced if each != entering]
            self.left.pop(entering, None)
        self.serving = entering

    def do(self, action: str) -> None:
        if action == "promote":
            self.number += 1
            self.step(f"ver_{self.number}", Left.REPLACED)
        elif action == "archive" and self.serving:
            self.step(None, Left.ARCHIVED)
        elif action == "roll back" and self.replaced:
            self.step(self.replaced[-1], Left.ROLLED_BACK)
        elif action == "promote again" and self.left:
            # An older version, on purpose: what it replaces is left on purpose as well.
            self.step(next(iter(self.left)), Left.ROLLED_BACK)


@given(ACTIONS)
def test_only_what_another_version_replaced_is_chosen_and_the_last_of_it(actions: list[str]) -> None:
    model = Model()
    for action in actions:
        model.do(action)
        left = exits(model.history)
        assert [version for version, how in left.items() if how is Left.REPLACED] == model.replaced
        assert {version: how for version, how in left.items() if how is not Left.REPLACED} == model.left
        assert model.serving not in left


def test_a_version_that_was_archived_by_hand_after_it_was_replaced_is_not_chosen() -> None:
    replaced = Former("ver_1", Stage.ARCHIVED, Stage.PRODUCTION)
    assert was_replaced(replaced, Left.REPLACED)
    by_hand = replaced._replace(came_from=Stage.STAGING)
    assert not was_replaced(by_hand, Left.REPLACED)
    assert why_not(by_hand, Left.REPLACED) is Left.ARCHIVED
    assert was_replaced(replaced._replace(stage=Stage.STAGING, came_from=Stage.ARCHIVED), Left.REPLACED)


def test_a_version_that_was_never_in_production_was_not_replaced() -> None:
    never = Former("ver_1", Stage.ARCHIVED, Stage.STAGING)
    assert why_not(never, None) is Left.ARCHIVED
