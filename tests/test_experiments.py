"""Experiments and the data they were trained on, through the API."""

from typing import Any

import pytest

from tests.conftest import Registry

CREATE = """
mutation($input: CreateExperimentInput!) { createExperiment(input: $input) { experiment { id status algorithm } } }
"""
COMPLETE = """
mutation($input: CompleteExperimentInput!) {
  completeExperiment(input: $input) {
    experiment { id status notes trainingDurationSecs versions { totalCount } }
    versions { version model { id } experiment { id } datasetVersion { id } }
  }
}
"""
DATASET = "mutation($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id name } } }"
DATASET_VERSION = """
mutation($input: CreateDatasetVersionInput!) {
  createDatasetVersion(input: $input) {
    datasetVersion { id name label rowCount features status parents { id } dataset { versions { totalCount } } }
  }
}
"""


async def running(registry: Registry, project: str, **more: Any) -> str:
    made = await registry.ask(CREATE, input={"projectId": project, "name": "Search"} | more)
    return str(made["createExperiment"]["experiment"]["id"])


async def data(registry: Registry, project: str, *labels: str) -> list[str]:
    made = await registry.ask(DATASET, input={"projectId": project, "name": "Orders"})
    ids: list[str] = []
    for label in labels:
        asked = {"datasetId": made["createDataset"]["dataset"]["id"], "label": label, "parentIds": ids[-1:]}
        version = await registry.ask(DATASET_VERSION, input=asked)
        ids.append(version["createDatasetVersion"]["datasetVersion"]["id"])
    return ids


async def test_an_experiment_registers_everything_it_produced_in_one_transaction(
    registry: Registry, project: str
) -> None:
    (trained_on,) = await data(registry, project, "2025")
    experiment = await running(registry, project, datasetVersionId=trained_on, algorithm="xgboost")
    models = [f"model_{project[5:]}_{letter}" for letter in "ba"]
    new = [{"projectId": project, "modelId": model, "createModel": True} for model in models]
    ended = {
        "experimentId": experiment,
        "status": "COMPLETED",
        "trainingDurationSecs": 12.5,
        "versions": [*new, new[0]],
    }
    done = (await registry.ask(COMPLETE, input=ended))["completeExperiment"]
    assert done["experiment"]["status"] == "COMPLETED"
    assert done["experiment"]["versions"]["totalCount"] == 3
    assert [(v["model"]["id"], v["version"]) for v in done["versions"]] == [
        (models[0], "1.0.0"),
        (models[1], "1.0.0"),
        (models[0], "1.0.1"),
    ]
    assert {v["datasetVersion"]["id"] for v in done["versions"]} == {trained_on}
    assert {v["experiment"]["id"] for v in done["versions"]} == {experiment}


async def test_one_bad_version_and_nothing_of_the_experiment_s_end_is_kept(registry: Registry, project: str) -> None:
    experiment = await running(registry, project)
    good = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True}
    bad = good | {"metrics": {"auc": None}}
    ended = {"experimentId": experiment, "status": "COMPLETED", "versions": [good, bad]}
    refusal = await registry.refusal(COMPLETE, input=ended)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.versions[1].metrics.auc")
    unknown = good | {"parentVersion": "9.0.0"}
    refusal = await registry.refusal(COMPLETE, input=ended | {"versions": [good, unknown]})
    assert (refusal["code"], refusal["field"]) == ("NOT_FOUND", "input.versions[1].parentVersion")
    asked = "query($p: ID!, $e: ID!) { project(id: $p) { models { totalCount } } experiment(id: $e) { status } }"
    left = await registry.ask(asked, p=project, e=experiment)
    assert left == {"project": {"models": {"totalCount": 0}}, "experiment": {"status": "RUNNING"}}


async def test_more_versions_than_one_experiment_may_produce_are_refused(registry: Registry, project: str) -> None:
    experiment = await running(registry, project)
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True}
    ended = {"experimentId": experiment, "status": "COMPLETED", "versions": [new] * 101}
    refusal = await registry.refusal(COMPLETE, input=ended)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.versions")


async def test_failed_experiments_are_kept_with_their_notes(registry: Registry, project: str) -> None:
    experiment = await running(registry, project)
    ended = {"experimentId": experiment, "status": "FAILED", "notes": "Overfits.\nNot again."}
    done = (await registry.ask(COMPLETE, input=ended))["completeExperiment"]["experiment"]
    assert (done["status"], done["notes"]) == ("FAILED", "Overfits.\nNot again.")


