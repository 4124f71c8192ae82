from datetime import datetime
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.declarations import HEAVY, WRITTEN
from resolvers.renderings.card_cyclone_dx import card_cyclone_dx
from resolvers.renderings.card_hugging_face import card_hugging_face
from resolvers.renderings.card_markdown import card_markdown
from resolvers.rules import limits, objects
from resolvers.rules.access import Need
from resolvers.rules.cards import completeness, generated, missing, segments, training_data_summary, worst_segments
from schema import links
from schema.fields import TEXT, column, computed, given, many, one, optional
from schema.scalars import BigInt, SemVer
from storage.cards import CARD_FACTS, VersionCard
from storage.cards import ModelCardRevision as RevisionRow

CARD = {"card": "to_json({t})"}
FACTS = {"facts": f"(SELECT {CARD_FACTS.format(v='v')} FROM versions v WHERE v.id = {{t}}.version_id)"}
BOTH = CARD | FACTS


@strawberry.type(
    description="What is known of the data that a version was trained on: as people wrote it, and where they did not,"
    " as it was stated when the version was registered."
)
class TrainingDataSummary:
    needs: ClassVar = Need.VIEWER

    source: str | None = column("Where it comes from, as people wrote it.")
    date_range: str | None = column("The time it covers, as people wrote it.")
    total_rows: BigInt | None = column(
        "How many rows it has; where nobody wrote it, the rows of the one data set version that it was trained on."
    )
    positive_class_ratio: float | None = column("The share of the positive class, from 0 to 1, as people wrote it.")
    feature_count: int | None = column(
        "How many features it has; where nobody wrote it, how many the version was registered with."
    )
    extra: JSON = column("Whatever else was written.")


@strawberry.type(description="How a version performs on a part of its data.")
class SegmentPerformance:
    needs: ClassVar = Need.VIEWER

    segment: str = column("The segment's name.")
    samples: BigInt | None = column("How many samples it has.")
    metrics: list[links.Metric] = column("Its metrics by name.")


@strawberry.type(description="One edit of a model card. Revisions are added, never changed.")
class ModelCardRevision:
    table: ClassVar = RevisionRow
    needs: ClassVar = Need.VIEWER

    revision: int = column("Its number: 1 for the first edit.")
    at: datetime = column("When it was written.")
    by: str = column("Who wrote it.")
    changed: list[str] = column("The sections that it changed.")


@strawberry.type(description="The segment in which a version does worst by one metric, beside the whole.")
class SegmentGap:
    needs: ClassVar = Need.VIEWER

    metric: str = column("The metric's name.")
    segment: str = column("The segment's name.")
    value: float = column("The metric in the segment.")
    whole: float = column("The metric on the whole, as it was registered.")
    gap: float = column("How much worse the segment is than the whole, in the metric's unit; below 0: it is better.")


@strawberry.type(
    description="What is known of a version: what it was registered with, filled in by the registry and never guessed,"
    " and what people wrote, which is kept. Every version has one; one that nobody wrote in is at revision 0."
)
class ModelCard:
    table: ClassVar = VersionCard
    needs: ClassVar = Need.VIEWER

    description: str | None = column("What the model does.", weight=TEXT)
    intended_use: str | None = column("What it is for.", weight=TEXT)
    limitations: str | None = column("What it must not be used for, and where it is weak.", weight=TEXT)
    ethical_considerations: str | None = column("Which harms and biases were considered.", weight=TEXT)
    training_data_summary: TrainingDataSummary = computed(
        "What it was trained on.", BOTH, training_data_summary, weight=HEAVY
    )
    performance_by_segment: list[SegmentPerformance] = computed(
        "How it performs by segment.", CARD, segments, weight=HEAVY
    )
    worst_segments: list[SegmentGap] = computed(
        "For each metric whose direction is known, and that was measured on the whole too, the segment that does"
        " worst.",
        BOTH,
        worst_segments,
        weight=HEAVY,
    )
    generated: JSON = computed(
        "What the registry filled in from what the version was registered with: model, version, algorithm, parameters,"
        " metrics, target, features, featureCount, trainingData, evaluationData, experiment, artifact, parent,"
        " registeredAt, registeredBy; and from what became of it, operations: its deployments. What was not stated is"
        " not there.",
        FACTS,
        generated,
        weight=HEAVY,
    )
    completeness: float = computed(
        "(Written sections + stated facts) / 13, from 0 to 1. Sections: description, intendedUse, limitations,"
        " ethicalConsiderations, trainingDataSummary, performanceBySegment. Facts: algorithm, parameters, metrics,"
        " features, target, trainingData, experiment.",
        BOTH,
        completeness,
        weight=HEAVY,
    )
    missing: list[str] = computed(
        "The sections that nobody has written, then the facts that nobody has stated.", BOTH, missing, weight=HEAVY
    )
    markdown: str = computed(
        "The card as Markdown for people. What people wrote stands in it as text: it makes no markup, tables or HTML.",
        BOTH,
        card_markdown,
        weight=WRITTEN,
    )
    hugging_face: str = computed(
        "The card as Hugging Face has them: YAML with the metrics as `model-index`, the segments among them, then the"
        " Markdown. The task is `other`; the data set is the one that the version used as TEST, and where it used none"
        " or several, `unknown`.",
        BOTH,
        card_hugging_face,
        weight=WRITTEN,
    )
    cyclone_dx: JSON = computed(
        "The card as a bill of materials in CycloneDX 1.6, with the data sets as components. Its serial number is"
        " always the same for a version, its version the card's revision + 1, its timestamp the card's `updatedAt`.",
        BOTH,
        card_cyclone_dx,
        weight=WRITTEN,
    )
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
    extra: JSON | None = optional("Whatever else there is to say.", objects.JsonObject())


EMPTIED = "the section is emptied"


@strawberry.input(description="The sections of a card to write, each as a whole; what is left out stays.")
class ModelCardInput:
    description: str | None = optional("What the model does.", limits.NOTES, null=EMPTIED)
    intended_use: str | None = optional("What it is for.", limits.NOTES, null=EMPTIED)
    limitations: str | None = optional("What it must not be used for.", limits.NOTES, null=EMPTIED)
    ethical_considerations: str | None = optional("Which harms were considered.", limits.NOTES, null=EMPTIED)
    training_data_summary: TrainingDataSummaryInput | None = optional("What it was trained on.", null=EMPTIED)
    performance_by_segment: JSON | None = optional("How it performs by segment.", objects.Segments(), null=EMPTIED)


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
