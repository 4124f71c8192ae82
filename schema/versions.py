from datetime import datetime
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.bindings import FromQuery
from resolvers.reads.comparison import WITH_ANOTHER
from resolvers.reads.declarations import HEAVY
from resolvers.reads.facts import CHANGE_NEEDS, version_change
from resolvers.reads.lineage import DEFAULT_CHAIN, Chain
from resolvers.reads.paging import NEWEST_FIRST
from resolvers.reads.reviews import DRY_RUN, REVIEWED_NEEDS, review_digest
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
    given,
    many,
    one,
    optional,
    payload,
)
from schema.impact import Impact, impact_of_version
from schema.lineage import LineageGraph, lineage_graph, lineage_picture
from schema.nodes import Connection, Node
from schema.scalars import BigInt, SemVer
from schema.transitions import StageTransition
from storage.versions import DatasetUse as DatasetUseRow
from storage.versions import Metric as MetricRow
from storage.versions import Version as VersionRow


@strawberry.type(description="A measured value of a version.")
class Metric:
    table: ClassVar = MetricRow
    needs: ClassVar = Need.VIEWER

    name: str = column("The metric, as the pipeline names it, such as `auc`.")
    value: float = column("The value; always finite.")
    higher_is_better: bool | None = computed(
        "Whether more is better; null where the registry does not know the metric.",
        {"name": "{t}.name"},
        higher_is_better,
    )


@strawberry.type(description="The file or folder that holds the trained model.")
class Artifact:
    needs: ClassVar = Need.VIEWER

    uri: str = expression(f"Where it is kept. {limits.CREDENTIALS_CUT}", "shown_uri({t}.artifact_uri)")
    digest: str | None = column("A digest of its contents, such as `sha256:...`.", "artifact_digest")
    size_bytes: BigInt | None = column("Its size in bytes.", "artifact_size_bytes")
    format: str | None = column("How it is written, such as `onnx` or `pickle`.", "artifact_format")


@strawberry.type(description="That a version used a data set version, and what for.")
class DatasetUse:
    table: ClassVar = DatasetUseRow
    needs: ClassVar = Need.VIEWER

    role: enums.DatasetRole = column("What for.")
    dataset_version: links.DatasetVersion = one("The data.", "{c}.id = {t}.dataset_version_id")


@strawberry.type(
    description="What changed against the parent version, and whether the number says so. The rule is the product's"
    " semantic versioning: see the values of Bump. Facts that either side does not state are not compared."
)
class VersionChange:
    needs: ClassVar = Need.VIEWER

    required_bump: enums.Bump = column("The least bump that the change calls for.")
    reasons: list[str] = column("Why, one sentence for each difference, the weightiest first.")
    declared_bump: enums.Bump = column("The bump that the two numbers declare; MAJOR for a parent of another model.")
    sufficient: bool = column("Whether the declared bump is at least the required one.")


