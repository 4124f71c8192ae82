"""The product description, sample by sample, as operations: what its user expects is what Lineal answers.

The registry is the sample that `lineal demo` makes, in a database of its own; the tests follow the description's order
and build on each other, as its reader does.
"""

from collections.abc import Callable
from typing import Any

import pytest
import pytest_asyncio

from server.ops.demo import fill
from server.settings import Settings
from storage.vocabulary import PrincipalKind
from tests.conftest import Registry, make_key

MODEL = "model_xgb_churn"
COPY = "model_xgb_churn_copy"
PIPELINE, MARIA, JAMES = "retraining@company.com", "maria.chen@company.com", "james.wu@company.com"


@pytest_asyncio.fixture(scope="module")
async def people(make_database: Callable[[], Any], make_registry: Callable[..., Any]) -> dict[str, Registry]:
    """The sample's pipeline and its two reviewers, each with a key."""
    database = await make_database()
    assert await fill(Settings(database_url=database.app_url))
    registry: Registry = await make_registry(database)
    kinds = {PIPELINE: PrincipalKind.SERVICE, MARIA: PrincipalKind.USER, JAMES: PrincipalKind.USER}
    return {
        email: registry.with_key(await make_key(database.app_url, email, kind=kind, administers=False))
        for email, kind in kinds.items()
    }


@pytest.fixture(scope="module")
def sample(people: dict[str, Registry]) -> Registry:
    return people[PIPELINE]


REGISTER = """
mutation Register($input: CreateVersionInput!) {
  createVersion(input: $input) {
    version { model { id } version stage metrics { name value } tags parameters createdBy parent { version } }
    warnings
  }
}
"""


async def test_register_a_new_model_version(sample: Registry) -> None:
    metrics = {"auc": 0.912, "accuracy": 0.867, "precision": 0.843, "recall": 0.791, "f1": 0.816, "log_loss": 0.298}
    parameters = {
        "algorithm": "xgboost",
        "max_depth": 6,
        "learning_rate": 0.1,
        "n_estimators": 250,
        "nfolds": 5,
        "stopping_metric": "AUC",
    }
    # In a model of its own: the sample registry holds 2.1.0 of model_xgb_churn already.
    new = {
        "projectId": "proj_abc123",
        "modelId": COPY,
        "createModel": True,
        "version": "2.1.0",
        "description": "Retrained on Q4 2025 data with 3 new behavioral features",
        "experimentId": "exp_q4_retrain",
        "datasetVersionId": "dsv_q4_2025",
        "metrics": metrics,
        "parameters": parameters,
        "tags": ["candidate", "q4-retrain", "behavioral-features"],
    }
    made = (await sample.ask(REGISTER, input=new))["createVersion"]
    version = made["version"]

    assert f"Registered: {version['model']['id']} v{version['version']}" == "Registered: model_xgb_churn_copy v2.1.0"
    assert f"Stage: {version['stage']}" == "Stage: DEVELOPMENT"
    assert {metric["name"]: metric["value"] for metric in version["metrics"]} == metrics
    assert version["parameters"] == parameters
    assert version["tags"] == ["behavioral-features", "candidate", "q4-retrain"]
    assert version["createdBy"] == PIPELINE
    assert made["warnings"] == []


async def test_you_cannot_register_two_versions_with_the_same_number(sample: Registry) -> None:
    new = {"projectId": "proj_abc123", "modelId": MODEL, "version": "2.1.0"}
    refusal = await sample.refusal(REGISTER, input=new)
    assert refusal["code"] == "ALREADY_EXISTS"
    assert refusal["message"] == "model_xgb_churn already has a version 2.1.0; numbers are never reused."


TRANSITION = """
mutation Transition($input: TransitionStageInput!) {
  transitionStage(input: $input) {
    version { version stage }
    transition { fromStage toStage actor approvedBy notes automatic at }
    archived { version stage stageHistory { toStage automatic actor } }
  }
}
"""


