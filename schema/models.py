from datetime import datetime
from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.paging import HIGHEST_FIRST
from resolvers.rules import limits, objects
from resolvers.rules.access import Need
from resolvers.rules.aliases import SoughtAlias
from resolvers.rules.metrics import metric_path
from schema import links
from schema.aliases import ModelAlias
from schema.deployments import ServingShare, serving
from schema.facets import VersionConnection
from schema.fields import (
    OBJECT,
    TEXT,
    argument,
    column,
    computed,
    embedded,
    many,
    one,
    optional,
    required,
    search,
)
from schema.nodes import Node
from schema.origins import Origin, OriginInput
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
    owner: str | None = column("An email address or the name of a team. Null if the model has no owner.")
    properties: JSON = column("What else is known of the model, as a JSON object.", weight=OBJECT)
    origin: Origin | None = embedded(
        "Where the model was before it was imported. Null if that was not stated.", "{t}.origin IS NOT NULL"
    )
    archived: bool = column(
        "Whether the model is archived: it is left out of lists of models and accepts no new versions. Its versions,"
        " deployments and history stay as they are."
    )
    created_at: datetime = column("When the model was created.")
    updated_at: datetime = column(
        "When anything of the model last changed: the model itself, a version, a stage, a tag, a model card, an alias,"
        " a transition request or a deployment."
    )
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
    aliases: list[ModelAlias] = many("The model's aliases, by name.", "{c}.model_id = {t}.id", "{c}.name")
    version_by_alias: links.ModelVersion | None = one(
        "The version that an alias points to. Null if the model does not have the alias.",
        "{c}.model_id = {t}.id AND {c}.id = (SELECT a.version_id FROM model_aliases a"
        " WHERE a.model_id = {t}.id AND a.name = {args[alias]})",
        argument("alias", str, "The alias. Not case-sensitive.", SoughtAlias()),
    )
    version_by_ordinal: links.ModelVersion | None = one(
        "The version with this ordinal. Null if there is none.",
        "{c}.model_id = {t}.id AND {c}.ordinal = {args[ordinal]}::int",
        argument("ordinal", int, "The version's `ordinal`."),
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
    owner: str | None = optional("An email address or the name of a team.", limits.NAME)
    properties: JSON | None = optional("What else is known of the model.", objects.JsonObject())
    origin: OriginInput | None = optional("Where the model was before, if it is imported.")


@strawberry.type(description="The result of `createModel`.")
class CreateModelPayload:
    model: Model = one("The new model.", "{c}.id = {payload[model_id]}")


@strawberry.input(description="Corrections of a model. Fields that are omitted stay unchanged.")
class UpdateModelInput:
    model_id: strawberry.ID = required("The model's ID.", limits.Id("model"))
    name: str | None = optional("The new name. Unique in the model's project.", limits.NAME)
    description: str | None = optional("What the model predicts, and for whom.", limits.NEW_NOTES)
    owner: str | None = optional("An email address or the name of a team.", limits.NEW_NAME)
    properties: JSON | None = optional(
        "What else is known of the model. It replaces the current properties.", objects.JsonObject()
    )
    archived: bool | None = optional(
        "Whether the model is archived. Archiving keeps its ID and its name in use, and can be undone."
    )
    reason: str | None = optional("The reason, for the audit log. Required to archive a model.", limits.NOTES)


@strawberry.type(description="The result of `updateModel`.")
class UpdateModelPayload:
    model: Model = one("The updated model.", "{c}.id = {payload[model_id]}")
