import random
import re
import time
from itertools import combinations
from typing import Any
from xml.etree.ElementTree import Element, fromstring

import pytest

from resolvers.renderings.lineage_picture import HEIGHT, MOST_DRAWN, MOST_EDGES, draw
from storage.vocabulary import LineageDirection

BOTH = LineageDirection.BOTH
SVG = "{http://www.w3.org/2000/svg}"
Graph = dict[str, Any]


def version(id_: str, number: str = "1.0.0", stage: str = "DEVELOPMENT", name: str = "Churn") -> Graph:
    return {"id": f"ver_{id_}", "model": {"name": name}, "version": number, "stage": stage}


def experiment(id_: str, name: str = "Retraining", outcome: str = "COMPLETED") -> Graph:
    return {"id": f"exp_{id_}", "name": name, "outcome": outcome}


def data(id_: str, name: str = "Orders", quality: str = "ACTIVE") -> Graph:
    return {"id": f"dsv_{id_}", "name": name, "quality": quality}


def edge(later: str, kind: str, earlier: str) -> dict[str, str]:
    return {"from": later, "to": earlier, "kind": kind}


def graph(*nodes: Graph, edges: list[dict[str, str]] = [], truncated: bool = False) -> Graph:
    return {"nodes": list(nodes), "edges": edges, "truncated": truncated}


def generated(size: int, seed: int = 1) -> Graph:
    """A model's line with branches, each version by an experiment, on data that is renewed now and then."""
    chance = random.Random(seed)
    nodes: list[Graph] = [data("0", "Subscriptions Q1")]
    edges: list[dict[str, str]] = []
    versions: list[str] = []
    latest, place = "dsv_0", 0
    while len(nodes) < size:
        place += 1
        if chance.random() < 0.3:
            nodes.append(
                data(str(place), f"Subscriptions Q{place}", chance.choice(["ACTIVE", "INVALID", "DEPRECATED"]))
            )
            edges.append(edge(f"dsv_{place}", "DERIVED_FROM", latest))
            latest = f"dsv_{place}"
        nodes.append(experiment(str(place), f"Retraining {place} with usage features of all customers"))
        edges.append(edge(f"exp_{place}", "TRAINED_ON", latest))
        nodes.append(version(str(place), f"1.{place}.0", chance.choice(["DEVELOPMENT", "STAGING", "ARCHIVED"])))
        edges += [edge(f"ver_{place}", "PRODUCED_BY", f"exp_{place}"), edge(f"ver_{place}", "TRAINED_ON", latest)]
        edges += [edge(f"ver_{place}", "DERIVED_FROM", chance.choice(versions[-4:]))] if versions else []
        versions.append(f"ver_{place}")
    drawn = {node["id"] for node in nodes[:size]}
    kept = [each for each in edges if {each["from"], each["to"]} <= drawn]
    return graph(*nodes[:size][::-1], edges=kept)


def fan(size: int) -> Graph:
    """Data that very many versions were trained on."""
    versions = [version(str(n), f"1.{n}.0") for n in range(size - 1)]
    return graph(data("a"), *versions, edges=[edge(each["id"], "TRAINED_ON", "dsv_a") for each in versions])


def nodes_of(drawn: str) -> dict[str, Element]:
    return {id_: each for each in fromstring(drawn).iter(f"{SVG}g") if (id_ := each.get("data-id"))}


def texts_of(element: Element) -> list[str]:
    return [each.text or "" for each in element.iter(f"{SVG}text")]


def box_of(node: Element) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a node's outermost shape."""
    x, y = map(float, re.findall(r"-?[\d.]+", node.get("transform", "")))
    half, high = 0.0, HEIGHT
    for shape in node:
        wide, tall = shape.get("width"), shape.get("height")
        if wide and tall:
            half, high = max(half, float(wide) / 2), max(high, float(tall))
        edges = re.findall(r"-?[\d.]+", shape.get("points", "") + shape.get("d", ""))
        half = max([half, *(-float(edges[0]) for _ in edges[:1])])
    assert half > 0
    return x - half, y - high / 2, x + half, y + high / 2


@pytest.mark.parametrize(
    "drawn_graph",
    [*(generated(size, seed) for size in (3, 50, 120) for seed in (1, 2, 3)), fan(20), fan(120)],
    ids=lambda each: f"{len(each['nodes'])}",
)
def test_all_is_drawn_and_nothing_overlaps(drawn_graph: Graph) -> None:
    drawn = draw(drawn_graph, BOTH)
    nodes = nodes_of(drawn)
    assert nodes.keys() == {node["id"] for node in drawn_graph["nodes"]}
    boxes = [box_of(node) for node in nodes.values()]
    for (left, top, right, bottom), (left2, top2, right2, bottom2) in combinations(boxes, 2):
        assert right < left2 or right2 < left or bottom < top2 or bottom2 < top
    root = fromstring(drawn)
    routes = [each for each in root.iter(f"{SVG}path") if each.get("marker-end")]
    assert len(routes) == len(drawn_graph["edges"])
    # Within the page, as moved by the picture's own group.
    shift = re.findall(
        r"-?[\d.]+", next(each for each in root if each.tag == f"{SVG}g" and len(each) > 2).get("transform", "")
    )
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for left, top, right, bottom in boxes:
        assert 0 < left + float(shift[0]) < right + float(shift[0]) < width
        assert 0 < top + float(shift[1]) < bottom + float(shift[1]) < height


