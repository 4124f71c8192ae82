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
from schema.fields import TEXT, argument, column, computed, given, one, optional, search
from schema.nodes import Node
from schema.scalars import SemVer
from schema.versions import FILTER, ORDER_BY
from storage.models import Model as ModelRow

OF_NUMBER = argument("version", SemVer, "The number.")


@strawberry.type(description="A line of versions with one purpose, such as predicting churn.")
class Model(Node):
    table: ClassVar = ModelRow
    prefix: ClassVar = "model"
    needs: ClassVar = Need.VIEWER

    name: str = column("What people call it. Unique in its project.")
    description: str | None = column("What it predicts and for whom.", weight=TEXT)
    project: links.Project = one("The project that it belongs to.", "{c}.id = {t}.project_id")
    created_at: datetime = column("When it was made.")
    serving: list[ServingShare] = serving()
    versions: VersionConnection = search(
        "Its versions, by default the highest number first.", "{c}.model_id = {t}.id", HIGHEST_FIRST, FILTER, ORDER_BY
    )
    version: links.ModelVersion | None = one(
        "The version with this number, or null.",
        "{c}.model_id = {t}.id AND {c}.number = {args[version]}::int[]",
        OF_NUMBER,
    )
    latest_version: links.ModelVersion | None = one(
        "The version with the highest number, or null while there is none.",
        "{c}.model_id = {t}.id",
        order="{c}.number DESC",
    )
    production_version: links.ModelVersion | None = one(
        "The one version in production, or null.", "{c}.model_id = {t}.id AND {c}.stage = 'PRODUCTION'"
    )
    production_at: links.ModelVersion | None = one(
        "The version that was in production at that instant, from the history; null if none was.",
        # The model's last step into or out of production up to then, if it led in.
        "{c}.id = (SELECT CASE s.to_stage WHEN 'PRODUCTION' THEN s.version_id END FROM stage_transitions s"
        " WHERE s.model_id = {t}.id AND (s.to_stage = 'PRODUCTION' OR s.from_stage = 'PRODUCTION')"
        " AND s.at <= {args[at]}::timestamptz ORDER BY s.at DESC, s.position DESC LIMIT 1)",
        argument("at", datetime, "The instant."),
    )
    metric_url: str = computed(
        "Where a metric's course over its versions is drawn: the path of an SVG, which a GET with an API key answers.",
        {"model": "{t}.id", "metric": "{args[name]}::text"},
        metric_path,
        argument("name", str, "The metric's name."),
    )


@strawberry.input(description="A model to make.")
class CreateModelInput:
    id: strawberry.ID | None = optional("Its id. Generated if omitted.", limits.NewId("model"))
    project_id: strawberry.ID = given("The project that it belongs to.", limits.Id("proj"))
    name: str = given("What people call it. Unique in its project.", limits.NAME)
    description: str | None = optional("What it predicts and for whom.", limits.NOTES)


@strawberry.type(description="What `createModel` made.")
class CreateModelPayload:
    model: Model = one("The new model.", "{c}.id = {payload[model_id]}")