async def test_transition_a_model_from_development_to_staging(people: dict[str, Registry]) -> None:
    notes = "Approved for shadow deployment by ML review board. AUC improvement of 2.3% over current production model."
    asked = {"modelId": COPY, "version": "2.1.0", "targetStage": "STAGING", "notes": notes, "approvedBy": MARIA}
    done = (await people[MARIA].ask(TRANSITION, input=asked))["transitionStage"]
    assert done["version"] == {"version": "2.1.0", "stage": "STAGING"}
    step = done["transition"]
    assert (step["actor"], step["approvedBy"], step["notes"]) == (MARIA, MARIA, notes)


@pytest.mark.parametrize("model", [COPY, MODEL])
async def test_later_promote_from_staging_to_production(people: dict[str, Registry], model: str) -> None:
    """What the description does, on the version just registered and on the sample's own, where 2.0.0 makes room."""
    notes = (
        "Shadow deployment completed successfully. 7-day comparison shows consistent improvement across all segments."
    )
    asked = {"modelId": model, "version": "2.1.0", "targetStage": "PRODUCTION", "notes": notes, "approvedBy": JAMES}
    done = (await people[JAMES].ask(TRANSITION, input=asked))["transitionStage"]

    assert done["version"] == {"version": "2.1.0", "stage": "PRODUCTION"}
    step = done["transition"]
    assert (step["fromStage"], step["toStage"], step["automatic"]) == ("STAGING", "PRODUCTION", False)
    assert (step["actor"], step["approvedBy"], step["notes"]) == (JAMES, JAMES, notes)
    if model == MODEL:
        assert done["archived"]["version"] == "2.0.0"
        assert done["archived"]["stage"] == "ARCHIVED"
        last = {"toStage": "ARCHIVED", "automatic": True, "actor": JAMES}
        assert done["archived"]["stageHistory"][-1] == last


HISTORY = """
query History($modelId: ID!, $chain: String!, $at: DateTime!) {
  model(id: $modelId) {
    productionVersion {
      version
      stageHistory { toStage at actor notes approvals { reviewer decision meaning notes at attestedBy valid } }
    }
    productionAt(at: $at) { version }
  }
  auditEvents(filter: {chain: $chain, action: ["version.approved"]}) { nodes { actor details } }
  auditIntegrity(chain: $chain) { events sound firstWrong }
}
"""


async def test_an_auditor_s_questions_have_one_query(people: dict[str, Registry]) -> None:
    """What serves production, who approved it, what was in production on that day, has anything been altered."""
    found = await people[MARIA].ask(HISTORY, modelId=MODEL, chain=MODEL, at="2000-01-01")
    model = found["model"]
    assert model["productionVersion"]["version"] == "2.1.0"
    step = model["productionVersion"]["stageHistory"][-1]
    (approval,) = step["approvals"]
    assert (approval["reviewer"], approval["decision"], approval["attestedBy"]) == (JAMES, "APPROVE", None)
    assert approval["meaning"] == f"{JAMES} approves that {MODEL} 2.1.0 goes to PRODUCTION."
    assert (approval["at"], approval["valid"]) == (step["at"], True)
    assert model["productionAt"] is None
    before = await people[MARIA].ask(HISTORY, modelId=MODEL, chain=MODEL, at=step["at"])
    assert before["model"]["productionAt"]["version"] == "2.1.0"
    assert found["auditEvents"]["nodes"][0]["actor"] == JAMES
    integrity = found["auditIntegrity"]
    assert (integrity["sound"], integrity["firstWrong"]) == (True, None)
    assert integrity["events"] > 20


