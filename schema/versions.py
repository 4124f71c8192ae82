from datetime import datetime
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.bindings import FromQuery
from resolvers.reads.comparison import WITH_ANOTHER
from resolvers.reads.declarations import HEAVY
from resolvers.reads.facts import CHANGE_INPUTS, version_change
from resolvers.reads.lineage import DEFAULT_CHAIN, Chain
from resolvers.reads.paging import NEWEST_FIRST
from resolvers.reads.reviews import DRY_RUN, REVIEWED_INPUTS, review_digest
from resolvers.rules import limits, objects
from resolvers.rules.access import Need
from resolvers.rules.metrics import higher_is_better
from resolvers.rules.stages import allowed
from schema import enums, links
from schema.comparison import ONLY_CHANGED, VersionComparison
from schema.deployments import deployments_of
from schema.facets import VersionConnection
from schema.fields import (
    OBJECT,
    TEXT,
    argument,
    bound,
    column,
    computed,
    connection,
    embedded,
    expression,
    many,
    one,
    optional,
    payload,
    required,
)
from schema.impact import Impact, impact_of_version
from schema.lineage import LineageGraph, lineage_graph, lineage_picture
from schema.nodes import Connection, Node
from schema.origins import Origin, OriginInput
from schema.scalars import BigInt, SemVer
from schema.transitions import StageTransition
from storage.versions import DatasetUse as DatasetUseRow
from storage.versions import Metric as MetricRow
from storage.versions import Version as VersionRow


@strawberry.type(description="A measured value of a version.")
class Metric:
    table: ClassVar = MetricRow
    needs: ClassVar = Need.VIEWER

    name: str = column("The metric's name, such as `auc`.")
    value: float = column("The metric's value. Always finite.")
    higher_is_better: bool | None = computed(
        "Whether a higher value is better. Null if the registry does not know the metric.",
        {"name": "{t}.name"},
        higher_is_better,
    )


@strawberry.type(description="The file or folder that holds the trained model.")
class Artifact:
    needs: ClassVar = Need.VIEWER

    uri: str = expression(f"The location of the artifact. {limits.CREDENTIALS_CUT}", "shown_uri({t}.artifact_uri)")
    digest: str | None = column("A digest of the contents, such as `sha256:...`.", "artifact_digest")
    size_bytes: BigInt | None = column("The size in bytes. Null if it was not given.", "artifact_size_bytes")
    format: str | None = column("The file format, such as `onnx` or `pickle`.", "artifact_format")
    moved_at: datetime | None = column(
        "When the location was last changed with `moveArtifact`. Null if it never was.", "artifact_moved_at"
    )


@strawberry.type(description="A data set version that a version used, and its role.")
class DatasetUse:
    table: ClassVar = DatasetUseRow
    needs: ClassVar = Need.VIEWER

    role: enums.DatasetRole = column("The role of the data.")
    dataset_version: links.DatasetVersion = one("The data set version.", "{c}.id = {t}.dataset_version_id")


@strawberry.type(
    description="What changed from the parent version, and whether the version number reflects it. The values of Bump"
    " define the rules. Facts that either version does not state are not compared."
)
class VersionChange:
    needs: ClassVar = Need.VIEWER

    required_bump: enums.Bump = column("The least bump that the changes require.")
    reasons: list[str] = column(
        "The reasons for `requiredBump`, one sentence for each difference, most significant first."
    )
    declared_bump: enums.Bump = column(
        "The bump between the two version numbers. MAJOR if the parent belongs to another model."
    )
    sufficient: bool = column("Whether the declared bump is at least the required one.")


