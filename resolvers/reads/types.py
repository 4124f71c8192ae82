"""The tables, prefixes and roles of GraphQL types, gathered once from the definitions of the schema."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import GraphQLField, GraphQLNamedType, GraphQLObjectType, GraphQLSchema, get_named_type

from resolvers.errors import Forbidden
from resolvers.reads.declarations import DEFINITION, gather_needs
from resolvers.rules.access import Need


@dataclass(frozen=True)
class BoundType:
    """A GraphQL object type, with the table of its rows and the prefix of its IDs, if it has them."""

    name: str
    graphql: GraphQLObjectType
    table: str | None
    prefix: str | None

    @cached_property
    def python_names(self) -> dict[str, str]:
        return {name: field.extensions[DEFINITION].python_name for name, field in self.graphql.fields.items()}


class Types:
    """All bound types of a schema, by name."""

    def __init__(self, schema: GraphQLSchema):
        self.schema = schema
        self.needs = gather_needs(schema)
        self._bound: dict[str, BoundType] = {}
        # How each field's arguments are cleaned, by type and field.
        self.cleaners: dict[tuple[str, str], Any] = {}

    def __getitem__(self, name: str) -> BoundType:
        if name not in self._bound:
            self._bound[name] = self._bind(self.schema.type_map[name])
        return self._bound[name]

    def need(self, of: str, field: str) -> Need:
        """The role that a field needs. A schema with a field without one is not built; this is the second check."""
        need = self.needs.get((of, field))
        if need is None:
            raise Forbidden(f"{of}.{field} declares no role, so it is refused.")
        return need

    def of(self, field: GraphQLField) -> GraphQLNamedType:
        return get_named_type(field.type)

    def possible(self, abstract: GraphQLNamedType) -> Iterable[BoundType]:
        """The object types that values of this type can have."""
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
