"""Which version serves which share of the traffic where, and how it came there."""

from datetime import datetime
from typing import Any, ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.bindings import Each
from resolvers.reads.deployments import CANARY, EVENTS, NEXT_ADVANCE, REPORTS, SERVING
from resolvers.reads.paging import NEWEST_FIRST
from resolvers.rules import canary, limits, objects
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import OBJECT, TEXT, argument, bound, column, connection, embedded, expression, given, one, optional
from schema.nodes import Node
from schema.scalars import SemVer
from storage.deployments import Deployment as DeploymentRow


@strawberry.type(description="One stage of a canary.")
class CanaryStage:
    needs: ClassVar = Need.VIEWER

    traffic_percentage: int = expression("The share it serves, in percent.", "({t}.stage ->> 'trafficPercentage')::int")
    duration_minutes: float = expression(
        "How long it lasts at least, in minutes.", "({t}.stage ->> 'durationMinutes')::float8"
    )


@strawberry.type(description="How a canary goes on by itself.")
class CanaryPlan:
    needs: ClassVar = Need.VIEWER

    stages: list[CanaryStage] = bound(
        "Its stages, in order.",
        Each("json_array_elements({t}.stages) WITH ORDINALITY {c} (stage, place)", "{c}.place"),
    )
    auto_advance: bool = column("Whether it enters the next stage when the time has passed and health is good.")
    auto_rollback: bool = column("Whether it goes back after `failureThreshold` unhealthy reports; else it pauses.")
    failure_threshold: int = column("How many unhealthy reports in a row are too many.")
    health_required: bool = column("Whether it advances by itself only on a healthy report.")
    max_health_age_minutes: float | None = column(
        "How old that report may be, in minutes; null: of any age since the stage began."
    )


@strawberry.type(description="One step of a deployment. Steps are added, never changed.")
class DeploymentEvent:
    needs: ClassVar = Need.VIEWER

    at: datetime = column("When it happened, by the database's clock.")
    kind: str = column(
        "`created`, `advanced`, `completed`, `paused`, `resumed`, `rolledBack`, `retired`; of who serves the rest also"
        " `yielded` and `restored`."
    )
    traffic_percentage: int = column("The share it has served since.")
    actor: str = column("Who did it: the owner of the API key, or `lineal rollouts`.")
    reason: str | None = column("Why.", weight=TEXT)


@strawberry.type(description="What was observed of a deployment at one time.")
class HealthReport:
    needs: ClassVar = Need.VIEWER

    at: datetime = column("When it was observed.")
    healthy: bool = column("Whether all was well.")
    metrics: JSON = column("What was measured, as given.", weight=OBJECT)
    reported_by: str = column("Who reported it: the owner of the API key.")


@strawberry.type(description="A version brought into an environment, by a plan.")
class Deployment(Node):
    table: ClassVar = DeploymentRow
    prefix: ClassVar = "dep"
    needs: ClassVar = Need.VIEWER

    name: str = column("What people call it.")
    project: links.Project = one("The project that it belongs to.", "{c}.id = {t}.project_id")
    version: links.ModelVersion = one("The version that it serves.", "{c}.id = {t}.version_id")
    environment: str = column("Where, such as `production`.")
    strategy: enums.DeploymentStrategy = column("How it takes over.")
    status: enums.DeploymentStatus = column("How far it has come.")
    traffic_percentage: int = column("The share of the environment's traffic that it serves, in percent.")
    current_stage: int | None = expression(
        "The place of its stage in the plan, from 0; null but for a canary.",
        "CASE WHEN {t}.strategy = 'CANARY' THEN {t}.stage END",
    )
    canary: CanaryPlan | None = embedded("The plan of a canary; null for other strategies.", CANARY)
    previous: links.Deployment | None = one(
        "The deployment that it takes over from, and gives back to; null where nothing was active.",
        "{c}.id = {t}.previous_id",
    )
    events: list[DeploymentEvent] = bound("Its steps, the oldest first.", Each(EVENTS, "{c}.seq"), size=20)
    health: list[HealthReport] = bound(
        "What was reported of it, the newest first.",
        Each(REPORTS, "{c}.at DESC, {c}.id DESC", (100, 1000)),
        (argument("first", int | None, "How many at most: 1 to 1000.", default=100),),
    )
    next_advance_at: datetime | None = expression(
        "When it goes on by itself if health is good; null where it does not.", NEXT_ADVANCE
    )
    created_at: datetime = column("When it was made.")
    created_by: str = column("Who made it: the owner of the API key.")


