from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.paging import BY_NAME, NEWEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import TEXT, argument, column, connection, given, many, one, optional
from schema.nodes import Connection, Node
from schema.policies import ProjectPolicy
from schema.principals import Member
from schema.tags import TagDefinition
from schema.webhooks import Webhook
from storage.approvals import request_status
from storage.projects import Project as ProjectRow


@strawberry.type(
    description="What belongs together and is seen together: the models, data sets and experiments of one team."
)
class Project(Node):
    table: ClassVar = ProjectRow
    prefix: ClassVar = "proj"
    needs: ClassVar = Need.VIEWER

    name: str = column("What people call it.")
    description: str | None = column("What it is about.", weight=TEXT)
    created_at: datetime = column("When it was made.")
    models: Connection[links.Model] = connection("Its models by name.", "{c}.project_id = {t}.id", BY_NAME)
    datasets: Connection[links.Dataset] = connection("Its data sets by name.", "{c}.project_id = {t}.id", BY_NAME)
    experiments: Connection[links.Experiment] = connection(
        "Its experiments, the newest first.", "{c}.project_id = {t}.id", NEWEST_FIRST
    )
    policy: ProjectPolicy = one("What it asks of its versions.", "{c}.project_id = {t}.id")
    members: list[Member] = many(
        "Who may do what in it, by address.",
        "{c}.project_id = {t}.id",
        "(SELECT p.email FROM principals p WHERE p.id = {c}.principal_id)",
    )
    tag_vocabulary: list[TagDefinition] = many("Its shared tags, by name.", "{c}.project_id = {t}.id", "{c}.name")
    webhooks: list[Webhook] = many(
        "Where its events are sent, the oldest first.", "{c}.project_id = {t}.id", "{c}.created_at, {c}.id"
    )
    transition_requests: Connection[links.TransitionRequest] = connection(
        "The steps that were asked for, the newest first.",
        "{c}.project_id = {t}.id AND ({args[status]}::text[] IS NULL OR"
        f" {request_status('{c}')} = ANY ({{args[status]}}::text[]))",
        NEWEST_FIRST,
        argument(
            "status", list[enums.TransitionRequestStatus] | None, "With one of these; absent: all.",
            default=strawberry.UNSET,
        ),
    )  # fmt: skip


@strawberry.input(description="A project to make.")
class CreateProjectInput:
    id: strawberry.ID | None = optional("Its id. Generated if omitted.", limits.NewId("proj"))
    name: str = given("What people call it.", limits.NAME)
    description: str | None = optional("What it is about.", limits.NOTES)


@strawberry.type(description="What `createProject` made.")
class CreateProjectPayload:
    project: Project = one("The new project.", "{c}.id = {payload[project_id]}")
