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
from schema.fields import TEXT, column, computed, many, one, optional, required
from schema.scalars import BigInt, SemVer
from storage.cards import CARD_FACTS, VersionCard
from storage.cards import ModelCardRevision as RevisionRow
from storage.sql import fill_sql

CARD = {"card": "to_json({t})"}
FACTS = {"facts": f"(SELECT {fill_sql(CARD_FACTS, v='v')} FROM versions v WHERE v.id = {{t}}.version_id)"}
BOTH = CARD | FACTS


@strawberry.type(
    description="A summary of the data that a version was trained on. Fields that nobody wrote are filled in from the"
    " version's registration where possible."
)
class TrainingDataSummary:
    needs: ClassVar = Need.VIEWER

    source: str | None = column("The source of the data.")
    date_range: str | None = column("The period that the data covers.")
    total_rows: BigInt | None = column(
        "The number of rows. If nobody wrote it, the row count of the only data set version that the version"
        " was trained on."
    )
    positive_class_ratio: float | None = column("The fraction of rows in the positive class, from 0 to 1.")
    feature_count: int | None = column(
        "The number of features. If nobody wrote it, the number of features that the version was registered with."
    )
    extra: JSON = column("Any other information, as a JSON object.")


@strawberry.type(description="A version's performance on one segment of its data.")
class SegmentPerformance:
    needs: ClassVar = Need.VIEWER

    segment: str = column("The segment's name.")
    samples: BigInt | None = column("The number of samples in the segment. Null if it was not given.")
    metrics: list[links.Metric] = column("The metrics on the segment, as a JSON object of numbers by name.")


@strawberry.type(description="One edit of a model card. Revisions are append-only.")
class ModelCardRevision:
    table: ClassVar = RevisionRow
    needs: ClassVar = Need.VIEWER

    revision: int = column("The revision's number. The first edit is revision 1.")
    at: datetime = column("When the edit was made.")
    by: str = column("The email address of the person or service that made the edit.")
    changed: list[str] = column("The names of the sections that the edit changed.")


@strawberry.type(
    description="The segment on which a version performs worst by one metric, compared with its overall value."
)
class SegmentGap:
    needs: ClassVar = Need.VIEWER

    metric: str = column("The metric's name.")
    segment: str = column("The segment's name.")
    value: float = column("The metric's value on the segment.")
    whole: float = column("The metric's overall value, as it was registered.")
    gap: float = column(
        "How much worse the segment is than the overall value, in the metric's unit. Negative if it is better."
    )


