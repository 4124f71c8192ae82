"""Lineages and the courses of metrics as SVG, over HTTP."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import quote
from xml.etree.ElementTree import fromstring

import httpx
import pytest
import pytest_asyncio

from resolvers.renderings import lineage_picture
from tests.conftest import Cluster, Registry
from tests.support.documents import CREATE_VERSION
from tests.support.filled import Filled

SVG = "{http://www.w3.org/2000/svg}"
ODD_NAMES = ["auc", "a/b", "a b", "ärger", "100%", "x?y#z", "..", "a.svg", "a/metrics/b.svg", "%2F", "<script>"]


async def get(registry: Registry, path: str, **headers: str) -> httpx.Response:
    given = {"Authorization": f"Bearer {registry.key}", "Accept": "image/svg+xml"} | headers
    return await registry.client.get(path, headers=given)


def texts(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [each.text or "" for each in fromstring(answer.text).iter(f"{SVG}text")]


def ids(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {id_ for each in fromstring(answer.text).iter() if (id_ := each.get("data-id"))}


def error(answer: httpx.Response) -> dict[str, Any]:
    (found,) = answer.json()["errors"]
    return {**found["extensions"], "message": found["message"], "status": answer.status_code}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def filled(registry: Registry, database: Cluster) -> Filled:
    return await Filled.opened(database, registry, "pictures")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def other(registry: Registry, database: Cluster) -> Filled:
    return await Filled.opened(database, registry, "neighbours")


class Line:
    """A model's line of three versions, by an experiment on one data set version."""

    def __init__(self, filled: Filled):
        self.filled = filled
        self.experiment, self.data = filled.experiment, filled.dataset_version

    async def make(self) -> "Line":
        self.model = await self.filled.new_model()
        base = {"projectId": self.filled.project, "modelId": self.model}
        self.versions = []
        for number in range(3):
            more = {"experimentId": self.experiment, "datasetVersionId": self.data, "bump": "MINOR"}
            new = {**base, **more, "metrics": dict.fromkeys(ODD_NAMES, 0.8 + number / 100)}
            made = await self.filled.own.ask(CREATE_VERSION, input=new if number else base | {"version": "1.0.0"})
            self.versions.append(made["createVersion"]["version"]["id"])
        return self


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def line(filled: Filled) -> Line:
    return await Line(filled).make()


# ---------------------------------------------------------------- what is drawn


async def test_the_lineage_of_versions_experiments_and_data_is_drawn(line: Line) -> None:
    own = line.filled.own
    of_version = ids(await get(own, f"/lineage/{line.versions[1]}.svg"))
    assert of_version >= {*line.versions, line.experiment, line.data}
    assert ids(await get(own, f"/lineage/{line.experiment}.svg")) >= {*line.versions[1:], line.experiment, line.data}
    assert ids(await get(own, f"/lineage/{line.data}.svg")) >= {*line.versions[1:], line.experiment, line.data}


async def test_direction_and_depth_bound_what_is_drawn(line: Line) -> None:
    own, (first, middle, last) = line.filled.own, line.versions
    upstream = ids(await get(own, f"/lineage/{middle}.svg?direction=UPSTREAM"))
    assert upstream >= {first, middle, line.data}
    assert last not in upstream
    assert ids(await get(own, f"/lineage/{middle}.svg?direction=DOWNSTREAM")) == {middle, last}
    near = await get(own, f"/lineage/{first}.svg?direction=DOWNSTREAM&depth=1")
    assert ids(near) == {first, middle}
    assert "Truncated: the lineage continues" in texts(near)


async def test_each_thing_says_where_its_lineage_is_drawn(line: Line) -> None:
    for id_, of in (
        (line.versions[0], "ModelVersion"),
        (line.experiment, "Experiment"),
        (line.data, "DatasetVersion"),
    ):
        query = f"query($id: ID!) {{ node(id: $id) {{ ... on {of} {{ lineageUrl lineage {{ truncated }} }} }} }}"
        node = (await line.filled.own.ask(query, id=id_))["node"]
        assert node == {"lineageUrl": f"/lineage/{id_}.svg", "lineage": {"truncated": False}}
        assert id_ in ids(await get(line.filled.own, node["lineageUrl"]))


@pytest.mark.parametrize("name", ODD_NAMES)
async def test_the_course_of_a_metric_is_drawn_where_the_model_says(line: Line, name: str) -> None:
    query = "query($id: ID!, $name: String!) { model(id: $id) { metricUrl(name: $name) } }"
    path = (await line.filled.own.ask(query, id=line.model, name=name))["model"]["metricUrl"]
    assert path == f"/models/{line.model}/metrics/{quote(name, safe='')}.svg"
    said = texts(await get(line.filled.own, path))
    assert said[0].startswith(f"{name} of ")
    # The first version has no metrics.
    assert [each for each in said if each in ("1.0.0", "1.1.0", "1.2.0")] == ["1.1.0", "1.2.0"]


async def test_a_metric_that_no_version_has_is_drawn_as_words(line: Line) -> None:
    said = texts(await get(line.filled.own, f"/models/{line.model}/metrics/nothing.svg"))
    assert said[1:] == ["No version has a value for this metric."]


async def test_a_picture_may_run_nothing_and_is_kept_by_nobody_else(line: Line) -> None:
    for path in (f"/lineage/{line.data}.svg", f"/models/{line.model}/metrics/auc.svg"):
        headers = (await get(line.filled.own, path)).headers
        assert headers["content-type"] == "image/svg+xml"
        assert headers["cache-control"] == "private, no-cache"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["content-security-policy"] == "default-src 'none'; style-src 'unsafe-inline'"


