"""A model card as Markdown for people: at the top what is missing, then what they wrote and what the registry knows."""

import re
from collections.abc import Mapping
from typing import Any

from resolvers.renderings.markdown import escaped, paragraphs, table
from resolvers.rules.cards import (
    FACTS,
    SECTIONS,
    SUMMARY,
    Card,
    VersionFacts,
    completeness,
    generated,
    missing,
    missing_sections,
    segments,
    training_data_summary,
    worst_segments,
)
from resolvers.rules.metrics import higher_is_better
from resolvers.rules.texts import json_text, number, plain, text

DIRECTIONS = {True: "higher is better", False: "lower is better", None: "unknown"}
WRITTEN = ("description", "intended_use", "limitations", "ethical_considerations")
SUMMARY_TITLES = {
    "source": "Source",
    "date_range": "Time covered",
    "total_rows": "Rows",
    "positive_class_ratio": "Share of the positive class",
    "feature_count": "Features",
}


def card_markdown(card: Card, facts: VersionFacts) -> str:
    sections = {
        **{_words(SECTIONS[name]): paragraphs(card[name] or "") for name in WRITTEN},
        "training data": _training_data(card, facts),
        "metrics": _metrics(facts),
        "performance by segment": _segments(card),
        "worst segments": _worst(card, facts),
        "algorithm": _pairs({"Algorithm": facts["algorithm"], "Target": facts["target"]}),
        "hyper-parameters": _parameters(facts),
        "features": ", ".join(escaped(feature) for feature in facts["features"]),
        "data sets": _data(facts),
        "experiment": _experiment(facts),
        "lineage": _lineage(facts),
        "artifact": _artifact(facts),
        "operations": _operations(facts),
        "registration": _registration(card, facts),
    }
    written = [f"## {title.capitalize()}\n\n{body}" for title, body in sections.items() if body]
    return "\n\n".join([_head(card, facts), *written]) + "\n"


def _head(card: Card, facts: VersionFacts) -> str:
    parts, lacking = len(SECTIONS) + len(FACTS), missing(card, facts)
    unwritten = missing_sections(card)
    note = {"Not written": unwritten, "Not stated": lacking[len(unwritten) :]}
    lines = [
        f"# {escaped(facts['model']['name'])} {facts['version']}",
        f"Stage: **{facts['stage']}**\\\n"
        f"Completeness: {parts - len(lacking)} of {parts} parts ({completeness(card, facts):.0%})",
    ]
    named = [f"> {who}: {', '.join(map(_words, names))}." for who, names in note.items() if names]
    return "\n\n".join([*lines, *(["\\\n".join(named)] if named else [])])


def _words(name: str) -> str:
    """A name of the API as words: `intendedUse` is the intended use."""
    return re.sub("[A-Z]", lambda letter: f" {letter[0].lower()}", name)


def _pairs(known: Mapping[str, Any]) -> str:
    rows = [(name, escaped(str(value))) for name, value in known.items() if value not in (None, "")]
    return table(("What", "Value"), rows) if rows else ""


def _training_data(card: Card, facts: VersionFacts) -> str:
    written = card["training_data_summary"] or {}
    known = training_data_summary(card, facts)
    rows = [
        (title, escaped(text(value)), "the registration" if written.get(name) is None else "the card")
        for name, title in SUMMARY_TITLES.items()
        if (value := known[SUMMARY[name]]) is not None
    ]
    rows += [(f"Other: {escaped(name)}", escaped(json_text(v)), "the card") for name, v in known["extra"].items()]
    return table(("What", "Value", "Source"), rows) if rows else ""


def _metrics(facts: VersionFacts) -> str:
    rows = [
        (escaped(name), number(value), DIRECTIONS[higher_is_better(name)])
        for name, value in sorted(facts["metrics"].items())
    ]
    return table(("Metric", "Value", "Direction"), rows) if rows else ""