@strawberry.type(description="Who serves a part of an environment's traffic.")
class ServingShare:
    needs: ClassVar = Need.VIEWER

    deployment: links.Deployment | None = one(
        "The deployment; null for the part that no deployment of Lineal's has taken over yet.", "{c}.id = {t}.id"
    )
    share: int = column("Its share, in percent. All shares add up to 100.")


def serving() -> Any:
    return bound(
        "Who serves its traffic in an environment, the largest share first; empty where nothing is deployed. Shadows"
        " serve none.",
        Each(SERVING, "{c}.share DESC, {c}.id"),
        (argument("environment", str | None, "The environment.", default=canary.PRODUCTION),),
    )


STATUS = argument(
    "status", list[enums.DeploymentStatus] | None, "With one of these; absent: all.", default=strawberry.UNSET
)


def deployments_of(description: str, where: str) -> Any:
    """The deployments that the condition finds, by status."""
    of_status = "({args[status]}::text[] IS NULL OR {c}.status = ANY ({args[status]}::text[]))"
    return connection(description, f"{where} AND {of_status}", NEWEST_FIRST, STATUS)


@strawberry.input(description="Which deployments are meant. All given conditions hold together.")
class DeploymentFilter:
    project_id: strawberry.ID | None = optional("Of this project.")
    model_id: strawberry.ID | None = optional("Of this model.")
    environment: str | None = optional("In this environment.")
    status: list[enums.DeploymentStatus] | None = optional("With one of these.")


FILTER = argument("filter", DeploymentFilter | None, "Which deployments; absent: all.", default=strawberry.UNSET)


@strawberry.input(description="A registered version.")
class RegistryVersionInput:
    model_id: strawberry.ID = given("The model, of the same project.", limits.Id("model"))
    version: SemVer = given("The version's number.")


@strawberry.input(description="One stage of a canary.")
class CanaryStageInput:
    traffic_percentage: int = given(
        "The share it serves, 1 to 100; more from stage to stage, and 100 in the last alone.", limits.Whole(2**31 - 1)
    )
    duration_minutes: float = given(
        "How long it lasts, in minutes; more than 0 but in the last stage.", limits.Minutes(least=0)
    )


@strawberry.input(description="How a canary goes on by itself.")
class CanaryConfigInput:
    stages: list[CanaryStageInput] = given("Its stages, 1 to 20.")
    auto_advance: bool | None = optional("Whether it enters the next stage by itself; absent: true.")
    auto_rollback: bool | None = optional(
        "Whether it goes back by itself after `failureThreshold` unhealthy reports; absent: true. False: it pauses."
    )
    failure_threshold: int | None = optional(
        "How many unhealthy reports in a row are too many; absent: 1.", limits.Whole(canary.MOST_FAILURES, 1)
    )
    max_health_age_minutes: float | None = optional(
        "How old the healthy report may be, in minutes, on which it advances by itself; absent: it must have come since"
        " the stage began.",
        limits.Minutes(least=0.01),
        null="health is not asked for, and time alone advances it",
    )


@strawberry.input(description="A version to deploy.")
class CreateDeploymentInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    registry_version: RegistryVersionInput = given("The version.")
    name: str = given("What people call the deployment.", limits.NAME)
    environment: str | None = optional("Where; absent: `production`.", limits.ENVIRONMENT)
    strategy: enums.DeploymentStrategy = given("How it takes over.")
    canary_config: CanaryConfigInput | None = optional("The stages of a CANARY, which needs them; of no other.")


@strawberry.type(description="What `createDeployment` made.")
class CreateDeploymentPayload:
    deployment: Deployment = one("The new deployment.", "{c}.id = {payload[deployment_id]}")


@strawberry.input(description="Something to do to a deployment.")
class DeploymentActionInput:
    deployment_id: strawberry.ID = given("The deployment.", limits.Id("dep"))
    reason: str | None = optional("Why; kept in the history.", limits.NOTES)


@strawberry.type(description="What was done to a deployment.")
class DeploymentActionPayload:
    deployment: Deployment = one("The deployment.", "{c}.id = {payload[deployment_id]}")


@strawberry.input(description="What was observed of a deployment.")
class ReportDeploymentHealthInput:
    deployment_id: strawberry.ID = given("A deployment that has not ended.", limits.Id("dep"))
    healthy: bool = given("Whether all is well.")
    metrics: JSON | None = optional("What was measured.", objects.JsonObject())
    observed_at: datetime | None = optional("When it was observed; absent: now.")


@strawberry.type(description="What `reportDeploymentHealth` kept.")
class ReportDeploymentHealthPayload:
    deployment: Deployment = one(
        "The deployment, gone on or back where the report made that due.", "{c}.id = {payload[deployment_id]}"
    )
