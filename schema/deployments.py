"""Deployments, their rollouts, and the shares of traffic that they serve."""

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
from schema.fields import (
    OBJECT,
    TEXT,
    argument,
    bound,
    column,
    connection,
    embedded,
    expression,
    one,
    optional,
    payload,
    required,
)
from schema.nodes import Node
from schema.scalars import SemVer
from storage.deployments import Deployment as DeploymentRow


@strawberry.type(description="One stage of a canary rollout.")
class CanaryStage:
    needs: ClassVar = Need.VIEWER

    traffic_percentage: int = expression(
        "The percentage of traffic that the deployment serves in this stage.",
        "({t}.stage ->> 'trafficPercentage')::int",
    )
    duration_minutes: float = expression(
        "The minimum duration of the stage, in minutes.", "({t}.stage ->> 'durationMinutes')::float8"
    )


@strawberry.type(description="The plan of a canary rollout.")
class CanaryPlan:
    needs: ClassVar = Need.VIEWER

    stages: list[CanaryStage] = bound(
        "The stages, in order.",
        Each("json_array_elements({t}.stages) WITH ORDINALITY {c} (stage, place)", "{c}.place"),
    )
    auto_advance: bool = column(
        "Whether the rollout advances automatically when a stage's duration has passed and its health is good."
    )
    auto_rollback: bool = column(
        "Whether the rollout rolls back after `failureThreshold` unhealthy reports. If false, it pauses."
    )
    failure_threshold: int = column(
        "The number of consecutive unhealthy reports that rolls back or pauses the rollout."
    )
    health_required: bool = column("Whether a healthy report is required to advance automatically.")
    max_health_age_minutes: float | None = column(
        "The maximum age of that healthy report, in minutes. Null means the length of the stage, at most 15 minutes."
    )


@strawberry.type(description="One step of a deployment. Steps are append-only.")
class DeploymentEvent:
    needs: ClassVar = Need.VIEWER

    at: datetime = column("When the step happened, by the database's clock.")
    kind: str = column(
        "The kind of step: `created`, `advanced`, `completed`, `paused`, `resumed`, `rolledBack` or"
        " `retired`. A deployment that serves the rest of the traffic during another rollout can also have"
        " `yielded` and `restored`, or `unmanaged` if traffic that returns to it stays without a version because it"
        " may not serve it."
    )
    traffic_percentage: int = column("The percentage of traffic that the deployment serves after the step.")
    actor: str = column(
        "The email address of the person or service that made the step, or `lineal rollouts` if it was automatic."
    )
    reason: str | None = column("The reason for the step. Null if none was given.", weight=TEXT)


@strawberry.type(description="A report of a deployment's health.")
class HealthReport:
    needs: ClassVar = Need.VIEWER

    at: datetime = column("When the health was observed.")
    healthy: bool = column("Whether the deployment was healthy.")
    metrics: JSON = column("The metrics that were reported, as a JSON object.", weight=OBJECT)
    reported_by: str = column("The email address of the person or service that sent the report.")


@strawberry.type(description="A version in an environment, with the plan of its rollout.")
class Deployment(Node):
    table: ClassVar = DeploymentRow
    prefix: ClassVar = "dep"
    needs: ClassVar = Need.VIEWER

    name: str = column("The deployment's name.")
    project: links.Project = one("The project that the deployment belongs to.", "{c}.id = {t}.project_id")
    version: links.ModelVersion = one("The version that is deployed.", "{c}.id = {t}.version_id")
    environment: str = column("The environment, such as `production`.")
    strategy: enums.DeploymentStrategy = column("How the deployment takes over traffic.")
    status: enums.DeploymentStatus = column("The deployment's status.")
    traffic_percentage: int = column("The percentage of the environment's traffic that the deployment serves.")
    current_stage: int | None = expression(
        "The index of the current canary stage, starting at 0. Null for other strategies.",
        "CASE WHEN {t}.strategy = 'CANARY' THEN {t}.stage END",
    )
    canary: CanaryPlan | None = embedded("The canary plan. Null for other strategies.", CANARY)
    previous: links.Deployment | None = one(
        "The deployment that this one takes over from, and returns traffic to if it is rolled back. Null if"
        " none was active.",
        "{c}.id = {t}.previous_id",
    )
    events: list[DeploymentEvent] = bound("The deployment's steps, oldest first.", Each(EVENTS, "{c}.seq"), size=20)
    health: list[HealthReport] = bound(
        "The deployment's health reports, newest first.",
        Each(REPORTS, "{c}.at DESC, {c}.id DESC", (100, 1000)),
        (argument("first", int | None, "The maximum number of reports: 1 to 1000. Default: 100.", default=100),),
    )
    next_advance_at: datetime | None = expression(
        "When the deployment advances automatically if its health is good. Null if it does not advance automatically.",
        NEXT_ADVANCE,
    )
    created_at: datetime = column("When the deployment was created.")
    created_by: str = column("The email address of the person or service that created the deployment.")


@strawberry.type(description="A deployment's share of an environment's traffic.")
class ServingShare:
    needs: ClassVar = Need.VIEWER

    deployment: links.Deployment | None = one(
        "The deployment. Null for the share that no deployment in the registry has taken over yet.", "{c}.id = {t}.id"
    )
    share: int = column("The share of the traffic, in percent. All shares of an environment add up to 100.")


