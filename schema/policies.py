from datetime import datetime
from typing import ClassVar

import strawberry
from pydantic.alias_generators import to_camel
from strawberry.scalars import JSON

from resolvers.rules import limits, objects
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import OBJECT, column, computed, given, many, one, optional
from schema.nodes import Node
from schema.versions import MetricCondition
from storage.policies import PolicyChange as ChangeRow
from storage.policies import ProjectPolicy as PolicyRow


@strawberry.type(description="A range that a metric must be in.")
class MetricThreshold:
    needs: ClassVar = Need.VIEWER

    name: str = column("The metric's name.")
    min: float | None = column("The least value, inclusive; null: no bound.")
    max: float | None = column("The greatest value, inclusive; null: no bound.")


@strawberry.type(
    description="A change that loosens a project's policy. It takes effect when a second REVIEWER or ADMIN confirms it"
    " with `confirmPolicyChange`, or at `effectiveAt`."
)
class PolicyChange(Node):
    table: ClassVar = ChangeRow
    prefix: ClassVar = "pch"
    needs: ClassVar = Need.VIEWER

    project: links.Project = one("The project.", "{c}.id = {t}.project_id")
    field: str = computed("The field of ProjectPolicy, such as `allowSelfApproval`.", {"snake": "{t}.field"}, to_camel)
    from_: JSON | None = column("The value before.", "from_value", name="from", weight=OBJECT)
    to: JSON | None = column("The value asked for.", "to_value", weight=OBJECT)
    requested_by: str = column("The email address of the person or service that asked for it.", "created_by")
    requested_at: datetime = column("When it was asked for.", "created_at")
    effective_at: datetime = column(
        "While PENDING: when it takes effect without a confirmation. Otherwise: when it took effect, or would have."
    )
    status: enums.PolicyChangeStatus = column("Its state.")
    confirmed_by: str | None = column(
        "The email address of the person who confirmed it; null if nobody did, or if it was not necessary."
    )
    alone: bool = column("Whether it took effect at once because nobody else could have confirmed it.")


@strawberry.type(
    description="What a project asks of its versions. Into other stages than PRODUCTION only requests count."
)
class ProjectPolicy:
    table: ClassVar = PolicyRow
    needs: ClassVar = Need.VIEWER

    required_approvals: int = column("How many reviewers must approve: 1 to 10.")
    allow_self_approval: bool = column("Whether the person who registered a version may approve it.")
    allow_requester_approval: bool = column(
        "Whether the person who requested a transition may approve it. Where nobody else could, it may in any case."
    )
    require_complete_card: bool = column("Whether a version needs a complete model card.")
    block_invalid_data: bool = column("Whether a version may not have used an INVALID data set version.")
    semver: enums.PolicyMode = column("What becomes of a number that says less than what changed.")
    tags: enums.PolicyMode = column("What becomes of tags outside the shared vocabulary.")
    retention_days: int | None = column(
        "After how many days without a touch a version in DEVELOPMENT is archived; null: never."
    )
    min_metrics: list[MetricThreshold] = computed(
        "The ranges that metrics must be in.", {"ranges": "{t}.min_metrics"}, lambda ranges: ranges
    )
    max_regression: float | None = column(
        "By which share of its value a metric may be worse than that of the version in production; null: not compared."
    )
    approval_valid_days: int = column("For how many days an approval counts, and a request stays open.")
    loosening_hours: float = column(
        "The cooling time in hours, 0 to 8,760: how long a change that loosens this policy waits if nobody confirms it."
        " 0: it takes effect at once. Default: 24. If one person shortened it alone, 24 counts once others can confirm."
    )
    pending_changes: list[PolicyChange] = many(
        "The changes that loosen this policy and are not in force yet, the oldest first. At most one for each field.",
        "{c}.project_id = {t}.project_id AND {c}.status = 'PENDING'",
        "{c}.created_at, {c}.id",
    )
    loosened_alone: list[PolicyChange] = many(
        "The changes in force that loosened this policy at once, because nobody else could have confirmed them.",
        "{c}.project_id = {t}.project_id AND {c}.status = 'APPLIED' AND {c}.alone",
        "{c}.created_at, {c}.id",
    )


@strawberry.input(description="What of a project's policy shall change; what is left out stays.")
class UpdateProjectPolicyInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    required_approvals: int | None = optional("How many reviewers must approve.", limits.Whole(10, 1))
    allow_self_approval: bool | None = optional("Whether the person who registered a version may approve it.")
    allow_requester_approval: bool | None = optional("Whether the person who requested a transition may approve it.")
    require_complete_card: bool | None = optional("Whether a version needs a complete model card.")
    block_invalid_data: bool | None = optional("Whether a version may not have used INVALID data.")
    semver: enums.PolicyMode | None = optional("What becomes of a number that says less than what changed.")
    tags: enums.PolicyMode | None = optional("What becomes of tags outside the shared vocabulary.")
    retention_days: int | None = optional(
        "After how many days without a touch a version in DEVELOPMENT is archived.", limits.Whole(36_500, 1),
        null="never",
    )  # fmt: skip
    min_metrics: list[MetricCondition] | None = optional("The ranges that metrics must be in.", objects.Thresholds())
    max_regression: float | None = optional(
        "By which share of its value a metric may be worse than that of the version in production.", limits.Share(),
        null="not compared",
    )  # fmt: skip
    approval_valid_days: int | None = optional(
        "For how many days an approval counts, and a request stays open.", limits.Whole(3_650, 1)
    )
    loosening_hours: float | None = optional(
        "How many hours a change that loosens this policy waits if nobody confirms it.", limits.Hours(8_760)
    )


@strawberry.type(description="What `updateProjectPolicy` changed.")
class UpdateProjectPolicyPayload:
    project: links.Project = one(
        "The project, with its policy. What loosens the policy is in `pendingChanges` until it takes effect.",
        "{c}.id = {payload[project_id]}",
    )


@strawberry.input(description="A change that loosens a policy, to confirm.")
class ConfirmPolicyChangeInput:
    change_id: strawberry.ID = given("A PENDING change that somebody else requested.", limits.Id("pch"))


@strawberry.type(description="What `confirmPolicyChange` changed.")
class ConfirmPolicyChangePayload:
    change: PolicyChange = one("The change, APPLIED.", "{c}.id = {payload[change_id]}")
    project: links.Project = one("The project, with its policy.", "{c}.id = {payload[project_id]}")
