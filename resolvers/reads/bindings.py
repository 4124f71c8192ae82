"""The ways to bind a field. Each turns one selected field into an SQL expression on the current row.

In templates `{t}` is the row that the field belongs to, `{c}` the row that it leads to, and `{args[name]}` an argument,
always a bind parameter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson
from graphql import GraphQLObjectType, get_named_type, is_list_type, is_non_null_type, is_object_type

from resolvers.reads.arguments import Values
from resolvers.reads.compilation import TYPENAME, Compilation, Selected, bounded
from resolvers.reads.scopes import kept_in_project
from resolvers.reads.types import BoundType
from storage.sql import fill_sql


@dataclass(frozen=True)
class Column:
    """A column of the row, named like the field unless a name is given."""

    name: str | None = None

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        return compilation.counted(selected, f"{alias}.{self.name or of.python_names[selected.name]}")


@dataclass(frozen=True)
class Expression:
    """Any SQL expression on the row."""

    template: str

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        return compilation.counted(selected, compilation.template(self.template, selected, t=alias))


@dataclass(frozen=True)
class Embedded:
    """An object made of the row's own columns; null unless the condition holds."""

    when: str = "true"

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child = compilation.types[compilation.types.of(selected.definition).name]
        answer = compilation.object(child, selected, alias)
        return answer if self.when == "true" else f"CASE WHEN {fill_sql(self.when, t=alias)} THEN {answer} END"


@dataclass(frozen=True)
class One:
    """The row of another type that meets the condition, or null. With `order`, the first of several."""

    where: str
    order: str | None = None

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child, source, name = _child(compilation, of, selected, alias, self.where)
        first = f" ORDER BY {compilation.template(self.order, selected, c=name)} LIMIT 1" if self.order else ""
        item, rows = compilation.rows(child, selected, name, source + first)
        return f"(SELECT {item} FROM {rows})"


@dataclass(frozen=True)
class Many:
    """All rows of another type that meet the condition, in an order. For lists that are short by nature."""

    where: str
    order: str

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child, source, name = _child(compilation, of, selected, alias, self.where)
        return _all(compilation, child, selected, name, source, self.order)


@dataclass(frozen=True)
class Each:
    """All rows of `rows`, which it names {c}, in an order. They come from the query around the field, such as a CTE.

    `first` is the default and the maximum number of rows, for a field with that argument. `rows` may refer to it as
    {first}.
    """

    rows: str
    order: str
    first: tuple[int, int] | None = None

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child = compilation.types[compilation.types.of(selected.definition).name]
        name = compilation.alias("each")
        first = bounded(selected.arguments.values, "first", *self.first) if self.first else None
        source = compilation.template(self.rows, selected, t=alias, c=name, first=first)
        most = "" if first is None else f" LIMIT {first}"
        return _all(compilation, child, selected, name, source, self.order + most)


@dataclass(frozen=True)
class OnePerRow:
    """For each row of `rows`, in an order, the row of another type that meets the condition, or null."""

    rows: str
    where: str
    order: str

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child, source, name = _child(compilation, of, selected, alias, self.where)
        item, listed = compilation.rows(child, selected, name, source)
        rows = compilation.template(self.rows, selected, t=alias)
        return (
            f"(SELECT coalesce(json_agg((SELECT {item} FROM {listed}) ORDER BY {self.order}), '[]'::json) FROM {rows})"
        )


def _all(compilation: Compilation, child: BoundType, selected: Selected, name: str, source: str, order: str) -> str:
    # Ordered before the aggregate, not in it: an index may provide the order, so that nothing large is sorted.
    ordered = f"{source} ORDER BY {compilation.template(order, selected, c=name)}"
    # The length of a list without pages is not bounded.
    counting, compilation.counting = compilation.counting, True
    item, rows = compilation.rows(child, selected, name, ordered)
    compilation.counting = counting
    return f"(SELECT coalesce(json_agg({item}), '[]'::json) FROM {rows})"


def _child(
    compilation: Compilation, of: BoundType, selected: Selected, alias: str, where: str
) -> tuple[BoundType, str, str]:
    child = compilation.types[compilation.types.of(selected.definition).name]
    assert child.table is not None, f"{child.name} has no table"
    name = compilation.alias(child.table)
    condition = compilation.template(where, selected, t=alias, c=name)
    visible = "true" if kept_in_project(child.table, of.table, where) else compilation.visible(name, child.table)
    return child, f"{child.table} {name} WHERE {condition} AND {visible}", name


@dataclass(frozen=True)
class Computed:
    """A value that Python computes from expressions on the row, by name.

    For a field of an object type the function returns a mapping by field name.
    """

    inputs: Mapping[str, str]
    compute: Callable[..., Any]

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        project = projection(compilation, selected)
        inputs = {name: compilation.template(each, selected, t=alias) for name, each in self.inputs.items()}
        compilation.fill(selected, inputs, lambda **values: project(self.compute(**values)))
        return "NULL::json"


@dataclass(frozen=True)
class FromQuery:
    """An object that its own query returns as `{answer}`. Its fields are read from the row that `row` names.

    `read` derives more parameters from the arguments, `{read[name]}`. It raises a refusal for bad arguments.
    """

    template: str
    row: str
    read: Mapping[str, Callable[[Values], Any]] = field(default_factory=dict)

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        child = compilation.types[compilation.types.of(selected.definition).name]
        answer = compilation.object(child, selected, self.row)
        read = compilation.parameters_of(lambda name: selected.arguments.reader(self.read[name]))
        return compilation.template(self.template, selected, t=alias, answer=answer, read=read)


@dataclass(frozen=True)
class Payload:
    """A plain value that the mutation returned, named like the field unless a name is given."""

    name: str | None = None

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        name = self.name or of.python_names[selected.name]
        return (
            f"({compilation.parameter(lambda execution: orjson.dumps(execution.payload[name]).decode())}::text)::json"
        )


def projection(compilation: Compilation, selected: Selected) -> Callable[[Any], Any]:
    """A function that reduces a computed value to its selected fields. Leaves are returned unchanged."""
    of = get_named_type(selected.definition.type)
    if not is_object_type(of):
        return lambda value: value
    return _project_object(compilation, selected, of)


def _project_object(compilation: Compilation, selected: Selected, of: GraphQLObjectType) -> Callable[[Any], Any]:
    fields = [(each.key, each.name, projection(compilation, each)) for each in compilation.selection(selected, of)]

    def project(value: Any) -> Any:
        if value is None:
            return None
        return {key: of.name if name == TYPENAME else cut(value[name]) for key, name, cut in fields}

    kind = selected.definition.type
    kind = kind.of_type if is_non_null_type(kind) else kind
    return (lambda values: [project(value) for value in values]) if is_list_type(kind) else project
