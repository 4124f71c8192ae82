"""What all objects and all connections have in common."""

from typing import ClassVar, Generic, TypeVar

import strawberry

from resolvers.reads.bindings import Column
from resolvers.rules.access import Need
from schema.fields import bound, column, expression

T = TypeVar("T")


@strawberry.interface(
    description="Anything with an id of its own. Ids are unique in the whole registry and never reused."
)
class Node:
    id: strawberry.ID = column("Readable text that begins with the name of its type, such as `model_` or `ver_`.")


@strawberry.type(description="Where a page lies in its list.")
class PageInfo:
    needs: ClassVar = Need.ANYONE

    has_next_page: bool = bound("Whether more follows after this page.", Column())
    has_previous_page: bool = bound("Whether something precedes this page.", Column())
    start_cursor: str | None = bound("The cursor of the page's first entry; null on an empty page.", Column())
    end_cursor: str | None = bound("The cursor of the page's last entry; null on an empty page.", Column())


@strawberry.type(description="One entry of a page, with the cursor that stands for its place.")
class Edge(Generic[T]):
    needs: ClassVar = Need.ANYONE

    cursor: str = bound("Give it as `after` or `before` to page on from here. Valid for this order only.", Column())
    node: T = bound("The entry itself.", Column())


@strawberry.type(
    description="One page of a list. Pages are cut by key: entries neither repeat nor go missing meanwhile."
)
class Connection(Generic[T]):
    needs: ClassVar = Need.ANYONE

    edges: list[Edge[T]] = bound("The page's entries with their cursors.", Column())
    nodes: list[T] = bound("The page's entries.", Column())
    page_info: PageInfo = bound("Where the page lies.", Column())
    total_count: int = expression(
        "How many entries the whole list has. Counted only when selected.", "(SELECT count(*) FROM {t})"
    )
