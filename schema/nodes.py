"""The interface of all objects, and the parts of all connections."""

from typing import ClassVar, Generic, TypeVar

import strawberry

from resolvers.reads.bindings import Column
from resolvers.rules.access import Need
from schema.fields import bound, column, expression

T = TypeVar("T")


@strawberry.interface(description="An object with an ID. IDs are unique in the whole registry and are never reused.")
class Node:
    id: strawberry.ID = column("The object's ID: readable text with a prefix for its type, such as `model_` or `ver_`.")


@strawberry.type(description="The position of a page in its list.")
class PageInfo:
    needs: ClassVar = Need.ANYONE

    has_next_page: bool = bound("Whether there are entries after this page.", Column())
    has_previous_page: bool = bound("Whether there are entries before this page.", Column())
    start_cursor: str | None = bound("The cursor of the page's first entry. Null if the page is empty.", Column())
    end_cursor: str | None = bound("The cursor of the page's last entry. Null if the page is empty.", Column())


@strawberry.type(description="An entry of a page with its cursor.")
class Edge(Generic[T]):
    needs: ClassVar = Need.ANYONE

    cursor: str = bound(
        "The entry's cursor, to pass as `after` or `before`. It is valid only for the same order of the list.", Column()
    )
    node: T = bound("The entry.", Column())


@strawberry.type(
    description="A page of a list. Pages use keyset pagination: entries are not repeated or skipped when the list"
    " changes."
)
class Connection(Generic[T]):
    needs: ClassVar = Need.ANYONE

    edges: list[Edge[T]] = bound("The page's entries with their cursors.", Column())
    nodes: list[T] = bound("The page's entries.", Column())
    page_info: PageInfo = bound("The position of the page in the list.", Column())
    total_count: int = expression(
        "The number of entries in the whole list. Computed only when selected.", "(SELECT count(*) FROM {t})"
    )
