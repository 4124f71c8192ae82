"""What reads must answer: graphql-core, field by field, over plain rows in Python.

It shares the schema's text and the pure rules with the compiler, and nothing else: no binding, no SQL but SELECT *.
Text is ordered by code point, as the suite's databases order it.
"""

import base64
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache, cached_property
from typing import Any, NamedTuple
from unicodedata import normalize
from urllib.parse import quote

import asyncpg
from graphql import ExecutionResult, GraphQLResolveInfo, GraphQLSchema, build_schema, execute, parse, print_schema

from resolvers.callers import Caller
from resolvers.renderings.mermaid import draw
from resolvers.rules.bumps import TrainingFacts, declared, is_sufficient, required_change
from resolvers.rules.metrics import higher_is_better
from resolvers.rules.semver import Number
from resolvers.rules.stages import allowed
from schema import schema
from storage.vocabulary import PrincipalKind

Row = dict[str, Any]

TABLES = (
    "projects",
    "datasets",
    "dataset_versions",
    "dataset_parents",
    "experiments",
    "models",
    "versions",
    "metrics",
    "tags",
    "dataset_uses",
    "model_aliases",
    "stage_transitions",
    "principals",
    "members",
    "api_keys",
    "project_policies",
    "tag_definitions",
    "tag_aliases",
    "model_cards",
    "model_card_revisions",
    "transition_requests",
    "approvals",
    "audit_events",
    "deployments",
    "health_reports",
    "audit_feed",
    "webhooks",
    "webhook_deliveries",
    "policy_changes",
)
JSON_COLUMNS = frozenset({
    "parameters", "min_metrics", "training_data_summary", "performance_by_segment", "sections", "reviewed",
    "stages", "metrics", "from_value", "to_value", "properties", "origin",
})  # fmt: skip
# The table and the type that an id's prefix names.
NODES = {
    "proj": ("projects", "Project"),
    "model": ("models", "Model"),
    "ver": ("versions", "ModelVersion"),
    "exp": ("experiments", "Experiment"),
    "ds": ("datasets", "Dataset"),
    "dsv": ("dataset_versions", "DatasetVersion"),
    "prin": ("principals", "Principal"),
    "key": ("api_keys", "ApiKey"),
    "pch": ("policy_changes", "PolicyChange"),
    "req": ("transition_requests", "TransitionRequest"),
    "evt": ("audit_events", "AuditEvent"),
    "dep": ("deployments", "Deployment"),
}
# Who asks: a reviewer of some projects, whose key, unless it is restricted, may do everything.
ASKING = Caller("bo@example.com", None, "req_test", "prin_bo", PrincipalKind.USER)


