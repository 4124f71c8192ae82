"""Undo means undo: what a rollback of production returns to, what serves afterwards, and what may not serve again."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Cluster, Registry
from tests.support.deployed import FLAG, Place, doing, kinds
from tests.support.documents import DEPLOY, REPORT

BACK = """mutation($input: RollbackProductionInput!) { rollbackProduction(input: $input) {
    version { version } archived { version } deployments { name } stillServing { name } } }"""
NOW = "query($id: ID!) { model(id: $id) { productionVersion { version } } }"
DATASET = "mutation($input: CreateDatasetInput!) { createDataset(input: $input) { dataset { id } } }"
DATA = """mutation($input: CreateDatasetVersionInput!) { createDatasetVersion(input: $input) {
    datasetVersion { id } } }"""
ACTION = "mutation($input: DeploymentActionInput!) { %s(input: $input) { deployment { currentStage status } } }"
STATUS = "mutation($input: DeploymentActionInput!) { %s(input: $input) { deployment { status } } }"


@pytest.fixture
def place(registry: Registry, project: str, database: Cluster) -> Place:
    return Place(registry, project, database)


async def back(place: Place, **more: Any) -> dict[str, Any]:
    asked = {"modelId": place.model, "notes": "Bad."} | more
    return dict((await place.registry.ask(BACK, input=asked))["rollbackProduction"])


async def refused(place: Place, **more: Any) -> dict[str, Any]:
    return await place.registry.refusal(BACK, input={"modelId": place.model, "notes": "Bad."} | more)


def code_of(answer: dict[str, Any]) -> str:
    return str(answer["errors"][0]["extensions"]["code"]) if "errors" in answer else "OK"


async def in_production(place: Place) -> str | None:
    version = (await place.registry.ask(NOW, id=place.model))["model"]["productionVersion"]
    return version and str(version["version"])


# ---------------------------------------------------------------- which version returns


async def test_a_version_that_was_rolled_back_is_not_chosen_again(place: Place) -> None:
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        await place.production(number)
    assert [(await back(place))["version"]["version"] for _ in range(2)] == ["1.1.0", "1.0.0"]
    refusal = await refused(place)
    assert refusal["code"] == "CONFLICT"
    assert "returns only with toVersion and a new approval" in refusal["message"]
    assert await in_production(place) == "1.0.0"


async def test_a_version_that_was_archived_by_hand_is_not_chosen(place: Place) -> None:
    await place.production("1.0.0")
    await place.production("1.1.0")
    await place.move("1.1.0", "ARCHIVED")
    assert (await back(place))["version"]["version"] == "1.0.0"
    await place.move("1.0.0", "ARCHIVED")
    assert (await refused(place))["code"] == "CONFLICT"
    assert await in_production(place) is None


async def test_after_a_fix_the_version_before_it_can_return(place: Place) -> None:
    for number in ("1.0.0", "1.1.0"):
        await place.production(number)
    await back(place)
    await place.production("1.2.0")
    assert (await back(place))["version"]["version"] == "1.0.0"


async def test_a_version_that_was_left_on_purpose_returns_with_a_new_approval(place: Place) -> None:
    await place.production("1.0.0")
    await place.production("1.1.0")
    await back(place)
    refusal = await refused(place, toVersion="1.1.0")
    assert (refusal["code"], refusal["reason"]) == ("APPROVAL_REQUIRED", "LEFT_ON_PURPOSE")
    assert refusal["message"] == (
        "1.1.0 was rolled back from production, so it returns to production only with a new approval. Move it to"
        " STAGING and ask for a review with requestTransition."
    )
    await place.move("1.1.0", "STAGING")
    assert (await back(place, toVersion="1.1.0"))["version"]["version"] == "1.1.0"
    asked = (
        "query($id: ID!) { model(id: $id) { productionVersion { stageHistory { toStage approvals { reviewer } } } } }"
    )
    steps = (await place.registry.ask(asked, id=place.model))["model"]["productionVersion"]["stageHistory"]
    into = [step for step in steps if step["toStage"] == "PRODUCTION"]
    assert all({"reviewer": "ana@example.com"} in step["approvals"] for step in into)


async def test_two_at_once_who_expect_the_same_version_roll_back_once(place: Place) -> None:
    for number in ("1.0.0", "1.1.0", "1.2.0"):
        await place.production(number)
    asked = {"modelId": place.model, "notes": "Bad.", "expectedVersion": "1.2.0"}
    answers = await asyncio.gather(*(place.registry.send(BACK, input=asked) for _ in range(4)))
    assert sorted(code_of(answer.json()) for answer in answers) == ["CONFLICT"] * 3 + ["OK"]
    assert await in_production(place) == "1.1.0"
    refusal = await refused(place, expectedVersion="1.2.0")
    assert refusal["message"] == "input.expectedVersion is 1.2.0, but 1.1.0 is in production. Read the model again."
    assert (refusal["field"], refusal["current"]) == ("input.expectedVersion", "1.1.0")


# ---------------------------------------------------------------- what serves afterwards


async def test_a_rollback_restores_what_served_before(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    await place.deploy(await place.production("1.1.0"))
    assert await place.shares() == {"DIRECT 1.1.0": 100}
    done = await back(place)
    assert await place.shares() == {"DIRECT 1.0.0": 100}
    assert [each["name"] for each in done["deployments"]] == ["DIRECT 1.0.0", "DIRECT 1.1.0"]
    assert done["stillServing"] == []


async def test_a_rollback_ends_a_canary_of_the_version(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    new = await place.canary(await place.production("1.1.0"))
    done = await back(place)
    assert await place.shares() == {"DIRECT 1.0.0": 100}
    assert (await place.read(new))["status"] == "ROLLED_BACK"
    assert done["stillServing"] == []


async def test_deployments_can_be_left_and_are_listed(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    await place.deploy(await place.production("1.1.0"))
    done = await back(place, deployments="LEAVE")
    assert (done["deployments"], done["stillServing"]) == ([], [{"name": "DIRECT 1.1.0"}])
    assert await place.shares() == {"DIRECT 1.1.0": 100}


async def test_where_nothing_can_take_over_the_answer_says_what_still_serves(place: Place) -> None:
    await place.production("1.0.0")
    await place.deploy(await place.production("1.1.0"))
    done = await back(place)
    assert (done["deployments"], done["stillServing"]) == ([], [{"name": "DIRECT 1.1.0"}])


# ---------------------------------------------------------------- what may serve again


async def test_traffic_does_not_return_to_a_version_whose_data_became_invalid(place: Place) -> None:
    project = {"projectId": place.project}
    made = await place.registry.ask(DATASET, input=project | {"name": "Payments"})
    new_data = {"datasetId": made["createDataset"]["dataset"]["id"], "label": "Q3"}
    data = await place.registry.ask(DATA, input=new_data)
    used = data["createDatasetVersion"]["datasetVersion"]["id"]
    policy = "mutation($input: UpdateProjectPolicyInput!) { updateProjectPolicy(input: $input) { project { id } } }"
    await place.registry.ask(policy, input=project | {"blockInvalidData": True})
    old = await place.deploy(await place.production("1.0.0", datasetVersionId=used))
    new = await place.deploy(await place.production("1.1.0"))
    await place.registry.ask(FLAG, input={"datasetVersionId": used, "status": "INVALID", "reason": "Twice."})
    await place.do("rollbackDeployment", new)
    assert await place.shares() == {None: 100} or await place.shares() == {}
    assert kinds(await place.read(old))[-1] == ("unmanaged", 0)
    events = (await place.read(old))["events"]
    assert events[-1]["reason"].startswith(
        "100 % of the traffic of production is unmanaged, because DIRECT 1.0.0 cannot"
    )


async def test_traffic_does_not_return_to_a_version_that_was_archived_by_hand(place: Place) -> None:
    await place.version("1.0.0")
    await place.version("1.1.0")
    old = await place.deploy("1.0.0", environment="staging")
    new = await place.deploy("1.1.0", environment="staging")
    await place.move("1.0.0", "ARCHIVED")
    await place.do("rollbackDeployment", new)
    assert kinds(await place.read(old))[-1] == ("unmanaged", 0)
    assert "staging" not in str(await place.shares("staging")) and await place.shares("staging") in ({}, {None: 100})


async def test_traffic_returns_to_a_version_that_was_only_replaced(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    new = await place.deploy(await place.production("1.1.0"))
    await place.do("rollbackDeployment", new)
    assert await place.shares() == {"DIRECT 1.0.0": 100}


async def test_a_version_has_one_shadow_in_an_environment(place: Place) -> None:
    await place.version("1.0.0", "STAGING")
    await place.deploy("1.0.0", "SHADOW")
    refusal = await place.registry.refusal(DEPLOY, input=place.wanted("1.0.0", "SHADOW"))
    assert (refusal["code"], refusal["message"]) == (
        "CONFLICT",
        "SHADOW 1.0.0 already serves this version in production.",
    )
    await place.deploy("1.0.0", "SHADOW", environment="staging")


# ---------------------------------------------------------------- steps that two take at once


async def test_two_who_advance_at_once_and_expect_the_same_stage_advance_once(place: Place) -> None:
    new = await place.canary(await place.production("1.0.0"))
    asked = doing(new, "On.") | {"expectedStage": 0}
    advance = ACTION % "advanceDeployment"
    answers = await asyncio.gather(*(place.registry.send(advance, input=asked) for _ in range(4)))
    assert sorted(code_of(answer.json()) for answer in answers) == ["CONFLICT"] * 3 + ["OK"]
    assert (await place.read(new))["currentStage"] == 1


@pytest.mark.parametrize("action", ["advanceDeployment", "pauseDeployment", "rollbackDeployment", "retireDeployment"])
async def test_a_step_is_refused_where_the_status_is_another(place: Place, action: str) -> None:
    new = await place.canary(await place.production("1.0.0"))
    refusal = await place.registry.refusal(STATUS % action, input=doing(new, "On.") | {"expectedStatus": "PAUSED"})
    assert (refusal["code"], refusal["field"], refusal["current"]) == (
        "CONFLICT",
        "input.expectedStatus",
        "IN_PROGRESS",
    )
    assert refusal["message"] == (
        "input.expectedStatus is PAUSED, but CANARY 1.0.0 is IN_PROGRESS. Read the deployment again."
    )


# ---------------------------------------------------------------- health


async def warnings(place: Place, deployment: dict[str, Any], healthy: bool, **more: Any) -> list[str]:
    asked = REPORT.replace("deployment {", "warnings deployment {", 1)
    given = {"deploymentId": deployment["id"], "healthy": healthy} | more
    return list((await place.registry.ask(asked, input=given))["reportDeploymentHealth"]["warnings"])


async def test_one_observation_sent_three_times_counts_once(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    new = await place.canary(await place.production("2.0.0"), failureThreshold=3)
    at = datetime.now(UTC).isoformat()
    said = [await warnings(place, new, False, observedAt=at) for _ in range(3)]
    assert said == [[], *([["Another report of the same time is known; the two count once."]] * 2)]
    assert (await place.read(new))["status"] == "IN_PROGRESS"
    await place.report(new, False)
    await place.report(new, False)
    assert (await place.read(new))["status"] == "ROLLED_BACK"


async def test_a_report_from_before_the_stage_says_that_it_does_not_count(place: Place) -> None:
    new = await place.canary(await place.production("1.0.0"))
    before = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    (warning,) = await warnings(place, new, False, observedAt=before)
    assert warning.startswith("The report does not count: the stage began at ")
    assert (await place.read(new))["status"] == "IN_PROGRESS"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
async def test_a_metric_that_is_not_finite_counts_as_unhealthy_and_is_kept(place: Place, number: float) -> None:
    new = await place.canary(await place.production("1.0.0"), failureThreshold=2)
    reports = "health { healthy metrics }"
    asked = REPORT.replace("deployment {", f"warnings deployment {{ {reports}", 1)
    report = {"deploymentId": new["id"], "healthy": True, "metrics": {"errors": {"rate": number}}}
    body = json.dumps({"query": asked, "variables": {"input": report}})
    headers = {"Authorization": f"Bearer {place.registry.key}", "Content-Type": "application/json"}
    answer = (await place.registry.client.post("/graphql", content=body, headers=headers)).json()
    done = answer["data"]["reportDeploymentHealth"]
    assert done["warnings"] == ["The report counts as unhealthy, because errors.rate is not a finite number."]
    name = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(number)]
    (kept,) = done["deployment"]["health"]
    assert kept == {"healthy": False, "metrics": {"errors": {"rate": name}}}


async def test_a_report_at_the_beginning_of_a_long_stage_does_not_end_it(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    new = await place.canary(await place.production("2.0.0"))
    await place.report(new, True)
    assert await place.pass_time(61) == 1
    shown = await place.read(new)
    assert (shown["status"], shown["currentStage"]) == ("PAUSED", 0)
    assert shown["events"][-1]["reason"] == "The newest health report is 61.0 minutes old; the limit is 15."


async def test_the_event_of_a_step_names_the_reports_that_it_stood_on(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    new = await place.canary(await place.production("2.0.0"), failureThreshold=2)
    await place.report(new, False)
    await place.report(new, False)
    asked = """query($id: ID!) { auditEvents(filter: {subjectId: $id, action: ["deployment.rolledBack"]}) {
        nodes { details } } }"""
    (event,) = (await place.registry.ask(asked, id=new["id"]))["auditEvents"]["nodes"]
    assert len(event["details"]["after"]["healthReports"]) == 2


async def test_a_canary_without_health_is_warned_of_at_once(place: Place) -> None:
    asked = DEPLOY.replace("deployment {", "warnings deployment {", 1)
    stages = [{"trafficPercentage": 5, "durationMinutes": 10}, {"trafficPercentage": 100, "durationMinutes": 0}]
    wanted = place.wanted(await place.production("1.0.0"), "CANARY", canaryConfig={"stages": stages})
    made = (await place.registry.ask(asked, input=wanted))["createDeployment"]
    assert made["warnings"] == [
        "The rollout pauses at the end of its first stage unless its health is reported: send reportDeploymentHealth"
        f" with deploymentId {made['deployment']['id']} at least every 10 minutes."
    ]
    direct = place.wanted("1.0.0", "DIRECT", environment="staging")
    assert (await place.registry.ask(asked, input=direct))["createDeployment"]["warnings"] == []
