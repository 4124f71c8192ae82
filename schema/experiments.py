from datetime import datetime
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules import limits, objects
from resolvers.rules.access import Need
from schema import enums, links
from schema.facets import VersionConnection
from schema.fields import OBJECT, TEXT, column, connection, many, one, optional, required
from schema.impact import Impact, impact_of_experiment
from schema.lineage import LineageGraph, lineage_graph, lineage_picture
from schema.nodes import Node
from schema.versions import CreateVersionInput
from storage.experiments import Experiment as ExperimentRow


@strawberry.type(description="A training run or search, whether or not it was successful.")
class Experiment(Node):
    table: ClassVar = ExperimentRow
    prefix: ClassVar = "exp"
    needs: ClassVar = Need.VIEWER

    name: str = column("The experiment's name.")
    project: links.Project = one("The project that the experiment belongs to.", "{c}.id = {t}.project_id")
    status: enums.ExperimentStatus = column("The experiment's status.")
    algorithm: str | None = column("The name of the algorithm that was trained.")
    training_duration_secs: float | None = column("The training time, in seconds. Null if it was not reported.")
    max_models: int | None = column("The maximum number of candidate models to evaluate. Null if it was not given.")
    parameters: JSON = column("The settings of the run, as a JSON object.", weight=OBJECT)
    notes: str | None = column("What was tried and what was learned.", weight=TEXT)
    created_at: datetime = column("When the experiment was registered.")
    dataset_version: links.DatasetVersion | None = one(
        "The data that the experiment was trained on. Null if it was not registered.", "{c}.id = {t}.dataset_version_id"
    )
    versions: VersionConnection = connection(
        "The model versions that the experiment produced, newest first.", "{c}.experiment_id = {t}.id", NEWEST_FIRST
    )
    impact: Impact = impact_of_experiment()
    lineage: LineageGraph = lineage_graph()
    lineage_url: str = lineage_picture()


@strawberry.input(description="An experiment to register, whether it is running or has ended.")
class CreateExperimentInput:
    id: strawberry.ID | None = optional("The experiment's ID. Generated if omitted.", limits.NewId("exp"))
    project_id: strawberry.ID = required("The ID of the project that the experiment belongs to.", limits.Id("proj"))
    name: str = required("The experiment's name.", limits.NAME)
    algorithm: str | None = optional("The name of the algorithm.", limits.NAME)
    max_models: int | None = optional("The maximum number of candidate models to evaluate.", limits.Whole(2**31 - 1))
    parameters: JSON | None = optional("The settings of the run.", objects.JsonObject())
    dataset_version_id: strawberry.ID | None = optional("The ID of the data set version to train on.", limits.Id("dsv"))
    status: enums.ExperimentStatus | None = optional("The experiment's status. Default: RUNNING.")
    training_duration_secs: float | None = optional("The training time.", limits.Seconds())
    notes: str | None = optional("What was tried and what was learned.", limits.NOTES)


@strawberry.type(description="The result of `createExperiment`.")
class CreateExperimentPayload:
    experiment: Experiment = one("The new experiment.", "{c}.id = {payload[experiment_id]}")


@strawberry.input(description="Corrections of an experiment. Fields that are omitted stay unchanged.")
class UpdateExperimentInput:
    experiment_id: strawberry.ID = required("The experiment's ID.", limits.Id("exp"))
    name: str | None = optional("The new name.", limits.NAME)
    notes: str | None = optional("What was tried and what was learned.", limits.NEW_NOTES)


@strawberry.type(description="The result of `updateExperiment`.")
class UpdateExperimentPayload:
    experiment: Experiment = one("The updated experiment.", "{c}.id = {payload[experiment_id]}")


@strawberry.input(description="The end of an experiment, with the versions that it produced.")
class CompleteExperimentInput:
    experiment_id: strawberry.ID = required("The ID of a RUNNING experiment.", limits.Id("exp"))
    status: enums.ExperimentStatus = required("The final status: COMPLETED or FAILED.")
    training_duration_secs: float | None = optional("The training time.", limits.Seconds())
    notes: str | None = optional("What was tried and what was learned.", limits.NOTES)
    versions: list[CreateVersionInput] | None = optional(
        "The versions to register, at most 100. Their `experimentId` can be omitted and defaults to this experiment."
    )


@strawberry.type(description="The result of `completeExperiment`.")
class CompleteExperimentPayload:
    experiment: Experiment = one("The experiment, which has ended.", "{c}.id = {payload[experiment_id]}")
    versions: list[links.ModelVersion] = many(
        "The registered versions, in the order of the input.",
        "{c}.id = ANY ({payload[version_ids]}::text[])",
        "array_position({payload[version_ids]}::text[], {c}.id::text)",
        size=100,
    )
