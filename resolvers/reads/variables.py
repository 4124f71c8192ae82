"""The values of an operation's variables. Leaves take a fast path; graphql-core reads the rest and every error."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graphql import (
    GraphQLError,
    GraphQLSchema,
    VariableDefinitionNode,
    get_named_type,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    type_from_ast,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource, get_variable_values

from resolvers.rules.cleaning import check_count

MAX_ERRORS = 10
# The most entries in any list of input objects.
MAX_OBJECTS = 100

Leaf = tuple[GraphQLVariableSignature, bool, Callable[[Any], Any]]


class Variables:
    """The variables that one operation declares."""

    def __init__(self, schema: GraphQLSchema, definitions: Sequence[VariableDefinitionNode]):
        self.schema, self.definitions = schema, definitions
        leaves = [_leaf(get_variable_signature(schema, definition)) for definition in definitions]
        self._leaves = [leaf for leaf in leaves if leaf is not None]
        types = [(each.variable.name.value, type_from_ast(schema, each.type)) for each in definitions]
        self._objects = [(name, of) for name, of in types if of and is_input_object_type(get_named_type(of))]
        self._only_leaves = len(self._leaves) == len(leaves)

    def read(self, raw: Mapping[str, Any]) -> VariableValues | list[GraphQLError]:
        """The values as graphql-core coerces them, or its errors."""
        short = self._read_leaves(raw) if self._only_leaves else None
        # Before they are coerced, which takes ten microseconds for each object.
        for name, of in self._objects:
            _refuse_long(of, raw.get(name), name)
        return short or get_variable_values(self.schema, self.definitions, dict(raw), max_errors=MAX_ERRORS)

    def _read_leaves(self, raw: Mapping[str, Any]) -> VariableValues | None:
        """None if a value is missing or wrong; graphql-core then applies defaults or reports the error."""
        sources, coerced = {}, {}
        for signature, is_nullable, parse in self._leaves:
            name = signature.name
            value = raw.get(name, self)
            if value is self:
                return None
            if value is not None:
                try:
                    coerced[name] = parse(value)
                except Exception:  # noqa: BLE001 - graphql-core meets it again and tells
                    return None
            elif is_nullable:
                coerced[name] = None
            else:
                return None
            sources[name] = VariableValueSource(signature, value)
        return VariableValues(sources, coerced)


def _leaf(signature: GraphQLVariableSignature | GraphQLError) -> Leaf | None:
    if isinstance(signature, GraphQLError):
        return None
    of: Any = signature.type
    is_nullable = not is_non_null_type(of)
    named = of if is_nullable else of.of_type
    return (signature, is_nullable, named.coerce_input_value) if is_leaf_type(named) else None


def _refuse_long(of: Any, value: Any, path: str) -> None:
    """Refuse a list of too many input objects, however deep."""
    if is_non_null_type(of):
        of = of.of_type
    if is_list_type(of) and isinstance(value, list):
        if is_input_object_type(get_named_type(of)):
            check_count(path, value, MAX_OBJECTS)
            for place, each in enumerate(value):
                _refuse_long(of.of_type, each, f"{path}[{place}]")
    elif is_input_object_type(of) and isinstance(value, dict):
        for name, field in of.fields.items():
            if isinstance(value.get(name), list | dict):
                _refuse_long(field.type, value[name], f"{path}.{name}")
