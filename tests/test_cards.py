"""Model cards: written by people, each edit a revision."""

import asyncio
from typing import Any

import pytest
from huggingface_hub import ModelCard

from tests.conftest import Registry
from tests.support.documents import CREATE_VERSION
from tests.support.live import at_full_length

UPDATE = """mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { modelCard {
    revision completeness missing updatedBy description limitations intendedUse
    trainingDataSummary { source totalRows positiveClassRatio extra featureCount dateRange }
    performanceBySegment { segment samples metrics { name value higherIsBetter } }
    worstSegments { segment metric value whole gap } revisions { revision by changed } } version { version } } }"""


async def registered(registry: Registry, project: str) -> dict[str, Any]:
    model = f"model_{project[5:]}"
    await registry.ask(CREATE_VERSION, input={"projectId": project, "modelId": model, "createModel": True})
    return {"modelId": model, "version": "1.0.0"}


async def test_every_version_has_a_card_that_says_what_is_missing(registry: Registry, project: str) -> None:
    which = await registered(registry, project)
    card = (
        await registry.ask(
            """query($m: ID!) { version(modelId: $m, version: "1.0.0") { createdAt modelCard {
            revision completeness missing updatedAt updatedBy revisions { revision }
            trainingDataSummary { extra } } } }""",
            m=which["modelId"],
        )
    )["version"]
    assert card["modelCard"] == {
        "revision": 0, "completeness": 0, "updatedAt": card["createdAt"], "updatedBy": "ana@example.com",
        "revisions": [], "trainingDataSummary": {"extra": {}},
        "missing": ["description", "intendedUse", "limitations", "ethicalConsiderations", "trainingDataSummary",
                    "performanceBySegment", "algorithm", "parameters", "metrics", "features", "target", "trainingData",
                    "experiment"],
    }  # fmt: skip


async def test_sections_are_written_kept_and_emptied(registry: Registry, project: str) -> None:
    which = await registered(registry, project)
    summary = {"source": "Subscriptions", "totalRows": 247_500, "positiveClassRatio": 0.087, "extra": {"a": [1]}}
    segments = {"starter": {"log_loss": 0.3, "samples": 12}, "enterprise": {"own": 1}}
    written = {"limitations": "US only.", "trainingDataSummary": summary, "performanceBySegment": segments}
    card = (await registry.ask(UPDATE, input=which | {"modelCard": written}))["updateModelCard"]["modelCard"]
    assert (card["revision"], card["completeness"], card["limitations"]) == (1, 3 / 13, "US only.")
    assert card["trainingDataSummary"] == summary | {"featureCount": None, "dateRange": None}
    assert card["performanceBySegment"] == [
        {"segment": "enterprise", "samples": None, "metrics": [{"name": "own", "value": 1, "higherIsBetter": None}]},
        {"segment": "starter", "samples": 12, "metrics": [{"name": "log_loss", "value": 0.3, "higherIsBetter": False}]},
    ]
    changes = {"limitations": None, "intendedUse": "Scoring."}
    card = (await registry.ask(UPDATE, input=which | {"modelCard": changes}))["updateModelCard"]["modelCard"]
    assert (card["revision"], card["limitations"], card["intendedUse"]) == (2, None, "Scoring.")
    assert [each["changed"] for each in card["revisions"]] == [
        ["limitations", "trainingDataSummary", "performanceBySegment"], ["intendedUse", "limitations"]]  # fmt: skip
    card = (await registry.ask(UPDATE, input=which | {"modelCard": changes}))["updateModelCard"]["modelCard"]
    assert card["revision"] == 2, "nothing changed"


@pytest.mark.long
async def test_two_editors_of_one_card_do_not_lose_each_other_s_words(
    registry: Registry, project: str, pytestconfig: pytest.Config
) -> None:
    """Each round both write upon the same revision: one is kept, the other is told, reads again and writes."""
    which = await registered(registry, project)
    rounds = 200 if at_full_length(pytestconfig) else 10
    for number in range(rounds):
        edits = [{"limitations": f"One {number}."}, {"intendedUse": f"Two {number}."}]
        asked = [which | {"modelCard": edit, "expectedRevision": 2 * number} for edit in edits]
        answers = [r.json() for r in await asyncio.gather(*(registry.send(UPDATE, input=each) for each in asked))]
        (late,) = [place for place, answer in enumerate(answers) if "errors" in answer]
        refusal = answers[late]["errors"][0]["extensions"]
        assert (refusal["code"], refusal["current"], refusal["expected"]) == ("CONFLICT", 2 * number + 1, 2 * number)
        again = asked[late] | {"expectedRevision": refusal["current"]}
        card = (await registry.ask(UPDATE, input=again))["updateModelCard"]["modelCard"]
        assert (card["limitations"], card["intendedUse"]) == (f"One {number}.", f"Two {number}.")
    assert [each["revision"] for each in card["revisions"]] == list(range(1, 2 * rounds + 1))
    print(f"{rounds} rounds of two editors: {rounds} told of the other's edit, none lost")


