"""Comparisons against ones written here, plainly, for generated versions."""

import json
import math
from random import Random
from typing import Any

import pytest

from resolvers.renderings.comparison_markdown import markdown
from resolvers.rules import comparison
from resolvers.rules.leaves import leaves
from resolvers.rules.metrics import higher_is_better
from resolvers.rules.same import same

METRICS = ["auc", "log_loss", "own", "a|b"]
VALUES: list[Any] = [
    None,
    True,
    1,
    1.0,
    0,
    "x",
    [1, {"a": 2}],
    [],
    {},
    {"deep": {"er": 1}},
    {"deep": {"er": 2, "b": None}},
]


def generated(random: Random) -> dict[str, Any]:
    def parameters() -> dict[str, Any]:
        names = random.sample(["depth", "rate", "a.b", "optimizer", "π"], random.randrange(6))
        return {
            name: random.choice([*VALUES, {"x": random.choice(VALUES), "y": {"z": random.choice(VALUES)}}])
            for name in names
        }

    def measured() -> dict[str, float]:
        names = random.sample(METRICS, random.randrange(5))
        return {
            name: random.choice([0.0, 0.5, 0.9, -1.5, 1.7976931348623157e308, -1.7976931348623157e308])
            for name in names
        }

    features = random.choice([[], ["a"], ["a", "b"], ["b", "c", "d"]])
    facts: dict[str, Any] = {
        "algorithm": random.choice([None, "xgboost", "mlp"]),
        "target": None,
        "dataset": random.choice([None, "ds_a"]),
    }
    facts |= {"dataset_version": None, "features": features, "parameters": parameters()}
    segments = {name: measured() | {"samples": 3.0} for name in random.sample(["s", "t"], random.randrange(3))}
    return {
        "change": {"model": random.choice(["model_a", "model_a", "model_b"]), "number": [1, 0, 0], "facts": facts},
        "model": "model_a",
        "version": "1.0.0",
        "stage": "STAGING",
        "metrics": measured(),
        "tags": random.sample(["x", "y", "z"], random.randrange(4)),
        "segments": random.choice([None, segments]),
        "trainingData": random.choice([None, {"name": "Orders | 2025", "rowCount": random.choice([None, 5])}]),
    }


def flat(value: Any, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """Every leaf by its path, numbers that are the same alike, as text."""
    if isinstance(value, dict) and (value or not path):
        return {key: text for name, inner in value.items() for key, text in flat(inner, (*path, name)).items()}
    return {path: json.dumps(plain(value), sort_keys=True)}


def plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {name: plain(each) for name, each in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("count", [2, 3, 10])
def test_a_comparison_says_what_a_plain_one_says(count: int) -> None:
    random = Random(count)
    for _ in range(500):
        versions = [generated(random) for _ in range(count)]
        leaves = [flat(version["change"]["facts"]["parameters"]) for version in versions]
        paths = {path for each in leaves for path in each}
        differing = {path for path in paths if len({each.get(path) for each in leaves}) > 1}
        assert len(comparison.parameter_diffs(versions, only_changed=False)) == len(paths)
        assert len(comparison.parameter_diffs(versions, only_changed=True)) == len(differing)
        for diff in comparison.metric_diffs(versions):
            values = [version["metrics"].get(diff["name"]) for version in versions]
            assert diff["values"] == values
            known = values[0] is not None and values[-1] is not None and math.isfinite(values[-1] - values[0])
            assert (diff["delta"] is not None) == known
            better = higher_is_better(diff["name"])
            if known and better is not None:
                assert diff["improved"] == (values[-1] > values[0] if better else values[-1] < values[0])
        assert len(comparison.metric_diffs(versions)) == len({name for v in versions for name in v["metrics"]})
        first, last = set(versions[0]["tags"]), set(versions[-1]["tags"])
        assert comparison.tag_diff(versions) == {"added": sorted(last - first), "removed": sorted(first - last)}
        for table in [part for part in markdown(versions).split("\n\n") if part.startswith("|")]:
            cells = {line.replace("\\|", "").count("|") for line in table.split("\n")}
            assert len(cells) == 1, table


def test_one_is_the_same_as_one_point_zero_and_not_as_true() -> None:
    assert same({"a": [1, None]}, {"a": [1.0, None]})
    assert not same({"a": 1}, {"a": True})
    assert not same({"a": None}, {})


def test_what_is_changed_is_changed_for_the_number_too_and_null_is_told_from_nothing() -> None:
    for before, after, shown in (
        ({"a": True}, {"a": 1}, "| a | true | 1 |"),
        ({"a": None, "b": 1}, {"b": 1}, "| a | null | - |"),
    ):
        versions = [side(parameters=parameters) for parameters in (before, after)]
        assert [each["name"] for each in comparison.parameter_diffs(versions, True)] == ["a"]
        assert (comparison.required_bump(versions), comparison.reasons(versions)) == (
            "MINOR",
            ["Hyper-parameters changed: a."],
        )
        assert shown in markdown(versions)


def test_a_difference_beyond_what_numbers_hold_is_an_improvement_all_the_same() -> None:
    (found,) = comparison.metric_diffs([side(metrics={"auc": -1.7e308}), side(metrics={"auc": 1.7e308})])
    assert (found["delta"], found["improved"]) == (None, True)


def side(**facts: Any) -> dict[str, Any]:
    """A version as it is compared, with these facts."""
    made = generated(Random(1))
    stated = dict.fromkeys(made["change"]["facts"]) | {"features": [], "parameters": facts.get("parameters", {})}
    return made | {"metrics": facts.get("metrics", {}), "segments": None, "change": made["change"] | {"facts": stated}}


def test_names_within_objects_have_dots_and_names_with_dots_quotes() -> None:
    assert dict(leaves({"a": {"b": 1, "c.d": {"e": {}}}, "f": [{"g": 1}]})) == {
        "a.b": 1,
        'a."c.d".e': {},
        "f": [{"g": 1}],
    }


def test_a_long_name_is_not_repeated_whole_for_all_that_it_holds() -> None:
    long, other = "A" * 30_000, "A" * 29_999 + "B"
    found = dict(leaves({long: {f"leaf {n}": n for n in range(3_000)}, other: {"leaf": 1}}))
    assert len(found) == 3_001
    assert max(map(len, found)) < 300
    assert dict(leaves({long: {"x": 1}})).keys() == dict(leaves({long: {"x": 2}})).keys()