@strawberry.type(
    description="The documentation of a version. It has sections that people write and facts that the registry fills"
    " in from the version's registration. Every version has a card; a card that was never edited is at"
    " revision 0."
)
class ModelCard:
    table: ClassVar = VersionCard
    needs: ClassVar = Need.VIEWER

    description: str | None = column("What the model does.", weight=TEXT)
    intended_use: str | None = column("What the model is intended for.", weight=TEXT)
    limitations: str | None = column("The model's known weaknesses, and the uses it is not suitable for.", weight=TEXT)
    ethical_considerations: str | None = column("The harms and biases that were considered.", weight=TEXT)
    training_data_summary: TrainingDataSummary = computed(
        "A summary of the data that the version was trained on.", BOTH, training_data_summary, weight=HEAVY
    )
    performance_by_segment: list[SegmentPerformance] = computed(
        "The version's performance by segment.", CARD, segments, weight=HEAVY
    )
    worst_segments: list[SegmentGap] = computed(
        "The worst segment for each metric. Only metrics that also have an overall value, and for which the"
        " registry knows whether higher is better, are listed.",
        BOTH,
        worst_segments,
        weight=HEAVY,
    )
    generated: JSON = computed(
        "The facts that the registry fills in, as a JSON object. From the version's registration: model,"
        " version, algorithm, parameters, metrics, target, features, featureCount, trainingData,"
        " evaluationData, experiment, artifact, parent, registeredAt and registeredBy. From its deployments:"
        " operations. Facts that were not stated are omitted.",
        FACTS,
        generated,
        weight=HEAVY,
    )
    completeness: float = computed(
        "The completeness of the card, from 0 to 1: the number of written sections and stated facts divided"
        " by 13. Sections: description, intendedUse, limitations, ethicalConsiderations, trainingDataSummary"
        " and performanceBySegment. Facts: algorithm, parameters, metrics, features, target, trainingData and"
        " experiment.",
        BOTH,
        completeness,
        weight=HEAVY,
    )
    missing: list[str] = computed(
        "The names of the sections that are not written, followed by the facts that are not stated.",
        BOTH,
        missing,
        weight=HEAVY,
    )
    markdown: str = computed(
        "The card as Markdown. Text that people wrote is escaped, so it cannot add markup, tables or HTML.",
        BOTH,
        card_markdown,
        weight=WRITTEN,
    )
    hugging_face: str = computed(
        "The card in the Hugging Face format: YAML front matter with the overall and segment metrics as"
        " `model-index`, followed by Markdown. The task is `other`. The data set is the one that the version"
        " used as TEST, or `unknown` if it used none or several.",
        BOTH,
        card_hugging_face,
        weight=WRITTEN,
    )
    cyclone_dx: JSON = computed(
        "The card as a CycloneDX 1.6 bill of materials, with the data sets as components. The serial number"
        " is constant for a version, the BOM version is the card's revision + 1, and the timestamp is the"
        " card's `updatedAt`.",
        BOTH,
        card_cyclone_dx,
        weight=WRITTEN,
    )
    revision: int = column("The number of edits. Approvals are bound to it.")
    updated_at: datetime = column(
        "When the card was last edited. If it was never edited, when the version was registered."
    )
    updated_by: str = column(
        "The email address of the person or service that last edited the card. If it was never edited, the"
        " one that registered the version."
    )
    revisions: list[ModelCardRevision] = many(
        "The edits of the card, oldest first.", "{c}.version_id = {t}.version_id", "{c}.revision"
    )


@strawberry.input(description="A summary of the data that a version was trained on.")
class TrainingDataSummaryInput:
    source: str | None = optional("The source of the data.", limits.Text(1_000))
    date_range: str | None = optional("The period that the data covers.", limits.NAME)
    total_rows: BigInt | None = optional("The number of rows.", limits.Whole())
    positive_class_ratio: float | None = optional("The fraction of rows in the positive class.", limits.Share())
    feature_count: int | None = optional("The number of features.", limits.Whole(2**31 - 1))
    extra: JSON | None = optional("Any other information.", objects.JsonObject())


EMPTIED = "clears the section"


@strawberry.input(description="The sections of a model card to replace. Sections that are omitted stay unchanged.")
class ModelCardInput:
    description: str | None = optional("What the model does.", limits.NOTES, null=EMPTIED)
    intended_use: str | None = optional("What the model is intended for.", limits.NOTES, null=EMPTIED)
    limitations: str | None = optional(
        "The model's known weaknesses, and the uses it is not suitable for.", limits.NOTES, null=EMPTIED
    )
    ethical_considerations: str | None = optional(
        "The harms and biases that were considered.", limits.NOTES, null=EMPTIED
    )
    training_data_summary: TrainingDataSummaryInput | None = optional(
        "A summary of the data that the version was trained on.", null=EMPTIED
    )
    performance_by_segment: JSON | None = optional(
        "The version's performance by segment.", objects.Segments(), null=EMPTIED
    )


@strawberry.input(description="An edit of a version's model card.")
class UpdateModelCardInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    version: SemVer = required("The version's number.")
    model_card: ModelCardInput = required("The sections to replace.")
    expected_revision: int | None = optional(
        "The card revision that the edit is based on. CONFLICT if the card has been edited since.",
        limits.Whole(2**31 - 1),
    )


@strawberry.type(description="The result of `updateModelCard`.")
class UpdateModelCardPayload:
    model_card: ModelCard = one("The edited card.", "{c}.version_id = {payload[version_id]}")
    version: links.ModelVersion = one("The version that the card belongs to.", "{c}.id = {payload[version_id]}")
