"""Searching versions: every combination of conditions, words kept with every write, pages while others register."""

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import combinations
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from storage.vocabulary import Stage
from tests.conftest import Cluster, Registry
from tests.support import oracle_knowledge
from tests.support.compared import Compared, compare, filled
from tests.support.documents import ADD_TAGS, CREATE_VERSION, REMOVE_TAGS
from tests.support.generated_rows import registry_rows
from tests.support.live import at_full_length
from tests.support.oracle import Data, Row

# ---------------------------------------------------------------- every combination of conditions


def fitting(data: Data, version: Row, chance: Random) -> dict[str, Any]:
    """Every condition of a filter, such that the version meets it; one in twenty is another version's."""

    def of_some() -> Row:
        return chance.choice(data.tables["versions"]) if chance.random() < 0.05 else version

    def tags() -> list[str]:
        found = [row["tag"] for row in data.all("tags", version_id=of_some()["id"])]
        return chance.sample(found, min(len(found), 2))

    def metrics() -> list[Row]:
        found = data.all("metrics", version_id=of_some()["id"])
        bounds: list[Row] = [{}, {"min": -1e6}, {"max": 1e6}]
        return [{"name": m["name"], **chance.choice([*bounds, {"min": m["value"]}])} for m in found[:2]]

    def trained_on() -> str | None:
        uses = data.all("dataset_uses", version_id=of_some()["id"], role="TRAINING")
        return chance.choice(uses)["dataset_version_id"] if uses else None

    def words() -> str | None:
        texts = [text for text in oracle_knowledge.texts_of(data, of_some()) if text]
        found = oracle_knowledge.words(chance.choice(texts))
        return " ".join(chance.sample(found, min(len(found), 2))) or None

    return {
        "query": words(),
        "projectId": of_some()["project_id"],
        "modelId": of_some()["model_id"],
        "stage": [of_some()["stage"], chance.choice(list(Stage)).value],
        "tags": tags(),
        "anyTag": [*tags(), "none"],
        "metrics": metrics(),
        "algorithm": of_some()["algorithm"],
        "experimentId": of_some()["experiment_id"],
        "datasetVersionId": trained_on(),
        "createdAfter": (of_some()["created_at"] - timedelta(days=chance.choice([0, 1]))).isoformat(),
        "createdBefore": (of_some()["created_at"] + timedelta(days=1)).isoformat(),
    }


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=[1, 2, 3])
async def generated_database(request: pytest.FixtureRequest, make_database: Callable[[], Any]) -> Cluster:
    return await filled(make_database, registry_rows(request.param))


@pytest.fixture(scope="module")
def generated(generated_database: Cluster) -> Iterator[Compared]:
    yield from compare(generated_database)


SEARCH = """query($filter: VersionFilter, $order: VersionOrder, $first: Int!) {
    searchVersions(filter: $filter, orderBy: $order, first: $first) {
        totalCount nodes { id } pageInfo { hasNextPage }
        facets { stages { stage count } tags { tag count } algorithms(first: 3) { algorithm count } } } }"""


@pytest.mark.long
def test_every_combination_of_conditions_agrees_with_a_scan(generated: Compared, pytestconfig: pytest.Config) -> None:
    """4,096 subsets of the twelve conditions at full length, each beside an order; a part of them in the suite."""
    data = generated.oracle.data
    chance = Random(4)
    names = list(fitting(data, data.tables["versions"][0], chance))
    subsets = [subset for size in range(len(names) + 1) for subset in combinations(names, size)]
    if not at_full_length(pytestconfig):
        subsets = [*subsets[: len(names) + 1], *chance.sample(subsets, 250)]
    found = 0
    for subset in subsets:
        conditions = fitting(data, chance.choice(data.tables["versions"]), chance)
        asked = {name: conditions[name] for name in subset}
        orders = [None, {"by": "CREATED_AT"}, {"by": "VERSION", "direction": "ASC"}, {"by": "METRIC", "metric": "auc"}]
        if asked.get("query") is not None:
            orders.append({"by": "RELEVANCE", "direction": "ASC"})
        variables = {"filter": asked, "order": chance.choice(orders), "first": chance.choice([1, 3, 100])}
        answer = generated.check(SEARCH, variables)
        found += answer["data"]["searchVersions"]["totalCount"] > 0
    assert found > len(subsets) / 2
    print(f"{len(subsets)} combinations of conditions, {found} of them with answers")


