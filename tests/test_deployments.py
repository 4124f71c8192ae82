"""Deploying versions: what may be deployed where, rollouts by hand and by the clock, and what the registry knows."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.conftest import Cluster, Registry, connect
from tests.support.deployed import FLAG, RECENT, STAGES, STEP, Place, kinds
from tests.support.documents import DEPLOY, REPORT


@pytest.fixture
def place(registry: Registry, project: str, database: Cluster) -> Place:
    return Place(registry, project, database)


async def test_a_canary_goes_through_its_stages_as_time_passes_and_health_is_good(place: Place) -> None:
    old = await place.deploy(await place.production("1.0.0"))
    assert (old["status"], await place.shares()) == ("ACTIVE", {"DIRECT 1.0.0": 100})
    new = await place.canary(await place.production("2.0.0"))
    assert (new["status"], new["currentStage"], new["previous"]) == ("IN_PROGRESS", 0, {"name": "DIRECT 1.0.0"})
    assert new["nextAdvanceAt"] is not None
    shown = []
    for minutes in (60, 120, 180):
        shown.append(await place.shares())
        assert await place.pass_time(minutes - 1) == 0
        await place.report(new, healthy=True, metrics={"errorRate": 0.001})
        assert await place.pass_time(1) == 1
    assert shown == [{"CANARY 2.0.0": share, "DIRECT 1.0.0": 100 - share} for share in (5, 25, 50)]
    assert await place.shares() == {"CANARY 2.0.0": 100}
    new, old = await place.read(new), await place.read(old)
    assert (new["status"], new["nextAdvanceAt"], old["status"]) == ("ACTIVE", None, "RETIRED")
    assert kinds(new) == [("created", 5), ("advanced", 25), ("advanced", 50), ("completed", 100)]
    assert kinds(old) == [
        ("created", 100), ("yielded", 95), ("yielded", 75), ("yielded", 50), ("retired", 0)]  # fmt: skip
    assert new["events"][1]["actor"] == "lineal rollouts"
    assert await place.pass_time(100_000) == 0


async def test_without_health_reports_it_pauses_before_it_advances(place: Place) -> None:
    new = await place.canary(await place.production("1.0.0"), maxHealthAgeMinutes=120)
    assert await place.shares() == {"CANARY 1.0.0": 5, None: 95}
    await place.report(new, healthy=True)
    assert await place.pass_time(60) == 1
    assert await place.pass_time(121) == 1
    paused = await place.read(new)
    assert (paused["status"], paused["trafficPercentage"]) == ("PAUSED", 25)
    assert paused["events"][-1]["reason"] == "No health was reported since the stage began."
    assert await place.pass_time(100_000) == 0, "nothing goes on by itself"
    resumed = await place.do("resumeDeployment", new)
    assert (resumed["status"], resumed["trafficPercentage"]) == ("IN_PROGRESS", 25)
    await place.report(new, healthy=True)
    assert await place.pass_time(119) == 0, "its stage began anew"
    assert await place.pass_time(1) == 1


async def test_an_old_report_pauses_it_too_and_null_asks_for_none(place: Place) -> None:
    new = await place.canary(await place.production("1.0.0"), maxHealthAgeMinutes=10)
    await place.report(new, healthy=True)
    assert await place.pass_time(60) == 1
    assert (await place.read(new))["events"][-1]["reason"].startswith("The newest health report is 60.0 minutes old")
    await place.do("retireDeployment", new)
    new = await place.canary("1.0.0", maxHealthAgeMinutes=None)
    assert new["canary"]["healthRequired"] is False
    assert await place.pass_time(60) == 1
    assert (await place.read(new))["trafficPercentage"] == 25


@pytest.mark.parametrize("auto_rollback", [True, False])
async def test_too_many_unhealthy_reports_in_a_row_stop_it_at_once(place: Place, auto_rollback: bool) -> None:
    old = await place.deploy(await place.production("1.0.0"))
    new = await place.canary(await place.production("2.0.0"), failureThreshold=2, autoRollback=auto_rollback, **RECENT)
    for healthy in (True, False, True, False):
        assert (await place.report(new, healthy))["status"] == "IN_PROGRESS"
    assert await place.pass_time(61) == 0, "an unhealthy report holds it"
    found = await place.report(new, healthy=False)
    assert found["events"][-1]["reason"] == "2 unhealthy reports in a row."
    if not auto_rollback:
        assert (found["status"], found["trafficPercentage"]) == ("PAUSED", 5)
        return
    assert (found["status"], found["trafficPercentage"]) == ("ROLLED_BACK", 0)
    assert await place.shares() == {"DIRECT 1.0.0": 100}
    assert kinds(await place.read(old))[-1] == ("restored", 100)
    asked = """query($v: ID!) { auditEvents(filter: {action: ["version.rolledBack"], projectId: $v}) {
        nodes { notes subject { ... on ModelVersion { version modelCard { generated markdown } } } } } }"""
    (note,) = (await place.registry.ask(asked, v=place.project))["auditEvents"]["nodes"]
    assert note["notes"] == "CANARY 2.0.0 in production was rolled back. 2 unhealthy reports in a row."
    assert note["subject"]["version"] == "2.0.0"
    (operation,) = note["subject"]["modelCard"]["generated"]["operations"]
    assert (operation["status"], operation["reason"]) == ("ROLLED_BACK", "2 unhealthy reports in a row.")
    assert "| CANARY 2.0.0 | production | rolled back, 0 % of the traffic | 2 unhealthy" in (
        note["subject"]["modelCard"]["markdown"])  # fmt: skip
    for action in ("advanceDeployment", "resumeDeployment", "pauseDeployment", "rollbackDeployment"):
        refusal = await place.refused(action, new)
        assert (refusal["code"], refusal["current"], refusal["allowed"]) == ("CONFLICT", "ROLLED_BACK", [])
    refusal = await place.registry.refusal(REPORT, input={"deploymentId": new["id"], "healthy": True})
    assert refusal["code"] == "CONFLICT"
    assert await place.pass_time(100_000) == 0


async def test_both_sides_stand_until_one_switch(place: Place) -> None:
    blue = await place.deploy(await place.production("1.0.0"))
    green = await place.deploy(await place.production("2.0.0"), "BLUE_GREEN")
    assert (green["status"], await place.shares()) == ("IN_PROGRESS", {"DIRECT 1.0.0": 100})
    assert await place.pass_time(100_000) == 0
    green = await place.do("advanceDeployment", green, "Looks good.")
    assert (green["status"], await place.shares()) == ("ACTIVE", {"BLUE_GREEN 2.0.0": 100})
    back = await place.do("rollbackDeployment", green, "It does not.")
    assert (back["status"], await place.shares()) == ("ROLLED_BACK", {"DIRECT 1.0.0": 100})
    assert (await place.read(blue))["status"] == "ACTIVE"


async def test_a_shadow_serves_nothing_and_stands_beside(place: Place) -> None:
    await place.deploy(await place.production("1.0.0"))
    shadow = await place.deploy(await place.version("2.0.0", "STAGING"), "SHADOW")
    assert (shadow["status"], shadow["trafficPercentage"]) == ("ACTIVE", 0)
    assert await place.shares() == {"DIRECT 1.0.0": 100}
    assert (await place.do("retireDeployment", shadow))["status"] == "RETIRED"


@pytest.mark.parametrize(
    ("stages", "environment", "strategy", "works"),
    [
        ([], "production", "DIRECT", False),
        (["STAGING"], "production", "CANARY", False),
        (["STAGING"], "production", "SHADOW", True),
        ([], "production", "SHADOW", False),
        (["STAGING", "PRODUCTION"], "production", "BLUE_GREEN", True),
        ([], "staging", "DIRECT", True),
        (["STAGING", "PRODUCTION"], "qa-2", "DIRECT", True),
        (["ARCHIVED"], "staging", "DIRECT", False),
        (["ARCHIVED"], "production", "SHADOW", False),
    ],
)
async def test_what_may_be_deployed_where(
    place: Place, stages: list[str], environment: str, strategy: str, works: bool
) -> None:
    config = {"canaryConfig": {"stages": STAGES}} if strategy == "CANARY" else {}
    wanted = place.wanted(await place.version("1.0.0", *stages), strategy, environment=environment, **config)
    if works:
        made = (await place.registry.ask(DEPLOY, input=wanted))["createDeployment"]["deployment"]
        assert made["environment"] == environment
        return
    refusal = await place.registry.refusal(DEPLOY, input=wanted)
    assert (refusal["code"], [gate["name"] for gate in refusal["gates"]]) == ("GATE_FAILED", ["stage"])
    assert f"is in {stages[-1] if stages else 'DEVELOPMENT'}; for {environment}" in refusal["message"]
    found = await place.registry.ask(
        "query($m: ID!) { deployments(filter: {modelId: $m}) { totalCount } }", m=place.model
    )
    assert found["deployments"]["totalCount"] == 0


PLAN = "input.canaryConfig"


@pytest.mark.parametrize(
    ("shares", "minutes", "field"),
    [
        ([], [], f"{PLAN}.stages"),
        ([5, 5, 100], [1, 1, 0], f"{PLAN}.stages[1].trafficPercentage"),
        ([25, 5, 100], [1, 1, 0], f"{PLAN}.stages[1].trafficPercentage"),
        ([0, 100], [1, 0], f"{PLAN}.stages[0].trafficPercentage"),
        ([5, 50], [1, 0], f"{PLAN}.stages[1].trafficPercentage"),
        ([5, 100, 101], [1, 1, 0], f"{PLAN}.stages[1].trafficPercentage"),
        ([5, 101], [1, 0], f"{PLAN}.stages[1].trafficPercentage"),
        ([5, 100], [0, 0], f"{PLAN}.stages[0].durationMinutes"),
        ([5, 100], [-1, 0], f"{PLAN}.stages[0].durationMinutes"),
        ([5, 100], [1, 1e9], f"{PLAN}.stages[1].durationMinutes"),
        ([*range(1, 21), 100], [1] * 21, f"{PLAN}.stages"),
    ],
)
async def test_bad_plans_are_refused_with_the_stage_s_place(
    place: Place, shares: list[int], minutes: list[float], field: str
) -> None:
    stages = [{"trafficPercentage": s, "durationMinutes": m} for s, m in zip(shares, minutes, strict=True)]
    wanted = place.wanted("1.0.0", "CANARY", canaryConfig={"stages": stages})
    refusal = await place.registry.refusal(DEPLOY, input=wanted)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", field)


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"strategy": "CANARY"}, PLAN),
        ({"canaryConfig": {"stages": STAGES}}, PLAN),
        ({"environment": "Production"}, "input.environment"),
        ({"strategy": "CANARY", "canaryConfig": {"stages": STAGES, "failureThreshold": 0}}, f"{PLAN}.failureThreshold"),
        (
            {"strategy": "CANARY", "canaryConfig": {"stages": STAGES, "maxHealthAgeMinutes": 0}},
            f"{PLAN}.maxHealthAgeMinutes",
        ),
        ({"name": " "}, "input.name"),
    ],
)
async def test_bad_input_is_refused_by_name(place: Place, more: dict[str, Any], field: str) -> None:
    refusal = await place.registry.refusal(DEPLOY, input=place.wanted("1.0.0", "DIRECT") | more)
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", field)


async def test_one_rollout_of_a_model_in_an_environment_at_a_time(place: Place) -> None:
    old = await place.deploy(await place.production("1.0.0"))
    refusal = await place.registry.refusal(DEPLOY, input=place.wanted("1.0.0", "BLUE_GREEN"))
    assert (refusal["code"], refusal["deployment"]) == ("CONFLICT", old["id"])
    new = await place.canary(await place.production("2.0.0"))
    refusal = await place.registry.refusal(DEPLOY, input=place.wanted("2.0.0", "DIRECT"))
    assert (refusal["code"], refusal["rollout"]) == ("CONFLICT", new["id"])
    for action in ("retireDeployment", "rollbackDeployment"):
        refusal = await place.refused(action, old)
        assert (refusal["code"], refusal["rollout"]) == ("CONFLICT", new["id"])
    elsewhere = await place.deploy("2.0.0", "DIRECT", environment="eu")
    assert elsewhere["trafficPercentage"] == 100
    assert (await place.do("retireDeployment", new))["status"] == "RETIRED"
    assert await place.shares() == {"DIRECT 1.0.0": 100}


async def test_a_version_that_is_deployed_is_not_archived_unless_its_deployments_are_taken_away(place: Place) -> None:
    made = await place.deploy(await place.production("1.0.0"))
    refusal = await place.registry.refusal(STEP, input=place.moving("1.0.0", "ARCHIVED"))
    assert (refusal["code"], refusal["deployments"]) == ("CONFLICT", [made["id"]])
    await place.move("1.0.0", "ARCHIVED", retireDeployments=True, notes="Nobody asks.")
    found = await place.read(made)
    assert (found["status"], found["events"][-1]["reason"]) == ("RETIRED", "Nobody asks.")
    assert await place.shares() == {}


async def test_what_a_promotion_replaces_serves_on_and_its_rollout_pauses(place: Place) -> None:
    base = await place.deploy(await place.production("1.0.0"))
    rollout = await place.canary(await place.production("2.0.0"))
    assert (await place.read(base))["trafficPercentage"] == 95
    await place.production("3.0.0")
    assert await place.tick() == 1
    paused = await place.read(rollout)
    assert (paused["status"], paused["events"][-1]["reason"]) == ("PAUSED", "Its version has been archived.")
    refusal = await place.refused("resumeDeployment", rollout)
    assert (refusal["code"], "Its version has been archived." in refusal["message"]) == ("CONFLICT", True)
    assert await place.shares() == {"DIRECT 1.0.0": 95, "CANARY 2.0.0": 5}


async def test_a_rollout_pauses_when_its_data_turn_out_to_be_invalid(place: Place) -> None:
    data = await dataset_version(place)
    rollout = await place.canary(await place.production("1.0.0", datasetVersionId=data))
    flag = {"datasetVersionId": data, "status": "INVALID", "reason": "Counted twice."}
    impact = (await place.registry.ask(FLAG, input=flag))["setDatasetVersionStatus"]["impact"]
    assert impact["deployments"] == [{"name": "CANARY 1.0.0", "status": "IN_PROGRESS"}]
    assert await place.tick() == 1
    paused = await place.read(rollout)
    assert paused["events"][-1]["reason"] == f"Its version depends on {data}, which is INVALID."
    await place.do("retireDeployment", rollout)
    refusal = await place.registry.refusal(DEPLOY, input=place.wanted("1.0.0", "DIRECT"))
    assert (refusal["code"], [gate["name"] for gate in refusal["gates"]]) == ("GATE_FAILED", ["data"])


async def dataset_version(place: Place) -> str:
    make = """mutation($d: CreateDatasetInput!, $v: CreateDatasetVersionInput!) {
        createDataset(input: $d) { dataset { id } } createDatasetVersion(input: $v) { datasetVersion { id } } }"""
    id_ = f"ds_{place.project[5:]}"
    dataset = {"id": id_, "projectId": place.project, "name": "Data"}
    made = await place.registry.ask(make, d=dataset, v={"datasetId": id_, "label": "one"})
    return str(made["createDatasetVersion"]["datasetVersion"]["id"])


async def test_health_is_observed_by_now(place: Place) -> None:
    made = await place.canary(await place.production("1.0.0"))
    later = (datetime.now().astimezone() + timedelta(minutes=5)).isoformat()
    refusal = await place.registry.refusal(
        REPORT, input={"deploymentId": made["id"], "healthy": True, "observedAt": later}
    )
    assert (refusal["code"], refusal["field"]) == ("BAD_USER_INPUT", "input.observedAt")
    before = (datetime.now().astimezone() - timedelta(minutes=5)).isoformat()
    found = await place.report(made, healthy=False, observedAt=before)
    assert found["status"] == "IN_PROGRESS", "what was observed before its stage began says nothing of it"


async def test_gateways_poll_the_shares(place: Place) -> None:
    async def poll(environment: str = "production", **headers: str) -> Any:
        key = {"Authorization": f"Bearer {place.registry.key}"}
        return await place.registry.client.get(f"/routes/{environment}", headers=key | headers)

    await place.deploy(await place.production("1.0.0"))
    await place.deploy(await place.version("3.0.0", "STAGING"), "SHADOW")
    new = await place.canary(await place.production("2.0.0"))
    response = await poll()
    (found,) = [each for each in response.json()["models"] if each["modelId"] == place.model]
    assert [(route["version"], route["weight"]) for route in found["routes"]] == [("1.0.0", 95), ("2.0.0", 5)]
    assert (found["unmanaged"], [shadow["version"] for shadow in found["shadows"]]) == (0, ["3.0.0"])
    again = await poll(**{"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    await place.do("advanceDeployment", new)
    assert (await poll(**{"If-None-Match": response.headers["etag"]})).status_code == 200
    assert (await poll("No_Such")).status_code == 400
    assert (await poll("nowhere")).json() == {"environment": "nowhere", "models": []}


async def test_shares_that_do_not_add_up_cannot_be_committed(place: Place) -> None:
    made = await place.deploy(await place.production("1.0.0"))
    other = await place.canary(await place.production("2.0.0"))
    connection = await connect(place.database.app_url)
    change = "UPDATE deployments SET {} , revision = revision + 1 WHERE id = $1"
    for id_, sets in (
        (made["id"], "traffic_percentage = 94"),
        (other["id"], "status = 'ACTIVE', due_at = NULL"),
        (other["id"], "traffic_percentage = 100"),
        (made["id"], "revision = revision"),
    ):
        with pytest.raises(Exception, match=r"add up|unique|refused|multiple"):
            await connection.execute(change.format(sets), id_)
    await connection.close()
    assert await place.shares() == {"DIRECT 1.0.0": 95, "CANARY 2.0.0": 5}


async def test_the_lineage_leads_to_what_was_deployed(place: Place, make_registry: Callable[..., Any]) -> None:
    await place.deploy(await place.production("1.0.0"))
    asked = """query($m: ID!) { version(modelId: $m, version: "1.0.0") {
        deployments { nodes { name } } lineage(direction: DOWNSTREAM) { edges { kind } mermaid
            nodes { ... on Deployment { name version { version } } } } } }"""
    found = (await place.registry.ask(asked, m=place.model))["version"]
    assert found["deployments"]["nodes"] == [{"name": "DIRECT 1.0.0"}]
    assert found["lineage"]["edges"] == [{"kind": "DEPLOYED_AS"}]
    assert {"name": "DIRECT 1.0.0", "version": {"version": "1.0.0"}} in found["lineage"]["nodes"]
    assert '{{"DIRECT 1.0.0"}}' in found["lineage"]["mermaid"]
