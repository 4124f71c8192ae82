"""The part of the version number that a change must raise (product description, "Semantic Versioning for ML Models").

MAJOR  another algorithm family, target or data set; a removed feature; more than 20 % added features
MINOR  another version of the same data set; fewer added features; other hyper-parameters or another artifact
PATCH  no training fact changed

A fact that either side does not state is not compared: the registry never guesses. A version whose parent is of another
model starts a new line, so its number declares MAJOR, which is enough for any change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

from resolvers.rules.algorithms import family
from resolvers.rules.cleaning import cut
from resolvers.rules.limits import NAME
from resolvers.rules.same import ABSENT, same
from resolvers.rules.semver import Number, declared_bump
from storage.vocabulary import Bump

WEIGHT = list(Bump)
MANY_FEATURES = 0.20


@dataclass(frozen=True)
class TrainingFacts:
    """The facts of a training that a version's number has to reflect: algorithm, data, features, parameters and
    artifact."""

    algorithm: str | None = None
    target: str | None = None
    dataset: str | None = None
    dataset_version: str | None = None
    features: Sequence[str] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    artifact_uri: str | None = None
    artifact_digest: str | None = None


class Reason(NamedTuple):
    bump: Bump
    sentence: str


class Change(NamedTuple):
    required: Bump
    reasons: list[str]


def required_change(parent: TrainingFacts, child: TrainingFacts) -> Change:
    """The bump that the difference requires, and its reasons, most significant first."""
    reasons = [*_algorithm(parent, child), *_data(parent, child), *_features(parent, child), *_details(parent, child)]
    if not reasons:
        return Change(Bump.PATCH, ["No training fact changed."])
    reasons.sort(key=lambda reason: -WEIGHT.index(reason.bump))
    return Change(reasons[0].bump, [reason.sentence for reason in reasons])


class DeclaredChange(NamedTuple):
    required: Bump
    reasons: list[str]
    declared: Bump
    sufficient: bool


class NumberedFacts(TypedDict):
    """A version's model, number and training facts, as storage.versions.VERSION_FACTS gathers them."""

    model: str
    number: Sequence[int]
    facts: Mapping[str, Any]


def declared_change(parent: NumberedFacts, child: NumberedFacts) -> DeclaredChange:
    """The change between two versions, and the bump that the number of the second declares."""
    change = required_change(TrainingFacts(**parent["facts"]), TrainingFacts(**child["facts"]))
    bump = declared(Number(*parent["number"]), Number(*child["number"]), parent["model"] == child["model"])
    return DeclaredChange(change.required, change.reasons, bump, is_sufficient(bump, change.required))


def is_sufficient(declared: Bump, required: Bump) -> bool:
    return WEIGHT.index(declared) >= WEIGHT.index(required)


def declared(parent: Number, child: Number, same_model: bool) -> Bump:
    return declared_bump(parent, child) if same_model else Bump.MAJOR


def _differ(before: Any, after: Any) -> bool:
    return bool(before) and bool(after) and before != after


def _algorithm(parent: TrainingFacts, child: TrainingFacts) -> list[Reason]:
    reasons = []
    if _differ(parent.algorithm, child.algorithm):
        before, after = family(parent.algorithm or ""), family(child.algorithm or "")
        if before != after:
            reasons.append(Reason(Bump.MAJOR, f"The algorithm family changed from {before} to {after}."))
        else:
            reasons.append(Reason(Bump.MINOR, f"The algorithm changed from {parent.algorithm} to {child.algorithm}."))
    if _differ(parent.target, child.target):
        reasons.append(Reason(Bump.MAJOR, f"The target changed from {parent.target} to {child.target}."))
    return reasons


def _data(parent: TrainingFacts, child: TrainingFacts) -> list[Reason]:
    if _differ(parent.dataset, child.dataset):
        return [Reason(Bump.MAJOR, f"The data set changed from {parent.dataset} to {child.dataset}.")]
    if _differ(parent.dataset_version, child.dataset_version):
        before, after = parent.dataset_version, child.dataset_version
        return [Reason(Bump.MINOR, f"The version of the data set changed from {before} to {after}.")]
    return []


def _features(parent: TrainingFacts, child: TrainingFacts) -> list[Reason]:
    if not parent.features or not child.features:
        return []
    removed = sorted(set(parent.features) - set(child.features))
    added = sorted(set(child.features) - set(parent.features))
    reasons = []
    if removed:
        reasons.append(Reason(Bump.MAJOR, f"Features were removed: {_named(removed)}."))
    if added:
        share = len(added) / len(set(parent.features))
        bump = Bump.MAJOR if share > MANY_FEATURES else Bump.MINOR
        reasons.append(Reason(bump, f"Features were added ({share:.0%} of the parent's): {_named(added)}."))
    return reasons


def _details(parent: TrainingFacts, child: TrainingFacts) -> list[Reason]:
    reasons = []
    if parent.parameters and child.parameters:
        changed = sorted(
            name
            for name in {*parent.parameters, *child.parameters} - {"algorithm"}
            if not same(parent.parameters.get(name, ABSENT), child.parameters.get(name, ABSENT))
        )
        if changed:
            reasons.append(Reason(Bump.MINOR, f"Hyper-parameters changed: {_named(changed)}."))
    if _another_artifact(parent, child):
        reasons.append(Reason(Bump.MINOR, "The artifact changed."))
    return reasons


def _another_artifact(parent: TrainingFacts, child: TrainingFacts) -> bool:
    # The digest identifies the artifact, the URI only its place. The URI decides if a digest is missing.
    if parent.artifact_digest and child.artifact_digest:
        return parent.artifact_digest != child.artifact_digest
    return _differ(parent.artifact_uri, child.artifact_uri)


def _named(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    # A parameter's name can be as long as the limit of all parameters together.
    return ", ".join(cut(name, NAME.longest) for name in names[:most]) + more
