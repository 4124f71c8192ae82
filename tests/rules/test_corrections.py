"""What a correction changes."""

from types import SimpleNamespace

from resolvers.rules.corrections import before_and_after, corrected

NOW = SimpleNamespace(name="Old", notes=None, properties={"a": 1}, archived=False)


def test_none_leaves_a_field_and_an_empty_text_clears_it() -> None:
    assert corrected(NOW, {"name": None, "notes": "New"}) == {"notes": "New"}
    assert corrected(NOW, {"name": ""}) == {"name": None}
    assert corrected(NOW, {"notes": ""}) == {}, "it is empty already"


def test_what_is_the_same_is_no_change() -> None:
    assert corrected(NOW, {"name": "Old", "properties": {"a": 1.0}, "archived": False}) == {}
    assert corrected(NOW, {"properties": {"a": True}}) == {"properties": {"a": True}}
    assert corrected(NOW, {"properties": {}, "archived": True}) == {"properties": {}, "archived": True}


def test_the_event_holds_what_changes_and_nothing_else() -> None:
    assert before_and_after(NOW, {"name": "New"}) == {"before": {"name": "Old"}, "after": {"name": "New"}}
