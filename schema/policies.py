from datetime import datetime
from typing import ClassVar

import strawberry
from pydantic.alias_generators import to_camel
from strawberry.scalars import JSON

from resolvers.rules import limits, objects
from resolvers.rules.access import Need
from resolvers.rules.aliases import Alias
from schema import enums, links
from schema.fields import OBJECT, column, computed, many, one, optional, required
from schema.nodes import Node
from schema.search import MetricCondition
from storage.policies import PolicyChange as ChangeRow
from storage.policies import ProjectPolicy as PolicyRow


@strawberry.type(description="A range that a metric must be in.")
class MetricThreshold:
    needs: ClassVar = Need.VIEWER

    name: str = column("The metric's name.")
    min: float | None = column("The minimum value, inclusive. Null if there is no minimum.")
    max: float | None = column("The maximum value, inclusive. Null if there is no maximum.")


@strawberry.type(
    description="A change that loosens a project's policy. It takes effect when a second REVIEWER or ADMIN confirms"
    " it with `confirmPolicyChange`, or at `effectiveAt`."
)
class PolicyChange(Node):
    table: ClassVar = ChangeRow
    prefix: ClassVar = "pch"
    needs: ClassVar = Need.VIEWER

    project: links.Project = one("The project.", "{c}.id = {t}.project_id")
    field: str = computed(
        "The changed field of ProjectPolicy, such as `allowSelfApproval`.", {"snake": "{t}.field"}, to_camel
    )
    from_: JSON | None = column("The value before the change, as JSON.", "from_value", name="from", weight=OBJECT)
    to: JSON | None = column("The value after the change, as JSON.", "to_value", weight=OBJECT)
    requested_by: str = column("The email address of the person or service that requested the change.", "created_by")
    requested_at: datetime = column("When the change was requested.", "created_at")
    effective_at: datetime = column(
        "While PENDING: when the change takes effect without a confirmation. Otherwise: when it took effect,"
        " or would have."
    )
    status: enums.PolicyChangeStatus = column("The change's status.")
    confirmed_by: str | None = column(
        "The email address of the person who confirmed the change. Null if nobody did, or if no confirmation"
        " was needed."
    )
    alone: bool = column("Whether the change took effect at once because nobody else could have confirmed it.")


@strawberry.type(
    description="The rules that a project's versions must follow. The gates apply to promotions to PRODUCTION. A"
    " transition to another stage needs approvals only if it is requested."
)
class ProjectPolicy:
    table: ClassVar = PolicyRow
    needs: ClassVar = Need.VIEWER

    required_approvals: int = column("The number of reviewers who must approve: 1 to 10.")
    allow_self_approval: bool = column("Whether the person who registered a version can approve it.")
    allow_requester_approval: bool = column(
        "Whether the person who requested a transition can approve it. If nobody else could approve it, that"
        " person always can."
    )
    require_complete_card: bool = column("Whether a version must have a complete model card.")
    block_invalid_data: bool = column("Whether versions that used an INVALID data set version are blocked.")
    semver: enums.PolicyMode = column("How to treat a version number that is too small for its changes.")
    tags: enums.PolicyMode = column("How to treat tags that are not in the project's vocabulary.")
    retention_days: int | None = column(
        "The number of days without activity after which a version in DEVELOPMENT is archived. Null if"
        " versions are not archived automatically."
    )
    min_metrics: list[MetricThreshold] = computed(
        "The ranges that metrics must be in.", {"ranges": "{t}.min_metrics"}, lambda ranges: ranges
    )
    max_regression: float | None = column(
        "How much worse a metric may be than that of the version in production, as a fraction of its value."
        " Null if metrics are not compared."
    )
    approval_valid_days: int = column(
        "The number of days that an approval is valid and a transition request stays open."
    )
    loosening_hours: float = column(
        "The cooling time: how many hours a change that loosens this policy waits if nobody confirms it."
        " Range: 0 to 8,760. With 0, the change takes effect at once. Default: 24. If one person shortened it"
        " alone, 24 applies once others can confirm."
    )
    protected_aliases: list[str] = column(
        "The aliases that need what a promotion to PRODUCTION needs: `setAlias` says what that is. Default: none."
    )
    pending_changes: list[PolicyChange] = many(
        "The changes that loosen this policy and are not in force yet, oldest first. At most one for each field.",
        "{c}.project_id = {t}.project_id AND {c}.status = 'PENDING'",
        "{c}.created_at, {c}.id",
    )
    loosened_alone: list[PolicyChange] = many(
        "The changes in force that loosened this policy at once, because nobody else could have confirmed them.",
        "{c}.project_id = {t}.project_id AND {c}.status = 'APPLIED' AND {c}.alone",
        "{c}.created_at, {c}.id",
    )


@strawberry.input(description="Changes to a project's policy. Fields that are omitted stay unchanged.")
class UpdateProjectPolicyInput:
    project_id: strawberry.ID = required("The project's ID.", limits.Id("proj"))
    required_approvals: int | None = optional("The number of reviewers who must approve.", limits.Whole(10, 1))
    allow_self_approval: bool | None = optional("Whether the person who registered a version can approve it.")
    allow_requester_approval: bool | None = optional("Whether the person who requested a transition can approve it.")
    require_complete_card: bool | None = optional("Whether a version must have a complete model card.")
    block_invalid_data: bool | None = optional("Whether versions that used an INVALID data set version are blocked.")
    semver: enums.PolicyMode | None = optional("How to treat a version number that is too small for its changes.")
    tags: enums.PolicyMode | None = optional("How to treat tags that are not in the project's vocabulary.")
    retention_days: int | None = optional(
        "The number of days without activity after which a version in DEVELOPMENT is archived.",
        limits.Whole(36_500, 1),
        null="turns automatic archiving off",
    )
    min_metrics: list[MetricCondition] | None = optional("The ranges that metrics must be in.", objects.Thresholds())
    max_regression: float | None = optional(
        "How much worse a metric may be than that of the version in production, as a fraction of its value.",
        limits.Share(),
        null="means that metrics are not compared",
    )
    approval_valid_days: int | None = optional(
        "The number of days that an approval is valid and a transition request stays open.", limits.Whole(3_650, 1)
    )
    loosening_hours: float | None = optional(
        "How long a change that loosens this policy waits if nobody confirms it.", limits.Hours(8_760)
    )
    protected_aliases: list[str] | None = optional(
        "The aliases that need what a promotion to PRODUCTION needs. The list replaces the current one. Removing an"
        " alias from it loosens the policy.",
        limits.ListOf(Alias(), 50),
    )


@strawberry.type(description="The result of `updateProjectPolicy`.")
class UpdateProjectPolicyPayload:
    project: links.Project = one(
        "The project with its policy. Changes that loosen the policy are in `pendingChanges` until they take effect.",
        "{c}.id = {payload[project_id]}",
    )


@strawberry.input(description="A policy change to confirm.")
class ConfirmPolicyChangeInput:
    change_id: strawberry.ID = required("The ID of a PENDING change that another person requested.", limits.Id("pch"))


@strawberry.type(description="The result of `confirmPolicyChange`.")
class ConfirmPolicyChangePayload:
    change: PolicyChange = one("The change, which is now APPLIED.", "{c}.id = {payload[change_id]}")
    project: links.Project = one("The project with its policy.", "{c}.id = {payload[project_id]}")
