"""A model card in Hugging Face's format: YAML for programs, then Markdown for people.

Licence, language, library and identifiers of the Hub are omitted: the registry does not know them. `model-index` must
name a task and a data set for each result. The task is not known, and therefore `other`. The data set is the one that
the version was tested on, if there is exactly one, and otherwise `unknown`.
"""

from collections.abc import Iterable
from typing import Any

import yaml

from resolvers.renderings.card_markdown import card_markdown
from resolvers.rules.cards import Card, VersionFacts, segments
from resolvers.rules.texts import plain

TASK = "other"
NO_DATA_SET = {"type": "unknown", "name": "Not stated"}
# The C implementation if available: a card at its limits has 20,000 metrics.
DUMPER: Any = type("Dumper", (getattr(yaml, "CSafeDumper", yaml.SafeDumper),), {})
# Always in quotes: a value that is text in YAML 1.1, such as 1e5, can be a number in YAML 1.2.
DUMPER.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))
UNFOLDED = 2**31 - 1


def card_hugging_face(card: Card, facts: VersionFacts) -> str:
    front = yaml.dump(metadata(card, facts), Dumper=DUMPER, sort_keys=False, allow_unicode=True, width=UNFOLDED)
    return f"---\n{front}---\n\n{card_markdown(card, facts)}"


def metadata(card: Card, facts: VersionFacts) -> dict[str, Any]:
    name = f"{facts['model']['name']} {facts['version']}"
    results = _results(card, facts)
    return {
        "model_name": name,
        **({"tags": sorted(facts["tags"])} if facts["tags"] else {}),
        **({"model-index": [{"name": name, "results": results}]} if results else {}),
        "lineal": {
            "model": facts["model"]["id"],
            "version": facts["version"],
            "versionId": facts["versionId"],
            "stage": facts["stage"],
            "cardRevision": card["revision"],
        },
    }


def _results(card: Card, facts: VersionFacts) -> list[dict[str, Any]]:
    """The result of the whole, then those of the segments. Those without metrics are omitted."""
    dataset = tested_on(facts)
    results = [_result(dataset, facts["metrics"].items())]
    for segment in segments(card):
        samples = {} if segment["samples"] is None else {"args": {"samples": segment["samples"]}}
        measured = [(metric["name"], metric["value"]) for metric in segment["metrics"]]
        results.append(_result(dataset | {"config": segment["segment"]} | samples, measured))
    return [result for result in results if result["metrics"]]


def _result(dataset: dict[str, Any], measured: Iterable[tuple[str, float]]) -> dict[str, Any]:
    return {
        "task": {"type": TASK},
        # A copy: YAML would turn a shared object into an alias.
        "dataset": dict(dataset),
        "metrics": [{"type": name, "name": name, "value": plain(value)} for name, value in sorted(measured)],
    }


def tested_on(facts: VersionFacts) -> dict[str, Any]:
    tests = [use for use in facts["data"] if use["role"] == "TEST"]
    if len(tests) != 1:
        return NO_DATA_SET
    return {
        "type": tests[0]["datasetId"],
        "name": f"{tests[0]['dataset']} {tests[0]['label']}",
        "revision": tests[0]["id"],
    }