@dataclass(frozen=True)
class Data:
    """Every row of a registry, or of the projects that a caller sees; `whole` holds all rows in either case."""

    tables: Mapping[str, Sequence[Row]]
    whole: Mapping[str, Sequence[Row]]
    caller: Caller = ASKING
    # How well each version matches a text, by its id: PostgreSQL's own ranks, where somebody asks it for them.
    ranks: Callable[[str], Mapping[str, float]] = lambda query: defaultdict(float)

    def seen_by(self, visible: Sequence[str] | None) -> "Data":
        if visible is None:
            return self
        caller = ASKING._replace(visible=visible)
        seen = {name: [r for r in rows if _is_seen(name, r, caller)] for name, rows in self.tables.items()}
        return Data(seen, self.whole, caller, self.ranks)

    def all(self, table: str, **columns: Any) -> list[Row]:
        return [row for row in self.tables[table] if all(row[name] == value for name, value in columns.items())]

    def one(self, table: str, **columns: Any) -> Row | None:
        found = self.all(table, **columns)
        assert len(found) <= 1, f"{len(found)} rows of {table} have {columns}"
        return found[0] if found else None

    def by_id(self, table: str, id_: str | None) -> Row | None:
        return self._ids[table].get(id_)

    def node(self, id_: str) -> Row | None:
        table, _ = NODES.get(id_.split("_", 1)[0], ("", ""))
        return self.by_id(table, id_) if table else None

    @cached_property
    def _ids(self) -> dict[str, dict[Any, Row]]:
        return {name: {row["id"]: row for row in rows if "id" in row} for name, rows in self.tables.items()}

    @cached_property
    def edges(self) -> list[Row]:
        """What came from what: from the later thing to what it came from."""
        found = []
        for version in self.tables["versions"]:
            found += [("DERIVED_FROM", version["id"], version["parent_id"])]
            found += [("PRODUCED_BY", version["id"], version["experiment_id"])]
        kinds = {"TRAINING": "TRAINED_ON", "VALIDATION": "VALIDATED_ON", "TEST": "TESTED_ON"}
        found += [(kinds[u["role"]], u["version_id"], u["dataset_version_id"]) for u in self.tables["dataset_uses"]]
        found += [("TRAINED_ON", e["id"], e["dataset_version_id"]) for e in self.tables["experiments"]]
        found += [("DERIVED_FROM", p["dataset_version_id"], p["parent_id"]) for p in self.tables["dataset_parents"]]
        found += [("DEPLOYED_AS", d["id"], d["version_id"]) for d in self.tables["deployments"]]
        return [{"kind": kind, "from": later, "to": earlier} for kind, later, earlier in found if earlier is not None]


def _is_seen(table: str, row: Row, caller: Caller) -> bool:
    if table == "principals":
        return bool(row["id"] == caller.principal_id)
    if table == "api_keys":
        return bool(row["principal_id"] == caller.principal_id)
    return row["id" if table == "projects" else "project_id"] in (caller.visible or ())


async def load(url: str) -> Data:
    connection = await asyncpg.connect(url, server_settings={"timezone": "UTC"})
    try:
        tables = {name: [dict(row) for row in await connection.fetch(f"SELECT * FROM {name}")] for name in TABLES}
    finally:
        await connection.close()
    for row in (row for rows in tables.values() for row in rows):
        row |= {name: json.loads(row[name]) for name in JSON_COLUMNS & row.keys() if row[name] is not None}
    return Data(tables, tables)


class Oracle:
    """Answers operations for callers that see all projects or some."""

    def __init__(self, data: Data):
        # Made again from its text: without Strawberry's resolvers, enums as their names, scalars as they are written.
        self.schema: GraphQLSchema = build_schema(print_schema(schema._schema))
        self.resolvers = all_resolvers()
        self.asked: set[str] = set()
        self.data = data
        self._seen = cache(data.seen_by)

    def answer(
        self,
        query: str,
        variables: Mapping[str, Any] = {},
        visible: Sequence[str] | None = None,
        operation_name: str | None = None,
    ) -> dict[str, Any]:
        result = execute(
            self.schema,
            parse(query),
            context_value=self._seen(None if visible is None else tuple(visible)),
            variable_values=dict(variables),
            operation_name=operation_name,
            field_resolver=self._resolve,
            type_resolver=lambda value, info, abstract: NODES[value["id"].split("_", 1)[0]][1],
        )
        assert isinstance(result, ExecutionResult)
        return dict(result.formatted)

    def _resolve(self, source: Any, info: GraphQLResolveInfo[Data], **arguments: Any) -> Any:
        name = f"{info.parent_type.name}.{info.field_name}"
        self.asked.add(name)
        if name in self.resolvers:
            given = {snake_case(argument): as_kept(value) for argument, value in arguments.items()}
            return self.resolvers[name](info.context, source, **given)
        return plain(source, info.field_name)


def as_kept(value: Any) -> Any:
    """Texts as they would be kept: in form NFC and trimmed."""
    if isinstance(value, str):
        return normalize("NFC", value).strip()
    if isinstance(value, list):
        return [as_kept(each) for each in value]
    return {name: as_kept(each) for name, each in value.items()} if isinstance(value, dict) else value


