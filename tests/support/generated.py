"""Valid operations, drawn from the schema's own types and from the values that a registry holds.

Fields that would conflict cannot arise: a field with arguments has an alias of its own, and a field of an interface or
union keeps its name only where that name has one type everywhere.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any, NamedTuple

from graphql import (
    GraphQLArgument,
    GraphQLField,
    GraphQLInputField,
    GraphQLInterfaceType,
    GraphQLObjectType,
    GraphQLSchema,
    Undefined,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_non_null_type,
)
from hypothesis import strategies as st

from tests.support import oracle, oracle_governance, oracle_knowledge
from tests.support.oracle import Data, Order, Row

DEPTH = 7
FIELDS = 40
# How many objects the fields of one selection may stand for, all pages and lists above them counted as full.
ROWS = 3_000
LONG_LISTS = {"LineageGraph.nodes": 500, "LineageGraph.edges": 500}
INTROSPECTION = [
    "__schema { queryType { name } }",
    "__schema { queryType { fields { name type { kind name } } } directives { name args { name } } }",
    '__type(name: "ModelVersion") { name description fields { name args { name defaultValue } } }',
    '__type(name: "Nothing") { name }',
]
TYPES_OF_IDS = {
    "Query.transitionRequest": "req",
    "Query.project": "proj",
    "Query.model": "model",
    "Query.experiment": "exp",
    "Query.deployment": "dep",
} | {
    "Query.dataset": "ds",
    "Query.datasetVersion": "dsv",
}
# Lists that take `first` and no cursor.
WITH_FIRST = (
    "ModelVersion.versionChain",
    "Impact.paths",
    "VersionFacets.tags",
    "VersionFacets.algorithms",
    "Deployment.health",
)
# Fields with more to get wrong are drawn more often.
WEIGHTS = {"searchVersions": 5, "nodes": 2, "edges": 2, "model": 2, "versions": 3, "lineage": 3, "versionChain": 2}
MISSING_IDS = ["model_none", "ver_", "proj", "", "tra_none", "dsv_x1_", "Ünknown_1"]


@dataclass(frozen=True)
class Generated:
    """One request, and the same with other values for some of its variables."""

    query: str
    variables: Mapping[str, Any]
    others: Mapping[str, Any]
    operation_name: str | None


class Word(str):
    """An enum's value."""

    __slots__ = ()


class Value(NamedTuple):
    """What is drawn for an argument: the value, and how another one that does as well is drawn, if any does."""

    value: Any
    another: Callable[[], Any] | None = None


class Fragment(NamedTuple):
    on: str
    text: str
    depth: int
    rows: int


@dataclass
class Variable:
    declaration: str
    purpose: str = ""
    value: Any = Undefined
    other: Any = Undefined


