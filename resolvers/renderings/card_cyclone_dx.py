"""A model card as a bill of materials: CycloneDX 1.6 with the model and the data sets as components.

Values without a place in the format are in properties named `lineal:…`. Facts that were not stated are omitted.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from resolvers.rules.cards import SUMMARY, Card, VersionFacts, completeness, missing, segments, training_data_summary
from resolvers.rules.references import is_iri_reference, known_digest
from resolvers.rules.texts import json_text, number, text

Part = dict[str, Any]


def card_cyclone_dx(card: Card, facts: VersionFacts) -> Part:
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid5(NAMESPACE_URL, facts['versionId'])}",
        "version": card["revision"] + 1,
        "metadata": {"timestamp": card["updated_at"], "component": _model(card, facts)},
        "components": [_data_set(uses) for uses in _data(facts)],
    }


def _model(card: Card, facts: VersionFacts) -> Part:
    artifact = facts["artifact"] or {}
    return _known(
        type="machine-learning-model",
        **{"bom-ref": facts["versionId"]},
        name=facts["model"]["name"],
        version=facts["version"],
        description=card["description"],
        hashes=_hashes(artifact.get("digest")),
        externalReferences=_addresses(artifact.get("uri")),
        pedigree=_pedigree(facts),
        modelCard=_model_card(card, facts),
        properties=_properties([*_of_version(facts), *_of_card(card, facts)]),
        tags=sorted(facts["tags"]),
    )


def _known(**parts: Any) -> Part:
    return {name: part for name, part in parts.items() if part not in (None, "", [], {})}


def _hashes(digest: str | None) -> list[Part]:
    known = known_digest(digest)
    return [{"alg": known[0], "content": known[1]}] if known else []


def _addresses(uri: str | None) -> list[Part]:
    return [{"type": "distribution", "url": uri}] if uri is not None and is_iri_reference(uri) else []


def _without_place(uri: str | None, digest: str | None) -> Part:
    """The address and the digest as properties, if the format does not accept their forms."""
    return {"uri": None if _addresses(uri) else uri, "digest": None if _hashes(digest) else digest}


def _pedigree(facts: VersionFacts) -> Part:
    """The version that this one was derived from. If it is of another model, only the id is known."""
    parent = facts["parent"]
    if not parent:
        return {}
    own = parent["model"] == facts["model"]["id"]
    ancestor = _known(
        type="machine-learning-model",
        **{"bom-ref": parent["id"]},
        name=facts["model"]["name"] if own else parent["model"],
        version=parent["version"],
        properties=_properties([("versionId", parent["id"]), ("model.id", parent["model"])]),
    )
    return {"ancestors": [ancestor]}


def _model_card(card: Card, facts: VersionFacts) -> Part:
    samples = [(f"samples:{segment['segment']}", segment["samples"]) for segment in segments(card)]
    risks = [{"name": card["ethical_considerations"]}] if card["ethical_considerations"] else []
    return _known(
        modelParameters=_known(
            modelArchitecture=facts["algorithm"],
            datasets=[{"ref": uses[0]["id"]} for uses in _data(facts)],
        ),
        quantitativeAnalysis=_known(performanceMetrics=list(_metrics(card, facts))),
        considerations=_known(
            useCases=[card["intended_use"]] if card["intended_use"] else [],
            technicalLimitations=[card["limitations"]] if card["limitations"] else [],
            ethicalConsiderations=risks,
        ),
        properties=_properties(samples),
    )


def _metrics(card: Card, facts: VersionFacts) -> Iterable[Part]:
    for name, value in sorted(facts["metrics"].items()):
        yield {"type": name, "value": number(value)}
    for segment in segments(card):
        for metric in segment["metrics"]:
            yield {"type": metric["name"], "value": number(metric["value"]), "slice": segment["segment"]}


def _data(facts: VersionFacts) -> list[list[Part]]:
    """The uses of each data set version, which can have several roles but is one component."""
    uses = sorted(facts["data"], key=lambda use: str(use["id"]))
    return [list(group) for _, group in groupby(uses, key=lambda use: use["id"])]


def _data_set(uses: list[Part]) -> Part:
    known = uses[0]
    addresses = _addresses(known["uri"])
    return _known(
        type="data",
        **{"bom-ref": known["id"]},
        name=known["dataset"],
        version=known["label"],
        hashes=_hashes(known["digest"]),
        externalReferences=addresses,
        data=[_known(type="dataset", name=known["dataset"], contents=_known(url=addresses and known["uri"]))],
        properties=_properties(
            [
                *(("role", use["role"]) for use in uses),
                *((name, known[name]) for name in ("datasetId", "status", "statusReason", "rowCount")),
                *_without_place(known["uri"], known["digest"]).items(),
            ]
        ),
    )


def _properties(named: Iterable[tuple[str, str | float | None]]) -> list[Part]:
    return [{"name": f"lineal:{name}", "value": text(value)} for name, value in named if value not in (None, "")]


def _of_version(facts: VersionFacts) -> Iterable[tuple[str, Any]]:
    artifact, experiment = facts["artifact"] or {}, facts["experiment"] or {}
    took = experiment.get("trainingDurationSecs")
    known = {
        **{name: facts[name] for name in ("versionId", "stage", "target")},
        "versionDescription": facts["description"],
        "features": json_text(facts["features"]) if facts["features"] else None,
        **{f"parameter:{name}": json_text(value) for name, value in facts["parameters"].items()},
        **{f"model.{name}": facts["model"][name] for name in ("id", "description")},
        **{f"project.{name}": facts["project"][name] for name in ("id", "name")},
        **{f"experiment.{name}": value for name, value in experiment.items()},
        "experiment.trainingDurationSecs": None if took is None else number(took),
        **{f"artifact.{name}": artifact.get(name) for name in ("sizeBytes", "format")},
    }
    unplaced = _without_place(artifact.get("uri"), artifact.get("digest"))
    yield from (known | {f"artifact.{name}": value for name, value in unplaced.items()}).items()
    yield from ((name, facts[name]) for name in ("registeredAt", "registeredBy"))


def _of_card(card: Card, facts: VersionFacts) -> Iterable[tuple[str, Any]]:
    summary = training_data_summary(card, facts)
    yield from ((f"trainingData.{shown}", summary[shown]) for shown in SUMMARY.values())
    yield from ((f"trainingData.extra:{name}", json_text(value)) for name, value in summary["extra"].items())
    yield "card.revision", card["revision"]
    if card["revision"]:
        yield "card.updatedBy", card["updated_by"]
    yield "card.completeness", number(completeness(card, facts))
    yield from (("card.missing", name) for name in missing(card, facts))