async def test_archived_models_cannot_be_deployed_without_going_through_staging(sample: Registry) -> None:
    asked = {"modelId": MODEL, "version": "2.0.0", "targetStage": "PRODUCTION"}
    refusal = await sample.refusal(TRANSITION, input=asked)
    assert refusal["code"] == "ILLEGAL_TRANSITION"
    assert (refusal["from"], refusal["to"], refusal["allowed"]) == ("ARCHIVED", "PRODUCTION", ["STAGING"])


CARD = """
mutation Card($input: UpdateModelCardInput!) {
  updateModelCard(input: $input) {
    modelCard {
      description intendedUse limitations ethicalConsiderations
      trainingDataSummary { source dateRange totalRows positiveClassRatio featureCount }
      performanceBySegment { segment samples metrics { name value } }
      worstSegments { metric segment value whole gap }
      generated completeness missing revision updatedBy markdown
    }
  }
}
"""


async def test_create_a_detailed_model_card(sample: Registry) -> None:
    written = {
        "description": "Customer churn prediction model for subscription products. Predicts probability of churn"
        " within the next 30 days.",
        "intendedUse": "Real-time scoring of active subscribers to prioritize retention outreach.",
        "limitations": "Trained on US market data only. Performance may degrade for international customers."
        " Not validated for enterprise tier accounts.",
        "ethicalConsiderations": "Model uses behavioral features only. No demographic or protected class features are"
        " included.",
        "trainingDataSummary": {
            "source": "Production subscription database",
            "dateRange": "2025-01-01 to 2025-12-31",
            "totalRows": 247_500,
            "positiveClassRatio": 0.087,
            "featureCount": 18,
        },
    }
    segments = {
        "enterprise": {"auc": 0.89, "samples": 12_400},
        "professional": {"auc": 0.91, "samples": 85_300},
        "starter": {"auc": 0.93, "samples": 149_800},
    }
    asked = {"modelId": MODEL, "version": "2.1.0", "modelCard": written | {"performanceBySegment": segments}}
    # The sample registry holds this card already.
    await sample.ask(CARD, input=asked | {"modelCard": dict.fromkeys(asked["modelCard"])})
    card = (await sample.ask(CARD, input=asked))["updateModelCard"]["modelCard"]

    assert {name: card[name] for name in written} == written
    assert {
        each["segment"]: {"samples": each["samples"]} | {m["name"]: m["value"] for m in each["metrics"]}
        for each in card["performanceBySegment"]
    } == segments
    # What "automatically from training metadata" found, and what follows from both.
    generated = card["generated"]
    assert (generated["algorithm"], len(generated["features"])) == ("xgboost", 18)
    assert (generated["metrics"]["auc"], generated["experiment"]["trainingDurationSecs"]) == (0.912, 4127.3)
    assert (card["completeness"], card["missing"], card["updatedBy"]) == (1, [], PIPELINE)
    (worst,) = [each for each in card["worstSegments"] if each["metric"] == "auc"]
    assert (worst["segment"], worst["value"], worst["whole"]) == ("enterprise", 0.89, 0.912)
    assert f"{worst['gap']:.3f}" == "0.022"
    assert "Not validated for enterprise tier accounts." in card["markdown"]


LINEAGE = """
query Lineage($modelId: ID!, $version: SemVer!) {
  version(modelId: $modelId, version: $version) {
    version
    model { id }
    experiment { id algorithm trainingDurationSecs maxModels }
    datasetVersion { id name rowCount createdAt }
    parent { version }
    versionChain {
      version stage createdAt
      experiment { id algorithm }
      datasetVersion { id rowCount dataset { name } }
    }
  }
}
"""


