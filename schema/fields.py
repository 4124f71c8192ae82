"""Helpers that define a field with its description, its binding and what it declares."""

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, TypeVar

import strawberry
from strawberry.annotation import StrawberryAnnotation
from strawberry.types.arguments import StrawberryArgument
from strawberry.types.enum import StrawberryEnumDefinition

from resolvers.mutations import NULL_MEANS, Write
from resolvers.reads.audit import audit_conditions
from resolvers.reads.bindings import Column, Computed, Embedded, Expression, Many, One, Payload
from resolvers.reads.compilation import BINDING, Binding
from resolvers.reads.declarations import NEEDS, SIZE, WEIGHT
from resolvers.reads.paging import Connection as Paged
from resolvers.reads.paging import Order
from resolvers.reads.search import search_versions
from resolvers.rules.access import Need
from resolvers.rules.limits import LIMIT, Limit, Sought

E = TypeVar("E", bound=Enum)


def argument(
    name: str, annotation: Any, description: str, limit: Limit | None = None, **options: Any
) -> StrawberryArgument:
    """An argument. A text or list without its own limit has the default one of `resolvers.reads.cleaning`."""
    kind = StrawberryAnnotation(annotation)
    return StrawberryArgument(name, None, kind, description=description, metadata={LIMIT: limit}, **options)


# Weights of values that may be long, in points of cost: a text of 10,000 characters, and an object of 64 kB.
TEXT, OBJECT = 1, 2


def bound(
    description: str,
    binding: Binding,
    arguments: tuple[StrawberryArgument, ...] = (),
    *,
    needs: Need | None = None,
    size: int | None = None,
    weight: int | None = None,
    **options: Any,
) -> Any:
    """A field that is read by its binding; its arguments, if any, are the binding's to read.

    `needs` is the role that the field needs. Default: that of its type, which root types do not have.
    `size` is how many entries a list without pages is counted as. Default: 5.
    `weight` is what one value costs: a point for each object, and for each 32 kB or so that a value may hold or read;
    HEAVY for what may be megabytes. Default: 1 for an object, 0 for anything else.
    """
    metadata = {BINDING: binding, NEEDS: needs, SIZE: size, WEIGHT: weight}
    field = strawberry.field(description=description, metadata=metadata, **options)
    if arguments:
        field.arguments = list(arguments)
    return field


def column(description: str, name: str | None = None, /, **declared: Any) -> Any:
    return bound(description, Column(name), **declared)


def expression(description: str, sql: str, *arguments: StrawberryArgument, **declared: Any) -> Any:
    return bound(description, Expression(sql), arguments, **declared)


def embedded(description: str, when: str = "true", **declared: Any) -> Any:
    return bound(description, Embedded(when), **declared)


def one(description: str, where: str, *arguments: StrawberryArgument, order: str | None = None, **declared: Any) -> Any:
    return bound(description, One(where, order), arguments, **declared)


def many(description: str, where: str, order: str, **declared: Any) -> Any:
    return bound(description, Many(where, order), **declared)


def computed(
    description: str,
    inputs: Mapping[str, str],
    compute: Callable[..., Any],
    *arguments: StrawberryArgument,
    **declared: Any,
) -> Any:
    return bound(description, Computed(inputs, compute), arguments, **declared)


def payload(description: str, name: str | None = None) -> Any:
    """A plain value that the mutation returned, named like the field unless a name is given."""
    return bound(description, Payload(name))


# The longest names what 500 characters were searched for, and holds a name of 200, in base64.
CURSOR = Sought(5_000)
PAGING = (
    argument(
        "first",
        int | None,
        "The number of entries from the start of the list: 1 to 100. Default: 20.",
        default=strawberry.UNSET,
    ),
    argument("after", str | None, "Only entries after this cursor of the same list.", CURSOR, default=strawberry.UNSET),
    argument(
        "last",
        int | None,
        "The number of entries from the end of the list: 1 to 100. Cannot be combined with `first`.",
        default=strawberry.UNSET,
    ),
    argument(
        "before", str | None, "Only entries before this cursor of the same list.", CURSOR, default=strawberry.UNSET
    ),
)


PAGED = "Paginated with cursors."


def connection(description: str, where: str, order: Order, *arguments: StrawberryArgument, **declared: Any) -> Any:
    return bound(f"{description} {PAGED}", Paged(where, order), (*arguments, *PAGING), **declared)


def search(description: str, where: str, order: Order, *arguments: StrawberryArgument, **declared: Any) -> Any:
    return bound(f"{description} {PAGED}", Paged(where, order, search_versions), (*arguments, *PAGING), **declared)


def events(description: str, order: Order, *arguments: StrawberryArgument, **declared: Any) -> Any:
    return bound(f"{description} {PAGED}", Paged("true", order, audit_conditions), (*arguments, *PAGING), **declared)


def describe_enum(vocabulary: type[E], description: str, **meanings: str) -> None:
    """Make the vocabulary a GraphQL enum, with a description of each value."""
    strawberry.enum(vocabulary, description=description)
    definition: StrawberryEnumDefinition = vocabulary.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = meanings[value.name]


def required(description: str, limit: Limit | None = None, **options: Any) -> Any:
    """A field of an input, with the limit of its values. In an optional field null means the same as omitting it."""
    if limit is not None:
        description = f"{description} {limit.describe}".rstrip()
    return strawberry.field(description=description, metadata={LIMIT: limit}, **options)


def optional(description: str, limit: Limit | None = None, *, null: str | None = None) -> Any:
    """A field that may be omitted; `null` says what null does, where it does not mean the same."""
    if null is not None:
        description = f"{description} Null {null}."
    field = required(description, limit, default=strawberry.UNSET)
    field.metadata = {**field.metadata, NULL_MEANS: null}
    return field


def mutation(description: str, of: type, write: Callable[..., Any], *, needs: Need, has_secret: bool = False) -> Any:
    """A root field of Mutation: one input, one payload, written by one function.

    `needs` is the role that the caller must have. `has_secret` tells that the payload has a secret.
    """
    arguments = (argument("input", of, "The input of the mutation."),)
    return bound(description, Write(write, has_secret), arguments, needs=needs)
