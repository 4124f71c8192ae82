from datetime import datetime
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules import limits, objects
from resolvers.rules.access import Need
from schema import enums, links
from schema.facets import VersionConnection
from schema.fields import OBJECT, TEXT, column, connection, given, many, one, optional
from schema.impact import Impact, impact_of_experiment
from schema.lineage import LineageGraph, lineage_graph, lineage_picture
from schema.nodes import Node
from schema.versions import CreateVersionInput
from storage.experiments import Experiment as ExperimentRow


@strawberry.type(description="One training run or search, successful or not.")
class Experiment(Node):
    table: ClassVar = ExperimentRow
    prefix: ClassVar = "exp"
    needs: ClassVar = Need.VIEWER

    name: str = column("What people call it.")
    project: links.Project = one("The project that it belongs to.", "{c}.id = {t}.project_id")
    status: enums.ExperimentStatus = column("How far it has come.")
    algorithm: str | None = column("The algorithm that was trained, as the pipeline names it.")
    training_duration_secs: float | None = column("How long training took, in seconds.")
    max_models: int | None = column("How many candidate models were to be evaluated at most.")
    parameters: JSON = column("The settings of the run, as given.", weight=OBJECT)
    notes: str | None = column("What was tried and what was learned.", weight=TEXT)
    created_at: datetime = column("When it was made known to the registry.")
    dataset_version: links.DatasetVersion | None = one(
        "The data that it was trained on.", "{c}.id = {t}.dataset_version_id"
    )
    versions: VersionConnection = connection(
        "The model versions that it produced, the newest first.", "{c}.experiment_id = {t}.id", NEWEST_FIRST
    )
    impact: Impact = impact_of_experiment()
    lineage: LineageGraph = lineage_graph()
    lineage_url: str = lineage_picture()


@strawberry.input(description="An experiment to make known, running or already ended.")
class CreateExperimentInput:
    id: strawberry.ID | None = optional("Its id. Generated if omitted.", limits.NewId("exp"))
    project_id: strawberry.ID = given("The project that it belongs to.", limits.Id("proj"))
    name: str = given("What people call it.", limits.NAME)
    algorithm: str | None = optional("The algorithm, as the pipeline names it.", limits.NAME)
    max_models: int | None = optional("How many candidate models are evaluated at most.", limits.Whole(2**31 - 1))
    parameters: JSON | None = optional("The settings of the run.", objects.JsonObject())
    dataset_version_id: strawberry.ID | None = optional("The data that it is trained on.", limits.Id("dsv"))
    status: enums.ExperimentStatus | None = optional("How far it has come; absent: RUNNING.")
    training_duration_secs: float | None = optional("How long training took.", limits.Seconds())
    notes: str | None = optional("What is tried and what was learned.", limits.NOTES)


@strawberry.type(description="What `createExperiment` made.")
class CreateExperimentPayload:
    experiment: Experiment = one("The new experiment.", "{c}.id = {payload[experiment_id]}")


@strawberry.input(description="How an experiment ended, and every model that it produced.")
class CompleteExperimentInput:
    experiment_id: strawberry.ID = given("A RUNNING experiment.", limits.Id("exp"))
    status: enums.ExperimentStatus = given("COMPLETED or FAILED.")
    training_duration_secs: float | None = optional("How long training took.", limits.Seconds())
    notes: str | None = optional("What was learned.", limits.NOTES)
    versions: list[CreateVersionInput] | None = optional(
        "The versions to register, at most 100. Their `experimentId` may be left out; it is this experiment."
    )


@strawberry.type(description="What `completeExperiment` wrote: all of it, or nothing.")
class CompleteExperimentPayload:
    experiment: Experiment = one("The ended experiment.", "{c}.id = {payload[experiment_id]}")
    versions: list[links.ModelVersion] = many(
        "The registered versions, in the order given.",
        "{c}.id = ANY ({payload[version_ids]}::text[])",
        "array_position({payload[version_ids]}::text[], {c}.id::text)",
        size=100,
    )