async def test_retrieve_the_full_lineage_in_one_query(sample: Registry) -> None:
    lineage = (await sample.ask(LINEAGE, modelId=MODEL, version="2.1.0"))["version"]

    printed = [
        f"Model: {lineage['model']['id']} v{lineage['version']}",
        f"Experiment: {lineage['experiment']['id']}",
        f" Algorithm: {lineage['experiment']['algorithm']}",
        f" Training time: {lineage['experiment']['trainingDurationSecs']}s",
        f" Max models evaluated: {lineage['experiment']['maxModels']}",
        f"Dataset version: {lineage['datasetVersion']['id']}",
        f" Dataset: {lineage['datasetVersion']['name']}",
        f" Rows: {lineage['datasetVersion']['rowCount']}",
        f"Parent version: {lineage['parent']['version'] or 'None (initial)'}",
        *(f" v{ancestor['version']} ({ancestor['stage']})" for ancestor in lineage["versionChain"]),
    ]
    assert printed == [
        "Model: model_xgb_churn v2.1.0",
        "Experiment: exp_q4_retrain",
        " Algorithm: xgboost",
        " Training time: 4127.3s",
        " Max models evaluated: 20",
        "Dataset version: dsv_q4_2025",
        " Dataset: Subscriptions Q4 2025",
        " Rows: 247500",
        "Parent version: 2.0.0",
        " v2.1.0 (PRODUCTION)",
        " v2.0.0 (ARCHIVED)",
        " v1.1.0 (DEVELOPMENT)",
        " v1.0.0 (ARCHIVED)",
    ]
    of_ancestors = [(a["experiment"]["id"], a["datasetVersion"]["id"]) for a in lineage["versionChain"]]
    assert of_ancestors == [
        ("exp_q4_retrain", "dsv_q4_2025"),
        ("exp_q3_usage", "dsv_q3_2025"),
        ("exp_tuning", "dsv_q2_2025"),
        ("exp_baseline", "dsv_q2_2025"),
    ]


async def test_trace_a_data_set_version_to_every_model_trained_on_it(sample: Registry) -> None:
    asked = '{ datasetVersion(id: "dsv_q2_2025") { trained { nodes { model { id } version } } } }'
    trained = (await sample.ask(asked))["datasetVersion"]["trained"]["nodes"]
    assert {f"{v['model']['id']} v{v['version']}" for v in trained} == {
        "model_xgb_churn v1.0.0",
        "model_xgb_churn v1.1.0",
        "model_mlp_churn v1.0.0",
    }


IMPACT = """
mutation Flag($input: SetDatasetVersionStatusInput!) {
  setDatasetVersionStatus(input: $input) {
    impact {
      versions { totalCount }
      models { id }
      production { model { id } version }
      paths { version { model { id } version } via }
    }
  }
}
"""


async def test_identify_every_model_that_was_trained_on_data_with_errors(sample: Registry) -> None:
    """Including models in production, through versions that were only derived from those trained on it."""
    reason = "Late payments were counted twice."
    flag = {"datasetVersionId": "dsv_q2_2025", "status": "INVALID", "reason": reason}
    impact = (await sample.ask(IMPACT, input=flag))["setDatasetVersionStatus"]["impact"]
    assert {model["id"] for model in impact["models"]} == {MODEL, "model_mlp_churn"}
    assert impact["production"] == [{"model": {"id": MODEL}, "version": "2.1.0"}]
    numbers = [f"{path['version']['model']['id']} v{path['version']['version']}" for path in impact["paths"]]
    assert sorted(numbers[:3]) == ["model_mlp_churn v1.0.0", f"{MODEL} v1.0.0", f"{MODEL} v1.1.0"]
    assert numbers[3:] == [f"{MODEL} v2.0.0", f"{MODEL} v2.1.0"]
    assert impact["versions"]["totalCount"] == 5
    steps = [(path["via"][0], len(path["via"])) for path in impact["paths"]]
    assert steps == [("dsv_q2_2025", length) for length in (2, 2, 2, 3, 4)]
    await sample.ask(IMPACT, input=flag | {"status": "ACTIVE", "reason": "Counted anew."})


TAGS = """
mutation Tag($input: TagsInput!, $old: TagsInput!) {
  addTags(input: $input) { version { tags } }
  removeTags(input: $old) { version { tags } }
}
"""
SEARCH = """
query Search($filter: VersionFilter) {
  searchVersions(filter: $filter) { totalCount nodes { model { id } version auc: metric(name: "auc") tags } }
}
"""


