"""A lineage graph as SVG. Arrows lead from upstream objects to downstream ones."""

import re
from collections.abc import Callable, Mapping, Sequence
from graphlib import TopologicalSorter
from typing import Any, NamedTuple
from xml.etree.ElementTree import Element

import graphlay

from resolvers.renderings.colours import STAGES, Look
from resolvers.renderings.svg import (
    AMBER,
    BLUE,
    GREY,
    INK,
    MARGIN,
    RED,
    TITLE,
    Attributes,
    Key,
    add,
    clean,
    cut,
    sheet,
    width_of,
)
from storage.vocabulary import LineageDirection, Stage

# The types that can be drawn, by the prefixes of their ids.
TYPES = {"ver": "ModelVersion", "exp": "Experiment", "dsv": "DatasetVersion", "dep": "Deployment"}
MOST_DRAWN, MOST_EDGES = 120, 300
WIDEST, NARROWEST, HEIGHT, RING = 250.0, 110.0, 48.0, 6.0
NAME, WORD = 13, 11  # sizes of a node's two lines
ROUND = 8  # how far before a corner an edge begins to turn

# The layout engine holds the interpreter's lock. Its best effort takes four times as long and saves few crossings.
EFFORT = "balanced"
LAYER_GAP, BESIDE_GAP, BELOW_GAP = 46.0, 26.0, 14.0
SPACING = {"layer_gap": LAYER_GAP, "dummy_gap": 16.0, "port_gap": 14.0, "stub": 14.0}
DOWNWARDS = {
    "direction": "topbottom",
    "effort": EFFORT,
    "spacing": SPACING | {"node_gap": BESIDE_GAP},
}
# If dozens of objects come from one, separate lines would merge into a grey area.
SIDEWAYS = {
    "direction": "leftright",
    "effort": EFFORT,
    "spacing": SPACING | {"node_gap": BELOW_GAP},
    "routing": {"merge_edges": "forks", "lane_gap": 2.0},
}

EXPERIMENT, DATA, DEPLOYMENT = Look("#f6f0fa", "#8a6bb0"), Look("#e9f5f7", "#3c8d99"), Look("#fdf6e6", "#b07a1e")
START = "#d60690"
# The colours of statuses that signal a problem.
WRONG = {"INVALID": RED, "DEPRECATED": AMBER, "FAILED": RED, "ROLLED_BACK": RED, "PAUSED": AMBER}

NOUNS = {"exp": "experiment", "dsv": "data", "dep": "deployment"}

CENTRED: Attributes = {"text_anchor": "middle"}


class Line(NamedTuple):
    """The look of edges of a kind, and the verb between their ends."""

    word: str
    colour: str
    dashes: str = "none"

    @property
    def stroke(self) -> Attributes:
        return {"stroke": self.colour, "stroke_width": 1.6, "stroke_dasharray": self.dashes}


LINES = {
    "DERIVED_FROM": Line("parent of", INK),
    "PRODUCED_BY": Line("produced", EXPERIMENT.stroke),
    "TRAINED_ON": Line("trained", BLUE, "7 4"),
    "VALIDATED_ON": Line("validated", BLUE, "2 4"),
    "TESTED_ON": Line("tested", BLUE, "9 3 2 3"),
    "DEPLOYED_AS": Line("deployed as", DEPLOYMENT.stroke),
}
TITLES = {
    LineageDirection.UPSTREAM: "Upstream lineage of {}",
    LineageDirection.DOWNSTREAM: "Downstream lineage of {}",
    LineageDirection.BOTH: "Lineage of {}",
}


