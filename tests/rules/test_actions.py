"""The list of actions is what the documentation is made from."""

from resolvers.rules.actions import ACTIONS


def test_every_action_is_described_in_one_sentence() -> None:
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in ACTIONS.values())
    assert list(ACTIONS) == sorted(ACTIONS)
    assert len(set(ACTIONS.values())) == len(ACTIONS)
