"""The cost of an operation in points, before it runs: one point for each object that it can return, plus the weights of
its fields (`weight` in schema/fields.py). Pages and lists multiply the cost below them.

The cost limits an operation, is charged to its caller, and decides whether the size of its response is checked.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLField,
    GraphQLNamedType,
    GraphQLSchema,
    IntValueNode,
    ListValueNode,
    NullValueNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_leaf_type,
)
from graphql import FragmentSpreadNode as Spread

from resolvers.errors import QueryTooComplex
from resolvers.reads.declarations import size_of, weight_of

MAX_COST = 20_000
MAX_PAGE = 1_000
# This many light values of one object cost a point.
LIGHT = 20

Values = Mapping[str, Any]
# A number, or a function that computes it from the variables.
Count = int | Callable[[Values], int]


class Costliest(NamedTuple):
    """The field that most of an operation's cost comes from: its path in the response, and its points."""

    path: str
    cost: int

    @property
    def advice(self) -> str:
        return f"The largest part is {self.path} ({self.cost} points). Request fewer entries or fields there"


@dataclass(frozen=True)
class Cost:
    """The cost of a selected field: its own weight and the cost below it, times its number."""

    key: str
    times: Count
    weight: int
    below: tuple["Cost", ...] = ()

    def total(self, values: Values) -> int:
        times = self.times if isinstance(self.times, int) else self.times(values)
        return times * (self.weight + sum([each.total(values) for each in self.below]))

    def costliest(self, values: Values) -> Costliest:
        """The deepest field that at least half of the cost comes from, or else the most expensive root field."""
        path: list[str] = []
        whole = cost = self.total(values)
        at, times = self, 1
        while at.below:
            times *= at.times if isinstance(at.times, int) else at.times(values)
            heaviest = max(at.below, key=lambda each: each.total(values))
            if path and 2 * times * heaviest.total(values) < whole:
                break
            at, cost = heaviest, times * heaviest.total(values)
            path.append(at.key)
        return Costliest(".".join(path), min(cost, 10**15))


def check_cost(of: Cost, values: Values) -> int:
    """The operation's cost. Raises QueryTooComplex above the limit."""
    cost = of.total(values)
    if cost > MAX_COST:
        raise too_costly(cost, of.costliest(values))
    return cost


def too_costly(cost: int, costliest: Costliest) -> QueryTooComplex:
    # Nested pages reach numbers that JSON cannot represent.
    cost = min(cost, 10**15)
    return QueryTooComplex(
        f"The operation costs {cost} points; the limit is {MAX_COST}. {costliest.advice}, or split the operation.",
        what="points",
        found=cost,
        limit=MAX_COST,
        costliest=costliest._asdict(),
    )


def cost_of(
    schema: GraphQLSchema, operation: OperationDefinitionNode, fragments: Mapping[str, FragmentDefinitionNode]
) -> Cost:
    """The cost of a valid operation. Introspection has a budget of its own."""
    root = schema.get_root_type(operation.operation)
    assert root is not None
    below, light = _Estimator(schema, fragments).selections(operation.selection_set, root)
    return Cost("", 1, light // LIGHT, tuple(below))


@dataclass
class _Estimator:
    schema: GraphQLSchema
    fragments: Mapping[str, FragmentDefinitionNode]

    def selections(self, selection_set: SelectionSetNode, of: GraphQLNamedType) -> tuple[list[Cost], int]:
        """The costs in a selection, and the number of its light values."""
        below: list[Cost] = []
        light = 0
        for node in selection_set.selections:
            costs, values = self.selected(node, of)
            below += costs
            light += values
        return below, light

    def selected(self, node: SelectionNode, of: GraphQLNamedType) -> tuple[list[Cost], int]:
        if isinstance(node, FieldNode):
            return self.field(node, of)
        fragment: Any = self.fragments[node.name.value] if isinstance(node, Spread) else node
        condition = fragment.type_condition
        return self.selections(fragment.selection_set, self.schema.type_map[condition.name.value] if condition else of)

    def field(self, node: FieldNode, of: GraphQLNamedType) -> tuple[list[Cost], int]:
        if node.name.value.startswith("__"):
            return [], 1
        definition = self.schema.get_field(of, node.name.value)  # type: ignore[arg-type]
        assert definition is not None
        weight, key = weight_of(definition), (node.alias or node.name).value
        if node.selection_set is None:
            assert is_leaf_type(get_named_type(definition.type))
            return ([Cost(key, 1, weight)], 0) if weight else ([], 1)
        below, light = self.selections(node.selection_set, get_named_type(definition.type))
        own = (1 if weight is None else weight) + light // LIGHT
        return [Cost(key, _size(node, definition, of), own, tuple(below))], 0


def _size(node: FieldNode, definition: GraphQLField, of: GraphQLNamedType) -> Count:
    """How many entries a field can return: the highest number that any of its arguments requests."""
    default = size_of(definition, of)
    asked = [a.value for a in node.arguments or () if a.name.value in ("first", "last", "ids")]
    variables = [value.name.value for value in asked if isinstance(value, VariableNode)]
    constants = list(_constants(asked))
    if not variables:
        return max(constants, default=default)

    def size(values: Values) -> int:
        sizes = [_count(values[name]) for name in variables if values.get(name) is not None]
        return max([*constants, *sizes], default=default)

    return size


def _constants(asked: Iterable[ValueNode]) -> Iterable[int]:
    for value in asked:
        if isinstance(value, IntValueNode):
            yield _count(int(value.value))
        elif isinstance(value, ListValueNode):
            yield len(value.values)
        elif not isinstance(value, VariableNode | NullValueNode):
            yield 1


def _count(value: Any) -> int:
    return max(1, min(value, MAX_PAGE)) if isinstance(value, int) else len(value)