@pytest.mark.parametrize(
    ("card", "field"),
    [
        ({"performanceBySegment": []}, "input.modelCard.performanceBySegment"),
        ({"performanceBySegment": {"a": {"auc": "high"}}}, "input.modelCard.performanceBySegment.a.auc"),
        ({"performanceBySegment": {"a": {"samples": 1.5}}}, "input.modelCard.performanceBySegment.a.samples"),
        ({"performanceBySegment": {"a": {"samples": 1e300}}}, "input.modelCard.performanceBySegment.a.samples"),
        ({"performanceBySegment": {"a": 1}}, "input.modelCard.performanceBySegment.a"),
        ({"trainingDataSummary": {"positiveClassRatio": 2}}, "input.modelCard.trainingDataSummary.positiveClassRatio"),
        ({"trainingDataSummary": {"totalRows": -1}}, "input.modelCard.trainingDataSummary.totalRows"),
        ({"description": " "}, "input.modelCard.description"),
    ],
)
async def test_bad_sections_are_refused_by_name(registry: Registry, project: str, card: Any, field: str) -> None:
    which = await registered(registry, project)
    refusal = await registry.refusal(UPDATE, input=which | {"modelCard": card})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", field)


async def test_a_card_is_exported_for_people_and_for_other_registries(registry: Registry, project: str) -> None:
    model = f"model_{project[5:]}"
    facts = {"metrics": {"auc": 0.912}, "parameters": {"depth": 6}, "artifact": {"uri": "s3://bucket/a.onnx"}}
    await registry.ask(CREATE_VERSION, input={"projectId": project, "modelId": model, "createModel": True} | facts)
    which = {"modelId": model, "version": "1.0.0"}
    written = {"limitations": "US | only.", "performanceBySegment": {"starter": {"auc": 0.5, "samples": 12}}}
    update = """mutation($input: UpdateModelCardInput!) { updateModelCard(input: $input) { modelCard {
        markdown huggingFace cycloneDx updatedAt } } }"""
    card = (await registry.ask(update, input=which | {"modelCard": written}))["updateModelCard"]["modelCard"]
    asked = await registry.ask(
        """query($m: ID!) { version(modelId: $m, version: "1.0.0") { id modelCard {
        markdown huggingFace cycloneDx updatedAt } } }""",
        m=model,
    )
    assert asked["version"]["modelCard"] == card

    assert "\n| auc | 0.912 | higher is better |\n" in card["markdown"]
    assert "\nUS \\| only.\n" in card["markdown"]
    hub: Any = ModelCard(card["huggingFace"]).data
    told = [(each.dataset_config, each.metric_name, each.metric_value) for each in hub.eval_results]
    assert told == [(None, "auc", 0.912), ("starter", "auc", 0.5)]
    bill = card["cycloneDx"]
    component = bill["metadata"]["component"]
    assert (bill["version"], bill["metadata"]["timestamp"]) == (2, card["updatedAt"])
    assert (component["bom-ref"], component["version"]) == (asked["version"]["id"], "1.0.0")
    assert component["externalReferences"] == [{"type": "distribution", "url": "s3://bucket/a.onnx"}]
    assert component["modelCard"]["quantitativeAnalysis"]["performanceMetrics"] == [
        {"type": "auc", "value": "0.912"},
        {"type": "auc", "value": "0.5", "slice": "starter"},
    ]


async def test_a_section_that_says_nothing_counts_as_missing(registry: Registry, project: str) -> None:
    which = await registered(registry, project)
    empty: dict[str, Any] = {"trainingDataSummary": {"extra": {}}, "performanceBySegment": {"a": {}}}
    card = (await registry.ask(UPDATE, input=which | {"modelCard": empty}))["updateModelCard"]["modelCard"]
    assert (card["completeness"], card["missing"][4:6]) == (0, ["trainingDataSummary", "performanceBySegment"])
