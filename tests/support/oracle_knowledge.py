"""What reads must answer of cards, comparisons, search and impact: part of the oracle."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from graphql import GraphQLError

from resolvers.renderings import comparison_markdown
from resolvers.renderings.card_cyclone_dx import card_cyclone_dx
from resolvers.renderings.card_hugging_face import card_hugging_face
from resolvers.renderings.card_markdown import card_markdown
from resolvers.rules import cards, comparison
from tests.support import oracle, oracle_deployments, oracle_governance
from tests.support.oracle import Data, Row
from tests.support.oracle_governance import metrics

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
        "deployments": oracle_deployments.operations(data, version),
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
    def answer(data: Data, card: Row) -> Any:
        return rule(card | {"updated_at": oracle.moment_text(card["updated_at"])}, facts(data, card))

    return answer


# Search


def has_words(data: Data, version: Row, query: str) -> bool:
    """Whether all words and phrases of a query occur, each phrase within one text."""
    texts = [words(text) for text in texts_of(data, version) if text]
    parts = [part for place, text in enumerate(query.split('"')) for part in ([text] if place % 2 else text.split())]
    phrases = [phrase for part in parts if (phrase := words(part))]
    unfinished = not query.rstrip().endswith('"')  # quotes that are drawn are closed
    return all(
        any(occurs(phrase, text, unfinished and place == len(phrases) - 1) for text in texts)
        for place, phrase in enumerate(phrases)
    )


def words(text: str) -> list[str]:
    return "".join(c if c.isalnum() else " " for c in text.lower()).split()


def occurs(phrase: list[str], text: list[str], unfinished: bool) -> bool:
    def is_meant(found: list[str]) -> bool:
        return found == phrase or (
            unfinished and len(found) == len(phrase) and found[:-1] == phrase[:-1] and found[-1].startswith(phrase[-1])
        )

    return any(is_meant(text[start : start + len(phrase)]) for start in range(len(text)))


def texts_of(data: Data, version: Row) -> list[str | None]:
    model = data.by_id("models", version["model_id"]) or {}
    written = data.one("model_cards", version_id=version["id"]) or {}
    summary = written.get("training_data_summary") or {}
    experiment = data.by_id("experiments", version["experiment_id"]) or {}
    return [
        *(model[name] for name in ("name", "id", "description")),
        version["description"],
        *(row["tag"] for row in data.all("tags", version_id=version["id"])),
        *(written.get(name) for name in ("description", "intended_use", "limitations", "ethical_considerations")),
        *(summary.get(name) for name in ("source", "date_range")),
        *(experiment.get(name) for name in ("name", "notes")),
        *(step["notes"] for step in data.all("stage_transitions", version_id=version["id"])),
    ]


# Comparison


def compare_versions(data: Data, _: Row, model_id: str, versions: list[str], only_changed: bool | None = True) -> Row:
    found = [data.one("versions", model_id=model_id, number=oracle.number(each)) for each in versions]
    return compared(data, found, only_changed)


def compare_to(
    data: Data, row: Row, version: str, only_changed: bool | None = True, model_id: str | None = None
) -> Row:
    other = data.one("versions", model_id=model_id or row["model_id"], number=oracle.number(version))
    return compared(data, [other, row], only_changed)


def compared(data: Data, versions: Sequence[Row | None], only_changed: bool | None) -> Row:
    found = [version for version in versions if version is not None]
    if len(found) < len(versions):
        raise GraphQLError("There is no version.")
    told = [side(data, version) for version in found]
    lines = [oracle.chain(data, version, 10**6) for version in found]
    common = [each for each in lines[0] if all(each in line for line in lines)]
    return {
        "versions": found,
        "metricDiffs": comparison.metric_diffs(told),
        "parameterDiffs": comparison.parameter_diffs(told, only_changed is not False),
        "datasets": [data.by_id("dataset_versions", version["dataset_version_id"]) for version in found],
        "featureDiff": comparison.feature_diff(told),
        "tagDiff": comparison.tag_diff(told),
        "segmentDiffs": comparison.segment_diffs(told),
        "requiredBump": comparison.required_bump(told),
        "reasons": comparison.reasons(told),
        "commonAncestor": common[0] if common else None,
        "markdown": comparison_markdown.markdown(told),
    }


def side(data: Data, version: Row) -> Row:
    trained_on = data.by_id("dataset_versions", version["dataset_version_id"])
    written = data.one("model_cards", version_id=version["id"]) or {}
    return {
        "change": oracle_governance.compared(data, version),
        "model": version["model_id"],
        "version": oracle.number_text(version),
        "stage": version["stage"],
        "metrics": metrics(data, version),
        "tags": sorted(row["tag"] for row in data.all("tags", version_id=version["id"])),
        "segments": written.get("performance_by_segment"),
        "trainingData": trained_on
        and {"name": oracle.dataset_version_name(data, trained_on), "rowCount": trained_on["row_count"]},
    }


def stages(data: Data, found: Row) -> list[Row]:
    return counted("stage", [version["stage"] for version in found["rows"]], None)


def tags(data: Data, found: Row, first: int | None = 20) -> list[Row]:
    return counted(
        "tag", [g["tag"] for version in found["rows"] for g in data.all("tags", version_id=version["id"])], first
    )


def algorithms(data: Data, found: Row, first: int | None = 20) -> list[Row]:
    stated = [version["algorithm"] for version in found["rows"] if version["algorithm"] is not None]
    return counted("algorithm", stated, first)


def counted(name: str, values: list[str], first: int | None) -> list[Row]:
    counts = sorted(Counter(values).items(), key=lambda each: (-each[1], each[0]))
    return [{name: value, "count": count} for value, count in counts[: first or 20]]


# Impact


def impact_of_data(data: Data, row: Row) -> Row:
    """By the shortest way to data that a version was trained on; each step back is to the first id that is nearer."""
    ways, border = {row["id"]: [row["id"]]}, [row["id"]]
    while border:
        # Of two ways of one length, that by the first id comes last, and stays.
        nearer = {id_: ways[id_] for id_ in sorted(border, reverse=True)}
        links = [link for from_ in nearer for link in data.all("dataset_parents", parent_id=from_)]
        found = {link["dataset_version_id"]: [*nearer[link["parent_id"]], link["dataset_version_id"]] for link in links}
        border = [id_ for id_ in found if id_ not in ways]
        ways |= {id_: found[id_] for id_ in border}
    direct: dict[str, list[str]] = {}
    for way in sorted(ways.values(), key=lambda way: (len(way), way[-1])):
        for use in data.all("dataset_uses", dataset_version_id=way[-1], role="TRAINING"):
            direct.setdefault(use["version_id"], [*way, use["version_id"]])
    return impact(data, direct)


def impact_of(column: str) -> Callable[[Data, Row], Row]:
    return lambda data, row: impact(
        data, {each["id"]: [row["id"], each["id"]] for each in data.all("versions", **{column: row["id"]})}
    )


def impact(data: Data, direct: dict[str, list[str]]) -> Row:
    ways, border = dict(direct), list(direct)
    while border:
        children = [child for id_ in border for child in data.all("versions", parent_id=id_) if child["id"] not in ways]
        ways |= {child["id"]: [*ways[child["parent_id"]], child["id"]] for child in children}
        border = [child["id"] for child in children]
    found = [version for id_ in ways if (version := data.by_id("versions", id_))]
    newest = sorted(found, key=lambda version: (version["created_at"], version["id"]), reverse=True)
    models = {version["model_id"]: data.by_id("models", version["model_id"]) or {} for version in found}
    return {
        "ways": ways,
        "affected": found,
        "production": [version for version in newest if version["stage"] == "PRODUCTION"],
        "deployments": sorted(
            (
                row
                for row in data.tables["deployments"]
                if row["version_id"] in ways and row["status"] not in oracle_deployments.ENDED
            ),
            key=lambda row: (row["created_at"], row["id"]),
            reverse=True,
        ),
        "models": sorted(models.values(), key=lambda model: (model["name"], model["id"])),
    }


def affected(data: Data, found: Row, **paging: Any) -> Row:
    return oracle.page(data, found["affected"], oracle.NEWEST_FIRST, oracle.Paging(**paging))


def paths(data: Data, found: Row, first: int | None = 100) -> list[Row]:
    ways = sorted(found["ways"].items(), key=lambda way: (len(way[1]), way[0]))
    return [
        {"version": data.by_id("versions", id_), "via": way} for id_, way in ways[: 100 if first is None else first]
    ]


RESOLVERS: dict[str, Callable[..., Any]] = {
    "Query.compareVersions": compare_versions,
    "ModelVersion.compareTo": compare_to,
    "ModelVersion.impact": impact_of("parent_id"),
    "Experiment.impact": impact_of("experiment_id"),
    "DatasetVersion.impact": impact_of_data,
    "Impact.versions": affected,
    "Impact.paths": paths,
    "ModelVersionConnection.facets": lambda data, found: {"rows": found["rows"]},
    "VersionFacets.stages": stages,
    "VersionFacets.tags": tags,
    "VersionFacets.algorithms": algorithms,
    "ModelCard.trainingDataSummary": of_card(cards.training_data_summary),
    "ModelCard.performanceBySegment": lambda data, card: cards.segments(card),
    "ModelCard.worstSegments": of_card(cards.worst_segments),
    "ModelCard.generated": lambda data, card: cards.generated(facts(data, card)),
    "ModelCard.completeness": of_card(cards.completeness),
    "ModelCard.missing": of_card(cards.missing),
    "ModelCard.markdown": of_card(card_markdown),
    "ModelCard.huggingFace": of_card(card_hugging_face),
    "ModelCard.cycloneDx": of_card(card_cyclone_dx),
}
