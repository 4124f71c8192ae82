"""Keyset pagination in both directions. A cursor holds its order's name, and the row's key in that order and ID."""

import base64
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from resolvers.errors import BadUserInput
from resolvers.reads.arguments import Arguments, Values
from resolvers.reads.compilation import TYPENAME, Compilation, Selected, bounded, part_of
from resolvers.reads.declarations import DEFAULT_PAGE, MAX_PAGE
from resolvers.reads.objects import build_object, build_plain_object
from resolvers.reads.scopes import kept_in_project
from resolvers.reads.types import BoundType


@dataclass(frozen=True)
class Key:
    """A sort key of rows, before their ID: its expression, its type, and how to read it from a cursor's text.

    `read` raises ValueError for text that is not such a key.
    """

    expression: str
    type: str
    read: Callable[[str], Any]


def _number(value: str) -> list[int]:
    if not re.fullmatch(r"\{\d{1,9},\d{1,9},\d{1,9}\}", value, re.ASCII):
        raise ValueError(value)
    return [int(part) for part in value[1:-1].split(",")]


def moment(value: str) -> datetime:
    """A time with its zone, as it stands in a cursor."""
    read = datetime.fromisoformat(value)
    if read.tzinfo is None:
        raise ValueError(value)
    return read.astimezone(UTC)


def not_nan(value: str) -> float:
    """A metric, or an infinity for a missing one."""
    number = float(value)
    if math.isnan(number):
        raise ValueError(value)
    return number


CREATED_AT = Key("{c}.created_at", "timestamptz", moment)
NUMBER = Key("{c}.number", "int[]", _number)
NAME = Key("{c}.name", "text", str)


@dataclass(frozen=True)
class Order:
    """An order of rows. `by` is the path of an argument that distinguishes orders of the same name."""

    name: str
    key: Key
    descending: bool
    by: str | None = None

    @property
    def way(self) -> str:
        return f"{self.name}{'-' if self.descending else '+'}"

    def tag(self, now: Values) -> str:
        """The part of a cursor that identifies its order."""
        return self.way + (part_of(now, self.by) if self.by else "")


NEWEST_FIRST = Order("CREATED_AT", CREATED_AT, descending=True)
HIGHEST_FIRST = Order("VERSION", NUMBER, descending=True)
BY_NAME = Order("NAME", NAME, descending=False)


@dataclass(frozen=True)
class Page:
    """The requested part of a connection, validated: a limit, a direction and up to two borders.

    The limit is part of the statement's text. As a parameter, PostgreSQL would plan the statement at each execution.
    """

    backward: bool
    limit: int
    after: bool
    before: bool


def page(arguments: Arguments) -> Page:
    values = arguments.values
    if values.get("first") is not None and values.get("last") is not None:
        raise BadUserInput("last", "cannot be combined with first; a page has one direction.")
    backward = values.get("last") is not None
    return Page(
        backward,
        bounded(values, "last" if backward else "first", DEFAULT_PAGE, MAX_PAGE),
        after=values.get("after") is not None,
        before=values.get("before") is not None,
    )


def read_cursor(border: str, order: Order, now: Values) -> tuple[Any, str]:
    """The key and ID in a cursor, which must belong to a list in this order."""
    try:
        padded = now[border] + "=" * (-len(now[border]) % 4)
        tag, key, id_ = orjson.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        if tag == order.tag(now) and _is_text(key) and _is_text(id_):
            return order.key.read(key), id_
    except (ValueError, TypeError, OverflowError):
        pass
    raise BadUserInput(border, "is not a cursor of this list in this order; use one from its pageInfo or edges.")


def _is_text(value: Any) -> bool:
    """Whether it is text that can come from the database."""
    return isinstance(value, str) and "\0" not in value


@dataclass(frozen=True)
class Connection:
    """A page of another type's rows. `search` adds the conditions and the order from the field's arguments."""

    where: str
    order: Order
    search: Callable[[Compilation, Selected, str], tuple[list[str], Order | None]] | None = None

    def sql(self, compilation: Compilation, of: BoundType, selected: Selected, alias: str) -> str:
        return _Paged(self, compilation, of, selected, alias).sql()


