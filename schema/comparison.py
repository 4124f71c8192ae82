from typing import ClassVar

import strawberry
from strawberry.scalars import JSON

from resolvers.reads.bindings import Each, OnePerRow
from resolvers.reads.comparison import ANCESTOR, PARAMETERS, VERSIONS
from resolvers.reads.declarations import HEAVY, WRITTEN
from resolvers.renderings.comparison_markdown import markdown
from resolvers.rules import comparison
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import argument, bound, column, computed, one

IN_ORDER = "unnest({t}.ids) WITH ORDINALITY a (id, place) JOIN versions %s ON %s.id = a.id"


@strawberry.type(description="One metric of all compared versions.")
class MetricDiff:
    needs: ClassVar = Need.VIEWER

    name: str = column("The metric's name.")
    values: list[float | None] = column("Its value in each version, in their order; null where it was not measured.")
    delta: float | None = column("The last version's value less the baseline's; null where either has none.")
    relative_delta: float | None = column("`delta` as a share of the baseline's value; null where that is 0.")
    higher_is_better: bool | None = column("Which way it is better; null where that is not known.")
    improved: bool | None = column("Whether the last version is better than the baseline; null where not known.")


@strawberry.type(description="One hyper-parameter of all compared versions.")
class ParameterDiff:
    needs: ClassVar = Need.VIEWER

    name: str = column("Its name; within objects with dots, as in `optimizer.rate`.")
    values: list[JSON | None] = column("Its value in each version, in their order; null where there is none.")
    changed: bool = column("Whether it is not the same in all.")


@strawberry.type(description="What the last version's features add to the baseline's, where both state theirs.")
class FeatureDiff:
    needs: ClassVar = Need.VIEWER

    added: list[str] = column("Those of the last version alone.")
    removed: list[str] = column("Those of the baseline alone.")


@strawberry.type(description="What the last version's tags add to the baseline's.")
class TagDiff:
    needs: ClassVar = Need.VIEWER

    added: list[str] = column("Those of the last version alone.")
    removed: list[str] = column("Those of the baseline alone.")


@strawberry.type(description="One segment of the compared versions' cards.")
class SegmentDiff:
    needs: ClassVar = Need.VIEWER

    segment: str = column("The segment's name.")
    metric_diffs: list[MetricDiff] = column("Its metrics.")


@strawberry.type(description="Two to ten versions side by side. Differences are the last one's against the baseline.")
class VersionComparison:
    needs: ClassVar = Need.VIEWER

    versions: list[links.ModelVersion] = bound(
        "The versions in the order asked for; the first is the baseline.",
        Each(IN_ORDER % ("{c}", "{c}"), "a.place"),
        size=10,
    )
    metric_diffs: list[MetricDiff] = computed("Their metrics by name.", VERSIONS, comparison.metric_diffs, weight=HEAVY)
    parameter_diffs: list[ParameterDiff] = computed(
        "Their hyper-parameters by name, unless `onlyChanged` is false only those that differ. Objects are compared"
        " part by part; 1 and 1.0 are the same.",
        PARAMETERS,
        comparison.parameter_diffs,
        weight=HEAVY,
    )
    datasets: list[links.DatasetVersion | None] = bound(
        "The data that each was trained on, in their order; null where it is not known.",
        OnePerRow(IN_ORDER % ("v", "v"), "{c}.id = v.dataset_version_id", "a.place"),
        size=10,
    )
    feature_diff: FeatureDiff = computed("How their features differ.", VERSIONS, comparison.feature_diff, weight=HEAVY)
    tag_diff: TagDiff = computed("How their tags differ.", VERSIONS, comparison.tag_diff, weight=HEAVY)
    segment_diffs: list[SegmentDiff] = computed(
        "The segments of their cards by name.", VERSIONS, comparison.segment_diffs, weight=HEAVY
    )
    required_bump: enums.Bump | None = computed(
        "The part of the number that the difference requires to be raised; null between models.",
        VERSIONS,
        comparison.required_bump,
        weight=HEAVY,
    )
    reasons: list[str] = computed("What requires it, the weightiest first.", VERSIONS, comparison.reasons, weight=HEAVY)
    common_ancestor: links.ModelVersion | None = one(
        "The nearest version that all come from, themselves included; null where there is none.",
        f"{{c}}.id = {ANCESTOR}",
    )
    markdown: str = computed(
        "All that differs as Markdown tables, for a pull request.", VERSIONS, markdown, weight=WRITTEN
    )


ONLY_CHANGED = argument(
    "onlyChanged", bool | None, "Whether `parameterDiffs` leaves out what is the same in all.", default=True
)
