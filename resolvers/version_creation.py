"""Registers a version of a locked model: its references, parent, number and rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from resolvers.datasets import require_dataset_versions
from resolvers.errors import AlreadyExists, BadUserInput, Conflict, NotFound, VersionMismatch
from resolvers.rules import bumps, semver
from resolvers.rules.bumps import Change, TrainingFacts
from resolvers.rules.cleaning import clean_text
from resolvers.rules.leaves import misplaced
from resolvers.rules.limits import NAME
from resolvers.rules.origins import NewOrigin, kept_origin
from resolvers.rules.semver import Number
from resolvers.rules.tags import Vocabulary, shared_tags
from resolvers.transaction import Transaction
from storage import experiments, tags, versions
from storage.ids import new_id
from storage.models import LockedModel
from storage.tags import RegistrationRules
from storage.versions import DatasetUse, Metric, Tag, Version
from storage.vocabulary import Bump, DatasetRole, PolicyMode, Stage


class NewDatasetUse(TypedDict):
    role: DatasetRole
    dataset_version_id: str


class NewArtifact(TypedDict, total=False):
    uri: str
    digest: str
    size_bytes: int
    format: str


class NewVersion(TypedDict, total=False):
    """The facts that a pipeline states about a version. A `parent_version` of None means that it has no parent."""

    project_id: str
    model_id: str
    version: Number
    bump: Bump
    parent_version: Number | None
    parent_id: str
    description: str
    experiment_id: str
    dataset_version_id: str
    datasets: Sequence[NewDatasetUse]
    metrics: Mapping[str, float]
    parameters: Mapping[str, Any]
    features: Sequence[str]
    target: str
    artifact: NewArtifact
    tags: Sequence[str]
    origin: NewOrigin
    properties: Mapping[str, Any]
    create_model: bool


@dataclass(frozen=True)
class Parent:
    id: str
    number: Number
    same_model: bool
    facts: TrainingFacts


@dataclass(frozen=True)
class Registered:
    version_id: str
    number: Number
    warnings: list[str]


async def register(tx: Transaction, model: LockedModel, new: NewVersion, path: str = "input") -> Registered:
    """Load, decide, store and record one version of a model that this transaction has locked."""
    if new["project_id"] != model.project_id:
        project_id = new["project_id"]
        raise NotFound("model", model.id, f"{path}.modelId", f"in project {project_id}", projectId=project_id)
    _refuse_archived(model, f"{path}.modelId")
    facts, uses = await _facts(tx, new, path)
    parent = await _parent(tx, model.id, new, path)

    rules = await tags.registration_rules(tx.session, model.project_id)
    change = bumps.required_change(parent.facts, facts) if parent else None
    number = await _number(tx, model.id, new, parent, change, path)
    warnings = bump_warnings(PolicyMode(rules.semver), number, parent, change, f"{path}.version")
    shared, of_tags = shared_tags(new.get("tags", ()), vocabulary_of(rules), f"{path}.tags")

    new = {**new, "tags": shared}
    version_id = await _keep(tx, model, new, facts, uses, number, parent)
    step = {"id": new_id("tra"), "versionId": version_id, "from": None, "to": Stage.DEVELOPMENT, "automatic": False}
    after = _details(new, number, parent)
    await tx.record("version.created", version_id, model.project_id, chain=model.id, after=after, step=step)
    return Registered(version_id, number, [*warnings, *of_tags, *misplaced(new.get("parameters", {}))])


def _refuse_archived(model: LockedModel, field: str) -> None:
    if model.archived:
        raise Conflict(
            f"{model.id} is archived and accepts no new versions. Bring it back with updateModel(archived: false).",
            field=field,
            id=model.id,
        )


def vocabulary_of(rules: RegistrationRules) -> Vocabulary:
    return Vocabulary(PolicyMode(rules.tags), rules.deprecated, rules.aliases)


async def _facts(tx: Transaction, new: NewVersion, path: str) -> tuple[TrainingFacts, list[NewDatasetUse]]:
    """The training facts that the number must reflect, and all data that the version used."""
    algorithm = _algorithm(new.get("parameters", {}).get("algorithm"), f"{path}.parameters.algorithm")
    trained_on = new.get("dataset_version_id")
    if experiment_id := new.get("experiment_id"):
        experiment = await experiments.training_source(tx.session, new["project_id"], experiment_id)
        if experiment is None:
            raise NotFound("experiment", experiment_id, f"{path}.experimentId", **_in_project(new))
        algorithm = algorithm or experiment.algorithm
        trained_on = trained_on or experiment.dataset_version_id
    uses = _uses(new, trained_on)
    training = [use["dataset_version_id"] for use in uses if use["role"] is DatasetRole.TRAINING]
    trained_on = training[0] if len(training) == 1 else trained_on
    ids = list(dict.fromkeys(use["dataset_version_id"] for use in uses))
    datasets = await require_dataset_versions(tx, new["project_id"], ids, f"{path}.datasetVersionId")
    artifact = new.get("artifact", {})
    facts = TrainingFacts(
        algorithm=algorithm,
        target=new.get("target"),
        dataset=datasets.get(trained_on or ""),
        dataset_version=trained_on,
        features=new.get("features", ()),
        parameters=new.get("parameters", {}),
        artifact_uri=artifact.get("uri"),
        artifact_digest=artifact.get("digest"),
    )
    return facts, uses


def _in_project(new: NewVersion) -> dict[str, str]:
    return {"where": "in this project", "projectId": new["project_id"]}


def _algorithm(stated: Any, field: str) -> str | None:
    """Cleaned like other names, because filters search for it."""
    return (clean_text(field, stated, NAME.longest) or None) if isinstance(stated, str) else None


def _uses(new: NewVersion, trained_on: str | None) -> list[NewDatasetUse]:
    stated = new.get("datasets", ())
    uses = {(use["role"], use["dataset_version_id"]): use for use in stated}
    if trained_on:
        key = (DatasetRole.TRAINING, trained_on)
        uses[key] = {"role": DatasetRole.TRAINING, "dataset_version_id": trained_on}
    return list(uses.values())


async def _parent(tx: Transaction, model_id: str, new: NewVersion, path: str) -> Parent | None:
    if parent_id := new.get("parent_id"):
        if new.get("parent_version") is not None:
            raise BadUserInput(f"{path}.parentId", "cannot be combined with parentVersion; use one of them.")
        row = await versions.parent_by_id(tx.session, new["project_id"], parent_id)
        if row is None:
            raise NotFound("version", parent_id, f"{path}.parentId", **_in_project(new))
    elif "parent_version" not in new:
        row = await versions.highest_below(tx.session, model_id, new.get("version"))
    elif (stated := new["parent_version"]) is None:
        return None
    else:
        row = await versions.parent_by_number(tx.session, model_id, stated)
        if row is None:
            raise NotFound("version", str(stated), f"{path}.parentVersion", f"of {model_id}", modelId=model_id)
    if row is None:
        return None
    return Parent(row.id, Number(*row.number), row.model_id == model_id, TrainingFacts(**row.facts))


async def _number(
    tx: Transaction, model_id: str, new: NewVersion, parent: Parent | None, change: Change | None, path: str
) -> Number:
    before = parent.number if parent and parent.same_model else None
    if stated := new.get("version"):
        if new.get("bump") is not None:
            raise BadUserInput(f"{path}.bump", "cannot be combined with version; use one of them.")
        if before is not None and stated <= before:
            raise BadUserInput(f"{path}.version", f"is {stated}; it must be higher than its parent's number, {before}.")
        if await versions.locked_version(tx.session, model_id, stated) is not None:
            raise AlreadyExists(
                f"{model_id} already has a version {stated}; numbers are never reused.", field=f"{path}.version"
            )
        return stated
    bump = new.get("bump") or (change.required if change and before else Bump.MAJOR)
    low, high = semver.beside(before, bump)
    highest = await versions.highest_between(tx.session, model_id, low, high)
    return semver.next_number(before, bump, Number(*highest) if highest else None)


def bump_warnings(
    mode: PolicyMode, number: Number, parent: Parent | None, change: Change | None, field: str
) -> list[str]:
    """The warnings about a number that declares too little. Raises VersionMismatch if the policy enforces it."""
    if parent is None or change is None or mode is PolicyMode.OFF:
        return []
    declared = bumps.declared(parent.number, number, parent.same_model)
    if bumps.is_sufficient(declared, change.required):
        return []
    sentence = (
        f"{number} declares a {declared} change from {parent.number}, but a {change.required} change is required. "
    )
    if mode is PolicyMode.ENFORCE:
        facts = {"required": change.required.value, "declared": declared.value, "reasons": change.reasons}
        raise VersionMismatch(sentence + " ".join(change.reasons), field=field, **facts)
    return [sentence + " ".join(change.reasons)]


async def _keep(
    tx: Transaction,
    model: LockedModel,
    new: NewVersion,
    facts: TrainingFacts,
    uses: Sequence[NewDatasetUse],
    number: Number,
    parent: Parent | None,
) -> str:
    version_id, project_id = new_id("ver"), model.project_id
    artifact = new.get("artifact", {})
    row = {
        "id": version_id,
        "project_id": project_id,
        "model_id": model.id,
        "number": list(number),
        "stage": Stage.DEVELOPMENT,
        "stage_position": 0,  # its place in the history comes with the event
        "description": new.get("description"),
        "algorithm": facts.algorithm,
        "parameters": new.get("parameters", {}),
        "features": list(facts.features),
        "target": facts.target,
        "artifact_uri": facts.artifact_uri,
        "artifact_digest": facts.artifact_digest,
        "artifact_size_bytes": artifact.get("size_bytes"),
        "artifact_format": artifact.get("format"),
        "experiment_id": new.get("experiment_id"),
        "dataset_version_id": facts.dataset_version,
        "parent_id": parent.id if parent else None,
        "origin": kept_origin(new.get("origin")),
        "properties": new.get("properties", {}),
        "created_by": tx.caller.actor,
    }
    of_version = {"project_id": project_id, "version_id": version_id}
    await tx.keep(Version, row)
    await tx.keep(Metric, *(of_version | {"name": n, "value": v} for n, v in new.get("metrics", {}).items()))
    await tx.keep(Tag, *(of_version | {"tag": tag} for tag in new.get("tags", ())))
    await tx.keep(DatasetUse, *({**of_version, **use} for use in uses))
    return version_id


def _details(new: NewVersion, number: Number, parent: Parent | None) -> dict[str, Any]:
    stated = {name: value for name, value in new.items() if name not in ("project_id", "bump", "create_model")}
    if "origin" in new:
        stated["origin"] = kept_origin(new["origin"])
    line = {"version": str(number), "parent_version": None, "parent_id": parent.id if parent else None}
    return stated | line | {"stage": Stage.DEVELOPMENT}