class Values:
    """What arguments are given: mostly what occurs in the registry, sometimes what does not.

    Each byte decides once; 0, and whatever comes after the last, decides for the simplest. One draw of bytes keeps
    Hypothesis from spending most of its examples on variations of a few, and shrinks as well.
    """

    def __init__(self, decisions: bytes, data: Data):
        self.decisions, self.data = iter(decisions), data

    def below(self, limit: int) -> int:
        return next(self.decisions, 0) * limit >> 8

    def rarely(self, times: int = 8) -> bool:
        return self.below(times) == times - 1

    def one_of(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def row(self, table: str) -> Row:
        return self.data.tables[table][self.below(len(self.data.tables[table]))]

    def column(self, table: str, column: str, *absent: Any) -> Any:
        if absent and self.rarely():
            return self.one_of(*absent)
        return self.row(table)[column]

    def id(self, prefix: str | None = None) -> str:
        if self.rarely():
            return str(self.one_of(*MISSING_IDS))
        prefix = prefix or self.one_of(*oracle.NODES)
        return str(self.column(oracle.NODES[prefix][0], "id"))

    def version(self) -> str:
        return oracle.number_text({"number": self.column("versions", "number", [9, 9, 9], [0, 0, 0])})

    def moment(self) -> str:
        if self.rarely():
            return str(self.one_of("2026-01-31", "1999-12-31T23:59:59.999999-12:00", "9999-01-01T00:00:00Z"))
        found = self.column(*self.one_of(("versions", "created_at"), ("stage_transitions", "at")))
        return (found + timedelta(microseconds=self.one_of(0, 0, 1, -1))).isoformat()  # type: ignore[no-any-return]

    def text(self) -> str:
        """A part of a model's name or id."""
        found = str(self.column("models", self.one_of("name", "id"), "nowhere", ""))
        start = self.below(len(found) + 1)
        part = found[start : start + 1 + self.below(8)]
        return part.upper() if self.rarely(4) else part

    def query(self) -> str:
        """Words, phrases and beginnings that occur in versions' texts, and some that do not."""
        words = [self.word() for _ in self.some(2)] or ["churn"]
        if self.rarely(4):
            return f'"{" ".join(words)}"'
        last = words[-1][: 1 + self.below(len(words[-1]))]
        return " ".join([*words[:-1], last.upper() if self.rarely(3) else last])

    def word(self) -> str:
        source = self.one_of(("models", "name"), ("models", "id"), ("tags", "tag"), ("versions", "description"))
        return str(self.one_of(*oracle_knowledge.words(self.column(*source) or ""), "churn"))

    def tag(self) -> str:
        return str(self.column("tags", "tag", "none", "A ", "日", " a\u0308"))

    def bound(self) -> float:
        return float(self.column("metrics", "value", 0.9120000000000001, 1e300))

    def filter(self) -> Row:
        names = {self.one_of(*self.conditions) for _ in range(self.below(4))}
        return {name: None if self.rarely() else self.conditions[name]() for name in sorted(names)}

    @cached_property
    def conditions(self) -> dict[str, Callable[[], Any]]:
        """How each part of a VersionFilter is drawn."""
        return {
            "query": self.query,
            "projectId": lambda: self.id("proj"),
            "modelId": lambda: self.id("model"),
            "stage": lambda: [Word(self.column("versions", "stage")) for _ in self.some(3)],
            "tags": lambda: [self.tag() for _ in self.some(2)],
            "anyTag": lambda: [self.tag() for _ in self.some(3)],
            "metrics": lambda: [self.condition() for _ in self.some(2)],
            "algorithm": lambda: self.column("versions", "algorithm", "xgboost"),
            "experimentId": lambda: self.id("exp"),
            "datasetVersionId": lambda: self.id("dsv"),
            "createdAfter": self.moment,
            "createdBefore": self.moment,
        }

    def events(self) -> Row:
        names = {self.one_of(*self.event_conditions) for _ in range(self.below(3))}
        return {name: None if self.rarely() else self.event_conditions[name]() for name in sorted(names)}

    @cached_property
    def event_conditions(self) -> dict[str, Callable[[], Any]]:
        """How each part of an AuditFilter is drawn."""
        return {
            "projectId": lambda: self.id("proj"),
            "chain": lambda: self.column("audit_events", "chain", "registry"),
            "subjectId": lambda: self.column("audit_events", "subject_id", "ver_none"),
            "actor": lambda: self.column("audit_events", "actor", "nobody"),
            "action": lambda: [self.column("audit_events", "action") for _ in self.some(2)],
            "after": self.moment,
            "before": self.moment,
        }

    def placed(self) -> Row:
        names = {self.one_of(*self.deployment_conditions) for _ in range(self.below(3))}
        return {name: None if self.rarely() else self.deployment_conditions[name]() for name in sorted(names)}

    @cached_property
    def deployment_conditions(self) -> dict[str, Callable[[], Any]]:
        """How each part of a DeploymentFilter is drawn."""
        return {
            "projectId": lambda: self.id("proj"),
            "modelId": lambda: self.id("model"),
            "environment": lambda: self.column("deployments", "environment", "none"),
            "status": self.deployment_statuses,
        }

    def deployment_statuses(self) -> list[Word]:
        return [Word(self.column("deployments", "status", "PAUSED")) for _ in self.some(3)]

    def statuses(self) -> list[Word]:
        return [Word(self.column("transition_requests", "status", "EXPIRED")) for _ in self.some(3)]

    def delivery_statuses(self) -> list[Word]:
        return [Word(self.column("webhook_deliveries", "status", "FAILED")) for _ in self.some(2)]

    def sent(self) -> str:
        return str(self.column("webhook_deliveries", "created_at").isoformat())

    def some(self, most: int) -> range:
        return range(0 if self.rarely() else 1 + self.below(most))

    def condition(self) -> Row:
        found: Row = {"name": self.metric()}
        for name in self.one_of((), ("min",), ("max",), ("min", "max")):
            found[name] = None if self.rarely() else self.bound()
        return found

    def metric(self) -> str:
        return str(self.column("metrics", "name", "none", "Auc"))

    def order(self, asked: Row | None) -> Row:
        relevance = ["RELEVANCE"] * 3 if asked and asked.get("query") is not None else []
        order: Row = {"by": Word(self.one_of("CREATED_AT", "VERSION", "METRIC", "METRIC", *relevance))}
        if order["by"] == "METRIC":
            order["metric"] = self.metric()
        if not self.rarely(3):
            order["direction"] = self.one_of(Word("ASC"), Word("DESC"), None)
        return order

    def cursor(self, table: str, order: Order) -> str:
        """The place of some row, of whichever list, or beside it."""
        row = self.row(table)
        key, id_ = order.key(self.data, row), row["id"]
        if self.rarely():
            id_ = self.one_of("", id_ + "0")
        return oracle.cursor(order, key, id_)


class Writer:
    """One operation being written."""

    def __init__(self, decisions: bytes, schema: GraphQLSchema, data: Data):
        self.schema, self.data = schema, data
        self.values = Values(decisions, data)
        self.variables: dict[str, Variable] = {}
        self.fragments: dict[str, Fragment] = {}
        self.fields = 0
        self.directives = 0
        # The types that the objects of the interface at hand have.
        self.likely: list[str] = []
        self._names = 0

    def operation(self) -> Generated:
        assert self.schema.query_type is not None
        roots = [self.field(self.schema.query_type, 1, 1) for _ in range(1 + self.values.below(2))]
        if self.values.rarely():
            roots.insert(self.values.below(len(roots) + 1), self.alias() + self.values.one_of(*INTROSPECTION))
        if self.values.rarely():
            roots.append(self.inside(self.schema.query_type, self.schema.query_type, 1, 1))
        name = self.values.one_of(None, "Generated")
        texts = [self.declared(name, " ".join(roots))]
        texts += [f"fragment {name} on {f.on} {f.text}" for name, f in self.fragments.items()]
        if name and self.values.rarely(4):
            texts.append("query Other { __typename }")
        values = {key: v.value for key, v in self.variables.items() if v.value is not Undefined}
        others = {key: v.other for key, v in self.variables.items() if v.other is not Undefined}
        return Generated("\n".join(texts), values, others, name)

    def declared(self, name: str | None, selections: str) -> str:
        variables = ", ".join(variable.declaration for variable in self.variables.values())
        if not name and not variables:
            return f"{{ {selections} }}"
        return f"query {name or ''}{f'({variables})' if variables else ''} {{ {selections} }}"

    def name(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    def alias(self) -> str:
        return f"{self.name('a')}: "

    # Selections

    def selections(self, of: Any, depth: int, rows: int) -> str:
        """What is selected of a type, at least one thing."""
        most = 4 if is_abstract_type(of) else 3 if depth < 4 else 2
        texts = [self.selection(of, depth, rows) for _ in range(1 + self.values.below(most))]
        return f"{{ {' '.join(texts)} }}"

    def selection(self, of: Any, depth: int, rows: int) -> str:
        kind = self.values.below(16)
        if kind == 15 or (is_abstract_type(of) and depth >= DEPTH):
            return self.field_of_all(of)
        if kind >= 13 or is_abstract_type(of):
            return self.inside(of, self.condition(of), depth, rows)
        return self.field(of, depth, rows)

    def field_of_all(self, of: Any) -> str:
        name = "id" if isinstance(of, GraphQLInterfaceType) and self.values.rarely(2) else "__typename"
        return f"{self.alias() if self.values.rarely(3) else ''}{name}{self.directive()}"

    def condition(self, of: Any) -> Any:
        """A type that some object of this type has."""
        if not is_abstract_type(of):
            return self.values.one_of(of, of, *self.abstract(of))
        possible: Any = self.schema.get_possible_types(of)
        if not self.values.rarely(4):
            possible = [each for each in possible if each.name in self.likely] or possible
        if self.values.rarely():
            return self.values.one_of(*self.abstract(self.values.one_of(*possible)))
        return self.values.one_of(*possible)

    def abstract(self, of: GraphQLObjectType) -> list[Any]:
        found: list[Any] = [each for each in self.schema.type_map.values() if is_abstract_type(each)]
        return [each for each in found if self.schema.is_sub_type(each, of)] or [of]

    def inside(self, of: Any, on: Any, depth: int, rows: int) -> str:
        """A fragment: inline, named, or a named one again."""
        kind = self.values.one_of("inline", "inline", "named", "again")
        again = [n for n, f in self.fragments.items() if f.on == on.name and depth <= f.depth and rows <= f.rows]
        if kind == "again" and again:
            return f"...{self.values.one_of(*again)}{self.directive()}"
        if kind == "named":
            text = self.selections(on, depth, rows)
            name = self.name("F")
            self.fragments[name] = Fragment(on.name, text, depth, rows)
            return f"...{name}{self.directive()}"
        condition = "" if on is of and self.values.rarely(2) else f" on {on.name}"
        return f"...{condition}{self.directive()} {self.selections(on, depth, rows)}"

    def field(self, of: Any, depth: int, rows: int) -> str:
        """A field, sometimes twice, so that both are merged."""
        name, definition = self.chosen(of, depth, rows)
        if definition is None:
            return self.field_of_all(of)
        self.fields += 1
        arguments, size = self.arguments(of, name, definition, rows)
        if of.name == "LineageGraph":
            self.likely = ["ModelVersion", "ModelVersion", "Experiment", "DatasetVersion"]
        fate = self.values.below(24)
        own_key = arguments or fate % 4 == 1 or not self.has_one_type(name)
        text = f"{self.alias() if own_key else ''}{name}{arguments}"
        inner = get_named_type(definition.type)
        parts = []
        for _ in range(2 if fate == 23 else 1):
            more = f" {self.selections(inner, depth + 1, rows * size)}" if is_composite_type(inner) else ""
            parts.append(text + self.directive() + more)
        return " ".join(parts)

    def chosen(self, of: Any, depth: int, rows: int) -> tuple[str, GraphQLField | None]:
        fields = dict(of.fields)
        leaves = [name for name, each in fields.items() if not is_composite_type(get_named_type(each.type))]
        deeper = [name for name in fields if name not in leaves and rows * self.least(of, name) <= ROWS]
        is_full = self.fields >= FIELDS or depth >= DEPTH
        names = leaves if is_full or not deeper or (leaves and self.values.rarely(2)) else deeper
        names = [name for name in names for _ in range(WEIGHTS.get(name, 1))]
        name = self.values.one_of(*names) if names else ""
        return name, fields.get(name)

    def least(self, of: Any, name: str) -> int:
        """How many entries a field without a page's size is counted as."""
        is_list = is_list_type(get_nullable_type(of.fields[name].type)) and not of.name.endswith("Connection")
        return LONG_LISTS.get(f"{of.name}.{name}", 5 if is_list and name != "versionChain" else 1)

    def has_one_type(self, name: str) -> bool:
        """Whether all objects that an interface or union holds answer the same type under this name."""
        nodes: list[Any] = [self.schema.type_map[type_name] for _, type_name in oracle.NODES.values()]
        return len({str(each.fields[name].type) for each in nodes if name in each.fields}) <= 1

    def directive(self) -> str:
        if self.directives > 15 or not self.values.rarely(20):
            return ""
        self.directives += 1
        name, meaning = self.values.one_of(("skip", False), ("include", True))
        shown = not self.values.rarely(4)
        text = f" @{name}(if: {self.boolean(shown is meaning)})"
        return text + (f" @{self.other(name)}(if: {self.boolean(True)})" if self.values.rarely() else "")

    def other(self, name: str) -> str:
        return "include" if name == "skip" else "skip"

    def boolean(self, value: bool) -> str:
        if self.values.rarely(2):
            return json.dumps(value)
        name = self.name("v")
        ways = [
            Variable(f"${name}: Boolean!", value=value),
            Variable(f"${name}: Boolean = {json.dumps(value)}"),
            Variable(f"${name}: Boolean! = {json.dumps(not value)}", value=value),
        ]
        self.variables[name] = self.values.one_of(*ways)
        self.variables[name].other = self.values.one_of(value, not value)
        return f"${name}"

    # Arguments

    def arguments(self, of: Any, name: str, definition: GraphQLField, rows: int) -> tuple[str, int]:
        """A field's arguments, and how many entries it may answer then."""
        path = f"{of.name}.{name}"
        values = self.given(path, definition, rows)
        texts = [
            f"{key}: {self.term(definition.args[key], value, purpose(key, value))}" for key, value in values.items()
        ]
        if path in ("Query.node", "Query.nodes"):
            ids = values["ids"].value if "ids" in values else [values["id"].value]
            self.likely = [oracle.NODES[prefix][1] for id_ in ids if (prefix := id_.split("_")[0]) in oracle.NODES]
            return f"({', '.join(texts)})", max(1, len(ids))
        size = self.least(of, name)
        if "first" in definition.args:
            default = 100 if name == "versionChain" else 20
            size = next((values[key].value for key in ("first", "last") if key in values), default)
        texts = texts[::-1] if len(texts) > 1 and self.values.rarely(3) else texts
        return f"({', '.join(texts)})" if texts else "", size

    def given(self, path: str, definition: GraphQLField, rows: int) -> dict[str, Value]:
        names = definition.args.keys()
        if "after" in names:
            return self.paging(path, definition, rows)
        if path in WITH_FIRST:
            return {} if rows * 100 < ROWS and self.values.rarely(3) else {"first": self.count(1, 6)}
        if path.endswith(".lineage"):
            found = {"depth": self.count(1, 4)} if self.values.rarely(2) else {}
            words = [*self.schema.type_map["LineageDirection"].values, None]  # type: ignore[attr-defined]
            direction = self.values.one_of(*words)
            return found | ({"direction": Value(direction and Word(direction))} if self.values.rarely(2) else {})
        if path == "Query.version" and not self.values.rarely(4):
            # A model and a number that belong together.
            version = self.values.row("versions")
            return {"modelId": Value(version["model_id"]), "version": Value(oracle.number_text(version))}
        if path in ("Query.compareVersions", "ModelVersion.compareTo"):
            return self.compared(path)
        return {name: self.plain(path, name) for name in names}

    def compared(self, path: str) -> dict[str, Value]:
        """A model, and numbers that it mostly has."""
        version = self.values.row("versions")
        of_model = {"modelId": Value(version["model_id"]), "version": Value(oracle.number_text(version))}
        found = {"onlyChanged": Value(self.values.one_of(True, False, None))} if self.values.rarely(2) else {}
        if path == "ModelVersion.compareTo":
            return of_model | found
        others = [row for row in self.data.tables["versions"] if row["model_id"] == version["model_id"]]
        numbers = [oracle.number_text(row) for row in others[: 2 + self.values.below(4)]]
        numbers = numbers if len(numbers) > 1 else [*numbers, "9.9.9"]
        return {"modelId": of_model["modelId"], "versions": Value(numbers)} | found

    def plain(self, path: str, name: str) -> Value:
        draws: dict[str, Callable[[], Any]] = {
            "id": lambda: self.values.id(TYPES_OF_IDS.get(path)),
            "ids": lambda: [self.values.id() for _ in range(self.values.below(5))],
            "modelId": lambda: self.values.id("model"),
            "version": self.values.version,
            "name": self.values.metric,
            "alias": lambda: self.values.column("model_aliases", "name", "none", " CHAMPION"),
            "ordinal": lambda: self.values.column("versions", "ordinal", 0, -1, 2**31 - 1),
            "at": self.values.moment,
            "environment": lambda: self.values.column("deployments", "environment", "none"),
            "chain": lambda: self.values.column("audit_events", "chain", "registry"),
            "targetStage": lambda: Word(self.values.one_of(*self.schema.type_map["Stage"].values)),  # type: ignore[attr-defined]
        }
        return Value(draws[name](), draws[name])

    def count(self, least: int, most: int) -> Value:
        def draw() -> int:
            return least + self.values.below(most - least + 1)

        return Value(draw(), draw)

    def paging(self, path: str, definition: GraphQLField, rows: int) -> dict[str, Value]:
        found: dict[str, Value] = {}
        if path == "Query.deployments":
            found |= {"filter": Value(self.values.placed(), self.values.placed)} if self.values.rarely(2) else {}
        elif path == "Query.auditEvents":
            found |= {"filter": Value(self.values.events(), self.values.events)} if self.values.rarely(2) else {}
        elif "filter" in definition.args:
            found |= self.filtered() if self.values.rarely(2) else {}
            asked = found["filter"].value if "filter" in found else None
            found |= {"orderBy": Value(self.values.order(asked))} if self.values.rarely(2) else {}
        if "status" in definition.args and self.values.rarely(2):
            draws = {
                "ModelVersion.deployments": self.values.deployment_statuses,
                "Webhook.deliveries": self.values.delivery_statuses,
            }
            draw = draws.get(path, self.values.statuses)
            found["status"] = Value(draw(), draw)
        for name in {"since", "until"} & definition.args.keys():
            found |= {name: Value(self.values.sent(), self.values.sent)} if self.values.rarely(3) else {}
        if "query" in definition.args:
            found |= {"query": Value(self.values.text(), self.values.text)} if self.values.rarely(2) else {}
            found |= {"projectId": Value(self.values.id("proj"))} if self.values.rarely(4) else {}
        table, order = self.listed(path, definition, found)
        for border in ("after", "before"):
            if self.values.rarely(5):
                found[border] = Value(self.values.cursor(table, order))
                if order.name == "RELEVANCE":
                    found["filter"] = Value(found["filter"].value)
        most = max(1, ROWS // rows // 10)
        if most < 20 or not self.values.rarely(4):
            found[self.values.one_of("first", "first", "last")] = self.count(1, min(most, 6))
        return {name: Value(None) if self.can_be_null(name, found) else value for name, value in found.items()}

    def filtered(self) -> dict[str, Value]:
        """A filter, with words under all values of the variables or under none: the usual order hangs on them."""
        found = self.values.filter()
        words = (lambda: {"query": self.values.query()}) if found.get("query") is not None else lambda: {"query": None}
        return {"filter": Value(found, lambda: self.values.filter() | words())}

    def can_be_null(self, name: str, found: Mapping[str, Value]) -> bool:
        # Null for a count asks for twenty; null for an order, or for words, changes what cursors mean.
        if name in ("first", "last") or (name == "orderBy" and ("after" in found or "before" in found)):
            return False
        if name == "filter" and found["filter"].value.get("query") is not None:
            return False
        return self.values.rarely(12)

    def listed(self, path: str, definition: GraphQLField, found: Mapping[str, Value]) -> tuple[str, Order]:
        """The table that a connection lists, and its order."""
        connection: Any = get_named_type(definition.type)
        of = get_named_type(connection.fields["nodes"].type).name
        table = "webhook_deliveries"
        if of != "WebhookDelivery":
            table = next(table for table, name in oracle.NODES.values() if name == of)
        query = found["filter"].value.get("query") if "orderBy" in definition.args and "filter" in found else None
        if "orderBy" in found:
            return table, oracle.version_order(found["orderBy"].value, query)
        if query is not None:
            return table, oracle.by_relevance(query)
        if path == "Model.versions":
            return table, oracle.HIGHEST_FIRST
        if path == "Query.auditEvents":
            return table, oracle_governance.LATEST_FIRST
        by_name = path in ("Query.projects", "Query.models", "Project.models", "Project.datasets")
        return table, oracle.BY_NAME if by_name else oracle.NEWEST_FIRST

    # Values, as literals or as variables

    def term(self, position: GraphQLArgument | GraphQLInputField, given: Value, purpose: str) -> str:
        if self.values.rarely(3):
            return self.variable(position, given, purpose)
        return self.literal(position.type, given.value)

    def literal(self, of: Any, value: Any, constant: bool = False) -> str:
        """A value as it is written; parts of lists and objects may be variables."""
        of = of.of_type if is_non_null_type(of) else of
        if value is None:
            return "null"
        if is_list_type(of):
            return f"[{', '.join(self.part(of.of_type, Value(each), constant) for each in value)}]"
        if is_input_object_type(of):
            drawn = {
                "VersionFilter": self.values.conditions,
                "AuditFilter": self.values.event_conditions,
                "DeploymentFilter": self.values.deployment_conditions,
            }
            anew = {key: draw for key, draw in drawn.get(of.name, {}).items() if key != "query"}
            each_of = {key: Value(each, anew.get(key)) for key, each in value.items()}
            parts = [f"{key}: {self.part(of.fields[key].type, each, constant)}" for key, each in each_of.items()]
            return f"{{{', '.join(parts)}}}"
        return str(value) if is_enum_type(of) else json.dumps(value, ensure_ascii=False)

    def part(self, of: Any, given: Value, constant: bool) -> str:
        if not constant and self.values.rarely(4):
            return self.variable(GraphQLArgument(of), given, "")
        return self.literal(of, given.value, constant)

    def variable(self, position: GraphQLArgument | GraphQLInputField, given: Value, purpose: str) -> str:
        of = position.type
        nullable = of.of_type if is_non_null_type(of) else of
        again = [name for name, v in self.variables.items() if purpose and v.purpose == f"{purpose} {of}"]
        if again and given.another and self.values.rarely(3):
            return f"${self.values.one_of(*again)}"
        name = self.name("v")
        self.variables[name] = self.declare(name, of, nullable, given, f"{purpose} {of}")
        return f"${name}"

    def declare(self, name: str, of: Any, nullable: Any, given: Value, purpose: str) -> Variable:
        value, declaration = given.value, f"${name}: {nullable}"
        # Where the variable may not be null, another value is none either.
        other = another if given.another and (another := given.another()) is not None else value
        if value is None:
            return Variable(declaration) if self.values.rarely(2) else Variable(declaration, value=None, other=None)
        default = f"{declaration} = {self.literal(of, value, constant=True)}"
        ways = [
            Variable(f"{declaration}!", purpose, value, other),
            Variable(default, purpose, Undefined, other),
            Variable(default, purpose, value, other),
        ]
        if nullable is of:
            ways.append(Variable(declaration, purpose, value, other))
        return self.values.one_of(*ways)  # type: ignore[no-any-return]


def purpose(argument: str, given: Value) -> str:
    """What a variable must be for, to be given to this argument too."""
    has_words = argument == "filter" and given.value is not None and given.value.get("query") is not None
    return f"{argument} with words" if has_words else argument


def operations(schema: GraphQLSchema, data: Data) -> st.SearchStrategy[Generated]:
    return st.binary(min_size=200, max_size=800).map(lambda decisions: Writer(decisions, schema, data).operation())
