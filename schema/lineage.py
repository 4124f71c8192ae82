from typing import Annotated, Any, ClassVar, Union

import strawberry

from resolvers.reads.bindings import Each
from resolvers.reads.declarations import WRITTEN
from resolvers.reads.lineage import DEFAULT_DEPTH, MAX_NODES, MERMAID_NEEDS, GraphNodes, Lineage
from resolvers.renderings.mermaid import draw
from resolvers.rules.access import Need
from schema import enums, links
from schema.fields import argument, bound, column, computed, expression

LineageNode = Annotated[
    Union[links.ModelVersion, links.Experiment, links.DatasetVersion, links.Deployment],  # noqa: UP007 - strawberry.union wants a Union
    strawberry.union("LineageNode", description="What a lineage graph connects."),
]


@strawberry.type(description="How two nodes of a lineage graph are connected.")
class LineageEdge:
    needs: ClassVar = Need.VIEWER

    from_: strawberry.ID = column("The id of the later thing.", "from_id", name="from")
    to: strawberry.ID = column("The id of what it came from.", "to_id")
    kind: enums.LineageEdgeKind = column("How they relate.")


@strawberry.type(description="What something came from and what came from it.")
class LineageGraph:
    needs: ClassVar = Need.VIEWER

    nodes: list[LineageNode] = bound(
        "What the graph connects, the nearest first, the start included.", GraphNodes(), size=500
    )
    edges: list[LineageEdge] = bound(
        "The connections between its nodes.", Each("edge {c}", "{c}.from_id, {c}.kind, {c}.to_id"), size=500
    )
    truncated: bool = expression(
        "Whether more lies beyond the depth asked for or the limit of nodes.",
        f"(SELECT beyond OR nodes > {MAX_NODES} FROM reached)",
    )
    mermaid: str = computed("The graph as a Mermaid flowchart.", MERMAID_NEEDS, draw, weight=WRITTEN)


def lineage_graph() -> Any:
    """What leads from a thing to the graph around it."""
    return bound(
        "What it came from, or what came from it, as a graph of at most 500 nodes.",
        Lineage(),
        (
            argument("direction", enums.LineageDirection | None, "Which way.", default=enums.LineageDirection.UPSTREAM),
            argument("depth", int | None, "How many steps away at most: 1 to 100.", default=DEFAULT_DEPTH),
        ),
    )


def lineage_picture() -> Any:
    return expression(
        "Where its lineage is drawn: the path of an SVG, which a GET with an API key answers. It takes `direction`"
        " (UPSTREAM, DOWNSTREAM or BOTH, by default BOTH) and `depth` (1 to 100, by default 10).",
        "'/lineage/' || {t}.id || '.svg'",
    )