class Node(NamedTuple):
    """An object to draw: its name, the suffix that is never cut off, and its stage or status."""

    id: str
    name: str
    number: str
    state: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> "Node":
        """The node from the API's response for one node of the graph."""
        if "stage" in answer:
            return cls(answer["id"], clean(answer["model"]["name"]), " " + answer["version"], answer["stage"])
        state = next(answer[name] for name in ("outcome", "quality", "progress") if name in answer)
        return cls(answer["id"], clean(answer["name"]), "", state)

    @property
    def kind(self) -> str:
        return self.id.partition("_")[0]

    @property
    def full(self) -> str:
        return self.name + self.number

    @property
    def place(self) -> tuple[int, ...]:
        return tuple(map(int, re.findall(r"\d+", self.number)))

    @property
    def look(self) -> Look:
        return STAGES.get(self.state) or {"exp": EXPERIMENT, "dsv": DATA, "dep": DEPLOYMENT}[self.kind]

    @property
    def label(self) -> str:
        return cut(self.name, WIDEST - 32, NAME, self.number)

    @property
    def word(self) -> str:
        if self.kind == "ver":
            return "★ PRODUCTION" if self.state == Stage.PRODUCTION else self.state.lower()
        state = self.state if self.state in WRONG else self.state.lower()
        return f"{NOUNS[self.kind]} · {state.replace('_', ' ')}"

    @property
    def width(self) -> float:
        return max(width_of(self.label, NAME) + 32, width_of(self.word, WORD) + 32, NARROWEST)


class Edge(NamedTuple):
    earlier: str
    later: str
    kind: str


def draw(graph: Mapping[str, Any], direction: LineageDirection) -> str:
    """The picture of a graph in the API's response: its nodes, the start first, then the nearest, and its edges."""
    nodes = [Node.of(answer) for answer in graph["nodes"][: _how_many(graph)]]
    start = nodes[0]
    # Nodes that stand side by side are easier to find in the order of name and number.
    nodes.sort(key=lambda node: (node.kind, node.name, node.place))
    drawn = {node.id for node in nodes}
    edges = [Edge(e["to"], e["from"], e["kind"]) for e in graph["edges"] if {e["to"], e["from"]} <= drawn]
    layout = _laid_out(nodes, edges, start)
    low, high = layout.bounds["min"], layout.bounds["max"]
    title = TITLES[direction].format(cut(start.name, 300, TITLE, start.number))
    mark = _mark(len(nodes), len(graph["nodes"]), graph["truncated"])
    page = sheet(
        high["x"] - low["x"], high["y"] - low["y"], title, _described(nodes, edges, mark), mark, _legend(nodes, edges)
    )
    _arrowheads(page.root, edges)
    picture = add(page.root, "g", transform=f"translate({MARGIN - low['x']:.1f} {page.y - low['y']:.1f})")
    for edge, route in zip(edges, layout.edges, strict=True):
        _draw_edge(picture, edge, [(point["x"], point["y"]) for point in route["points"]])
    for node, laid in zip(nodes, layout.nodes, strict=True):
        _draw_node(picture, node, laid["center"]["x"], laid["center"]["y"], is_start=node is start)
    return page.text()


def _laid_out(nodes: Sequence[Node], edges: Sequence[Edge], start: Node) -> graphlay.Layout:
    graph = graphlay.Graph()
    for place, node in enumerate(nodes):
        ring = 2 * RING if node is start else 0
        # If nothing else decides, the engine orders by the label.
        graph.node(node.id, label=f"{place:03}", width=node.width + ring, height=HEIGHT + ring)
    for edge in edges:
        graph.edge(edge.earlier, edge.later)
    return graphlay.layout(graph, options=SIDEWAYS if _is_wide(nodes, edges) else DOWNWARDS)


def _is_wide(nodes: Sequence[Node], edges: Sequence[Edge]) -> bool:
    """Whether so many nodes would stand side by side that the picture is shorter with them below each other."""
    sorter: TopologicalSorter[str] = TopologicalSorter({node.id: () for node in nodes})
    for edge in edges:
        sorter.add(edge.later, edge.earlier)
    sorter.prepare()
    sizes = []
    while sorter.is_active():
        ready = sorter.get_ready()
        sizes.append(len(ready))
        sorter.done(*ready)
    downwards = max(len(sizes) * (HEIGHT + LAYER_GAP), max(sizes) * (WIDEST + BESIDE_GAP))
    return downwards > max(len(sizes) * (WIDEST + LAYER_GAP), max(sizes) * (HEIGHT + BELOW_GAP))