async def test_search_for_models_by_tag(sample: Registry) -> None:
    version = {"modelId": MODEL, "version": "2.1.0"}
    tagged = await sample.ask(TAGS, input=version | {"tags": ["champion"]}, old=version | {"tags": ["candidate"]})
    assert tagged["removeTags"]["version"]["tags"] == ["behavioral-features", "champion", "q4-retrain"]

    wanted = {"projectId": "proj_abc123", "modelId": MODEL, "tags": ["champion"], "stage": ["PRODUCTION"]}
    found = (await sample.ask(SEARCH, filter=wanted))["searchVersions"]["nodes"]
    lines = [f"{m['model']['id']} v{m['version']} - AUC: {m['auc']:.4f} - Tags: {', '.join(m['tags'])}" for m in found]
    assert lines == ["model_xgb_churn v2.1.0 - AUC: 0.9120 - Tags: behavioral-features, champion, q4-retrain"]


async def test_search_across_all_projects_with_filters(sample: Registry) -> None:
    candidate = {"projectId": "proj_abc123", "modelId": MODEL, "bump": "MINOR", "metrics": {"auc": 0.921}}
    made = await sample.ask(REGISTER, input=candidate | {"tags": ["candidate"]})
    number = made["createVersion"]["version"]["version"]
    assert number == "2.2.0"
    await sample.ask(TRANSITION, input={"modelId": MODEL, "version": number, "targetStage": "STAGING"})

    wanted = {
        "query": "churn",
        "stage": ["STAGING"],
        "metrics": [{"name": "auc", "min": 0.85}],
        "createdAfter": "2026-01-01",
        "tags": ["candidate"],
    }
    found = (await sample.ask(SEARCH, filter=wanted))["searchVersions"]
    assert found["totalCount"] == 1
    assert found["nodes"][0]["version"] == "2.2.0"
    assert (await sample.ask(SEARCH, filter=wanted | {"createdAfter": "2100-01-01"}))["searchVersions"]["nodes"] == []
    assert (await sample.ask(SEARCH, filter=wanted | {"query": "demand"}))["searchVersions"]["nodes"] == []


COMPARE = """
query Compare($modelId: ID!, $versions: [SemVer!]!) {
  compareVersions(modelId: $modelId, versions: $versions) {
    versions { version }
    metricDiffs { name values delta improved }
    parameterDiffs { name values }
    datasets { name rowCount }
    featureDiff { added removed }
    requiredBump
    commonAncestor { version }
  }
}
"""


async def test_comparing_model_versions(sample: Registry) -> None:
    found = await sample.ask(COMPARE, modelId=MODEL, versions=["2.0.0", "2.1.0"])
    comparison = found["compareVersions"]
    baseline, other = (each["version"] for each in comparison["versions"])
    printed = [
        f"Comparing {baseline} vs {other}",
        f"{'Metric':<20} {'v2.0.0':<12} {'v2.1.0':<12} {'Delta':<12}",
        *(
            f"{metric['name']:<20} {metric['values'][0]:<12.4f} {metric['values'][1]:<12.4f} {metric['delta']:+.4f}"
            for metric in comparison["metricDiffs"]
        ),
        "Parameter changes:",
        *(f" {param['name']}: {param['values'][0]} -> {param['values'][1]}" for param in comparison["parameterDiffs"]),
        "Dataset changes:",
        *(
            f" v{number} trained on: {data['name']} ({data['rowCount']} rows)"
            for number, data in zip((baseline, other), comparison["datasets"], strict=True)
        ),
    ]
    assert printed == [
        "Comparing 2.0.0 vs 2.1.0",
        "Metric               v2.0.0       v2.1.0       Delta       ",
        "accuracy             0.8490       0.8670       +0.0180",
        "auc                  0.8910       0.9120       +0.0210",
        "f1                   0.7890       0.8160       +0.0270",
        "log_loss             0.3210       0.2980       -0.0230",
        "precision            0.8170       0.8430       +0.0260",
        "recall               0.7620       0.7910       +0.0290",
        "Parameter changes:",
        " n_estimators: 220 -> 250",
        "Dataset changes:",
        " v2.0.0 trained on: Subscriptions Q3 2025 (224100 rows)",
        " v2.1.0 trained on: Subscriptions Q4 2025 (247500 rows)",
    ]
    # Lower is better for one of them, and all of them are better.
    assert all(metric["improved"] for metric in comparison["metricDiffs"])
    assert comparison["featureDiff"]["removed"] == []
    assert len(comparison["featureDiff"]["added"]) == 3
    assert (comparison["requiredBump"], comparison["commonAncestor"]) == ("MINOR", {"version": "2.0.0"})


