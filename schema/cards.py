from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.rules import limits
from resolvers.rules.cards import completeness, missing_sections
from resolvers.rules.metrics import higher_is_better
from schema import links
from schema.fields import column, computed, embedded, expression, given, many, one, optional
from schema.scalars import BigInt, SemVer
from storage.cards import ModelCardRevision as RevisionRow
from storage.cards import VersionCard

SUMMARY = "({t}.training_data_summary ->> '%s')%s"
CARD = {"card": "to_json({t})"}


@strawberry.type(description="What is known of the data that a version was trained on, as people wrote it.")
class TrainingDataSummary:
    source: str | None = expression("Where it comes from.", SUMMARY % ("source", ""))
    date_range: str | None = expression("The time it covers.", SUMMARY % ("date_range", ""))
    total_rows: BigInt | None = expression("How many rows it has.", SUMMARY % ("total_rows", "::bigint"))
    positive_class_ratio: float | None = expression(
        "The share of the positive class, from 0 to 1.", SUMMARY % ("positive_class_ratio", "::float8")
    )
    feature_count: int | None = expression("How many features it has.", SUMMARY % ("feature_count", "::int"))
    extra: JSON = expression(
        "Whatever else was written.", "coalesce({t}.training_data_summary -> 'extra', json_build_object())"
    )


@strawberry.type(description="How a version performs on a part of its data.")
class SegmentPerformance:
    segment: str = column("The segment's name.")
    samples: BigInt | None = column("How many samples it has.")
    metrics: list[links.Metric] = column("Its metrics by name.")


@strawberry.type(description="One edit of a model card. Revisions are added, never changed.")
class ModelCardRevision:
    table: ClassVar = RevisionRow

    revision: int = column("Its number: 1 for the first edit.")
    at: datetime = column("When it was written.")
    by: str = column("Who wrote it.")
    changed: list[str] = column("The sections that it changed.")


def segments(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The segments of a card by name, each metric beside the direction that is known of it."""
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


@strawberry.type(
    description="What people wrote of a version: for whom it is, what it must not be used for. Every version has one;"
    " one that nobody wrote in is at revision 0."
)
class ModelCard:
    table: ClassVar = VersionCard

    description: str | None = column("What the model does.")
    intended_use: str | None = column("What it is for.")
    limitations: str | None = column("What it must not be used for, and where it is weak.")
    ethical_considerations: str | None = column("Which harms and biases were considered.")
    training_data_summary: TrainingDataSummary = embedded("What it was trained on.")
    performance_by_segment: list[SegmentPerformance] = computed("How it performs by segment.", CARD, segments)
    completeness: float = computed(
        "Written sections / all six sections, from 0 to 1: description, intendedUse, limitations,"
        " ethicalConsiderations, trainingDataSummary and performanceBySegment.",
        CARD,
        completeness,
    )
    missing: list[str] = computed("The sections that nobody has written.", CARD, missing_sections)
    revision: int = column("How often it was edited. Approvals are bound to it.")
    updated_at: datetime = column("When it was last edited; for one never edited, when the version was registered.")
    updated_by: str = column("Who edited it last; for one never edited, who registered the version.")
    revisions: list[ModelCardRevision] = many(
        "Its edits, the oldest first.", "{c}.version_id = {t}.version_id", "{c}.revision"
    )


@strawberry.input(description="What is known of the data that a version was trained on.")
class TrainingDataSummaryInput:
    source: str | None = optional("Where it comes from.", limits.Text(1_000))
    date_range: str | None = optional("The time it covers.", limits.NAME)
    total_rows: BigInt | None = optional("How many rows it has.", limits.Whole())
    positive_class_ratio: float | None = optional("The share of the positive class.", limits.Share())
    feature_count: int | None = optional("How many features it has.", limits.Whole(2**31 - 1))
    extra: JSON | None = optional("Whatever else there is to say.", limits.JsonObject())


EMPTIED = "the section is emptied"


@strawberry.input(description="The sections of a card to write, each as a whole; what is left out stays.")
class ModelCardInput:
    description: str | None = optional("What the model does.", limits.NOTES, null=EMPTIED)
    intended_use: str | None = optional("What it is for.", limits.NOTES, null=EMPTIED)
    limitations: str | None = optional("What it must not be used for.", limits.NOTES, null=EMPTIED)
    ethical_considerations: str | None = optional("Which harms were considered.", limits.NOTES, null=EMPTIED)
    training_data_summary: TrainingDataSummaryInput | None = optional("What it was trained on.", null=EMPTIED)
    performance_by_segment: JSON | None = optional("How it performs by segment.", limits.Segments(), null=EMPTIED)


@strawberry.input(description="An edit of a version's card.")
class UpdateModelCardInput:
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    version: SemVer = given("The version's number.")
    model_card: ModelCardInput = given("What to write.")
    expected_revision: int | None = optional(
        "The revision that the caller has read; CONFLICT if the card has been edited since.", limits.Whole(2**31 - 1)
    )


@strawberry.type(description="What `updateModelCard` wrote.")
class UpdateModelCardPayload:
    model_card: ModelCard = one("The card.", "{c}.version_id = {payload[version_id]}")
    version: links.ModelVersion = one("The version.", "{c}.id = {payload[version_id]}")
