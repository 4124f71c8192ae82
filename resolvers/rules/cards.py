"""Model cards: the sections that people write, the part that the registry fills in, and the completeness of a card
(product description, "Model Cards").

completeness = (written sections + stated facts) / (all sections + all facts). A section counts as written if it has
content: text that is not empty, a summary with at least one entry, a segment with at least one number. A fact counts as
stated if it was given when the version was registered. Nothing is guessed: everything else is missing.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from resolvers.rules.metrics import higher_is_better

# The API's name of each section, by its stored name.
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
# The facts of a version that every card should have.
FACTS = ("algorithm", "parameters", "metrics", "features", "target", "trainingData", "experiment")

# A row of version_cards, and the facts of its version from card.sql.
Card = Mapping[str, Any]
VersionFacts = Mapping[str, Any]


def missing_sections(card: Card) -> list[str]:
    return [shown for name, shown in SECTIONS.items() if not _says(card.get(name))]


def _says(section: Any) -> bool:
    """Whether a section has any content: `{"extra": {}}` has none."""
    if isinstance(section, Mapping):
        return any(_says(part) for part in section.values())
    return section not in (None, "", [])


def missing(card: Card, facts: VersionFacts) -> list[str]:
    """The sections that were not written, then the facts that were not stated."""
    stated = generated(facts)
    return missing_sections(card) + [fact for fact in FACTS if fact not in stated]


def completeness(card: Card, facts: VersionFacts) -> float:
    """From 0 to 1."""
    parts = len(SECTIONS) + len(FACTS)
    return (parts - len(missing(card, facts))) / parts


def changed_sections(before: Card, after: Card) -> list[str]:
    return [shown for name, shown in SECTIONS.items() if before.get(name) != after.get(name)]


def generated(facts: VersionFacts) -> dict[str, Any]:
    """The part of a card that the registry fills in from the version's facts. Facts that were not stated are
    omitted."""
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
    """The summary of the training data that people wrote, completed by the stated facts."""
    written = card["training_data_summary"] or {}
    rows = [use["rowCount"] for use in facts["data"] if use["role"] == "TRAINING"]
    # Several data sets can share rows, so their row counts are not added up.
    stated = {"total_rows": rows[0] if len(rows) == 1 else None, "feature_count": len(facts["features"]) or None}
    known = {name: stated.get(name) if written.get(name) is None else written[name] for name in SUMMARY}
    return {shown: known[name] for name, shown in SUMMARY.items()} | {"extra": written.get("extra") or {}}


def segments(card: Card) -> list[dict[str, Any]]:
    """The segments of a card by name, each metric with its direction if known."""
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
    """The worst segment for each metric whose direction is known and that was also measured on the whole."""
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
