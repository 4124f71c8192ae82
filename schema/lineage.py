from typing import Annotated, Union

import strawberry

from resolvers.reads.lineage import MERMAID_NEEDS
from resolvers.rules.mermaid import draw
from schema import links, words
from schema.fields import column, computed

LineageNode = Annotated[
    Union[links.ModelVersion, links.Experiment, links.DatasetVersion],  # noqa: UP007 - strawberry.union wants a Union
    strawberry.union("LineageNode", description="What a lineage graph connects."),
]


@strawberry.type(description="How two nodes of a lineage graph are connected.")
class LineageEdge:
    from_: strawberry.ID = column("The id of the later thing.", "from_id", name="from")
    to: strawberry.ID = column("The id of what it came from.", "to_id")
    kind: words.LineageEdgeKind = column("How they relate.")


@strawberry.type(description="What something came from and what came from it.")
class LineageGraph:
    nodes: list[LineageNode] = column("What the graph connects, the nearest first, the start included.")
    edges: list[LineageEdge] = column("The connections between its nodes.")
    truncated: bool = column("Whether more lies beyond the depth asked for or the limit of nodes.")
    mermaid: str = computed("The graph as a Mermaid flowchart.", MERMAID_NEEDS, draw)