DEPLOY = """
mutation Deploy($input: CreateDeploymentInput!) {
  createDeployment(input: $input) { deployment { id name strategy status version { version } trafficPercentage } }
}
"""
DEPLOYED = """
query Deployed($modelId: ID!, $version: SemVer!) {
  version(modelId: $modelId, version: $version) {
    deployments(status: [IN_PROGRESS, PAUSED, ACTIVE]) { totalCount nodes { name strategy status } }
  }
  model(id: $modelId) { serving { deployment { version { version } } share } }
}
"""


async def test_deploy_a_registered_model_version(sample: Registry) -> None:
    wanted = {
        "projectId": "proj_abc123",
        "registryVersion": {"modelId": MODEL, "version": "2.1.0"},
        "name": "Churn Predictor Production",
        "strategy": "CANARY",
        "canaryConfig": {
            "stages": [
                {"trafficPercentage": 5, "durationMinutes": 60},
                {"trafficPercentage": 25, "durationMinutes": 120},
                {"trafficPercentage": 50, "durationMinutes": 180},
                {"trafficPercentage": 100, "durationMinutes": 0},
            ],
            "autoAdvance": True,
            "autoRollback": True,
        },
    }
    made = (await sample.ask(DEPLOY, input=wanted))["createDeployment"]["deployment"]
    assert (made["version"]["version"], made["trafficPercentage"]) == ("2.1.0", 5)

    found = await sample.ask(DEPLOYED, modelId=MODEL, version="2.1.0")
    deployments = found["version"]["deployments"]
    printed = [
        f"Active deployments: {deployments['totalCount']}",
        *(f" {dep['name']} ({dep['strategy'].lower()}) - {dep['status'].lower()}" for dep in deployments["nodes"]),
    ]
    assert printed == ["Active deployments: 1", " Churn Predictor Production (canary) - in_progress"]
    # The rest is served as it was before anything was deployed from the registry.
    assert found["model"]["serving"] == [
        {"deployment": None, "share": 95},
        {"deployment": {"version": {"version": "2.1.0"}}, "share": 5},
    ]


async def test_register_every_model_even_failed_experiments(sample: Registry) -> None:
    asked = '{ experiment(id: "exp_mlp") { status notes versions { nodes { version tags metric(name: "auc") } } } }'
    failed = (await sample.ask(asked))["experiment"]
    assert failed["status"] == "FAILED"
    assert "overfits" in failed["notes"]
    assert failed["versions"]["nodes"] == [{"version": "1.0.0", "tags": ["abandoned"], "metric": 0.807}]


async def test_the_sample_fills_only_an_empty_registry(sample: Registry) -> None:
    before = await sample.ask("{ searchVersions { totalCount } }")
    database_url = sample.client._transport.app.app.state.database.url  # type: ignore[attr-defined]
    assert not await fill(Settings(database_url=database_url))
    assert await sample.ask("{ searchVersions { totalCount } }") == before
