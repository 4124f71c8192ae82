"""The table of who may read and do what, as the schema's fields declare it."""

from collections.abc import Iterator

from graphql import GraphQLSchema
from strawberry import Schema

from resolvers.reads.types import gather_needs, size_of, weight_of

HEADER = "# Printed by `lineal schema --access`: field, what its caller needs, size of a list, weight in points."


def access_table(schema: Schema) -> str:
    """One line a field, in the order of the schema; `-` where a field declares no size or weight of its own."""
    return "\n".join([HEADER, *_lines(schema._schema)])  # noqa: SLF001 - Strawberry has no public name for it


def _lines(schema: GraphQLSchema) -> Iterator[str]:
    for (of, name), need in sorted(gather_needs(schema).items()):
        field = schema.type_map[of].fields[name]  # type: ignore[attr-defined]
        size, weight = (declared if declared is not None else "-" for declared in (size_of(field), weight_of(field)))
        yield f"{of}.{name} {need} {size} {weight}"
