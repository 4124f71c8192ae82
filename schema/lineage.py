from typing import Annotated, Any, ClassVar, Union

import strawberry

from resolvers.reads.bindings import Each
from resolvers.reads.declarations import WRITTEN
from resolvers.reads.lineage import DEFAULT_DEPTH, MAX_NODES, MERMAID_INPUTS, GraphNodes, Lineage
from resolvers.renderings.mermaid import draw
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import argument, bound, column, computed, expression

LineageNode = Annotated[
    Union[links.ModelVersion, links.Experiment, links.DatasetVersion, links.Deployment],  # noqa: UP007 - strawberry.union wants a Union
    strawberry.union("LineageNode", description="An object in a lineage graph."),
]


@strawberry.type(description="A relation between two nodes of a lineage graph.")
class LineageEdge:
    needs: ClassVar = Need.VIEWER

    from_: strawberry.ID = column("The ID of the derived object.", "from_id", name="from")
    to: strawberry.ID = column("The ID of the object that it came from.", "to_id")
    kind: enums.LineageEdgeKind = column("The kind of relation.")


@strawberry.type(description="A graph of what an object came from and what came from it.")
class LineageGraph:
    needs: ClassVar = Need.VIEWER

    nodes: list[LineageNode] = bound(
        "The objects in the graph, nearest first, including the starting object.", GraphNodes(), size=500
    )
    edges: list[LineageEdge] = bound(
        "The relations between the nodes.", Each("edge {c}", "{c}.from_id, {c}.kind, {c}.to_id"), size=500
    )
    truncated: bool = expression(
        "Whether the graph continues beyond the requested depth or the maximum number of nodes.",
        f"(SELECT beyond OR nodes > {MAX_NODES} FROM reached)",
    )
    mermaid: str = computed("The graph as a Mermaid flowchart.", MERMAID_INPUTS, draw, weight=WRITTEN)


def lineage_graph() -> Any:
    """A field that leads from an object to its lineage graph."""
    return bound(
        "The lineage of the object: what it came from, what came from it, or both. At most 500 nodes.",
        Lineage(),
        (
            argument(
                "direction",
                enums.LineageDirection | None,
                "The direction in which to follow lineage. Default: UPSTREAM.",
                default=enums.LineageDirection.UPSTREAM,
            ),
            argument(
                "depth",
                int | None,
                "The maximum distance from the object, in steps: 1 to 100. Default: 10.",
                default=DEFAULT_DEPTH,
            ),
        ),
    )


def lineage_picture() -> Any:
    return expression(
        "The path of an SVG drawing of the lineage. Request it with GET and an API key. Query parameters:"
        " `direction` (UPSTREAM, DOWNSTREAM or BOTH; default BOTH) and `depth` (1 to 100; default 10).",
        "'/lineage/' || {t}.id || '.svg'",
    )