async def test_the_log_says_what_the_end_of_an_experiment_wrote_over(registry: Registry, project: str) -> None:
    experiment = await running(registry, project, notes="Queued.", trainingDurationSecs=1.5)
    await registry.ask(COMPLETE, input={"experimentId": experiment, "status": "FAILED", "notes": "Out of memory."})
    asked = "query($id: ID!) { auditEvents(filter: {subjectId: $id}) { nodes { action details } } }"
    event = (await registry.ask(asked, id=experiment))["auditEvents"]["nodes"][0]
    assert event == {
        "action": "experiment.completed",
        "details": {
            "before": {"status": "RUNNING", "notes": "Queued."},
            "after": {"status": "FAILED", "notes": "Out of memory.", "versions": []},
        },
    }


async def test_an_experiment_ends_once_and_not_running(registry: Registry, project: str) -> None:
    experiment = await running(registry, project)
    refusal = await registry.refusal(COMPLETE, input={"experimentId": experiment, "status": "RUNNING"})
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.status")
    await registry.ask(COMPLETE, input={"experimentId": experiment, "status": "COMPLETED"})
    refusal = await registry.refusal(COMPLETE, input={"experimentId": experiment, "status": "FAILED"})
    assert (refusal["code"], refusal["current"]) == ("CONFLICT", "COMPLETED")


async def test_a_version_of_another_experiment_cannot_be_slipped_in(registry: Registry, project: str) -> None:
    experiment, other = await running(registry, project), await running(registry, project)
    new = {"projectId": project, "modelId": f"model_{project[5:]}", "createModel": True, "experimentId": other}
    ended = {"experimentId": experiment, "status": "COMPLETED", "versions": [new]}
    refusal = await registry.refusal(COMPLETE, input=ended)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.versions[0].experimentId")


async def test_data_set_versions_know_what_they_were_derived_from(registry: Registry, project: str) -> None:
    first, second = await data(registry, project, "raw", "clean")
    asked = "query($id: ID!) { datasetVersion(id: $id) { name status statusReason parents { id } rowCount features } }"
    found = (await registry.ask(asked, id=second))["datasetVersion"]
    assert found == {
        "name": "Orders clean",
        "status": "ACTIVE",
        "statusReason": None,
        "parents": [{"id": first}],
        "rowCount": None,
        "features": [],
    }


@pytest.mark.parametrize(
    ("changed", "code", "field"),
    [
        ({"label": "raw"}, "ALREADY_EXISTS", "input.label"),
        ({"datasetId": "ds_unknown"}, "NOT_FOUND", "input.datasetId"),
        ({"parentIds": ["dsv_unknown"]}, "NOT_FOUND", "input.parentIds"),
        ({"rowCount": -1}, "BAD_USER_INPUT", "input.rowCount"),
        ({"features": ["a", " "]}, "BAD_USER_INPUT", "input.features[1]"),
    ],
)
async def test_a_data_set_version_that_cannot_be_is_refused(
    registry: Registry, project: str, changed: dict[str, Any], code: str, field: str
) -> None:
    (version,) = await data(registry, project, "raw")
    asked = "query($id: ID!) { datasetVersion(id: $id) { dataset { id versions { totalCount } } } }"
    dataset = (await registry.ask(asked, id=version))["datasetVersion"]["dataset"]
    refusal = await registry.refusal(DATASET_VERSION, input={"datasetId": dataset["id"], "label": "new"} | changed)
    assert (refusal["code"], refusal["field"]) == (code, field)
    assert (await registry.ask(asked, id=version))["datasetVersion"]["dataset"]["versions"]["totalCount"] == 1


async def test_models_and_data_sets_of_one_name_in_a_project_are_refused(registry: Registry, project: str) -> None:
    await data(registry, project)
    refusal = await registry.refusal(DATASET, input={"projectId": project, "name": "Orders"})
    assert (refusal["code"], refusal["field"]) == ("ALREADY_EXISTS", "input.name")
    make = "mutation($input: CreateModelInput!) { createModel(input: $input) { model { name } } }"
    await registry.ask(make, input={"projectId": project, "name": "Caf\u00e9"})
    refusal = await registry.refusal(make, input={"projectId": project, "name": " Cafe\u0301 "})
    assert (refusal["code"], refusal["field"]) == ("ALREADY_EXISTS", "input.name")