def serving() -> Any:
    return bound(
        "The deployments that serve the model's traffic in an environment, largest share first. Empty if"
        " nothing is deployed there. SHADOW deployments are not listed.",
        Each(SERVING, "{c}.share DESC, {c}.id"),
        (argument("environment", str | None, "The environment.", default=canary.PRODUCTION),),
    )


STATUS = argument(
    "status",
    list[enums.DeploymentStatus] | None,
    "Only deployments with one of these statuses. Default: all.",
    default=strawberry.UNSET,
)


def deployments_of(description: str, where: str) -> Any:
    """The deployments that meet the condition, filtered by status."""
    of_status = "({args[status]}::text[] IS NULL OR {c}.status = ANY ({args[status]}::text[]))"
    return connection(description, f"{where} AND {of_status}", NEWEST_FIRST, STATUS)


@strawberry.input(description="Conditions that deployments must match. A deployment must match all of them.")
class DeploymentFilter:
    project_id: strawberry.ID | None = optional("The ID of the deployments' project.")
    model_id: strawberry.ID | None = optional("The ID of the deployed model.")
    environment: str | None = optional("The environment.")
    status: list[enums.DeploymentStatus] | None = optional("The statuses. A deployment must have one of them.")


FILTER = argument(
    "filter",
    DeploymentFilter | None,
    "Only deployments that match this filter. Default: all.",
    default=strawberry.UNSET,
)


@strawberry.input(description="A reference to a registered version.")
class RegistryVersionInput:
    model_id: strawberry.ID = required("The ID of the model, which must be in the same project.", limits.Id("model"))
    version: SemVer = required("The version's number.")


@strawberry.input(description="One stage of a canary rollout.")
class CanaryStageInput:
    traffic_percentage: int = required(
        "The percentage of traffic to serve: 1 to 100. It must increase from stage to stage, and only the"
        " last stage can be 100.",
        limits.CheckedLater(),
    )
    duration_minutes: float = required(
        "The minimum duration of the stage. It must be more than 0, except in the last stage.", limits.Minutes(least=0)
    )


@strawberry.input(description="The plan of a canary rollout.")
class CanaryConfigInput:
    stages: list[CanaryStageInput] = required("The stages, in order: 1 to 20.")
    auto_advance: bool | None = optional("Whether the rollout advances automatically. Default: true.")
    auto_rollback: bool | None = optional(
        "Whether the rollout rolls back after `failureThreshold` unhealthy reports. If false, it pauses. Default: true."
    )
    failure_threshold: int | None = optional(
        "The number of consecutive unhealthy reports that rolls back or pauses the rollout. Default: 1.",
        limits.Whole(canary.MOST_FAILURES, 1),
    )
    max_health_age_minutes: float | None = optional(
        "The maximum age of the healthy report that is required to advance automatically, in minutes. Default: the"
        " length of the stage, at most 15 minutes.",
        limits.Minutes(least=0.01),
        null="means that no report is required",
    )


@strawberry.input(description="A version to deploy.")
class CreateDeploymentInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    registry_version: RegistryVersionInput = required("The version to deploy.")
    name: str = required("The deployment's name.", limits.NAME)
    environment: str | None = optional("The environment. Default: `production`.", limits.ENVIRONMENT)
    strategy: enums.DeploymentStrategy = required("How the deployment takes over traffic.")
    canary_config: CanaryConfigInput | None = optional(
        "The canary plan. Required for CANARY, and not allowed for other strategies."
    )


@strawberry.type(description="The result of `createDeployment`.")
class CreateDeploymentPayload:
    deployment: Deployment = one("The new deployment.", "{c}.id = {payload[deployment_id]}")
    warnings: list[str] = payload("What the rollout needs to advance, such as health reports. Empty if nothing.")


@strawberry.input(description="An action on a deployment.")
class DeploymentActionInput:
    deployment_id: strawberry.ID = required("The deployment's ID.", limits.Id("dep"))
    reason: str | None = optional("The reason for the action. Kept in the history.", limits.NOTES)
    expected_status: enums.DeploymentStatus | None = optional(
        "The status that the caller expects the deployment to have. CONFLICT if it has another. Default: not checked."
    )
    expected_stage: int | None = optional(
        "The stage that the caller expects the rollout to be in, as in `currentStage`. CONFLICT if it is in another,"
        " so that two callers who advance at the same time do it once. Default: not checked.",
        limits.Whole(canary.MOST_STAGES),
    )


@strawberry.type(description="The result of an action on a deployment.")
class DeploymentActionPayload:
    deployment: Deployment = one("The deployment after the action.", "{c}.id = {payload[deployment_id]}")


@strawberry.input(description="A report of a deployment's health.")
class ReportDeploymentHealthInput:
    deployment_id: strawberry.ID = required("The ID of a deployment that has not ended.", limits.Id("dep"))
    healthy: bool = required("Whether the deployment is healthy.")
    metrics: JSON | None = optional(
        "The metrics that were measured. One that is NaN or infinite makes the report unhealthy, and is kept as text.",
        objects.Observed(),
    )
    observed_at: datetime | None = optional(
        "When the health was observed. Several reports of one time count once, so a report can be sent again."
        " Default: now."
    )


@strawberry.type(description="The result of `reportDeploymentHealth`.")
class ReportDeploymentHealthPayload:
    deployment: Deployment = one(
        "The deployment, after any advance, pause or rollback that the report caused.",
        "{c}.id = {payload[deployment_id]}",
    )
    warnings: list[str] = payload("Why the report does not count, or counts as unhealthy. Empty if neither.")