@strawberry.type(
    description="A registered version of a model. Its training facts are immutable, and it is never deleted."
)
class ModelVersion(Node):
    table: ClassVar = VersionRow
    prefix: ClassVar = "ver"
    needs: ClassVar = Need.VIEWER

    model: links.Model = one("The model that this is a version of.", "{c}.id = {t}.model_id")
    version: SemVer = expression(
        "The version number. Unique in the model, and never reused.", "array_to_string({t}.number, '.')"
    )
    ordinal: int = column(
        "The place of the version in the order in which its model's versions were registered, from 1 without gaps. It"
        " never changes and is never reused. For clients that count versions with whole numbers."
    )
    aliases: list[str] = expression(
        "The aliases that point to the version, in alphabetical order.",
        "(SELECT coalesce(json_agg(a.name ORDER BY a.name), '[]'::json) FROM model_aliases a"
        " WHERE a.version_id = {t}.id)",
    )
    stage: enums.Stage = column("The version's stage.")
    description: str | None = column("What is new in the version.", weight=TEXT)
    tags: list[str] = expression(
        "The version's tags, in alphabetical order.",
        "(SELECT coalesce(json_agg(g.tag ORDER BY g.tag), '[]'::json) FROM tags g WHERE g.version_id = {t}.id)",
    )
    metrics: list[Metric] = many("The version's metrics, by name.", "{c}.version_id = {t}.id", "{c}.name")
    metric: float | None = expression(
        "The value of one metric. Null if the version does not have it.",
        "(SELECT m.value FROM metrics m WHERE m.version_id = {t}.id AND m.name = {args[name]})",
        argument("name", str, "The metric's name."),
    )
    parameters: JSON = column("The hyper-parameters, as a JSON object.", weight=OBJECT)
    artifact: Artifact | None = embedded(
        "The artifact of the trained model. Null if none was registered.", "{t}.artifact_uri IS NOT NULL"
    )
    features: list[str] = column(
        "The features that the version was trained on. Empty if they were not registered.", weight=HEAVY
    )
    target: str | None = column("What the version predicts.")
    experiment: links.Experiment | None = one(
        "The experiment that produced the version. Null if it was not registered.", "{c}.id = {t}.experiment_id"
    )
    dataset_version: links.DatasetVersion | None = one(
        "The data that the version was trained on. Null if it was not registered.", "{c}.id = {t}.dataset_version_id"
    )
    datasets: list[DatasetUse] = many(
        "All data that the version used, by role.", "{c}.version_id = {t}.id", "{c}.role, {c}.dataset_version_id"
    )
    parent: links.ModelVersion | None = one(
        "The version that this one was derived from. Null if there is none.", "{c}.id = {t}.parent_id"
    )
    children: VersionConnection = connection(
        "The versions that were derived from this one, newest first.", "{c}.parent_id = {t}.id", NEWEST_FIRST
    )
    version_chain: list[links.ModelVersion] = bound(
        "This version, its parent, its parent's parent, and so on to the first. It can cross models.",
        Chain("parent_id"),
        (
            argument(
                "first", int | None, "The maximum number of versions: 1 to 1000. Default: 100.", default=DEFAULT_CHAIN
            ),
        ),
    )
    deployments: Connection[links.Deployment] = deployments_of(
        "The version's deployments, newest first, including those that have ended.", "{c}.version_id = {t}.id"
    )
    impact: Impact = impact_of_version()
    lineage: LineageGraph = lineage_graph()
    lineage_url: str = lineage_picture()
    change: VersionChange | None = computed(
        "What changed from the parent version. Null if there is no parent.", CHANGE_INPUTS, version_change, weight=HEAVY
    )
    stage_history: list[StageTransition] = many(
        "The version's stage transitions, oldest first.", "{c}.version_id = {t}.id", "{c}.position"
    )
    allowed_transitions: list[enums.Stage] = computed(
        "The stages that the version can move to next.", {"stage": "{t}.stage"}, allowed
    )
    created_at: datetime = column("When the version was registered.")
    created_by: str = column("The email address of the person or service that registered the version.")
    origin: Origin | None = embedded(
        "Where the version was before it was imported. Null if that was not stated.", "{t}.origin IS NOT NULL"
    )
    properties: JSON = column(
        "What else is known of the version and is no hyper-parameter, such as a commit, the ID of a run or a license,"
        " as a JSON object. It never requires a bump.",
        weight=OBJECT,
    )
    model_card: links.ModelCard = one("The version's model card.", "{c}.version_id = {t}.id")
    compare_to: VersionComparison = bound(
        "A comparison of this version with another, which is the baseline. NOT_FOUND if the other version"
        " does not exist.",
        FromQuery(WITH_ANOTHER, "compared"),
        (
            argument("version", SemVer, "The other version's number."),
            ONLY_CHANGED,
            argument(
                "modelId",
                strawberry.ID | None,
                "The ID of the other version's model. Default: the same model.",
                default=strawberry.UNSET,
            ),
        ),
        weight=HEAVY,
    )
    approvals: list[links.Approval] = many(
        "The reviewers' decisions on the version's transitions, oldest first.",
        "{c}.version_id = {t}.id",
        "{c}.at, {c}.id",
    )
    transition_requests: Connection[links.TransitionRequest] = connection(
        "The version's transition requests, newest first.", "{c}.version_id = {t}.id", NEWEST_FIRST
    )
    review_digest: str = computed(
        "A digest of everything that a review covers: the model card's revision, the description, the tags,"
        " the experiment's status and notes, the status of the data, and the artifact's location. It changes when any"
        " of these changes. Pass it as `expectedReviewDigest`. 64 hexadecimal digits.",
        REVIEWED_INPUTS,
        review_digest,
        weight=TEXT,
    )
    promotion: links.PromotionCheck = bound(
        "A dry run of a transition, for the caller.",
        FromQuery(DRY_RUN, "dry"),
        (argument("targetStage", enums.Stage, "The stage to move to."),),
        weight=HEAVY,
    )


