"""What each GraphQL type and field is bound to, gathered once from the schema's own definitions."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from graphql import GraphQLField, GraphQLNamedType, GraphQLObjectType, GraphQLSchema, get_named_type

if TYPE_CHECKING:
    from resolvers.reads.bindings import Binding

DEFINITION = "strawberry-definition"
BINDING = "binding"
# What a field declares of its cost, where it is bound.
WEIGHT, LENGTH = "weight", "length"
# Weights: of values that may be megabytes, and of texts that take Python some milliseconds to write.
HEAVY, WRITTEN = 8, 100


def weight_of(field: GraphQLField) -> int | None:
    """What one value of a field costs, in points; None where the field declares nothing."""
    return _declared(field, WEIGHT)


def length_of(field: GraphQLField) -> int | None:
    """How many entries a list without pages is counted as; None where the field declares nothing."""
    return _declared(field, LENGTH)


def _declared(field: GraphQLField, name: str) -> int | None:
    definition = field.extensions.get(DEFINITION)
    declared: int | None = definition.metadata.get(name) if definition else None
    return declared


class Unbound(Exception):
    """A field that the schema shows and nothing answers."""


@dataclass(frozen=True)
class BoundType:
    """A GraphQL object type with the table that its rows come from and the prefix of its ids, where it has them."""

    name: str
    graphql: GraphQLObjectType
    table: str | None
    prefix: str | None

    def binding(self, field: str) -> "Binding":
        definition = self.graphql.fields[field].extensions.get(DEFINITION)
        binding: Binding | None = definition.metadata.get(BINDING) if definition else None
        if binding is None:
            raise Unbound(f"{self.name}.{field} is bound to nothing.")
        return binding

    @cached_property
    def python_names(self) -> dict[str, str]:
        return {name: field.extensions[DEFINITION].python_name for name, field in self.graphql.fields.items()}


class Types:
    """All bound types of a schema, by name."""

    def __init__(self, schema: GraphQLSchema):
        self.schema = schema
        self._bound: dict[str, BoundType] = {}
        # How each field's arguments are cleaned, by type and field.
        self.cleaners: dict[tuple[str, str], Any] = {}

    def __getitem__(self, name: str) -> BoundType:
        if name not in self._bound:
            self._bound[name] = self._bind(self.schema.type_map[name])
        return self._bound[name]

    def of(self, field: GraphQLField) -> GraphQLNamedType:
        return get_named_type(field.type)

    def possible(self, abstract: GraphQLNamedType) -> Iterable[BoundType]:
        """The object types that this type's values can have."""
        if isinstance(abstract, GraphQLObjectType):
            return [self[abstract.name]]
        return [self[each.name] for each in self.schema.get_possible_types(abstract)]  # type: ignore[arg-type]

    def _bind(self, graphql_type: Any) -> BoundType:
        definition = graphql_type.extensions.get(DEFINITION)
        origin = definition.origin if definition else None
        table = getattr(origin, "table", None)
        return BoundType(
            name=graphql_type.name,
            graphql=graphql_type,
            table=table.__tablename__ if table else None,
            prefix=getattr(origin, "prefix", None),
        )