# ---------------------------------------------------------------- words are kept with every write

UPDATE = "mutation($input: UpdateVersionInput!) { updateVersion(input: $input) { version { id } } }"
CARD = "mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { version { id } } }"
STEP = "mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { id } } }"
BEGUN = "mutation($input: CreateExperimentInput!) { createExperiment(input: $input) { experiment { id } } }"
ENDED = "mutation($input: CompleteExperimentInput!) { completeExperiment(input: $input) { versions { id } } }"
MODEL = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { id } } }"
FOUND = """query($words: String!, $project: ID!) {
    searchVersions(filter: {query: $words, projectId: $project}) { nodes { version } } }"""


async def test_words_are_found_as_soon_as_they_are_written_and_until_they_are_taken_away(
    registry: Registry, project: str
) -> None:
    async def found(words: str) -> list[str]:
        nodes = (await registry.ask(FOUND, words=words, project=project))["searchVersions"]["nodes"]
        return sorted(node["version"] for node in nodes)

    model = f"model_{project[5:]}"
    of_model = {"id": model, "projectId": project, "name": "Pelican", "description": "Counts herons."}
    await registry.ask(MODEL, input=of_model)
    new = {"projectId": project, "modelId": model}
    await registry.ask(CREATE_VERSION, input=new | {"description": "Stork one", "tags": ["ibis-first"]})
    await registry.ask(CREATE_VERSION, input=new | {"version": "2.0.0"})
    for words in ("pelican", "herons", model):
        assert await found(words) == ["1.0.0", "2.0.0"]
    assert await found("STORK") == await found("ibis fir") == await found("stork pelic") == ["1.0.0"]
    which = {"modelId": model, "version": "1.0.0"}

    await registry.ask(UPDATE, input=which | {"description": "Crane now"})
    assert (await found("stork"), await found("crane")) == ([], ["1.0.0"])

    await registry.ask(ADD_TAGS, input=which | {"tags": ["egret"]})
    await registry.ask(REMOVE_TAGS, input=which | {"tags": ["ibis-first"]})
    assert (await found("ibis"), await found("egret")) == ([], ["1.0.0"])

    for section, words in (("limitations", "Only avocets."), ("intendedUse", "For curlews.")):
        await registry.ask(CARD, input=which | {"modelCard": {section: words}})
    summary = {"source": "Dunlin census", "dateRange": "Spring"}
    await registry.ask(CARD, input=which | {"modelCard": {"limitations": None, "trainingDataSummary": summary}})
    assert (await found("avocets"), await found("curlews"), await found("dunlin spring")) == ([], ["1.0.0"], ["1.0.0"])

    await registry.ask(STEP, input=which | {"targetStage": "STAGING", "notes": "Saw a phalarope."})
    refused = which | {"targetStage": "DEVELOPMENT", "expectedStage": "PRODUCTION", "notes": "A ruff."}
    await registry.refusal(STEP, input=refused)
    assert (await found("phalarope"), await found("ruff")) == (["1.0.0"], [])

    run = await registry.ask(BEGUN, input={"projectId": project, "name": "Godwit run", "notes": "Knots."})
    ended = {"experimentId": run["createExperiment"]["experiment"]["id"], "status": "COMPLETED", "notes": "Turnstones."}
    await registry.ask(ENDED, input=ended | {"versions": [new | {"version": "3.0.0"}]})
    assert (await found("godwit"), await found("knots"), await found("turnstones")) == (["3.0.0"], [], ["3.0.0"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ('"red kite"', ["1.0.0"]),
        ('"kite red"', []),
        ('"red kite eagle"', []),
        ("kite red", ["1.0.0", "2.0.0"]),
        ('"red ki', ["1.0.0"]),
        ("ki red", []),
        ("red ki", ["1.0.0", "2.0.0"]),
        ("a & !b | (red):*", []),
        ('"red kite" -', ["1.0.0"]),
        ('red ki "', ["1.0.0", "2.0.0"]),
    ],
)
async def test_phrases_stand_side_by_side_in_one_text_and_the_last_word_may_be_unfinished(
    registry: Registry, project: str, query: str, expected: list[str]
) -> None:
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True}
    await registry.ask(CREATE_VERSION, input=new | {"description": "A red kite", "tags": ["eagle"]})
    await registry.ask(CREATE_VERSION, input=new | {"version": "2.0.0", "description": "A kite of red"})
    nodes = (await registry.ask(FOUND, words=query, project=project))["searchVersions"]["nodes"]
    assert sorted(node["version"] for node in nodes) == expected


