"""What each field declares, as a table: the role that it needs, the size of its list and the weight of one value."""

from graphql import GraphQLObjectType, get_named_type, is_leaf_type

from resolvers.reads.declarations import gather_needs, size_of, weight_of
from schema import schema

HEADER = ("field", "needs", "size", "weight")


def access_table() -> str:
    """A line for each field of each type, in alphabetical order. Weights are points of cost."""
    rows = [HEADER, *sorted(_rows())]
    width = max(len(row[0]) for row in rows)
    lines = [f"{name:{width}}  {needs:11}  {size:>4}  {weight:>6}" for name, needs, size, weight in rows]
    return "\n".join(lines)


def _rows() -> list[tuple[str, str, str, str]]:
    graphql_schema = schema._schema  # noqa: SLF001 - Strawberry has no public name for it
    return [
        (f"{of}.{field}", need.value, *_cost(graphql_schema.type_map[of], field))  # type: ignore[arg-type]
        for (of, field), need in gather_needs(graphql_schema).items()
    ]


def _cost(of: GraphQLObjectType, name: str) -> tuple[str, str]:
    field = of.fields[name]
    weight = weight_of(field)
    usual = 0 if is_leaf_type(get_named_type(field.type)) else 1
    return str(size_of(field, of)), str(usual if weight is None else weight)