@strawberry.type(
    description="A registered version of a model. Its training facts never change; nothing of it is ever deleted."
)
class ModelVersion(Node):
    table: ClassVar = VersionRow
    prefix: ClassVar = "ver"
    needs: ClassVar = Need.VIEWER

    model: links.Model = one("The model that this is a version of.", "{c}.id = {t}.model_id")
    version: SemVer = expression("Its number, unique in the model for ever.", "array_to_string({t}.number, '.')")
    stage: enums.Stage = column("Where it is in its life.")
    description: str | None = column("What is new in it.", weight=TEXT)
    tags: list[str] = expression(
        "Its labels, in alphabetical order.",
        "(SELECT coalesce(json_agg(g.tag ORDER BY g.tag), '[]'::json) FROM tags g WHERE g.version_id = {t}.id)",
    )
    metrics: list[Metric] = many("Its measured values by name.", "{c}.version_id = {t}.id", "{c}.name")
    metric: float | None = expression(
        "One measured value, or null.",
        "(SELECT m.value FROM metrics m WHERE m.version_id = {t}.id AND m.name = {args[name]})",
        argument("name", str, "The metric's name."),
    )
    parameters: JSON = column("The hyper-parameters, as given.", weight=OBJECT)
    artifact: Artifact | None = embedded(
        "The trained model's file, where it was given.", "{t}.artifact_uri IS NOT NULL"
    )
    features: list[str] = column("The features that it was trained on, where they were given.", weight=HEAVY)
    target: str | None = column("What it predicts.")
    experiment: links.Experiment | None = one("The experiment that produced it.", "{c}.id = {t}.experiment_id")
    dataset_version: links.DatasetVersion | None = one(
        "The data that it was trained on.", "{c}.id = {t}.dataset_version_id"
    )
    datasets: list[DatasetUse] = many(
        "All data that it used, by role.", "{c}.version_id = {t}.id", "{c}.role, {c}.dataset_version_id"
    )
    parent: links.ModelVersion | None = one("The version that it was derived from.", "{c}.id = {t}.parent_id")
    children: VersionConnection = connection(
        "The versions derived from it, the newest first.", "{c}.parent_id = {t}.id", NEWEST_FIRST
    )
    version_chain: list[links.ModelVersion] = bound(
        "This version, its parent, and so on to the first; crosses models.",
        Chain("parent_id"),
        (argument("first", int | None, "How many at most: 1 to 1000.", default=DEFAULT_CHAIN),),
    )
    deployments: Connection[links.Deployment] = deployments_of(
        "Its deployments, the newest first, with those that have ended.", "{c}.version_id = {t}.id"
    )
    impact: Impact = impact_of_version()
    lineage: LineageGraph = lineage_graph()
    lineage_url: str = lineage_picture()
    change: VersionChange | None = computed(
        "What changed against the parent; null for a version without one.", CHANGE_NEEDS, version_change, weight=HEAVY
    )
    stage_history: list[StageTransition] = many(
        "Its steps, the oldest first.", "{c}.version_id = {t}.id", "{c}.position"
    )
    allowed_transitions: list[enums.Stage] = computed(
        "The stages that it may go to next.", {"stage": "{t}.stage"}, allowed
    )
    created_at: datetime = column("When it was registered.")
    created_by: str = column("Who registered it: the owner of the API key.")
    model_card: links.ModelCard = one("What people wrote of it.", "{c}.version_id = {t}.id")
    compare_to: VersionComparison = bound(
        "This version against another, which is the baseline. NOT_FOUND where there is no such version.",
        FromQuery(WITH_ANOTHER, "compared"),
        (
            argument("version", SemVer, "The other's number."),
            ONLY_CHANGED,
            argument("modelId", strawberry.ID | None, "The other's model; absent: the same.", default=strawberry.UNSET),
        ),
        weight=HEAVY,
    )
    approvals: list[links.Approval] = many(
        "What reviewers decided of its steps, the oldest first.", "{c}.version_id = {t}.id", "{c}.at, {c}.id"
    )
    transition_requests: Connection[links.TransitionRequest] = connection(
        "The steps that were asked for, the newest first.", "{c}.version_id = {t}.id", NEWEST_FIRST
    )
    review_digest: str = computed(
        "Stands for all that a review shows: the card's revision, the description, the tags, the experiment's status"
        " and notes, and the status of the data. It changes when any of these does. Send it as `expectedReviewDigest`."
        " 64 hexadecimal digits.",
        REVIEWED_NEEDS,
        review_digest,
        weight=TEXT,
    )
    promotion: links.PromotionCheck = bound(
        "A dry run of the step to a stage, for the caller.",
        FromQuery(DRY_RUN, "dry"),
        (argument("targetStage", enums.Stage, "The stage to go to."),),
        weight=HEAVY,
    )


@strawberry.input(description="A metric's range. Versions without the metric do not match.")
class MetricCondition:
    name: str = given("The metric's name.")
    min: float | None = optional("The least value, inclusive.")
    max: float | None = optional("The greatest value, inclusive.")


@strawberry.input(description="Which versions are meant. All given conditions hold together.")
class VersionFilter:
    query: str | None = optional(
        "With all of these words in their model's name, id or description, their description, tags, card, the notes of"
        ' their steps or their experiment: whole words in any case, "in quotes" side by side, the last one perhaps'
        " unfinished. At most 20 words.",
        limits.Sought(lines=True),
    )
    project_id: strawberry.ID | None = optional("Of this project.")
    model_id: strawberry.ID | None = optional("Of this model.")
    stage: list[enums.Stage] | None = optional("In one of these stages.", limits.Several(20))
    tags: list[str] | None = optional("With all of these tags.", limits.Several(20))
    any_tag: list[str] | None = optional("With at least one of these tags.", limits.Several(20))
    metrics: list[MetricCondition] | None = optional("With all of these metrics in their ranges.", limits.Several(20))
    algorithm: str | None = optional("Trained by this algorithm, written as it was registered.")
    experiment_id: strawberry.ID | None = optional("Produced by this experiment.")
    dataset_version_id: strawberry.ID | None = optional("Trained on this data set version.")
    created_after: datetime | None = optional("Registered at this moment or later.")
    created_before: datetime | None = optional("Registered before this moment.")