@strawberry.input(description="A data set version that the version used, and its role.")
class DatasetUseInput:
    role: enums.DatasetRole = required("The role of the data.")
    dataset_version_id: strawberry.ID = required(
        "The ID of the data set version, which must be in the same project.", limits.Id("dsv")
    )


@strawberry.input(description="The file or folder that holds the trained model.")
class ArtifactInput:
    uri: str = required("The location of the artifact.", limits.URI)
    digest: str | None = optional("A digest of the contents, such as `sha256:...`.", limits.DIGEST)
    size_bytes: BigInt | None = optional("The size in bytes.", limits.Whole())
    format: str | None = optional("The file format, such as `onnx` or `pickle`.", limits.NAME)


@strawberry.input(description="A version to register, with the facts of how it was made.")
class CreateVersionInput:
    project_id: strawberry.ID = required("The ID of the model's project.", limits.Id("proj"))
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    version: SemVer | None = optional(
        "The version number to assign. If omitted, it is the parent's number increased by `bump`, or else by"
        " the bump that the changes require. A model's first version is 1.0.0."
    )
    bump: enums.Bump | None = optional(
        "The part of the parent's number to increase. Cannot be combined with `version`."
    )
    parent_version: SemVer | None = optional(
        "The number of the version of this model that the version was derived from. Default: the highest"
        " number below the new one.",
        null="means that the version has no parent",
    )
    parent_id: strawberry.ID | None = optional(
        "The ID of a version of another model in the project that the version was derived from. Cannot be"
        " combined with `parentVersion`.",
        limits.Id("ver"),
    )
    description: str | None = optional("What is new in the version.", limits.NOTES)
    experiment_id: strawberry.ID | None = optional(
        "The ID of the experiment that produced the version.", limits.Id("exp")
    )
    dataset_version_id: strawberry.ID | None = optional(
        "The ID of the data set version that the version was trained on.", limits.Id("dsv")
    )
    datasets: list[DatasetUseInput] | None = optional(
        "Further data that the version used, by role. At most 100 entries."
    )
    metrics: JSON | None = optional("The version's metrics.", objects.Metrics())
    parameters: JSON | None = optional(
        "The hyper-parameters. `algorithm` is the name of the algorithm.", objects.JsonObject()
    )
    features: list[str] | None = optional("The features that the version was trained on.", limits.FEATURES)
    target: str | None = optional("What the version predicts.", limits.NAME)
    artifact: ArtifactInput | None = optional("The artifact of the trained model.")
    tags: list[str] | None = optional("The version's tags.", limits.TAGS)
    origin: OriginInput | None = optional("Where the version was before, if it is imported.")
    properties: JSON | None = optional(
        "What else is known of the version and is no hyper-parameter, such as a commit, the ID of a run or a license."
        " It never requires a bump.",
        objects.JsonObject(),
    )
    create_model: bool | None = required(
        "Whether to create the model, named by its ID, if it does not exist. Default: false.", default=False
    )


@strawberry.type(description="The result of `createVersion`.")
class CreateVersionPayload:
    version: ModelVersion = one("The new version, in DEVELOPMENT.", "{c}.id = {payload[version_id]}")
    warnings: list[str] = payload(
        "Warnings about values that were accepted, such as a version number that is too small for its changes."
    )


@strawberry.input(description="A new description for a version. Training facts cannot be changed.")
class UpdateVersionInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    version: SemVer = required("The version's number.")
    description: str = required("What is new in the version.", limits.NOTES)


@strawberry.type(description="The result of `updateVersion`.")
class UpdateVersionPayload:
    version: ModelVersion = one("The updated version.", "{c}.id = {payload[version_id]}")


@strawberry.input(description="Tags to add to or remove from a version.")
class TagsInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    version: SemVer = required("The version's number.")
    tags: list[str] = required(
        "The tags. Adding a tag that the version already has, or removing one that it does not have, has no effect.",
        limits.TAGS,
    )


@strawberry.type(description="The result of `addTags` or `removeTags`.")
class TagsPayload:
    version: ModelVersion = one("The version with its tags.", "{c}.id = {payload[version_id]}")
    warnings: list[str] = payload("Warnings about tags that were accepted.")