@pytest.mark.parametrize(
    "written", ["foo\u00a0bar", "\u201cfoo bar\u201d lift", "foo\u2014bar", "foo\u2019bar", "foo\u3002bar", "foo… bar"]
)
@pytest.mark.parametrize("query", ["foo", "bar", "foo bar", '"foo bar"', "foo\u00a0bar"])
async def test_punctuation_of_any_script_parts_words(
    registry: Registry, project: str, written: str, query: str
) -> None:
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "description": written}
    await registry.ask(CREATE_VERSION, input=new)
    found = await registry.ask(FOUND, words=query, project=project)
    assert found["searchVersions"]["nodes"] == [{"version": "1.0.0"}]


async def test_letters_that_look_the_same_are(registry: Registry, project: str) -> None:
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "description": "Caf\u00e9"}
    await registry.ask(CREATE_VERSION, input=new)
    for query in ("caf\u00e9", "cafe\u0301"):
        found = await registry.ask(FOUND, words=query, project=project)
        assert found["searchVersions"]["nodes"] == [{"version": "1.0.0"}]


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("...", "filter.query contains no word to search for; omit it to search without text."),
        ("kite " * 21, "filter.query has 21 words; at most 20 are allowed."),
    ],
)
async def test_what_cannot_be_searched_for_is_refused(registry: Registry, query: str, sentence: str) -> None:
    refusal = await registry.refusal(FOUND, words=query, project="proj_any")
    assert (refusal["code"], refusal["field"], refusal["message"]) == ("BAD_USER_INPUT", "filter.query", sentence)


# ---------------------------------------------------------------- pages while others register

PAGE = """query($project: ID!, $after: String, $order: VersionOrder) {
    searchVersions(filter: {projectId: $project, query: "heron"}, orderBy: $order, first: 5, after: $after) {
        nodes { version } pageInfo { hasNextPage endCursor } } }"""


@pytest.mark.parametrize("by", ["RELEVANCE", "CREATED_AT", "VERSION"])
@pytest.mark.parametrize("direction", ["ASC", "DESC"])
async def test_pages_of_a_text_search_neither_repeat_nor_skip_while_versions_are_registered(
    registry: Registry, project: str, by: str, direction: str
) -> None:
    chance = Random(by)
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "bump": "MINOR"}

    async def register() -> None:
        # Ranks differ by where the word stands and how often.
        words = {"description": "heron " * chance.randrange(4), "tags": chance.choice([["heron"], ["tern"]])}
        await registry.ask(CREATE_VERSION, input=new | words | {"description": words["description"] or "Tern"})

    for _ in range(30):
        await register()
    ended = asyncio.Event()

    async def others() -> None:
        while not ended.is_set():
            await register()

    before = set(await pages(registry, project, None))
    registering = asyncio.create_task(others())
    for _ in range(3):
        seen = await pages(registry, project, {"by": by, "direction": direction})
        assert len(seen) == len(set(seen)), "none twice"
        assert before <= set(seen), "none left out that was there before"
        before = set(seen)
    ended.set()
    await registering


async def pages(registry: Registry, project: str, order: Any) -> list[str]:
    seen: list[str] = []
    after, more = None, True
    while more:
        page = (await registry.ask(PAGE, project=project, after=after, order=order))["searchVersions"]
        seen += [node["version"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    return seen
