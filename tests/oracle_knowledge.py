"""What reads must answer of cards, comparisons, search and impact: part of the oracle."""

from collections.abc import Callable
from typing import Any

from resolvers.rules import cards
from tests import oracle
from tests.oracle import Data, Row
from tests.oracle_governance import metrics

# Cards


def version_of(data: Data, card: Row) -> Row:
    found = data.by_id("versions", card["version_id"])
    assert found is not None
    return found


def facts(data: Data, card: Row) -> Row:
    """What was stated of a card's version, gathered from the rows."""
    version = version_of(data, card)
    model = data.by_id("models", version["model_id"]) or {}
    project = data.by_id("projects", version["project_id"]) or {}
    parent = data.by_id("versions", version["parent_id"])
    artifact = {name: version[f"artifact_{name}"] for name in ("uri", "digest", "size_bytes", "format")}
    artifact = {"sizeBytes" if name == "size_bytes" else name: value for name, value in artifact.items()}
    return {
        "version": oracle.number_text(version),
        "versionId": version["id"],
        **{name: version[name] for name in ("description", "stage", "algorithm", "parameters", "features", "target")},
        "model": {name: model[name] for name in ("id", "name", "description")},
        "project": {name: project[name] for name in ("id", "name")},
        "artifact": artifact if version["artifact_uri"] is not None else None,
        "metrics": dict(sorted(metrics(data, version).items())),
        "tags": sorted(row["tag"] for row in data.all("tags", version_id=version["id"])),
        "data": [used(data, use) for use in oracle.uses(data, version)],
        "experiment": experiment(data.by_id("experiments", version["experiment_id"])),
        "parent": parent and {"id": parent["id"], "model": parent["model_id"], "version": oracle.number_text(parent)},
        "registeredAt": oracle.moment_text(version["created_at"]),
        "registeredBy": version["created_by"],
    }


def used(data: Data, use: Row) -> Row:
    of = data.by_id("dataset_versions", use["dataset_version_id"])
    assert of is not None
    dataset = data.by_id("datasets", of["dataset_id"]) or {}
    return {
        "role": use["role"],
        "id": of["id"],
        "dataset": dataset["name"],
        "datasetId": of["dataset_id"],
        "label": of["label"],
        "rowCount": of["row_count"],
        **{name: of[name] for name in ("uri", "digest", "status")},
        "statusReason": of["status_reason"],
    }


def experiment(row: Row | None) -> Row | None:
    return row and {
        **{name: row[name] for name in ("id", "name", "status", "algorithm")},
        "maxModels": row["max_models"],
        "trainingDurationSecs": row["training_duration_secs"],
        "notes": row["notes"],
    }


def of_card(rule: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    return lambda data, card: rule(card, facts(data, card))


RESOLVERS: dict[str, Callable[..., Any]] = {
    "ModelCard.trainingDataSummary": of_card(cards.training_data_summary),
    "ModelCard.performanceBySegment": lambda data, card: cards.segments(card),
    "ModelCard.worstSegments": of_card(cards.worst_segments),
    "ModelCard.generated": lambda data, card: cards.generated(facts(data, card)),
    "ModelCard.completeness": of_card(cards.completeness),
    "ModelCard.missing": of_card(cards.missing),
}
