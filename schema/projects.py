from datetime import datetime
from typing import ClassVar

import strawberry

from resolvers.reads.paging import BY_NAME, NEWEST_FIRST
from resolvers.rules import limits
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import TEXT, argument, column, connection, many, one, optional, required
from schema.nodes import Connection, Node
from schema.policies import ProjectPolicy
from schema.principals import Member
from schema.tags import TagDefinition
from schema.webhooks import Webhook
from storage.approvals import request_status
from storage.projects import Project as ProjectRow


@strawberry.type(description="A team's models, data sets and experiments. Access is granted per project.")
class Project(Node):
    table: ClassVar = ProjectRow
    prefix: ClassVar = "proj"
    needs: ClassVar = Need.VIEWER

    name: str = column("The project's name.")
    description: str | None = column("What the project is about.", weight=TEXT)
    created_at: datetime = column("When the project was created.")
    models: Connection[links.Model] = connection(
        "The project's models, by name, without archived ones.",
        "{c}.project_id = {t}.id AND NOT {c}.archived",
        BY_NAME,
    )
    datasets: Connection[links.Dataset] = connection(
        "The project's data sets, by name.", "{c}.project_id = {t}.id", BY_NAME
    )
    experiments: Connection[links.Experiment] = connection(
        "The project's experiments, newest first.", "{c}.project_id = {t}.id", NEWEST_FIRST
    )
    policy: ProjectPolicy = one("The rules that the project's versions must follow.", "{c}.project_id = {t}.id")
    members: list[Member] = many(
        "The project's members, by email address.",
        "{c}.project_id = {t}.id",
        "(SELECT p.email FROM principals p WHERE p.id = {c}.principal_id)",
    )
    tag_vocabulary: list[TagDefinition] = many(
        "The project's tag vocabulary, by name.", "{c}.project_id = {t}.id", "{c}.name"
    )
    webhooks: list[Webhook] = many(
        "The project's webhooks, oldest first.", "{c}.project_id = {t}.id", "{c}.created_at, {c}.id"
    )
    transition_requests: Connection[links.TransitionRequest] = connection(
        "The project's transition requests, newest first.",
        "{c}.project_id = {t}.id AND ({args[status]}::text[] IS NULL OR"
        f" {request_status('{c}')} = ANY ({{args[status]}}::text[]))",
        NEWEST_FIRST,
        argument(
            "status",
            list[enums.TransitionRequestStatus] | None,
            "Only requests with one of these statuses. Default: all.",
            default=strawberry.UNSET,
        ),
    )


@strawberry.input(description="A person to add to a new project.")
class ProjectMemberInput:
    email: str = required(
        "The member's email address. A new person is registered if the address is not known.", limits.EMAIL
    )
    role: enums.Role = required("The member's role in the project.")


@strawberry.input(description="A project to create.")
class CreateProjectInput:
    id: strawberry.ID | None = optional("The project's ID. Generated if omitted.", limits.NewId("proj"))
    name: str = required("The project's name.", limits.NAME)
    description: str | None = optional("What the project is about.", limits.NOTES)
    members: list[ProjectMemberInput] | None = optional(
        "People to add at once, each with a role. The caller becomes an ADMIN in any case. At most 100 entries."
    )


@strawberry.type(description="The result of `createProject`.")
class CreateProjectPayload:
    project: Project = one("The new project.", "{c}.id = {payload[project_id]}")


@strawberry.input(description="Corrections of a project. Fields that are omitted stay unchanged.")
class UpdateProjectInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    name: str | None = optional("The new name.", limits.NAME)
    description: str | None = optional("What the project is about.", limits.NEW_NOTES)


@strawberry.type(description="The result of `updateProject`.")
class UpdateProjectPayload:
    project: Project = one("The updated project.", "{c}.id = {payload[project_id]}")