def plain(row: Row, name: str) -> Any:
    """The value of the field's own name or of its column."""
    value = row[name] if name in row else row[snake_case(name)]
    return moment_text(value) if isinstance(value, datetime) else value


def snake_case(name: str) -> str:
    return re.sub("([A-Z])", r"_\1", name).lower()


def moment_text(moment: datetime, between: str = "T", zone: str = "+00:00") -> str:
    """A time as PostgreSQL writes it: fractions of a second without trailing zeros."""
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(between, "microseconds")
    return text.rstrip("0").rstrip(".") + zone


def float_text(value: float) -> str:
    """A float as PostgreSQL writes it as text: exponents from 1e15 on."""
    if math.isinf(value):
        return "-Infinity" if value < 0 else "Infinity"
    text = repr(value).removesuffix(".0")
    if abs(value) >= 1e15 and "e" not in text:
        text = f"{Decimal(text).normalize():e}"
    return text


# Connections


class Order(NamedTuple):
    """An order of rows: its name in cursors, what a row's key is before its id decides, and which metric that is."""

    name: str
    key: Callable[[Data, Row], Any]
    descending: bool
    metric: str = ""


BY_NAME = Order("NAME", lambda data, row: row["name"], False)
NEWEST_FIRST = Order("CREATED_AT", lambda data, row: row["created_at"], True)
HIGHEST_FIRST = Order("VERSION", lambda data, row: row["number"], True)


def by_metric(name: str, descending: bool) -> Order:
    missing = -math.inf if descending else math.inf

    def key(data: Data, row: Row) -> float:
        value = metric(data, row, name)
        return missing if value is None else value

    return Order("METRIC", key, descending, name)


def by_relevance(query: str, descending: bool = True) -> Order:
    return Order("RELEVANCE", lambda data, row: data.ranks(query)[row["id"]], descending, query)


def version_order(asked: Mapping[str, Any], query: str | None = None) -> Order:
    descending = asked.get("direction") != "ASC"
    if asked["by"] == "RELEVANCE":
        assert query is not None
        return by_relevance(query, descending)
    if asked["by"] == "METRIC":
        return by_metric(asked["metric"], descending)
    return (HIGHEST_FIRST if asked["by"] == "VERSION" else NEWEST_FIRST)._replace(descending=descending)


def cursor(order: Order, key: Any, id_: str) -> str:
    texts: dict[type, Callable[[Any], str]] = {
        str: str,
        float: float_text,
        datetime: lambda moment: moment_text(moment, " ", "+00"),
        list: lambda number: "{" + ",".join(map(str, number)) + "}",
    }
    parts = [f"{order.name}{'-' if order.descending else '+'}{order.metric}", texts[type(key)](key), id_]
    return base64.urlsafe_b64encode(json.dumps(parts, ensure_ascii=False).encode()).decode().rstrip("=")


def read_cursor(order: Order, given: str) -> tuple[Any, str]:
    _, key, id_ = json.loads(base64.urlsafe_b64decode(given + "=="))
    reads: dict[str, Callable[[str], Any]] = {
        "NAME": str,
        "METRIC": float,
        "RELEVANCE": float,
        "CREATED_AT": datetime.fromisoformat,
        "AT": datetime.fromisoformat,
        "VERSION": lambda text: [int(part) for part in text[1:-1].split(",")],
    }
    return reads[order.name](key), id_


class Paging(NamedTuple):
    first: int | None = None
    after: str | None = None
    last: int | None = None
    before: str | None = None