def _how_many(graph: Mapping[str, Any]) -> int:
    """How many of the nearest nodes can be laid out quickly: a limited number, with a limited number of edges."""
    ids = [node["id"] for node in graph["nodes"][:MOST_DRAWN]]
    place = {id_: number for number, id_ in enumerate(ids)}
    later = (max(place[e["from"]], place[e["to"]]) for e in graph["edges"] if e["from"] in place and e["to"] in place)
    # An edge is drawn if both its ends are. The first edge over the limit decides where to stop.
    return next(iter(sorted(later)[MOST_EDGES : MOST_EDGES + 1]), len(ids))


def _mark(drawn: int, total: int, truncated: bool) -> str | None:
    beyond = "the lineage continues" if truncated else ""
    if total > drawn:
        return f"Truncated: {drawn} of {total} nodes shown{'; ' + beyond if beyond else ''}"
    return f"Truncated: {beyond}" if beyond else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _described(nodes: Sequence[Node], edges: Sequence[Edge], mark: str | None) -> str:
    """The picture in words, for readers who cannot see it."""
    sentences = [f"{_count(len(nodes), 'node')}, {_count(len(edges), 'connection')}."]
    for state, word in ((Stage.PRODUCTION, "In production"), ("INVALID", "Invalid"), ("FAILED", "Failed")):
        names = [node.full for node in nodes if node.state == state]
        sentences += [f"{word}: {', '.join(names)}."] if names else []
    return " ".join([*sentences, f"{mark}."] if mark else sentences)


# ---------------------------------------------------------------- nodes


def _draw_node(picture: Element, node: Node, x: float, y: float, *, is_start: bool) -> None:
    group = add(picture, "g", data_id=node.id, transform=f"translate({x:.1f} {y:.1f})")
    add(group, "title", f"{node.full}\n{node.word}\n{node.id}")
    look, wrong = node.look, WRONG.get(node.state)
    if is_start:
        _box(group, node.width + 2 * RING, HEIGHT + 2 * RING, {"fill": "none", "stroke": START, "stroke_width": 2.5})
    colours: Attributes = {
        "fill": look.fill,
        "stroke": wrong or look.stroke,
        "stroke_width": 2.5 if wrong else look.width + 0.2,
    }
    SHAPES[node.kind](group, node.width, HEIGHT, colours)
    marked = wrong or (look.stroke if node.state == Stage.PRODUCTION else None)
    down = HEIGHT / 12 if node.kind == "dsv" else 0  # under the lid
    add(group, "text", node.label, y=down - 3, font_size=NAME, font_weight=600, fill=look.text or INK, **CENTRED)
    weight = 700 if marked else 400
    add(group, "text", node.word, y=down + 13, font_size=WORD, font_weight=weight, fill=marked or GREY, **CENTRED)


def _box(parent: Element, wide: float, high: float, colours: Attributes) -> None:
    add(parent, "rect", x=-wide / 2, y=-high / 2, width=wide, height=high, rx=high / 6, **colours)


def _hexagon(parent: Element, wide: float, high: float, colours: Attributes) -> None:
    x, y, slant = wide / 2, high / 2, high / 4
    points = [(-x, 0), (slant - x, -y), (x - slant, -y), (x, 0), (x - slant, y), (slant - x, y)]
    add(parent, "polygon", points=" ".join(f"{a:.1f},{b:.1f}" for a, b in points), stroke_linejoin="round", **colours)


def _cylinder(parent: Element, wide: float, high: float, colours: Attributes) -> None:
    x, y, lid = wide / 2, high / 2, high / 8
    half = f"{x:.1f} {lid:.1f} 0 0"
    add(
        parent,
        "path",
        d=f"M{-x:.1f} {lid - y:.1f}A{half} 1 {x:.1f} {lid - y:.1f}V{y - lid:.1f}A{half} 1 {-x:.1f} {y - lid:.1f}Z"
        f"M{-x:.1f} {lid - y:.1f}A{half} 0 {x:.1f} {lid - y:.1f}",
        **colours,
    )


