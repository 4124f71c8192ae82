"""The filter and the order of lists of versions."""

from datetime import datetime

import strawberry

from resolvers.rules import limits
from schema import enums
from schema.fields import argument, optional, required


@strawberry.input(description="A range of a metric. Versions without the metric do not match.")
class MetricCondition:
    name: str = required("The metric's name.")
    min: float | None = optional("The minimum value, inclusive.")
    max: float | None = optional("The maximum value, inclusive.")


@strawberry.input(description="Conditions that versions must match. A version must match all of them.")
class VersionFilter:
    query: str | None = optional(
        "Words to search for, at most 20. All words must occur in the model's name, ID or description, or in"
        " the version's description, tags, model card, transition notes or experiment. Whole words match in"
        ' any case. Words "in quotes" must be adjacent. The last word can be a prefix.',
        limits.Sought(lines=True),
    )
    project_id: strawberry.ID | None = optional("The ID of the versions' project.")
    model_id: strawberry.ID | None = optional("The ID of the versions' model.")
    stage: list[enums.Stage] | None = optional("The stages. A version must be in one of them.", limits.Several(20))
    tags: list[str] | None = optional("Tags that a version must have, all of them.", limits.Several(20))
    any_tag: list[str] | None = optional("Tags of which a version must have at least one.", limits.Several(20))
    metrics: list[MetricCondition] | None = optional(
        "Ranges of metrics. A version must match all of them.", limits.Several(20)
    )
    algorithm: str | None = optional("The name of the algorithm, exactly as registered.")
    experiment_id: strawberry.ID | None = optional("The ID of the experiment that produced the version.")
    dataset_version_id: strawberry.ID | None = optional(
        "The ID of the data set version that the version was trained on."
    )
    created_after: datetime | None = optional("Only versions registered at this time or later.")
    created_before: datetime | None = optional("Only versions registered before this time.")


@strawberry.input(description="The order of a list of versions. Versions with equal values are ordered by ID.")
class VersionOrder:
    by: enums.VersionOrderField = required("The sort key.")
    metric: str | None = optional("The metric's name. Required for METRIC.")
    direction: enums.OrderDirection | None = required(
        "The sort direction. Default: DESC.", default=enums.OrderDirection.DESC
    )


FILTER = argument(
    "filter", VersionFilter | None, "Only versions that match this filter. Default: all.", default=strawberry.UNSET
)
ORDER_BY = argument("orderBy", VersionOrder | None, "The order of the list.", default=strawberry.UNSET)
