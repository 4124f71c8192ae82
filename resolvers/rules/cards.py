"""Model cards: what the registry fills in, which sections people write, and how complete a card is (product
description, "Model Cards").

completeness = (written sections + stated facts) / (all sections + all facts). A section is written when it says
something: text that is not empty, a summary with at least one entry, a segment with at least one number. A fact is
stated when whoever registered the version gave it. Nothing is guessed: what nobody wrote or stated is missing.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from resolvers.rules.metrics import higher_is_better

# As the API names them, by the names that they are kept under.
SECTIONS = {
    "description": "description",
    "intended_use": "intendedUse",
    "limitations": "limitations",
    "ethical_considerations": "ethicalConsiderations",
    "training_data_summary": "trainingDataSummary",
    "performance_by_segment": "performanceBySegment",
}
SUMMARY = {
    "source": "source",
    "date_range": "dateRange",
    "total_rows": "totalRows",
    "positive_class_ratio": "positiveClassRatio",
    "feature_count": "featureCount",
}
# Of a version's facts, those that every card should have.
FACTS = ("algorithm", "parameters", "metrics", "features", "target", "trainingData", "experiment")

# A row of version_cards, and what card.sql says of its version.
Card = Mapping[str, Any]
VersionFacts = Mapping[str, Any]


def missing_sections(card: Card) -> list[str]:
    return [shown for name, shown in SECTIONS.items() if not _says(card.get(name))]


def _says(section: Any) -> bool:
    """Whether anything is said at all: `{"extra": {}}` says nothing."""
    if isinstance(section, Mapping):
        return any(_says(part) for part in section.values())
    return section not in (None, "", [])


def missing(card: Card, facts: VersionFacts) -> list[str]:
    """The sections that nobody has written, then the facts that nobody has stated."""
    stated = generated(facts)
    return missing_sections(card) + [fact for fact in FACTS if fact not in stated]


def completeness(card: Card, facts: VersionFacts) -> float:
    """From 0 to 1."""
    parts = len(SECTIONS) + len(FACTS)
    return (parts - len(missing(card, facts))) / parts


def changed_sections(before: Card, after: Card) -> list[str]:
    return [shown for name, shown in SECTIONS.items() if before.get(name) != after.get(name)]


def generated(facts: VersionFacts) -> dict[str, Any]:
    """The part of a card that the registry fills in, from what was stated of the version; without what was not."""
    data = [_stated(use) for use in facts["data"]]
    return _stated({
        "model": _stated(facts["model"]),
        **{name: facts[name] for name in ("version", "algorithm", "parameters", "metrics", "target")},
        "features": facts["features"],
        "featureCount": len(facts["features"]) or None,
        "trainingData": [use for use in data if use["role"] == "TRAINING"],
        "evaluationData": [use for use in data if use["role"] != "TRAINING"],
        **{name: _stated(facts[name] or {}) for name in ("experiment", "artifact", "parent")},
        "operations": [_stated(deployment) for deployment in facts["deployments"]],
        **{name: facts[name] for name in ("registeredAt", "registeredBy")},
    })  # fmt: skip


def _stated(facts: VersionFacts) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value not in (None, "", [], {})}


def training_data_summary(card: Card, facts: VersionFacts) -> dict[str, Any]:
    """What people wrote of the training data, and where they did not, what is stated of it."""
    written = card["training_data_summary"] or {}
    rows = [use["rowCount"] for use in facts["data"] if use["role"] == "TRAINING"]
    # Several data sets may share rows: their numbers are not added up.
    stated = {"total_rows": rows[0] if len(rows) == 1 else None, "feature_count": len(facts["features"]) or None}
    known = {name: stated.get(name) if written.get(name) is None else written[name] for name in SUMMARY}
    return {shown: known[name] for name, shown in SUMMARY.items()} | {"extra": written.get("extra") or {}}


def segments(card: Card) -> list[dict[str, Any]]:
    """The segments of a card by name, each metric next to the direction that is known of it."""
    written: Mapping[str, Mapping[str, float]] = card["performance_by_segment"] or {}
    return [
        {
            "segment": name,
            "samples": None if (samples := metrics.get("samples")) is None else int(samples),
            "metrics": [
                {"name": metric, "value": value, "higherIsBetter": higher_is_better(metric)}
                for metric, value in sorted(metrics.items())
                if metric != "samples"
            ],
        }
        for name, metrics in sorted(written.items())
    ]


def worst_segments(card: Card, facts: VersionFacts) -> list[dict[str, Any]]:
    """For each metric whose direction is known, and that was measured on the whole too, the segment that does worst."""
    return [
        min(of_metric, key=lambda each: (-each["gap"], each["segment"]))
        for name, whole in sorted(facts["metrics"].items())
        if (of_metric := list(_gaps(card, name, whole)))
    ]


def _gaps(card: Card, name: str, whole: float) -> Iterator[dict[str, Any]]:
    better = higher_is_better(name)
    for segment, metrics in (card["performance_by_segment"] or {}).items():
        if better is not None and name in metrics:
            value = metrics[name]
            gap = whole - value if better else value - whole
            if math.isfinite(gap):
                yield {"segment": segment, "metric": name, "value": value, "whole": whole, "gap": gap}
