"""The conditions and the order of a VersionFilter and a VersionOrder. Tags, metrics and words are semi-joins."""

from collections.abc import Callable
from typing import Any

from resolvers.errors import BadUserInput
from resolvers.reads.arguments import Arguments
from resolvers.reads.compilation import Compilation, Selected
from resolvers.reads.paging import CREATED_AT, NUMBER, Key, Order, not_nan
from resolvers.rules.search import tsquery
from storage.sql import fill_sql
from storage.vocabulary import OrderDirection, VersionOrderField

# Each condition on one column, by the filter's field.
CONDITIONS = {
    "projectId": "{c}.project_id = {value}",
    "modelId": "{c}.model_id = {value}",
    "stage": "{c}.stage = ANY ({value}::text[])",
    "algorithm": "{c}.algorithm = {value}",
    "experimentId": "{c}.experiment_id = {value}",
    "datasetVersionId": "EXISTS (SELECT FROM dataset_uses u WHERE u.version_id = {c}.id"
    " AND u.dataset_version_id = {value} AND u.role = 'TRAINING')",
    "createdAfter": "{c}.created_at >= {value}::timestamptz",
    "createdBefore": "{c}.created_at < {value}::timestamptz",
    "anyTag": "EXISTS (SELECT FROM tags g WHERE g.version_id = {c}.id AND g.tag = ANY ({value}::text[]))",
}
HAS_TAG = "EXISTS (SELECT FROM tags g WHERE g.version_id = {c}.id AND g.tag = {value})"
IN_STAGE = "{c}.stage = {value}"
HAS_METRIC = "EXISTS (SELECT FROM metrics m WHERE m.version_id = {c}.id AND m.name = {name}{bounds})"
HAS_WORDS = (
    "EXISTS (SELECT FROM version_texts x WHERE x.version_id = {c}.id AND x.words @@ to_tsquery('simple', {value}))"
)
# PostgreSQL's ts_rank with its default weights: a word in the model's name counts ten times as much as one in a note.
RELEVANCE = (
    "(SELECT ts_rank(x.words, to_tsquery('simple', {query}))::float8 FROM version_texts x WHERE x.version_id = {c}.id)"
)
METRIC_VALUE = "(SELECT m.value FROM metrics m WHERE m.version_id = {c}.id AND m.name = {args[orderBy.metric]})"


def search_versions(compilation: Compilation, selected: Selected, name: str) -> tuple[list[str], Order | None]:
    """The conditions of the field's filter, which are combined with AND, and its order."""
    return _Search(compilation, selected.arguments, name).answer()


class _Search:
    def __init__(self, compilation: Compilation, arguments: Arguments, name: str):
        self.compilation, self.arguments, self.name = compilation, arguments, name

    def answer(self) -> tuple[list[str], Order | None]:
        asked = self.arguments.values.get("filter") or {}
        conditions = []
        for field, value in asked.items():
            if value is not None:
                conditions += self._condition(field, value)
        return conditions, self._order(self.arguments.values.get("orderBy"), asked.get("query") is not None)

    def _value(self, read: Callable[[Any], Any]) -> str:
        return self.compilation.parameter(self.arguments.reader(lambda now: read(now["filter"])))

    def _condition(self, field: str, value: Any) -> list[str]:
        if field == "tags":
            return [self._one(HAS_TAG, _tag(place)) for place in range(len(value))]
        if field == "metrics":
            return [self._metric(i, condition) for i, condition in enumerate(value)]
        if field == "query":
            return [self._one(HAS_WORDS, lambda now: tsquery(now["query"], "filter.query"))]
        if field == "stage" and len(value) == 1:
            # One stage as an equality lets an index keep the order.
            return [self._one(IN_STAGE, lambda now: now["stage"][0])]
        return [self._one(CONDITIONS[field], lambda now: now[field])]

    def _one(self, condition: str, read: Callable[[Any], Any]) -> str:
        return fill_sql(condition, c=self.name, value=self._value(read))

    def _metric(self, i: int, condition: dict[str, Any]) -> str:
        bounds = ""
        for bound, comparison in (("min", ">="), ("max", "<=")):
            if condition.get(bound) is not None:
                value = self._value(_metric_part(i, bound))
                bounds += f" AND m.value {comparison} {value}::float8"
        name = self._value(_metric_part(i, "name"))
        return fill_sql(HAS_METRIC, c=self.name, name=name, bounds=bounds)

    def _order(self, asked: dict[str, Any] | None, has_query: bool) -> Order | None:
        if asked is None:
            return self._by_relevance(descending=True) if has_query else None
        by, descending = asked["by"], asked.get("direction") is not OrderDirection.ASC
        if by is VersionOrderField.RELEVANCE:
            if not has_query:
                raise BadUserInput("orderBy.by", "is RELEVANCE, which needs filter.query.")
            return self._by_relevance(descending)
        if by is VersionOrderField.METRIC:
            return self._by_metric(asked, descending)
        key = NUMBER if by is VersionOrderField.VERSION else CREATED_AT
        return Order(by.value, key, descending)

    def _by_relevance(self, descending: bool) -> Order:
        query = self._value(lambda now: tsquery(now["query"], "filter.query"))
        key = Key(fill_sql(RELEVANCE, query=query), "float8", not_nan)
        return Order(VersionOrderField.RELEVANCE.value, key, descending, by="filter.query")

    def _by_metric(self, asked: dict[str, Any], descending: bool) -> Order:
        if asked.get("metric") is None:
            raise BadUserInput("orderBy.metric", "is missing; sorting by METRIC needs the name of a metric.")
        # Versions without the metric come last, in either direction.
        missing = "-Infinity" if descending else "Infinity"
        key = Key(f"coalesce({METRIC_VALUE}, '{missing}'::float8)", "float8", not_nan)
        return Order(VersionOrderField.METRIC.value, key, descending, by="orderBy.metric")


def _tag(place: int) -> Callable[[Any], Any]:
    return lambda now: now["tags"][place]


def _metric_part(place: int, part: str) -> Callable[[Any], Any]:
    return lambda now: now["metrics"][place][part]