@strawberry.input(description="How versions are ordered; equal ones by id.")
class VersionOrder:
    by: enums.VersionOrderField = given("What by.")
    metric: str | None = optional("The metric's name; only for METRIC, and needed there.")
    direction: enums.OrderDirection | None = given("Which way.", default=enums.OrderDirection.DESC)


FILTER = argument("filter", VersionFilter | None, "Which versions; absent: all.", default=strawberry.UNSET)
ORDER_BY = argument("orderBy", VersionOrder | None, "In which order.", default=strawberry.UNSET)


@strawberry.input(description="That a version used a data set version, and what for.")
class DatasetUseInput:
    role: enums.DatasetRole = given("What for.")
    dataset_version_id: strawberry.ID = given("The data, of the same project.", limits.Id("dsv"))


@strawberry.input(description="The file or folder that holds the trained model.")
class ArtifactInput:
    uri: str = given("Where it is kept.", limits.URI)
    digest: str | None = optional("A digest of its contents, such as `sha256:...`.", limits.DIGEST)
    size_bytes: BigInt | None = optional("Its size in bytes.", limits.Whole())
    format: str | None = optional("How it is written, such as `onnx`.", limits.NAME)


@strawberry.input(description="A version to register, with all that is known of how it was made.")
class CreateVersionInput:
    project_id: strawberry.ID = given("The project of the model.", limits.Id("proj"))
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    version: SemVer | None = optional(
        "The number it shall have. Absent: `bump` decides it, or else the bump that the change requires; a model's"
        " first is 1.0.0."
    )
    bump: enums.Bump | None = optional("Which part of the parent's number to raise. Not together with `version`.")
    parent_version: SemVer | None = optional(
        "The version of this model that it was derived from. Absent: the highest below the new number.",
        null="it has no parent",
    )
    parent_id: strawberry.ID | None = optional(
        "The version of another model of the project that it was derived from. Not together with `parentVersion`.",
        limits.Id("ver"),
    )
    description: str | None = optional("What is new in it.", limits.NOTES)
    experiment_id: strawberry.ID | None = optional("The experiment that produced it.", limits.Id("exp"))
    dataset_version_id: strawberry.ID | None = optional("The data that it was trained on.", limits.Id("dsv"))
    datasets: list[DatasetUseInput] | None = optional("Further data that it used, by role; at most 100.")
    metrics: JSON | None = optional("Its measured values.", objects.Metrics())
    parameters: JSON | None = optional(
        "Its hyper-parameters; `algorithm` among them names the algorithm.", objects.JsonObject()
    )
    features: list[str] | None = optional("The features that it was trained on.", limits.FEATURES)
    target: str | None = optional("What it predicts.", limits.NAME)
    artifact: ArtifactInput | None = optional("The trained model's file.")
    tags: list[str] | None = optional("Its labels.", limits.TAGS)
    create_model: bool | None = given("Make the model, named by its id, if there is none yet.", default=False)


@strawberry.type(description="What `createVersion` registered.")
class CreateVersionPayload:
    version: ModelVersion = one("The new version, in DEVELOPMENT.", "{c}.id = {payload[version_id]}")
    warnings: list[str] = payload("What was accepted but deserves a look, such as a number too small for the change.")


@strawberry.input(description="A version's new description. Its training facts never change.")
class UpdateVersionInput:
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    version: SemVer = given("The version's number.")
    description: str = given("What is new in it.", limits.NOTES)


@strawberry.type(description="What `updateVersion` changed.")
class UpdateVersionPayload:
    version: ModelVersion = one("The version.", "{c}.id = {payload[version_id]}")


@strawberry.input(description="Tags to add to a version or to remove from it.")
class TagsInput:
    model_id: strawberry.ID = given("The model.", limits.Id("model"))
    version: SemVer = given("The version's number.")
    tags: list[str] = given(
        "The tags. Adding one that is there and removing one that is not change nothing.", limits.TAGS
    )


@strawberry.type(description="What `addTags` or `removeTags` changed.")
class TagsPayload:
    version: ModelVersion = one("The version.", "{c}.id = {payload[version_id]}")
    warnings: list[str] = payload("What was accepted but deserves a look.")
