"""A lineage graph as a Mermaid flowchart, with upstream objects above downstream ones."""

from collections.abc import Sequence
from typing import TypedDict

from resolvers.renderings.colours import STAGES, Look


class LineageNode(TypedDict):
    id: str
    label: str
    stage: str | None


class LineageEdge(TypedDict):
    from_id: str
    to_id: str
    kind: str


def _style(look: Look) -> str:
    width = f",stroke-width:{look.width}px" if look.width > 1 else ""
    text = f",color:{look.text}" if look.text else ""
    return f"fill:{look.fill},stroke:{look.stroke}{width}{text}"


CLASSES = "".join(f"  classDef {stage} {_style(look)}\n" for stage, look in STAGES.items())
SHAPES = {"ver": ("[", "]"), "exp": ("([", "])"), "dsv": ("[(", ")]"), "dep": ("{{", "}}")}


def draw(nodes: Sequence[LineageNode], edges: Sequence[LineageEdge]) -> str:
    """Draw the graph. Nodes are numbered, because ids can contain Mermaid's syntax."""
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
