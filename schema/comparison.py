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


@strawberry.type(description="One metric across the compared versions.")
class MetricDiff:
    needs: ClassVar = Need.VIEWER

    name: str = column("The metric's name.")
    values: list[float | None] = column(
        "The metric's value in each version, in the order of the versions. Null where a version does not have"
        " the metric."
    )
    delta: float | None = column(
        "The last version's value minus the baseline's value. Null if either version does not have the metric."
    )
    relative_delta: float | None = column(
        "`delta` as a fraction of the baseline's value. Null if `delta` is null or the baseline's value is 0."
    )
    higher_is_better: bool | None = column("Whether a higher value is better. Null if the registry does not know.")
    improved: bool | None = column(
        "Whether the last version is better than the baseline. Null if the registry does not know."
    )
    verdict: enums.MetricVerdict = column("How the last version compares with the baseline.")


@strawberry.type(description="One hyper-parameter across the compared versions.")
class ParameterDiff:
    needs: ClassVar = Need.VIEWER

    name: str = column(
        "The hyper-parameter's name. Names in nested objects are joined with dots, such as `optimizer.rate`."
    )
    values: list[JSON | None] = column(
        "The hyper-parameter's value in each version, in the order of the versions. Null where a version does"
        " not have it."
    )
    changed: bool = column("Whether the value differs between any of the versions.")


@strawberry.type(
    description="The difference between the features of the baseline and the last version. Empty unless both versions"
    " state their features."
)
class FeatureDiff:
    needs: ClassVar = Need.VIEWER

    added: list[str] = column("The features that only the last version has.")
    removed: list[str] = column("The features that only the baseline has.")


@strawberry.type(description="The difference between the tags of the baseline and the last version.")
class TagDiff:
    needs: ClassVar = Need.VIEWER

    added: list[str] = column("The tags that only the last version has.")
    removed: list[str] = column("The tags that only the baseline has.")


@strawberry.type(description="One segment across the model cards of the compared versions.")
class SegmentDiff:
    needs: ClassVar = Need.VIEWER

    segment: str = column("The segment's name.")
    metric_diffs: list[MetricDiff] = column("The segment's metrics.")


@strawberry.type(
    description="A comparison of 2 to 10 versions. The first version is the baseline, and differences are between it"
    " and the last version."
)
class VersionComparison:
    needs: ClassVar = Need.VIEWER

    versions: list[links.ModelVersion] = bound(
        "The versions, in the order of the request. The first version is the baseline.",
        Each(IN_ORDER % ("{c}", "{c}"), "a.place"),
        size=10,
    )
    metric_diffs: list[MetricDiff] = computed(
        "The versions' metrics, by name.", VERSIONS, comparison.metric_diffs, weight=HEAVY
    )
    parameter_diffs: list[ParameterDiff] = computed(
        "The hyper-parameters that differ, or all of them if `onlyChanged` is false, by name. Objects are"
        " compared key by key; 1 and 1.0 are equal.",
        PARAMETERS,
        comparison.parameter_diffs,
        weight=HEAVY,
    )
    datasets: list[links.DatasetVersion | None] = bound(
        "The data set version that each version was trained on, in the order of the versions. Null where it"
        " is not known.",
        OnePerRow(IN_ORDER % ("v", "v"), "{c}.id = v.dataset_version_id", "a.place"),
        size=10,
    )
    feature_diff: FeatureDiff = computed(
        "The difference between the features of the baseline and the last version.",
        VERSIONS,
        comparison.feature_diff,
        weight=HEAVY,
    )
    tag_diff: TagDiff = computed(
        "The difference between the tags of the baseline and the last version.",
        VERSIONS,
        comparison.tag_diff,
        weight=HEAVY,
    )
    segment_diffs: list[SegmentDiff] = computed(
        "The segments of the versions' model cards, by name.", VERSIONS, comparison.segment_diffs, weight=HEAVY
    )
    required_bump: enums.Bump | None = computed(
        "The least bump that the changes from the baseline to the last version require. Null if the versions"
        " belong to different models.",
        VERSIONS,
        comparison.required_bump,
        weight=HEAVY,
    )
    reasons: list[str] = computed(
        "The reasons for `requiredBump`, most significant first.", VERSIONS, comparison.reasons, weight=HEAVY
    )
    common_ancestor: links.ModelVersion | None = one(
        "The nearest version that all compared versions descend from, which may be one of them. Null if there is none.",
        f"{{c}}.id = {ANCESTOR}",
    )
    markdown: str = computed(
        "The differences as Markdown tables, for use in a pull request.", VERSIONS, markdown, weight=WRITTEN
    )


ONLY_CHANGED = argument(
    "onlyChanged",
    bool | None,
    "Whether `parameterDiffs` omits the hyper-parameters that are equal in all versions.",
    default=True,
)