def _pill(parent: Element, wide: float, high: float, colours: Attributes) -> None:
    add(parent, "rect", x=-wide / 2, y=-high / 2, width=wide, height=high, rx=high / 2, **colours)


SHAPES: Mapping[str, Callable[[Element, float, float, Attributes], None]] = {
    "ver": _box,
    "exp": _hexagon,
    "dsv": _cylinder,
    "dep": _pill,
}

# ---------------------------------------------------------------- edges


def _draw_edge(picture: Element, edge: Edge, points: Sequence[tuple[float, float]]) -> None:
    line = LINES[edge.kind]
    drawn = add(picture, "path", d=_rounded(points), fill="none", marker_end=f"url(#to-{edge.kind})", **line.stroke)
    add(drawn, "title", f"{edge.earlier} {line.word} {edge.later}")


def _rounded(points: Sequence[tuple[float, float]]) -> str:
    """A path along the points that turns its corners in a curve."""
    path = [f"M{points[0][0]:.1f} {points[0][1]:.1f}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        (a, b), (x, y), (c, d) = _towards(corner, before), corner, _towards(corner, after)
        path.append(f"L{a:.1f} {b:.1f}Q{x:.1f} {y:.1f} {c:.1f} {d:.1f}")
    return "".join([*path, f"L{points[-1][0]:.1f} {points[-1][1]:.1f}"])


def _towards(corner: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The place where the line from another point begins to turn, at most half of the way before the corner."""
    dx, dy = other[0] - corner[0], other[1] - corner[1]
    share = min(0.5, ROUND / max(abs(dx) + abs(dy), 0.1))
    return corner[0] + dx * share, corner[1] + dy * share


def _arrowheads(root: Element, edges: Sequence[Edge]) -> None:
    shapes = add(root, "defs")
    for kind in sorted({edge.kind for edge in edges}):
        size: Attributes = {"viewBox": "0 0 8 8", "refX": 8, "refY": 4, "markerWidth": 8, "markerHeight": 8}
        head = add(shapes, "marker", id=f"to-{kind}", orient="auto", markerUnits="userSpaceOnUse", **size)
        add(head, "path", d="M0 0L8 4L0 8z", fill=LINES[kind].colour)


# ---------------------------------------------------------------- legend


def _legend(nodes: Sequence[Node], edges: Sequence[Edge]) -> list[Key]:
    """The legend, with entries only for what occurs in the picture."""
    stages, kinds, lines = {n.state for n in nodes}, {n.kind for n in nodes}, {edge.kind for edge in edges}
    keys = [Key("start", lambda root, x, y: _sample(root, x, y, "ver", Look("#ffffff", START, 2)))]
    keys += [Key(stage.lower(), _stage_sample(look)) for stage, look in STAGES.items() if stage in stages]
    others = {"exp": EXPERIMENT, "dsv": DATA, "dep": DEPLOYMENT}
    keys += [Key(NOUNS[kind], _kind_sample(kind, look)) for kind, look in others.items() if kind in kinds]
    return keys + [Key(line.word, _line_sample(line)) for kind, line in LINES.items() if kind in lines]


def _sample(root: Element, x: float, y: float, kind: str, look: Look) -> None:
    group = add(root, "g", transform=f"translate({x + 13:.1f} {y + 7:.1f})")
    SHAPES[kind](group, 26, 14, {"fill": look.fill, "stroke": look.stroke, "stroke_width": min(look.width, 2) + 0.2})


def _stage_sample(look: Look) -> Callable[[Element, float, float], None]:
    return lambda root, x, y: _sample(root, x, y, "ver", look)


def _kind_sample(kind: str, look: Look) -> Callable[[Element, float, float], None]:
    return lambda root, x, y: _sample(root, x, y, kind, look)


def _line_sample(line: Line) -> Callable[[Element, float, float], object]:
    def draw_line(root: Element, x: float, y: float) -> None:
        add(root, "path", d=f"M{x:.1f} {y + 7:.1f}h20", **line.stroke)
        add(root, "path", d=f"M{x + 19:.1f} {y + 3:.1f}l8 4l-8 4z", fill=line.colour)

    return draw_line
