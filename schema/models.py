from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.paging import HIGHEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from resolvers.rules.metrics import metric_path
from schema import links
from schema.deployments import ServingShare, serving
from schema.facets import VersionConnection
from schema.fields import TEXT, argument, column, computed, one, optional, required, search
from schema.nodes import Node
from schema.scalars import SemVer
from schema.search import FILTER, ORDER_BY
from storage.models import Model as ModelRow

OF_NUMBER = argument("version", SemVer, "The version's number.")


@strawberry.type(
    description="A machine-learning model with one purpose, such as predicting churn, as a series of versions."
)
class Model(Node):
    table: ClassVar = ModelRow
    prefix: ClassVar = "model"
    needs: ClassVar = Need.VIEWER

    name: str = column("The model's name. Unique in its project.")
    description: str | None = column("What the model predicts, and for whom.", weight=TEXT)
    project: links.Project = one("The project that the model belongs to.", "{c}.id = {t}.project_id")
    created_at: datetime = column("When the model was created.")
    serving: list[ServingShare] = serving()
    versions: VersionConnection = search(
        "The model's versions, by default highest number first.",
        "{c}.model_id = {t}.id",
        HIGHEST_FIRST,
        FILTER,
        ORDER_BY,
    )
    version: links.ModelVersion | None = one(
        "The version with this number. Null if there is none.",
        "{c}.model_id = {t}.id AND {c}.number = {args[version]}::int[]",
        OF_NUMBER,
    )
    latest_version: links.ModelVersion | None = one(
        "The version with the highest number. Null if the model has no versions.",
        "{c}.model_id = {t}.id",
        order="{c}.number DESC",
    )
    production_version: links.ModelVersion | None = one(
        "The version in PRODUCTION. Null if there is none.", "{c}.model_id = {t}.id AND {c}.stage = 'PRODUCTION'"
    )
    production_at: links.ModelVersion | None = one(
        "The version that was in PRODUCTION at a given time, according to the history. Null if there was none.",
        # The model's last step into or out of production up to then, if it led in.
        "{c}.id = (SELECT CASE s.to_stage WHEN 'PRODUCTION' THEN s.version_id END FROM stage_transitions s"
        " WHERE s.model_id = {t}.id AND (s.to_stage = 'PRODUCTION' OR s.from_stage = 'PRODUCTION')"
        " AND s.at <= {args[at]}::timestamptz ORDER BY s.at DESC, s.position DESC LIMIT 1)",
        argument("at", datetime, "The time."),
    )
    metric_url: str = computed(
        "The path of an SVG chart of a metric over the model's versions. Request it with GET and an API key.",
        {"model": "{t}.id", "metric": "{args[name]}::text"},
        metric_path,
        argument("name", str, "The metric's name."),
    )


@strawberry.input(description="A model to create.")
class CreateModelInput:
    id: strawberry.ID | None = optional("The model's ID. Generated if omitted.", limits.NewId("model"))
    project_id: strawberry.ID = required("The ID of the project that the model belongs to.", limits.Id("proj"))
    name: str = required("The model's name. Unique in its project.", limits.NAME)
    description: str | None = optional("What the model predicts, and for whom.", limits.NOTES)


@strawberry.type(description="The result of `createModel`.")
class CreateModelPayload:
    model: Model = one("The new model.", "{c}.id = {payload[model_id]}")
