"""Cleans the arguments of reads: their texts and lists are held to the limits that the schema declares."""

from collections.abc import Callable, Mapping
from typing import Any

from graphql import GraphQLField, GraphQLObjectType, is_input_object_type, is_list_type, is_non_null_type

from resolvers.reads.declarations import DEFINITION
from resolvers.reads.types import Types
from resolvers.rules.limits import LIMIT, Several, Sought

# The limits of texts and lists that declare none.
TEXT, LIST = Sought(), Several(100)

# Returns the cleaned value at a path, or raises BadUserInput with the path.
Clean = Callable[[str, Any], Any]
CleanAll = Callable[[dict[str, Any]], dict[str, Any]]


def cleaner_of(types: Types, of: GraphQLObjectType, name: str, definition: GraphQLField) -> CleanAll:
    """A function that cleans a field's arguments, a mapping by name, in place."""
    known: CleanAll | None = types.cleaners.get((of.name, name))
    if known is None:
        # The inputs of mutations are cleaned when they run, by the limits of their fields.
        arguments = {} if of is types.schema.mutation_type else definition.args
        known = types.cleaners[of.name, name] = _cleaner_of_all(_cleaners(arguments))
    return known


def _cleaner_of_all(cleaners: Mapping[str, Clean]) -> CleanAll:
    def clean_all(values: dict[str, Any]) -> dict[str, Any]:
        for name, clean in cleaners.items():
            value = values.get(name)
            if value is not None:
                values[name] = clean(name, value)
        return values

    return clean_all if cleaners else lambda values: values


def _cleaners(parts: Mapping[str, Any]) -> dict[str, Clean]:
    return {name: clean for name, part in parts.items() if (clean := _cleaner(part.type, _declared(part)))}


def _declared(part: Any) -> Any:
    definition = part.extensions.get(DEFINITION)
    return definition.metadata.get(LIMIT) if definition else None


def _cleaner(of: Any, limit: Any) -> Clean | None:
    """None if values of the type contain neither text nor lists."""
    if is_non_null_type(of):
        return _cleaner(of.of_type, limit)
    if is_list_type(of):
        return _list_cleaner((limit or LIST).clean, _cleaner(of.of_type, None))
    if is_input_object_type(of):
        return _object_cleaner(of)
    return (limit or TEXT).clean if of.name in ("String", "ID") else None


def _list_cleaner(count: Clean, clean: Clean | None) -> Clean:
    if clean is None:
        return count
    return lambda path, values: [clean(f"{path}[{place}]", each) for place, each in enumerate(count(path, values))]


def _object_cleaner(of: Any) -> Clean:
    cleaners = _cleaners(of.fields)

    def clean_object(path: str, value: Mapping[str, Any]) -> dict[str, Any]:
        return {
            name: cleaners[name](f"{path}.{name}", inner) if inner is not None and name in cleaners else inner
            for name, inner in value.items()
        }

    return clean_object