class _Paged:
    """One connection being compiled.

    If `pageInfo` is selected, one additional row is read to find out whether there are more. `place` then numbers the
    rows from the border where reading began.
    """

    def __init__(self, connection: Connection, compilation: Compilation, of: BoundType, selected: Selected, alias: str):
        self.compilation, self.of, self.selected, self.alias = compilation, of, selected, alias
        graphql = compilation.types.of(selected.definition)
        self.type = compilation.types[graphql.name]
        self.child = compilation.types[compilation.types.of(self.type.graphql.fields["nodes"]).name]
        assert self.child.table is not None, f"{self.child.name} has no table"
        self.table = self.child.table
        self.name, self.row = compilation.alias(self.table), compilation.alias("page")
        self.page = page(selected.arguments)
        self.conditions, self.order = self._conditions(connection)
        self.key = compilation.template(self.order.key.expression, selected, c=self.name)
        self.limit = self.page.limit

    def _conditions(self, connection: Connection) -> tuple[list[str], Order]:
        order = connection.order
        conditions = [self.compilation.template(connection.where, self.selected, t=self.alias, c=self.name)]
        if connection.search:
            searched, asked = connection.search(self.compilation, self.selected, self.name)
            conditions += searched
            order = asked or order
        if not kept_in_project(self.table, self.of.table, connection.where):
            conditions.append(self.compilation.visible(self.name, self.table))
        return conditions, order

    def sql(self) -> str:
        fields = self.compilation.selection(self.selected, self.type.graphql)
        self.peeks = any(each.name == "pageInfo" for each in fields)
        if len(fields) == 1 and fields[0].name == "nodes":
            return self._only_nodes(fields[0])
        answer = build_plain_object(self.compilation.once(fields, self.selected.path, self._field))
        reads_rows = self.peeks or any(each.name in ("edges", "nodes") for each in fields)
        # One row for the whole page, whether or not the selected fields include an aggregate.
        return f"(SELECT {answer} FROM {self._rows()} HAVING true)" if reads_rows else f"(SELECT {answer})"

    def _only_nodes(self, nodes: Selected) -> str:
        """The usual selection, without reading whole rows first."""
        item, rows = self.compilation.rows(self.child, nodes, self.row, self._rows())
        answer = build_plain_object([(nodes.key, f"coalesce(json_agg({item}), '[]'::json)")])
        return f"(SELECT {answer} FROM {rows})"

    def _field(self, each: Selected) -> str:
        if each.name == TYPENAME:
            return f"'{self.type.name}'::text"
        if each.name == "pageInfo":
            return self._page_info(each)
        if each.name in ("edges", "nodes"):
            return self._list(self._node(each) if each.name == "nodes" else self._edge(each))
        # Fields of the whole list are read from all of its rows.
        return self.compilation.value(self.type, each, self._source())

    def _source(self, *more: str) -> str:
        return f"{self.table} {self.name} WHERE {' AND '.join([*self.conditions, *more])}"

    def _rows(self) -> str:
        borders = [self._border(name) for name in ("after", "before") if getattr(self.page, name)]
        way, back = ("DESC", "ASC") if self.order.descending is not self.page.backward else ("ASC", "DESC")
        rows = (
            f"SELECT {self.name}.*, {self.key} AS page_key FROM {self._source(*borders)}"
            f" ORDER BY {self.key} {way}, {self.name}.id {way} LIMIT {self.limit + self.peeks}"
        )
        if self.peeks:
            place = f"row_number() OVER (ORDER BY q.page_key {way}, q.id {way})"
            rows = f"SELECT q.*, {place} AS place FROM ({rows}) q"
        if self.page.backward:
            rows = f"SELECT b.* FROM ({rows}) b ORDER BY b.page_key {back}, b.id {back}"
        return f"({rows}) {self.row}"

    def _border(self, name: str, beyond: bool = False) -> str:
        """Rows on the page's side of a cursor. With `beyond`, the cursor's own row and those on the other side."""
        reader, order = self.selected.arguments.reader, self.order
        key = self.compilation.parameter(reader(lambda now: read_cursor(name, order, now)[0]))
        id_ = self.compilation.parameter(reader(lambda now: read_cursor(name, order, now)[1]))
        comes_later = (name == "after") is not order.descending
        way = (">" if comes_later else "<") if not beyond else ("<=" if comes_later else ">=")
        return f"({self.key}, {self.name}.id) {way} ({key}::{order.key.type}, {id_}::text)"

    def _list(self, item: str) -> str:
        # In the order of the rows, which is that of the page.
        return f"coalesce(json_agg({item}){self._within_page()}, '[]'::json)"

    def _within_page(self) -> str:
        return f" FILTER (WHERE {self.row}.place <= {self.limit})" if self.peeks else ""

    def _end(self, last: bool) -> str:
        way = "DESC" if self.page.backward is not last else "ASC"
        return f"(array_agg({self._cursor()} ORDER BY {self.row}.place {way}){self._within_page()})[1]"

    def _node(self, each: Selected) -> str:
        return self.compilation.object(self.child, each, self.row)

    def _edge(self, each: Selected) -> str:
        edge = self.compilation.types[self.compilation.types.of(self.type.graphql.fields["edges"]).name]
        answers: Mapping[str, Callable[[Selected], str]] = {
            TYPENAME: lambda _: f"'{edge.name}'::text",
            "cursor": lambda _: self._cursor(),
            "node": self._node,
        }
        fields = self.compilation.selection(each, edge.graphql)
        return build_object(self.compilation.once(fields, each.path, lambda field: answers[field.name](field)))

    def _cursor(self) -> str:
        by = f" || {{args[{self.order.by}]}}" if self.order.by else ""
        tag = self.compilation.template(f"'{self.order.way}'{by}", self.selected)
        parts = f"json_build_array({tag}, ({self.row}.page_key)::text, {self.row}.id)::text"
        # PostgreSQL breaks base64 into lines; cursors are URL-safe and unpadded.
        return f"translate(encode(convert_to({parts}, 'UTF8'), 'base64'), E'+/=\\n', '-_')"

    def _page_info(self, each: Selected) -> str:
        info = self.compilation.types[self.compilation.types.of(each.definition).name]
        more = f"count(*) > {self.limit}"
        answers: Mapping[str, Callable[[], str]] = {
            TYPENAME: lambda: f"'{info.name}'::text",
            "hasNextPage": lambda: self._beyond("before", "false" if self.page.backward else more),
            "hasPreviousPage": lambda: self._beyond("after", more if self.page.backward else "false"),
            "startCursor": lambda: self._end(last=False),
            "endCursor": lambda: self._end(last=True),
        }
        fields = self.compilation.selection(each, info.graphql)
        return build_plain_object([(field.key, answers[field.name]()) for field in fields])

    def _beyond(self, name: str, otherwise: str) -> str:
        """Whether there are rows beyond a border, or more rows where reading ended."""
        if not getattr(self.page, name):
            return otherwise
        return f"({otherwise} OR EXISTS (SELECT FROM {self._source(self._border(name, beyond=True))}))"