def page(data: Data, rows: Sequence[Row], order: Order, paging: Paging) -> Row:
    """One page of the rows; which rows there are on each side of it, its flags say."""
    places = {row["id"]: (order.key(data, row), row["id"]) for row in rows}
    listed = sorted(rows, key=lambda row: places[row["id"]], reverse=order.descending)

    def compare(row: Row, border: str) -> int:
        place, other = places[row["id"]], read_cursor(order, border)
        sign = (place > other) - (place < other)
        return -sign if order.descending else sign

    passed = sum(paging.after is not None and compare(row, paging.after) <= 0 for row in listed)
    beyond = sum(paging.before is not None and compare(row, paging.before) >= 0 for row in listed)
    between = listed[passed : len(listed) - beyond]
    shown = between[-paging.last :] if paging.last else between[: paging.first or 20]
    left_out = len(between) - len(shown)
    edges = [{"cursor": cursor(order, *places[row["id"]]), "node": row} for row in shown]
    return {
        "edges": edges,
        "nodes": shown,
        "totalCount": len(rows),
        "rows": rows,
        "pageInfo": {
            "hasNextPage": beyond > 0 or (left_out > 0 and not paging.last),
            "hasPreviousPage": passed > 0 or (left_out > 0 and bool(paging.last)),
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }


# Versions


def metric(data: Data, version: Row, name: str) -> float | None:
    found = data.one("metrics", version_id=version["id"], name=name)
    return found["value"] if found else None


def matches(data: Data, version: Row, asked: Mapping[str, Any]) -> bool:
    return all(CONDITIONS[name](data, version, value) for name, value in asked.items() if value is not None)


def _tags(data: Data, version: Row) -> list[str]:
    return sorted(tag["tag"] for tag in data.all("tags", version_id=version["id"]))


def _trained_on(data: Data, version: Row, id_: str) -> bool:
    return bool(data.all("dataset_uses", version_id=version["id"], dataset_version_id=id_, role="TRAINING"))


def _within(data: Data, version: Row, condition: Mapping[str, Any]) -> bool:
    value = metric(data, version, condition["name"])
    lowest, highest = condition.get("min"), condition.get("max")
    return (
        value is not None
        and (lowest is None or value >= lowest)  # null: no bound
        and (highest is None or value <= highest)
    )


def moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def has_words(data: Data, version: Row, query: str) -> bool:
    from tests.support import oracle_knowledge

    return oracle_knowledge.has_words(data, version, query)


CONDITIONS: dict[str, Callable[[Data, Row, Any], bool]] = {
    "projectId": lambda data, v, value: v["project_id"] == value,
    "modelId": lambda data, v, value: v["model_id"] == value,
    "stage": lambda data, v, value: v["stage"] in value,
    "tags": lambda data, v, value: set(value) <= set(_tags(data, v)),
    "anyTag": lambda data, v, value: bool(set(value) & set(_tags(data, v))),
    "metrics": lambda data, v, value: all(_within(data, v, each) for each in value),
    "algorithm": lambda data, v, value: v["algorithm"] == value,
    "experimentId": lambda data, v, value: v["experiment_id"] == value,
    "datasetVersionId": _trained_on,
    "query": has_words,
    "createdAfter": lambda data, v, value: v["created_at"] >= moment(value),
    "createdBefore": lambda data, v, value: v["created_at"] < moment(value),
}


def number_text(version: Row) -> str:
    return ".".join(map(str, version["number"]))


def number(text: str) -> list[int]:
    return [int(part) for part in text.split(".")]


def latest(data: Data, model: Row) -> Row | None:
    return max(data.all("versions", model_id=model["id"]), key=lambda v: v["number"], default=None)


def production_at(data: Data, model: Row, at: str) -> Row | None:
    """Who is in production after all steps up to then, taken one by one."""
    serving = None
    for step in sorted(data.all("stage_transitions", model_id=model["id"]), key=lambda s: s["position"]):
        if step["at"] > moment(at):
            break
        if step["to_stage"] == "PRODUCTION":
            serving = step["version_id"]
        elif serving == step["version_id"]:
            serving = None
    return data.by_id("versions", serving)


def chain(data: Data, version: Row, first: int | None = 100) -> list[Row]:
    found: list[Row] = []
    step: Row | None = version
    while step is not None and len(found) < (100 if first is None else first):
        found.append(step)
        step = data.by_id("versions", step["parent_id"])
    return found


def change(data: Data, version: Row) -> Row | None:
    parent = data.by_id("versions", version["parent_id"])
    if parent is None:
        return None
    required, reasons = required_change(_facts(data, parent), _facts(data, version))
    same_model = parent["model_id"] == version["model_id"]
    bump = declared(Number(*parent["number"]), Number(*version["number"]), same_model)
    return {
        "requiredBump": required.value,
        "reasons": reasons,
        "declaredBump": bump.value,
        "sufficient": is_sufficient(bump, required),
    }


def _facts(data: Data, version: Row) -> TrainingFacts:
    trained_on = data.by_id("dataset_versions", version["dataset_version_id"])
    return TrainingFacts(
        algorithm=version["algorithm"],
        target=version["target"],
        dataset=trained_on["dataset_id"] if trained_on else None,
        dataset_version=version["dataset_version_id"],
        features=version["features"],
        parameters=version["parameters"],
        artifact_uri=version["artifact_uri"],
        artifact_digest=version["artifact_digest"],
    )


def artifact(data: Data, version: Row) -> Row | None:
    if version["artifact_uri"] is None:
        return None
    return {name.removeprefix("artifact_"): value for name, value in version.items() if name.startswith("artifact_")}


# Lineage


def lineage(data: Data, version: Row, direction: str | None = "UPSTREAM", depth: int | None = 10) -> Row:
    distances: dict[str, int] = {}
    for way, ahead, behind in (("UPSTREAM", "from", "to"), ("DOWNSTREAM", "to", "from")):
        if (direction or "UPSTREAM") in (way, "BOTH"):
            for id_, distance in _distances(data.edges, version["id"], ahead, behind).items():
                distances[id_] = min(distance, distances.get(id_, distance))
    most = 10 if depth is None else depth
    near = sorted((distance, id_) for id_, distance in distances.items() if distance <= most)
    found = [id_ for _, id_ in near[:500]]
    reached = set(found)
    edges = [edge for edge in data.edges if edge["from"] in reached and edge["to"] in reached]
    edges.sort(key=lambda edge: (edge["from"], edge["kind"], edge["to"]))
    return {
        "nodes": [data.node(id_) for id_ in found],
        "edges": edges,
        "truncated": len(near) > 500 or len(near) < len(distances),
    }


def _distances(edges: Sequence[Row], start: str, ahead: str, behind: str) -> dict[str, int]:
    """Breadth first: how many steps each thing is away."""
    distances, border = {start: 0}, {start}
    while border:
        border = {edge[behind] for edge in edges if edge[ahead] in border} - distances.keys()
        distances |= dict.fromkeys(border, max(distances.values()) + 1)
    return distances


def lineage_url(data: Data, row: Row) -> str:
    return f"/lineage/{row['id']}.svg"


def mermaid(data: Data, graph: Row) -> str:
    nodes = [
        {"id": n["id"], "label": _label(data, n), "stage": n["stage"] if "number" in n else None}
        for n in graph["nodes"]
    ]
    edges = [{"from_id": e["from"], "to_id": e["to"], "kind": e["kind"]} for e in graph["edges"]]
    return draw(nodes, edges)  # type: ignore[arg-type]


def _label(data: Data, node: Row) -> str:
    if "number" in node:
        model = data.by_id("models", node["model_id"])
        assert model is not None
        return f"{model['name']} {number_text(node)}"
    return dataset_version_name(data, node) if "dataset_id" in node else node["name"]


def dataset_version_name(data: Data, row: Row) -> str:
    dataset = data.by_id("datasets", row["dataset_id"])
    assert dataset is not None
    return f"{dataset['name']} {row['label']}"


# The schema's fields. What is not here is a column, or was answered with its parent.


def link(table: str, column: str) -> Callable[..., Row | None]:
    return lambda data, row: data.by_id(table, row[column])


def connection(table: str, column: str, order: Order) -> Callable[..., Row]:
    return lambda data, row, **paging: page(data, data.all(table, **{column: row["id"]}), order, Paging(**paging))


def search(rows: Callable[[Data, Row], Sequence[Row]], default: Order) -> Callable[..., Row]:
    def answer(data: Data, row: Row, **given: Any) -> Row:
        asked, order = given.pop("filter", None) or {}, given.pop("order_by", None)
        found = [version for version in rows(data, row) if matches(data, version, asked)]
        query = asked.get("query")
        usual = default if query is None else by_relevance(query)
        return page(data, found, version_order(order, query) if order else usual, Paging(**given))

    return answer


def models(data: Data, _: Row, project_id: str | None = None, query: str | None = None, **paging: Any) -> Row:
    def is_meant(model: Row) -> bool:
        texts = [model["name"].lower(), model["id"].lower()]
        return project_id in (None, model["project_id"]) and (query is None or any(query.lower() in t for t in texts))

    return page(
        data, [model for model in data.all("models", archived=False) if is_meant(model)], BY_NAME, Paging(**paging)
    )


def models_of_project(data: Data, row: Row, **paging: Any) -> Row:
    return page(data, data.all("models", project_id=row["id"], archived=False), BY_NAME, Paging(**paging))


def aliases(data: Data, **columns: Any) -> list[Row]:
    return sorted(data.all("model_aliases", **columns), key=lambda alias: alias["name"])


def by_alias(data: Data, row: Row, alias: str) -> Row | None:
    found = data.one("model_aliases", model_id=row["id"], name=alias.lower())
    return found and data.by_id("versions", found["version_id"])


def origin_moment(data: Data, row: Row) -> str | None:
    return moment_text(moment(row["createdAt"])) if "createdAt" in row else None


def origin_part(name: str) -> Callable[..., str | None]:
    return lambda data, row: row.get(name)


def by_id(table: str) -> Callable[..., Row | None]:
    return lambda data, _, **given: data.by_id(table, given["id"])


def of_model(data: Data, model_id: str, version: str) -> Row | None:
    return data.one("versions", model_id=model_id, number=number(version))


def trained(data: Data, row: Row, **paging: Any) -> Row:
    found = [version for version in data.tables["versions"] if _trained_on(data, version, row["id"])]
    return page(data, found, NEWEST_FIRST, Paging(**paging))


def parents(data: Data, row: Row) -> list[Row]:
    ids = {parent["parent_id"] for parent in data.all("dataset_parents", dataset_version_id=row["id"])}
    found = [each for each in data.tables["dataset_versions"] if each["id"] in ids]
    return sorted(found, key=lambda each: (each["created_at"], each["id"]))


def uses(data: Data, row: Row) -> list[Row]:
    found = data.all("dataset_uses", version_id=row["id"])
    return sorted(found, key=lambda use: (use["role"], use["dataset_version_id"]))


RESOLVERS: dict[str, Callable[..., Any]] = {
    "Query.node": lambda data, _, **given: data.node(given["id"]),
    "Query.nodes": lambda data, _, ids: [data.node(id_) for id_ in ids],
    "Query.project": by_id("projects"),
    "Query.projects": lambda data, _, **paging: page(data, data.tables["projects"], BY_NAME, Paging(**paging)),
    "Query.model": by_id("models"),
    "Query.models": models,
    "Query.version": lambda data, _, model_id, version: of_model(data, model_id, version),
    "Query.searchVersions": search(lambda data, _: data.all("versions"), NEWEST_FIRST),
    "Query.experiment": by_id("experiments"),
    "Query.dataset": by_id("datasets"),
    "Query.datasetVersion": by_id("dataset_versions"),
    "Project.models": models_of_project,
    "Project.datasets": connection("datasets", "project_id", BY_NAME),
    "Project.experiments": connection("experiments", "project_id", NEWEST_FIRST),
    "Dataset.project": link("projects", "project_id"),
    "Dataset.versions": connection("dataset_versions", "dataset_id", NEWEST_FIRST),
    "DatasetVersion.dataset": link("datasets", "dataset_id"),
    "DatasetVersion.lineage": lineage,
    "DatasetVersion.lineageUrl": lineage_url,
    "DatasetVersion.name": dataset_version_name,
    "DatasetVersion.parents": parents,
    "DatasetVersion.trained": trained,
    "Experiment.lineage": lineage,
    "Experiment.lineageUrl": lineage_url,
    "Experiment.project": link("projects", "project_id"),
    "Experiment.datasetVersion": link("dataset_versions", "dataset_version_id"),
    "Experiment.versions": connection("versions", "experiment_id", NEWEST_FIRST),
    "Model.project": link("projects", "project_id"),
    "Model.versions": search(lambda data, row: data.all("versions", model_id=row["id"]), HIGHEST_FIRST),
    "Model.aliases": lambda data, row: aliases(data, model_id=row["id"]),
    "Model.versionByAlias": by_alias,
    "Model.versionByOrdinal": lambda data, row, ordinal: data.one("versions", model_id=row["id"], ordinal=ordinal),
    "ModelAlias.version": link("versions", "version_id"),
    "ModelVersion.aliases": lambda data, row: [alias["name"] for alias in aliases(data, version_id=row["id"])],
    "Origin.createdAt": origin_moment,
    "Origin.createdBy": origin_part("createdBy"),
    "Origin.url": origin_part("url"),
    "Model.version": lambda data, row, version: of_model(data, row["id"], version),
    "Model.latestVersion": latest,
    "Model.productionVersion": lambda data, row: data.one("versions", model_id=row["id"], stage="PRODUCTION"),
    "Model.productionAt": production_at,
    "Model.metricUrl": lambda data, row, name: f"/models/{row['id']}/metrics/{quote(name, '')}.svg",
    "ModelVersion.model": link("models", "model_id"),
    "ModelVersion.version": lambda data, row: number_text(row),
    "ModelVersion.tags": _tags,
    "ModelVersion.metrics": lambda data, row: sorted(
        data.all("metrics", version_id=row["id"]), key=lambda each: each["name"]
    ),
    "ModelVersion.metric": metric,
    "ModelVersion.artifact": artifact,
    "ModelVersion.experiment": link("experiments", "experiment_id"),
    "ModelVersion.datasetVersion": link("dataset_versions", "dataset_version_id"),
    "ModelVersion.datasets": uses,
    "ModelVersion.parent": link("versions", "parent_id"),
    "ModelVersion.children": connection("versions", "parent_id", NEWEST_FIRST),
    "ModelVersion.versionChain": chain,
    "ModelVersion.lineage": lineage,
    "ModelVersion.lineageUrl": lineage_url,
    "ModelVersion.change": change,
    "ModelVersion.stageHistory": lambda data, row: sorted(
        data.all("stage_transitions", version_id=row["id"]), key=lambda step: step["position"]
    ),
    "ModelVersion.allowedTransitions": lambda data, row: allowed(row["stage"]),
    "Metric.higherIsBetter": lambda data, row: higher_is_better(row["name"]),
    "DatasetUse.datasetVersion": link("dataset_versions", "dataset_version_id"),
    "LineageGraph.mermaid": mermaid,
}


def all_resolvers() -> dict[str, Callable[..., Any]]:
    from tests.support import oracle_deployments, oracle_governance, oracle_knowledge

    parts = (oracle_governance, oracle_knowledge, oracle_deployments)  # they build on what is above
    return RESOLVERS | {name: answer for part in parts for name, answer in part.RESOLVERS.items()}
