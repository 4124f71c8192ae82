"""Impact on a large registry: what a plain search of the graph finds, by one statement."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from tests.conftest import Cluster
from tests.support.compared import Compared, compare, filled
from tests.support.generated_rows import Rows
from tests.support.oracle import Data, Row

GENERATIONS, MODELS, VERSIONS, DATA = 8, 50, 10_000, 60


def descent() -> Rows:
    """Versions in generations, each from one of the generation before, of whichever model; data derived from data."""
    rows = Rows(seed=20261125)
    rows.project("proj_descent", "Descent")
    data = [each for n in range(DATA // 5) for each in rows.dataset("proj_descent", f"data {n}", 5)]
    experiments = [rows.experiment("proj_descent", f"run {n}", data) for n in range(20)]
    for n in range(MODELS):
        rows.model("proj_descent", f"model {n}", VERSIONS // MODELS, [], data[::7], steps=2)
    versions = rows.tables["versions"]
    size = len(versions) // GENERATIONS
    for place, version in enumerate(versions):
        older = versions[(place // size - 1) * size : place // size * size] if place >= size else []
        version["parent_id"] = rows.random.choice(older)["id"] if older and rows.random.random() < 0.95 else None
        version["experiment_id"] = rows.maybe(experiments, 0.01)
    return rows


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def descent_database(make_database: Callable[[], Any]) -> Cluster:
    return await filled(make_database, descent())


@pytest.fixture(scope="module")
def large(descent_database: Cluster) -> Iterator[Compared]:
    yield from compare(descent_database)


def grouped(rows: Any, by: str) -> dict[str, list[Row]]:
    found = defaultdict(list)
    for row in rows:
        found[row[by]].append(row)
    return found


class Graph:
    """The registry as lists of neighbours."""

    def __init__(self, data: Data):
        self.versions = data.tables["versions"]
        self.children = grouped(self.versions, "parent_id")
        self.derived = grouped(data.tables["dataset_parents"], "parent_id")
        training = (use for use in data.tables["dataset_uses"] if use["role"] == "TRAINING")
        self.trained = grouped(training, "dataset_version_id")
        self.produced = grouped(self.versions, "experiment_id")

    def affected(self, start: str) -> set[str]:
        """All versions that can be reached at all, by whatever way."""
        found: set[str] = set()
        waiting = [start]
        seen = {start}
        while waiting:
            id_ = waiting.pop()
            versions = [row["id"] for row in [*self.children[id_], *self.produced[id_]]]
            versions += [use["version_id"] for use in self.trained[id_]]
            found |= set(versions)
            next_ = {*versions, *(link["dataset_version_id"] for link in self.derived[id_])} - seen
            seen |= next_
            waiting += next_
        return found

    def leads(self, via: list[str]) -> bool:
        """Whether each step of a path is one of the graph's."""

        def follows(before: str, after: str) -> bool:
            steps = [row["id"] for row in [*self.children[before], *self.produced[before]]]
            steps += [use["version_id"] for use in self.trained[before]]
            return after in [*steps, *(link["dataset_version_id"] for link in self.derived[before])]

        return all(follows(*step) for step in pairwise(via))


IMPACT = """query($id: ID!, $after: String) { node(id: $id) {
    ... on DatasetVersion { impact { ...F } }
    ... on ModelVersion { impact { ...F } }
    ... on Experiment { impact { ...F } }
} }
fragment F on Impact {
    versions(first: 100, after: $after) { totalCount nodes { id } pageInfo { hasNextPage endCursor } }
    production { id } models { id } paths(first: 1000) { version { id } via }
}"""


def test_it_reaches_what_a_plain_search_of_the_graph_reaches(large: Compared) -> None:
    data = large.oracle.data
    assert len(data.tables["versions"]) == VERSIONS
    graph = Graph(data)
    most = max(data.tables["dataset_versions"], key=lambda row: len(graph.affected(row["id"])))
    starts = [most, *data.tables["dataset_versions"][::9], *graph.versions[:5], *graph.versions[-2:]]
    starts += data.tables["experiments"][:3]
    by_id = {version["id"]: version for version in graph.versions}
    reached = []
    for start in starts:
        expected = graph.affected(start["id"])
        large.statements.clear()
        impact = large.compiled(IMPACT, {"id": start["id"]})["data"]["node"]["impact"]
        assert len(large.statements) == 1
        assert impact["versions"]["totalCount"] == len(expected)
        assert {row["id"] for row in impact["production"]} == {
            id_ for id_ in expected if by_id[id_]["stage"] == "PRODUCTION"
        }
        assert {row["id"] for row in impact["models"]} == {by_id[id_]["model_id"] for id_ in expected}
        assert len(impact["paths"]) == min(len(expected), 1000)
        for path in impact["paths"]:
            assert (path["via"][0], path["via"][-1]) == (start["id"], path["version"]["id"])
            assert graph.leads(path["via"])
        reached.append(len(expected))
    assert max(reached) > VERSIONS / 3
    assert 0 in reached


GATES = """query($ids: [ID!]!) { nodes(ids: $ids) {
    id ... on ModelVersion { promotion(targetStage: PRODUCTION) { gates { name reason } } } } }"""


def test_the_gate_of_a_promotion_names_the_invalid_data_whose_impact_reaches_the_version(large: Compared) -> None:
    data = large.oracle.data
    graph = Graph(data)
    invalid = [row["id"] for row in data.tables["dataset_versions"] if row["status"] == "INVALID"]
    reached = {id_: graph.affected(id_) for id_ in invalid}
    # In other roles than TRAINING a version's own data count too, and what they were derived from.
    uses = grouped(data.tables["dataset_uses"], "dataset_version_id")
    for id_ in invalid:
        derived = {id_}
        while more := {link["dataset_version_id"] for each in derived for link in graph.derived[each]} - derived:
            derived |= more
        reached[id_] |= {use["version_id"] for each in derived for use in uses[each]}
    versions, named = graph.versions[:: VERSIONS // 90], 0
    for start in range(0, len(versions), 30):
        answer = large.compiled(GATES, {"ids": [version["id"] for version in versions[start : start + 30]]})
        for node in answer["data"]["nodes"]:
            (reason,) = [gate["reason"] for gate in node["promotion"]["gates"] if gate["name"] == "data"]
            expected = sorted(id_ for id_ in invalid if node["id"] in reached[id_])
            assert expected == sorted(set(re.findall(r"dsv_[\w.-]*\w", reason))), node["id"]
            named += bool(expected)
    assert named > 10


def test_its_pages_hold_each_version_once(large: Compared) -> None:
    graph = Graph(large.oracle.data)
    start = max(large.oracle.data.tables["dataset_versions"], key=lambda row: len(graph.affected(row["id"])))["id"]
    found: list[str] = []
    after = None
    while True:
        page = large.compiled(IMPACT, {"id": start, "after": after})["data"]["node"]["impact"]["versions"]
        found += [row["id"] for row in page["nodes"]]
        after = page["pageInfo"]["endCursor"]
        if not page["pageInfo"]["hasNextPage"]:
            break
    assert len(found) == len(set(found))
    assert set(found) == graph.affected(start)