def _segments(card: Card) -> str:
    """A line for each number. A table with a column for each metric would grow in both directions."""
    rows = []
    for segment in segments(card):
        name = escaped(segment["segment"])
        samples = [] if segment["samples"] is None else [(name, "samples", str(segment["samples"]))]
        rows += samples + [(name, escaped(each["name"]), number(each["value"])) for each in segment["metrics"]]
        rows += [] if samples or segment["metrics"] else [(name, "", "")]
    return table(("Segment", "Metric", "Value"), rows) if rows else ""


def _worst(card: Card, facts: VersionFacts) -> str:
    rows = [
        (escaped(each["metric"]), escaped(each["segment"]), number(each["value"]), number(each["whole"]), _gap(each))
        for each in worst_segments(card, facts)
    ]
    return table(("Metric", "Worst segment", "In the segment", "Overall", "Gap"), rows) if rows else ""


def _gap(worst: Mapping[str, Any]) -> str:
    gap = plain(worst["gap"])
    return "none" if not gap else f"{abs(gap):.6g} {'worse' if gap > 0 else 'better'}"


def _operations(facts: VersionFacts) -> str:
    rows = [
        (
            *(escaped(each[name]) for name in ("name", "environment")),
            f"{each['status'].replace('_', ' ').lower()}, {each['trafficPercentage']} % of the traffic",
            escaped(each["reason"] or ""),
        )
        for each in facts["deployments"]
    ]
    return table(("Deployment", "Environment", "Status", "Why"), rows) if rows else ""


def _parameters(facts: VersionFacts) -> str:
    rows = [(escaped(name), escaped(json_text(value))) for name, value in facts["parameters"].items()]
    return table(("Parameter", "Value"), rows) if rows else ""


def _data(facts: VersionFacts) -> str:
    rows = [
        (
            use["role"],
            *(escaped(use[name]) for name in ("dataset", "label", "id")),
            use["status"] if use["status"] == "ACTIVE" else f"**{use['status']}**",
            *(escaped(str("" if use[name] is None else use[name])) for name in FURTHER),
        )
        for use in facts["data"]
    ]
    header = ("Role", "Data set", "Version", "Id", "Status", "Reason", "Rows", "URI", "Digest")
    return table(header, rows) if rows else ""


FURTHER = ("statusReason", "rowCount", "uri", "digest")


def _experiment(facts: VersionFacts) -> str:
    known = generated(facts).get("experiment", {})
    took = known.get("trainingDurationSecs")
    return _pairs(
        {
            "Name": known.get("name"),
            "Id": known.get("id"),
            "Status": known.get("status"),
            "Algorithm": known.get("algorithm"),
            "Maximum models": known.get("maxModels"),
            "Training time in seconds": None if took is None else number(took),
            "Notes": known.get("notes"),
        }
    )


def _lineage(facts: VersionFacts) -> str:
    parent = facts["parent"]
    return parent and _pairs({"Derived from": f"{parent['model']} {parent['version']}", "Id": parent["id"]})


def _artifact(facts: VersionFacts) -> str:
    known = facts["artifact"] or {}
    names = {"URI": "uri", "Digest": "digest", "Size in bytes": "sizeBytes", "Format": "format"}
    return _pairs({title: known.get(name) for title, name in names.items()})


def _registration(card: Card, facts: VersionFacts) -> str:
    edited = {"Card edited by": card["updated_by"], "Card edited at": card["updated_at"]} if card["revision"] else {}
    return _pairs(
        {
            "Model": f"{facts['model']['name']} ({facts['model']['id']})",
            "About the model": facts["model"]["description"],
            "Project": f"{facts['project']['name']} ({facts['project']['id']})",
            "Version": facts["versionId"],
            "About the version": facts["description"],
            "Tags": ", ".join(sorted(facts["tags"])),
            "Registered by": facts["registeredBy"],
            "Registered at": facts["registeredAt"],
            "Card revision": card["revision"],
            **edited,
        }
    )
