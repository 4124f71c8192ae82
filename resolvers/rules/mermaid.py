"""A lineage graph as a Mermaid flowchart: from what something came, downwards to what came from it."""

from collections.abc import Sequence
from typing import TypedDict


class LineageNode(TypedDict):
    id: str
    label: str
    stage: str | None


class LineageEdge(TypedDict):
    from_id: str
    to_id: str
    kind: str


CLASSES = """  classDef DEVELOPMENT fill:#e8eef7,stroke:#5b7db1
  classDef STAGING fill:#fff4d6,stroke:#c79a1b
  classDef PRODUCTION fill:#dff3e3,stroke:#2e8b57,stroke-width:3px
  classDef ARCHIVED fill:#eeeeee,stroke:#999999,color:#666666
"""
SHAPES = {"ver": ("[", "]"), "exp": ("([", "])"), "dsv": ("[(", ")]")}


def draw(nodes: Sequence[LineageNode], edges: Sequence[LineageEdge]) -> str:
    """Nodes are numbered: ids may hold what Mermaid would read as its own."""
    number = {node["id"]: f"n{place}" for place, node in enumerate(nodes)}
    lines = ["flowchart TD"]
    for node in nodes:
        left, right = SHAPES[node["id"].split("_", 1)[0]]
        style = f":::{node['stage']}" if node["stage"] else ""
        lines.append(f'  {number[node["id"]]}{left}"{_escape(node["label"])}"{right}{style}')
    lines += [f"  {number[e['to_id']]} -->|{e['kind']}| {number[e['from_id']]}" for e in edges]
    return "\n".join(lines) + "\n" + CLASSES


def _escape(label: str) -> str:
    return "".join(c if c.isalnum() or c in " ._-" else f"#{ord(c)};" for c in label)
