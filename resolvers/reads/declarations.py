"""The declarations of a field at its binding: the role that it needs, the size of its list and the weight of a value.

A type declares a role for all of its fields with `needs`. A field of Query, Mutation or Subscription declares its own.
"""

from collections.abc import Iterator
from typing import Any

from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_object_type,
)
from graphql.utilities.coerce_input_value import coerce_default_value

from resolvers.rules.access import Need

DEFINITION = "strawberry-definition"
NEEDS, SIZE, WEIGHT = "needs", "size", "weight"
# The weights of values that may be megabytes, and of texts that take Python some milliseconds to write.
HEAVY, WRITTEN = 8, 100
DEFAULT_PAGE, MAX_PAGE = 20, 100
# The assumed size of lists without pages that declare none, which are short by nature.
SHORT_LIST = 5


class Undeclared(Exception):
    """A field for which neither it nor its type declares a role."""


def weight_of(field: GraphQLField) -> int | None:
    """The cost of one value of a field, in points. None if the field declares nothing."""
    weight: int | None = _declared(field, WEIGHT)
    return weight


def size_of(field: GraphQLField, of: GraphQLNamedType) -> int:
    """How many entries a field is assumed to have if no argument sets it. 1 for a field that is not a list."""
    if "first" in field.args:
        default = coerce_default_value(field.args["first"])
        return default if isinstance(default, int) else DEFAULT_PAGE
    # A connection is already counted as its page.
    if not is_list_type(get_nullable_type(field.type)) or of.name.endswith("Connection"):
        return 1
    return _declared(field, SIZE) or SHORT_LIST


def gather_needs(schema: GraphQLSchema) -> dict[tuple[str, str], Need]:
    """The role that each field needs, by type and field. Raises Undeclared if one has none."""
    payloads = _payloads(schema)
    return {
        (of.name, name): _need_of(schema, of, name, field, of.name in payloads)
        for of in _objects(schema)
        for name, field in of.fields.items()
    }


def _objects(schema: GraphQLSchema) -> Iterator[GraphQLObjectType]:
    for name, of in schema.type_map.items():
        if is_object_type(of) and not name.startswith("__"):
            yield of


def _payloads(schema: GraphQLSchema) -> set[str]:
    writes = schema.mutation_type.fields.values() if schema.mutation_type else ()
    return {get_named_type(write.type).name for write in writes}


def _need_of(schema: GraphQLSchema, of: GraphQLObjectType, name: str, field: GraphQLField, is_payload: bool) -> Need:
    need: Need | None = _declared(field, NEEDS)
    if need is None and of not in (schema.query_type, schema.mutation_type, schema.subscription_type):
        # A caller who may write may read the mutation's payload. Its rows are narrowed like all others.
        need = Need.ANYONE if is_payload else _of_type(of)
    if need is None:
        raise Undeclared(f"{of.name}.{name} declares no role. Set needs= on the field, or needs on its type.")
    return need


def _of_type(of: GraphQLObjectType) -> Need | None:
    definition = of.extensions.get(DEFINITION)
    return getattr(definition.origin, NEEDS, None) if definition else None


def _declared(field: GraphQLField, name: str) -> Any:
    definition = field.extensions.get(DEFINITION)
    return definition.metadata.get(name) if definition else None
