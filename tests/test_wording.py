"""The mistakes that people make most, each with the sentence, the code and the field that it is answered with."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from tests.conftest import Registry, make_project
from tests.support.documents import CREATE_MODEL, CREATE_VERSION

TRANSITION = "mutation($input: TransitionStageInput!) { transitionStage(input: $input) { version { id } } }"
TAG = "mutation($input: DefineTagInput!) { defineTag(input: $input) { __typename } }"
POLICY = "mutation($input: UpdateProjectPolicyInput!) { updateProjectPolicy(input: $input) { project { id } } }"
KEY = "mutation($input: CreateApiKeyInput!) { createApiKey(input: $input) { id secret } }"
AUDIT = "query($filter: AuditFilter) { auditEvents(filter: $filter) { totalCount } }"
FINITE = "a metric must be a finite number. Omit the metric if it has no value."
ROLE = "Check the id, or ask an ADMIN of the project for a role with setMember."


class Mistake(NamedTuple):
    document: str
    message: str
    field: str | None
    input: dict[str, Any] | None = None
    code: str = "BAD_USER_INPUT"


INVALID = "GRAPHQL_VALIDATION_FAILED"
MISTAKES = {
    "a connection without nodes": Mistake(
        "{ projects { id } }",
        "ProjectConnection has no field id; its entries are in nodes. Write { nodes { id } }.",
        "ProjectConnection.id",
        code=INVALID,
    ),
    "arguments without input": Mistake(
        'mutation { createProject(name: "Churn") { project { id } } }',
        "createProject has no argument name; its one argument is input. Write createProject(input: {name: ...}).",
        "createProject.name",
        code=INVALID,
    ),
    "no input at all": Mistake(
        "mutation { createProject { project { id } } }",
        "createProject needs the argument input, an object of type CreateProjectInput.",
        "createProject.input",
        code=INVALID,
    ),
    "a number with a prefix": Mistake(
        CREATE_VERSION,
        'input.version is "v1.0"; versions are MAJOR.MINOR.PATCH without a prefix, such as 1.0.0. Each part is a whole'
        " number up to 999999999 without leading zeros.",
        "input.version",
        {"version": "v1.0"},
    ),
    "a number with a prefix in the document": Mistake(
        '{ model(id: "model_a") { version(version: "v1.0") { id } } }',
        'version is "v1.0"; versions are MAJOR.MINOR.PATCH without a prefix, such as 1.0.0. Each part is a whole'
        " number up to 999999999 without leading zeros.",
        "version",
    ),
    "a date as people write it": Mistake(
        AUDIT,
        'filter.after is "25/11/2026"; use RFC 3339, such as 2026-11-25 or 2026-11-25T09:00:00Z.',
        "filter.after",
        {"after": "25/11/2026"},
    ),
    "metrics as a list": Mistake(
        CREATE_VERSION,
        "input.metrics is a list; it must be an object of numbers by name.",
        "input.metrics",
        {"version": "1.1.0", "metrics": [0.9]},
    ),
    "a metric that is null": Mistake(
        CREATE_VERSION, f"input.metrics.auc is null; {FINITE}", "input.metrics.auc", {"metrics": {"auc": None}}
    ),
    "a metric that is not a number": Mistake(
        CREATE_VERSION, f"input.metrics.auc is NaN; {FINITE}", "input.metrics.auc", {"metrics": {"auc": float("nan")}}
    ),
    "a metric that is infinite": Mistake(
        CREATE_VERSION,
        f"input.metrics.auc is -Infinity; {FINITE}",
        "input.metrics.auc",
        {"metrics": {"auc": -float("inf")}},
    ),
    "an id without its prefix": Mistake(
        CREATE_VERSION,
        'input.modelId is "churn"; it must be `model_` followed by 1 to 100 of the characters `A-Za-z0-9._-`.'
        " For example: model_abc123.",
        "input.modelId",
        {"modelId": "churn"},
    ),
    "a model that is not there": Mistake(
        CREATE_VERSION,
        "There is no model model_nowhere, or your key has no role in its project. Create it, or pass createModel:"
        " true.",
        "input.modelId",
        {"modelId": "model_nowhere"},
        "NOT_FOUND",
    ),
    "a step to the stage it is in": Mistake(
        TRANSITION,
        "The version is already in DEVELOPMENT; it can go to STAGING or ARCHIVED.",
        None,
        {"targetStage": "DEVELOPMENT"},
        "ILLEGAL_TRANSITION",
    ),
    "an approver who is no address": Mistake(
        TRANSITION,
        'input.approvedBy is "James Wu"; it must be an email address such as ana@example.com.',
        "input.approvedBy",
        {"targetStage": "STAGING", "approvedBy": "James Wu"},
    ),
    "an approver who is no reviewer": Mistake(
        TRANSITION,
        "1.0.0 cannot go to STAGING yet. bo@example.com is not a reviewer of the project. An ADMIN can add one with"
        " setMember.",
        None,
        {"targetStage": "STAGING", "approvedBy": "bo@example.com"},
        "APPROVAL_REQUIRED",
    ),
    "an approver who has not approved": Mistake(
        TRANSITION,
        "1.0.0 cannot go to STAGING yet. cy@example.com has not approved this transition. Ask for a review with"
        " requestTransition, or use a key that can attest approvals.",
        None,
        {"targetStage": "STAGING", "approvedBy": "cy@example.com"},
        "APPROVAL_REQUIRED",
    ),
    "a key of the wrong kind": Mistake(
        KEY,
        "ana@example.com is a USER, not a SERVICE. Omit kind, or use USER.",
        "input.kind",
        {"name": "pipeline", "email": "ana@example.com", "kind": "SERVICE"},
        "CONFLICT",
    ),
    "an unknown tag": Mistake(
        CREATE_VERSION,
        'input.tags[0] is "churned", which is not in the project\'s vocabulary; the nearest tag is "churn". Use a tag'
        " of the vocabulary, or define this one with defineTag.",
        "input.tags[0]",
        {"tags": ["churned"]},
    ),
    "an unknown field": Mistake(
        CREATE_VERSION,
        "input.descripton is not a field of CreateVersionInput. Did you mean description?",
        "input.descripton",
        {"descripton": "Adds payment data."},
    ),
    "a field that is missing": Mistake(
        KEY, "input.email is missing, and it is required.", "input.email", {"name": "pipeline"}
    ),
    "a required field that is null": Mistake(
        KEY, "input.email is null; it must be a value of type String!.", "input.email", {"name": "a", "email": None}
    ),
    "a stage that does not exist": Mistake(
        TRANSITION,
        'input.targetStage is "PROD"; it must be DEVELOPMENT, STAGING, PRODUCTION or ARCHIVED.',
        "input.targetStage",
        {"targetStage": "PROD"},
    ),
    "text for a boolean": Mistake(
        CREATE_VERSION, "input.createModel must be true or false.", "input.createModel", {"createModel": "yes"}
    ),
}


@pytest_asyncio.fixture(scope="module")
async def place(registry: Registry) -> dict[str, str]:
    """A project with a vocabulary, a reviewer and the version 1.0.0 of a model."""
    project = await make_project(registry)
    model = f"model_{project[5:]}"
    await registry.ask(CREATE_MODEL, input={"projectId": project, "id": model, "name": "Churn"})
    await registry.ask(CREATE_VERSION, input={"projectId": project, "modelId": model, "version": "1.0.0"})
    await registry.ask(TAG, input={"projectId": project, "name": "churn"})
    await registry.ask(POLICY, input={"projectId": project, "tags": "ENFORCE"})
    member = "mutation($input: SetMemberInput!) { setMember(input: $input) { project { id } } }"
    await registry.ask(member, input={"projectId": project, "email": "cy@example.com", "role": "REVIEWER"})
    return {"projectId": project, "modelId": model}


async def sent(registry: Registry, body: str) -> Any:
    headers = {"Authorization": f"Bearer {registry.key}", "Content-Type": "application/json"}
    return (await registry.client.post("/graphql", content=body, headers=headers)).json()


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
async def test_a_mistake_is_answered_in_a_sentence(registry: Registry, place: dict[str, str], mistake: Mistake) -> None:
    asked = mistake.input or {}
    if mistake.document == CREATE_VERSION:
        asked = place | asked
    elif mistake.document == TRANSITION:
        asked = {"modelId": place["modelId"], "version": "1.0.0"} | asked
    variables = {"filter" if mistake.document == AUDIT else "input": asked}
    (error,) = (await sent(registry, json.dumps({"query": mistake.document, "variables": variables})))["errors"]
    assert error["message"] == mistake.message
    assert error["extensions"]["code"] == mistake.code
    assert error["extensions"].get("field") == mistake.field
    assert error["locations"]


async def test_a_key_without_a_role_is_told_who_can_grant_one(registry: Registry, place: dict[str, str]) -> None:
    made = await registry.ask(KEY, input={"name": "new", "email": "new@example.com"})
    stranger = registry.with_key(made["createApiKey"]["secret"])
    refusal = await stranger.refusal(CREATE_MODEL, input={"projectId": place["projectId"], "name": "Churn"})
    assert (
        refusal["message"] == f"There is no project {place['projectId']}, or your key has no role in it."
        " Check the id, or ask an ADMIN of the project for a role with setMember."
    )
    assert (refusal["code"], refusal["field"]) == ("NOT_FOUND", "input.projectId")


@pytest.mark.parametrize(
    ("header", "reason", "message"),
    [
        (
            "{key}",
            "BEARER_MISSING",
            "The Authorization header has a key without the word Bearer. Send Authorization: Bearer lnl_...",
        ),
        (
            "Basic {key}",
            "CREDENTIALS_MISSING",
            "The request has no API key. Send the header Authorization: Bearer lnl_...",
        ),
        (None, "CREDENTIALS_MISSING", "The request has no API key. Send the header Authorization: Bearer lnl_..."),
    ],
    ids=["no Bearer", "another scheme", "none"],
)
async def test_a_header_without_a_key_says_how_to_send_one(
    registry: Registry, header: str | None, reason: str, message: str
) -> None:
    headers = {"Authorization": header.format(key=registry.key)} if header else {}
    response = await registry.client.post("/graphql", json={"query": "{ __typename }"}, headers=headers)
    (error,) = response.json()["errors"]
    assert response.status_code == 401
    assert (error["message"], error["extensions"]["reason"]) == (message, reason)


async def test_an_expired_key_says_when_it_expired(registry: Registry) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=1)
    asked = {"name": "short", "email": "short@example.com", "expiresAt": ends.isoformat()}
    short = registry.with_key((await registry.ask(KEY, input=asked))["createApiKey"]["secret"])
    while (
        response := await short.client.post(
            "/graphql", json={"query": "{ __typename }"}, headers={"Authorization": f"Bearer {short.key}"}
        )
    ).status_code == 200:
        assert datetime.now(UTC) < ends + timedelta(seconds=10)
    (error,) = response.json()["errors"]
    at = f"{ends:%Y-%m-%dT%H:%M:%SZ}"
    assert error["message"] == f"The API key expired at {at}; ask an administrator for a new one."
    assert error["extensions"] == {"code": "UNAUTHENTICATED", "reason": "KEY_EXPIRED"}


async def test_properties_are_kept_and_never_ask_for_a_bump(registry: Registry, place: dict[str, str]) -> None:
    made = """mutation($input: CreateVersionInput!) { createVersion(input: $input) {
        version { properties change { requiredBump } } warnings } }"""
    facts = {"version": "3.0.0", "parameters": {"lr": 0.1}, "properties": {"git_commit": "3f2a9c", "seed": 2**70}}
    first = (await registry.ask(made, input=place | facts))["createVersion"]
    assert (first["version"]["properties"], first["warnings"]) == (facts["properties"], [])
    facts |= {"version": "3.0.1", "parentVersion": "3.0.0", "properties": {"git_commit": "77aa01"}}
    second = (await registry.ask(made, input=place | facts))["createVersion"]
    assert second["version"] == {"properties": {"git_commit": "77aa01"}, "change": {"requiredBump": "PATCH"}}
    facts |= {"version": "3.1.0", "parentVersion": "3.0.1", "parameters": {"lr": 0.1, "git_commit": "b0b0b0"}}
    (warning,) = (await registry.ask(made, input=place | facts))["createVersion"]["warnings"]
    assert warning.startswith("parameters has git_commit, which no training depends on.")


async def test_numbers_beyond_machine_words_are_kept_in_variables_and_in_documents(
    registry: Registry, place: dict[str, str]
) -> None:
    seeds = {"seed": 2**64 + 1, "inner": {"big": [-(10**399), 2**53 + 1]}, "rate": 0.1}
    made = "mutation($input: CreateVersionInput!) { createVersion(input: $input) { version { parameters } } }"
    asked = json.dumps({"query": made, "variables": {"input": place | {"version": "2.0.0", "parameters": seeds}}})
    assert (await sent(registry, asked))["data"]["createVersion"]["version"]["parameters"] == seeds
    literal = (
        f'mutation {{ createVersion(input: {{projectId: "{place["projectId"]}", modelId: "{place["modelId"]}",'
        f' version: "2.0.1", parameters: {{seed: {2**64 + 2}, inner: {{big: [-{10**399}, {2**53 + 1}]}}, rate: 0.1}}}})'
        ' { version { parameters change { reasons } changed: compareTo(version: "2.0.0") { markdown'
        " parameterDiffs { name values } } } } }"
    )
    version = (await sent(registry, json.dumps({"query": literal})))["data"]["createVersion"]["version"]
    assert version["parameters"] == seeds | {"seed": 2**64 + 2}
    assert version["changed"]["parameterDiffs"] == [{"name": "seed", "values": [2**64 + 1, 2**64 + 2]}]
    assert str(2**64 + 2) in version["changed"]["markdown"]