def test_edges_lead_from_what_something_came_from_to_the_later_thing() -> None:
    drawn = draw(graph(version("b"), data("a"), edges=[edge("ver_b", "TRAINED_ON", "dsv_a")]), BOTH)
    assert "<title>dsv_a trained ver_b</title>" in drawn
    (route,) = [each for each in fromstring(drawn).iter(f"{SVG}path") if each.get("marker-end")]
    ys = [float(y) for y in re.findall(r"-?[\d.]+ (-?[\d.]+)", route.get("d", ""))]
    boxes = {id_: box_of(node) for id_, node in nodes_of(drawn).items()}
    assert ys[0] == pytest.approx(boxes["dsv_a"][3], abs=0.2)
    assert ys[-1] == pytest.approx(boxes["ver_b"][1], abs=0.2)


def test_production_says_so_and_so_does_what_is_wrong() -> None:
    nodes = nodes_of(
        draw(
            graph(
                version("p", stage="PRODUCTION"),
                version("d"),
                data("bad", quality="INVALID"),
                data("old", quality="DEPRECATED"),
                experiment("x", outcome="FAILED"),
            ),
            BOTH,
        )
    )
    said = {id_: texts_of(node)[1] for id_, node in nodes.items()}
    assert said == {
        "ver_p": "★ PRODUCTION",
        "ver_d": "development",
        "dsv_bad": "data · INVALID",
        "dsv_old": "data · DEPRECATED",
        "exp_x": "experiment · FAILED",
    }
    borders = {id_: [shape.get("stroke-width") for shape in node if shape.get("stroke")] for id_, node in nodes.items()}
    assert borders["ver_p"][-1] == "3.2"
    assert borders["ver_d"] == ["1.2"]


def test_the_legend_has_only_what_occurs() -> None:
    legend = texts_of(fromstring(draw(graph(version("a", stage="STAGING")), BOTH)))
    assert legend == ["Lineage of Churn 1.0.0", "start", "staging", "Churn 1.0.0", "staging"]


@pytest.mark.parametrize(
    ("direction", "title"),
    [
        (LineageDirection.UPSTREAM, "Upstream lineage of Orders"),
        (LineageDirection.DOWNSTREAM, "Downstream lineage of Orders"),
        (BOTH, "Lineage of Orders"),
    ],
)
def test_the_title_says_what_is_shown(direction: LineageDirection, title: str) -> None:
    root = fromstring(draw(graph(data("a")), direction))
    assert root.get("role") == "img"
    assert root[0].text == title


def test_the_words_for_who_cannot_see_it_name_what_matters() -> None:
    nodes = [version("b", "2.0.0", "PRODUCTION"), data("a", quality="INVALID")]
    said = fromstring(draw(graph(*nodes, edges=[edge("ver_b", "TRAINED_ON", "dsv_a")], truncated=True), BOTH))[1].text
    assert said == (
        "2 nodes, 1 connection. In production: Churn 2.0.0. Invalid: Orders. Truncated: the lineage continues."
    )


def test_beyond_so_many_connections_the_nearest_are_drawn_and_the_picture_says_so() -> None:
    versions = [version(f"ver_{n}", f"1.0.{n}") for n in range(40)]
    used = [data(f"dsv_{n}") for n in range(50)]
    edges = [edge(each["id"], "TRAINED_ON", other["id"]) for each in versions for other in used]
    drawn = draw(graph(*versions, *used, edges=edges), LineageDirection.BOTH)
    shown = nodes_of(drawn).keys()
    assert len([each for each in edges if {each["from"], each["to"]} <= shown]) <= MOST_EDGES
    assert len(shown) >= 40
    assert f"Truncated: {len(shown)} of 90 nodes shown" in drawn


def test_beyond_so_many_the_nearest_are_drawn_and_the_picture_says_so() -> None:
    drawn_graph = fan(300)
    drawn = draw(drawn_graph, BOTH)
    assert nodes_of(drawn).keys() == {node["id"] for node in drawn_graph["nodes"][:MOST_DRAWN]}
    assert "Truncated: 120 of 300 nodes shown" in texts_of(fromstring(drawn))
    assert "Truncated: 120 of 300 nodes shown; the lineage continues" in texts_of(
        fromstring(draw(drawn_graph | {"truncated": True}, BOTH))
    )
    assert "Truncated" not in draw(fan(120), BOTH)


@pytest.mark.parametrize("hostile", ["</svg><script>alert(1)</script>", "a\0b\x1b[31m\ufffe", "\u202egnp", "&amp;", ""])
def test_names_stay_text(hostile: str) -> None:
    nodes = [version("a", name=hostile), experiment("b", hostile), data("c", hostile)]
    drawn = draw(graph(*nodes), BOTH)
    root = fromstring(drawn)
    assert {each.tag for each in root.iter()} <= {
        f"{SVG}{tag}" for tag in ("svg", "title", "desc", "rect", "text", "defs", "g", "polygon", "path")
    }
    assert nodes_of(drawn).keys() == {"ver_a", "exp_b", "dsv_c"}


def test_a_long_name_is_cut_but_not_its_number_and_the_whole_stands_in_the_tooltip() -> None:
    long = "Demand forecast for every store in every country " * 3
    node = nodes_of(draw(graph(version("a", "12.0.3", name=long)), BOTH))["ver_a"]
    assert texts_of(node)[0].endswith("… 12.0.3")
    assert (node[0].text or "").startswith(f"{long} 12.0.3\n")
    left, _, right, _ = box_of(node)
    assert right - left <= 270


def test_things_side_by_side_are_in_the_order_of_their_numbers() -> None:
    nodes = nodes_of(draw(fan(30), BOTH))
    places = [box_of(nodes[f"ver_{n}"])[1] for n in range(29)]
    assert places == sorted(places)


@pytest.mark.parametrize("drawn_graph", [generated(120), fan(120)], ids=["line", "fan"])
def test_the_largest_picture_is_drawn_soon(drawn_graph: Graph) -> None:
    started = time.process_time()
    draw(drawn_graph, BOTH)
    assert time.process_time() - started < 1