# ---------------------------------------------------------------- what is refused


def paths(line: Line) -> list[str]:
    of_things = [f"/lineage/{id_}.svg" for id_ in (line.versions[0], line.experiment, line.data)]
    return [*of_things, f"/models/{line.model}/metrics/auc.svg"]


async def test_without_a_key_there_is_no_picture(line: Line) -> None:
    for path in paths(line):
        assert (await line.filled.own.client.get(path)).status_code == 401
        wrong = await get(line.filled.own.with_key("lnl_wrong"), path)
        assert error(wrong)["code"] == "UNAUTHENTICATED"


async def test_what_another_tenant_has_is_as_if_it_were_not(line: Line, other: Filled) -> None:
    for path in paths(line):
        refusal = await get(other.own, path)
        assert (refusal.status_code, error(refusal)["code"]) == (404, "NOT_FOUND")
        assert refusal.headers["content-type"].startswith("application/json")
        nowhere = path.replace(".svg", "-not.svg") if "lineage" in path else path.replace("/metrics", "-not/metrics")
        absent = await get(other.own, nowhere)
        assert absent.text.replace("-not", "") == refusal.text
        viewer = await line.filled.person("VIEWER")
        assert (await get(viewer, path)).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/lineage/x.svg", "/lineage/ver_.svg", "/lineage/ver_%00.svg", "/lineage/proj_x.svg", "/models/x/metrics/a.svg"],
)
async def test_an_id_that_nothing_has_is_not_found(registry: Registry, path: str) -> None:
    assert error(await get(registry, path))["code"] == "NOT_FOUND"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("depth=0", 'depth is "0"; it must be a whole number between 1 and 100.'),
        ("depth=101", 'depth is "101"; it must be a whole number between 1 and 100.'),
        ("depth=1.5", 'depth is "1.5"; it must be a whole number between 1 and 100.'),
        ("depth=", 'depth is ""; it must be a whole number between 1 and 100.'),
        ("depth=%D9%A1", 'depth is "١"; it must be a whole number between 1 and 100.'),
        ("depth=99999999999", 'depth is "99999999999"; it must be a whole number between 1 and 100.'),
        ("direction=up", 'direction is "up"; it must be UPSTREAM, DOWNSTREAM or BOTH.'),
        ("direction=", 'direction is ""; it must be UPSTREAM, DOWNSTREAM or BOTH.'),
    ],
)
async def test_a_wrong_direction_or_depth_is_refused(line: Line, asked: str, sentence: str) -> None:
    refusal = error(await get(line.filled.own, f"/lineage/{line.data}.svg?{asked}"))
    field = asked.partition("=")[0]
    assert refusal == {"code": "BAD_USER_INPUT", "field": field, "message": sentence, "status": 400}


async def test_a_name_that_no_text_can_have_is_refused(line: Line) -> None:
    refusal = error(await get(line.filled.own, f"/models/{line.model}/metrics/a%00b.svg"))
    assert (refusal["status"], refusal["code"]) == (400, "BAD_USER_INPUT")


async def test_who_has_spent_all_is_told_when_to_come_again(
    line: Line, database: Cluster, make_registry: Callable[..., Any]
) -> None:
    narrow = await make_registry(database, rate_per_second=1, rate_burst=20_100)
    answers = [await get(narrow, f"/lineage/{line.data}.svg") for _ in range(30)]
    refusal = next(answer for answer in answers if answer.status_code != 200)
    assert (refusal.status_code, error(refusal)["code"]) == (429, "RATE_LIMITED")
    assert int(refusal.headers["retry-after"]) >= 1


async def test_only_reading_is_taken(line: Line) -> None:
    own = line.filled.own
    refusal = await own.client.post(paths(line)[0], headers={"Authorization": f"Bearer {own.key}"})
    assert (refusal.status_code, set(refusal.headers["allow"].split(", "))) == (405, {"GET", "HEAD"})


async def test_a_defect_of_the_drawing_is_masked(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> str:
        raise ValueError("a secret of the inside")

    monkeypatch.setattr(lineage_picture, "draw", fail)
    answer = await get(line.filled.own, f"/lineage/{line.data}.svg")
    assert (answer.status_code, error(answer)["code"]) == (500, "INTERNAL")
    assert "secret" not in answer.text


@pytest_asyncio.fixture
async def slow(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[threading.Event]:
    """A drawing that takes until this is set."""
    done = threading.Event()
    monkeypatch.setattr(lineage_picture, "draw", lambda *_: done.wait(10) and "<svg/>")
    yield done
    done.set()


async def test_others_are_answered_while_a_picture_is_drawn(line: Line, slow: threading.Event) -> None:
    drawing = asyncio.create_task(get(line.filled.own, f"/lineage/{line.data}.svg"))
    await asyncio.sleep(0.2)
    assert await line.filled.own.ask("{ viewer { kind } }")
    assert not drawing.done()
    slow.set()
    assert (await drawing).text == "<svg/>"


async def test_a_picture_that_takes_too_long_is_given_up(
    line: Line, slow: threading.Event, database: Cluster, make_registry: Callable[..., Any]
) -> None:
    hasty = await make_registry(database, request_timeout=0.3)
    answer = await get(hasty, f"/lineage/{line.data}.svg")
    assert (answer.status_code, error(answer)["code"]) == (503, "UNAVAILABLE")
