from typing import ClassVar

import strawberry

from resolvers.rules import limits, objects
from schema import links, words
from schema.fields import column, computed, given, one, optional
from schema.versions import MetricCondition
from storage.policies import ProjectPolicy as PolicyRow


@strawberry.type(description="A range that a metric must be in.")
class MetricThreshold:
    name: str = column("The metric's name.")
    min: float | None = column("The least value, inclusive; null: no bound.")
    max: float | None = column("The greatest value, inclusive; null: no bound.")


@strawberry.type(
    description="What a project asks of its versions. Into other stages than PRODUCTION only requests count."
)
class ProjectPolicy:
    table: ClassVar = PolicyRow

    required_approvals: int = column("How many reviewers must approve: 1 to 10.")
    allow_self_approval: bool = column("Whether who registered a version may approve it.")
    require_complete_card: bool = column("Whether a version needs a complete model card.")
    block_invalid_data: bool = column("Whether a version may not have used an INVALID data set version.")
    semver: words.PolicyMode = column("What becomes of a number that says less than what changed.")
    tags: words.PolicyMode = column("What becomes of tags outside the shared vocabulary.")
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


@strawberry.input(description="What of a project's policy shall change; what is left out stays.")
class UpdateProjectPolicyInput:
    project_id: strawberry.ID = given("The project.", limits.Id("proj"))
    required_approvals: int | None = optional("How many reviewers must approve.", limits.Whole(10, 1))
    allow_self_approval: bool | None = optional("Whether who registered a version may approve it.")
    require_complete_card: bool | None = optional("Whether a version needs a complete model card.")
    block_invalid_data: bool | None = optional("Whether a version may not have used INVALID data.")
    semver: words.PolicyMode | None = optional("What becomes of a number that says less than what changed.")
    tags: words.PolicyMode | None = optional("What becomes of tags outside the shared vocabulary.")
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


@strawberry.type(description="What `updateProjectPolicy` changed.")
class UpdateProjectPolicyPayload:
    project: links.Project = one("The project, with its policy.", "{c}.id = {payload[project_id]}")
