"""Which part of the version number a change must raise (product description, "Semantic Versioning for ML Models").

MAJOR  another algorithm family, target or data set; a removed feature; more than 20 % added features
MINOR  another version of the same data set; fewer added features; other hyper-parameters or another artifact
PATCH  no training fact changed

A fact that either side does not state is not compared, and an algorithm whose family is not known requires nothing: the
registry never guesses. A version of another model begins a
line of its own, so its number declares MAJOR, which is enough for any change.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypedDict

from resolvers.rules.algorithms import canonical, family
from resolvers.rules.cleaning import cut
from resolvers.rules.leaves import leaves
from resolvers.rules.limits import NAME
from resolvers.rules.same import ABSENT, same
from resolvers.rules.semver import Number, declared_bump
from storage.vocabulary import Bump

WEIGHT = list(Bump)
MANY_FEATURES = 0.20


@dataclass(frozen=True)
class TrainingFacts:
    """What was trained, on what, how: all that a version's number has to speak for."""

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
    """The bump that the difference requires, and each reason, the most significant first."""
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
    """What changed between two versions, and what the number of the second says of it."""
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
    if parent.algorithm and child.algorithm and canonical(parent.algorithm) != canonical(child.algorithm):
        reasons.append(_another_algorithm(parent.algorithm, child.algorithm))
    if _differ(parent.target, child.target):
        reasons.append(Reason(Bump.MAJOR, f"The target changed from {parent.target} to {child.target}."))
    return reasons


def _another_algorithm(before: str, after: str) -> Reason:
    families = family(before), family(after)
    changed = f"The algorithm changed from {before} to {after}"
    if None in families:
        return Reason(Bump.PATCH, f"{changed}; whether that is another family of algorithms is not known.")
    if families[0] != families[1]:
        return Reason(Bump.MAJOR, f"The algorithm family changed from {families[0]} to {families[1]}.")
    return Reason(Bump.MINOR, f"{changed}.")


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
        before, after = dict(leaves(parent.parameters)), dict(leaves(child.parameters))
        changed = sorted(
            name
            for name in {*before, *after} - {"algorithm"}
            if not same(before.get(name, ABSENT), after.get(name, ABSENT))
        )
        if changed:
            reasons.append(Reason(Bump.MINOR, f"Hyper-parameters changed: {_named(changed)}."))
    if _another_artifact(parent, child):
        reasons.append(Reason(Bump.MINOR, "The artifact changed."))
    return reasons


def _another_artifact(parent: TrainingFacts, child: TrainingFacts) -> bool:
    # The digest says what the artifact is, the URI only where: it decides where a digest is missing.
    if parent.artifact_digest and child.artifact_digest:
        return parent.artifact_digest != child.artifact_digest
    return _differ(parent.artifact_uri, child.artifact_uri)


def _named(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    # A parameter's name may be as long as all parameters together.
    return ", ".join(cut(name, NAME.longest) for name in names[:most]) + more
